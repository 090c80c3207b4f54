#pragma once

// When is a retired list freed, and when are the captures of a removed hook destroyed?
//
// What must stay true:
// 1. A list is freed only after a thread has found, in this order: the list was replaced; a barrier
//    has followed, or all these accesses are sequentially consistent; no slot holds the list; the
//    list counts no calls. A slot holds a list if the
//    list was stored there while it was published. (tests/explorer: remove, grow, pins, handon)
// 2. The captures of a hook are destroyed once, and under none of the library's locks.
//    (tests/explorer; tests/nesting.cpp)
// 3. Once the removal of a hook has returned, and every call that could run it has ended, the captures
//    are destroyed, or another thread is destroying them: any thread that reclaims may do that.
//    Calls that were choosing their list during the removal count, too. Only wait_until_unused()
//    waits for such a thread. (tests/explorer:
//    remove1, pinremove, moved)
//
// After M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects" (2004). Two
// things are added. If the system has a process-wide barrier, the writer uses it, and readers need
// no fence. A writer that finds a list in use sets a flag in the slot, so the last call to leave
// reclaims the list.
//
// Not here: how a call protects its list: hazard_guard.hpp. The slots: hazard_slots.hpp. How a list
// is replaced: registry/change.hpp. How a thread waits for a hook's calls: waiting.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_slots.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// The slots of all threads, and the lists that are replaced but may still be in use. Each module
/// (the program, a shared library) has one domain. A registry uses the domain of the module that
/// made the registry, even in calls from other modules. So a module that is unloaded leaves nothing
/// of its own in the domain of another one. A domain is constant-initialized and never destroyed.
class EXTENSIBLE_HIDDEN hazard_domain {
public:
    /// `of_this_thread` returns the slots of the calling thread. It is code of the domain's module.
    constexpr explicit hazard_domain(thread_hazards& (*of_this_thread)()) noexcept : this_thread_(of_this_thread) {}

    /// Returns the slots of the calling thread. May throw std::bad_alloc in a thread's first call.
    thread_hazards& this_thread() const { return this_thread_(); }

    /// Returns the registration lock, which guards all registries of the domain. Every change of a
    /// registry takes it. A call takes it only to remove a hook whose .times are used up. No hook
    /// runs under it, and no captures are destroyed under it.
    EXTENSIBLE_COLD_FUNCTION mutex& registration() noexcept;

    /// Adds a holder to the hook. Its registration is one.
    EXTENSIBLE_COLD_FUNCTION void retain(hook_record& hook) noexcept;

    /// Adds a holder to each hook of a list that is about to be published.
    EXTENSIBLE_COLD_FUNCTION void retain(const hook_list& list) noexcept;

    /// Removes a holder from the hook. If none is left, the next reclaim() destroys the captures.
    EXTENSIBLE_COLD_FUNCTION void release(hook_record& hook) noexcept;

    /// Takes over a list that no site of a living wrapper points to any more.
    EXTENSIBLE_COLD_FUNCTION void retire(hook_list& list) noexcept;

    /// Frees the retired lists that no call uses. Asks the calls that use the others to reclaim
    /// them when they leave. Destroys the captures of hooks that have no holders: that is code of
    /// the application, so do not call this under a lock.
    EXTENSIBLE_COLD_FUNCTION void reclaim() noexcept;

    /// Waits until no other thread can run these hooks and their captures are destroyed. Does not
    /// wait for calls that this thread is inside. The hooks must have been removed. If threads
    /// would wait for each other in a cycle, at least one of them returns early, with true. Gives up at
    /// `until`, unless that is null. Returns false if it gave up.
    EXTENSIBLE_COLD_FUNCTION bool wait_until_unused(const hook_group& hooks, const time_point* until = nullptr);

    /// Whether the captures of at least one of these hooks are not destroyed yet.
    EXTENSIBLE_COLD_FUNCTION bool is_alive(const hook_group& hooks) noexcept;

    /// Ends a call that the list counts. Reclaims like reclaim(), so do not call this under a lock.
    EXTENSIBLE_COLD_FUNCTION void leave_counted(const hook_list& list) noexcept;

    /// Makes threads in wait_until_unused() look again.
    EXTENSIBLE_COLD_FUNCTION void wake_waiters() noexcept;

    /// Gives slots to the calling thread. May throw std::bad_alloc.
    EXTENSIBLE_COLD_FUNCTION thread_hazards& acquire_slots();

