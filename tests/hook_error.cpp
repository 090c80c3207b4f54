// Isolated hooks, hooks that are not reentrant, and the handlers of exceptions that no caller sees.
#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using Catch::Matchers::Equals;

namespace {

struct reporting {
    ext::registry registry;
    std::vector<std::string> errors;
    ext::hook handler =
        registry.on_hook_error([this](const ext::hook_error& error) { errors.push_back(error.text()); });
    ext::extensible<int(int)> f{registry, "f", [](int x) {
        if (x < 0) throw std::runtime_error("negative");
        return x;
    }};
};

[[noreturn]] void fail(const char* text) { throw std::runtime_error(text); }

}  // namespace

TEST_CASE("The exception of an isolated hook goes to the error handler, and the call continues") {
    reporting r;
    r.f.on_start([](auto&) { fail("one"); }, {.id = "first", .isolate = true});
    r.f.on_start([](auto& call) { call.template arg<0>() = 5; });
    r.f.on_end([](auto&) { fail("two"); }, {.isolate = true});
    CHECK(r.f(1) == 5);
    CHECK_THAT(r.errors, Equals<std::string>({"f: the isolated start hook 'first' threw: one",
                                              "f: the isolated end hook threw: two"}));
}

TEST_CASE("An isolated around hook that throws before it proceeds is skipped") {
    reporting r;
    r.f.around([](auto&, auto&) { fail("before"); }, {.isolate = true});
    CHECK(r.f(1) == 1);
    CHECK_THROWS_WITH(r.f(-1), "negative");
    CHECK_THAT(r.errors, Equals<std::string>(std::vector<std::string>(2, "f: the isolated around hook threw: before")));
}

TEST_CASE("An isolated around hook that throws later leaves the outcome as it is") {
    reporting r;
    int runs = 0;
    r.f.around([](auto& call, auto&) { call.result = 7; fail("after"); }, {.id = "set", .isolate = true});
    CHECK(r.f(1) == 7);
    r.f.around([&](auto& call, auto& proceed) { ++runs; proceed(); call.result = *call.result + 1; fail("after"); },
               {.id = "set", .replace = true, .isolate = true});
    CHECK(r.f(1) == 2);
    CHECK(runs == 1);
    CHECK(r.errors.size() == 2);
}

TEST_CASE("The error handler receives the function, the hook, its owner and the exception") {
    ext::registry registry;
    ext::extensible f{registry, "net.f", [] {}};
    ext::plugin plugin{registry, "openbao", {.isolate = true}};
    plugin.on_start("net.*", [](ext::any_call&) { throw 5; }, {.id = "vault"});
    int handled = 0;
    registry.on_hook_error([&](const ext::hook_error& error) {
        ++handled;
        CHECK(error.function == "net.f");
        CHECK(error.phase == ext::phase::start);
        CHECK(error.hook == "vault");
        CHECK(error.owner == "openbao");
        CHECK(!error.displaced);
        CHECK_THROWS_AS(std::rethrow_exception(error.exception), int);
        CHECK(error.text() ==
              "net.f: the isolated start hook 'vault' of openbao threw: something that is not a std::exception");
    });
    f();
    CHECK(handled == 1);
}

TEST_CASE("If a hook throws in a call that has an exception, the earlier exception goes to the error handler") {
    reporting r;
    r.f.around([](auto& call, auto& proceed) {
        proceed();
        if (call.exception) fail("around");
    }, {.id = "translate"});
    r.f.on_end([](auto&) { fail("end"); });
    CHECK_THROWS_WITH(r.f(-1), "end");
    CHECK_THAT(r.errors, Equals<std::string>({"f: the around hook 'translate' displaced: negative",
                                              "f: the end hook displaced: around"}));
}

TEST_CASE("If an around hook proceeds again and the call still has an exception, it goes to the error handler") {
    reporting r;
    r.f.around([](auto& call, auto& proceed) {
        proceed();
        call.template arg<0>() = 3;
        proceed();
    });
    CHECK(r.f(-1) == 3);
    CHECK_THAT(r.errors, Equals<std::string>({"f: the around hook displaced: negative"}));
}

TEST_CASE("An exception that a hook rethrows, clears or replaces in the call is not reported") {
    reporting r;
    SECTION("rethrown") {
        r.f.on_end([](auto& call) { std::rethrow_exception(call.exception); });
        CHECK_THROWS_WITH(r.f(-1), "negative");
    }
    SECTION("cleared") {
        r.f.on_end([](auto& call) {
            call.exception = nullptr;
            call.result = 0;
        });
        CHECK(r.f(-1) == 0);
    }
    SECTION("replaced") {
        r.f.on_end([](auto& call) { call.exception = std::make_exception_ptr(std::runtime_error("other")); });
        CHECK_THROWS_WITH(r.f(-1), "other");
    }
    CHECK(r.errors.empty());
}

