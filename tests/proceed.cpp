// Around hooks and proceed().
#include "catch.hpp"
#include "text_of.hpp"

#include <extensible/extensible.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

using Catch::Matchers::Equals;
using namespace std::string_literals;

namespace {

// A function that throws `failures` times before it returns, and hooks that record the order in
// which they run.
struct flaky_function {
    ext::registry registry;
    int failures = 0;
    std::string way;
    ext::extensible<std::string(std::string)> echo{registry, "echo", [this](std::string text) {
        way += "f";
        if (failures-- > 0) throw std::runtime_error("failed");
        return text;
    }};
    ext::hook silence = registry.on_hook_error([](const ext::hook_error&) {});

    auto around(std::string before, std::string after) {
        return [this, before, after](auto&, auto& proceed) {
            way += before;
            proceed();
            way += after;
        };
    }
};

}  // namespace

TEST_CASE("Around hooks run between the start and end hooks, and the first in order is the outermost") {
    flaky_function f;
    f.echo.on_end([&](auto&) { f.way += "e"; });
    f.echo.around(f.around("[", "]"), {.priority = 2});
    f.echo.around(f.around("{", "}"), {.priority = 2});
    f.echo.around(f.around("(", ")"), {.priority = 1});
    f.echo.on_start([&](auto&) { f.way += "s"; });
    CHECK(f.echo("x") == "x");
    CHECK(f.way == "s([{f}])e");
}

TEST_CASE("An around hook finds the outcome in the call, and may replace it") {
    flaky_function f;
    f.echo.around([](auto& call, auto& proceed) {
        CHECK(!call.result);
        CHECK(!call.original_ran);
        proceed();
        CHECK(call.original_ran);
        call.result = "<" + *call.result + ">";
    });
    CHECK(f.echo("x") == "<x>");
}

TEST_CASE("An around hook may change the arguments before it proceeds") {
    flaky_function f;
    f.echo.around([](auto& call, auto& proceed) {
        auto& [text] = call.args;
        text = *text + "!";
        proceed();
        CHECK(*text == "x!");
    });
    CHECK(f.echo("x") == "x!");
}

TEST_CASE("An around hook that proceeds again calls the function again, with intact arguments") {
    flaky_function f;
    f.failures = 2;
    f.echo.around([](auto& call, auto& proceed) {
        do {
            call.exception = nullptr;
            proceed();
        } while (call.exception);
    });
    f.echo.around(f.around("(", ")"));
    CHECK(f.echo(std::string(100, 'x')) == std::string(100, 'x'));
    CHECK(f.way == "(f)(f)(f)");
}

TEST_CASE("A move-only argument is moved into the function by the first attempt") {
    ext::registry registry;
    ext::extensible take{registry, "take", [](std::unique_ptr<int> p) { return p ? *p : -1; }};
    take.around([](auto& call, auto& proceed) {
        proceed();
        CHECK(call.result == 1);
        proceed();
    });
    CHECK(take(std::make_unique<int>(1)) == -1);
}

TEST_CASE("If an around hook sets the result and does not proceed, the function is not called") {
    flaky_function f;
    f.echo.around([](auto& call, auto&) { call.result = "cached"; });
    f.echo.around(f.around("(", ")"));
    f.echo.on_end([](auto& call) { CHECK(!call.original_ran); });
    CHECK(f.echo("x") == "cached");
    CHECK(f.way.empty());

    ext::extensible nothing{f.registry, "nothing", [] { FAIL("called"); }};
    nothing.around([](auto& call, auto&) { call.result.emplace(); });
    nothing();
}

TEST_CASE("If an around hook neither proceeds nor sets a result, the call throws ext::no_result") {
    flaky_function f;
    f.echo.around([](auto&, auto&) {});
    CHECK_THROWS_AS(f.echo("x"), ext::no_result);
    CHECK_THROWS_WITH(f.echo("x"), Catch::Matchers::ContainsSubstring("echo"));
}

TEST_CASE("Around hooks do not run if a start hook has set a result or thrown") {
    flaky_function f;
    f.echo.around(f.around("(", ")"));
    ext::hook start = f.echo.on_start([](auto& call) { call.result = "early"; });
    CHECK(f.echo("x") == "early");
    start.remove();
    start = f.echo.on_start([](auto&) { throw std::runtime_error("refused"); });
    CHECK_THROWS_WITH(f.echo("x"), "refused");
    CHECK(f.way.empty());
}

TEST_CASE("Every around hook sees the function's exception in the call, and continues after proceed()") {
    flaky_function f;
    f.failures = 1;
    int left = 0;
    for (int i = 0; i < 3; ++i)
        f.echo.around([&](auto& call, auto& proceed) {
            proceed();
            CHECK(text_of(call.exception) == "failed");
            CHECK(!call.result);
            ++left;
        });
    CHECK_THROWS_WITH(f.echo("x"), "failed");
    CHECK(left == 3);
}

