#pragma once

// Which hooks are running on this thread? A hook that is not reentrant must not run in calls that it makes itself.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/hook_record.hpp>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A hook that must not run in calls that it makes itself, on the stack while it runs: which of them are running on this thread?
struct EXTENSIBLE_HIDDEN running_hook {
    const hook_record* hook = nullptr;
    running_hook* next = nullptr;  // one that began earlier, in this thread's chain

    static bool is_running(const hook_record& hook) noexcept;

    class scope;
};

// Each module has its own. That is enough, because the same code of the same module always runs the same hook.
EXTENSIBLE_HIDDEN inline constinit running_hook no_running_hook;
using last_running_hook = thread_pointer<running_hook, no_running_hook>;

class EXTENSIBLE_HIDDEN running_hook::scope {
public:
    explicit scope(const hook_record* runs) noexcept : running_{runs, last_running_hook::get()} {  // null: none
        if (runs) last_running_hook::set(&running_);
    }
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    // Calls on one thread may end in any order, as stackful coroutines do, so it need not be the last that has begun.
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
