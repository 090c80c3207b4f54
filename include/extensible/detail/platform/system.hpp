#pragma once

// What does the core use of the operating system? Mutexes, condition variables, a clock, a barrier
// for all threads of the process, thread-local pointers, and functions that run when a thread ends.
//
// What must stay true:
// 1. Mutexes and thread-local pointers need no constructor at run time. So they can be used before
//    main() begins and after it returns (tests/programs/around_main.cpp).
// 2. The core shares data between threads only through these types and functions. So a program that
//    defines EXTENSIBLE_SYSTEM_HEADER can replace all of them by those in that header. tests/explorer
//    does, to run the core in every schedule.
//
// Not here: the implementations, which are in the headers that this one includes.

#include <extensible/detail/platform/barrier.hpp>
#include <extensible/detail/platform/clock.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/thread_local.hpp>
#include <extensible/detail/platform/threads_posix.hpp>
#include <extensible/detail/platform/threads_windows.hpp>

#include <cstdint>

#if defined(EXTENSIBLE_SYSTEM_HEADER)
#include EXTENSIBLE_SYSTEM_HEADER
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Locks a mutex in its constructor, and unlocks it in its destructor. A call of unlock() must be
/// followed by a call of lock().
class mutex_lock {
public:
    explicit mutex_lock(mutex& guarded) noexcept : mutex_(guarded) { mutex_.lock(); }
    mutex_lock(const mutex_lock&) = delete;
    mutex_lock& operator=(const mutex_lock&) = delete;
    ~mutex_lock() { mutex_.unlock(); }

    void unlock() noexcept { mutex_.unlock(); }
    void lock() noexcept { mutex_.lock(); }
    mutex& held() noexcept { return mutex_; }

private:
    mutex& mutex_;
};

/// Returns the time in this number of nanoseconds, or the last time of the clock if that would be
/// later. A negative number means now.
inline time_point from_now(double nanoseconds) noexcept {
    constexpr time_point last = INT64_MAX;
    if (nanoseconds < 0) return now();
    return nanoseconds < static_cast<double>(last) / 2 ? now() + static_cast<time_point>(nanoseconds) : last;
}

}}}  // namespace ext::detail
