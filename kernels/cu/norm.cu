// Layer normalisation. CPU twin: crates/seqweave-tensor/src/ops/norm.rs, bit for bit.
//
// x: [N,C], gamma, beta: [C], stats: [N,2] = mean and 1/√(variance + eps) of every row.
#include "prelude.cuh"

/// y = (x - mean)·rstd·gamma + beta. Grid N, block 256: a block a row.
KERNEL(layer_norm, 256, 2)(const float* x, const float* gamma, const float* beta, float eps, float* y, float* stats, int columns) {
    x += size_t(blockIdx.x) * columns;
    y += size_t(blockIdx.x) * columns;
    float count = float(columns), sum[1];
    row_sums<1>(columns, [=](int c, float* value) { *value = x[c]; }, sum);
    float mean = sum[0] / count;
    row_sums<1>(columns, [=](int c, float* value) { *value = (x[c] - mean) * (x[c] - mean); }, sum);
    float rstd = 1.0f / sqrtf(sum[0] / count + eps);
    for (int c = threadIdx.x; c < columns; c += blockDim.x) y[c] = (x[c] - mean) * rstd * gamma[c] + beta[c];
    if (threadIdx.x == 0) stats[2 * blockIdx.x] = mean, stats[2 * blockIdx.x + 1] = rstd;
}

/// dx = rstd·(g - mean(g) - x̂·mean(g·x̂)) with g = dy·gamma, x̂ = (x - mean)·rstd. Grid N, block 256: a block a row.
KERNEL(layer_norm_backward, 256, 2)(const float* dy, const float* x, const float* gamma, const float* stats, float* dx, int columns) {
    size_t row = size_t(blockIdx.x) * columns;
    dy += row, x += row, dx += row;
    float mean = stats[2 * blockIdx.x], rstd = stats[2 * blockIdx.x + 1];
    float count = float(columns), sums[2];
    row_sums<2>(columns, [=](int c, float* values) {
        values[0] = dy[c] * gamma[c];
        values[1] = values[0] * ((x[c] - mean) * rstd);
    }, sums);
    float level = sums[0] / count, along = sums[1] / count;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        dx[c] = rstd * (dy[c] * gamma[c] - level - (x[c] - mean) * rstd * along);
    }
}

/// dgamma[c] (+)= Σ_n dy·x̂; dbeta is `sum_rows` of dy. Grid ceil(C/32), block 512.
KERNEL(layer_norm_gamma, 512, 2)(const float* dy, const float* x, const float* stats, float* dgamma, int n, int columns, int add) {
    column_sums(n, columns, add, dgamma, [=](int r, int c) {
        size_t i = size_t(r) * columns + c;
        return dy[i] * ((x[i] - stats[2 * r]) * stats[2 * r + 1]);
    });
}
