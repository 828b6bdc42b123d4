// Softmax, its logarithm, and the best of a row for a search. CPU twin: crates/seqweave-tensor/src/ops/softmax.rs, bit for bit.
//
// Launch of all: grid N, block 256, a block a row of x: [N,C]. A row's bits depend on that row alone.
// An element of -∞ has probability 0; a row that is all -∞, or has a NaN or +∞, becomes all NaN.
#include "prelude.cuh"

/// The largest element of the row, in every thread; NaN is passed over.
DEVICE float row_max(const float* x, int columns) {
    float max = -INFINITY_F;
#pragma unroll 8
    for (int c = threadIdx.x; c < columns; c += blockDim.x) max = larger(max, x[c]);
    return block_max(max);
}

/// Σ e^(x - max) over the row, in every thread.
DEVICE float row_sum_exp(const float* x, int columns, float max) {
    float sum[1];
    row_sums<1>(columns, [=](int c, float* value) { *value = exact::exp(x[c] - max); }, sum);
    return sum[0];
}

/// y[n,c] = e^x[n,c] / Σ_k e^x[n,k].
KERNEL(softmax, 256, 2)(const float* x, float* y, int columns) {
    x += size_t(blockIdx.x) * columns;
    y += size_t(blockIdx.x) * columns;
    float max = row_max(x, columns);
    float sum[1];
    row_sums<1>(columns, [=](int c, float* value) { y[c] = *value = exact::exp(x[c] - max); }, sum);
    float inverse = 1.0f / sum[0];
    // A thread scales what it wrote itself.
    for (int c = threadIdx.x; c < columns; c += blockDim.x) y[c] *= inverse;
}

/// dx (+)= y·(dy - Σ_k y·dy) from the output y.
KERNEL(softmax_backward, 256, 2)(const float* y, const float* dy, float* dx, int columns, int add) {
    size_t row = size_t(blockIdx.x) * columns;
    y += row, dy += row, dx += row;
    float mean[1];
    row_sums<1>(columns, [=](int c, float* value) { *value = y[c] * dy[c]; }, mean);
    for (int c = threadIdx.x; c < columns; c += blockDim.x) put(add, y[c] * (dy[c] - mean[0]), dx + c);
}

/// y[n,c] = x[n,c] - ln Σ_k e^x[n,k].
KERNEL(log_softmax, 256, 2)(const float* x, float* y, int columns) {
    x += size_t(blockIdx.x) * columns;
    y += size_t(blockIdx.x) * columns;
    float max = row_max(x, columns);
    float log_sum = exact::ln(row_sum_exp(x, columns, max));
    for (int c = threadIdx.x; c < columns; c += blockDim.x) y[c] = (x[c] - max) - log_sum;
}

/// dx (+)= dy - e^y·Σ_k dy from the output y.
KERNEL(log_softmax_backward, 256, 2)(const float* y, const float* dy, float* dx, int columns, int add) {
    size_t row = size_t(blockIdx.x) * columns;
    y += row, dy += row, dx += row;
    float sum[1];
    row_sums<1>(columns, [=](int c, float* value) { *value = dy[c]; }, sum);
    for (int c = threadIdx.x; c < columns; c += blockDim.x) put(add, dy[c] - exact::exp(y[c]) * sum[0], dx + c);
}

/// A column of a row and its log-probability.
struct Candidate { float y; int column; };

/// Whether a goes before b: more probable, or as probable and further left. NaN goes after every number.
DEVICE bool before(Candidate a, Candidate b) {
    if (is_nan(a.y) || is_nan(b.y)) return is_nan(a.y) == is_nan(b.y) ? a.column < b.column : is_nan(b.y);
    return a.y > b.y || (a.y == b.y && a.column < b.column);
}

/// The first candidate over the warp, in every lane.
DEVICE Candidate warp_first(Candidate mine) {
    for (int w = 16; w > 0; w /= 2) {
        Candidate other{shuffle_xor(mine.y, w), shuffle_xor(mine.column, w)};
        if (before(other, mine)) mine = other;
    }
    return mine;
}

/// columns[n], scores[n]: [K], the K largest of log_softmax(x[n]), best first, of equals the smaller column first, without
/// the `nevers` columns in `never`; named_score[n] that of column `named`. Where there are no more, column 2³²-1 and -∞.
///
/// The row is cut into at most 2,048 pieces whose best are kept; each of the K rounds looks for the best piece and then for
/// the next best within it. Rows with a NaN give NaN for every score, and columns in order.
KERNEL(top_log_probs, 256, 2)(const float* x, int columns, int k, const u32* never, int nevers, int named,
                              u32* best_columns, float* best_scores, float* named_score) {
    constexpr int PIECES = 2048;
    SHARED(Candidate, best, PIECES);
    x += size_t(blockIdx.x) * columns;
    best_columns += size_t(blockIdx.x) * k;
    best_scores += size_t(blockIdx.x) * k;
    float max = row_max(x, columns);
    float log_sum = exact::ln(row_sum_exp(x, columns, max));
    int width = 128 * ceil_div(columns, 128 * PIECES);
    int pieces = ceil_div(columns, width);
    const Candidate none{NAN_F, columns};
    // The first of piece `p` that goes after `last`; `none.column` marks that there is none.
    auto first_after = [&](int p, Candidate last) {
        Candidate mine = none;
        int end = (p + 1) * width < columns ? (p + 1) * width : columns;
        for (int c = p * width + lane(); c < end; c += 32) {
            Candidate candidate{(x[c] - max) - log_sum, c};
            bool allowed = true;
            for (int i = 0; i < nevers; i++) allowed = allowed && int(never[i]) != c;
            if (allowed && before(last, candidate) && before(candidate, mine)) mine = candidate;
        }
        return warp_first(mine);
    };
    const Candidate start{INFINITY_F, -1};
    for (int p = warp(); p < pieces; p += blockDim.x / 32) {
        Candidate first = first_after(p, start);
        if (lane() == 0) best[p] = first;
    }
    if (threadIdx.x == 0) named_score[blockIdx.x] = (x[named] - max) - log_sum;
    __syncthreads();
    if (warp() != 0) return;
    for (int rank = 0; rank < k; rank++) {
        Candidate mine = none;
        for (int p = lane(); p < pieces; p += 32) {
            if (before(best[p], mine)) mine = best[p];
        }
        Candidate chosen = warp_first(mine);
        bool found = chosen.column < columns;
        if (lane() == 0) {
            best_columns[rank] = found ? u32(chosen.column) : ~0u;
            best_scores[rank] = found ? chosen.y : -INFINITY_F;
        }
        if (!found) continue;
        int p = chosen.column / width;
        Candidate next = first_after(p, chosen);
        __syncwarp();
        if (lane() == 0) best[p] = next;
        __syncwarp();
    }
}
