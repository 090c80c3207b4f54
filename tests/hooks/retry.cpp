#include "../catch.hpp"
#include "../tasks.hpp"
#include "../text_of.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/retry.hpp>

#include <atomic>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
namespace hooks = ext::hooks;

namespace {

struct outcome {
    int value = 0;
    bool is_busy = false;
    friend bool failed(const outcome& outcome) { return outcome.is_busy; }
};

// Fails `failures` times, then succeeds.
struct busy_server {
    int failures;
    int calls = 0;
    std::string operator()(const std::string& what) {
        if (++calls <= failures) throw std::runtime_error("busy " + std::to_string(calls));
        return what + " after " + std::to_string(calls);
    }
};

}  // namespace

TEST_CASE("retry() repeats the call until it succeeds, with growing pauses") {
    ext::registry registry;
    simulated_clock time;
    busy_server server{3};
    ext::extensible fetch{registry, "fetch", [&](const std::string& what) { return server(what); }};
    fetch.around(
        hooks::retry({.attempts = 4, .first_pause = 50ms, .factor = 3, .longest_pause = 400ms, .clock = time.clock()}));
    int reported = 0;
    registry.on_hook_error([&](const ext::hook_error&) { ++reported; });

    CHECK(fetch("oslo") == "oslo after 4");
    CHECK(time.passed() == 50ms + 150ms + 400ms);
    CHECK(reported == 0);
}

TEST_CASE("retry() leaves the last failure in the call when the attempts or the budget are used up") {
    ext::registry registry;
    simulated_clock time;
    busy_server server{100};
    ext::extensible fetch{registry, "fetch", [&](const std::string& what) {
        time.pass(20ms);
        return server(what);
    }};
    SECTION("attempts") {
        fetch.around(hooks::retry({.attempts = 3, .first_pause = 10ms, .clock = time.clock()}));
        CHECK_THROWS_WITH(fetch(""), "busy 3");
        CHECK(time.passed() == 3 * 20ms + 10ms + 20ms);
    }
    SECTION("one attempt means no retry") {
        fetch.around(hooks::retry({.attempts = 1, .clock = time.clock()}));
        CHECK_THROWS_WITH(fetch(""), "busy 1");
        CHECK(time.passed() == 20ms);
    }
    SECTION("an attempt may begin at the end of the budget, but not later") {
        fetch.around(
            hooks::retry({.attempts = 9, .first_pause = 10ms, .factor = 1, .budget = 60ms, .clock = time.clock()}));
        CHECK_THROWS_WITH(fetch(""), "busy 3");  // the attempts began at 0, 30 and 60 ms
    }
}

TEST_CASE("retry() does not sleep if the pause is 0") {
    ext::registry registry;
    busy_server server{100};
    ext::extensible fetch{registry, "fetch", [&](const std::string& what) { return server(what); }};
    int sleeps = 0;
    const hooks::clock clock{.now = [] { return hooks::time_point(); }, .sleep = [&](hooks::duration) { ++sleeps; }};
    fetch.around(hooks::retry({.attempts = 3, .first_pause = 0ms, .clock = clock}));
    CHECK_THROWS_WITH(fetch(""), "busy 3");
    CHECK(sleeps == 0);
}

TEST_CASE("retry() can depend on the kind of failure") {
    ext::registry registry;
    simulated_clock time;
    SECTION("on the exception") {
        int calls = 0;
        ext::extensible fail{registry, "fail", [&](int how) {
            ++calls;
            if (how == 0) throw std::system_error(std::make_error_code(std::errc::timed_out));
            if (how == 1) throw std::logic_error("no use");
            throw 2;
        }};
        fail.around(
            hooks::retry({.when = hooks::thrown<std::invalid_argument, std::system_error>, .clock = time.clock()}));
        CHECK_THROWS_AS(fail(0), std::system_error);
        CHECK(calls == 3);
        CHECK_THROWS_AS(fail(1), std::logic_error);
        CHECK(calls == 4);
        CHECK_THROWS_AS(fail(2), int);
        CHECK(calls == 5);
    }
    SECTION("on the result") {
        int calls = 0;
        ext::extensible ask{registry, "ask", [&] { return outcome{++calls, calls < 3}; }};
        ask.around(hooks::retry({.attempts = 5, .clock = time.clock()}));
        CHECK(ask().value == 3);
    }
}

