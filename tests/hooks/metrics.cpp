#include "../catch.hpp"
#include "../heap.hpp"
#include "../latch.hpp"
#include "../tasks.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/limit.hpp>
#include <extensible/hooks/metrics.hpp>
#include <extensible/hooks/thrown.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <ios>
#include <limits>
#include <locale>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__GLIBC__)
#include <pthread.h>
#endif

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
namespace hooks = ext::hooks;

namespace {

struct outcome {
    bool is_good;
    friend bool failed(const outcome& outcome) { return !outcome.is_good; }
};

hooks::function_metrics of(const hooks::metrics& metrics, const std::string& name) {
    for (const auto& function : metrics.functions())
        if (function.name == name) return function;
    return {};
}

std::string text_of(const hooks::metrics& metrics) {
    std::ostringstream out;
    metrics.write(out);
    return out.str();
}

std::vector<std::uint64_t> histogram(const hooks::metrics& metrics, const std::string& name) {
    std::vector<std::uint64_t> calls;
    for (const auto& bucket : of(metrics, name).buckets) calls.push_back(bucket.calls);
    return calls;
}

std::vector<std::string> names(const hooks::metrics& metrics) {
    std::vector<std::string> all;
    for (const auto& function : metrics.functions()) all.push_back(function.name);
    return all;
}

using counts = std::vector<std::uint64_t>;
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("metrics are written in the text format of Prometheus") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible load{registry, "net.load", [&](hooks::duration takes) {
        time.pass(takes);
        if (takes > 1s) throw std::runtime_error("too slow");
    }};
    ext::extensible idle{registry, "net.idle", [] {}};
    const hooks::metrics metrics{registry, "net.*", {.buckets = {.1, 2.5}, .clock = time.clock()}};
    CHECK(text_of(metrics) ==
          "# HELP extensible_calls_total Calls that have ended.\n"
          "# TYPE extensible_calls_total counter\n"
          "# HELP extensible_failures_total Calls that have failed.\n"
          "# TYPE extensible_failures_total counter\n"
          "# HELP extensible_calls_in_flight Calls that have begun and not ended.\n"
          "# TYPE extensible_calls_in_flight gauge\n"
          "# HELP extensible_call_duration_seconds The time that the ended calls took.\n"
          "# TYPE extensible_call_duration_seconds histogram\n");
    load(100ms);
    load(500ms);
    CHECK_THROWS(load(3s + 1ns));
    CHECK(text_of(metrics) ==
          "# HELP extensible_calls_total Calls that have ended.\n"
          "# TYPE extensible_calls_total counter\n"
          "extensible_calls_total{function=\"net.load\"} 3\n"
          "# HELP extensible_failures_total Calls that have failed.\n"
          "# TYPE extensible_failures_total counter\n"
          "extensible_failures_total{function=\"net.load\"} 1\n"
          "# HELP extensible_calls_in_flight Calls that have begun and not ended.\n"
          "# TYPE extensible_calls_in_flight gauge\n"
          "extensible_calls_in_flight{function=\"net.load\"} 0\n"
          "# HELP extensible_call_duration_seconds The time that the ended calls took.\n"
          "# TYPE extensible_call_duration_seconds histogram\n"
          "extensible_call_duration_seconds_bucket{function=\"net.load\",le=\"0.1\"} 1\n"
          "extensible_call_duration_seconds_bucket{function=\"net.load\",le=\"2.5\"} 2\n"
          "extensible_call_duration_seconds_bucket{function=\"net.load\",le=\"+Inf\"} 3\n"
          "extensible_call_duration_seconds_sum{function=\"net.load\"} 3.600000001\n"
          "extensible_call_duration_seconds_count{function=\"net.load\"} 3\n");
}

