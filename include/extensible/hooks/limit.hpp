#pragma once

// How often may a function be called, and by how many at once? A hook throws where it would be more, or waits.
//
//     #include <extensible/hooks/limit.hpp>
//
//     ext::on_start("net.*", ext::hooks::limit_rate({.rate = 100, .burst = 20}));   // throws limit_exceeded; all of net together
//     fetch.around(ext::hooks::limit_rate({.rate = 100}, ext::hooks::wait));        // waits; inside of a retry each attempt counts
//     fetch.around(ext::hooks::limit_calls({.calls = 8}, ext::hooks::wait));        // an awaited call is suspended meanwhile
//     load.around(ext::hooks::limit_rate({.rate = 5}, [&](auto pause) { return timer.after(pause); }));  // is awaited
//
// There is no hook that ends a call after some time: nothing can make a function return that does not look.

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/call_slots.hpp>
#include <extensible/hooks/detail/expect.hpp>
#include <extensible/proceed.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::hooks {

/// A call was not made, because it would have been one too many. Names the function and the limit.
class EXTENSIBLE_VISIBLE limit_exceeded : public refusal {
public:
    using refusal::refusal;
};

struct limit_rate_options {
    double rate = 100;                       ///< so many calls a second
    int burst = 1;                           ///< and so many at once, after a time with few
    duration longest_wait = (duration::max)();  ///< where it waits: a call that would have to wait longer throws at once
    hooks::clock clock = {};
};

struct limit_calls_options {
    int calls = 16;                                      ///< so many at once
    int longest_queue = (std::numeric_limits<int>::max)();  ///< where it waits: one more than so many throws
};

struct wait_type {};

/// For limit_rate() and limit_calls(): wait, and do not throw.
EXTENSIBLE_HIDDEN inline constexpr wait_type wait{};

namespace detail {

struct no_wait {};
template <class Wait>
class rate_limit_hook;
template <class Wait>
class calls_limit_hook;

}  // namespace detail

/// A hook for any function: a token bucket. Without a second argument it throws limit_exceeded, and may be a start hook or an
/// around hook. With ext::hooks::wait it waits, as an around hook. A function that is awaited needs `awaitable_of`, which is
/// called with a duration and returns what its coroutines can await.
///
/// Those who wait go on in the order in which they came: each takes the next token when it comes, and waits until that is there.
/// The copies of the hook share one bucket. Throws ext::error for options that cannot be meant. Without exceptions it has to wait, and
/// what it throws all the same, beyond `longest_wait`, goes to the handler of ext::on_error().
template <class Wait = detail::no_wait>
detail::rate_limit_hook<Wait> limit_rate(limit_rate_options options, Wait awaitable_of = {}) {
    return {std::move(options), std::move(awaitable_of)};
}

/// A hook for any function: so many of its calls run at once. Without a second argument it throws limit_exceeded, and may be a
/// start hook or an around hook. With ext::hooks::wait it waits, as an around hook; an awaited call is suspended meanwhile, and
/// goes on on the thread on which another call ended, before that returns.
///
/// Those who wait go on in the order in which they came. A call beneath one of the same hook may wait for its own outer call:
/// register the hook with `.reentrant = false`, if the function is not awaited, and those beneath do not count. The copies of
/// the hook share one limit. A call that waits may be destroyed, but not while another thread may let it go on. Throws
/// ext::error for options that cannot be meant. Without exceptions it has to wait, as limit_rate().
template <class Wait = detail::no_wait>
detail::calls_limit_hook<Wait> limit_calls(limit_calls_options options, Wait = {}) {
    return {options};
}

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

class bucket {
public:
    explicit bucket(limit_rate_options options)
        : options_(std::move(options)), tokens_(options_.burst), filled_(options_.clock.now()) {
        expect(options_.rate > 0 && options_.rate <= (std::numeric_limits<double>::max)(), "limit_rate", ".rate",
               "more than 0 and finite", options_.rate);
        expect(options_.burst >= 1, "limit_rate", ".burst", "at least 1", options_.burst);
        expect(options_.longest_wait >= duration(0), "limit_rate", ".longest_wait", "0 or more", options_.longest_wait);
    }

    /// Takes one token, which is there after the pause that it returns. Throws where that is longer than `longest_wait`.
    duration take(std::string_view function, duration longest_wait) {
        const time_point now = options_.clock.now();
        const std::lock_guard lock(mutex_);
        if (now > filled_) {
            const double seconds = std::chrono::duration<double>(now - filled_).count();
            tokens_ = (std::min)(tokens_ + seconds * options_.rate, double(options_.burst));
            filled_ = now;
        }
        const duration pause = duration_of((1 - tokens_) / options_.rate);
        if (pause > longest_wait)
            ext::detail::raise<limit_exceeded>(
                ext::detail::join({function, ": the limit of ", option_text(options_.rate), " calls a second, ",
                                   option_text(options_.burst), " at once, is reached; a token is there in ", option_text(pause)}));
        tokens_ -= 1;
        return pause;
    }

