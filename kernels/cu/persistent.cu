// LSTM and GRU over a whole sequence in one launch, with products in bfloat16 and everything else in f32.
// CPU twins: crates/seqweave-tensor/src/ops/recurrent/{lstm,gru}.rs in their bf16 mode; sums differ in their last bits.
//
// A block owns 8 units. Its slice of the recurrent weights stays in shared memory for all steps; a step multiplies the
// states of all units, which the other blocks wrote, by that slice, and ends in one grid barrier. The slice lies gate by
// gate for its 8 units, so a thread's sums are all gates of a unit, and the cell needs no exchange between threads.
// (Diamos et al. 2016, "Persistent RNNs", keep the weights in registers.)
//
// Launch of all: cooperative, grid (ceil(H/8), directions), block 256. Direction 0 walks backwards if `reverse`; direction 1,
// if launched, always does, and its operands are those named …1. `counters`, one a direction, start at 0. `lens` is null or
// holds the rows' lengths. States lie in T+1 slots [T+1,B,H], the first in walking order filled by the caller: step t reads
// slot t and writes slot t+1, in reverse it reads slot t+1 and writes slot t. Beyond a row's length its state is copied and
// its gates are left alone. With Hp = H rounded up to 32, `exchange` holds directions·2·B·gates·Hp bfloat16, 16-aligned,
// gates being 1 forward; what the caller left there does not matter. Dynamic shared memory: `slice bytes` at each kernel, with
// pitch(k) = k, or k + 32 if that is a multiple of 64. The sums of a row do not depend on the other rows.
#include "prelude.cuh"

constexpr int UNITS = 8;

DEVICE int padded(int h) { return ceil_div(h, 32) * 32; }
/// Rows of the slice are this far apart, so that 8 threads' 16 bytes meet no bank twice.
DEVICE int pitch(int k) { return k % 64 == 0 ? k + 32 : k; }

/// Adds x·sliceᵀ to the sums of 16 rows by N·8 columns: this warp's half of the steps of k.
///
/// A thread takes 8 neighbours along k of both operands and hands them to two instructions as if they were k = 2t, 2t+1,
/// 2t+8, 2t+9 of each: a permutation of k that both operands share.
template <int N> DEVICE void multiply_rows(const bf16* x, int row0, int rows, const bf16* slice, int k, float sum[N][4]) {
    int g = lane() / 4, t = lane() % 4, chunks = k / 32, half = ceil_div(chunks, 2), first = warp() % 2 * half;
    int end = first + half < chunks ? first + half : chunks;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    const bf16* low = x + size_t(row0 + g) * k + 8 * t;
    bool has_low = row0 + g < rows, has_high = row0 + g + 8 < rows;
#pragma unroll 4
    for (int chunk = first; chunk < end; chunk++) {
        uint4 p = has_low ? load_fresh(reinterpret_cast<const uint4*>(low + chunk * 32)) : zero;
        uint4 q = has_high ? load_fresh(reinterpret_cast<const uint4*>(low + size_t(8) * k + chunk * 32)) : zero;
        u32 a0[4] = {p.x, q.x, p.y, q.y}, a1[4] = {p.z, q.z, p.w, q.w};
#pragma unroll
        for (int j = 0; j < N; j++) {
            uint4 w = *reinterpret_cast<const uint4*>(slice + (j * UNITS + g) * pitch(k) + chunk * 32 + 8 * t);
            u32 b0[2] = {w.x, w.y}, b1[2] = {w.z, w.w};
            mma_bf16(sum[j], a0, b0);
            mma_bf16(sum[j], a1, b1);
        }
    }
}