TEST_CASE("metrics count calls and failures: exceptions, and results that denote a failure") {
    ext::registry registry;
    ext::extensible ask{registry, "ask", [](int x) {
        if (x < 0) throw std::invalid_argument("negative");
        return outcome{x != 0};
    }};
    const hooks::metrics metrics{registry, "ask"};
    CHECK(metrics.functions().empty());
    ask(1);
    ask(1);
    CHECK(of(metrics, "ask").calls == 2);
    CHECK(of(metrics, "ask").failures == 0);
    ask(0);
    CHECK(of(metrics, "ask").calls == 3);
    CHECK(of(metrics, "ask").failures == 1);
    CHECK_THROWS(ask(-1));
    CHECK(of(metrics, "ask").calls == 4);
    CHECK(of(metrics, "ask").failures == 2);
    CHECK(of(metrics, "ask").in_flight == 0);
}

TEST_CASE("metrics see the outcome that hooks leave, and count calls that hooks answer or refuse") {
    ext::registry registry;
    simulated_clock time;
    int ran = 0;
    ext::extensible f{registry, "f", [&] { ++ran; }};
    const hooks::metrics metrics{registry, "f", {.clock = time.clock()}};
    {
        const ext::scoped_hook answer = f.on_start([&](auto& call) {
            time.pass(1s);
            call.result.emplace();
        });
        f();
        CHECK(of(metrics, "f").calls == 1);
        CHECK(of(metrics, "f").failures == 0);
        CHECK(of(metrics, "f").time == 1s);
    }
    const ext::scoped_hook limit = f.on_start(hooks::limit_calls({.calls = 1}));
    const ext::scoped_hook nested = f.on_start([&](auto&) { CHECK_THROWS_AS(f(), hooks::limit_exceeded); },
                                               {.priority = 1, .reentrant = false});
    f();
    CHECK(of(metrics, "f").calls == 3);
    CHECK(of(metrics, "f").failures == 1);
    CHECK(ran == 1);
}

TEST_CASE("the option .failed of metrics decides which results mean a failure") {
    ext::registry registry;
    ext::extensible half{registry, "half", [](int x) {
        if (x < 0) throw std::invalid_argument("negative");
        return x / 2;
    }};
    const hooks::metrics metrics{registry, "half", {.failed = [](int result) { return result == 0; }}};
    half(8);
    CHECK(of(metrics, "half").failures == 0);
    half(1);
    CHECK(of(metrics, "half").failures == 1);
    CHECK_THROWS(half(-1));
    CHECK(of(metrics, "half").failures == 2);
    CHECK(of(metrics, "half").calls == 3);
}

TEST_CASE("a call for which the option .failed of metrics throws has failed, and the call proceeds") {
    ext::registry registry;
    simulated_clock time;
    int reported = 0;
    registry.on_hook_error([&](const ext::hook_error&) { ++reported; });
    ext::extensible f{registry, "f", [&](int x) { return time.pass(1s), x; }};
    const hooks::metrics metrics{registry, "f", {.failed = [](int) -> bool { throw 1; },
                                                 .clock = time.clock()}};
    CHECK(f(5) == 5);
    CHECK(reported == 1);
    CHECK(of(metrics, "f").calls == 1);
    CHECK(of(metrics, "f").failures == 1);
    CHECK(of(metrics, "f").in_flight == 0);
    CHECK(of(metrics, "f").time == 1s);
}

TEST_CASE("calls are in flight from begin to end, also if they are nested") {
    ext::registry registry;
    std::function<void(int)> look;
    ext::extensible<void(int)> down{registry, "down", [&](int n) {
        look(n);
        if (n > 1) down(n - 1);
        look(n);
    }};
    const hooks::metrics metrics{registry, "*"};
    look = [&](int n) { CHECK(of(metrics, "down").in_flight == static_cast<std::uint64_t>(4 - n)); };
    down(3);
    CHECK(of(metrics, "down").in_flight == 0);
    CHECK(of(metrics, "down").calls == 3);
    look = [&](int) {
        CHECK(of(metrics, "down").in_flight == 1);
        CHECK(of(metrics, "down").calls == 3);
        CHECK_THAT(text_of(metrics), ContainsSubstring("extensible_calls_in_flight{function=\"down\"} 1\n"));
    };
    down(1);
}

