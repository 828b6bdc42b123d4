// LSTM and GRU over a whole sequence in one launch, with products in bfloat16 and everything else in f32.
// CPU twins: crates/seqweave-tensor/src/ops/recurrent/{lstm,gru}.rs in their bf16 mode; sums, and the functions of gates,
// differ in their last bits.
//
// A block owns 8·W units and walks over rows of the batch, 64/W at a time. Its slice of the recurrent weights stays in
// shared memory for all steps; a step multiplies the states of all units, which other blocks wrote, by that slice. Every
// thread makes all gates of two neighbouring units of a row, so the cell needs no exchange between threads. (Diamos et al.
// 2016, "Persistent RNNs", keep the weights in registers.)
//
// A step is a chain of latencies. So the blocks that share rows wait for each other once a step and for nobody else; what
// they do not wait for is written after they have said that they are done, and what the next step takes from elsewhere is on
// its way meanwhile. Wide blocks read fewer states: a step moves B/ROWS·H/UNITS times the states of ROWS rows.
//
// Launch of all: cooperative, grid (ceil(H/(8·W)), directions, groups of rows), block 256, `wide` = W; there are at most
// ceil(B·W/64) groups. Direction 0 walks backwards if `reverse`; direction 1, if launched, always does, and its operands are
// those named …1. `counters`, one for each direction and group, start at 0. `lens` is null or holds the rows' lengths. States
// lie in T+1 slots [T+1,B,H], the first in walking order filled by the caller: step t reads slot t and writes slot t+1, in
// reverse it reads slot t+1 and writes slot t. Beyond a row's length its state is copied and its gates are left alone. With
// Hp = H rounded up to 32, `exchange` holds directions·2·B·gates·Hp bfloat16, 16-aligned, gates being 1 forward; what the
// caller left there does not matter. Dynamic shared memory: `slice bytes` at each kernel, with pitch(k) = k, or k + 32 if
// that is a multiple of 64, and behind it `sum bytes`. The sums of a row depend on W and on the row, not on the other rows.
#include "prelude.cuh"

DEVICE int padded(int h) { return ceil_div(h, 32) * 32; }
/// Rows of the slice are this far apart, so that 8 threads' 16 bytes meet no bank twice.
DEVICE int pitch(int k) { return k % 64 == 0 ? k + 32 : k; }

/// A block's share: its units, the rows that it takes at a time, and the warps that share 16 rows, each with a part of k.
template <int W> struct Share {
    static constexpr int UNITS = 8 * W, ROWS = 64 / W, PARTS = 2 * W;
    /// Of the block.
    DEVICE static int first_unit() { return int(blockIdx.x) * UNITS; }
    /// The two neighbours that are this thread's: a row of a pass, and the first unit.
    DEVICE static int row() { return warp() / PARTS * 16 + warp() % 2 * 8 + lane() / 4; }
    DEVICE static int unit() { return first_unit() + warp() % PARTS / 2 * 8 + lane() % 4 * 2; }
};

// The product of states with the slice.

/// Adds x·sliceᵀ to the sums of 16 rows by N·8 columns, over the chunks of 32 along k from `first` to `end`.
///
/// A thread takes 8 neighbours along k of both operands and hands them to two instructions as if they were k = 2t, 2t+1,
/// 2t+8, 2t+9 of each: a permutation of k that both operands share.
template <int N> DEVICE void multiply_rows(const bf16* x, int row0, int rows, const bf16* slice, int k, int first, int end,
                                           float sum[N][4]) {
    // Chunks whose states are asked for together: one latency, not one each.
    constexpr int AHEAD = N > 4 ? 4 : 8;
    int g = lane() / 4, t = lane() % 4;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    const bf16* low = x + size_t(row0 + g) * k + 8 * t;
    const bf16* column = slice + g * pitch(k) + 8 * t;
    bool has_low = row0 + g < rows, has_high = row0 + g + 8 < rows;
    for (int chunk = first; chunk < end; chunk += AHEAD) {
        uint4 p[AHEAD], q[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            const bf16* at = low + (chunk + i) * 32;
            p[i] = has_low && chunk + i < end ? load_fresh(reinterpret_cast<const uint4*>(at)) : zero;
            q[i] = has_high && chunk + i < end ? load_fresh(reinterpret_cast<const uint4*>(at + size_t(8) * k)) : zero;
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            if (chunk + i >= end) break;
            u32 a0[4] = {p[i].x, q[i].x, p[i].y, q[i].y}, a1[4] = {p[i].z, q[i].z, p[i].w, q[i].w};
            uint4 w[N];
#pragma unroll
            for (int j = 0; j < N; j++) w[j] = *reinterpret_cast<const uint4*>(column + j * 8 * pitch(k) + (chunk + i) * 32);
            // All sums once, then all again: an instruction waits for the one before it on the same sum.
#pragma unroll
            for (int j = 0; j < N; j++) {
                u32 b0[2] = {w[j].x, w[j].y};
                mma_bf16(sum[j], a0, b0);
            }
#pragma unroll
            for (int j = 0; j < N; j++) {
                u32 b1[2] = {w[j].z, w[j].w};
                mma_bf16(sum[j], a1, b1);
            }
        }
    }
}

