#pragma once

// How do all threads of the process pass a barrier?
//
// One side of a store-then-load handshake does without its fence if the other side can make every running thread of the process
// pass one. See P1202, "Asymmetric Thread Fences". With EXTENSIBLE_NO_PROCESS_BARRIER calls take their fences: define it for a
// program that forbids itself membarrier() while it runs.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/windows_api.hpp>

#if EXTENSIBLE_POSIX || EXTENSIBLE_WINDOWS

#include <atomic>
#include <exception>

#if defined(__linux__) && __has_include(<linux/membarrier.h>)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

template <class T>
using atomic = std::atomic<T>;

/// Keeps the compiler from moving accesses across, but not the processor.
inline void signal_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

#if defined(__NR_membarrier) && !defined(EXTENSIBLE_NO_PROCESS_BARRIER)

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

#elif defined(_WIN32) && !defined(EXTENSIBLE_NO_PROCESS_BARRIER)

// Wine has a function of that name, which does nothing in some of its versions.
inline bool enable_process_barrier() noexcept {
    return windows::GetProcAddress(windows::GetModuleHandleW(L"ntdll.dll"), "wine_get_version") == nullptr;
}
inline void process_barrier() noexcept { windows::FlushProcessWriteBuffers(); }

#else

inline bool enable_process_barrier() noexcept { return false; }
inline void process_barrier() noexcept { std::terminate(); }

#endif

}}}  // namespace ext::detail

#endif
