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

TEST_CASE("A call that a half-open breaker lets through may make nested calls, and is counted once") {
    ext::registry registry;
    simulated_clock time;
    bool is_down = true;
    ext::extensible<int(int)> connect{registry, "net.connect", [&](int depth) -> int {
        if (depth > 1) return connect(depth - 1);
        if (is_down) throw std::runtime_error("down");
        return 1;
    }};
    ext::extensible get{registry, "net.get", [&](int depth) { return connect(depth); }};
    hooks::breaker breaker{{.window_size = 4,
                            .minimum_calls = 2,
                            .break_duration = 1s,
                            .half_open_calls = 2,
                            .clock = time.clock()}};
    SECTION("as a start hook") { registry.on_start("net.*", breaker); }
    SECTION("as an around hook") { registry.around("net.*", breaker); }
    CHECK_THROWS_WITH(get(1), "down");
    REQUIRE(breaker.state() == state::open);
    is_down = false;
    time.pass(1s);
    CHECK(get(5) == 1);
    CHECK(breaker.state() == state::half_open);  // the first of two
    CHECK(get(5) == 1);
    CHECK(breaker.state() == state::closed);
}

TEST_CASE("A breaker closes again even if awaited calls need more permits than it gives") {
    ext::registry registry;
    simulated_clock time;
    bool is_down = true;
    int reached = 0;
    ext::extensible<tasks::lazy<int>(int)> load{registry, "load", [&](int depth) -> tasks::lazy<int> {
        if (depth > 1) co_return co_await load(depth - 1);
        ++reached;
        if (is_down) throw std::runtime_error("down");
        co_return 1;
    }};
    hooks::breaker breaker{{.window_size = 1,
                            .minimum_calls = 1,
                            .break_duration = 1s,
                            .half_open_calls = 1,
                            .clock = time.clock()}};
    SECTION("as a start hook") { registry.on_start("*", breaker); }
    SECTION("as an around hook") { load.around(breaker); }
    CHECK_THROWS_WITH(load(1).run(), "down");
    time.pass(1s);
    is_down = false;
    CHECK_THROWS_WITH(load(2).run(),
                      "load: the breaker is half-open, and the calls that it lets through have begun: 1");
    CHECK(breaker.state() == state::half_open);
    CHECK(reached == 1);
    CHECK(load(2).run() == 1);
    CHECK(breaker.state() == state::closed);
}

TEST_CASE("A breaker counts the refusals of other breakers as failures") {
    ext::registry registry;
    bool is_down = true;
    ext::extensible connect{registry, "connect", [&] {
        if (is_down) throw std::runtime_error("down");
    }};
    ext::extensible get{registry, "get", [&] { connect(); }};
    const hooks::breaker inner{{.window_size = 1, .minimum_calls = 1}};
    const hooks::breaker outer{{.window_size = 2, .minimum_calls = 2}};
    connect.around(inner);
    get.around(outer);
    CHECK_THROWS_WITH(get(), "down");
    CHECK_THROWS_AS(get(), hooks::breaker_open);  // of the inner one
    CHECK(outer.state() == state::open);
}

TEST_CASE("A half-open breaker treats a call as failed that takes longer than the break, and lets another through") {
    ext::registry registry;
    simulated_clock time;
    tasks::gate gate;
    bool is_down = true;
    ext::extensible load{registry, "load", [&](bool hangs) -> tasks::lazy<int> {
        if (hangs) co_await gate;
        if (is_down) throw std::runtime_error("down");
        co_return 1;
    }};
    std::string changes;
    hooks::breaker_options options{
        .window_size = 1, .minimum_calls = 1, .break_duration = 1s, .half_open_calls = 1, .clock = time.clock()};
    options.on_change = [&](state, state to) { changes += std::string(to_string(to)) + " "; };
    SECTION("one call") {
        hooks::breaker breaker{options};
        load.around(breaker);
        CHECK_THROWS_WITH(load(false).run(), "down");
        is_down = false;
        time.pass(1s);
        auto slow = load(true);
        slow.start();
        time.pass(1s);
        CHECK_THROWS_AS(load(false).run(), hooks::breaker_open);
        time.pass(1ns);
        SECTION("another call notices it") {
            auto other = load(true);
            other.start();
            CHECK(changes == "open half-open open half-open ");
            gate.open();
            CHECK(slow.done());
            CHECK(other.done());
            CHECK(changes == "open half-open open half-open closed ");  // only the other call is counted
        }
        SECTION("its own end notices it") {
            gate.open();
            CHECK(slow.get() == 1);
            CHECK(breaker.state() == state::open);
            CHECK(load(false).run() == 1);
            CHECK(breaker.state() == state::closed);
        }
    }
    SECTION("one of four") {
        options.half_open_calls = 4;
        hooks::breaker breaker{options};
        load.around(breaker);
        CHECK_THROWS_WITH(load(false).run(), "down");
        is_down = false;
        time.pass(1s);
        auto slow = load(true);
        slow.start();
        time.pass(2s);
        CHECK(load(false).run() == 1);
        CHECK(load(false).run() == 1);
        gate.open();
        CHECK(slow.get() == 1);  // not counted again
        CHECK(breaker.state() == state::half_open);
        CHECK(load(false).run() == 1);
        CHECK(breaker.state() == state::closed);  // one failure of four
    }
}