/// The product of the rows from `base` on with a slice of GATES·UNITS rows of k: this thread's two neighbours, gate by gate.
///
/// The parts of k are added in order. `sums` is free again after the next barrier of the block. Sum bytes: 4096·GATES·W.
template <int W, int GATES> DEVICE void product(const bf16* x, int base, int rows, const bf16* slice, float* sums, int k,
                                                float out[GATES][2]) {
    constexpr int N = GATES * W, PARTS = Share<W>::PARTS;
    int row0 = base + warp() / PARTS * 16, part = warp() % PARTS;
    int chunks = k / 32, each = ceil_div(chunks, PARTS), first = part * each;
    float sum[N][4] = {};
    if (row0 < rows) multiply_rows<N>(x, row0, rows, slice, k, first, first + each < chunks ? first + each : chunks, sum);
    float2* mine = reinterpret_cast<float2*>(sums) + warp() * 2 * N * 32 + lane();
#pragma unroll
    for (int j = 0; j < N; j++) {
        mine[2 * j * 32] = make_float2(sum[j][0], sum[j][1]);
        mine[(2 * j + 1) * 32] = make_float2(sum[j][2], sum[j][3]);
    }
    __syncthreads();
    const float2* theirs = mine - part * 2 * N * 32;
#pragma unroll
    for (int gate = 0; gate < GATES; gate++) {
        int at = (2 * (gate * W + part / 2) + part % 2) * 32;
        float2 total = theirs[at];
#pragma unroll
        for (int q = 1; q < PARTS; q++) {
            float2 x = theirs[q * 2 * N * 32 + at];
            total.x += x.x, total.y += x.y;
        }
        out[gate][0] = total.x, out[gate][1] = total.y;
    }
}

/// The rows of w: [GATES·H,H] that belong to this block's units, in bfloat16, gate by gate; zeros beyond H.
template <int W, int GATES> DEVICE void load_forward_slice(const float* w, bf16* slice, int h) {
    constexpr int UNITS = Share<W>::UNITS;
    int k = padded(h), first = Share<W>::first_unit();
    if (h % 4 == 0 && aligned16(w)) {
        int quads = k / 4;
#pragma unroll 8
        for (int i = threadIdx.x; i < GATES * UNITS * quads; i += 256) {
            int r = i / quads, c = i % quads * 4, unit = first + r % UNITS;
            float4 x = make_float4(0, 0, 0, 0);
            if (unit < h && c < h) x = *reinterpret_cast<const float4*>(w + (size_t(r / UNITS) * h + unit) * h + c);
            *reinterpret_cast<uint2*>(slice + r * pitch(k) + c) = make_uint2(pack_bf16(x.x, x.y), pack_bf16(x.z, x.w));
        }
        return;
    }
    for (int i = threadIdx.x; i < GATES * UNITS * k; i += 256) {
        int r = i / k, c = i % k, unit = first + r % UNITS;
        slice[r * pitch(k) + c] = unit < h && c < h ? to_bf16(w[(size_t(r / UNITS) * h + unit) * h + c]) : bf16{0};
    }
}

