#pragma once

// ext::hooks::limit_rate: limits the number of calls per second. ext::hooks::limit_calls: limits
// the number of calls that run at the same time. A call over the limit throws or waits.
//
//     #include <extensible/hooks/limit.hpp>
//
//     ext::on_start("net.*", ext::hooks::limit_rate({.rate = 100, .burst = 20}));  // throws
//     fetch.around(ext::hooks::limit_rate({.rate = 100}, ext::hooks::wait));       // waits
//     fetch.around(ext::hooks::limit_calls({.calls = 8}, ext::hooks::wait));       // waits
//
//     // For a function that returns an awaitable: awaits the pause.
//     const auto pause_for = [&](auto pause) { return timer.after(pause); };
//     load.around(ext::hooks::limit_rate({.rate = 5}, pause_for));
//
// The library has no timeout hook: a running function cannot be interrupted unless it cooperates.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/call_slots.hpp>
#include <extensible/hooks/detail/core.hpp>
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

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// Thrown instead of calling the function if the call would exceed the limit. The text names the
/// function and the limit.
class EXTENSIBLE_VISIBLE limit_exceeded : public refusal {
public:
    using refusal::refusal;
};

/// Options of limit_rate(). All fields are optional. Designated initializers must appear in the
/// order of declaration.
struct limit_rate_options {
    /// The number of calls per second. More than 0, and finite.
    double rate = 100;

    /// The number of calls that may begin at once after a quiet time. At least 1.
    int burst = 1;

    /// If the hook waits: a call that would have to wait longer throws at once. 0 or more.
    duration longest_wait = (duration::max)();

    /// Tells the time, and sleeps if the hook waits.
    hooks::clock clock = {};
};

/// Options of limit_calls(). All fields are optional. Designated initializers must appear in the
/// order of declaration.
struct limit_calls_options {
    /// The number of calls that may run at the same time. At least 1.
    int calls = 16;

    /// If the hook waits: the number of calls that may wait at the same time. One more throws. 0 or
    /// more.
    int longest_queue = (std::numeric_limits<int>::max)();
};

/// The type of ext::hooks::wait.
struct wait_type {};

/// A tag for limit_rate() and limit_calls(): a call over the limit waits instead of throwing.
EXTENSIBLE_HIDDEN inline constexpr wait_type wait{};

namespace detail {

struct no_wait {};
template <class Wait>
class rate_limit_hook;
template <class Wait>
class calls_limit_hook;

}  // namespace detail

/// Returns a hook for functions of any signature that limits the number of calls per second, with a
/// token bucket. The second argument decides what a call over the limit does:
/// - without it, the call throws limit_exceeded; register the hook as a start hook or an around
///   hook;
/// - ext::hooks::wait: the call blocks its thread; register it as an around hook of a plain
///   function;
/// - `pause`, a callable that takes a hooks::duration and returns an awaitable: the call
///   awaits it; register it as an around hook of a function that returns an awaitable.
///
/// Waiting calls proceed in the order in which they arrived: each reserves the next token, and
/// waits until the token is available. Inside a retry, each attempt takes a token. Copies of the
/// hook share one bucket, and so do all functions that it is registered on. Any number of threads
/// may call them at the same time.
///
/// The arguments are copied or moved into the hook. Throws ext::error if an option is invalid.
/// Without exceptions (-fno-exceptions) a limit must wait. A call that would wait longer than
/// `longest_wait` then goes to the handler of ext::on_error(), which ends the program.
template <class Wait = detail::no_wait>
detail::rate_limit_hook<Wait> limit_rate(limit_rate_options options, Wait pause = {}) {
    return {std::move(options), std::move(pause)};
}

/// Returns a hook for functions of any signature that limits the number of calls that run at the
/// same time. The second argument decides what a call over the limit does:
/// - without it, the call throws limit_exceeded; register the hook as a start hook or an around
///   hook;
/// - ext::hooks::wait: the call waits until another call ends; register it as an around hook.
///
/// A waiting plain call blocks its thread. A waiting awaited call is suspended, and resumes on the
/// thread on which another call ends, before that call returns. Waiting calls proceed in the order
/// in which they arrived. Do not destroy a suspended call while another thread may resume it.
///
/// A start hook holds its slot until the end hooks have run. An around hook holds it only while
/// everything inside it runs.
///
/// With ext::hooks::wait, a nested call may wait for its own outer call. Register the hook with
/// `.reentrant = false`: nested calls on the same thread then skip the limit. Awaited functions
/// cannot use this option.
///
/// Copies of the hook share one limit, and so do all functions that it is registered on. Any number
/// of threads may call them at the same time. Throws ext::error if an option is invalid. Without
/// exceptions (-fno-exceptions) a limit must wait, as with limit_rate().
template <class Wait = detail::no_wait>
detail::calls_limit_hook<Wait> limit_calls(limit_calls_options options, Wait = {}) {
    return {options};
}

