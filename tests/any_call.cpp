// Hooks for any function: the call that they receive, and patterns of names.
#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;
using namespace ext::literals;

namespace {

struct counted_copies {
    int* copies;
    explicit counted_copies(int& count) : copies(&count) {}
    counted_copies(const counted_copies& other) : copies(other.copies) { ++*copies; }
    counted_copies(counted_copies&& other) noexcept : copies(other.copies) {}
    counted_copies& operator=(const counted_copies&) = delete;
};

struct no_default_shape {  // cannot be copied, moved or compared
    no_default_shape() = default;
    no_default_shape(const no_default_shape&) = delete;
};

// Records the names of the functions in whose calls its hook has run.
struct listener {
    std::vector<std::string> heard;
    auto operator()() {
        return [this](ext::any_call& call) { heard.emplace_back(call.name()); };
    }
};

}  // namespace

TEST_CASE("A hook for any function receives the name, the signature and the arguments") {
    ext::registry registry;
    ext::extensible fetch{registry, "net.fetch", ext::params("url"_kw, "retries"_kw = 3),
                          [](std::string_view url, int, const ext::kwargs&) { return std::string(url); }};
    int ran = 0;
    registry.on_start("net.*", [&](ext::any_call& call) {
        ++ran;
        CHECK(call.name() == "net.fetch");
        CHECK(call.signature() == "std::string(std::string_view, int, const ext::kwargs&)");
        REQUIRE(call.size() == 2);
        CHECK(*call.arg<std::string_view>(0) == "link");
        CHECK(*call.arg<int>(1) == 3);
        CHECK(call.arg_name(0) == "url");
        CHECK(call.arg_name(1) == "retries");
        CHECK(call.arg_name(2).empty());
        CHECK(*call.kwargs().get<std::string>("tenant") == "acme");
        CHECK(!call.has_result());
        CHECK(!call.result<std::string>());
        CHECK(!call.original_ran());
    });
    registry.on_end("net.*", [&](ext::any_call& call) {
        ++ran;
        CHECK(call.has_result());
        CHECK(*call.result<std::string>() == "link");
        CHECK(!call.exception());
        CHECK(call.original_ran());
    });
    fetch("link", "tenant"_kw = "acme");
    CHECK(ran == 2);
}

TEST_CASE("arg() returns null if the argument has another type or does not exist") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](const std::string&, std::string&, double) { return 1.5f; }};
    f.on_end([](ext::any_call& call) {
        CHECK(call.arg<std::string>(0));
        CHECK(call.arg<const std::string&>(0));
        CHECK(call.arg<std::string>(1));
        CHECK(!call.arg<std::string_view>(0));
        CHECK(!call.arg<int>(2));
        CHECK(!call.arg<float>(2));
        CHECK(!call.arg<double>(3));
        CHECK(call.arg_name(0).empty());
        CHECK(call.result<float>());
        CHECK(!call.result<double>());
    });
    std::string text;
    f("a", text, 1.0);
}

TEST_CASE("Reading an argument does not copy it") {
    ext::registry registry;
    int copies = 0;
    ext::extensible by_value{registry, "by.value", [](counted_copies) {}};
    ext::extensible by_reference{registry, "by.reference", [](const counted_copies&, const no_default_shape&) {}};
    const auto look = [](ext::any_call& call) { CHECK(call.arg<counted_copies>(0)->copies); };
    registry.on_start("by.*", look);
    by_value(counted_copies(copies));
    CHECK(copies == 0);

    registry.on_end("by.*", look);
    registry.around("by.*", [&](ext::any_call& call, auto& proceed) { look(call); proceed(); });
    const counted_copies here(copies);
    by_reference(here, no_default_shape());
    CHECK(copies == 0);
    by_value(counted_copies(copies));
    CHECK(copies == 1);  // into the function's parameter, because the end hooks need the original
}

namespace {

struct verdict {
    bool bad;
    friend bool failed(const verdict& of) { return of.bad; }
};

}  // namespace

