// What allocates memory, and when. out_of_memory.cpp tests what happens if an allocation fails.
#include "catch.hpp"
#include "heap.hpp"
#include "latch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <string>
#include <string_view>
#include <thread>

using namespace ext::literals;
using heap::allocations_of;

namespace {

// A thread's first call with hooks allocates its hazard pointers.
void make_slots() {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    f.on_start([](auto&) {});
    f();
}

const std::string long_text = "a text that is longer than any small string holds";

}  // namespace

TEST_CASE("A call allocates nothing of its own") {
    make_slots();
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x, std::string_view text, const std::string& s) {
        return static_cast<std::size_t>(x) + text.size() + s.size();
    }};
    CHECK(allocations_of([&] { f(1, "x", long_text); }) == 0);
    f.on_start([](auto& call) { call.template arg<1>() = "short"; });
    for (int i = 0; i < 3; ++i) {
        f.on_start([](auto& call) {
            auto& [x, text, s] = call.args;
            x = *x + static_cast<int>(text->size());
        });
        f.around([](auto&, auto& proceed) {
            proceed();
            proceed();
        });
        f.on_end([](auto& call) { call.result = *call.result + 1; });
    }
    registry.on_start("*", [](ext::any_call& call) {
        if (auto* x = call.arg<int>(0)) call.set_arg(0, *x);
    }, {.reentrant = false});
    registry.around("*", [](ext::any_call&, auto& proceed) { proceed(); }, {.isolate = true});
    CHECK(allocations_of([&] { f(1, "x", long_text); }) == 0);

    SECTION("except for a thread's hazard pointers, unless it reuses those of a thread that has ended") {
        std::size_t first = 99;
        std::thread([&] { first = allocations_of([&] { f(1, "x", long_text); }); }).join();
        CHECK(first <= 1 + heap::at_thread_end);
    }
    SECTION("also deep in a recursion, if the thread has been as deep before") {
        ext::extensible<int(int)> down{registry, "down", [&](int n) { return n == 0 ? 0 : down(n - 1); }};
        down.on_start([](auto&) {});
        down.on_end([](auto&) {});
        CHECK(allocations_of([&] { down(100); }) <= 100 / 8);
        CHECK(allocations_of([&] { down(100); }) == 0);
    }
}

TEST_CASE("An argument's first replacement is stored in the call if it has at most 64 bytes") {
    struct small {
        char bytes[64];
    };
    struct large {
        char bytes[65];
    };
    make_slots();
    ext::registry registry;
    ext::extensible f{registry, "f", [](small x) { return x.bytes[0]; }};
    ext::extensible g{registry, "g", [](large x) { return x.bytes[0]; }};
    f.on_start([](auto& call) { call.template arg<0>() = small{"new"}; });
    g.on_start([](auto& call) { call.template arg<0>() = large{"new"}; });
    char of_small = 0, of_large = 0;
    CHECK(allocations_of([&] { of_small = f({"old"}); }) == 0);
    CHECK(allocations_of([&] { of_large = g({"old"}); }) == 1);
    CHECK(of_small == 'n');
    CHECK(of_large == 'n');
}

TEST_CASE("Empty kwargs allocate nothing") {
    make_slots();
    ext::registry registry;
    CHECK(allocations_of([] {
              ext::kwargs none, copy = none, moved = std::move(copy);
              moved.erase("x");
              static_cast<void>(moved.take<int>("x"));
          }) == 0);
    ext::extensible f{registry, "f", ext::params("x"_kw = 1), [](int x, const ext::kwargs&) { return x; }};
    CHECK(allocations_of([&] { f(); }) == 0);
    CHECK(allocations_of([&] { f("x"_kw = 2); }) == 0);
    f.on_start([](auto&) {});
    f.on_end([](auto&) {});
    CHECK(allocations_of([&] { f("x"_kw = 2); }) == 0);
}

