#include "../catch.hpp"
#include "../tasks.hpp"
#include "../text_of.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/retry.hpp>
#include <extensible/hooks/spy.hpp>

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <ios>
#include <memory>
#include <ostream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

using namespace ext::literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
namespace hooks = ext::hooks;

namespace {

struct point {
    int x, y;
};

struct engine {  // cannot be copied
    engine() = default;
    engine(const engine&) = delete;
    virtual ~engine() = default;
};

}  // namespace

TEST_CASE("a spy copies the arguments, the result and the exception of each call") {
    ext::registry registry;
    ext::extensible charge{registry, "billing.charge", [](std::string_view, int& cents) {
        if (cents < 0) throw std::invalid_argument("less than nothing");
        return cents++ > 0;
    }};
    const hooks::spy seen{charge};
    {
        std::string account = "a name that is too long to be kept in the string itself";
        int cents = 100;
        CHECK(charge(account, cents));
        cents = -1;
        account.assign(account.size(), '?');
        CHECK_THROWS(charge("bob", cents));
    }
    REQUIRE(seen.count() == 2);
    CHECK(seen.calls()[0].args ==
          std::tuple(std::string("a name that is too long to be kept in the string itself"), 100));
    CHECK(seen.at(0).result == true);
    CHECK_FALSE(seen.at(0).exception);
    CHECK(std::get<1>(seen.at(1).args) == -1);
    CHECK_FALSE(seen.at(1).result);
    CHECK(text_of(seen.at(1).exception) == "less than nothing");
}

TEST_CASE("a spy counts the calls with given arguments") {
    ext::registry registry;
    ext::extensible charge{registry, "billing.charge", [](std::string_view, long) {}};
    hooks::spy seen{charge};
    charge("ann", 1);
    charge("bob", 1);
    charge("ann", 1);
    CHECK(seen.count("ann", 1) == 2);
    CHECK(seen.count(std::string("bob"), 1) == 1);
    CHECK(seen.count("ann", 2) == 0);
    CHECK(seen.count() == 3);
    seen.clear();
    CHECK(seen.count("ann", 1) == 0);
    CHECK(seen.count() == 0);
}

TEST_CASE("a spy gives its answers in order, and then repeats the last one") {
    ext::registry registry;
    int called = 0;
    ext::extensible next{registry, "next", [&] { return ++called; }};
    hooks::spy seen{next};
    CHECK(next() == 1);  // a spy without answers calls the function

    SECTION("results and exceptions") {
        seen.returns(10).then_throws(std::runtime_error("x")).then_returns(30);
        CHECK(next() == 10);
        CHECK_THROWS_WITH(next(), "x");
        CHECK(next() == 30);
        CHECK(next() == 30);
        CHECK(called == 1);
        CHECK(seen.at(1).result == 10);
        CHECK(text_of(seen.at(2).exception) == "x");
    }
    SECTION("an answer can be added later, and applies from then on") {
        seen.returns(10);
        CHECK(next() == 10);
        CHECK(next() == 10);
        seen.then_returns(20);
        CHECK(next() == 20);
        CHECK(next() == 20);
    }
    SECTION("then_returns() can also add the first answer") {
        seen.then_returns(10).then_returns(20);
        CHECK(next() == 10);
        CHECK(next() == 20);
    }
    SECTION("new answers replace the old ones") {
        seen.returns(10).then_returns(20).then_returns(30);
        CHECK(next() == 10);
        seen.throws(std::make_exception_ptr(std::logic_error("y")));
        CHECK_THROWS_WITH(next(), "y");
        CHECK_THROWS_AS(next(), std::logic_error);
        seen.calls_original();
        CHECK(next() == 2);
    }
    SECTION("an answer can also be to call the function") {
        seen.throws(1).then_calls_original();
        CHECK_THROWS_AS(next(), int);
        CHECK(next() == 2);
        CHECK(next() == 3);
    }
}

TEST_CASE("a spy can answer for functions that return nothing or a reference") {
    ext::registry registry;
    bool called = false;
    ext::extensible stop{registry, "stop", [&] { called = true; }};
    hooks::spy stops{stop};
    stops.returns().then_throws(std::runtime_error("stuck")).then_returns();
    stop();
    CHECK_THROWS_WITH(stop(), "stuck");
    stop();
    CHECK_FALSE(called);
    CHECK(stops.text() == "stop was called 3 times:\n  1. () returned\n  2. () threw stuck\n  3. () returned");

    int one = 1, two = 2;
    ext::extensible find{registry, "find", [&](int) -> int& { return one; }};
    hooks::spy finds{find};
    finds.returns(two);
    find(5) = 22;
    CHECK(two == 22);
    CHECK(finds.at(0).result == 2);
}

