// Compares the cost of calling a wrapped function with that of a plain call, and says whether it is
// within its bounds:
// cmake -S . -B build && cmake --build build --target benchmark && build/tests/benchmark
//
// `--benchmark-samples 5` makes a quick run. An unmet bound is not an error, because the machine
// may be busy. tests/benchmark_compile_time.sh measures what the header costs a compiler.

#define CATCH_CONFIG_EXTERNAL_INTERFACES                    // Catch2 2 declares listeners only with this
#define _LIBCPP_ENABLE_CXX17_REMOVED_UNARY_BINARY_FUNCTION  // Boost before 1.81 with libc++ needs it
#include "benchmark_call.hpp"
#include "catch.hpp"
#include "minimum.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/breaker.hpp>
#include <extensible/hooks/cache.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/limit.hpp>
#include <extensible/hooks/metrics.hpp>
#include <extensible/hooks/retry.hpp>
#include <extensible/hooks/spy.hpp>
#include <extensible/hooks/trace.hpp>

#ifdef EXTENSIBLE_HAS_BOOST_SIGNALS2
#include <boost/signals2/signal.hpp>
#endif
#ifdef EXTENSIBLE_HAS_SIGCXX
#include <sigc++/sigc++.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <shared_mutex>
#include <ostream>
#include <streambuf>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

// ---- What is measured -----------------------------------------------------------------------------------------------

// Defined in benchmark_library.cpp.
void add_hooks_in_library();
int call_in_library(int times);             // calls a function of the library's own registry
int call_in_library_of_program(int times);  // calls a function of the program's registry

namespace {

[[gnu::noinline]] tasks::lazy<int> plain_coroutine(int x) { co_return plain(x); }
ext::extensible coroutine{"benchmark.coroutine", &plain_coroutine};

ext::extensible wrapped_lambda{"benchmark.lambda", [](int x) { return plain(x); }};
ext::extensible wrapped_pointer{"benchmark.pointer", &plain};
ext::extensible<int(int)> wrapped_erased{"benchmark.erased", [](int x) { return plain(x); }};
ext::extensible hooked{"benchmark.hooked", [](int x) { return plain(x); }};

const auto end_hook = [](auto& call) { call.result = *call.result + 1; };
const auto around_hook = [](auto&, auto& proceed) { proceed(); };

// Reads the argument. The asm makes the compiler load it, although it is not used.
const auto any_hook = [](ext::any_call& call) {
    if (const int* x = call.arg<int>(0)) asm volatile("" : : "r"(*x));
};

// The same as start_hook, for the other libraries and the map.
const auto slot = [](int& x) { x = x + 1; };

std::vector<ext::scoped_hook> register_start_hooks(int count) {
    std::vector<ext::scoped_hook> hooks;
    for (int i = 0; i < count; ++i) hooks.emplace_back(hooked.on_start(start_hook));
    return hooks;
}

// The same hooks for tests/minimum.hpp.
void minimal_start_hook(void*, minimum::call& call) { *call.argument += 1; }
void minimal_end_hook(void*, minimum::call& call) { call.result = *call.result + 1; }

// As many wrapped functions as a large program may have, in a registry of their own.
class many_functions {
public:
    explicit many_functions(int count) : functions_(static_cast<std::size_t>(count)) {
        int number = 0;
        for (auto& function : functions_)
            function.emplace(registry_, "benchmark.many." + std::to_string(number++), &plain);
    }
    void register_start_hooks() {
        for (const auto& function : functions_) hooks_.push_back(function->on_start(start_hook));
    }
    void remove_hooks() {
        for (auto& hook : hooks_) hook.remove();
        hooks_.clear();
    }
    int call_each() const {
        int x = 0;
        for (const auto& function : functions_) x = (*function)(x);
        return x;
    }

private:
    ext::registry registry_;
    std::vector<std::optional<ext::extensible<int(int), int (*)(int)>>> functions_;
    std::vector<ext::hook> hooks_;
};

// What a program would use without a library.
class hand_written_hooks {
public:
    void add(const std::string& function, std::function<void(int&)> hook) {
        const std::unique_lock lock(mutex_);
        hooks_[function].push_back(std::move(hook));
    }
    void run(const std::string& function, int& x) {
        const std::shared_lock lock(mutex_);
        if (const auto at = hooks_.find(function); at != hooks_.end())
            for (const auto& hook : at->second) hook(x);
    }

private:
    std::shared_mutex mutex_;
    std::map<std::string, std::vector<std::function<void(int&)>>> hooks_;
};

// What hooks::metrics counts, as a program would count it without a library: in a map under a shared
// mutex. Failures are not counted, because the function has none.
class hand_written_metrics {
public:
    template <class Function>
    int count(const std::string& function, int x, Function& called) {
        counters& of_function = find(function);
        ++of_function.in_flight;
        const auto start = std::chrono::steady_clock::now();
        const int result = called(x);
        const std::chrono::nanoseconds taken = std::chrono::steady_clock::now() - start;
        const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), taken);
        ++of_function.buckets[static_cast<std::size_t>(bound - bounds_.begin())];
        of_function.time += taken.count();
        --of_function.in_flight;
        return result;
    }