/// Adds the halves of two neighbouring warps: the even one keeps row g of its tile, the odd one row g+8.
template <int N> DEVICE void join_halves(const float sum[N][4], float out[N][2]) {
    SHARED(float, buffer, N * 2 * 256);
    bool odd = warp() % 2;
    int mine = threadIdx.x, partner = threadIdx.x ^ 32;
#pragma unroll
    for (int j = 0; j < N; j++) {
#pragma unroll
        for (int e = 0; e < 2; e++) buffer[(2 * j + e) * 256 + partner] = odd ? sum[j][e] : sum[j][2 + e];
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < N; j++) {
#pragma unroll
        for (int e = 0; e < 2; e++) out[j][e] = (odd ? sum[j][2 + e] : sum[j][e]) + buffer[(2 * j + e) * 256 + mine];
    }
    __syncthreads();
}

/// The product of all rows with the slice, 64 rows at a time; `use(row, unit, given, sums)` gets the N sums of each element
/// once, two neighbouring units a call to a thread: sums[j][0] and sums[j][1].
///
/// `given` is what `load(row, unit)` has read for these two units, while the halves of the product are on their way.
template <int N, class L, class F> DEVICE void for_products(const bf16* x, int rows, const bf16* slice, int k, L load, F use) {
    for (int base = 0; base < rows; base += 64) {
        int row0 = base + warp() / 2 * 16;
        float sum[N][4] = {}, joined[N][2];
        if (row0 < rows) multiply_rows<N>(x, row0, rows, slice, k, sum);
        int row = row0 + lane() / 4 + warp() % 2 * 8, unit = int(blockIdx.x) * UNITS + lane() % 4 * 2;
        decltype(load(row, unit)) given = {};
        if (row < rows) given = load(row, unit);
        join_halves<N>(sum, joined);
        if (row < rows) use(row, unit, given, joined);
    }
}

/// The rows of w: [N·H,H] that belong to this block's units, in bfloat16, gate by gate; zeros beyond H.
template <int N> DEVICE void load_forward_slice(const float* w, bf16* slice, int h) {
    int k = padded(h);
    for (int i = threadIdx.x; i < N * UNITS * k; i += blockDim.x) {
        int r = i / k, c = i % k, unit = int(blockIdx.x) * UNITS + r % UNITS;
        bool inside = unit < h && c < h;
        slice[r * pitch(k) + c] = inside ? to_bf16(w[(size_t(r / UNITS) * h + unit) * h + c]) : bf16{0};
    }
}

/// The columns of w: [N·H,H] that belong to this block's units: slice[unit][gate·Hp + row], zeros beyond H.
template <int N> DEVICE void load_backward_slice(const float* w, bf16* slice, int h) {
    int hp = padded(h), k = N * hp;
    for (int i = threadIdx.x; i < UNITS * k; i += blockDim.x) {
        int u = i % UNITS, c = i / UNITS, unit = int(blockIdx.x) * UNITS + u;
        bool inside = unit < h && c % hp < h;
        slice[u * pitch(k) + c] = inside ? to_bf16(w[(size_t(c / hp) * h + c % hp) * h + unit]) : bf16{0};
    }
}

/// Writes the initial state to the first half of the exchange, and zeros to what is padded in both.
DEVICE void begin_exchange(const float* states, bf16* exchange, int b, int h) {
    int hp = padded(h), n = b * hp;
    for (int i = int(grid_thread()); i < n; i += int(grid_threads())) {
        int c = i % hp;
        exchange[i] = c < h ? to_bf16(states[size_t(i / hp) * h + c]) : bf16{0};
        if (c >= h) exchange[n + i] = bf16{0};
    }
}

/// Two neighbours in one store; `second` does not count if it lies beyond h.
DEVICE void put_pair(bf16* row, int unit, int h, float first, float second) {
    *reinterpret_cast<u32*>(row + unit) = pack_bf16(first, unit + 1 < h ? second : 0.0f);
}

DEVICE bool is_live(const u32* lens, int t, int row) { return !lens || u32(t) < lens[row]; }

/// What a step of an LSTM takes for two neighbouring units.
struct LstmGiven { float xp[4][2], c[2], h[2]; };