TEST_CASE("A hook for any function can query the types of arguments and result, and whether the call failed") {
    ext::registry registry;
    std::string text = "text";
    ext::extensible judge{registry, "judge",
                          [](const std::string&, int x) { return x < 0 ? throw x : verdict{x == 0}; }};
    ext::extensible refer{registry, "refer", [&]() -> std::string& { return text; }};
    ext::extensible nothing{registry, "nothing", [] {}};
    std::string failures;
    registry.on_end("judge", [&](ext::any_call& call) {
        CHECK(call.arg_type(0) == "std::string");
        CHECK(call.arg_type(1) == "int");
        CHECK(call.arg_type(2).empty());
        CHECK(call.returns<verdict>());
        CHECK_FALSE(call.returns<int>());
        failures += call.failed() ? 'f' : '-';
    });
    judge("", 0);
    judge("", 1);
    CHECK_THROWS_AS(judge("", -1), int);
    CHECK(failures == "f-f");
    registry.on_start("*", [&](ext::any_call& call) {
        CHECK(call.returns<std::string>() == (call.name() == "refer"));
        CHECK(call.returns<void>() == (call.name() == "nothing"));
        CHECK_FALSE(call.failed());
    });
    refer();
    nothing();
    judge("", 0);
}

TEST_CASE("A hook for any function may replace arguments and the result") {
    ext::registry registry;
    ext::extensible join{registry, "join", [](std::string_view a, std::string b, int& n) {
                             ++n;
                             return std::string(a) + b;
                         }};
    join.on_start([](ext::any_call& call) {
        call.set_arg(0, std::string_view("left"));
        call.set_arg(1, "right");  // a literal is a std::string
        call.set_arg(2, 10);       // the caller's object
    });
    int n = 0;
    CHECK(join("a", "b", n) == "leftright");
    CHECK(n == 11);

    ext::hook end = join.on_end([](ext::any_call& call) { call.set_result("replaced"); });
    CHECK(join("a", "b", n) == "replaced");
    end.remove();
    join.on_start([](ext::any_call& call) { call.set_result(std::string("supplied")); });
    CHECK(join("a", "b", n) == "supplied");
    CHECK(n == 10);  // the function was not called
}

TEST_CASE("Results of all kinds can be set") {
    ext::registry registry;
    int one = 1, two = 2;
    ext::extensible<int&()> reference{registry, "reference", [&]() -> int& { return one; }};
    ext::extensible<std::unique_ptr<int>()> pointer{registry, "pointer", [] { return std::unique_ptr<int>(); }};
    ext::extensible<void()> nothing{registry, "nothing", [] { FAIL("called"); }};
    ext::extensible<std::string_view()> view{registry, "view", [] { return std::string_view(); }};
    reference.on_end([&](ext::any_call& call) {
        CHECK(call.result<int>() == &one);
        call.set_result(std::ref(two));
    });
    pointer.on_end([](ext::any_call& call) { call.set_result(std::make_unique<int>(3)); });
    nothing.on_start([](ext::any_call& call) {
        CHECK(!call.has_result());
        call.set_result();
        CHECK(call.has_result());
    });
    view.on_end([](ext::any_call& call) { call.set_result(std::string_view("literal")); });
    CHECK(&reference() == &two);
    CHECK(*pointer() == 3);
    nothing();
    CHECK(view() == "literal");
}

