#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;

TEST_CASE("A result is read and written like an optional") {
    ext::result<std::string> result;
    CHECK(!result);
    CHECK(!result.has_value());
    result = "text";
    REQUIRE(result);
    CHECK(*result == "text");
    CHECK(result->size() == 4);
    CHECK(result == "text");
    result.emplace(3u, 'x');
    CHECK(result.value() == "xxx");
    result.reset();
    CHECK(!result);
    result = std::string("again");
    result = {};
    CHECK(!result);
    result = std::nullopt;
    CHECK(result.value_or("none") == "none");
}

TEST_CASE("emplace() constructs a result as std::optional does") {
    ext::result<std::vector<int>> result;
    CHECK(result.emplace({3, 4}).size() == 2);
    CHECK(*result == std::vector<int>{3, 4});
    CHECK(result.emplace({5}, std::allocator<int>()).size() == 1);
    CHECK(result.emplace(2u, 7) == std::vector<int>{7, 7});
}

TEST_CASE("An empty optional can be the result of a function that returns an optional") {
    ext::result<std::optional<int>> result;
    result = std::nullopt;
    REQUIRE(result);
    CHECK(!result->has_value());
    result.reset();
    CHECK(!result);
    ext::registry registry;
    int runs = 0;
    ext::extensible find{registry, "find", [&](int id) -> std::optional<int> { return ++runs, id; }};
    ext::scoped_hook supplies = find.on_start([](auto& call) { call.result = std::nullopt; });
    CHECK(!find(1));
    CHECK(runs == 0);
    supplies = find.on_end([](auto& call) { call.result = std::nullopt; });
    CHECK(!find(1));
    CHECK(runs == 1);
}

namespace {

struct expected_int {
    int held, code;
    bool has_value() const { return code == 0; }
    int error() const { return code; }
};
struct outcome {
    bool bad;
    friend bool failed(const outcome& of) { return of.bad; }
};
struct status {
    bool is_ok;
    bool ok() const { return is_ok; }
};

}  // namespace

TEST_CASE("A value may say that the call failed, by its error or by a function failed()") {
    CHECK(ext::failed(expected_int{0, 7}));
    CHECK_FALSE(ext::failed(expected_int{7, 0}));
    CHECK(ext::failed(outcome{true}));
    CHECK_FALSE(ext::failed(outcome{false}));
}

TEST_CASE("By itself, ext::failed takes no other type for a failure") {
    CHECK_FALSE(ext::failed(std::optional<int>()));
    CHECK_FALSE(ext::failed(false));
    CHECK_FALSE(ext::failed(status{false}));
    CHECK_FALSE(ext::failed(std::string()));
    CHECK_FALSE(ext::failed(-1));
}

TEST_CASE("Assigning to a result that is a reference rebinds it") {
    int one = 1, two = 2;
    ext::result<int&> result;
    CHECK(!result.has_value());
    result = one;
    CHECK(&*result == &one);
    result = two;
    CHECK(&*result == &two);
    CHECK(one == 1);
    *result = 20;
    CHECK(two == 20);
    result.reset();
    CHECK(!result);
    STATIC_REQUIRE(!std::is_assignable_v<ext::result<int&>&, int>);
}

TEST_CASE("A void result only says whether it is set") {
    ext::result<void> result;
    CHECK(!result);
    result.emplace();
    CHECK(result.has_value());
    *result;  // returns void: generic code can dereference every kind of result
    result.reset();
    CHECK(!result);
}

TEST_CASE("Reading a result that is not set throws, and the text says what to check first") {
    const auto throws = [](auto read) {
        CHECK_THROWS_AS(read(), ext::no_result);
        CHECK_THROWS_WITH(read(), ContainsSubstring("check `if (call.result)` or call.exception first"));
    };
    SECTION("a value") {
        ext::result<std::string> result;
        const auto& constant = result;
        throws([&] { *result = "nowhere"; });
        throws([&] { result->clear(); });
        throws([&] { return *constant; });
        throws([&] { return constant->size(); });
        throws([&] { return *std::move(result); });
        CHECK(!result);
        result = "text";
        CHECK(*constant + *std::move(result) == "texttext");
    }
    SECTION("a reference") {
        int one = 1;
        ext::result<int&> result;
        throws([&] { *result = 5; });
        throws([&] { return result.operator->(); });
        result = one;
        result.reset();
        throws([&] { return *result; });
    }
    SECTION("void") {
        ext::result<void> result;
        throws([&] { *result; });
    }
    SECTION("an empty optional is a result") {
        ext::result<std::optional<int>> result;
        throws([&] { return result->has_value(); });
        result = std::nullopt;
        CHECK(!result->has_value());
    }
}

