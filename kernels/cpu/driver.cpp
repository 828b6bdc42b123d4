// A stand-in for the CUDA driver: libcuda over host memory and the executor of exec.h. Test equipment.
//
// Tests have its folder in LD_LIBRARY_PATH; its name is libcuda.so, so what asks for the driver gets this one, and the host
// code under test is the unchanged one. Work is done at once, on the thread
// that asks for it: streams and events keep only what can be seen of them.
//
// What a GPU refuses is refused: blocks and shared memory beyond the limits, cooperative grids that are not resident at
// once, calls without a context, copies beyond an allocation, allocations while a stream records. Fresh memory is all
// ones, which as floats is NaN. The limits are those of compute capability 8.0 with 108 multiprocessors.
//
// Environment: SEQWEAVE_STANDIN_SEED, the schedule of the kernels (0); SEQWEAVE_STANDIN_MEMORY, bytes of the device (4 GiB);
// SEQWEAVE_STANDIN_DEVICES, how many there are (1); SEQWEAVE_STANDIN_SMS, multiprocessors of each (108);
// SEQWEAVE_STANDIN_CAPABILITY, the compute capability that it claims, times ten (80); SEQWEAVE_STANDIN_VERSION, the CUDA
// version that the driver claims (13000); SEQWEAVE_STANDIN_GRAPHS, 0 to refuse to record graphs.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "standin.h"

#define API extern "C" __attribute__((visibility("default"))) int

namespace {

// Results, as cuda.h numbers them.
enum : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    COOPERATIVE_TOO_LARGE = 720,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_UNMATCHED = 903,
    UPDATE_FAILED = 910,
};

typedef unsigned long long Pointer;
typedef std::chrono::steady_clock Clock;

// Limits of the device.
constexpr unsigned MAX_THREADS = 1024, SM_THREADS = 2048, SM_BLOCKS = 32;
constexpr size_t BLOCK_SHARED = 48 << 10, OPT_IN_SHARED = 163 << 10, SM_SHARED = 164 << 10, RESERVED_SHARED = 1 << 10;

/// Behind every allocation, to see writes beyond its end; AddressSanitizer sees them itself, and sooner.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t GUARD = 0;
#else
constexpr size_t GUARD = 64;
#endif
constexpr unsigned char GUARD_BYTE = 0xA5;

struct Context { int device; };

/// What a stream would have done, and of which kind each is: an update changes what a node does, not its kind.
struct Graph {
    std::vector<std::function<int()>> nodes;
    std::vector<std::string> kinds;
};

struct Stream {
    bool recording = false, broken = false;
    Graph graph;
};

struct Event {
    bool timed = true, recorded = false;
    Clock::time_point when;
};

struct Function {
    const standin::Kernel* kernel;
    /// Bytes of dynamic shared memory that a launch may ask for: what the kernel's own leave of the limit.
    size_t max_shared;
    explicit Function(const standin::Kernel* kernel) : kernel(kernel), max_shared(BLOCK_SHARED - kernel->static_shared) {}
};

struct Module {
    std::string image;
    std::map<std::string, Function> functions;
};

