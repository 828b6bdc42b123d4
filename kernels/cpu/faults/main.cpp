// Negative controls of the test equipment: each planted fault is launched through the stand-in driver, as a test would, and
// must be caught; so must be what a GPU refuses. Prints one line a case; the exit code is the number of those that went
// unnoticed.
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
int cuFuncSetAttribute(void*, int, int);
int cuLaunchCooperativeKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**);
int cuMemsetD8_v2(unsigned long long, unsigned char, size_t);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuStreamBeginCapture_v2(void*, int);
int cuStreamEndCapture(void*, void**);
int cuGraphInstantiateWithFlags(void**, void*, unsigned long long);
int cuGraphLaunch(void*, void*);
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

/// What a GPU refuses, by the code it refuses it with.
static bool refusals() {
    Pointer y;
    int n = N - 1;
    float host[N + 1] = {};
    void* arguments[] = {&y, &n};
    need(cuMemAlloc_v2(&y, N * 4));
    // The second has 1,024 bytes of shared memory of its own.
    void *f = kernel("out_of_bounds"), *own = kernel("missing_barrier"), *stream, *module, *function;
    need(cuStreamCreate(&stream, 0));
    // (what, the code it gave, the code it should give)
    struct { const char* what; int code, want; } rows[] = {
        {"a copy beyond the end", cuMemcpyHtoD_v2(y, host, (N + 1) * 4), 1},
        {"a copy beyond the end from the middle", cuMemcpyDtoH_v2(host, y + 4, N * 4), 1},
        {"a memset beyond the end", cuMemsetD8_v2(y, 0, N * 4 + 1), 1},
        {"more threads than declared", cuLaunchKernel(f, 1, 1, 1, 512, 1, 1, 0, nullptr, arguments, nullptr), 1},
        {"an empty grid", cuLaunchKernel(f, 0, 1, 1, 256, 1, 1, 0, nullptr, arguments, nullptr), 1},
        {"shared memory that was not asked for", cuLaunchKernel(f, 1, 1, 1, 256, 1, 1, 50000, nullptr, arguments, nullptr), 1},
        {"more shared memory than there is", cuFuncSetAttribute(f, 8, 200000), 1},
        {"shared memory that only fits without the kernel's own", cuLaunchKernel(own, 1, 1, 1, 256, 1, 1, 49152 - 1008, nullptr, arguments, nullptr), 1},
        {"more shared memory than the kernel's own leaves", cuFuncSetAttribute(own, 8, (163 << 10) - 1008), 1},
        {"as much as the kernel's own leaves, which is granted", cuFuncSetAttribute(own, 8, (163 << 10) - 1024), 0},
        {"a cooperative grid that is not resident", cuLaunchCooperativeKernel(f, 5000, 1, 1, 256, 1, 1, 0, nullptr, arguments), 720},
        {"a kernel that the image lacks", cuModuleLoadData(&module, ".version 8.0") + cuModuleGetFunction(&function, module, "out_of_bounds"), 500},
        {"an image that is none", cuModuleLoadData(&module, "nonsense"), 200},
        {"the end of a recording that never began", cuStreamEndCapture(stream, &module), 903},
        {"a recording on the default stream", cuStreamBeginCapture_v2(nullptr, 1), 900},
        {"memory freed that is not allocated", cuMemFree_v2(y + 4), 1},
    };
    bool good = true;
    for (auto& row : rows) {
        if (row.code == row.want) continue;
        printf("%s: code %d, not %d\n", row.what, row.code, row.want);
        good = false;
    }
    need(cuMemFree_v2(y));
    return good;
}

/// A recorded launch happens when the graph is launched, not before, and refuses to wait or allocate meanwhile.
static bool graph() {
    Pointer y, other;
    int n = N - 1;
    void *f = kernel("out_of_bounds"), *stream, *recorded, *executable;
    std::vector<float> out(N);
    need(cuMemAlloc_v2(&y, N * 4)), need(cuMemsetD8_v2(y, 0, N * 4)), need(cuStreamCreate(&stream, 0));
    auto filled = [&](float value) {
        need(cuMemcpyDtoH_v2(out.data(), y, N * 4));
        for (float x : out) if (x != value) return false;
        return true;
    };
    need(cuStreamBeginCapture_v2(stream, 1));
    void* arguments[] = {&y, &n};
    need(cuLaunchKernel(f, 1, 1, 1, 256, 1, 1, 0, stream, arguments, nullptr));
    n = -1;  // the recording has its own copy
    bool refused = cuMemAlloc_v2(&other, 4) == 900;
    need(cuStreamEndCapture(stream, &recorded)), need(cuGraphInstantiateWithFlags(&executable, recorded, 0));
    bool before = filled(0.0f);
    need(cuGraphLaunch(executable, stream)), need(cuStreamSynchronize(stream));
    bool after = filled(1.0f);
    need(cuMemsetD8_v2(y, 0, N * 4)), need(cuGraphLaunch(executable, stream));
    bool again = filled(1.0f);
    need(cuStreamBeginCapture_v2(stream, 1));
    bool broken = cuStreamSynchronize(stream) == 900 && cuStreamEndCapture(stream, &recorded) == 901;
    need(cuMemFree_v2(y));
    printf("graph: refused %d, before %d, after %d, again %d, broken %d\n", refused, before, after, again, broken);
    return refused && before && after && again && broken;
}

int main(int count, char** words) {
    void* context;
    need(cuInit(0)), need(cuDevicePrimaryCtxRetain(&context, 0)), need(cuCtxSetCurrent(context));
    // (name, test)
    const std::pair<const char*, bool (*)()> faults[] = {
        {"missing_barrier", missing_barrier}, {"divergent_barrier", divergent_barrier}, {"out_of_bounds", out_of_bounds}, {"refusals", refusals}, {"graph", graph}};
    int unnoticed = 0;
    for (auto [name, test] : faults) {
        if (count > 1 && strcmp(words[1], name) != 0) continue;
        bool caught = test();
        printf("%s: %s\n", name, caught ? "as it should be" : "UNNOTICED");
        unnoticed += !caught;
    }
    return unnoticed;
}
