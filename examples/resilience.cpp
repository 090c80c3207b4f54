// A function that sometimes fails, and three ready-made hooks that help: a cache, a circuit
// breaker, and a retry with growing pauses. The function and its callers do not change. From the
// project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/resilience.cpp -o resilience && ./resilience

#include <extensible/extensible.hpp>
#include <extensible/hooks/breaker.hpp>
#include <extensible/hooks/cache.hpp>
#include <extensible/hooks/retry.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using std::chrono::milliseconds;
namespace hooks = ext::hooks;

// ---- The application ------------------------------------------------------------------------------------------------

// A clock that advances only when it is told to. So the program does not wait, and prints the same
// each time.
class simulated_time {
public:
    hooks::time_point now() const { return hooks::time_point(hooks::duration(passed_)); }
    void pass(hooks::duration time) { passed_ += time.count(); }

private:
    std::atomic<hooks::duration::rep> passed_{0};
};
inline simulated_time simulation;

namespace weather {

inline std::atomic<int> requests{0};
inline std::atomic<int> requests_to_oslo{0};

// Stands in for a request to a weather station. It knows nothing of caches, budgets and retries.
inline ext::extensible fetch{"weather.fetch", [](std::string_view city) -> std::string {
    ++requests;
    simulation.pass(city == "Nuuk" ? 150ms : 20ms);
    if (city == "Nuuk") throw std::runtime_error("Nuuk does not answer");
    if (city == "Atlantis") throw std::runtime_error("Atlantis has no station");
    if (city == "Oslo" && ++requests_to_oslo % 3 != 0) throw std::runtime_error("Oslo is busy");  // two of three times
    return simulation.now() < hooks::time_point(10min) ? "7 degrees" : "6 degrees";
}};

}  // namespace weather

void show(const std::string& city) {
    const hooks::time_point begin = simulation.now();
    const int requests_before = weather::requests;
    std::string outcome;
    try {
        outcome = weather::fetch(city);
    } catch (const std::exception& error) {
        outcome = error.what();
    }
    std::cout << city << ": " << outcome << " (requests: " << weather::requests - requests_before << ", "
              << std::chrono::duration_cast<milliseconds>(simulation.now() - begin).count() << " ms)\n";
}

int main() {
    std::cout << "Without hooks:\n";
    show("Oslo");

    // The priorities decide which hook is around which. The order here does not matter: hooks may
    // be registered in different places. The cache is outermost, because a cached result takes no
    // time. The breaker counts calls, not attempts.
    const hooks::clock clock{[] { return simulation.now(); }, [](hooks::duration pause) { simulation.pass(pause); }};
    const hooks::cache known{weather::fetch, {.ttl = 10min, .clock = clock}};
    const hooks::breaker breaker{{.minimum_calls = 3, .break_duration = 1min, .clock = clock}};
    weather::fetch.around(hooks::retry({.attempts = 4, .first_pause = 50ms, .budget = 500ms, .clock = clock}),
                          {.id = "retry", .priority = 30});
    weather::fetch.around(breaker, {.id = "breaker", .priority = 20});
    weather::fetch.around(known, {.id = "cache", .priority = 10});
    std::cout << "\nWith these:\n" << ext::describe(ext::default_registry()) << '\n';

    show("Oslo");      // the second attempt succeeds
    show("Oslo");      // from the cache
    show("Atlantis");  // all four attempts fail
    show("Nuuk");      // the third attempt begins within the budget and ends after it, so it is the last
    show("Nuuk");      // two of three calls have failed, so the breaker is open
    show("Oslo");      // still from the cache

    simulation.pass(10min);
    std::cout << "\nTen minutes later:\n";
    show("Oslo");

    std::cout << "\nFour threads, a hundred calls each:\n";
    const int requests_before = weather::requests;
    std::atomic<int> answers{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&answers] {
            for (int call = 0; call < 100; ++call) answers += weather::fetch("Bergen") == "6 degrees";
        });
    for (std::thread& thread : threads) thread.join();
    std::cout << "Bergen: 6 degrees, " << answers
              << " times (requests: " << weather::requests - requests_before << ")\n"
              << known.counts().hits << " calls were answered by the cache\n";
}
