// Shows a function that fails now and then, and three hooks that make up for it without a change to the function or its
// callers: a cache, a time budget, and a retry with growing pauses. From the project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/resilience.cpp -o resilience && ./resilience

#include <extensible/extensible.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using time_point = std::chrono::steady_clock::time_point;

// What the hooks know of time. A test makes up its own, and so does the application below, which therefore takes none.
struct timer {
    std::function<time_point()> now = [] { return std::chrono::steady_clock::now(); };
    std::function<void(milliseconds)> sleep = [](milliseconds time) { std::this_thread::sleep_for(time); };
};

// ---- The hooks, which know nothing of the application ---------------------------------------------------------------

// What is kept of an argument: a copy, because what a std::string_view refers to may be gone after the call.
template <class T>
using kept = std::conditional_t<std::is_convertible_v<T, std::string_view>, std::string, std::decay_t<T>>;

// An around hook for this one function: for `ttl` it remembers the result of each set of arguments, but no failure.
template <class R, class... A, class Function, class Parameters>
auto cache_for(const ext::extensible<R(A...), Function, Parameters>&, milliseconds ttl, timer time = {}) {
    using key = std::tuple<kept<A>...>;
    struct entry {
        R result;
        time_point expires;
    };
    struct entries {
        std::mutex mutex;
        std::map<key, entry> known;  // guarded by the mutex
    };

    return [ttl, time, cache = std::make_shared<entries>()](ext::call<R(A...)>& call, ext::proceed& proceed) {
        const key arguments = std::apply([](auto&... argument) { return key(*argument...); }, call.args);
        {
            const std::lock_guard lock(cache->mutex);
            const auto found = cache->known.find(arguments);
            if (found != cache->known.end() && time.now() < found->second.expires) {
                call.result = found->second.result;
                return;  // without proceed(): neither the hooks inside of this one run, nor the function
            }
        }

        // Not under the lock, or all callers would wait for the slowest. So two may ask for the same at the same time.
        proceed();
        if (call.exception) return;

        const std::lock_guard lock(cache->mutex);
        const time_point now = time.now();
        std::erase_if(cache->known, [now](const auto& old) { return old.second.expires <= now; });
        cache->known.insert_or_assign(arguments, entry{*call.result, now + ttl});
    };
}

// An around hook for any function, which is to be done within `limit`. A hook cannot interrupt a function that is
// running, so this one leaves a deadline for those further inside to keep: `retry` does. (A function with a last
// parameter `const ext::kwargs&` gets it as well.)
inline auto time_budget(milliseconds limit, timer time = {}) {
    return [limit, time](ext::any_call& call, ext::proceed& proceed) {
        const time_point outer = call.kwargs().value_or("deadline", time_point::max());
        call.kwargs().set("deadline", std::min(outer, time.now() + limit));
        proceed();
    };
}

inline std::string text_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "unknown error";
    }
}

// An around hook for any function, except one with a move-only argument, which the first attempt would use up. It calls
// the function until that succeeds, `attempts` times at most, with pauses of `first_delay`, twice that, and so on.
// (Where many clients call one server, let chance vary the pauses, or they all come back at the same time.)
inline auto retry(int attempts, milliseconds first_delay, timer time = {}) {
    return [attempts, first_delay, time](ext::any_call& call, ext::proceed& proceed) {
        milliseconds delay = first_delay;
        for (int attempt = 1;; ++attempt, delay *= 2) {
            proceed();
            if (!call.exception() || attempt >= attempts) return;

            // Taken out of the call, because it is dealt with here. One that another displaces counts as lost, of
            // which the registry's error handler is told.
            const std::exception_ptr failure = std::exchange(call.exception(), nullptr);

            const time_point* const deadline = call.kwargs().get<time_point>("deadline");
            if (deadline && time.now() + delay >= *deadline)
                throw std::runtime_error(std::string(call.name()) + ": time budget used up after " +
                                         std::to_string(attempt) + " attempts: " + text_of(failure));
            time.sleep(delay);
        }
    };
}

// ---- The application ------------------------------------------------------------------------------------------------

// Passes only when told to, so that the program is soon done, and prints the same each time.
class simulated_time {
public:
    time_point now() const { return time_point(milliseconds(passed_)); }
    void pass(milliseconds time) { passed_ += time.count(); }

private:
    std::atomic<milliseconds::rep> passed_{0};
};
inline simulated_time simulation;

namespace weather {

inline std::atomic<int> requests{0};
inline std::atomic<int> requests_to_oslo{0};

// Asks a weather station, in place of a network, and knows nothing of caches, budgets and retries.
inline ext::extensible fetch{"weather.fetch", [](std::string_view city) -> std::string {
    ++requests;
    simulation.pass(city == "Nuuk" ? 150ms : 20ms);
    if (city == "Nuuk") throw std::runtime_error("Nuuk does not answer");
    if (city == "Atlantis") throw std::runtime_error("Atlantis has no station");
    if (city == "Oslo" && ++requests_to_oslo % 3 != 0) throw std::runtime_error("Oslo is busy");  // two times of three
    return simulation.now() < time_point(10min) ? "7 degrees" : "6 degrees";
}};

}  // namespace weather

void show(const std::string& city) {
    const time_point begin = simulation.now();
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

    // Which hook is around which is said by the priorities, not by the order here: they might be registered in different
    // places. The cache is outermost, because what it knows takes no time; the budget is for all attempts together.
    const timer time{[] { return simulation.now(); }, [](milliseconds pause) { simulation.pass(pause); }};
    weather::fetch.around(retry(4, 50ms, time), {.id = "retry", .priority = 30});
    weather::fetch.around(time_budget(500ms, time), {.id = "budget", .priority = 20});
    weather::fetch.around(cache_for(weather::fetch, 10min, time), {.id = "cache", .priority = 10});
    std::cout << "\nWith these:\n" << ext::describe(ext::default_registry()) << '\n';

    show("Oslo");      // the second attempt succeeds
    show("Oslo");      // from the cache
    show("Atlantis");  // has its four attempts in time
    show("Nuuk");      // begins its third attempt before the deadline, and ends behind it; there is no fourth
    show("Nuuk");      // failures are not in the cache

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
    // How many threads ask before the first has an answer is a matter of chance.
    const bool few = weather::requests - requests_before <= 4;
    std::cout << "Bergen: 6 degrees, " << answers << " times. One request for each thread at most: "
              << (few ? "yes" : "no") << '\n';
}
