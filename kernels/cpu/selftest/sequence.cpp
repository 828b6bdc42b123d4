// Recurrent cells against the formulas, and attention against its definition and against finite differences, in f64.
#include "../../cu/attention.cu"
#include "../../cu/recurrent.cu"
#include "check.h"

typedef std::vector<double> Doubles;

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Σ weight·ctx of attention in f64, where `score(t, b, s)` is given.
template <class F> static double objective(int T, int B, int S, int D, const std::vector<u32>& lens, const Doubles& values, const Floats& weight,
                                           Doubles* ctx, Doubles* align, F score) {
    double total = 0;
    ctx->assign(T * B * D, 0), align->assign(T * B * S, 0);
    for (int t = 0; t < T; t++) {
        for (int b = 0; b < B; b++) {
            double z = 0;
            for (int s = 0; s < int(lens[b]); s++) z += std::exp(score(t, b, s));
            for (int s = 0; s < int(lens[b]); s++) {
                double p = std::exp(score(t, b, s)) / z;
                (*align)[(t * B + b) * S + s] = p;
                for (int d = 0; d < D; d++) {
                    (*ctx)[(t * B + b) * D + d] += p * values[(s * B + b) * D + d];
                    total += weight[(t * B + b) * D + d] * p * values[(s * B + b) * D + d];
                }
            }
        }
    }
    return total;
}

/// The gradient of `f` with respect to `x` by central differences.
template <class F> static Doubles differences(Doubles& x, F f) {
    Doubles slope(x.size());
    for (size_t i = 0; i < x.size(); i++) {
        double kept = x[i];
        x[i] = kept + 1e-5;
        double up = f();
        x[i] = kept - 1e-5;
        slope[i] = (up - f()) / 2e-5;
        x[i] = kept;
    }
    return slope;
}

static void attention(int T, int B, int S, int H, int D, bool additive, int seed) {
    Floats q = wave(T * B * H, 0.1), k = wave(S * B * H, 0.2), v = wave(H, 0.3), values = wave(S * B * D, 0.4), dctx = wave(T * B * D, 0.5);
    std::vector<u32> lens(B);
    for (int b = 0; b < B; b++) lens[b] = b % 2 ? (S + 1) / 2 : S;
    float scale = additive ? 1.0f : 0.3f;
    Floats ctx = unwritten(T * B * D), align = unwritten(T * B * S), ds = align;
    Floats dq = unwritten(q.size()), dk = unwritten(k.size()), dv = unwritten(H), dvalues = unwritten(values.size()), shares = unwritten(B * H);
    // Padding is not read.
    for (int s = 0; s < S; s++) {
        for (int b = 0; b < B; b++) {
            if (s < int(lens[b])) continue;
            std::fill_n(k.begin() + (s * B + b) * H, H, NAN), std::fill_n(values.begin() + (s * B + b) * D, D, NAN);
        }
    }
    if (additive) {
        RUN(additive_attention, dim3(B, T), 128, 4 * S, seed, q.data(), k.data(), v.data(), values.data(), lens.data(), ctx.data(), align.data(), B, S, H, D);
    } else {
        RUN(dot_attention, dim3(B, T), 128, 4 * S, seed, q.data(), k.data(), values.data(), lens.data(), scale, ctx.data(), align.data(), B, S, H, D);
    }
    RUN(attention_scores_backward, dim3(B, T), 128, 4 * S, seed, dctx.data(), values.data(), align.data(), lens.data(), scale, ds.data(), B, S, D);
    RUN(attention_sum_queries, dim3(B, S), 128, 0, seed, align.data(), dctx.data(), lens.data(), dvalues.data(), T, B, S, D);
    if (additive) {
        RUN(additive_scores_backward, dim3(ceil_div(H, 64), B), 64, 0, seed, ds.data(), q.data(), k.data(), v.data(), lens.data(), dq.data(), dk.data(), shares.data(), T, B, S, H);
        RUN(sum_shares, ceil_div(H, 128), 128, 0, seed, shares.data(), dv.data(), B, H);
    } else {
        RUN(attention_sum_memory, dim3(B, T), 128, 0, seed, ds.data(), k.data(), lens.data(), dq.data(), B, S, H);
        RUN(attention_sum_queries, dim3(B, S), 128, 0, seed, ds.data(), q.data(), lens.data(), dk.data(), T, B, S, H);
    }
    auto known = [](const Floats& x) {
        Doubles y(x.begin(), x.end());
        for (double& y : y) y = std::isnan(y) ? 0 : y;
        return y;
    };
    Doubles q64 = known(q), k64 = known(k), v64 = known(v), values64 = known(values), want_ctx, want_align;
    auto loss = [&] {
        return objective(T, B, S, D, lens, values64, dctx, &want_ctx, &want_align, [&](int t, int b, int s) {
            double sum = 0;
            for (int h = 0; h < H; h++) {
                double x = q64[(t * B + b) * H + h], y = k64[(s * B + b) * H + h];
                sum += additive ? v64[h] * std::tanh(x + y) : scale * x * y;
            }
            return sum;
        });
    };
    loss();
    expect_close("ctx", ctx, want_ctx, 2e-6);
    expect_close("align", align, want_align, 2e-6);
    if (size_t(T) * B * S * H > 2000) return;
    expect_close("dq", dq, differences(q64, loss), 5e-6);
    expect_close("dk", dk, differences(k64, loss), 5e-6);
    expect_close("dvalues", dvalues, differences(values64, loss), 5e-6);
    if (additive) expect_close("dv", dv, differences(v64, loss), 5e-6);
}