private:
    struct counters {
        std::atomic<long long> in_flight{0}, time{0}, buckets[12]{};
    };

    counters& find(const std::string& function) {
        {
            const std::shared_lock lock(mutex_);
            if (const auto at = functions_.find(function); at != functions_.end()) return at->second;
        }
        const std::unique_lock lock(mutex_);
        return functions_[function];
    }

    const std::vector<std::chrono::nanoseconds> bounds_ = [] {
        std::vector<std::chrono::nanoseconds> bounds;
        for (const int ms : {5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10'000})
            bounds.push_back(std::chrono::milliseconds(ms));
        return bounds;
    }();
    std::shared_mutex mutex_;
    std::map<std::string, counters> functions_;
};

// ---- How it is measured ---------------------------------------------------------------------------------------------

constexpr int calls_per_run = 1000;
constexpr int many = 1000;  // functions, or hooks on one
static_assert(many == calls_per_run, "a run calls each of many functions once");
constexpr int rounds = 2;  // so that a longer disturbance does not spoil all samples of a benchmark

template <class Function>
void measure(const char* name, Function& function) {
    BENCHMARK(std::string(name)) { return call_repeatedly(function, calls_per_run); };
}

// The best time of a call, in nanoseconds, if one function wraps, registers and calls, as a main()
// may do. BENCHMARK cannot measure this, because its lambda is a separate function. The loop is the
// same as in call_repeatedly().
[[gnu::noinline]] double best_ns_where_wrapped() {
    const ext::extensible wrapped{"benchmark.where_wrapped", [](int x) { return plain(x); }};
    const ext::scoped_hook other = hooked.on_start(start_hook);
    double best = INFINITY;
    for (int run = 0; run < 1000; ++run) {
        const auto start = std::chrono::steady_clock::now();
        int x = 0;
        for (int i = 0; i < 10 * calls_per_run; ++i) x = wrapped(x);
        asm volatile("" : : "r"(x));
        const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
        best = std::min(best, taken.count() / (10 * calls_per_run));
    }
    return best;
}

// Measures how long `count` threads take to do `work` at the same time. They spin until all have
// arrived, because waking a thread would take longer than the work. Before that they sleep, because
// a busy machine prefers threads that have slept.
template <class Work>
void measure_threads(Catch::Benchmark::Chronometer meter, int count, Work work) {
    const auto start = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
    std::atomic<int> arrived{0};
    const auto wait_for_all = [&](int times) {
        ++arrived;
        while (arrived.load() < times * count) {
        }
    };
    const auto run = [&](int number) {
        wait_for_all(2 * number + 2);
        const int result = work();
        wait_for_all(2 * number + 3);
        return result;
    };
    std::vector<std::thread> others;
    while (std::ssize(others) < count - 1)
        others.emplace_back([&] {
            std::this_thread::sleep_until(start);
            wait_for_all(1);
            for (int number = 0; number < meter.runs(); ++number) run(number);
        });
    std::this_thread::sleep_until(start);
    wait_for_all(1);
    meter.measure(run);
    for (auto& other : others) other.join();
}

template <class Function>
void measure_on_threads(const std::string& name, Function& function) {
    const auto work = [&] { return call_repeatedly(function, 500'000); };
    BENCHMARK_ADVANCED(name + ", one thread")(Catch::Benchmark::Chronometer meter) { measure_threads(meter, 1, work); };
    BENCHMARK_ADVANCED(name + ", two threads")(Catch::Benchmark::Chronometer meter) {
        measure_threads(meter, 2, work);
    };
}

// The time per hook of `work`, which handles `many` hooks. One run of it is long enough for the
// clock, and too long to be repeated as often as a call.
template <class Work>
double best_us_per_hook(Work work) {
    double best = INFINITY;
    for (int run = 0; run < 10; ++run) {
        const auto start = std::chrono::steady_clock::now();
        work();
        const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
        best = std::min(best, taken.count() / many);
    }
    return best;
}

// The bytes allocated with operator new, which is replaced below, and not yet freed. They do not
// include the overhead of malloc().
std::atomic<std::size_t> heap_bytes{0};
constexpr std::size_t header_size = alignof(std::max_align_t);  // each block is preceded by its size

// ---- Results --------------------------------------------------------------------------------------------------------

double ns_where_wrapped = NAN;

struct memory_use {
    double wrapper = NAN, heap = NAN;  // bytes per function
};
memory_use memory;

struct registering_cost {
    double on_one = NAN, one_on_each = NAN;  // microseconds per hook
};
registering_cost registering;

class results {
public:
    void add_sample(const std::string& benchmark, double ns_per_run) {
        double& best = best_.try_emplace(benchmark, ns_per_run).first->second;
        best = std::min(best, ns_per_run);
    }

    void print_table() const {
        const double plain = ns("plain"), by_pointer = ns("plain, by a pointer"), one_hook = ns("one start hook");

        std::printf("\n%-44s %12s %9s   %-12s %s\n", "one call", "measured", "to plain", "bound", "met");
        row("plain, not inlined", plain, "ns");
        row("plain, by a pointer", by_pointer, "ns");
        for (const char* name : {"no hooks: lambda", "no hooks: a pattern for other functions"})
            row(name, ns(name), "ns", limit::at_most, 1.03 * plain);
        row("no hooks: function pointer", ns("no hooks: function pointer"), "ns", limit::at_most, 1.03 * by_pointer);
        row("no hooks: in the function that wraps", ns_where_wrapped, "ns", limit::at_most, 1.03 * plain);
        row("no hooks: type-erased, as std::function", ns("no hooks: type-erased"), "ns");
        row("one start hook", one_hook, "ns", limit::at_most, 1.1 * ns("minimum, one start hook"));
        row("four start hooks", ns("four start hooks"), "ns", limit::at_most, 1.05 * ns("minimum, four start hooks"));
        row("sixteen start hooks", ns("sixteen start hooks"), "ns", limit::at_most,
            1.05 * ns("minimum, sixteen start hooks"));
        row("each further start hook", (ns("sixteen start hooks") - one_hook) / 15, "ns");
        row("one start and one end hook", ns("one start and one end hook"), "ns", limit::at_most,
            1.3 * ns("minimum, start and end hook"));
        row("one around hook", ns("one around hook"), "ns");
        row("one start hook under a pattern", ns("one start hook under a pattern"), "ns");
        row("one start hook on each of 1000 functions", ns("1000 functions in turn"), "ns");
        row("in a library, -fPIC: no hooks", ns("in a library, no hooks"), "ns");
        row("the same, one start hook", ns("in a library, one start hook"), "ns", limit::at_most,
            3.6 * ns("in a library, no hooks"));
        row("the same, of the program's registry", ns("in a library, the program's registry"), "ns");
        row("a coroutine, awaited", ns("coroutine"), "ns");
        row("the same, no hooks", ns("coroutine, no hooks"), "ns", limit::at_most, 1.05 * ns("coroutine"));
        row("the same, one start hook", ns("coroutine, one start hook"), "ns");
        for (const char* name : {"hooks::retry", "hooks::cache, a hit", "hooks::limit_rate", "hooks::limit_calls",
                                 "hooks::breaker", "hooks::faults, none", "hooks::spy", "hooks::metrics"})
            row(name, ns(name), "ns");
        row("hooks::trace", ns("hooks::trace"), "ns", limit::at_most, 1.5 * ns("snprintf of such an event"));
        row("calls of two threads to one: plain", gain("plain"), "x");
        row("calls of two threads to one: one start hook", gain("one start hook"), "x", limit::at_least, 1.9);
        row("memory of a function without hooks", memory.wrapper + memory.heap, "B", limit::at_most, 256);
        row("register and remove, 1000 on one function", registering.on_one, "us");
        row("register and remove, one on each of 1000", registering.one_on_each, "us");
        std::printf("\n");
        for (const char* name : {"minimum, one start hook", "minimum, four start hooks", "minimum, sixteen start hooks",
                                 "minimum, start and end hook"})
            row(name, ns(name), "ns");
        row("std::function, no hooks", ns("std::function"), "ns");
        row("snprintf of such an event", ns("snprintf of such an event"), "ns");
        row("map under shared_mutex, 1 name", ns("map of 1 name"), "ns");
        row("map under shared_mutex, 16 names", ns("map of 16 names"), "ns");
        row("the same, asked with a literal", ns("map of 16 names, literal"), "ns");
        row("metrics in a map under shared_mutex", ns("map of metrics"), "ns");
        row("hooks::metrics to that map", ns("hooks::metrics") / ns("map of metrics"), "x");
        row("calls of two threads to one: hooks::metrics", gain("hooks::metrics"), "x");
        row("the same: metrics in the map", gain("map of metrics"), "x");
        row("Boost.Signals2, one slot", ns("Boost.Signals2"), "ns");
        row("libsigc++, one slot", ns("libsigc++"), "ns");
        row("one start hook to the map, 1 name", one_hook / ns("map of 1 name"), "x", limit::at_most, 1.0 / 3);
        row("one start hook to the map, 16 names", one_hook / ns("map of 16 names"), "x", limit::at_most, 1.0 / 3);
        row("one start hook to the map, literal", one_hook / ns("map of 16 names, literal"), "x", limit::at_most,
            1.0 / 3);

        std::printf("\nTimes are the best of all samples. The map and the signals run one hook and then call the "
                    "function. The minimum is the least that\na call with thread-safe hooks must do, written by hand "
                    "(tests/minimum.hpp). Bounds are multiples of it or of a plain call.\nMemory: %.0f bytes in the "
                    "wrapper and %.0f on the heap, without the characters of the name and malloc's overhead.\n",
                    memory.wrapper, memory.heap);
        std::printf("Calling 1000 functions in turn shows the cost of cache misses: their lists of hooks do not all "
                    "fit into the first-level cache.\nThe time to register and remove is for one hook, both "
                    "together. Each copies the list of the function's hooks, which\nhas 500 on average if all 1000 "
                    "are on one function.\n");
    }

private:
    enum class limit { none, at_most, at_least };

    // NaN if it was not measured. Values computed from it are NaN, too.
    double ns(const std::string& benchmark) const {
        const auto at = best_.find(benchmark);
        return at == best_.end() ? NAN : at->second / calls_per_run;
    }
    double gain(const std::string& benchmark) const {
        return 2 * ns(benchmark + ", one thread") / ns(benchmark + ", two threads");
    }

    void row(const char* what, double measured, const char* unit, limit kind = limit::none, double bound = NAN) const {
        if (std::isnan(measured)) {
            std::printf("%-44s %12s\n", what, "-");
            return;
        }
        std::printf("%-44s %9.2f %-2s", what, measured, unit);
        if (*unit == 'n') std::printf(" %9.2f", measured / ns("plain"));
        else std::printf(" %9s", "");
        if (kind != limit::none) {
            const bool met = kind == limit::at_most ? measured <= bound : measured >= bound;
            std::printf("   %s %6.2f %-2s %s", kind == limit::at_most ? "<=" : ">=", bound, unit,
                        met ? "met" : "not met");
        }
        std::printf("\n");
    }

    std::map<std::string, double> best_;  // ns of each benchmark's fastest run, because disturbances only slow it down
};

#if defined(CATCH_VERSION_MAJOR) && CATCH_VERSION_MAJOR < 3
using listener = Catch::TestEventListenerBase;
#else
using listener = Catch::EventListenerBase;
#endif

class table_printer : public listener {
public:
    using listener::listener;

    void benchmarkEnded(const Catch::BenchmarkStats<>& stats) override {
        for (const auto& sample : stats.samples) results_.add_sample(stats.info.name, sample.count());
    }
    void testRunEnded(const Catch::TestRunStats&) override { results_.print_table(); }

private:
    results results_;
};

CATCH_REGISTER_LISTENER(table_printer)

}  // namespace

// Not inlined: otherwise GCC would see malloc() and free() in them, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
    void* const block = std::malloc(header_size + size);
    if (!block) throw std::bad_alloc();
    *static_cast<std::size_t*>(block) = size;
    heap_bytes += size;
    return static_cast<std::byte*>(block) + header_size;
}
[[gnu::noinline]] void operator delete(void* object) noexcept {
    if (!object) return;
    void* const block = static_cast<std::byte*>(object) - header_size;
    heap_bytes -= *static_cast<std::size_t*>(block);
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* object, std::size_t) noexcept { operator delete(object); }

// ---- The measurements -----------------------------------------------------------------------------------------------

TEST_CASE("one call") {
    std::function<int(int)> function = [](int x) { return plain(x); };

    const auto call_plain = [](int x) { return plain(x); };
    minimum::wrapper minimum_1{call_plain}, minimum_4{call_plain}, minimum_16{call_plain}, minimum_both{call_plain};
    minimum_1.add_start_hook(&minimal_start_hook);
    for (int i = 0; i < 4; ++i) minimum_4.add_start_hook(&minimal_start_hook);
    for (int i = 0; i < 16; ++i) minimum_16.add_start_hook(&minimal_start_hook);
    minimum_both.add_start_hook(&minimal_start_hook);
    minimum_both.add_end_hook(&minimal_end_hook);

    hand_written_hooks map_of_1, map_of_16;
    const std::string name = "models.get_api_key";
    map_of_1.add(name, slot);
    map_of_16.add(name, slot);
    for (char last = 'a'; last < 'a' + 15; ++last) map_of_16.add(std::string("models.get_") + last, slot);
    auto through_map_of_1 = [&](int x) { map_of_1.run(name, x); return plain(x); };
    auto through_map_of_16 = [&](int x) { map_of_16.run(name, x); return plain(x); };
    auto through_map_by_literal = [&](int x) { map_of_16.run("models.get_api_key", x); return plain(x); };

    auto run_plain_coroutine = [](int x) { return plain_coroutine(x).run(); };
    auto run_coroutine = [](int x) { return coroutine(x).run(); };

    for (int round = 0; round < rounds; ++round) {
        measure("plain", call_plain);
        measure("plain, by a pointer", plain);
        measure("no hooks: lambda", wrapped_lambda);
        measure("no hooks: function pointer", wrapped_pointer);
        measure("no hooks: type-erased", wrapped_erased);
        measure("std::function", function);
        {
            const ext::scoped_hook pattern = ext::on_start("benchmark.other.*", any_hook);
            measure("no hooks: a pattern for other functions", wrapped_lambda);
        }
        {
            const auto hooks = register_start_hooks(1);
            measure("one start hook", hooked);
        }
        {
            const auto hooks = register_start_hooks(4);
            measure("four start hooks", hooked);
        }
        {
            const auto hooks = register_start_hooks(16);
            measure("sixteen start hooks", hooked);
        }
        {
            const auto hooks = register_start_hooks(1);
            const ext::scoped_hook end = hooked.on_end(end_hook);
            measure("one start and one end hook", hooked);
        }
        {
            const ext::scoped_hook around = hooked.around(around_hook);
            measure("one around hook", hooked);
        }
        {
            const ext::scoped_hook pattern = ext::on_start("benchmark.h*", any_hook);
            measure("one start hook under a pattern", hooked);
        }
        measure("minimum, one start hook", minimum_1);
        measure("minimum, four start hooks", minimum_4);
        measure("minimum, sixteen start hooks", minimum_16);
        measure("minimum, start and end hook", minimum_both);
        measure("coroutine", run_plain_coroutine);
        measure("coroutine, no hooks", run_coroutine);
        {
            const ext::scoped_hook start = coroutine.on_start(start_hook);
            measure("coroutine, one start hook", run_coroutine);
        }
        measure("map of 1 name", through_map_of_1);
        measure("map of 16 names", through_map_of_16);
        measure("map of 16 names, literal", through_map_by_literal);
#ifdef EXTENSIBLE_HAS_BOOST_SIGNALS2
        boost::signals2::signal<void(int&)> boost_signal;
        boost_signal.connect(slot);
        auto through_boost = [&](int x) { boost_signal(x); return plain(x); };
        measure("Boost.Signals2", through_boost);
#endif
#ifdef EXTENSIBLE_HAS_SIGCXX
        sigc::signal<void(int&)> sigc_signal;
        sigc_signal.connect(slot);
        auto through_sigc = [&](int x) { sigc_signal(x); return plain(x); };
        measure("libsigc++", through_sigc);
#endif
    }
}

TEST_CASE("calls in the function that wraps, and in a library") {
    ns_where_wrapped = best_ns_where_wrapped();
    for (int round = 0; round < rounds; ++round)
        BENCHMARK("in a library, no hooks") { return call_in_library(calls_per_run); };
    add_hooks_in_library();
    for (int round = 0; round < rounds; ++round) {
        BENCHMARK("in a library, one start hook") { return call_in_library(calls_per_run); };
        BENCHMARK("in a library, the program's registry") { return call_in_library_of_program(calls_per_run); };
    }
}

// A file that keeps nothing, so that only the trace is measured.
class sink : public std::streambuf {
protected:
    std::streamsize xsputn(const char*, std::streamsize size) override { return size; }
    int_type overflow(int_type c) override { return traits_type::not_eof(c); }
    pos_type seekoff(off_type, std::ios::seekdir, std::ios::openmode) override { return 0; }
    pos_type seekpos(pos_type at, std::ios::openmode) override { return at; }
};

TEST_CASE("calls with ready-made hooks") {
    namespace hooks = ext::hooks;
    const auto measure_hook = [](const char* name, auto hook) {
        const ext::scoped_hook around = hooked.around(hook);
        measure(name, hooked);
    };
    for (int round = 0; round < rounds; ++round) {
        measure_hook("hooks::retry", hooks::retry());
        measure_hook("hooks::limit_rate", hooks::limit_rate({.rate = 1e9, .burst = 1'000'000'000}));
        measure_hook("hooks::limit_calls", hooks::limit_calls({}));
        measure_hook("hooks::breaker", hooks::breaker());
        {
            const ext::scoped_hook cache = hooked.around(hooks::cache(hooked));
            auto call_with_the_same = [](int) { return hooked(1); };
            measure("hooks::cache, a hit", call_with_the_same);
        }
        {
            const hooks::faults none{"benchmark.h*=throw(0)"};
            measure("hooks::faults, none", hooked);
        }
        {
            sink nothing;
            std::ostream file(&nothing);
            const hooks::trace trace{file, {.pattern = "benchmark.h*"}};
            measure("hooks::trace", hooked);
        }
        {
            auto write_event = [](int x) {
                char line[256];
                return std::snprintf(line, sizeof line,
                                     ",\n{\"ph\": \"X\", \"name\": \"%s\", \"cat\": \"%.*s\", \"ts\": %d.%03d, "
                                     "\"dur\": %d.%03d, \"args\": {}, \"pid\": 1, \"tid\": %d}",
                                     "benchmark.hooked", 9, "benchmark.hooked", x * 100, x % 1000, 0, x % 1000, 1);
            };
            measure("snprintf of such an event", write_event);
        }
        {
            const hooks::metrics metrics{"benchmark.h*"};
            measure("hooks::metrics", hooked);
        }
        {
            hand_written_metrics metrics;
            const std::string name = "benchmark.hooked";
            auto count_in_map = [&](int x) { return metrics.count(name, x, plain); };
            measure("map of metrics", count_in_map);
        }
        {
            hooks::spy seen{hooked};
            auto call_and_forget = [&](int x) {
                if (x % 1000 == 0) seen.clear();
                return hooked(x);
            };
            measure("hooks::spy", call_and_forget);
        }
    }
}

TEST_CASE("calls on two threads") {
    const auto hooks = register_start_hooks(1);
    for (int round = 0; round < rounds; ++round) {
        measure_on_threads("plain", plain);
        measure_on_threads("one start hook", hooked);
    }
}

TEST_CASE("metrics on two threads") {
    const ext::hooks::metrics metrics{"benchmark.h*"};
    hand_written_metrics by_hand;
    const std::string name = "benchmark.hooked";
    auto count_in_map = [&](int x) { return by_hand.count(name, x, plain); };
    for (int round = 0; round < rounds; ++round) {
        measure_on_threads("hooks::metrics", hooked);
        measure_on_threads("map of metrics", count_in_map);
    }
}

TEST_CASE("a thousand functions and hooks") {
    many_functions functions(many);
    for (int round = 0; round < rounds; ++round) {
        functions.register_start_hooks();
        BENCHMARK("1000 functions in turn") { return functions.call_each(); };
        functions.remove_hooks();
    }

    registering.on_one = best_us_per_hook([] {
        auto hooks = register_start_hooks(many);
        for (auto& hook : hooks) hook.get().remove();  // because a vector destroys its elements in any order
    });
    registering.one_on_each = best_us_per_hook([&] {
        functions.register_start_hooks();
        functions.remove_hooks();
    });
}

TEST_CASE("memory of a function without hooks") {
    constexpr std::size_t count = 1000;
    const auto function = [](int x) { return plain(x); };
    using wrapper = ext::extensible<int(int), std::remove_const_t<decltype(function)>>;

    // Names that do not fit into a std::string object: so their characters are separate blocks,
    // whose bytes can be subtracted.
    const std::string prefix = "benchmark.a_name_of_some_length.";
    std::vector<std::string> names;
    std::size_t characters = 0;
    for (std::size_t i = 0; i < count; ++i) {
        names.push_back(prefix + std::to_string(i));
        characters += names.back().size();
    }

    ext::registry registry;
    std::vector<std::optional<wrapper>> wrappers(count);
    const std::size_t before = heap_bytes;
    for (std::size_t i = 0; i < count; ++i) wrappers[i].emplace(registry, names[i], function);
    memory.wrapper = sizeof(wrapper);
    memory.heap = static_cast<double>(heap_bytes - before - characters) / count;
}
