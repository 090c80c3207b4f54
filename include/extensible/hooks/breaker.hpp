#pragma once

// ext::hooks::breaker: a circuit breaker. It stops calling a function that keeps failing, and
// throws breaker_open instead.
//
//     #include <extensible/hooks/breaker.hpp>
//
//     ext::hooks::breaker vault{{.failure_ratio = 0.5, .window_size = 20, .minimum_calls = 5, .break_duration = 30s}};
//     read_secret.around(vault);
//     ext::on_start("vault.*", vault);  // or: one breaker for all of these, plain and awaited
//     if (vault.state() == ext::hooks::breaker_state::open) use_old_secrets();

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/expect.hpp>
#include <extensible/hooks/thrown.hpp>
#include <extensible/proceed.hpp>

#if !EXTENSIBLE_EXCEPTIONS
#error "ext::hooks::breaker: this is compiled without exceptions, and an open breaker throws in place of the function"
#endif

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// The states of a breaker:
/// - `closed`: calls proceed, and their failures are counted;
/// - `open`: calls are refused;
/// - `half_open`: a limited number of calls proceed as a test, and others are refused.
enum class breaker_state : std::uint8_t { closed, open, half_open };

/// Returns the name of a state: "closed", "open" or "half-open".
constexpr std::string_view to_string(breaker_state state) noexcept {
    return state == breaker_state::closed ? "closed" : state == breaker_state::open ? "open" : "half-open";
}

/// Thrown instead of calling the function if the breaker is open, or if it is half-open and
/// `half_open_calls` calls have begun already. The text names the function and the state.
class EXTENSIBLE_VISIBLE breaker_open : public refusal {
public:
    using refusal::refusal;
};

/// Options of a breaker. All fields are optional. Designated initializers must appear in the order
/// of declaration.
struct breaker_options {
    /// The breaker opens when this fraction of the calls in the window has failed. More than 0, at
    /// most 1.
    double failure_ratio = 0.5;

    /// The number of calls in the window, which are the latest calls that have ended. At least 1.
    int window_size = 100;

    /// The breaker does not open before the window has this number of calls. At least 1, at most
    /// `window_size`.
    int minimum_calls = 10;

    /// How long the breaker is open before it lets calls proceed again. 0 or more.
    duration break_duration = std::chrono::seconds(60);

    /// The number of calls that proceed while the breaker is half-open. Their failures decide
    /// whether it opens again or closes. At least 1.
    int half_open_calls = 3;

    /// Returns true if a failure counts. Other failures are treated as successes. If this is empty,
    /// every failure counts. Several threads may call it at the same time.
    std::function<bool(const any_call&)> when = {};

    /// Called after each change of state, by the thread whose call caused it. If it throws, the
    /// caller of the function receives the exception. Several threads may call it at the same time.
    std::function<void(breaker_state from, breaker_state to)> on_change = {};

    /// Tells the time. The breaker does not sleep.
    hooks::clock clock = {};
};

namespace detail {

class circuit;

/// The permission to make one call. If it is destroyed before count(), the call is not counted, and
/// a half-open circuit lets another call proceed in its place.
class [[nodiscard]] permit {
public:
    permit(std::shared_ptr<circuit> of, std::size_t period) noexcept : of_(std::move(of)), period_(period) {}
    permit(permit&&) noexcept = default;
    permit& operator=(permit&&) = delete;
    inline ~permit();

    /// Counts the outcome of the call. Does nothing if the call was destroyed while it was
    /// suspended.
    void count(const any_call& call);

private:
    std::shared_ptr<circuit> of_;
    std::size_t period_;
};

/// The state of one breaker, which its copies share. Any thread may use it.
class circuit : public std::enable_shared_from_this<circuit> {
public:
    explicit circuit(breaker_options options);

    breaker_state state() const;
    permit enter(std::string_view function);
    void count(std::size_t period, const any_call& call);
    void give_back(std::size_t period);

private:
    struct change {
        breaker_state from, to;
    };
    void check_options() const;
    std::string reason_to_refuse(time_point now) const;
    std::optional<change> count_one(bool failed, time_point now);
    change change_to(breaker_state state, time_point now);
    void tell(const std::optional<change>& made) const {
        if (made && options_.on_change) options_.on_change(made->from, made->to);
    }

    const breaker_options options_;
    mutable std::mutex mutex_;  // guards all below
    breaker_state state_ = breaker_state::closed;
    std::size_t period_ = 0;    // incremented by each change of state; a call counts only in its own period
    time_point opened_{};
    int permits_ = 0;           // permits in use, or used, in this half-open period
    int calls_ = 0;             // calls counted in this period; while closed, at most the size of the window
    int failures_ = 0;          // how many of these calls failed
    std::vector<bool> window_;  // a ring buffer: true for each counted call that failed
    std::size_t next_ = 0;      // index in window_ of the next call
};

}  // namespace detail

/// A circuit breaker: a hook for functions of any signature, which throws breaker_open while it is
/// open.
///
/// It can be an around hook or a start hook. As an around hook, it counts the outcome of the hooks
/// inside it and the function: inside a retry it counts each attempt, and it does not see what end
/// hooks change. As a start hook, it counts each call once, with the outcome that the end hooks
/// left.
///
/// It opens if too many calls fail. The first call after `break_duration` makes it half-open. It
/// does not count calls that began before the last change of state, or that are destroyed while
/// they are suspended. A call that does not end keeps the breaker half-open.
///
/// Copies share one state, and so do all functions that the breaker is registered on, directly or
/// under a pattern. Any number of threads may call these functions, and use the breaker, at the
/// same time.
class breaker {
public:
    /// Marks a hook for functions of any signature.
    using for_any_call = void;

