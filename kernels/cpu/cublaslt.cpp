// A stand-in for cuBLASLt: products by plain loops, over the memory of the stand-in driver. Test equipment.
//
// It is asked as the library is: a product is described by attributes and layouts in columns, an algorithm is proposed for
// the description, and the product is put on a stream, which may be recording a graph. What was said when the algorithm was
// proposed must hold when the product is made: extents, transpositions, epilogue, alignments, workspace; else it is refused.
// Every matrix is read and written through the driver, which checks its bounds.
//
// In f32 an element is one chain of fused multiply-adds over k, as in our own kernels.
//
// Environment: SEQWEAVE_STANDIN_LT_VERSION, the version that it claims (130000); SEQWEAVE_STANDIN_LT_NONE, 1 to propose no
// algorithm.
#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

namespace {

// Numbers of cublasLt.h and library_types.h.
enum : int { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum : int { R_32F = 0, R_16BF = 14, COMPUTE_32F = 68, OP_N = 0, OP_T = 1, EPILOGUE_DEFAULT = 1, EPILOGUE_BIAS = 4 };
enum : int { TRANS_A = 3, TRANS_B = 4, EPILOGUE = 7, BIAS_POINTER = 8, BIAS_DATA_TYPE = 26 };
enum : int { MAX_WORKSPACE = 1, REDUCTIONS = 3, ALIGNMENT_A = 5, ALIGNMENT_D = 8 };

constexpr uint64_t MAGIC = 0x5e9bea0e;
/// What an algorithm of this library wants.
constexpr uint64_t WANTED_WORKSPACE = 1 << 20;

typedef unsigned long long Pointer;

struct Description {
    int compute, scale, trans_a = OP_N, trans_b = OP_N, epilogue = EPILOGUE_DEFAULT, bias_type = -1;
    Pointer bias = 0;
};
/// A matrix in columns.
struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t ld;
};
struct Preference {
    uint64_t workspace = 0;
    uint32_t reductions = 7, alignment[4] = {256, 256, 256, 256};
};
struct Algorithm { uint64_t data[8]; };
struct Proposal {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

std::mutex lock;
/// Everything that was created and not destroyed.
std::set<const void*> live;

int refuse(int code, const std::string& why) {
    fprintf(stderr, "stand-in cuBLASLt: %s\n", why.c_str());
    return code;
}

/// An entry of the driver that is loaded already.
template <class F> F driver(const char* name) {
    void* library = dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD);
    void* found = library ? dlsym(library, name) : nullptr;
    if (!found) {
        refuse(NOT_INITIALIZED, std::string("no driver with ") + name);
        abort();
    }
    return reinterpret_cast<F>(found);
}

template <class T> int create(void** result, T value) {
    std::lock_guard<std::mutex> hold(lock);
    *result = new T(value);
    live.insert(*result);
    return SUCCESS;
}

template <class T> int destroy(void* object) {
    std::lock_guard<std::mutex> hold(lock);
    if (!live.erase(object)) return refuse(INVALID_VALUE, "something is destroyed that does not exist");
    delete static_cast<T*>(object);
    return SUCCESS;
}

bool alive(std::initializer_list<const void*> objects) {
    std::lock_guard<std::mutex> hold(lock);
    for (const void* object : objects) {
        if (!live.count(object)) return false;
    }
    return true;
}

template <class T> int set(T* to, const void* from, size_t size) {
    if (!from || size != sizeof(T)) return refuse(INVALID_VALUE, "an attribute of " + std::to_string(size) + " bytes");
    memcpy(to, from, size);
    return SUCCESS;
}

/// A product: op(a): m×k, op(b): k×n, c: m×n, in columns.
struct Product {
    Description what;
    Layout a, b, c;
    uint64_t m, n, k;

    /// Whether the layouts fit each other.
    bool sound() {
        bool ta = what.trans_a == OP_T, tb = what.trans_b == OP_T;
        m = ta ? a.columns : a.rows, k = ta ? a.rows : a.columns, n = tb ? b.rows : b.columns;
        return m > 0 && n > 0 && k > 0 && (tb ? b.columns : b.rows) == k && c.rows == m && c.columns == n &&
               a.ld >= int64_t(a.rows) && b.ld >= int64_t(b.rows) && c.ld >= int64_t(c.rows) && a.type == b.type &&
               (a.type == R_32F || a.type == R_16BF) && c.type == R_32F && what.compute == COMPUTE_32F &&
               what.scale == R_32F && (what.epilogue == EPILOGUE_DEFAULT || (what.bias_type == R_32F && what.bias));
    }

