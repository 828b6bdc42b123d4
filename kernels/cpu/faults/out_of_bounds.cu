// A planted fault: the last thread writes one element behind the end.
#include "prelude.cuh"

/// y[i] = 1, i <= n by mistake. Launch: grid ceil((n + 1)/256), block 256.
KERNEL(out_of_bounds, 256, 1)(float* y, int n) {
    int i = int(grid_thread());
    if (i <= n) y[i] = 1.0f;
}