/// The columns of w: [GATES·H,H] that belong to this block's units: slice[unit][gate·Hp + row], zeros beyond H.
template <int W, int GATES> DEVICE void load_backward_slice(const float* w, bf16* slice, int h) {
    constexpr int UNITS = Share<W>::UNITS;
    int hp = padded(h), k = GATES * hp, first = Share<W>::first_unit();
    if (h % 4 == 0 && aligned16(w)) {
        // Two rows of w and four of its columns at a time: neighbouring threads write neighbouring words.
        int pairs = k / 2;
#pragma unroll 4
        for (int i = threadIdx.x; i < UNITS / 4 * pairs; i += 256) {
            int u = i / pairs * 4, c = i % pairs * 2, row = c % hp;
            float4 x = make_float4(0, 0, 0, 0), y = x;
            if (first + u < h && row < h) {
                const float* from = w + (size_t(c / hp) * h + row) * h + first + u;
                x = *reinterpret_cast<const float4*>(from), y = *reinterpret_cast<const float4*>(from + h);
            }
            bf16* to = slice + u * pitch(k) + c;
            *reinterpret_cast<u32*>(to) = pack_bf16(x.x, y.x);
            *reinterpret_cast<u32*>(to + pitch(k)) = pack_bf16(x.y, y.y);
            *reinterpret_cast<u32*>(to + 2 * pitch(k)) = pack_bf16(x.z, y.z);
            *reinterpret_cast<u32*>(to + 3 * pitch(k)) = pack_bf16(x.w, y.w);
        }
        return;
    }
    for (int i = threadIdx.x; i < UNITS * k; i += 256) {
        int u = i % UNITS, c = i / UNITS, unit = first + u;
        bool inside = unit < h && c % hp < h;
        slice[u * pitch(k) + c] = inside ? to_bf16(w[(size_t(c / hp) * h + c % hp) * h + unit]) : bf16{0};
    }
}

// Two neighbouring units of a row, of which the second may lie beyond H.

struct Pair { float x[2]; };

/// Numbers of units, [...,H], as pairs. They are read and written two at a time where every pair lies on 8 bytes.
struct Units {
    int h;
    bool even;
    DEVICE Pair load(const float* row, int unit) const {
        if (even) {
            float2 both = *reinterpret_cast<const float2*>(row + unit);
            return Pair{both.x, both.y};
        }
        return Pair{row[unit], unit + 1 < h ? row[unit + 1] : 0.0f};
    }
    DEVICE void store(float* row, int unit, const float x[2]) const {
        if (even) {
            *reinterpret_cast<float2*>(row + unit) = make_float2(x[0], x[1]);
            return;
        }
        row[unit] = x[0];
        if (unit + 1 < h) row[unit + 1] = x[1];
    }
    /// To a row of the exchange, where numbers beyond H are 0.
    DEVICE void exchange(bf16* row, int unit, const float x[2]) const {
        *reinterpret_cast<u32*>(row + unit) = pack_bf16(x[0], unit + 1 < h ? x[1] : 0.0f);
    }
};

/// Whether pairs of all of these lie on 8 bytes; null does.
template <class... P> DEVICE bool lie_even(int h, P... p) {
    u64 bits = h;
    u64 all[] = {reinterpret_cast<u64>(p)...};
    for (u64 a : all) bits |= a / 4;
    return bits % 2 == 0;
}

DEVICE bool is_live(const u32* lens, int t, int row) { return !lens || u32(t) < lens[row]; }

// The walks that all share. `groups` and `first` divide the passes over the rows.

struct Walk {
    int t, b, h, groups, first;
    bool backwards;
    u32* counter;
    DEVICE Walk(int t, int b, int h, bool backwards, u32* counters)
        : t(t), b(b), h(h), groups(gridDim.z), first(blockIdx.z), backwards(backwards),
          counter(counters + blockIdx.y * gridDim.z + blockIdx.z) {}
    template <int W> DEVICE int passes() const { return ceil_div(b, Share<W>::ROWS); }
    /// Slots of the state before and after step t.
    DEVICE size_t before(int t) const { return size_t(backwards ? t + 1 : t) * b * h; }
    DEVICE size_t after(int t) const { return size_t(backwards ? t : t + 1) * b * h; }
};

/// Writes the initial state to the first half of the exchange, and zeros to what is padded in both.
template <int W> DEVICE void begin_exchange(const Walk& walk, const float* states, bf16* exchange) {
    constexpr int ROWS = Share<W>::ROWS;
    int hp = padded(walk.h);
    for (int pass = walk.first; pass < walk.passes<W>(); pass += walk.groups) {
        int base = pass * ROWS, rows = walk.b - base < ROWS ? walk.b - base : ROWS;
        for (int i = int(grid_thread()); i < rows * hp; i += int(grid_threads())) {
            int row = base + i / hp, c = i % hp;
            bf16* to = exchange + size_t(row) * hp + c;
            *to = c < walk.h ? to_bf16(states[size_t(row) * walk.h + c]) : bf16{0};
            if (c >= walk.h) to[size_t(walk.b) * hp] = bf16{0};
        }
    }
}

