#pragma once

// Which hooks are running on this thread? A hook that is not reentrant must not run in calls that it
// makes itself. Neither must an error handler or a monitor.
//
// What must stay true: hooks may end in any order, because stackful coroutines may be switched while
// hooks are running (tests/programs/fibers.cpp).
//
// Not here: what is skipped because of that: claim_run() in hook_run.hpp, notify() in failures.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/hook_record.hpp>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// An entry in the thread's chain of running hooks. It is on the stack while the hook runs. Only the
/// thread itself uses the chain.
struct EXTENSIBLE_HIDDEN running_hook {
    const hook_record* hook = nullptr;  // null only in no_running_hook, and in a scope that tracks nothing
    running_hook* next = nullptr;       // the hook that began before this one

    static bool is_running(const hook_record& hook) noexcept;

    class scope;
};

// The end of every chain. Each module has its own chains, with the hooks that its code runs: a plain
// call runs a hook by code of the hook's module.
EXTENSIBLE_HIDDEN inline constinit running_hook no_running_hook;
using last_running_hook = thread_pointer<running_hook, no_running_hook>;

/// Keeps a hook in the chain while the object lives.
class EXTENSIBLE_HIDDEN running_hook::scope {
public:
    /// Does nothing if `runs` is null.
    explicit scope(const hook_record* runs) noexcept : running_{runs, last_running_hook::get()} {
        if (runs) last_running_hook::set(&running_);
    }
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    // The hook may not be the last one that has begun, so it can be anywhere in the chain.
    ~scope() {
        if (!running_.hook) return;
        running_hook* later = last_running_hook::get();
        if (later == &running_) {
            last_running_hook::set(running_.next);
        } else {
            while (later->next != &running_) later = later->next;
            later->next = running_.next;
        }
    }

private:
    running_hook running_;
};

inline bool running_hook::is_running(const hook_record& hook) noexcept {
    const running_hook* running = last_running_hook::get();
    while (running && running->hook != &hook) running = running->next;
    return running != nullptr;
}

}}}  // namespace ext::detail
