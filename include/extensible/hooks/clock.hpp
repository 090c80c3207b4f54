#pragma once

// ext::hooks::clock: how the ready-made hooks read the time and sleep. A test can replace it.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#if !EXTENSIBLE_COROUTINES
#error "ext::hooks: the ready-made hooks may be awaited, and this standard library has no <coroutine>"
#endif

#include <chrono>
#include <functional>
#include <thread>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// A duration in the options of the ready-made hooks, in nanoseconds. Other durations convert to
/// it.
using duration = std::chrono::nanoseconds;

/// A time of a hooks::clock: that of the steady clock, in nanoseconds.
using time_point = std::chrono::time_point<std::chrono::steady_clock, duration>;

/// Two functions with which a ready-made hook reads the time and sleeps. The defaults are those of
/// std::chrono::steady_clock and std::this_thread. Several threads may call them at the same time.
/// The hook owns a copy. A test or a simulation passes its own functions:
///
///     const ext::hooks::clock clock{[] { return simulation.now(); }, [](auto time) { simulation.pass(time); }};
///     fetch.around(ext::hooks::retry({.clock = clock}));
struct clock {
    /// Returns the time. It must neither throw nor go back.
    std::function<time_point()> now = [] {
        return std::chrono::time_point_cast<duration>(std::chrono::steady_clock::now());
    };

    /// Blocks the calling thread for this time, which is more than 0.
    std::function<void(duration)> sleep = [](duration time) { std::this_thread::sleep_for(time); };
};

namespace detail {

/// Returns `from + by`, or the latest time point if that would be later. `by` is not negative.
constexpr time_point later(time_point from, duration by) noexcept {
    const duration left = (time_point::max)() - (from < time_point() ? time_point() : from);
    return by < left ? from + by : (time_point::max)();
}

// Stands in for the callable that returns the awaitable of a pause, if the user passes none.
struct no_pause {};

// Returns the time from `from` to `to`, at least 0 and at most the longest duration: a difference
// of time points can overflow.
constexpr duration elapsed(time_point from, time_point to) noexcept {
    if (to <= from) return duration(0);
    const duration::rep begin = from.time_since_epoch().count(), end = to.time_since_epoch().count();
    if (begin < 0 && end > (duration::max)().count() + begin) return (duration::max)();
    return duration(end - begin);
}

}  // namespace detail

}}}  // namespace ext::hooks