// -------------------------------------------------------------------------------------------------

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

    /// Takes one token. Returns the pause after which the token is available. If the pause is
    /// longer than `longest_wait`, throws limit_exceeded and takes nothing.
    duration take(std::string_view function, duration longest_wait) {
        const time_point now = options_.clock.now();
        std::unique_lock lock(mutex_);
        if (now > filled_) {
            const double seconds = std::chrono::duration<double>(detail::elapsed(filled_, now)).count();
            tokens_ = (std::min)(tokens_ + seconds * options_.rate, double(options_.burst));
            filled_ = now;
        }
        const duration pause = duration_of((1 - tokens_) / options_.rate);
        if (pause > longest_wait) {
            lock.unlock();  // before code of the application: a locale, or the handler of ext::on_error()
            detail::raise<limit_exceeded>(
                detail::join({function, ": the limit of ", option_text(options_.rate), " calls per second, ",
                              option_text(options_.burst), " at once, is reached; the next call may begin in ",
                              option_text(pause)}));
        }
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
    double tokens_;      // negative if calls have reserved tokens that are not available yet
    time_point filled_;  // when tokens_ was last updated
};

template <class Wait>
class rate_limit_hook {
    static constexpr bool waits = !std::is_same_v<Wait, no_wait>;
    static_assert(waits || EXTENSIBLE_EXCEPTIONS,
                  "ext::hooks::limit_rate: this is compiled without exceptions, so it cannot throw; let it wait, as in "
                  "fetch.around(limit_rate({...}, wait))");

public:
    using for_any_call = void;

    rate_limit_hook(limit_rate_options options, Wait pause)
        : bucket_(detail::make_shared<bucket>(std::move(options))), pause_(std::move(pause)) {}

    void operator()(any_call& call) {
        static_assert(!waits, "ext::hooks::limit_rate: a limit that waits must be an around hook, as in "
                              "fetch.around(limit_rate({...}, wait))");
        bucket_->take(call.name(), duration(0));
    }

    void operator()(any_call& call, ext::proceed& proceed) {
        const duration pause = bucket_->take(call.name(), longest_wait());
        if (pause > duration(0)) bucket_->options().clock.sleep(pause);
        proceed();
    }

    template <class SubTask>
    SubTask operator()(any_call& call, awaiting_proceed<SubTask>& proceed) {
        constexpr bool can_await = !std::is_same_v<Wait, wait_type>;
        static_assert(can_await, "ext::hooks::limit_rate: for an awaited function, replace ext::hooks::wait by a "
                                 "callable that returns the awaitable of a pause, as in limit_rate({.rate = 5}, "
                                 "[&](auto pause) { return timer.after(pause); })");
        const duration time = bucket_->take(call.name(), longest_wait());
        if constexpr (waits && can_await) {
            if (time > duration(0)) static_cast<void>(co_await pause_(time));
        }
        co_await proceed();
    }

private:
    duration longest_wait() const { return waits ? bucket_->options().longest_wait : duration(0); }

    std::shared_ptr<bucket> bucket_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS Wait pause_;
};

template <class Wait>
class calls_limit_hook {
    static constexpr bool waits = std::is_same_v<Wait, wait_type>;
    static_assert(waits || std::is_same_v<Wait, no_wait>,
                  "ext::hooks::limit_calls: the second argument is ext::hooks::wait, or none");
    static_assert(waits || EXTENSIBLE_EXCEPTIONS,
                  "ext::hooks::limit_calls: this is compiled without exceptions, so it cannot throw; let it wait, as "
                  "in fetch.around(limit_calls({...}, wait))");

public:
    using for_any_call = void;

    calls_limit_hook(limit_calls_options options) : options_(options) {
        expect(options.calls >= 1, "limit_calls", ".calls", "at least 1", options.calls);
        expect(options.longest_queue >= 0, "limit_calls", ".longest_queue", "0 or more", options.longest_queue);
        slots_ = detail::make_shared<call_slots>(options.calls, waits ? options.longest_queue : 0);
    }

    auto operator()(any_call& call) {
        static_assert(!waits, "ext::hooks::limit_calls: a limit that waits must be an around hook, as in "
                              "fetch.around(limit_calls({...}, wait))");
        return [held = taken(slots_->take(), call)](any_call&) {};  // the destructor of the finisher returns the slot
    }

    void operator()(any_call& call, ext::proceed& proceed) {
        const slot held = taken(slots_->take(), call);
        proceed();
    }

    template <class SubTask>
    SubTask operator()(any_call& call, awaiting_proceed<SubTask>& proceed) {
        constexpr bool can_await = std::is_same_v<SubTask, detail::sub_task>;
        static_assert(can_await || !waits,
                      "ext::hooks::limit_calls: coroutines of the function's type await only those of their own "
                      "family, and so cannot wait here; leave out ext::hooks::wait, and it throws");
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
        detail::raise<limit_exceeded>(
            detail::join({call.name(), ": the limit of ", option_text(options_.calls),
                          options_.calls == 1 ? " running call" : " running calls", " is reached",
                          waits ? ", and no more calls may wait" : ""}));
    }

    limit_calls_options options_;
    std::shared_ptr<call_slots> slots_;
};

}  // namespace detail

}}}  // namespace ext::hooks