/// Forward. A cell has `load(t, row, unit)`, which reads what a step takes beside the state, `state(t, row, unit)`, the state
/// before step t, `step(given, state, p)`, which brings the state on and returns what is kept for the way back, and
/// `save(t, row, unit, given, state, made)`.
template <int W, int GATES, class Cell> DEVICE void walk_forward(const Walk& walk, const Cell& cell, const float* w, bf16* exchange,
                                                                 bf16* slice) {
    int hp = padded(walk.h), passes = walk.passes<W>(), unit = Share<W>::unit();
    float* sums = reinterpret_cast<float*>(slice + GATES * Share<W>::UNITS * pitch(hp));
    bool alone = walk.first + walk.groups >= passes;
    load_forward_slice<W, GATES>(w, slice, walk.h);
    begin_exchange<W>(walk, cell.hidden + walk.before(walk.backwards ? walk.t - 1 : 0), exchange);
    auto inside = [&](int row) { return row < walk.b && unit < walk.h; };
    typename Cell::Given given = {};
    typename Cell::State state = {};
    auto fetch = [&](int t, int pass, bool with_state) {
        int row = pass * Share<W>::ROWS + Share<W>::row();
        if (!inside(row)) return;
        given = cell.load(t, row, unit);
        if (with_state) state = cell.state(t, row, unit);
    };
    fetch(walk.backwards ? walk.t - 1 : 0, walk.first, true);
    grid_arrive(walk.counter);
    for (int i = 0; i < walk.t; i++) {
        int t = walk.backwards ? walk.t - 1 - i : i, t_next = walk.backwards ? t - 1 : t + 1;
        const bf16* now = exchange + size_t(i % 2) * walk.b * hp;
        bf16* next = exchange + size_t((i + 1) % 2) * walk.b * hp;
        grid_wait(walk.counter, gridDim.x * (i + 1));
        for (int pass = walk.first; pass < passes; pass += walk.groups) {
            int base = pass * Share<W>::ROWS, row = base + Share<W>::row();
            bool last = pass + walk.groups >= passes;
            float p[GATES][2];
            product<W, GATES>(now, base, walk.b, slice, sums, hp, p);
            auto made = cell.step(given, state, p);
            if (inside(row)) cell.units.exchange(next + size_t(row) * hp, unit, state.h);
            if (last) {
                grid_arrive(walk.counter);
            } else {
                __syncthreads();
            }
            if (inside(row)) cell.save(t, row, unit, given, state, made);
            if (!last) {
                fetch(t, pass + walk.groups, true);
            } else if (i + 1 < walk.t) {
                fetch(t_next, walk.first, !alone);
            }
        }
    }
}

/// Back. A cell has `load(t, row, unit)`, `state(row, unit)` with the gradients with respect to the state, `step(given,
/// state)`, which returns the GATES gradients that enter the product and leaves in state.dh what does not pass it,
/// `save(t, row, unit, given, d)` and `keep(row, unit, state)`. Then dh += d·w. Rows of the exchange hold GATES·Hp numbers.
template <int W, int GATES, class Cell> DEVICE void walk_back(const Walk& walk, const Cell& cell, const float* w, bf16* exchange,
                                                              bf16* slice) {
    int hp = padded(walk.h), k = GATES * hp, passes = walk.passes<W>(), unit = Share<W>::unit();
    float* sums = reinterpret_cast<float*>(slice + Share<W>::UNITS * pitch(k));
    bool alone = walk.first + walk.groups >= passes;
    load_backward_slice<W, GATES>(w, slice, walk.h);
    for (int i = int(grid_thread()); hp > walk.h && i < 2 * walk.b * k; i += int(grid_threads())) {
        if (i % hp >= walk.h) exchange[i] = bf16{0};
    }
    auto row_of = [&](int pass) { return pass * Share<W>::ROWS + Share<W>::row(); };
    auto inside = [&](int row) { return row < walk.b && unit < walk.h; };
    typename Cell::Given given = {};
    typename Cell::State state = {};
    auto fetch = [&](int t, int pass) {
        if (inside(row_of(pass))) given = cell.load(t, row_of(pass), unit);
    };
    fetch(walk.backwards ? 0 : walk.t - 1, walk.first);
    if (inside(row_of(walk.first))) state = cell.state(row_of(walk.first), unit);
    for (int i = 0; i < walk.t; i++) {
        int t = walk.backwards ? i : walk.t - 1 - i, t_next = walk.backwards ? t + 1 : t - 1;
        bf16* now = exchange + size_t(i % 2) * walk.b * k;
        for (int pass = walk.first; pass < passes; pass += walk.groups) {
            int row = row_of(pass);
            bool last = pass + walk.groups >= passes;
            if (!alone && inside(row)) state = cell.state(row, unit);
            auto d = cell.step(given, state);
            if (inside(row)) {
#pragma unroll
                for (int j = 0; j < GATES; j++) cell.units.exchange(now + size_t(row) * k + j * hp, unit, d.x[j]);
            }
            if (last) grid_arrive(walk.counter);
            if (inside(row)) {
                cell.save(t, row, unit, given, d);
                if (!alone) cell.keep(row, unit, state);
            }
            if (!last) {
                fetch(t, pass + walk.groups);
            } else if (i + 1 < walk.t) {
                fetch(t_next, walk.first);
            }
        }
        grid_wait(walk.counter, gridDim.x * (i + 1));
        for (int pass = walk.first; pass < passes; pass += walk.groups) {
            int row = row_of(pass);
            float p[1][2];
            product<W, 1>(now, pass * Share<W>::ROWS, walk.b, slice, sums, k, p);
            if (inside(row)) {
                if (!alone) state = cell.state(row, unit);
                state.dh[0] += p[0][0], state.dh[1] += p[0][1];
                if (!alone || i + 1 == walk.t) cell.keep(row, unit, state);
            }
            // The sums are used again.
            if (!alone) __syncthreads();
        }
    }
}

