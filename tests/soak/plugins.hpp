#pragma once

// Loads and unloads plugins, each with complete sets of hooks.

#include "world.hpp"

#include <extensible/extensible.hpp>

#include <concepts>
#include <string>

namespace soak {

inline void add_to_argument(ext::any_call& call) { call.set_arg(0, *call.arg<unsigned>(0) + 1); }
template <class Signature>
void add_to_argument(ext::call<Signature>& call) {
    auto& [x] = call.args;
    x = *x + 1;
}

inline void add_to_result(ext::any_call& call, unsigned number) {
    if (const unsigned* result = call.result<unsigned>()) call.set_result(*result + number);
}
template <class Signature>
void add_to_result(ext::call<Signature>& call, unsigned number) {
    if (call.result) call.result = *call.result + number;
}

using awaited_call = ext::call<lazy<unsigned>(unsigned)>;

// `where` is a function or a pattern.
template <class Call, class Where>
void add_set(ext::plugin& plugin, const Where& where, const captured& state) {
    plugin.on_start(where, [state](Call& call) {
        state.use();
        add_to_argument(call);
        return [state](Call& ended) {
            state.use();
            add_to_result(ended, 1);
        };
    });
    if constexpr (std::same_as<Call, awaited_call>)
        plugin.around(where, [state](Call& call, auto& proceed) -> lazy<void> {
            co_await another_thread();
            co_await proceed();
            state.use();
            add_to_result(call, 1 << 8);
        });
    else
        plugin.around(where, [state](Call& call, auto& proceed) {
            proceed();
            state.use();
            add_to_result(call, 1 << 8);
        });
    plugin.on_end(where, [state](Call& call) {
        state.use();
        add_to_result(call, 1);
    });
}

// The first plugin uses a pattern, which matches its ten functions and ninety others.
inline void add_sets(world& w, ext::plugin& plugin, unsigned number) {
    const captured state(w.workers[number]);
    if (number == 0) add_set<ext::any_call>(plugin, "soak.call.*7", state);
    else
        for (unsigned i = 0; i < 10; ++i) add_set<ext::call<unsigned(unsigned)>>(plugin, w.of_plugin(number, i), state);
    add_set<awaited_call>(plugin, w.awaited_of_plugin(number), state);
}

// The role of the first threads.
inline void load_plugins(world& w, unsigned number) {
    worker& self = w.workers[number];
    const world::function& first = w.of_plugin(number, 0);
    do {
        ext::plugin plugin{w.registry, "plugin " + std::to_string(number)};
        plugin.disable();  // hooks are registered one by one, but enabled in one step
        add_sets(w, plugin, number);
        plugin.enable();
        ++self.step;
        plugin.disable();
        ++self.step;
        expect(!w.sees(self, first), "a hook does not run in a call that began after it was disabled");
        plugin.enable();
        ++self.step;
        expect(w.sees(self, first), "a hook runs in a call that began after it was enabled");
        plugin.unload();
        self.has_removed();
        ++self.step;
        expect(!w.sees(self, first), "a hook does not run in a call that began after unload()");
        ++w.loads;
    } while (!w.stop);
}

}  // namespace soak
