// Hooks of functions that return Boost.Asio's awaitables, on its event loop, with timers and two threads.
#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

asio::awaitable<void> short_pause() {
    asio::steady_timer timer(co_await asio::this_coro::executor, 100us);
    co_await timer.async_wait(asio::use_awaitable);
}

// A function whose every third call fails, and an event loop with two threads.
struct service {
    ext::registry registry;
    asio::io_context loop;
    std::atomic<int> runs{0};
    ext::extensible<asio::awaitable<std::string>(std::string)> fetch{
        registry, "fetch", [this](std::string text) -> asio::awaitable<std::string> {
            co_await short_pause();
            if (++runs % 3 == 0) throw std::runtime_error("busy");
            co_return text;
        }};
    ext::extensible<asio::awaitable<void>(int&)> count{registry, "count", [](int& x) -> asio::awaitable<void> {
        co_await short_pause();
        ++x;
    }};

    template <class Coroutine>
    void spawn(Coroutine coroutine) {
        asio::co_spawn(loop, std::move(coroutine), asio::detached);
    }
    void run() {
        std::thread other([this] { loop.run(); });
        loop.run();
        other.join();
    }
};

}  // namespace

TEST_CASE("Plain and awaited hooks of Boost.Asio coroutines rewrite, retry, replace and observe calls") {
    service s;
    s.fetch.on_start([](auto& call) -> asio::awaitable<void> {
        co_await short_pause();
        call.template arg<0>() = *call.template arg<0>() + "!";
    });
    s.fetch.around([](auto& call, auto& proceed) -> asio::awaitable<void> {
        co_await proceed();
        while (call.exception) {
            call.exception = nullptr;
            co_await short_pause();
            co_await proceed();
        }
    });
    s.fetch.on_end([](auto& call) { call.result = "<" + *call.result + ">"; });
    std::atomic<int> observed{0};
    s.registry.around("*", [&](ext::any_call&, auto& proceed) -> asio::awaitable<void> {
        co_await proceed();
        ++observed;
    }, {.priority = -1});
    std::atomic<int> right{0};
    for (int i = 0; i < 100; ++i)
        s.spawn([&]() -> asio::awaitable<void> {
            if (co_await s.fetch(std::string(50, 'x')) == "<" + std::string(50, 'x') + "!>") ++right;
            int x = 1;
            co_await s.count(x);
            if (x == 2) ++right;
        });
    s.run();
    CHECK(right == 200);
    CHECK(observed == 200);
    CHECK(s.runs >= 150 - 1);
}

TEST_CASE("A Boost.Asio coroutine that awaits a call gets the exceptions of its hooks and its function") {
    service s;
    s.runs = 2;
    std::string caught;
    s.spawn([&]() -> asio::awaitable<void> {
        try {
            co_await s.fetch("x");
        } catch (const std::exception& error) {
            caught = error.what();
        }
        s.fetch.on_start([](auto&) -> asio::awaitable<void> {
            co_await short_pause();
            throw std::runtime_error("refused");
        });
        try {
            co_await s.fetch("x");
        } catch (const std::exception& error) {
            caught += std::string(", ") + error.what();
        }
    });
    s.run();
    CHECK(caught == "busy, refused");
}

TEST_CASE("Plugins are added and unloaded while calls are suspended in Boost.Asio's event loop") {
    service s;
    std::atomic<int> torn{0}, alive{0}, pending{200};
    for (int i = 0; i < 4; ++i)
        s.spawn([&]() -> asio::awaitable<void> {
            while (pending > 0) {
                int opened = 0;
                co_await s.count(opened);
                if (opened != 1 && opened != 101) ++torn;
                --pending;
            }
        });
    std::thread other([&] { s.loop.run(); });
    std::thread another([&] { s.loop.run(); });
    while (pending > 0) {
        auto state = std::make_shared<int>(100);
        const std::weak_ptr<int> watch = state;
        ext::plugin plugin{s.registry, "p"};
        plugin.disable();
        plugin.on_end(s.count, [](auto& call) { *call.template arg<0>() += call.kwargs.value_or("opened", 0) / 2; });
        plugin.on_start(s.count, [state = std::move(state)](auto& call) -> asio::awaitable<void> {
            co_await short_pause();
            *call.template arg<0>() += *state / 2;
            call.kwargs.set("opened", *state);
        });
        plugin.enable();
        std::this_thread::yield();
        plugin.unload();
        if (!watch.expired()) ++alive;
    }
    other.join();
    another.join();
    CHECK(torn == 0);
    CHECK(alive == 0);
}