/// LSTM forward: xp: [T,B,4H], w: [4H,H] → gates: [T,B,4H] activated, hidden and cells in slots.
///
/// Slice bytes: 64·pitch(Hp). The steps' h comes from bfloat16, c stays f32.
KERNEL(lstm_persistent_forward, 256, 2)(const float* xp0, const float* xp1, const float* w0, const float* w1, float* gates0,
                                        float* gates1, float* hidden0, float* hidden1, float* cells0, float* cells1, bf16* exchange,
                                        u32* counters, const u32* lens, int t_extent, int b, int h, int reverse) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1, backwards = second || reverse;
    const float* xp = second ? xp1 : xp0;
    float *gates = second ? gates1 : gates0, *hidden = second ? hidden1 : hidden0, *cells = second ? cells1 : cells0;
    int hp = padded(h), slot = b * h;
    bf16* states = exchange + size_t(blockIdx.y) * 2 * b * hp;
    load_forward_slice<4>(second ? w1 : w0, slice, h);
    begin_exchange(hidden + size_t(backwards ? t_extent : 0) * slot, states, b, h);
    grid_barrier(counters + blockIdx.y, gridDim.x, 1);
    for (int i = 0; i < t_extent; i++) {
        int t = backwards ? t_extent - 1 - i : i;
        size_t before = size_t(backwards ? t + 1 : t) * slot, after = size_t(backwards ? t : t + 1) * slot;
        bf16* next = states + size_t((i + 1) % 2) * b * hp;
        auto load = [=](int row, int unit) {
            LstmGiven given = {};
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (unit + e >= h) continue;
                size_t at = size_t(row) * h + unit + e, gate = (size_t(t) * b + row) * 4 * h + unit + e;
                given.c[e] = cells[before + at], given.h[e] = hidden[before + at];
#pragma unroll
                for (int j = 0; j < 4; j++) given.xp[j][e] = xp[gate + j * h];
            }
            return given;
        };
        for_products<4>(states + size_t(i % 2) * b * hp, b, slice, hp, load, [=](int row, int unit, LstmGiven given, float p[4][2]) {
            bool live = is_live(lens, t, row);
            float in[2], forget[2], g[2], out[2], c[2], h_next[2];
            // Of both units at once, without a branch: their chains of operations go side by side.
#pragma unroll
            for (int e = 0; e < 2; e++) {
                in[e] = exact::sigmoid(given.xp[0][e] + p[0][e]);
                forget[e] = exact::sigmoid(given.xp[1][e] + p[1][e]);
                g[e] = exact::tanh(given.xp[2][e] + p[2][e]);
                out[e] = exact::sigmoid(given.xp[3][e] + p[3][e]);
                float c_next = forget[e] * given.c[e] + in[e] * g[e], activated = out[e] * exact::tanh(c_next);
                c[e] = live ? c_next : given.c[e];
                h_next[e] = live ? activated : given.h[e];
            }
            if (unit < h) put_pair(next + size_t(row) * hp, unit, h, h_next[0], h_next[1]);
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (unit + e >= h) continue;
                size_t at = size_t(row) * h + unit + e, gate = (size_t(t) * b + row) * 4 * h + unit + e;
                if (live) gates[gate] = in[e], gates[gate + h] = forget[e], gates[gate + 2 * h] = g[e], gates[gate + 3 * h] = out[e];
                cells[after + at] = c[e];
                hidden[after + at] = h_next[e];
            }
        });
        grid_barrier(counters + blockIdx.y, gridDim.x, i + 2);
    }
}

/// What a step of a GRU takes for two neighbouring units.
struct GruGiven { float xp[3][2], bias[3][2], h[2]; };

