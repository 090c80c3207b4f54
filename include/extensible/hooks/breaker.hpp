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
#include <extensible/hooks/failed.hpp>
#include <extensible/hooks/thrown.hpp>
#include <extensible/proceed.hpp>

#if !EXTENSIBLE_EXCEPTIONS
#error "ext::hooks::breaker: this is compiled without exceptions, and an open breaker throws in place of the function"
#endif

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
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

namespace detail {

class circuit;

}  // namespace detail

/// Thrown instead of calling the function if the breaker is open, or if it is half-open and
/// `half_open_calls` calls have begun already. The text names the function and the state.
class EXTENSIBLE_VISIBLE breaker_open : public refusal {
public:
    using refusal::refusal;

private:
    friend detail::circuit;
    const void* thrown_by_ = nullptr;  // the circuit, for comparison only
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

    /// How long the breaker is open before it lets calls proceed again. A call that proceeds while
    /// the breaker is half-open and takes longer than this is treated as failed. So choose a longer
    /// time than a call takes. More than 0.
    duration break_duration = std::chrono::seconds(60);

    /// The number of calls that proceed while the breaker is half-open. Their failures decide
    /// whether it opens again or closes. At least 1.
    int half_open_calls = 3;

    /// Returns true if a result means a failure: a callable that takes a `const T&`, for results of
    /// type T. For other results, and if this is empty, ext::failed decides. An exception is always
    /// a failure. It is evaluated before `when`. Several threads may call it at the same time.
    failure_predicate failed = {};

    /// Returns true if a failure counts. Other failures are treated as successes. If this is empty,
    /// every failure counts. Several threads may call it at the same time.
    std::function<bool(const any_call&)> when = {};

    /// Called after each change of state, in the order of the changes, by a thread whose call
    /// caused a change. It never runs on two threads at the same time: if a change happens while it
    /// runs, the thread that runs it calls it again. It may call functions that have this breaker.
    /// If it throws, the caller of the function receives the exception.
    std::function<void(breaker_state from, breaker_state to)> on_change = {};

    /// Tells the time. The breaker does not sleep.
    hooks::clock clock = {};
};

namespace detail {

/// The permission to make one call. If it is destroyed before count(), the call is not counted, and
/// a half-open circuit lets another call proceed in its place.
class [[nodiscard]] permit {
public:
    /// For a call that is part of a probe, and is not counted.
    permit() noexcept = default;

    /// For a call that is counted. `probe` is its number if the circuit is half-open.
    permit(std::shared_ptr<circuit> of, std::size_t number) noexcept : of_(std::move(of)), number_(number) {}
    permit(permit&&) noexcept = default;
    permit& operator=(permit&&) = delete;
    inline ~permit();

    /// Counts the outcome of the call. Does nothing if the call was destroyed while it was
    /// suspended.
    void count(const any_call& call);

private:
    std::shared_ptr<circuit> of_;
    std::size_t number_ = 0;
};

/// The state of one breaker, which its copies share. Any thread may use it.
///
/// While it is half-open, the calls that it lets proceed are probes:
/// 1. A call that a probe makes on the thread on which the probe began is part of the probe: it
///    proceeds and is not counted. The thread of an awaited probe is unknown, because such a call
///    can be suspended while another one runs.
/// 2. All other calls of a probe need permits of their own, and can be refused. If the probe fails
///    with such a refusal, it is not counted, and one more call may proceed, so that a later probe
///    gets further.
/// 3. A probe that takes longer than the break is treated as failed: by the next call that begins
///    or ends, which may be its own end. If the circuit then opens, its break began with that
///    probe.
class circuit : public std::enable_shared_from_this<circuit> {
public:
    explicit circuit(breaker_options options);

    breaker_state state() const;
    permit enter(const any_call& call);
    void count(std::size_t number, const any_call& call);
    void give_back(std::size_t number);

private:
    struct running_probe {
        std::size_t number;
        std::thread::id thread;  // none if the call is awaited
        time_point begun;
    };
    struct change {
        breaker_state from, to;
    };
    void check_options() const;
    std::unique_lock<std::mutex> lock();
    void fail_late_probes(time_point now);
    void refuse_if_needed(std::unique_lock<std::mutex>& held, std::string_view function, time_point now) const;
    bool end_call(std::size_t number);
    void count_one(bool failed, time_point now);
    void change_to(breaker_state state, time_point now);
    void deliver_changes(std::unique_lock<std::mutex> lock);

