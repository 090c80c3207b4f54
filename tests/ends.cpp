// Start hooks that return a finisher.
#include "catch.hpp"
#include "tasks.hpp"
#include "text_of.hpp"

#include <extensible/extensible.hpp>

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using Catch::Matchers::Equals;
using tasks::gate;
using tasks::lazy;

namespace {

// A function whose hooks record the order in which they run.
struct fixture {
    ext::registry registry;
    std::string way;
    ext::extensible<int(int)> f{registry, "f", [this](int x) {
        way += 'f';
        if (x < 0) throw std::runtime_error("negative");
        return x;
    }};

    // A start hook that writes one letter, and whose finisher writes another.
    auto pair(char begin, char end) {
        return [this, begin, end](auto&) {
            way += begin;
            return [this, end](auto&) { way += end; };
        };
    }
    std::string run(int x) {
        way.clear();
        try {
            f(x);
        } catch (const std::exception&) {
            way += '!';
        }
        return way;
    }
};

}  // namespace

TEST_CASE_METHOD(fixture, "The finishers that start hooks return run after the end hooks, in reverse order") {
    f.on_start(pair('1', 'a'));
    f.on_start([this](auto&) { way += '2'; });
    f.on_start(pair('3', 'c'));
    f.on_end([this](auto&) { way += 'e'; });
    SECTION("if the function returns") { CHECK(run(1) == "123feca"); }
    SECTION("if the function throws") { CHECK(run(-1) == "123feca!"); }
    SECTION("if a start hook sets the result") {
        f.on_start([](auto& call) { call.result = 5; });
        CHECK(run(1) == "123eca");
    }
    SECTION("if an around hook does not proceed") {
        f.around([this](auto& call, auto&) { way += '-', call.result = 5; });
        CHECK(run(1) == "123-eca");
    }
    SECTION("if a start hook throws, but only those returned before") {
        f.on_start([](auto&) { throw std::logic_error("no"); }, {.priority = -1}).disable();
        f.on_start([](auto&) { throw std::logic_error("no"); }, {.id = "throws"});
        f.on_start(pair('4', 'd'), {.after = "throws"});
        CHECK(run(1) == "123eca!");
    }
}

TEST_CASE_METHOD(fixture, "A call runs the finishers of all active hooks, whatever was added and removed before") {
    const ext::hook first = f.on_start([this](auto&) { way += '1'; });  // returns no finisher
    CHECK(run(1) == "1f");
    ext::hook second = f.on_start(pair('2', 'b'));
    CHECK(run(1) == "12fb");
    ext::hook third = f.on_start(pair('3', 'c'));
    CHECK(run(1) == "123fcb");
    second.remove();
    CHECK(run(1) == "13fc");
    third.disable();
    CHECK(run(1) == "1f");
    third.enable();
    CHECK(run(1) == "13fc");
    third.remove();
    CHECK(run(1) == "1f");
    f.on_start(pair('4', 'd'));
    CHECK(run(1) == "14fd");
}

TEST_CASE_METHOD(fixture, "A finisher may capture move-only state, which is destroyed right after it has run") {
    const auto state = std::make_shared<int>(0);
    const std::weak_ptr<int> hooks_own = state;
    std::vector<long> alive;
    f.on_start([state](auto&) {
        return [own = std::make_unique<std::shared_ptr<int>>(state)](auto&) { ++**own; };
    });
    f.on_start([&](auto&) { return [&alive, &state](auto&) { alive.push_back(state.use_count()); }; },
               {.priority = -1});
    for (int i = 0; i < 3; ++i) f(1);
    CHECK(*state == 3);
    CHECK(alive == std::vector<long>{2, 2, 2});  // the test's and the hook's: the finisher that ran before is destroyed
}

TEST_CASE_METHOD(fixture, "A finisher may change the outcome, as an end hook may") {
    ext::hook changes = f.on_start([](auto&) {
        return [](auto& call) {
            if (call.exception) call.exception = nullptr, call.result = 0;
            else call.result = *call.result + 1;
        };
    });
    CHECK(f(1) == 2);
    CHECK(f(-1) == 0);
    changes.remove();
    f.on_start([](auto&) { return [](auto&) { throw std::logic_error("of the end"); }; });
    CHECK_THROWS_WITH(f(1), Equals("of the end"));
}

