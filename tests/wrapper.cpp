#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;

namespace {

int twice(int x) { return 2 * x; }
int twice_noexcept(int x) noexcept { return 2 * x; }

struct counter {
    long count = 0;
    long add(int n) { return count += n; }
    long get() const noexcept { return count; }
};

struct adder {
    int offset;
    int operator()(int x) const { return x + offset; }
};

// Counts how often an object is copied and moved on its way from the caller into the function.
struct counted {
    static inline int copies = 0, moves = 0;
    static void reset() { copies = moves = 0; }
    counted() = default;
    counted(const counted&) { ++copies; }
    counted(counted&&) noexcept { ++moves; }
    counted& operator=(const counted&) {
        ++copies;
        return *this;
    }
    counted& operator=(counted&&) noexcept {
        ++moves;
        return *this;
    }
};

struct point {
    int x, y;
};

}  // namespace

TEST_CASE("Functions of every kind can be wrapped, and are called as before") {
    ext::registry registry;
    SECTION("a function") {
        ext::extensible f{registry, "f", twice};
        CHECK(f(4) == 8);
    }
    SECTION("a noexcept function") {
        ext::extensible f{registry, "f", &twice_noexcept};
        CHECK(f(4) == 8);
    }
    SECTION("a lambda") {
        ext::extensible f{registry, "f", [n = 1](int x) mutable { return x + n++; }};
        CHECK(f(1) == 2);
        CHECK(f(1) == 3);
    }
    SECTION("a function object") {
        ext::extensible f{registry, "f", adder{3}};
        CHECK(f(1) == 4);
        CHECK(f.original().offset == 3);
    }
    SECTION("a std::function") {
        ext::extensible f{registry, "f", std::function<int(int)>(twice)};
        CHECK(f(4) == 8);
    }
    SECTION("a member function, whose object is the first parameter") {
        ext::extensible add{registry, "add", &counter::add};
        ext::extensible get{registry, "get", &counter::get};
        counter c;
        CHECK(add(c, 2) == 2);
        add.on_start([](auto& call) {
            auto& [self, n] = call.args;
            n = *n + static_cast<int>(self->count);
        });
        CHECK(add(c, 2) == 6);
        CHECK(get(std::as_const(c)) == 6);
        ext::extensible<long(const counter*)> get_through_pointer{registry, "get_through_pointer", &counter::get};
        CHECK(get_through_pointer(&c) == 6);
    }
    SECTION("a function that is known at compile time") {
        ext::extensible f{registry, "f", ext::fn<&twice>};
        ext::extensible overloaded{registry, "overloaded", ext::fn<static_cast<int (*)(int)>(&twice)>};
        ext::extensible add{registry, "add", ext::fn<&counter::add>};
        STATIC_REQUIRE(std::is_same_v<decltype(add)::signature, long(counter&, int)>);
        STATIC_REQUIRE(std::is_same_v<decltype(f), decltype(overloaded)>);
        STATIC_REQUIRE(std::is_empty_v<std::remove_cvref_t<decltype(f.original())>>);
        counter c;
        CHECK(f(4) == 8);
        CHECK(add(c, 2) == 2);
        f.on_start([](auto& call) { call.result = 7; });
        CHECK(f(4) == 7);
        CHECK(f.original()(4) == 8);
    }
    SECTION("with its type erased") {
        auto owned = std::make_unique<int>(5);
        ext::extensible<int(int)> f{registry, "f", [owned = std::move(owned)](int x) { return x + *owned; }};
        CHECK(f(1) == 6);
        f.original() = [factor = std::make_unique<int>(7)](int x) { return x * *factor; };
        CHECK(f(2) == 14);
        ext::extensible<long(int)> converts{registry, "converts", twice};
        CHECK(converts(2) == 4);
        ext::extensible<void(int)> discards{registry, "discards", twice};
        discards(2);
        CHECK(discards.original());
    }
    SECTION("with its type erased, and replaced") {
        const auto first = std::make_shared<int>(5), second = std::make_shared<int>(7);
        {
            ext::extensible<int(int)> f{registry, "f", [first](int x) { return x + *first; }};
            f.original() = [more = std::array{1, 2, 3}, second](int x) { return x * *second + more[0]; };
            CHECK(first.use_count() == 1);
            CHECK(f(2) == 15);
            CHECK(second.use_count() == 2);
        }
        CHECK(second.use_count() == 1);
    }
    SECTION("a const wrapper") {
        const ext::extensible f{registry, "f", twice};
        f.on_start([](auto& call) { call.template arg<0>() = 1; });
        CHECK(f(4) == 2);
        CHECK(f.name() == "f");
    }
}

