// What is tried? Small configurations of the library, each with its claim. Compiled with
// -fsanitize=thread: see plain_access().

#include "scenarios.hpp"

#include "mc.hpp"

#define EXTENSIBLE_SYSTEM_HEADER "explorer/system.hpp"
#include <extensible/extensible.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using mc::scenario;
namespace detail = ext::detail;
using wrapper = ext::extensible<int(int)>;
using body = std::function<void()>;
using bodies = std::vector<body>;

constexpr int hook_count = 8;
constexpr int deep = detail::thread_hazards::first_slots;  // so many calls inside of each other: the next needs more slots

/// What is checked, across threads. Not of the memory in which data races are found: only what
/// threads know of each other by what the library does may be in that.
struct ledger {
    bool goes[hook_count]{};                      // the capture's destructor has begun
    bool removed[hook_count]{};
    mc::handover removal[hook_count]{};
    bool keeps_time = true;                       // whether captures go in time
    int users[hook_count]{};                      // operations under way that began before the hook was removed
    unsigned began_after[mc::max_threads + 1]{};  // of the thread's call: the hooks whose removal happens before it

    void remove(int i) {
        if (!std::exchange(removed[i], true)) removal[i].give();
    }
    /// A thread that does not know yet of a removal may still find the hook, as if it had been faster.
    unsigned known_to_be_removed() const {
        unsigned all = 0;
        for (int i = 0; i < hook_count; ++i) all |= static_cast<unsigned>(removed[i] && removal[i].is_known()) << i;
        return all;
    }
};
ledger seen;

/// What a hook captures: tells when it is gone.
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

using domain_storage = detail::immortal<detail::hazard_domain>;
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

/// A registry that the other module has made, and a function of it.
struct other_module {
    using record = detail::registry_record;
    ext::registry registry =
        detail::access::make<ext::registry>(detail::ref<record>::adopted{new record(other_hazards.value, std::size_t{1})});
    wrapper h{registry, "h", [](int x) { return x; }};
};

// ---- What a scenario has --------------------------------------------------------------------------------------------

struct world {
    ext::registry registry;
    wrapper f{registry, "f", [](int x) { return x; }};
    wrapper g{registry, "g", [](int x) { return x; }};
    ext::extensible<void(int, body)> nest{registry, "nest", [](int, body last) { last(); }};
    std::unique_ptr<wrapper> second;  // of a name
    ext::hook hooks[hook_count];
    std::unique_ptr<ext::plugin> plugin;
    std::unique_ptr<other_module> other;
    bool gone[hook_count]{};  // captures; read only by threads that the library has told so

    // A call that is awaited, and suspended.
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
            mc::check(!seen.goes[i], "a hook runs whose capture is gone");
            mc::check(!(seen.began_after[mc::m.current] >> i & 1), "a call that began after the hook was removed runs it");
            mc::point();
            if (inside) inside();
            mc::check(!seen.goes[i] && captured->hook == i, "a capture goes while its hook runs");
            call.result = -1;
        };
    }

    // One call, or one change: when the last of those ends that began before a hook was removed, its capture is gone.
    static unsigned begin_operation() {
        const unsigned concerns = ~seen.known_to_be_removed();
        for (int i = 0; i < hook_count; ++i) seen.users[i] += static_cast<int>(concerns >> i & 1);
        return concerns;
    }
    static void end_operation(unsigned concerns) {
        for (int i = 0; i < hook_count; ++i) {
            seen.users[i] -= static_cast<int>(concerns >> i & 1);
            const bool is_late = seen.keeps_time && seen.removed[i] && seen.users[i] == 0 && !seen.goes[i];
            mc::check(!is_late, "the last call that could run a hook has left, and its capture is not gone");
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
            mc::check(gone[i], "remove_and_wait() has returned, and the capture is not gone");
        });
    }

    void suspend(wrapper& called) {
        const unsigned concerns = begin_operation();
        auto* const call = new suspended_call{detail::counting_guard(detail::access::site(called)), concerns};
        call->handed_on.give();
        suspended = call;
    }
    /// Goes on with the suspended call, if nobody has yet.
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
        auto call = detail::access::make<ext::call<int(int)>>("f", operations, one);
        for (const detail::hook_entry* hook = held.list()->begin(); hook->run; ++hook)
            detail::run_on_this_thread(*hook, call, held);
    }
    void call_awaited(wrapper& called) {
        operate([&] {
            const detail::counting_guard held(detail::access::site(called));
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

// Calls two functions, the other one first for every second reader: a hook of both that is seen off
// in one, or on, is seen so in the other one after that.
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
            mc::check(w->gone[i], "unload() has returned, and a capture is not gone");
        }
    });
}

