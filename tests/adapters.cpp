#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

using namespace ext::literals;

TEST_CASE("instead() calls a plain function in place of the wrapped one, with the same arguments") {
    ext::registry registry;
    SECTION("for a function that returns a value") {
        ext::extensible search{registry, "search",
                               [](std::string_view what, int) { return "v1 " + std::string(what); }};
        search.on_start(
            ext::instead([](std::string_view what, int n) { return "v2 " + std::string(what) + std::to_string(n); }));
        search.on_start([](auto& call) { CHECK(*call.result == "v2 x3"); });
        CHECK(search("x", 3) == "v2 x3");
    }
    SECTION("for a function that returns nothing, with a move-only argument") {
        int taken = 0;
        ext::extensible take{registry, "take", [](std::unique_ptr<int>) { FAIL("not called"); }};
        take.on_start(ext::instead([&](std::unique_ptr<int> given) { taken = *given; }));
        take(std::make_unique<int>(5));
        CHECK(taken == 5);
    }
    SECTION("for a function that returns a reference") {
        int one = 1, two = 2;
        ext::extensible refer{registry, "refer", [&]() -> int& { return one; }};
        refer.on_start(ext::instead([&]() -> int& { return two; }));
        CHECK(&refer() == &two);
    }
    SECTION("with named parameters and kwargs") {
        ext::extensible fetch{registry, "fetch", ext::params("url"_kw, "retries"_kw = 3),
                              [](std::string_view, int, const ext::kwargs&) { return std::string(); }};
        fetch.on_start(ext::instead([](std::string_view url, int retries, const ext::kwargs& extra) {
            return std::string(url) + std::to_string(retries) + extra.value_or("tenant", std::string());
        }));
        CHECK(fetch("url", "tenant"_kw = "acme") == "url3acme");
    }
    SECTION("and the end hooks still see the arguments") {
        ext::extensible search{registry, "search", [](std::string) { return std::string(); }};
        search.on_start(ext::instead([](std::string what) { return what + "!"; }));
        search.on_end(
            [](auto& call) { CHECK(*call.template arg<0>() == "a text that no string keeps within itself"); });
        CHECK(search("a text that no string keeps within itself") == "a text that no string keeps within itself!");
    }
    SECTION("by name, for an awaited function") {
        registry.on_start<tasks::lazy<int>(int)>("twice", ext::instead([](int x) { return 20 * x; }));
        ext::extensible twice{registry, "twice", [](int x) -> tasks::lazy<int> { co_return 2 * x; }};
        CHECK(twice(1).run() == 20);
    }
}

TEST_CASE("filter_result() passes the result through a plain function") {
    ext::registry registry;
    int filtered = 0;
    ext::extensible half{registry, "half",
                         [](int x) { return x % 2 ? throw std::runtime_error("odd") : std::make_unique<int>(x / 2); }};
    half.on_end(ext::filter_result(
        [&](std::unique_ptr<int> result) { return ++filtered, std::make_unique<int>(*result + 100); }));
    CHECK(*half(4) == 102);
    CHECK_THROWS_AS(half(3), std::runtime_error);
    CHECK(filtered == 1);
}

TEST_CASE("If the function of an isolated filter_result() throws, the result stays as it was") {
    ext::registry registry;
    int reported = 0;
    registry.on_hook_error([&](const ext::hook_error&) { ++reported; });
    const std::string key = "a key that no string keeps within itself";
    const auto fail = [](auto) -> std::string { throw std::runtime_error("audit failed"); };
    SECTION("whatever kind of parameter the function has") {
        ext::extensible get{registry, "get", [&] { return key; }};
        SECTION("a value") {
            get.on_end(ext::filter_result([](std::string) -> std::string { throw 1; }), {.isolate = true});
        }
        SECTION("constant") {
            get.on_end(ext::filter_result([](const std::string&) -> std::string { throw 1; }), {.isolate = true});
        }
        SECTION("a view") {
            get.on_end(ext::filter_result([](std::string_view) -> std::string { throw 1; }), {.isolate = true});
        }
        SECTION("auto") { get.on_end(ext::filter_result(fail), {.isolate = true}); }
        SECTION("an rvalue reference that it moves from") {
            get.on_end(ext::filter_result([](std::string&& text) -> std::string {
                const std::string taken = std::move(text);
                throw std::runtime_error(taken);
            }), {.isolate = true});
        }
        CHECK(get() == key);
        CHECK(reported == 1);
    }
    SECTION("for a function that returns a reference") {
        ext::extensible refer{registry, "refer", [&]() -> const std::string& { return key; }};
        refer.on_end(ext::filter_result([](const std::string&) -> const std::string& { throw 1; }), {.isolate = true});
        CHECK(&refer() == &key);
        CHECK(reported == 1);
    }
    SECTION("for an awaited function") {
        ext::extensible later{registry, "later", [&]() -> tasks::lazy<std::string> { co_return key; }};
        later.on_end(ext::filter_result(fail), {.isolate = true});
        CHECK(later().run() == key);
        CHECK(reported == 1);
    }
    SECTION("but a move-only result is lost, and the call fails") {
        ext::extensible open{registry, "open", [] { return std::make_unique<int>(5); }};
        open.on_end(ext::filter_result(
                        [](std::unique_ptr<int>) -> std::unique_ptr<int> { throw std::runtime_error("audit failed"); }),
                    {.isolate = true});
        CHECK_THROWS_WITH(open(), "audit failed");
    }
}

TEST_CASE("filter_result() does not call its function if the call has an exception or no result") {
    ext::registry registry;
    int filtered = 0;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.on_end([](auto& call) {
        if (*call.result > 1) call.result.reset();
        else throw std::runtime_error("of the hook");
    });
    f.on_end(ext::filter_result([&](int result) { return ++filtered, result; }));
    CHECK_THROWS_AS(f(1), std::runtime_error);
    CHECK_THROWS_AS(f(2), ext::no_result);
    CHECK(filtered == 0);
}

TEST_CASE("tap() passes the arguments to a plain function, and changes none of them") {
    ext::registry registry;
    std::string seen;
    ext::extensible store{registry, "store",
                          [](std::unique_ptr<int> value, std::string name) { return name + std::to_string(*value); }};
    const auto look = [&](const std::unique_ptr<int>& value, std::string_view name) {
        seen += std::string(name) + std::to_string(*value);
    };
    store.on_start(ext::tap(look));
    CHECK(store(std::make_unique<int>(1), "a") == "a1");
    CHECK(seen == "a1");
}
