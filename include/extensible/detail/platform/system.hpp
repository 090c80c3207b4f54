#pragma once

// What does the operating system give? Locks, a way to wait and to wake, a barrier for all threads of the process, thread-local
// pointers, and what runs when a thread ends. All of it is constant-initialized, so it can be used before main and after it has
// returned.
//
// Everything in the library that several threads share is made of these. A program that defines EXTENSIBLE_SYSTEM_HEADER puts its
// own in their place, as tests/explorer does, which runs the library under every schedule.

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

/// Holds a mutex from its construction to its destruction, except between unlock() and lock().
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

/// The time in so many nanoseconds, which may be more than the clock can tell.
inline time_point from_now(double nanoseconds) noexcept {
    constexpr time_point last = INT64_MAX;
    if (nanoseconds < 0) return now();
    return nanoseconds < static_cast<double>(last) / 2 ? now() + static_cast<time_point>(nanoseconds) : last;
}

}}}  // namespace ext::detail
