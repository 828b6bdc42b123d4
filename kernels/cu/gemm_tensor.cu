// Matrix products on tensor cores: `mma.sync` in bfloat16, and in TF32 of operands in two parts, sums in f32.
// CPU twin: crates/seqweave-tensor/src/ops/matmul.rs, with operands rounded; sums differ in their last bits.
//
// TF32 has 11 significant bits, so an operand in f32 is split in two such parts, which hold 22 of its 24: three instructions
// multiply low by high, high by low and high by high, in this order, and the product is one of f32 but for its last bits. (Ootomo and Yokota 2022, "Recovering single precision accuracy from Tensor Cores", section 3.)
//
// c (+)= op(a)·op(b): op(a): [M,K], op(b): [K,N], c: [M,N] f32, rows lda, ldb, ldc elements apart. With `ta` a is stored as
// [K,M], with `tb` b as [N,K]. At the end c (`add` 1) or bias[n] (if not null) is added. K is summed in the order of the
// instruction's steps, 16 in bfloat16 and 8 in TF32, whatever the tile: a row never depends on the others.
//
// Launch: grid (ceil(N/BN), ceil(M/BM)); 128×128: block 256, 81,920 bytes of dynamic shared memory; 64×64: block 128,
// 40,960 bytes; 32×32: block 64, 20,480 bytes. Slices of K pass through four stages of asynchronous copies.
#include "prelude.cuh"

constexpr int STAGES = 4;

/// How a kind of element is copied and fed to the tensor cores; `K` is the extent of one instruction along k.
template <class T> struct Kind;
template <> struct Kind<bf16> { static constexpr int K = 16, BK = 32; };
template <> struct Kind<float> { static constexpr int K = 8, BK = 16; };

/// What becomes of an operand between shared memory and the tensor cores.
enum class Parts { AS_IT_IS, SPLIT };

/// Elements from one row of a stored tile to the next: with these paddings the accesses below meet no bank twice.
template <class T, int COLUMNS> DEVICE constexpr int pitch() {
    return COLUMNS + (sizeof(T) == 2 || COLUMNS > Kind<T>::BK ? 8 : 4);
}

/// Copies a stored tile of ROWS×COLUMNS elements, zeros beyond the matrix of rows×columns.
template <class T, int ROWS, int COLUMNS, int THREADS>
DEVICE void copy_tile(T* to, const T* from, int ld, int row0, int column0, int rows, int columns) {
    constexpr int PIECE = 16 / sizeof(T), PIECES = COLUMNS / PIECE, PITCH = pitch<T, COLUMNS>();
    bool wide = ld % PIECE == 0 && aligned16(from);
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * PIECES; i += THREADS) {
        int r = row0 + i / PIECES, c = column0 + i % PIECES * PIECE;
        T* piece = to + i / PIECES * PITCH + i % PIECES * PIECE;
        int left = r < rows ? columns - c : 0;
        left = left < 0 ? 0 : left > PIECE ? PIECE : left;
        const T* source = left > 0 ? from + size_t(r) * ld + c : from;
        if (wide || sizeof(T) == 2) {
            copy16_async(piece, source, left * int(sizeof(T)));
        } else {
            for (int j = 0; j < 4; j++) copy4_async(piece + j, j < left ? source + j : from, j < left);
        }
    }
}

/// The words of a at rows row0 … +15, one instruction's k from k0; the tile is stored [i][k], or [k][i] if TRANS.
template <bool TRANS, int BM> DEVICE void load_a(u32 out[4], const bf16* tile, int row0, int k0) {
    int l = lane();
    if (TRANS) {
        load_matrices<true>(out, tile + (k0 + l / 16 * 8 + l % 8) * pitch<bf16, BM>() + row0 + l / 8 % 2 * 8);
    } else {
        load_matrices(out, tile + (row0 + l % 16) * pitch<bf16, Kind<bf16>::BK>() + k0 + l / 16 * 8);
    }
}
template <bool TRANS, int BM> DEVICE void load_a(u32 out[4], const float* tile, int row0, int k0) {
    int g = lane() / 4, t = lane() % 4;
    constexpr int PITCH = TRANS ? pitch<float, BM>() : pitch<float, Kind<float>::BK>();
    auto at = [=](int i, int k) { return __float_as_uint(TRANS ? tile[(k0 + k) * PITCH + row0 + i] : tile[(row0 + i) * PITCH + k0 + k]); };
    out[0] = at(g, t), out[1] = at(g + 8, t), out[2] = at(g, t + 4), out[3] = at(g + 8, t + 4);
}

