// Without exceptions: hooks of awaited calls.
#include "check.hpp"

#include <extensible/extensible.hpp>

#include "tasks.hpp"

#include <optional>
#include <string>
#include <utility>

namespace {

void hooks_run_around_what_is_awaited() {
    std::string steps;
    tasks::gate gate;
    ext::registry registry;
    ext::extensible load{registry, "load", [&](int x) -> tasks::lazy<int> {
        co_await gate;
        steps += "function ";
        co_return x;
    }};
    load.on_start([&](auto& call) { steps += "start ", call.template arg<0>() = *call.template arg<0>() + 1; });
    load.on_start([&](auto&) -> tasks::lazy<void> {
        steps += "awaited start ";
        co_return;
    });
    load.around([&](auto& call, auto& proceed) -> tasks::lazy<void> {
        co_await proceed();
        steps += "around ";
        *call.result *= 10;
    });
    load.on_end([&](auto& call) { steps += "end", *call.result += 5; });
    tasks::lazy<int> running = load(1);
    running.start();
    CHECK(!running.done() && steps == "start awaited start ");
    gate.open();
    CHECK(running.done() && running.get() == 25);
    CHECK(steps == "start awaited start function around end");
}

void a_supplied_result_stands_for_what_is_awaited() {
    ext::registry registry;
    ext::extensible load{registry, "load", [](int x) -> tasks::eager<int> { co_return x; }};
    registry.on_start("l*", [](ext::any_call& call) { if (call.is_awaited()) call.set_result(9); }, {.times = 1});
    CHECK(load(1).run() == 9);
    CHECK(load(1).run() == 1);
}

// The end hooks of a destroyed call find no result, and no exception: none can be created.
void a_call_is_destroyed_while_it_is_suspended() {
    tasks::gate never;
    ext::registry registry;
    ext::extensible load{registry, "load", [&](int x) -> tasks::lazy<int> {
        co_await never;
        co_return x;
    }};
    std::string steps;
    load.on_start([&](auto&) { return [&](auto&) { steps += "end of the start"; }; });
    load.on_end([&](auto& call) { steps += call.exception || call.result ? "something " : "nothing "; });
    {
        std::optional<tasks::lazy<int>> running(load(1));
        running->start();
        CHECK(steps.empty());
    }
    CHECK(steps == "nothing end of the start");
}

}  // namespace

void check_awaited_calls() {
    hooks_run_around_what_is_awaited();
    a_supplied_result_stands_for_what_is_awaited();
    a_call_is_destroyed_while_it_is_suspended();
}
