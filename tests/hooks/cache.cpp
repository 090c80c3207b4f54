#include "../catch.hpp"
#include "../tasks.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/cache.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace ext::literals;
namespace hooks = ext::hooks;

namespace {

// A function with a cache whose clock is simulated.
struct cached {
    explicit cached(hooks::cache_options options = {}) : known(fetch, with_clock(std::move(options))) {
        fetch.around(known);
    }

    hooks::cache_options with_clock(hooks::cache_options options) {
        options.clock = time.clock();
        return options;
    }

    ext::registry registry;
    simulated_clock time;
    std::atomic<int> calls{0};
    std::function<std::string(std::string_view)> answer = [](std::string_view city) {
        return "weather of " + std::string(city);
    };
    ext::extensible<std::string(std::string_view)> fetch{registry, "fetch", [this](std::string_view city) {
        ++calls;
        return answer(city);
    }};
    hooks::cache<std::string(std::string_view)> known;
};

// Waits until the condition holds. Returns false after 20 s, which happens only if a test fails.
template <class Condition>
bool eventually(Condition condition) {
    for (const auto limit = std::chrono::steady_clock::now() + 20s; !condition(); std::this_thread::yield())
        if (std::chrono::steady_clock::now() > limit) return false;
    return true;
}

// Calls ask() on `count` threads. Returns what each thread got; a failure is returned as its text.
std::vector<std::string> in_threads(std::size_t count, const std::function<std::string(std::size_t)>& ask) {
    std::vector<std::string> outcomes(count);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            try {
                outcomes[i] = ask(i);
            } catch (const std::exception& error) {
                outcomes[i] = error.what();
            }
        });
    for (std::thread& thread : threads) thread.join();
    return outcomes;
}

// It outlives the threads that share it, because ThreadSanitizer does not see how the C++ runtime
// counts the references to an exception.
const std::exception_ptr down = std::make_exception_ptr(std::runtime_error("down"));

}  // namespace

// ---- Time to live and capacity --------------------------------------------------------------------------------------

TEST_CASE("A cache returns the result for equal arguments until its time to live is over") {
    cached c({.ttl = 10s});
    std::string city = "oslo";
    CHECK(c.fetch(city) == "weather of oslo");
    city = "rome";  // changes the characters that the function's argument referred to
    CHECK(c.fetch(city) == "weather of rome");
    CHECK(c.fetch("oslo") == "weather of oslo");
    CHECK(c.calls == 2);
    c.time.pass(10s - 1ns);
    CHECK(c.fetch("oslo") == "weather of oslo");
    CHECK(c.calls == 2);
    c.time.pass(1ns);
    CHECK(c.fetch("oslo") == "weather of oslo");
    CHECK(c.calls == 3);
    const hooks::cache_counts counts = c.known.counts();
    CHECK(counts.hits == 2);
    CHECK(counts.misses == 3);
    CHECK(counts.evictions == 0);
    CHECK(counts.size == 2);
}

TEST_CASE("A cache can keep results for ever, or not at all") {
    SECTION("for ever") {
        cached c;
        c.fetch("oslo");
        c.time.pass(10000h);
        c.fetch("oslo");
        CHECK(c.calls == 1);
    }
    SECTION("not at all") {
        cached c({.ttl = 0s});
        c.fetch("oslo");
        c.fetch("oslo");
        CHECK(c.calls == 2);
        CHECK(c.known.counts().size == 0);
    }
}

TEST_CASE("A full cache evicts the least recently used result") {
    cached c({.capacity = 2});
    c.fetch("a");
    c.fetch("b");
    c.fetch("a");
    c.fetch("c");  // evicts b
    CHECK(c.known.counts().evictions == 1);
    CHECK(c.known.counts().size == 2);
    CHECK(c.calls == 3);
    c.fetch("a");
    c.fetch("c");
    CHECK(c.calls == 3);
    c.fetch("b");
    CHECK(c.calls == 4);
}

