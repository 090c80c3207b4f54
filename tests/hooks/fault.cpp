#include "../catch.hpp"
#include "../tasks.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/retry.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
namespace hooks = ext::hooks;

namespace {

// Calls the function `calls` times. Returns which calls threw, as in "..x.x".
std::string pattern_of_faults(auto& function, int calls) {
    std::string pattern;
    for (int call = 0; call < calls; ++call) {
        try {
            function();
            pattern += '.';
        } catch (const hooks::injected_fault&) {
            pattern += 'x';
        }
    }
    return pattern;
}

}  // namespace

TEST_CASE("a fault throws in calls of all matching functions, as long as the faults object lives") {
    ext::registry registry;
    int called = 0;
    ext::extensible get{registry, "net.get", [&] { ++called; }};
    ext::extensible store{registry, "store", [&] { ++called; }};
    {
        const hooks::faults faults{registry, "net.*=throw", {.seed = 5}};
        ext::extensible put{registry, "net.put", [&] { ++called; }};
        CHECK_THROWS_AS(get(), hooks::injected_fault);
        CHECK_THROWS_AS(put(), ext::error);
        CHECK_THROWS_WITH(get(), "net.get: injected by net.*=throw, seed 5");
        CHECK(called == 0);
        store();
        CHECK(called == 1);
    }
    get();
    CHECK(called == 2);
}

TEST_CASE("a rule can stop after a number of faults") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    const auto faults_of = [&](std::string_view rule) {
        const hooks::faults chaos{registry, rule, {.seed = 7, .clock = time.clock()}};
        int faults = 0;
        for (int i = 0; i < 100; ++i) {
            const hooks::duration before = time.passed();
            try {
                f(i);
            } catch (const hooks::injected_fault&) {
                ++faults;
            }
            if (time.passed() != before) ++faults;
        }
        return faults;
    };
    CHECK(faults_of("f=throw(times=3)") == 3);
    CHECK(faults_of("f = throw( 0.5 , times = 3 )") == 3);
    CHECK(faults_of("f=delay(1ms, times=5)") == 5);
    CHECK(faults_of("f=delay(1ms, 0.5, times=2); f=throw(times=1)") == 3);
    CHECK(faults_of("f=throw(0, times=3)") == 0);
    CHECK(faults_of("f=throw(times=1000)") == 100);
}

TEST_CASE("a fault can have a probability, and the same seed gives the same faults") {
    ext::registry registry;
    ext::extensible get{registry, "get", [] {}};
    const auto faults_with = [&](std::string_view text, std::uint64_t seed) {
        const hooks::faults faults{registry, text, {.seed = seed}};
        CHECK((seed == 0 || faults.seed() == seed || faults.seed() == 77));
        return pattern_of_faults(get, 200);
    };
    const std::string some = faults_with("get=throw(0.25)", 7);
    const auto count = std::count(some.begin(), some.end(), 'x');
    CHECK(count > 20);
    CHECK(count < 80);
    CHECK(faults_with("get=throw(0.25)", 7) == some);
    CHECK(faults_with("get=throw(0.25)", 8) != some);
    CHECK(faults_with("get=throw(0.25)", 0) != faults_with("get=throw(0.25)", 0));
    CHECK(faults_with("seed=77; get=throw(0.25)", 7) == faults_with("get=throw(0.25);seed=77", 8));
    CHECK(faults_with("get=throw(0)", 7) == std::string(200, '.'));
    CHECK(faults_with("get=throw(1)", 7) == std::string(200, 'x'));
    CHECK(faults_with("", 7) == std::string(200, '.'));
}

TEST_CASE("a randomly chosen seed can be read and used again") {
    ext::registry registry;
    ext::extensible get{registry, "get", [] {}};
    std::uint64_t seed = 0;
    std::string first;
    {
        const hooks::faults faults{registry, "other=delay(1ms); get=throw(0.5)"};
        seed = faults.seed();
        first = pattern_of_faults(get, 100);
    }
    const hooks::faults faults{registry, "other=delay(1ms); get=throw(0.5)", {.seed = seed}};
    CHECK(pattern_of_faults(get, 100) == first);
}

TEST_CASE("a fault can delay a call") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible get{registry, "get", [] {}};
    const hooks::faults faults{
        registry, "get = delay( 1.5ms )\n; g*=delay(0ns);get=delay(2s,0) ;", {.clock = time.clock()}};
    get();
    CHECK(time.passed() == 1500us);
    get();
    CHECK(time.passed() == 3ms);
}

