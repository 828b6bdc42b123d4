// Negative controls of the test equipment: each planted fault is launched through the stand-in driver, as a test would, and
// must be caught. Prints one line a fault; the exit code is the number of those that went unnoticed.
//
// `faults NAME` launches one: out_of_bounds ends the process when AddressSanitizer is compiled in.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuMemAlloc_v2(unsigned long long*, size_t);
int cuMemFree_v2(unsigned long long);
int cuMemcpyHtoD_v2(unsigned long long, const void*, size_t);
int cuMemcpyDtoH_v2(void*, unsigned long long, size_t);
int cuModuleLoadData(void**, const void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int cuGetErrorString(int, const char**);
}

typedef unsigned long long Pointer;
static constexpr int N = 256;

static void need(int code) {
    if (code == 0) return;
    printf("the stand-in refused a call with code %d\n", code);
    exit(99);
}

static void* kernel(const char* name) {
    // The stand-in looks for the name in the image, and for the code in itself.
    std::string image = std::string(".version 8.0 ") + name;
    void *module, *function;
    need(cuModuleLoadData(&module, image.c_str()));
    need(cuModuleGetFunction(&function, module, name));
    return function;
}

static int launch(void* function, std::vector<void*> arguments, unsigned blocks = 1) {
    return cuLaunchKernel(function, blocks, 1, 1, 256, 1, 1, 0, nullptr, arguments.data(), nullptr);
}

/// Every launch of the stand-in has a seed of its own, so eight launches are eight schedules.
static bool missing_barrier() {
    Pointer x, y;
    need(cuMemAlloc_v2(&x, N * 4)), need(cuMemAlloc_v2(&y, N * 4));
    std::vector<float> values(N), out(N);
    for (int i = 0; i < N; i++) values[i] = float(i);
    need(cuMemcpyHtoD_v2(x, values.data(), N * 4));
    std::set<std::string> results;
    void* function = kernel("missing_barrier");
    for (int i = 0; i < 8; i++) {
        need(launch(function, {&x, &y}));
        need(cuMemcpyDtoH_v2(out.data(), y, N * 4));
        results.emplace(reinterpret_cast<char*>(out.data()), N * 4);
    }
    need(cuMemFree_v2(x)), need(cuMemFree_v2(y));
    printf("missing barrier: %zu results of 8 schedules\n", results.size());
    return results.size() > 1;
}

static bool divergent_barrier() {
    Pointer y;
    need(cuMemAlloc_v2(&y, N * 4));
    int code = launch(kernel("divergent_barrier"), {&y});
    const char* why = "";
    if (code) cuGetErrorString(code, &why);
    need(cuMemFree_v2(y));
    printf("divergent barrier: code %d: %s\n", code, why);
    return code == 719 && strstr(why, "divergent barrier") && strstr(why, "divergent_barrier.cu:");
}

/// Without the sanitizer the guard behind the allocation tells, when it is freed.
static bool out_of_bounds() {
    Pointer y;
    int n = N;
    need(cuMemAlloc_v2(&y, N * 4));
    need(launch(kernel("out_of_bounds"), {&y, &n}, 2));
    int code = cuMemFree_v2(y);
    printf("out of bounds: code %d when freed\n", code);
    return code == 700;
}

int main(int count, char** words) {
    void* context;
    need(cuInit(0)), need(cuDevicePrimaryCtxRetain(&context, 0)), need(cuCtxSetCurrent(context));
    // (name, test)
    const std::pair<const char*, bool (*)()> faults[] = {
        {"missing_barrier", missing_barrier}, {"divergent_barrier", divergent_barrier}, {"out_of_bounds", out_of_bounds}};
    int unnoticed = 0;
    for (auto [name, test] : faults) {
        if (count > 1 && strcmp(words[1], name) != 0) continue;
        bool caught = test();
        printf("%s: %s\n", name, caught ? "caught" : "NOT CAUGHT");
        unnoticed += !caught;
    }
    return unnoticed;
}
