#pragma once

// What does the operating system give? Locks, a way to wait and to wake, a barrier for all threads of the process, thread-local
// pointers, what runs when a thread ends, and what runs around fork(). Everything here is constant-initialized, so it can be used
// before main and after it has returned.
//
// Everything in the library that several threads share is made of these. A program that defines EXTENSIBLE_SYSTEM_HEADER puts its
// own in their place, as tests/explorer does, which runs the library under every schedule.

#include <extensible/detail/config.hpp>

#if defined(EXTENSIBLE_SYSTEM_HEADER)
#include EXTENSIBLE_SYSTEM_HEADER
#else

#include <atomic>
#include <cstdint>
#include <exception>

#if defined(__unix__) || defined(__APPLE__)
#define EXTENSIBLE_POSIX
#include <pthread.h>
#include <time.h>
#else
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#endif

#if defined(__linux__) && __has_include(<linux/membarrier.h>)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ext::inline EXTENSIBLE_ABI::detail {

template <class T>
using atomic = std::atomic<T>;

/// Keeps the compiler from moving accesses across, but not the processor.
inline void signal_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

/// A point in time of the steady clock, in nanoseconds.
using time_point = std::int64_t;

// ---- Locks, and waiting ---------------------------------------------------------------------------------------------

#if defined(EXTENSIBLE_POSIX)

/// Mutual exclusion between threads. Not recursive.
class mutex {
public:
    void lock() noexcept { pthread_mutex_lock(&native_); }
    void unlock() noexcept { pthread_mutex_unlock(&native_); }

private:
    friend class condition;
    pthread_mutex_t native_ = PTHREAD_MUTEX_INITIALIZER;
};

/// Lets threads wait for a change of what a mutex guards. Waiting is a cancellation point: the lock is held again then.
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
    ~condition() { pthread_cond_destroy(&native_); }

    /// The mutex is held before and after, and let go of meanwhile.
    void wait(mutex& held) { pthread_cond_wait(&native_, &held.native_); }

    /// As wait(), but no longer than to `until`.
    void wait_until(mutex& held, time_point until);

    void notify_all() noexcept { pthread_cond_broadcast(&native_); }

private:
    pthread_cond_t native_;
};

inline time_point now() noexcept {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return time_point{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

inline void condition::wait_until(mutex& held, time_point until) {
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

#else

class mutex : public std::mutex {};

class condition {
public:
    void wait(mutex& held) { native_.wait(held); }
    void wait_until(mutex& held, time_point until) {
        using clock = std::chrono::steady_clock;
        native_.wait_until(held, clock::time_point(std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds(until))));
    }
    void notify_all() noexcept { native_.notify_all(); }

private:
    std::condition_variable_any native_;
};

inline time_point now() noexcept {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

#endif

// ---- Threads --------------------------------------------------------------------------------------------------------

/// Tells threads apart, in all modules. 0 is none; a thread that has ended may have had the number of a later one.
using thread_id = std::uintptr_t;

inline thread_id this_thread_id() noexcept {
#if defined(EXTENSIBLE_POSIX)
    const pthread_t self = pthread_self();
    static_assert(sizeof self <= sizeof(thread_id));
    return (thread_id)self;  // a number or a pointer  NOLINT
#else
    static thread_local char address;  // one module's threads only: enough for a registry of its own
    return reinterpret_cast<thread_id>(&address);
#endif
}

// In a shared library the way to thread-local storage is a call of the dynamic linker. A pointer is small enough for the room
// that glibc keeps for such storage at a fixed distance, also in libraries that are opened later. It has room for some fifty of them,
// and does not use it again where one is opened before another is closed: EXTENSIBLE_DYNAMIC_TLS is for those that are loaded anew.
#if defined(__PIC__) && !defined(__PIE__) && defined(__GLIBC__) && !defined(EXTENSIBLE_DYNAMIC_TLS)
#define EXTENSIBLE_THREAD_POINTER [[gnu::visibility("hidden"), gnu::tls_model("initial-exec")]]
#else
#define EXTENSIBLE_THREAD_POINTER EXTENSIBLE_HIDDEN
#endif

/// A pointer to a T that each thread has one of, in each module. It is `&Initial` at first.
template <class T, T& Initial>
class thread_pointer {
public:
    EXTENSIBLE_HIDDEN static T* get() noexcept { return value_; }
    EXTENSIBLE_HIDDEN static void set(T* value) noexcept { value_ = value; }

private:
    EXTENSIBLE_THREAD_POINTER static inline constinit thread_local T* value_ = &Initial;
};

/// Has `Function` called when the calling thread destroys its thread-local objects; once, however often this is called.
template <void (*Function)() noexcept>
EXTENSIBLE_HIDDEN void call_at_thread_end() {
    struct thread_end {
        ~thread_end() { Function(); }
        void touch() noexcept {}
    };
    static thread_local thread_end end;  // in a function, because MinGW cannot link two such variables outside of one
    end.touch();
}

/// Has these functions called around each fork(): before it, and after it in the parent and in the child.
inline void call_at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
#if defined(EXTENSIBLE_POSIX)
    pthread_atfork(before, in_parent, in_child);
#else
    static_cast<void>(before), static_cast<void>(in_parent), static_cast<void>(in_child);
#endif
}

// ---- The process-wide barrier: one side of a store-then-load handshake does without its fence when the other side can make every
// running thread of the process pass one. See P1202, "Asymmetric Thread Fences". --------------------------------------------

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

}  // namespace ext::inline EXTENSIBLE_ABI::detail

#endif

namespace ext::inline EXTENSIBLE_ABI::detail {

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
    return nanoseconds < static_cast<double>(last / 2) ? now() + static_cast<time_point>(nanoseconds) : last;
}

}  // namespace ext::inline EXTENSIBLE_ABI::detail
