// The ready-made hooks that work without exceptions, because they do not reject calls by throwing.
#include "check.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

#include "hooks/simulated_clock.hpp"

#include <chrono>
#include <sstream>
#include <string>

namespace {

using namespace std::chrono_literals;
namespace hooks = ext::hooks;

struct answer {
    int value;
    bool is_wrong;
};
bool failed(const answer& given) { return given.is_wrong; }

void retry_looks_at_what_results_say() {
    int ran = 0;
    simulated_clock time;
    ext::registry registry;
    ext::extensible ask{registry, "ask", [&] { return ++ran, answer{ran, ran < 3}; }};
    ask.around(hooks::retry({.attempts = 5, .first_pause = 1s, .clock = time.clock()}));
    CHECK(ask().value == 3 && ran == 3);
    ext::extensible status{registry, "status", [&] { return ++ran < 6 ? 503 : 200; }};
    status.around(hooks::retry({.failed = [](const int& code) { return code >= 500; }, .clock = time.clock()}));
    CHECK(status() == 200 && ran == 6);
}

void a_cache_gives_results_again() {
    int ran = 0;
    ext::registry registry;
    ext::extensible twice{registry, "twice", [&](int x) { return ++ran, 2 * x; }};
    hooks::cache known{twice, {.capacity = 2}};
    twice.around(known);
    CHECK(twice(1) == 2 && twice(1) == 2 && ran == 1);
    known.forget(1);
    CHECK(twice(1) == 2 && ran == 2);
}

void limits_let_calls_wait() {
    simulated_clock time;
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.around(hooks::limit_rate({.rate = 10, .burst = 1, .clock = time.clock()}, hooks::wait));
    f.around(hooks::limit_calls({.calls = 1}, hooks::wait));
    const auto begin = time.now();
    CHECK(f(1) + f(2) + f(3) == 6);
    CHECK(time.now() - begin == 200ms);
}

void faults_delay() {
    simulated_clock time;
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    const hooks::faults slow{registry, "f=delay(50ms)", {.clock = time.clock()}};
    const auto begin = time.now();
    CHECK(f(1) == 1 && time.now() - begin == 50ms);
}

void a_spy_answers_and_a_trace_records() {
    std::ostringstream out;
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    {
        const hooks::trace trace{registry, out};
        hooks::spy seen{f};
        seen.returns(5).then_calls_original();
        CHECK(f(1) == 5 && f(2) == 2 && seen.count(1) == 1);
        CHECK(seen.text() == "f was called 2 times:\n  1. (1) returned 5\n  2. (2) returned 2");
    }
    CHECK(out.str().find("\"name\": \"f\"") != std::string::npos && out.str().find("threw") == std::string::npos);
}

void metrics_count() {
    ext::registry registry;
    ext::extensible ask{registry, "ask", [](bool good) { return answer{1, !good}; }};
    const hooks::metrics metrics{registry, "ask"};
    ask(true);
    ask(false);
    CHECK(metrics.functions().size() == 1);
    CHECK(metrics.functions()[0].calls == 2 && metrics.functions()[0].failures == 1);
}

}  // namespace

void check_ready_made_hooks() {
    retry_looks_at_what_results_say();
    a_cache_gives_results_again();
    limits_let_calls_wait();
    faults_delay();
    a_spy_answers_and_a_trace_records();
    metrics_count();
}