    /// A number for all that an algorithm is for.
    uint64_t hash() const {
        uint64_t hash = 1469598103934665603u;
        for (uint64_t word : {m, n, k, uint64_t(a.ld), uint64_t(b.ld), uint64_t(c.ld), uint64_t(a.type), uint64_t(what.trans_a),
                              uint64_t(what.trans_b), uint64_t(what.epilogue)}) {
            hash = (hash ^ word) * 1099511628211u;
        }
        return hash;
    }
};

Product product_of(const void* what, const void* a, const void* b, const void* c) {
    return {*static_cast<const Description*>(what), *static_cast<const Layout*>(a), *static_cast<const Layout*>(b),
            *static_cast<const Layout*>(c), 0, 0, 0};
}

struct Call {
    Product product;
    float alpha, beta;
    Pointer a, b, c, d, bias;
};

/// The bytes from the first element of a matrix to its last.
size_t extent(const Layout& layout) {
    size_t element = layout.type == R_16BF ? 2 : 4;
    return ((layout.columns - 1) * layout.ld + layout.rows) * element;
}

void need(int code, const char* what) {
    if (code == 0) return;
    refuse(EXECUTION_FAILED, std::string(what) + " is not there");
    abort();
}

/// A matrix in f32, with its leading dimension as it lies.
std::vector<float> read(Pointer from, const Layout& layout, const char* what) {
    static auto copy = driver<int (*)(void*, Pointer, size_t)>("cuMemcpyDtoH_v2");
    size_t bytes = extent(layout);
    std::vector<unsigned char> raw(bytes);
    need(copy(raw.data(), from, bytes), what);
    std::vector<float> out(bytes / (layout.type == R_16BF ? 2 : 4));
    for (size_t i = 0; i < out.size(); i++) {
        uint32_t word = 0;
        if (layout.type == R_16BF) memcpy(reinterpret_cast<char*>(&word) + 2, &raw[2 * i], 2);
        else memcpy(&word, &raw[4 * i], 4);
        memcpy(&out[i], &word, 4);
    }
    return out;
}

/// What the stream does when it comes to a product.
void make(void* data) {
    static auto copy = driver<int (*)(Pointer, const void*, size_t)>("cuMemcpyHtoD_v2");
    const Call& call = *static_cast<Call*>(data);
    const Product& p = call.product;
    std::vector<float> a = read(call.a, p.a, "a"), b = read(call.b, p.b, "b"), bias;
    if (p.what.epilogue == EPILOGUE_BIAS) bias = read(call.bias, {R_32F, p.m, 1, int64_t(p.m)}, "the bias");
    for (uint64_t j = 0; j < p.n; j++) {
        Pointer column = call.d + j * p.c.ld * 4;
        std::vector<float> out = call.beta == 0 ? std::vector<float>(p.m) : read(call.c + j * p.c.ld * 4, {R_32F, p.m, 1, int64_t(p.m)}, "c");
        for (uint64_t i = 0; i < p.m; i++) {
            float sum = 0;
            for (uint64_t k = 0; k < p.k; k++) {
                float x = p.what.trans_a == OP_T ? a[i * p.a.ld + k] : a[k * p.a.ld + i];
                float y = p.what.trans_b == OP_T ? b[k * p.b.ld + j] : b[j * p.b.ld + k];
                sum = fmaf(x, y, sum);
            }
            out[i] = call.alpha * sum + (call.beta == 0 ? 0.0f : call.beta * out[i]) + (bias.empty() ? 0.0f : bias[i]);
        }
        need(copy(column, out.data(), p.m * 4), "d");
    }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) size_t cublasLtGetVersion() {
    const char* text = getenv("SEQWEAVE_STANDIN_LT_VERSION");
    return text ? strtoull(text, nullptr, 10) : 130000;
}
API cublasLtCreate(void** handle) {
    void* context = nullptr;
    driver<int (*)(void**)>("cuCtxGetCurrent")(&context);
    if (!context) return refuse(NOT_INITIALIZED, "no current context");
    return create(handle, MAGIC);
}
API cublasLtDestroy(void* handle) { return destroy<uint64_t>(handle); }

API cublasLtMatmulDescCreate(void** description, int compute, int scale) { return create(description, Description{compute, scale}); }
API cublasLtMatmulDescDestroy(void* description) { return destroy<Description>(description); }
API cublasLtMatmulDescSetAttribute(void* description, int which, const void* value, size_t size) {
    if (!alive({description})) return refuse(INVALID_VALUE, "a description that does not exist");
    auto* mine = static_cast<Description*>(description);
    switch (which) {
        case TRANS_A: return set(&mine->trans_a, value, size);
        case TRANS_B: return set(&mine->trans_b, value, size);
        case EPILOGUE: return set(&mine->epilogue, value, size);
        case BIAS_POINTER: return set(&mine->bias, value, size);
        case BIAS_DATA_TYPE: return set(&mine->bias_type, value, size);
        default: return refuse(INVALID_VALUE, "attribute " + std::to_string(which) + " of a description is not known here");
    }
}

API cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    return create(layout, Layout{type, rows, columns, ld});
}
API cublasLtMatrixLayoutDestroy(void* layout) { return destroy<Layout>(layout); }