// It may give up before the captures are gone: then they go in time all the same.
void unload_for_and_check(std::initializer_list<int> hooks) {
    w->operate([&] {
        const bool done = w->plugin->unload_for(std::chrono::nanoseconds(5));
        for (const int i : hooks) {
            seen.remove(i);
            mc::check(!done || w->gone[i], "unload_for() has said so, and a capture is not gone");
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

const scenario all[] = {
    {"wait", "remove_and_wait() waits for calls and for others that wait for the same hook", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         const body remover = [] { w->remove_and_wait(0); };
         return bodies{call_of_f(), call_of_f(), remover, remover};
     }},
    {"wait2", "remove_and_wait() waits for the right call of a thread that calls twice", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call(w->f), w->call(w->f); }, call_of_f(), [] { w->remove_and_wait(0); }};
     }},
    {"remove", "each capture goes with the last call that can run its hook", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{call_of_f(), call_of_f(), [] { w->remove(0), w->remove(1); }};
     }},
    {"remove1", "a capture goes with the last of two calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{call_of_f(), call_of_f(), [] { w->remove(0); }};
     }},
    {"quick", "a capture goes in time while one thread has one list after the other in the same slot, in the quick way", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->g.on_start(w->watched(1));
         return bodies{[] { w->call(w->g), w->call(w->f), w->call(w->f), w->call(w->g); }, [] { w->remove(0); }};
     }},
    {"quickfail", "a capture goes in time while a thread fails to hold a list in the slot that has held another one", [] {
         for (int i = 0; i < 2; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] { w->remove(0); }, [] { w->hooks[1].disable(); }};
     }},
    {"remove1x3", "a capture goes with the last of three calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{call_of_f(), call_of_f(), call_of_f(), [] { w->remove(0); }};
     }},
    {"deepremove", "a capture goes with the last of two calls in slots that threads got later", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         const body reader = [] { w->nest_deeply(deep, [] { w->call(w->f); }); };
         return bodies{reader, reader, [] { w->remove(0); }};
     }},
    {"pinremove", "a capture goes with the last of a call that is awaited and one that is not", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call_awaited(w->f); }, call_of_f(), [] { w->remove(0); }};
     }},
    {"remove3", "remove_and_wait() waits for three calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{call_of_f(), call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }};
     }},
    {"registrars", "two threads change one function", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] { w->remove_and_wait(0); }, [] {
                           w->hooks[2] = w->f.on_start(w->watched(2));
                           w->remove(1);
                           w->remove(2);
                       }};
     }},
    {"deep", "captures call functions when they go, beneath calls that nest deeply", [] {
         w->nest.on_start([](auto&) {});
         w->g.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0, {}, [] { w->g(1); }));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->nest_deeply(deep, [] { w->call(w->f); }); }, [] { w->remove(0); }, [] { w->remove(1); }};
     }},
    {"deepwait", "two threads wait for calls that nest deeply", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->nest_deeply(deep, [] { w->call(w->f), w->call(w->f); }); }, [] { w->remove_and_wait(0); },
                       [] { w->remove_and_wait(1); }};
     }},
    {"step", "a plugin is disabled in two functions in one step", [] {
         make_plugin_of_both();
         constexpr auto claim = "disabled in one function, and then not in another";
         return bodies{reader_of_both(w->f, w->g, 1, claim), reader_of_both(w->g, w->f, 1, claim), 
                       [] { w->plugin->disable(); }};
     }},
    {"stepone", "a plugin is disabled in two functions in one step, for a thread that calls both in turn", [] {
         make_plugin_of_both();
         return bodies{[] {
                           bool changed = false;
                           for (wrapper* called : {&w->f, &w->g, &w->f}) {
                               const bool runs = w->call(*called) == -1;
                               mc::check(!changed || !runs, "disabled in one function, and then not in another");
                               changed |= !runs;
                           }
                       },
                       [] { w->plugin->disable(); }};
     }},
    {"stepshared", "a thread sees a step as made that another thread has completed in one of its functions", [] {
         make_plugin_of_both();
         w->hooks[2] = w->g.on_end([](auto&) {});  // or there would be nothing in the list that follows
         return bodies{[] { w->call(w->g); }, [] {
                           w->call(w->g);
                           const bool changed = w->call(w->g) == 1;
                           mc::check(!changed || w->call(w->f) == 1, "disabled in one function, and then not in another");
                       },
                       [] { w->plugin->disable(); }};
     }},
    {"stepon", "a plugin is enabled in one step, while another hook goes", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->disable();
         w->plugin->on_start(w->f, w->watched(0));
         w->plugin->on_start(w->g, w->watched(1));
         w->hooks[2] = w->f.on_end([](auto&) {});
         constexpr auto claim = "enabled in one function, and then not in another";
         return bodies{reader_of_both(w->f, w->g, -1, claim), reader_of_both(w->g, w->f, -1, claim),
                       [] { w->plugin->enable(); }, [] { w->hooks[2].remove(); }};
     }},
    {"twosites", "a hook goes in two wrappers of one name in one step", [] {
         w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
         w->hooks[0] = w->f.on_start(w->watched(0));
         constexpr auto claim = "removed in one wrapper of the name, and then not in another";
         return bodies{reader_of_both(w->f, *w->second, 1, claim), reader_of_both(*w->second, w->f, 1, claim),
                       [] { w->remove(0); }};
     }},
    {"unload", "unload() waits for the calls of all functions", [] {
         make_plugin_of_both();
         return bodies{[] { w->call(w->f), w->call(w->g); }, [] { w->call(w->g), w->call(w->f); },
                       [] { unload_and_check({0, 1}); }};
     }},
    {"threads", "threads end, their slots are handed on, and one with the number of another comes", [] {
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
    {"pins", "remove_and_wait() waits for calls that are awaited", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         const body reader = [] { w->call_awaited(w->f); }, remover = [] { w->remove_and_wait(0); };
         return bodies{reader, reader, remover, remover};
     }},
    {"selfwait", "a thread waits for a hook that it is inside of, while others run it", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             if (mc::m.current != 1) return;
             w->hooks[0].remove_and_wait();
             seen.remove(0);
         }));
         return bodies{call_of_f(), call_of_f(), call_of_f()};
     }},
    {"cross", "two threads wait for each other's calls, and a third one for both", [] {
         add_crossing_hooks();
         seen.keeps_time = false;  // a thread that is let through returns before the capture is gone
         return bodies{[] { w->f(1); }, [] { w->g(1); }, [] { w->remove_and_wait(0); }};
     }},
    {"selfremove", "two threads wait inside of the hook that both remove, and a third one for both", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             w->hooks[0].remove_and_wait();
             seen.remove(0);
         }));
         return bodies{call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }};
     }},

    // ---- Lists that are replaced while older ones are in use ------------------------------------------------------------

    {"handon", "a call holds the first of several lists: what the later ones dropped goes with it", [] {
         for (int i = 0; i < 3; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{call_of_f(), [] { w->remove(0), w->remove(1); }, [] {
                           w->hooks[2].disable();
                           w->hooks[2].enable();
                           w->remove(2);
                       }};
     }},
    {"handon2", "calls hold different lists of the same hooks", [] {
         for (int i = 0; i < 3; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{call_of_f(), [] { w->call(w->f), w->call(w->f); }, [] {
                           w->hooks[1].disable();
                           w->remove(0);
                           w->hooks[1].enable();
                           w->remove(1);
                       }};
     }},
    {"handonwait", "two threads wait for hooks that several lists have", [] {
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

    {"waitless", "remove_and_wait() does not wait for a call that only looked at the list: that one may wait for it", [] {
         static bool ran, done;
         static mc::mutex lock;
         static mc::condition change;
         new (&lock) mc::mutex;  // an execution that was given up may hold it
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

    // ---- Calls that are suspended ---------------------------------------------------------------------------------------

    {"moved", "a suspended call ends on another thread than it began on: then the capture goes", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); },
                       [] { w->remove(0); }};
     }},
    {"movedwait", "remove_and_wait() waits for a suspended call that ends on another thread", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); },
                       [] { w->remove_and_wait(0); }};
     }},
    {"pinself", "a thread waits for a hook that it is inside of in a call that is awaited", [] {
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
    {"pinsort", "suspended calls end while another change looks for retired lists", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         const body reader = [] { w->call_awaited(w->f); };
         return bodies{reader, reader, [] { w->remove(0); }, [] { w->remove(1); }};
     }},

    {"pinafter", "a capture goes when a call has left whose thread goes on with one that is awaited, in the same slot", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->g.on_start(w->watched(1));
         return bodies{[] { w->call(w->f), w->call_awaited(w->g); }, [] { w->remove(0); }};
     }},
    {"movedend", "a suspended call goes on elsewhere, or in the next thread, when the thread that it began on has ended", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] {
                           w->suspend(w->f);
                           mc::end_thread(0);
                           w->go_on();
                       },
                       [] { w->go_on(), w->call(w->f); }, [] { w->remove_and_wait(0); }};
     }},
    {"movedlate", "a capture goes with a suspended call that ends on one of two other threads, when later lists have gone", [] {
         for (int i = 0; i < 2; ++i) w->hooks[i] = w->f.on_start(w->watched(i));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(); },
                       [] { w->remove(0), w->remove(1), w->go_on(); }};
     }},
    {"movedfor", "unload_for() gives up or not while a suspended call ends elsewhere: then the capture goes", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f, w->watched(0));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); },
                       [] { unload_for_and_check({0}); }};
     }},

    // ---- Calls of another module's functions, and out of another module -----------------------------------------------------

    {"visit", "a capture goes with the last call of another module's function, whichever module calls", [] {
         make_other_module();
         return bodies{call_of_h(0), call_of_h(1), [] { w->remove(0); }};
     }},
    {"visitwait", "remove_and_wait() waits for calls of another module's function, whichever module calls", [] {
         make_other_module();
         return bodies{call_of_h(0), call_of_h(1), [] { w->remove_and_wait(0); }, [] { w->remove_and_wait(0); }};
     }},
    {"visitback", "a thread that is inside of both modules' functions holds either's hooks", [] {
         make_other_module();
         w->hooks[1] = w->f.on_start(w->watched(1, [] {
             if (mc::m.current == 1) w->call(w->other->h);
         }));
         w->hooks[2] = w->other->h.on_start(w->watched(2, [] {
             if (mc::m.current == 2) w->call(w->f);
         }));
         return bodies{call_of_f(), call_of_h(1), [] { w->remove_and_wait(0); }, [] { w->remove_and_wait(1); }};
     }},
    {"visitend", "threads end that have visited another module: their slots there are handed on", [] {
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
    {"visitclose", "another module closes while threads end that have visited it: only slots that no thread has are freed", [] {
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

    // ---- Steps ----------------------------------------------------------------------------------------------------------

    {"stepadd", "a plugin is enabled in functions without hooks, while one of them gets another hook", [] {
         make_plugin_of_both();
         w->plugin->disable();
         constexpr auto claim = "enabled in one function, and then not in another";
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
    {"steptwice", "two plugins are disabled at once: each in one step", [] {
         make_plugin_of_both();
         constexpr auto claim = "disabled in one function, and then not in another";
         static ext::plugin* other;
         other = new ext::plugin(w->registry, "other");
         other->on_end(w->f, [](auto&) {});
         other->on_end(w->g, [](auto&) {});
         return bodies{reader_of_both(w->f, w->g, 1, claim), reader_of_both(w->g, w->f, 1, claim), [] { w->plugin->disable(); },
                       [] { other->disable(); }};
     }},
    {"steppins", "a plugin is unloaded while calls of its functions begin that are awaited", [] {
         make_plugin_of_both();
         return bodies{[] { w->call_awaited(w->f), w->call_awaited(w->g); }, [] { w->call_awaited(w->g); },
                       [] { unload_and_check({0, 1}); }};
     }},
    {"detach", "a wrapper goes while others of its name are called and a hook is removed", [] {
         w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] { w->call(*w->second), w->second.reset(); },
                       [] { w->remove_and_wait(0); }};
     }},
    {"attach", "a wrapper of the name comes while a hook is removed: its calls run what the others' run", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] {
                           w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
                           const bool off = w->call(*w->second) == 1;
                           mc::check(!off || w->call(w->f) == 1, "removed in one wrapper of the name, and then not in another");
                       },
                       [] { w->remove_and_wait(0); }};
     }},

    // ---- Error handlers, plugins, threads, processes --------------------------------------------------------------------

    {"errors", "an error handler goes while it is told of an error", [] {
         w->f.on_start([](auto&) { throw std::runtime_error("x"); }, {.isolate = true});
         w->hooks[0] = w->registry.on_hook_error([captured = w->capture(0)](const ext::hook_error&) {
             mc::check(!w->gone[0], "a handler runs whose capture is gone");
             mc::point();
             mc::check(!w->gone[0], "a capture goes while its handler runs");
         });
         w->hooks[1] = w->registry.on_hook_error([](const ext::hook_error&) {});
         return bodies{call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }, [] { w->hooks[1].remove(); }};
     }},
    {"errorfirst", "the first error handler comes, and goes, while others are told of errors", [] {
         w->f.on_start([](auto&) { throw std::runtime_error("x"); }, {.isolate = true});
         return bodies{call_of_f(), call_of_f(), [] {
                           w->hooks[0] = w->registry.on_hook_error([captured = w->capture(0)](const ext::hook_error&) {
                               mc::check(!seen.goes[0], "a handler runs whose capture is gone");
                               mc::point();
                               mc::check(captured->hook == 0 && !seen.goes[0], "a capture goes while its handler runs");
                           });
                           w->remove_and_wait(0);
                       }};
     }},
    {"monitor", "a monitor comes, and goes while it is told of runs of hooks", [] {
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{call_of_f(), [] { w->call(w->f), w->call(w->f); }, [] {
                           w->hooks[0] = w->registry.on_hook_run([captured = w->capture(0)](const ext::hook_run&) {
                               mc::check(!seen.goes[0], "a monitor is told whose capture is gone");
                               mc::point();
                               mc::check(captured->hook == 0 && !seen.goes[0], "a capture goes while its monitor is told");
                           });
                           w->remove_and_wait(0);
                       }};
     }},
    {"errorself", "an error handler removes itself, and waits, while others are told", [] {
         w->f.on_start([](auto&) { throw std::runtime_error("x"); }, {.isolate = true});
         w->hooks[0] = w->registry.on_hook_error([captured = w->capture(0)](const ext::hook_error&) {
             mc::check(!w->gone[0], "a handler runs whose capture is gone");
             w->hooks[0].remove_and_wait();
             seen.remove(0);
             mc::check(!w->gone[0], "a capture goes while its handler runs");
         });
         return bodies{call_of_f(), call_of_f(), call_of_f()};
     }},
    {"unloaddying", "unload() waits for captures that another thread is destroying", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->hooks[0] = w->plugin->on_start(w->f, w->watched(0, {}, [] { mc::point(), w->g(1), mc::point(); }));
         w->hooks[1] = w->plugin->on_start(w->g, w->watched(1));
         return bodies{call_of_f(), [] { w->remove(0); }, [] { unload_and_check({0, 1}); }};
     }},
    {"unloadself", "a capture unloads its own plugin when it goes, while another thread unloads it too", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->hooks[0] = w->plugin->on_start(w->f, w->watched(0, {}, [] { mc::point(), w->plugin->unload(); }));
         w->hooks[1] = w->plugin->on_start(w->f, w->watched(1));
         return bodies{call_of_f(), [] { w->hooks[0].remove(); }, [] { unload_and_check({0, 1}); }};
     }},
    {"unloadfor", "unload_for() gives up or not, and a second unload() waits", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f, w->watched(0));
         return bodies{call_of_f(), call_of_f(), [] {
                           unload_for_and_check({0});
                           unload_and_check({0});
                       }};
     }},
    {"unloadlate", "when unload_for() has given up, the capture goes with the last call, and others that wait return", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f, w->watched(0));
         return bodies{call_of_f(), [] { unload_and_check({0}); }, [] { unload_for_and_check({0}); }};
     }},
    {"unloadcross", "two plugins' hooks wait for each other with a time-out, and a third thread without", [] {
         static ext::plugin* other;
         other = new ext::plugin(w->registry, "other");
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->on_start(w->f, w->watched(0, [] { static_cast<void>(other->unload_for(std::chrono::nanoseconds(5))); }));
         other->on_start(w->g, w->watched(1, [] { static_cast<void>(w->plugin->unload_for(std::chrono::nanoseconds(7))); }));
         seen.keeps_time = false;
         return bodies{[] { w->f(1); }, [] { w->g(1); }, [] { unload_and_check({0}); }};
     }},
    {"replace", "a hook runs in place of another, which then goes, and goes itself", [] {
         w->hooks[0] = w->f.on_start(w->watched(0), {.id = "a"});
         return bodies{[] { w->call(w->f), w->call(w->f); }, call_of_f(), [] {
                           w->operate([] { w->hooks[1] = w->f.on_start(w->watched(1), {.id = "a", .replace = true}); });
                           w->remove(0);
                           w->remove_and_wait(1);
                       }};
     }},
    {"times", "a hook for one time removes itself while others call, and begins once", [] {
         w->hooks[0] = w->f.on_start([captured = w->capture(0), begun = std::make_unique<int>(0)](auto&) {
             mc::check(captured->hook == 0 && ++*begun == 1, "a hook for one time begins twice");
             seen.remove(0);
         }, {.times = 1});
         return bodies{call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }};
     }},
    {"ends", "a hook goes while a call has the end that it returned", [] {
         w->hooks[0] = w->f.on_start([captured = w->capture(0)](auto&) {
             return [captured = captured.get()](auto&) {
                 mc::point();
                 mc::check(captured->hook == 0 && !seen.goes[0], "a capture goes while the end of its hook has it");
             };
         });
         return bodies{[] { w->f(1); }, [] { w->f(1); }, [] { w->remove_and_wait(0); }};
     }},
    {"handles", "the last of several handles of a hook frees what the others' threads have used", [] {
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
    {"slots", "slots are handed on to a thread that begins while they are looked at", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         const body ending = [] {
             w->call(w->f);
             mc::end_thread(0);
         };
         return bodies{ending, ending, [] { w->remove(0); }, [] { w->remove_and_wait(1); }};
     }},
    {"grow", "a thread gets more slots while they are looked at", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->nest_deeply(deep, [] { w->call(w->f); }); }, [] { w->remove(0); },
                       [] { w->remove_and_wait(1); }};
     }},
};

}  // namespace

namespace mc {

std::span<const scenario> all_scenarios() noexcept { return all; }

void execute(const scenario& chosen) {
    begin_execution();
    new (&detail::hazards_storage) domain_storage(&hazards_of_this_thread);
    new (&other_hazards) domain_storage(&other_hazards_of_this_thread);
    using record = detail::immortal<detail::registry_record>;
    new (&detail::default_record) record(detail::hazards_storage.value, std::size_t{1});
    seen = {};
    world::suspended = nullptr;
    w = new world;
    run(chosen.make());
    end_execution();
    for (int i = 0; i < hook_count && !m.failed; ++i) {
        if (!seen.removed[i] || w->gone[i]) continue;
        m.failed = true;
        m.failure = "all calls have ended, and a removed hook's capture is not gone";
    }
}

void watch_static_storage() {
    watch(&detail::hazards_storage, sizeof detail::hazards_storage);
    watch(&detail::default_record, sizeof detail::default_record);
    watch(&other_hazards, sizeof other_hazards);
}

}  // namespace mc