uint64_t number_from(const char* name, uint64_t otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

/// Multiprocessors.
unsigned sms() { return unsigned(number_from("SEQWEAVE_STANDIN_SMS", 108)); }

/// Compute capability, times ten.
unsigned capability() { return unsigned(number_from("SEQWEAVE_STANDIN_CAPABILITY", 80)); }

std::recursive_mutex lock;
bool initialized = false;
std::map<int, Context> primary;
std::map<Pointer, size_t> allocations;
std::map<Pointer, size_t> pinned;
std::set<Stream*> streams;
std::set<Event*> events;
std::set<Graph*> graphs;
std::set<Module*> modules;
Stream default_stream;
size_t used = 0;
uint64_t launches = 0;

thread_local Context* current = nullptr;
/// Streams that this thread has told to record.
thread_local int recording_here = 0;
/// What the last failed call of this thread would say.
thread_local std::string reason;

typedef std::lock_guard<std::recursive_mutex> Hold;

/// A failure with its reason, which `cuGetErrorString` gives and standard error shows.
int refuse(int code, const std::string& why) {
    reason = why;
    fprintf(stderr, "stand-in driver: %s\n", why.c_str());
    return code;
}

int need_context() {
    if (!initialized) return refuse(NOT_INITIALIZED, "a call before cuInit");
    if (!current) return refuse(INVALID_CONTEXT, "a call on a thread without a current context");
    return SUCCESS;
}

/// For calls that a recording stream of the thread forbids.
int need_no_recording(const char* what) {
    if (recording_here == 0) return SUCCESS;
    return refuse(CAPTURE_UNSUPPORTED, std::string(what) + " while a stream of this thread records a graph");
}

#define NEED(check) \
    if (int code = (check)) return code

/// The stream behind a handle; 0, 1 and 2 are names of the default one.
Stream* stream_of(void* handle) {
    if (uintptr_t(handle) <= 2) return &default_stream;
    auto* stream = static_cast<Stream*>(handle);
    return streams.count(stream) ? stream : nullptr;
}

/// Does the work now, or notes it down if the stream records.
int enqueue(void* handle, const std::string& kind, std::function<int()> work) {
    NEED(need_context());
    {
        Hold hold(lock);
        Stream* stream = stream_of(handle);
        if (!stream) return refuse(INVALID_HANDLE, "a stream that does not exist");
        if (stream->recording) {
            if (stream->broken) return refuse(CAPTURE_INVALIDATED, "the recording of this stream was broken before");
            stream->graph.nodes.push_back(std::move(work));
            stream->graph.kinds.push_back(kind);
            return SUCCESS;
        }
    }
    return work();
}

/// Whether `bytes` from `pointer` lie within one allocation.
int need_device(Pointer pointer, size_t bytes, const char* what) {
    if (bytes == 0) return SUCCESS;
    Hold hold(lock);
    auto next = allocations.upper_bound(pointer);
    if (next != allocations.begin()) {
        auto [start, size] = *std::prev(next);
        if (pointer - start <= size && bytes <= size - (pointer - start)) return SUCCESS;
        if (pointer - start < size) {
            return refuse(INVALID_VALUE, std::string(what) + " of " + std::to_string(bytes) + " bytes at offset " +
                                             std::to_string(pointer - start) + " of an allocation of " +
                                             std::to_string(size));
        }
    }
    return refuse(INVALID_VALUE, std::string(what) + " of memory that is not allocated");
}

int allocate(Pointer* result, size_t bytes) {
    NEED(need_context());
    if (!result || bytes == 0) return refuse(INVALID_VALUE, "an allocation of no bytes");
    Hold hold(lock);
    size_t total = number_from("SEQWEAVE_STANDIN_MEMORY", size_t(4) << 30);
    if (bytes > total - std::min(used, total)) {
        return refuse(OUT_OF_MEMORY, "out of memory: " + std::to_string(bytes) + " bytes asked for, " +
                                         std::to_string(total - std::min(used, total)) + " free");
    }
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, bytes + GUARD) != 0) return refuse(OUT_OF_MEMORY, "the host is out of memory");
    memset(memory, 0xFF, bytes);
    if (GUARD) memset(static_cast<char*>(memory) + bytes, GUARD_BYTE, GUARD);
    *result = reinterpret_cast<Pointer>(memory);
    allocations[*result] = bytes;
    used += bytes;
    return SUCCESS;
}

/// Whether nothing was written behind an allocation.
bool guard_holds(Pointer start, size_t size) {
    auto* guard = reinterpret_cast<unsigned char*>(start + size);
    for (size_t i = 0; i < GUARD; i++) {
        if (guard[i] != GUARD_BYTE) return false;
    }
    return true;
}

int release(Pointer pointer) {
    NEED(need_context());
    if (pointer == 0) return SUCCESS;
    Hold hold(lock);
    auto found = allocations.find(pointer);
    if (found == allocations.end()) return refuse(INVALID_VALUE, "memory is freed that is not allocated, or a second time");
    size_t bytes = found->second;
    bool good = guard_holds(pointer, bytes);
    allocations.erase(found);
    used -= bytes;
    free(reinterpret_cast<void*>(pointer));
    if (!good) return refuse(ILLEGAL_ADDRESS, "something was written behind an allocation of " + std::to_string(bytes) + " bytes");
    return SUCCESS;
}

