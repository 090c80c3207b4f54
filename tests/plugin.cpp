// Plugins: hooks that belong to one owner.
#include "catch.hpp"
#include "latch.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;

namespace {

struct hooked {
    ext::registry registry;
    std::string way;
    ext::extensible<int(int)> f{registry, "f", [](int x) { return x; }};
    ext::extensible<int(int)> g{registry, "g", [](int x) { return x; }};

    auto mark(std::string text) {
        return [this, text](auto&) { way += text; };
    }
    std::string way_of_calls() {
        way.clear();
        f(1);
        way += ' ';
        g(1);
        return way;
    }
};

}  // namespace

TEST_CASE("All hooks of a plugin are disabled and enabled together") {
    hooked h;
    ext::plugin plugin{h.registry, "p"};
    plugin.on_start(h.f, h.mark("1"));
    plugin.on_end<int(int)>("g", h.mark("2"));
    plugin.around<ext::any_call>("*", [&](auto&, auto& proceed) { h.way += "("; proceed(); h.way += ")"; });
    h.f.on_end(h.mark("own"));
    CHECK(h.way_of_calls() == "1()own ()2");
    plugin.disable();
    CHECK(h.way_of_calls() == "own ");
    plugin.on_start(h.g, h.mark("3"));  // is disabled like the others
    CHECK(h.way_of_calls() == "own ");
    plugin.enable();
    plugin.enable();
    CHECK(h.way_of_calls() == "1()own 3()2");
}

TEST_CASE("A hook that was disabled itself remains disabled when its plugin is enabled") {
    hooked h;
    ext::plugin plugin{h.registry, "p"};
    ext::hook hook = plugin.on_start(h.f, h.mark("1"));
    plugin.on_start(h.f, h.mark("2"));
    hook.disable();
    plugin.disable();
    plugin.enable();
    CHECK(h.way_of_calls() == "2 ");
    plugin.disable();
    hook.enable();
    CHECK(!hook.active());
    CHECK(h.way_of_calls() == " ");
    plugin.enable();
    CHECK(hook.active());
    CHECK(h.way_of_calls() == "12 ");
}

TEST_CASE("unload() destroys everything that the plugin's hooks captured, wherever they were registered") {
    hooked h;
    auto state = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = state;
    ext::plugin plugin{h.registry, "p"};
    const auto hook = [state = std::move(state)](auto&) {};
    plugin.on_start(h.f, hook);
    plugin.on_end(h.g, hook).disable();
    plugin.on_start<void()>("not.wrapped", hook);
    plugin.on_start<ext::any_call>("*", hook);
    plugin.on_start<ext::any_call>("nothing.like.this.*", hook);
    ext::hook kept = h.f.on_start(h.mark("own"));
    REQUIRE(watch.use_count() == 6);
    plugin.unload();
    CHECK(watch.use_count() == 1);  // the copy in `hook` here
    CHECK(h.way_of_calls() == "own ");
    CHECK(h.registry.functions().size() == 2);
    plugin.unload();
    CHECK(plugin.unload_for(0s));
}

TEST_CASE("An unloaded plugin cannot register hooks, and enabling it has no effect") {
    hooked h;
    ext::plugin plugin{h.registry, "openbao"};
    plugin.on_start(h.f, h.mark("1"));
    plugin.disable();
    plugin.unload();
    plugin.enable();
    CHECK(h.way_of_calls() == " ");
    CHECK_THROWS_WITH(plugin.on_start(h.f, h.mark("2")), ContainsSubstring("the plugin openbao is unloaded"));
    CHECK_THROWS_AS(plugin.on_start("*", [](ext::any_call&) {}), ext::error);
    ext::plugin again{h.registry, "openbao"};
    again.on_start(h.f, h.mark("3"));
    CHECK(h.way_of_calls() == "3 ");
}

TEST_CASE("A plugin's destructor unloads it") {
    hooked h;
    {
        ext::plugin plugin{h.registry, "p"};
        plugin.on_start(h.f, h.mark("1"));
    }
    CHECK(h.way_of_calls() == " ");
}

TEST_CASE("A plugin that is moved keeps its hooks, and a plugin that is assigned to unloads its own first") {
    hooked h;
    std::optional<ext::plugin> first(std::in_place, h.registry, "first");
    first->on_start(h.f, h.mark("1"));
    ext::plugin second{h.registry, "second"};
    second.on_start(h.f, h.mark("2"));
    ext::plugin moved = std::move(*first);
    first.reset();
    CHECK(h.way_of_calls() == "12 ");
    second = std::move(moved);
    CHECK(h.way_of_calls() == "1 ");
    CHECK(second.name() == "first");
    second.unload();
    CHECK(h.way_of_calls() == " ");
}

TEST_CASE("A plugin registers hooks only in its own registry") {
    hooked h;
    ext::registry other;
    ext::extensible elsewhere{other, "elsewhere", [] {}};
    ext::plugin plugin{h.registry, "p"};
    CHECK_THROWS_WITH(plugin.on_start(elsewhere, [](auto&) {}),
                      ContainsSubstring("elsewhere: the function is in another registry than the plugin p"));
}