// LSTM.

struct LstmForward {
    Walk walk;
    Units units;
    const float* xp;
    float *gates, *hidden, *cells;
    const u32* lens;

    struct Given { Pair xp[4]; bool live; };
    struct State { float h[2], c[2]; };
    struct Made { float gates[4][2]; };

    DEVICE size_t gate_row(int t, int row) const { return (size_t(t) * walk.b + row) * 4 * walk.h; }
    DEVICE Given load(int t, int row, int unit) const {
        Given given;
#pragma unroll
        for (int j = 0; j < 4; j++) given.xp[j] = units.load(xp + gate_row(t, row) + j * walk.h, unit);
        given.live = is_live(lens, t, row);
        return given;
    }
    DEVICE State state(int t, int row, int unit) const {
        size_t at = walk.before(t) + size_t(row) * walk.h;
        Pair h = units.load(hidden + at, unit), c = units.load(cells + at, unit);
        return State{{h.x[0], h.x[1]}, {c.x[0], c.x[1]}};
    }
    DEVICE static Made step(const Given& given, State& state, const float p[4][2]) {
        Made made;
        // Of both units at once, without a branch: their chains of operations go side by side.
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float in = fast::sigmoid(given.xp[0].x[e] + p[0][e]), forget = fast::sigmoid(given.xp[1].x[e] + p[1][e]);
            float g = fast::tanh(given.xp[2].x[e] + p[2][e]), out = fast::sigmoid(given.xp[3].x[e] + p[3][e]);
            float c = forget * state.c[e] + in * g, h = out * fast::tanh(c);
            made.gates[0][e] = in, made.gates[1][e] = forget, made.gates[2][e] = g, made.gates[3][e] = out;
            state.c[e] = given.live ? c : state.c[e];
            state.h[e] = given.live ? h : state.h[e];
        }
        return made;
    }
    DEVICE void save(int t, int row, int unit, const Given& given, const State& state, const Made& made) const {
        if (given.live) {
#pragma unroll
            for (int j = 0; j < 4; j++) units.store(gates + gate_row(t, row) + j * walk.h, unit, made.gates[j]);
        }
        size_t at = walk.after(t) + size_t(row) * walk.h;
        units.store(cells + at, unit, state.c);
        units.store(hidden + at, unit, state.h);
    }
};

/// LSTM forward: xp: [T,B,4H], w: [4H,H] → gates: [T,B,4H] activated, hidden and cells in slots.
///
/// W is 1 or 2. Slice bytes: 64·W·pitch(Hp); sum bytes: 16384·W. The steps' h comes from bfloat16, c stays f32.
KERNEL(lstm_persistent_forward, 256, 1)(const float* xp0, const float* xp1, const float* w0, const float* w1, float* gates0,
                                        float* gates1, float* hidden0, float* hidden1, float* cells0, float* cells1, bf16* exchange,
                                        u32* counters, const u32* lens, int t_extent, int b, int h, int reverse, int wide) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1;
    const float *xp = second ? xp1 : xp0, *w = second ? w1 : w0;
    float *gates = second ? gates1 : gates0, *hidden = second ? hidden1 : hidden0, *cells = second ? cells1 : cells0;
    Walk walk(t_extent, b, h, second || reverse, counters);
    LstmForward cell{walk, Units{h, lie_even(h, xp, gates, hidden, cells)}, xp, gates, hidden, cells, lens};
    bf16* states = exchange + size_t(blockIdx.y) * 2 * b * padded(h);
    if (wide == 2) {
        walk_forward<2, 4>(walk, cell, w, states, slice);
    } else {
        walk_forward<1, 4>(walk, cell, w, states, slice);
    }
}