/// The words of b for two instructions side by side, columns column0 … +15; stored [k][n], or [n][k] if TRANS.
template <bool TRANS, int BN> DEVICE void load_b(u32 out[4], const bf16* tile, int column0, int k0) {
    int l = lane();
    if (TRANS) {
        load_matrices(out, tile + (column0 + l / 16 * 8 + l % 8) * pitch<bf16, Kind<bf16>::BK>() + k0 + l / 8 % 2 * 8);
    } else {
        load_matrices<true>(out, tile + (k0 + l / 8 % 2 * 8 + l % 8) * pitch<bf16, BN>() + column0 + l / 16 * 8);
    }
}
template <bool TRANS, int BN> DEVICE void load_b(u32 out[4], const float* tile, int column0, int k0) {
    int g = lane() / 4, t = lane() % 4;
    constexpr int PITCH = TRANS ? pitch<float, Kind<float>::BK>() : pitch<float, BN>();
    auto at = [=](int k, int j) { return __float_as_uint(TRANS ? tile[(column0 + j) * PITCH + k0 + k] : tile[(k0 + k) * PITCH + column0 + j]); };
    out[0] = at(t, g), out[1] = at(t + 4, g), out[2] = at(t, g + 8), out[3] = at(t + 4, g + 8);
}

DEVICE void multiply(bf16, float d[4], const u32 a[4], const u32 b[2]) { mma_bf16(d, a, b); }
DEVICE void multiply(float, float d[4], const u32 a[4], const u32 b[2]) { mma_tf32(d, a, b); }

/// Splits four numbers: x keeps what TF32 holds of them, `rest` gets what that leaves.
template <Parts PARTS> DEVICE void take_parts(u32 x[4], u32 rest[4]) {
    if (PARTS == Parts::AS_IT_IS) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float whole = __uint_as_float(x[i]);
        x[i] = to_tf32(whole);
        rest[i] = to_tf32(whole - __uint_as_float(x[i]));
    }
}

/// One BM×BN tile by 2×ACROSS warps, each of which owns (BM/2)×32 elements.
template <class T, Parts PARTS, int BM, int BN, bool TA, bool TB>
DEVICE void tile_tensor(const T* a, const T* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb, int ldc, int add) {
    constexpr int BK = Kind<T>::BK, ACROSS = BN / 32, THREADS = 2 * ACROSS * 32, MT = BM / 32;
    constexpr int SIZE_A = TA ? BK * pitch<T, BM>() : BM * pitch<T, BK>();
    constexpr int SIZE_B = TB ? BN * pitch<T, BK>() : BK * pitch<T, BN>();
    static_assert(SIZE_A % 8 == 0 && SIZE_B % 8 == 0, "stages stay aligned to 16 bytes");
    DYNAMIC_SHARED(unsigned char, shared);
    T* stages = reinterpret_cast<T*>(shared);
    int row0 = blockIdx.y * BM, column0 = blockIdx.x * BN;
    int warp_row = warp() / ACROSS * (BM / 2), warp_column = warp() % ACROSS * 32;

    auto copy_slice = [=](int slice) {
        T* to = stages + slice % STAGES * (SIZE_A + SIZE_B);
        if (TA) {
            copy_tile<T, BK, BM, THREADS>(to, a, lda, slice * BK, row0, k, m);
        } else {
            copy_tile<T, BM, BK, THREADS>(to, a, lda, row0, slice * BK, m, k);
        }
        if (TB) {
            copy_tile<T, BN, BK, THREADS>(to + SIZE_A, b, ldb, column0, slice * BK, n, k);
        } else {
            copy_tile<T, BK, BN, THREADS>(to + SIZE_A, b, ldb, slice * BK, column0, k, n);
        }
    };

    float sum[MT][4][4] = {};
    int count = ceil_div(k, BK);
    for (int slice = 0; slice < STAGES - 1; slice++) {
        if (slice < count) copy_slice(slice);
        copies_commit();
    }
    for (int slice = 0; slice < count; slice++) {
        copies_wait<STAGES - 2>();
        // This slice is there for all, and the stage that is filled next has been read by all.
        __syncthreads();
        if (slice + STAGES - 1 < count) copy_slice(slice + STAGES - 1);
        copies_commit();
        const T* tile_a = stages + slice % STAGES * (SIZE_A + SIZE_B);
        const T* tile_b = tile_a + SIZE_A;
#pragma unroll
        for (int k0 = 0; k0 < BK; k0 += Kind<T>::K) {
            u32 x[MT][4], y[2][4], rest_x[MT][4], rest_y[2][4];
#pragma unroll
            for (int i = 0; i < MT; i++) {
                load_a<TA, BM>(x[i], tile_a, warp_row + 16 * i, k0);
                take_parts<PARTS>(x[i], rest_x[i]);
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
                load_b<TB, BN>(y[j], tile_b, warp_column + 16 * j, k0);
                take_parts<PARTS>(y[j], rest_y[j]);
            }
#pragma unroll
            for (int i = 0; i < MT; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    if (PARTS == Parts::SPLIT) {
                        multiply(T(), sum[i][j], rest_x[i], y[j / 2] + j % 2 * 2);
                        multiply(T(), sum[i][j], x[i], rest_y[j / 2] + j % 2 * 2);
                    }
                    multiply(T(), sum[i][j], x[i], y[j / 2] + j % 2 * 2);
                }
            }
        }
    }
    int g = lane() / 4, t = lane() % 4;
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int r = row0 + warp_row + 16 * i + g + e / 2 * 8, s = column0 + warp_column + 8 * j + 2 * t + e % 2;
                if (r >= m || s >= n) continue;
                float* to = c + size_t(r) * ldc + s;
                *to = sum[i][j][e] + (add ? *to : bias ? bias[s] : 0.0f);
            }
        }
    }
}