TEST_CASE("If a rethrown exception is a copy, as with MSVC, it is identified by its text") {
    const auto made = [](const char* text) { return std::make_exception_ptr(std::runtime_error(text)); };
    const std::exception_ptr negative = made("negative"), number = std::make_exception_ptr(1);
    using ext::detail::is_same_exception;
    CHECK(is_same_exception<true>(negative, negative));
    CHECK(is_same_exception<true>(negative, made("negative")));
    CHECK(is_same_exception<true>(number, std::make_exception_ptr(1)));
    CHECK_FALSE(is_same_exception<true>(negative, made("other")));
    CHECK_FALSE(is_same_exception<true>(negative, number));
    CHECK(is_same_exception<false>(negative, negative));
    CHECK_FALSE(is_same_exception<false>(negative, made("negative")));
}

TEST_CASE("All error handlers are called, until they are removed") {
    reporting r;
    auto state = std::make_shared<int>(0);
    const std::weak_ptr<int> watch = state;
    ext::hook second = r.registry.on_hook_error([state = std::move(state)](const ext::hook_error&) { ++*state; });
    r.f.on_start([](auto&) { fail("x"); }, {.isolate = true});
    r.f(1);
    CHECK(*watch.lock() == 1);
    CHECK(r.errors.size() == 1);
    second.remove_and_wait();
    CHECK(watch.expired());
    r.f(1);
    CHECK(r.errors.size() == 2);
}

TEST_CASE("An error handler may call functions, even if that causes the error again") {
    reporting r;
    int calls = 0;
    r.f.on_start([](auto&) { fail("again"); }, {.isolate = true});
    r.registry.on_hook_error([&](const ext::hook_error&) {
        if (++calls < 10) r.f(1);  // this handler is running, so it does not receive the error of this call
    });
    CHECK(r.f(1) == 1);
    CHECK(calls == 1);
    CHECK(r.errors.size() == 2);
}

TEST_CASE("The handlers of a registry do not receive the errors of another registry") {
    reporting r;
    ext::registry other;
    int heard = 0;
    other.on_hook_error([&](const ext::hook_error&) { ++heard; });
    r.f.on_start([](auto&) { fail("x"); }, {.isolate = true});
    r.f(1);
    CHECK(heard == 0);
    CHECK(r.errors.size() == 1);
    CHECK_THROWS_WITH(r.registry.on_hook_error(std::function<void(const ext::hook_error&)>()),
                      Catch::Matchers::ContainsSubstring("the handler for on_hook_error() is empty"));
}

namespace {

struct not_allowed : ext::refusal {
    not_allowed() : refusal("not allowed") {}
};

}  // namespace

TEST_CASE("Isolation does not swallow a refusal") {
    reporting r;
    int called = 0;
    ext::extensible<int(int)> f{r.registry, "guarded", [&](int x) { return ++called, x; }};
    bool ended = false;
    f.on_end([&](auto& call) { ended = call.exception != nullptr; });
    SECTION("of a start hook: the function is not called") {
        f.on_start([](auto&) { throw not_allowed(); }, {.isolate = true});
        f.on_start([](auto&) { FAIL("a later start hook"); });
        CHECK_THROWS_AS(f(1), not_allowed);
        CHECK(called == 0);
    }
    SECTION("of an around hook that does not proceed: the function is not called") {
        f.around([](auto&, auto&) { throw not_allowed(); }, {.isolate = true});
        CHECK_THROWS_AS(f(1), not_allowed);
        CHECK(called == 0);
    }
    SECTION("of an around hook that a monitor watches, after it has proceeded") {
        bool threw = false;
        r.registry.on_hook_run([&](const ext::hook_run& run) { threw |= run.threw; });
        f.around([](auto&, auto& proceed) { proceed(), throw ext::refusal("too late"); }, {.isolate = true});
        CHECK_THROWS_WITH(f(1), "too late");
        CHECK(threw);
        CHECK(called == 1);
    }
    SECTION("of a hook for any function, in a plugin that isolates its hooks") {
        ext::plugin plugin{r.registry, "guard", {.isolate = true}};
        plugin.on_start("gua*", [](ext::any_call&) { throw not_allowed(); });
        CHECK_THROWS_AS(f(1), ext::error);
        CHECK(called == 0);
        plugin.unload();
        ended = true;
    }
    SECTION("of an end hook, and of a finisher") {
        ext::hook end = f.on_end([](auto&) { throw not_allowed(); }, {.isolate = true});
        CHECK_THROWS_AS(f(1), not_allowed);
        end.remove();
        f.on_start([](auto&) { return [](auto&) { throw not_allowed(); }; }, {.isolate = true});
        CHECK_THROWS_AS(f(1), not_allowed);
        ended = true;  // it ran before those two
    }
    CHECK(ended);
    CHECK(r.errors.empty());
}

