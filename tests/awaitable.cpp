// Functions that return awaitables.
#include "catch.hpp"
#include "tasks.hpp"
#include "text_of.hpp"

#include <extensible/extensible.hpp>

#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;
using tasks::eager;
using tasks::gate;
using tasks::lazy;

namespace {

// A function that suspends at a gate, and hooks that record the order in which they run.
template <template <class> class Task>
struct suspended {
    ext::registry registry;
    gate middle;
    std::string way;
    ext::extensible<Task<std::string>(std::string)> echo{registry, "echo",
                                                         [this](std::string text) { return begin(std::move(text)); }};

    // Not a lambda in the initializer of `echo`, because GCC 11 crashes on that.
    Task<std::string> begin(std::string text) {
        way += "<";
        co_await middle;
        way += ">";
        if (text == "fail") throw std::runtime_error("failed");
        co_return text;
    }

    auto mark(std::string text) {
        return [this, text](auto&) { way += text; };
    }
};

}  // namespace

TEST_CASE("Without hooks the function's own awaitable is returned") {
    ext::registry registry;
    int begun = 0;
    ext::extensible<lazy<int>(int)> f{registry, "f", [&](int x) -> lazy<int> {
        ++begun;
        co_return x;
    }};
    auto task = f(3);
    CHECK(begun == 0);
    CHECK(task.run() == 3);
    CHECK(begun == 1);
}

TEST_CASE("The start hooks of a lazy function run when its task is started, and its end hooks when it is done") {
    suspended<lazy> s;
    s.echo.on_start(s.mark("s"));
    s.echo.on_end([&](auto& call) {
        s.way += "e";
        CHECK(call.original_ran);
        call.result = "[" + *call.result + "]";
    });
    auto task = s.echo("x");
    CHECK(s.way.empty());
    task.start();
    CHECK(s.way == "s<");
    s.middle.open();
    CHECK(s.way == "s<>e");
    REQUIRE(task.done());
    CHECK(task.get() == "[x]");
}

TEST_CASE("The start hooks of an eager function run at once") {
    suspended<eager> s;
    s.echo.on_start(s.mark("s"));
    s.echo.on_end(s.mark("e"));
    auto task = s.echo("x");
    CHECK(s.way == "s<");
    s.middle.open();
    CHECK(s.way == "s<>e");
    CHECK(task.get() == "x");
}

TEST_CASE("A hook of a function that returns an awaitable can change arguments, set the result and handle exceptions") {
    suspended<lazy> s;
    s.middle.open();
    s.echo.on_start([](auto& call) {
        auto& [text] = call.args;
        if (*text == "a") text = "b";
        if (*text == "known") call.result = "cached";
    });
    s.echo.on_end([](auto& call) {
        if (text_of(call.exception) != "failed") return;
        call.exception = nullptr;
        call.result = "rescued";
    });
    CHECK(s.echo("a").run() == "b");
    CHECK(s.way == "<>");
    CHECK(s.echo("known").run() == "cached");
    CHECK(s.way == "<>");
    CHECK(s.echo("fail").run() == "rescued");
    s.echo.on_start([](auto&) { throw std::runtime_error("refused"); });
    CHECK_THROWS_WITH(s.echo("a").run(), "refused");
}

TEST_CASE("Hooks of any phase may be awaited") {
    suspended<lazy> s;
    gate before, around, after;
    s.echo.on_start([&](auto& call) -> lazy<void> {
        s.way += "s";
        co_await before;
        call.template arg<0>() = *call.template arg<0>() + "!";
    });
    s.echo.on_start(s.mark("S"));
    s.echo.around([&](auto&, auto& proceed) -> eager<int> {
        s.way += "(";
        co_await around;
        co_await proceed();
        s.way += ")";
        co_return 0;
    });
    s.echo.around([&](auto&, auto& proceed) -> lazy<void> {
        s.way += "[";
        co_await proceed();
        s.way += "]";
    });
    s.echo.on_end([&](auto& call) -> lazy<void> {
        co_await after;
        call.result = *call.result + "?";
    });
    auto task = s.echo("x");
    task.start();
    CHECK(s.way == "s");
    before.open();
    CHECK(s.way == "sS(");
    around.open();
    CHECK(s.way == "sS([<");
    s.middle.open();
    CHECK(s.way == "sS([<>])");
    CHECK(!task.done());
    after.open();
    CHECK(task.get() == "x!?");
}