TEST_CASE("To outer around hooks, an around hook that throws looks like a function that threw") {
    flaky_function f;
    int outer = 0, ends = 0;
    f.echo.around([&](auto& call, auto& proceed) {
        proceed();
        CHECK(text_of(call.exception) == "from a hook");
        CHECK(!call.result);
        ++outer;
    });
    SECTION("before it proceeds") {
        f.echo.around([](auto&, auto&) { throw std::runtime_error("from a hook"); });
    }
    SECTION("after the function has returned") {
        f.echo.around([](auto&, auto& proceed) {
            proceed();
            throw std::runtime_error("from a hook");
        });
    }
    f.echo.on_end([&](auto& call) {
        CHECK(text_of(call.exception) == "from a hook");
        ++ends;
    });
    CHECK_THROWS_WITH(f.echo("x"), "from a hook");
    CHECK(outer == 1);
    CHECK(ends == 1);
}

TEST_CASE("proceed() leaves either a result or an exception, whatever the call had before") {
    flaky_function f;
    SECTION("the function is called even if there is a result") {
        f.echo.around([](auto& call, auto& proceed) {
            call.result = "before";
            proceed();
        });
        CHECK(f.echo("x") == "x");
    }
    SECTION("an attempt that succeeds clears the exception of the previous attempt") {
        f.failures = 1;
        f.echo.around([](auto& call, auto& proceed) {
            proceed();
            proceed();
            CHECK(!call.exception);
        });
        CHECK(f.echo("x") == "x");
    }
    SECTION("an attempt that fails clears the result of the previous attempt") {
        f.echo.around([&](auto& call, auto& proceed) {
            proceed();
            f.failures = 1;
            proceed();
            CHECK(!call.result);
        });
        CHECK_THROWS_WITH(f.echo("x"), "failed");
    }
}

TEST_CASE("Around hooks work for functions that return void or references") {
    ext::registry registry;
    int number = 1, other = 2;
    ext::extensible<void(int&)> increment{registry, "increment", [](int& x) { ++x; }};
    ext::extensible<int&()> get{registry, "get", [&]() -> int& { return number; }};
    increment.around([](auto& call, auto& proceed) {
        proceed();
        CHECK(call.result.has_value());
        proceed();
    });
    get.around([&](auto& call, auto& proceed) {
        proceed();
        CHECK(&*call.result == &number);
        call.result = other;
    });
    increment(number);
    CHECK(number == 3);
    CHECK(&get() == &other);
}

TEST_CASE("The signature of an around hook registered by name comes from its parameter or a template argument") {
    flaky_function f;
    f.registry.around("echo", [&](ext::call<std::string(std::string)>&, ext::proceed& proceed) {
        proceed();
        f.way += "1";
    });
    f.registry.around("echo", [&](ext::call<std::string(std::string)>&, auto& proceed) { proceed(); f.way += "2"; });
    f.registry.around<std::string(std::string)>("echo", [&](auto&, auto& proceed) { proceed(); f.way += "3"; });
    f.registry.around("echo", +[](ext::call<std::string(std::string)>& call, ext::proceed& proceed) {
        proceed();
        *call.result += "4";
    });
    CHECK(f.echo("x") == "x4");
    CHECK(f.way == "f321");
    CHECK_THROWS_WITH(f.registry.around<int()>("echo", [](auto&, auto&) {}),
                      Catch::Matchers::ContainsSubstring("around hook is for int()"));
    CHECK_THROWS_WITH(f.echo.around(std::function<void(ext::call<std::string(std::string)>&, ext::proceed&)>()),
                      Catch::Matchers::ContainsSubstring("the around hook is empty"));
}

TEST_CASE("Ids, order and replacement of around hooks are independent of other phases") {
    flaky_function f;
    f.echo.on_start([](auto&) {}, {.id = "one"});
    f.echo.around(f.around("1", "1"), {.id = "one"});
    f.echo.around(f.around("0", "0"), {.id = "zero", .before = "one"});
    CHECK_THROWS_AS(f.echo.around(f.around("x", "x"), {.id = "one"}), ext::duplicate_hook);
    f.echo.around(f.around("2", "2"), {.id = "one", .replace = true});
    f.echo("x");
    CHECK(f.way == "02f20");
}

TEST_CASE("An around hook may call the function itself") {
    flaky_function f;
    f.echo.around([&](auto& call, auto& proceed) {
        auto& [text] = call.args;
        if (*text == "outer") text = f.echo("inner") + "+";
        proceed();
    });
    CHECK(f.echo("outer") == "inner+");
    CHECK(f.way == "ff");
}

TEST_CASE("An around hook that sets the result and does not proceed may remove itself and destroy the wrapper") {
    ext::registry registry;
    auto function = [kept = std::make_shared<int>(5)](int x) { return *kept + x; };
    std::optional<ext::extensible<int(int), decltype(function)>> add(std::in_place, registry, "add", function);
    ext::hook hook = add->around([&](auto& call, auto&) {
        hook.remove();
        add.reset();
        call.result = 6;
    });
    CHECK((*add)(1) == 6);
    CHECK(!add);
}

TEST_CASE("An around hook can name the function's parameters, too") {
    using namespace ext::literals;
    ext::registry registry;
    ext::extensible scale{registry, "scale", ext::params("x"_kw, "by"_kw = 2), [](int x, int by) { return x * by; }};
    scale.around([](auto& call, auto& proceed) {
        call.template arg<"by">() = 10;
        proceed();
    });
    CHECK(scale(3) == 30);
}