    const breaker_options options_;
    mutable std::mutex mutex_;  // guards all below
    breaker_state state_ = breaker_state::closed;
    std::size_t number_ = 0;  // of the latest change of state or probe; a call counts only under its own
    time_point opened_{};
    std::vector<running_probe> probes_;  // in the order in which they began; empty unless half-open
    std::size_t refused_probes_ = 0;     // probes of this period that failed with a refusal of this circuit
    int calls_ = 0;                      // calls counted in this period; while closed, at most the size of the window
    int failures_ = 0;                   // how many of these calls failed
    std::vector<bool> window_;           // a ring buffer: true for each counted call that failed
    std::size_t next_ = 0;               // index in window_ of the next call
    std::vector<change> changes_;        // those that on_change has not received yet
    bool is_delivering_ = false;         // a thread is calling on_change
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
/// does not count calls that began before the last change of state, that are destroyed while they
/// are suspended, or that fail because this breaker has refused a call that they made.
///
/// While it is half-open, a call that a plain function makes on its own thread is part of the call
/// of that function: it proceeds, and only the outer call is counted. A call that an awaited
/// function makes, or that a function makes on another thread, is counted by itself.
///
/// Copies share one state, and so do all functions that the breaker is registered on, directly or
/// under a pattern. Any number of threads may call these functions, and use the breaker, at the
/// same time.
class breaker {
public:
    /// Marks a hook for functions of any signature.
    using for_any_call = void;

    /// Creates a breaker that is closed. Throws ext::error if an option is invalid.
    explicit breaker(breaker_options options = {})
        : circuit_(detail::make_shared<detail::circuit>(std::move(options))) {}

    /// Returns the state after the last call that began or ended. Time alone does not change the
    /// state: after `break_duration` it is still `open` until a call arrives.
    breaker_state state() const { return circuit_->state(); }

    /// Runs the breaker as a start hook: throws breaker_open, or returns a finisher that counts the
    /// outcome of the call.
    auto operator()(any_call& call) const {
        return [permit = circuit_->enter(call)](any_call& ended) mutable { permit.count(ended); };
    }

    /// Runs the breaker as an around hook: throws breaker_open, or proceeds and counts the outcome.
    void operator()(any_call& call, ext::proceed& proceed) const {
        detail::permit permit = circuit_->enter(call);
        proceed();
        permit.count(call);
    }