struct LstmBack {
    Walk walk;
    Units units;
    const float *gates, *cells, *dy;
    float *dxp, *dh, *dc;
    const u32* lens;

    struct Given { Pair in, forget, g, out, dy, before, after; bool live; };
    struct State { float dh[2], dc[2]; };
    struct Made { float x[4][2]; };

    DEVICE size_t gate_row(int t, int row) const { return (size_t(t) * walk.b + row) * 4 * walk.h; }
    DEVICE Given load(int t, int row, int unit) const {
        int h = walk.h;
        const float* of_gates = gates + gate_row(t, row);
        size_t at = size_t(row) * h;
        Given given;
        given.in = units.load(of_gates, unit), given.forget = units.load(of_gates + h, unit);
        given.g = units.load(of_gates + 2 * h, unit), given.out = units.load(of_gates + 3 * h, unit);
        given.before = units.load(cells + walk.before(t) + at, unit), given.after = units.load(cells + walk.after(t) + at, unit);
        given.dy = dy ? units.load(dy + (size_t(t) * walk.b + row) * h, unit) : Pair{};
        given.live = is_live(lens, t, row);
        return given;
    }
    DEVICE State state(int row, int unit) const {
        Pair h = units.load(dh + size_t(row) * walk.h, unit), c = units.load(dc + size_t(row) * walk.h, unit);
        return State{{h.x[0], h.x[1]}, {c.x[0], c.x[1]}};
    }
    DEVICE void keep(int row, int unit, const State& state) const {
        units.store(dh + size_t(row) * walk.h, unit, state.dh);
        units.store(dc + size_t(row) * walk.h, unit, state.dc);
    }
    DEVICE static Made step(const Given& x, State& state) {
        Made d = {};
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float dh = state.dh[e] + x.dy.x[e], tanh_c = fast::tanh(x.after.x[e]);
            float in = x.in.x[e], forget = x.forget.x[e], g = x.g.x[e], out = x.out.x[e];
            float dc = state.dc[e] + dh * out * (1.0f - tanh_c * tanh_c);
            // Gates of a row that has ended hold nothing, so nothing may be multiplied by them.
            d.x[0][e] = x.live ? dc * g * (in * (1.0f - in)) : 0.0f;
            d.x[1][e] = x.live ? dc * x.before.x[e] * (forget * (1.0f - forget)) : 0.0f;
            d.x[2][e] = x.live ? dc * in * (1.0f - g * g) : 0.0f;
            d.x[3][e] = x.live ? dh * tanh_c * (out * (1.0f - out)) : 0.0f;
            state.dc[e] = x.live ? dc * forget : state.dc[e];
            state.dh[e] = x.live ? 0.0f : state.dh[e];
        }
        return d;
    }
    DEVICE void save(int t, int row, int unit, const Given&, const Made& d) const {
#pragma unroll
        for (int j = 0; j < 4; j++) units.store(dxp + gate_row(t, row) + j * walk.h, unit, d.x[j]);
    }
};

/// LSTM backward: dy: [T,B,H] or null, gates and cells of the forward pass → dxp: [T,B,4H], 0 where padded.
///
/// dh and dc: [B,H] come in with respect to the last state and go out with respect to the first. W is 1, 2 or 4. Slice bytes:
/// 16·W·pitch(4·Hp); sum bytes: 4096·W.
KERNEL(lstm_persistent_backward, 256, 1)(const float* w0, const float* w1, const float* gates0, const float* gates1, const float* cells0,
                                         const float* cells1, const float* dy0, const float* dy1, float* dxp0, float* dxp1, float* dh0,
                                         float* dh1, float* dc0, float* dc1, bf16* exchange, u32* counters, const u32* lens,
                                         int t_extent, int b, int h, int reverse, int wide) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1;
    const float *gates = second ? gates1 : gates0, *cells = second ? cells1 : cells0, *dy = second ? dy1 : dy0;
    const float* w = second ? w1 : w0;
    float *dxp = second ? dxp1 : dxp0, *dh = second ? dh1 : dh0, *dc = second ? dc1 : dc0;
    Walk walk(t_extent, b, h, second || reverse, counters);
    LstmBack cell{walk, Units{h, lie_even(h, gates, cells, dy, dxp, dh, dc)}, gates, cells, dy, dxp, dh, dc, lens};
    bf16* mine = exchange + size_t(blockIdx.y) * 2 * b * 4 * padded(h);
    if (wide == 4) {
        walk_back<4, 4>(walk, cell, w, mine, slice);
    } else if (wide == 2) {
        walk_back<2, 4>(walk, cell, w, mine, slice);
    } else {
        walk_back<1, 4>(walk, cell, w, mine, slice);
    }
}

