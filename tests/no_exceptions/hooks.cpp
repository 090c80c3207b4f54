// Without exceptions: order, replacement, options, removal, plugins and monitors of hooks.
#include "check.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

void order_and_replacement() {
    ext::registry registry;
    ext::extensible f{registry, "f", [](std::string text) { return text; }};
    const auto add = [](char c) {
        return [c](auto& call) { call.template arg<0>() = *call.template arg<0>() + c; };
    };
    f.on_start(add('a'), {.id = "a", .priority = 10});
    f.on_start(add('b'), {.id = "b"});
    f.on_start(add('c'), {.id = "c", .after = {"a"}});
    f.on_start(add('d'), {.id = "d", .before = {"b"}});
    CHECK(f("") == "dbac");
    ext::hook other = f.on_start(add('B'), {.id = "b", .replace = true});
    CHECK(f("") == "dBac");
    other.remove();
    CHECK(f("") == "dbac");
}

void hooks_under_a_pattern_are_for_any_function() {
    ext::registry registry;
    std::string seen;
    const ext::hook hook = registry.on_end("math.*", [&](ext::any_call& call) {
        seen += std::string(call.name()) + ' ' + std::string(call.signature()) + (call.exception() ? " threw;" : ";");
        if (const int* const result = call.result<int>()) call.set_result(*result + 1);
    });
    ext::extensible twice{registry, "math.twice", [](int x) { return 2 * x; }};
    ext::extensible other{registry, "other", [](int x) { return x; }};
    CHECK(twice(2) == 5 && other(2) == 2);
    CHECK(seen == "math.twice int(int);");
}

void handles_and_options() {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::hook hook = f.on_start([](auto& call) { call.result = -1; });
    CHECK(f(1) == -1);
    hook.disable();
    CHECK(f(1) == 1);
    hook.enable();
    CHECK(f(1) == -1);
    hook.remove();
    CHECK(f(1) == 1 && !hook.active());
    f.on_start([](auto& call) { call.result = -2; }, {.times = 1});
    CHECK(f(1) == -2 && f(1) == 1);
    const ext::scoped_hook nested =
        f.on_start([&](auto& call) { call.template arg<0>() = f(5) + 1; }, {.reentrant = false});
    CHECK(f(1) == 6);
}

// When remove_and_wait() returns, no thread runs the hook, and its captures are destroyed.
void removal_waits() {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    std::atomic<bool> inside{false}, may_leave{false}, left{false}, waited{false};
    auto captured = std::make_shared<int>(0);
    const std::weak_ptr<int> watched = captured;
    ext::hook hook = f.on_start([&, kept = std::move(captured)](auto&) {
        inside = true;
        while (!may_leave) std::this_thread::yield();
        left = true;
    });
    std::thread caller([&] { f(1); });
    while (!inside) std::this_thread::yield();
    std::thread remover([&] {
        hook.remove_and_wait();
        waited = left && watched.expired();
    });
    while (hook.active()) std::this_thread::yield();
    may_leave = true;
    remover.join();
    caller.join();
    CHECK(waited);
}

void a_plugin_is_disabled_and_unloaded_as_a_whole() {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::plugin plugin{registry, "tens", {.isolate = true}};
    plugin.on_start(f, [](auto& call) { call.template arg<0>() = 10 * *call.template arg<0>(); }, {.id = "start"});
    plugin.on_end("f", [](ext::call<int(int)>& call) { *call.result += 100; });
    CHECK(f(1) == 110);
    plugin.disable();
    CHECK(f(1) == 1);
    plugin.enable();
    CHECK(f(1) == 110);
    CHECK(ext::describe(registry).find("tens") != std::string::npos);
    plugin.unload();
    CHECK(f(1) == 1);
    CHECK(registry.functions().size() == 1 && registry.functions()[0].hooks.empty());
}

void a_monitor_is_told_of_each_run() {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.on_start([](auto& call) { call.result = 3; }, {.id = "supplies"});
    std::string told;
    ext::scoped_hook watch = registry.on_hook_run([&](const ext::hook_run& run) {
        told += std::string(run.id) + (run.threw ? " threw" : run.result == ext::effect::set ? " set" : "");
    });
    CHECK(f(1) == 3 && told == "supplies set");
    watch.reset();
    CHECK(f(1) == 3 && told == "supplies set");
}

}  // namespace

void check_hooks() {
    order_and_replacement();
    hooks_under_a_pattern_are_for_any_function();
    handles_and_options();
    removal_waits();
    a_plugin_is_disabled_and_unloaded_as_a_whole();
    a_monitor_is_told_of_each_run();
}
