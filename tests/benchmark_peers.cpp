// Compares the cost of calls with hooks with that of other libraries, on one and on several
// threads. The output is CSV:
// cmake -S . -B build -DEXTENSIBLE_BENCHMARK_PEERS=ON && cmake --build build --target benchmark_peers
// build/tests/benchmark_peers
//
// Each candidate calls one function int(int) and runs a number of listeners, each of which adds the
// argument to a counter. The optional argument of the program is the number of seconds for each of
// the two parts. `.github/charts/make.sh` draws charts from the output.

#define _LIBCPP_ENABLE_CXX17_REMOVED_UNARY_BINARY_FUNCTION  // Boost before 1.81 with libc++ needs it

#include <extensible/extensible.hpp>

#ifdef EXTENSIBLE_HAS_BOOST_SIGNALS2
#include <boost/signals2/signal.hpp>
#include <boost/version.hpp>
#endif
#ifdef EXTENSIBLE_HAS_SIGCXX
#include <sigc++/sigc++.h>
#endif
#ifdef EXTENSIBLE_HAS_SIGSLOT
#include <sigslot/signal.hpp>
#endif
#ifdef EXTENSIBLE_HAS_EVENTPP
#include <eventpp/callbacklist.h>
#endif
#ifdef EXTENSIBLE_HAS_ENTT
#include <entt/signal/sigh.hpp>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace {

// ---- The candidates -------------------------------------------------------------------------------------------------

constexpr std::array hook_counts{0, 1, 2, 4, 8, 16};

// The asm hides the result from the compiler, so that it has to make the call.
[[gnu::noinline]] int plain(int x) {
    asm volatile("" : "+r"(x));
    return x + 1;
}

thread_local constinit long counter = 0;  // one per thread: threads share only what the candidate itself shares

// Each listener is a separate function, as in a real program. If there were only one, compilers
// would guess the target of the call and inline it. If all were equal, they would be merged.
template <int number>
void heard(int x) {
    counter += x + number;
}

// Calls connect.operator()<&heard<number>>() `count` times, each time with another number.
template <class Connect>
void add_listeners(int count, Connect connect) {
    [&]<int... number>(std::integer_sequence<int, number...>) {
        ((number < count ? connect.template operator()<&heard<number>>() : void()), ...);
    }(std::make_integer_sequence<int, hook_counts.back()>());
}

struct plain_call {
    explicit plain_call(int = 0) {}
    int operator()(int x) const { return plain(x); }
};

class extensible_call {
public:
    explicit extensible_call(int hooks) : function_("benchmark." + std::to_string(hooks), plain_call()) {
        add_listeners(
            hooks, [&]<auto listener> { function_.on_start([](auto& call) { listener(*std::get<0>(call.args)); }); });
    }
    int operator()(int x) const { return function_(x); }

private:
    ext::extensible<int(int), plain_call> function_;
};

// What a program would use without a library. It looks up one of sixteen names.
class map_call {
public:
    explicit map_call(int hooks) {
        for (char last = 'a'; last < 'a' + 15; ++last) hooks_[std::string("models.get_") + last].push_back(&heard<0>);
        add_listeners(hooks, [&]<auto listener> { hooks_[name_].push_back([](int x) { listener(x); }); });
    }
    int operator()(int x) {
        run_hooks(x);
        return plain(x);
    }

private:
    void run_hooks(int x) {
        const std::shared_lock lock(mutex_);
        if (const auto at = hooks_.find(name_); at != hooks_.end())
            for (const auto& hook : at->second) hook(x);
    }

    const std::string name_ = "models.get_api_key";
    std::shared_mutex mutex_;
    std::map<std::string, std::vector<std::function<void(int)>>> hooks_;
};

// Emits a signal, then calls the function.
template <class Signal>
class signal_call {
public:
    explicit signal_call(int hooks) {
        add_listeners(hooks, [&]<auto listener> { signal_.connect([](int x) { listener(x); }); });
    }
    int operator()(int x) {
        signal_(x);
        return plain(x);
    }

private:
    Signal signal_;
};

