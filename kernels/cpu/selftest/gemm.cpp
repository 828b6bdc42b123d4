// Matrix products: f32 against the chain it promises, bit for bit; tensor-core products against f64 of rounded operands.
#include "../../cu/gemm.cu"
#include "../../cu/gemm_tensor.cu"
#include "check.h"

/// The extents of one product, and operands stored with rows `pad` elements longer than they need.
struct Case {
    int m, n, k, ta, tb, add;
    int lda(int pad = 0) const { return (ta ? m : k) + pad; }
    int ldb(int pad = 0) const { return (tb ? k : n) + pad; }
    float a(const Floats& x, int i, int kk, int pad = 0) const { return x[ta ? kk * lda(pad) + i : i * lda(pad) + kk]; }
    float b(const Floats& x, int kk, int j, int pad = 0) const { return x[tb ? j * ldb(pad) + kk : kk * ldb(pad) + j]; }
    size_t size_a(int pad = 0) const { return size_t(ta ? k : m) * lda(pad); }
    size_t size_b(int pad = 0) const { return size_t(tb ? n : k) * ldb(pad); }
};

typedef void (*F32)(const float*, const float*, const float*, float*, int, int, int, int, int, int, int, int, int);
typedef void (*Bf16)(const bf16*, const bf16*, const float*, float*, int, int, int, int, int, int, int, int, int);

static void in_f32(F32 kernel, int bm, int bn, Case x, int seed) {
    int pad = 3, ldc = x.n + 2;
    Floats a = wave(x.size_a(pad), 0.1), b = wave(x.size_b(pad), 0.2), bias = wave(x.n, 0.3), c(x.m * ldc, 0.5f);
    Floats want = c;
    for (int i = 0; i < x.m; i++) {
        for (int j = 0; j < x.n; j++) {
            float sum = x.add ? 0.5f : bias[j];
            for (int k = 0; k < x.k; k++) sum = fmaf(x.a(a, i, k, pad), x.b(b, k, j, pad), sum);
            want[i * ldc + j] = sum;
        }
    }
    RUN(kernel, dim3(ceil_div(x.n, bn), ceil_div(x.m, bm)), 256, 0, seed, a.data(), b.data(), bias.data(), c.data(), x.m, x.n, x.k,
        x.lda(pad), x.ldb(pad), ldc, x.ta, x.tb, x.add);
    expect_same("gemm_f32", c, want);
}

/// The result for operands that have been rounded already.
static std::vector<double> reference(Case x, const Floats& a, const Floats& b, const Floats& bias) {
    std::vector<double> want(x.m * x.n);
    for (int i = 0; i < x.m; i++) {
        for (int j = 0; j < x.n; j++) {
            double sum = x.add ? 0.5 : double(bias[j]);
            for (int k = 0; k < x.k; k++) sum += double(x.a(a, i, k)) * x.b(b, k, j);
            want[i * x.n + j] = sum;
        }
    }
    return want;
}

static void in_bf16(Bf16 kernel, int tile, int threads, size_t shared, Case x, int seed) {
    Floats a = wave(x.size_a(), 0.1), b = wave(x.size_b(), 0.2), bias = wave(x.n, 0.3), c(x.m * x.n, 0.5f);
    auto rounded = [&](const Floats& x, int columns, int* ld) {
        *ld = ceil_div(columns, 8) * 8;
        std::vector<bf16> y(x.size() / columns * *ld, bf16{0xffff});
        RUN(round_to_bf16, 2, 256, 0, seed, x.data(), y.data(), columns, *ld, int(y.size()));
        return y;
    };
    int lda, ldb;
    std::vector<bf16> ra = rounded(a, x.lda(), &lda), rb = rounded(b, x.ldb(), &ldb);
    RUN(kernel, dim3(ceil_div(x.n, tile), ceil_div(x.m, tile)), threads, shared, seed, ra.data(), rb.data(), bias.data(), c.data(),
        x.m, x.n, x.k, lda, ldb, x.n, x.ta, x.tb, x.add);
    for (float& y : a) y = to_float(to_bf16(y));
    for (float& y : b) y = to_float(to_bf16(y));
    expect_close("gemm_bf16", c, reference(x, a, b, bias), 3e-6 * std::sqrt(x.k));
}

