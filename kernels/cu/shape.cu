// Operations that only move elements. CPU twin: crates/seqweave-tensor/src/ops/shape.rs, bit for bit.
#include "prelude.cuh"

/// y[r, at+i] (+)= x[r, from+i] for i < width; x: [N,Cx], y: [N,Cy], n = N·width elements.
///
/// One call a part is `concat_last`, `slice_last` and its backward. Grid min(ceil(n/1024), 2048), block 256.
KERNEL(copy_columns, 256, 4)(const float* x, int x_columns, int from, float* y, int y_columns, int at, int width, int n, int add) {
    for (size_t i = grid_thread(); i < size_t(n); i += grid_threads()) {
        size_t row = u32(i) / u32(width);
        int c = int(u32(i) % u32(width));
        put(add, x[row * x_columns + from + c], y + row * y_columns + at + c);
    }
}

/// dx[r, c] = dy[r, c-start] for c in start..start+width, else 0; dx: [N,C] with n = N·C elements: `pad_slice`, set.
///
/// Grid min(ceil(n/1024), 2048), block 256.
KERNEL(pad_slice, 256, 4)(const float* dy, int width, int start, float* dx, int columns, int n) {
    for (size_t i = grid_thread(); i < size_t(n); i += grid_threads()) {
        size_t row = u32(i) / u32(columns);
        int c = int(u32(i) % u32(columns)) - start;
        dx[i] = c >= 0 && c < width ? dy[row * width + c] : 0.0f;
    }
}

/// y[b,a,i] (+)= x[a,b,i], x: [A,B,I]: time-major to batch-major and back.
///
/// Grid min(ceil(A·B·I/1024), 2048), block 256; neighbouring threads write neighbouring elements.
KERNEL(swap01, 256, 4)(const float* x, float* y, int a_extent, int b_extent, int inner, int add) {
    size_t n = size_t(a_extent) * b_extent * inner;
    for (size_t at = grid_thread(); at < n; at += grid_threads()) {
        u32 pair = u32(at / u32(inner)), i = u32(at % u32(inner));
        u32 a = pair % u32(a_extent), b = pair / u32(a_extent);
        put(add, x[(size_t(a) * b_extent + b) * inner + i], y + at);
    }
}