static void cells(int B, int H, int seed) {
    int n = B * H, t = 2, blocks = ceil_div(n, 256);
    Floats xp = wave(4 * n, 0.1), p = wave(4 * n, 0.2), h = wave(n, 0.3), c = wave(n, 0.4), dy = wave(n, 0.5), bias = wave(3 * H, 0.6);
    std::vector<u32> lens(B);
    for (int b = 0; b < B; b++) lens[b] = b % 3 == 1 ? 2 : 3;
    Floats gates = p, h1 = unwritten(n), c1 = h1, p_n = h1, dgates = unwritten(4 * n), dh = wave(n, 0.7), dc = wave(n, 0.8);
    RUN(lstm_cell, blocks, 256, 0, seed, xp.data(), gates.data(), h.data(), c.data(), h1.data(), c1.data(), lens.data(), t, B, H);
    RUN(lstm_cell_backward, blocks, 256, 0, seed, gates.data(), c.data(), c1.data(), dy.data(), dgates.data(), dh.data(), dc.data(), lens.data(), t, B, H);
    Floats g3 = p, h2 = unwritten(n), dxp = unwritten(3 * n), dp = dxp, dh3 = wave(n, 0.7), y = h;
    RUN(gru_cell, blocks, 256, 0, seed, xp.data(), bias.data(), g3.data(), p_n.data(), h.data(), h2.data(), lens.data(), t, B, H);
    RUN(gru_cell_backward, blocks, 256, 0, seed, g3.data(), p_n.data(), h.data(), dy.data(), dxp.data(), dp.data(), dh3.data(), lens.data(), t, B, H);
    RUN(recurrent_outputs, 1, 256, 0, seed, h.data(), lens.data(), y.data(), 1, B, H);
    for (int i = 0; i < n; i++) {
        int b = i / H, u = i % H;
        if (lens[b] == 2) {
            EXPECT(h1[i] == h[i] && c1[i] == c[i] && h2[i] == h[i] && dgates[b * 4 * H + u] == 0 && dp[b * 3 * H + 2 * H + u] == 0, "padding %d", i);
            continue;
        }
        // The derivative along the direction (dh, dc) of what the cell computes, in f64.
        double pre[4], d_h = wave(n, 0.7)[i] + dy[i], d_c = wave(n, 0.8)[i];
        for (int g = 0; g < 4; g++) pre[g] = double(xp[b * 4 * H + g * H + u]) + p[b * 4 * H + g * H + u];
        auto lstm = [&] {
            double next = sigmoid(pre[1]) * c[i] + sigmoid(pre[0]) * std::tanh(pre[2]);
            double out = sigmoid(pre[3]) * std::tanh(next);
            return d_h * out + d_c * next;
        };
        for (int g = 0; g < 4; g++) {
            double kept = pre[g];
            pre[g] = kept + 1e-5;
            double up = lstm();
            pre[g] = kept - 1e-5;
            double want = (up - lstm()) / 2e-5;
            pre[g] = kept;
            EXPECT(std::fabs(dgates[b * 4 * H + g * H + u] - want) < 2e-6, "lstm gate %d: %g not %g", g, dgates[b * 4 * H + g * H + u], want);
        }
        int at = b * 3 * H + u;
        double q[4] = {p[at] + double(bias[u]), p[at + H] + double(bias[H + u]), p[at + 2 * H] + double(bias[2 * H + u]), h[i]};
        auto gru = [&] {
            double r = sigmoid(xp[at] + q[0]), z = sigmoid(xp[at + H] + q[1]), m = std::tanh(xp[at + 2 * H] + r * q[2]);
            return d_h * ((1 - z) * m + z * q[3]);
        };
        for (int g = 0; g < 4; g++) {
            double kept = q[g], got = g < 3 ? dp[at + g * H] : dh3[i];
            q[g] = kept + 1e-5;
            double up = gru();
            q[g] = kept - 1e-5;
            double want = (up - gru()) / 2e-5;
            q[g] = kept;
            EXPECT(std::fabs(got - want) < 2e-6, "gru %d: %g not %g", g, got, want);
        }
    }
}

int main() {
    for (int seed = 0; seed < 3; seed++) {
        for (auto [B, H] : {std::pair{1, 1}, {5, 33}}) cells(B, H, seed);
        for (bool additive : {false, true}) {
            attention(1, 1, 1, 1, 1, additive, seed);
            attention(3, 2, 5, 7, 4, additive, seed);
            attention(2, 3, 33, 65, 130, additive, seed);
        }
    }
    printf("sequence: %d checks\n", checks);
}
