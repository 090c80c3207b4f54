#pragma once

// How can reading be cheaper than writing? One side of a store-then-load handshake does without its fence when the other
// side can make every running thread of the process pass one. See P1202, "Asymmetric Thread Fences".

#include <exception>

#if defined(__linux__) && __has_include(<linux/membarrier.h>)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ext::detail {

#if defined(__NR_membarrier)

/// Makes process_barrier() available; tells whether the system has it. May be called more than once.
inline bool enable_process_barrier() noexcept {
    return ::syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/// Every thread of the process passes a full memory barrier before this returns. enable_process_barrier() said true.
inline void process_barrier() noexcept {
    if (::syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return;
    // Only a filter on system calls that came later can get here. Readers have gone without fences already, so there is
    // no way to go on that is right.
    std::terminate();
}

#else

inline bool enable_process_barrier() noexcept { return false; }
inline void process_barrier() noexcept { std::terminate(); }

#endif

}  // namespace ext::detail
