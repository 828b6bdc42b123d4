// Pointwise kernels against the definitions.
#include "../../cu/elementwise.cu"
#include "check.h"

int main() {
    for (int n : {1, 31, 33, 1025, 5000}) {
        Floats a = wave(n, 0.1), b = wave(n, 0.7);
        for (float& x : a) x *= 12;
        std::vector<double> sums(n), tanhs(n), sigmoids(n), slopes(n);
        for (int i = 0; i < n; i++) {
            sums[i] = double(a[i]) + b[i], tanhs[i] = std::tanh(double(a[i])), sigmoids[i] = 1 / (1 + std::exp(-double(a[i])));
            slopes[i] = 1 + b[i] * (1 - tanhs[i] * tanhs[i]);
        }
        for (int seed = 0; seed < 3; seed++) {
            Floats y = unwritten(n);
            RUN(add, (n + 1023) / 1024, 256, 0, seed, a.data(), b.data(), y.data(), n, 0);
            expect_close("add", y, sums, 1e-6);
            RUN(sigmoid_forward, 2, 256, 0, seed, a.data(), y.data(), n);
            expect_close("sigmoid", y, sigmoids, 4e-7);
            RUN(tanh_forward, 2, 256, 0, seed, a.data(), y.data(), n);
            expect_close("tanh", y, tanhs, 4e-7);
            Floats dx(n, 1.0f);
            RUN(tanh_backward, 1, 256, 0, seed, y.data(), b.data(), dx.data(), n, 1);
            expect_close("tanh_backward", dx, slopes, 1e-5);
        }
    }
    for (float x : {-200.0f, -103.9f, -88.0f, -1.0f, 0.0f, 1e-8f, 1.0f, 88.7f, 100.0f}) {
        EXPECT(std::fabs(exact::exp(x) - std::exp(double(x))) <= 1e-7 * std::exp(double(x)) + 1e-45 || std::isinf(exact::exp(x)), "exp %g", x);
    }
    for (float x : {1e-40f, 1e-8f, 0.5f, 1.0f, 1.5f, 3e38f}) EXPECT(std::fabs(exact::ln(x) - std::log(double(x))) <= 1e-6 * (1 + std::fabs(std::log(x))), "ln %g", x);
    EXPECT(std::isnan(exact::tanh(NAN)) && std::isnan(exact::exp(NAN)) && std::isinf(exact::ln(0)) && std::isnan(exact::ln(-1)), "edges");
    printf("elementwise: %d checks\n", checks);
}
