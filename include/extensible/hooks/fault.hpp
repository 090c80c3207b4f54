#pragma once

// How does a program behave when functions fail, or take long? By faults in their calls, of which the same seed gives the same.
//
//     #include <extensible/hooks/fault.hpp>
//
//     ext::hooks::faults chaos{"net.*=throw(0.01); store.get=delay(50ms, 0.1); seed=7"};   // until the end of the scope
//     auto faults = ext::hooks::faults::from_environment();  // EXTENSIBLE_FAULTS='net.*=throw(0.01)' ./server

#include <extensible/any_call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/chance.hpp>
#include <extensible/hooks/detail/fault_text.hpp>
#include <extensible/proceed.hpp>
#include <extensible/registry.hpp>

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI::hooks {

/// What an injected fault throws. `what()` names the function, the rule and the seed.
class EXTENSIBLE_VISIBLE injected_fault : public error {
public:
    using error::error;
};

struct faults_options {
    std::uint64_t seed = 0;  ///< which calls the faults are in, unless the text has a seed; 0: others each time
    hooks::clock clock = {};
};

/// Puts faults into calls as long as it lives. The text is a list of rules with `;` between them:
///
///     PATTERN=throw                 each call of the functions that match throws an injected_fault
///     PATTERN=throw(0.01)           with this probability; neither can be read without exceptions
///     PATTERN=delay(50ms)           each call is later by that: a number and ns, us, ms or s
///     PATTERN=delay(50ms, 0.1)      with this probability
///     seed=7                        instead of the options' seed
///
/// A rule's calls are numbered in the order in which they come to it, and the seed tells for each number whether it has the
/// fault. The rules are around hooks inside of all others, the first of them outermost: a retry sees a fault as the function's
/// own failure, and a call that a hook has answered has none.
///
/// A delay blocks the thread, also where the function is awaited, unless `pause` is given, which is called with a duration and
/// returns what such a call then awaits. Awaited functions whose coroutines can await only their own kind, as Boost.Asio's,
/// have no faults.
class [[nodiscard("the faults are gone where this is destroyed: give it a name")]] faults {
public:
    /// In the default registry. An empty text means no faults. Throws ext::error for one that cannot be read, with the place.
    [[nodiscard("the faults are gone where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit faults(std::string_view text, const faults_options& options = {})
        : faults(default_registry(), text, options) {}

    template <class Pause = detail::no_pause>
    [[nodiscard("the faults are gone where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN faults(registry& home, std::string_view text, const faults_options& options = {}, Pause pause = {});

    /// With the text in the environment variable EXTENSIBLE_FAULTS, which need not be there.
    template <class Pause = detail::no_pause>
    EXTENSIBLE_HIDDEN static faults from_environment(registry& home = default_registry(), const faults_options& options = {},
                                                     Pause pause = {}) {
        const char* const text = std::getenv("EXTENSIBLE_FAULTS");  // NOLINT(concurrency-mt-unsafe)
        return faults(home, text ? text : "", options, std::move(pause));
    }

    /// Have the same faults again with this one.
    std::uint64_t seed() const noexcept { return seed_; }

private:
    std::uint64_t seed_;
    std::vector<scoped_hook> hooks_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// One rule, for all calls.
class fault {
public:
    fault(const fault_rule& rule, std::uint64_t seed, std::uint64_t number, hooks::clock clock)
        : clock_(std::move(clock)), rule_(rule), seed_(seed), chance_(seed + number != 0 ? seed + number : 1) {}

    /// Throws, or gives by what the call is to be later.
    duration draw(std::string_view function) {
        if (chance_.draw() >= rule_.probability) return duration(0);
        if (rule_.delay) return *rule_.delay;
        ext::detail::raise<injected_fault>(std::string(function) + ": injected by " + rule_.text + ", seed " + std::to_string(seed_));
    }

    void block(duration time) const {
        if (time > duration(0)) clock_.sleep(time);
    }

private:
    const hooks::clock clock_;
    const fault_rule rule_;
    const std::uint64_t seed_;
    chance chance_;
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
    ext::detail::stage operator()(any_call& call, Proceed& proceed) {
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
        const auto shared = std::make_shared<detail::fault>(rule, seed_, number++, options.clock);
        hooks_.emplace_back(home.around(rule.pattern, detail::plain_fault{shared}, innermost));
        hooks_.emplace_back(home.around(rule.pattern, detail::awaited_fault<Pause>{shared, pause}, innermost));
    }
}

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
