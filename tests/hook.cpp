#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <functional>
#include <memory>
#include <string>
#include <type_traits>

using Catch::Matchers::Equals;

namespace {

struct fixture {
    ext::registry registry;
    ext::extensible<int(int)> twice{registry, "twice", [](int x) { return 2 * x; }};
    std::shared_ptr<int> state = std::make_shared<int>(0);

    // A hook that counts its calls in the state that it captures.
    auto counting() {
        return [count = state](auto&) { ++*count; };
    }
};

}  // namespace

TEST_CASE_METHOD(fixture, "A removed hook does not run, and its captures are destroyed") {
    ext::hook hook = twice.on_start(counting());
    twice(1);
    hook.remove();
    CHECK(!hook.active());
    CHECK(state.use_count() == 1);
    twice(1);
    CHECK(*state == 1);
    hook.remove();
    hook.remove_and_wait();
    hook.enable();
    hook.disable();
    CHECK(!hook.active());
    twice(1);
    CHECK(*state == 1);
}

TEST_CASE_METHOD(fixture, "A disabled hook does not run, keeps its position and its state, and can be enabled again") {
    std::string way;
    ext::hook first = twice.on_start([&](auto&) { way += "1"; });
    twice.on_start([&](auto&) { way += "2"; });
    ext::hook alone = twice.on_end(counting());
    first.disable();
    alone.disable();
    CHECK(!first.active());
    twice(1);
    CHECK(way == "2");
    CHECK(*state == 0);
    CHECK(state.use_count() == 2);
    first.disable();
    first.enable();
    first.enable();
    CHECK(first.active());
    twice(1);
    CHECK(way == "212");
    alone.remove();  // while it is disabled
    CHECK(state.use_count() == 1);
}

TEST_CASE_METHOD(fixture, "Destroying a handle does not remove the hook") {
    {
        ext::hook hook = twice.on_start(counting());
    }
    twice(1);
    CHECK(*state == 1);
}

TEST_CASE_METHOD(fixture, "Copies of a handle refer to the same hook") {
    ext::hook hook = twice.on_start(counting());
    ext::hook copy = hook;
    CHECK(copy == hook);
    CHECK(copy != ext::hook());
    copy.remove();
    CHECK(!hook.active());
}

TEST_CASE("A handle that refers to no hook does nothing") {
    ext::hook none;
    none.remove();
    none.remove_and_wait();
    none.enable();
    none.disable();
    CHECK(!none.active());
    STATIC_REQUIRE(!std::is_convertible_v<ext::hook, bool>);
}

TEST_CASE("A handle may be used after the function and the registry are destroyed") {
    ext::hook hook;
    auto state = std::make_shared<int>(0);
    {
        ext::registry registry;
        ext::extensible f{registry, "f", [](int x) { return x; }};
        hook = registry.on_start<int(int)>("f", [state](auto&) {});
        CHECK(hook.active());
    }
    CHECK(state.use_count() == 1);
    CHECK(!hook.active());
    hook.enable();
    hook.disable();
    hook.remove();
    hook.remove_and_wait();
}

TEST_CASE_METHOD(fixture, "A scoped hook removes its hook") {
    SECTION("at the end of its scope") {
        {
            ext::scoped_hook scoped = twice.on_start(counting());
            CHECK(scoped.get().active());
            twice(1);
        }
        twice(1);
        CHECK(*state == 1);
        CHECK(state.use_count() == 1);
    }
    SECTION("when another hook is assigned") {
        int others = 0;
        ext::scoped_hook scoped = twice.on_start(counting());
        scoped = twice.on_start([&](auto&) { ++others; });
        twice(1);
        CHECK(*state == 0);
        CHECK(others == 1);
        scoped = ext::scoped_hook();
        twice(1);
        CHECK(others == 1);
    }
    SECTION("by reset()") {
        ext::scoped_hook scoped = twice.on_start(counting());
        scoped.reset();
        scoped.reset();
        twice(1);
        CHECK(*state == 0);
        CHECK_FALSE(scoped.get().active());
    }
    SECTION("but not after release()") {
        {
            ext::scoped_hook scoped = twice.on_start(counting());
            ext::scoped_hook owner = std::move(scoped);
            const ext::hook kept = owner.release();
            CHECK(kept.active());
        }
        twice(1);
        CHECK(*state == 1);
    }
    SECTION("but not if it is assigned to itself") {
        ext::scoped_hook scoped = twice.on_start(counting());
        ext::scoped_hook& self = scoped;
        scoped = std::move(self);
        twice(1);
        CHECK(*state == 1);
    }
    STATIC_REQUIRE(!std::is_copy_constructible_v<ext::scoped_hook>);
}

TEST_CASE_METHOD(fixture, "A hook may be any kind of callable") {
    SECTION("move-only") {
        twice.on_start([owned = std::make_unique<int>(9)](auto& call) { call.result = *owned; });
        CHECK(twice(1) == 9);
    }
    SECTION("mutable") {
        twice.on_start([n = 0](auto& call) mutable { call.result = ++n; });
        twice(1);
        CHECK(twice(1) == 2);
    }
    SECTION("a function") {
        void (*hook)(ext::call<int(int)>&) = [](ext::call<int(int)>& call) { call.result = 5; };
        twice.on_start(hook);
        CHECK(twice(1) == 5);
        registry.on_end("twice", hook);
    }
    SECTION("a std::function") {
        twice.on_start(std::function<void(ext::call<int(int)>&)>([](auto& call) { call.result = 6; }));
        CHECK(twice(1) == 6);
    }
    SECTION("with a const call") {
        int seen = 0;
        twice.on_start([&](const ext::call<int(int)>& call) { seen = *std::get<0>(call.args); });
        twice(3);
        CHECK(seen == 3);
    }
}

TEST_CASE_METHOD(fixture, "An empty hook is refused, and nothing changes") {
    const std::string rest = " hook is empty: a null pointer or an empty std::function";
    void (*null)(ext::call<int(int)>&) = nullptr;
    CHECK_THROWS_WITH(twice.on_start(null), Equals("twice: the start" + rest));
    CHECK_THROWS_WITH(twice.on_end(std::function<void(ext::call<int(int)>&)>()), Equals("twice: the end" + rest));
    CHECK_THROWS_WITH(registry.on_start("other", null), Equals("other: the start" + rest));
    CHECK_THROWS_AS(twice.on_start(null), ext::error);
    CHECK(twice(1) == 2);
}

TEST_CASE_METHOD(fixture, "get() returns the handle of a scoped hook, which may be copied") {
    ext::hook copy;
    {
        const ext::scoped_hook scoped = twice.on_start([](auto& call) { call.result = 7; });
        copy = scoped.get();
        CHECK(copy.active());
        CHECK(twice(1) == 7);
    }
    CHECK_FALSE(copy.active());
    CHECK(twice(1) == 2);
}
