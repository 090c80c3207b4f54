// Small configurations of the library under every schedule, bounded, or under many random ones.
//
//     explorer                                   lists the scenarios
//     explorer all 2 [3]                         all of them, depth first, with at most 2 preemptions: with the barrier, then without;
//                                                each for at most 3 seconds
//     explorer wait2 dfs 3 60 [fence] [broken]   at most 60 seconds; without the process-wide barrier; with one that does nothing
//     explorer wait2 random 9 60 [seed=7]
//     explorer remove1 dfs 0 10 script=1:10,2:6,3:12   the first thread passes 10 points, then the second one 6, ...
//
// 0 is success, 2 a scenario that failed: then there is a trace of the schedule.

#include "mc.hpp"

#define EXTENSIBLE_SYSTEM_HEADER "../../../tests/explorer/system.hpp"
#include <extensible/extensible.hpp>

#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <unistd.h>

namespace {

namespace detail = ext::detail;
using wrapper = ext::extensible<int(int)>;
using body = std::function<void()>;
using bodies = std::vector<body>;

constexpr int hook_count = 8;

/// What a hook captures: tells when it is gone.
struct canary {
    bool &goes, &gone;
    body at_end;
    canary(bool& tells, bool& tells_after, body last) : goes(tells), gone(tells_after), at_end(std::move(last)) {}
    ~canary() {
        mc::check(!goes, "a capture is destroyed twice");
        goes = true;
        if (at_end) at_end();
        gone = true;
    }
};

struct world {
    ext::registry registry;
    wrapper f{registry, "f", [](int x) { return x; }};
    wrapper g{registry, "g", [](int x) { return x; }};
    ext::extensible<void(int, body)> nest{registry, "nest", [](int, body last) { last(); }};
    std::unique_ptr<wrapper> second;  // of a name
    ext::hook hooks[hook_count];
    std::unique_ptr<ext::plugin> plugin;

    // A call that is awaited, and suspended.
    struct suspended_call {
        detail::counting_guard held;
        unsigned concerns;  // the hooks that were not removed when it began
    };
    std::unique_ptr<suspended_call> suspended;

    // What is checked.
    bool goes[hook_count]{}, gone[hook_count]{}, removed[hook_count]{};
    bool keeps_time = true;  // whether captures go in time
    int users[hook_count]{};  // operations under way that began before the hook was removed
    unsigned began_after[mc::max_threads + 1]{};  // of the thread's call: the hooks that had been removed when it began

    /// A hook that checks itself.
    auto watched(int i, body inside = {}, body at_end = {}) {
        return [this, i, inside, capture = std::make_shared<canary>(goes[i], gone[i], std::move(at_end))](auto& call) {
            mc::check(!goes[i], "a hook runs whose capture is gone");
            mc::check(!(began_after[mc::m.current] >> i & 1), "a call that began after the hook was removed runs it");
            mc::point();
            if (inside) inside();
            mc::check(!goes[i], "a capture goes while its hook runs");
            call.result = -1;
        };
    }

    unsigned all_removed() const {
        unsigned all = 0;
        for (int i = 0; i < hook_count; ++i) all |= static_cast<unsigned>(removed[i]) << i;
        return all;
    }

    // One call, or one change: when the last of those ends that began before a hook was removed, its capture is gone.
    unsigned begin_operation() {
        const unsigned concerns = ~all_removed();
        for (int i = 0; i < hook_count; ++i) users[i] += static_cast<int>(concerns >> i & 1);
        return concerns;
    }
    void end_operation(unsigned concerns) {
        for (int i = 0; i < hook_count; ++i) {
            users[i] -= static_cast<int>(concerns >> i & 1);
            const bool is_late = keeps_time && removed[i] && users[i] == 0 && !goes[i];
            mc::check(!is_late, "the last call that could run a hook has left, and its capture is not gone");
        }
    }
    template <class Operation>
    void operate(Operation operation) {
        const unsigned concerns = begin_operation();
        operation();
        end_operation(concerns);
    }
    int call(wrapper& called) {
        int result = 0;
        began_after[mc::m.current] = all_removed();
        operate([&] { result = called(1); });
        return result;
    }
    void remove(int i) {
        operate([&] {
            hooks[i].remove();
            removed[i] = true;
        });
    }
    void remove_and_wait(int i) {
        operate([&] {
            hooks[i].remove_and_wait();
            removed[i] = true;
            mc::check(gone[i], "remove_and_wait() has returned, and the capture is not gone");
        });
    }

