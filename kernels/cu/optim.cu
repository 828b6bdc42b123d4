// Optimizer steps, one pass over the flat buffers that hold all parameters. CPU twins, bit for bit:
// crates/seqweave-tensor/src/ops/optim.rs and, for the factor on the gradient, crates/seqweave-tensor/src/ops/clip.rs.
//
// The factor is read from device memory, so that no host waits for a norm; where it is NaN, nothing is written. All
// buffers: n elements.
#include "prelude.cuh"

/// Whether x is finite in f32.
DEVICE bool fits(double x) { return float(x) - float(x) == 0.0f; }

/// factor[0] = min(1, clip/(√squares[0] + 1e-6)); numbers = (squares[0], the factor). clip = ∞ for none.
///
/// The factor is NaN if squares[0] or one of the `count` losses is not finite, and without a limit also if the squares do
/// not fit f32, in which Adam keeps them. Grid 1, block 32. `squares` comes from `chunk_sums` and `sum_partials`.
KERNEL(clip_factor, 32, 1)(const double* squares, const double* losses, int count, float clip, double* numbers, float* factor) {
    if (threadIdx.x != 0) return;
    double norm = sqrt(*squares);
    bool usable = norm - norm == 0.0 && (clip < INFINITY_F || fits(*squares));
    for (int i = 0; i < count; i++) usable = usable && fits(losses[i]);
    double scale = double(clip) / (norm + 1e-6);
    float f = !usable ? NAN_F : scale < 1.0 ? float(scale) : 1.0f;
    *factor = f;
    numbers[0] = *squares, numbers[1] = f;
}

/// The constants of an Adam step, as `AdamFactors` has them.
struct AdamFactors { float grad_scale, decay, shrink, mix1, beta2, mix2, step_size, root2, eps; };

DEVICE void adam_element(AdamFactors f, float g, float& p, float& m, float& v) {
    g = g * f.grad_scale + f.decay * p;
    m += (g - m) * f.mix1;
    v = v * f.beta2 + f.mix2 * g * g;
    p = p * f.shrink - f.step_size * m / (sqrtf(v) / f.root2 + f.eps);
}

/// m += (1-β₁)(g - m); v = β₂v + (1-β₂)g²; p = shrink·p - step_size·m/(√v/root2 + eps), g times factor[0] plus decay·p.
///
/// Adam: decay λ, shrink 1; AdamW: decay 0, shrink 1 - lr·λ. mix = 1-β, step_size = lr/(1-β₁ᵗ), root2 = √(1-β₂ᵗ).
/// `copy`, if not null, gets p in bfloat16. Grid min(ceil(n/1024), 4096), block 256; all pointers aligned to 16: a thread
/// four elements at once.
KERNEL(adam, 256, 4)(float* p, const float* g, float* m, float* v, bf16* copy, const float* factor, float decay, float shrink,
                     float mix1, float beta2, float mix2, float step_size, float root2, float eps, int n) {
    AdamFactors f{*factor, decay, shrink, mix1, beta2, mix2, step_size, root2, eps};
    if (is_nan(f.grad_scale)) return;
    for (size_t i = grid_thread(); i < size_t(n / 4); i += grid_threads()) {
        float4 p4 = reinterpret_cast<float4*>(p)[i], g4 = reinterpret_cast<const float4*>(g)[i];
        float4 m4 = reinterpret_cast<float4*>(m)[i], v4 = reinterpret_cast<float4*>(v)[i];
        adam_element(f, g4.x, p4.x, m4.x, v4.x);
        adam_element(f, g4.y, p4.y, m4.y, v4.y);
        adam_element(f, g4.z, p4.z, m4.z, v4.z);
        adam_element(f, g4.w, p4.w, m4.w, v4.w);
        reinterpret_cast<float4*>(p)[i] = p4;
        reinterpret_cast<float4*>(m)[i] = m4;
        reinterpret_cast<float4*>(v)[i] = v4;
        if (copy) reinterpret_cast<uint2*>(copy)[i] = make_uint2(pack_bf16(p4.x, p4.y), pack_bf16(p4.z, p4.w));
    }
    size_t i = size_t(n / 4 * 4) + grid_thread();
    if (i < size_t(n)) {
        adam_element(f, g[i], p[i], m[i], v[i]);
        if (copy) copy[i] = to_bf16(p[i]);
    }
}

/// p -= lr·(g·factor[0] + λ·p). Grid min(ceil(n/1024), 4096), block 256.
KERNEL(sgd, 256, 4)(float* p, const float* g, const float* factor, float lr, float decay, int n) {
    float scale = *factor;
    if (is_nan(scale)) return;
#pragma unroll 4
    for (size_t i = grid_thread(); i < size_t(n); i += grid_threads()) p[i] -= lr * (g[i] * scale + decay * p[i]);
}

/// g' = g·factor[0] + λ·p; b = μ·b + g'; p -= lr·(ahead·b + here·g'). Plain: ahead 1, here 0; Nesterov: ahead μ, here 1.
///
/// Grid min(ceil(n/1024), 4096), block 256.
KERNEL(sgd_momentum, 256, 4)(float* p, const float* g, float* buffer, const float* factor, float lr, float momentum, float ahead,
                             float here, float decay, int n) {
    float scale = *factor;
    if (is_nan(scale)) return;
#pragma unroll 4
    for (size_t i = grid_thread(); i < size_t(n); i += grid_threads()) {
        float gradient = g[i] * scale + decay * p[i];
        float b = momentum * buffer[i] + gradient;
        buffer[i] = b;
        p[i] -= lr * (ahead * b + here * gradient);
    }
}
