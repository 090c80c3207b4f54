#include "../catch.hpp"
#include "../tasks.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/limit.hpp>
#include <extensible/hooks/retry.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <future>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
namespace hooks = ext::hooks;

// ---- limit_rate() ---------------------------------------------------------------------------------------------------

TEST_CASE("limit_rate() lets a burst of calls through at once, and then limits their rate") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible fetch{registry, "net.fetch", [] { return 1; }};
    const auto limit = hooks::limit_rate({.rate = 10, .burst = 3, .clock = time.clock()});
    SECTION("as a start hook") { fetch.on_start(limit); }
    SECTION("as an around hook") { fetch.around(limit); }
    for (int i = 0; i < 3; ++i) CHECK(fetch() == 1);
    CHECK_THROWS_WITH(fetch(),
                      "net.fetch: the limit of 10 calls per second, 3 at once, is reached; "
                      "the next call may begin in 100 ms");
    time.pass(99ms);
    CHECK_THROWS_AS(fetch(), hooks::limit_exceeded);
    time.pass(1ms);
    CHECK(fetch() == 1);
    CHECK_THROWS_AS(fetch(), hooks::limit_exceeded);
    time.pass(1h);  // no more tokens than a burst are saved up
    for (int i = 0; i < 3; ++i) CHECK(fetch() == 1);
    CHECK_THROWS_AS(fetch(), ext::error);
}

TEST_CASE("limit_rate() with hooks::wait waits for a token, but no longer than .longest_wait") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible fetch{registry, "net.fetch", [] { return 1; }};
    fetch.around(hooks::limit_rate({.rate = 10, .burst = 2, .clock = time.clock()}, hooks::wait));
    for (int i = 0; i < 5; ++i) CHECK(fetch() == 1);
    CHECK(time.passed() == 300ms);

    std::vector<hooks::duration> pauses;
    const hooks::clock stopped{.now = [] { return hooks::time_point(); },
                               .sleep = [&](auto pause) { pauses.push_back(pause); }};
    ext::extensible ask{registry, "net.ask", [] { return 1; }};
    ask.around(hooks::limit_rate({.rate = 10, .longest_wait = 200ms, .clock = stopped}, hooks::wait));
    for (int i = 0; i < 3; ++i) CHECK(ask() == 1);
    for (int i = 0; i < 3; ++i) CHECK_THROWS_AS(ask(), hooks::limit_exceeded);  // without taking a token
    CHECK(pauses == std::vector<hooks::duration>{100ms, 200ms});
}

TEST_CASE("Limits reject calls even if the plugin isolates its hooks") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible fetch{registry, "net.fetch", [] { return 1; }};
    ext::plugin plugin{registry, "limits", {.isolate = true}};
    plugin.on_start(fetch, hooks::limit_rate({.rate = 1, .burst = 2, .clock = time.clock()}));
    for (int i = 0; i < 2; ++i) CHECK(fetch() == 1);
    CHECK_THROWS_AS(fetch(), hooks::limit_exceeded);

    ext::extensible<void(int)>* self = nullptr;
    ext::extensible<void(int)> nested{registry, "nested", [&](int depth) { if (depth > 1) (*self)(depth - 1); }};
    self = &nested;
    plugin.around(nested, hooks::limit_calls({.calls = 2}));
    nested(2);
    CHECK_THROWS_AS(nested(3), hooks::limit_exceeded);
}

TEST_CASE("limit_rate() limits all functions of a pattern together, plain and awaited") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible get{registry, "net.get", [](int x) { return x; }};
    ext::extensible load{registry, "net.load", []() -> tasks::lazy<int> { co_return 2; }};
    registry.on_start("net.*", hooks::limit_rate({.rate = 1, .burst = 2, .clock = time.clock()}));
    CHECK(get(1) == 1);
    CHECK(load().run() == 2);
    CHECK_THROWS_WITH(load().run(), Catch::Matchers::ContainsSubstring("net.load: the limit of 1 calls per second"));
    CHECK_THROWS_AS(get(1), hooks::limit_exceeded);
}

