// Operations that run out of memory. Each allocation of each operation fails in turn, while two
// other threads call.
//
// The tests leave out operations that cannot throw. As their comments say, these end the program if
// memory is missing to remove their hooks: the destructors of ext::scoped_hook, ext::plugin,
// ext::registry and of the wrapper, scoped_hook::reset(), and the move assignments of
// ext::scoped_hook and ext::plugin.
#include "catch.hpp"
#include "heap.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace ext::literals;

namespace {

// ---- Hooks that record that they ran --------------------------------------------------------------------------------

// Which hooks ran in this thread's call: one digit for each.
thread_local long ran = 0;

void write_down(int digit) { ran = ran * 10 + digit; }

// What a hook captures. Copying it allocates.
struct captured {
    static inline std::atomic<int> alive{0};

    captured() { ++alive; }
    captured(const captured& other) : text(other.text) { ++alive; }
    ~captured() { --alive; }

    std::string text = "a text that is longer than any small string holds";
};

int same(int x) { return x; }

struct runs {
    int digit;
    captured state{};
    void operator()(auto&) const { write_down(digit); }
};
struct runs_around {
    int digit;
    captured state{};
    void operator()(auto&, auto& proceed) const {
        write_down(digit);
        proceed();
    }
};
struct runs_for_any {
    int digit;
    captured state{};
    void operator()(ext::any_call&) const { write_down(digit); }
};
struct runs_around_any {
    int digit;
    captured state{};
    void operator()(ext::any_call&, ext::proceed& proceed) const {
        write_down(digit);
        proceed();
    }
};
struct is_awaited {
    int digit;
    captured state{};
    tasks::lazy<void> operator()(auto&) const {
        write_down(digit);
        co_return;
    }
    tasks::lazy<void> operator()(auto&, auto& proceed) const {
        write_down(digit);
        co_await proceed();
    }
};

// ---- What an operation changes --------------------------------------------------------------------------------------

using call_type = ext::call<int(int)>;

// Which hooks run in a call of each of the world's functions.
using observation = std::array<long, 3>;

// A registry with functions and hooks, and containers for what the operations create.
struct world {
    ext::registry registry;
    ext::extensible<int(int)> f{registry, "m.f", &same};
    ext::extensible<int(int)> g{registry, "m.g", &same};
    ext::extensible<tasks::lazy<int>(int)> awaited{registry, "m.awaited",
                                                   [](int x) -> tasks::lazy<int> { co_return x; }};

    std::vector<ext::hook> hooks;
    std::vector<ext::plugin> plugins;
    std::optional<ext::extensible<int(int)>> wrapper;
    std::optional<ext::registry> second;

    world() {
        hooks.reserve(32);
        plugins.reserve(4);
        keep(f.on_start(runs{1}, {.id = "first", .priority = 2}));
        keep(f.around(runs_around{2}));
        keep(f.on_end(runs{3}, {.id = "last", .after = "nobody"}));
        keep(registry.on_start("m.*", runs_for_any{4}, {.id = "any"}));
        keep(awaited.around(is_awaited{5}));
    }

    void keep(ext::hook hook) { hooks.push_back(std::move(hook)); }

    long ran_in_call_of(std::size_t function) {
        ran = 0;
        const int result = function == 0 ? f(1) : function == 1 ? g(1) : awaited(1).run();
        return result == 1 ? ran : -1;
    }
    observation observe() { return {ran_in_call_of(0), ran_in_call_of(1), ran_in_call_of(2)}; }
    observation observe_from_other_thread() {
        observation seen{};
        std::thread([&] { seen = observe(); }).join();
        return seen;
    }
};

// Everything that can be observed of a world.
struct state {
    std::string described;
    observation observed;
    std::vector<bool> active;
    int captures;

    explicit state(world& of)
        : described(ext::describe(of.registry)), observed(of.observe()), captures(captured::alive) {
        for (const ext::hook& hook : of.hooks) active.push_back(hook.active());
    }
    void check_equal(const state& other) const {
        CHECK(described == other.described);
        CHECK(observed == other.observed);
        CHECK(active == other.active);
        CHECK(captures == other.captures);
    }
};

// Two threads that call the functions, one in their order and one in reverse order. Each call must
// run either the hooks before the change or those after it. A thread that has seen the change must
// not see the earlier hooks again.
class callers {
public:
    callers(world& called, const observation& before, const observation& after)
        : called_(called), before_(before), after_(after) {
        for (const bool backwards : {false, true}) threads_.emplace_back([this, backwards] { call(backwards); });
    }
    ~callers() { stop(); }

