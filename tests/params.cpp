#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace ext::literals;
using namespace std::chrono_literals;
using Catch::Matchers::Equals;

namespace {

struct named_function {
    ext::registry registry;
    decltype(ext::params("url"_kw, "timeout"_kw = 30s, "method"_kw = "GET")) names =
        ext::params("url"_kw, "timeout"_kw = 30s, "method"_kw = "GET");
    ext::extensible<std::string(std::string_view, std::chrono::seconds, std::string, const ext::kwargs&),
                    ext::detail::erased_function<std::string(std::string_view, std::chrono::seconds, std::string,
                                                             const ext::kwargs&)>,
                    decltype(names)>
        fetch{registry, "net.fetch", names,
              [](std::string_view url, std::chrono::seconds timeout, std::string method, const ext::kwargs& extra) {
                  std::string text = method + " " + std::string(url) + " " + std::to_string(timeout.count());
                  for (const auto& [name, value] : extra) {
                      text += " " + name;
                      if (const auto* string = value.get_if<std::string>()) text += "=" + *string;
                  }
                  return text;
              }};
};

}  // namespace

TEST_CASE("Arguments are bound by position first, then by name, then by default") {
    named_function n;
    auto& fetch = n.fetch;
    for (bool hooked : {false, true}) {
        if (hooked) {
            fetch.on_start([](auto&) {});
            fetch.on_end([](auto&) {});
        }
        CHECK(fetch("a") == "GET a 30");
        CHECK(fetch("a", 5s) == "GET a 5");
        CHECK(fetch("a", 5s, "PUT") == "PUT a 5");
        CHECK(fetch("url"_kw = "b") == "GET b 30");
        CHECK(fetch("method"_kw = "PUT", "timeout"_kw = 1min, "url"_kw = "b") == "PUT b 60");
        CHECK(fetch("a", "method"_kw = std::string("POST")) == "POST a 30");
        const std::string lvalue = "lvalue";
        CHECK(fetch("url"_kw = lvalue) == "GET lvalue 30");
    }
}

TEST_CASE("Named arguments that match no parameter are added to the kwargs, if the function takes them") {
    named_function n;
    auto& fetch = n.fetch;
    for (bool hooked : {false, true}) {
        if (hooked) fetch.on_end([](auto&) {});
        CHECK(fetch("a", "tenant"_kw = "acme") == "GET a 30 tenant=acme");
        CHECK(fetch("a", "x"_kw = 1, "method"_kw = "PUT", "y"_kw = "2") == "PUT a 30 x y=2");
        ext::kwargs options;
        options.set("tenant", "acme");
        CHECK(fetch("a", options) == "GET a 30 tenant=acme");
        CHECK(fetch("a", 5s, "PUT", options) == "PUT a 5 tenant=acme");
        CHECK(fetch("a", "timeout"_kw = 7s, options) == "GET a 7 tenant=acme");
        CHECK(options.size() == 1);
    }
}

TEST_CASE("Start hooks may add, change and remove kwargs before the function sees them") {
    named_function n;
    n.fetch.on_start([](auto& call) {
        call.kwargs.erase("drop");
        call.kwargs.set("added", "yes");
        if (auto* tenant = call.kwargs.template get<std::string>("tenant")) *tenant = "changed";
    });
    CHECK(n.fetch("a", "drop"_kw = 1, "tenant"_kw = "acme") == "GET a 30 tenant=changed added=yes");
}

TEST_CASE("A hook reads and replaces an argument by its parameter's name") {
    named_function n;
    n.fetch.on_start([](auto& call) {
        CHECK(*call.template arg<"timeout">() == 30s);
        call.template arg<"timeout">() = 5s;
        call.template arg<"url">() = std::string(*call.template arg<0>()) + "?";
        CHECK(std::tuple_size_v<std::remove_cvref_t<decltype(call.args)>> == 3);
    });
    n.fetch.on_end([](auto& call) {
        CHECK(call.name == "net.fetch");
        CHECK(call.original_ran);
        CHECK(!call.exception);
        call.result = *call.result + "!";
    });
    CHECK(n.fetch("a") == "GET a? 5!");
}

TEST_CASE("A hook of a function with named parameters may take a plain ext::call") {
    named_function n;
    using signature = decltype(n.fetch)::signature;
    n.fetch.on_start([](ext::call<signature>& call) { call.arg<2>() = "PUT"; });
    n.registry.on_end("net.fetch", [](ext::call<signature>& call) { call.result = *call.result + "!"; });
    CHECK(n.fetch("a") == "PUT a 30!");
}

TEST_CASE("A function that takes kwargs needs no names for its parameters") {
    ext::registry registry;
    ext::extensible count{registry, "count", [](int base, ext::kwargs extra) {
        extra.set("own", true);  // its own copy
        return base + static_cast<int>(extra.size());
    }};
    CHECK(count(10) == 11);
    CHECK(count(10, "a"_kw = 1, "b"_kw = 2) == 13);
    std::size_t seen = 0;
    count.on_end([&](auto& call) { seen = call.kwargs.size(); });
    CHECK(count(10, "a"_kw = 1) == 12);
    CHECK(seen == 1);
}

TEST_CASE("References and move-only arguments are bound by name, too") {
    ext::registry registry;
    ext::extensible fill{registry, "fill", ext::params("into"_kw, "value"_kw),
                         [](std::vector<int>& into, std::unique_ptr<int> value) { into.push_back(*value); }};
    std::vector<int> mine;
    fill("value"_kw = std::make_unique<int>(3), "into"_kw = mine);
    fill(mine, "value"_kw = std::make_unique<int>(4));
    CHECK(mine == std::vector<int>{3, 4});
}

TEST_CASE("Each call gets its own copy of the defaults") {
    ext::registry registry;
    ext::extensible grow{registry, "grow", ext::params("text"_kw = std::string("x")), [](std::string text) {
        text += "y";
        return text;
    }};
    CHECK(grow() == "xy");
    CHECK(grow() == "xy");
    grow.on_start([](auto& call) { *call.template arg<"text">() += "z"; });
    CHECK(grow() == "xzy");
    CHECK(grow() == "xzy");
}

TEST_CASE("Two wrappers of one name may name their parameters differently") {
    ext::registry registry;
    ext::extensible one{registry, "f", ext::params("a"_kw, "b"_kw), [](int a, int b) { return a - b; }};
    ext::extensible two{registry, "f", ext::params("b"_kw, "a"_kw), [](int b, int a) { return b - a; }};
    one.on_start([](auto& call) { call.template arg<"a">() = 100; });
    CHECK(one(1, 2) == 98);
    CHECK(two(1, 2) == 98);  // the hook uses the names of the wrapper on which it was registered
}