TEST_CASE(".on_change of a breaker receives the changes in their order, and one at a time") {
    ext::registry registry;
    simulated_clock time;
    bool fails = true;
    ext::extensible fetch{registry, "fetch", [&] {
        if (fails) throw std::runtime_error("down");
    }};
    std::string log;
    int running = 0;
    hooks::breaker_options options{
        .window_size = 1, .minimum_calls = 1, .break_duration = 1s, .half_open_calls = 1, .clock = time.clock()};
    SECTION("if another thread causes a change while it runs, or a call that it makes") {
        const bool on_this_thread = GENERATE(true, false);
        options.on_change = [&](state, state to) {
            CHECK(++running == 1);
            if (to == state::open) {
                fails = false;
                time.pass(1s);
                if (on_this_thread) fetch();
                else std::thread([&] { fetch(); }).join();
            }
            log += std::string(to_string(to)) + " ";
            --running;
        };
        fetch.around(hooks::breaker{options});
        CHECK_THROWS_WITH(fetch(), "down");
        CHECK(log == "open half-open closed ");
    }
    SECTION("even if it throws") {
        registry.on_hook_error([](const ext::hook_error&) {});  // the failure of the function
        options.on_change = [&](state, state to) {
            log += std::string(to_string(to)) + " ";
            if (to != state::open) return;
            fails = false;
            time.pass(1s);
            fetch();
            throw std::logic_error("no");
        };
        fetch.around(hooks::breaker{options});
        CHECK_THROWS_WITH(fetch(), "no");
        CHECK(log == "open half-open closed ");
    }
}

TEST_CASE("A breaker measures its break correctly, even if the clock jumps from its first time to its last") {
    ext::registry registry;
    hooks::time_point now = hooks::time_point::min();
    bool fails = true;
    ext::extensible fetch{registry, "fetch", [&] {
        if (fails) throw std::runtime_error("down");
    }};
    const hooks::clock clock{.now = [&] { return now; }};
    const auto break_duration = GENERATE(hooks::duration(1s), hooks::duration::max());
    hooks::breaker breaker{{.window_size = 1,
                            .minimum_calls = 1,
                            .break_duration = break_duration,
                            .half_open_calls = 1,
                            .clock = clock}};
    fetch.around(breaker);
    CHECK_THROWS_WITH(fetch(), "down");
    CHECK_THROWS_AS(fetch(), hooks::breaker_open);
    now = hooks::time_point::max();
    fails = false;
    CHECK_NOTHROW(fetch());
    CHECK(breaker.state() == state::closed);
}

TEST_CASE("A breaker asks .failed before .when whether a result means a failure") {
    ext::registry registry;
    int status = 500;
    ext::extensible ask{registry, "ask", [&] { return status; }};
    hooks::breaker breaker{{.failure_ratio = 1,
                            .window_size = 2,
                            .minimum_calls = 2,
                            .failed = [](const int& code) { return code >= 500; },
                            .when = [](const ext::any_call& call) { return *call.result<int>() != 501; }}};
    registry.on_start("ask", breaker);
    for (const int code : {500, 501, 200, 500}) {
        status = code;
        CHECK(ask() == code);
    }
    CHECK(breaker.state() == state::closed);
    status = 503;
    CHECK(ask() == 503);
    CHECK(breaker.state() == state::open);
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
    CHECK_THROWS_AS(breaker({.break_duration = 0s}), ext::error);
    CHECK_THROWS_AS(breaker({.half_open_calls = 0}), ext::error);
}