    void stop() {
        stop_ = true;
        for (std::thread& thread : threads_) thread.join();
        threads_.clear();
    }

    // Waits until each thread has called every function again.
    void wait_for_calls() const {
        for (const std::atomic<std::size_t>& rounds : rounds_)
            for (const std::size_t before = rounds; rounds < before + 2;) std::this_thread::yield();
    }

    bool have_seen_change() const { return seen_change_; }
    bool have_seen_nothing_else() const { return !seen_else_; }

private:
    void call(bool backwards) {
        bool changed = false;
        while (!stop_) {
            for (std::size_t i = 0; i < before_.size(); ++i) {
                const std::size_t function = backwards ? before_.size() - 1 - i : i;
                const long found = called_.ran_in_call_of(function);
                const bool is_before = found == before_[function], is_after = found == after_[function];
                if (is_after && !is_before) changed = seen_change_ = true;
                if (!is_after && (!is_before || changed)) seen_else_ = true;
            }
            ++rounds_[backwards];
            std::this_thread::yield();  // there may be more threads than processors
        }
    }

    world& called_;
    const observation before_, after_;
    std::atomic<bool> stop_{false}, seen_change_{false}, seen_else_{false};
    std::atomic<std::size_t> rounds_[2]{};
    std::vector<std::thread> threads_;
};

using step = void (*)(world&);

void nothing(world&) {}

// Makes each allocation of `operation` fail in turn, in a world that `prepare` has set up. Each
// failure must leave the world unchanged. Finally the world must equal one in which nothing failed.
void changes_all_or_nothing(const char* what, step prepare, step operation) {
    INFO(what);
    const int captures_before = captured::alive;
    std::optional<world> in_which_nothing_fails(std::in_place);
    prepare(*in_which_nothing_fails);
    operation(*in_which_nothing_fails);
    const observation after_elsewhere = in_which_nothing_fails->observe_from_other_thread();
    const state after(*in_which_nothing_fails);
    in_which_nothing_fails.reset();
    REQUIRE(captured::alive == captures_before);

    world changed;
    prepare(changed);
    const state before(changed);
    callers others(changed, changed.observe_from_other_thread(), after_elsewhere);
    std::size_t failures = 0;
    others.wait_for_calls();
    for (;;) {
        auto attempted = [&] { operation(changed); };
        const heap::attempt tried = heap::try_failing(failures + 1, attempted);
        others.wait_for_calls();
        if (!tried.thrown) break;
        ++failures;
        CAPTURE(failures);
        REQUIRE(heap::is_bad_alloc(tried.thrown));
        CHECK(!others.have_seen_change());
        state(changed).check_equal(before);
    }
    others.stop();
    CHECK(others.have_seen_nothing_else());
    CHECK(failures > 0);
    state(changed).check_equal(after);
}

// Expects `function` to throw an Error if it has memory.
template <class Error, class Function>
void refuses(Function function) {
    try {
        function();
    } catch (const Error&) {
        return;
    }
    throw std::logic_error("not refused");
}

}  // namespace

