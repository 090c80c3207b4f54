// Hooks that register, remove, call and destroy while they run, on one thread.
#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

struct fixture {
    ext::registry registry;
    std::string way;
    ext::extensible<int(int)> f{registry, "f", [this](int x) {
        way += "f";
        return x;
    }};
};

// Does something when the hook that captured it is destroyed.
class at_destruction {
public:
    explicit at_destruction(std::function<void()> action) : action_(std::move(action)) {}
    at_destruction(at_destruction&& other) noexcept : action_(std::exchange(other.action_, nullptr)) {}
    ~at_destruction() {
        if (action_) action_();
    }

private:
    std::function<void()> action_;
};

}  // namespace

TEST_CASE_METHOD(fixture, "A hook that is registered during a call runs from the next call on") {
    f.on_start([this, first = true](auto&) mutable {
        if (std::exchange(first, false)) {
            f.on_start([this](auto&) { way += "s"; });
            f.on_end([this](auto&) { way += "e"; });
        }
    });
    f(1);
    CHECK(way == "f");
    f(1);
    CHECK(way == "fsfe");
}

TEST_CASE_METHOD(fixture, "A hook that is removed or disabled during a call still runs in this call") {
    ext::hook removed = f.on_end([this](auto&) { way += "r"; });
    ext::hook disabled = f.on_end([this](auto&) { way += "d"; });
    f.on_start([&](auto&) {
        removed.remove();
        disabled.disable();
        CHECK(!removed.active());
        CHECK(!disabled.active());
    });
    f(1);
    CHECK(way == "frd");
    f(1);
    CHECK(way == "frdf");
    disabled.enable();
}

TEST_CASE_METHOD(fixture, "A hook may remove itself, and its captures are destroyed when the call ends") {
    auto state = std::make_shared<int>(0);
    ext::hook self = f.on_start([&self, state](auto&) {
        self.remove();
        self.remove();
        CHECK(state.use_count() == 2);  // still alive: it is running
        ++*state;
    });
    SECTION("without waiting") {}
    SECTION("with remove_and_wait(), which does not wait for its own call") {
        f.on_start([&](auto&) { self.remove_and_wait(); }, {.priority = 1});
    }
    f(1);
    CHECK(*state == 1);
    CHECK(state.use_count() == 1);
    f(1);
    CHECK(*state == 1);
}

TEST_CASE_METHOD(fixture, "A removed hook that an outer call still holds is destroyed by the outer call") {
    auto state = std::make_shared<int>(0);
    std::optional<ext::hook> hook;
    hook = f.on_start([&, state](auto& call) {
        ++*state;
        if (*call.template arg<0>() > 0) f(*call.template arg<0>() - 1);
        else hook->remove_and_wait();
        CHECK(state.use_count() == 2);
    });
    f(3);
    CHECK(*state == 4);
    CHECK(state.use_count() == 1);
}

TEST_CASE_METHOD(fixture, "Functions with hooks may call themselves, more deeply than there are slots") {
    ext::extensible<int(int)> sum{registry, "sum", [&](int n) { return n == 0 ? 0 : n + sum(n - 1); }};
    int starts = 0, ends = 0;
    sum.on_start([&](auto&) { ++starts; });
    sum.on_end([&](auto&) { ++ends; });
    CHECK(sum(1000) == 500500);
    CHECK(starts == 1001);
    CHECK(ends == 1001);
}

TEST_CASE("Calls of many functions may nest more deeply than there are slots, and the innermost may remove all hooks") {
    constexpr int depth = 40;
    ext::registry registry;
    auto state = std::make_shared<int>(0);
    std::vector<std::unique_ptr<ext::extensible<int(int)>>> chain;
    std::vector<ext::hook> hooks;
    for (int i = 0; i < depth; ++i) {
        chain.push_back(
            std::make_unique<ext::extensible<int(int)>>(registry, "chain" + std::to_string(i), [&, i](int x) {
                if (i + 1 < depth) return (*chain[static_cast<std::size_t>(i) + 1])(x + 1);
                const long holders = state.use_count();
                for (ext::hook& hook : hooks) hook.remove_and_wait();
                CHECK(state.use_count() == holders);  // all of them are still in use, by this thread
                return x;
            }));
        hooks.push_back(chain.back()->on_end([state](auto&) { ++*state; }));
    }
    CHECK((*chain[0])(0) == depth - 1);
    CHECK(*state == depth);
    CHECK(state.use_count() == 1);
    CHECK((*chain[0])(0) == depth - 1);
    CHECK(*state == depth);
}

