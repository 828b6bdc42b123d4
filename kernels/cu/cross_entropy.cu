// Cross entropy straight from logits: softmax, logarithm, label smoothing and padding in one pass.
// CPU twin: crates/seqweave-tensor/src/ops/cross_entropy.rs, bit for bit.
//
// logits: [N,V], targets: [N]. Rows whose target is `ignore` count nowhere.
#include "prelude.cuh"

/// One row: stats[n] = (m, ln Σ e^(x-m)) with the largest logit m; losses[n] = (smoothed loss, -ln p[target]), in f64;
/// marks[n] = 1 if counted, 3 if the target is also the first largest logit.
///
/// loss = (1-ε)·(-ln p[target]) + ε·mean_v(-ln p[v]), ε = smoothing. Grid N, block 256.
KERNEL(cross_entropy, 256, 2)(const float* logits, const u32* targets, u32 ignore, float smoothing, int columns,
                              float* stats, double* losses, u32* marks) {
    int row = blockIdx.x;
    const float* x = logits + size_t(row) * columns;
    u32 target = targets[row];
    // The whole block takes one way, so no barrier is passed by.
    if (target == ignore) {
        if (threadIdx.x == 0) {
            stats[2 * row] = stats[2 * row + 1] = 0.0f;
            losses[2 * row] = losses[2 * row + 1] = 0.0;
            marks[row] = 0;
        }
        return;
    }
    float max = -INFINITY_F;
#pragma unroll 8
    for (int c = threadIdx.x; c < columns; c += blockDim.x) max = larger(max, x[c]);
    max = block_max(max);
    // Whether an equal of the maximum lies left of the target. An atomic in the loop would keep its loads one behind the other.
    SHARED(u32, earlier, 1);
    if (threadIdx.x == 0) *earlier = 0;
    bool found = false;
    float sums[2];
    row_sums<2>(columns, [&](int c, float* values) {
        float difference = x[c] - max;
        values[0] = exact::exp(difference);
        values[1] = difference;
        found = found || (difference == 0.0f && u32(c) < target);
    }, sums);
    if (found) *earlier = 1;
    __syncthreads();
    if (threadIdx.x != 0) return;
    float log_sum = exact::ln(sums[0]);
    double nll = double(log_sum) - double(x[target] - max);
    double loss = nll;
    if (smoothing != 0.0f) {
        double e = smoothing, mean = double(sums[1]) / double(columns);
        loss = (1.0 - e) * nll + e * (double(log_sum) - mean);
    }
    bool correct = x[target] == max && nll == nll && *earlier == 0;
    stats[2 * row] = max, stats[2 * row + 1] = log_sum;
    losses[2 * row] = loss, losses[2 * row + 1] = nll;
    marks[row] = correct ? 3 : 1;
}

/// totals = (Σ loss, Σ nll, number of rows with mark 3), in order; loss[0] = the first, rounded.
///
/// Grid 1, block 256.
KERNEL(cross_entropy_totals, 256, 1)(const double* losses, const u32* marks, int n, double* totals, float* loss) {
    double sums[3];
    ordered_sums<3>(n, [=](int i, int j) { return j < 2 ? losses[2 * i + j] : double(marks[i] >> 1); }, sums);
    if (threadIdx.x != 0) return;
    for (int j = 0; j < 3; j++) totals[j] = sums[j];
    *loss = float(sums[0]);
}

/// dlogits[n,v] (+)= scale·(p[n,v] - q[n,v]), q = (1-ε)·[v = target] + ε/V; 0 for ignored rows.
///
/// uniform = ε/V, peak = (1-ε)·scale. With `add` 0, dlogits may be logits itself. Grid N, block 256.
KERNEL(cross_entropy_backward, 256, 4)(const float* logits, const u32* targets, u32 ignore, const float* stats, float uniform,
                                       float scale, float peak, int columns, float* dlogits, int add) {
    int row = blockIdx.x;
    const float* x = logits + size_t(row) * columns;
    float* dx = dlogits + size_t(row) * columns;
    u32 target = targets[row];
    float max = stats[2 * row], log_sum = stats[2 * row + 1];
#pragma unroll 4
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        if (target == ignore) {
            if (!add) dx[c] = 0.0f;
            continue;
        }
        float d = (exact::exp((x[c] - max) - log_sum) - uniform) * scale;
        if (add) d = dx[c] + d;
        dx[c] = u32(c) == target ? d - peak : d;
    }
}