TEST_CASE("Isolation does not swallow a refusal in an awaited call") {
    reporting r;
    int called = 0;
    ext::extensible<tasks::lazy<int>(int)> f{r.registry, "guarded",
                                             [&](int x) -> tasks::lazy<int> { co_return ++called, x; }};
    SECTION("of a plain start hook") { f.on_start([](auto&) { throw not_allowed(); }, {.isolate = true}); }
    SECTION("of a start hook that is awaited") {
        f.on_start([](auto&) -> tasks::lazy<void> { throw not_allowed(); co_return; }, {.isolate = true});
    }
    SECTION("of an around hook") {
        f.around([](auto&, auto&) -> tasks::lazy<void> { throw not_allowed(); co_return; }, {.isolate = true});
    }
    SECTION("of an end hook") {
        called = -1;
        f.on_end([](auto&) -> tasks::lazy<void> { throw not_allowed(); co_return; }, {.isolate = true});
    }
    CHECK_THROWS_AS(f(1).run(), not_allowed);
    CHECK(called == 0);
    CHECK(r.errors.empty());
}

TEST_CASE("A hook that is not reentrant is skipped in calls that it makes, and runs again afterwards") {
    ext::registry registry;
    int runs = 0;
    ext::extensible<int(int)> f{registry, "f", [&](int x) { return x; }};
    ext::extensible<int(int)> g{registry, "g", [&](int x) { return f(x); }};
    SECTION("a start hook that calls its function") {
        f.on_start([&](auto& call) {
            ++runs;
            call.result = f(*call.template arg<0>()) + 1;
        }, {.reentrant = false});
    }
    SECTION("an around hook that calls its function through another one") {
        f.around([&](auto& call, auto&) {
            ++runs;
            call.result = g(*call.template arg<0>()) + 1;
        }, {.reentrant = false});
    }
    SECTION("an end hook") {
        f.on_end([&](auto& call) {
            ++runs;
            call.result = f(*call.result) + 1;
        }, {.reentrant = false});
    }
    SECTION("a hook under a pattern that calls another function") {
        registry.on_start("*", [&](ext::any_call& call) {
            ++runs;
            const int x = *call.arg<int>(0);
            call.set_result((call.name() == "f" ? g(x) : f(x)) + 1);
        }, {.reentrant = false});
    }
    CHECK(f(1) == 2);
    CHECK(f(2) == 3);
    CHECK(runs == 2);
}

TEST_CASE("Calls that the function makes skip an around hook that is not reentrant") {
    ext::registry registry;
    int runs = 0;
    ext::extensible<int(int)>* self = nullptr;
    ext::extensible<int(int)> factorial{registry, "factorial", [&](int n) { return n <= 1 ? 1 : n * (*self)(n - 1); }};
    self = &factorial;
    factorial.around([&](auto&, auto& proceed) {
        ++runs;
        proceed();
    }, {.reentrant = false});
    CHECK(factorial(5) == 120);
    CHECK(runs == 1);
}

TEST_CASE("A hook that is not reentrant is not skipped on other threads, nor after it has thrown") {
    ext::registry registry;
    int runs = 0;
    ext::extensible<int(int)> f{registry, "f", [](int x) { return x; }};
    f.on_start([&](auto& call) {
        ++runs;
        if (*call.template arg<0>() == 1) std::thread([&] { f(2); }).join();
        if (*call.template arg<0>() == 3) fail("three");
    }, {.reentrant = false});
    f(1);
    CHECK(runs == 2);
    CHECK_THROWS(f(3));
    f(4);
    CHECK(runs == 4);
}

TEST_CASE("An error handler may unload a plugin while its own thread is in an awaited call") {
    ext::registry registry;
    ext::plugin plugin{registry, "plugin"};
    ext::extensible f{registry, "f",
                      [](int x) -> tasks::lazy<int> { co_return x < 0 ? throw std::runtime_error("negative") : x; }};
    plugin.on_end(f, [](auto&) { throw std::logic_error("of the hook"); });
    int told = 0;
    registry.on_hook_error([&](const ext::hook_error&) {
        plugin.unload();
        ++told;
    });
    CHECK_THROWS_AS(f(-1).run(), std::logic_error);
    CHECK(told == 1);
    CHECK(f(1).run() == 1);
}

TEST_CASE("If an awaited call is destroyed before it is done, its exception is reported") {
    ext::registry registry;
    tasks::gate gate;
    std::vector<std::string> reports;
    registry.on_hook_error([&](const ext::hook_error& error) { reports.push_back(error.text()); });
    ext::extensible f{registry, "f",
                      [](int x) -> tasks::lazy<int> { co_return x < 0 ? throw std::runtime_error("failed") : x; }};
    f.on_end([&](auto&) -> tasks::lazy<void> { co_await gate; }, {.id = "slow"});
    {
        auto task = f(-1);
        task.start();
    }
    CHECK_THAT(reports, Catch::Matchers::Equals<std::string>({"f: the end hook 'slow' displaced: failed"}));
}