TEST_CASE("awaited calls are in flight while they are suspended, and may end on another thread") {
    ext::registry registry;
    simulated_clock time;
    tasks::gate gates[2];
    ext::extensible load{registry, "load", [&](int i) -> tasks::lazy<int> {
        co_await gates[i];
        co_return i;
    }};
    const hooks::metrics metrics{registry, "load", {.buckets = {1, 2, 3}, .clock = time.clock()}};
    auto first = load(0), second = load(1);
    CHECK(of(metrics, "load").in_flight == 0);  // the tasks are lazy
    first.start();
    time.pass(1s);
    second.start();
    CHECK(of(metrics, "load").in_flight == 2);
    time.pass(1s);
    std::thread([&] { gates[0].open(); }).join();
    CHECK(of(metrics, "load").in_flight == 1);
    CHECK(of(metrics, "load").calls == 1);
    time.pass(1s);
    gates[1].open();
    CHECK(first.get() + second.get() == 1);
    CHECK(of(metrics, "load").in_flight == 0);
    CHECK(of(metrics, "load").calls == 2);
    CHECK(of(metrics, "load").failures == 0);
    CHECK(of(metrics, "load").time == 4s);
    CHECK(histogram(metrics, "load") == counts{0, 2, 2, 2});
}

TEST_CASE("a call that is destroyed while it is suspended leaves, as a failure") {
    ext::registry registry;
    simulated_clock time;
    tasks::gate gate;
    ext::extensible load{registry, "load", [&]() -> tasks::lazy<int> {
        co_await gate;
        co_return 1;
    }};
    const hooks::metrics metrics{registry, "load", {.buckets = {1}, .clock = time.clock()}};
    {
        auto task = load();
        task.start();
        time.pass(2s);
        CHECK(of(metrics, "load").in_flight == 1);
    }
    CHECK(of(metrics, "load").in_flight == 0);
    CHECK(of(metrics, "load").calls == 1);
    CHECK(of(metrics, "load").failures == 1);
    CHECK(of(metrics, "load").time == 2s);
    CHECK(histogram(metrics, "load") == counts{0, 1});
}

#if defined(__GLIBC__) && defined(__GLIBCXX__)  // otherwise the end of a thread cannot pass through a catch-all block
TEST_CASE("a call whose thread ends inside it leaves, as a failure") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible f{registry, "f", [&] {
        time.pass(1s);
        pthread_exit(nullptr);
    }};
    const hooks::metrics metrics{registry, "f", {.clock = time.clock()}};
    std::thread([&] { f(); }).join();
    CHECK(of(metrics, "f").in_flight == 0);
    CHECK(of(metrics, "f").calls == 1);
    CHECK(of(metrics, "f").failures == 1);
    CHECK(of(metrics, "f").time == 1s);
}
#endif

TEST_CASE("a bucket of the histogram includes its bound") {
    ext::registry registry;
    simulated_clock time;
    ext::extensible f{registry, "f", [&](hooks::duration takes) { time.pass(takes); }};
    SECTION("for the default bounds, which are those of Prometheus") {
        const hooks::metrics metrics{registry, "f", {.clock = time.clock()}};
        const std::vector<hooks::duration> bounds{5ms, 10ms, 25ms, 50ms, 100ms, 250ms, 500ms, 1s, 2500ms, 5s, 10s};
        for (const hooks::duration bound : bounds) {
            f(bound);
            f(bound + 1ns);
        }
        CHECK(histogram(metrics, "f") == counts{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 22});
        std::vector<double> seconds;
        for (const auto& bucket : of(metrics, "f").buckets) seconds.push_back(bucket.bound);
        CHECK(seconds == std::vector<double>{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, infinity});
        CHECK_THAT(text_of(metrics), ContainsSubstring("le=\"0.005\"} 1\n") && ContainsSubstring("le=\"10\"} 21\n"));
    }
    SECTION("for bounds that are chosen, however small or large") {
        const hooks::metrics metrics{registry, "f",
                                     {.buckets = {1e-9, .07, 1.001, 1e12, 1e300}, .clock = time.clock()}};
        for (const auto takes : std::vector<hooks::duration>{0ns, 1ns, 2ns, 70ms, 70ms + 1ns, 1001ms}) f(takes);
        CHECK(histogram(metrics, "f") == counts{2, 4, 6, 6, 6, 6});
        CHECK_THAT(text_of(metrics),
                   ContainsSubstring("le=\"1e-09\"} 2\n") && ContainsSubstring("le=\"1e+300\"} 6\n"));
    }
    SECTION("without bounds there is one bucket") {
        const hooks::metrics metrics{registry, "f", {.buckets = {}, .clock = time.clock()}};
        f(1s);
        CHECK(histogram(metrics, "f") == counts{1});
        CHECK_THAT(text_of(metrics), ContainsSubstring("_bucket{function=\"f\",le=\"+Inf\"} 1\n"));
    }
}

