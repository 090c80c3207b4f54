#pragma once

// How does a call protect the list of hooks that it runs?
//
// It stores the list in a slot of its thread, a hazard pointer. A call on the fast path, and a
// change that replaces its list meanwhile:
//
// 1. The call loads the list from the wrapper_site: acquire.
// 2. The call stores the list in its slot: release. signal_fence() keeps the compiler from doing 3
//    first.
// 3. The call loads the wrapper_site again: seq_cst. The list is still published, so it is
//    protected.
// 4. The change stores the next list in the wrapper_site: seq_cst. It retires the old list.
// 5. The change calls process_barrier(): every thread passes a full fence.
// 6. The change loads all slots: seq_cst. It finds the old list, and sets the slot's flag: seq_cst.
// 7. The change repeats 5 and 6 until it sets no new flag. It leaves the list to the call.
// 8. The call ends, and clears its slot: release. signal_fence() keeps the compiler from doing 9
//    first.
// 9. The call loads the flags of its slot: seq_cst. It finds the flag, and reclaims the list.
//
// What must stay true, however the two threads interleave:
// 1. Either 3 finds that the list was replaced, and the call tries again; or 6 finds the list in
//    the slot, unless the call has ended. For if the fence of 5 comes before 3 in the call's
//    thread, then 3 finds what 4 stored. If it comes after 3, then 6 finds what 2 stored.
//    (tests/explorer: quick, remove)
// 2. Either 9 finds the flag, or the next 6 finds the slot clear. The proof is the same, with the
//    flag, 8 and 9 in place of 4, 2 and 3. (tests/explorer: remove1)
// 3. If a thread has seen a change_step in one function, its later calls see it in all functions.
//    (tests/explorer: step, stepone, stepshared, twosites)
//
// protect_slow() does 2 and 3, and without process_barrier() leave_slow() does 8 and 9, with
// sequentially consistent accesses. Then 1 and 2 hold without 5. (There, hazard_slot::needs_fence is
// always set, so every call takes leave_slow().)
//
// Off the fast path, accesses that 1 to 3 rely on are sequentially consistent, for simplicity, unless
// their comment says otherwise. tests/explorer/weakenings.txt lists the weakest order of each access.
//
// Not here: the slots: hazard_slots.hpp. Accesses of the change: registry/change.hpp (4),
// hazard_domain.hpp (5 to 7). Awaited calls: awaited/counting_guard.hpp.

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

/// Protects the list that is published when a call begins, until the call ends. Lives on the call's
/// stack, and must be destroyed on the thread that made it.
class EXTENSIBLE_HIDDEN hazard_guard {
public:
    /// Protects the list of `site`. Throws std::bad_alloc if the thread has no slots yet, or needs
    /// more than ever before, and there is no memory. Throws error if the call is nested too
    /// deeply: see thread_hazards::check_nesting().
    explicit hazard_guard(const wrapper_site& site);
    hazard_guard(const hazard_guard&) = delete;
    hazard_guard& operator=(const hazard_guard&) = delete;
    ~hazard_guard();

    /// Null if no hook was enabled when the list was protected. The caller may have found a list in
    /// the site before.
    const hook_list* list() const noexcept { return list_; }

private:
    static const hook_list* protect_fast(hazard_slot& slot, const wrapper_site& site) noexcept;
    static hazard_slot& protect_nested(const wrapper_site& site);
    EXTENSIBLE_COLD_FUNCTION static void protect_slow(hazard_slot& slot, const wrapper_site& site) noexcept;
    EXTENSIBLE_COLD_FUNCTION static bool complete_step(const hook_list* list, const wrapper_site& site) noexcept;
    EXTENSIBLE_COLD_FUNCTION static void leave_slow(hazard_slot& slot) noexcept;

    hazard_slot* slot_;
    const hook_list* list_;
};

EXTENSIBLE_ALWAYS_INLINE inline hazard_guard::hazard_guard(const wrapper_site& site) {
    thread_hazards& thread = *this_thread_hazards::get();
    slot_ = &thread.own_slots[0];
    // quick_domain is null during a change_step, which the fast path does not look for. Acquire: if
    // this load finds the domain that was stored after a step, the loads of `hooks` find what the
    // step stored before. Pairs with the store in change::install(). Relaxed: `held` is written by
    // this thread. One condition, so that the compiler keeps the likely path in line.
    if (site.quick_domain.load(std::memory_order_acquire) != thread.quick_domain ||
        slot_->held.load(std::memory_order_relaxed) != 0 ||
        !(list_ = protect_fast(*slot_, site))) [[unlikely]] {  // NOLINT
        // protect_nested() returns the slot instead of filling this guard: otherwise the compiler
        // would keep the guard in memory, not in registers.
        slot_ = &protect_nested(site);
        list_ = slot_->list();
    }
}

// Stores the list in the slot, and checks that it is still published. Returns null, and leaves the
// slot free, if there is no list or if it has been replaced meanwhile.
EXTENSIBLE_ALWAYS_INLINE inline const hook_list* hazard_guard::protect_fast(hazard_slot& slot,
                                                                            const wrapper_site& site) noexcept {
    // Pairs with the store in change::publish(): the call sees what the list contains.
    const hook_list* const list = site.hooks.load(std::memory_order_acquire);
    // Release: a scan that finds this value, or the 0 below, also sees what earlier calls did with
    // the lists that they had in this slot. Pairs with held.load in hazard_domain::any_slot(). The
    // processor may execute the next load before this store: process_barrier() orders the two.
    slot.held.store(reinterpret_cast<std::uintptr_t>(list), std::memory_order_release);
    signal_fence();
    // Pairs with the store in change::publish(), see 3 and 4 above.
    if (list && site.hooks.load(std::memory_order_seq_cst) == list) [[likely]] return list;
    slot.held.store(0, std::memory_order_release);
    return nullptr;
}