TEST_CASE("faults run inside all other hooks") {
    ext::registry registry;
    simulated_clock time;
    int called = 0;
    ext::extensible get{registry, "get", [&] { return ++called; }};
    const hooks::faults faults{registry, "get=throw(0.5)", {.seed = 3}};
    get.around(hooks::retry({.attempts = 100, .first_pause = 0ms, .clock = time.clock()}));
    for (int i = 1; i <= 50; ++i) CHECK(get() == i);
    const hooks::faults always{registry, "get=throw"};
    get.on_start([](auto& call) { call.result = 0; });
    CHECK(get() == 0);
}

TEST_CASE("faults affect awaited calls too") {
    ext::registry registry;
    simulated_clock time;
    int called = 0;
    ext::extensible load{registry, "load", [&](int x) -> tasks::lazy<int> {
        ++called;
        co_return x;
    }};
    SECTION("faults are thrown") {
        const hooks::faults faults{registry, "load=throw"};
        CHECK_THROWS_AS(load(1).run(), hooks::injected_fault);
        CHECK(called == 0);
    }
    SECTION("delays block the thread") {
        const hooks::faults faults{registry, "load=delay(3s)", {.clock = time.clock()}};
        CHECK(load(1).run() == 1);
        CHECK(time.passed() == 3s);
    }
    SECTION("delays are awaited if a function gives the awaitable") {
        tasks::gate timer;
        hooks::duration paused{};
        const auto pause_on_timer = [&](hooks::duration pause) -> tasks::gate& {
            paused = pause;
            return timer;
        };
        const hooks::faults faults{registry, "load=delay(3s);load=delay(0s)", {.clock = time.clock()}, pause_on_timer};
        auto call = load(1);
        call.start();
        CHECK_FALSE(call.done());
        CHECK(called == 0);
        timer.open();
        CHECK(call.get() == 1);
        CHECK(paused == 3s);
        CHECK(time.passed() == 0s);
    }
}

TEST_CASE("faults can be read from the environment") {
    ext::registry registry;
    ext::extensible get{registry, "get", [] {}};
    const auto faults_of = [&](const char* text) {
#if defined(_WIN32)
        _putenv_s("EXTENSIBLE_FAULTS", text ? text : "");  // an empty value removes the variable
#else
        if (text) setenv("EXTENSIBLE_FAULTS", text, 1);
        else unsetenv("EXTENSIBLE_FAULTS");
#endif
        const auto faults = hooks::faults::from_environment(registry);
        return pattern_of_faults(get, 1);
    };
    CHECK(faults_of("get=throw") == "x");
    CHECK(faults_of("") == ".");
    CHECK_THROWS_AS(faults_of("get=throws"), ext::error);
    CHECK(faults_of(nullptr) == ".");
}

TEST_CASE("threads draw their faults from one sequence") {
    ext::registry registry;
    ext::extensible get{registry, "get", [] {}};
    const auto count_on = [&](int threads) {
        const hooks::faults faults{registry, "get=throw(0.5)", {.seed = 11}};
        std::atomic<int> thrown{0};
        std::vector<std::thread> callers;
        for (int caller = 0; caller < threads; ++caller)
            callers.emplace_back([&] {
                for (int i = 0; i < 600 / threads; ++i) {
                    try {
                        get();
                    } catch (const hooks::injected_fault&) {
                        ++thrown;
                    }
                }
            });
        for (std::thread& caller : callers) caller.join();
        return thrown.load();
    };
    CHECK(count_on(3) == count_on(1));
}

