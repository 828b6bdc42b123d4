// A planted fault: threads read what others wrote without a barrier in between. Another schedule is another result.
#include "prelude.cuh"

/// y[i] = x[255 - i], i < 256. Launch: grid 1, block 256.
KERNEL(missing_barrier, 256, 1)(const float* x, float* y) {
    SHARED(float, tile, 256);
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    y[threadIdx.x] = tile[255 - threadIdx.x];
}
