// Reductions, softmax, cross entropy, rows by id, dropout, layer norm and optimizers against plain loops in f64.
#include "../../cu/cross_entropy.cu"
#include "../../cu/dropout.cu"
#include "../../cu/embedding.cu"
#include "../../cu/norm.cu"
#include "../../cu/optim.cu"
#include "../../cu/reduce.cu"
#include "../../cu/shape.cu"
#include "../../cu/softmax.cu"
#include "check.h"

typedef std::vector<double> Doubles;

static void sums(int n, int c, int seed) {
    Floats x = wave(size_t(n) * c, 0.2);
    Doubles columns(c), rows(n);
    double squares = 0;
    for (int i = 0; i < n * c; i++) columns[i % c] += x[i], rows[i / c] += x[i], squares += double(x[i]) * x[i];
    Floats y = unwritten(c), z = unwritten(n);
    RUN(sum_rows, ceil_div(c, 32), 512, 0, seed, x.data(), y.data(), n, c, 0);
    expect_close("sum_rows", y, columns, 1e-5);
    RUN(sum_last, ceil_div(n, 8), 256, 0, seed, x.data(), z.data(), n, c);
    expect_close("sum_last", z, rows, 1e-5);
    int chunks = ceil_div(n * c, 1 << 14);
    std::vector<double> partials(chunks, NAN), total(1, NAN);
    Floats out = unwritten(2);
    RUN(chunk_sums, ceil_div(chunks, 8), 256, 0, seed, x.data(), partials.data(), n * c, 1);
    RUN(sum_partials, 1, 256, 0, seed, partials.data(), chunks, 1, total.data(), out.data());
    EXPECT(std::fabs(total[0] / squares - 1) < 1e-12, "%g %g", total[0], squares);
    double factor = std::min(1.0, 0.5 / (std::sqrt(squares) + 1e-6));
    Doubles losses = {1.5, NAN};
    for (int count = 0; count <= 2; count++) {
        Doubles numbers(2, NAN);
        Floats one = unwritten(1);
        RUN(clip_factor, 1, 32, 0, seed, total.data(), losses.data(), count, 0.5f, numbers.data(), one.data());
        bool usable = count < 2;
        EXPECT(usable ? std::fabs(one[0] / factor - 1) < 1e-6 : std::isnan(one[0]), "%d losses: %g %g", count, one[0], factor);
        EXPECT(numbers[0] == total[0] && (usable ? numbers[1] == one[0] : std::isnan(numbers[1])), "%g %g", numbers[0], numbers[1]);
    }

    x[size_t(n - 1) * c] = 2, x[size_t(n) * c - 1] = c > 1 ? 2 : x[size_t(n) * c - 1];
    if (n > 1) x[c - 1] = NAN;
    std::vector<u32> at(n, 99);
    RUN(max_last, ceil_div(n, 8), 256, 0, seed, x.data(), z.data(), at.data(), n, c);
    EXPECT(z[n - 1] == 2 && at[n - 1] == 0, "%g at %u", z[n - 1], at[n - 1]);
    EXPECT(n == 1 || (std::isnan(z[0]) && at[0] == u32(c - 1)), "%g at %u", z[0], at[0]);
    u32 first = ~0u;
    RUN(first_non_finite, 2, 256, 0, seed, x.data(), &first, n * c);
    EXPECT(first == (n > 1 ? u32(c - 1) : ~0u), "%u", first);
}