unsigned resident_blocks(const Function& f, unsigned threads, size_t shared) {
    unsigned blocks = std::min(SM_BLOCKS, SM_THREADS / std::max(threads, 32u));
    blocks = std::min<size_t>(blocks, SM_SHARED / (shared + f.kernel->static_shared + RESERVED_SHARED));
    // How many the registers allow is not known here; the declaration promises this many.
    return std::min(blocks, std::max(f.kernel->min_blocks, 1u));
}

int launch(Function* f, dim3 grid, dim3 block, size_t shared, void* stream, void** arguments, bool cooperative) {
    NEED(need_context());
    if (!f) return refuse(INVALID_HANDLE, "a launch of no function");
    const standin::Kernel& kernel = *f->kernel;
    auto no = [&](int code, const std::string& why) { return refuse(code, std::string("kernel ") + kernel.name + ": " + why); };
    uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (!grid.x || !grid.y || !grid.z || !threads) return no(INVALID_VALUE, "an empty grid or block");
    if (grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535) return no(INVALID_VALUE, "a grid beyond the limits");
    if (threads > MAX_THREADS || block.z > 64) return no(INVALID_VALUE, "a block of more than 1024 threads");
    if (threads > kernel.threads) {
        return no(INVALID_VALUE, "a block of " + std::to_string(threads) + " threads, declared for " + std::to_string(kernel.threads));
    }
    if (shared > f->max_shared) {
        return no(INVALID_VALUE, std::to_string(shared) + " bytes of dynamic shared memory, allowed are " + std::to_string(f->max_shared));
    }
    if (kernel.cooperative && !cooperative) return no(LAUNCH_FAILED, "its blocks wait for each other: launch it cooperatively");
    uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    uint64_t resident = uint64_t(sms()) * resident_blocks(*f, threads, shared);
    if (cooperative && blocks > resident) {
        return no(COOPERATIVE_TOO_LARGE, std::to_string(blocks) + " blocks launched cooperatively, " + std::to_string(resident) + " are resident");
    }
    if (!arguments && !kernel.sizes.empty()) return no(INVALID_VALUE, "no arguments");
    // A recorded launch keeps its arguments.
    std::vector<std::vector<char>> kept;
    for (size_t i = 0; i < kernel.sizes.size(); i++) {
        auto* from = static_cast<const char*>(arguments[i]);
        if (!from) return no(INVALID_VALUE, "argument " + std::to_string(i) + " is missing");
        kept.emplace_back(from, from + kernel.sizes[i]);
    }
    return enqueue(stream, std::string("kernel ") + kernel.name, [=]() mutable {
        std::vector<void*> pointers;
        for (auto& argument : kept) pointers.push_back(argument.data());
        exec::Launch what{kernel.name, grid, block};
        what.shared = shared;
        what.cooperative = cooperative;
        {
            Hold hold(lock);
            what.seed = number_from("SEQWEAVE_STANDIN_SEED", 0) * 1000003 + launches++;
        }
        void** list = pointers.data();
        auto call = f->kernel->call;
        std::string wrong = exec::run(what, [=] { call(list); });
        return wrong.empty() ? SUCCESS : refuse(LAUNCH_FAILED, wrong);
    });
}

int copy(void* to, const void* from, size_t bytes) {
    memmove(to, from, bytes);
    return SUCCESS;
}

int host_to_device(Pointer to, const void* from, size_t bytes) {
    NEED(need_device(to, bytes, "a copy to the device"));
    return copy(reinterpret_cast<void*>(to), from, bytes);
}

int device_to_host(void* to, Pointer from, size_t bytes) {
    NEED(need_device(from, bytes, "a copy from the device"));
    return copy(to, reinterpret_cast<void*>(from), bytes);
}

int device_to_device(Pointer to, Pointer from, size_t bytes) {
    NEED(need_device(to, bytes, "a copy on the device"));
    NEED(need_device(from, bytes, "a copy on the device"));
    return copy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
}

template <class T>
int set_memory(Pointer to, T value, size_t count) {
    NEED(need_device(to, count * sizeof(T), "a memset"));
    std::fill_n(reinterpret_cast<T*>(to), count, value);
    return SUCCESS;
}

