#pragma once

// Which hook did what? What a monitor is told of each run of each hook.

#include <extensible/detail/config.hpp>
#include <extensible/options.hpp>

#include <cstdint>
#include <string_view>

namespace ext::inline EXTENSIBLE_ABI {

/// What a hook did to the result, or to the exception, of its call.
enum class effect : std::uint8_t { nothing, set, replaced, taken_away };

/// A count of nanoseconds. Converts to std::chrono::nanoseconds, without including <chrono>.
class nanoseconds {
public:
    constexpr explicit nanoseconds(std::int64_t count = 0) noexcept : count_(count) {}
    constexpr std::int64_t count() const noexcept { return count_; }

    template <class Duration>
        requires(Duration::period::num == 1 && Duration::period::den == 1'000'000'000)
    constexpr operator Duration() const {
        return Duration(static_cast<typename Duration::rep>(count_));
    }

private:
    std::int64_t count_;
};

/// What a monitor of a registry gets, see registry::on_hook_run(): one run of one hook. An end that a start hook returned has a run
/// of its own, in the end phase. The views are valid while the monitor runs.
struct hook_run {
    std::string_view function;  ///< the name of the function that was called
    ext::phase phase;
    std::string_view id;        ///< the hook's, empty without one
    std::string_view owner;     ///< the ext::plugin that the hook belongs to, empty without one
    bool skipped = false;       ///< it did not run because of `.fallback`, `.reentrant = false`, `.this_thread` or `.times`

    /// How long it ran, by the steady clock, also while it was suspended; and how much of that it spent in proceed().
    nanoseconds took{};
    nanoseconds took_inside{};

    bool threw = false;  ///< also where the hook is isolated

    /// What it did itself: not what happened in proceed(). A result is replaced where it was assigned or emplaced; a change in
    /// place, as by `call.result->clear()`, is not seen.
    effect result = effect::nothing;
    effect exception = effect::nothing;
};

}  // namespace ext::inline EXTENSIBLE_ABI
