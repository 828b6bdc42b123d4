// Cross entropy straight from logits: softmax, logarithm, label smoothing and padding in one pass.
// CPU twin: crates/seqweave-tensor/src/ops/cross_entropy/mod.rs, bit for bit but for `cross_entropy_rounded`.
//
// logits: [N,V], targets: [N]. Rows whose target is `ignore` count nowhere.
#include "prelude.cuh"

/// What thread 0 says of a row: with e = smoothing and Σ(x-m) = `differences`, the losses and the mark.
DEVICE void finish_row(float smoothing, int columns, float log_sum, float differences, float target, bool is_first, double* losses,
                       u32* mark) {
    double nll = double(log_sum) - double(target);
    double loss = nll;
    if (smoothing != 0.0f) {
        double e = smoothing, mean = double(differences) / double(columns);
        loss = (1.0 - e) * nll + e * (double(log_sum) - mean);
    }
    losses[0] = loss, losses[1] = nll;
    *mark = is_first && target == 0.0f && nll == nll ? 3 : 1;
}

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
    stats[2 * row] = max, stats[2 * row + 1] = log_sum;
    finish_row(smoothing, columns, log_sum, sums[1], x[target] - max, *earlier == 0, losses + 2 * row, marks + row);
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

/// `cross_entropy` of a row and its gradient at once: dz = scale·(p - q) in bfloat16, rows `ld` apart, zeros behind V.
///
/// For products that want bfloat16 anyway: the row lies in shared memory, so logits are read once and their gradient is
/// never written in f32. Powers and sums have other last bits than above. uniform = ε/V, peak = (1-ε)·scale. Grid N, block
/// 512, 4·ld bytes of dynamic shared memory; ld a multiple of 8, dz aligned to 16.
KERNEL(cross_entropy_rounded, 512, 2)(const float* logits, const u32* targets, u32 ignore, float smoothing, float uniform, float scale,
                                      float peak, int columns, int ld, double* losses, u32* marks, bf16* dz) {
    DYNAMIC_SHARED(float, kept);
    SHARED(u32, earlier, 1);
    int row = blockIdx.x;
    const float* x = logits + size_t(row) * columns;
    uint4* out = reinterpret_cast<uint4*>(dz + size_t(row) * ld);
    u32 target = targets[row];
    // The whole block takes one way, so no barrier is passed by.
    if (target == ignore) {
        for (int i = threadIdx.x; i < ld / 8; i += 512) out[i] = make_uint4(0, 0, 0, 0);
        if (threadIdx.x == 0) losses[2 * row] = losses[2 * row + 1] = 0.0, marks[row] = 0;
        return;
    }
    float of_target = x[target], max = -INFINITY_F;
    if (threadIdx.x == 0) *earlier = 0;
    if (columns % 4 == 0 && aligned16(x)) {
#pragma unroll 8
        for (int i = threadIdx.x; i < columns / 4; i += 512) {
            float4 four = reinterpret_cast<const float4*>(x)[i];
            reinterpret_cast<float4*>(kept)[i] = four;
            max = larger(larger(larger(larger(max, four.x), four.y), four.z), four.w);
        }
    } else {
        for (int c = threadIdx.x; c < columns; c += 512) {
            kept[c] = x[c];
            max = larger(max, kept[c]);
        }
    }
    max = block_max(max);
    float sums[2] = {0.0f, 0.0f};
    bool found = false;
#pragma unroll 4
    for (int c = threadIdx.x; c < columns; c += 512) {
        float difference = kept[c] - max, power = fast::exp2(1.44269504f * difference);
        kept[c] = power;
        sums[0] += power, sums[1] += difference;
        found = found || (difference == 0.0f && u32(c) < target);
    }
    if (found) *earlier = 1;
    block_sums<2>(sums);
    float each = scale / sums[0], level = uniform * scale;
    for (int i = threadIdx.x; i < ld / 8; i += 512) {
        float d[8];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int c = 8 * i + j;
            d[j] = c < columns ? kept[c] * each - level : 0.0f;
            d[j] = u32(c) == target ? d[j] - peak : d[j];
        }
        out[i] = make_uint4(pack_bf16(d[0], d[1]), pack_bf16(d[2], d[3]), pack_bf16(d[4], d[5]), pack_bf16(d[6], d[7]));
    }
    if (threadIdx.x != 0) return;
    finish_row(smoothing, columns, exact::ln(sums[0]), sums[1], of_target - max, *earlier == 0, losses + 2 * row, marks + row);
}
