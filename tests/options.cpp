// Hooks for one thread, and for a number of times.
#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using tasks::lazy;

TEST_CASE("A hook for this thread runs in no other thread's calls") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    const auto elsewhere = [&] {
        int result = -1;
        std::thread([&] { result = f(0); }).join();
        return result;
    };
    SECTION("at the start") {
        f.on_start([](auto& call) { call.result = 1; }, {.this_thread = true});
        CHECK(f(0) == 1);
        CHECK(elsewhere() == 0);
    }
    SECTION("around, where the inside runs then") {
        f.around([](auto& call, auto& proceed) { proceed(), call.result = *call.result + 1; }, {.this_thread = true});
        f.around([](auto& call, auto& proceed) { proceed(), call.result = *call.result + 10; });
        CHECK(f(0) == 11);
        CHECK(elsewhere() == 10);
    }
    SECTION("under a pattern") {
        registry.on_end("*", [](ext::any_call& call) { call.set_result(7); }, {.this_thread = true});
        CHECK(f(0) == 7);
        CHECK(elsewhere() == 0);
    }
}

TEST_CASE("A hook with a number of times removes itself when it has begun so often") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    auto state = std::make_shared<int>(0);
    SECTION("at the start") {
        ext::hook twice = f.on_start([state](auto& call) { call.result = 5; }, {.times = 2});
        CHECK(f(0) == 5);
        CHECK(twice.active());
        CHECK(state.use_count() == 2);
        CHECK(f(0) == 5);
        CHECK_FALSE(twice.active());
        CHECK(state.use_count() == 1);
        CHECK(f(0) == 0);
    }
    SECTION("also where it throws") {
        ext::hook once = f.on_end([](auto&) { throw 1; }, {.times = 1});
        CHECK_THROWS_AS(f(0), int);
        CHECK_FALSE(once.active());
        CHECK(f(0) == 0);
    }
    SECTION("also where it nests in itself") {
        int begun = 0;
        f.on_start([&](auto&) { ++begun, f(0); }, {.times = 3});
        f(0);
        CHECK(begun == 3);
    }
    SECTION("around") {
        f.around([](auto& call, auto&) { call.result = 5; }, {.times = 1});
        CHECK(f(0) == 5);
        CHECK(f(0) == 0);
    }
    SECTION("not counting calls in which it is skipped") {
        f.on_start([](auto& call) { call.result = 5; }, {.this_thread = true, .times = 1});
        std::thread([&] { CHECK(f(0) == 0); }).join();
        CHECK(f(0) == 5);
        CHECK(f(0) == 0);
    }
}

TEST_CASE("A hook with a number of times begins exactly so often where threads call at once") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    std::atomic<int> begun{0};
    ext::hook thousand = f.on_start([&](auto&) { ++begun; }, {.times = 1000});
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
        callers.emplace_back([&] {
            for (int n = 0; n < 1000; ++n) f(0);
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(begun == 1000);
    CHECK_FALSE(thousand.active());
}

TEST_CASE("A hook that is awaited may be for a number of times, and not for one thread") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) -> lazy<int> { co_return x; }};
    f.on_start([](auto& call) -> lazy<void> { call.result = 5; co_return; }, {.times = 1});
    f.around([](auto& call, auto& proceed) -> lazy<void> { co_await proceed(), call.result = *call.result + 1; }, {.times = 2});
    CHECK(f(0).run() == 5);
    CHECK(f(0).run() == 1);
    CHECK(f(0).run() == 1);
    CHECK(f(0).run() == 0);
    CHECK_THROWS_WITH(f.on_start([](auto&) -> lazy<void> { co_return; }, {.this_thread = true}),
                      ContainsSubstring("it cannot be registered with .this_thread = true"));
    f.on_start([](auto& call) { call.result = 9; }, {.this_thread = true});
    CHECK(f(0).run() == 9);
}

TEST_CASE("An awaited call that finds a hook used up by another skips it") {
    ext::registry registry;
    std::string way;
    ext::extensible<lazy<int>(int)> f{registry, "f", [&](int x) -> lazy<int> {
        way += 'f';
        co_return x;
    }};
    f.on_start([&](auto& call) { if (*call.template arg<0>() == 0) f(1).run(); });
    f.on_start([&](auto&) -> lazy<void> { way += 's'; co_return; }, {.times = 1});
    f.around([&](auto&, auto& proceed) -> lazy<void> {
        way += '(';
        co_await proceed();
        way += ')';
    }, {.times = 1});
    CHECK(f(0).run() == 0);
    CHECK(way == "s(f)f");
}

TEST_CASE("A phase has a name") {
    STATIC_REQUIRE(to_string(ext::phase::start) == "start");
    STATIC_REQUIRE(to_string(ext::phase::around) == "around");
    STATIC_REQUIRE(to_string(ext::phase::end) == "end");
}