TEST_CASE("An awaited around hook can retry or skip the function, and sees exceptions of inner hooks, too") {
    ext::registry registry;
    ext::hook silence = registry.on_hook_error([](const ext::hook_error&) {});
    int attempts = 0;
    ext::extensible<lazy<int>(std::string)> f{registry, "f", [&](std::string text) -> lazy<int> {
        if (++attempts < 3) throw std::runtime_error("try again");
        co_return static_cast<int>(text.size());
    }};
    ext::scoped_hook retry = f.around([](auto& call, auto& proceed) -> lazy<void> {
        co_await proceed();
        while (call.exception) co_await proceed();
    });
    CHECK(f(std::string(100, 'x')).run() == 100);
    CHECK(attempts == 3);
    ext::scoped_hook outer = f.around([](auto& call, auto& proceed) -> lazy<void> {
        co_await proceed();
        CHECK(text_of(call.exception) == "from a hook");
        CHECK(!call.result);
    }, {.priority = -1});
    retry = f.around([](auto&, auto& proceed) -> lazy<void> {
        co_await proceed();
        throw std::runtime_error("from a hook");
    });
    CHECK_THROWS_WITH(f("x").run(), "from a hook");
    outer = ext::scoped_hook();
    retry = f.around([](auto& call, auto&) -> lazy<void> {
        call.result = 7;
        co_return;
    });
    CHECK(f("x").run() == 7);
    CHECK(attempts == 4);
    retry = f.around([](auto&, auto&) -> lazy<void> { co_return; });
    CHECK_THROWS_AS(f("x").run(), ext::no_result);
}

TEST_CASE("If an around hook does not await what proceed() returns, the function does not run and the result stays") {
    ext::registry registry;
    int calls = 0;
    ext::extensible f{registry, "f", [&]() -> lazy<int> { co_return ++calls; }};
    f.around([](auto&, auto& proceed) -> lazy<void> {
        co_await proceed();
        [[maybe_unused]] const auto never = proceed();
    });
    SECTION("with the function next") {}
    SECTION("with another hook next") {
        f.around([](auto&, auto& proceed) -> lazy<void> { co_await proceed(); }, {.priority = 1});
    }
    CHECK(f().run() == 1);
    CHECK(calls == 1);
}

TEST_CASE("The awaited result may be a move-only value, a reference or void") {
    ext::registry registry;
    int number = 1;
    ext::extensible<lazy<std::unique_ptr<int>>(std::unique_ptr<int>)> pass{
        registry, "pass", [](std::unique_ptr<int> p) -> lazy<std::unique_ptr<int>> { co_return std::move(p); }};
    ext::extensible<eager<int&>(int&)> same{registry, "same", [](int& x) -> eager<int&> { co_return x; }};
    ext::extensible<lazy<void>(int&)> increment{registry, "increment", [](int& x) -> lazy<void> {
        ++x;
        co_return;
    }};
    int ends = 0;
    registry.on_end("*", [&](ext::any_call& call) {
        CHECK(call.has_result());
        ++ends;
    });
    CHECK(*pass(std::make_unique<int>(5)).run() == 5);
    CHECK(&same(number).get() == &number);
    increment(number).run();
    CHECK(number == 2);
    CHECK(ends == 3);
}

TEST_CASE("By-value arguments and their replacements live until the call ends") {
    ext::registry registry;
    gate middle;
    ext::extensible<lazy<std::string>(std::string, std::string_view)> join{
        registry, "join", [&](std::string a, std::string_view b) -> lazy<std::string> {
            co_await middle;
            co_return a + std::string(b);
        }};
    join.on_start([](auto& call) { call.template arg<1>() = std::string(100, 'b'); });
    auto task = join(std::string(100, 'a'), "");
    task.start();
    middle.open();
    CHECK(task.get() == std::string(100, 'a') + std::string(100, 'b'));
}

TEST_CASE("A suspended call keeps the hooks that it began with") {
    suspended<lazy> s;
    ext::hook start = s.echo.on_start(s.mark("s"));
    ext::hook end = s.echo.on_end(s.mark("e"));
    auto task = s.echo("x");
    task.start();
    start.remove();
    end.remove();
    ext::hook late = s.echo.on_end(s.mark("l"));
    s.middle.open();
    CHECK(s.way == "s<>e");
    CHECK(s.echo("y").run() == "y");
    CHECK(s.way == "s<>e<>l");
    auto not_begun = s.echo("z");
    late.remove_and_wait();  // a call that has not begun holds no hooks
    CHECK(not_begun.run() == "z");
    CHECK(s.way == "s<>e<>l<>");
}

TEST_CASE("unload() waits for suspended calls, and unload_for() times out") {
    suspended<lazy> s;
    auto state = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = state;
    ext::plugin plugin{s.registry, "p"};
    plugin.on_end(s.echo, [&s, state = std::move(state)](auto&) { s.way += std::to_string(*state); });
    auto task = s.echo("x");
    task.start();
    CHECK(!plugin.unload_for(1ms));
    CHECK(!watch.expired());
    std::thread other([&] { s.middle.open(); });
    plugin.unload();
    CHECK(watch.expired());
    CHECK(s.way == "<>1");
    other.join();
    CHECK(task.get() == "x");
}