TEST_CASE("limit_rate() awaits its pauses if the function is awaited") {
    ext::registry registry;
    simulated_clock time;
    std::vector<hooks::duration> pauses;
    tasks::gate timer;
    ext::extensible load{registry, "load", [](int x) -> tasks::lazy<int> { co_return 2 * x; }};
    load.around(hooks::limit_rate({.rate = 4, .clock = time.clock()}, [&](hooks::duration pause) -> tasks::gate& {
        pauses.push_back(pause);
        return timer;
    }));
    CHECK(load(1).run() == 2);
    auto second = load(2), third = load(3);
    second.start();
    third.start();
    REQUIRE_FALSE(second.done());
    timer.open();
    REQUIRE(third.done());
    CHECK(second.get() == 4);
    CHECK(third.get() == 6);
    CHECK(pauses == std::vector<hooks::duration>{250ms, 500ms});
    CHECK(time.passed() == 0ms);
}

TEST_CASE("limit_rate() without hooks::wait throws in an awaited function too") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible load{registry, "load", [](int x) -> tasks::lazy<int> { co_return x; }};
    load.around(hooks::limit_rate({.rate = 1, .clock = time.clock()}));
    CHECK(load(1).run() == 1);
    CHECK_THROWS_WITH(load(2).run(), Catch::Matchers::ContainsSubstring("load: the limit of 1 calls per second"));
    time.pass(1s);
    CHECK(load(3).run() == 3);
}

TEST_CASE("limit_rate() inside a retry counts each attempt") {
    ext::registry registry;
    simulated_clock time;
    int calls = 0;
    ext::extensible fetch{registry, "net.fetch", [&] {
        if (++calls < 3) throw std::runtime_error("busy");
    }};
    fetch.around(hooks::retry({.first_pause = 0ms, .clock = time.clock()}), {.priority = 1});
    fetch.around(hooks::limit_rate({.rate = 10, .clock = time.clock()}, hooks::wait), {.priority = 2});
    fetch();
    CHECK(time.passed() == 200ms);
}

TEST_CASE("limit_rate() refills its tokens, even if the clock jumps from its first time to its last") {
    ext::registry registry;
    hooks::time_point now = hooks::time_point::min();
    ext::extensible fetch{registry, "net.fetch", [] { return 1; }};
    fetch.on_start(hooks::limit_rate({.rate = 1, .clock = {.now = [&] { return now; }}}));
    CHECK(fetch() == 1);
    CHECK_THROWS_AS(fetch(), hooks::limit_exceeded);
    now = hooks::time_point::max();
    CHECK(fetch() == 1);
}