TEST_CASE("A hook whose registration runs out of memory is not registered") {
    SECTION("on a function") {
        changes_all_or_nothing("start", nothing, [](world& w) { w.keep(w.f.on_start(runs{7})); });
        changes_all_or_nothing("around", nothing, [](world& w) { w.keep(w.f.around(runs_around{7})); });
        changes_all_or_nothing("end", nothing, [](world& w) { w.keep(w.f.on_end(runs{7})); });
        changes_all_or_nothing("for any function", nothing, [](world& w) { w.keep(w.f.on_start(runs_for_any{7})); });
        changes_all_or_nothing("an adapter", nothing, [](world& w) {
            w.keep(w.f.on_start(ext::tap([state = captured()](int) { write_down(7); })));
        });
        changes_all_or_nothing("with a finisher", nothing, [](world& w) {
            w.keep(w.f.on_start([state = captured()](auto&) {
                write_down(7);
                return [](auto&) { write_down(8); };
            }));
        });
    }
    SECTION("on a function that is awaited") {
        changes_all_or_nothing("plain", nothing, [](world& w) { w.keep(w.awaited.on_end(runs{7})); });
        changes_all_or_nothing("start", nothing, [](world& w) { w.keep(w.awaited.on_start(is_awaited{7})); });
        changes_all_or_nothing("around", nothing, [](world& w) { w.keep(w.awaited.around(is_awaited{7})); });
        changes_all_or_nothing("end", nothing, [](world& w) { w.keep(w.awaited.on_end(is_awaited{7})); });
    }
    SECTION("by name") {
        changes_all_or_nothing("start", nothing,
                               [](world& w) { w.keep(w.registry.on_start<int(int)>("m.g", runs{7})); });
        changes_all_or_nothing("around", nothing,
                               [](world& w) { w.keep(w.registry.around<int(int)>("m.g", runs_around{7})); });
        changes_all_or_nothing("end", nothing, [](world& w) { w.keep(w.registry.on_end<int(int)>("m.g", runs{7})); });
        changes_all_or_nothing("of a function that is not wrapped", nothing, [](world& w) {
            w.keep(w.registry.on_end<void()>("m.name longer than a small string", runs{7}));
        });
    }
    SECTION("under a pattern, of several functions") {
        changes_all_or_nothing("start", nothing, [](world& w) { w.keep(w.registry.on_start("m.*", runs_for_any{7})); });
        changes_all_or_nothing("around", nothing,
                               [](world& w) { w.keep(w.registry.around("m.*", runs_around_any{7})); });
        changes_all_or_nothing("end", nothing, [](world& w) { w.keep(w.registry.on_end("*", runs_for_any{7})); });
        changes_all_or_nothing("awaited", nothing, [](world& w) {
            w.keep(w.registry.on_end("*", [state = captured()](ext::any_call&) -> tasks::lazy<void> {
                write_down(7);
                co_return;
            }));
        });
        changes_all_or_nothing("without a match", nothing,
                               [](world& w) { w.keep(w.registry.on_end("n.*", runs_for_any{7})); });
    }
    SECTION("for errors, and as a monitor") {
        changes_all_or_nothing("handler", nothing, [](world& w) {
            w.keep(w.registry.on_hook_error([state = captured()](const ext::hook_error&) {}));
        });
        changes_all_or_nothing("monitor", nothing, [](world& w) {
            w.keep(w.registry.on_hook_run([state = captured()](const ext::hook_run&) {}));
        });
        changes_all_or_nothing(
            "second monitor", [](world& w) { w.keep(w.registry.on_hook_run([](const ext::hook_run&) {})); },
            [](world& w) { w.keep(w.registry.on_hook_run([state = captured()](const ext::hook_run&) {})); });
    }
}