TEST_CASE("A hook may unload its own plugin in an awaited call") {
    suspended<lazy> s;
    std::optional<ext::plugin> plugin(std::in_place, s.registry, "p");
    plugin->on_end(s.echo, [&](auto&) {
        plugin.reset();
        s.way += "u";
    });
    auto task = s.echo("x");
    task.start();
    s.middle.open();
    CHECK(s.way == "<>u");
    CHECK(task.get() == "x");
}

TEST_CASE("Destroying a suspended call runs its end hooks and releases everything") {
    suspended<lazy> s;
    auto state = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = state;
    std::vector<std::string> ends;
    s.echo.on_start(s.mark("s"));
    s.echo.on_end([](auto&) -> lazy<void> {
        FAIL("nothing can await it");
        co_return;
    });
    ext::hook end = s.echo.on_end([&ends, state = std::move(state)](auto& call) {
        CHECK_THROWS_AS(std::rethrow_exception(call.exception), ext::abandoned);
        ends.push_back(text_of(call.exception));
    });
    {
        auto task = s.echo("x");
        task.start();
        end.remove();
        CHECK(!watch.expired());
    }
    CHECK_THAT(ends, Equals<std::string>({"echo: the call was destroyed while it was suspended"}));
    CHECK(watch.expired());
    CHECK(s.way == "s<");
    { auto never_begun = s.echo("y"); }
    CHECK(ends.size() == 1);
}

TEST_CASE("Destroying a suspended call runs a plain end hook even if awaited hooks replace it") {
    ext::registry registry;
    gate middle, never;
    ext::extensible f{registry, "f", [](gate* until) -> lazy<int> {
        co_await *until;
        co_return 1;
    }};
    std::string way;
    const auto destroy_suspended = [&] {
        auto call = f(&never);
        call.start();
    };
    SECTION("the replacing hook is awaited, and its .times are not used up") {
        f.on_end([&](auto&) { way += "plain "; }, {.id = "x"});
        f.on_end([&](auto&) -> lazy<void> { way += "awaited "; co_return; }, {.id = "x", .replace = true, .times = 1});
        destroy_suspended();
        CHECK(way == "plain ");
        middle.open();
        f(&middle).run();
        CHECK(way == "plain awaited ");
        f(&middle).run();
        CHECK(way == "plain awaited plain ");
    }
    SECTION("the replaced hook is awaited, and its .times are not used up") {
        f.on_end([&](auto&) -> lazy<void> { way += "awaited "; co_return; }, {.id = "x", .times = 1});
        f.on_end([&](auto&) { way += "plain "; }, {.id = "x", .replace = true, .times = 2});
        auto other = f(&middle);
        other.start();
        {
            auto call = f(&never);
            call.start();
            destroy_suspended();
            destroy_suspended();
            CHECK(way == "plain plain ");
        }
        CHECK(way == "plain plain ");
        middle.open();
        other.get();
        CHECK(way == "plain plain awaited ");
    }
}

TEST_CASE("A thread that is destroying a suspended call waits for other calls that can run a hook") {
    ext::registry registry;
    gate middle, never;
    ext::extensible f{registry, "f", [](gate* until) -> lazy<int> {
        co_await *until;
        co_return 1;
    }};
    ext::plugin plugin{registry, "plugin"};
    plugin.on_end(f, [](auto&) {}, {.this_thread = true});
    int told = 0;
    ext::scoped_hook monitor = registry.on_hook_run([&](const ext::hook_run& run) {
        if (!run.skipped) return;
        ++told;
        CHECK_FALSE(plugin.unload_for(std::chrono::milliseconds(1)));  // `other` can still run it
    });
    auto other = f(&middle);
    other.start();
    {
        auto call = std::make_unique<lazy<int>>(f(&never));
        call->start();
        std::thread([&] { call.reset(); }).join();
    }
    CHECK(told == 1);
    middle.open();
    CHECK(other.get() == 1);
    CHECK(plugin.unload_for(std::chrono::milliseconds(1)));
}

