#pragma once

// The functions that the load test calls, and the checks that hooks run as they should.

#include "../tasks.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace soak {

using tasks::lazy;

inline void expect(bool holds, const char* claim) {
    if (holds) return;
    std::fprintf(stderr, "this does not hold: %s\n", claim);
    std::_Exit(1);
}

inline unsigned any_below(unsigned end, std::minstd_rand& random) { return static_cast<unsigned>(random()) % end; }

// ---- What hooks capture, throw and await ----------------------------------------------------------------------------

// The state of a thread that registers hooks. It outlives the hooks, even if the library is broken.
struct worker {
    std::atomic<unsigned> generation{0};  // of its hooks; hooks of earlier generations are removed
    std::atomic<unsigned> alive{0};       // number of living captures of its hooks
    std::atomic<unsigned> step{0};        // even: its plugin may become enabled; odd: may become disabled
    std::atomic<unsigned> runs{0};        // of its hook that counts its runs
    std::atomic<unsigned> ended{0};       // number of its awaited calls that have ended
    std::thread::id thread{};             // the thread that begins these calls

    void has_removed() {
        ++generation;
        expect(alive == 0, "the captures of a hook are destroyed when its removal returns");
    }
};

// The worker whose hooks this thread looks for in its calls, and whether one of them ran.
inline thread_local const worker* watched = nullptr;
inline thread_local bool is_seen = false;

class captured {
public:
    explicit captured(worker& by) : worker_(&by), generation_(by.generation) { ++worker_->alive; }
    captured(const captured& other) : worker_(other.worker_), generation_(other.generation_) { ++worker_->alive; }
    captured& operator=(const captured&) = delete;
    ~captured() {
        state_ = destroyed;
        --worker_->alive;
    }

    // Each hook calls this when it runs.
    worker& use() const {
        expect(state_ == living, "the captures of a hook live while it runs");
        expect(worker_->generation == generation_, "a hook does not run after its removal has returned");
        if (worker_ == watched) is_seen = true;
        return *worker_;
    }

private:
    static constexpr unsigned living = 0x600d, destroyed = 0xdead;
    worker* worker_;
    unsigned generation_;
    volatile unsigned state_ = living;  // volatile: else the compiler omits the destructor's write
};

struct thrown_by_hook {
    bool isolated;
};

// Suspends the awaiting coroutine, and resumes it on a new thread, which then ends.
struct another_thread {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) const {
        std::thread([waiting] { waiting.resume(); }).detach();
    }
    void await_resume() const noexcept {}
};

// ---- Functions and their callers ------------------------------------------------------------------------------------

inline unsigned shift(unsigned x) { return x << 16; }

inline lazy<unsigned> shift_later(unsigned x) {
    co_await another_thread();
    co_return shift(x);
}

// A complete set of hooks adds 1 to the argument, and 1 << 8 and 2 to the result.
inline void expect_complete_sets(unsigned x, unsigned result) {
    const unsigned sets = (result >> 16) - x;
    expect((result >> 8 & 0xff) == sets && (result & 0xff) == 2 * sets, "a call runs complete sets of hooks");
}

struct world {
    using function = ext::extensible<unsigned(unsigned), unsigned (*)(unsigned)>;
    using awaited_function = ext::extensible<lazy<unsigned>(unsigned), lazy<unsigned> (*)(unsigned)>;

    explicit world(unsigned thread_count) : workers(thread_count) {
        for (unsigned i = 0; i < 1000; ++i)
            functions.push_back(std::make_unique<function>(registry, "soak.call." + std::to_string(i), &shift));
        for (unsigned i = 0; i < 50; ++i)
            awaited.push_back(
                std::make_unique<awaited_function>(registry, "soak.await." + std::to_string(i), &shift_later));
    }

    // Each plugin has ten functions; two plugins have the same ones.
    const function& of_plugin(unsigned plugin, unsigned i) const {
        return *functions[(7 + plugin / 2 + 100 * i) % 1000];
    }
    const awaited_function& awaited_of_plugin(unsigned plugin) const { return *awaited[plugin / 2 % 50]; }

    // A random function; functions with plugins are more likely.
    const function& any(std::minstd_rand& random) const {
        if (any_below(4, random) == 0) return *functions[any_below(1000, random)];
        return of_plugin(any_below(plugins, random), any_below(10, random));
    }

    // True if the call returned, false if it threw.
    bool call(const function& called, unsigned x) {
        try {
            expect_complete_sets(x, called(x));
            return true;
        } catch (const thrown_by_hook& error) {
            expect(!error.isolated, "an exception of an isolated hook does not leave the call");
            ++came_out;
            return false;
        }
    }

    // True if a call runs hooks of the worker.
    bool sees(const worker& of, const function& called) {
        watched = &of;
        is_seen = false;
        call(called, 1);
        return is_seen;
    }

    // Runs each role on its threads until the time is over, and at least once.
    using role = void (*)(world&, unsigned number);
    void run(double seconds, const std::vector<std::pair<role, unsigned>>& roles) {
        stop = false;
        std::vector<std::thread> threads;
        unsigned number = 0;
        for (const auto& [work, count] : roles)
            for (unsigned i = 0; i < count; ++i, ++number) threads.emplace_back(work, std::ref(*this), number);
        std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
        stop = true;
        for (std::thread& thread : threads) thread.join();
    }

    std::vector<worker> workers;  // one for each thread, by thread number
    unsigned plugins = 1;         // the number of plugins, one for each of the first threads
    std::atomic<bool> stop{false};
    std::atomic<unsigned long> calls{0}, awaits{0}, loads{0}, removals{0}, thrown{0}, came_out{0}, handled{0};

    ext::registry registry;
    std::vector<std::unique_ptr<function>> functions;
    std::vector<std::unique_ptr<awaited_function>> awaited;

    // The file of the shared library, and the functions that it hooks.
    const char* library = nullptr;
    ext::extensible<int(int)> inner{registry, "host.inner", [](int x) { return x; }};
    ext::extensible<std::string(std::string_view)> get_key{registry, "host.get_key", [](std::string_view service) {
        return std::string(service);
    }};
};

}  // namespace soak
