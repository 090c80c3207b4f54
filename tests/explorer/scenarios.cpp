// Small configurations of the library, each with a claim. This file is compiled with
// -fsanitize=thread: see plain_access().

#include "scenarios.hpp"

#include "mc.hpp"

#define EXTENSIBLE_SYSTEM_HEADER "explorer/system.hpp"
#include <extensible/extensible.hpp>
#include <extensible/hooks/detail/function_counters.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using mc::scenario;
namespace detail = ext::detail;
using wrapper = ext::extensible<int(int)>;
using body = std::function<void()>;
using bodies = std::vector<body>;

constexpr int hook_count = 8;
constexpr int deep = detail::thread_hazards::first_slots;  // this many nested calls; the next one needs more slots

/// What the checks of all threads share. It is outside the memory that is checked for data races,
/// because the library does not synchronize its uses.
struct ledger {
    bool goes[hook_count]{};                      // the capture's destructor has begun
    bool removed[hook_count]{};
    mc::handover removal[hook_count]{};
    bool keeps_time = true;                       // whether captures must be destroyed in time
    int users[hook_count]{};                      // running operations that began before the hook was removed
    unsigned began_after[mc::max_threads + 1]{};  // for each thread's call: the hooks whose removal happens before it

    void remove(int i) {
        if (!std::exchange(removed[i], true)) removal[i].give();
    }
    /// A thread that does not yet know of a removal may find the hook, as if it had called earlier.
    unsigned known_to_be_removed() const {
        unsigned all = 0;
        for (int i = 0; i < hook_count; ++i) all |= static_cast<unsigned>(removed[i] && removal[i].is_known()) << i;
        return all;
    }
};
ledger seen;

/// A hook captures this. It sets `gone` when it is destroyed.
struct canary {
    const int hook;
    bool& gone;
    body at_end;
    canary(int of, bool& tells, body last) : hook(of), gone(tells), at_end(std::move(last)) {}
    canary(const canary&) = delete;
    canary& operator=(const canary&) = delete;
    ~canary() {
        mc::check(!seen.goes[hook], "a capture is destroyed twice");
        seen.goes[hook] = true;
        if (at_end) at_end();
        gone = true;
    }
};

// ---- Another module -------------------------------------------------------------------------------------------------

/// While it lives, the thread runs code of this module: 0 is the program.
struct inside_module {
    const int before;
    explicit inside_module(int module) : before(std::exchange(mc::m.fibers[mc::m.current].module, module)) {}
    inside_module(const inside_module&) = delete;
    inside_module& operator=(const inside_module&) = delete;
    ~inside_module() { mc::m.fibers[mc::m.current].module = before; }
};

using domain_storage = detail::never_destroyed<detail::hazard_domain>;
extern domain_storage other_hazards;

void release_other_hazards() noexcept {
    const inside_module other(1);
    detail::this_thread_hazards::set(&detail::no_hazards);
    other_hazards.value.release_slots();
}

detail::thread_hazards& other_hazards_of_this_thread() {
    const inside_module other(1);
    if (detail::this_thread_hazards::get() == &detail::no_hazards) {
        detail::this_thread_hazards::set(&other_hazards.value.acquire_slots());
        mc::call_at_thread_end(&release_other_hazards);
    }
    return *detail::this_thread_hazards::get();
}

detail::thread_hazards& hazards_of_this_thread() {
    const inside_module program(0);
    return detail::hazards_of_this_thread();
}

domain_storage other_hazards{&other_hazards_of_this_thread};

/// A registry that the other module has created, and one of its functions.
struct other_module {
    using record = detail::registry_record;
    ext::registry registry = detail::private_access::make<ext::registry>(
        detail::ref<record>::adopted{new record(other_hazards.value, std::size_t{1})});
    wrapper h{registry, "h", [](int x) { return x; }};
};

// ---- The world of a scenario ----------------------------------------------------------------------------------------

struct world {
    ext::registry registry;
    wrapper f{registry, "f", [](int x) { return x; }};
    wrapper g{registry, "g", [](int x) { return x; }};
    ext::extensible<void(int, body)> nest{registry, "nest", [](int, body last) { last(); }};
    std::unique_ptr<wrapper> second;  // wrapper of a name
    ext::hook hooks[hook_count];
    std::unique_ptr<ext::plugin> plugin;
    std::unique_ptr<other_module> other;
    ext::hooks::detail::functions_counters counters{1};
    bool gone[hook_count]{};  // whose captures are destroyed; read only after the library has synchronized

