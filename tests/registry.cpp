#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;

namespace {

std::string echo(std::string_view text) { return std::string(text); }
using echo_call = ext::call<std::string(std::string_view)>;

}  // namespace

TEST_CASE("A hook registered by name waits for the function, and is attached when the function is wrapped") {
    ext::registry registry;
    registry.on_start("late", [](echo_call& call) { call.arg<0>() = "early bird"; });
    registry.on_end<std::string(std::string_view)>("late", [](auto& call) { call.result = *call.result + "!"; });
    ext::extensible late{registry, "late", echo};
    CHECK(late("x") == "early bird!");
    registry.on_end("late", [](echo_call& call) { call.result = *call.result + "?"; });
    CHECK(late("x") == "early bird!?");
}

TEST_CASE("A waiting hook can be disabled and removed") {
    ext::registry registry;
    auto state = std::make_shared<int>(0);
    ext::hook disabled = registry.on_start("late", [state](echo_call&) { ++*state; });
    ext::hook removed = registry.on_start("late", [state](echo_call&) { ++*state; });
    disabled.disable();
    removed.remove();
    CHECK(state.use_count() == 2);
    ext::extensible late{registry, "late", echo};
    late("x");
    CHECK(*state == 0);
    disabled.enable();
    late("x");
    CHECK(*state == 1);
}

TEST_CASE("Registries are independent of each other") {
    ext::registry one, two;
    ext::extensible in_one{one, "echo", echo};
    ext::extensible in_two{two, "echo", echo};
    one.on_start("echo", [](echo_call& call) { call.result = "one"; });
    CHECK(in_one("x") == "one");
    CHECK(in_two("x") == "x");
}

TEST_CASE("The free functions use the default registry") {
    ext::extensible f{"registry.free", echo};
    ext::scoped_hook start = ext::on_start("registry.free", [](echo_call& call) { call.arg<0>() = "start"; });
    ext::scoped_hook end = ext::on_end<std::string(std::string_view)>(
        "registry.free", [](auto& call) { call.result = *call.result + "+end"; });
    CHECK(f("x") == "start+end");
    ext::scoped_hook another =
        ext::default_registry().on_start("registry.free", [](echo_call& call) { call.result = "r"; });
    CHECK(f("x") == "r+end");
}

TEST_CASE("A hook with another signature than its function is refused, and nothing changes") {
    ext::registry registry;
    ext::extensible f{registry, "net.fetch", echo};
    CHECK_THROWS_AS(registry.on_start<int(int)>("net.fetch", [](auto&) {}), ext::signature_mismatch);
    CHECK_THROWS_WITH(
        registry.on_start<int(int)>("net.fetch", [](auto&) {}),
        Equals("net.fetch: the function is std::string(std::string_view), but the start hook is for int(int)"));
    CHECK_THROWS_WITH(registry.on_end<std::string(const std::string&)>("net.fetch", [](auto&) {}, {.id = "trace"}),
                      Equals("net.fetch: the function is std::string(std::string_view), "
                             "but the end hook 'trace' is for std::string(const std::string&)"));
    CHECK(f("x") == "x");
    registry.on_end("net.fetch", [](echo_call&) {}, {.id = "trace"});  // the id is still free
}

TEST_CASE("Wrapping a function that a waiting hook does not fit is refused, and nothing changes") {
    ext::registry registry;
    ext::hook waiting = registry.on_start<int(int)>("unborn", [](auto& call) { call.result = 9; }, {.id = "w"});
    CHECK_THROWS_AS((ext::extensible{registry, "unborn", echo}), ext::signature_mismatch);
    CHECK_THROWS_WITH(
        (ext::extensible{registry, "unborn", echo}),
        Equals("unborn: the function is std::string(std::string_view), but the start hook 'w' that waits for it "
               "is for int(int)"));
    CHECK(waiting.active());
    ext::extensible fits{registry, "unborn", [](int x) { return x; }};
    CHECK(fits(1) == 9);
}

TEST_CASE("Hooks with different signatures may wait for the same name") {
    ext::registry registry;
    registry.on_start<int(int)>("unborn", [](auto& call) { call.result = 9; });
    ext::hook wrong = registry.on_start<int(double)>("unborn", [](auto&) {});
    CHECK_THROWS_AS((ext::extensible{registry, "unborn", [](int x) { return x; }}), ext::signature_mismatch);
    wrong.remove();
    ext::extensible fits{registry, "unborn", [](int x) { return x; }};
    CHECK(fits(1) == 9);
}