API cublasLtMatmulPreferenceCreate(void** preference) { return create(preference, Preference()); }
API cublasLtMatmulPreferenceDestroy(void* preference) { return destroy<Preference>(preference); }
API cublasLtMatmulPreferenceSetAttribute(void* preference, int which, const void* value, size_t size) {
    if (!alive({preference})) return refuse(INVALID_VALUE, "a preference that does not exist");
    auto* mine = static_cast<Preference*>(preference);
    if (which == MAX_WORKSPACE) return set(&mine->workspace, value, size);
    if (which == REDUCTIONS) return set(&mine->reductions, value, size);
    if (which >= ALIGNMENT_A && which <= ALIGNMENT_D) return set(&mine->alignment[which - ALIGNMENT_A], value, size);
    return refuse(INVALID_VALUE, "attribute " + std::to_string(which) + " of a preference is not known here");
}

API cublasLtMatmulAlgoGetHeuristic(void* handle, void* description, void* a, void* b, void* c, void* d, void* preference, int most,
                                   Proposal* proposals, int* count) {
    *count = 0;
    if (!alive({handle, description, a, b, c, d, preference}) || c != d || most < 1) {
        return refuse(INVALID_VALUE, "an algorithm for what does not exist");
    }
    Product product = product_of(description, a, b, c);
    if (!product.sound()) return refuse(INVALID_VALUE, "an algorithm for matrices that do not fit");
    auto* preferred = static_cast<const Preference*>(preference);
    const char* none = getenv("SEQWEAVE_STANDIN_LT_NONE");
    if (none && *none == '1') return NOT_SUPPORTED;
    if (preferred->workspace < WANTED_WORKSPACE) return NOT_SUPPORTED;
    Proposal& first = *proposals = Proposal();
    first.algorithm.data[0] = MAGIC, first.algorithm.data[1] = product.hash();
    for (int i = 0; i < 4; i++) first.algorithm.data[2 + i] = preferred->alignment[i];
    first.workspace = WANTED_WORKSPACE, first.waves = 1;
    *count = 1;
    return SUCCESS;
}

API cublasLtMatmul(void* handle, void* description, const float* alpha, Pointer a, void* a_layout, Pointer b, void* b_layout,
                   const float* beta, Pointer c, void* c_layout, Pointer d, void* d_layout, const Algorithm* algorithm,
                   Pointer workspace, size_t workspace_bytes, void* stream) {
    if (!alive({handle, description, a_layout, b_layout, c_layout, d_layout}) || c_layout != d_layout) {
        return refuse(INVALID_VALUE, "a product of what does not exist");
    }
    Product product = product_of(description, a_layout, b_layout, c_layout);
    if (!product.sound()) return refuse(INVALID_VALUE, "a product of matrices that do not fit");
    if (!algorithm || algorithm->data[0] != MAGIC || algorithm->data[1] != product.hash()) {
        return refuse(INVALID_VALUE, "an algorithm that was proposed for another product");
    }
    const Pointer places[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++) {
        if (!places[i] || places[i] % algorithm->data[2 + i] != 0) return refuse(INVALID_VALUE, "a matrix that is less aligned than was said");
    }
    if (!workspace || workspace % 16 != 0 || workspace_bytes < WANTED_WORKSPACE) return refuse(INVALID_VALUE, "too small a workspace");
    // A graph may come to it any number of times, so it is never freed.
    auto* call = new Call{product, *alpha, *beta, a, b, c, d, product.what.bias};
    auto launch = driver<int (*)(void*, void (*)(void*), void*)>("cuLaunchHostFunc");
    return launch(stream, make, call) == 0 ? SUCCESS : EXECUTION_FAILED;
}