TEST_CASE("A call that throws allocates nothing beyond its exception") {
    make_slots();
    ext::registry registry;
    static const auto ready = std::make_exception_ptr(1);
    ext::extensible f{registry, "f", [] {}};
    f.on_start([](auto& call) { call.exception = ready; });
    f.on_end([](auto& call) {
        call.exception = nullptr;
        call.result.emplace();
    });
    CHECK(allocations_of([&] { f(); }) == 0);
}

TEST_CASE("Without hooks, a function that returns an awaitable allocates only its own coroutine") {
    ext::registry registry;
    ext::extensible<tasks::lazy<int>(int)> f{registry, "f", [](int x) -> tasks::lazy<int> { co_return x; }};
    const std::size_t plain = allocations_of([&] { f.original()(1).run(); });
    CHECK(allocations_of([&] { f(1).run(); }) == plain);
    ext::hook hook = f.on_start([](auto&) {});
    CHECK(allocations_of([&] { f(1).run(); }) > plain);
    hook.remove();
    CHECK(allocations_of([&] { f(1).run(); }) == plain);
}

TEST_CASE("Enabling an enabled hook allocates nothing, nor does enabling or disabling a removed one") {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    ext::hook hook = f.on_start([](auto&) {});
    CHECK(allocations_of([&] { hook.enable(); }) == 0);
    ext::scoped_hook other = f.on_start([](auto&) {});
    hook.remove();
    CHECK(allocations_of([&] { hook.enable(), hook.disable(), hook.enable(); }) == 0);
}

TEST_CASE("A new thread reuses the memory of a thread that has ended") {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    f.on_start([](auto&) {});
    const auto begin_and_end_thread = [&] {
        std::size_t allocated = 0;
        std::thread([&] { allocated = allocations_of([&] { f(); }); }).join();
        return allocated;
    };
    CHECK(begin_and_end_thread() <= 1 + heap::at_thread_end);
    CHECK(begin_and_end_thread() == heap::at_thread_end);

    // Also a thread that has begun before, and so has another id.
    tests::latch ended(1);
    std::size_t allocated = 0;
    std::thread later([&] {
        ended.wait();
        allocated = allocations_of([&] { f(); });
    });
    CHECK(begin_and_end_thread() == heap::at_thread_end);
    ended.count_down();
    later.join();
    CHECK(allocated == heap::at_thread_end);
}

#ifndef _GLIBCXX_DEBUG  // its containers are larger
TEST_CASE("The first finisher of a call is stored in the call if it is small") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    int ends = 0;
    const auto returns_end = [&]<std::size_t Size>(const char (&)[Size]) {
        return [&ends](auto&) {
            struct state {
                int* ends;
                char more[Size];
            };
            return [kept = state{&ends, {}}](auto&) { ++*kept.ends; };
        };
    };
    const char small[4 * sizeof(void*)]{}, large[4 * sizeof(void*) + 1]{};
    SECTION("if it is as large as five pointers") {
        f.on_start(returns_end(small));
        f(1);
        CHECK(allocations_of([&] { f(1); }) == 0);
        CHECK(ends == 2);
    }
    SECTION("not if it is larger") {
        f.on_start(returns_end(large));
        f(1);
        CHECK(allocations_of([&] { f(1); }) == 1);
        CHECK(ends == 2);
    }
    SECTION("not if it is the second") {
        f.on_start(returns_end(small));
        f.on_start(returns_end(small));
        f(1);
        CHECK(allocations_of([&] { f(1); }) == 1);
        CHECK(ends == 4);
    }
    SECTION("and without memory for it, its start hook does not begin") {
        f.on_start(returns_end(large));
        f(1);
        heap::fail_in = 1;
        CHECK_THROWS_AS(f(1), std::bad_alloc);
        heap::fail_in = 0;
        CHECK(f(1) == 1);
        CHECK(ends == 2);
    }
}

TEST_CASE("A wrapper without hooks takes no more than 256 bytes beyond its name") {
    ext::extensible f{"allocation.size", [](int x) { return x; }};
    CHECK(sizeof f + sizeof(ext::detail::function_record) + sizeof(void*) +
              2 * sizeof(void*) <=  // the registry's pointer to it; what malloc adds
          256);
}
#endif
