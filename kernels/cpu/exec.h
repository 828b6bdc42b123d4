// Runs CUDA kernels on a CPU, for tests: the threads of a block are fibers on one OS thread.
//
// Barriers, shuffles and warp instructions are rendezvous points. Whenever a thread waits or ends, the next one is drawn at
// random from those that can go on, so every seed is another schedule, and a missing barrier shows as another result.
// Shared memory is allocated per block, filled with NaN, and exactly as large as asked for: AddressSanitizer sees its ends.
//
// What it cannot show: weak memory ordering, bank conflicts, timing, and the registers a kernel needs.
// Compile with -std=c++17 -ffp-contract=off, so that a product and a sum stay two roundings.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <ucontext.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace exec {

constexpr int WARP = 32;
/// The most bytes a lane hands to the others at one rendezvous.
constexpr size_t SLOT = 64;

/// What a launch is made of.
struct Launch {
    const char* name;
    dim3 grid, block;
    /// Dynamic shared memory, in bytes.
    size_t shared = 0;
    /// The schedule.
    uint64_t seed = 0;
    /// All blocks at once, each on an OS thread of its own, as a grid barrier needs.
    bool cooperative = false;
};

/// A stack and where its code stands; the one without memory is the OS thread's own.
struct Fiber {
    ucontext_t context;
    jmp_buf state;
    bool started = false;
    std::unique_ptr<char[]> memory;
    const void* bottom = nullptr;
    size_t size = 0;
    void* fake = nullptr;
};

/// An asynchronous copy that has been asked for and not been waited for.
struct Copy { void* to; const void* from; int bytes, valid; };

/// One CUDA thread.
struct Thread {
    uint3 index;
    int linear;
    Fiber* fiber = nullptr;
    std::vector<std::vector<Copy>> groups;
    std::vector<Copy> open;
};

/// A meeting of a fixed number of threads; what each brings is seen by all.
struct Meeting {
    int size = 0, arrived = 0;
    unsigned round = 0;
    const char* file = nullptr;
    int line = 0;
    std::vector<int> waiting;
    char slots[2][WARP][SLOT];

    void reset(int threads) { size = threads, arrived = 0, waiting.clear(); }
};

/// How long a block waits at a grid barrier before it counts as stuck.
inline std::chrono::milliseconds barrier_limit{120000};

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK = 256 << 10;
#else
constexpr size_t STACK = 64 << 10;
#endif

/// Runs the blocks of a launch one after the other on the OS thread that calls it.
class Runner {
public:
    uint3 block_index;
    const Launch* launch = nullptr;
    Thread* thread = nullptr;
    std::atomic<bool>* failed = nullptr;

    /// Runs one block; what went wrong, or nothing.
    std::string run(const Launch& what, uint3 index, const std::function<void()>& body, std::atomic<bool>& stop) {
        launch = &what, block_index = index, kernel = &body, failed = &stop;
        uint64_t number = index.x + uint64_t(what.grid.x) * (index.y + uint64_t(what.grid.y) * index.z);
        random = (what.seed + 1) * 0x9E3779B97F4A7C15ull ^ (number + 1) * 0xD1B54A32D192ED03ull;
        int n = what.block.x * what.block.y * what.block.z;
        threads.assign(n, Thread());
        ready.resize(n);
        for (int i = 0; i < n; i++) {
            unsigned x = i % what.block.x, rest = i / what.block.x;
            threads[i].index = {x, rest % what.block.y, rest / what.block.y};
            threads[i].linear = ready[i] = i;
        }
        barrier.reset(n);
        warps.resize((n + WARP - 1) / WARP);
        for (size_t w = 0; w < warps.size(); w++) warps[w].reset(std::min(WARP, n - int(w) * WARP));
        unfinished = n, error.clear();
        dynamic_memory = poisoned(what.shared);
        static_memory.clear();

        switch_fiber(&home, take_fiber());
        // All fibers are free again. Those of a block that failed stand where they stopped and begin from the top.
        free_fibers.clear();
        for (auto& fiber : fibers) {
            if (!error.empty()) fiber->started = false;
            free_fibers.push_back(fiber.get());
        }
        return error;
    }

    void* dynamic_shared() { return dynamic_memory.get(); }

    /// Memory of the block for one place in the source.
    void* shared_at(const void* site, size_t bytes) {
        auto& memory = static_memory[site];
        if (!memory) memory = poisoned(bytes);
        return memory.get();
    }

    void sync_threads(const char* file, int line) { meet(barrier, file, line); }

    /// Every lane brings `size` bytes; the result holds those of all 32, `SLOT` apart, until the next call but one.
    const char (*exchange(const void* mine, size_t size, const char* file, int line))[SLOT] {
        Meeting& warp = warps[thread->linear / WARP];
        if (warp.size != WARP) fail("a warp instruction in a block that is no multiple of 32 threads");
        char(*slots)[SLOT] = warp.slots[warp.round & 1];
        memcpy(slots[thread->linear % WARP], mine, size);
        meet(warp, file, line);
        return slots;
    }

