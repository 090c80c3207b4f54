#pragma once

// What do the ready-made hooks know of time? A clock that is handed to them, so that a test can make up its own.

#include <extensible/detail/platform/compiler.hpp>

#if !EXTENSIBLE_COROUTINES
#error "ext::hooks: the ready-made hooks may be awaited, and this standard library has no <coroutine>"
#endif

#include <chrono>
#include <functional>
#include <thread>

namespace ext::inline EXTENSIBLE_ABI::hooks {

using duration = std::chrono::nanoseconds;
using time_point = std::chrono::time_point<std::chrono::steady_clock, duration>;

/// Tells the time and lets it pass, on any thread. A test or a simulation hands over functions of its own:
///
///     const ext::hooks::clock clock{[] { return simulation.now(); }, [](auto time) { simulation.pass(time); }};
///     fetch.around(ext::hooks::retry({.clock = clock}));
struct clock {
    /// Never goes back. Throws nothing.
    std::function<time_point()> now = [] { return std::chrono::time_point_cast<duration>(std::chrono::steady_clock::now()); };
    /// Blocks the calling thread for that long, which is more than 0.
    std::function<void(duration)> sleep = [](duration time) { std::this_thread::sleep_for(time); };
};

namespace detail {

// In place of a function that gives the awaitable of a pause, where there is none.
struct no_pause {};

}  // namespace detail

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
