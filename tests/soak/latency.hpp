#pragma once

// Measures how long calls, registering and removing take while other threads are busy. Each
// operation is timed separately. The times are printed, and not checked.

#include "plugins.hpp"
#include "world.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <latch>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace soak {

using clock = std::chrono::steady_clock;

// Counts durations. They are rounded down, by 3 % at most.
class histogram {
public:
    void add(clock::duration taken) {
        const auto ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(taken).count());
        const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - 6);
        ++counts_[static_cast<std::size_t>(shift) * 32 + (ns >> shift)];
        ++all_;
        most_ = std::max(most_, ns);
    }
    void add(const histogram& other) {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
        all_ += other.all_;
        most_ = std::max(most_, other.most_);
    }
    void print(const std::string& what) const {
        std::printf("%-58s %9.0f %8.0f %8.0f %10.0f %11.0f\n", what.c_str(), static_cast<double>(all_), at(0.5),
                    at(0.99), at(0.999), static_cast<double>(most_));
    }

private:
    double at(double share) const {
        double left = share * static_cast<double>(all_);
        std::size_t i = 0;
        while (i + 1 < counts_.size() && static_cast<double>(counts_[i]) <= left)
            left -= static_cast<double>(counts_[i++]);
        return static_cast<double>(i < 64 ? i : (i % 32 + 32) << (i / 32 - 1));
    }

    std::array<std::uint64_t, 60 * 32> counts_{};
    std::uint64_t all_ = 0, most_ = 0;
};

inline histogram of_calls;
inline std::mutex of_calls_mutex;

inline void time_calls(world& w, unsigned number) {
    std::minstd_rand random(number + 1);
    histogram own;
    do {
        const world::function& called = w.any(random);
        const auto begin = clock::now();
        called(1);
        own.add(clock::now() - begin);
    } while (!w.stop);
    const std::lock_guard lock(of_calls_mutex);
    of_calls.add(own);
}

inline void measure_calls(world& w, double seconds, unsigned callers, unsigned plugins) {
    of_calls = {};
    w.plugins = std::max(1U, plugins);
    w.run(seconds, {{&load_plugins, plugins}, {&time_calls, callers}});
    of_calls.print("call on " + std::to_string(callers) + " threads while " + std::to_string(plugins) +
                   " load plugins");
}

// Meanwhile other threads call, all the time or every 10 ms.
inline void measure_changes(world& w, double seconds, unsigned others, bool busy) {
    std::latch all_there(others + 1);  // busy threads would keep the others from starting
    std::vector<std::thread> threads;
    w.stop = false;
    for (unsigned i = 0; i < others; ++i)
        threads.emplace_back([&, random = std::minstd_rand(i + 1)]() mutable {
            w.any(random)(1);
            all_there.arrive_and_wait();
            for (; !w.stop; w.any(random)(1))
                if (!busy) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        });
    all_there.arrive_and_wait();
    histogram registering, removing;
    std::minstd_rand random(0);
    for (const auto start = clock::now(); clock::now() - start < std::chrono::duration<double>(seconds);) {
        const world::function& function = w.any(random);
        const auto begin = clock::now();
        ext::hook hook = function.on_start([](auto&) {});
        const auto registered = clock::now();
        hook.remove_and_wait();
        removing.add(clock::now() - registered);
        registering.add(registered - begin);
    }
    w.stop = true;
    for (std::thread& thread : threads) thread.join();
    const std::string beside = ", while " + std::to_string(others) + (busy ? " call" : " call every 10 ms");
    registering.print("on_start()" + beside);
    removing.print("remove_and_wait()" + beside);
}

inline void measure(world& w, double seconds, unsigned threads) {
    std::printf("%-58s %9s %8s %8s %10s %11s\n", "nanoseconds each, with one reading of the clock", "number", "50 %",
                "99 %", "99.9 %", "most");
    histogram of_nothing;
    for (int i = 0; i < 1'000'000; ++i) {
        const auto begin = clock::now();
        of_nothing.add(clock::now() - begin);
    }
    of_nothing.print("nothing");
    ext::plugin always{w.registry, "always"};  // so that each call runs a hook
    for (const auto& function : w.functions) always.on_start(*function, [](auto&) {});
    for (const unsigned callers : {1U, threads / 2})
        for (const unsigned plugins : {0U, callers}) measure_calls(w, seconds / 10, callers, plugins);
    for (const unsigned others : threads < 64 ? std::vector{1U, threads} : std::vector{1U, threads, 1000U})
        for (const bool busy : {false, true}) measure_changes(w, seconds / 10, others, busy);
}

}  // namespace soak
