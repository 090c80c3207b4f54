// Calls that run out of memory. Each allocation in a call fails in turn, while two other threads
// make the same call with memory. Even then, an end hook must close what a start hook has opened.
#include "catch.hpp"
#include "heap.hpp"
#include "latch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace ext::literals;

namespace {

const std::string long_text = "a text that is longer than any small string holds";

// What start hooks have opened on this thread and end hooks have not closed yet.
thread_local int open = 0;

// Two threads that repeat the same call as long as this object lives.
class other_callers {
public:
    template <class Call>
    explicit other_callers(Call& call) {
        for (int i = 0; i < 2; ++i)
            threads_.emplace_back([this, &call] {
                while (!stop_) {
                    call();
                    if (open != 0) ++wrong_;
                    std::this_thread::yield();  // there may be more threads than processors
                }
            });
    }
    ~other_callers() {
        stop_ = true;
        for (std::thread& thread : threads_) thread.join();
        CHECK(wrong_ == 0);
    }

private:
    std::atomic<bool> stop_{false};
    std::atomic<int> wrong_{0};
    std::vector<std::thread> threads_;
};

// Repeats a call, in which another allocation fails each time, until none has failed. The call must
// check its own outcome. Returns how often it threw.
template <class Call>
std::size_t fail_each_allocation(Call call) {
    std::size_t thrown = 0;
    for (std::size_t number = 1;; ++number) {
        CAPTURE(number);
        const heap::attempt tried = heap::try_failing(number, call);
        CHECK(std::exchange(open, 0) == 0);
        if (tried.thrown) CHECK(heap::is_bad_alloc(tried.thrown));
        thrown += tried.thrown != nullptr;
        if (!tried.one_failed) return thrown;
    }
}
template <class Call>
std::size_t fail_each_allocation_beside_others(Call call) {
    const other_callers others(call);
    return fail_each_allocation(call);
}

void expect(bool holds) {
    if (!holds) throw std::logic_error("another outcome");
}

// Threads that occupy the slots of all threads that have ended, so that a new thread has to
// allocate its own.
class holders_of_slots {
public:
    template <class Call>
    explicit holders_of_slots(Call call) {
        std::size_t made = 0;
        while (made <= heap::at_thread_end && threads_.size() < 1000) {
            tests::latch& called = called_.emplace_back(1);
            threads_.emplace_back([&, call] {
                made = heap::allocations_of(call);
                called.count_down();
                stop_.wait();
            });
            called.wait();
        }
    }
    ~holders_of_slots() {
        stop_.count_down();
        for (std::thread& thread : threads_) thread.join();
    }

private:
    std::deque<tests::latch> called_;
    tests::latch stop_{1};
    std::vector<std::thread> threads_;
};

template <class Function>
void on_new_thread(Function function) {
    std::thread(function).join();
}

// Increments `open` for as long as it lives.
struct opened {
    bool owner = true;
    opened() { ++open; }
    opened(opened&& other) noexcept : owner(std::exchange(other.owner, false)) {}
    ~opened() { open -= owner; }
};

}  // namespace

TEST_CASE("A call without memory for its slots throws before any hook has begun") {
    ext::registry registry;
    std::atomic<int> begun{0};
    ext::extensible<int(int)> down{registry, "down", [&](int n) { return n == 0 ? 0 : down(n - 1) + 1; }};
    down.on_start([&](auto&) { ++begun, ++open; });
    down.on_end([&](auto&) { --open; });

    SECTION("a thread's first call") {
        auto call = [&] { expect(down(0) == 0); };
        const holders_of_slots holders(call);
        begun = 0;
        std::size_t thrown = 0;
        on_new_thread([&] { thrown = heap::try_failing(1, call).thrown != nullptr; });
        CHECK(begun == 0);
        CHECK(thrown == 1);
        on_new_thread([&] { thrown = fail_each_allocation(call); });
        CHECK(begun == 1 + heap::at_thread_end);  // failing these allocations is not an error
        CHECK(thrown == 1);
    }
    SECTION("a call that is nested more deeply than ever before, in calls that run to their end") {
        const holders_of_slots holders([&] { down(0); });
        auto call = [&] { expect(down(100) == 100); };
        const other_callers others(call);
        std::size_t thrown = 0;
        on_new_thread([&] {
            if (heap::at_thread_end != 0) down(0);  // otherwise the call in which that fails allocates all slots
            thrown = fail_each_allocation(call);
        });
        CHECK(thrown > 2);
    }
}