TEST_CASE("metrics require bounds of buckets that are finite, more than 0 and ascending") {
    ext::registry registry;
    const auto error = [&](std::vector<double> bounds) -> std::string {
        try {
            const hooks::metrics metrics{registry, "f", {.buckets = std::move(bounds)}};
        } catch (const ext::error& invalid) {
            return invalid.what();
        }
        return "";
    };
    const std::string text = "ext::hooks::metrics: .buckets must be finite, more than 0 and ascending, but is ";
    CHECK(error({1, 2}).empty());
    CHECK(error({1, .5, 2}) == text + "1, 0.5, 2");
    CHECK(error({1, 1}) == text + "1, 1");
    CHECK(error({0, 1}) == text + "0, 1");
    CHECK(error({-1e300, 1}) == text + "-1e+300, 1");
    CHECK(error({1, infinity}) == text + "1, inf");
    CHECK(error({std::nan("")}) == text + "nan");
    CHECK(registry.functions().empty());
    CHECK_THROWS_AS((hooks::metrics{registry, ""}), ext::error);
}

TEST_CASE("metrics escape the names of functions") {
    ext::registry registry;
    ext::extensible f{registry, "a\\b\"c\nd\te \xC3\xA9 \xE9\xFF", [] {}};
    const hooks::metrics metrics{registry, "a*"};
    f();
    CHECK_THAT(text_of(metrics), ContainsSubstring("extensible_calls_total{function=\"a\\\\b\\\"c\\nd\te \xC3\xA9 "
                                                   "\\\\xe9\\\\xff\"} 1\n"));
    CHECK(metrics.functions().at(0).name == f.name());
}

TEST_CASE("metrics under a pattern have each function that was called, in the order of the names") {
    ext::registry registry;
    ext::extensible second{registry, "net.second", [] {}};
    ext::extensible uncalled{registry, "net.uncalled", [] {}};
    ext::extensible other{registry, "other", [] {}};
    const hooks::metrics metrics{registry, "net.*"};
    ext::extensible first{registry, "net.first", [] {}};
    second();
    second();
    first();
    other();
    CHECK(names(metrics) == std::vector<std::string>{"net.first", "net.second"});
    CHECK(of(metrics, "net.first").calls == 1);
    CHECK(of(metrics, "net.second").calls == 2);
    const std::string text = text_of(metrics);
    CHECK_THAT(text, ContainsSubstring("extensible_calls_total{function=\"net.first\"} 1\n"
                                       "extensible_calls_total{function=\"net.second\"} 2\n#"));
}

TEST_CASE("metrics keep a thousand functions apart") {
    ext::registry registry;
    using wrapper = ext::extensible<void()>;
    const hooks::metrics metrics{registry, "*"};
    std::vector<std::unique_ptr<wrapper>> functions;
    for (int i = 0; i < 1000; ++i)
        functions.push_back(std::make_unique<wrapper>(registry, "f" + std::to_string(i), [] {}));
    for (std::size_t i = 0; i < functions.size(); ++i)
        for (std::size_t calls = 0; calls <= i % 3; ++calls) (*functions[i])();
    const auto all = metrics.functions();
    REQUIRE(all.size() == 1000);
    for (const auto& function : all) CHECK(function.calls == std::stoul(function.name.substr(1)) % 3 + 1);
}

