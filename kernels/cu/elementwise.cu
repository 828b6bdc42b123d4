// Pointwise operations. CPU twin: crates/seqweave-tensor/src/ops/elementwise.rs, bit for bit.
//
// Launch of all: grid min(ceil(n/1024), 2048), block 256, no dynamic shared memory. `n` counts elements; `add` 0 sets the
// output, 1 adds to it. Neighbouring threads take neighbouring elements.
#include "prelude.cuh"

/// Calls `f(i)` for every i < n once, over the grid.
template <class F> DEVICE void for_each(int n, F f) {
#pragma unroll 4
    for (size_t i = grid_thread(); i < size_t(n); i += grid_threads()) f(i);
}

/// y (+)= a + b.
KERNEL(add, 256, 4)(const float* a, const float* b, float* y, int n, int add) {
    for_each(n, [=](size_t i) { put(add, a[i] + b[i], y + i); });
}

/// y (+)= a - b.
KERNEL(sub, 256, 4)(const float* a, const float* b, float* y, int n, int add) {
    for_each(n, [=](size_t i) { put(add, a[i] - b[i], y + i); });
}

/// y (+)= a·b, element by element.
KERNEL(mul, 256, 4)(const float* a, const float* b, float* y, int n, int add) {
    for_each(n, [=](size_t i) { put(add, a[i] * b[i], y + i); });
}

/// y (+)= s·x. With `add` it is axpy, with s = 1 a copy.
KERNEL(scale, 256, 4)(const float* x, float s, float* y, int n, int add) {
    for_each(n, [=](size_t i) { put(add, s * x[i], y + i); });
}

/// y = value.
KERNEL(fill, 256, 4)(float value, float* y, int n) {
    for_each(n, [=](size_t i) { y[i] = value; });
}

/// y = tanh(x).
KERNEL(tanh_forward, 256, 4)(const float* x, float* y, int n) {
    for_each(n, [=](size_t i) { y[i] = exact::tanh(x[i]); });
}

/// dx (+)= dy·(1 - y²) from the output y.
KERNEL(tanh_backward, 256, 4)(const float* y, const float* dy, float* dx, int n, int add) {
    for_each(n, [=](size_t i) { put(add, dy[i] * (1.0f - y[i] * y[i]), dx + i); });
}

/// y = 1/(1 + e^-x).
KERNEL(sigmoid_forward, 256, 4)(const float* x, float* y, int n) {
    for_each(n, [=](size_t i) { y[i] = exact::sigmoid(x[i]); });
}

/// dx (+)= dy·y·(1 - y) from the output y.
KERNEL(sigmoid_backward, 256, 4)(const float* y, const float* dy, float* dx, int n, int add) {
    for_each(n, [=](size_t i) { put(add, dy[i] * (y[i] * (1.0f - y[i])), dx + i); });
}

/// y = max(x, 0); NaN stays.
KERNEL(relu_forward, 256, 4)(const float* x, float* y, int n) {
    for_each(n, [=](size_t i) { y[i] = x[i] <= 0.0f ? 0.0f : x[i]; });
}

/// dx (+)= dy where y > 0, else 0, from the output y.
KERNEL(relu_backward, 256, 4)(const float* y, const float* dy, float* dx, int n, int add) {
    for_each(n, [=](size_t i) { put(add, y[i] <= 0.0f ? 0.0f : dy[i], dx + i); });
}

/// y[n,c] = x[n,c] + b[c], x and y: [N,C] with n = N·C elements.
KERNEL(add_bias, 256, 4)(const float* x, const float* b, float* y, int n, int columns) {
    for_each(n, [=](size_t i) { y[i] = x[i] + b[u32(i) % u32(columns)]; });
}