TEST_CASE("A call that runs out of memory returns or throws std::bad_alloc, and its end hooks run") {
    ext::registry registry;
    ext::extensible f{registry, "f",
                      ext::params("text"_kw, "more"_kw = std::string("a default that is longer than a small string")),
                      [](std::string_view text, const std::string& more, const ext::kwargs& extra) {
                          return std::string(text) + more + extra.value_or("extra", std::string());
                      }};
    f.on_start([](auto&) { ++open; });
    f.on_end([](auto&) { --open; });

    SECTION("with named arguments") {
        CHECK(fail_each_allocation_beside_others([&] {
                  expect(f("text"_kw = "t", "more"_kw = "m", "extra"_kw = long_text) == "tm" + long_text);
              }) > 3);
    }
    SECTION("with hooks that replace arguments and the result") {
        f.on_start([](auto& call) {
            for (int i = 0; i < 3; ++i) call.template arg<"text">() = long_text;
            call.template arg<"more">() = long_text;
        });
        registry.on_start(
            "*", [](ext::any_call& call) { call.set_arg(1, "m, as a text that is longer than a small string"); });
        registry.on_end("*", [](ext::any_call& call) {
            if (!call.exception()) call.set_result(*call.result<std::string>() + ".");
        });
        CHECK(fail_each_allocation_beside_others([&] {
                  expect(f("t") == long_text + "m, as a text that is longer than a small string.");
              }) > 5);
    }
    SECTION("with hooks that pass named values to each other") {
        f.on_start([](auto& call) { call.kwargs.set("a name that is longer than a small string", long_text); });
        f.around([](auto& call, auto& proceed) {
            ext::kwargs copy = call.kwargs;
            proceed();
            if (!call.exception)
                call.result = *copy.template take<std::string>("a name that is longer than a small string");
        });
        CHECK(fail_each_allocation_beside_others([&] { expect(f("t") == long_text); }) > 5);
    }
    SECTION("with start hooks that return finishers") {
        for (int i = 0; i < 3; ++i)
            f.on_start(
                [](auto&) { return [text = long_text, one = opened()](auto&) { expect(open > 0 && !text.empty()); }; });
        CHECK(fail_each_allocation_beside_others([&] { f("t"); }) > 5);
    }
    SECTION("with isolated hooks that throw, and are reported") {
        std::atomic<int> told{0};
        registry.on_hook_error([&](const ext::hook_error&) { ++told; });
        ext::extensible<int(int)> same{registry, "same", [](int x) { return x; }};
        same.on_start([](auto& call) { call.kwargs.set("x", long_text); }, {.isolate = true});
        same.around([](auto&, auto& proceed) {
            static_cast<void>(std::vector<int>(10));
            proceed();
        }, {.isolate = true});
        same.on_end([](auto&) { throw std::runtime_error(long_text); }, {.isolate = true});
        CHECK(fail_each_allocation_beside_others([&] { expect(same(1) == 1); }) == 0);
        CHECK(told > 5);
    }
    SECTION("with monitors") {
        registry.on_hook_run(
            [](const ext::hook_run& run) { static_cast<void>(std::string(run.function) + long_text); });
        ext::extensible<int(int)> watched{registry, "watched", [](int x) { return x; }};
        watched.on_start([](auto&) {});
        watched.around([](auto&, auto& proceed) { proceed(); });
        CHECK(fail_each_allocation_beside_others([&] { expect(watched(1) == 1); }) == 0);
    }
    SECTION("with a monitor, to which an assignment that threw is not reported as a replaced result") {
        std::atomic<int> wrong{0};
        registry.on_hook_run([&](const ext::hook_run& run) {
            if (run.id == "assigns") wrong += run.threw && run.result != ext::effect::nothing;
        });
        f.on_start([](auto& call) { call.result = "short"; });
        f.on_start([](auto& call) { call.result = long_text; }, {.id = "assigns"});
        CHECK(fail_each_allocation_beside_others([&] { expect(f("t") == long_text); }) > 0);
        CHECK(wrong == 0);
    }
    SECTION("with exceptions that replace each other") {
        std::atomic<int> told{0};
        registry.on_hook_error([&](const ext::hook_error& error) { told += error.displaced; });
        f.on_start([](auto&) { throw std::runtime_error(long_text); });
        f.on_end([](auto&) { throw std::domain_error(long_text); });
        f.on_end([](auto& call) {
            call.exception = nullptr;
            call.result = "in its place";
        });
        CHECK(fail_each_allocation_beside_others([&] { expect(f("t") == "in its place"); }) == 0);
        CHECK(told > 0);
    }
    SECTION("without a result or an exception") {
        f.on_end([](auto& call) { call.result.reset(); });
        CHECK(fail_each_allocation_beside_others([&] {
                  try {
                      f("t");
                      expect(false);
                  } catch (const ext::no_result&) {
                  }
              }) > 0);
    }
}

