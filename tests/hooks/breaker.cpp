#include "../catch.hpp"
#include "../tasks.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/breaker.hpp>
#include <extensible/hooks/retry.hpp>

#include <atomic>
#include <chrono>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
namespace hooks = ext::hooks;
using state = hooks::breaker_state;

namespace {

// A function with a breaker. The argument tells the function to fail.
struct guarded {
    explicit guarded(hooks::breaker_options options) : breaker(with_clock(std::move(options))) {}

    hooks::breaker_options with_clock(hooks::breaker_options options) {
        options.clock = time.clock();
        options.on_change = [this](state from, state to) {
            changes += std::string(to_string(from)) + " to " + std::string(to_string(to)) + ". ";
            CHECK(breaker.state() == to);
        };
        return options;
    }
    // True for a success, false for a failure, std::nullopt if the breaker rejects the call.
    std::optional<bool> call(bool fails) {
        try {
            fetch(fails);
            return true;
        } catch (const hooks::breaker_open&) {
            return std::nullopt;
        } catch (const std::exception&) {
            return false;
        }
    }
    void fail(int times) {
        for (int i = 0; i < times; ++i) REQUIRE(call(true) == false);
    }
    void succeed(int times) {
        for (int i = 0; i < times; ++i) REQUIRE(call(false) == true);
    }

    ext::registry registry;
    simulated_clock time;
    std::string changes;
    hooks::breaker breaker;
    ext::extensible<void(bool)> fetch{registry, "net.fetch", [](bool fails) {
        if (fails) throw std::runtime_error("busy");
    }};
};

}  // namespace

TEST_CASE("A breaker opens at its ratio of failed calls, and then calls do not reach the function") {
    guarded g({.failure_ratio = 0.5, .window_size = 4, .minimum_calls = 4, .break_duration = 30s});
    SECTION("as an around hook") { g.fetch.around(g.breaker); }
    SECTION("as a start hook") { g.fetch.on_start(g.breaker); }
    SECTION("as a start hook for any function") { g.registry.on_start("net.*", g.breaker); }
    SECTION("as an around hook for any function") { g.registry.around("*", g.breaker); }
    g.fail(1);
    g.succeed(3);
    g.succeed(1);  // the failure has left the window
    g.fail(1);
    CHECK(g.breaker.state() == state::closed);
    g.fail(1);  // now two of four
    CHECK(g.breaker.state() == state::open);
    CHECK(g.call(false) == std::nullopt);
    g.time.pass(10s);
    CHECK_THROWS_WITH(g.fetch(false), "net.fetch: the breaker is open, for another 20 s");
    CHECK(g.changes == "closed to open. ");
}

TEST_CASE("An open breaker rejects calls even if its hook is isolated") {
    guarded g({.failure_ratio = 1, .window_size = 2, .minimum_calls = 2});
    SECTION("as an around hook") { g.fetch.around(g.breaker, {.isolate = true}); }
    SECTION("as a start hook for any function") { g.registry.on_start("net.*", g.breaker, {.isolate = true}); }
    g.fail(2);
    CHECK(g.call(false) == std::nullopt);
}

TEST_CASE("A breaker stays closed until .minimum_calls calls have ended") {
    guarded g({.failure_ratio = 0.07, .window_size = 100, .minimum_calls = 100});
    g.fetch.around(g.breaker);
    g.fail(7);
    g.succeed(92);
    CHECK(g.breaker.state() == state::closed);
    g.succeed(1);  // 7 of 100 is as much as 0.07
    CHECK(g.breaker.state() == state::open);
}

TEST_CASE("After its break, a breaker lets a few calls through, and then closes or opens again") {
    guarded g(
        {.failure_ratio = 0.5, .window_size = 10, .minimum_calls = 2, .break_duration = 30s, .half_open_calls = 3});
    g.fetch.around(g.breaker);
    g.fail(2);
    g.time.pass(30s - 1ns);
    CHECK(g.call(false) == std::nullopt);
    g.time.pass(1ns);
    CHECK(g.breaker.state() == state::open);  // until the next call

    g.fail(1);
    CHECK(g.breaker.state() == state::half_open);
    g.fail(1);  // two failures of three are too many, whatever the third call does
    CHECK(g.breaker.state() == state::open);

    g.time.pass(30s);
    g.fail(1);
    g.succeed(2);
    CHECK(g.breaker.state() == state::closed);
    g.fail(1);  // earlier calls no longer count
    CHECK(g.breaker.state() == state::closed);
    g.fail(1);
    CHECK(g.breaker.state() == state::open);
    CHECK(g.changes == "closed to open. open to half-open. half-open to open. "
                       "open to half-open. half-open to closed. closed to open. ");
}

TEST_CASE("A breaker counts only the failures that .when selects") {
    guarded g({.failure_ratio = 1, .window_size = 2, .minimum_calls = 2, .when = hooks::thrown<std::runtime_error>});
    g.fetch.around(g.breaker);
    ext::hook other =
        g.fetch.around([](auto& call, auto&) { call.exception = std::make_exception_ptr(std::logic_error("mine")); });
    g.fail(5);
    CHECK(g.breaker.state() == state::closed);
    other.remove();
    g.fail(2);
    CHECK(g.breaker.state() == state::open);
}

namespace {

struct answer {
    bool is_busy;
    friend bool failed(const answer& answer) { return answer.is_busy; }
};

}  // namespace

TEST_CASE("A breaker counts a result that denotes a failed call") {
    ext::registry registry;
    ext::extensible ask{registry, "ask", [] { return answer{true}; }};
    hooks::breaker breaker{{.window_size = 1, .minimum_calls = 1}};
    ask.around(breaker);
    CHECK(ask().is_busy);
    CHECK_THROWS_AS(ask(), hooks::breaker_open);
}