    /// Runs the breaker as an around hook of a function that returns an awaitable.
    template <class SubTask>
    SubTask operator()(any_call& call, awaiting_proceed<SubTask>& proceed) const {
        detail::permit permit = circuit_->enter(call);
        co_await proceed();
        permit.count(call);
    }

private:
    std::shared_ptr<detail::circuit> circuit_;
};

// -------------------------------------------------------------------------------------------------

namespace detail {

inline permit::~permit() {
    if (of_) of_->give_back(number_);
}

inline void permit::count(const any_call& call) {
    if (!of_ || thrown<abandoned>(call)) return;
    of_->count(number_, call);
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
    expect_option(options_.break_duration > duration(0), ".break_duration", "more than 0", options_.break_duration);
    expect_option(options_.half_open_calls >= 1, ".half_open_calls", "at least 1", options_.half_open_calls);
}

inline breaker_state circuit::state() const {
    const std::lock_guard held(mutex_);
    return state_;
}

// Locks the circuit. Two changes, the most that one call makes, are then recorded without an
// allocation, which could fail halfway.
inline std::unique_lock<std::mutex> circuit::lock() {
    std::unique_lock held(mutex_);
    if (options_.on_change) changes_.reserve(changes_.size() + 2);
    return held;
}

inline permit circuit::enter(const any_call& call) {
    const time_point now = options_.clock.now();
    const std::thread::id thread = std::this_thread::get_id();
    std::unique_lock held = lock();
    fail_late_probes(now);
    const auto runs_here = [thread](const running_probe& probe) { return probe.thread == thread; };
    if (std::any_of(probes_.begin(), probes_.end(), runs_here)) return {};
    refuse_if_needed(held, call.name(), now);
    if (state_ == breaker_state::open) change_to(breaker_state::half_open, now);
    if (state_ == breaker_state::half_open)
        probes_.push_back({++number_, call.is_awaited() ? std::thread::id() : thread, now});
    permit given(shared_from_this(), number_);
    deliver_changes(std::move(held));
    return given;
}

// A change leaves no late probe, and a call that follows it is not refused.
inline void circuit::fail_late_probes(time_point now) {
    while (!probes_.empty() && detail::elapsed(probes_.front().begun, now) > options_.break_duration) {
        const time_point begun = probes_.front().begun;
        probes_.erase(probes_.begin());
        count_one(true, begun);
    }
}

inline void circuit::refuse_if_needed(std::unique_lock<std::mutex>& held, std::string_view function,
                                      time_point now) const {
    if (state_ == breaker_state::closed) return;
    const breaker_state state = state_;
    const bool is_open = state == breaker_state::open;
    const std::size_t permits = static_cast<std::size_t>(options_.half_open_calls) + refused_probes_;
    const duration left = options_.break_duration - detail::elapsed(opened_, now);
    if (is_open ? left <= duration(0) : probes_.size() + static_cast<std::size_t>(calls_) < permits) return;
    held.unlock();  // before code of the application: a locale may be one
    const std::string reason = is_open ? "for another " + option_text(left)
                                   : "and the calls that it lets through have begun: " + option_text(permits);
    breaker_open refused(detail::join({function, ": the breaker is ", to_string(state), ", ", reason}));
    refused.thrown_by_ = this;
    throw refused;
}

inline void circuit::count(std::size_t number, const any_call& call) {
    const bool is_refused_here =
        detail::has_thrown<breaker_open>(call, [this](const breaker_open& by) { return by.thrown_by_ == this; });
    const bool failed = !is_refused_here && options_.failed(call) && (!options_.when || options_.when(call));
    const time_point now = options_.clock.now();
    std::unique_lock held = lock();
    fail_late_probes(now);
    if (end_call(number)) {
        if (is_refused_here) ++refused_probes_;
        else count_one(failed, now);
    }
    deliver_changes(std::move(held));
}

// Returns true if the call counts: it began in this period, and was not treated as failed yet.
inline bool circuit::end_call(std::size_t number) {
    if (state_ != breaker_state::half_open) return number == number_;
    return std::erase_if(probes_, [number](const running_probe& running) { return running.number == number; }) > 0;
}

inline void circuit::count_one(bool failed, time_point now) {
    const bool half_open = state_ == breaker_state::half_open;
    if (!half_open && calls_ == options_.window_size) failures_ -= window_[next_];
    else ++calls_;
    failures_ += failed;
    if (!half_open) {
        window_[next_] = failed;
        next_ = (next_ + 1) % window_.size();
    }
    // While half-open, the ratio is that of `half_open_calls`, so that the circuit opens
    // as soon as enough of them have failed.
    const int of_calls = half_open ? options_.half_open_calls : calls_;
    // The limit is a trace smaller than the ratio, because of rounding: 7 of 100 calls must reach
    // the ratio 0.07, even if the processor computes with more digits than a double has.
    const bool too_many = failures_ >= options_.failure_ratio * of_calls * (1 - 1e-12);
    if (too_many && (half_open || calls_ >= options_.minimum_calls)) change_to(breaker_state::open, now);
    else if (half_open && calls_ == options_.half_open_calls) change_to(breaker_state::closed, now);
}

inline void circuit::give_back(std::size_t number) {
    const std::lock_guard held(mutex_);
    end_call(number);
}

inline void circuit::change_to(breaker_state state, time_point now) {
    if (options_.on_change) changes_.push_back({state_, state});
    state_ = state;
    ++number_;
    opened_ = now;
    probes_.clear();
    refused_probes_ = next_ = 0;
    calls_ = failures_ = 0;
}

// Calls on_change without the lock. Only one thread does so at a time, so that it learns of the
// changes in their order.
inline void circuit::deliver_changes(std::unique_lock<std::mutex> held) {
    while (!changes_.empty() && !is_delivering_) {
        const change next = changes_.front();
        changes_.erase(changes_.begin());
        is_delivering_ = true;
        held.unlock();
        try {
            options_.on_change(next.from, next.to);
        } catch (...) {
            held.lock();
            is_delivering_ = false;
            deliver_changes(std::move(held));
            throw;
        }
        held.lock();
        is_delivering_ = false;
    }
}

}  // namespace detail

}}}  // namespace ext::hooks