// GRU.

struct GruForward {
    Walk walk;
    Units units;
    const float *xp, *bias;
    float *gates, *p_n, *hidden;
    const u32* lens;

    struct Given { Pair xp[3], bias[3]; bool live; };
    struct State { float h[2]; };
    /// r, z, n and the candidate's product.
    struct Made { float gates[3][2], p_n[2]; };

    DEVICE Given load(int t, int row, int unit) const {
        Given given;
#pragma unroll
        for (int j = 0; j < 3; j++) {
            given.xp[j] = units.load(xp + ((size_t(t) * walk.b + row) * 3 + j) * walk.h, unit);
            given.bias[j] = units.load(bias + j * walk.h, unit);
        }
        given.live = is_live(lens, t, row);
        return given;
    }
    DEVICE State state(int t, int row, int unit) const {
        Pair h = units.load(hidden + walk.before(t) + size_t(row) * walk.h, unit);
        return State{{h.x[0], h.x[1]}};
    }
    DEVICE static Made step(const Given& given, State& state, const float p[3][2]) {
        Made made;
        // Of both units at once, without a branch: their chains of operations go side by side.
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float r = fast::sigmoid(given.xp[0].x[e] + (p[0][e] + given.bias[0].x[e]));
            float z = fast::sigmoid(given.xp[1].x[e] + (p[1][e] + given.bias[1].x[e]));
            float candidate = p[2][e] + given.bias[2].x[e], n = fast::tanh(given.xp[2].x[e] + r * candidate);
            float mixed = (1.0f - z) * n + z * state.h[e];
            made.gates[0][e] = r, made.gates[1][e] = z, made.gates[2][e] = n, made.p_n[e] = candidate;
            state.h[e] = given.live ? mixed : state.h[e];
        }
        return made;
    }
    DEVICE void save(int t, int row, int unit, const Given& given, const State& state, const Made& made) const {
        size_t step = size_t(t) * walk.b + row;
        if (given.live) {
#pragma unroll
            for (int j = 0; j < 3; j++) units.store(gates + (step * 3 + j) * walk.h, unit, made.gates[j]);
            units.store(p_n + step * walk.h, unit, made.p_n);
        }
        units.store(hidden + walk.after(t) + size_t(row) * walk.h, unit, state.h);
    }
};

/// GRU forward: xp: [T,B,3H], w: [3H,H], bias (b_hh): [3H] → gates: [T,B,3H] activated, p_n: [T,B,H], hidden in slots.
///
/// W is 1 or 2. Slice bytes: 48·W·pitch(Hp); sum bytes: 12288·W.
KERNEL(gru_persistent_forward, 256, 1)(const float* xp0, const float* xp1, const float* w0, const float* w1, const float* bias0,
                                       const float* bias1, float* gates0, float* gates1, float* p_n0, float* p_n1, float* hidden0,
                                       float* hidden1, bf16* exchange, u32* counters, const u32* lens, int t_extent, int b, int h,
                                       int reverse, int wide) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1;
    const float *xp = second ? xp1 : xp0, *w = second ? w1 : w0, *bias = second ? bias1 : bias0;
    float *gates = second ? gates1 : gates0, *p_n = second ? p_n1 : p_n0, *hidden = second ? hidden1 : hidden0;
    Walk walk(t_extent, b, h, second || reverse, counters);
    GruForward cell{walk, Units{h, lie_even(h, xp, bias, gates, p_n, hidden)}, xp, bias, gates, p_n, hidden, lens};
    bf16* states = exchange + size_t(blockIdx.y) * 2 * b * padded(h);
    if (wide == 2) {
        walk_forward<2, 3>(walk, cell, w, states, slice);
    } else {
        walk_forward<1, 3>(walk, cell, w, states, slice);
    }
}

