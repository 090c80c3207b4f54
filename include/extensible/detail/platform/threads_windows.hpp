#pragma once

// How do threads exclude each other and wait for each other on Windows? Tested only with MinGW and
// Wine.

#include <extensible/detail/platform/clock.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/windows_api.hpp>

#if EXTENSIBLE_WINDOWS

#include <cstdint>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A mutex. Not recursive.
class mutex {
public:
    void lock() noexcept { windows::AcquireSRWLockExclusive(native()); }
    void unlock() noexcept { windows::ReleaseSRWLockExclusive(native()); }

private:
    friend class condition;
    ::_RTL_SRWLOCK* native() noexcept { return reinterpret_cast<::_RTL_SRWLOCK*>(&native_); }

    void* native_ = nullptr;  // an _RTL_SRWLOCK, which consists of one pointer
};

/// A condition variable. The waits may also return without a notification.
class condition {
public:
    condition() noexcept = default;
    condition(const condition&) = delete;
    condition& operator=(const condition&) = delete;

    /// The calling thread must hold the mutex. It is unlocked while the thread waits, and locked
    /// again on return.
    void wait(mutex& held) noexcept { sleep(held, for_ever); }

    /// Like wait(), but waits no longer than until `until`, a time of now(). If that is more than 49
    /// days away, it returns earlier.
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

    void* native_ = nullptr;  // an _RTL_CONDITION_VARIABLE, which consists of one pointer
};

/// Identifies a running thread, in all modules. No thread has the number 0. After a thread has
/// ended, a later thread may get its number.
using thread_id = std::uintptr_t;

inline thread_id this_thread_id() noexcept { return windows::GetCurrentThreadId(); }

}}}  // namespace ext::detail

#endif
