#pragma once

// How is a call that has failed tried again? By an around hook that waits a little, longer each time, and goes on once more.
//
//     #include <extensible/hooks/retry.hpp>
//
//     fetch.around(ext::hooks::retry({.attempts = 4, .first_pause = 50ms, .factor = 2, .jitter = 0.2, .budget = 2s}));
//     charge.around(ext::hooks::retry({.when = ext::hooks::thrown<busy, std::system_error>}));
//     load.around(ext::hooks::retry({.attempts = 4}, [&](auto pause) { return timer.after(pause); }));  // awaits the pause

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/chance.hpp>
#include <extensible/hooks/detail/expect.hpp>
#include <extensible/hooks/thrown.hpp>
#include <extensible/proceed.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::hooks {

struct retry_options {
    int attempts = 3;                                       ///< so many at most, the first one included
    duration first_pause = std::chrono::milliseconds(100);  ///< between the first attempt and the second
    double factor = 2;                                      ///< each pause is so many times as long as the one before
    duration longest_pause = std::chrono::minutes(1);       ///< but no longer than this
    double jitter = 0;                                      ///< chance makes a pause shorter or longer by up to this part
    duration budget = (duration::max)();                      ///< no attempt begins when so much time has passed since the first
    /// Whether a failure is worth another attempt; each is where this is empty. All threads that call the function call it.
    std::function<bool(const any_call&)> when = {};
    std::uint64_t seed = 0;  ///< of the jitter; 0 for another one each time
    hooks::clock clock = {};
};

namespace detail {

template <class Pause>
class retry_hook;

}  // namespace detail

/// An around hook for any function that can be called several times with one set of arguments: none that takes what can only be
/// moved, which the first attempt would use up. It goes on until the call has not failed (see any_call::failed), so it may be
/// that a failure says so in its result. What is left in the call is the outcome of the last attempt; the exceptions of the
/// others are gone, and no error handler is told of them.
///
/// A function that is awaited needs `pause`, which is called with a duration and returns what its coroutines can await.
/// Throws ext::error for options that cannot be meant. Any number of threads may call the function.
template <class Pause = detail::no_pause>
detail::retry_hook<Pause> retry(retry_options options = {}, Pause pause = {}) {
    return {std::move(options), std::move(pause)};
}

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// The attempts of one call.
class attempts {
public:
    attempts(const retry_options& options, hooks::detail::chance& chance)
        : options_(options), chance_(chance), begun_(options.clock.now()), pause_(options.first_pause) {}

    /// What to wait before the next attempt; none where this one is the last. It takes what was thrown out of the call.
    std::optional<duration> pause_after(any_call& call) {
        if (!call.failed() || ++made_ >= options_.attempts || (options_.when && !options_.when(call))) return std::nullopt;
        const duration pause = part_of(pause_, 1 + options_.jitter * (2 * chance_.draw() - 1));
        if (pause > options_.budget - (options_.clock.now() - begun_)) return std::nullopt;
        pause_ = part_of(pause_, options_.factor);
        call.exception() = nullptr;
        return pause;
    }

private:
    // Not longer than the longest pause, whatever the factor.
    duration part_of(duration whole, double factor) const {
        const double part = static_cast<double>(whole.count()) * factor;
        return part < static_cast<double>(options_.longest_pause.count()) ? duration(static_cast<duration::rep>(part))
                                                                          : options_.longest_pause;
    }

    const retry_options& options_;
    hooks::detail::chance& chance_;
    const time_point begun_;
    duration pause_;
    int made_ = 0;
};

template <class Pause>
class retry_hook {
public:
    retry_hook(retry_options options, Pause pause)
        : options_(std::move(options)), pause_(std::move(pause)), chance_(options_.seed) {
        const auto expect_option = [](bool holds, std::string_view option, std::string_view expected, const auto& given) {
            expect(holds, "retry", option, expected, given);
        };
        expect_option(options_.attempts >= 1, ".attempts", "at least 1", options_.attempts);
        expect_option(options_.first_pause >= duration(0), ".first_pause", "0 or more", options_.first_pause);
        expect_option(options_.factor >= 1, ".factor", "at least 1", options_.factor);
        expect_option(options_.longest_pause >= options_.first_pause, ".longest_pause", "at least .first_pause",
                      options_.longest_pause);
        expect_option(options_.jitter >= 0 && options_.jitter <= 1, ".jitter", "between 0 and 1", options_.jitter);
        expect_option(options_.budget >= duration(0), ".budget", "0 or more", options_.budget);
    }

    void operator()(any_call& call, ext::proceed& proceed) {
        attempts attempts(options_, chance_);
        proceed();
        while (const std::optional<duration> pause = attempts.pause_after(call)) {
            if (*pause > duration(0)) options_.clock.sleep(*pause);
            proceed();
        }
    }

    template <class Stage>
    Stage operator()(any_call& call, awaiting_proceed<Stage>& proceed) {
        constexpr bool can_pause = !std::is_same_v<Pause, no_pause>;
        static_assert(can_pause, "ext::hooks::retry: a function that is awaited needs a second argument, which gives the "
                                 "awaitable of a pause, as in retry({.attempts = 4}, [&](auto pause) { return timer.after(pause); })");
        attempts attempts(options_, chance_);
        co_await proceed();
        while (const std::optional<duration> pause = attempts.pause_after(call)) {
            if constexpr (can_pause) {
                if (*pause > duration(0)) static_cast<void>(co_await pause_(*pause));
            }
            co_await proceed();
        }
    }

private:
    retry_options options_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS Pause pause_;
    chance chance_;
};

}  // namespace detail

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
