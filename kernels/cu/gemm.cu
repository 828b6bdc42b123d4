// Matrix products in f32. CPU twin: crates/seqweave-tensor/src/ops/matmul.rs, bit for bit.
//
// c (+)= op(a)·op(b): op(a): [M,K], op(b): [K,N], c: [M,N], rows lda, ldb, ldc elements apart. With `ta` a is stored as its
// transpose [K,M], with `tb` b as [N,K]. Every element is one chain of fused multiply-adds over k = 0, 1, …, K-1, which
// starts at c (`add` 1), at bias[n] (if not null), or at 0. No tile size changes it: a row never depends on the others.
//
// Launch: grid (ceil(N/BN), ceil(M/BM)), block 256, no dynamic shared memory. Tiles: 128×128 for large products, 64×64, and
// 16×64 and 16×32 where larger ones are too few to keep the device busy; all give the same bits.
#include "prelude.cuh"

/// One BM×BN tile; a thread owns TM×TN elements, in groups of up to four that lie together.
///
/// Slices of BK steps of k are copied asynchronously to one half of the shared memory while the other half is multiplied.
template <int BM, int BN, int TM, int TN, int BK>
DEVICE void tile_f32(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb, int ldc,
                     int ta, int tb, int add) {
    constexpr int THREADS = 256, ROW_A = BM + 4, ROW_B = BN + 4;
    constexpr int ACROSS = BN / TN, DOWN = BM / TM, WM = TM < 4 ? TM : 4, WN = TN < 4 ? TN : 4;
    static_assert(ACROSS * DOWN == THREADS, "a thread for every TM×TN elements");
    SHARED(float, slices, 2 * BK * (ROW_A + ROW_B));
    int row0 = blockIdx.y * BM, column0 = blockIdx.x * BN;
    int tx = threadIdx.x % ACROSS, ty = threadIdx.x / ACROSS;
    auto row = [=](int i) { return i / WM * (DOWN * WM) + ty * WM + i % WM; };
    auto column = [=](int j) { return j / WN * (ACROSS * WN) + tx * WN + j % WN; };

    // Neighbouring threads copy what lies together: along k, or along the other axis where the operand is transposed.
    auto copy_slice = [=](int k0, float* to) {
        for (int e = threadIdx.x; e < BM * BK; e += THREADS) {
            int i = ta ? e % BM : e / BK, kk = ta ? e / BM : e % BK;
            bool inside = row0 + i < m && k0 + kk < k;
            size_t at = ta ? size_t(k0 + kk) * lda + row0 + i : size_t(row0 + i) * lda + k0 + kk;
            copy4_async(to + kk * ROW_A + i, inside ? a + at : a, inside);
        }
        to += BK * ROW_A;
        for (int e = threadIdx.x; e < BN * BK; e += THREADS) {
            int j = tb ? e / BK : e % BN, kk = tb ? e % BK : e / BN;
            bool inside = column0 + j < n && k0 + kk < k;
            size_t at = tb ? size_t(column0 + j) * ldb + k0 + kk : size_t(k0 + kk) * ldb + column0 + j;
            copy4_async(to + kk * ROW_B + j, inside ? b + at : b, inside);
        }
        copies_commit();
    };

    float sum[TM][TN];
#pragma unroll
    for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j++) {
            int r = row0 + row(i), s = column0 + column(j);
            bool inside = r < m && s < n;
            sum[i][j] = !inside ? 0.0f : add ? c[size_t(r) * ldc + s] : bias ? bias[s] : 0.0f;
        }
    }
    int count = ceil_div(k, BK);
    if (count > 0) copy_slice(0, slices);
    for (int slice = 0; slice < count; slice++) {
        float* here = slices + slice % 2 * BK * (ROW_A + ROW_B);
        copies_wait<0>();
        // All copies of this slice have come, and all threads are done with the other half.
        __syncthreads();
        if (slice + 1 < count) copy_slice((slice + 1) * BK, slices + (slice + 1) % 2 * BK * (ROW_A + ROW_B));
#pragma unroll 2
        for (int kk = 0; kk < BK; kk++) {
            float x[TM], y[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) x[i] = here[kk * ROW_A + row(i)];
#pragma unroll
            for (int j = 0; j < TN; j++) y[j] = here[BK * ROW_A + kk * ROW_B + column(j)];
#pragma unroll
            for (int i = 0; i < TM; i++) {
#pragma unroll
                for (int j = 0; j < TN; j++) sum[i][j] = fmaf(x[i], y[j], sum[i][j]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j++) {
            int r = row0 + row(i), s = column0 + column(j);
            if (r < m && s < n) c[size_t(r) * ldc + s] = sum[i][j];
        }
    }
}

/// c (+)= op(a)·op(b), tiles of 128×128.
KERNEL(gemm_f32_128x128, 256, 1)(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                                 int ldc, int ta, int tb, int add) {
    tile_f32<128, 128, 8, 8, 16>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b), tiles of 64×64.
KERNEL(gemm_f32_64x64, 256, 3)(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                               int ldc, int ta, int tb, int add) {
    tile_f32<64, 64, 4, 4, 16>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b), tiles of 16×64: for few rows, as in a step of a recurrence.
KERNEL(gemm_f32_16x64, 256, 4)(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                               int ldc, int ta, int tb, int add) {
    tile_f32<16, 64, 2, 2, 32>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b), tiles of 16×32: for few rows and columns.
KERNEL(gemm_f32_16x32, 256, 4)(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                               int ldc, int ta, int tb, int add) {
    tile_f32<16, 32, 1, 2, 32>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}