    /// Creates a breaker that is closed. Throws ext::error if an option is invalid.
    explicit breaker(breaker_options options = {}) : circuit_(std::make_shared<detail::circuit>(std::move(options))) {}

    /// Returns the state after the last call that began or ended. Time alone does not change the
    /// state: after `break_duration` it is still `open` until a call arrives.
    breaker_state state() const { return circuit_->state(); }

    /// Runs the breaker as a start hook: throws breaker_open, or returns a finisher that counts the
    /// outcome of the call.
    auto operator()(any_call& call) const {
        return [permit = circuit_->enter(call.name())](any_call& ended) mutable { permit.count(ended); };
    }

    /// Runs the breaker as an around hook: throws breaker_open, or proceeds and counts the outcome.
    void operator()(any_call& call, ext::proceed& proceed) const {
        detail::permit permit = circuit_->enter(call.name());
        proceed();
        permit.count(call);
    }

    /// Runs the breaker as an around hook of a function that returns an awaitable.
    template <class SubTask>
    SubTask operator()(any_call& call, awaiting_proceed<SubTask>& proceed) const {
        detail::permit permit = circuit_->enter(call.name());
        co_await proceed();
        permit.count(call);
    }

private:
    std::shared_ptr<detail::circuit> circuit_;
};

// -------------------------------------------------------------------------------------------------

namespace detail {

inline permit::~permit() {
    if (of_) of_->give_back(period_);
}

inline void permit::count(const any_call& call) {
    if (thrown<abandoned>(call)) return;
    of_->count(period_, call);
    of_ = nullptr;
}

inline circuit::circuit(breaker_options options) : options_(std::move(options)) {
    check_options();
    window_.resize(static_cast<std::size_t>(options_.window_size));
}

inline void circuit::check_options() const {
    const auto expect_option = [](bool holds, std::string_view option, std::string_view expected, const auto& given) {
        expect(holds, "breaker", option, expected, given);
    };
    expect_option(options_.failure_ratio > 0 && options_.failure_ratio <= 1, ".failure_ratio",
                  "more than 0 and at most 1", options_.failure_ratio);
    expect_option(options_.window_size >= 1, ".window_size", "at least 1", options_.window_size);
    expect_option(options_.minimum_calls >= 1 && options_.minimum_calls <= options_.window_size, ".minimum_calls",
                  "at least 1 and at most .window_size", options_.minimum_calls);
    expect_option(options_.break_duration >= duration(0), ".break_duration", "0 or more", options_.break_duration);
    expect_option(options_.half_open_calls >= 1, ".half_open_calls", "at least 1", options_.half_open_calls);
}

inline breaker_state circuit::state() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

inline permit circuit::enter(std::string_view function) {
    const time_point now = options_.clock.now();
    std::unique_lock lock(mutex_);
    if (const std::string reason = reason_to_refuse(now); !reason.empty())
        detail::raise<breaker_open>(detail::join({function, ": the breaker is ", to_string(state_), reason}));
    std::optional<change> made;
    if (state_ == breaker_state::open) made = change_to(breaker_state::half_open, now);
    if (state_ == breaker_state::half_open) ++permits_;
    permit given(shared_from_this(), period_);
    lock.unlock();
    tell(made);
    return given;
}

// Returns an empty text if the call may proceed.
inline std::string circuit::reason_to_refuse(time_point now) const {
    if (state_ == breaker_state::open && now - opened_ < options_.break_duration)
        return ", for another " + option_text(options_.break_duration - (now - opened_));
    if (state_ == breaker_state::half_open && permits_ >= options_.half_open_calls)
        return ", and the calls that it lets through have begun: " + option_text(options_.half_open_calls);
    return "";
}

inline void circuit::count(std::size_t period, const any_call& call) {
    const bool failed = call.failed() && (!options_.when || options_.when(call));
    const time_point now = options_.clock.now();
    std::unique_lock lock(mutex_);
    if (period != period_) return;
    const std::optional<change> made = count_one(failed, now);
    lock.unlock();
    tell(made);
}

inline std::optional<circuit::change> circuit::count_one(bool failed, time_point now) {
    const bool half_open = state_ == breaker_state::half_open;
    if (!half_open && calls_ == options_.window_size) failures_ -= window_[next_];
    else ++calls_;
    failures_ += failed;
    if (!half_open) {
        window_[next_] = failed;
        next_ = (next_ + 1) % window_.size();
    }
    // While half-open, the ratio is that of all calls that may proceed, so that the circuit opens
    // as soon as enough of them have failed.
    const int of_calls = half_open ? options_.half_open_calls : calls_;
    // The limit is a trace smaller than the ratio, because of rounding: 7 of 100 calls must reach
    // the ratio 0.07, even if the processor computes with more digits than a double has.
    const bool too_many = failures_ >= options_.failure_ratio * of_calls * (1 - 1e-12);
    if (too_many && (half_open || calls_ >= options_.minimum_calls)) return change_to(breaker_state::open, now);
    if (half_open && calls_ == options_.half_open_calls) return change_to(breaker_state::closed, now);
    return std::nullopt;
}

inline void circuit::give_back(std::size_t period) {
    const std::lock_guard lock(mutex_);
    if (period == period_ && state_ == breaker_state::half_open) --permits_;
}

inline circuit::change circuit::change_to(breaker_state state, time_point now) {
    const change made{state_, state};
    state_ = state;
    ++period_;
    opened_ = now;
    permits_ = calls_ = failures_ = 0;
    next_ = 0;
    return made;
}

}  // namespace detail

}}}  // namespace ext::hooks