    void suspend(wrapper& called) {
        const unsigned concerns = begin_operation();
        suspended.reset(new suspended_call{detail::counting_guard(detail::access::site(called)), concerns});
    }
    /// Goes on with the suspended call, if nobody has yet.
    void go_on() {
        std::unique_ptr<suspended_call> taken = std::move(suspended);
        if (!taken) return;
        run_hooks(taken->held);
        const unsigned concerns = taken->concerns;
        taken.reset();
        end_operation(concerns);
    }
    static void run_hooks(const detail::counting_guard& held) {
        if (!held.list()) return;
        int one = 1;
        auto call = detail::access::make<ext::call<int(int)>>("f", detail::operations_of<int(int), ext::parameters<>>::table, one);
        for (const detail::hook_entry* hook = held.list()->begin(); hook->run; ++hook) detail::run_on_this_thread(*hook, call, held);
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

// Calls two functions, the other one first for every second reader: a hook of both that is seen off in one, or on, is seen so in
// the other one after that.
body reader_of_both(wrapper& first, wrapper& second, int seen, const char* claim) {
    return [&first, &second, seen, claim] {
        const bool changed = w->call(first) == seen;
        const bool changed_too = w->call(second) == seen;
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
            w->removed[i] = true;
            mc::check(w->gone[i], "unload() has returned, and a capture is not gone");
        }
    });
}

struct scenario {
    const char* name;
    const char* claim;
    bodies (*make)();
};

// Two hooks, on f and on g, each of which removes the other and waits.
void add_crossing_hooks() {
    w->hooks[0] = w->f.on_start(w->watched(0, [] {
        w->hooks[1].remove_and_wait();
        w->removed[1] = true;
    }));
    w->hooks[1] = w->g.on_start(w->watched(1, [] {
        w->hooks[0].remove_and_wait();
        w->removed[0] = true;
    }));
}

const scenario scenarios[] = {
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
    {"remove1x3", "a capture goes with the last of three calls", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{call_of_f(), call_of_f(), call_of_f(), [] { w->remove(0); }};
     }},
    {"deepremove", "a capture goes with the last of two calls in slots that threads got later", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         const body reader = [] { w->nest_deeply(6, [] { w->call(w->f); }); };
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
         return bodies{[] { w->nest_deeply(6, [] { w->call(w->f); }); }, [] { w->remove(0); }, [] { w->remove(1); }};
     }},
    {"deepwait", "two threads wait for calls that nest deeply", [] {
         w->nest.on_start([](auto&) {});
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->nest_deeply(6, [] { w->call(w->f), w->call(w->f); }); }, [] { w->remove_and_wait(0); }, [] { w->remove_and_wait(1); }};
     }},
    {"step", "a plugin is disabled in two functions in one step", [] {
         make_plugin_of_both();
         constexpr auto claim = "disabled in one function, and then not in another";
         return bodies{reader_of_both(w->f, w->g, 1, claim), reader_of_both(w->g, w->f, 1, claim), [] { w->plugin->disable(); }};
     }},
    {"stepon", "a plugin is enabled in one step, while another hook goes", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->plugin->disable();
         w->plugin->on_start(w->f, w->watched(0));
         w->plugin->on_start(w->g, w->watched(1));
         w->hooks[2] = w->f.on_end([](auto&) {});
         constexpr auto claim = "enabled in one function, and then not in another";
         return bodies{reader_of_both(w->f, w->g, -1, claim), reader_of_both(w->g, w->f, -1, claim), [] { w->plugin->enable(); },
                       [] { w->hooks[2].remove(); }};
     }},
    {"twosites", "a hook goes in two wrappers of one name in one step", [] {
         w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
         w->hooks[0] = w->f.on_start(w->watched(0));
         constexpr auto claim = "removed in one wrapper of the name, and then not in another";
         return bodies{reader_of_both(w->f, *w->second, 1, claim), reader_of_both(*w->second, w->f, 1, claim), [] { w->remove(0); }};
     }},
    {"unload", "unload() waits for the calls of all functions", [] {
         make_plugin_of_both();
         return bodies{[] { w->call(w->f), w->call(w->g); }, [] { w->call(w->g), w->call(w->f); }, [] { unload_and_check({0, 1}); }};
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
             w->removed[0] = true;
         }));
         return bodies{call_of_f(), call_of_f(), call_of_f()};
     }},
    {"cross", "two threads wait for each other's calls, and a third one for both", [] {
         add_crossing_hooks();
         w->keeps_time = false;  // a thread that is let through returns before the capture is gone
         return bodies{[] { w->f(1); }, [] { w->g(1); }, [] { w->remove_and_wait(0); }};
     }},
    {"selfremove", "two threads wait inside of the hook that both remove, and a third one for both", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             w->hooks[0].remove_and_wait();
             w->removed[0] = true;
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
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); }, [] { w->remove(0); }};
     }},
    {"movedwait", "remove_and_wait() waits for a suspended call that ends on another thread", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->suspend(w->f), mc::point(), w->go_on(); }, [] { w->go_on(), w->call_awaited(w->f); },
                       [] { w->remove_and_wait(0); }};
     }},
    {"pinself", "a thread waits for a hook that it is inside of in a call that is awaited", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             w->hooks[0].remove_and_wait();
             w->removed[0] = true;
         }));
         const body reader = [] { w->call_awaited(w->f); };
         return bodies{reader, reader, reader};
     }},
    {"pincross", "two threads wait for each other's calls, one of which is awaited", [] {
         add_crossing_hooks();
         w->keeps_time = false;  // as in cross
         return bodies{[] { w->call_awaited(w->f); }, [] { w->g(1); }, [] { w->remove_and_wait(1); }};
     }},
    {"pinsort", "suspended calls end while another change looks for retired lists", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         return bodies{[] { w->call_awaited(w->f); }, [] { w->call_awaited(w->f); }, [] { w->remove(0); }, [] { w->remove(1); }};
     }},

    // ---- Steps ----------------------------------------------------------------------------------------------------------

    {"stepadd", "a plugin is enabled in functions without hooks, while one of them gets another hook", [] {
         make_plugin_of_both();
         w->plugin->disable();
         constexpr auto claim = "enabled in one function, and then not in another";
         return bodies{reader_of_both(w->f, w->g, -1, claim), reader_of_both(w->g, w->f, -1, claim), [] { w->plugin->enable(); },
                       [] { w->hooks[2] = w->g.on_end([](auto&) {}); }};
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
         return bodies{[] { w->call_awaited(w->f), w->call_awaited(w->g); }, [] { w->call_awaited(w->g); }, [] { unload_and_check({0, 1}); }};
     }},
    {"detach", "a wrapper goes while others of its name are called and a hook is removed", [] {
         w->second = std::make_unique<wrapper>(w->registry, "f", [](int x) { return x; });
         w->hooks[0] = w->f.on_start(w->watched(0));
         return bodies{[] { w->call(w->f), w->call(w->f); }, [] { w->call(*w->second), w->second.reset(); }, [] { w->remove_and_wait(0); }};
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
         w->hooks[0] = w->registry.on_hook_error([capture = std::make_shared<canary>(w->goes[0], w->gone[0], body())](const ext::hook_error&) {
             mc::check(!w->gone[0], "a handler runs whose capture is gone");
             mc::point();
             mc::check(!w->gone[0], "a capture goes while its handler runs");
         });
         w->hooks[1] = w->registry.on_hook_error([](const ext::hook_error&) {});
         return bodies{call_of_f(), call_of_f(), [] { w->remove_and_wait(0); }, [] { w->hooks[1].remove(); }};
     }},
    {"errorself", "an error handler removes itself, and waits, while others are told", [] {
         w->f.on_start([](auto&) { throw std::runtime_error("x"); }, {.isolate = true});
         w->hooks[0] = w->registry.on_hook_error([capture = std::make_shared<canary>(w->goes[0], w->gone[0], body())](const ext::hook_error&) {
             mc::check(!w->gone[0], "a handler runs whose capture is gone");
             w->hooks[0].remove_and_wait();
             w->removed[0] = true;
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
                           const bool done = w->plugin->unload_for(std::chrono::nanoseconds(5));
                           mc::check(!done || w->gone[0], "unload_for() has said so, and the capture is not gone");
                           unload_and_check({0});
                       }};
     }},
    {"replace", "a hook runs in place of another, which then goes, and goes itself", [] {
         w->hooks[0] = w->f.on_start(w->watched(0), {.id = "a"});
         return bodies{[] { w->call(w->f), w->call(w->f); }, call_of_f(), [] {
                           w->operate([] { w->hooks[1] = w->f.on_start(w->watched(1), {.id = "a", .replace = true}); });
                           w->remove(0);
                           w->remove_and_wait(1);
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
         return bodies{[] { w->nest_deeply(6, [] { w->call(w->f); }); }, [] { w->remove(0); },
                       [] { w->remove_and_wait(1); }};
     }},
    {"fork", "the child of a process that forks in the middle of anything goes on", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->hooks[1] = w->f.on_start(w->watched(1));
         w->keeps_time = false;
         return bodies{[] { w->f(1); }, [] { w->hooks[0].remove(), w->f(1); }, [] {
                           mc::go_on_in_child();
                           w->f(1);
                           w->hooks[0].remove_and_wait();
                           w->hooks[1].remove_and_wait();
                           w->f(1);
                           mc::check(w->gone[0] && w->gone[1], "a capture stays in the child");
                       }};
     }},
    {"forkplugin", "a process forks while a capture of a plugin is destroyed: in the child a hook of the plugin unloads it", [] {
         w->plugin = std::make_unique<ext::plugin>(w->registry, "p");
         w->hooks[0] = w->plugin->on_start(w->f, w->watched(0, {}, [] { mc::point(); }));
         w->hooks[1] = w->plugin->on_start(w->g, w->watched(1, [] { w->plugin->unload(); }));
         w->keeps_time = false;
         return bodies{[] { w->hooks[0].remove(); }, [] {
                           mc::go_on_in_child();
                           mc::end_thread(0);  // another thread of the child
                           w->g(1);
                           mc::check(w->gone[1], "a capture stays in the child");
                       }};
     }},
    {"forkcounted", "a process forks while a call that is awaited leaves: the child does not wait for it", [] {
         w->hooks[0] = w->f.on_start(w->watched(0));
         w->keeps_time = false;
         static const detail::hook_list* list;
         static bool ended;
         list = nullptr;
         ended = false;
         return bodies{[] {
                           {
                               const detail::counting_guard held(detail::access::site(w->f));
                               list = held.list();
                           }
                           ended = true;
                       },
                       [] { w->hooks[0].remove(); }, [] {
                           mc::go_on_in_child();
                           const bool is_counted = !ended && list && mc::is_alive(list) && list->calls.load() >= detail::hook_list::one_call;
                           if (!list || is_counted) return;
                           w->hooks[0].remove_and_wait();
                           mc::check(w->gone[0], "a capture stays in the child");
                       }};
     }},
    {"forkinside", "a process forks inside of a hook, while another thread waits for it", [] {
         w->hooks[0] = w->f.on_start(w->watched(0, [] {
             if (mc::m.current != 3) return;
             mc::go_on_in_child();
             w->hooks[0].remove_and_wait();
         }));
         w->keeps_time = false;
         return bodies{[] { w->f(1); }, [] { w->hooks[0].remove_and_wait(); }, [] {
                           w->f(1);
                           w->hooks[0].remove_and_wait();
                           mc::check(w->gone[0], "a capture stays in the child");
                       }};
     }},
};

