// The executor itself: schedules, barriers, shuffles, and the faults it must catch.
#include "check.h"

/// Sums of 64 elements through shared memory; with `barrier` 0 the reader does not wait for the writers.
void sum_through_shared(const float* x, float* y, int barrier) {
    SHARED(float, copy, 64);
    copy[threadIdx.x] = x[threadIdx.x];
    if (barrier) __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0;
        for (int i = 0; i < 64; i++) sum += copy[i] == copy[i] ? copy[i] : 0;
        *y = sum;
    }
}

void half_wait(float* y) {
    if (threadIdx.x < 32) __syncthreads();
    y[threadIdx.x] = 1;
}
void wait_at_two_places(float* y) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = 1;
}

void use_before_wait(const float* x, float* y) {
    SHARED(float, copy, 128);
    copy16_async(copy + 4 * threadIdx.x, x + 4 * threadIdx.x, 16);
    copies_commit();
    y[threadIdx.x] = copy[4 * threadIdx.x];
    copies_wait<0>();
    y[32 + threadIdx.x] = copy[4 * threadIdx.x];
}

void rotate_blocks(float* x, u32* counter, int rounds) {
    for (int r = 0; r < rounds; r++) {
        float from = load_fresh(x + (blockIdx.x + 1) % gridDim.x);
        grid_barrier(counter, gridDim.x, 2 * r + 1);
        if (threadIdx.x == 0) x[blockIdx.x] = from;
        grid_barrier(counter, gridDim.x, 2 * r + 2);
    }
}

void one_stays_away(u32* counter) {
    if (blockIdx.x > 0) grid_barrier(counter, gridDim.x, 1);
}

int main() {
    Floats x = wave(128, 0.3);
    float want = 0;
    for (int i = 0; i < 64; i++) want += x[i];
    int wrong = 0;
    for (int seed = 0; seed < 8; seed++) {
        Floats y = unwritten(1);
        RUN(sum_through_shared, 1, 64, 0, seed, x.data(), y.data(), 1);
        expect_same("sum", y, {want});
        RUN(sum_through_shared, 1, 64, 0, seed, x.data(), y.data(), 0);
        wrong += y[0] != want;

        Floats z = unwritten(64);
        for (auto kernel : {half_wait, wait_at_two_places}) {
            std::string error = exec::launch({"planted", dim3(2), dim3(64), 0, uint64_t(seed)}, kernel, z.data());
            EXPECT(error.find("planted") != error.npos && error.find("divergent barrier") != error.npos, "'%s'", error.c_str());
        }
        RUN(use_before_wait, 1, 32, 0, seed, x.data(), z.data());
        EXPECT(z[0] != z[0] && z[32] == x[0], "%g %g", z[0], z[32]);

        Floats ring = {0, 1, 2, 3, 4};
        u32 counter = 0;
        RUN_TOGETHER(rotate_blocks, 5, 32, 0, seed, ring.data(), &counter, 7);
        expect_same("ring", ring, {2, 3, 4, 0, 1});
    }
    exec::barrier_limit = std::chrono::milliseconds(50);
    u32 counter = 0;
    std::string error = exec::launch({"planted", dim3(3), dim3(32), 0, 0, true}, one_stays_away, &counter);
    EXPECT(error.find("not all blocks") != error.npos || error.find("another block") != error.npos, "'%s'", error.c_str());
    EXPECT(wrong >= 7, "a missing barrier showed in %d of 8 schedules", wrong);
    printf("executor: %d checks\n", checks);
}