TEST_CASE("A wrapper has the signature of its function") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](std::string_view) -> const std::string& {
        static const std::string empty;
        return empty;
    }};
    STATIC_REQUIRE(std::is_same_v<decltype(f)::signature, const std::string&(std::string_view)>);
    ext::extensible add{registry, "add", &counter::add};
    STATIC_REQUIRE(std::is_same_v<decltype(add)::signature, long(counter&, int)>);
    ext::extensible get{registry, "get", &counter::get};
    STATIC_REQUIRE(std::is_same_v<decltype(get)::signature, long(const counter&)>);
    struct qualified {
        int on_lvalue(int x) & noexcept { return x; }
        int on_rvalue(int x) && { return -x; }
        int on_const_lvalue(int x) const& { return 2 * x; }
    };
    ext::extensible on_lvalue{registry, "on_lvalue", &qualified::on_lvalue};
    STATIC_REQUIRE(std::is_same_v<decltype(on_lvalue)::signature, int(qualified&, int)>);
    ext::extensible on_rvalue{registry, "on_rvalue", &qualified::on_rvalue};
    STATIC_REQUIRE(std::is_same_v<decltype(on_rvalue)::signature, int(qualified&&, int)>);
    CHECK(on_rvalue(qualified(), 1) == -1);
    ext::extensible on_const_lvalue{registry, "on_const_lvalue", &qualified::on_const_lvalue};
    STATIC_REQUIRE(std::is_same_v<decltype(on_const_lvalue)::signature, int(const qualified&, int)>);
    STATIC_REQUIRE(!std::is_copy_constructible_v<decltype(f)>);
    STATIC_REQUIRE(!std::is_move_constructible_v<decltype(f)>);
}

TEST_CASE("Arguments convert at the call as they do for the function itself") {
    ext::registry registry;
    ext::extensible join{registry, "join", [](const std::vector<std::string>& parts, point p, std::string end) {
        std::string all;
        for (const auto& part : parts) all += part;
        return all + std::to_string(p.x + p.y) + end;
    }};
    for (bool hooked : {false, true}) {
        if (hooked) join.on_start([](auto&) {});
        CHECK(join({"a", "b"}, {1, 2}, "c") == "ab3c");
        CHECK(join({}, point{.x = 3, .y = 4}, {"xxx", 2}) == "7xx");
    }
    ext::extensible pointer{registry, "pointer", [](const int* p) { return p == nullptr; }};
    CHECK(pointer(0));
    CHECK(pointer({}));
}

TEST_CASE("An argument is copied and moved no more than its parameter needs") {
    ext::registry registry;
    ext::extensible by_value{registry, "by_value", [](counted) {}};
    ext::extensible by_reference{registry, "by_reference", [](counted&) {}};
    ext::extensible by_const_reference{registry, "by_const_reference", [](const counted&) {}};
    ext::extensible by_rvalue{registry, "by_rvalue", [](counted&& c) { counted sink(std::move(c)); }};
    counted mine;

    const auto count = [&](auto call, int copies, int moves) {
        counted::reset();
        call();
        CHECK(counted::copies == copies);
        CHECK(counted::moves == moves);
    };
    const auto references_are_passed_through = [&] {
        count([&] { by_reference(mine); }, 0, 0);
        count([&] { by_const_reference(mine); }, 0, 0);
        count([&] { by_rvalue(std::move(mine)); }, 0, 1);  // by the function itself
    };

    SECTION("without hooks: a by-value argument is moved once, into the function's parameter") {
        count([&] { by_value(counted()); }, 0, 1);
        count([&] { by_value(mine); }, 1, 1);
        references_are_passed_through();
    }
    SECTION("with start hooks: no more than without") {
        by_value.on_start([](auto&) {});
        by_reference.on_start([](auto&) {});
        by_const_reference.on_start([](auto&) {});
        by_rvalue.on_start([](auto&) {});
        count([&] { by_value(counted()); }, 0, 1);
        count([&] { by_value(mine); }, 1, 1);
        references_are_passed_through();
    }
    SECTION("with end hooks: a by-value argument is copied into the function, because end hooks see the original") {
        by_value.on_end([](auto&) {});
        by_reference.on_end([](auto&) {});
        by_const_reference.on_end([](auto&) {});
        by_rvalue.on_end([](auto&) {});
        count([&] { by_value(counted()); }, 1, 0);
        count([&] { by_value(mine); }, 2, 0);
        references_are_passed_through();
    }
}

TEST_CASE("A result is not copied on its way to the caller") {
    ext::registry registry;
    ext::extensible make{registry, "make", [] { return counted(); }};
    counted::reset();
    make();
    CHECK(counted::moves == 0);
    make.on_start([](auto&) {});
    make();
    CHECK(counted::moves == 0);
    make.on_end([](auto&) {});
    make();
    CHECK(counted::moves == 2);  // into call.result, and to the caller
    CHECK(counted::copies == 0);
}