TEST_CASE("A cache can have a capacity of 1") {
    cached c({.capacity = 1});
    c.fetch("a");
    c.fetch("a");
    CHECK(c.calls == 1);
    c.fetch("b");  // evicts a
    c.fetch("a");
    CHECK(c.calls == 3);
}

TEST_CASE("A cache keeps failures only with .failures_ttl") {
    cached c;
    c.answer = [](std::string_view) -> std::string { throw std::runtime_error("down"); };
    CHECK_THROWS_WITH(c.fetch("oslo"), "down");
    CHECK_THROWS_WITH(c.fetch("oslo"), "down");
    CHECK(c.calls == 2);

    cached keeping({.ttl = 10s, .failures_ttl = 2s});
    keeping.answer = c.answer;
    CHECK_THROWS_WITH(keeping.fetch("oslo"), "down");
    keeping.time.pass(1s);
    CHECK_THROWS_WITH(keeping.fetch("oslo"), "down");
    CHECK(keeping.calls == 1);
    keeping.time.pass(1s);
    keeping.answer = [](std::string_view) { return "rain"; };
    CHECK(keeping.fetch("oslo") == "rain");
    keeping.time.pass(2s);
    CHECK(keeping.fetch("oslo") == "rain");
    CHECK(keeping.calls == 2);
}

namespace {

struct answer {
    int value;
    friend bool failed(const answer& answer) { return answer.value < 0; }
};

}  // namespace

TEST_CASE("A cache does not keep a result that denotes a failed call") {
    ext::registry registry;
    int calls = 0;
    ext::extensible ask{registry, "ask", [&] { return answer{++calls - 2}; }};
    ask.around(hooks::cache{ask});
    CHECK(ask().value == -1);
    CHECK(ask().value == 0);
    CHECK(ask().value == 0);
}

TEST_CASE("The option .failed of a cache decides which results mean a failure") {
    cached c({.stale_if_error = 1h, .failed = [](const std::string& weather) { return weather == "none"; }});
    c.answer = [](std::string_view) { return "none"; };
    CHECK(c.fetch("oslo") == "none");
    CHECK(c.fetch("oslo") == "none");
    CHECK(c.calls == 2);
    c.answer = [](std::string_view) { return "rain"; };
    CHECK(c.fetch("oslo") == "rain");
    CHECK(c.fetch("oslo") == "rain");
    CHECK(c.calls == 3);

    cached stale({.ttl = 1s, .stale_if_error = 1h, .failed = [](const std::string& weather) {
        return weather == "none";
    }});
    stale.fetch("oslo");
    stale.answer = [](std::string_view) { return "none"; };
    stale.time.pass(1s);
    CHECK(stale.fetch("oslo") == "weather of oslo");
}

TEST_CASE("A cache can forget one result, or all results") {
    cached c;
    c.fetch("a");
    c.fetch("b");
    c.known.forget("a");
    c.known.forget("never asked for");
    c.fetch("a");
    c.fetch("b");
    CHECK(c.calls == 3);
    c.known.clear();
    c.fetch("a");
    c.fetch("b");
    CHECK(c.calls == 5);
}

// ---- Signatures and keys --------------------------------------------------------------------------------------------