TEST_CASE("Setting a value of another type is an error that names both types") {
    ext::registry registry;
    ext::extensible f{registry, "net.f", [](int x, const no_default_shape&) { return x; }};
    ext::extensible<void()> nothing{registry, "net.nothing", [] {}};
    const auto text_of = [&](auto hook) {
        const ext::scoped_hook registered = f.on_start(std::move(hook));
        try {
            f(1, no_default_shape());
        } catch (const ext::signature_mismatch& error) {
            return std::string(error.what());
        }
        return std::string("nothing thrown");
    };
    const std::string function = ", but the function is int(int, const (unnamed)::no_default_shape&)";
    CHECK_THAT(text_of([](ext::any_call& call) { call.set_result("text"); }),
               Equals("net.f: a hook sets the result as const char*" + function));
    CHECK_THAT(text_of([](ext::any_call& call) { call.set_result(); }),
               Equals("net.f: a hook sets the result as void" + function));
    CHECK_THAT(text_of([](ext::any_call& call) { call.set_arg(0, 1.5); }),
               Equals("net.f: a hook sets argument 0 as double" + function));
    CHECK_THAT(text_of([](ext::any_call& call) { call.set_arg(2, 1); }),
               Equals("net.f: a hook sets argument 2" + function));
    nothing.on_start([](ext::any_call& call) { call.set_result(1); });
    CHECK_THROWS_WITH(nothing(), ContainsSubstring("as int, but the function is void()"));
}

TEST_CASE("A hook for any function sees the exception, and may clear it") {
    ext::registry registry;
    ext::extensible fail{registry, "fail", []() -> int { throw std::runtime_error("failed"); }};
    registry.on_end("*", [](ext::any_call& call) {
        REQUIRE(call.exception());
        CHECK(!call.has_result());
        call.exception() = nullptr;
        call.set_result(1);
    });
    CHECK(fail() == 1);
}

TEST_CASE("A pattern applies to matching functions, whether they are wrapped before or after the registration") {
    ext::registry registry;
    listener l;
    ext::extensible before{registry, "net.before", [] {}};
    ext::extensible outside{registry, "disk.read", [](int) {}};
    ext::hook hook = registry.on_start("net.*", l());
    ext::extensible after{registry, "net.after", [](double) { return 1; }};
    before();
    outside(1);
    after(1);
    CHECK_THAT(l.heard, Equals<std::string>({"net.before", "net.after"}));
    hook.disable();
    before();
    hook.enable();
    after(1);
    hook.remove();
    before();
    after(1);
    CHECK(l.heard.size() == 3);
    ext::extensible last{registry, "net.last", [] {}};
    last();
    CHECK(l.heard.size() == 3);
}

TEST_CASE("A star matches any sequence of characters") {
    const auto matches = [](std::string_view pattern, std::string_view name) {
        ext::registry registry;
        int heard = 0;
        ext::extensible f{registry, name, [] {}};
        registry.on_start(pattern, [&](ext::any_call&) { ++heard; });
        f();
        return heard == 1;
    };
    CHECK(matches("*", "a"));
    CHECK(matches("a", "a"));
    CHECK(matches("a*", "a"));
    CHECK(matches("a.*", "a.b.c"));
    CHECK(matches("*.c", "a.b.c"));
    CHECK(matches("a*c", "abcbc"));
    CHECK(matches("*b*c*", "abcc"));
    CHECK(matches("a**", "abc"));
    CHECK_FALSE(matches("a", "ab"));
    CHECK_FALSE(matches("a.*", "a"));
    CHECK_FALSE(matches("*.c", "a.b"));
    CHECK_FALSE(matches("a*c", "abcb"));
    CHECK_FALSE(matches("*b*b*", "abc"));
}

TEST_CASE("Hooks under patterns are ordered together with a function's own hooks") {
    ext::registry registry;
    std::string way;
    const auto mark = [&](const char* text) { return [&way, text](auto&) { way += text; }; };
    ext::extensible f{registry, "f", [] {}};
    f.on_start(mark("1"), {.id = "one"});
    registry.on_start<ext::any_call>("*", mark("2"), {.id = "two"});
    f.on_start(mark("3"), {.priority = 1});
    registry.on_start<ext::any_call>("*", mark("0"), {.priority = -1});
    registry.on_start<ext::any_call>("*", mark("4"), {.after = "last"});
    f.on_start(mark("5"), {.id = "last", .priority = 2});
    f.on_start(mark("a"), {.before = "two"});
    f();
    CHECK(way == "01a2354");
}

