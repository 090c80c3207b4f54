#pragma once

// What time is it, by a steady clock? Without <chrono>, which is a large header.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/windows_api.hpp>

#include <cstdint>
#if !defined(_WIN32)
#include <time.h>
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A point in time of the steady clock, in nanoseconds.
using time_point = std::int64_t;

#if EXTENSIBLE_WINDOWS

inline time_point now() noexcept {
    std::int64_t ticks = 0, per_second = 1;
    windows::QueryPerformanceCounter(reinterpret_cast<::_LARGE_INTEGER*>(&ticks));
    windows::QueryPerformanceFrequency(reinterpret_cast<::_LARGE_INTEGER*>(&per_second));
    constexpr time_point second = 1'000'000'000;
    return ticks / per_second * second + ticks % per_second * second / per_second;
}

#elif EXTENSIBLE_POSIX

inline time_point now() noexcept {
    timespec at{};
    static_cast<void>(clock_gettime(CLOCK_MONOTONIC, &at));  // every system with <pthread.h> has this clock
    return time_point{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

#endif

}}}  // namespace ext::detail