TEST_CASE("A hook may destroy the wrapper, and the call continues") {
    ext::registry registry;
    std::string way;
    auto state = std::make_shared<int>(5);
    const auto function = [&way, state](int x) {
        way += "f";
        return x + *state;
    };
    SECTION("a wrapper of a deduced type") {
        using wrapper = ext::extensible<int(int), std::decay_t<decltype(function)>>;
        auto f = std::make_unique<wrapper>(registry, "f", function);
        SECTION("in a start hook") {
            f->on_start([&](auto& call) {
                f.reset();
                call.result = 6;
            });
        }
        SECTION("in a start hook of an inner call") {
            f->on_start([&](auto& call) {
                if (*call.template arg<0>() == 0) f.reset();
                else if (f) CHECK((*f)(0) == 5);
                if (!f) call.result = *call.template arg<0>() + 5;
                way += "s";
            });
        }
        SECTION("in an around hook, before the function") {
            f->around([&](auto& call, auto&) {
                f.reset();
                call.result = 6;
            });
        }
        SECTION("in an around hook, after the function") {
            f->around([&](auto&, auto& proceed) {
                proceed();
                f.reset();
            });
        }
        SECTION("in an end hook") {
            f->on_start([&](auto&) { way += "s"; });
            f->on_end([&](auto&) { f.reset(); });
        }
        f->on_end([&](auto& call) {
            CHECK(call.name == "f");
            way += "e";
        }, {.priority = 1});
        CHECK((*f)(1) == 6);
        CHECK(!f);
    }
    SECTION("a type-erased wrapper") {
        auto f = std::make_unique<ext::extensible<int(int)>>(registry, "f", function);
        f->on_start([&](auto& call) {
            f.reset();
            call.result = 6;
        });
        f->on_end([&](auto&) { way += "e"; });
        CHECK((*f)(1) == 6);
    }
    CHECK(way.back() == 'e');
    CHECK(registry.functions().empty());
    CHECK(state.use_count() == 2);  // `state` and the copy in `function`: no wrapper holds one any more
}

TEST_CASE("A hook may construct another wrapper at the address of the called one") {
    ext::registry registry;
    auto state = std::make_shared<int>(1);
    std::optional<ext::extensible<int(int)>> f;
    f.emplace(registry, "f", [state](int x) { return x + *state; });
    int inner = 0, ends = 0;
    registry.on_start<int(int)>("f", [&, first = true](auto& call) mutable {
        if (!std::exchange(first, false)) return;
        f.emplace(registry, "f", [](int x) { return x + 100; });
        inner = (*f)(1);
        CHECK((*f)(2) == 102);
        CHECK(state.use_count() == 1);
        call.result = 2;
    });
    registry.on_end<int(int)>("f", [&](auto&) { ++ends; });
    CHECK((*f)(1) == 2);
    CHECK(inner == 101);
    CHECK(ends == 3);
    CHECK((*f)(1) == 101);
    CHECK(state.use_count() == 1);
}

TEST_CASE("Wrappers that are destroyed at the same address, each during its own call, keep their functions") {
    ext::registry registry;
    std::optional<ext::extensible<int(int)>> f;
    f.emplace(registry, "f", [](int) { return 1; });
    int inner = 0;
    registry.on_start<int(int)>("f", [&, depth = 0](auto& call) mutable {
        f.reset();
        call.result = ++depth;
        if (depth > 1) return;
        f.emplace(registry, "f", [](int) { return 2; });
        inner = (*f)(0);
    });
    CHECK((*f)(0) == 1);
    CHECK(inner == 2);
}

TEST_CASE("A hook may destroy the registry, and the call continues with the hooks that it began with") {
    auto registry = std::make_unique<ext::registry>();
    ext::extensible f{*registry, "f", [](int x) { return x; }};
    int ends = 0;
    f.on_start([&](auto&) { registry.reset(); });
    f.on_end([&](auto& call) {
        ++ends;
        CHECK(call.name == "f");
    });
    CHECK(f(1) == 1);
    CHECK(f(1) == 1);
    CHECK(ends == 1);
}

TEST_CASE_METHOD(fixture, "The destructor of what a hook captured may use the library") {
    int destroyed = 0;
    ext::hook other = f.on_end([this](auto&) { way += "o"; });
    ext::hook hook = f.on_start([&, watch = at_destruction([&] {
                                        ++destroyed;
                                        other.remove_and_wait();
                                        f(2);
                                        f.on_start([this](auto&) { way += "n"; });
                                    })](auto&) { way += "s"; });
    SECTION("when the hook is removed") { hook.remove(); }
    SECTION("when the hook is removed by remove_and_wait()") { hook.remove_and_wait(); }
    SECTION("when the last call that runs the hook ends") {
        f.on_start([&](auto&) { hook.remove(); }, {.id = "remover"});
        f(1);
        f.on_start([](auto&) {}, {.id = "remover", .replace = true});
    }
    CHECK(destroyed == 1);
    CHECK(!other.active());
    way.clear();
    f(3);
    CHECK(way == "nf");
}

TEST_CASE_METHOD(fixture, "Hooks that are destroyed together may wait for each other") {
    ext::hook one, two;
    int destroyed = 0;
    one = f.on_start([watch = at_destruction([&] {
                          ++destroyed;
                          two.remove_and_wait();
                      })](auto&) {});
    two = f.on_start([watch = at_destruction([&] {
                          ++destroyed;
                          one.remove_and_wait();
                      })](auto&) {});
    SECTION("one by one") {
        one.remove_and_wait();
        two.remove_and_wait();
    }
    SECTION("in one step, by a call that holds both") {
        f.on_end([&](auto&) {
            one.remove();
            two.remove();
        });
        f(1);
    }
    CHECK(destroyed == 2);
}

TEST_CASE_METHOD(fixture, "An exception propagates through nested calls, and the end hooks of each call run") {
    ext::extensible outer{registry, "outer", [this](int x) { return f(x); }};
    f.on_start([](auto&) { throw std::runtime_error("inner"); });
    f.on_end([this](auto&) { way += "i"; });
    outer.on_end([this](auto& call) {
        way += "o";
        CHECK(call.exception);
    });
    CHECK_THROWS_WITH(outer(1), Catch::Matchers::Equals("inner"));
    CHECK(way == "io");
}