TEST_CASE("A cache can be made for any signature, and registered by name") {
    ext::registry registry;
    int calls = 0;
    SECTION("the function returns nothing") {
        ext::extensible once{registry, "once", [&](int, const std::vector<int>&) { ++calls; }};
        once.around(hooks::cache{once});
        once(1, {2});
        once(1, {2});
        CHECK(calls == 1);
        once(1, {3});
        CHECK(calls == 2);
    }
    SECTION("the function has named parameters, and returns a reference") {
        const int numbers[] = {1, 2};
        ext::extensible pick{registry, "pick", ext::params("index"_kw), [&](int index) -> const int& {
            ++calls;
            return numbers[index];
        }};
        hooks::cache known{pick, {.ttl = 1s}};
        pick.around(known);
        CHECK(&pick(1) == &numbers[1]);
        CHECK(&pick(1) == &numbers[1]);
        CHECK(calls == 1);
        known.forget(1);
        CHECK(&pick(1) == &numbers[1]);
        CHECK(calls == 2);
    }
    SECTION("the cache is registered by name, for a function that returns a std::optional") {
        using signature = std::optional<int>(std::string);
        registry.around<signature>("find", hooks::cache<signature>{{.ttl = 1s}});
        ext::extensible find{registry, "find", [&](std::string) -> std::optional<int> {
            ++calls;
            return std::nullopt;
        }};
        CHECK(find("x") == std::nullopt);
        CHECK(find("x") == std::nullopt);
        CHECK(calls == 1);
    }
}

// ---- Keys -----------------------------------------------------------------------------------------------------------

namespace {

// A function of one argument with a cache. calls_for() returns how often the function was called for
// these arguments, one after the other.
template <class T>
struct keyed {
    ext::registry registry;
    int calls = 0;
    ext::extensible<int(T)> f{registry, "f", [this](T) { return ++calls; }};
    hooks::cache<int(T)> known{f};
    keyed() { f.around(known); }
};
template <class T>
int calls_for(const std::vector<T>& arguments) {
    keyed<T> k;
    for (const T& argument : arguments) k.f(argument);
    return k.calls;
}

enum class color { red, green };

}  // namespace

TEST_CASE("Equal arguments of a cached function are one key, and others are not") {
    CHECK(calls_for<int>({1, 2, 1, -1, 2}) == 3);
    CHECK(calls_for<bool>({true, false, true}) == 2);
    CHECK(calls_for<color>({color::red, color::green, color::red}) == 2);
    CHECK(calls_for<double>({1.5, 2.5, 1.5}) == 2);
    CHECK(calls_for<long double>({1.5L, 2.5L, 1.5L}) == 2);
    CHECK(calls_for<std::string>({"a", "b", "a", "", std::string(300, 'a'), std::string(300, 'a')}) == 4);
    CHECK(calls_for<std::chrono::milliseconds>({1ms, 2ms, 1ms}) == 2);
    CHECK(calls_for<std::optional<int>>({0, std::nullopt, 0, std::nullopt}) == 2);
    CHECK(calls_for<std::variant<int, long>>({1, 1L, 1}) == 2);
    CHECK(calls_for<std::filesystem::path>({"a/b", "a", "a/b"}) == 2);
    CHECK(calls_for<std::map<std::string, int>>({{{"a", 1}}, {{"a", 2}}, {}, {{"a", 1}}}) == 3);
    CHECK(calls_for<std::vector<bool>>({{true, false}, {true}, {true, false}}) == 2);
    int here = 0, there = 0;
    CHECK(calls_for<int*>({&here, &there, &here, nullptr}) == 3);
}

TEST_CASE("The parts of a key are never taken for each other's") {
    using strings = std::pair<std::string, std::string>;
    CHECK(calls_for<strings>({{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}}) == 4);
    using lists = std::tuple<std::vector<std::string>, std::vector<std::string>>;
    CHECK(calls_for<lists>({{{"a"}, {"b"}}, {{"a", "b"}, {}}, {{}, {"a", "b"}}, {{"ab"}, {}}}) == 4);
    CHECK(calls_for<std::vector<std::optional<std::string>>>({{""}, {std::nullopt}, {}, {"", ""}}) == 4);
    CHECK(calls_for<std::string>({std::string("a\0b", 3), "a"}) == 2);
}

