#pragma once

// How is a function left alone for a while that fails all the time? By a hook that throws in its place: a circuit breaker.
//
//     #include <extensible/hooks/breaker.hpp>
//
//     ext::hooks::breaker vault{{.failure_ratio = 0.5, .window_size = 20, .minimum_calls = 5, .break_duration = 30s}};
//     read_secret.around(vault);
//     ext::on_start("vault.*", vault);  // or for all of these together, plain and awaited
//     if (vault.state() == ext::hooks::breaker_state::open) use_old_secrets();

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/clock.hpp>
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

namespace ext::inline EXTENSIBLE_ABI::hooks {

/// Closed: calls go through, and their failures are counted. Open: none goes through. Half-open: a few do, to see how they fare.
enum class breaker_state : std::uint8_t { closed, open, half_open };

/// "closed", "open" or "half-open".
constexpr std::string_view to_string(breaker_state state) noexcept {
    return state == breaker_state::closed ? "closed" : state == breaker_state::open ? "open" : "half-open";
}

/// A call was not made, because the breaker is open, or half-open and as many have begun as it lets through. Names
/// the function.
class EXTENSIBLE_VISIBLE breaker_open : public refusal {
public:
    using refusal::refusal;
};

struct breaker_options {
    double failure_ratio = 0.5;  ///< it opens when so large a part of the calls in the window have failed: more than 0, 1 at most
    int window_size = 100;       ///< so many calls are in the window, those that ended last
    int minimum_calls = 10;      ///< with fewer in the window it stays closed
    duration break_duration = std::chrono::seconds(60);  ///< so long it is open before it lets calls through again
    int half_open_calls = 3;     ///< and then so many: by their failures it opens again or closes
    /// Whether a failure counts; each does where this is empty. One that does not counts as a success.
    std::function<bool(const any_call&)> when = {};
    /// Is told of each change, by the thread whose call made it, when it has been made. Where it throws, that is thrown to the
    /// caller.
    std::function<void(breaker_state from, breaker_state to)> on_change = {};
    hooks::clock clock = {};
};

namespace detail {

class circuit;

/// A call that the circuit has let through. Where it is destroyed before it has counted, nothing is known of the call.
class [[nodiscard]] permit {
public:
    permit(std::shared_ptr<circuit> of, std::size_t period) noexcept : of_(std::move(of)), period_(period) {}
    permit(permit&&) noexcept = default;
    permit& operator=(permit&&) = delete;
    inline ~permit();

    /// Counts how the call has ended; not where it has not, because it was destroyed while it was suspended.
    void count(const any_call& call);

private:
    std::shared_ptr<circuit> of_;
    std::size_t period_;
};

/// The state of one breaker.
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
    std::size_t period_ = 0;    // goes up with each change of state: a call counts only in the one in which it began
    time_point opened_{};
    int permits_ = 0;           // that were given since it is half-open
    int calls_ = 0;             // that count, of this period and no more than the window has
    int failures_ = 0;          // of these
    std::vector<bool> window_;  // whether each of them has failed, in a circle
    std::size_t next_ = 0;      // where the next one goes
};

}  // namespace detail

/// A hook for any function, which throws breaker_open while it is open. It may be an around hook: inside of a retry each attempt
/// counts, and what end hooks make of the outcome does not. Or a start hook, under patterns too: each call counts, as it ends.
///
/// The copies share one state, and so do all functions that it is registered on. Any number of threads may call them. It opens
/// where too many calls fail, and after `break_duration` the next call makes it half-open. Calls that began before a change are
/// not counted after it, nor are those that are destroyed while they are suspended. A call that does not end while it is
/// half-open keeps it so.
class breaker {
public:
    using for_any_call = void;

    /// Throws ext::error for options that cannot be meant.
    explicit breaker(breaker_options options = {}) : circuit_(std::make_shared<detail::circuit>(std::move(options))) {}

    /// What it was after the last call that began or ended.
    breaker_state state() const { return circuit_->state(); }

    auto operator()(any_call& call) const {
        return [permit = circuit_->enter(call.name())](any_call& ended) mutable { permit.count(ended); };
    }
    void operator()(any_call& call, ext::proceed& proceed) const {
        detail::permit permit = circuit_->enter(call.name());
        proceed();
        permit.count(call);
    }
    template <class Stage>
    Stage operator()(any_call& call, awaiting_proceed<Stage>& proceed) const {
        detail::permit permit = circuit_->enter(call.name());
        co_await proceed();
        permit.count(call);
    }

private:
    std::shared_ptr<detail::circuit> circuit_;
};

// ---------------------------------------------------------------------------------------------------------------------

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
    expect_option(options_.failure_ratio > 0 && options_.failure_ratio <= 1, ".failure_ratio", "more than 0 and at most 1",
                  options_.failure_ratio);
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
        ext::detail::raise<breaker_open>(ext::detail::join({function, ": the breaker is ", to_string(state_), reason}));
    std::optional<change> made;
    if (state_ == breaker_state::open) made = change_to(breaker_state::half_open, now);
    if (state_ == breaker_state::half_open) ++permits_;
    permit given(shared_from_this(), period_);
    lock.unlock();
    tell(made);
    return given;
}

// Empty where the call may go through.
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
    // While it is half-open, out of all that may go through: it opens as soon as those that have ended are enough for that.
    const int of_calls = half_open ? options_.half_open_calls : calls_;
    // A trace less than the ratio does: 7 of 100 are as much as 0.07, also where the processor computes with more digits than a
    // double has.
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

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