TEST_CASE("a spy takes the place of the function, inside all other hooks") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible fetch{registry, "fetch", [](const std::string& what) { return what; }};
    hooks::spy seen{fetch};
    seen.throws(std::runtime_error("busy")).then_throws(std::runtime_error("busy")).then_returns("page");
    fetch.around(hooks::retry({.attempts = 3, .clock = time.clock()}));
    fetch.on_start([](auto& call) {
        auto& [what] = call.args;
        if (*what == "cached") call.result = "from the cache";
        what = "/" + *what;
    });
    CHECK(fetch("a") == "page");
    CHECK(seen.count("/a") == 3);
    CHECK(fetch("cached") == "from the cache");
    CHECK(seen.count() == 3);
}

TEST_CASE("a spy is removed at the end of its scope") {
    ext::registry registry;
    ext::extensible twice{registry, "twice", [](int x) { return 2 * x; }};
    {
        hooks::spy seen{twice};
        seen.returns(0);
        CHECK(twice(1) == 0);
    }
    CHECK(twice(1) == 2);
}

TEST_CASE("a spy can be limited to one thread") {
    ext::registry registry;
    const auto work = [](int x) -> tasks::lazy<int> { co_return 2 * x; };
    ext::extensible twice{registry, "twice", [](int x) { return 2 * x; }};
    ext::extensible later{registry, "later", work}, named{registry, "named", work};
    hooks::spy seen{twice, {.this_thread = true}};
    hooks::spy awaited{later, {.this_thread = true}};
    hooks::spy<tasks::lazy<int>(int)> by_name{registry, "named", {.this_thread = true}};
    seen.returns(0);
    awaited.returns(0);
    by_name.returns(0);
    std::thread([&] {
        CHECK(twice(1) == 2);
        CHECK(later(1).run() == 2);
        CHECK(named(1).run() == 2);
    }).join();
    CHECK(seen.count() + awaited.count() + by_name.count() == 0);
    CHECK(twice(1) == 0);
    CHECK(later(1).run() == 0);
    CHECK(named(1).run() == 0);
    CHECK(seen.count() + awaited.count() + by_name.count() == 3);
}

TEST_CASE("a spy records awaited calls, and can answer them") {
    ext::registry registry;
    tasks::gate gate, never;
    ext::extensible load{registry, "load", [&](std::string_view what) -> tasks::lazy<std::string> {
        co_await (what == "fourth" ? never : gate);
        co_return std::string(what);
    }};
    hooks::spy seen{load};
    auto first = load("first");
    first.start();
    CHECK(seen.text() == "load was called once:\n  1. (\"first\") has not ended");
    seen.returns("page").then_throws(std::runtime_error("busy"));
    CHECK(load("second").run() == "page");
    CHECK_THROWS_WITH(load("third").run(), "busy");
    {
        seen.calls_original();
        auto destroyed = load("fourth");
        destroyed.start();
    }
    gate.open();
    CHECK(first.get() == "first");
    CHECK(seen.text() == "load was called 4 times:\n"
                         "  1. (\"first\") returned \"first\"\n"
                         "  2. (\"second\") returned \"page\"\n"
                         "  3. (\"third\") threw busy\n"
                         "  4. (\"fourth\") has not ended");
}

TEST_CASE("a spy can be destroyed while a call is suspended") {
    ext::registry registry;
    tasks::gate gate;
    ext::extensible load{registry, "load", [&](int x) -> tasks::lazy<int> {
        co_await gate;
        co_return x;
    }};
    auto seen = std::make_unique<hooks::spy<tasks::lazy<int>(int)>>(load);
    auto call = load(3);
    call.start();
    seen.reset();
    gate.open();
    CHECK(call.get() == 3);
}

TEST_CASE("a spy prints its calls as readable text") {
    ext::registry registry;
    ext::extensible draw{registry, "draw", [](const char*, bool, double, point, unsigned char) { return point{3, 4}; }};
    ext::extensible title{registry, "title", [](char* text) -> const char* { return text; }};
    const hooks::spy titles{title};
    title(nullptr);
    CHECK(titles.text() == "title was called once:\n  1. (\"\") returned \"\"");

    const hooks::spy seen{draw};
    const auto shown = [&] {
        std::ostringstream out;
        out << seen;
        return out.str();
    };
    CHECK(shown() == "draw was not called");
    draw("a", true, 0.5, {1, 2}, 7);
    draw(nullptr, false, 2, {1, 2}, 7);
    CHECK(seen.count() == 2);
    CHECK(std::get<0>(seen.at(1).args) == "");
    CHECK_THAT(shown(), StartsWith("draw was called 2 times:\n  1. (\"a\", true, 0.5, <"));
    CHECK_THAT(shown(), ContainsSubstring("point>, 7) returned <"));
    CHECK_THROWS_WITH(seen.at(2), StartsWith("draw was called 2 times:\n  1. (\"a\"") &&
                                      EndsWith("there is no call with the number 2"));
    CHECK_THROWS_AS(seen.at(2), ext::error);
}

