// Rows by id. CPU twins, bit for bit: crates/seqweave-tensor/src/ops/embedding.rs; `select_rows` in ops/shape.rs.
#include "prelude.cuh"

/// y[n,e] = w[ids[n],e], w: [V,E], ids: [N]: an embedding, rows picked in any order, beams reordered.
///
/// Grid min(N, 65535), block 128: a block a row at a time.
KERNEL(gather_rows, 128, 8)(const float* w, const u32* ids, float* y, int n, int e) {
    for (int row = blockIdx.x; row < n; row += gridDim.x) {
        const float* from = w + size_t(ids[row]) * e;
        float* to = y + size_t(row) * e;
        if (e % 4 == 0 && aligned16(w) && aligned16(y)) {
            for (int i = threadIdx.x; i < e / 4; i += blockDim.x) {
                reinterpret_cast<float4*>(to)[i] = reinterpret_cast<const float4*>(from)[i];
            }
        } else {
            for (int i = threadIdx.x; i < e; i += blockDim.x) to[i] = from[i];
        }
    }
}

/// dw[v,e] += Σ dy[n,e] over the n with ids[n] = v, in order of n; dy: [N,E], dw: [V,E]. To set, fill dw with 0 before.
///
/// The host groups the positions by id: group i is order[starts[i] .. starts[i+1]], ascending, and belongs to row rows[i].
/// Grid (groups, ceil(E/128)), block 128: every element of dw has one writer, so no order is left to chance.
KERNEL(embedding_backward, 128, 8)(const float* dy, const u32* order, const u32* starts, const u32* rows, float* dw, int e) {
    int c = blockIdx.y * blockDim.x + threadIdx.x;
    if (c >= e) return;
    float* to = dw + size_t(rows[blockIdx.x]) * e + c;
    float sum = *to;
    u32 end = starts[blockIdx.x + 1];
#pragma unroll 4
    for (u32 i = starts[blockIdx.x]; i < end; i++) sum += dy[size_t(order[i]) * e + c];
    *to = sum;
}
