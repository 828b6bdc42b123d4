// Dropout whose mask is a function of the position. CPU twin: crates/seqweave-tensor/src/ops/dropout.rs, bit for bit.
#include "prelude.cuh"

/// y[i] = x[i]·scale where the top 24 bits of word i reach `threshold`, else 0; the same on dy is the backward.
///
/// threshold = ceil(p·2²⁴), scale = 1/(1-p), word i from Philox(seed, step, op, i/4). x may be y.
/// Grid min(ceil(n/1024), 2048), block 256: a thread four elements, one draw.
KERNEL(dropout, 256, 4)(const float* x, float* y, int n, u64 seed, u64 step, u32 op, u32 threshold, float scale) {
    size_t blocks = (size_t(n) + 3) / 4;
    for (size_t block = grid_thread(); block < blocks; block += grid_threads()) {
        uint4 words = philox(seed, step, op, block);
        u32 word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            size_t i = 4 * block + j;
            if (i < size_t(n)) y[i] = word[j] >> 8 >= threshold ? x[i] * scale : 0.0f;
        }
    }
}
