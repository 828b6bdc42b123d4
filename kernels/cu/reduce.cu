// Sums, maxima, and what else looks at all of a tensor. CPU twin: crates/seqweave-tensor/src/ops/reduce.rs, bit for bit.
#include "prelude.cuh"

/// partials[i] = Σ x, or Σ x², over chunk i of 16,384 elements, in f64.
///
/// Grid ceil(chunks/8), block 256: a warp a chunk, its lanes joined by halves. `squares` 1 asks for squares.
KERNEL(chunk_sums, 256, 4)(const float* x, double* partials, int n, int squares) {
    constexpr int CHUNK = 1 << 14;
    int chunk = int(grid_warp());
    // Whole warps go or stay, so the shuffles below are complete.
    if (chunk >= ceil_div(n, CHUNK)) return;
    int start = chunk * CHUNK, end = n - start < CHUNK ? n : start + CHUNK;
    double sum = 0.0;
#pragma unroll 8
    for (int i = start + lane(); i < end; i += 32) {
        double value = x[i];
        sum += squares ? value * value : value;
    }
    sum = warp_sum(sum);
    if (lane() == 0) partials[chunk] = sum;
}

/// total[0] = Σ partials in order; y[0] = total / divisor, rounded once. Sum: divisor 1; mean: the number of elements.
///
/// Grid 1, block 256.
KERNEL(sum_partials, 256, 1)(const double* partials, int count, u64 divisor, double* total, float* y) {
    double sum[1];
    ordered_sums<1>(count, [=](int i, int) { return partials[i]; }, sum);
    if (threadIdx.x == 0) {
        *total = sum[0];
        *y = float(sum[0] / double(divisor));
    }
}

/// first[0] = min(first[0], index of the first NaN or infinity); the caller sets it to 2³²-1 before.
///
/// Grid min(ceil(n/1024), 2048), block 256.
KERNEL(first_non_finite, 256, 4)(const float* x, u32* first, int n) {
    for (size_t i = grid_thread(); i < size_t(n); i += grid_threads()) {
        if ((__float_as_uint(x[i]) & 0x7f800000u) == 0x7f800000u) {
            atomic_min(first, u32(i));
            return;
        }
    }
}

/// y[c] (+)= Σ_n x[n,c], x: [N,C].
///
/// Grid ceil(C/32), block 512.
KERNEL(sum_rows, 512, 2)(const float* x, float* y, int n, int columns, int add) {
    column_sums(n, columns, add, y, [=](int r, int c) { return x[size_t(r) * columns + c]; });
}

/// y[c] = Σ_n x[n,c], x: [N,C] in bfloat16, rows `ld` apart.
///
/// Grid ceil(C/32), block 512.
KERNEL(sum_rows_rounded, 512, 2)(const bf16* x, int ld, float* y, int n, int columns) {
    column_sums(n, columns, 0, y, [=](int r, int c) { return to_float(x[size_t(r) * ld + c]); });
}

/// y[n] = Σ_c x[n,c], x: [N,C].
///
/// Grid ceil(N/8), block 256: a warp a row.
KERNEL(sum_last, 256, 4)(const float* x, float* y, int n, int columns) {
    int row = int(grid_warp());
    if (row >= n) return;
    x += size_t(row) * columns;
    float sum = 0.0f;
#pragma unroll 8
    for (int c = lane(); c < columns; c += 32) sum += x[c];
    sum = warp_sum(sum);
    if (lane() == 0) y[row] = sum;
}

/// max[n] = max_c x[n,c], at[n] = the first c that has it; the first NaN counts as the maximum. x: [N,C], C > 0.
///
/// Grid ceil(N/8), block 256: a warp a row.
KERNEL(max_last, 256, 4)(const float* x, float* max, u32* at, int n, int columns) {
    int row = int(grid_warp());
    if (row >= n) return;
    x += size_t(row) * columns;
    float best = -INFINITY_F;
    int where = columns;
    auto take = [&](float y, int c) {
        bool first = c < where;
        bool wins = is_nan(y) || is_nan(best) ? is_nan(y) && (!is_nan(best) || first) : y > best || (y == best && first);
        if (wins) best = y, where = c;
    };
    for (int c = lane(); c < columns; c += 32) take(x[c], c);
    for (int w = 16; w > 0; w /= 2) {
        float y = shuffle_xor(best, w);
        int c = shuffle_xor(where, w);
        take(y, c);
    }
    if (lane() == 0) max[row] = best, at[row] = u32(where);
}