TEST_CASE("A breaker inside a retry counts each attempt, and ignores changes by end hooks") {
    ext::registry registry;
    simulated_clock time;
    int calls = 0;
    ext::extensible fetch{registry, "fetch", [&] {
        ++calls;
        throw std::runtime_error("busy");
    }};
    hooks::breaker breaker{{.window_size = 3, .minimum_calls = 3, .clock = time.clock()}};
    fetch.around(hooks::retry({.attempts = 5, .first_pause = 0ms, .clock = time.clock()}));
    fetch.around(breaker);
    fetch.on_end([](auto& call) { call.exception = nullptr; });
    CHECK_NOTHROW(fetch());
    CHECK(calls == 3);
    CHECK(breaker.state() == state::open);
}

TEST_CASE("A breaker ignores calls that began before its state changed, and calls that are destroyed") {
    ext::registry registry;
    simulated_clock time;
    tasks::gate gate;
    ext::extensible load{registry, "load", [&](bool waits) -> tasks::lazy<int> {
        if (waits) co_await gate;
        throw std::runtime_error("busy");
    }};
    hooks::breaker breaker{{.failure_ratio = 1,
                            .window_size = 1,
                            .minimum_calls = 1,
                            .break_duration = 1s,
                            .half_open_calls = 1,
                            .clock = time.clock()}};
    SECTION("as an around hook") { load.around(breaker); }
    SECTION("as a start hook for any function") { registry.on_start("*", breaker); }
    auto slow = load(true);
    slow.start();
    CHECK_THROWS_AS(load(false).run(), std::runtime_error);
    CHECK(breaker.state() == state::open);
    time.pass(1s);
    {
        auto destroyed = load(true);
        destroyed.start();
        CHECK(breaker.state() == state::half_open);
        CHECK_THROWS_WITH(load(false).run(),
                          "load: the breaker is half-open, and the calls that it lets through have begun: 1");
        gate = tasks::gate();  // forgets both suspended calls
    }
    CHECK(breaker.state() == state::half_open);
    CHECK_THROWS_WITH(load(false).run(), "busy");  // takes the place of the destroyed call
    CHECK(breaker.state() == state::open);
}

TEST_CASE("A half-open breaker ignores the end of a call that began while it was closed") {
    ext::registry registry;
    simulated_clock time;
    tasks::gate gate;
    ext::extensible load{registry, "load", [&](bool waits) -> tasks::lazy<int> {
        if (waits) co_await gate;
        throw std::runtime_error("busy");
    }};
    hooks::breaker breaker{{.window_size = 1, .minimum_calls = 1, .break_duration = 1s, .clock = time.clock()}};
    load.around(breaker);
    auto slow = load(true);
    slow.start();
    CHECK_THROWS_WITH(load(false).run(), "busy");
    time.pass(1s);
    CHECK_THROWS_WITH(load(false).run(), "busy");
    CHECK(breaker.state() == state::half_open);  // one failure of three; two would be too many
    gate.open();
    REQUIRE(slow.done());
    CHECK(breaker.state() == state::half_open);
}

TEST_CASE("A half-open breaker lets exactly .half_open_calls calls through, even if many threads call") {
    ext::registry registry;
    simulated_clock time;
    std::atomic<int> calls{0};
    std::atomic<bool> is_down{true};
    ext::extensible fetch{registry, "fetch", [&] {
        ++calls;
        if (is_down) throw 1;
    }};
    std::atomic<int> changes{0};
    hooks::breaker breaker{{.window_size = 10, .minimum_calls = 1, .break_duration = 1s, .half_open_calls = 1,
                            .on_change = [&](state, state) { ++changes; }, .clock = time.clock()}};
    fetch.around(breaker);
    CHECK_THROWS_AS(fetch(), int);
    time.pass(1s);
    calls = 0;
    const auto call_in_threads = [&] {
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 4; ++thread)
            threads.emplace_back([&] {
                for (int i = 0; i < 100; ++i) try {
                        fetch();
                    } catch (...) {
                    }
            });
        for (std::thread& thread : threads) thread.join();
    };
    call_in_threads();
    CHECK(calls == 1);
    CHECK(changes == 3);
    is_down = false;
    time.pass(1s);
    call_in_threads();
    CHECK(breaker.state() == state::closed);
    CHECK(changes == 5);
}

TEST_CASE("A breaker says what is wrong with its options") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    using breaker = hooks::breaker;
    CHECK_THROWS_WITH(
        breaker({.failure_ratio = nan}),
        "ext::hooks::breaker: .failure_ratio must be more than 0 and at most 1, but is nan");
    CHECK_THROWS_AS(breaker({.failure_ratio = 0}), ext::error);
    CHECK_THROWS_AS(breaker({.failure_ratio = 1.1}), ext::error);
    CHECK_THROWS_WITH(breaker({.window_size = 0}),
                      "ext::hooks::breaker: .window_size must be at least 1, but is 0");
    CHECK_THROWS_WITH(
        breaker({.window_size = 5}),
        "ext::hooks::breaker: .minimum_calls must be at least 1 and at most .window_size, but is 10");
    CHECK_THROWS_AS(breaker({.minimum_calls = 0}), ext::error);
    CHECK_THROWS_AS(breaker({.break_duration = -1s}), ext::error);
    CHECK_NOTHROW(breaker({.break_duration = 0s}));
    CHECK_THROWS_AS(breaker({.half_open_calls = 0}), ext::error);
}