/// GRU forward: xp: [T,B,3H], w: [3H,H], bias (b_hh): [3H] → gates: [T,B,3H] activated, p_n: [T,B,H], hidden in slots.
///
/// Slice bytes: 48·pitch(Hp).
KERNEL(gru_persistent_forward, 256, 2)(const float* xp0, const float* xp1, const float* w0, const float* w1, const float* bias0,
                                       const float* bias1, float* gates0, float* gates1, float* p_n0, float* p_n1, float* hidden0,
                                       float* hidden1, bf16* exchange, u32* counters, const u32* lens, int t_extent, int b, int h,
                                       int reverse) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1, backwards = second || reverse;
    const float *xp = second ? xp1 : xp0, *bias = second ? bias1 : bias0;
    float *gates = second ? gates1 : gates0, *p_n = second ? p_n1 : p_n0, *hidden = second ? hidden1 : hidden0;
    int hp = padded(h), slot = b * h;
    bf16* states = exchange + size_t(blockIdx.y) * 2 * b * hp;
    load_forward_slice<3>(second ? w1 : w0, slice, h);
    begin_exchange(hidden + size_t(backwards ? t_extent : 0) * slot, states, b, h);
    grid_barrier(counters + blockIdx.y, gridDim.x, 1);
    for (int i = 0; i < t_extent; i++) {
        int t = backwards ? t_extent - 1 - i : i;
        size_t before = size_t(backwards ? t + 1 : t) * slot, after = size_t(backwards ? t : t + 1) * slot;
        bf16* next = states + size_t((i + 1) % 2) * b * hp;
        auto load = [=](int row, int unit) {
            GruGiven given = {};
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (unit + e >= h) continue;
                size_t gate = (size_t(t) * b + row) * 3 * h + unit + e;
                given.h[e] = hidden[before + size_t(row) * h + unit + e];
#pragma unroll
                for (int j = 0; j < 3; j++) given.xp[j][e] = xp[gate + j * h], given.bias[j][e] = bias[j * h + unit + e];
            }
            return given;
        };
        for_products<3>(states + size_t(i % 2) * b * hp, b, slice, hp, load, [=](int row, int unit, GruGiven given, float p[3][2]) {
            bool live = is_live(lens, t, row);
            float r[2], z[2], n[2], candidate[2], h_next[2];
            // Of both units at once, without a branch: their chains of operations go side by side.
#pragma unroll
            for (int e = 0; e < 2; e++) {
                r[e] = exact::sigmoid(given.xp[0][e] + (p[0][e] + given.bias[0][e]));
                z[e] = exact::sigmoid(given.xp[1][e] + (p[1][e] + given.bias[1][e]));
                candidate[e] = p[2][e] + given.bias[2][e];
                n[e] = exact::tanh(given.xp[2][e] + r[e] * candidate[e]);
                float mixed = (1.0f - z[e]) * n[e] + z[e] * given.h[e];
                h_next[e] = live ? mixed : given.h[e];
            }
            if (unit < h) put_pair(next + size_t(row) * hp, unit, h, h_next[0], h_next[1]);
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (unit + e >= h) continue;
                size_t step = size_t(t) * b + row, gate = step * 3 * h + unit + e;
                if (live) {
                    gates[gate] = r[e], gates[gate + h] = z[e], gates[gate + 2 * h] = n[e];
                    p_n[step * h + unit + e] = candidate[e];
                }
                hidden[after + size_t(row) * h + unit + e] = h_next[e];
            }
        });
        grid_barrier(counters + blockIdx.y, gridDim.x, i + 2);
    }
}

/// What stands before the first step back: the slice, and zeros to what is padded in the exchange.
template <int N> DEVICE void prepare_back(const float* w, bf16* exchange, bf16* slice, int b, int h) {
    int hp = padded(h);
    load_backward_slice<N>(w, slice, h);
    for (int i = int(grid_thread()); i < 2 * b * N * hp; i += int(grid_threads())) {
        if (i % hp >= h) exchange[i] = bf16{0};
    }
}

/// Numbers of two neighbouring units.
struct Pair { float x[2]; };

