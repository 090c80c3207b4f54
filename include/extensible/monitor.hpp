#pragma once

// ext::hook_run: one run of one hook, as a monitor of a registry receives it.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/phase.hpp>

#include <cstdint>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI {

/// What a hook did to the result, or to the exception, of its call:
/// - `nothing`: the hook did not change it;
/// - `set`: the hook set it, and there was none before;
/// - `replaced`: the hook replaced it by another one;
/// - `cleared`: the hook removed it.
enum class effect : std::uint8_t { nothing, set, replaced, cleared };

/// A number of nanoseconds. It converts to std::chrono::nanoseconds, but this header does not
/// include <chrono>.
class nanoseconds {
public:
    /// Creates a duration of `count` nanoseconds.
    constexpr explicit nanoseconds(std::int64_t count = 0) noexcept : count_(count) {}

    /// Returns the number of nanoseconds.
    constexpr std::int64_t count() const noexcept { return count_; }

    /// Converts to std::chrono::nanoseconds, or another duration that counts nanoseconds.
    template <class Duration>
        requires(Duration::period::num == 1 && Duration::period::den == 1'000'000'000)
    constexpr operator Duration() const {
        return Duration(static_cast<typename Duration::rep>(count_));
    }

private:
    std::int64_t count_;
};

/// One run of one hook, as a monitor of a registry receives it. See registry::on_hook_run(). A
/// finisher that a start hook returned has a run of its own, in the end phase. The views are valid
/// while the monitor runs.
struct hook_run {
    /// The name of the function that was called.
    std::string_view function;

    /// The phase of the run.
    ext::phase phase;

    /// The id of the hook, or empty.
    std::string_view id;

    /// The name of the ext::plugin that the hook belongs to, or empty.
    std::string_view owner;

    /// True if the call skipped the hook because of `.fallback`, `.reentrant = false`,
    /// `.this_thread` or `.times`.
    bool skipped = false;

    /// How long the hook ran, by the steady clock, including time in which it was suspended.
    nanoseconds took{};

    /// The part of `took` that was spent inside proceed().
    nanoseconds took_inside{};

    /// True if the hook threw, even if it is isolated.
    bool threw = false;

    /// What the hook itself did to the result, without what happened inside proceed(). It is
    /// `replaced` if the hook assigned or emplaced a new result. A change in place, as by
    /// `call.result->clear()`, is not seen.
    effect result = effect::nothing;

    /// What the hook itself did to the exception of the call, without what happened inside
    /// proceed().
    effect exception = effect::nothing;
};

}}  // namespace ext
