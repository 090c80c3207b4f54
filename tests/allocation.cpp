// What is allocated, and when. The operators below count for the whole test program.
#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>

using namespace ext::literals;

namespace {

thread_local std::size_t allocations = 0;
thread_local std::size_t fail_in = 0;  // 1: the next allocation fails

void* allocate(std::size_t size) {
    ++allocations;
    if (fail_in != 0 && --fail_in == 0) throw std::bad_alloc();
    if (void* const memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}

}  // namespace

// Not inlined, since GCC would see std::free() with memory from operator new and warn.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return allocate(size); }
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size ? size : 1); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

template <class Function>
std::size_t allocations_of(Function function) {
    const std::size_t before = allocations;
    function();
    return allocations - before;
}

const std::string long_text = "a text that is longer than any small string holds";

}  // namespace

TEST_CASE("A call allocates nothing of its own") {
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

    SECTION("on a thread's first call, neither") {
        std::size_t first = 1;
        std::thread([&] { first = allocations_of([&] { f(1, "x", long_text); }); }).join();
        CHECK(first == 0);
    }
    SECTION("nor deep in a recursion") {
        ext::extensible<int(int)> down{registry, "down", [&](int n) { return n == 0 ? 0 : down(n - 1); }};
        down.on_start([](auto&) {});
        down.on_end([](auto&) {});
        CHECK(allocations_of([&] { down(100); }) == 0);
    }
}

TEST_CASE("Empty kwargs allocate nothing") {
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

TEST_CASE("A function that returns an awaitable and has no hooks makes its own coroutine and no other") {
    ext::registry registry;
    ext::extensible<tasks::lazy<int>(int)> f{registry, "f", [](int x) -> tasks::lazy<int> { co_return x; }};
    const std::size_t plain = allocations_of([&] { f.original()(1).run(); });
    CHECK(allocations_of([&] { f(1).run(); }) == plain);
    ext::hook hook = f.on_start([](auto&) {});
    CHECK(allocations_of([&] { f(1).run(); }) > plain);
    hook.remove();
    CHECK(allocations_of([&] { f(1).run(); }) == plain);
}

TEST_CASE("A registration that runs out of memory changes nothing") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    auto state = std::make_shared<int>(0);
    f.on_start([](auto& call) { call.template arg<0>() = 5; }, {.id = "first", .priority = 2});
    ext::hook last = f.on_end([](auto& call) { call.result = *call.result + 1; }, {.after = {"x"}});

    const auto until_it_succeeds = [&](auto change) {
        int failures = 0;
        const long uses = state.use_count();
        for (std::size_t n = 1;; ++n) {
            try {
                fail_in = n;
                change();
                fail_in = 0;
                return failures;
            } catch (const std::bad_alloc&) {
                fail_in = 0;
                ++failures;
                CHECK(f(1) == 6);
                CHECK(state.use_count() == uses);
            }
        }
    };

    SECTION("on the function") {
        ext::hook added;
        CHECK(until_it_succeeds([&] {
                  added = f.on_start([state](auto& call) { call.template arg<0>() = 7; }, {.priority = 3});
              }) > 3);
        CHECK(f(1) == 8);
        added.remove();
    }
    SECTION("by name, of a function that is not wrapped") {
        CHECK(until_it_succeeds([&] { registry.on_start<void()>("g", [state](auto&) {}); }) > 3);
        CHECK(registry.functions().size() == 2);
    }
    SECTION("as a replacement") {
        CHECK(until_it_succeeds([&] {
                  f.on_start([state](auto& call) { call.template arg<0>() = 7; }, {.id = "first", .replace = true});
              }) > 3);
        CHECK(f(1) == 8);
    }
    SECTION("nor does a removal, or disabling") {
        CHECK(until_it_succeeds([&] { last.disable(); }) > 0);
        CHECK(f(1) == 5);
        last.enable();
        CHECK(until_it_succeeds([&] { last.remove(); }) > 0);
        CHECK(f(1) == 5);
    }
    SECTION("under a pattern, of several functions") {
        ext::extensible g{registry, "g", [](int x) { return x; }};
        ext::extensible h{registry, "h", [](int x) { return x; }};
        ext::hook added;
        CHECK(until_it_succeeds([&] {
                  CHECK(g(1) == 1);
                  CHECK(h(1) == 1);
                  added = registry.on_start("*", [state](ext::any_call& call) { call.set_arg(0, 7); }, {.priority = 3});
              }) > 6);
        CHECK(f(1) + g(1) + h(1) == 8 + 7 + 7);
        added.disable();
        CHECK(until_it_succeeds([&] {
                  CHECK(g(1) + h(1) == 2);
                  added.enable();
              }) > 2);
        CHECK(f(1) + g(1) + h(1) == 8 + 7 + 7);
        added.remove();
        CHECK(f(1) + g(1) + h(1) == 6 + 1 + 1);
    }
    SECTION("nor does what a plugin does with several functions") {
        ext::extensible g{registry, "g", [](int x) { return x; }};
        ext::plugin plugin{registry, "p"};
        plugin.disable();
        plugin.on_start(f, [](auto& call) { call.result = 7; });
        plugin.on_start(g, [](auto& call) { call.result = 7; });
        CHECK(until_it_succeeds([&] {
                  CHECK(g(1) == 1);
                  plugin.enable();
              }) > 3);
        CHECK(f(1) + g(1) == 8 + 7);
        plugin.disable();
        CHECK(until_it_succeeds([&] { plugin.unload(); }) > 0);
        CHECK(registry.functions()[0].hooks.size() == 2);
    }
    SECTION("nor a second wrapper") {
        CHECK(until_it_succeeds([&] { ext::extensible g{registry, "a name that is longer than any small string", [] {}}; }) > 1);
        CHECK(registry.functions().size() == 1);
    }
    state.reset();
}

#ifndef _GLIBCXX_DEBUG  // whose containers are larger
TEST_CASE("The end that a start hook returns is kept in the call where it is small and the first") {
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
    SECTION("of five pointers") {
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
    SECTION("and where there is no memory for it, its hook does not begin") {
        f.on_start(returns_end(large));
        f(1);
        fail_in = 1;
        CHECK_THROWS_AS(f(1), std::bad_alloc);
        fail_in = 0;
        CHECK(f(1) == 1);
        CHECK(ends == 2);
    }
}

TEST_CASE("A wrapper without hooks takes no more than 256 bytes beyond its name") {
    ext::extensible f{"allocation.size", [](int x) { return x; }};
    CHECK(sizeof f + sizeof(ext::detail::function_record) + sizeof(void*) +
              2 * sizeof(void*) <=  // its place in the registry; what malloc adds
          256);
}
#endif