static void probabilities(int n, int v, int seed) {
    Floats x = wave(size_t(n) * v, 0.4), dy = wave(size_t(n) * v, 1.4), y = unwritten(n * v), dx = y, logs = y;
    for (float& x : x) x *= 5;
    std::vector<u32> targets(n), marks(n), never = {1};
    Doubles p(n * v), lp(n * v), want_dx(n * v), losses(2 * n, NAN), totals(3, NAN), want_d(n * v);
    double loss = 0;
    int counted = 0;
    const float eps = 0.1f;
    for (int i = 0; i < n; i++) {
        targets[i] = i % 5 == 3 ? 999999 : (i * 7) % v;
        double m = -1e30, s = 0, inner = 0, mean = 0;
        for (int j = 0; j < v; j++) m = std::max(m, double(x[i * v + j]));
        for (int j = 0; j < v; j++) s += std::exp(x[i * v + j] - m);
        for (int j = 0; j < v; j++) {
            int at = i * v + j;
            lp[at] = x[at] - m - std::log(s), p[at] = std::exp(lp[at]), inner += p[at] * dy[at], mean -= lp[at] / v;
        }
        bool counts = targets[i] != 999999;
        if (counts) loss += (1 - double(eps)) * -lp[i * v + targets[i]] + double(eps) * mean, counted++;
        for (int j = 0; j < v; j++) {
            int at = i * v + j;
            want_dx[at] = p[at] * (dy[at] - inner);
            want_d[at] = counts ? 0.5 * (p[at] - double(eps) / v - (1 - double(eps)) * (j == int(targets[i]))) : 0;
        }
    }
    RUN(softmax, n, 256, 0, seed, x.data(), y.data(), v);
    expect_close("softmax", y, p, 1e-6);
    RUN(softmax_backward, n, 256, 0, seed, y.data(), dy.data(), dx.data(), v, 0);
    expect_close("softmax_backward", dx, want_dx, 2e-6);
    RUN(log_softmax, n, 256, 0, seed, x.data(), logs.data(), v);
    expect_close("log_softmax", logs, lp, 2e-6);
    Floats stats = unwritten(2 * n), total = unwritten(1);
    RUN(cross_entropy, n, 256, 0, seed, x.data(), targets.data(), 999999, eps, v, stats.data(), losses.data(), marks.data());
    RUN(cross_entropy_totals, 1, 256, 0, seed, losses.data(), marks.data(), n, totals.data(), total.data());
    expect_close("loss", total, Doubles{loss}, 2e-6);
    int marked = 0, hits = 0;
    for (u32 mark : marks) marked += mark & 1, hits += mark >> 1;
    EXPECT(marked == counted && int(totals[2]) == hits && float(totals[0]) == total[0], "%d %g", marked, totals[2]);
    Floats d = x;
    RUN(cross_entropy_backward, n, 256, 0, seed, d.data(), targets.data(), 999999, stats.data(), eps / v, 0.5f, 0.5f * (1 - eps), v, d.data(), 0);
    expect_close("dlogits", d, want_d, 1e-6);

    int k = 4;
    std::vector<u32> columns(n * k);
    Floats scores = unwritten(n * k), named = unwritten(n);
    RUN(top_log_probs, n, 256, 0, seed, x.data(), v, k, never.data(), 1, 0, columns.data(), scores.data(), named.data());
    for (int i = 0; i < n; i++) {
        Floats row(logs.begin() + i * v, logs.begin() + (i + 1) * v);
        EXPECT(memcmp(&named[i], &row[0], 4) == 0, "%g", named[i]);
        if (v > 1) row[1] = -INFINITY;
        for (int r = 0; r < k && r < v - 1; r++) {
            int best = 0;
            for (int j = 0; j < v; j++) best = row[j] > row[best] ? j : best;
            EXPECT(int(columns[i * k + r]) == best && scores[i * k + r] == row[best], "row %d rank %d: %u not %d", i, r, columns[i * k + r], best);
            row[best] = -INFINITY;
        }
        for (int r = std::max(0, v > 1 ? v - 1 : 1); r < k; r++) EXPECT(columns[i * k + r] == ~0u, "rank %d: %u", r, columns[i * k + r]);
    }
}

static void norms(int n, int c, int seed) {
    Floats x = wave(n * c, 0.3), dy = wave(n * c, 0.9), gamma = wave(c, 0.5), beta = wave(c, 0.6);
    Floats y = unwritten(n * c), dx = y, stats = unwritten(2 * n), dgamma = unwritten(c);
    Doubles want_y(n * c), want_dx(n * c), want_gamma(c);
    for (int i = 0; i < n; i++) {
        double mean = 0, var = 0, level = 0, along = 0;
        for (int j = 0; j < c; j++) mean += x[i * c + j] / double(c);
        for (int j = 0; j < c; j++) var += std::pow(x[i * c + j] - mean, 2) / c;
        double r = 1 / std::sqrt(var + 1e-3);
        for (int j = 0; j < c; j++) {
            int at = i * c + j;
            double hat = (x[at] - mean) * r, g = double(dy[at]) * gamma[j];
            want_y[at] = hat * gamma[j] + beta[j], level += g / c, along += g * hat / c, want_gamma[j] += dy[at] * hat;
        }
        for (int j = 0; j < c; j++) {
            int at = i * c + j;
            want_dx[at] = r * (double(dy[at]) * gamma[j] - level - (x[at] - mean) * r * along);
        }
    }
    RUN(layer_norm, n, 256, 0, seed, x.data(), gamma.data(), beta.data(), 1e-3f, y.data(), stats.data(), c);
    expect_close("layer_norm", y, want_y, 1e-5);
    RUN(layer_norm_backward, n, 256, 0, seed, dy.data(), x.data(), gamma.data(), stats.data(), dx.data(), c);
    expect_close("layer_norm dx", dx, want_dx, 5e-5);
    RUN(layer_norm_gamma, ceil_div(c, 32), 512, 0, seed, dy.data(), x.data(), stats.data(), dgamma.data(), n, c, 0);
    expect_close("layer_norm dgamma", dgamma, want_gamma, 1e-4);
}