struct GruBack {
    Walk walk;
    Units units;
    const float *gates, *p_n, *hidden, *dy;
    float *dxp, *dp, *dh;
    const u32* lens;

    struct Given { Pair r, z, n, h, dy, p_n; bool live; };
    struct State { float dh[2]; };
    /// What enters the product, and in its place the gradient of xp's n.
    struct Made { float x[3][2], dn[2]; };

    DEVICE Given load(int t, int row, int unit) const {
        size_t step = size_t(t) * walk.b + row;
        const float* of_gates = gates + step * 3 * walk.h;
        Given given;
        given.r = units.load(of_gates, unit), given.z = units.load(of_gates + walk.h, unit);
        given.n = units.load(of_gates + 2 * walk.h, unit), given.p_n = units.load(p_n + step * walk.h, unit);
        given.h = units.load(hidden + walk.before(t) + size_t(row) * walk.h, unit);
        given.dy = dy ? units.load(dy + step * walk.h, unit) : Pair{};
        given.live = is_live(lens, t, row);
        return given;
    }
    DEVICE State state(int row, int unit) const {
        Pair h = units.load(dh + size_t(row) * walk.h, unit);
        return State{{h.x[0], h.x[1]}};
    }
    DEVICE void keep(int row, int unit, const State& state) const { units.store(dh + size_t(row) * walk.h, unit, state.dh); }
    DEVICE static Made step(const Given& x, State& state) {
        Made d = {};
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float dh = state.dh[e] + x.dy.x[e], r = x.r.x[e], z = x.z.x[e], n = x.n.x[e];
            float dn = x.live ? dh * (1.0f - z) * (1.0f - n * n) : 0.0f;
            d.dn[e] = dn;
            // Gates of a row that has ended hold nothing, so nothing may be multiplied by them.
            d.x[0][e] = x.live ? dn * x.p_n.x[e] * (r * (1.0f - r)) : 0.0f;
            d.x[1][e] = x.live ? dh * (x.h.x[e] - n) * (z * (1.0f - z)) : 0.0f;
            d.x[2][e] = x.live ? dn * r : 0.0f;
            state.dh[e] = x.live ? dh * z : state.dh[e];
        }
        return d;
    }
    DEVICE void save(int t, int row, int unit, const Given&, const Made& d) const {
        size_t gate = (size_t(t) * walk.b + row) * 3 * walk.h;
#pragma unroll
        for (int j = 0; j < 3; j++) {
            units.store(dxp + gate + j * walk.h, unit, j == 2 ? d.dn : d.x[j]);
            units.store(dp + gate + j * walk.h, unit, d.x[j]);
        }
    }
};

/// GRU backward: dy: [T,B,H] or null, gates, p_n and hidden of the forward pass → dxp, dp: [T,B,3H], 0 where padded.
///
/// dh: [B,H] comes in with respect to the last state and goes out with respect to the first. W is 1, 2 or 4. Slice bytes:
/// 16·W·pitch(3·Hp); sum bytes: 4096·W.
KERNEL(gru_persistent_backward, 256, 1)(const float* w0, const float* w1, const float* gates0, const float* gates1, const float* p_n0,
                                        const float* p_n1, const float* hidden0, const float* hidden1, const float* dy0,
                                        const float* dy1, float* dxp0, float* dxp1, float* dp0, float* dp1, float* dh0, float* dh1,
                                        bf16* exchange, u32* counters, const u32* lens, int t_extent, int b, int h, int reverse,
                                        int wide) {
    DYNAMIC_SHARED(bf16, slice);
    bool second = blockIdx.y == 1;
    const float *gates = second ? gates1 : gates0, *p_n = second ? p_n1 : p_n0, *hidden = second ? hidden1 : hidden0;
    const float *dy = second ? dy1 : dy0, *w = second ? w1 : w0;
    float *dxp = second ? dxp1 : dxp0, *dp = second ? dp1 : dp0, *dh = second ? dh1 : dh0;
    Walk walk(t_extent, b, h, second || reverse, counters);
    GruBack cell{walk, Units{h, lie_even(h, gates, p_n, hidden, dy, dxp, dp, dh)}, gates, p_n, hidden, dy, dxp, dp, dh, lens};
    bf16* mine = exchange + size_t(blockIdx.y) * 2 * b * 3 * padded(h);
    if (wide == 4) {
        walk_back<4, 3>(walk, cell, w, mine, slice);
    } else if (wide == 2) {
        walk_back<2, 3>(walk, cell, w, mine, slice);
    } else {
        walk_back<1, 3>(walk, cell, w, mine, slice);
    }
}