TEST_CASE("Views and C strings in arguments are kept by their characters") {
    const auto keeps_characters = []<class Character>(Character, auto make) {
        Character text[] = {'a', 'b', 0};
        using type = decltype(make(text));
        keyed<type> k;
        k.f(make(text));
        text[0] = 'c';
        k.f(make(text));
        text[0] = 'a';
        k.f(make(text));
        return k.calls == 2;
    };
    const auto c_string = [](const auto* text) { return text; };
    CHECK(keeps_characters('a', c_string));
    CHECK(keeps_characters(L'a', c_string));
    CHECK(keeps_characters(u8'a', c_string));
    CHECK(keeps_characters(u'a', c_string));
    CHECK(keeps_characters(U'a', c_string));
    CHECK(keeps_characters('a', [](char* text) { return text; }));
    CHECK(keeps_characters('a', [](const char* text) { return std::optional(std::string_view(text)); }));
    CHECK(keeps_characters('a', [](const char* text) { return std::pair(1, std::string_view(text)); }));
    CHECK(keeps_characters('a', [](const char* text) { return std::vector{std::string_view(text)}; }));
    CHECK(keeps_characters(L'a', [](const wchar_t* text) { return std::tuple(text); }));
    CHECK(calls_for<const char*>({nullptr, "", nullptr, ""}) == 2);
}

TEST_CASE("A NaN anywhere in the arguments is no key, and 0.0 and -0.0 are two") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(calls_for<double>({nan, nan}) == 2);
    CHECK(calls_for<float>({std::numeric_limits<float>::quiet_NaN(), 1, 1}) == 2);
    CHECK(calls_for<long double>({std::numeric_limits<long double>::quiet_NaN(), 1, 1}) == 2);
    CHECK(calls_for<std::vector<double>>({{1, nan}, {1, nan}, {1}, {1}}) == 3);
    CHECK(calls_for<std::optional<double>>({nan, nan, 1.0, 1.0}) == 3);
    CHECK(calls_for<std::pair<int, double>>({{1, nan}, {1, nan}}) == 2);
    CHECK(calls_for<double>({0.0, -0.0, 0.0, -0.0}) == 2);
    keyed<double> k;
    k.f(nan);
    CHECK(k.known.counts().size == 0);
    keyed<std::vector<std::vector<double>>> lists;
    lists.f({{}});
    lists.known.forget({{nan}});  // a key without the NaN would be that of another call
    CHECK(lists.known.counts().size == 1);
}

namespace {

struct request {
    std::string path;
    std::unique_ptr<int> body = nullptr;
};

}  // namespace

TEST_CASE("A cache can use a function that makes a key from the arguments") {
    ext::registry registry;
    int calls = 0;
    ext::extensible send{registry, "send", [&](request what, const ext::kwargs&) {
        ++calls;
        return what.path + (what.body ? " with a body" : "");
    }};
    hooks::cache sent{send, {.ttl = 1s}, [](const request& what, const ext::kwargs& more) {
        return std::tuple(std::string_view(what.path).size(), more.contains("fresh"));
    }};
    send.around(sent);
    CHECK(send(request{"abc", std::make_unique<int>(1)}, {}) == "abc with a body");
    CHECK(send(request{"def"}, {}) == "abc with a body");
    CHECK(calls == 1);
    ext::kwargs fresh;
    fresh.set("fresh", true);
    CHECK(send(request{"def"}, fresh) == "def");
    sent.forget(request{"xyz"}, {});
    CHECK(send(request{"def"}, {}) == "def");
    CHECK(calls == 3);
}

// ---- Code of the application never runs under the lock of a cache ---------------------------------------------------

namespace {

struct session {
    std::function<void()> at_end;
    ~session() {
        if (at_end) at_end();
    }
};

// A function with a cache that keeps one session for a second. The session's destructor uses both.
struct sessions {
    ext::registry registry;
    simulated_clock time;
    ext::extensible<std::shared_ptr<session>(int)> open{registry, "open",
                                                        [](int) { return std::make_shared<session>(); }};
    hooks::cache<std::shared_ptr<session>(int)> known{open, {.ttl = 1s, .capacity = 1, .clock = time.clock()}};
    bool is_destroyed = false;