TEST_CASE("If an end hook reads the result of a call that threw, it throws, and the earlier exception is reported") {
    ext::registry registry;
    std::string reported;
    registry.on_hook_error([&](const ext::hook_error& error) { reported = error.text(); });
    ext::extensible parse{registry, "parse",
                          [](int x) { return x < 0 ? throw std::runtime_error("negative") : std::to_string(x); }};
    parse.on_end([](auto& call) { *call.result += "!"; });
    CHECK(parse(1) == "1!");
    CHECK_THROWS_AS(parse(-1), ext::no_result);
    CHECK_THAT(reported, ContainsSubstring("displaced: negative"));
}

TEST_CASE("A result can be assigned what its value can be assigned, and nothing else") {
    STATIC_REQUIRE(std::is_assignable_v<ext::result<std::string>&, const char*>);
    STATIC_REQUIRE(!std::is_assignable_v<ext::result<std::string>&, int*>);
}

TEST_CASE("A result converts to bool only in a condition") {
    STATIC_REQUIRE(!std::is_convertible_v<ext::result<void>, bool>);
    STATIC_REQUIRE(!std::is_convertible_v<ext::result<int&>, bool>);
    STATIC_REQUIRE(!std::is_convertible_v<ext::result<int>, bool>);
}

TEST_CASE("Results of every kind pass through hooks") {
    ext::registry registry;
    int ran = 0;

    SECTION("values") {
        ext::extensible f{registry, "f", [](int x) { return std::vector<int>(3, x); }};
        f.on_end([](auto& call) { call.result->push_back(9); });
        CHECK(f(1) == std::vector<int>{1, 1, 1, 9});
    }
    SECTION("const values") {
        ext::extensible f{registry, "f", []() -> const std::string { return "const"; }};
        f.on_end([&](auto& call) { call.result = *call.result + "!"; });
        CHECK(f() == "const!");
    }
    SECTION("move-only values") {
        ext::extensible f{registry, "f", [] { return std::make_unique<int>(1); }};
        f.on_end([](auto& call) { **call.result += 1; });
        CHECK(*f() == 2);
    }
    SECTION("references") {
        int here = 1, there = 2;
        ext::extensible f{registry, "f", [&]() -> int& { return here; }};
        CHECK(&f() == &here);
        ext::scoped_hook end = f.on_end([&](auto& call) {
            CHECK(&*call.result == &here);
            call.result = there;
        });
        CHECK(&f() == &there);
    }
    SECTION("const references") {
        const std::string here = "here";
        ext::extensible f{registry, "f", [&]() -> const std::string& { return here; }};
        f.on_end([&](auto&) { ++ran; });
        CHECK(&f() == &here);
        CHECK(ran == 1);
    }
    SECTION("rvalue references") {
        std::string here = "here";
        ext::extensible f{registry, "f", [&]() -> std::string&& { return std::move(here); }};
        f.on_end([&](auto&) { ++ran; });
        const std::string taken = f();
        CHECK(taken == "here");
        CHECK(here.empty());
    }
    SECTION("an rvalue reference that hooks set") {
        std::string own = "own", supplied = "supplied", replaced = "replaced";
        ext::extensible f{registry, "f", [&]() -> std::string&& { return std::move(own); }};
        f.on_start([&](auto& call) { call.result = std::move(supplied); });
        CHECK(std::string(f()) == "supplied");
        CHECK(own == "own");
        registry.on_end("*", [&](ext::any_call& call) { call.set_result(std::ref(replaced)); });
        CHECK(std::string(f()) == "replaced");
    }
    SECTION("void") {
        ext::extensible f{registry, "f", [&] { ++ran; }};
        bool returned = false;
        f.on_end([&](auto& call) { returned = call.result.has_value(); });
        f();
        CHECK(ran == 1);
        CHECK(returned);
    }
}