TEST_CASE("An id is unique for its function and phase") {
    ext::registry registry;
    ext::extensible f{registry, "f", echo};
    std::string way;
    ext::hook first = f.on_start([&](auto&) { way += "1"; }, {.id = "mine"});
    CHECK_THROWS_AS(f.on_start([&](auto&) { way += "2"; }, {.id = "mine"}), ext::duplicate_hook);
    CHECK_THROWS_WITH(
        registry.on_start("f", [](echo_call&) {}, {.id = "mine"}),
        Equals("f: there is already a start hook 'mine'; remove it, or set .replace to run in its place"));
    f.on_end([&](auto&) { way += "e"; }, {.id = "mine"});
    f("x");
    CHECK(way == "1e");
    first.remove();
    f.on_start([&](auto&) { way += "3"; }, {.id = "mine"});
    f("x");
    CHECK(way == "1e3e");
    registry.on_start<int()>("unborn", [](auto&) {}, {.id = "w"});
    CHECK_THROWS_AS(registry.on_start<int()>("unborn", [](auto&) {}, {.id = "w"}), ext::duplicate_hook);
}

TEST_CASE("A hook with .replace runs in place of the hook with its id") {
    ext::registry registry;
    ext::extensible f{registry, "f", echo};
    std::string way;
    const auto mark = [&](char c) { return [&way, c](auto&) { way += c; }; };
    const auto run = [&] {
        way.clear();
        f("x");
        return way;
    };
    f.on_start(mark('c'), {.id = "c", .priority = 5});
    ext::hook replaced = f.on_start(mark('b'), {.id = "b", .priority = -5});
    f.on_start(mark('a'), {.id = "a", .priority = -5});

    SECTION("in its position in the order") {
        ext::hook replacing = f.on_start(mark('B'), {.id = "b", .replace = true});
        CHECK(run() == "Bac");
        CHECK(replaced.active());
    }
    SECTION("unless it has a priority of its own") {
        f.on_start(mark('B'), {.id = "b", .priority = 9, .replace = true});
        CHECK(run() == "acB");
    }
    SECTION("or a constraint of its own") {
        f.on_start(mark('B'), {.id = "b", .after = {"a"}, .replace = true});
        CHECK(run() == "aBc");
    }
    SECTION("with the constraints of the replaced hook, if it has none of its own") {
        f.on_start(mark('z'), {.id = "z", .after = {"c"}});
        f.on_start(mark('y'));
        f.on_start(mark('Z'), {.id = "z", .replace = true});
        CHECK(run() == "baycZ");
    }
    SECTION("until it is disabled or removed") {
        ext::hook replacing = f.on_start(mark('B'), {.id = "b", .replace = true});
        replacing.disable();
        CHECK(run() == "bac");
        replacing.enable();
        CHECK(run() == "Bac");
        replacing.remove();
        CHECK(run() == "bac");
    }
    SECTION("also if the replaced hook is disabled") {
        replaced.disable();
        ext::hook replacing = f.on_start(mark('B'), {.id = "b", .replace = true});
        CHECK(run() == "Bac");
        replacing.remove();
        CHECK(run() == "ac");
        replaced.enable();
        CHECK(run() == "bac");
    }
    SECTION("and remains if the replaced hook is removed") {
        ext::hook replacing = f.on_start(mark('B'), {.id = "b", .replace = true});
        replaced.remove();
        CHECK(run() == "aBc");
        replacing.remove();
        CHECK(run() == "ac");
    }
    SECTION("and of several, the one registered last") {
        ext::hook first = f.on_start(mark('1'), {.id = "b", .replace = true});
        ext::hook second = f.on_start(mark('2'), {.id = "b", .replace = true});
        CHECK(run() == "2ac");
        second.disable();
        CHECK(run() == "1ac");
        first.remove();
        CHECK(run() == "bac");
        second.enable();
        CHECK(run() == "2ac");
    }
    SECTION("also if the replaced hook is registered later") {
        f.on_start(mark('D'), {.id = "d", .replace = true});
        CHECK(run() == "baDc");
        ext::hook later = f.on_start(mark('d'), {.id = "d", .priority = -9});
        CHECK(run() == "Dbac");
        CHECK_THROWS_AS(f.on_start(mark('d'), {.id = "d"}), ext::duplicate_hook);
        CHECK(run() == "Dbac");
    }
    SECTION("only in its phase") {
        f.on_end(mark('e'), {.id = "b", .replace = true});
        CHECK(run() == "bace");
    }
    SECTION("for a function that is not wrapped yet") {
        registry.on_start<void()>("g", mark('1'), {.id = "one"});
        ext::plugin user{registry, "user"};
        user.on_start<void()>("g", mark('2'), {.id = "one", .replace = true});
        ext::extensible g{registry, "g", [] {}};
        g();
        CHECK(way == "2");
        user.unload();
        g();
        CHECK(way == "21");
    }
}