TEST_CASE("An awaited call that runs out of memory returns or throws std::bad_alloc, and its plain end hooks run") {
    using tasks::lazy;
    ext::registry registry;
    ext::extensible<lazy<std::string>(std::string)> f{registry, "f",
                                                      [](std::string text) -> lazy<std::string> { co_return text; }};
    f.on_start([](auto&) { ++open; });
    f.on_end([](auto& call) {
        expect(!call.exception || heap::is_bad_alloc(call.exception));
        --open;
    });
    auto await = [&] { expect(f(long_text).run() == long_text); };

    SECTION("with plain hooks") {
        f.on_start([](auto& call) { call.template arg<0>() = std::string(*call.template arg<0>()); });
        f.on_start([](auto&) { return [text = long_text, one = opened()](auto&) {}; });
        CHECK(fail_each_allocation_beside_others(await) > 3);
    }
    SECTION("with hooks that are awaited") {
        f.on_start([](auto& call) -> lazy<void> {
            call.kwargs.set("x", long_text);
            co_return;
        });
        for (int i = 0; i < 2; ++i) f.around([](auto&, auto& proceed) -> lazy<void> { co_await proceed(); });
        f.on_end([](auto& call) -> lazy<void> {
            call.kwargs.set("x", long_text);
            co_return;
        });
        CHECK(fail_each_allocation_beside_others(await) > 5);
    }
    SECTION("with isolated hooks, which are skipped if they cannot begin") {
        registry.on_hook_error([](const ext::hook_error&) {});
        for (int i = 0; i < 2; ++i)
            f.around([](auto&, auto& proceed) -> lazy<void> { co_await proceed(); }, {.isolate = true});
        CHECK(fail_each_allocation_beside_others(await) > 2);
    }
    SECTION("with isolated hooks and a monitor") {
        registry.on_hook_error([](const ext::hook_error&) {});
        registry.on_hook_run([](const ext::hook_run&) {});
        for (int i = 0; i < 2; ++i)
            f.around([](auto&, auto& proceed) -> lazy<void> { co_await proceed(); }, {.isolate = true});
        CHECK(fail_each_allocation_beside_others(await) > 2);
    }
}

TEST_CASE("The end hooks of an awaited call run even on a thread that has no memory for its slots") {
    using tasks::lazy;
    ext::registry registry;
    tasks::gate gate;
    int begun = 0, ended = 0, ends = 0;
    ext::extensible<lazy<int>(int)> f{registry, "f", [&](int x) -> lazy<int> {
        co_await gate;
        co_return x;
    }};
    f.on_start([&](auto&) { return [&](auto&) { ++ends; }; });
    f.on_start([&](auto&) { ++begun; });
    f.on_end([&](auto&) { ++ended; });
    lazy<int> awaited = f(1);
    awaited.start();
    CHECK(begun == 1);
    const holders_of_slots holders([&] {
        ext::extensible<int(int)> same{registry, "same", [](int x) { return x; }};
        same.on_start([](auto&) {});
        same(1);
    });
    on_new_thread([&] {
        auto go_on = [&] { gate.open(); };
        static_cast<void>(heap::try_failing(1, go_on));
    });
    CHECK(ended == 1);
    CHECK(ends == 1);
    CHECK(awaited.get() == 1);
}

TEST_CASE("Destroying a suspended call runs plain end hooks and finishers, even without memory") {
    using tasks::lazy;
    ext::registry registry;
    tasks::gate gate;
    int ended = 0, ends = 0;
    ext::extensible<lazy<int>(int)> f{registry, "f", [&](int x) -> lazy<int> {
        co_await gate;
        co_return x;
    }};
    f.on_start([&](auto&) { return [&](auto& call) { ends += call.exception != nullptr; }; });
    f.on_end([&](auto& call) { ended += call.exception != nullptr; });
    for (std::size_t failing = 1; failing < 5; ++failing) {
        auto suspended = std::make_unique<lazy<int>>(f(1));
        suspended->start();
        auto destroy = [&] { suspended.reset(); };
        static_cast<void>(heap::try_failing(failing, destroy));
        CHECK(ended == static_cast<int>(failing));
        CHECK(ends == static_cast<int>(failing));
    }
}

TEST_CASE("A hook whose .times are used up, but which could not be removed, is removed by the next call") {
    ext::registry registry;
    ext::extensible<int(int)> f{registry, "f", [](int x) { return x; }};
    f.on_start([](auto&) {});
    f(1);
    ext::hook hook = f.on_start([](auto& call) { call.result = 2; }, {.times = 1});
    auto call = [&] { expect(f(1) == 2); };
    CHECK(!heap::try_failing(1, call).thrown);
    CHECK(f(1) == 1);
    CHECK(!hook.active());
}

TEST_CASE("kwargs that run out of memory are unchanged") {
    ext::kwargs named;
    named.set("a name that is longer than a small string", long_text);
    const auto check = [&] {
        CHECK(named.size() == 1);
        CHECK(*named.get<std::string>("a name that is longer than a small string") == long_text);
    };
    const auto until_it_has_memory = [&](auto function) {
        std::size_t number = 1;
        for (; heap::try_failing(number, function).thrown; ++number) check();
        CHECK(number > 1);
    };
    until_it_has_memory([&] { const ext::kwargs copy = named; });
    until_it_has_memory([&] { named.set("a name that is longer than a small string", long_text); });
    until_it_has_memory([&] { static_cast<void>(named.value_or("another", long_text)); });
    until_it_has_memory([&] { named.set("another name that is longer than a small string", long_text); });
    CHECK(named.size() == 2);
}