/// The walk back that both share: `cell(t, row, unit, given, d)` fills in the N gradients d that enter the product, and leaves
/// in dh what does not pass it; then dh += d·w. Rows of the exchange hold N·Hp numbers, gate by gate. `given` is what
/// `load(t, row, unit)` has read, for two elements before the first is written. One grid barrier has been.
template <int N, class L, class F> DEVICE void walk_back(float* dh, bf16* exchange, u32* counter, const bf16* slice, int t_extent, int b,
                                                         int h, bool backwards, L load, F cell) {
    int hp = padded(h), k = N * hp, elements = b * UNITS;
    for (int i = 0; i < t_extent; i++) {
        int t = backwards ? i : t_extent - 1 - i;
        bf16* now = exchange + size_t(i % 2) * b * k;
        // The last step's dh is complete for the whole block.
        __syncthreads();
        int unit = int(blockIdx.x) * UNITS + threadIdx.x % UNITS;
        for (int first = threadIdx.x; first < elements; first += 2 * blockDim.x) {
            int row[2] = {first / UNITS, (first + int(blockDim.x)) / UNITS};
            decltype(load(t, 0, 0)) given[2] = {};
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (row[e] < b && unit < h) given[e] = load(t, row[e], unit);
            }
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (row[e] >= b || unit >= h) continue;
                float d[N];
                cell(t, row[e], unit, given[e], d);
#pragma unroll
                for (int j = 0; j < N; j++) now[size_t(row[e]) * k + j * hp + unit] = to_bf16(d[j]);
            }
        }
        grid_barrier(counter, gridDim.x, i + 2);
        auto there = [=](int row, int unit) {
            Pair there = {};
#pragma unroll
            for (int e = 0; e < 2; e++) there.x[e] = unit + e < h ? dh[size_t(row) * h + unit + e] : 0.0f;
            return there;
        };
        for_products<1>(now, b, slice, k, there, [=](int row, int unit, Pair there, float p[1][2]) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (unit + e < h) dh[size_t(row) * h + unit + e] = there.x[e] + p[0][e];
            }
        });
    }
}

/// What the way back of an LSTM takes for one unit.
struct LstmBackGiven { float in, forget, g, out, dh, dy, before, after, dc; };
/// What the way back of a GRU takes for one unit.
struct GruBackGiven { float r, z, n, h, dh, dy, p_n; };

/// LSTM backward: dy: [T,B,H] or null, gates and cells of the forward pass → dxp: [T,B,4H], 0 where padded.
///
/// dh and dc: [B,H] come in with respect to the last state and go out with respect to the first. Slice bytes: 16·pitch(4·Hp).
KERNEL(lstm_persistent_backward, 256, 2)(const float* w0, const float* w1, const float* gates0, const float* gates1, const float* cells0,
                                         const float* cells1, const float* dy0, const float* dy1, float* dxp0, float* dxp1, float* dh0,
                                         float* dh1, float* dc0, float* dc1, bf16* exchange, u32* counters, const u32* lens,
                                         int t_extent, int b, int h, int reverse) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1, backwards = second || reverse;
    const float *gates = second ? gates1 : gates0, *cells = second ? cells1 : cells0, *dy = second ? dy1 : dy0;
    float *dxp = second ? dxp1 : dxp0, *dh = second ? dh1 : dh0, *dc = second ? dc1 : dc0;
    bf16* mine = exchange + size_t(blockIdx.y) * 2 * b * 4 * padded(h);
    prepare_back<4>(second ? w1 : w0, mine, slice, b, h);
    grid_barrier(counters + blockIdx.y, gridDim.x, 1);
    size_t slot = size_t(b) * h;
    auto load = [=](int t, int row, int unit) {
        size_t at = size_t(row) * h + unit, step = size_t(t) * b + row, gate = step * 4 * h + unit;
        size_t before = (backwards ? t + 1 : t) * slot, after = (backwards ? t : t + 1) * slot;
        return LstmBackGiven{gates[gate], gates[gate + h], gates[gate + 2 * h], gates[gate + 3 * h], dh[at],
                             dy ? dy[step * h + unit] : 0.0f, cells[before + at], cells[after + at], dc[at]};
    };
    walk_back<4>(dh, mine, counters + blockIdx.y, slice, t_extent, b, h, backwards, load,
                 [=](int t, int row, int unit, LstmBackGiven x, float d[4]) {
        size_t at = size_t(row) * h + unit, gate = (size_t(t) * b + row) * 4 * h + unit;
        d[0] = d[1] = d[2] = d[3] = 0.0f;
        if (is_live(lens, t, row)) {
            float dh_k = dy ? x.dh + x.dy : x.dh;
            float tanh_c = exact::tanh(x.after);
            float dc_k = x.dc + dh_k * x.out * (1.0f - tanh_c * tanh_c);
            d[0] = dc_k * x.g * (x.in * (1.0f - x.in));
            d[1] = dc_k * x.before * (x.forget * (1.0f - x.forget));
            d[2] = dc_k * x.in * (1.0f - x.g * x.g);
            d[3] = dh_k * tanh_c * (x.out * (1.0f - x.out));
            dc[at] = dc_k * x.forget;
            dh[at] = 0.0f;
        }
#pragma unroll
        for (int j = 0; j < 4; j++) dxp[gate + j * h] = d[j];
    });
}