namespace {

struct hexed {
    int value;
    friend std::ostream& operator<<(std::ostream& out, const hexed& hexed) { return out << std::hex << hexed.value; }
};
struct failing {
    friend std::ostream& operator<<(std::ostream& out, const failing&) {
        out.setstate(std::ios::failbit);
        return out;
    }
};
struct throwing {
    friend std::ostream& operator<<(std::ostream&, const throwing&) { throw std::runtime_error("not printed"); }
};

// Its destructor, its copies and its comparison use the spy.
struct curious {
    std::function<void()> ask = [] {};
    curious() = default;
    explicit curious(std::function<void()> asks) : ask(std::move(asks)) {}
    curious(const curious& other) : ask(other.ask) { ask(); }
    curious& operator=(const curious&) = default;
    ~curious() { ask(); }
    friend bool operator==(const curious& a, const curious&) { return a.ask(), true; }
    friend std::ostream& operator<<(std::ostream& out, const curious& curious) { return curious.ask(), out << "?"; }
};

}  // namespace

TEST_CASE("the << of one value has no effect on the text of others") {
    ext::registry registry;
    const auto text_after = [&](auto value) {
        ext::extensible f{registry, "f", [](decltype(value), int) { return 255; }};
        const hooks::spy seen{f};
        f(value, 255);
        f(value, 77);
        CHECK_THROWS_AS(seen.at(2), ext::error);
        return seen.text();
    };
    CHECK_THAT(text_after(hexed{255}), ContainsSubstring("(ff, 255) returned 255"));
    CHECK_THAT(text_after(hexed{255}), EndsWith("(ff, 77) returned 255"));
    CHECK_THAT(text_after(failing()), EndsWith("failing, which cannot be printed>, 77) returned 255"));
    CHECK_THAT(text_after(throwing()), EndsWith("throwing, which cannot be printed>, 77) returned 255"));
}

TEST_CASE("a spy escapes texts, so that different calls have different texts") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](const std::string&, const std::wstring&, const char16_t*) {}};
    const hooks::spy seen{f};
    f("a\", \"b", L"c\"\x00E9", u"d");
    CHECK_THAT(seen.text(), EndsWith(R"(("a\", \"b", "c\u{0x22}\u{0xe9}", "d") returned)"));
}

TEST_CASE("a spy records a pointer to characters that a length follows as an address") {
    ext::registry registry;
    ext::extensible send{registry, "send", [](const char*, std::size_t size) { return size; }};
    const hooks::spy seen{send};
    const std::string not_terminated(3, 'x'), other(not_terminated);
    send(not_terminated.data(), 3);
    CHECK_THAT(seen.text(), ContainsSubstring("(0x") && EndsWith(", 3) returned 3"));
    CHECK(seen.count(not_terminated.data(), 3u) == 1);
    CHECK(seen.count(other.data(), 3u) == 0);
}

namespace {

struct constant {
    const int value;
};
struct handle {  // converts to pointers, and is null
    int number;
    operator const void*() const { return nullptr; }
    operator const char*() const { return nullptr; }
};

}  // namespace

TEST_CASE("a spy records values of unusual types") {
    ext::registry registry;
    ext::extensible make{registry, "make", [](int value) { return constant{value}; }};
    const hooks::spy made{make};
    make(5);
    CHECK(made.at(0).result->value == 5);

    ext::extensible count{registry, "count", [](const char (&)[3], handle, std::nullptr_t) {}};
    const hooks::spy counted{count};
    const char text[3] = {'a', 'b', 'c'};  // does not end with a null character
    count(text, handle{7}, nullptr);
    CHECK(std::get<0>(counted.at(0).args) == "abc");
    CHECK(std::get<1>(counted.at(0).args).number == 7);
    CHECK_THAT(counted.text(), ContainsSubstring("\"abc\", "));
}

TEST_CASE("a spy tells an exception whose text is null") {
    struct mute : std::exception {
        const char* what() const noexcept override { return nullptr; }
    };
    ext::registry registry;
    ext::extensible fail{registry, "fail", [] { throw mute(); }};
    const hooks::spy seen{fail};
    CHECK_THROWS_AS(fail(), mute);
    CHECK_THAT(seen.text(), EndsWith("() threw an exception without a text"));
}

