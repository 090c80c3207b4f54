// The options .this_thread, .times and .fallback, and what runs in place of a hook that is skipped.
#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using tasks::lazy;

TEST_CASE("A hook with .this_thread does not run in calls on other threads") {
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
    SECTION("around, where inner hooks and the function still run") {
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

TEST_CASE("A hook with .this_thread does not run in any call after its thread has ended") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    std::thread([&] { f.on_start([](auto& call) { call.result = 1; }, {.this_thread = true}); }).join();
    // One of these threads has the same pthread_t and the same slots as the thread that has ended.
    for (int i = 0; i < 8; ++i) std::thread([&] { CHECK(f(0) == 0); }).join();
    CHECK(f(0) == 0);
}

TEST_CASE("A hook with .times is removed once it has begun that often") {
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
    SECTION("also if it throws") {
        ext::hook once = f.on_end([](auto&) { throw 1; }, {.times = 1});
        CHECK_THROWS_AS(f(0), int);
        CHECK_FALSE(once.active());
        CHECK(f(0) == 0);
    }
    SECTION("also if it calls its own function") {
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

TEST_CASE("A hook with .times begins exactly that often, even if several threads call at once") {
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

TEST_CASE("A hook that is awaited may have .times, but not .this_thread") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) -> lazy<int> { co_return x; }};
    f.on_start([](auto& call) -> lazy<void> { call.result = 5; co_return; }, {.times = 1});
    f.around([](auto& call, auto& proceed) -> lazy<void> { co_await proceed(), call.result = *call.result + 1; },
             {.times = 2});
    CHECK(f(0).run() == 5);
    CHECK(f(0).run() == 1);
    CHECK(f(0).run() == 1);
    CHECK(f(0).run() == 0);
    CHECK_THROWS_WITH(f.on_start([](auto&) -> lazy<void> { co_return; }, {.this_thread = true}),
                      ContainsSubstring("it cannot have .this_thread = true"));
    f.on_start([](auto& call) { call.result = 9; }, {.this_thread = true});
    CHECK(f(0).run() == 9);
}

TEST_CASE("An awaited call skips a hook whose .times another call has used up") {
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

TEST_CASE("A fallback is skipped if the call already has a result") {
    ext::registry registry;
    std::string asked;
    ext::extensible get{registry, "get",
                        [](std::string_view service) { return std::string(service) + " of the environment"; }};
    const auto store = [&](std::string name, std::string has) {
        return [&asked, name, has](auto& call) {
            asked += name + " ";
            if (*call.template arg<0>() == has) call.result = name;
        };
    };
    SECTION("so the first fallback that sets a result wins, and the function is not called") {
        get.on_start(store("vault", "openai"), {.fallback = true});
        get.on_start(store("dotenv", "openai"), {.fallback = true});
        CHECK(get("openai") == "vault");
        CHECK(asked == "vault ");
        CHECK(get("groq") == "groq of the environment");
        CHECK(asked == "vault vault dotenv ");
    }
    SECTION("also if a hook that is not a fallback has set it, but not if a hook has cleared it again") {
        get.on_start([](auto& call) { call.result = "first"; });
        ext::hook takes = get.on_start([](auto& call) { call.result.reset(); });
        get.on_start(store("vault", "openai"), {.fallback = true});
        CHECK(get("openai") == "vault");
        takes.remove();
        CHECK(get("openai") == "first");
        CHECK(asked == "vault ");
    }
    SECTION("without using up its .times, and monitors are notified") {
        std::string told;
        registry.on_hook_run(
            [&](const ext::hook_run& run) { told += std::string(run.id) + (run.skipped ? " skipped, " : " ran, "); });
        ext::hook once = get.on_start([](auto& call) { call.result = "once"; }, {.id = "once", .times = 1});
        get.on_start(store("vault", "openai"), {.id = "vault", .fallback = true, .times = 1});
        CHECK(get("openai") == "once");
        CHECK(get("openai") == "vault");
        CHECK(get("openai") == "openai of the environment");
        CHECK(told == "once ran, vault skipped, vault ran, ");
    }
    SECTION("also if it is for any function, or is awaited") {
        registry.on_start("l*", [](ext::any_call& call) { call.set_result(5); }, {.fallback = true});
        ext::extensible later{registry, "later", [](int x) -> lazy<int> { co_return x; }};
        CHECK(later(1).run() == 5);
        later.on_start([](auto& call) -> lazy<void> {
            call.result = 6;
            co_return;
        }, {.id = "awaited", .priority = -1, .fallback = true});
        CHECK(later(1).run() == 6);
        later.on_start([](auto& call) -> lazy<void> { call.result = 7; co_return; }, {.fallback = true});
        CHECK(later(1).run() == 6);
    }
    SECTION("and the hook that it replaces is skipped, too") {
        get.on_start(store("file", "openai"), {.id = "store"});
        get.on_start(store("vault", "openai"), {.id = "store", .replace = true, .fallback = true});
        ext::hook first = get.on_start([](auto& call) { call.result = "first"; }, {.priority = -1});
        CHECK(get("openai") == "first");
        CHECK(asked.empty());
        first.remove();
        CHECK(get("openai") == "vault");
    }
}

TEST_CASE("Only a start hook can be a fallback") {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    CHECK_THROWS_WITH(f.on_end([](auto&) {}, {.id = "late", .fallback = true}),
                      ContainsSubstring("f: the end hook 'late'") && ContainsSubstring(".fallback"));
    CHECK_THROWS_AS(f.around([](auto&, auto& proceed) { proceed(); }, {.fallback = true}), ext::error);
    CHECK_THROWS_AS(registry.on_end("*", [](ext::any_call&) {}, {.fallback = true}), ext::error);
    CHECK(registry.functions()[0].hooks.empty());
}

namespace {

// A function with a hook that records its name. Tests add hooks that replace it.
struct replaced {
    ext::registry registry;
    std::string way;
    ext::extensible<int(int)> f{registry, "f", [](int x) { return x; }};
    ext::hook standard = add("standard", {.id = "id"});

    ext::hook add(const char* says, const ext::hook_options& options) {
        return f.on_start([this, says](auto&) { (way += says) += ' '; }, options);
    }
    std::string run() {
        way.clear();
        f(0);
        return way;
    }
    std::string run_elsewhere() {
        std::thread([this] { run(); }).join();
        return way;
    }
};

}  // namespace

TEST_CASE("A hook that replaces another one must have an id") {
    const ext::extensible f{"options.replace_without_id", [] {}};
    CHECK_THROWS_WITH(
        f.on_start([](auto&) {}, {.replace = true}),
        ContainsSubstring("the start hook has .replace = true, but no .id; set it to the id of the hook to replace"));
}

TEST_CASE_METHOD(replaced, "If a call skips a hook, the hook that it replaces runs in its position") {
    ext::hook before = add("before", {.priority = -1});
    ext::hook after = add("after", {});
    SECTION("because it is for another thread") {
        add("here", {.id = "id", .priority = 5, .replace = true, .this_thread = true});
        CHECK(run() == "before after here ");
        CHECK(run_elsewhere() == "before after standard ");
    }
    SECTION("because its .times are used up, in a call that began before that") {
        ext::scoped_hook nests = f.on_start([this](auto& call) {
            if (*call.template arg<0>() == 0) f(1);
        }, {.priority = -2});
        add("once", {.id = "id", .replace = true, .times = 1});
        CHECK(run() == "before once after before standard after ");
    }
    SECTION("because it is not reentrant, in a call that it makes") {
        f.on_start([this](auto&) { way += "outer ", f(1); }, {.id = "id", .replace = true, .reentrant = false});
        CHECK(run() == "before outer before standard after after ");
        CHECK(run() == "before outer before standard after after ");
    }
    SECTION("unless the replaced hook is disabled, or is skipped itself") {
        add("here", {.id = "id", .replace = true, .this_thread = true});
        standard.disable();
        CHECK(run_elsewhere() == "before after ");
        standard.enable();
        CHECK(run_elsewhere() == "before standard after ");
    }
    SECTION("and of several, the newest that the call does not skip") {
        ext::hook two = add("two", {.id = "id", .replace = true});
        ext::hook three = add("three", {.id = "id", .replace = true, .this_thread = true});
        ext::hook four = add("four", {.id = "id", .replace = true, .times = 1});
        ext::scoped_hook nests = f.on_start([this](auto& call) {
            if (*call.template arg<0>() == 0) f(1);
        }, {.priority = -2});
        CHECK(run() == "before four after before three after ");
        CHECK(run_elsewhere() == "before two after before two after ");
        two.disable();
        CHECK(run_elsewhere() == "before standard after before standard after ");
        three.remove();
        CHECK(run() == "before standard after before standard after ");
    }
    SECTION("and monitors are notified of both") {
        add("here", {.id = "id", .replace = true, .this_thread = true});
        before.remove(), after.remove();
        std::string told;
        registry.on_hook_run([&](const ext::hook_run& run) { told += run.skipped ? "skipped " : "ran "; });
        CHECK(run() == "here ");
        CHECK(told == "ran ");
        CHECK(run_elsewhere() == "standard ");
        CHECK(told == "ran skipped ran ");
    }
}

TEST_CASE("If around and end hooks are skipped, the hooks that they replace run in their positions") {
    ext::registry registry;
    std::string way;
    ext::extensible f{registry, "f", [&] { way += "f "; }};
    const auto around = [&](const char* says) {
        return [&way, says](auto&, auto& proceed) { (way += says) += '(', proceed(), way += ") "; };
    };
    f.around(around("outer"));
    f.around(around("standard"), {.id = "id"});
    f.around(around("inner"));
    f.around(around("here"), {.id = "id", .replace = true, .this_thread = true});
    f.on_end([&](auto&) { way += "standard "; }, {.id = "id"});
    f.on_end([&](auto&) { way += "here "; }, {.id = "id", .replace = true, .this_thread = true});
    f();
    CHECK(way == "outer(here(inner(f ) ) ) here ");
    way.clear();
    std::thread([&] { f(); }).join();
    CHECK(way == "outer(standard(inner(f ) ) ) standard ");
}

TEST_CASE("An error report names the hook that ran, even if it ran in the position of another") {
    ext::registry registry;
    std::vector<std::string> errors;
    registry.on_hook_error([&](const ext::hook_error& error) { errors.push_back(error.text()); });
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::plugin host{registry, "host"}, test{registry, "test"};
    const auto on_another_thread = [&] { std::thread([&] { CHECK_THROWS(f(0)); }).join(); };
    SECTION("if it throws") {
        f.on_start([](auto& call) { call.exception = std::make_exception_ptr(std::runtime_error("first")); });
        host.on_start(f, [](auto&) { throw std::runtime_error("second"); }, {.id = "id"});
        test.on_start(f, [](auto&) {}, {.id = "id", .replace = true, .this_thread = true});
        on_another_thread();
        CHECK(errors == std::vector<std::string>{"f: the start hook 'id' of host displaced: first"});
    }
    SECTION("if it proceeds and leaves an exception") {
        host.around(f, [](auto& call, auto& proceed) {
            call.exception = std::make_exception_ptr(std::runtime_error("left"));
            proceed();
            throw std::runtime_error("in the end");
        }, {.id = "id"});
        test.around(f, [](auto&, auto& proceed) { proceed(); }, {.id = "id", .replace = true, .this_thread = true});
        on_another_thread();
        CHECK(errors == std::vector<std::string>{"f: the around hook 'id' of host displaced: left"});
    }
    SECTION("if it is awaited, proceeds and leaves an exception") {
        ext::extensible later{registry, "later", [](int x) -> lazy<int> { co_return x; }};
        host.around(later, [](auto& call, auto& proceed) -> lazy<void> {
            call.exception = std::make_exception_ptr(std::runtime_error("left"));
            co_await proceed();
        }, {.id = "id"});
        test.around(later, [](auto&, auto& proceed) -> lazy<void> { co_await proceed(); },
                    {.id = "id", .replace = true, .times = 1});
        ext::scoped_hook nests = later.on_start([&](auto& call) {
            if (*call.template arg<0>() == 0) later(2).run();
        }, {.priority = -1});
        CHECK(later(0).run() == 0);
        CHECK(errors == std::vector<std::string>{"later: the around hook 'id' of host displaced: left"});
    }
}

TEST_CASE("If awaited hooks are skipped, the hooks that they replace run in their positions") {
    ext::registry registry;
    std::string way;
    ext::extensible<lazy<int>(int)> f{registry, "f", [&](int x) -> lazy<int> {
        way += "f ";
        co_return x;
    }};
    ext::scoped_hook nests = f.on_start([&](auto& call) {
        if (*call.template arg<0>() == 0) f(1).run();
    }, {.priority = -1});
    f.on_start([&](auto&) { way += "plain "; }, {.id = "id"});
    f.on_start([&](auto&) -> lazy<void> { way += "awaited "; co_return; }, {.id = "id", .replace = true, .times = 1});
    f.around([&](auto&, auto& proceed) -> lazy<void> { way += "standard( ", co_await proceed(), way += ") "; },
             {.id = "id"});
    f.around([&](auto&, auto& proceed) -> lazy<void> { way += "once( ", co_await proceed(), way += ") "; },
             {.id = "id", .replace = true, .times = 1});
    f.on_end([&](auto&) -> lazy<void> { way += "standard "; co_return; }, {.id = "id"});
    f.on_end([&](auto&) { way += "once "; }, {.id = "id", .replace = true, .times = 1});
    CHECK(f(0).run() == 0);
    CHECK(way == "awaited once( f ) once plain standard( f ) standard ");
}

TEST_CASE("A phase has a name") {
    STATIC_REQUIRE(to_string(ext::phase::start) == "start");
    STATIC_REQUIRE(to_string(ext::phase::around) == "around");
    STATIC_REQUIRE(to_string(ext::phase::end) == "end");
}
