// The persistent kernels against a walk of single steps whose products are made here, with operands rounded to bfloat16.
#include "../../cu/persistent.cu"
#include "../../cu/recurrent.cu"
#include "check.h"

static float rounded(float x) { return to_float(to_bf16(x)); }

/// out (+)= x·op(w) in f64 with rounded operands; x: [B,K], w: [N,K], or [K,N] if not transposed.
static void product(const float* x, const Floats& w, float* out, int b, int n, int k, bool transposed, bool add) {
    for (int i = 0; i < b; i++) {
        for (int j = 0; j < n; j++) {
            double sum = add ? out[i * n + j] : 0;
            for (int l = 0; l < k; l++) sum += double(rounded(x[i * k + l])) * rounded(transposed ? w[j * k + l] : w[l * n + j]);
            out[i * n + j] = float(sum);
        }
    }
}

/// Operands and results of one direction; `G` gates.
struct Side {
    int T, B, H, G;
    bool backwards;
    Floats xp, w, bias, dy, gates, p_n, hidden, cells, dxp, dp, dh, dc;

    Side(int T, int B, int H, int G, bool backwards, double phase)
        : T(T), B(B), H(H), G(G), backwards(backwards), xp(wave(T * B * G * H, phase)), w(wave(G * H * H, phase + 1)), bias(wave(G * H, phase + 2)),
          dy(wave(T * B * H, phase + 3)), gates(T * B * G * H, 0.0f), p_n(T * B * H, 0.0f), hidden(unwritten((T + 1) * B * H)), cells(hidden),
          dxp(unwritten(T * B * G * H)), dp(dxp), dh(wave(B * H, phase + 4)), dc(wave(B * H, phase + 5)) {
        for (float& x : w) x *= 0.5f;
        Floats h0 = wave(B * H, phase + 6), c0 = wave(B * H, phase + 7);
        size_t first = size_t(backwards ? T : 0) * B * H;
        std::copy(h0.begin(), h0.end(), hidden.begin() + first);
        std::copy(c0.begin(), c0.end(), cells.begin() + first);
    }
    size_t before(int t) const { return size_t(backwards ? t + 1 : t) * B * H; }
    size_t after(int t) const { return size_t(backwards ? t : t + 1) * B * H; }

    void walk(const u32* lens, int seed) {
        int blocks = ceil_div(B * H, 256);
        for (int i = 0; i < T; i++) {
            int t = backwards ? T - 1 - i : i;
            size_t at = size_t(t) * B * G * H;
            // The product comes in through the gates; what it leaves at padded rows is taken away again.
            Floats kept(gates.begin() + at, gates.begin() + at + B * G * H);
            product(&hidden[before(t)], w, &gates[at], B, G * H, H, true, false);
            if (G == 4) {
                RUN(lstm_cell, blocks, 256, 0, seed, &xp[at], &gates[at], &hidden[before(t)], &cells[before(t)], &hidden[after(t)], &cells[after(t)], lens, t, B, H);
            } else {
                RUN(gru_cell, blocks, 256, 0, seed, &xp[at], bias.data(), &gates[at], &p_n[size_t(t) * B * H], &hidden[before(t)], &hidden[after(t)], lens, t, B, H);
            }
            for (int j = 0; j < B * G * H; j++) gates[at + j] = is_live(lens, t, j / (G * H)) ? gates[at + j] : kept[j];
        }
    }
    void walk_back(const u32* lens, int seed) {
        int blocks = ceil_div(B * H, 256);
        for (int i = T - 1; i >= 0; i--) {
            int t = backwards ? T - 1 - i : i;
            size_t at = size_t(t) * B * G * H, step = size_t(t) * B * H;
            if (G == 4) {
                RUN(lstm_cell_backward, blocks, 256, 0, seed, &gates[at], &cells[before(t)], &cells[after(t)], &dy[step], &dxp[at], dh.data(), dc.data(), lens, t, B, H);
            } else {
                RUN(gru_cell_backward, blocks, 256, 0, seed, &gates[at], &p_n[step], &hidden[before(t)], &dy[step], &dxp[at], &dp[at], dh.data(), lens, t, B, H);
            }
            product(G == 4 ? &dxp[at] : &dp[at], w, dh.data(), B, H, G * H, false, true);
        }
    }
};