TEST_CASE("Two wrappers with the same name in one registry share their hooks") {
    ext::registry registry;
    ext::extensible one{registry, "shared", [](int x) { return x; }};
    ext::extensible two{registry, "shared", [](int x) { return -x; }};
    one.on_start([](auto& call) { call.template arg<0>() = 7; });
    CHECK(one(1) == 7);
    CHECK(two(1) == -7);
    two.on_end([](auto& call) { call.result = *call.result + 1; });
    CHECK(one(1) == 8);
    ext::extensible three{registry, "shared", [](int) { return 0; }};
    CHECK(three(1) == 1);
}

TEST_CASE("A second wrapper of a name with another signature is refused, and changes nothing") {
    ext::registry registry;
    ext::extensible one{registry, "shared", [](int x) { return x; }};
    one.on_start([](auto& call) { call.template arg<0>() = 7; });
    CHECK_THROWS_AS((ext::extensible{registry, "shared", [](double x) { return x; }}), ext::signature_mismatch);
    CHECK_THROWS_WITH((ext::extensible{registry, "shared", [](double x) { return x; }}),
                      Equals("shared: the function is int(int), but the second wrapper is for double(double)"));
    CHECK(one(1) == 7);
    ext::registry other;
    ext::extensible elsewhere{other, "shared", [](double x) { return x; }};
    CHECK(elsewhere(0.5) == 0.5);
}

namespace {

std::string error_of_early_registration, error_of_early_call;
extern ext::extensible<int(int)> constructed_later;
const bool is_registered_early = [] {
    try {
        constructed_later.on_start([](auto&) {});
    } catch (const ext::error& error) {
        error_of_early_registration = error.what();
    }
    try {
        constructed_later(1);
    } catch (const ext::error& error) {
        error_of_early_call = error.what();
    }
    return true;
}();
ext::extensible<int(int)> constructed_later{"wrapper.constructed_later", twice};

}  // namespace

TEST_CASE("Registering on a wrapper that is not constructed yet is an error that says what to do instead") {
    CHECK(is_registered_early);
    CHECK_THAT(error_of_early_registration,
               ContainsSubstring("is not constructed yet") && ContainsSubstring("ext::on_start(\"name\", hook)"));
    CHECK(constructed_later(2) == 4);
}

TEST_CASE("Calling a type-erased wrapper that is not constructed yet is an error") {
    CHECK_THAT(error_of_early_call, ContainsSubstring("is not constructed yet"));
    CHECK(constructed_later(2) == 4);
}

TEST_CASE("An empty name or function is refused") {
    ext::registry registry;
    CHECK_THROWS_WITH((ext::extensible{registry, "", twice}), Equals("ext: a function's name must not be empty"));
    const char* const text =
        "f: the function to wrap is empty: a null pointer or an empty std::function";
    CHECK_THROWS_WITH((ext::extensible{registry, "f", static_cast<int (*)(int)>(nullptr)}), Equals(text));
    CHECK_THROWS_WITH((ext::extensible{registry, "f", std::function<int(int)>()}), Equals(text));
    CHECK_THROWS_WITH((ext::extensible<int(int)>{registry, "f", std::function<int(int)>()}), Equals(text));
    CHECK_THROWS_WITH((ext::extensible{registry, "f", static_cast<int (counter::*)(int)>(nullptr)}), Equals(text));
    CHECK_THROWS_AS((ext::extensible{registry, "f", std::function<int(int)>()}), ext::error);
}

TEST_CASE("Hooks registered on a wrapper are removed with the last one of its name, hooks by name wait for the next") {
    ext::registry registry;
    auto state = std::make_shared<int>(1);
    ext::hook on_object, by_name;
    {
        ext::extensible f{registry, "f", twice};
        on_object = f.on_start([state](auto& call) { call.template arg<0>() = 10; });
        by_name = registry.on_end<int(int)>("f", [state](auto& call) { call.result = *call.result + 1; });
        CHECK(f(1) == 21);
        CHECK(state.use_count() == 3);
        {
            ext::extensible second{registry, "f", twice};
        }
        CHECK(f(1) == 21);
    }
    CHECK(state.use_count() == 2);
    CHECK(!on_object.active());
    CHECK(by_name.active());
    ext::extensible again{registry, "f", twice};
    CHECK(again(1) == 3);
}

TEST_CASE("A wrapper may outlive its registry, and then has no hooks") {
    auto registry = std::make_unique<ext::registry>();
    ext::extensible f{*registry, "f", twice};
    auto state = std::make_shared<int>(1);
    ext::hook hook = f.on_start([state](auto& call) { call.template arg<0>() = 10; });
    CHECK(f(1) == 20);
    registry.reset();
    CHECK(f(1) == 2);
    CHECK(state.use_count() == 1);
    CHECK(!hook.active());
    hook.enable();
    hook.remove();
    CHECK_THROWS_WITH(f.on_start([](auto&) {}), Equals("f: its registry has been destroyed"));
}
