#pragma once

// ext::hooks::retry: an around hook that calls the function again after a failure. It waits between
// the attempts, longer each time.
//
//     #include <extensible/hooks/retry.hpp>
//
//     fetch.around(ext::hooks::retry({.attempts = 4, .first_pause = 50ms, .factor = 2, .jitter = 0.2, .budget = 2s}));
//     charge.around(ext::hooks::retry({.when = ext::hooks::thrown<busy, std::system_error>}));
//     ask.around(ext::hooks::retry({.failed = [](const reply& received) { return received.code >= 500; }}));
//     load.around(ext::hooks::retry({.attempts = 4}, [&](auto pause) { return timer.after(pause); }));  // awaits it

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/chance.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/expect.hpp>
#include <extensible/hooks/failed.hpp>
#include <extensible/hooks/thrown.hpp>
#include <extensible/proceed.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// Options of retry(). All fields are optional. Designated initializers must appear in the order of
/// declaration.
struct retry_options {
    /// The maximum number of attempts, including the first. At least 1.
    int attempts = 3;

    /// The pause after the first attempt. 0 or more. With 0 there are no pauses, except those that
    /// `pause_for` returns.
    duration first_pause = std::chrono::milliseconds(100);

    /// The ratio of each pause to the one before. At least 1, and finite.
    double factor = 2;

    /// No pause is longer than this. At least `first_pause`.
    duration longest_pause = std::chrono::minutes(1);

    /// Each pause is made shorter or longer at random, by up to this fraction, but not longer than
    /// `longest_pause`. 0 to 1.
    double jitter = 0;

    /// Returns the pause that a failure asks for, such as the Retry-After of a server, or nothing.
    /// If it returns a pause, this is the next one, without jitter; less than 0 means 0. If it is
    /// longer than `longest_pause`, there is no further attempt. Several threads may call it at the
    /// same time.
    std::function<std::optional<duration>(const any_call&)> pause_for = {};

    /// No attempt begins later than this after the first one began. 0 or more. If a pause would end
    /// after the budget, the caller receives the failure at once.
    duration budget = (duration::max)();

    /// Returns true if a result means a failure: a callable that takes a `const T&`, for results of
    /// type T. For other results, and if this is empty, ext::failed decides. An exception is always
    /// a failure. It is evaluated before `when`. Several threads may call it at the same time.
    failure_predicate failed = {};

    /// Returns true if a failure is worth another attempt. If this is empty, every failure is,
    /// except an ext::refusal, such as breaker_open: a hook has refused the call. Several threads
    /// may call it at the same time.
    std::function<bool(const any_call&)> when = {};

    /// Called before each pause that another attempt follows (unless the budget ends meanwhile), with
    /// the call and its failure, the number of the attempt that failed, counted from 1, and the pause.
    /// If it throws, there is no further attempt, and the caller receives that exception. Several
    /// threads may call it at the same time.
    std::function<void(const any_call& call, int attempt, duration pause)> on_retry = {};

    /// The seed of the jitter. 0 means a random seed.
    std::uint64_t seed = 0;

    /// Tells the time, and sleeps during the pauses.
    hooks::clock clock = {};
};

namespace detail {

template <class Pause>
class retry_hook;

}  // namespace detail

/// Returns an around hook for functions of any signature that calls the function again after a
/// failure. A failure is an exception, or a result for which `.failed` or ext::failed is true. The
/// caller receives the outcome of the last attempt. Exceptions of earlier attempts are dropped:
/// error handlers do not receive them.
///
/// There is no further attempt if an attempt may have consumed an argument: the function takes a
/// `T&&`, or takes by value a type that cannot be copied. See any_call::is_repeatable().
///
/// During a pause, a plain call blocks its thread. For a function that returns an awaitable, pass
/// `pause`: a callable that takes a hooks::duration and returns the awaitable of the pause. Several
/// threads may call it at the same time.
///
/// The arguments are copied or moved into the hook. Throws ext::error if an option is invalid. Any
/// number of threads may call the function at the same time.
template <class Pause = detail::no_pause>
detail::retry_hook<Pause> retry(retry_options options = {}, Pause pause = {}) {
    return {std::move(options), std::move(pause)};
}

// -------------------------------------------------------------------------------------------------

namespace detail {

// The attempts of one call.
class attempts {
public:
    attempts(const retry_options& options, hooks::detail::chance& chance)
        : options_(options),
          chance_(chance),
          begun_(is_limited() ? options.clock.now() : time_point()),
          pause_(options.first_pause) {}

