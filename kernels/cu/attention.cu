// Attention over a memory of encoder states. CPU twins: crates/seqweave-tensor/src/ops/attention/, bit for bit.
//
// Queries [T,B,H], keys [S,B,H], values [S,B,D], alignments [T,B,S], lens [B]. Row b sees the first lens[b] entries; beyond
// them nothing is read, and alignments and gradients are zero. A dot product is summed in 16 lanes that are joined by
// halves, a weighted sum in the order of its terms, so nothing depends on the batch or on T.
//
// General attention is the dot product with keys the caller has multiplied; scaled attention brings scale = 1/√H.
#include "prelude.cuh"

/// The sums `f(i, s, sum)` over i < width for every s < len, each by half a warp, handed to `store(s, sum)`.
template <class F, class G> DEVICE void dots(int width, int len, F f, G store) {
    int half = lane() / 16, warps = blockDim.x / 32;
    for (int first = 2 * warp(); first < len; first += 2 * warps) {
        // The other half of the last warp sums the last row again: shuffles want the warp complete.
        int s = first + half < len ? first + half : len - 1;
        float sum = 0.0f;
#pragma unroll 4
        for (int i = lane() % 16; i < width; i += 16) sum = f(i, s, sum);
        sum = warp_sum<16>(sum);
        if (lane() % 16 == 0 && first + half < len) store(s, sum);
    }
}

/// Shared by both scores: softmax of scores[0..len], written with its zeros to align, and ctx = Σ_s align_s value_s.
DEVICE void attend(float* scores, int len, const float* values, float* ctx, float* align, int batch, int s_extent, int d) {
    SHARED(float, total, 1);
    __syncthreads();
    float max = -INFINITY_F;
    for (int s = threadIdx.x; s < len; s += blockDim.x) max = larger(max, scores[s]);
    max = block_max(max);
    for (int s = threadIdx.x; s < len; s += blockDim.x) scores[s] = exact::exp(scores[s] - max);
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int s = 0; s < len; s++) sum += scores[s];
        *total = sum;
    }
    __syncthreads();
    for (int s = threadIdx.x; s < s_extent; s += blockDim.x) {
        if (s < len) scores[s] = scores[s] / *total;
        align[s] = s < len ? scores[s] : 0.0f;
    }
    __syncthreads();
    for (int c = threadIdx.x; c < d; c += blockDim.x) {
        float sum = 0.0f;
#pragma unroll 4
        for (int s = 0; s < len; s++) sum = fmaf(scores[s], values[size_t(s) * batch * d + c], sum);
        ctx[c] = sum;
    }
}

/// score_s = scale·(q·key_s), align = softmax(score), ctx = align·values.
///
/// Grid (B, T), block 128, 4·S bytes of dynamic shared memory: a block a query.
KERNEL(dot_attention, 128, 4)(const float* q, const float* keys, const float* values, const u32* lens, float scale, float* ctx,
                              float* align, int b_extent, int s_extent, int h, int d) {
    DYNAMIC_SHARED(float, scores);
    int b = blockIdx.x, len = int(lens[b]);
    size_t query = size_t(blockIdx.y) * b_extent + b;
    q += query * h, keys += size_t(b) * h;
    dots(h, len, [=](int i, int s, float sum) { return fmaf(q[i], keys[size_t(s) * b_extent * h + i], sum); },
         [=](int s, float sum) { scores[s] = sum * scale; });
    attend(scores, len, values + size_t(b) * d, ctx + query * d, align + query * s_extent, b_extent, s_extent, d);
}

/// score_s = v·tanh(qp + kp_s), align = softmax(score), ctx = align·values. qp: [T,B,A], kp: [S,B,A], v: [A].
///
/// Grid (B, T), block 128, 4·S bytes of dynamic shared memory: a block a query.
KERNEL(additive_attention, 128, 4)(const float* qp, const float* kp, const float* v, const float* values, const u32* lens, float* ctx,
                                   float* align, int b_extent, int s_extent, int a, int d) {
    DYNAMIC_SHARED(float, scores);
    int b = blockIdx.x, len = int(lens[b]);
    size_t query = size_t(blockIdx.y) * b_extent + b;
    qp += query * a, kp += size_t(b) * a;
    dots(a, len, [=](int i, int s, float sum) { return fmaf(v[i], exact::tanh(qp[i] + kp[size_t(s) * b_extent * a + i]), sum); },
         [=](int s, float sum) { scores[s] = sum; });
    attend(scores, len, values + size_t(b) * d, ctx + query * d, align + query * s_extent, b_extent, s_extent, d);
}