TEST_CASE("functions of one name share their metrics, which outlive the wrappers") {
    ext::registry registry;
    const hooks::metrics metrics{registry, "f"};
    {
        const ext::extensible one{registry, "f", [] {}};
        const ext::extensible two{registry, "f", [] {}};
        one();
        two();
    }
    CHECK(of(metrics, "f").calls == 2);
    const ext::extensible three{registry, "f", [](int) {}};
    three(1);
    CHECK(of(metrics, "f").calls == 3);
}

TEST_CASE("metrics can be destroyed while calls run") {
    ext::registry registry;
    auto metrics = std::make_unique<hooks::metrics>(registry, "*");
    int ran = 0;
    SECTION("plain ones") {
        ext::extensible f{registry, "f", [&] {
            metrics.reset();
            ++ran;
        }};
        f();
        f();
    }
    SECTION("awaited ones") {
        tasks::gate gates[2];
        ext::extensible load{registry, "load", [&](int i) -> tasks::lazy<int> {
            co_await gates[i];
            co_return ++ran;
        }};
        auto resumed = load(0);
        resumed.start();
        {
            auto destroyed = load(1);
            destroyed.start();
            metrics.reset();
        }
        gates[0].open();
        CHECK(load(0).run() == 2);
    }
    CHECK(ran == 2);
}

TEST_CASE("threads share metrics, which miss no call") {
    ext::registry registry;
    constexpr int threads = 8, calls = 2000;
    std::vector<std::unique_ptr<ext::extensible<void(int)>>> functions;
    for (const char* name : {"a", "b", "c"})
        functions.push_back(std::make_unique<ext::extensible<void(int)>>(registry, name, [](int i) {
            if (i % 4 == 0) throw i;
        }));
    const hooks::metrics metrics{registry, "*", {.buckets = {1e-6, 1}}};
    tests::latch start(threads + 1);
    std::atomic<int> running{threads};
    std::vector<std::thread> all;
    for (int thread = 0; thread < threads; ++thread)
        all.emplace_back([&] {
            start.arrive_and_wait();
            for (int i = 0; i < calls; ++i)
                for (const auto& function : functions) {
                    try {
                        (*function)(i);
                    } catch (int) {
                    }
                }
            --running;
        });
    start.arrive_and_wait();
    bool fit = true;
    std::uint64_t last = 0;
    while (running != 0) {
        for (const auto& now : metrics.functions()) {
            fit = fit && now.failures <= now.calls && now.in_flight <= threads;
            fit = fit && now.buckets.at(0).calls <= now.buckets.at(1).calls && now.buckets.at(2).calls == now.calls;
        }
        fit = fit && of(metrics, "a").calls >= last;
        last = of(metrics, "a").calls;
    }
    for (std::thread& thread : all) thread.join();
    CHECK(fit);
    CHECK(names(metrics) == std::vector<std::string>{"a", "b", "c"});
    for (const auto& function : metrics.functions()) {
        CHECK(function.calls == threads * calls);
        CHECK(function.failures == threads * calls / 4);
        CHECK(function.in_flight == 0);
    }
}

TEST_CASE("two threads that count in the same cell miss no call") {
    constexpr int cells = 8, calls = 300'000;
    ext::registry registry;
    ext::extensible<outcome()> f{registry, "f", [] { return outcome{false}; }};
    const hooks::metrics metrics{registry, "f"};
    tests::latch start(2);
    const auto make_calls = [&] {
        start.arrive_and_wait();
        for (int i = 0; i < calls; ++i) f();
    };
    std::thread one([&] {
        f();  // the first call of a thread chooses its cell
        for (int other = 1; other < cells; ++other) std::thread([&] { f(); }).join();
        std::thread two(make_calls);
        make_calls();
        two.join();
    });
    one.join();
    CHECK(of(metrics, "f").calls == 2 * calls + cells);
    CHECK(of(metrics, "f").failures == 2 * calls + cells);
    CHECK(of(metrics, "f").in_flight == 0);
}