    const limit_rate_options& options() const { return options_; }

private:
    static duration duration_of(double seconds) {
        const double count = (std::max)(seconds, 0.0) * 1e9;
        return count < 9e18 ? duration(std::llround(count)) : (duration::max)();
    }

    const limit_rate_options options_;
    std::mutex mutex_;   // guards all below
    double tokens_;      // less than 0 where some are taken that are not there yet
    time_point filled_;  // when the tokens were counted
};

template <class Wait>
class rate_limit_hook {
    static constexpr bool waits = !std::is_same_v<Wait, no_wait>;
    static_assert(waits || EXTENSIBLE_EXCEPTIONS,
                  "ext::hooks::limit_rate: this is compiled without exceptions, so it cannot throw; let it wait, as in "
                  "fetch.around(limit_rate({...}, wait))");

public:
    using for_any_call = void;

    rate_limit_hook(limit_rate_options options, Wait awaitable_of)
        : bucket_(std::make_shared<bucket>(std::move(options))), awaitable_of_(std::move(awaitable_of)) {}

    void operator()(any_call& call) {
        static_assert(!waits, "ext::hooks::limit_rate: one that waits is an around hook, as in "
                              "fetch.around(limit_rate({...}, wait))");
        bucket_->take(call.name(), duration(0));
    }

    void operator()(any_call& call, ext::proceed& proceed) {
        const duration pause = bucket_->take(call.name(), longest_wait());
        if (pause > duration(0)) bucket_->options().clock.sleep(pause);
        proceed();
    }

    template <class Stage>
    Stage operator()(any_call& call, awaiting_proceed<Stage>& proceed) {
        constexpr bool can_await = !std::is_same_v<Wait, wait_type>;
        static_assert(can_await, "ext::hooks::limit_rate: where it waits, a function that is awaited needs a second argument, which "
                                 "gives the awaitable of a pause, as in limit_rate({.rate = 5}, "
                                 "[&](auto pause) { return timer.after(pause); })");
        const duration pause = bucket_->take(call.name(), longest_wait());
        if constexpr (waits && can_await) {
            if (pause > duration(0)) static_cast<void>(co_await awaitable_of_(pause));
        }
        co_await proceed();
    }

private:
    duration longest_wait() const { return waits ? bucket_->options().longest_wait : duration(0); }

    std::shared_ptr<bucket> bucket_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS Wait awaitable_of_;
};

template <class Wait>
class calls_limit_hook {
    static constexpr bool waits = std::is_same_v<Wait, wait_type>;
    static_assert(waits || std::is_same_v<Wait, no_wait>,
                  "ext::hooks::limit_calls: the second argument is ext::hooks::wait, or none");
    static_assert(waits || EXTENSIBLE_EXCEPTIONS,
                  "ext::hooks::limit_calls: this is compiled without exceptions, so it cannot throw; let it wait, as in "
                  "fetch.around(limit_calls({...}, wait))");

public:
    using for_any_call = void;

    calls_limit_hook(limit_calls_options options) : options_(options) {
        expect(options.calls >= 1, "limit_calls", ".calls", "at least 1", options.calls);
        expect(options.longest_queue >= 0, "limit_calls", ".longest_queue", "0 or more", options.longest_queue);
        slots_ = std::make_shared<call_slots>(options.calls, waits ? options.longest_queue : 0);
    }

    auto operator()(any_call& call) {
        static_assert(!waits, "ext::hooks::limit_calls: one that waits is an around hook, as in "
                              "fetch.around(limit_calls({...}, wait))");
        return [held = taken(slots_->take(), call)](any_call&) {};  // it is given back where the end of the call is destroyed
    }

    void operator()(any_call& call, ext::proceed& proceed) {
        const slot held = taken(slots_->take(), call);
        proceed();
    }

    template <class Stage>
    Stage operator()(any_call& call, awaiting_proceed<Stage>& proceed) {
        constexpr bool can_await = std::is_same_v<Stage, ext::detail::stage>;
        static_assert(can_await || !waits,
                      "ext::hooks::limit_calls: coroutines of the function's type await only those of their own family, and so cannot "
                      "wait here; leave out ext::hooks::wait, and it throws");
        if constexpr (waits && can_await) {
            const slot held = taken(co_await slots_->await(), call);
            co_await proceed();
        } else {
            const slot held = taken(slots_->take(), call);
            co_await proceed();
        }
    }

private:
    slot taken(slot slot, const any_call& call) const {
        if (slot) return slot;
        const std::string_view waiting = waits ? ", and as many wait as may" : "";
        ext::detail::raise<limit_exceeded>(ext::detail::join({call.name(), ": ", option_text(options_.calls),
                                                              " calls are running, which is the limit", waiting}));
    }

    limit_calls_options options_;
    std::shared_ptr<call_slots> slots_;
};

}  // namespace detail

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
