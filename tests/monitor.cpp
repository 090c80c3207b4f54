// Monitors, and the reports that they receive about each run of a hook.
#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using tasks::gate;
using tasks::lazy;

namespace {

std::string text_of(ext::effect effect, const char* what) {
    const char* const texts[] = {"", " set the ", " replaced the ", " took away the "};
    const std::string text = texts[static_cast<int>(effect)];
    return text.empty() ? text : text + what;
}

// A registry with a monitor that records its reports.
struct fixture {
    ext::registry registry;
    std::vector<std::string> runs;
    ext::hook monitor = registry.on_hook_run([this](const ext::hook_run& run) {
        std::string line =
            std::string(run.function) + " " + std::string(to_string(run.phase)) + " " + std::string(run.id);
        if (!run.owner.empty()) line += " of " + std::string(run.owner);
        line += text_of(run.result, "result") + text_of(run.exception, "exception");
        if (run.threw) line += " threw";
        if (run.skipped) line += " skipped";
        if (run.took.count() < run.took_inside.count() || run.took_inside.count() < 0)
            line += " took less than nothing";
        runs.push_back(line);
    });

    void check(const std::vector<std::string>& expected) {
        CHECK_THAT(runs, Catch::Matchers::Equals(expected));
        runs.clear();
    }
};

}  // namespace

TEST_CASE_METHOD(fixture, "A monitor is called after each run of each hook, and receives what the hook did") {
    ext::extensible key{registry, "key",
                        [](int x) { return x < 0 ? throw std::runtime_error("negative") : std::to_string(x); }};
    ext::plugin vault{registry, "vault"};
    key.on_start([](auto&) {}, {.id = "cache"});
    vault.on_start(key, [](auto& call) { if (*call.template arg<0>() == 7) call.result = "seven"; }, {.id = "supply"});
    registry.on_end("*", [](ext::any_call& call) {
        if (call.has_result()) call.set_result(*call.result<std::string>() + "!");
    }, {.id = "any"});
    CHECK(key(7) == "seven!");
    check({"key start cache", "key start supply of vault set the result", "key end any replaced the result"});
    CHECK(key(1) == "1!");
    check({"key start cache", "key start supply of vault", "key end any replaced the result"});
    CHECK_THROWS_AS(key(-1), std::runtime_error);
    check({"key start cache", "key start supply of vault", "key end any"});
    ext::hook repairs =
        key.on_end([](auto& call) { call.exception = nullptr, call.result = "repaired"; }, {.id = "repair"});
    CHECK(key(-1) == "repaired");
    check({"key start cache", "key start supply of vault", "key end any",
           "key end repair set the result took away the exception"});
    repairs.remove();
    key.on_end([](auto& call) { call.result.reset(), throw std::logic_error("of the hook"); }, {.id = "throws"});
    CHECK_THROWS_AS(key(1), std::logic_error);
    check({"key start cache", "key start supply of vault", "key end any replaced the result",
           "key end throws took away the result threw"});
}

TEST_CASE_METHOD(fixture, "A monitor is called for isolated hooks that throw, and for hooks that are skipped") {
    ext::scoped_hook quiet = registry.on_hook_error([](const ext::hook_error&) {});
    ext::extensible<int(int)> f{registry, "f", [](int x) { return x; }};
    f.on_start([](auto&) { throw 1; }, {.id = "isolated", .isolate = true});
    f.around([&](auto&, auto& proceed) { f.original()(1), proceed(); }, {.id = "here", .this_thread = true});
    f.on_end([&](auto& call) { if (*call.template arg<0>() == 0) f(1); }, {.id = "once", .reentrant = false});
    std::thread([&] { f(0); }).join();
    check({"f start isolated threw", "f around here skipped", "f start isolated threw", "f around here skipped",
           "f end once skipped", "f end once"});
}