#ifdef EXTENSIBLE_HAS_EVENTPP
class eventpp_call {
public:
    explicit eventpp_call(int hooks) {
        add_listeners(hooks, [&]<auto listener> { list_.append([](int x) { listener(x); }); });
    }
    int operator()(int x) {
        list_(x);
        return plain(x);
    }

private:
    eventpp::CallbackList<void(int)> list_;
};
#endif

#ifdef EXTENSIBLE_HAS_ENTT
class entt_call {
public:
    explicit entt_call(int hooks) {
        add_listeners(hooks, [&]<auto listener> { entt::sink{signal_}.template connect<listener>(); });
    }
    int operator()(int x) {
        signal_.publish(x);
        return plain(x);
    }

private:
    entt::sigh<void(int)> signal_;
};
#endif

// ---- How each is called ---------------------------------------------------------------------------------------------

struct candidate {
    std::string name;
    int hooks;
    bool for_threads;
    std::function<void(int)> call;  // calls the function this many times
    int block = 1000;               // calls per timed block, which takes about 20 us
    double best_ns = INFINITY;      // per call, of the fastest block: disturbances only slow it down
};

// Aligned, so that the loop has the same position in its cache lines whatever it calls.
template <class Function>
[[gnu::noinline, gnu::aligned(64)]] int call_repeatedly(Function& function, int times) {
    int x = 0;
    for (int i = 0; i < times; ++i) x = function(x);
    return x;
}

std::vector<candidate> candidates;

template <class Function>
void add(const char* name, int hooks, bool for_threads) {
    const auto function = std::make_shared<Function>(hooks);
    candidates.push_back({name, hooks, for_threads, [function](int times) { call_repeatedly(*function, times); }});
}

// The last argument says whether a candidate can be called on several threads while other threads
// change the listeners, according to its documentation.
void add_candidates() {
    add<plain_call>("plain call", 0, true);
    for (const int hooks : hook_counts) {
        add<extensible_call>("extensible", hooks, true);
        add<map_call>("map under a mutex", hooks, true);
#ifdef EXTENSIBLE_HAS_BOOST_SIGNALS2
        add<signal_call<boost::signals2::signal<void(int)>>>("Boost.Signals2", hooks, true);
#endif
#ifdef EXTENSIBLE_HAS_SIGCXX
        add<signal_call<sigc::signal<void(int)>>>("libsigc++", hooks, false);
#endif
#ifdef EXTENSIBLE_HAS_SIGSLOT
        add<signal_call<sigslot::signal<int>>>("sigslot", hooks, true);
#endif
#ifdef EXTENSIBLE_HAS_EVENTPP
        add<eventpp_call>("eventpp", hooks, true);
#endif
#ifdef EXTENSIBLE_HAS_ENTT
        add<entt_call>("EnTT", hooks, false);
#endif
    }
}

// ---- One call, on one thread ----------------------------------------------------------------------------------------

using clock = std::chrono::steady_clock;

double ns_since(clock::time_point start) {
    return std::chrono::duration<double, std::nano>(clock::now() - start).count();
}

double time_of_block(const candidate& each) {
    each.call(each.block / 10);  // fills the caches again after the other candidates
    const auto start = clock::now();
    each.call(each.block);
    return ns_since(start) / each.block;
}