/// The bytes of an image: an ELF file says itself how long it is, PTX is text.
std::string image_bytes(const char* image) {
    if (memcmp(image, "\x7f" "ELF", 4) != 0) return image;
    uint64_t sections;
    uint16_t size, count;
    memcpy(&sections, image + 40, 8), memcpy(&size, image + 58, 2), memcpy(&count, image + 60, 2);
    return std::string(image, sections + uint64_t(size) * count);
}

}  // namespace

// Start, devices, contexts.

API cuInit(unsigned) {
    initialized = true;
    return SUCCESS;
}
API cuDriverGetVersion(int* version) {
    *version = int(number_from("SEQWEAVE_STANDIN_VERSION", 13000));
    return SUCCESS;
}
API cuDeviceGetCount(int* count) {
    *count = int(number_from("SEQWEAVE_STANDIN_DEVICES", 1));
    return initialized ? SUCCESS : NOT_INITIALIZED;
}
API cuDeviceGet(int* device, int ordinal) {
    int count = 0;
    NEED(cuDeviceGetCount(&count));
    *device = ordinal;
    return ordinal >= 0 && ordinal < count ? SUCCESS : refuse(INVALID_DEVICE, "no device " + std::to_string(ordinal));
}
API cuDeviceGetName(char* name, int length, int) {
    snprintf(name, length, "stand-in for a GPU, on the CPU");
    return SUCCESS;
}
API cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = number_from("SEQWEAVE_STANDIN_MEMORY", size_t(4) << 30);
    return SUCCESS;
}
API cuDeviceGetUuid(char* uuid, int device) {
    memset(uuid, 0, 16);
    uuid[15] = char(device);
    return SUCCESS;
}
API cuDeviceGetUuid_v2(char* uuid, int device) { return cuDeviceGetUuid(uuid, device); }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    if (attribute == 16) return *value = int(sms()), SUCCESS;
    if (attribute == 75) return *value = int(capability() / 10), SUCCESS;
    if (attribute == 76) return *value = int(capability() % 10), SUCCESS;
    // (number in cuda.h, value)
    static const std::map<int, int> known = {
        {1, MAX_THREADS}, {2, 1024}, {3, 1024}, {4, 64}, {5, 0x7FFFFFFF}, {6, 65535}, {7, 65535}, {8, BLOCK_SHARED},
        {9, 65536}, {10, 32}, {12, 65536}, {13, 1410000}, {17, 0}, {18, 0}, {19, 1}, {20, 0}, {31, 1}, {32, 1},
        {33, 0}, {34, 0}, {35, 0}, {36, 1215000}, {37, 5120}, {38, 40 << 20}, {39, SM_THREADS}, {40, 3}, {41, 1}, {50, 0},
        {78, 1}, {79, 1}, {80, 1}, {81, SM_SHARED}, {82, 65536}, {83, 1}, {95, 1}, {97, OPT_IN_SHARED},
        {106, SM_BLOCKS}, {111, RESERVED_SHARED}, {115, 1},
    };
    auto found = known.find(attribute);
    if (found == known.end()) return refuse(INVALID_VALUE, "device attribute " + std::to_string(attribute) + " is not known here");
    *value = found->second;
    return SUCCESS;
}
API cuDevicePrimaryCtxRetain(void** context, int device) {
    if (!initialized) return NOT_INITIALIZED;
    Hold hold(lock);
    Context& mine = primary[device];
    mine.device = device;
    *context = &mine;
    return SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuCtxSetCurrent(void* context) {
    current = static_cast<Context*>(context);
    return SUCCESS;
}
API cuCtxGetCurrent(void** context) {
    *context = current;
    return SUCCESS;
}
API cuCtxGetDevice(int* device) {
    NEED(need_context());
    *device = current->device;
    return SUCCESS;
}
API cuCtxSynchronize() {
    NEED(need_context());
    return need_no_recording("a wait for the device");
}
API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return SUCCESS;
}
API cuCtxSetFlags(unsigned) { return SUCCESS; }
API cuCtxSetCacheConfig(int) { return SUCCESS; }
API cuCtxSetLimit(int, size_t) { return SUCCESS; }
API cuProfilerStart() { return SUCCESS; }
API cuProfilerStop() { return SUCCESS; }