/// `tile_tensor` for the storage of both operands.
template <class T, Parts PARTS, int BM, int BN>
DEVICE void product(const T* a, const T* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb, int ldc, int ta, int tb, int add) {
    if (ta) {
        if (tb) {
            tile_tensor<T, PARTS, BM, BN, true, true>(a, b, bias, c, m, n, k, lda, ldb, ldc, add);
        } else {
            tile_tensor<T, PARTS, BM, BN, true, false>(a, b, bias, c, m, n, k, lda, ldb, ldc, add);
        }
    } else if (tb) {
        tile_tensor<T, PARTS, BM, BN, false, true>(a, b, bias, c, m, n, k, lda, ldb, ldc, add);
    } else {
        tile_tensor<T, PARTS, BM, BN, false, false>(a, b, bias, c, m, n, k, lda, ldb, ldc, add);
    }
}

/// c (+)= op(a)·op(b) in bfloat16, tiles of 128×128. lda and ldb are multiples of 8, a and b aligned to 16.
KERNEL(gemm_bf16_128x128, 256, 1)(const bf16* a, const bf16* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                                  int ldc, int ta, int tb, int add) {
    product<bf16, Parts::AS_IT_IS, 128, 128>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b) in bfloat16, tiles of 64×64. lda and ldb are multiples of 8, a and b aligned to 16.
KERNEL(gemm_bf16_64x64, 128, 3)(const bf16* a, const bf16* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                                int ldc, int ta, int tb, int add) {
    product<bf16, Parts::AS_IT_IS, 64, 64>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b) in bfloat16, tiles of 32×32. lda and ldb are multiples of 8, a and b aligned to 16.
KERNEL(gemm_bf16_32x32, 64, 4)(const bf16* a, const bf16* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                               int ldc, int ta, int tb, int add) {
    product<bf16, Parts::AS_IT_IS, 32, 32>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b) of operands split in two TF32 parts each, tiles of 128×128; any lda and ldb, multiples of 4 are faster.
KERNEL(gemm_split_128x128, 256, 1)(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                                   int ldc, int ta, int tb, int add) {
    product<float, Parts::SPLIT, 128, 128>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b) of operands split in two TF32 parts each, tiles of 64×64; any lda and ldb, multiples of 4 are faster.
KERNEL(gemm_split_64x64, 128, 3)(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                                 int ldc, int ta, int tb, int add) {
    product<float, Parts::SPLIT, 64, 64>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// c (+)= op(a)·op(b) of operands split in two TF32 parts each, tiles of 32×32; any lda and ldb, multiples of 4 are faster.
KERNEL(gemm_split_32x32, 64, 4)(const float* a, const float* b, const float* bias, float* c, int m, int n, int k, int lda, int ldb,
                                int ldc, int ta, int tb, int add) {
    product<float, Parts::SPLIT, 32, 32>(a, b, bias, c, m, n, k, lda, ldb, ldc, ta, tb, add);
}

/// y[r,c] = x[r,c] in bfloat16 for c < columns, 0 for the rest of a row; y: [N, ld], n = N·ld elements, ld a multiple of 8.
///
/// What makes an operand of `gemm_bf16`. Grid min(ceil(n/1024), 2048), block 256.
KERNEL(round_to_bf16, 256, 4)(const float* x, bf16* y, int columns, int ld, int n) {
    // Without padding the rows are one long row, of which a thread takes eight elements at a time.
    if (columns == ld && aligned16(x)) {
        for (size_t i = grid_thread(); i < size_t(n) / 8; i += grid_threads()) {
            const float4* from = reinterpret_cast<const float4*>(x) + 2 * i;
            float4 p = from[0], q = from[1];
            uint4 out = make_uint4(pack_bf16(p.x, p.y), pack_bf16(p.z, p.w), pack_bf16(q.x, q.y), pack_bf16(q.z, q.w));
            reinterpret_cast<uint4*>(y)[i] = out;
        }
        return;
    }
#pragma unroll 4
    for (size_t i = grid_thread(); i < size_t(n); i += grid_threads()) {
        size_t row = u32(i) / u32(ld);
        int c = int(u32(i) % u32(ld));
        y[i] = c < columns ? to_bf16(x[row * columns + c]) : bf16{0};
    }
}