TEST_CASE("printing a spy has no effect on what a pointer refers to") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](std::streambuf*, std::ostream& (*)(std::ostream&)) {}};
    const hooks::spy seen{f};
    std::stringbuf buffer("text");
    f(&buffer, nullptr);
    CHECK_THAT(seen.text(), ContainsSubstring("(0x") && EndsWith(", 0x0) returned"));
    CHECK(buffer.in_avail() == 4);
}

TEST_CASE("a spy counts a null C string like an empty text") {
    ext::registry registry;
    ext::extensible say{registry, "say", [](const char*, const wchar_t*) {}};
    const hooks::spy seen{say};
    say(nullptr, L"");
    say("", nullptr);
    const char* const null = nullptr;
    CHECK(seen.count(null, L"") == 2);
    CHECK(seen.count("a", L"") == 0);
}

TEST_CASE("values that a spy records may use the spy when they are copied, compared, printed and destroyed") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](const curious&) { return curious(); }};
    hooks::spy seen{f};
    const curious asks{[&] { static_cast<void>(seen.count()); }};
    f(asks);
    CHECK(seen.count(asks) == 1);
    CHECK(seen.calls().size() == 1);
    CHECK_THAT(seen.text(), EndsWith("1. (?) returned ?"));
    seen.returns(asks).then_returns(asks);
    f(asks);
    seen.returns(asks);
    seen.clear();
    CHECK(seen.count() == 0);
}

namespace {

template <class Spy, class T>
concept takes = requires(Spy& spy, T&& value) {
    spy.returns(std::forward<T>(value));
    spy.then_returns(std::forward<T>(value));
};

}  // namespace

TEST_CASE("a spy takes no temporary for a result that would refer to it") {
    using reference = hooks::spy<const std::string&(int)>;
    STATIC_REQUIRE(takes<reference, const std::string&>);
    STATIC_REQUIRE_FALSE(takes<reference, std::string>);
    STATIC_REQUIRE_FALSE(takes<reference, const char*>);
    STATIC_REQUIRE_FALSE(takes<hooks::spy<int&(int)>, int>);
    STATIC_REQUIRE_FALSE(takes<hooks::spy<int && (int)>, int>);
    using view = hooks::spy<std::string_view(int)>;
    STATIC_REQUIRE(takes<view, std::string&>);
    STATIC_REQUIRE(takes<view, const char (&)[2]>);
    STATIC_REQUIRE(takes<view, std::string_view>);
    STATIC_REQUIRE_FALSE(takes<view, std::string>);
    STATIC_REQUIRE_FALSE(takes<hooks::spy<std::span<const int>(int)>, std::vector<int>>);
    STATIC_REQUIRE(takes<hooks::spy<std::string(int)>, const char*>);
    STATIC_REQUIRE(takes<hooks::spy<bool(int)>, int>);
}

TEST_CASE("a spy's text says which values cannot be copied") {
    ext::registry registry;
    using keys = std::vector<std::unique_ptr<int>>;
    ext::extensible start{registry, "start", [](const engine&, std::unique_ptr<int> key, const keys&) { return key; }};
    const hooks::spy seen{start};
    CHECK(*start(engine(), std::make_unique<int>(5), {}) == 5);
    const std::string key = "<std::unique_ptr<int>, which cannot be copied>";
    CHECK_THAT(seen.text(),
               ContainsSubstring("engine, which cannot be copied>, " + key) && EndsWith("returned " + key));
}

TEST_CASE("a spy can be registered by name, before the function is wrapped, and with options") {
    ext::registry registry;
    hooks::spy<int(int)> seen{registry, "twice", {.id = "spy", .times = 1}};
    seen.returns(0);
    ext::extensible twice{registry, "twice", ext::params("x"_kw), [](int x) { return 2 * x; }};
    CHECK(twice(4) == 0);
    CHECK(twice(4) == 8);
    CHECK(seen.count(4) == 1);
    const hooks::spy again{twice, {.id = "spy"}};
    CHECK_THROWS_AS((hooks::spy{twice, {.id = "spy"}}), ext::duplicate_hook);
}

TEST_CASE("threads can call a function, change its answers and read its spy at once") {
    ext::registry registry;
    ext::extensible echo{registry, "echo", [](std::string text) { return text; }};
    hooks::spy seen{echo};
    std::atomic<bool> done{false};
    std::atomic<int> right{0};
    std::thread reader([&] {
        while (!done) {
            static_cast<void>(seen.text());
            seen.returns("x").then_calls_original();
        }
    });
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([&] {
            for (int i = 0; i < 50; ++i) {
                const std::string result = echo("y");
                right += result == "x" || result == "y";
            }
        });
    for (std::thread& caller : callers) caller.join();
    done = true;
    reader.join();
    CHECK(right == 150);
    CHECK(seen.count("y") == 150);
}
