#pragma once

// How do threads exclude each other and wait for each other on POSIX systems? What is here for macOS is untested.

#include <extensible/detail/platform/clock.hpp>
#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_POSIX

#include <cstdint>
#include <pthread.h>
#include <time.h>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Mutual exclusion between threads. Not recursive.
class mutex {
public:
    void lock() noexcept { pthread_mutex_lock(&native_); }
    void unlock() noexcept { pthread_mutex_unlock(&native_); }

private:
    friend class condition;
    pthread_mutex_t native_ = PTHREAD_MUTEX_INITIALIZER;
};

/// Lets threads wait for a change of what a mutex guards. A thread must not be cancelled while it waits.
class condition {
public:
    condition() noexcept {
#if defined(__APPLE__)
        pthread_cond_init(&native_, nullptr);
#else
        pthread_condattr_t attributes;
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&native_, &attributes);
        pthread_condattr_destroy(&attributes);
#endif
    }
    condition(const condition&) = delete;
    condition& operator=(const condition&) = delete;
    ~condition() { static_cast<void>(pthread_cond_destroy(&native_)); }

    /// The mutex is held before and after, and let go of meanwhile.
    void wait(mutex& held) noexcept { pthread_cond_wait(&native_, &held.native_); }

    /// As wait(), but no longer than to `until`.
    void wait_until(mutex& held, time_point until) noexcept;

    void notify_all() noexcept { pthread_cond_broadcast(&native_); }

private:
    pthread_cond_t native_;
};

inline void condition::wait_until(mutex& held, time_point until) noexcept {
    timespec at{};
#if defined(__APPLE__)
    const time_point left = until > now() ? until - now() : 0;
    at.tv_sec = static_cast<time_t>(left / 1'000'000'000);
    at.tv_nsec = static_cast<long>(left % 1'000'000'000);
    pthread_cond_timedwait_relative_np(&native_, &held.native_, &at);
#else
    at.tv_sec = static_cast<time_t>(until / 1'000'000'000);
    at.tv_nsec = static_cast<long>(until % 1'000'000'000);
    pthread_cond_timedwait(&native_, &held.native_, &at);
#endif
}

/// Tells threads apart, in all modules. 0 is none; a thread that has ended may have had the number of a later one.
using thread_id = std::uintptr_t;

inline thread_id this_thread_id() noexcept {
    const pthread_t self = pthread_self();
    static_assert(sizeof self <= sizeof(thread_id));
    return (thread_id)self;  // a number or a pointer  NOLINT
}

}}}  // namespace ext::detail

#endif