TEST_CASE_METHOD(fixture, "Changes by inner hooks are not attributed to an around hook, and their time is separate") {
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.around([](auto&, auto& proceed) { proceed(); }, {.id = "passes"});
    f.around([](auto& call, auto& proceed) { proceed(), call.result = 2; }, {.id = "replaces"});
    CHECK(f(1) == 2);
    check({"f around replaces replaced the result", "f around passes"});
    f.around([](auto& call, auto&) { call.result = 3; }, {.id = "supplies"});
    CHECK(f(1) == 2);
    check({"f around supplies set the result", "f around replaces replaced the result", "f around passes"});

    std::vector<std::pair<long long, long long>> times;
    monitor.remove();
    registry.on_hook_run([&](const ext::hook_run& run) {
        const std::chrono::nanoseconds took = run.took, inside = run.took_inside;
        times.emplace_back(took.count(), inside.count());
    });
    ext::extensible slow{registry, "slow", [] {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
        while (std::chrono::steady_clock::now() < end) {}
    }};
    slow.around([](auto&, auto& proceed) { proceed(), proceed(); });
    slow.on_end([](auto&) {});
    slow();
    STATIC_REQUIRE(!std::is_convertible_v<decltype(ext::hook_run::took), std::chrono::seconds>);
    STATIC_REQUIRE(!std::is_convertible_v<decltype(ext::hook_run::took), std::chrono::microseconds>);
    REQUIRE(times.size() == 2);
    CHECK(times[0].second >= 4'000'000);
    CHECK(times[0].first >= times[0].second);
    CHECK(times[1].second == 0);
}

TEST_CASE_METHOD(fixture, "A monitor is called for hooks of awaited functions, both awaited and plain ones") {
    gate middle;
    ext::extensible f{registry, "f", [&](int x) -> lazy<int> {
        co_await middle;
        co_return x;
    }};
    f.on_start([&](auto&) -> lazy<void> { co_await middle; }, {.id = "awaited"});
    f.on_start([](auto&) {}, {.id = "plain"});
    f.around([](auto& call, auto& proceed) -> lazy<void> {
        co_await proceed();
        call.result = *call.result + 1;
    }, {.id = "around"});
    f.around([](auto&, auto& proceed) -> lazy<void> { co_await proceed(); }, {.id = "once", .times = 1});
    f.on_end([](auto&) -> lazy<void> { throw 1; co_return; }, {.id = "throws"});
    auto task = f(1);
    task.start();
    check({});
    middle.open();
    CHECK(task.done());
    CHECK_THROWS_AS(task.get(), int);
    check({"f start awaited", "f start plain", "f around once", "f around around replaced the result",
           "f end throws threw"});
}

TEST_CASE_METHOD(fixture, "A monitor is called for an awaited hook that is skipped") {
    gate before;
    ext::extensible f{registry, "f", [](int x) -> lazy<int> { co_return x; }};
    f.on_start([&](auto&) -> lazy<void> { co_await before; }, {.id = "waits"});
    f.around([](auto&, auto& proceed) -> lazy<void> { co_await proceed(); }, {.id = "once", .times = 1});
    auto first = f(1), second = f(2);  // both hold the hook that only one of them may run
    first.start();
    second.start();
    before.open();
    CHECK(first.get() == 1);
    CHECK(second.get() == 2);
    check({"f start waits", "f around once", "f start waits", "f around once skipped"});
}

TEST_CASE_METHOD(fixture, "A monitor is called for a finisher") {
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.on_start([](auto&) { return [](auto& call) { call.result = 9; }; }, {.id = "pair"});
    CHECK(f(1) == 9);
    check({"f start pair", "f end pair replaced the result"});
}