    /// Turn `turn`, from 0, of a loop that waits for other blocks.
    void pause(unsigned turn) {
        auto now = std::chrono::steady_clock::now();
        if (turn == 0) waiting_since = now;
        if (failed->load()) fail("another block of the launch failed");
        if (now - waiting_since > barrier_limit) fail("a grid barrier that not all blocks come to");
        std::this_thread::yield();
    }

    /// Ends the block. Nothing on the stacks of its threads is destroyed, so no one may own memory when this is called.
    [[noreturn, gnu::format(printf, 2, 3)]] void fail(const char* format, ...) {
        char text[512];
        int used = snprintf(text, sizeof text, "kernel %s, block (%u,%u,%u): ", launch->name, block_index.x, block_index.y, block_index.z);
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text + used, sizeof text - used, format, arguments);
        va_end(arguments);
        error = text;
        switch_fiber(running, &home);
        abort();
    }

private:
    const std::function<void()>* kernel = nullptr;
    std::vector<Thread> threads;
    std::vector<int> ready;
    Meeting barrier;
    std::vector<Meeting> warps;
    int unfinished = 0;
    std::chrono::steady_clock::time_point waiting_since;
    uint64_t random = 0;
    std::string error;
    std::unique_ptr<char[]> dynamic_memory;
    std::map<const void*, std::unique_ptr<char[]>> static_memory;
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Fiber*> free_fibers;
    Fiber* running = nullptr;
    Fiber home;
    /// The thread that the fiber switched to is to begin with.
    Thread* beginning = nullptr;

    static std::unique_ptr<char[]> poisoned(size_t bytes) {
        std::unique_ptr<char[]> memory(new char[bytes]);
        memset(memory.get(), 0xFF, bytes);
        return memory;
    }

    uint64_t draw() {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        return random;
    }

    void meet(Meeting& meeting, const char* file, int line) {
        if (meeting.arrived > 0 && (meeting.line != line || meeting.file != file)) {
            fail("divergent barrier: threads wait at %s:%d and at %s:%d", meeting.file, meeting.line, file, line);
        }
        meeting.file = file, meeting.line = line;
        if (++meeting.arrived < meeting.size) {
            meeting.waiting.push_back(thread->linear);
            return block();
        }
        meeting.arrived = 0, meeting.round++;
        ready.insert(ready.end(), meeting.waiting.begin(), meeting.waiting.end());
        meeting.waiting.clear();
        // The last to come has no right of way.
        ready.push_back(thread->linear);
        block();
    }

    /// Draws the next thread that can go on.
    Thread* next() {
        if (ready.empty()) report_deadlock();
        std::swap(ready[draw() % ready.size()], ready.back());
        Thread* chosen = &threads[ready.back()];
        ready.pop_back();
        return chosen;
    }

    [[noreturn]] void report_deadlock() {
        const Meeting* stuck = &barrier;
        for (const Meeting& warp : warps) {
            if (stuck->arrived == 0) stuck = &warp;
        }
        fail("divergent barrier: %d of %d threads wait at %s:%d, %d of the block have left the kernel", stuck->arrived, stuck->size,
             stuck->file, stuck->line, int(threads.size()) - unfinished);
    }

    /// Lets others run until the current thread is drawn again.
    void block() {
        Thread* self = thread;
        Thread* chosen = next();
        if (chosen != self) {
            beginning = chosen->fiber ? nullptr : chosen;
            thread = chosen;
            switch_fiber(running, chosen->fiber ? chosen->fiber : take_fiber());
        }
        thread = self;
    }

    /// A fiber's life: it runs threads from their beginning, as long as such are drawn.
    void live() {
        arrived();
        for (;;) {
            Thread* drawn = beginning ? std::exchange(beginning, nullptr) : next();
            thread = drawn;
            if (drawn->fiber) {
                // It stands half-way on another fiber; this one is kept for later.
                free_fibers.push_back(running);
                switch_fiber(running, drawn->fiber);
                continue;
            }
            drawn->fiber = running;
            (*kernel)();
            drawn->fiber = nullptr;
            if (--unfinished == 0) switch_fiber(running, &home);
        }
    }

    Fiber* take_fiber() {
        if (free_fibers.empty()) {
            fibers.push_back(std::make_unique<Fiber>());
            Fiber& fiber = *fibers.back();
            fiber.memory.reset(new char[STACK]);
            fiber.bottom = fiber.memory.get(), fiber.size = STACK;
            return &fiber;
        }
        Fiber* fiber = free_fibers.back();
        free_fibers.pop_back();
        return fiber;
    }

    static void trampoline(unsigned high, unsigned low) {
        reinterpret_cast<Runner*>(uintptr_t(uint64_t(high) << 32 | low))->live();
    }

    /// Stops here, goes on there. Only a fiber's first entry needs ucontext: setjmp makes no system call.
    void switch_fiber(Fiber* from, Fiber* to) {
        came_from = from;
        running = to;
        if (to != &home && !to->started) {
            to->started = true;
            getcontext(&to->context);
            to->context.uc_stack.ss_sp = to->memory.get();
            to->context.uc_stack.ss_size = STACK;
            to->context.uc_link = nullptr;
            uint64_t self = reinterpret_cast<uintptr_t>(this);
            makecontext(&to->context, reinterpret_cast<void (*)()>(trampoline), 2, unsigned(self >> 32), unsigned(self));
#if !defined(__SANITIZE_ADDRESS__)
            if (_setjmp(from->state) == 0) setcontext(&to->context);
            return;
#endif
        }
#if defined(__SANITIZE_ADDRESS__)
        // The sanitizer must know the stacks, and its setjmp would clean the memory between two of them.
        __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
        swapcontext(&from->context, &to->context);
        arrived_with(from->fake);
#else
        if (_setjmp(from->state) == 0) _longjmp(to->state, 1);
#endif
    }
    Fiber* came_from = nullptr;

    /// What a new fiber tells the sanitizer first.
    void arrived() { arrived_with(nullptr); }
    void arrived_with([[maybe_unused]] void* fake) {
#if defined(__SANITIZE_ADDRESS__)
        const void* bottom;
        size_t size;
        __sanitizer_finish_switch_fiber(fake, &bottom, &size);
        if (came_from == &home) home.bottom = bottom, home.size = size;
#endif
    }
};

