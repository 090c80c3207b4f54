// One caller asks, and the others wait for the outcome. tests/hooks/cache.cpp has more claims, about the cache that
// uses this.
#include "catch.hpp"

#include <extensible/hooks/single_flight.hpp>

#include <chrono>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

using flights = ext::hooks::single_flight<std::string>;

}  // namespace

TEST_CASE("A thread that waits for a flight gets its outcome") {
    flights all;
    auto lock = all.lock();
    const auto flight = all.make("key");
    all.begin(flight);
    std::string seen;
    std::thread other([&] {
        auto held = all.lock();
        if (all.wait(held, *flight)) seen = flight->outcome;
    });
    while (all.waiting() == 0) {
        lock.unlock();
        std::this_thread::yield();
        lock.lock();
    }
    flight->outcome = "value";
    all.close(*flight);
    all.end(*flight);
    lock.unlock();
    other.join();
    CHECK(seen == "value");
}

TEST_CASE("A thread that waits for a limited time gives up, and a later one still gets the outcome") {
    flights all;
    auto lock = all.lock();
    const auto flight = all.make("key");
    all.begin(flight);
    lock.unlock();
    bool has_ended = true;
    std::thread([&] {
        auto held = all.lock();
        has_ended = all.wait(held, *flight, 1ms);
    }).join();
    CHECK_FALSE(has_ended);
    lock.lock();
    CHECK(all.waiting() == 0);
    flight->outcome = "value";
    all.close(*flight);
    all.end(*flight);
    lock.unlock();
    std::thread([&] {
        auto held = all.lock();
        has_ended = all.wait(held, *flight, 1ms);
    }).join();
    CHECK(has_ended);
}

TEST_CASE("A thread does not wait for its own flight") {
    flights all;
    auto lock = all.lock();
    const auto flight = all.make("key");
    all.begin(flight);
    CHECK_FALSE(all.wait(lock, *flight));
    all.close(*flight);
    all.end(*flight);
}
