#pragma once

// How do threads exclude each other and wait for each other on Windows? It is tested with MinGW and Wine only.

#include <extensible/detail/platform/clock.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/windows_api.hpp>

#if EXTENSIBLE_WINDOWS

#include <cstdint>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

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

/// Tells threads apart, in all modules. 0 is none; a thread that has ended may have had the number of a later one.
using thread_id = std::uintptr_t;

inline thread_id this_thread_id() noexcept { return windows::GetCurrentThreadId(); }

}}}  // namespace ext::detail

#endif