// ---- Running them ---------------------------------------------------------------------------------------------------

void execute(const scenario& chosen) {
    mc::begin_execution();
    using domain = detail::immortal<detail::hazard_domain>;
    new (&detail::hazards_storage) domain(&detail::hazards_of_this_thread, &detail::arrange_fork);
    using record = detail::immortal<detail::registry_record>;
    new (&detail::default_record) record(detail::hazards_storage.value, std::size_t{1});
    w = new world;
    mc::run(chosen.make());
    mc::end_execution();
    const auto fail = [](const char* why) {
        if (mc::m.failed) return;
        mc::m.failed = true;
        mc::m.failure = why;
    };
    for (int i = 0; i < hook_count; ++i)
        if (w->removed[i] && !w->gone[i]) fail("all calls have ended, and a removed hook's capture is not gone");
    if (!mc::freed_is_untouched()) fail("what was freed has been written to");
}

const scenario* running;

void on_crash(int signal) {
    char text[160];
    int size = std::snprintf(text, sizeof text, "%s: CRASH, signal %d, in T%d (use after free?) after %zu choices: ", running->name, signal,
                             mc::m.current, mc::m.at);
    static_cast<void>(!write(1, text, static_cast<std::size_t>(size)));
    for (const mc::choice& choice : mc::m.path) {
        size = std::snprintf(text, sizeof text, "%d/%d ", choice.taken, choice.of);
        static_cast<void>(!write(1, text, static_cast<std::size_t>(size)));
    }
    static_cast<void>(!write(1, "\n", 1));
    for (const std::string& line : mc::m.trace) {
        static_cast<void>(!write(1, line.c_str(), line.size()));
        static_cast<void>(!write(1, "\n", 1));
    }
    _exit(2);
}