/// dscore_s = scale·align_s·(dalign_s - Σ_r align_r·dalign_r), dalign_s = dctx·value_s; dscores: [T,B,S], 0 where padded.
///
/// Grid (B, T), block 128, 4·S bytes of dynamic shared memory. Additive attention takes scale 1.
KERNEL(attention_scores_backward, 128, 4)(const float* dctx, const float* values, const float* align, const u32* lens, float scale,
                                          float* dscores, int b_extent, int s_extent, int d) {
    DYNAMIC_SHARED(float, dalign);
    SHARED(float, total, 1);
    int b = blockIdx.x, len = int(lens[b]);
    size_t query = size_t(blockIdx.y) * b_extent + b;
    dctx += query * d, values += size_t(b) * d, align += query * s_extent, dscores += query * s_extent;
    dots(d, len, [=](int i, int s, float sum) { return fmaf(dctx[i], values[size_t(s) * b_extent * d + i], sum); },
         [=](int s, float sum) { dalign[s] = sum; });
    __syncthreads();
    if (warp() == 0) {
        dots(len, 1, [=](int s, int, float sum) { return fmaf(align[s], dalign[s], sum); }, [=](int, float sum) { *total = sum; });
    }
    __syncthreads();
    for (int s = threadIdx.x; s < s_extent; s += blockDim.x) {
        dscores[s] = s < len ? align[s] * (dalign[s] - *total) * scale : 0.0f;
    }
}

/// y[t,b] = Σ_{s<lens[b]} weights[t,b,s]·x[s,b], terms in order; weights: [T,B,S], x: [S,B,W], y: [T,B,W].
///
/// dq of dot attention, from dscores and keys. Grid (B, T), block 128.
KERNEL(attention_sum_memory, 128, 8)(const float* weights, const float* x, const u32* lens, float* y, int b_extent, int s_extent, int w) {
    int b = blockIdx.x, len = int(lens[b]);
    size_t query = size_t(blockIdx.y) * b_extent + b;
    weights += query * s_extent;
    for (int c = threadIdx.x; c < w; c += blockDim.x) {
        float sum = 0.0f;
#pragma unroll 4
        for (int s = 0; s < len; s++) sum = fmaf(weights[s], x[(size_t(s) * b_extent + b) * w + c], sum);
        y[query * w + c] = sum;
    }
}

/// y[s,b] = Σ_t weights[t,b,s]·x[t,b], terms in order, 0 from s = lens[b] on; x: [T,B,W], y: [S,B,W].
///
/// dvalues from align and dctx, dkeys of dot attention from dscores and q. Grid (B, S), block 128.
KERNEL(attention_sum_queries, 128, 8)(const float* weights, const float* x, const u32* lens, float* y, int t_extent, int b_extent,
                                      int s_extent, int w) {
    int b = blockIdx.x, s = blockIdx.y;
    int count = s < int(lens[b]) ? t_extent : 0;
    for (int c = threadIdx.x; c < w; c += blockDim.x) {
        float sum = 0.0f;
#pragma unroll 4
        for (int t = 0; t < count; t++) {
            size_t query = size_t(t) * b_extent + b;
            sum = fmaf(weights[query * s_extent + s], x[query * w + c], sum);
        }
        y[(size_t(s) * b_extent + b) * w + c] = sum;
    }
}

/// Gradients of additive scores, given dscores: with u = tanh(qp_t + kp_s) and d = dscore·v·(1 - u²),
/// dqp_t = Σ_s d, dkp_s = Σ_t d, shares[b] = Σ_t Σ_s dscore·u, each in order. dqp: [T,B,A], dkp: [S,B,A], shares: [B,A].
///
/// u is computed again rather than kept: T·B·S·A numbers. Grid (ceil(A/64), B), block 64: a thread a column of a sentence,
/// which alone writes that column, so no sum needs another thread.
KERNEL(additive_scores_backward, 64, 8)(const float* dscores, const float* qp, const float* kp, const float* v, const u32* lens,
                                        float* dqp, float* dkp, float* shares, int t_extent, int b_extent, int s_extent, int a) {
    int c = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y, len = int(lens[b]);
    if (c >= a) return;
    size_t row = size_t(b_extent) * a, at = size_t(b) * a + c;
    for (int s = 0; s < s_extent; s++) dkp[s * row + at] = 0.0f;
    float v_c = v[c], share = 0.0f;
    for (int t = 0; t < t_extent; t++) {
        const float* ds = dscores + (size_t(t) * b_extent + b) * s_extent;
        float query = qp[t * row + at], dq = 0.0f;
#pragma unroll 4
        for (int s = 0; s < len; s++) {
            float u = exact::tanh(query + kp[s * row + at]);
            float d = ds[s] * v_c * (1.0f - u * u);
            dq += d;
            dkp[s * row + at] += d;
            share += ds[s] * u;
        }
        dqp[t * row + at] = dq;
    }
    shares[at] = share;
}

/// y[c] = Σ_b x[b,c], one row after the other: dv of additive attention from the shares. Grid ceil(C/128), block 128.
KERNEL(sum_shares, 128, 8)(const float* x, float* y, int rows, int columns) {
    int c = int(grid_thread());
    if (c >= columns) return;
    float sum = 0.0f;
#pragma unroll 8
    for (int r = 0; r < rows; r++) sum += x[size_t(r) * columns + c];
    y[c] = sum;
}