    /// Lets another thread take over the calling thread's slots, unless this thread is inside a
    /// call.
    EXTENSIBLE_COLD_FUNCTION void release_slots() noexcept;

    /// Frees all slots, unless a thread still owns some.
    EXTENSIBLE_COLD_FUNCTION void free_slots() noexcept;

private:
    // A thread in wait_until_unused(). Lives on its stack. Guarded by mutex_.
    struct waiter {
        hazard_domain& domain;
        const hook_group& hooks;
        const thread_id thread = this_thread_id();
        waiter* next = std::exchange(domain.waiters_, this);
        bool visited = false;  // by waits_for(), in the current search
        condition change{};

        ~waiter() {
            waiter** at = &domain.waiters_;
            while (*at != this) at = &(*at)->next;
            *at = next;
        }
    };

    // In module_domain.hpp: acquire_slots(), release_slots(), free_slots(). In waiting.hpp:
    // wait_until_unused(), any_user(), waits_for(), is_alive().

    EXTENSIBLE_COLD_FUNCTION void set_up() noexcept;

    // Called with mutex_ locked. Functions with a parameter `lock` unlock it meanwhile.
    EXTENSIBLE_COLD_FUNCTION bool reclaim(mutex_lock& lock) noexcept;
    EXTENSIBLE_COLD_FUNCTION void destroy(hook_record& hook, mutex_lock& lock) noexcept;
    EXTENSIBLE_COLD_FUNCTION void free_reclaimable(mutex_lock& lock) noexcept;
    EXTENSIBLE_COLD_FUNCTION void classify_retired() noexcept;
    EXTENSIBLE_COLD_FUNCTION bool mark_lists_in_slots() noexcept;
    EXTENSIBLE_COLD_FUNCTION static void move_first(hook_list*& from, hook_list*& to) noexcept;
    EXTENSIBLE_COLD_FUNCTION void release_list(hook_list*& list) noexcept;
    EXTENSIBLE_COLD_FUNCTION static void retain_one(hook_record& hook) noexcept;
    EXTENSIBLE_COLD_FUNCTION void release_one(hook_record& hook) noexcept;
    EXTENSIBLE_COLD_FUNCTION static void forget_destroyed(ref<hook_record>& link) noexcept;
    EXTENSIBLE_COLD_FUNCTION void wake_all() noexcept;
    template <class Visitor>
    EXTENSIBLE_COLD_FUNCTION bool any_slot(Visitor visit) const;
    template <class Predicate>
    EXTENSIBLE_COLD_FUNCTION bool any_user(const waiter& waiting, Predicate matches) const;
    template <class Predicate>
    EXTENSIBLE_COLD_FUNCTION bool any_user(const hook_list& list, const waiter& waiting, Predicate matches) const;
    EXTENSIBLE_COLD_FUNCTION bool waits_for(thread_id from, thread_id to) const noexcept;

    thread_hazards& (*const this_thread_)();

    mutex registration_{};
    // Guards what follows. No other lock is taken and no code of the application runs under it.
    mutex mutex_{};

    // Written in the first set_up(), constant from then on.
    bool is_set_up_ = false;
    bool has_process_barrier_ = false;

    thread_hazards* threads_ = nullptr;     // all slots, including those without an owner
    std::uint64_t last_thread_number_ = 0;  // the last thread_hazards::number that was given out

    // Each list that is replaced moves from retired_ to reclaimable_, directly or by way of
    // left_to_counted_calls_, from which the last call that the list counts takes it.
    hook_list* retired_ = nullptr;                // not classified yet, or in a slot at the last scan
    hook_list* left_to_counted_calls_ = nullptr;  // in no slot, and counts calls
    hook_list* reclaimable_ = nullptr;            // in no slot, and counts no calls

    // Hooks without holders. A hook is in this chain until its captures have been destroyed.
    ref<hook_record> to_destroy_{};