    // An awaited call that is suspended.
    struct suspended_call {
        detail::counting_guard held;
        unsigned concerns;  // the hooks that were not removed when it began
        mc::handover handed_on{};
    };
    static inline suspended_call* suspended = nullptr;

    auto capture(int i, body at_end = {}) { return std::make_unique<canary>(i, gone[i], std::move(at_end)); }

    /// A hook that checks itself.
    auto watched(int i, body inside = {}, body at_end = {}) {
        return [i, inside, captured = capture(i, std::move(at_end))](auto& call) {
            mc::check(!seen.goes[i], "a hook runs after its capture is destroyed");
            mc::check(!(seen.began_after[mc::m.current] >> i & 1),
                      "a call that began after the hook was removed runs it");
            mc::point();
            if (inside) inside();
            mc::check(!seen.goes[i] && captured->hook == i, "a capture is destroyed while its hook runs");
            call.result = -1;
        };
    }

    // One call or one change. When the last operation ends that began before a hook was removed,
    // the hook's capture must be destroyed.
    static unsigned begin_operation() {
        const unsigned concerns = ~seen.known_to_be_removed();
        for (int i = 0; i < hook_count; ++i) seen.users[i] += static_cast<int>(concerns >> i & 1);
        return concerns;
    }
    static void end_operation(unsigned concerns) {
        for (int i = 0; i < hook_count; ++i) {
            seen.users[i] -= static_cast<int>(concerns >> i & 1);
            const bool is_late = seen.keeps_time && seen.removed[i] && seen.users[i] == 0 && !seen.goes[i];
            mc::check(!is_late, "the last call that could run a hook has ended, but its capture is not destroyed");
        }
    }
    template <class Operation>
    static void operate(Operation operation) {
        const unsigned concerns = begin_operation();
        operation();
        end_operation(concerns);
    }
    int call(wrapper& called) {
        int result = 0;
        seen.began_after[mc::m.current] = seen.known_to_be_removed();
        operate([&] { result = called(1); });
        return result;
    }
    void remove(int i) {
        operate([&] {
            hooks[i].remove();
            seen.remove(i);
        });
    }
    void remove_and_wait(int i) {
        operate([&] {
            hooks[i].remove_and_wait();
            seen.remove(i);
            mc::check(gone[i], "remove_and_wait() has returned, but the capture is not destroyed");
        });
    }

    void suspend(wrapper& called) {
        const unsigned concerns = begin_operation();
        auto* const call = new suspended_call{detail::counting_guard(detail::private_access::site(called)), concerns};
        call->handed_on.give();
        suspended = call;
    }
    /// Resumes the suspended call, if no other thread has.
    void go_on() {
        std::unique_ptr<suspended_call> taken(std::exchange(suspended, nullptr));
        if (!taken) return;
        taken->handed_on.take();
        run_hooks(taken->held);
        const unsigned concerns = taken->concerns;
        taken.reset();
        end_operation(concerns);
    }
    static void run_hooks(const detail::counting_guard& held) {
        if (!held.list()) return;
        int one = 1;
        constexpr auto& operations = detail::operations_of<int(int), ext::parameters<>>::table;
        auto call = detail::private_access::make<ext::call<int(int)>>("f", operations, one);
        for (const detail::hook_entry* hook = held.list()->begin(); hook->run; ++hook)
            detail::run_on_this_thread(*hook, call, held);
    }
    void call_awaited(wrapper& called) {
        operate([&] {
            const detail::counting_guard held(detail::private_access::site(called));
            mc::point();
            run_hooks(held);
        });
    }
    void nest_deeply(int depth, const body& last) {
        if (depth == 0) return last();
        nest(0, [this, depth, &last] { nest_deeply(depth - 1, last); });
    }
};

world* w;

// Calls two functions. If the first call shows that a change of both has been made, so must the
// second call. Another reader calls them in the opposite order.
body reader_of_both(wrapper& first, wrapper& second, int changed_result, const char* claim) {
    return [&first, &second, changed_result, claim] {
        const bool changed = w->call(first) == changed_result;
        const bool changed_too = w->call(second) == changed_result;
        mc::check(!changed || changed_too, claim);
    };
}

