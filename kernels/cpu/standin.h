// The kernels that are linked into the stand-in driver, by name. Every family registers its own (see driver.cpp).
#pragma once
#include <cstddef>
#include <cstring>
#include <vector>

#include "exec.h"

namespace standin {

/// A kernel as its declaration has it, and how to call it.
struct Kernel {
    const char* name;
    unsigned threads, min_blocks;
    /// Its blocks wait for each other.
    bool cooperative;
    /// Bytes of shared memory of a block that its image declares, beside what a launch asks for.
    size_t static_shared;
    /// Bytes of each parameter.
    std::vector<size_t> sizes;
    void (*call)(void** arguments);
};

inline std::vector<Kernel>& kernels() {
    static std::vector<Kernel> all;
    return all;
}

template <class... A>
std::vector<size_t> sizes_of(void (*)(A...)) {
    return {sizeof(A)...};
}

/// An object of this type at namespace scope adds a kernel when the library is loaded.
struct Register {
    Register(const char* name, unsigned threads, unsigned min_blocks, bool cooperative, size_t static_shared,
             std::vector<size_t> sizes, void (*call)(void**)) {
        kernels().push_back({name, threads, min_blocks, cooperative, static_shared, std::move(sizes), call});
    }
};

}  // namespace standin

/// Registers kernel `name` of namespace `family`.
#define STANDIN_KERNEL(family, name, threads, min_blocks, cooperative, static_shared)                        \
    static standin::Register register_##name(#name, threads, min_blocks, cooperative, static_shared,         \
                                             standin::sizes_of(&family::name),                               \
                                             [](void** arguments) { exec::call(&family::name, arguments); })