TEST_CASE("A plugin's defaults apply to its hooks, which may override them") {
    ext::registry registry;
    int errors = 0, runs = 0;
    registry.on_hook_error([&](const ext::hook_error&) { ++errors; });
    ext::extensible<int(int)> f{registry, "f", [](int x) { return x; }};
    ext::plugin plugin{registry, "p", {.isolate = true, .reentrant = false}};
    ext::hook hook = plugin.on_start(f, [&](auto&) {
        ++runs;
        f(1);
        throw 1;
    });
    f(1);
    CHECK(runs == 1);
    CHECK(errors == 1);
    hook.remove();
    plugin.on_start(f, [&](auto& call) {
        ++runs;
        if (*call.template arg<0>() > 1) f(*call.template arg<0>() - 1);
        throw 1;
    }, {.isolate = false, .reentrant = true});
    CHECK_THROWS_AS(f(3), int);
    CHECK(runs == 4);
    CHECK(errors == 1);
}

TEST_CASE("A hook may unload and destroy its own plugin, and its call continues to the end") {
    hooked h;
    auto state = std::make_shared<int>(5);
    const std::weak_ptr<int> watch = state;
    std::optional<ext::plugin> plugin(std::in_place, h.registry, "p");
    plugin->on_start(h.f, [&, state = std::move(state)](auto&) {
        plugin->unload();
        plugin.reset();
        h.way += std::to_string(*state);
    });
    ext::plugin* const unloaded = &*plugin;
    unloaded->on_end(h.f, h.mark("end"));
    CHECK(h.way_of_calls() == "5end ");
    CHECK(watch.expired());
}

TEST_CASE("unload() waits for calls on other threads, and unload_for() times out") {
    hooked h;
    tests::latch inside(1), go_on(1);
    std::atomic<bool> left{false};
    auto state = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = state;
    ext::plugin plugin{h.registry, "p"};
    plugin.on_start(h.f, [&, state = std::move(state)](auto&) {
        inside.count_down();
        go_on.wait();
        left = *state == 1;
    });
    std::thread caller([&] { h.f(1); });
    inside.wait();
    CHECK(!plugin.unload_for(1ms));
    CHECK(!plugin.unload_for(-1s));
    CHECK(h.g(2) == 2);
    CHECK(!watch.expired());
    std::thread helper([&] { go_on.count_down(); });
    CHECK(plugin.unload_for(1min));
    CHECK(left);
    CHECK(watch.expired());
    caller.join();
    helper.join();
}

TEST_CASE("Enabling or disabling a plugin takes effect on all its functions at once") {
    ext::registry registry;
    const auto function = [] { return 0; };
    using wrapper = ext::extensible<int(), std::remove_const_t<decltype(function)>>;
    std::vector<std::unique_ptr<wrapper>> functions;
    for (int i = 0; i < 40; ++i)  // a change reaches them in the order of their names
        functions.push_back(std::make_unique<wrapper>(registry, "f" + std::to_string(i + 10), function));
    ext::hook own = functions[5]->on_start([](auto&) {});  // this function has a hook already, the others have none
    ext::plugin plugin{registry, "p"};
    for (const auto& f : functions) plugin.on_start(*f, [](auto& call) { call.result = 1; });
    plugin.disable();

    std::atomic<int> epoch{0};  // even: the plugin may become enabled; odd: disabled
    std::atomic<int> torn{0};
    const auto caller = [&](const wrapper& early, const wrapper& late) {
        for (int before = epoch; before >= 0; before = epoch) {
            const int first = early(), second = late();
            if (epoch != before) continue;
            if (before % 2 == 0 ? first > second : first < second) ++torn;
        }
    };
    std::vector<std::thread> threads;
    threads.emplace_back(caller, std::cref(*functions.front()), std::cref(*functions.back()));
    threads.emplace_back(caller, std::cref(*functions[5]), std::cref(*functions[30]));
    threads.emplace_back(caller, std::cref(*functions.back()), std::cref(*functions.front()));
    for (int round = 0; round < 3000; ++round) {
        plugin.enable();
        ++epoch;
        plugin.disable();
        ++epoch;
    }
    epoch = -1;
    for (auto& thread : threads) thread.join();
    CHECK(torn == 0);
}

TEST_CASE("A waiting thread continues to wait even if another thread waits for it") {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    ext::extensible g{registry, "g", [] {}};
    tests::latch inside_f{1};
    tests::latch inside_g{1};
    tests::latch end_of_f{1};
    bool ended_in_time = true;

    ext::plugin plugin{registry, "p"};
    plugin.on_start(f, [&](auto&) {  // waits for no hook
        inside_f.count_down();
        end_of_f.wait();
    });
    ext::hook in_g;
    in_g = g.on_start([&](auto&) {
        inside_g.count_down();
        while (in_g.active()) std::this_thread::yield();  // until the other thread waits for this one
        ended_in_time = plugin.unload_for(50ms);
    });

    std::thread calls_f([&] { f(); });
    std::thread waits_for_g([&] {
        inside_g.wait();
        in_g.remove_and_wait();
    });
    inside_f.wait();
    g();
    CHECK_FALSE(ended_in_time);
    end_of_f.count_down();
    calls_f.join();
    waits_for_g.join();
}

TEST_CASE("A plugin uses the default registry if none is given") {
    ext::extensible f{"plugin_of_the_default_registry.f", [] { return 1; }};
    {
        ext::plugin plugin{"p"};
        plugin.on_start("plugin_of_the_default_registry.f", [](ext::call<int()>& call) { call.result = 2; });
        CHECK(f() == 2);
    }
    CHECK(f() == 1);
}
