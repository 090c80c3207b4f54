#pragma once

// Who waits for whom? remove_and_wait() and unload() wait until no other thread can run a hook.

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

EXTENSIBLE_COLD_FUNCTION void hazard_domain::wake_waiters() noexcept {
    const mutex_lock lock(mutex_);
    wake_all();
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::wake_all() noexcept {
    for (waiter* waiting = waiters_; waiting; waiting = waiting->next) waiting->change.notify_all();
}

EXTENSIBLE_COLD_FUNCTION bool hazard_domain::wait_until_unused(const hook_group& hooks, const time_point* until) {
    mutex_lock lock(mutex_);
    waiter self{*this, hooks};
    for (;;) {
        if (reclaim(lock)) wake_all();
        const bool is_used = any_user(self, [&](thread_id user) {
            for (waiter* w = waiters_; w; w = w->next) w->visited = false;
            return !waits_for(user, self.thread);  // else it is let through, or this thread
        });
        if (!is_used) return true;
        if (until && now() >= *until) return false;
        // Under the lock since the look: no change is missed.
        if (until) self.change.wait_until(lock.held(), *until);
        else self.change.wait(lock.held());
    }
}

EXTENSIBLE_COLD_FUNCTION bool hazard_domain::is_alive(const hook_group& hooks) noexcept {
    const mutex_lock lock(mutex_);
    return hooks.alive != 0;
}

// Whether another thread than the waiter's, for which `matches` is true, can still run one of its hooks, or destroys what it captured.
// The thread is 0 where it is not known: its call is suspended, or has just left and is on its way to reclaim the list.
template <class Predicate>
EXTENSIBLE_COLD_FUNCTION bool hazard_domain::any_user(const waiter& waiting, Predicate matches) const {
    if (waiting.hooks.alive == 0) return false;
    for (const hook_record* hook = to_destroy_.get(); hook; hook = hook->next.get())
        if (waiting.hooks.has(*hook) && hook->destroyed_by != waiting.thread && matches(hook->destroyed_by)) return true;
    for (const hook_list* lists : {retired_, left_to_counted_calls_})
        for (const hook_list* list = lists; list; list = list->next)
            if (list->contains(waiting.hooks) && any_user(*list, waiting, matches)) return true;
    return false;
}

template <class Predicate>
EXTENSIBLE_COLD_FUNCTION bool hazard_domain::any_user(const hook_list& list, const waiter& waiting, Predicate matches) const {
    std::size_t holding = 0, counted = 0;  // slots in which the list is; and by calls that are counted
    if (any_slot([&](hazard_slot& slot, std::uintptr_t held) {
            if ((held & ~hazard_slot::counted) != reinterpret_cast<std::uintptr_t>(&list)) return false;
            const bool is_counted = (held & hazard_slot::counted) != 0;
            // The slots of all that hold a retired list have been flagged since. Others will find that they do not hold it.
            if (!is_counted && !(slot.flags.load(std::memory_order_seq_cst) & hazard_slot::reclaim_requested)) return false;
            ++holding;
            counted += is_counted;
            return slot.thread->owner != waiting.thread && matches(slot.thread->owner);
        })) return true;
    const std::size_t calls = list.calls.load(std::memory_order_seq_cst);  // after the slots, as in sort_retired()
    return (holding == 0 || calls == hook_list::left_to_calls || calls / hook_list::one_call > counted) && matches(0);
}

// Whether `from` waits for a call of `to`, or for another thread that does.
EXTENSIBLE_COLD_FUNCTION bool hazard_domain::waits_for(thread_id from, thread_id to) const noexcept {
    for (waiter* w = waiters_; w; w = w->next) {
        if (w->thread != from || w->visited) continue;
        w->visited = true;
        if (any_user(*w, [&](thread_id user) { return user == to || waits_for(user, to); })) return true;
    }
    return false;
}

#endif

}}}  // namespace ext::detail