TEST_CASE("A hook for any function may be registered on a wrapper, or by a function's name") {
    ext::registry registry;
    listener l;
    ext::extensible f{registry, "f", [] {}};
    ext::extensible g{registry, "g", [] {}};
    f.on_end(l());
    registry.on_end("f", l());
    f.around([&](ext::any_call& call, auto& proceed) { l.heard.emplace_back(call.signature()); proceed(); });
    f();
    g();
    CHECK_THAT(l.heard, Equals<std::string>({"void()", "f", "f"}));
}

TEST_CASE("A hook for any function that is registered by a plain name belongs to that function") {
    ext::registry registry;
    std::string way;
    const auto mark = [&](char c) { return [&way, c](ext::any_call&) { way += c; }; };
    registry.on_start("f", mark('1'), {.id = "vault"});  // before the function is wrapped
    ext::extensible f{registry, "f", [] {}};
    CHECK_THROWS_AS(f.on_start([](auto&) {}, {.id = "vault"}), ext::duplicate_hook);
    CHECK_THROWS_AS(registry.on_start("f", mark('x'), {.id = "vault"}), ext::duplicate_hook);
    SECTION("so another hook of that function can replace it") {
        ext::hook other = f.on_start(mark('2'), {.id = "vault", .replace = true});
        f();
        other.remove();
        f();
        CHECK(way == "21");
    }
    SECTION("and it can replace another hook of that function") {
        f.on_start(mark('2'), {.id = "cache"});
        registry.on_start("f", mark('3'), {.id = "cache", .replace = true});
        f();
        CHECK(way == "13");
    }
    SECTION("but not a hook under a pattern that matches the function") {
        registry.on_start("*", mark('2'), {.id = "vault"});
        f();
        CHECK(way == "12");
        CHECK(registry.functions()[0].hooks[0].pattern.empty());
        CHECK(registry.functions()[0].hooks[1].pattern == "*");
    }
    SECTION("also if a plugin registers it") {
        ext::plugin plugin{registry, "plugin"};
        CHECK_THROWS_AS(plugin.on_start("f", mark('x'), {.id = "vault"}), ext::duplicate_hook);
        plugin.on_start("f", mark('2'), {.id = "vault", .replace = true});
        f();
        CHECK(way == "2");
    }
    SECTION("and it waits for the next wrapper of that name") {
        ext::extensible g{registry, "g", [] {}};
        registry.on_start("h", mark('2'));
        { ext::extensible h{registry, "h", [] {}}; }
        ext::extensible h{registry, "h", [](int x) { return x; }};
        h(1), g();
        CHECK(way == "2");
    }
}

TEST_CASE("An id is unique under its pattern, but hooks of functions and of other patterns may have it, too") {
    ext::registry registry;
    ext::extensible f{registry, "net.f", [] {}};
    std::string way;
    const auto mark = [&](char c) { return [&way, c](ext::any_call&) { way += c; }; };
    registry.on_start("net.*", mark('1'), {.id = "trace"});
    CHECK_THROWS_WITH(registry.on_start("net.*", mark('x'), {.id = "trace"}),
                      ContainsSubstring("start hook 'trace' for 'net.*'"));
    registry.on_start("*", mark('2'), {.id = "trace"});
    f.on_start(mark('3'), {.id = "trace"});
    registry.on_end("net.*", mark('4'), {.id = "trace"});
    f.on_start(mark('5'), {.before = "trace"});
    f();
    CHECK(way == "51234");
}

TEST_CASE("A hook under a pattern replaces the hook with its id under the same pattern, for all functions at once") {
    ext::registry registry;
    std::string way;
    const auto mark = [&](char c) { return [&way, c](ext::any_call&) { way += c; }; };
    ext::extensible f{registry, "net.f", [] {}};
    registry.on_start("*", mark('1'), {.id = "one"});
    registry.on_start("net.*", mark('2'), {.id = "one"});
    f.on_start(mark('3'), {.id = "one"});
    ext::hook replacing = registry.on_start("net.*", mark('N'), {.id = "one", .replace = true});
    ext::extensible g{registry, "net.g", [] {}};
    f();
    g();
    CHECK(way == "1N31N");
    replacing.remove();
    way.clear();
    f();
    g();
    CHECK(way == "12312");
}

