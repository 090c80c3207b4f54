#pragma once

// How do remove_and_wait() and unload() wait for calls, and which thread waits for which?
//
// What must stay true:
// 1. They return only when no other thread can run the hooks and the captures are destroyed, except
//    as rules 2 and 3 say. (tests/threads.cpp; tests/explorer: wait, pins, movedwait, unloaddying)
// 2. A thread does not wait for calls that it is inside itself, if a slot shows this. While an
//    awaited hook runs, no slot does: see awaited/counting_guard.hpp. (tests/nesting.cpp;
//    tests/explorer: selfwait, pinself)
// 3. If threads wait for each other in a cycle, at least one of them returns early. This holds for
//    waits in one domain. (tests/threads.cpp; tests/explorer: cross, pincross, selfremove)
// 4. No wake-up is lost: a thread checks, and begins to wait, under one lock; each event that may
//    let it return is followed by wake_all(). (tests/explorer: waitless, unloadlate)
//
// Not here: the operations of a registry that wait: registry/locked_registry.hpp. When captures are
// destroyed: hazard_domain.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/reclaim/hazard_slots.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>

#include <cstddef>
#include <cstdint>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

#if EXTENSIBLE_BODIES

bool hazard_domain::wait_until_unused(const hook_group& hooks, const time_point* until) {
    mutex_lock lock(mutex_);
    waiter self{*this, hooks};
    for (;;) {
        if (reclaim(lock)) wake_all();
        const bool is_used = any_user(self, [&](thread_id user) {
            for (waiter* w = waiters_; w; w = w->next) w->visited = false;
            // To wait for a thread that waits for this one would be a deadlock.
            return !waits_for(user, self.thread);
        });
        if (!is_used) return true;
        if (until && now() >= *until) return false;
        // The lock has been held since any_user() looked, so no wake-up is missed.
        if (until) self.change.wait_until(lock.held(), *until);
        else self.change.wait(lock.held());
    }
}

bool hazard_domain::is_alive(const hook_group& hooks) noexcept {
    const mutex_lock lock(mutex_);
    return hooks.alive != 0;
}

// Whether a thread other than the waiter's, for which `matches` returns true, can still run one of
// the waiter's hooks, or has to destroy captures of one. `matches` receives 0 for a thread that is
// not known. This is so for an awaited call that no slot shows, because it is suspended, or runs an
// awaited hook, the function or no hook; for a call that has ended and has yet to reclaim its list;
// and for captures that no thread destroys yet.
template <class Predicate>
bool hazard_domain::any_user(const waiter& waiting, Predicate matches) const {
    if (waiting.hooks.alive == 0) return false;
    for (const hook_record* hook = to_destroy_.get(); hook; hook = hook->next.get())
        if (waiting.hooks.has(*hook) && hook->destroyed_by != waiting.thread && matches(hook->destroyed_by))
            return true;
    for (const hook_list* lists : {retired_, left_to_counted_calls_})
        for (const hook_list* list = lists; list; list = list->next)
            if (list->contains(waiting.hooks) && any_user(*list, waiting, matches)) return true;
    return false;
}

// The same for calls that use this list.
template <class Predicate>
bool hazard_domain::any_user(const hook_list& list, const waiter& waiting, Predicate matches) const {
    std::size_t holding = 0;  // slots that have the list
    std::size_t counted = 0;  // those of them that belong to counted calls
    if (any_slot([&](hazard_slot& slot, std::uintptr_t held) {
            if ((held & ~hazard_slot::counted) != reinterpret_cast<std::uintptr_t>(&list)) return false;
            const bool is_counted = (held & hazard_slot::counted) != 0;
            // A call that has protected a retired list has the flag, since the list was classified. A
            // call without the flag will find that its list was replaced, and will not use it.
            // Pairs with the fetch_or in mark_lists_in_slots(), which was under the same lock. If
            // this load misses that a call clears the flag, the call then reclaims, which wakes the
            // waiters.
            if (!is_counted &&
                !(slot.flags.load(std::memory_order_seq_cst) & hazard_slot::reclaim_requested)) return false;
            ++holding;
            counted += is_counted;
            return slot.thread->owner != waiting.thread && matches(slot.thread->owner);
        })) return true;
    // After the slots, as in classify_retired(). Pairs with the fetch_sub in leave_counted(). If this
    // load misses the end of a call to which the list was left, that call then wakes the waiters.
    const std::size_t calls = list.calls.load(std::memory_order_seq_cst);
    // Cases of an unknown thread: a call has cleared its slot, but has yet to reclaim the list; the
    // last counted call has ended, but has yet to reclaim the list; no slot shows the thread of a
    // counted call.
    return (holding == 0 || calls == hook_list::left_to_calls || calls / hook_list::one_call > counted) && matches(0);
}

// Whether the thread `from` waits for a call of the thread `to`, or for a thread that does. The
// caller has cleared `visited` in all waiters.
bool hazard_domain::waits_for(thread_id from, thread_id to) const noexcept {
    for (waiter* w = waiters_; w; w = w->next) {
        if (w->thread != from || w->visited) continue;
        w->visited = true;
        if (any_user(*w, [&](thread_id user) { return user == to || waits_for(user, to); })) return true;
    }
    return false;
}

#endif

}}}  // namespace ext::detail
