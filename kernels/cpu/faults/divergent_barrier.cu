// A planted fault: half of the block waits at a barrier that the other half never reaches.
#include "prelude.cuh"

/// Launch: grid 1, block 256.
KERNEL(divergent_barrier, 256, 1)(float* y) {
    if (threadIdx.x < 128) __syncthreads();
    y[threadIdx.x] = 1.0f;
}