/// GRU backward: dy: [T,B,H] or null, gates, p_n and hidden of the forward pass → dxp, dp: [T,B,3H], 0 where padded.
///
/// dh: [B,H] comes in with respect to the last state and goes out with respect to the first. Slice bytes: 16·pitch(3·Hp).
KERNEL(gru_persistent_backward, 256, 2)(const float* w0, const float* w1, const float* gates0, const float* gates1, const float* p_n0,
                                        const float* p_n1, const float* hidden0, const float* hidden1, const float* dy0,
                                        const float* dy1, float* dxp0, float* dxp1, float* dp0, float* dp1, float* dh0, float* dh1,
                                        bf16* exchange, u32* counters, const u32* lens, int t_extent, int b, int h, int reverse) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1, backwards = second || reverse;
    const float *gates = second ? gates1 : gates0, *p_n = second ? p_n1 : p_n0, *hidden = second ? hidden1 : hidden0;
    const float* dy = second ? dy1 : dy0;
    float *dxp = second ? dxp1 : dxp0, *dp = second ? dp1 : dp0, *dh = second ? dh1 : dh0;
    bf16* mine = exchange + size_t(blockIdx.y) * 2 * b * 3 * padded(h);
    prepare_back<3>(second ? w1 : w0, mine, slice, b, h);
    grid_barrier(counters + blockIdx.y, gridDim.x, 1);
    auto load = [=](int t, int row, int unit) {
        size_t at = size_t(row) * h + unit, step = size_t(t) * b + row, gate = step * 3 * h + unit;
        float h_prev = hidden[size_t(backwards ? t + 1 : t) * b * h + at];
        return GruBackGiven{gates[gate], gates[gate + h], gates[gate + 2 * h], h_prev, dh[at], dy ? dy[step * h + unit] : 0.0f,
                            p_n[step * h + unit]};
    };
    walk_back<3>(dh, mine, counters + blockIdx.y, slice, t_extent, b, h, backwards, load,
                 [=](int t, int row, int unit, GruBackGiven x, float d[3]) {
        size_t at = size_t(row) * h + unit, gate = (size_t(t) * b + row) * 3 * h + unit;
        float dn = 0.0f;
        d[0] = d[1] = d[2] = 0.0f;
        if (is_live(lens, t, row)) {
            float dh_k = dy ? x.dh + x.dy : x.dh;
            dn = dh_k * (1.0f - x.z) * (1.0f - x.n * x.n);
            d[0] = dn * x.p_n * (x.r * (1.0f - x.r));
            d[1] = dh_k * (x.h - x.n) * (x.z * (1.0f - x.z));
            d[2] = dn * x.r;
            dh[at] = dh_k * x.z;
        }
        dxp[gate] = d[0], dxp[gate + h] = d[1], dxp[gate + 2 * h] = dn;
        dp[gate] = d[0], dp[gate + h] = d[1], dp[gate + 2 * h] = d[2];
    });
}