    /// Returns the pause before the next attempt, or nothing if this attempt was the last. If there
    /// is another attempt, clears the exception of the call, so that it is not reported.
    std::optional<duration> pause_after(any_call& call) {
        if (!options_.failed(call) || ++made_ >= options_.attempts || !call.is_repeatable() || !is_worth_a_retry(call))
            return std::nullopt;
        const duration pause = next_pause(call);
        if (pause > options_.longest_pause || pause > left()) return std::nullopt;
        if (options_.on_retry) options_.on_retry(call, made_, pause);
        failure_ = std::exchange(call.exception(), nullptr);
        return pause;
    }

    /// Returns true if the next attempt may still begin: on_retry and the pause may have taken too long.
    /// Otherwise the call has its failure again.
    bool may_begin(any_call& call) {
        const std::exception_ptr failure = std::exchange(failure_, nullptr);
        if (left() >= duration(0)) return true;
        call.exception() = failure;
        return false;
    }

private:
    bool is_limited() const { return options_.budget != (duration::max)(); }

    // How much of the budget is left; less than 0 if nothing is.
    duration left() const {
        return is_limited() ? options_.budget - detail::elapsed(begun_, options_.clock.now()) : options_.budget;
    }

    bool is_worth_a_retry(const any_call& call) const {
        if (options_.when) return options_.when(call);
#if EXTENSIBLE_EXCEPTIONS
        return !thrown<refusal>(call);
#else
        return true;
#endif
    }

    // Returns the pause that the failure asks for, or the usual one.
    duration next_pause(const any_call& call) {
        const double usual = count(pause_);
        pause_ = at_most_longest(usual * options_.factor);
        if (const std::optional<duration> asked = options_.pause_for ? options_.pause_for(call) : std::nullopt)
            return (std::max)(*asked, duration(0));
        // If the jitter would exceed the longest pause, the range ends there. So the pauses of many
        // callers that have reached the longest one still differ.
        const double shortest = usual * (1 - options_.jitter);
        const double longest = (std::min)(usual * (1 + options_.jitter), count(options_.longest_pause));
        return at_most_longest(shortest + (longest - shortest) * chance_.draw());
    }

    static double count(duration pause) { return static_cast<double>(pause.count()); }
    duration at_most_longest(double nanoseconds) const {
        return nanoseconds < count(options_.longest_pause) ? duration(static_cast<duration::rep>(nanoseconds))
                                                           : options_.longest_pause;
    }

    const retry_options& options_;
    hooks::detail::chance& chance_;
    const time_point begun_;
    duration pause_;
    int made_ = 0;
    std::exception_ptr failure_;  // of the latest attempt, during the pause
};

template <class Pause>
class retry_hook {
public:
    retry_hook(retry_options options, Pause pause)
        : options_(std::move(options)), pause_(std::move(pause)), chance_(options_.seed) {
        const auto expect_option = [](bool holds, std::string_view option, std::string_view expected,
                                      const auto& given) {
            expect(holds, "retry", option, expected, given);
        };
        expect_option(options_.attempts >= 1, ".attempts", "at least 1", options_.attempts);
        expect_option(options_.first_pause >= duration(0), ".first_pause", "0 or more", options_.first_pause);
        expect_option(options_.factor >= 1 && std::isfinite(options_.factor), ".factor", "at least 1 and finite",
                      options_.factor);
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
            if (!attempts.may_begin(call)) return;
            proceed();
        }
    }

    template <class SubTask>
    SubTask operator()(any_call& call, awaiting_proceed<SubTask>& proceed) {
        constexpr bool can_pause = !std::is_same_v<Pause, no_pause>;
        static_assert(can_pause, "ext::hooks::retry: a function that is awaited needs a second argument, which gives "
                                 "the awaitable of a pause, as in retry({.attempts = 4}, "
                                 "[&](auto pause) { return timer.after(pause); })");
        attempts attempts(options_, chance_);
        co_await proceed();
        while (const std::optional<duration> pause = attempts.pause_after(call)) {
            if constexpr (can_pause) {
                if (*pause > duration(0)) static_cast<void>(co_await pause_(*pause));
            }
            if (!attempts.may_begin(call)) co_return;
            co_await proceed();
        }
    }

private:
    retry_options options_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS Pause pause_;
    chance chance_;
};

}  // namespace detail

}}}  // namespace ext::hooks