TEST_CASE("threads that call many functions for the first time at once share their metrics") {
    for (int round = 0; round < 20; ++round) {
        ext::registry registry;
        using wrapper = ext::extensible<void()>;
        std::vector<std::unique_ptr<wrapper>> functions;
        for (int i = 0; i < 50; ++i)
            functions.push_back(std::make_unique<wrapper>(registry, "f" + std::to_string(i), [] {}));
        const hooks::metrics metrics{registry, "*"};
        tests::latch start(4);
        std::vector<std::thread> all;
        for (int thread = 0; thread < 4; ++thread)
            all.emplace_back([&] {
                start.arrive_and_wait();
                for (const auto& function : functions) (*function)();
            });
        for (std::thread& thread : all) thread.join();
        const auto read = metrics.functions();
        CHECK(read.size() == functions.size());
        for (const auto& function : read) CHECK(function.calls == 4);
    }
}

TEST_CASE("only the first counted call of a function allocates") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::extensible g{registry, "g", [](int x) { return x; }};
    const hooks::metrics metrics{registry, "*"};
    CHECK(heap::allocations_of([&] { f(1); }) > 0);
    CHECK(heap::allocations_of([&] { f(1); }) == 0);
    CHECK(heap::allocations_of([&] { g(1); }) > 0);
    CHECK(heap::allocations_of([&] { f(1); }) == 0);
    std::size_t on_other_thread = 99;
    std::thread([&] {
        f(1);  // a thread's first call with hooks allocates its hazard pointers
        on_other_thread = heap::allocations_of([&] { g(1); });
    }).join();
    CHECK(on_other_thread == 0);
    CHECK(of(metrics, "f").calls == 4);
}

TEST_CASE("a call is not counted if there is no memory for the metrics of its function") {
    ext::registry registry;
    bool no_memory = false;
    registry.on_hook_error([&](const ext::hook_error& error) { no_memory = heap::is_bad_alloc(error.exception); });
    ext::extensible f{registry, "f", [](int x) { return x; }};
    const ext::scoped_hook other = f.on_start([](auto&) {});
    f(1);  // allocates the thread's hazard pointers
    const hooks::metrics metrics{registry, "f"};
    std::size_t failing = 1;
    for (bool failed = true; failed; ++failing) {
        no_memory = false;
        auto call = [&] { f(1); };
        const heap::attempt tried = heap::try_failing(failing, call);
        failed = tried.one_failed;
        CHECK(!tried.thrown);
        CHECK(no_memory == failed);
        CHECK(metrics.functions().size() == (failed ? 0u : 1u));
    }
    CHECK(failing >= 3);
    CHECK(of(metrics, "f").calls == 1);
    CHECK(of(metrics, "f").in_flight == 0);
}

#if defined(__cpp_rtti)  // without it, the standard library cannot use a facet of the program
TEST_CASE("the text of metrics does not depend on the format or the locale of the stream") {
    struct grouped : std::numpunct<char> {
        char do_thousands_sep() const override { return '.'; }
        char do_decimal_point() const override { return ','; }
        std::string do_grouping() const override { return "\1"; }
    };
    ext::registry registry;
    simulated_clock time;
    ext::extensible f{registry, "f", [&] { time.pass(1500ms); }};
    const hooks::metrics metrics{registry, "f", {.clock = time.clock()}};
    for (int i = 0; i < 1000; ++i) f();
    std::ostringstream out;
    out.imbue(std::locale(std::locale::classic(), new grouped));
    out << std::hex << std::setfill('*') << std::setw(100'000);
    metrics.write(out);
    CHECK(out.str() == text_of(metrics));
    CHECK_THAT(out.str(), ContainsSubstring("extensible_calls_total{function=\"f\"} 1000\n"));
    CHECK_THAT(out.str(), ContainsSubstring("_sum{function=\"f\"} 1500\n"));
    f();
    CHECK_THAT(text_of(metrics), ContainsSubstring("_sum{function=\"f\"} 1501.5\n"));
}
#endif

TEST_CASE("metrics end with their object, and count in the default registry if no registry is given") {
    ext::extensible f{"metrics_of_the_default_registry.f", [] {}};
    {
        const hooks::metrics metrics{"metrics_of_the_default_registry.*", {.buckets = {1}}};
        f();
        CHECK(names(metrics) == std::vector<std::string>{"metrics_of_the_default_registry.f"});
    }
    const hooks::metrics later{"metrics_of_the_default_registry.f"};
    CHECK(later.functions().empty());
}
