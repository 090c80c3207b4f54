// Wrappers and hooks are constructed before main, and are called and destroyed after main has
// returned. Exits with 0 if all checks hold.
#include "expect.hpp"

#include <extensible/extensible.hpp>

#include <cstdlib>
#include <functional>
#include <memory>

namespace {

struct at_exit {
    std::function<void()> action;
    ~at_exit() { action(); }
};

// The statics below are constructed in this order and destroyed in the opposite one.

at_exit last{[] {
    // All wrappers below have been destroyed.
    ext::extensible late{"around.after_all", [](int x) { return x; }};
    ext::hook hook = late.on_start([](auto& call) { call.template arg<0>() = 2; });
    expect(late(1) == 2, "a function can be wrapped, hooked and called after all other statics are destroyed");
    hook.remove_and_wait();
    expect(late(1) == 1, "its hook can be removed");
    if (failures) std::_Exit(1);
}};

// By name, before the function exists.
ext::hook early = ext::on_start("around.main", [](ext::call<int(int)>& call) { call.arg<0>() = *call.arg<0>() + 1; });

at_exit after_wrapper{[] { expect(early.active(), "a hook registered by name survives its function"); }};

auto state = std::make_shared<int>(0);

ext::extensible function{"around.main", [](int x) { return x; }};
ext::hook counting = function.on_end([count = state](auto&) { ++*count; });
ext::scoped_hook scoped = function.on_end([](auto& call) { call.result = *call.result * 10; });

at_exit before_wrapper{[] {
    const int before = *state;
    expect(function(1) == 20, "a function can be called with its hooks after main has returned");
    expect(*state == before + 1, "its hooks run after main has returned");
    early.disable();
    expect(function(1) == 10, "hooks can be disabled after main has returned");
    early.enable();
}};

const int called_before_main = function(1);

}  // namespace

int main() {
    expect(called_before_main == 20, "a function can be called with its hooks before main");
    expect(*state == 1, "its hooks ran before main");
    expect(function(2) == 30, "its hooks run in main");
}