TEST_CASE("A hook with options whose registration runs out of memory is not registered") {
    SECTION("with an id, and a position in the order") {
        changes_all_or_nothing("id", nothing, [](world& w) {
            w.keep(w.f.on_start(runs{7}, {.id = "an id that is longer than a small string"}));
        });
        changes_all_or_nothing("priority", nothing, [](world& w) { w.keep(w.f.on_start(runs{7}, {.priority = -1})); });
        changes_all_or_nothing("before", nothing,
                               [](world& w) { w.keep(w.f.on_start(runs{7}, {.priority = 5, .before = "first"})); });
        changes_all_or_nothing("after", nothing, [](world& w) { w.keep(w.f.on_start(runs{7}, {.after = "first"})); });
        changes_all_or_nothing("before and after", nothing, [](world& w) {
            w.keep(w.registry.on_start("m.*", runs_for_any{7},
                                       {.id = "b", .before = {"first", "x"}, .after = {"any", "y"}}));
        });
        changes_all_or_nothing(
            "named by another", [](world& w) { w.keep(w.f.on_start(runs{6}, {.after = {"x", "z"}})); },
            [](world& w) { w.keep(w.f.on_start(runs{7}, {.id = "x", .priority = 9})); });
    }
    SECTION("that replaces another one") {
        changes_all_or_nothing("on a function", nothing, [](world& w) {
            w.keep(w.f.on_start(runs{7}, {.id = "first", .replace = true}));
        });
        changes_all_or_nothing("under a pattern", nothing, [](world& w) {
            w.keep(w.registry.on_start("m.*", runs_for_any{7}, {.id = "any", .replace = true}));
        });
        changes_all_or_nothing(
            "replaced in advance", [](world& w) { w.keep(w.f.on_start(runs{6}, {.id = "x", .replace = true})); },
            [](world& w) { w.keep(w.f.on_start(runs{7}, {.id = "x"})); });
    }
    SECTION("with options that each call checks") {
        changes_all_or_nothing("isolate", nothing, [](world& w) { w.keep(w.f.on_start(runs{7}, {.isolate = true})); });
        changes_all_or_nothing("reentrant", nothing,
                               [](world& w) { w.keep(w.f.on_start(runs{7}, {.reentrant = false})); });
        changes_all_or_nothing("this_thread", nothing,
                               [](world& w) { w.keep(w.f.on_start(runs{7}, {.this_thread = true})); });
        changes_all_or_nothing("times", nothing,
                               [](world& w) { w.keep(w.f.on_start(runs{7}, {.times = 1'000'000'000})); });
    }
}

TEST_CASE("A refused registration changes nothing, even if it runs out of memory") {
    changes_all_or_nothing("duplicate", nothing, [](world& w) {
        refuses<ext::duplicate_hook>([&] { w.f.on_start(runs{7}, {.id = "first"}); });
    });
    changes_all_or_nothing(
        "cycle", [](world& w) { w.keep(w.f.on_start(runs{6}, {.id = "x", .after = "y"})); },
        [](world& w) { refuses<ext::order_cycle>([&] { w.f.on_start(runs{7}, {.id = "y", .after = "x"}); }); });
    changes_all_or_nothing("signature", nothing, [](world& w) {
        refuses<ext::signature_mismatch>([&] { w.registry.on_start<void()>("m.f", runs{7}); });
    });
    changes_all_or_nothing("sealed", [](world& w) { w.registry.seal(); }, [](world& w) {
        refuses<ext::sealed>([&] { w.registry.on_start<void()>("m.later", runs{7}); });
    });
    changes_all_or_nothing("second wrapper", nothing, [](world& w) {
        refuses<ext::signature_mismatch>([&] { ext::extensible second{w.registry, "m.f", [] {}}; });
    });
    changes_all_or_nothing(
        "wrapper that a hook does not fit", [](world& w) { w.keep(w.registry.on_start<void()>("m.later", runs{7})); },
        [](world& w) { refuses<ext::signature_mismatch>([&] { w.wrapper.emplace(w.registry, "m.later", same); }); });
}

TEST_CASE("Removing, disabling or enabling a hook changes nothing if it runs out of memory") {
    SECTION("on a function") {
        changes_all_or_nothing("remove", nothing, [](world& w) { w.hooks[0].remove(); });
        changes_all_or_nothing("remove_and_wait", nothing, [](world& w) { w.hooks[1].remove_and_wait(); });
        changes_all_or_nothing("disable", nothing, [](world& w) { w.hooks[2].disable(); });
        changes_all_or_nothing("enable", [](world& w) { w.hooks[2].disable(); }, [](world& w) { w.hooks[2].enable(); });
        changes_all_or_nothing("awaited", nothing, [](world& w) { w.hooks[4].remove(); });
        changes_all_or_nothing(
            "the only one", [](world& w) { w.hooks[3].remove(); }, [](world& w) { w.hooks[4].remove(); });
    }
    SECTION("under a pattern") {
        changes_all_or_nothing("remove", nothing, [](world& w) { w.hooks[3].remove(); });
        changes_all_or_nothing("remove_and_wait", nothing, [](world& w) { w.hooks[3].remove_and_wait(); });
        changes_all_or_nothing("disable", nothing, [](world& w) { w.hooks[3].disable(); });
        changes_all_or_nothing("enable", [](world& w) { w.hooks[3].disable(); }, [](world& w) { w.hooks[3].enable(); });
    }
    SECTION("that affects the order, or replaces another one") {
        const step add_one_before = [](world& w) {
            w.keep(w.f.on_start(runs{7}, {.priority = 9, .before = {"first"}, .after = {"any"}}));
        };
        changes_all_or_nothing("that names others", add_one_before, [](world& w) { w.hooks.back().remove(); });
        changes_all_or_nothing("that another hook names", add_one_before, [](world& w) { w.hooks[0].remove(); });
        const step replace = [](world& w) { w.keep(w.f.on_start(runs{7}, {.id = "first", .replace = true})); };
        changes_all_or_nothing("remove a replacing one", replace, [](world& w) { w.hooks.back().remove(); });
        changes_all_or_nothing("disable a replacing one", replace, [](world& w) { w.hooks.back().disable(); });
        changes_all_or_nothing("remove a replaced one", replace, [](world& w) { w.hooks[0].remove(); });
    }
    SECTION("for errors, and a monitor") {
        const step add_handler = [](world& w) {
            w.keep(w.registry.on_hook_error([state = captured()](const ext::hook_error&) {}));
        };
        changes_all_or_nothing("handler", add_handler, [](world& w) { w.hooks.back().remove(); });
        const step add_monitor = [](world& w) {
            w.keep(w.registry.on_hook_run([state = captured()](const ext::hook_run&) {}));
        };
        changes_all_or_nothing("monitor", add_monitor, [](world& w) { w.hooks.back().remove(); });
        changes_all_or_nothing("disabling a monitor", add_monitor, [](world& w) { w.hooks.back().disable(); });
    }
}

TEST_CASE("An operation of a plugin that runs out of memory changes nothing") {
    const step load = [](world& w) {
        ext::plugin& plugin = w.plugins.emplace_back(w.registry, "a plugin with a name longer than a small string");
        w.keep(plugin.on_start(w.f, runs{6}, {.id = "first", .replace = true}));
        w.keep(plugin.on_end<int(int)>("m.g", runs{7}));
        w.keep(plugin.on_start("m.*", runs_for_any{8}));
        w.keep(plugin.around(w.awaited, is_awaited{9}));
    };
    SECTION("constructed") {
        changes_all_or_nothing(
            "make", nothing, [](world& w) { w.plugins.emplace_back(w.registry, "a name longer than a small string"); });
    }
    SECTION("registering") {
        changes_all_or_nothing("on a function", load, [](world& w) { w.keep(w.plugins[0].on_end(w.g, runs{5})); });
        changes_all_or_nothing("by name", load,
                               [](world& w) { w.keep(w.plugins[0].around<int(int)>("m.f", runs_around{5})); });
        changes_all_or_nothing("under a pattern", load,
                               [](world& w) { w.keep(w.plugins[0].on_end("m.*", runs_for_any{5})); });
    }
    SECTION("enabled, disabled and unloaded") {
        changes_all_or_nothing("disable", load, [](world& w) { w.plugins[0].disable(); });
        changes_all_or_nothing("unload", load, [](world& w) { w.plugins[0].unload(); });
        changes_all_or_nothing("unload_for", load, [](world& w) {
            if (!w.plugins[0].unload_for(std::chrono::hours(1))) throw std::logic_error("gave up");
        });
        static const step load_and_disable = load;
        const step disabled = [](world& w) {
            load_and_disable(w);
            w.plugins[0].disable();
        };
        changes_all_or_nothing("enable", disabled, [](world& w) { w.plugins[0].enable(); });
        changes_all_or_nothing("unload a disabled one", disabled, [](world& w) { w.plugins[0].unload(); });
    }
}

TEST_CASE("A wrapper or registry whose construction runs out of memory changes nothing") {
    changes_all_or_nothing("a new name", nothing,
                           [](world& w) { w.wrapper.emplace(w.registry, "a name longer than a small string", same); });
    changes_all_or_nothing("under a pattern", nothing,
                           [](world& w) { w.wrapper.emplace(w.registry, "m.a name longer than a small one", same); });
    changes_all_or_nothing(
        "that hooks wait for", [](world& w) { w.keep(w.registry.on_start<int(int)>("m.later", runs{7})); },
        [](world& w) { w.wrapper.emplace(w.registry, "m.later", same); });
    changes_all_or_nothing("a second wrapper", nothing, [](world& w) { w.wrapper.emplace(w.registry, "m.f", same); });
    changes_all_or_nothing(
        "while a monitor watches", [](world& w) { w.keep(w.registry.on_hook_run([](const ext::hook_run&) {})); },
        [](world& w) { w.wrapper.emplace(w.registry, "m.later", same); });
    changes_all_or_nothing("a registry", nothing, [](world& w) {
        w.second.emplace();
        try {
            w.second->seal();
        } catch (const std::bad_alloc&) {
            w.second->seal();  // the destructor needs what this allocates
            throw;
        }
    });
}

TEST_CASE("Listing functions may run out of memory, and can be repeated") {
    changes_all_or_nothing("functions", nothing, [](world& w) {
        if (w.registry.functions().size() != 3) throw std::logic_error("not all");
    });
    changes_all_or_nothing("describe", nothing, [](world& w) {
        if (ext::describe(w.registry).empty()) throw std::logic_error("nothing");
    });
}
