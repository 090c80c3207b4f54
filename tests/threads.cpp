// Threads that call, register and remove hooks at the same time. Run under ThreadSanitizer, too.
#include "catch.hpp"
#include "latch.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace {

// Runs the functions, each on a thread of its own, and waits for them.
template <class... Function>
void on_threads(Function... function) {
    std::thread threads[] = {std::thread(std::move(function))...};
    for (std::thread& thread : threads) thread.join();
}

// Catch2's assertions work on one thread only, so the other threads count failures.
struct failures {
    std::atomic<int> count{0};
    void expect(bool holds) {
        if (!holds) ++count;
    }
    ~failures() { CHECK(count == 0); }
};

}  // namespace

TEST_CASE("A start and end pair is never torn") {
    ext::registry registry;
    failures failed;
    std::atomic<bool> stop{false};
    ext::extensible pair{registry, "pair", [](int& open) { return open; }};
    const auto caller = [&] {
        while (!stop) {
            int open = 0;
            const int inside = pair(open);
            failed.expect(inside == 0 || inside == 1);
            failed.expect(open == 0);
        }
    };
    on_threads(caller, caller, [&] {
        for (int round = 0; round < 1000; ++round) {
            // The end hook is added before its start hook and removed after it, so a call that
            // opens must close.
            ext::hook end =
                pair.on_end([](auto& call) { *call.template arg<0>() -= call.kwargs.value_or("opened", 0); });
            ext::hook start = pair.on_start([](auto& call) {
                *call.template arg<0>() += 1;
                call.kwargs.set("opened", 1);
            });
            start.remove();
            end.remove();
        }
        stop = true;
    });
}

TEST_CASE("After remove_and_wait() the hook does not run any more, and its captures are destroyed") {
    ext::registry registry;
    failures failed;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    std::atomic<bool> stop{false};
    const auto caller = [&] {
        while (!stop) failed.expect(f(1) == 1);
    };
    const auto remover = [&] {
        for (int round = 0; round < 1000; ++round) {
            auto state = std::make_shared<std::atomic<bool>>(true);
            std::weak_ptr<std::atomic<bool>> watch = state;
            std::atomic<bool>* const raw = state.get();
            ext::hook hook =
                f.on_start([state = std::move(state), raw, &failed](auto&) { failed.expect(raw->load()); });
            hook.remove_and_wait();
            failed.expect(watch.expired());
        }
    };
    on_threads(caller, caller, [&] {
        on_threads(remover, remover);
        stop = true;
    });
}

TEST_CASE("Two threads may wait for the same hook, and neither returns before it is destroyed") {
    ext::registry registry;
    failures failed;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    for (int round = 0; round < 100; ++round) {
        auto state = std::make_shared<int>(0);
        std::weak_ptr<int> watch = state;
        ext::hook hook = f.on_start([state = std::move(state)](auto&) {});
        const auto remover = [&, hook]() mutable {
            hook.remove_and_wait();
            failed.expect(watch.expired());
        };
        on_threads(remover, remover, [&] { f(1); });
    }
}

TEST_CASE("remove_and_wait() waits for another thread that is destroying what the hook captured") {
    struct slow_to_destroy {
        tests::latch& destroying;
        tests::latch& may_finish;
        std::atomic<bool>& destroyed;
        bool owner = true;
        slow_to_destroy(tests::latch& begun, tests::latch& waited_for, std::atomic<bool>& done)
            : destroying(begun), may_finish(waited_for), destroyed(done) {}
        slow_to_destroy(slow_to_destroy&& other) noexcept
            : destroying(other.destroying), may_finish(other.may_finish), destroyed(other.destroyed),
              owner(std::exchange(other.owner, false)) {}
        ~slow_to_destroy() {
            if (!owner) return;
            destroying.count_down();
            may_finish.wait();
            for (int i = 0; i < 1000; ++i) std::this_thread::yield();  // gives the waiter the time to return too early
            destroyed = true;
        }
    };
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    tests::latch destroying(1), waiting(1);
    std::atomic<bool> destroyed{false};
    bool was_destroyed = false;
    ext::hook hook = f.on_start([state = slow_to_destroy(destroying, waiting, destroyed)](auto&) {});
    on_threads([&] { hook.remove(); },
               [&, hook]() mutable {
                   destroying.wait();
                   waiting.count_down();
                   hook.remove_and_wait();
                   was_destroyed = destroyed;
               });
    CHECK(was_destroyed);
}

TEST_CASE("remove() returns while a call runs the hook, and the last such call destroys its captures") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    auto state = std::make_shared<int>(0);
    tests::latch running(1), removed(1);
    ext::hook hook = f.on_start([&, state](auto&) {
        running.count_down();
        removed.wait();
    });
    std::thread caller([&] { f(1); });
    running.wait();
    hook.remove();
    CHECK(state.use_count() == 2);
    removed.count_down();
    caller.join();
    CHECK(state.use_count() == 1);
}

TEST_CASE("remove_and_wait() waits for a call that runs the hook, not for calls of other functions") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::extensible g{registry, "g", [](int x) { return x; }};
    tests::latch in_g(1), f_removed(1), in_f(1);
    std::atomic<bool> left_f{false};
    ext::hook on_g = g.on_start([&](auto&) {
        in_g.count_down();
        f_removed.wait();
    });
    ext::hook on_f = f.on_start([&](auto&) { in_f.count_down(); });
    on_threads([&] { g(1); },
               [&] {
                   f(1);
                   left_f = true;
               },
               [&] {
                   in_g.wait();
                   in_f.wait();
                   on_f.remove_and_wait();  // while g is still running
                   f_removed.count_down();
               });
    CHECK(left_f);
}

