#pragma once

// How do threads exclude each other and wait for each other on POSIX systems? The code for macOS is
// untested.

#include <extensible/detail/platform/clock.hpp>
#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_POSIX

#include <cstdint>
#include <pthread.h>
#include <time.h>
#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A mutex. Not recursive.
class mutex {
public:
    void lock() noexcept { pthread_mutex_lock(&native_); }
    void unlock() noexcept { pthread_mutex_unlock(&native_); }

private:
    friend class condition;
    pthread_mutex_t native_ = PTHREAD_MUTEX_INITIALIZER;
};

/// A condition variable. The waits may also return without a notification. A thread must not be
/// cancelled while it waits.
class condition {
public:
    // The clock is that of now(), because wait_until() takes a time of now(). macOS cannot choose
    // the clock: there the wait takes a duration.
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

    /// The calling thread must hold the mutex. It is unlocked while the thread waits, and locked
    /// again on return.
    void wait(mutex& held) noexcept { pthread_cond_wait(&native_, &held.native_); }

    /// Like wait(), but waits no longer than until `until`, a time of now().
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

/// Identifies a running thread, in all modules. No thread has the number 0. After a thread has
/// ended, a later thread may get its number.
using thread_id = std::uintptr_t;

/// Converts a pthread_t, which is a number or a pointer.
template <class Native>
thread_id thread_id_of(Native thread) noexcept {
    static_assert(sizeof thread <= sizeof(thread_id));
    if constexpr (std::is_pointer_v<Native>) return reinterpret_cast<thread_id>(thread);
    else return static_cast<thread_id>(thread);
}

inline thread_id this_thread_id() noexcept { return thread_id_of(pthread_self()); }

}}}  // namespace ext::detail

#endif