/// The runner of this OS thread while it runs a block.
inline thread_local Runner* runner = nullptr;

/// Runners at rest: their stacks are kept between launches.
inline std::mutex runners_lock;
inline std::vector<std::unique_ptr<Runner>> idle_runners;

inline std::unique_ptr<Runner> take_runner() {
    std::lock_guard<std::mutex> hold(runners_lock);
    if (idle_runners.empty()) return std::make_unique<Runner>();
    auto taken = std::move(idle_runners.back());
    idle_runners.pop_back();
    return taken;
}

/// Runs all blocks of a launch; the first error, or an empty text.
inline std::string run(const Launch& launch, const std::function<void()>& kernel) {
    uint64_t blocks = uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    uint64_t workers = launch.cooperative ? blocks : std::min<uint64_t>(blocks, std::thread::hardware_concurrency() + 1);
    std::atomic<uint64_t> counter{0};
    std::atomic<bool> failed{false};
    std::mutex error_lock;
    std::string error;
    auto work = [&] {
        std::unique_ptr<Runner> mine = take_runner();
        runner = mine.get();
        for (uint64_t i; !failed && (i = counter++) < blocks;) {
            unsigned x = i % launch.grid.x, rest = i / launch.grid.x;
            std::string wrong = mine->run(launch, {x, rest % launch.grid.y, unsigned(rest / launch.grid.y)}, kernel, failed);
            if (wrong.empty()) continue;
            std::lock_guard<std::mutex> hold(error_lock);
            if (!failed.exchange(true)) error = wrong;
        }
        runner = nullptr;
        std::lock_guard<std::mutex> hold(runners_lock);
        idle_runners.push_back(std::move(mine));
    };
    std::vector<std::thread> others;
    for (uint64_t i = 1; i < workers; i++) others.emplace_back(work);
    work();
    for (auto& other : others) other.join();
    return error;
}

/// Calls a kernel with its arguments as the driver takes them: one pointer to each.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}
template <class... A>
void call(void (*kernel)(A...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>{});
}

/// Calls a kernel from C++, as the self-tests do.
template <class... A, class... B>
std::string launch(const Launch& what, void (*kernel)(A...), B... arguments) {
    return run(what, [=] { kernel(static_cast<A>(arguments)...); });
}

// The instructions of the prelude.

template <class T>
T shuffle(T value, int from, const char* file, int line) {
    auto all = runner->exchange(&value, sizeof value, file, line);
    T result;
    memcpy(&result, all[from & 31], sizeof result);
    return result;
}

inline int lane() { return runner->thread->linear % WARP; }

inline void sync_warp(const char* file, int line) { runner->exchange("", 1, file, line); }

/// A copy that happens when it is waited for, so that a missing wait shows. Beyond `valid` bytes come zeros.
inline void copy_async(void* to, const void* from, int bytes, int valid) {
    runner->thread->open.push_back({to, from, bytes, valid});
}
inline void copy_commit() {
    Thread& t = *runner->thread;
    t.groups.push_back(std::move(t.open));
    t.open.clear();
}
inline void copy_wait(size_t pending) {
    auto& groups = runner->thread->groups;
    while (groups.size() > pending) {
        for (const Copy& c : groups.front()) {
            if (uintptr_t(c.to) % c.bytes || uintptr_t(c.from) % c.bytes) runner->fail("a misaligned asynchronous copy");
            memcpy(c.to, c.from, c.valid);
            memset(static_cast<char*>(c.to) + c.valid, 0, c.bytes - c.valid);
        }
        groups.erase(groups.begin());
    }
}

}  // namespace exec

#define threadIdx (exec::runner->thread->index)
#define blockIdx (exec::runner->block_index)
#define blockDim (exec::runner->launch->block)
#define gridDim (exec::runner->launch->grid)
#define __syncthreads() exec::runner->sync_threads(__FILE__, __LINE__)
#define __syncwarp() exec::sync_warp(__FILE__, __LINE__)