/// The largest error against f64 of the operands as they are, in units of Σ|a·b|·2⁻²⁴, the rounding of one f32; with
/// `rounded`, the kernel is given operands that one TF32 part holds.
static double error_in_ulps(F32 kernel, int tile, int threads, size_t shared, Case x, int seed, bool rounded = false) {
    Floats a = wave(x.size_a(), 0.1), b = wave(x.size_b(), 0.2), c(x.m * x.n, 0.5f);
    std::vector<double> want = reference(x, a, b, Floats(x.n, 0.0f));
    Floats exact_a = a, exact_b = b;
    if (rounded) {
        for (float& y : a) y = __uint_as_float(to_tf32(y));
        for (float& y : b) y = __uint_as_float(to_tf32(y));
    }
    RUN(kernel, dim3(ceil_div(x.n, tile), ceil_div(x.m, tile)), threads, shared, seed, a.data(), b.data(), (const float*)nullptr,
        c.data(), x.m, x.n, x.k, x.lda(), x.ldb(), x.n, x.ta, x.tb, x.add);
    double worst = 0;
    for (int i = 0; i < x.m; i++) {
        for (int j = 0; j < x.n; j++) {
            double size = 0, error = std::fabs(double(c[i * x.n + j]) - want[i * x.n + j]);
            for (int k = 0; k < x.k; k++) size += std::fabs(double(x.a(exact_a, i, k)) * x.b(exact_b, k, j));
            worst = std::max(worst, error / (size + 0.5) * 16777216);
        }
    }
    return worst;
}

/// Split operands keep what f32 keeps: the error is that of the sum, as in f32; operands that are rounded to one part lose bits.
static void errors(Case x, int seed, double worst[3]) {
    double f32 = error_in_ulps(gemm_f32_64x64, 64, 256, 0, x, seed);
    double rounded = error_in_ulps(gemm_split_64x64, 64, 128, 40960, x, seed, true);
    double split = error_in_ulps(gemm_split_64x64, 64, 128, 40960, x, seed);
    EXPECT(split <= 4 + 2 * f32, "split: %g, f32: %g", split, f32);
    EXPECT(x.k < 64 || rounded > 16 * split, "rounded: %g, split: %g", rounded, split);
    EXPECT(error_in_ulps(gemm_split_128x128, 128, 256, 81920, x, seed) == split, "larger tiles");
    EXPECT(error_in_ulps(gemm_split_32x32, 32, 64, 20480, x, seed) == split, "smaller tiles");
    worst[0] = std::max(worst[0], f32), worst[1] = std::max(worst[1], split), worst[2] = std::max(worst[2], rounded);
}

int main() {
    double worst[3] = {};
    for (int transposed = 0; transposed < 4; transposed++) {
        for (auto [m, n, k] : {std::tuple{1, 1, 1}, {31, 33, 17}, {33, 65, 129}, {130, 140, 72}, {5, 200, 1025}}) {
            int seed = transposed + m;
            Case x{m, n, k, transposed & 1, transposed >> 1, seed & 1};
            in_f32(gemm_f32_128x128, 128, 128, x, seed);
            in_f32(gemm_f32_64x64, 64, 64, x, seed);
            in_f32(gemm_f32_16x64, 16, 64, x, seed);
            in_f32(gemm_f32_16x32, 16, 32, x, seed);
            in_bf16(gemm_bf16_128x128, 128, 256, 81920, x, seed);
            in_bf16(gemm_bf16_64x64, 64, 128, 40960, x, seed);
            in_bf16(gemm_bf16_32x32, 32, 64, 20480, x, seed);
            errors(x, seed, worst);
        }
    }
    printf("gemm: %d checks; errors in units of 2^-24 of the sum of magnitudes: f32 %.2f, split %.2f, tf32 %.2f\n", checks, worst[0],
           worst[1], worst[2]);
}