void print_trace() {
    for (const std::string& line : mc::m.trace) std::puts(line.c_str());
}

// A failure's schedule once more, with a trace; and in which order threads went on, as a script.
void run_again(const scenario& chosen, std::uint64_t seed) {
    const std::vector<mc::choice> path = mc::m.path;
    mc::m.tracing = true;
    mc::m.seed = seed;
    if (mc::m.random) mc::m.path.clear();
    else mc::m.path = path;
    execute(chosen);
    if (!mc::m.failed) std::puts("(not reproduced)");
    print_trace();
    mc::m.tracing = false;
    mc::m.trace.clear();
}

// The next path, depth first. False behind the last one.
bool next_path() {
    std::vector<mc::choice>& path = mc::m.path;
    while (!path.empty() && path.back().taken + 1 == path.back().of) path.pop_back();
    if (path.empty()) return false;
    ++path.back().taken;
    return true;
}

// Some random executions, which find most of what threads share; then the search need not begin anew so often. What fails here is
// found again.
void find_what_is_shared(const scenario& chosen) {
    mc::m.random = true;
    for (int i = 0; i < 300; ++i) {
        mc::m.path.clear();
        execute(chosen);
        if (mc::m.failed) break;
    }
    mc::m.random = false;
    mc::m.path.clear();
}

