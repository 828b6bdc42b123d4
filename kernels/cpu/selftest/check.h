// What the self-tests share: numbers by formula, launches over several schedules, comparison with a reference.
//
// Each test is one program: g++ -std=c++17 -O1 -ffp-contract=off -pthread kernels/cpu/selftest/NAME.cpp, and once more with
// -fsanitize=address,undefined.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../cu/prelude.cuh"

typedef std::vector<float> Floats;

/// Smooth numbers in (-1, 1) that repeat nowhere.
inline Floats wave(size_t n, double phase) {
    Floats x(n);
    for (size_t i = 0; i < n; i++) x[i] = float(std::sin(1.7 * double(i) + phase) * std::cos(0.31 * double(i)));
    return x;
}
/// Memory that nobody has written.
inline Floats unwritten(size_t n) { return Floats(n, __builtin_nanf("")); }

inline int checks = 0;

#define EXPECT(condition, ...)                                              \
    do {                                                                    \
        checks++;                                                           \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fprintf(stderr, "\n");                                          \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

/// Runs a kernel under one schedule; a fault ends the test.
template <class... A, class... B>
void run(const char* name, dim3 grid, int block, size_t shared, int seed, bool cooperative, void (*kernel)(A...), B... arguments) {
    exec::Launch launch{name, grid, dim3(block), shared, uint64_t(seed), cooperative};
    std::string error = exec::launch(launch, kernel, arguments...);
    EXPECT(error.empty(), "%s", error.c_str());
}
#define RUN(kernel, grid, block, shared, seed, ...) run(#kernel, grid, block, shared, seed, false, kernel, __VA_ARGS__)
#define RUN_TOGETHER(kernel, grid, block, shared, seed, ...) run(#kernel, grid, block, shared, seed, true, kernel, __VA_ARGS__)

/// Every element within `tolerance·(1 + |want|)`.
template <class W> void expect_close(const char* what, const Floats& got, const std::vector<W>& want, double tolerance) {
    EXPECT(got.size() == want.size(), "%s: %zu elements, not %zu", what, got.size(), want.size());
    for (size_t i = 0; i < want.size(); i++) {
        double difference = std::fabs(double(got[i]) - double(want[i]));
        EXPECT(difference <= tolerance * (1 + std::fabs(double(want[i]))), "%s[%zu] = %g, not %g", what, i, got[i], double(want[i]));
    }
}

/// The same bits.
inline void expect_same(const char* what, const Floats& got, const Floats& want) {
    EXPECT(got.size() == want.size(), "%s: %zu elements, not %zu", what, got.size(), want.size());
    for (size_t i = 0; i < want.size(); i++) {
        EXPECT(memcmp(&got[i], &want[i], 4) == 0, "%s[%zu] = %.9g, not %.9g", what, i, got[i], want[i]);
    }
}