// Errors.

namespace {
/// (code, name, text)
struct ErrorText { int code; const char *name, *text; };
const ErrorText ERRORS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "not initialized"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "invalid kernel image"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "launch failure"},
    {COOPERATIVE_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in a cooperative launch"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "not supported"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "not permitted while a stream records"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "the recording was broken"},
    {UPDATE_FAILED, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", "the graph could not be updated"},
    {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "the stream does not record"},
};
}  // namespace

API cuGetErrorName(int code, const char** name) {
    for (const ErrorText& row : ERRORS) {
        if (row.code == code) return *name = row.name, SUCCESS;
    }
    return INVALID_VALUE;
}
/// Says why the last call of this thread was refused, which a driver does not know so well.
API cuGetErrorString(int code, const char** text) {
    if (code != SUCCESS && !reason.empty()) return *text = reason.c_str(), SUCCESS;
    for (const ErrorText& row : ERRORS) {
        if (row.code == code) return *text = row.text, SUCCESS;
    }
    return INVALID_VALUE;
}

// Memory.

API cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    NEED(need_context());
    Hold hold(lock);
    *total = number_from("SEQWEAVE_STANDIN_MEMORY", size_t(4) << 30);
    *free_bytes = *total - std::min(used, *total);
    return SUCCESS;
}
API cuMemAlloc_v2(Pointer* pointer, size_t bytes) {
    NEED(need_no_recording("an allocation"));
    return allocate(pointer, bytes);
}
API cuMemFree_v2(Pointer pointer) {
    NEED(need_no_recording("a release of memory"));
    return release(pointer);
}
API cuMemAllocAsync(Pointer* pointer, size_t bytes, void*) {
    NEED(need_no_recording("an allocation"));
    return allocate(pointer, bytes);
}
API cuMemFreeAsync(Pointer pointer, void*) {
    NEED(need_no_recording("a release of memory"));
    return release(pointer);
}
API cuMemAllocManaged(Pointer* pointer, size_t bytes, unsigned) { return cuMemAlloc_v2(pointer, bytes); }
API cuMemHostAlloc(void** pointer, size_t bytes, unsigned) {
    NEED(need_context());
    if (bytes == 0) return refuse(INVALID_VALUE, "an allocation of no bytes");
    if (posix_memalign(pointer, 4096, bytes) != 0) return refuse(OUT_OF_MEMORY, "the host is out of memory");
    memset(*pointer, 0xFF, bytes);
    Hold hold(lock);
    pinned[reinterpret_cast<Pointer>(*pointer)] = bytes;
    return SUCCESS;
}
API cuMemFreeHost(void* pointer) {
    Hold hold(lock);
    if (!pinned.erase(reinterpret_cast<Pointer>(pointer))) return refuse(INVALID_VALUE, "host memory is freed that was not pinned");
    free(pointer);
    return SUCCESS;
}
API cuMemcpyHtoD_v2(Pointer to, const void* from, size_t bytes) {
    NEED(need_context());
    NEED(need_no_recording("a copy that is waited for"));
    return host_to_device(to, from, bytes);
}
API cuMemcpyDtoH_v2(void* to, Pointer from, size_t bytes) {
    NEED(need_context());
    NEED(need_no_recording("a copy that is waited for"));
    return device_to_host(to, from, bytes);
}
API cuMemcpyDtoD_v2(Pointer to, Pointer from, size_t bytes) {
    NEED(need_context());
    NEED(need_no_recording("a copy that is waited for"));
    return device_to_device(to, from, bytes);
}
API cuMemcpyHtoDAsync_v2(Pointer to, const void* from, size_t bytes, void* stream) {
    return enqueue(stream, "copy in", [=] { return host_to_device(to, from, bytes); });
}
API cuMemcpyDtoHAsync_v2(void* to, Pointer from, size_t bytes, void* stream) {
    return enqueue(stream, "copy out", [=] { return device_to_host(to, from, bytes); });
}
API cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, void* stream) {
    return enqueue(stream, "copy", [=] { return device_to_device(to, from, bytes); });
}
API cuMemcpyPeerAsync(Pointer to, void*, Pointer from, void*, size_t bytes, void* stream) {
    return enqueue(stream, "copy", [=] { return device_to_device(to, from, bytes); });
}
API cuMemsetD8_v2(Pointer to, unsigned char value, size_t count) {
    NEED(need_context());
    NEED(need_no_recording("a memset that is waited for"));
    return set_memory(to, value, count);
}
API cuMemsetD8Async(Pointer to, unsigned char value, size_t count, void* stream) {
    return enqueue(stream, "memset", [=] { return set_memory(to, value, count); });
}
API cuMemsetD32Async(Pointer to, unsigned value, size_t count, void* stream) {
    return enqueue(stream, "memset", [=] { return set_memory(to, value, count); });
}
API cuMemPrefetchAsync_v2(Pointer, size_t, uint64_t, unsigned, void*) { return SUCCESS; }
API cuMemAdvise_v2(Pointer, size_t, int, uint64_t) { return SUCCESS; }
API cuDeviceGetDefaultMemPool(void** pool, int) {
    static char only;
    *pool = &only;
    return SUCCESS;
}
API cuDeviceGetMemPool(void** pool, int device) { return cuDeviceGetDefaultMemPool(pool, device); }
API cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
API cuMemPoolTrimTo(void*, size_t) { return SUCCESS; }