enum class outcome { failed, incomplete, complete };

outcome explore(const scenario& chosen, double seconds) {
    using clock = std::chrono::steady_clock;
    running = &chosen;
    const auto begin = clock::now();
    const auto passed = [&] { return std::chrono::duration<double>(clock::now() - begin).count(); };
    std::memset(mc::m.is_shared, 0, mc::memory_size / 4);
    mc::m.path.clear();
    if (!mc::m.random && mc::m.script.empty()) find_what_is_shared(chosen);
    long executions = 0, begun_anew = 0;
    double points = 0;
    bool complete = true;
    for (;;) {
        const std::uint64_t seed = mc::m.seed;
        if (mc::m.random) {
            mc::m.path.clear();
            mc::m.switch_one_in = static_cast<unsigned>(2 + executions % 20);
            mc::m.delay_one_in = static_cast<unsigned>(1 + executions % 3);
        }
        execute(chosen);
        ++executions;
        points += static_cast<double>(mc::m.points);
        if (mc::m.failed) {
            std::printf("%s: FAILED after %ld executions: %s (T%d)\n", chosen.name, executions, mc::m.failure.c_str(), mc::m.current);
            run_again(chosen, seed);
            return outcome::failed;
        }
        if (!mc::m.script.empty()) {
            print_trace();
            break;
        }
        if (!mc::m.random && !mc::m.newly_shared.empty()) {
            mc::m.path.clear();
            ++begun_anew;
        } else if (!mc::m.random && !next_path()) {
            break;
        }
        if (executions % 256 == 0 && passed() > seconds) {
            complete = false;
            break;
        }
    }
    std::printf("%-12s %s %s %d: %8ld executions, %3.0f points each, begun anew %ld times, %s, %.1f s\n", chosen.name,
                mc::m.random ? "random" : "dfs", mc::m.has_barrier ? "barrier" : "fences", mc::m.max_preemptions, executions,
                points / static_cast<double>(executions), begun_anew, complete ? "complete" : "not complete", passed());
    return complete ? outcome::complete : outcome::incomplete;
}

