// What a GPU can do at best, for measurements; no part of any model.
#include "prelude.cuh"

/// All blocks come to `rounds` grid barriers and do nothing in between; done[block] = the barriers it has passed.
///
/// Cooperative, any grid whose blocks are resident at once, block 256. `counter` starts at 0.
KERNEL(grid_barriers, 256, 2)(u32* counter, u32* done, int rounds) {
    for (int i = 1; i <= rounds; i++) grid_barrier(counter, gridDim.x, i);
    if (threadIdx.x == 0) done[blockIdx.x] = u32(rounds);
}
