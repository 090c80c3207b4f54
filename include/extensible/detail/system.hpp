#pragma once

// What does the operating system give? Locks, a way to wait and to wake, a barrier for all threads of the process, thread-local
// pointers, and what runs when a thread ends. Everything here is constant-initialized, so it can be used before main and after it has
// returned.
//
// What is here for macOS is untested, and Windows is tested with MinGW and Wine only.
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

#if !defined(_WIN32)
#include <pthread.h>
#include <time.h>
#endif

#if defined(__linux__) && __has_include(<linux/membarrier.h>)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(_WIN32)

// What is used of Windows, declared as in its own headers, which are large, and define macros for names that others use.
struct _RTL_SRWLOCK;
struct _RTL_CONDITION_VARIABLE;
union _LARGE_INTEGER;
struct HINSTANCE__;

namespace ext::inline EXTENSIBLE_ABI::detail::windows {

extern "C" {
__declspec(dllimport) void __stdcall AcquireSRWLockExclusive(::_RTL_SRWLOCK*);
__declspec(dllimport) void __stdcall ReleaseSRWLockExclusive(::_RTL_SRWLOCK*);
__declspec(dllimport) int __stdcall SleepConditionVariableSRW(::_RTL_CONDITION_VARIABLE*, ::_RTL_SRWLOCK*, unsigned long,
                                                          unsigned long);
__declspec(dllimport) void __stdcall WakeAllConditionVariable(::_RTL_CONDITION_VARIABLE*);
__declspec(dllimport) int __stdcall QueryPerformanceCounter(::_LARGE_INTEGER*);
__declspec(dllimport) int __stdcall QueryPerformanceFrequency(::_LARGE_INTEGER*);
__declspec(dllimport) unsigned long __stdcall GetCurrentThreadId();
__declspec(dllimport) void __stdcall FlushProcessWriteBuffers();
__declspec(dllimport) ::HINSTANCE__* __stdcall GetModuleHandleW(const wchar_t*);
__declspec(dllimport) std::intptr_t(__stdcall* __stdcall GetProcAddress(::HINSTANCE__*, const char*))();
#if defined(EXTENSIBLE_EMULATED_THREAD_LOCAL)
__declspec(dllimport) unsigned long __stdcall TlsAlloc();
__declspec(dllimport) void* __stdcall TlsGetValue(unsigned long);
__declspec(dllimport) int __stdcall TlsSetValue(unsigned long, void*);
__declspec(dllimport) int __stdcall TlsFree(unsigned long);
__declspec(dllimport) int __stdcall GetModuleHandleExW(unsigned long, const wchar_t*, ::HINSTANCE__**);
#endif
}

}  // namespace ext::inline EXTENSIBLE_ABI::detail::windows

#endif

namespace ext::inline EXTENSIBLE_ABI::detail {

template <class T>
using atomic = std::atomic<T>;

/// Keeps the compiler from moving accesses across, but not the processor.
inline void signal_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

/// A point in time of the steady clock, in nanoseconds.
using time_point = std::int64_t;

// ---- Locks, and waiting ---------------------------------------------------------------------------------------------

#if defined(_WIN32)

/// Mutual exclusion between threads. Not recursive.
class mutex {
public:
    void lock() noexcept { windows::AcquireSRWLockExclusive(native()); }
    void unlock() noexcept { windows::ReleaseSRWLockExclusive(native()); }

private:
    friend class condition;
    ::_RTL_SRWLOCK* native() noexcept { return reinterpret_cast<::_RTL_SRWLOCK*>(&native_); }

    void* native_ = nullptr;  // what that struct holds
};

inline time_point now() noexcept {
    std::int64_t ticks = 0, per_second = 1;
    windows::QueryPerformanceCounter(reinterpret_cast<::_LARGE_INTEGER*>(&ticks));
    windows::QueryPerformanceFrequency(reinterpret_cast<::_LARGE_INTEGER*>(&per_second));
    constexpr time_point second = 1'000'000'000;
    return ticks / per_second * second + ticks % per_second * second / per_second;
}

/// Lets threads wait for a change of what a mutex guards.
class condition {
public:
    condition() noexcept = default;
    condition(const condition&) = delete;
    condition& operator=(const condition&) = delete;

    /// The mutex is held before and after, and let go of meanwhile.
    void wait(mutex& held) noexcept { sleep(held, for_ever); }