// What takes longer than half of the time depth first is run at random for the other half.
bool explore_all(int bound, double seconds) {
    bool good = true;
    for (const bool barrier : {true, false}) {
        mc::m.has_barrier = barrier;
        mc::m.max_preemptions = mc::m.max_delays = bound;
        for (const scenario& each : scenarios) {
            outcome ended = explore(each, seconds / 2);
            mc::m.random = true;
            if (ended == outcome::incomplete) ended = explore(each, seconds / 2);
            mc::m.random = false;
            good &= ended != outcome::failed;
        }
    }
    return good;
}

void read_option(const char* option) {
    const auto begins = [&](const char* name) { return !std::strncmp(option, name, std::strlen(name)) ? option + std::strlen(name) : nullptr; };
    if (begins("fence")) mc::m.has_barrier = false;
    if (begins("broken")) mc::m.broken_barrier = true;
    if (begins("trace")) mc::m.tracing = true;
    if (const char* value = begins("delays=")) mc::m.max_delays = std::atoi(value);
    if (const char* value = begins("seed=")) mc::m.seed = std::strtoull(value, nullptr, 10);
    if (const char* value = begins("script=")) {
        mc::m.max_preemptions = mc::m.max_delays = 0;
        for (char* at = const_cast<char*>(value); *at;) {
            const int fiber = static_cast<int>(std::strtol(at, &at, 10));
            mc::m.script.push_back({fiber, static_cast<int>(std::strtol(at + 1, &at, 10))});
            if (*at) ++at;
        }
    }
}

void catch_crashes() {
    static char stack[65536];
    stack_t alternate{};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    sigaltstack(&alternate, nullptr);
    struct sigaction action {};
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK;
    for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGILL}) sigaction(signal, &action, nullptr);
}

int run(int argc, char** argv) {
    const std::string name = argc > 1 ? argv[1] : "";
    if (name == "all") return explore_all(argc > 2 ? std::atoi(argv[2]) : 2, argc > 3 ? std::atof(argv[3]) : 3) ? 0 : 2;
    for (const scenario& each : scenarios) {
        if (name != each.name || argc < 5) continue;
        mc::m.random = !std::strcmp(argv[2], "random");
        mc::m.max_preemptions = mc::m.max_delays = std::atoi(argv[3]);
        for (int i = 5; i < argc; ++i) read_option(argv[i]);
        return explore(each, std::atof(argv[4])) == outcome::failed ? 2 : 0;
    }
    for (const scenario& each : scenarios) std::printf("%-12s %s\n", each.name, each.claim);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 4096);
    static_cast<void>(!std::freopen("/dev/null", "w", stderr));  // where the library tells of errors without a handler
    mc::set_up_memory();
    catch_crashes();
    const int result = run(argc, argv);
    std::fflush(stdout);
    std::_Exit(result);  // nothing is taken down: what the last execution has left is in the arenas
}