// Measures many short blocks, so that most of them are not interrupted. The candidates take turns,
// so that a slow phase of the machine affects all of them. A second thread sleeps meanwhile: if a
// process has only one thread, libstdc++ counts the references of a std::shared_ptr without atomic
// operations, but programs that need thread-safe hooks have several threads.
void measure_calls(double seconds) {
    std::atomic<bool> done{false};
    std::thread asleep([&] { done.wait(false); });
    for (const auto start = clock::now(); ns_since(start) < seconds * 1e9;)
        for (candidate& each : candidates) {
            each.best_ns = std::min(each.best_ns, time_of_block(each));
            each.block = static_cast<int>(20'000 / each.best_ns) + 1;
        }
    done = true;
    done.notify_one();
    asleep.join();
}

// ---- One hook, on several threads -----------------------------------------------------------------------------------

// Pins each thread to a core of its own, as long as there are enough. Otherwise two threads might
// share a core while another program uses the other one.
void stay_on_core([[maybe_unused]] unsigned number) {
#ifdef __linux__
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(number % std::max(1u, std::thread::hardware_concurrency()), &cores);
    sched_setaffinity(0, sizeof(cores), &cores);  // if this is forbidden, they run on any core
#endif
}

struct alignas(64) progress {
    std::atomic<long> calls{0};
};

// The calls per microsecond of all threads together, over 20 ms in which all of them run. Their
// start and end are not measured.
double calls_per_us(const candidate& each, int threads) {
    std::atomic<bool> stop{false};
    std::vector<progress> made(static_cast<std::size_t>(threads));
    std::vector<std::thread> running;
    for (progress& own : made)
        running.emplace_back([&, number = static_cast<unsigned>(running.size())] {
            stay_on_core(number);
            for (constexpr int batch = 100; !stop; own.calls += batch) each.call(batch);
        });
    const auto all = [&] {
        long sum = 0;
        for (const progress& own : made) sum += own.calls;
        return sum;
    };
    for (const progress& own : made)
        while (own.calls == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
    const long before = all();
    const auto start = clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const double result = static_cast<double>(all() - before) * 1000 / ns_since(start);
    stop = true;
    for (auto& thread : running) thread.join();
    return result;
}

struct threads_result {
    const candidate* of;
    int threads;
    std::vector<double> samples;
};

// The candidates take turns again. The result is the median: the best sample might be one in which
// a single core ran the threads one after the other, so that they never competed for a lock. The
// machine must be idle.
std::vector<threads_result> measure_threads(double seconds) {
    std::vector<threads_result> results;
    std::set<int> thread_counts{1, 2, 4};
    thread_counts.insert(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
    for (const candidate& each : candidates)
        for (const int threads : thread_counts)
            if (each.for_threads && (each.hooks == 1 || each.name == "plain call"))
                results.push_back({&each, threads, {}});
    for (const auto start = clock::now(); ns_since(start) < seconds * 1e9;)
        for (auto& [of, threads, samples] : results) samples.push_back(calls_per_us(*of, threads));
    return results;
}

double median(std::vector<double> samples) {
    const auto middle = samples.begin() + std::ssize(samples) / 2;
    std::nth_element(samples.begin(), middle, samples.end());
    return *middle;
}

// ---- Results --------------------------------------------------------------------------------------------------------

std::string machine() {
    std::string line, model = "unknown processor";
    for (std::ifstream info("/proc/cpuinfo"); std::getline(info, line);)
        if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
    return model + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores";
}

// The head names the machine, the compiler, the date and the versions of the peers. CMake defines
// EXTENSIBLE_BUILD and EXTENSIBLE_PEERS.
void print_head() {
    std::array<char, 20> date{};
    const std::time_t now = std::time(nullptr);
    std::strftime(date.data(), date.size(), "%Y-%m-%d", std::gmtime(&now));
    std::printf("# machine: %s\n# compiler: %s\n# date: %s\n", machine().c_str(), EXTENSIBLE_BUILD, date.data());
#ifdef EXTENSIBLE_HAS_BOOST_SIGNALS2
    std::printf("# peers: Boost %d.%d\n", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000);
#endif
    if (*EXTENSIBLE_PEERS) std::printf("# peers: %s\n", EXTENSIBLE_PEERS);
}

void print_row(const char* part, const std::string& name, int hooks, int threads, double ns, double plain_ns) {
    std::printf("%s,%s,%d,%d,%.2f,%.2f,%.2f\n", part, name.c_str(), hooks, threads, ns, ns / plain_ns,
                threads * 1000 / ns);
}

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 20;
    add_candidates();
    measure_calls(seconds);
    const auto on_threads = measure_threads(seconds);

    print_head();
    std::printf("part,candidate,hooks,threads,ns_per_call,to_plain,calls_per_us\n");
    const double plain_ns = candidates.front().best_ns;
    for (const candidate& each : candidates) print_row("calls", each.name, each.hooks, 1, each.best_ns, plain_ns);
    for (const auto& [of, threads, samples] : on_threads)
        print_row("threads", of->name, of->hooks, threads, threads * 1000 / median(samples), plain_ns);
}