    /// As wait(), but no longer than to `until`; it may return earlier.
    void wait_until(mutex& held, time_point until) noexcept {
        constexpr time_point millisecond = 1'000'000;
        const time_point at = now();
        const time_point left = until > at ? (until - at - 1) / millisecond + 1 : 0;  // rounded up
        sleep(held, left < for_ever ? static_cast<unsigned long>(left) : for_ever - 1);
    }

    void notify_all() noexcept { windows::WakeAllConditionVariable(native()); }

private:
    static constexpr unsigned long for_ever = 0xFFFFFFFF;

    ::_RTL_CONDITION_VARIABLE* native() noexcept { return reinterpret_cast<::_RTL_CONDITION_VARIABLE*>(&native_); }
    void sleep(mutex& held, unsigned long milliseconds) noexcept {
        windows::SleepConditionVariableSRW(native(), held.native(), milliseconds, 0);
    }

    void* native_ = nullptr;  // what that struct holds
};

#else

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

inline time_point now() noexcept {
    timespec at{};
    static_cast<void>(clock_gettime(CLOCK_MONOTONIC, &at));  // there is one on every system that has <pthread.h>
    return time_point{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

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

#endif

// ---- Threads --------------------------------------------------------------------------------------------------------

/// Tells threads apart, in all modules. 0 is none; a thread that has ended may have had the number of a later one.
using thread_id = std::uintptr_t;

inline thread_id this_thread_id() noexcept {
#if defined(_WIN32)
    return windows::GetCurrentThreadId();
#else
    const pthread_t self = pthread_self();
    static_assert(sizeof self <= sizeof(thread_id));
    return (thread_id)self;  // a number or a pointer  NOLINT
#endif
}

/// A pointer to a T that each thread has one of, in each module. It is `&Initial` at first.
template <class T, T& Initial>
class thread_pointer {
#if !defined(EXTENSIBLE_EMULATED_THREAD_LOCAL)

public:
    EXTENSIBLE_HIDDEN static T* get() noexcept { return value_; }
    EXTENSIBLE_HIDDEN static void set(T* value) noexcept { value_ = value; }

private:
    EXTENSIBLE_THREAD_POINTER static inline constinit thread_local T* value_ = &Initial;

#else  // The storage of Windows itself, which is faster, and is there as long as the thread.

public:
    static T* get() noexcept {
        const unsigned long index = index_.load(std::memory_order_acquire);
        void* const value = index == none ? nullptr : windows::TlsGetValue(index);
        return value ? static_cast<T*>(value) : &Initial;
    }
    static void set(T* value) noexcept {
        static const module_end at_module_end;
        unsigned long index = index_.load(std::memory_order_acquire);
        if (index == none) index = allocate();
        windows::TlsSetValue(index, value);
    }

private:
    static constexpr unsigned long none = 0xFFFFFFFF;

    static unsigned long allocate() noexcept {
        unsigned long before = none;
        const unsigned long made = windows::TlsAlloc();
        if (made == none) std::terminate();  // there are more than a thousand
        if (index_.compare_exchange_strong(before, made)) return made;
        windows::TlsFree(made);
        return before;
    }

    // A library that is unloaded gives its index back; a program's other threads may still use theirs.
    struct module_end {
        ~module_end() {
            constexpr unsigned long from_address = 4, without_reference = 2;
            ::HINSTANCE__* module = nullptr;
            windows::GetModuleHandleExW(from_address | without_reference, reinterpret_cast<const wchar_t*>(&index_), &module);
            if (module != windows::GetModuleHandleW(nullptr)) windows::TlsFree(index_.exchange(none));
        }
    };

    static inline constinit std::atomic<unsigned long> index_{none};

#endif
};

/// Has `Function` called when the calling thread destroys its thread-local objects; once, however often this is called.
template <void (*Function)() noexcept>
EXTENSIBLE_HIDDEN void call_at_thread_end() {
    struct thread_end {
        ~thread_end() { Function(); }
        void touch() noexcept {}
    };
    // In a function, because MinGW cannot link two such variables outside of one; and empty, because MinGW frees it before that.
    static thread_local thread_end end;
    end.touch();
}

// ---- The process-wide barrier: one side of a store-then-load handshake does without its fence when the other side can make every
// running thread of the process pass one. See P1202, "Asymmetric Thread Fences". With EXTENSIBLE_NO_PROCESS_BARRIER calls take their
// fences: for a program that forbids itself membarrier() once it runs. -----------------------------------------------------------

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
    return nanoseconds < static_cast<double>(last) / 2 ? now() + static_cast<time_point>(nanoseconds) : last;
}

}  // namespace ext::inline EXTENSIBLE_ABI::detail
