#pragma once

// ext::hooks::faults: fault injection. It makes calls throw or take longer, to test how a program
// copes. The same seed gives the same faults.
//
//     #include <extensible/hooks/fault.hpp>
//
//     ext::hooks::faults chaos{"net.*=throw(0.01); store.get=delay(50ms, 0.1); seed=7"};  // until the end of scope
//     auto faults = ext::hooks::faults::from_environment();  // EXTENSIBLE_FAULTS='net.*=throw(0.01)' ./server

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/chance.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/fault_text.hpp>
#include <extensible/proceed.hpp>
#include <extensible/registry.hpp>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// Thrown by a call that a rule with `throw` selects. The text names the function, the rule and the
/// seed.
class EXTENSIBLE_VISIBLE injected_fault : public error {
public:
    using error::error;
};

/// Options of ext::hooks::faults. All fields are optional. Designated initializers must appear in
/// the order of declaration.
struct faults_options {
    /// Decides which calls have faults. A seed in the text has precedence. 0 means a random seed.
    std::uint64_t seed = 0;

    /// Sleeps during a delay.
    hooks::clock clock = {};
};

/// Makes calls throw or take longer, as long as this object lives. The text is a list of rules,
/// separated by `;`:
///
///     PATTERN=throw                 each call of a matching function throws an injected_fault
///     PATTERN=throw(0.01)           a call throws with this probability, 0 to 1
///     PATTERN=delay(50ms)           each call takes this much longer; the unit is ns, us, ms or s
///     PATTERN=delay(50ms, 0.1)      a call takes longer with this probability
///     PATTERN=throw(times=3)        at most 3 calls throw; also throw(0.01, times=3) and delay(50ms, times=3)
///     seed=7                        uses this seed instead of that of the options
///
/// A rule numbers its calls in the order in which they arrive. The seed decides for each number
/// whether that call has the fault. Each rule is an around hook inside all other hooks, and the
/// first rule is the outermost of them. So a retry sees a fault as a failure of the function, and a
/// call that a hook answers has no fault.
///
/// A delay blocks the thread, even if the function returns an awaitable. To suspend such calls
/// instead, pass `pause`: a callable that takes a hooks::duration and returns an awaitable. Several
/// threads may call it at the same time. Awaited functions whose coroutines can await only their
/// own kind, such as those of Boost.Asio, have no faults.
///
/// Without exceptions (-fno-exceptions), a text with `throw` is an error. Movable, not copyable.
/// Any number of threads may call the functions at the same time.
class [[nodiscard("the faults are gone where this is destroyed: give it a name")]] faults {
public:
    /// Injects faults into functions of the default registry. An empty text means no faults. Throws
    /// ext::error if the text cannot be parsed: the error gives the column, and no rule is
    /// registered. Also throws what registering an around hook throws.
    [[nodiscard("the faults are gone where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit faults(std::string_view text, const faults_options& options = {})
        : faults(default_registry(), text, options) {}

    /// Injects faults into functions of the registry `home`. See the other constructor.
    template <class Pause = detail::no_pause>
    [[nodiscard("the faults are gone where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN faults(registry& home, std::string_view text, const faults_options& options = {},
                             Pause pause = {});

    /// Takes the text from the environment variable EXTENSIBLE_FAULTS, for functions of the
    /// registry `home`. If the variable is not set, there are no faults. Throws what the
    /// constructors throw. No other thread may change the environment at the same time.
    template <class Pause = detail::no_pause>
    EXTENSIBLE_HIDDEN static faults from_environment(registry& home = default_registry(),
                                                     const faults_options& options = {}, Pause pause = {}) {
        const char* const text = std::getenv("EXTENSIBLE_FAULTS");  // NOLINT(concurrency-mt-unsafe)
        return faults(home, text ? text : "", options, std::move(pause));
    }

    /// Returns the seed that is used. Pass it to get the same faults again.
    std::uint64_t seed() const noexcept { return seed_; }

    /// Takes over the rules of another object. An assignment removes the former rules.
    faults(faults&&) noexcept = default;
    faults& operator=(faults&&) noexcept = default;

private:
    std::uint64_t seed_;
    std::vector<scoped_hook> hooks_;
};

// -------------------------------------------------------------------------------------------------

namespace detail {

// One rule, for all calls. Any thread may use it.
class fault {
public:
    fault(const fault_rule& rule, std::uint64_t seed, std::uint64_t number, hooks::clock clock)
        : clock_(std::move(clock)),
          rule_(rule),
          seed_(seed),
          chance_(seed + number != 0 ? seed + number : 1),
          left_(rule.times) {}

    /// Throws injected_fault, or returns the time by which the call is delayed, which may be 0.
    duration draw(std::string_view function) {
        if (chance_.draw() >= rule_.probability || !take_one()) return duration(0);
        if (rule_.delay) return *rule_.delay;
        detail::raise<injected_fault>(std::string(function) + ": injected by " + rule_.text + ", seed " + json(seed_));
    }

    void block(duration time) const {
        if (time > duration(0)) clock_.sleep(time);
    }

private:
    // Returns false if the rule has had all its faults. Relaxed: the number publishes nothing else.
    bool take_one() noexcept {
        std::uint64_t left = left_.load(std::memory_order_relaxed);
        while (left != 0 && !left_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {}
        return left != 0;
    }

    const hooks::clock clock_;
    const fault_rule rule_;
    const std::uint64_t seed_;
    chance chance_;
    std::atomic<std::uint64_t> left_;  // how many faults the rule may still have
};

struct plain_fault {
    std::shared_ptr<fault> rule;

    void operator()(any_call& call, ext::proceed& proceed) const {
        rule->block(rule->draw(call.name()));
        proceed();
    }
};

template <class Pause>
struct awaited_fault {
    std::shared_ptr<fault> rule;
    EXTENSIBLE_NO_UNIQUE_ADDRESS Pause pause;

    template <class Proceed>
    detail::sub_task operator()(any_call& call, Proceed& proceed) {
        const duration time = rule->draw(call.name());
        if constexpr (std::is_same_v<Pause, no_pause>) rule->block(time);
        else if (time > duration(0)) static_cast<void>(co_await pause(time));
        co_await proceed();
    }
};

}  // namespace detail

template <class Pause>
faults::faults(registry& home, std::string_view text, const faults_options& options, Pause pause) {
    const detail::fault_text read(text);
    seed_ = read.seed ? *read.seed : options.seed;
    if (seed_ == 0) seed_ = detail::any_seed();
    const hook_options innermost{.priority = (std::numeric_limits<int>::max)()};
    std::uint64_t number = 0;
    for (const detail::fault_rule& rule : read.rules) {
        const auto shared = detail::make_shared<detail::fault>(rule, seed_, number++, options.clock);
        hooks_.emplace_back(home.around(rule.pattern, detail::plain_fault{shared}, innermost));
        hooks_.emplace_back(home.around(rule.pattern, detail::awaited_fault<Pause>{shared, pause}, innermost));
    }
}

}}}  // namespace ext::hooks