    sessions() {
        open.around(known);
        open(1)->at_end = [this] {
            is_destroyed = known.counts().hits == 0;
            open(3);
            known.forget(1);
        };
    }
};

}  // namespace

TEST_CASE("The destructor of a kept result may use the cache and the function") {
    sessions s;
    SECTION("if the result is evicted") { s.open(2); }
    SECTION("if it has expired") {
        s.time.pass(2s);
        s.open(1);
    }
    SECTION("if it is forgotten") { s.known.forget(1); }
    SECTION("if all are forgotten") { s.known.clear(); }
    CHECK(s.is_destroyed);
}

// ---- Expired results ------------------------------------------------------------------------------------------------

TEST_CASE("With .stale_if_error, a failing call gets the expired result for this long") {
    cached c({.ttl = 10s, .stale_if_error = 1h});
    CHECK(c.fetch("oslo") == "weather of oslo");
    c.answer = [](std::string_view) -> std::string { throw std::runtime_error("down"); };
    c.time.pass(10s);
    CHECK(c.fetch("oslo") == "weather of oslo");
    CHECK(c.fetch("oslo") == "weather of oslo");
    CHECK(c.calls == 3);
    CHECK_THROWS_WITH(c.fetch("rome"), "down");
    c.time.pass(1h - 1ns);
    CHECK(c.fetch("oslo") == "weather of oslo");
    c.time.pass(1ns);
    CHECK_THROWS_WITH(c.fetch("oslo"), "down");
    c.answer = [](std::string_view) { return "rain"; };
    CHECK(c.fetch("oslo") == "rain");
}

TEST_CASE("With .failures_ttl, an expired result is returned for that long without a call") {
    cached c({.ttl = 10s, .failures_ttl = 2s, .stale_if_error = 5s});
    c.fetch("oslo");
    c.answer = [](std::string_view) -> std::string { throw std::runtime_error("down"); };
    c.time.pass(10s);
    CHECK(c.fetch("oslo") == "weather of oslo");
    c.time.pass(1s);
    CHECK(c.fetch("oslo") == "weather of oslo");
    CHECK(c.calls == 2);
    c.time.pass(1s);
    CHECK(c.fetch("oslo") == "weather of oslo");
    CHECK(c.calls == 3);
    c.time.pass(3s);
    CHECK_THROWS_WITH(c.fetch("oslo"), "down");
    CHECK(c.calls == 4);
}

TEST_CASE("An expired result is forgotten like any other, and a call that changes to success replaces it") {
    cached c({.ttl = 10s, .stale_if_error = 1h});
    c.fetch("oslo");
    c.time.pass(10s);
    c.known.forget("oslo");
    c.answer = [](std::string_view) -> std::string { throw std::runtime_error("down"); };
    CHECK_THROWS_WITH(c.fetch("oslo"), "down");
    cached always({.ttl = 0s, .stale_if_error = 1h});
    always.fetch("oslo");
    always.answer = [](std::string_view) { return "rain"; };
    CHECK(always.fetch("oslo") == "rain");
    always.answer = c.answer;
    CHECK(always.fetch("oslo") == "rain");
}

// ---- Concurrent calls -----------------------------------------------------------------------------------------------

TEST_CASE("If many threads ask a cache for one result at once, only one of them calls the function") {
    cached c;
    c.answer = [&](std::string_view) {
        eventually([&] { return c.known.counts().waiting == 7; });
        return "rain";
    };
    CHECK(in_threads(8, [&](std::size_t) { return c.fetch("oslo"); }) == std::vector(8, "rain"s));
    CHECK(c.calls == 1);
    CHECK(c.known.counts().hits == 7);
    CHECK(c.known.counts().misses == 1);
    CHECK(c.known.counts().waiting == 0);
}

