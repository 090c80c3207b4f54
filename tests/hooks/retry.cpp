#include "../catch.hpp"
#include "../tasks.hpp"
#include "../text_of.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/limit.hpp>
#include <extensible/hooks/retry.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
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
    SECTION("no attempt begins after the budget, even if the pause or on_retry takes longer than planned") {
        hooks::clock late = time.clock();
        late.sleep = [&](hooks::duration pause) { time.pass(pause + 1ms); };
        fetch.around(hooks::retry({.attempts = 9, .first_pause = 80ms, .budget = 100ms, .clock = late}));
        CHECK_THROWS_WITH(fetch(""), "busy 1");
        ext::extensible other{registry, "other", [&] { throw std::runtime_error("busy"); }};
        int retries = 0;
        other.around(hooks::retry({.attempts = 9,
                                   .first_pause = 1ms,
                                   .budget = 100ms,
                                   .on_retry = [&](const ext::any_call&, int, hooks::duration) {
                                       ++retries;
                                       time.pass(1s);
                                   },
                                   .clock = time.clock()}));
        CHECK_THROWS_WITH(other(), "busy");
        CHECK(retries == 1);
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

TEST_CASE("The jitter of retry() also spreads pauses that have reached the longest, and none is longer") {
    ext::registry registry;
    simulated_clock time;
    std::vector<hooks::duration> pauses;
    ext::extensible fail{registry, "fail", [] { throw 1; }};
    fail.around(hooks::retry({.attempts = 1000,
                              .first_pause = 1s,
                              .longest_pause = 1s,
                              .jitter = 0.5,
                              .on_retry = [&](auto&, int, hooks::duration pause) { pauses.push_back(pause); },
                              .seed = 3,
                              .clock = time.clock()}));
    CHECK_THROWS_AS(fail(), int);
    REQUIRE(pauses.size() == 999);
    std::sort(pauses.begin(), pauses.end());
    CHECK(pauses.front() >= 500ms);
    CHECK(pauses.front() < 510ms);
    CHECK(pauses[500] > 700ms);
    CHECK(pauses[500] < 800ms);
    CHECK(pauses.back() > 990ms);
    CHECK(pauses.back() <= 1s);
    CHECK(std::count(pauses.begin(), pauses.end(), 1s) <= 1);
}

TEST_CASE("retry() reports the failure unchanged if the attempt has consumed an argument") {
    ext::registry registry;
    simulated_clock time;
    int calls = 0;
    const auto hook = hooks::retry({.attempts = 3, .clock = time.clock()});
    SECTION("a move-only object, passed by value") {
        ext::extensible send{registry, "send", [&](std::unique_ptr<int> message) {
            if (++calls; message) throw std::runtime_error("busy");
        }};
        send.around(hook);
        CHECK_THROWS_WITH(send(std::make_unique<int>(1)), "busy");
        CHECK(calls == 1);
    }
    SECTION("an rvalue reference") {
        ext::extensible send{registry, "send", [&](std::string&& message) {
            const std::string taken = std::move(message);
            if (++calls; !taken.empty()) throw std::runtime_error("busy");
        }};
        registry.around("*", hook);
        CHECK_THROWS_WITH(send("text"), "busy");
        CHECK(calls == 1);
    }
    SECTION("a move-only object of an awaited function") {
        ext::extensible send{registry, "send", [&](std::unique_ptr<int> message) -> tasks::lazy<int> {
            if (++calls; message) throw std::runtime_error("busy");
            co_return 1;
        }};
        send.around(hooks::retry({.clock = time.clock()}, [](auto) { return std::suspend_never(); }));
        CHECK_THROWS_WITH(send(std::make_unique<int>(1)).run(), "busy");
        CHECK(calls == 1);
    }
    CHECK(time.passed() == 0ms);
}

TEST_CASE("retry() repeats a call whose arguments are still there") {
    ext::registry registry;
    simulated_clock time;
    int calls = 0;
    const auto hook = hooks::retry({.when = [](auto&) { return true; }, .clock = time.clock()});
    SECTION("the function copies them or takes them by reference") {
        std::unique_ptr<int> kept = std::make_unique<int>(1);
        ext::extensible send{registry, "send", [&](std::string text, std::unique_ptr<int>& object) {
            if (++calls < 3) throw std::runtime_error("busy");
            return text + std::to_string(*object);
        }};
        send.around(hook);
        CHECK(send("text", kept) == "text1");
        CHECK(calls == 3);
    }
    SECTION("a hook has refused the call before the function consumed them") {
        ext::extensible send{registry, "send", [&](std::unique_ptr<int> message) { return ++calls, *message; }};
        send.around(hook);
        send.around(hooks::limit_rate({.rate = 10, .clock = time.clock()}));
        CHECK(send(std::make_unique<int>(1)) == 1);
        CHECK(send(std::make_unique<int>(2)) == 2);  // after a pause
        CHECK(calls == 2);
    }
}

TEST_CASE("retry() does not repeat a call that a hook has refused, unless .when says so") {
    ext::registry registry;
    simulated_clock time;
    int refused = 0;
    ext::extensible fetch{registry, "fetch", [] {}};
    SECTION("by default") {
        fetch.around(hooks::retry({.attempts = 5, .clock = time.clock()}));
    }
    SECTION("with .when") {
        fetch.around(
            hooks::retry({.attempts = 5, .first_pause = 0ms, .when = hooks::thrown<ext::refusal>}));
        refused = -4;
    }
    fetch.around([&](auto&, auto&) {
        ++refused;
        throw ext::refusal("not you");
    });
    CHECK_THROWS_AS(fetch(), ext::refusal);
    CHECK(refused == 1);
    CHECK(time.passed() == 0ms);
}

TEST_CASE("A failure can tell retry() the pause before the next attempt") {
    ext::registry registry;
    simulated_clock time;
    int calls = 0;
    hooks::duration asked = 30s;
    ext::extensible fetch{registry, "fetch", [&] {
        if (++calls < 3) throw calls;
    }};
    hooks::retry_options options{.first_pause = 1s, .jitter = 0.5, .clock = time.clock()};
    options.pause_for = [&](const ext::any_call& call) -> std::optional<hooks::duration> {
        CHECK(call.failed());
        if (calls == 1) return asked;
        return std::nullopt;
    };
    SECTION("the pause is exactly that, and the usual one if there is none") {
        options.jitter = 0;
        fetch.around(hooks::retry(options));
        fetch();
        CHECK(time.passed() == 30s + 2s);
    }
    SECTION("less than 0 means no pause") {
        asked = -1s;
        fetch.around(hooks::retry(options));
        fetch();
        CHECK(time.passed() >= 1s);
        CHECK(time.passed() <= 3s);
    }
    SECTION("if it is longer than .longest_pause, there is no further attempt") {
        options.longest_pause = 30s - 1ns;
        fetch.around(hooks::retry(options));
        CHECK_THROWS_AS(fetch(), int);
        CHECK(calls == 1);
        CHECK(time.passed() == 0s);
    }
}

TEST_CASE("retry() calls .on_retry before each pause, and not after the last failure") {
    ext::registry registry;
    simulated_clock time;
    busy_server server{100};
    ext::extensible fetch{registry, "fetch", [&](const std::string& what) { return server(what); }};
    std::string log;
    hooks::retry_options options{.attempts = 3, .first_pause = 1s, .clock = time.clock()};
    options.on_retry = [&](const ext::any_call& call, int attempt, hooks::duration pause) {
        log += std::string(call.name()) + " " + std::to_string(attempt) + ": " + text_of(call.exception()) +
               ", pause " + std::to_string(pause / 1s) + " s at " + std::to_string(time.passed() / 1s) + " s. ";
    };
    SECTION("with the call, the attempt and the pause") {
        fetch.around(hooks::retry(options));
        CHECK_THROWS_WITH(fetch(""), "busy 3");
        CHECK(log == "fetch 1: busy 1, pause 1 s at 0 s. fetch 2: busy 2, pause 2 s at 1 s. ");
    }
    SECTION("and if it throws, the caller receives that exception") {
        options.on_retry = [](const ext::any_call&, int, hooks::duration) { throw std::logic_error("no more"); };
        fetch.around(hooks::retry(options));
        std::string reported;
        registry.on_hook_error([&](const ext::hook_error& error) { reported += text_of(error.exception); });
        CHECK_THROWS_WITH(fetch(""), "no more");
        CHECK(reported == "busy 1");
        CHECK(server.calls == 1);
    }
}

TEST_CASE("retry() asks .failed before .when whether a result means a failure") {
    ext::registry registry;
    simulated_clock time;
    int calls = 0, asked = 0;
    ext::extensible status{registry, "status", [&] { return ++calls < 3 ? 503 : 200; }};
    status.around(hooks::retry({.failed = [](const int& code) { return code >= 500; },
                                .when = [&](const ext::any_call& call) { return ++asked, *call.result<int>() == 503; },
                                .clock = time.clock()}));
    CHECK(status() == 200);
    CHECK(calls == 3);
    CHECK(asked == 2);
}

TEST_CASE("retry() measures its budget correctly, even if the clock jumps from its first time to its last") {
    ext::registry registry;
    int calls = 0;
    const hooks::clock clock{.now = [&] { return calls ? hooks::time_point::max() : hooks::time_point::min(); },
                             .sleep = [](hooks::duration) {}};
    ext::extensible fail{registry, "fail", [&] { throw ++calls; }};
    SECTION("a finite budget") {
        fail.around(hooks::retry({.first_pause = 0ms, .budget = 1s, .clock = clock}));
        CHECK_THROWS_AS(fail(), int);
        CHECK(calls == 1);
    }
    SECTION("the longest pauses") {
        const hooks::duration longest = hooks::duration::max();
        fail.around(hooks::retry({.first_pause = longest, .longest_pause = longest, .jitter = 1, .clock = clock}));
        CHECK_THROWS_AS(fail(), int);
        CHECK(calls <= 3);
    }
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
                      "ext::hooks::retry: .factor must be at least 1 and finite, but is 0.5");
    CHECK_THROWS_WITH(hooks::retry({.factor = nan}),
                      "ext::hooks::retry: .factor must be at least 1 and finite, but is nan");
    CHECK_THROWS_AS(hooks::retry({.first_pause = 2s, .longest_pause = 1s}), ext::error);
    CHECK_THROWS_AS(hooks::retry({.jitter = 1.1}), ext::error);
    CHECK_THROWS_AS(hooks::retry({.jitter = nan}), ext::error);
    CHECK_THROWS_AS(hooks::retry({.budget = -1ns}), ext::error);
}
