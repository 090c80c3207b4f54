#pragma once

// How does one thread make all running threads of the process pass a memory barrier?
//
// If two threads each store and then load, and at least one must see the other's store, both need a
// full fence. If the rare side calls process_barrier() instead, signal_fence() is enough on the
// frequent side. See P1202, "Asymmetric Thread Fences".
//
// What must stay true: if process_barrier() returns, it has taken effect. If it fails, the program
// ends, because calls have already run without fences (tests/programs/without_membarrier.cpp).
// Define EXTENSIBLE_NO_PROCESS_BARRIER for a program that forbids itself membarrier() while it runs:
// each call then takes a fence.
//
// Not here: which accesses rely on the barrier: hazard_guard.hpp and hazard_domain.hpp.

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

/// The atomics of the core. An alias, so that tests/explorer can replace them: see system.hpp.
template <class T>
using atomic = std::atomic<T>;

/// Prevents the compiler, but not the processor, from moving memory accesses across. Sequentially
/// consistent, because it must also keep a store before a later load.
inline void signal_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

#if defined(__NR_membarrier) && !defined(EXTENSIBLE_NO_PROCESS_BARRIER)

/// Makes process_barrier() available. Returns false if the system has no such barrier. May be
/// called more than once.
inline bool enable_process_barrier() noexcept {
    return ::syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/// Returns after every running thread of the process has passed a full memory barrier. Requires
/// that enable_process_barrier() has returned true.
inline void process_barrier() noexcept {
    if (::syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return;
    // The system call fails only if a filter of system calls was installed later. Calls have
    // already run without fences, so there is no correct way to continue.
    std::terminate();
}

#elif defined(_WIN32) && !defined(EXTENSIBLE_NO_PROCESS_BARRIER)

// False on Wine, because FlushProcessWriteBuffers() does nothing in some versions of Wine.
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