TEST_CASE("limit_rate() lets exactly its burst through, even if many threads call") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible fetch{registry, "net.fetch", [] {}};
    fetch.on_start(hooks::limit_rate({.rate = 1, .burst = 100, .clock = time.clock()}));
    std::atomic<int> through{0}, rejected{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
        threads.emplace_back([&] {
            for (int i = 0; i < 100; ++i) try {
                    fetch();
                    ++through;
                } catch (const hooks::limit_exceeded&) {
                    ++rejected;
                }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(through == 100);
    CHECK(rejected == 300);
}

// ---- limit_calls() --------------------------------------------------------------------------------------------------

TEST_CASE("limit_calls() throws if a call would exceed the limit") {
    ext::registry registry;
    ext::extensible<int(int)>* self = nullptr;
    ext::extensible<int(int)> nest{registry, "nest", [&](int depth) {
        if (depth == 0) throw std::logic_error("the bottom");
        return (*self)(depth - 1);
    }};
    self = &nest;
    const auto limit = hooks::limit_calls({.calls = 3});
    SECTION("as a start hook") { nest.on_start(limit); }
    SECTION("as an around hook") { nest.around(limit); }
    for (int i = 0; i < 2; ++i) {  // each call releases its slot, however it ends
        CHECK_THROWS_WITH(nest(2), "the bottom");
        CHECK_THROWS_WITH(nest(3), "nest: the limit of 3 running calls is reached");
    }
}

TEST_CASE("limit_calls() counts an awaited call until it ends or is destroyed") {
    ext::registry registry;
    std::deque<tasks::gate> gates(3);
    ext::extensible load{registry, "load", [&](std::size_t i) -> tasks::lazy<int> {
        co_await gates[i];
        co_return 1;
    }};
    const auto limit = hooks::limit_calls({.calls = 2});
    SECTION("as a start hook, for any function") { registry.on_start("*", limit); }
    SECTION("as an around hook") { load.around(limit); }
    auto first = load(0);
    first.start();
    {
        auto second = load(1);
        second.start();
        CHECK_THROWS_AS(load(2).run(), hooks::limit_exceeded);
    }
    auto third = load(2);
    third.start();
    CHECK_THROWS_AS(load(2).run(), hooks::limit_exceeded);
    gates[0].open();
    REQUIRE(first.done());
    gates[2].open();
    REQUIRE(third.done());
    CHECK(load(0).run() == 1);
}

namespace {

// Waits until the condition holds. Returns false after 20 s, which happens only if a test fails.
template <class Condition>
bool eventually(Condition condition) {
    for (const auto limit = std::chrono::steady_clock::now() + 20s; !condition(); std::this_thread::yield())
        if (std::chrono::steady_clock::now() > limit) return false;
    return true;
}

}  // namespace

TEST_CASE("limit_calls() makes threads wait, and never lets more calls run than the limit") {
    ext::registry registry;
    std::atomic<int> running{0}, most{0}, calls{0};
    ext::extensible work{registry, "work", [&] {
        const int now = ++running;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
        if (++calls == 1) eventually([&] { return running == 2; });
        else std::this_thread::yield();
        --running;
    }};
    work.around(hooks::limit_calls({.calls = 2}, hooks::wait));
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 6; ++thread)
        threads.emplace_back([&] {
            for (int i = 0; i < 200; ++i) work();
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(calls == 1200);
    CHECK(most == 2);
}

TEST_CASE("limit_calls() suspends awaited calls, and resumes them in order when others end") {
    ext::registry registry;
    std::deque<tasks::gate> gates(4);
    std::vector<int> begun;
    ext::extensible load{registry, "load", [&](int i) -> tasks::lazy<int> {
        begun.push_back(i);
        co_await gates[static_cast<std::size_t>(i)];
        co_return i;
    }};
    load.around(hooks::limit_calls({.calls = 1, .longest_queue = 2}, hooks::wait));
    auto a = load(0), c = load(2);
    a.start();
    {
        auto b = load(1);
        b.start();
        c.start();
        CHECK_THROWS_WITH(load(3).run(), "load: the limit of 1 running call is reached, and no more calls may wait");
        CHECK(begun == std::vector<int>{0});
    }  // destroys b, the first call in the queue
    gates[0].open();
    CHECK(a.get() == 0);
    CHECK(begun == std::vector<int>{0, 2});
    gates[2].open();
    CHECK(c.get() == 2);
    gates[3].open();
    CHECK(load(3).run() == 3);
}

TEST_CASE("limit_calls() resumes many calls one after the other, not one nested in another") {
#ifdef _GLIBCXX_DEBUG  // its lists check all their iterators whenever an element moves
    constexpr int many = 2'000;
#else
    constexpr int many = 100'000;
#endif
    ext::registry registry;
    tasks::gate gate;
    int calls = 0;
    ext::extensible load{registry, "load", [&]() -> tasks::lazy<int> {
        if (++calls == 1) co_await gate;
        co_return 1;
    }};
    load.around(hooks::limit_calls({.calls = 1}, hooks::wait));
    std::vector<tasks::lazy<int>> waiting;
    for (int i = 0; i < many; ++i) {
        waiting.push_back(load());
        waiting.back().start();
    }
    CHECK(calls == 1);
    gate.open();
    CHECK(calls == many);
    CHECK(std::all_of(waiting.begin(), waiting.end(), [](const auto& call) { return call.done(); }));
}

TEST_CASE("limit_calls() resumes calls one after the other on each thread, whichever thread finishes first") {
    ext::registry registry;
    std::deque<tasks::gate> gates(6);
    std::deque<std::promise<void>> begun(6);
    std::promise<void> first_is_done;
    std::vector<std::string> order;
    ext::extensible load{registry, "load", [&](std::size_t i) -> tasks::lazy<void> {
        begun[i].set_value();
        if (i < 2 || i == 4) co_await gates[i];
        if (i == 2) begun[3].get_future().wait();
        if (i == 3) first_is_done.get_future().wait();
        if (i == 5) order.push_back("5 begins");
    }};
    load.around(hooks::limit_calls({.calls = 2}, hooks::wait));
    const auto await_one = [&](std::size_t i) -> tasks::eager<void> {
        co_await load(i);
        if (i == 3) order.push_back("3 has ended");
    };
    std::vector<tasks::eager<void>> awaited;
    for (std::size_t i = 0; i < 4; ++i) awaited.push_back(await_one(i));
    std::thread first([&] { gates[0].open(); });  // resumes 2, which ends when 3 runs
    std::thread second([&] {
        begun[2].get_future().wait();
        gates[1].open();  // resumes 3, and then 5
    });
    first.join();
    awaited.push_back(await_one(4));  // takes the free slot
    awaited.push_back(await_one(5));
    first_is_done.set_value();
    second.join();
    gates[4].open();
    CHECK(order == std::vector<std::string>{"3 has ended", "5 begins"});
    CHECK(std::all_of(awaited.begin(), awaited.end(), [](const auto& call) { return call.done(); }));
}

TEST_CASE("limit_calls() passes a slot on if the call that got it is destroyed before it runs") {
    ext::registry registry;
    tasks::gate gate;
    std::optional<tasks::lazy<int>> third;
    int calls = 0;
    ext::extensible load{registry, "load", [&](int i) -> tasks::lazy<int> {
        ++calls;
        if (i == 1) co_await gate;
        co_return i;
    }};
    load.around(hooks::limit_calls({.calls = 1}, hooks::wait));
    // It is resumed in the round in which the third call gets the slot, and destroys that call.
    const auto second = [&]() -> tasks::eager<int> {
        co_await load(2);
        third.reset();
        co_return 0;
    };
    auto first = load(1);
    first.start();
    auto destroys = second();
    third.emplace(load(3));
    third->start();
    auto fourth = load(4);
    fourth.start();
    CHECK(calls == 1);
    gate.open();
    CHECK(destroys.done());
    REQUIRE(fourth.done());
    CHECK(fourth.get() == 4);
    CHECK(calls == 3);
    CHECK(load(5).run() == 5);
}

TEST_CASE("limit_calls() has one queue for threads and awaited calls, even if they end on many threads") {
    ext::registry registry;
    std::atomic<int> running{0}, calls{0};
    std::atomic<bool> too_many{false};
    const auto work = [&] {
        if (++running > 2) too_many = true;
        ++calls;
        std::this_thread::yield();
        --running;
    };
    const auto limit = hooks::limit_calls({.calls = 2}, hooks::wait);
    ext::extensible get{registry, "get", work};
    ext::extensible load{registry, "load", [&]() -> tasks::lazy<void> {
        work();
        co_return;
    }};
    get.around(limit);
    load.around(limit);
    std::atomic<int> ended{0};
    const auto await_one = [&]() -> tasks::eager<void> {
        co_await load();
        ++ended;
    };
    std::mutex mutex;
    std::vector<tasks::eager<void>> awaited;  // guarded by the mutex; they may end on any of the threads
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
        threads.emplace_back([&] {
            for (int i = 0; i < 100; ++i) {
                get();
                auto one = await_one();
                const std::lock_guard lock(mutex);
                awaited.push_back(std::move(one));
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(ended == 400);
    CHECK(calls == 800);
    CHECK_FALSE(too_many);
}

TEST_CASE("limit_rate() and limit_calls() say what is wrong with their options") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(hooks::limit_rate({.rate = nan}),
                      "ext::hooks::limit_rate: .rate must be more than 0 and finite, but is nan");
    CHECK_THROWS_AS(hooks::limit_rate({.rate = 0}), ext::error);
    CHECK_THROWS_AS(hooks::limit_rate({.rate = std::numeric_limits<double>::infinity()}), ext::error);
    CHECK_THROWS_AS(hooks::limit_rate({.burst = 0}), ext::error);
    CHECK_THROWS_AS(hooks::limit_rate({.longest_wait = -1ns}), ext::error);
    CHECK_THROWS_WITH(hooks::limit_calls({.calls = 0}),
                      "ext::hooks::limit_calls: .calls must be at least 1, but is 0");
    CHECK_THROWS_AS(hooks::limit_calls({.longest_queue = -1}), ext::error);
    CHECK_NOTHROW(hooks::limit_rate({.rate = 1e-300}));
}