TEST_CASE("A failed registration under a pattern changes nothing") {
    ext::registry registry;
    listener l;
    ext::extensible f{registry, "f", [] {}};
    ext::extensible g{registry, "g", [] {}};
    g.on_start([](auto&) {}, {.id = "b", .before = "a"});
    CHECK_THROWS_AS(registry.on_start("*", l(), {.id = "a", .before = "b"}), ext::order_cycle);
    f();
    g();
    CHECK(l.heard.empty());
    registry.on_start("x.*", l(), {.id = "x", .before = "y"});
    // No name matches both patterns, but all hooks under patterns have one order.
    CHECK_THROWS_AS(registry.on_start("y.*", l(), {.id = "y", .before = "x"}), ext::order_cycle);
}

TEST_CASE("A call is repeatable unless the function has run and may have consumed an argument") {
    ext::registry registry;
    std::string before, after;
    registry.on_start("*", [&](ext::any_call& call) { before += call.is_repeatable() ? 'y' : 'n'; });
    registry.on_end("*", [&](ext::any_call& call) { after += call.is_repeatable() ? 'y' : 'n'; });
    using object = std::unique_ptr<int>;
    using objects = std::vector<object>;  // has a copy constructor that does not compile
    ext::extensible none{registry, "none", [](const ext::kwargs&) {}};
    ext::extensible copied{registry, "copied", [](int, std::string) {}};
    ext::extensible referred{registry, "referred", [](object&, const object&) {}};
    ext::extensible moved{registry, "moved", [](int, object) {}};
    ext::extensible all_moved{registry, "all_moved", [](objects) {}};
    ext::extensible perhaps_moved{registry, "perhaps_moved", [](std::string&&) {}};
    object owner;
    none();
    copied(1, "text");
    referred(owner, owner);
    moved(1, nullptr);
    all_moved(objects());
    perhaps_moved("text");
    CHECK(before == "yyyyyy");
    CHECK(after == "yyynnn");
}

TEST_CASE("Only hooks for any function can be registered under a pattern, and a pattern cannot be a function's name") {
    ext::registry registry;
    CHECK_THROWS_WITH(registry.on_start<void()>("net.*", [](auto&) {}),
                      ContainsSubstring("net.*: a name with '*' is a pattern"));
    CHECK_THROWS_WITH((ext::extensible{registry, "net.*", [] {}}), ContainsSubstring("no function can have it"));
    CHECK_THROWS_AS(registry.on_start("", [](ext::any_call&) {}), ext::error);
}

TEST_CASE("What a hook under a pattern captured is destroyed when the hook is removed, even if its functions remain") {
    ext::registry registry;
    auto state = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = state;
    ext::extensible f{registry, "f", [] {}};
    SECTION("if functions match the pattern") {
        ext::hook hook = registry.on_start("*", [state = std::move(state)](ext::any_call&) {});
        f();
        hook.remove_and_wait();
    }
    SECTION("if no function matches the pattern") {
        ext::hook hook = registry.on_start("nobody.*", [state = std::move(state)](ext::any_call&) {});
        hook.remove_and_wait();
    }
    CHECK(watch.expired());
}

TEST_CASE("A pattern applies again to a function that is wrapped again, unlike the function's own hooks") {
    ext::registry registry;
    listener l;
    registry.on_start("*", l());
    for (int i = 0; i < 2; ++i) {
        ext::extensible f{registry, "f", [] {}};
        f.on_start([](auto&) {});
        f();
    }
    CHECK(l.heard.size() == 2);
    CHECK(registry.functions().size() == 1);  // only the pattern is left
}
