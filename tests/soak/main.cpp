// A load test of the library. It also measures how long calls, registering and removing take.
//
//     soak [seconds: 10] [threads: 64] [shared library: none]
//
// In the first half of the time, threads call 1,000 functions and await suspended calls. Meanwhile
// other threads load and unload plugins, and register and remove hooks that throw or nest. The
// first claim that does not hold ends the program with 1. The second half checks nothing: it prints
// how long operations take, see latency.hpp. The shared library is that of tests/shared_library:
// one more plugin, which is opened and closed.

#include "../in_memory.hpp"
#include "../shared_library/api.hpp"
#include "latency.hpp"
#include "plugins.hpp"
#include "world.hpp"

#include <extensible/detail/loading/shared_library.hpp>
#include <extensible/extensible.hpp>

#include <algorithm>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <string>
#include <thread>

namespace soak {
namespace {

void call_functions(world& w, unsigned number) {
    std::minstd_rand random(number + 1);
    do {
        const unsigned plugin = any_below(w.plugins, random);
        const worker& of = w.workers[plugin];
        const unsigned step = of.step;
        const bool first = w.sees(of, w.of_plugin(plugin, 0)), last = w.sees(of, w.of_plugin(plugin, 9));
        if (of.step == step)
            expect(step % 2 == 0 ? first <= last : first >= last,
                   "a plugin changes for all of its functions in one step");
        w.call(w.any(random), any_below(100, random));
        const int inner = w.inner(1);
        expect(inner == 1 || inner == 2, "the shared library's hook runs once in a call, or not at all");
        const std::string key = w.get_key("ours");  // throws if only half of the shared library's hooks run
        expect(key == "ours" || key == "from the library", "the library's hook or the function supplies the key");
        w.calls += 5;
        if (random() % 16 == 0) std::this_thread::yield();  // else threads that change hooks would hardly run
    } while (!w.stop);
}

// ---- Awaited calls --------------------------------------------------------------------------------------------------

// A coroutine that is not awaited.
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
};

void has_gone_on(const worker& self) {
    expect(std::this_thread::get_id() != self.thread, "a suspended call resumes on another thread");
}

detached await_one(world& w, worker& self, const world::awaited_function& called, unsigned x) {
    try {
        const unsigned result = co_await called(x);
        has_gone_on(self);
        expect_complete_sets(x, result);
    } catch (const thrown_by_hook&) {
        ++w.came_out;
    }
    ++self.ended;
    self.ended.notify_one();
}

void await_calls(world& w, unsigned number) {
    worker& self = w.workers[number];
    std::minstd_rand random(number + 1);
    constexpr unsigned at_once = 10;
    self.thread = std::this_thread::get_id();
    do {
        self.ended = 0;
        for (unsigned i = 0; i < at_once; ++i)
            await_one(w, self, w.awaited_of_plugin(any_below(w.plugins, random)), any_below(100, random));
        for (unsigned ended; (ended = self.ended) != at_once;) self.ended.wait(ended);
        w.awaits += at_once;
    } while (!w.stop);
}

// ---- Hooks that throw, nest and are removed -------------------------------------------------------------------------

auto fails(world& w, const captured& state, bool isolated = false) {
    return [&w, state, isolated](auto&) {
        state.use();
        ++w.thrown;
        throw thrown_by_hook{isolated};
    };
}

auto fails_around(world& w, const captured& state) {
    return [fail = fails(w, state)](auto& call, auto& proceed) {
        proceed();
        fail(call);
    };
}

auto fails_twice(world& w, const captured& state) {
    return [&w, fail = fails(w, state)](auto& call) {
        if (!call.exception) {
            ++w.thrown;
            call.exception = std::make_exception_ptr(thrown_by_hook{false});
        }
        fail(call);  // replaces that exception
    };
}

auto fails_later(world& w, const captured& state) {
    return [fail = fails(w, state)](auto& call) -> lazy<void> {
        co_await another_thread();
        fail(call);
    };
}

auto nests(const world::function& other, const captured& state) {
    return [&other, state](auto&) {
        expect_complete_sets(5, other(5));
        state.use();
    };
}

auto yields(const captured& state) {
    return [state](auto&) {
        state.use();
        std::this_thread::yield();
        state.use();
    };
}

enum class kind : unsigned { fails, fails_around, fails_twice, fails_later, is_isolated, nests, counts, yields, end };

ext::hook add_hook(world& w, kind which, const world::function& f, std::minstd_rand& random, const captured& state) {
    switch (which) {
    case kind::fails: return f.on_start(fails(w, state));
    case kind::fails_around: return f.around(fails_around(w, state));
    case kind::fails_twice: return f.on_end(fails_twice(w, state));
    case kind::fails_later: return w.awaited_of_plugin(any_below(w.plugins, random)).on_start(fails_later(w, state));
    case kind::is_isolated: return f.on_start(fails(w, state, true), {.isolate = true});
    case kind::nests: return f.on_end(nests(w.any(random), state), {.reentrant = false});
    case kind::counts: return f.on_start([state](auto&) { ++state.use().runs; }, {.priority = -1, .times = 3});
    default: return f.on_start(yields(state));
    }
}

void register_hooks(world& w, unsigned number) {
    worker& self = w.workers[number];
    std::minstd_rand random(number + 1);
    for (unsigned round = number; round == number || !w.stop; ++round) {
        const kind which{round % static_cast<unsigned>(kind::end)};
        const world::function& f = w.any(random);
        self.runs = 0;
        ext::hook hook = add_hook(w, which, f, random, captured(self));
        for (unsigned x = 0; x < 4; ++x)
            if (w.call(f, x)) expect(which > kind::fails_twice, "the call throws if its hook throws");
        hook.remove_and_wait();
        if (which == kind::counts) expect(self.runs == 3, "a hook with .times = 3 runs three times");
        self.has_removed();
        ++w.removals;
    }
}

// ---- A plugin in a shared library -----------------------------------------------------------------------------------

void open_library(world& w, unsigned) {
    host_api host{w.registry, w.get_key, w.inner, &ext::default_registry()};
    do {
        {
            const ext::detail::shared_library opened(w.library, w.library);
            opened.find<load_function>("load")(host);
            expect(w.inner(1) == 2, "the shared library's hooks run");
            opened.find<unload_function>("unload")();
            expect(host.captured == 0, "captures of the shared library's hooks are destroyed when unload() returns");
        }
        expect(!tests::is_in_memory(w.library), "nothing keeps the shared library from being closed");
        expect(w.inner(1) == 1, "the shared library's hooks do not run after unload()");
        ++w.loads;
    } while (!w.stop);
}

// ---- The load test --------------------------------------------------------------------------------------------------

void soak(world& w, double seconds, unsigned threads) {
    ext::scoped_hook handler = w.registry.on_hook_error([&](const ext::hook_error& error) {
        try {
            std::rethrow_exception(error.exception);
        } catch (const thrown_by_hook& thrown) {
            expect(error.displaced != thrown.isolated,
                   "a handler gets exceptions of isolated hooks, and replaced ones");
        }
        ++w.handled;
    });
    const unsigned some = threads / 8;
    w.plugins = std::max(2U, some);
    w.run(seconds, {{&load_plugins, w.plugins},
                    {&register_hooks, 2 * some},
                    {&await_calls, some},
                    {&call_functions, threads - w.plugins - 3 * some - 1},
                    {w.library ? &open_library : &call_functions, 1}});
    expect(w.thrown == w.came_out + w.handled, "each exception leaves a call or goes to a handler, exactly once");
    for (const ext::function_info& function : w.registry.functions())
        expect(function.hooks.empty(), "no hooks are left");
    for (const worker& each : w.workers) expect(each.alive == 0, "the captures of all hooks are destroyed");
    std::printf("%u threads made %lu calls, awaited %lu, unloaded %lu plugins, and removed %lu hooks; "
                "hooks threw %lu times\n",
                threads, w.calls.load(), w.awaits.load(), w.loads.load(), w.removals.load(), w.thrown.load());
}

}  // namespace
}  // namespace soak

int main(int count, char** arguments) {
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // prints each row at once, even into a pipe
    const double seconds = count > 1 ? std::atof(arguments[1]) : 10;
    const unsigned threads = count > 2 ? static_cast<unsigned>(std::max(8, std::atoi(arguments[2]))) : 64;
    soak::world world(threads);
    if (count > 3) world.library = arguments[3];
    soak::soak(world, seconds / 2, threads);
    soak::measure(world, seconds / 2, threads);
}
