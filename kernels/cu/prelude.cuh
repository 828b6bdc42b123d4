// What every kernel file includes, and all it includes.
//
// The same text is compiled by NVRTC for a GPU and by a C++ compiler for the executor in ../cpu/exec.h. Whatever is
// spelled differently there stands here and nowhere else: declarations, shared memory, shuffles, inline PTX.
//
// Compile with --fmad=false (NVRTC) or -ffp-contract=off (g++): products and sums are two roundings unless `fmaf` is
// written. So a kernel gives the bits of its CPU twin in crates/seqweave-tensor wherever both take the same steps.
#pragma once

#if defined(__CUDACC__)
#define ON_GPU 1
#else
#define ON_GPU 0
#include "../cpu/exec.h"
#endif

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/// A bfloat16 as its bits.
struct bf16 { u16 bits; };

#if ON_GPU
/// Declares a kernel: at most `threads` threads a block, and registers for `min_blocks` blocks an SM.
#define KERNEL(name, threads, min_blocks) extern "C" __global__ void __launch_bounds__(threads, min_blocks) name
#define DEVICE __device__ __forceinline__
/// The dynamic shared memory of the block.
#define DYNAMIC_SHARED(type, name)                             \
    extern __shared__ __align__(16) unsigned char name##_bytes[]; \
    type* const name = reinterpret_cast<type*>(name##_bytes)
/// `count` elements of shared memory.
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define INFINITY_F __int_as_float(0x7f800000)
#define NAN_F __int_as_float(0x7fc00000)
#else
#define KERNEL(name, threads, min_blocks) void name
#define DEVICE inline
#define DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(exec::runner->dynamic_shared())
#define SHARED(type, name, count)        \
    static const char name##_site = 0;   \
    type* const name = static_cast<type*>(exec::runner->shared_at(&name##_site, sizeof(type) * (count)))
#define INFINITY_F __builtin_inff()
#define NAN_F __builtin_nanf("")
inline u32 __float_as_uint(float x) { u32 bits; memcpy(&bits, &x, 4); return bits; }
inline float __uint_as_float(u32 bits) { float x; memcpy(&x, &bits, 4); return x; }
inline u32 __umulhi(u32 a, u32 b) { return u32(u64(a) * b >> 32); }
#endif

// Positions.

DEVICE int lane() { return threadIdx.x % 32; }
DEVICE int warp() { return threadIdx.x / 32; }
/// Of this thread in the grid, and how many there are.
DEVICE size_t grid_thread() { return size_t(blockIdx.x) * blockDim.x + threadIdx.x; }
DEVICE size_t grid_threads() { return size_t(gridDim.x) * blockDim.x; }
/// Of this warp in the grid, and how many there are; blocks are whole warps.
DEVICE size_t grid_warp() { return grid_thread() / 32; }
DEVICE size_t grid_warps() { return grid_threads() / 32; }

DEVICE int ceil_div(int a, int b) { return (a + b - 1) / b; }
DEVICE bool is_nan(float x) { return x != x; }
DEVICE bool aligned16(const void* p) { return (reinterpret_cast<u64>(p) & 15) == 0; }
/// `*to = x` or `*to += x`: the accumulate argument of most kernels.
DEVICE void put(int add, float x, float* to) { *to = add ? *to + x : x; }

// bfloat16.

/// To nearest, ties to even; NaN stays NaN. Twin: `upper` in src/gemm/bf16.rs.
DEVICE bf16 to_bf16(float x) {
    u32 bits = __float_as_uint(x);
    u32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return bf16{u16(is_nan(x) ? (bits >> 16) | 0x40 : rounded)};
}
DEVICE float to_float(bf16 x) { return __uint_as_float(u32(x.bits) << 16); }
/// Two bfloat16 in one word, `low` in the low half.
DEVICE u32 pack_bf16(float low, float high) { return to_bf16(low).bits | u32(to_bf16(high).bits) << 16; }

// The functions of src/math.rs, operation for operation, so that both devices give the same bits.

namespace exact {

DEVICE float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }
/// 2^n for -127 < n < 128.
DEVICE float pow2(int n) { return __uint_as_float(u32(n + 127) << 23); }

/// e^r - 1, with x = n ln 2 + r and |r| ≤ ½ ln 2.
DEVICE float exp_parts(float x, int* n) {
    const float ROUND = 12582912.0f;
    float t = x * 1.44269504088896340736f + ROUND;
    float whole = t - ROUND;
    float r = (x - whole * (355.0f / 512.0f)) - whole * -2.1219444e-4f;
    float q = 1.3814594e-3f;
    q = q * r + 8.368719e-3f;
    q = q * r + 4.166839e-2f;
    q = q * r + 1.6666521e-1f;
    q = q * r + 0.49999994f;
    *n = int(__float_as_uint(t) - __float_as_uint(ROUND));
    return q * (r * r) + r;
}

DEVICE float exp(float x) {
    int n;
    float p = exp_parts(clamp(x, -104.0f, 89.0f), &n);
    int half = n >> 1;
    return (1.0f + p) * pow2(half) * pow2(n - half);
}

DEVICE float tanh(float x) {
    u32 sign = __float_as_uint(x) & 0x80000000u;
    float a = clamp(__uint_as_float(__float_as_uint(x) & 0x7fffffffu), 0.0f, 10.0f);
    int n;
    float p = exp_parts(a + a, &n);
    float s = pow2(n);
    float e = p * s + (s - 1.0f);
    return __uint_as_float((__float_as_uint(e / (e + 2.0f)) & 0x7fffffffu) | sign);
}

DEVICE float sigmoid(float x) {
    int n;
    float p = exp_parts(clamp(-x, -30.0f, 89.0f), &n);
    float e = (1.0f + p) * pow2(n - 1) * 2.0f;
    return 1.0f / (1.0f + e);
}

DEVICE float ln(float x) {
    bool tiny = x < 1.17549435e-38f;
    int bits = int(__float_as_uint(tiny ? x * 33554432.0f : x));
    int exponent = (bits - 0x3f3504f3) >> 23;
    float f = __uint_as_float(u32(bits) - (u32(exponent) << 23)) - 1.0f;
    float k = float(exponent - (tiny ? 25 : 0));
    float s = f / (2.0f + f);
    float z = s * s;
    float r = z * (0.66666776f + z * (0.39977542f + z * 0.29871762f));
    float y = k * (355.0f / 512.0f) + (f - (s * (f - r) - k * -2.1219444e-4f));
    y = x < INFINITY_F ? y : x;
    y = x == 0.0f ? -INFINITY_F : y;
    return x < 0.0f ? NAN_F : y;
}

}  // namespace exact

// The same by the units of the GPU, for kernels whose sums have other last bits than the CPU's anyway.

namespace fast {

/// 2^x and 1/x, to 2 units in the last place.
#if ON_GPU
DEVICE float exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
DEVICE float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#else
inline float exp2(float x) { return __builtin_exp2f(x); }
inline float reciprocal(float x) { return 1.0f / x; }
#endif

/// To 3e-7, absolutely.
DEVICE float sigmoid(float x) { return reciprocal(1.0f + exp2(-1.44269504f * x)); }
DEVICE float tanh(float x) { return 1.0f - 2.0f * reciprocal(1.0f + exp2(2.88539008f * x)); }

}  // namespace fast

// Warps and blocks.

/// The value of the lane whose number differs in the bits `mask`.
#if ON_GPU
template <class T> DEVICE T shuffle_xor(T x, int mask) { return __shfl_xor_sync(~0u, x, mask); }
#else
template <class T> T shuffle_xor(T x, int mask) { return exec::shuffle(x, exec::lane() ^ mask, __FILE__, __LINE__); }
#endif

/// Σ over groups of `width` lanes, in every lane: lane l joins lane l + width/2, and so on by halves.
///
/// The order of `Lanes::total` in src/lanes.rs; a sum of two is the same either way round, so all lanes agree.
template <int width = 32, class T> DEVICE T warp_sum(T x) {
    for (int w = width / 2; w > 0; w /= 2) x += shuffle_xor(x, w);
    return x;
}

DEVICE float larger(float m, float x) { return x > m ? x : m; }

/// The largest over the warp, in every lane; NaN is passed over.
DEVICE float warp_max(float x) {
    for (int w = 16; w > 0; w /= 2) x = larger(x, shuffle_xor(x, w));
    return x;
}

/// The largest over the block, in every thread; at most 32 whole warps. NaN is passed over.
DEVICE float block_max(float x) {
    SHARED(float, of_warps, 32);
    x = warp_max(x);
    __syncthreads();
    if (lane() == 0) of_warps[warp()] = x;
    __syncthreads();
    for (int w = 0; w < int(blockDim.x / 32); w++) x = larger(x, of_warps[w]);
    return x;
}

/// Each of sums[j] over the block, in every thread, by halves within warps and then warp by warp; at most 32 whole warps.
template <int N> DEVICE void block_sums(float sums[N]) {
    SHARED(float, of_warps, N * 32);
    for (int j = 0; j < N; j++) {
        sums[j] = warp_sum(sums[j]);
        if (lane() == 0) of_warps[j * 32 + warp()] = sums[j];
    }
    __syncthreads();
    for (int j = 0; j < N; j++) {
        sums[j] = 0.0f;
        for (int w = 0; w < int(blockDim.x / 32); w++) sums[j] += of_warps[j * 32 + w];
    }
}

// Sums in the order of the CPU, so that both devices give the same bits.

/// `sums[j] = Σ_{i<c} f(i, values)[j]` over the block, in every thread: the order of `Lanes` in src/lanes.rs.
///
/// Element i belongs to lane i mod 32, a lane takes its elements in order, lanes are joined by halves. All threads make
/// values; the first warp adds up one tile of them while the others make the next. So a row's sum depends on nothing but the
/// row.
template <int N, class F> DEVICE void row_sums(int c, F f, float sums[N]) {
    constexpr int TILE = 1024;
    SHARED(float, tiles, 2 * N * TILE);
    SHARED(float, totals, N);
    for (int j = 0; j < N; j++) sums[j] = 0.0f;
    // Another sum of this block may still be read.
    __syncthreads();
    float *tile = tiles, *other = tiles + N * TILE;
    for (int first = 0; first < c; first += TILE) {
        int count = c - first < TILE ? c - first : TILE;
#pragma unroll 4
        for (int i = threadIdx.x; i < count; i += blockDim.x) {
            float values[N];
            f(first + i, values);
            for (int j = 0; j < N; j++) tile[j * TILE + i] = values[j];
        }
        // This tile is there, and the first warp is done with the other one.
        __syncthreads();
        if (warp() == 0) {
#pragma unroll 8
            for (int i = lane(); i < count; i += 32) {
                for (int j = 0; j < N; j++) sums[j] += tile[j * TILE + i];
            }
        }
        float* made = tile;
        tile = other, other = made;
    }
    if (warp() == 0) {
        for (int j = 0; j < N; j++) {
            sums[j] = warp_sum(sums[j]);
            if (lane() == 0) totals[j] = sums[j];
        }
    }
    __syncthreads();
    for (int j = 0; j < N; j++) sums[j] = totals[j];
}

/// `out[c] (+)= Σ_{r<n} f(r, c)` for the 32 columns of this block: the order of `column_sums` in src/ops/reduce.rs.
///
/// Blocks of 64 rows start from zero, each summed by a warp; their sums are added in order. Block of 512 threads.
template <class F> DEVICE void column_sums(int n, int columns, int add, float* out, F f) {
    constexpr int ROWS = 64, WARPS = 16;
    SHARED(float, partials, WARPS * 32);
    int c = blockIdx.x * 32 + lane();
    float total = 0.0f;
    for (int first = 0; first < n; first += ROWS * WARPS) {
        int start = first + warp() * ROWS;
        int end = start + ROWS < n ? start + ROWS : n;
        float partial = 0.0f;
        if (c < columns) {
#pragma unroll 8
            for (int r = start; r < end; r++) partial += f(r, c);
        }
        partials[threadIdx.x] = partial;
        __syncthreads();
        if (warp() == 0) {
            for (int w = 0; w < WARPS && first + w * ROWS < n; w++) total += partials[w * 32 + lane()];
        }
        __syncthreads();
    }
    if (warp() == 0 && c < columns) put(add, total, out + c);
}

/// `sums[j] = Σ_{i<n} f(i, j)` in f64, one after the other, in every thread; a warp makes each sum.
template <int N, class F> DEVICE void ordered_sums(int n, F f, double sums[N]) {
    constexpr int TILE = 1024 / N;
    SHARED(double, tile, N * TILE);
    SHARED(double, totals, N);
    double sum = 0.0;
    int mine = threadIdx.x % 32 == 0 ? warp() : N;
    for (int first = 0; first < n; first += TILE) {
        int count = n - first < TILE ? n - first : TILE;
        __syncthreads();
        for (int i = threadIdx.x; i < N * count; i += blockDim.x) tile[i / count * TILE + i % count] = f(first + i % count, i / count);
        __syncthreads();
        if (mine < N) {
#pragma unroll 8
            for (int i = 0; i < count; i++) sum += tile[mine * TILE + i];
        }
    }
    if (mine < N) totals[mine] = sum;
    __syncthreads();
    for (int j = 0; j < N; j++) sums[j] = totals[j];
}

// Random numbers: twin of src/rng.rs.

/// Philox 4×32, ten rounds: the words of elements 4·block … 4·block + 3 of operation `op`.
DEVICE uint4 philox(u64 seed, u64 step, u32 op, u64 block) {
    u32 k0 = u32(seed), k1 = u32(seed >> 32) ^ u32(step >> 32);
    u32 c0 = u32(block), c1 = u32(block >> 32), c2 = op, c3 = u32(step);
    for (int round = 0; round < 10; round++) {
        u32 h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
        u32 h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// Between blocks.

/// `*at = min(*at, x)`; integers, so the order does not matter.
DEVICE void atomic_min(u32* at, u32 x) {
#if ON_GPU
    atomicMin(at, x);
#else
    u32 seen = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (x < seen && !__atomic_compare_exchange_n(at, &seen, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
#endif
}

/// Says that this block is done, to those who wait for `counter`: what it wrote before is seen by all after.
///
/// For cooperative launches; `counter` starts at 0. Called by all threads of the block.
DEVICE void grid_arrive(u32* counter) {
    __syncthreads();
    if (threadIdx.x == 0) {
#if ON_GPU
        // The release covers what the barrier of the block has ordered before it, which is all of its threads' writes.
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
#else
        __atomic_fetch_add(counter, 1, __ATOMIC_ACQ_REL);
#endif
    }
}

/// Waits until blocks have come `target` times. Called by all threads of the block.
DEVICE void grid_wait(u32* counter, u32 target) {
    if (threadIdx.x == 0) {
#if ON_GPU
        u32 seen;
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
        } while (seen < target);
#else
        for (u32 turn = 0; __atomic_load_n(counter, __ATOMIC_ACQUIRE) < target; turn++) exec::runner->pause(turn);
#endif
    }
    __syncthreads();
}

/// Waits until each of `blocks` blocks has come `rounds` times.
DEVICE void grid_barrier(u32* counter, u32 blocks, u32 rounds) {
    grid_arrive(counter);
    grid_wait(counter, rounds * blocks);
}

/// A load that sees what other blocks wrote before the last grid barrier: it passes the cache of the SM by.
#if ON_GPU
DEVICE float load_fresh(const float* p) { return __ldcg(p); }
DEVICE uint4 load_fresh(const uint4* p) { return __ldcg(p); }
#else
template <class T> T load_fresh(const T* p) { return *p; }
#endif

// Asynchronous copies from global to shared memory.

/// 16 bytes, of which the first `valid` are read and the others become zero; both ends aligned to 16.
DEVICE void copy16_async(void* to, const void* from, int valid) {
#if ON_GPU
    u32 at = static_cast<u32>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(valid) : "memory");
#else
    exec::copy_async(to, from, 16, valid);
#endif
}
/// 4 bytes, or zero if not `valid`.
DEVICE void copy4_async(void* to, const void* from, bool valid) {
#if ON_GPU
    u32 at = static_cast<u32>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(valid ? 4 : 0) : "memory");
#else
    exec::copy_async(to, from, 4, valid ? 4 : 0);
#endif
}
/// Closes a group of copies.
DEVICE void copies_commit() {
#if ON_GPU
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    exec::copy_commit();
#endif
}
/// Waits until at most `pending` groups of this thread are under way; others see them after a barrier.
template <int pending> DEVICE void copies_wait() {
#if ON_GPU
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#else
    exec::copy_wait(pending);
#endif
}

// Tensor cores. With g = lane/4 and t = lane%4, as the PTX manual lays the fragments out.

/// d += a·b, a: [16,16], b: [16,8] in bfloat16, d: [16,8] in f32.
///
/// a holds rows g, g+8, g, g+8 at columns 2t, 2t+1 (the last two words 8 further right); b rows 2t, 2t+1 and 8 further
/// down at column g; d rows g, g, g+8, g+8 at columns 2t, 2t+1.
DEVICE void mma_bf16(float d[4], const u32 a[4], const u32 b[2]) {
#if ON_GPU
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    u32 mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    auto all = exec::runner->exchange(mine, sizeof mine, __FILE__, __LINE__);
    auto half = [&](int lane, int word, int high) {
        u32 w;
        memcpy(&w, all[lane] + 4 * word, 4);
        return __uint_as_float(high ? w & 0xffff0000u : w << 16);
    };
    int g = exec::lane() / 4, t = exec::lane() % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + 8 * (i / 2), column = 2 * t + i % 2;
        for (int k = 0; k < 16; k++) {
            float x = half(row % 8 * 4 + k % 8 / 2, row / 8 + 2 * (k / 8), k % 2);
            float y = half(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
            d[i] += x * y;
        }
    }
#endif
}

/// d += a·b, a: [16,8], b: [8,8] in TF32, d: [16,8] in f32.
///
/// a holds rows g, g+8, g, g+8 at columns t, t, t+4, t+4; b rows t, t+4 at column g; d as in `mma_bf16`.
DEVICE void mma_tf32(float d[4], const u32 a[4], const u32 b[2]) {
#if ON_GPU
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    u32 mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    auto all = exec::runner->exchange(mine, sizeof mine, __FILE__, __LINE__);
    auto word = [&](int lane, int word) {
        u32 w;
        memcpy(&w, all[lane] + 4 * word, 4);
        return __uint_as_float(w & 0xffffe000u);
    };
    int g = exec::lane() / 4, t = exec::lane() % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + 8 * (i / 2), column = 2 * t + i % 2;
        for (int k = 0; k < 8; k++) {
            d[i] += word(row % 8 * 4 + k % 4, row / 8 + 2 * (k / 4)) * word(column * 4 + k % 4, 4 + k / 4);
        }
    }
#endif
}

/// To TF32, to nearest with ties away from zero.
DEVICE u32 to_tf32(float x) {
#if ON_GPU
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
#else
    u32 bits = __float_as_uint(x);
    return is_nan(x) || (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
#endif
}

/// Four 8×8 matrices of 16-bit elements from shared memory: lanes 8i … 8i+7 name the rows of matrix i, 16 bytes each.
///
/// Word i of a lane holds row g, columns 2t and 2t+1 of matrix i; `transposed`, row and column swapped.
template <bool transposed = false> DEVICE void load_matrices(u32 out[4], const void* row) {
#if ON_GPU
    u32 at = static_cast<u32>(__cvta_generic_to_shared(row));
    if (transposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(at) : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(at) : "memory");
    }
#else
    if (reinterpret_cast<u64>(row) & 15) exec::runner->fail("a misaligned row of a matrix load");
    auto all = exec::runner->exchange(&row, sizeof row, __FILE__, __LINE__);
    int g = exec::lane() / 4, t = exec::lane() % 4;
    for (int i = 0; i < 4; i++) {
        u16 pair[2];
        for (int j = 0; j < 2; j++) {
            int r = transposed ? 2 * t + j : g, c = transposed ? g : 2 * t + j;
            const u16* from;
            memcpy(&from, all[8 * i + r], sizeof from);
            pair[j] = from[c];
        }
        out[i] = pair[0] | u32(pair[1]) << 16;
    }
#endif
}
