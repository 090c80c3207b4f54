// Retries a function that returns a task. The hook is awaited, so its pauses block no thread. From
// the project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/coroutines.cpp -o coroutines && ./coroutines

#include <extensible/extensible.hpp>

#include <chrono>
#include <coroutine>
#include <exception>
#include <iostream>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

using namespace std::chrono_literals;

// ---- A task type, and an event loop with timers, as a server has them -----------------------------------------------

template <class T>
struct promise_of {
    std::optional<T> value;
    void return_value(T given) { value = std::move(given); }
    T take() { return std::move(*value); }
};
template <>
struct promise_of<void> {
    void return_void() {}
    void take() {}
};

/// A coroutine that begins when it is awaited, or when start() is called.
template <class T>
class task {
public:
    struct promise_type : promise_of<T> {
        std::coroutine_handle<> next = std::noop_coroutine();  // the coroutine that awaits this one
        std::exception_ptr failure;

        task get_return_object() { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        auto final_suspend() noexcept {
            struct goes_on {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
                    return ended.promise().next;
                }
                void await_resume() noexcept {}
            };
            return goes_on();
        }
        void unhandled_exception() { failure = std::current_exception(); }
    };

    task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    task& operator=(task&&) = delete;
    ~task() {
        if (coroutine_) coroutine_.destroy();
    }

    void start() { coroutine_.resume(); }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        coroutine_.promise().next = awaiting;
        return coroutine_;
    }
    T await_resume() {
        if (coroutine_.promise().failure) std::rethrow_exception(coroutine_.promise().failure);
        return coroutine_.promise().take();
    }

private:
    explicit task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}
    std::coroutine_handle<promise_type> coroutine_;
};

/// Runs coroutines on one thread.
class event_loop {
public:
    using clock = std::chrono::steady_clock;

    /// `co_await loop.pause(5ms)` lets other coroutines run meanwhile.
    auto pause(clock::duration time) {
        struct timer {
            event_loop& loop;
            clock::time_point until;
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<> waiting) { loop.timers_.emplace(until, waiting); }
            void await_resume() const noexcept {}
        };
        return timer{*this, clock::now() + time};
    }

    /// Returns when no coroutine is waiting.
    void run() {
        while (!timers_.empty()) {
            std::this_thread::sleep_until(timers_.begin()->first);
            timers_.extract(timers_.begin()).mapped().resume();
        }
    }

private:
    std::multimap<clock::time_point, std::coroutine_handle<>> timers_;
};

event_loop loop;

// ---- The function, which fails twice for each host ------------------------------------------------------------------

ext::extensible fetch{"net.fetch", [](std::string host) -> task<std::string> {
    static std::map<std::string, int> attempts;
    co_await loop.pause(5ms);
    if (++attempts[host] < 3) throw std::runtime_error("no answer");
    co_return "page of " + host;
}};

// ---- The hooks ------------------------------------------------------------------------------------------------------

// An around hook that is awaited. Its local variables live from one attempt to the next.
task<void> retry(decltype(fetch)::call_type& call, auto& proceed) {
    const auto& [host] = call.args;
    for (auto pause = 10ms; pause < 100ms; pause *= 2) {
        co_await proceed();
        if (!call.exception) co_return;
        std::cout << *host << ": failed, again in " << pause.count() << " ms\n";
        call.exception = nullptr;
        co_await loop.pause(pause);
    }
    co_await proceed();
}

// A start hook that is awaited. If it knows the page, the function is not called.
task<void> look_up(decltype(fetch)::call_type& call) {
    const auto& [host] = call.args;
    co_await loop.pause(1ms);
    if (*host == "known.example") call.result = "page that was known";
}

// A plain hook, as for any function.
void log_begin(ext::any_call& call) { std::cout << *call.arg<std::string>(0) << ": begins\n"; }

task<void> show(std::string host) {
    const std::string page = co_await fetch(host);  // the call that an application makes
    std::cout << host << ": " << page << '\n';
}

int main() {
    fetch.on_start(log_begin, {.priority = -1});
    fetch.on_start(look_up);
    fetch.around([](auto& call, auto& proceed) { return retry(call, proceed); });

    task<void> first = show("a.example"), second = show("b.example"), third = show("known.example");
    first.start();  // each runs until its first pause
    second.start();
    third.start();
    loop.run();
}