body call_of_f() {
    return [] { w->call(w->f); };
}

void make_plugin_of_both() {
    w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
    w->plugin->on_start(w->f, w->watched(0));
    w->plugin->on_start(w->g, w->watched(1));
}

void unload_and_check(std::initializer_list<int> hooks) {
    w->operate([&] {
        w->plugin->unload();
        for (const int i : hooks) {
            seen.remove(i);
            mc::check(w->gone[i], "unload() has returned, but a capture is not destroyed");
        }
    });
}

// It may give up before the captures are destroyed. They must still be destroyed in time.
void unload_for_and_check(std::initializer_list<int> hooks) {
    w->operate([&] {
        const bool done = w->plugin->unload_for(std::chrono::nanoseconds(5));
        for (const int i : hooks) {
            seen.remove(i);
            mc::check(!done || w->gone[i], "unload_for() has returned true, but a capture is not destroyed");
        }
    });
}

// The other module's function h has hook 0.
void make_other_module() {
    w->other = std::make_unique<other_module>();
    w->hooks[0] = w->other->h.on_start(w->watched(0));
}

body call_of_h(int module) {
    return [module] {
        const inside_module here(module);
        w->call(w->other->h);
    };
}

// Two hooks, on f and on g, each of which removes the other and waits.
void add_crossing_hooks() {
    w->hooks[0] = w->f.on_start(w->watched(0, [] {
        w->hooks[1].remove_and_wait();
        seen.remove(1);
    }));
    w->hooks[1] = w->g.on_start(w->watched(1, [] {
        w->hooks[0].remove_and_wait();
        seen.remove(0);
    }));
}

void count_failed_call(std::string_view function) {
    auto& counters = w->counters.of(function);
    counters.end(counters.begin(static_cast<std::size_t>(mc::m.current)), 0, std::chrono::nanoseconds(1), true);
}