TEST_CASE("Two threads that wait for each other's calls do not deadlock") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::extensible g{registry, "g", [](int x) { return x; }};
    for (int round = 0; round < 50; ++round) {
        SECTION("in one hook, round " + std::to_string(round)) {
            tests::latch both(2);
            ext::hook hook;
            hook = f.on_start([&](auto&) {
                both.arrive_and_wait();
                hook.remove_and_wait();
            });
            on_threads([&] { f(1); }, [&] { f(1); });
            CHECK(!hook.active());
        }
        SECTION("in two, round " + std::to_string(round)) {
            tests::latch both(2);
            ext::hook on_f, on_g;
            on_f = f.on_start([&](auto&) {
                both.arrive_and_wait();
                on_g.remove_and_wait();
            });
            on_g = g.on_start([&](auto&) {
                both.arrive_and_wait();
                on_f.remove_and_wait();
            });
            on_threads([&] { f(1); }, [&] { g(1); });
            CHECK(!on_f.active());
            CHECK(!on_g.active());
        }
    }
}

TEST_CASE("Crossed calls on two threads do not block each other") {
    ext::registry registry;
    failures failed;
    ext::extensible f{registry, "f", [](int x) { return x + 1; }};
    ext::extensible g{registry, "g", [](int x) { return x + 1; }};
    f.on_start([&](auto& call) {
        if (*call.template arg<0>() > 0) failed.expect(g(0) == 1);
    });
    g.on_start([&](auto& call) {
        if (*call.template arg<0>() > 0) failed.expect(f(0) == 1);
    });
    constexpr int rounds = 1'000'000;
    on_threads([&] { for (int i = 0; i < rounds; ++i) failed.expect(f(1) == 2); },
               [&] { for (int i = 0; i < rounds; ++i) failed.expect(g(1) == 2); });
}

TEST_CASE("Any thread may call, register, enable, disable, replace and remove at any time") {
    ext::registry registry;
    failures failed;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    std::atomic<bool> stop{false};
    const auto caller = [&] {
        while (!stop) failed.expect(f(1) >= 1);
    };
    const auto changer = [&](int seed) {
        return [&, seed] {
            const std::string id = "id" + std::to_string(seed);
            ext::scoped_hook replaced;
            for (int round = 0; round < 1100; ++round) {
                auto state = std::make_unique<int>(1);
                ext::hook hook = f.on_start(
                    [state = std::move(state)](auto& call) {
                        auto& [x] = call.args;
                        x = *x + *state;
                    },
                    {.id = id, .priority = round % 3, .replace = true});
                ext::scoped_hook by_name =
                    registry.on_end("f", [](ext::call<int(int)>& call) { call.result = *call.result + 1; });
                hook.disable();
                hook.enable();
                if (round % 2) hook.remove_and_wait();
                replaced = hook;
                ext::extensible second{registry, "f", [](int x) { return x; }};
                failed.expect(second(1) >= 1);
            }
        };
    };
    on_threads(caller, caller, [&] {
        on_threads(changer(1), changer(2));
        stop = true;
    });
}

TEST_CASE("A thread may end between calls, and the hooks that it ran can be removed") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    std::atomic<int> calls{0};
    for (int round = 0; round < 100; ++round) {
        ext::hook hook = f.on_start([&](auto&) { ++calls; });
        on_threads([&] { f(1); }, [&] { f(1); });
        hook.remove_and_wait();
    }
    CHECK(calls == 200);
}

namespace {

// Calls `action` when its thread ends, after the thread-local objects that were constructed later
// are destroyed.
struct at_thread_end {
    std::function<void()> action;
    ~at_thread_end() {
        if (action) action();
    }
};

}  // namespace

#if !defined(EXTENSIBLE_EMULATED_THREAD_LOCAL)  // with it, such an object is freed before it is destroyed
TEST_CASE("A function with hooks may be called while its thread ends") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    std::atomic<int> calls{0};
    ext::hook hook = f.on_start([&](auto&) { ++calls; });
    for (int round = 0; round < 50; ++round) {
        on_threads([&] {
            thread_local at_thread_end later;
            later.action = [&] {
                f(1);
                f(2);
                f.on_start([](auto&) {}).remove_and_wait();
            };
            f(0);
        });
    }
    hook.remove_and_wait();
    CHECK(calls == 150);
}
#endif

TEST_CASE("unload_for() does not wait for calls of another function, even if a hook of that function was removed") {
    ext::registry registry;
    tests::latch inside{1}, leaves{1};
    ext::extensible other{registry, "other", [] {}};
    ext::hook removed = other.on_start([&](auto&) {
        inside.count_down();
        leaves.wait();
    });
    ext::extensible f{registry, "f", [] {}};
    ext::plugin plugin{registry, "plugin"};
    bool in_time = false;
    plugin.on_start(f, [&](auto&) { in_time = plugin.unload_for(std::chrono::seconds(5)); });
    std::thread caller([&] { other(); });
    inside.wait();
    removed.remove();
    f();
    CHECK(in_time);
    leaves.count_down();
    caller.join();
}