TEST_CASE("Hooks for any function also run in awaited calls, and awaited ones run only there") {
    suspended<lazy> s;
    s.middle.open();
    ext::extensible<int(int)> plain{s.registry, "plain", [](int x) { return x; }};
    std::vector<std::string> heard;
    s.registry.on_end("*", [&](ext::any_call& call) {
        heard.push_back(std::string(call.name()) + (call.is_awaited() ? " awaited" : "") +
                        (call.result<std::string>() ? " text" : call.result<int>() ? " int" : ""));
    });
    s.registry.on_start("*", [&](ext::any_call& call) -> lazy<void> {
        heard.push_back("awaited in " + std::string(call.name()));
        co_return;
    });
    s.registry.around("*", [&](ext::any_call& call, auto& proceed) -> lazy<void> {
        co_await proceed();
        if (call.result<std::string>()) call.set_result("around " + *call.result<std::string>());
    });
    s.registry.around("*", [&](ext::any_call&, auto& proceed) {  // is skipped in awaited calls
        heard.push_back("plain around");
        proceed();
    });
    CHECK(s.echo("x").run() == "around x");
    CHECK(plain(1) == 1);
    CHECK_THAT(heard, Equals<std::string>({"awaited in echo", "echo awaited text", "plain around", "plain int"}));
}

TEST_CASE("The exception of an isolated hook that is awaited goes to the error handler") {
    suspended<lazy> s;
    s.middle.open();
    std::vector<std::string> errors;
    s.registry.on_hook_error([&](const ext::hook_error& error) { errors.push_back(error.text()); });
    const auto fail = [](auto&) -> lazy<void> {
        throw std::runtime_error("no");
        co_return;
    };
    s.echo.on_start(fail, {.isolate = true});
    s.echo.around([](auto&, auto&) -> lazy<void> {
        throw std::runtime_error("no");
        co_return;
    }, {.isolate = true});
    s.echo.on_end(fail, {.isolate = true});
    CHECK(s.echo("x").run() == "x");
    CHECK_THAT(errors, Equals<std::string>({"echo: the isolated start hook threw: no",
                                            "echo: the isolated around hook threw: no",
                                            "echo: the isolated end hook threw: no"}));
    s.echo.on_end(fail);
    CHECK_THROWS_WITH(s.echo("x").run(), "no");
    CHECK_THROWS_WITH(s.echo.on_start(fail, {.reentrant = false}), ContainsSubstring("the start hook is awaited"));
}

TEST_CASE("Hooks may be registered by name before a function that returns an awaitable is wrapped") {
    ext::registry registry;
    registry.on_start("f", [](ext::call<lazy<int>(int)>& call) { call.template arg<0>() = 2; });
    registry.around<lazy<int>(int)>("f", [](auto& call, auto& proceed) -> lazy<void> {
        co_await proceed();
        call.result = *call.result + 1;
    });
    ext::extensible f{registry, "f", [](int x) -> lazy<int> { co_return 10 * x; }};
    CHECK(f(1).run() == 21);
    CHECK_THROWS_AS(registry.on_start<int(int)>("f", [](auto&) {}), ext::signature_mismatch);
}

TEST_CASE("If an isolated around hook proceeds, clears the result and throws, the function is not called again") {
    ext::registry registry;
    int runs = 0;
    ext::scoped_hook quiet = registry.on_hook_error([](const ext::hook_error&) {});
    SECTION("awaited") {
        ext::extensible f{registry, "f", [&]() -> lazy<int> { co_return ++runs; }};
        f.around([](auto& call, auto& proceed) -> lazy<void> {
            co_await proceed();
            call.result.reset();
            throw 1;
        }, {.isolate = true});
        CHECK_THROWS_AS(f().run(), ext::no_result);
    }
    SECTION("plain") {
        ext::extensible f{registry, "f", [&] { return ++runs; }};
        f.around([](auto& call, auto& proceed) { proceed(), call.result.reset(), throw 1; }, {.isolate = true});
        CHECK_THROWS_AS(f(), ext::no_result);
    }
    CHECK(runs == 1);
}

namespace {

// Tasks whose coroutines can await only such tasks, and tasks that only such coroutines can await.
template <class T>
struct awaits_own {
    struct promise_type {
        awaits_own await_transform(awaits_own);
    };
    bool await_ready();
    void await_suspend(std::coroutine_handle<>);
    T await_resume();
};
template <class T>
struct awaited_by_own {
    struct promise_type {};
    bool await_ready();
    void await_suspend(std::coroutine_handle<promise_type>);
    T await_resume();
};

}  // namespace

TEST_CASE("If tasks can be awaited only among themselves, the stages of a call are such tasks, too") {
    STATIC_REQUIRE(std::is_same_v<ext::detail::sub_task_of<awaits_own<int>>, awaits_own<void>>);
    STATIC_REQUIRE(std::is_same_v<ext::detail::sub_task_of<awaited_by_own<int>>, awaited_by_own<void>>);
    STATIC_REQUIRE(std::is_same_v<ext::detail::sub_task_of<lazy<int>>, ext::detail::sub_task>);
}