TEST_CASE("an invalid text of faults is an error that names the column") {
    ext::registry registry;
    const auto error_of = [&](std::string_view text) -> std::string {
        try {
            const hooks::faults faults{registry, text};
        } catch (const ext::error& error) {
            return error.what();
        }
        return "none";
    };
    CHECK(error_of("net.*=thorw(0.01)") ==
          "ext::hooks::faults: column 7 of \"net.*=thorw(0.01)\": throw or delay was expected, \"thorw(0.01)\" was "
          "found");
    CHECK(error_of("a=throw(0.1);b=throw(x)") ==
          "ext::hooks::faults: column 22 of \"a=throw(0.1);b=throw(x)\": a number was expected, \"x)\" was found");
    CHECK_THAT(error_of("a"), ContainsSubstring("column 2 of \"a\": '=' was expected, the end was found"));
    CHECK_THAT(error_of("a=throw; =throw"),
               ContainsSubstring("column 10 ") && ContainsSubstring("of a function, or a pattern, was expected"));
    CHECK_THAT(error_of("a="),
               ContainsSubstring("column 3 ") && ContainsSubstring("throw or delay was expected, the end was found"));
    CHECK_THAT(error_of("a=throw(0.1"),
               ContainsSubstring("column 12 ") && ContainsSubstring("')' was expected, the end was found"));
    CHECK_THAT(error_of("a=throw(0.1;b=throw"),
               ContainsSubstring("column 12 ") && ContainsSubstring("')' was expected, \";b=throw\" was found"));
    CHECK_THAT(error_of("a=throw(1.5)"),
               ContainsSubstring("column 9 ") && ContainsSubstring("a probability between 0 and 1 was expected"));
    CHECK_THAT(error_of("a=throw(-1)"),
               ContainsSubstring("column 9 ") && ContainsSubstring("a number was expected, \"-1)\""));
    CHECK_THAT(error_of("a=throw(nan)"), ContainsSubstring("column 9 ") && ContainsSubstring("a number was expected"));
    CHECK_THAT(error_of("a=throw(1.)"), ContainsSubstring("column 11 ") && ContainsSubstring("a digit was expected"));
    CHECK_THAT(error_of("a=delay"),
               ContainsSubstring("column 8 ") && ContainsSubstring("'(' was expected, the end was found"));
    CHECK_THAT(error_of("a=delay(5)"),
               ContainsSubstring("column 10 ") && ContainsSubstring("ns, us, ms or s was expected, \")\" was found"));
    CHECK_THAT(error_of("a=delay(5min)"),
               ContainsSubstring("column 10 ") && ContainsSubstring("ns, us, ms or s was expected"));
    CHECK_THAT(error_of("a=delay(99999999999s)"),
               ContainsSubstring("column 9 ") && ContainsSubstring("no more than 1000000000s was expected"));
    CHECK_THAT(error_of("a=delay(5ms 1)"),
               ContainsSubstring("column 13 ") && ContainsSubstring("',' or ')' was expected, \"1)\" was found"));
    CHECK_THAT(error_of("a=throw b=throw"),
               ContainsSubstring("column 9 ") && ContainsSubstring("';' or the end was expected"));
    CHECK_THAT(error_of("seed=99999999999999999999"),
               ContainsSubstring("column 6 ") && ContainsSubstring("a number of 64 bits was expected"));
    CHECK_THAT(error_of("a=throw(times=0)"),
               ContainsSubstring("column 15 ") && ContainsSubstring("a number of at least 1 was expected"));
    CHECK_THAT(error_of("a=throw(0.5, twice)"),
               ContainsSubstring("column 14 ") && ContainsSubstring("times, as in times=3, was expected, \"twice)\""));
    CHECK_THAT(error_of("a=throw(timesheet=3)"), ContainsSubstring("times, as in times=3, was expected"));
    CHECK_THAT(error_of("a=throw(0." + std::string(400, '1') + ")"),
               ContainsSubstring("a probability between 0 and 1 was expected"));
    CHECK_THAT(error_of("a=delay(1s, times)"),
               ContainsSubstring("column 18 ") && ContainsSubstring("'=' was expected, \")\" was found"));
    CHECK_THAT(error_of("seed=-1"), ContainsSubstring("column 6 "));
    CHECK_THAT(error_of(" ; "), ContainsSubstring("column 2 ") && ContainsSubstring("the name of a function"));
    CHECK(error_of("seed=18446744073709551615") == "none");
    CHECK(error_of("seed=throw") == "none");  // a function may have this name

    ext::extensible a{registry, "a", [] {}};
    CHECK_THROWS_AS((hooks::faults{registry, "a=throw;b"}), ext::error);
    a();  // nothing was registered
}

TEST_CASE("Faults use the default registry if no registry is given") {
    ext::extensible f{"faults_of_the_default_registry.f", [] {}};
    {
        const hooks::faults faults{"faults_of_the_default_registry.*=throw"};
        CHECK_THROWS_AS(f(), hooks::injected_fault);
    }
    f();
}