TEST_CASE("retry() varies its pauses randomly, and in the same way for the same seed") {
    ext::registry registry;
    const auto time_with_seed = [&](std::uint64_t seed) {
        simulated_clock time;
        ext::extensible fail{registry, "fail", [] { throw 1; }};
        fail.around(hooks::retry(
            {.attempts = 5, .first_pause = 100ms, .factor = 1, .jitter = 0.5, .seed = seed, .clock = time.clock()}));
        CHECK_THROWS_AS(fail(), int);
        return time.passed();
    };
    CHECK(time_with_seed(7) == time_with_seed(7));
    CHECK(time_with_seed(7) != time_with_seed(8));
    CHECK(time_with_seed(0) != time_with_seed(0));
    CHECK(time_with_seed(9) >= 4 * 50ms);
    CHECK(time_with_seed(9) <= 4 * 150ms);
}

TEST_CASE("retry() awaits its pauses if the function is awaited") {
    ext::registry registry;
    simulated_clock time;
    tasks::gate timer;
    std::vector<hooks::duration> pauses;
    int calls = 0;
    ext::extensible load{registry, "load", [&](int x) -> tasks::lazy<int> {
        if (++calls < 3) throw std::runtime_error("busy");
        co_return 2 * x;
    }};
    load.around(hooks::retry({.attempts = 4, .first_pause = 10ms, .clock = time.clock()},
                             [&](hooks::duration pause) -> tasks::gate& {
                                 pauses.push_back(pause);
                                 return timer;
                             }));
    auto call = load(21);
    call.start();
    CHECK(calls == 1);
    REQUIRE_FALSE(call.done());
    timer.open();
    REQUIRE(call.done());
    CHECK(call.get() == 42);
    CHECK(pauses == std::vector<hooks::duration>{10ms, 20ms});
    CHECK(time.passed() == 0ms);
}

TEST_CASE("retry() can be registered for a pattern, and used by many threads at once") {
    ext::registry registry;
    simulated_clock time;
    std::atomic<int> calls{0};
    ext::extensible get{registry, "net.get", [&](int x) {
        if (++calls % 2 == 1) throw std::runtime_error("busy");
        return x;
    }};
    registry.around("net.*", hooks::retry({.attempts = 1000, .first_pause = 0ms, .jitter = 1, .clock = time.clock()}));
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
        threads.emplace_back([&] {
            for (int i = 0; i < 250; ++i) right += get(i) == i;
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(right == 1000);
    CHECK(time.passed() == 0ms);
}

TEST_CASE("retry() says what is wrong with its options") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(hooks::retry({.attempts = 0}),
                      "ext::hooks::retry: .attempts must be at least 1, but is 0");
    CHECK_THROWS_WITH(hooks::retry({.first_pause = -5ms}),
                      "ext::hooks::retry: .first_pause must be 0 or more, but is -5 ms");
    CHECK_THROWS_WITH(hooks::retry({.factor = 0.5}),
                      "ext::hooks::retry: .factor must be at least 1, but is 0.5");
    CHECK_THROWS_WITH(hooks::retry({.factor = nan}),
                      "ext::hooks::retry: .factor must be at least 1, but is nan");
    CHECK_THROWS_AS(hooks::retry({.first_pause = 2s, .longest_pause = 1s}), ext::error);
    CHECK_THROWS_AS(hooks::retry({.jitter = 1.1}), ext::error);
    CHECK_THROWS_AS(hooks::retry({.jitter = nan}), ext::error);
    CHECK_THROWS_AS(hooks::retry({.budget = -1ns}), ext::error);
}
