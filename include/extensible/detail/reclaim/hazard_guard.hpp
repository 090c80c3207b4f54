#pragma once

// How does a call protect the list of hooks that it runs?

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/reclaim/hazard_slots.hpp>
#include <extensible/detail/reclaim/waiting.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/registry_record.hpp>

#include <cstdint>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Holds the hooks of one call: those that are published when it begins, until it ends. Lives on the call's stack.
class EXTENSIBLE_HIDDEN hazard_guard {
public:
    /// Holds what `from` points to. May throw std::bad_alloc, where the thread has no slots yet or uses more than ever before.
    explicit hazard_guard(const wrapper_site& from);
    hazard_guard(const hazard_guard&) = delete;
    hazard_guard& operator=(const hazard_guard&) = delete;
    ~hazard_guard();

    /// Null where there is no hook, perhaps because the last one was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

private:
    static const hook_list* protect_fast(hazard_slot& slot, const wrapper_site& from) noexcept;
    EXTENSIBLE_HIDDEN static hazard_slot& protect_nested(const wrapper_site& from);
    static void protect_slow(hazard_slot& slot, const wrapper_site& from) noexcept;
    static bool complete_step(const hook_list* list, const wrapper_site& from) noexcept;
    static void leave_slow(hazard_slot& slot) noexcept;

    hazard_slot* slot_;
    const hook_list* list_;
};

EXTENSIBLE_ALWAYS_INLINE inline hazard_guard::hazard_guard(const wrapper_site& from) {
    thread_hazards& thread = *this_thread_hazards::get();
    slot_ = &thread.own_slots[0];
    // Acquire, and before the second look at the hooks: a call that finds the domain here again after a step, which has then been
    // made in this site, finds the new hooks. Pairs with the store in change::commit(). Relaxed: this thread has written it.
    // One condition, so that the compiler keeps the likely path in line.
    if (from.quick_domain.load(std::memory_order_acquire) != thread.quick_domain ||
        slot_->held.load(std::memory_order_relaxed) != 0 || !(list_ = protect_fast(*slot_, from))) [[unlikely]] {  // NOLINT
        // Given as one pointer: an object that is filled by another function would be kept in memory.
        slot_ = &protect_nested(from);
        list_ = slot_->list();
    }
}

// To hold a list is to have it in a slot while it is still published: from then on whoever reclaims finds it there. Null where
// that fails.
EXTENSIBLE_ALWAYS_INLINE inline const hook_list* hazard_guard::protect_fast(hazard_slot& slot, const wrapper_site& from) noexcept {
    const hook_list* const list = from.hooks.load(std::memory_order_acquire);  // pairs with the store in change::publish()
    // Release: whoever finds this value also sees that the list before it in this slot is done with; pairs with the load in
    // any_slot(). The processor may do the load below first: process_barrier() orders the two.
    slot.held.store(reinterpret_cast<std::uintptr_t>(list), std::memory_order_release);
    signal_fence();
    if (list && from.hooks.load(std::memory_order_seq_cst) == list) [[likely]] return list;
    slot.held.store(0, std::memory_order_release);
    return nullptr;
}

EXTENSIBLE_ALWAYS_INLINE inline hazard_guard::~hazard_guard() {
    // Release: as above. Either the load sees the flag, or the next look at the slots finds this one free.
    slot_->held.store(0, std::memory_order_release);
    signal_fence();
    if (slot_->flags.load(std::memory_order_seq_cst) != 0) [[unlikely]] leave_slow(*slot_);
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// Holds the list in another slot if the constructor cannot: in the thread's first call, in a nested call, or in a call
// of a function of another module's registry. Also if the quick way fails: then it holds the list the slow way.
EXTENSIBLE_CALLED_BY_USERS hazard_slot& hazard_guard::protect_nested(const wrapper_site& from) {
    thread_hazards* thread = this_thread_hazards::get();
    if (thread->domain != from.registry->domain) thread = &from.registry->domain->this_thread();
    thread->check_nesting(from);
    hazard_slot& slot = thread->take_slot();
    // Acquire: as in the constructor.
    const bool quickly = from.quick_domain.load(std::memory_order_acquire) == thread->quick_domain;
    if (!quickly || !protect_fast(slot, from)) protect_slow(slot, from);
    // A list that is not held after all may have been found here. This call looks after it when it leaves, because no foreign code
    // is to run while it begins. But nobody may wait for it that long.
    if (slot.flags.load(std::memory_order_seq_cst) & hazard_slot::reclaim_requested) slot.thread->domain->wake_waiters();
    return slot;
}

// Needed if there is no process_barrier(), or if the list was replaced before it was held, or is just being replaced.
// Uses sequentially consistent accesses, which need no process_barrier().
EXTENSIBLE_COLD_FUNCTION void hazard_guard::protect_slow(hazard_slot& slot, const wrapper_site& from) noexcept {
    const hook_list* list;
    do {
        list = from.hooks.load(std::memory_order_seq_cst);
        slot.held.store(list ? reinterpret_cast<std::uintptr_t>(list) : hazard_slot::no_list, std::memory_order_seq_cst);
    } while (from.hooks.load(std::memory_order_seq_cst) != list || complete_step(list, from));
}

// Whether a step has happened in which the list was replaced. The thread that makes the step may not have come to this site yet:
// its store is done here for it, so that no call has to wait. The list is held, so no other can be at its address.
EXTENSIBLE_COLD_FUNCTION bool hazard_guard::complete_step(const hook_list* list, const wrapper_site& from) noexcept {
    const change_step* const step = list ? list->step.load(std::memory_order_seq_cst) : nullptr;
    if (!step || !step->happened.load(std::memory_order_seq_cst)) return false;
    from.hooks.compare_exchange_strong(list, list->successor, std::memory_order_seq_cst);
    return true;
}

EXTENSIBLE_COLD_FUNCTION void hazard_guard::leave_slow(hazard_slot& slot) noexcept {
    // Relaxed: the destructor has loaded it.
    if (slot.flags.load(std::memory_order_relaxed) == hazard_slot::nested) return thread_hazards::give_back(slot);
    slot.held.store(0, std::memory_order_seq_cst);  // once more, now with a fence
    const bool requested = (slot.flags.load(std::memory_order_seq_cst) & hazard_slot::reclaim_requested) != 0;
    if (requested) slot.flags.fetch_and(~hazard_slot::reclaim_requested, std::memory_order_seq_cst);
    thread_hazards::give_back(slot);
    if (requested) slot.thread->domain->reclaim();
}

#endif

}}}  // namespace ext::detail