// Streams and events.

API cuStreamCreate(void** stream, unsigned) {
    NEED(need_context());
    Hold hold(lock);
    auto* created = new Stream();
    streams.insert(created);
    *stream = created;
    return SUCCESS;
}
API cuStreamCreateWithPriority(void** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
API cuStreamDestroy_v2(void* stream) {
    Hold hold(lock);
    auto* mine = static_cast<Stream*>(stream);
    if (!streams.erase(mine)) return refuse(INVALID_HANDLE, "a stream is destroyed that does not exist");
    delete mine;
    return SUCCESS;
}
API cuStreamSynchronize(void* handle) {
    NEED(need_context());
    Hold hold(lock);
    Stream* stream = stream_of(handle);
    if (!stream) return refuse(INVALID_HANDLE, "a stream that does not exist");
    if (stream->recording) {
        stream->broken = true;
        return refuse(CAPTURE_UNSUPPORTED, "a wait for a stream that records a graph");
    }
    return SUCCESS;
}
API cuStreamQuery(void* stream) { return cuStreamSynchronize(stream); }
API cuStreamWaitEvent(void* stream, void* event, unsigned) {
    Hold hold(lock);
    if (!stream_of(stream) || !events.count(static_cast<Event*>(event))) return refuse(INVALID_HANDLE, "a wait for what does not exist");
    return SUCCESS;
}
API cuStreamAttachMemAsync(void*, Pointer, size_t, unsigned) { return SUCCESS; }
API cuLaunchHostFunc(void* stream, void (*call)(void*), void* data) {
    return enqueue(stream, "host", [=] { return call(data), SUCCESS; });
}
API cuEventCreate(void** event, unsigned flags) {
    NEED(need_context());
    Hold hold(lock);
    auto* created = new Event();
    created->timed = !(flags & 2);
    events.insert(created);
    *event = created;
    return SUCCESS;
}
API cuEventDestroy_v2(void* event) {
    Hold hold(lock);
    auto* mine = static_cast<Event*>(event);
    if (!events.erase(mine)) return refuse(INVALID_HANDLE, "an event is destroyed that does not exist");
    delete mine;
    return SUCCESS;
}
API cuEventRecord(void* event, void* stream) {
    auto* mine = static_cast<Event*>(event);
    {
        Hold hold(lock);
        if (!events.count(mine)) return refuse(INVALID_HANDLE, "an event that does not exist");
    }
    return enqueue(stream, "event", [=] { return mine->recorded = true, mine->when = Clock::now(), SUCCESS; });
}
API cuEventQuery(void*) { return SUCCESS; }
API cuEventSynchronize(void* event) {
    NEED(need_no_recording("a wait for an event"));
    Hold hold(lock);
    return events.count(static_cast<Event*>(event)) ? SUCCESS : refuse(INVALID_HANDLE, "an event that does not exist");
}
API cuEventElapsedTime_v2(float* milliseconds, void* from, void* to) {
    Hold hold(lock);
    auto *a = static_cast<Event*>(from), *b = static_cast<Event*>(to);
    if (!events.count(a) || !events.count(b) || !a->timed || !b->timed || !a->recorded || !b->recorded) {
        return refuse(INVALID_HANDLE, "the time between events that were not recorded, or without timing");
    }
    *milliseconds = std::chrono::duration<float, std::milli>(b->when - a->when).count();
    return SUCCESS;
}
API cuEventElapsedTime(float* milliseconds, void* from, void* to) { return cuEventElapsedTime_v2(milliseconds, from, to); }

// Modules and launches.

API cuModuleLoadData(void** module, const void* image) {
    NEED(need_context());
    NEED(need_no_recording("loading a module"));
    if (!image) return refuse(INVALID_VALUE, "a module of nothing");
    std::string bytes = image_bytes(static_cast<const char*>(image));
    if (bytes.compare(0, 4, "\x7f" "ELF") != 0 && bytes.find(".version") == std::string::npos) {
        return refuse(INVALID_IMAGE, "the image is neither a cubin nor PTX");
    }
    Hold hold(lock);
    auto* loaded = new Module{std::move(bytes), {}};
    modules.insert(loaded);
    *module = loaded;
    return SUCCESS;
}
API cuModuleUnload(void* module) {
    Hold hold(lock);
    auto* mine = static_cast<Module*>(module);
    if (!modules.erase(mine)) return refuse(INVALID_HANDLE, "a module is unloaded that does not exist");
    delete mine;
    return SUCCESS;
}
/// The kernel of that name that is linked in, if the image has one too.
API cuModuleGetFunction(void** function, void* module, const char* name) {
    NEED(need_context());
    Hold hold(lock);
    auto* mine = static_cast<Module*>(module);
    if (!modules.count(mine)) return refuse(INVALID_HANDLE, "a module that does not exist");
    if (mine->image.find(name) == std::string::npos) return refuse(NOT_FOUND, std::string("no kernel ") + name + " in the image");
    for (const standin::Kernel& kernel : standin::kernels()) {
        if (strcmp(kernel.name, name) == 0) {
            *function = &mine->functions.try_emplace(name, Function(&kernel)).first->second;
            return SUCCESS;
        }
    }
    return refuse(NOT_FOUND, std::string("no kernel ") + name + " in the stand-in: build it anew");
}
API cuFuncGetAttribute(int* value, int attribute, void* function) {
    auto* f = static_cast<Function*>(function);
    switch (attribute) {
        case 0: *value = int(f->kernel->threads); break;
        case 1: *value = int(f->kernel->static_shared); break;
        case 2: case 3: case 7: *value = 0; break;
        case 4: *value = 32; break;
        case 5: case 6: *value = 80; break;
        case 8: *value = int(f->max_shared); break;
        default: return refuse(INVALID_VALUE, "function attribute " + std::to_string(attribute) + " is not known here");
    }
    return SUCCESS;
}
API cuFuncSetAttribute(void* function, int attribute, int value) {
    auto* f = static_cast<Function*>(function);
    if (attribute == 9) return SUCCESS;
    if (attribute != 8) return refuse(INVALID_VALUE, "function attribute " + std::to_string(attribute) + " cannot be set");
    size_t own = f->kernel->static_shared;
    if (value < 0 || size_t(value) + own > OPT_IN_SHARED) {
        return refuse(INVALID_VALUE, std::to_string(value) + " bytes of shared memory and " + std::to_string(own) +
                                         " of the kernel's own, a block can have " + std::to_string(OPT_IN_SHARED));
    }
    f->max_shared = size_t(value);
    return SUCCESS;
}
API cuFuncSetCacheConfig(void*, int) { return SUCCESS; }
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* function, int threads, size_t shared, unsigned) {
    auto* f = static_cast<Function*>(function);
    bool fits = threads > 0 && unsigned(threads) <= f->kernel->threads && shared <= f->max_shared;
    *blocks = fits ? int(resident_blocks(*f, unsigned(threads), shared)) : 0;
    return SUCCESS;
}
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads, size_t shared) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, 0);
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** arguments, void** extra) {
    if (extra) return refuse(NOT_SUPPORTED, "arguments in one buffer");
    return launch(static_cast<Function*>(function), {gx, gy, gz}, {bx, by, bz}, shared, stream, arguments, false);
}
API cuLaunchCooperativeKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                              unsigned shared, void* stream, void** arguments) {
    return launch(static_cast<Function*>(function), {gx, gy, gz}, {bx, by, bz}, shared, stream, arguments, true);
}