/// Both directions in one launch, or one alone, in blocks of `wide`; forward ones are 2 wide at most.
static void check(int T, int B, int H, int G, int directions, bool reverse, int wide, int seed) {
    std::vector<u32> lens(B);
    for (int b = 0; b < B; b++) lens[b] = 1 + (b * 5 + T - 1) % T;
    const u32* masks = seed % 2 ? lens.data() : nullptr;
    Side a(T, B, H, G, reverse, 0.1), b(T, B, H, G, true, 0.2);
    Side want_a = a, want_b = b;
    int hp = padded(H);
    std::vector<bf16> exchange(directions * 2 * B * G * hp + 8, bf16{0xffff});
    bf16* aligned = exchange.data() + (16 - reinterpret_cast<u64>(exchange.data()) % 16) % 16 / 2;
    std::vector<u32> counters(4, 0);
    int narrow = wide < 2 ? wide : 2;
    auto grid_of = [&](int w) { return dim3(ceil_div(H, 8 * w), directions, B * w > 64 ? 2 : 1); };
    dim3 grid = grid_of(narrow), grid_back = grid_of(wide);
    size_t forward = size_t(G) * narrow * (8 * pitch(hp) * 2 + 4096), backward = size_t(wide) * (8 * pitch(G * hp) * 2 + 4096);
    if (G == 4) {
        RUN_TOGETHER(lstm_persistent_forward, grid, 256, forward, seed, a.xp.data(), b.xp.data(), a.w.data(), b.w.data(), a.gates.data(), b.gates.data(),
                     a.hidden.data(), b.hidden.data(), a.cells.data(), b.cells.data(), aligned, counters.data(), masks, T, B, H, int(reverse), narrow);
    } else {
        RUN_TOGETHER(gru_persistent_forward, grid, 256, forward, seed, a.xp.data(), b.xp.data(), a.w.data(), b.w.data(), a.bias.data(), b.bias.data(),
                     a.gates.data(), b.gates.data(), a.p_n.data(), b.p_n.data(), a.hidden.data(), b.hidden.data(), aligned, counters.data(), masks, T, B, H, int(reverse), narrow);
    }
    std::fill(exchange.begin(), exchange.end(), bf16{0xffff});
    std::fill(counters.begin(), counters.end(), 0);
    if (G == 4) {
        RUN_TOGETHER(lstm_persistent_backward, grid_back, 256, backward, seed, a.w.data(), b.w.data(), a.gates.data(), b.gates.data(), a.cells.data(), b.cells.data(),
                     a.dy.data(), b.dy.data(), a.dxp.data(), b.dxp.data(), a.dh.data(), b.dh.data(), a.dc.data(), b.dc.data(), aligned, counters.data(), masks, T, B, H, int(reverse), wide);
    } else {
        RUN_TOGETHER(gru_persistent_backward, grid_back, 256, backward, seed, a.w.data(), b.w.data(), a.gates.data(), b.gates.data(), a.p_n.data(), b.p_n.data(),
                     a.hidden.data(), b.hidden.data(), a.dy.data(), b.dy.data(), a.dxp.data(), b.dxp.data(), a.dp.data(), b.dp.data(), a.dh.data(), b.dh.data(),
                     aligned, counters.data(), masks, T, B, H, int(reverse), wide);
    }
    auto compare_side = [&](Side& got, Side& want) {
        want.walk(masks, seed);
        // Roundings to bfloat16 that fall the other way make the tolerance.
        expect_close("hidden", got.hidden, want.hidden, 2e-3);
        expect_close("gates", got.gates, want.gates, 2e-3);
        if (G == 4) expect_close("cells", got.cells, want.cells, 2e-3);
        if (G == 3) expect_close("p_n", got.p_n, want.p_n, 4e-3);
        want.gates = got.gates, want.cells = got.cells, want.hidden = got.hidden, want.p_n = got.p_n;
        want.walk_back(masks, seed);
        expect_close("dxp", got.dxp, want.dxp, 4e-3);
        expect_close("dh", got.dh, want.dh, 4e-3);
        if (G == 4) expect_close("dc", got.dc, want.dc, 4e-3);
        if (G == 3) expect_close("dp", got.dp, want.dp, 4e-3);
    };
    compare_side(a, want_a);
    if (directions == 2) compare_side(b, want_b);
}

int main() {
    for (int seed = 0; seed < 2; seed++) {
        for (int gates : {3, 4}) {
            for (int wide : {1, 2, 4}) {
                check(1, 1, 1, gates, 1, false, wide, seed);
                check(4, 5, 33, gates, 2, false, wide, seed);
                check(3, 70, 12, gates, 1, true, wide, seed);
                check(3, 2, 72, gates, 2, false, wide, seed);
            }
        }
    }
    printf("persistent: %d checks\n", checks);
}