const scenario all[] = {
    {"wait", "two threads wait in remove_and_wait() for calls of the same hook", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         const body remover = [] { w->remove_and_wait(0); };
         return bodies{call_of_f(), call_of_f(), remover, remover};
     }},
    {"wait2", "remove_and_wait() waits for the right call of a thread that calls twice", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call(w->f), w->call(w->f); }, call_of_f(), [] { w->remove_and_wait(0); }};
     }},
    {"remove", "each capture is destroyed with the last call that can run its hook", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{call_of_f(), call_of_f(), [] { w->remove(0), w->remove(1); }};
     }},
    {"remove1", "a capture is destroyed with the last of two calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{call_of_f(), call_of_f(), [] { w->remove(0); }};
     }},
    {"quick", "a capture is destroyed in time while a thread protects several lists in one slot, on the fast path", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->g.on_start(w->watched(1));
         return bodies{[] { w->call(w->g), w->call(w->f), w->call(w->f), w->call(w->g); }, [] { w->remove(0); }};
     }},
    {"quickfail", "a capture is destroyed in time while a thread fails to protect a list in a slot used before", [] {
         for (int i = 0; i < 2; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] { w->remove(0); }, [] { w->hooks[1].disable(); }};
     }},
    {"remove1x3", "a capture is destroyed with the last of three calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{call_of_f(), call_of_f(), call_of_f(), [] { w->remove(0); }};
     }},
    {"deepremove", "a capture is destroyed with the last of two calls, in slots that threads got later", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         const body reader = [] { w->nest_deeply(deep, [] { w->call(w->f); }); };
         return bodies{reader, reader, [] { w->remove(0); }};
     }},
    {"pinremove", "a capture is destroyed with the last of an awaited and a plain call", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call_awaited(w->f); }, call_of_f(), [] { w->remove(0); }};
     }},
    {"remove3", "remove_and_wait() waits for three calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{call_of_f(), call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }};
     }},
    {"registrars", "two threads change the hooks of one function", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] { w->remove_and_wait(0); }, [] {
                           w->hooks[2] = w->f.on_start(w->watched(2));
                           w->remove(1);
                           w->remove(2);
                       }};
     }},
    {"deep", "captures call functions when they are destroyed, in deeply nested calls", [] {
         w->nest.on_start([](auto&) {});
         w->g.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0, {}, [] { w->g(1); }));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->nest_deeply(deep, [] { w->call(w->f); }); }, [] { w->remove(0); }, [] { w->remove(1); }};
     }},
    {"deepwait", "two threads wait for deeply nested calls", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->nest_deeply(deep, [] { w->call(w->f), w->call(w->f); }); },
                       [] { w->remove_and_wait(0); }, [] { w->remove_and_wait(1); }};
     }},
    {"step", "a plugin is disabled in two functions in one step", [] {
         make_plugin_of_both();
         constexpr auto claim = "disabled in one function, then not in another";
         return bodies{reader_of_both(w->f, w->g, 1, claim), reader_of_both(w->g, w->f, 1, claim), 
                       [] { w->plugin->disable(); }};
     }},
    {"stepone", "a plugin is disabled in two functions in one step, for a thread that calls both in turn", [] {
         make_plugin_of_both();
         return bodies{[] {
                           bool changed = false;
                           for (wrapper* called : {&w->f, &w->g, &w->f}) {
                               const bool runs = w->call(*called) == -1;
                               mc::check(!changed || !runs, "disabled in one function, then not in another");
                               changed |= !runs;
                           }
                       },
                       [] { w->plugin->disable(); }};
     }},
    {"stepshared", "a thread sees a step that another thread has completed in one of the functions", [] {
         make_plugin_of_both();
         w->hooks[2] = w->g.on_end([](auto&) {});  // else the next list would be empty
         return bodies{[] { w->call(w->g); }, [] {
                           w->call(w->g);
                           const bool changed = w->call(w->g) == 1;
                           mc::check(!changed || w->call(w->f) == 1, "disabled in one function, then not in another");
                       },
                       [] { w->plugin->disable(); }};
     }},
    {"stepon", "a plugin is enabled in one step, while another hook is removed", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->disable();
         w->plugin->on_start(w->f, w->watched(0));
         w->plugin->on_start(w->g, w->watched(1));
         w->hooks[2] = w->f.on_end([](auto&) {});
         constexpr auto claim = "enabled in one function, then not in another";
         return bodies{reader_of_both(w->f, w->g, -1, claim), reader_of_both(w->g, w->f, -1, claim),
                       [] { w->plugin->enable(); }, [] { w->hooks[2].remove(); }};
     }},
    {"twosites", "a hook is removed from two wrappers of one name in one step", [] {
         w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
         w->hooks[0] = w->f.on_start(w->watched(0));
         constexpr auto claim = "removed in one wrapper of the name, then not in another";
         return bodies{reader_of_both(w->f, *w->second, 1, claim), reader_of_both(*w->second, w->f, 1, claim),
                       [] { w->remove(0); }};
     }},
    {"unload", "unload() waits for the calls of all functions", [] {
         make_plugin_of_both();
         return bodies{[] { w->call(w->f), w->call(w->g); }, [] { w->call(w->g), w->call(w->f); },
                       [] { unload_and_check({0, 1}); }};
     }},
    {"threads", "threads end, their slots are reused, and a new thread has the id of an old one", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] {
                           w->call(w->f);
                           mc::end_thread(0);
                           w->call(w->f);
                       },
                       [] {
                           w->call(w->f);
                           mc::end_thread(mc::m.fibers[mc::m.current].id);
                           w->call(w->f);
                       },
                       [] { w->remove_and_wait(0); }};
     }},
    {"pins", "remove_and_wait() waits for awaited calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         const body reader = [] { w->call_awaited(w->f); }, remover = [] { w->remove_and_wait(0); };
         return bodies{reader, reader, remover, remover};
     }},
    {"selfwait", "a thread waits for a hook that it is running, while others run it", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             if (mc::m.current != 1) return;
             w->hooks[0].remove_and_wait();
             seen.remove(0);
         }));
         return bodies{call_of_f(), call_of_f(), call_of_f()};
     }},
    {"cross", "two threads wait for each other's calls, and a third one for both", [] {
         add_crossing_hooks();
         seen.keeps_time = false;  // a thread that is let through returns before the capture is destroyed
         return bodies{[] { w->f(1); }, [] { w->g(1); }, [] { w->remove_and_wait(0); }};
     }},
    {"selfremove", "two threads wait inside the hook that both remove, and a third one for both", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             w->hooks[0].remove_and_wait();
             seen.remove(0);
         }));
         return bodies{call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }};
     }},

    // ---- Lists that are replaced while older ones are in use --------------------------------------------------------

    {"handon", "a call protects the first of several lists, and with it the hooks that later lists dropped", [] {
         for (int i = 0; i < 3; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{call_of_f(), [] { w->remove(0), w->remove(1); }, [] {
                           w->hooks[2].disable();
                           w->hooks[2].enable();
                           w->remove(2);
                       }};
     }},
    {"handon2", "calls protect different lists of the same hooks", [] {
         for (int i = 0; i < 3; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{call_of_f(), [] { w->call(w->f), w->call(w->f); }, [] {
                           w->hooks[1].disable();
                           w->remove(0);
                           w->hooks[1].enable();
                           w->remove(1);
                       }};
     }},
    {"handonwait", "two threads wait for hooks that are in several lists", [] {
         for (int i = 0; i < 2; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{call_of_f(), [] {
                           w->hooks[1].disable();
                           w->remove_and_wait(0);
                       },
                       [] {
                           w->hooks[1].enable();
                           w->remove_and_wait(1);
                       }};
     }},

    {"waitless", "remove_and_wait() does not deadlock with a call that only looked at the list", [] {
         static bool ran, done;
         static mc::mutex lock;
         static mc::condition change;
         new (&lock) mc::mutex;  // an aborted execution may hold it
         ran = done = false;
         w->hooks[0] = w->f.on_start(w->watched(0, [] { ran = true; }));
         w->hooks[1] = w->f.on_start([](auto&) {
             if (ran) return;
             lock.lock();
             while (!done) change.wait(lock);
             lock.unlock();
         });
         return bodies{[] { w->call(w->f); }, [] {
                           w->remove_and_wait(0);
                           lock.lock();
                           done = true;
                           change.notify_all();
                           lock.unlock();
                       }};
     }},

    // ---- Suspended calls --------------------------------------------------------------------------------------------

    {"moved", "a capture is destroyed when a suspended call ends on another thread than it began on", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); },
                       [] { w->remove(0); }};
     }},
    {"movedwait", "remove_and_wait() waits for a suspended call that ends on another thread", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); },
                       [] { w->remove_and_wait(0); }};
     }},
    {"pinself", "a thread waits for a hook that it is running in an awaited call", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             w->hooks[0].remove_and_wait();
             seen.remove(0);
         }));
         const body reader = [] { w->call_awaited(w->f); };
         return bodies{reader, reader, reader};
     }},
    {"pincross", "two threads wait for each other's calls, one of which is awaited", [] {
         add_crossing_hooks();
         seen.keeps_time = false;  // as in cross
         return bodies{[] { w->call_awaited(w->f); }, [] { w->g(1); }, [] { w->remove_and_wait(1); }};
     }},
    {"pinsort", "awaited calls end while another change looks for retired lists", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         const body reader = [] { w->call_awaited(w->f); };
         return bodies{reader, reader, [] { w->remove(0); }, [] { w->remove(1); }};
     }},

    {"pinafter", "a capture is destroyed after a call, although its thread has an awaited call in the same slot", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->g.on_start(w->watched(1));
         return bodies{[] { w->call(w->f), w->call_awaited(w->g); }, [] { w->remove(0); }};
     }},
    {"movedend", "a suspended call is resumed on another thread, when the thread that it began on has ended", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] {
                           w->suspend(w->f);
                           mc::end_thread(0);
                           w->go_on();
                       },
                       [] { w->go_on(), w->call(w->f); }, [] { w->remove_and_wait(0); }};
     }},
    {"movedlate", "a suspended call that ends on another thread destroys a capture, when later lists are gone", [] {
         for (int i = 0; i < 2; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(); },
                       [] { w->remove(0), w->remove(1), w->go_on(); }};
     }},
    {"movedfor", "unload_for() may give up; the end of a suspended call elsewhere then destroys the capture", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f, w->watched(0));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); },
                       [] { unload_for_and_check({0}); }};
     }},

    // ---- Calls across modules ---------------------------------------------------------------------------------------

    {"visit", "a capture is destroyed with the last call of another module's function, whichever module calls", [] {
         make_other_module();
         return bodies{call_of_h(0), call_of_h(1), [] { w->remove(0); }};
     }},
    {"visitwait", "remove_and_wait() waits for calls of another module's function, whichever module calls", [] {
         make_other_module();
         return bodies{call_of_h(0), call_of_h(1), [] { w->remove_and_wait(0); }, [] { w->remove_and_wait(0); }};
     }},
    {"visitback", "a thread that is in calls of both modules' functions protects the hooks of both", [] {
         make_other_module();
         w->hooks[1] = w->f.on_start(w->watched(1, [] {
             if (mc::m.current == 1) w->call(w->other->h);
         }));
         w->hooks[2] = w->other->h.on_start(w->watched(2, [] {
             if (mc::m.current == 2) w->call(w->f);
         }));
         return bodies{call_of_f(), call_of_h(1), [] { w->remove_and_wait(0); }, [] { w->remove_and_wait(1); }};
     }},
    {"visitend", "threads that have called another module end: their slots there are reused", [] {
         make_other_module();
         return bodies{[] {
                           w->call(w->other->h);
                           mc::end_thread(0);
                           w->call(w->other->h);
                       },
                       [] {
                           w->call(w->other->h);
                           mc::end_thread(mc::m.fibers[mc::m.current].id);
                           w->call(w->f);
                       },
                       [] { w->remove_and_wait(0); }};
     }},
    {"visitclose", "another module closes while threads that have called it end: only unused slots are freed", [] {
         make_other_module();
         const body visitor = [] {
             w->call(w->other->h);
             mc::end_thread(0);
         };
         return bodies{visitor, visitor, [] {
                           w->remove_and_wait(0);
                           other_hazards.value.free_slots();
                       }};
     }},

    // ---- Steps ------------------------------------------------------------------------------------------------------

    {"stepadd", "a plugin is enabled in functions without hooks, while one of them gets another hook", [] {
         make_plugin_of_both();
         w->plugin->disable();
         constexpr auto claim = "enabled in one function, then not in another";
         return bodies{reader_of_both(w->f, w->g, -1, claim), reader_of_both(w->g, w->f, -1, claim),
                       [] { w->plugin->enable(); }, [] { w->hooks[2] = w->g.on_end([](auto&) {}); }};
     }},
    {"stepoffon", "a plugin is disabled and enabled again, in functions without other hooks", [] {
         make_plugin_of_both();
         return bodies{[] { w->call(w->f), w->call(w->g); }, [] { w->call(w->g), w->call(w->f); }, [] {
                           w->plugin->disable();
                           w->plugin->enable();
                           unload_and_check({0, 1});
                       }};
     }},
    {"steptwice", "two plugins are disabled at once, each in one step", [] {
         make_plugin_of_both();
         constexpr auto claim = "disabled in one function, then not in another";
         static ext::plugin* other;
         other = new ext::plugin(w->registry, "other");
         other->on_end(w->f, [](auto&) {});
         other->on_end(w->g, [](auto&) {});
         return bodies{reader_of_both(w->f, w->g, 1, claim), reader_of_both(w->g, w->f, 1, claim),
                       [] { w->plugin->disable(); }, [] { other->disable(); }};
     }},
    {"steppins", "a plugin is unloaded while awaited calls of its functions begin", [] {
         make_plugin_of_both();
         return bodies{[] { w->call_awaited(w->f), w->call_awaited(w->g); }, [] { w->call_awaited(w->g); },
                       [] { unload_and_check({0, 1}); }};
     }},
    {"detach", "a wrapper is destroyed while others of its name are called and a hook is removed", [] {
         w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] { w->call(*w->second), w->second.reset(); },
                       [] { w->remove_and_wait(0); }};
     }},
    {"attach", "a second wrapper of a name is created while a hook is removed: its calls run the same hooks", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] {
                           w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
                           const bool off = w->call(*w->second) == 1;
                           mc::check(!off || w->call(w->f) == 1,
                                     "removed in one wrapper of the name, then not in another");
                       },
                       [] { w->remove_and_wait(0); }};
     }},

    // ---- Error handlers, monitors, plugins and threads --------------------------------------------------------------

    {"errors", "an error handler is removed while it is called", [] {
         w->f.on_start([](auto&) { throw std::runtime_error("x"); }, {.isolate = true});
         w->hooks[0] = w->registry.on_hook_error([captured = w->capture(0)](const ext::hook_error&) {
             mc::check(!w->gone[0], "a handler runs after its capture is destroyed");
             mc::point();
             mc::check(!w->gone[0], "a handler's capture is destroyed early");
         });
         w->hooks[1] = w->registry.on_hook_error([](const ext::hook_error&) {});
         return bodies{call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }, [] { w->hooks[1].remove(); }};
     }},
    {"errorfirst", "the first error handler is added and removed while errors are reported", [] {
         w->f.on_start([](auto&) { throw std::runtime_error("x"); }, {.isolate = true});
         return bodies{call_of_f(), call_of_f(), [] {
                           w->hooks[0] = w->registry.on_hook_error([captured = w->capture(0)](const ext::hook_error&) {
                               mc::check(!seen.goes[0], "a handler runs after its capture is destroyed");
                               mc::point();
                               mc::check(captured->hook == 0 && !seen.goes[0],
                                         "a handler's capture is destroyed early");
                           });
                           w->remove_and_wait(0);
                       }};
     }},
    {"monitor", "a monitor is added, and removed while it is called", [] {
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{call_of_f(), [] { w->call(w->f), w->call(w->f); }, [] {
                           w->hooks[0] = w->registry.on_hook_run([captured = w->capture(0)](const ext::hook_run&) {
                               mc::check(!seen.goes[0], "a monitor runs after its capture is destroyed");
                               mc::point();
                               mc::check(captured->hook == 0 && !seen.goes[0],
                                         "a monitor's capture is destroyed early");
                           });
                           w->remove_and_wait(0);
                       }};
     }},
    {"errorself", "an error handler removes itself and waits, while other threads report errors", [] {
         w->f.on_start([](auto&) { throw std::runtime_error("x"); }, {.isolate = true});
         w->hooks[0] = w->registry.on_hook_error([captured = w->capture(0)](const ext::hook_error&) {
             mc::check(!w->gone[0], "a handler runs after its capture is destroyed");
             w->hooks[0].remove_and_wait();
             seen.remove(0);
             mc::check(!w->gone[0], "a handler's capture is destroyed early");
         });
         return bodies{call_of_f(), call_of_f(), call_of_f()};
     }},
    {"unloaddying", "unload() waits for captures that another thread is destroying", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->hooks[0] = w->plugin->on_start(w->f, w->watched(0, {}, [] { mc::point(), w->g(1), mc::point(); }));
         w->hooks[1] = w->plugin->on_start(w->g, w->watched(1));
         return bodies{call_of_f(), [] { w->remove(0); }, [] { unload_and_check({0, 1}); }};
     }},
    {"unloadself", "a capture unloads its own plugin when it is destroyed, while another thread unloads it too", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->hooks[0] = w->plugin->on_start(w->f, w->watched(0, {}, [] { mc::point(), w->plugin->unload(); }));
         w->hooks[1] = w->plugin->on_start(w->f, w->watched(1));
         return bodies{call_of_f(), [] { w->hooks[0].remove(); }, [] { unload_and_check({0, 1}); }};
     }},
    {"unloadfor", "unload_for() may give up, and a later unload() waits", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f, w->watched(0));
         return bodies{call_of_f(), call_of_f(), [] {
                           unload_for_and_check({0});
                           unload_and_check({0});
                       }};
     }},
    {"unloadlate", "after unload_for() has given up, the last call destroys the capture, and other waiters return", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f, w->watched(0));
         return bodies{call_of_f(), [] { unload_and_check({0}); }, [] { unload_for_and_check({0}); }};
     }},
    {"unloadcross", "two plugins' hooks wait for each other with a time-out, and a third thread without", [] {
         static ext::plugin* other;
         other = new ext::plugin(w->registry, "other");
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f,
                             w->watched(0, [] { static_cast<void>(other->unload_for(std::chrono::nanoseconds(5))); }));
         other->on_start(w->g,
                         w->watched(1, [] { static_cast<void>(w->plugin->unload_for(std::chrono::nanoseconds(7))); }));
         seen.keeps_time = false;
         return bodies{[] { w->f(1); }, [] { w->g(1); }, [] { unload_and_check({0}); }};
     }},
    {"replace", "a hook replaces another one, which is then removed, and is removed itself", [] {
         w->hooks[0] = w->f.on_start(w->watched(0), {.id = "a"});
         return bodies{[] { w->call(w->f), w->call(w->f); }, call_of_f(), [] {
                           w->operate([] { w->hooks[1] = w->f.on_start(w->watched(1), {.id = "a", .replace = true}); });
                           w->remove(0);
                           w->remove_and_wait(1);
                       }};
     }},
    {"times", "a hook with .times = 1 removes itself while others call, and runs once", [] {
         w->hooks[0] = w->f.on_start([captured = w->capture(0), begun = std::make_unique<int>(0)](auto&) {
             mc::check(captured->hook == 0 && ++*begun == 1, "a hook with .times = 1 runs twice");
             seen.remove(0);
         }, {.times = 1});
         return bodies{call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }};
     }},
    {"ends", "a hook is removed while a call still has its finisher", [] {
         w->hooks[0] = w->f.on_start([captured = w->capture(0)](auto&) {
             return [captured = captured.get()](auto&) {
                 mc::point();
                 mc::check(captured->hook == 0 && !seen.goes[0], "a finisher's capture is destroyed early");
             };
         });
         return bodies{[] { w->f(1); }, [] { w->f(1); }, [] { w->remove_and_wait(0); }};
     }},
    {"handles", "the last handle of a hook frees what threads have used through other handles", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->hooks[0];
         return bodies{[] {
                           w->remove(0);
                           w->hooks[0] = {};
                       },
                       [] {
                           w->hooks[1].disable();
                           w->hooks[1] = {};
                       }};
     }},
    {"slots", "slots are reused by a thread that begins while they are scanned", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         const body ending = [] {
             w->call(w->f);
             mc::end_thread(0);
         };
         return bodies{ending, ending, [] { w->remove(0); }, [] { w->remove_and_wait(1); }};
     }},
    {"grow", "a thread gets more slots while slots are scanned", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->nest_deeply(deep, [] { w->call(w->f); }); }, [] { w->remove(0); },
                       [] { w->remove_and_wait(1); }};
     }},

    // ---- Ready-made hooks -------------------------------------------------------------------------------------------

    {"counters", "a reading of hooks::metrics has at most as many failures as ended calls", [] {
         const body caller = [] { count_failed_call("f"); };
         return bodies{caller, caller, [] {
                           w->counters.for_each([](const auto& counters) {
                               const ext::hooks::detail::counted_calls read = counters.read();
                               mc::check(read.failures <= read.ended[0], "more failures than ended calls");
                           });
                       }};
     }},
    {"countadd", "each call counts once, although threads add its function to hooks::metrics at the same time", [] {
         static bool has_one_ended;
         static mc::handover ended;
         has_one_ended = false;
         const auto count_both = [](std::string_view first, std::string_view second) {
             count_failed_call(first);
             count_failed_call(second);
             if (!std::exchange(has_one_ended, true)) return ended.give();
             ended.take();
             std::uint64_t sum = 0;
             w->counters.for_each([&sum](const auto& counters) { sum += counters.read().ended[0]; });
             mc::check(sum == 4, "a call is lost");
         };
         return bodies{[=] { count_both("f", "g"); }, [=] { count_both("g", "f"); }};
     }},
};

}  // namespace

namespace mc {

std::span<const scenario> all_scenarios() noexcept { return all; }

void execute(const scenario& chosen) {
    begin_execution();
    new (&detail::hazards_storage) domain_storage(&hazards_of_this_thread);
    new (&other_hazards) domain_storage(&other_hazards_of_this_thread);
    using record = detail::never_destroyed<detail::registry_record>;
    new (&detail::default_record) record(detail::hazards_storage.value, std::size_t{1});
    seen = {};
    world::suspended = nullptr;
    w = new world;
    run(chosen.make());
    end_execution();
    for (int i = 0; i < hook_count && !m.failed; ++i) {
        if (!seen.removed[i] || w->gone[i]) continue;
        m.failed = true;
        m.failure = "all calls have ended, but the capture of a removed hook is not destroyed";
    }
}

void watch_static_storage() {
    watch(&detail::hazards_storage, sizeof detail::hazards_storage);
    watch(&detail::default_record, sizeof detail::default_record);
    watch(&other_hazards, sizeof other_hazards);
}

}  // namespace mc