TEST_CASE("Threads that wait for a failing call get its exception, and the next call tries again") {
    cached c;
    c.answer = [&](std::string_view) -> std::string {
        eventually([&] { return c.known.counts().waiting == 7; });
        std::rethrow_exception(down);
    };
    CHECK(in_threads(8, [&](std::size_t) { return c.fetch("oslo"); }) == std::vector(8, "down"s));
    CHECK(c.calls == 1);
    c.answer = [](std::string_view) { return "rain"; };
    CHECK(c.fetch("oslo") == "rain");
}

TEST_CASE("A result that is forgotten during its call reaches the waiting threads, and is not kept") {
    cached c;
    c.answer = [&](std::string_view) {
        eventually([&] { return c.known.counts().waiting == 3; });
        c.known.forget("oslo");
        return "old";
    };
    CHECK(in_threads(4, [&](std::size_t) { return c.fetch("oslo"); }) == std::vector(4, "old"s));
    CHECK(c.calls == 1);
    c.answer = [](std::string_view) { return "new"; };
    CHECK(c.fetch("oslo") == "new");
}

TEST_CASE("A call that asks the cache for its own result does not wait for itself") {
    cached c;
    c.answer = [&](std::string_view city) { return c.calls == 1 ? "outer, " + c.fetch(city) : "inner"s; };
    CHECK(c.fetch("oslo") == "outer, inner");
    CHECK(c.fetch("oslo") == "outer, inner");
    CHECK(c.calls == 2);
}

TEST_CASE("A thread that is in a cached call does not wait for another thread, with one cache or with two") {
    const bool has_two_caches = GENERATE(false, true);
    cached c;
    const hooks::cache second{c.fetch, {.clock = c.time.clock()}};
    ext::extensible<std::string(std::string_view)> other{c.registry, "other", [&](std::string_view city) {
        ++c.calls;
        return c.answer(city);
    }};
    other.around(has_two_caches ? second : c.known);
    std::atomic<int> inside{0}, answered{0};
    c.answer = [&](std::string_view city) {
        thread_local bool is_nested = false;
        if (is_nested) return "nested " + std::string(city);
        is_nested = true;
        ++inside;
        eventually([&] { return inside == 2; });
        const std::string result = city == "a" ? "a with " + other("b") : "b with " + c.fetch("a");
        is_nested = false;
        ++answered;
        eventually([&] { return answered == 2; });
        return result;
    };
    CHECK(in_threads(2, [&](std::size_t i) { return i == 0 ? c.fetch("a") : other("b"); }) ==
          std::vector{"a with nested b"s, "b with nested a"s});
    CHECK(c.calls == 4);
    CHECK(c.fetch("a") == "a with nested b");
    CHECK(c.calls == 4);
}

TEST_CASE("Many threads can use and clear a cache at once") {
    cached c({.ttl = 5ms, .capacity = 3});
    const auto outcomes = in_threads(4, [&](std::size_t thread) {
        for (int i = 0; i < 500; ++i) {
            const std::string city(1, static_cast<char>('a' + (i * 7 + static_cast<int>(thread)) % 5));
            if (c.fetch(city) != "weather of " + city) return "wrong"s;
            if (i % 50 == 0) c.known.forget(city);
            if (i % 100 == 0) c.known.clear();
            c.time.pass(100us);
        }
        return ""s;
    });
    CHECK(outcomes == std::vector(4, ""s));
    const hooks::cache_counts counts = c.known.counts();
    CHECK(counts.hits + counts.misses == 2000);
    CHECK(counts.misses == static_cast<std::uint64_t>(c.calls));
    CHECK(counts.size <= 3);
}

// ---- Awaited calls --------------------------------------------------------------------------------------------------

namespace {

struct awaited {
    ext::registry registry;
    tasks::gate gate;
    int calls = 0;
    bool fails = false;
    ext::extensible<tasks::lazy<std::string>(std::string_view)> load{
        registry, "load", [this](std::string_view city) -> tasks::lazy<std::string> {
            ++calls;
            const std::string kept(city);
            co_await gate;
            if (fails) throw std::runtime_error("down");
            co_return kept;
        }};
    hooks::cache<tasks::lazy<std::string>(std::string_view)> known{load, {.ttl = 1h}};
    awaited() { load.around(known); }
};

}  // namespace