EXTENSIBLE_ALWAYS_INLINE inline hazard_guard::~hazard_guard() {
    // Release: a scan that finds the slot free also sees what this call did with the list. Pairs
    // with held.load in hazard_domain::any_slot().
    slot_->held.store(0, std::memory_order_release);
    signal_fence();
    // Pairs with the fetch_or in hazard_domain::mark_lists_in_slots(), see 9 and 6 above.
    if (slot_->flags.load(std::memory_order_seq_cst) != 0) [[unlikely]] leave_slow(*slot_);
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// Protects the list if the constructor has not: in the first call of a thread, in a nested call, in
// a call of a function of another module's registry, during a change_step, without
// process_barrier(), and if there is no list or it was replaced meanwhile. Returns the slot.
EXTENSIBLE_CALLED_BY_USERS hazard_slot& hazard_guard::protect_nested(const wrapper_site& site) {
    thread_hazards* thread = this_thread_hazards::get();
    if (thread->domain != site.registry->domain) thread = &site.registry->domain->this_thread();
    thread->check_nesting(site);
    hazard_slot& slot = thread->take_slot();
    // Acquire: as in the constructor.
    const bool is_quick = site.quick_domain.load(std::memory_order_acquire) == thread->quick_domain;
    if (!is_quick || !protect_fast(slot, site)) protect_slow(slot, site);
    // The attempts above may have left a flag for a list that this call gave up. The call reclaims
    // only when it ends, because captures must not be destroyed while it begins. A thread that waits
    // for that list must not wait that long, so it is woken to look again. Pairs with the
    // fetch_or in hazard_domain::mark_lists_in_slots(): if this load misses the flag, the next scan
    // finds what the slot has now.
    const bool is_flagged = (slot.flags.load(std::memory_order_seq_cst) & hazard_slot::reclaim_requested) != 0;
    if (is_flagged) slot.thread->domain->wake_waiters();
    return slot;
}

// Protects the list if protect_fast() cannot: without process_barrier(), during a change_step, if
// there is no list, or if the list was replaced meanwhile. Repeats this until no list is replaced
// meanwhile.
void hazard_guard::protect_slow(hazard_slot& slot, const wrapper_site& site) noexcept {
    const hook_list* list;
    do {
        // The store and the load after it pair with the store in change::publish() and held.load in
        // hazard_domain::any_slot(). All four are sequentially consistent: either this call finds
        // the next list, or the scan finds the old one here. The first load could be relaxed: the
        // second one finds the same value.
        list = site.hooks.load(std::memory_order_seq_cst);
        const std::uintptr_t held = list ? reinterpret_cast<std::uintptr_t>(list) : hazard_slot::no_list;
        slot.held.store(held, std::memory_order_seq_cst);
    } while (site.hooks.load(std::memory_order_seq_cst) != list || complete_step(list, site));
}

// Returns whether a change_step that replaces the list has happened. If so, stores the next list in
// the site, because the thread that makes the change may not have reached this site yet, and calls
// must not wait for it. The list is protected, so no other list can be at its address.
bool hazard_guard::complete_step(const hook_list* list, const wrapper_site& site) noexcept {
    // The two loads pair with the stores in change::happen_at_once(): a thread that has seen the
    // step in another function finds it here. Acquire would be enough for both.
    const change_step* const step = list ? list->step.load(std::memory_order_seq_cst) : nullptr;
    if (!step || !step->happened.load(std::memory_order_seq_cst)) return false;
    // Release: a thread that finds the next list here also sees that the step has happened. Pairs
    // with the loads of `hooks`. If the exchange fails, change::install() or another call has stored
    // the next list already.
    site.hooks.compare_exchange_strong(list, list->successor, std::memory_order_seq_cst);
    return true;
}

void hazard_guard::leave_slow(hazard_slot& slot) noexcept {
    // Relaxed: finds at least the flags that the destructor has found.
    if (slot.flags.load(std::memory_order_relaxed) == hazard_slot::nested) return thread_hazards::give_back(slot);
    // For a system without process_barrier(): there the destructor may have loaded the flags before
    // its store was visible. So both are repeated, sequentially consistent. They pair with held.load
    // in hazard_domain::any_slot() and with the fetch_or in mark_lists_in_slots().
    slot.held.store(0, std::memory_order_seq_cst);
    const bool requested = (slot.flags.load(std::memory_order_seq_cst) & hazard_slot::reclaim_requested) != 0;
    // Relaxed would be enough: reclaim() locks the mutex under which other threads set and read the
    // flag.
    if (requested) slot.flags.fetch_and(~hazard_slot::reclaim_requested, std::memory_order_seq_cst);
    // Before reclaim(), which may destroy captures: their destructors may call functions.
    thread_hazards::give_back(slot);
    if (requested) slot.thread->domain->reclaim();
}

#endif

}}}  // namespace ext::detail