static void moves(int seed) {
    Floats w = wave(7 * 12, 0.1), dy = wave(5 * 12, 0.2), y = unwritten(5 * 12), dw(7 * 12, 0.5f);
    std::vector<u32> ids = {6, 0, 3, 6, 6}, order = {1, 2, 0, 3, 4}, starts = {0, 1, 2, 5}, rows = {0, 3, 6};
    for (int e : {12, 11}) {
        RUN(gather_rows, 2, 128, 0, seed, w.data(), ids.data(), y.data(), 5, e);
        Floats want(dw.size(), 0.5f);
        for (int i = 0; i < 5 * e; i++) {
            EXPECT(y[i] == w[ids[i / e] * e + i % e], "gather %d", i);
            want[ids[i / e] * e + i % e] += dy[i];
        }
        std::fill(dw.begin(), dw.end(), 0.5f);
        RUN(embedding_backward, dim3(3, 1), 128, 0, seed, dy.data(), order.data(), starts.data(), rows.data(), dw.data(), e);
        expect_same("embedding_backward", dw, want);
    }
    Floats swapped = unwritten(5 * 3 * 4), padded = unwritten(5 * 15);
    RUN(swap01, 1, 256, 0, seed, dy.data(), swapped.data(), 5, 3, 4, 0);
    for (int i = 0; i < 60; i++) EXPECT(swapped[i] == dy[(i / 4 % 5 * 3 + i / 20) * 4 + i % 4], "swap01 %d", i);
    RUN(pad_slice, 1, 256, 0, seed, dy.data(), 12, 2, padded.data(), 15, 75);
    RUN(copy_columns, 1, 256, 0, seed, dy.data(), 12, 3, padded.data(), 15, 1, 6, 30, 1);
    for (int i = 0; i < 75; i++) {
        int r = i / 15, c = i % 15;
        float want = c >= 2 && c < 14 ? dy[r * 12 + c - 2] : 0;
        if (c >= 1 && c < 7) want += dy[r * 12 + 3 + c - 1];
        EXPECT(padded[i] == want, "columns %d", i);
    }
}

static void optimizers(int n, int seed) {
    Floats p = wave(n, 0.1), g = wave(n, 0.2), m = wave(n, 0.3), v(n, 0.25f), factor = {0.5f}, b = m, q = p;
    std::vector<bf16> copy(n);
    Doubles want_p(n), want_q(n);
    for (int i = 0; i < n; i++) {
        double gi = 0.5 * g[i] + 0.01 * p[i], mi = m[i] + (gi - m[i]) * 0.1, vi = v[i] * 0.99 + 0.01 * gi * gi;
        want_p[i] = p[i] * 0.999 - 0.1 * mi / (std::sqrt(vi) / 0.2 + 1e-3);
        want_q[i] = p[i] - 0.3 * (0.9 * (0.9 * m[i] + gi) + gi);
    }
    RUN(adam, 2, 256, 0, seed, p.data(), g.data(), m.data(), v.data(), copy.data(), factor.data(), 0.01f, 0.999f, 0.1f, 0.99f, 0.01f, 0.1f, 0.2f, 1e-3f, n);
    expect_close("adam", p, want_p, 1e-6);
    for (int i = 0; i < n; i++) EXPECT(copy[i].bits == to_bf16(p[i]).bits, "bf16 copy %d", i);
    RUN(sgd_momentum, 2, 256, 0, seed, q.data(), g.data(), b.data(), factor.data(), 0.3f, 0.9f, 0.9f, 1.0f, 0.01f, n);
    expect_close("sgd", q, want_q, 1e-6);
    Floats x(n, 1.0f), y = unwritten(n);
    RUN(dropout, 2, 256, 0, seed, x.data(), y.data(), n, 7, 3, 1, (1u << 24) / 4, 4.0f / 3);
    int kept = 0;
    for (float y : y) {
        EXPECT(y == 0 || y == 4.0f / 3, "%g", y);
        kept += y != 0;
    }
    EXPECT(n < 1000 || std::abs(kept - 0.75 * n) < 4 * std::sqrt(0.1875 * n), "%d of %d", kept, n);
}

int main() {
    // The first vector of Random123's known answers for philox4x32-10.
    uint4 words = philox(0, 0, 0, 0);
    EXPECT(words.x == 0x6627e8d5 && words.y == 0xe169c58d && words.z == 0xbc57ac4c && words.w == 0x9b00dbd8, "philox");
    for (int seed = 0; seed < 3; seed++) {
        for (auto [n, c] : {std::pair{1, 1}, {31, 33}, {5, 1025}, {1025, 5}, {3, 20000}}) sums(n, c, seed);
        for (auto [n, v] : {std::pair{1, 1}, {2, 3}, {6, 31}, {6, 33}, {3, 1025}, {2, 5000}}) probabilities(n, v, seed);
        for (auto [n, c] : {std::pair{1, 1}, {31, 33}, {70, 31}, {3, 1025}}) norms(n, c, seed);
        for (int n : {1, 31, 33, 1025}) optimizers(n, seed);
        moves(seed);
    }
    printf("rows: %d checks\n", checks);
}