TEST_CASE("Awaited calls that ask a cache for one result are suspended, and resumed when the first has ended") {
    awaited a;
    auto first = a.load("oslo"), second = a.load("oslo"), third = a.load("oslo"), other = a.load("rome");
    first.start();
    second.start();
    third.start();
    other.start();
    CHECK(a.calls == 2);
    REQUIRE_FALSE(second.done());
    SECTION("a result") {
        a.gate.open();
        REQUIRE((first.done() && second.done() && third.done()));
        CHECK(first.get() + second.get() + third.get() == "oslooslooslo");
        CHECK(a.load("oslo").run() == "oslo");
        CHECK(a.calls == 2);
        CHECK(a.known.counts().hits == 3);
    }
    SECTION("a failure") {
        a.fails = true;
        a.gate.open();
        REQUIRE((first.done() && second.done() && third.done()));
        CHECK_THROWS_WITH(first.get(), "down");
        CHECK_THROWS_WITH(third.get(), "down");
        CHECK_THROWS_WITH(a.load("oslo").run(), "down");
        CHECK(a.calls == 3);
    }
}

TEST_CASE("If the awaited call that runs the function is destroyed, a waiting call runs the function instead") {
    awaited a;
    std::optional first(a.load("oslo"));
    auto third = a.load("oslo");
    auto fourth = a.load("oslo");
    first->start();
    {
        auto second = a.load("oslo");
        second.start();
        third.start();
        fourth.start();
    }  // destroys the second call, which waits
    CHECK(a.calls == 1);
    a.gate = tasks::gate();  // forgets the first call
    first.reset();
    CHECK(a.calls == 2);
    a.gate.open();
    REQUIRE((third.done() && fourth.done()));
    CHECK(third.get() + fourth.get() == "oslooslo");
    CHECK(a.calls == 2);
}

TEST_CASE("An awaited call that is resumed can destroy another waiting call") {
    awaited a;
    std::optional<tasks::lazy<std::string>> third;
    const auto wait_and_destroy = [&]() -> tasks::eager<int> {
        co_await a.load("oslo");
        third.reset();
        co_return 0;
    };
    auto first = a.load("oslo");
    first.start();
    auto second = wait_and_destroy();
    third.emplace(a.load("oslo"));
    third->start();
    auto fourth = a.load("oslo");
    fourth.start();
    a.gate.open();
    CHECK(second.done());
    REQUIRE(fourth.done());
    CHECK(fourth.get() == "oslo");
}

TEST_CASE("Awaited calls on many threads run the function once for each argument") {
    ext::registry registry;
    std::atomic<int> calls{0}, right{0};
    ext::extensible load{registry, "load", [&](int x) -> tasks::lazy<int> {
        ++calls;
        std::this_thread::yield();
        co_return 2 * x;
    }};
    load.around(hooks::cache{load});
    const auto await_one = [&](int x) -> tasks::eager<void> { right += co_await load(x) == 2 * x; };
    std::vector<std::vector<tasks::eager<void>>> awaiting(4);  // they may end on any of the threads
    in_threads(4, [&](std::size_t thread) {
        for (int i = 0; i < 500; ++i) awaiting[thread].push_back(await_one(i));
        return "";
    });
    CHECK(right == 2000);
    CHECK(calls == 500);
}

TEST_CASE("A cache says what is wrong with its options") {
    using cache = hooks::cache<int(int)>;
    CHECK_THROWS_WITH(cache({.capacity = 0}),
                      "ext::hooks::cache: .capacity must be at least 1, but is 0");
    CHECK_THROWS_WITH(cache({.ttl = -1s}), "ext::hooks::cache: .ttl must be 0 or more, but is -1 s");
    CHECK_THROWS_AS(cache({.failures_ttl = -1s}), ext::error);
}