TEST_CASE_METHOD(fixture, "A monitor sees that hooks set and replace results that are references or void") {
    int one = 1, two = 2;
    ext::extensible refer{registry, "refer", [&]() -> int& { return one; }};
    ext::extensible nothing{registry, "nothing", [] {}};
    refer.on_end([&](auto& call) { call.result = two; }, {.id = "e"});
    nothing.on_start([](auto& call) { call.result.emplace(); }, {.id = "s"});
    nothing.on_end([](auto&) {}, {.id = "e"});
    nothing.on_end([](auto& call) { call.result.emplace(); }, {.id = "again"});
    CHECK(&refer() == &two);
    nothing();
    check({"refer end e replaced the result", "nothing start s set the result", "nothing end e",
           "nothing end again replaced the result"});
}

TEST_CASE_METHOD(fixture, "A result is replaced however it is written, even by an equal one") {
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.on_end([](auto& call) { call.result = 1; }, {.id = "value"});
    f.on_end([](auto& call) { call.result.emplace(1); }, {.id = "emplaced"});
    f.on_end([](auto& call) { call.result = ext::result<int>(1); }, {.id = "whole"});
    f.on_end([](auto& call) { const ext::result<int> read = call.result; CHECK(*read == 1); }, {.id = "read"});
    CHECK(f(1) == 1);
    check({"f end value replaced the result", "f end emplaced replaced the result", "f end whole replaced the result",
           "f end read"});
}

TEST_CASE_METHOD(fixture, "An empty monitor is refused by on_hook_run(), an empty error handler by on_hook_error()") {
    CHECK_THROWS_WITH(registry.on_hook_run(std::function<void(const ext::hook_run&)>()),
                      Catch::Matchers::ContainsSubstring("on_hook_run"));
    CHECK_THROWS_WITH(registry.on_hook_error(std::function<void(const ext::hook_error&)>()),
                      Catch::Matchers::ContainsSubstring("on_hook_error"));
}

TEST_CASE_METHOD(fixture, "A monitor is called for functions and hooks added later, until it is disabled or removed") {
    ext::extensible f{registry, "f", [] {}};
    registry.on_start("*", [](ext::any_call&) {}, {.id = "any"});
    ext::extensible g{registry, "g", [] {}};
    f(), g();
    check({"f start any", "g start any"});
    ext::hook second = registry.on_hook_run([this](const ext::hook_run&) { runs.push_back("second"); });
    f();
    check({"f start any", "second"});
    monitor.disable();
    f();
    check({"second"});
    monitor.remove();
    f();
    check({"second"});
    second.remove();
    f(), g();
    check({});
}

TEST_CASE_METHOD(fixture, "A monitor may throw, or call a function that it watches") {
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.on_start([](auto&) {}, {.id = "s"});
    registry.on_hook_run([](const ext::hook_run&) { throw 1; });
    registry.on_hook_run([&](const ext::hook_run&) { f(2); });
    CHECK(f(1) == 1);
    check({"f start s", "f start s"});  // for this call, and for the call that the third monitor makes
}

TEST_CASE("A monitor's state is destroyed when it is removed") {
    ext::registry registry;
    auto state = std::make_shared<int>(0);
    ext::extensible f{registry, "f", [] {}};
    f.on_start([](auto&) {});
    ext::hook monitor = registry.on_hook_run([state](const ext::hook_run&) { ++*state; });
    f();
    monitor.remove_and_wait();
    CHECK(*state == 1);
    CHECK(state.use_count() == 1);
    registry.seal();
    CHECK_THROWS_AS(registry.on_hook_run([](const ext::hook_run&) {}), ext::sealed);
}

TEST_CASE_METHOD(fixture, "If an isolated hook throws before it proceeds, a monitor sees that, and the function runs") {
    ext::scoped_hook quiet = registry.on_hook_error([](const ext::hook_error&) {});
    ext::extensible f{registry, "f", [](int x) -> lazy<int> { co_return x; }};
    f.around([](auto&, auto& proceed) -> lazy<void> {
        throw 1;
        co_await proceed();
    }, {.id = "throws", .isolate = true});
    CHECK(f(1).run() == 1);
    check({"f around throws threw"});
}