TEST_CASE("The signature of a hook is deduced from a const call, too") {
    ext::registry registry;
    ext::extensible f{registry, "f", echo};
    std::string seen;
    registry.on_end("f", [&](const echo_call& call) { seen = *call.result; });
    f("x");
    CHECK(seen == "x");
    STATIC_REQUIRE(std::is_same_v<decltype(f)::call_type, echo_call>);
}

TEST_CASE("An empty name is refused") {
    ext::registry registry;
    CHECK_THROWS_WITH(registry.on_start<void()>("", [](auto&) {}), Equals("ext: a function's name must not be empty"));
}

TEST_CASE("Every error derives from ext::error, which derives from std::runtime_error") {
    STATIC_REQUIRE(std::is_base_of_v<std::runtime_error, ext::error>);
    STATIC_REQUIRE(std::is_base_of_v<ext::error, ext::signature_mismatch>);
    STATIC_REQUIRE(std::is_base_of_v<ext::error, ext::duplicate_hook>);
    STATIC_REQUIRE(std::is_base_of_v<ext::error, ext::order_cycle>);
    STATIC_REQUIRE(std::is_base_of_v<ext::error, ext::incompatible_module>);
    STATIC_REQUIRE(std::is_base_of_v<ext::error, ext::no_result>);
    STATIC_REQUIRE(std::is_base_of_v<ext::error, ext::bad_kwarg>);
}

TEST_CASE("A name that is not used any more is forgotten, and so is its signature") {
    ext::registry registry;
    {
        ext::extensible f{registry, "f", echo};
        f.on_start([](auto&) {});
    }
    registry.on_start<int()>("g", [](auto&) {}).remove();
    CHECK(registry.functions().empty());
    ext::extensible f{registry, "f", [](int x) { return x; }};
    CHECK(f(1) == 1);
}

TEST_CASE("A registry cannot be copied") {
    STATIC_REQUIRE(!std::is_copy_constructible_v<ext::registry>);
    STATIC_REQUIRE(!std::is_copy_assignable_v<ext::registry>);
}

TEST_CASE("The number in a module's stamp depends on the size and the alignment of each type") {
    using ext::detail::hash_layouts;
    using ext::detail::type_list;
    struct aligned {
        alignas(8) char characters[8];
    };
    const auto number = hash_layouts(type_list<int, char[8]>());
    CHECK(number != hash_layouts(type_list<int, char[9]>()));
    CHECK(number != hash_layouts(type_list<int, aligned>()));
    CHECK(number != hash_layouts(type_list<char, char[8]>()));
    CHECK(number != hash_layouts(type_list<int, char[8], char>()));
    const std::string text = " types " + std::to_string(hash_layouts(ext::detail::shared_types())) + "; version ";
    CHECK_THAT(std::string(ext::detail::make_stamp().text), ContainsSubstring(text));
}

TEST_CASE("The preprocessor, the program and the package have the same version") {
    const int major = EXTENSIBLE_VERSION_MAJOR, minor = EXTENSIBLE_VERSION_MINOR, patch = EXTENSIBLE_VERSION_PATCH;
    CHECK(EXTENSIBLE_VERSION == major * 10000 + minor * 100 + patch);
    const std::string text = std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
    CHECK(ext::version == text);
    CHECK(VERSION_OF_PACKAGE == text);
}