TEST_CASE_METHOD(fixture, "An exception of a finisher is handled like one of an end hook, isolated or not") {
    std::vector<std::string> reports;
    registry.on_hook_error([&](const ext::hook_error& error) { reports.push_back(error.text()); });
    const auto throwing = [](auto&) { return [](auto&) { throw std::runtime_error("of the end"); }; };
    f.on_start(throwing, {.id = "loose"});
    f.on_start(throwing, {.id = "isolated", .isolate = true});
    CHECK_THROWS_WITH(f(-1), Equals("of the end"));
    CHECK_THAT(reports, Catch::Matchers::Equals<std::string>({"f: the isolated start hook 'isolated' threw: of the end",
                                                              "f: the start hook 'loose' displaced: negative"}));
}

TEST_CASE_METHOD(fixture, "An empty finisher is ignored") {
    f.on_start([this](auto& call) -> std::function<void(ext::call<int(int)>&)> {
        if (*std::get<0>(call.args) == 0) return nullptr;
        return [this](auto&) { way += 'a'; };
    });
    CHECK(run(0) == "f");
    CHECK(run(1) == "fa");
}

TEST_CASE("A start hook may return a reference to a function as its finisher") {
    static int ran = 0;
    struct function {
        static void end(ext::call<int(int)>&) { ++ran; }
    };
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.on_start([](auto&) -> auto& { return function::end; });
    CHECK(f(3) == 3);
    CHECK(ran == 1);
}

TEST_CASE_METHOD(fixture, "A finisher runs even if its hook is removed during the call") {
    ext::hook hook = f.on_start(pair('1', 'a'));
    f.around([&](auto&, auto& proceed) {
        hook.remove();
        proceed();
    });
    CHECK(run(1) == "1fa");
    CHECK(run(1) == "f");
}

TEST_CASE("A hook for any function may return finishers, for plain and for awaited functions") {
    ext::registry registry;
    std::vector<std::string> seen;
    registry.on_start("*", [&](ext::any_call& call) {
        return [&seen, name = std::string(call.name())](ext::any_call& ended) {
            seen.push_back(name + (ended.exception() ? " failed" : " done"));
        };
    });
    ext::extensible plain{registry, "plain", [](int x) { return x < 0 ? throw x : x; }};
    ext::extensible awaited{registry, "awaited", [](int x) -> lazy<int> { co_return x < 0 ? throw x : x; }};
    plain(1);
    CHECK_THROWS_AS(plain(-1), int);
    awaited(1).run();
    CHECK_THROWS_AS(awaited(-1).run(), int);
    { auto never_begun = awaited(1); }
    CHECK_THAT(seen,
               Catch::Matchers::Equals<std::string>({"plain done", "plain failed", "awaited done", "awaited failed"}));
}

TEST_CASE("Destroying a suspended call runs its finishers, which see ext::abandoned") {
    ext::registry registry;
    gate middle;
    ext::extensible f{registry, "f", [&]() -> lazy<int> {
        co_await middle;
        co_return 1;
    }};
    std::vector<std::string> seen;
    f.on_start([&](auto&) { return [&](auto& call) { seen.push_back("first: " + text_of(call.exception)); }; });
    f.on_start([&](auto&) { return [&](auto& call) { seen.push_back("second: " + text_of(call.exception)); }; });
    SECTION("without end hooks") {}
    SECTION("with an end hook, which runs before") { f.on_end([&](auto&) { seen.push_back("end"); }); }
    const bool has_end_hook = registry.functions()[0].hooks.size() == 3;
    {
        auto task = f();
        task.start();
    }
    if (has_end_hook) CHECK(seen.at(0) == "end");
    const std::string abandoned = "f: the call was destroyed while it was suspended";
    CHECK(seen.size() == (has_end_hook ? 3u : 2u));
    CHECK(seen[seen.size() - 2] == "second: " + abandoned);
    CHECK(seen.back() == "first: " + abandoned);
}

TEST_CASE("Calls that a finisher makes skip its hook if the hook is not reentrant") {
    ext::registry registry;
    int begun = 0, ended = 0;
    ext::extensible<void()> f{registry, "f", [] {}};
    f.on_start([&](auto&) { return ++begun, [&](auto&) {
        ++ended;
        if (ended < 5) f();
    }; }, {.reentrant = false});
    f();
    CHECK(begun == 1);
    CHECK(ended == 1);
}