// Graphs: what a stream would have done while it recorded, in order.

API cuStreamBeginCapture_v2(void* handle, int) {
    NEED(need_context());
    Hold hold(lock);
    Stream* stream = stream_of(handle);
    if (!stream) return refuse(INVALID_HANDLE, "a stream that does not exist");
    if (stream == &default_stream) return refuse(CAPTURE_UNSUPPORTED, "the default stream cannot record");
    if (number_from("SEQWEAVE_STANDIN_GRAPHS", 1) == 0) return refuse(NOT_SUPPORTED, "this device records no graphs");
    if (stream->recording) return refuse(INVALID_VALUE, "the stream records already");
    stream->recording = true, stream->broken = false;
    recording_here++;
    return SUCCESS;
}
API cuStreamEndCapture(void* handle, void** graph) {
    NEED(need_context());
    Hold hold(lock);
    *graph = nullptr;
    Stream* stream = stream_of(handle);
    if (!stream) return refuse(INVALID_HANDLE, "a stream that does not exist");
    if (!stream->recording) return refuse(CAPTURE_UNMATCHED, "the stream does not record");
    stream->recording = false;
    recording_here--;
    auto* recorded = new Graph(std::move(stream->graph));
    stream->graph = Graph();
    if (stream->broken) {
        delete recorded;
        return refuse(CAPTURE_INVALIDATED, "the recording was broken");
    }
    graphs.insert(recorded);
    *graph = recorded;
    return SUCCESS;
}
API cuStreamIsCapturing(void* handle, int* status) {
    Hold hold(lock);
    Stream* stream = stream_of(handle);
    if (!stream) return refuse(INVALID_HANDLE, "a stream that does not exist");
    *status = stream->recording ? (stream->broken ? 2 : 1) : 0;
    return SUCCESS;
}
API cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
    Hold hold(lock);
    auto* mine = static_cast<Graph*>(graph);
    if (!graphs.count(mine)) return refuse(INVALID_HANDLE, "a graph that does not exist");
    auto* made = new Graph(*mine);
    graphs.insert(made);
    *executable = made;
    return SUCCESS;
}
/// Takes over what the nodes of `graph` do, if they are of the same kinds in the same order.
API cuGraphExecUpdate_v2(void* executable, void* graph, void* info) {
    Hold hold(lock);
    auto *mine = static_cast<Graph*>(executable), *from = static_cast<Graph*>(graph);
    if (!graphs.count(mine) || !graphs.count(from)) return refuse(INVALID_HANDLE, "a graph that does not exist");
    bool same = mine->kinds == from->kinds;
    // The first field of the info: 0 for success, 2 for another topology.
    if (info) *static_cast<int*>(info) = same ? 0 : 2;
    if (!same) return refuse(UPDATE_FAILED, "a graph is updated to another sequence of nodes");
    mine->nodes = from->nodes;
    return SUCCESS;
}
API cuGraphUpload(void*, void*) { return SUCCESS; }
API cuGraphLaunch(void* executable, void* stream) {
    auto* mine = static_cast<Graph*>(executable);
    {
        Hold hold(lock);
        if (!graphs.count(mine)) return refuse(INVALID_HANDLE, "a graph that does not exist");
    }
    return enqueue(stream, "graph", [=] {
        for (auto& node : mine->nodes) NEED(node());
        return int(SUCCESS);
    });
}
API cuGraphDestroy(void* graph) {
    Hold hold(lock);
    auto* mine = static_cast<Graph*>(graph);
    if (!graphs.erase(mine)) return refuse(INVALID_HANDLE, "a graph is destroyed that does not exist");
    delete mine;
    return SUCCESS;
}
API cuGraphExecDestroy(void* executable) { return cuGraphDestroy(executable); }