    waiter* waiters_ = nullptr;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// ---- The domain itself ----------------------------------------------------------------------------------------------

mutex& hazard_domain::registration() noexcept {
    set_up();
    return registration_;
}

// Asks the system for the process-wide barrier, before the first slot is used and before the first
// change.
void hazard_domain::set_up() noexcept {
    const mutex_lock lock(mutex_);
    if (!std::exchange(is_set_up_, true)) has_process_barrier_ = enable_process_barrier();
}

// ---- Retired lists --------------------------------------------------------------------------------------------------

void hazard_domain::retire(hook_list& list) noexcept {
    const mutex_lock lock(mutex_);
    list.next = std::exchange(retired_, &list);
}

// Moves the list that `from` points to into another chain. `from` is a link of its present chain.
void hazard_domain::move_first(hook_list*& from, hook_list*& to) noexcept {
    hook_list* const list = std::exchange(from, from->next);
    list->next = std::exchange(to, list);
}

// Makes a list reclaimable: no call uses it any more. `list` is a link of its present chain.
void hazard_domain::release_list(hook_list*& list) noexcept {
    list->any_of([this](hook_record& hook) { return release_one(hook), false; });
    move_first(list, reclaimable_);
}

void hazard_domain::reclaim() noexcept {
    mutex_lock lock(mutex_);
    reclaim(lock);
    wake_all();  // even if nothing was reclaimed: a call that a thread waits for may have ended
}

// Returns whether there was anything to reclaim.
bool hazard_domain::reclaim(mutex_lock& lock) noexcept {
    for (bool any = false;; any = true) {
        classify_retired();
        hook_record* hook = to_destroy_.get();
        while (hook && hook->destroyed_by != 0) hook = hook->next.get();
        if (hook) destroy(*hook, lock);
        else if (reclaimable_) free_reclaimable(lock);
        else return any;
    }
}

void hazard_domain::wake_waiters() noexcept {
    const mutex_lock lock(mutex_);
    wake_all();
}

void hazard_domain::wake_all() noexcept {
    for (waiter* waiting = waiters_; waiting; waiting = waiting->next) waiting->change.notify_all();
}

void hazard_domain::leave_counted(const hook_list& list) noexcept {
    // Release: what this call did with the hooks happens before the list is freed. Acquire: the
    // last call sees what the others did. Pairs with the fetch_or in classify_retired(), and with this
    // line in other calls. Another thread may free the list from here on, unless this is the last
    // call that it was left to.
    const std::size_t before = list.calls.fetch_sub(hook_list::one_call, std::memory_order_seq_cst);
    // Without left_to_calls, no thread relies on this call to reclaim: the list is still published; or
    // the next scan will classify it; or a call that is just beginning has it in a slot, and reclaims
    // it when it clears the slot.
    if ((before & hook_list::left_to_calls) == 0) return;
    mutex_lock lock(mutex_);
    if (before == hook_list::one_call + hook_list::left_to_calls) {
        hook_list** at = &left_to_counted_calls_;
        while (*at != &list) at = &(*at)->next;
        release_list(*at);
        reclaim(lock);
    }
    wake_all();
}

// Classifies the retired lists. A list that is in a slot remains in retired_. A list that only counted
// calls use moves to left_to_counted_calls_. A list that no call uses moves to reclaimable_. Scans
// the slots again until a scan sets no new flag. Then the flag of each slot that still has a
// retired list was set before the last scan, so the slot's call finds the flag when it leaves.
void hazard_domain::classify_retired() noexcept {
    for (bool again = retired_ != nullptr; again;) {
        // Orders the stores that replaced the lists or set flags before the loads of the next scan.
        // Pairs with the signal fences in hazard_guard. Without this barrier, all of these accesses
        // are sequentially consistent, in calls too: their single order has the same effect.
        if (has_process_barrier_) process_barrier();
        again = mark_lists_in_slots();
        for (hook_list** at = &retired_; *at;) {
            hook_list& list = **at;
            // The count is read after the slots, because an awaited call has its list in a slot
            // before the list counts the call. If the list is in no slot now, it will count no
            // further call. Acquire: sees what the counted calls did. Pairs with the fetch_sub in
            // leave_counted().
            if (list.in_slot) at = &list.next;
            else if (list.calls.fetch_or(hook_list::left_to_calls, std::memory_order_seq_cst) != 0)
                move_first(*at, left_to_counted_calls_);
            else release_list(*at);
        }
        again &= retired_ != nullptr;
    }
}

// Sets `in_slot` in the retired lists, and the flag of each slot that has one of them. Returns
// whether a flag was not set before.
bool hazard_domain::mark_lists_in_slots() noexcept {
    // A hash table. If calls are nested deeply, there may be as many retired lists as slots.
    constexpr std::size_t bucket_count = 251;
    hook_list* buckets[bucket_count]{};
    const auto bucket_of = [&](std::uintptr_t list) -> hook_list*& {
        return buckets[list / alignof(hook_list) % bucket_count];
    };
    for (hook_list* list = retired_; list; list = list->next) {
        list->in_slot = false;
        list->next_of_bucket = std::exchange(bucket_of(reinterpret_cast<std::uintptr_t>(list)), list);
    }
    bool flagged = false;
    any_slot([&](hazard_slot& slot, std::uintptr_t held) {
        hook_list* list = bucket_of(held);
        while (list && reinterpret_cast<std::uintptr_t>(list) != held) list = list->next_of_bucket;
        if (!list) return false;
        list->in_slot = true;
        // Pairs with the loads of `flags` in hazard_guard: either the call finds the flag after it
        // has cleared the slot, or the next scan finds the slot without the list.
        const std::uint32_t before = slot.flags.fetch_or(hazard_slot::reclaim_requested, std::memory_order_seq_cst);
        flagged |= (before & hazard_slot::reclaim_requested) == 0;
        return false;
    });
    return flagged;
}

// Calls `visit` for each slot that is not free, until it returns true. Returns whether it has.
template <class Visitor>
bool hazard_domain::any_slot(Visitor visit) const {
    // A thread that is not in the chain yet will lock the mutex after this scan. So its calls will
    // not find the lists that were replaced before.
    for (thread_hazards* thread = threads_; thread; thread = thread->next) {
        // Pairs with the store in thread_hazards::adopt(): finds each slot that protected a list
        // when the list was replaced.
        for (hazard_slot* slot = thread->own_slots; slot; slot = slot->next.load(std::memory_order_seq_cst)) {
            // Pairs with all stores of `held`, in hazard_guard and counting_guard. Finds each list
            // that was protected when it was replaced, unless the call has ended. In that case this
            // thread sees what the call did before it ended.
            const std::uintptr_t held = slot->held.load(std::memory_order_seq_cst);
            if (held != 0 && visit(*slot, held)) return true;
        }
    }
    return false;
}

void hazard_domain::free_reclaimable(mutex_lock& lock) noexcept {
    hook_list* list = std::exchange(reclaimable_, nullptr);
    lock.unlock();
    while (list) hook_list::free(std::exchange(list, list->next));
    lock.lock();
}

// ---- Holders of hooks -----------------------------------------------------------------------------------------------

void hazard_domain::retain(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    retain_one(hook);
}

void hazard_domain::retain(const hook_list& list) noexcept {
    const mutex_lock lock(mutex_);
    list.any_of([](hook_record& hook) { return retain_one(hook), false; });
}

void hazard_domain::retain_one(hook_record& hook) noexcept {
    if (hook.holders++ != 0) return;
    ref(&hook).release();  // the holders together own one reference to the record: release_one() adopts it
    ++hook.alive;
    if (hook.plugin) ++hook.plugin->alive;
}

void hazard_domain::release(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    release_one(hook);
}

void hazard_domain::release_one(hook_record& hook) noexcept {
    if (--hook.holders != 0) return;
    hook.next = std::move(to_destroy_);
    to_destroy_ = ref<hook_record>(ref<hook_record>::adopted{&hook});
}

// Destroys the captures of a hook in to_destroy_. The hook remains there meanwhile, so that
// wait_until_unused() waits for the destructor, too. The caller wakes the waiters afterwards.
void hazard_domain::destroy(hook_record& hook, mutex_lock& lock) noexcept {
    ref<hook_record> kept(&hook);
    hook.destroyed_by = this_thread_id();
    // Wakes the waiters first: one of them may wait for a later hook of this chain, and this
    // destructor may wait for that thread. Once woken, that thread destroys the later hook itself.
    wake_all();
    lock.unlock();
    hook.destroy_object();
    lock.lock();
    ref<hook_record>* at = &to_destroy_;
    while (at->get() != &hook) at = &(*at)->next;
    forget_destroyed(*at);
    lock.unlock();
    kept = {};  // may free the record
    lock.lock();
}

// Removes from to_destroy_ a hook whose captures have been destroyed. `link` is the link to it.
void hazard_domain::forget_destroyed(ref<hook_record>& link) noexcept {
    const ref<hook_record> hook = std::exchange(link, std::move(link->next));
    --hook->alive;
    if (hook->plugin) --hook->plugin->alive;
}

#endif

}}}  // namespace ext::detail
