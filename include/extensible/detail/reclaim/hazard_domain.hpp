#pragma once

// When is a list freed, and when is a hook destroyed?
//
// The invariant: a list is freed only by a thread that has seen, after a barrier that came after the list was replaced, that no
// slot holds it, and that no call is counted in it. A slot holds a list if it was stored there while the list was published.
//
// After M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects" (2004), with two additions: the reader's
// fence is replaced by a process-wide barrier on the writer's side where the system has one, and a writer that finds a list in
// use leaves a flag in the slot, so that the last call to leave cleans up.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/never_destroyed.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_slots.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// All threads' slots, and the lists that have been replaced but may still be in use. It needs no construction and is never
/// destroyed. Each module (the program, a shared library) has one, and a registry uses that of the module it was made in: calls
/// from elsewhere hold their lists there too. So nothing of a module that is unloaded stays behind in it.
class EXTENSIBLE_HIDDEN hazard_domain {
public:
    /// `of_this_thread` returns the calling thread's slots. It is code of the domain's module.
    constexpr explicit hazard_domain(thread_hazards& (*of_this_thread)()) noexcept : this_thread_(of_this_thread) {}

    /// The calling thread's slots. May throw std::bad_alloc at a thread's first call.
    thread_hazards& this_thread() const { return this_thread_(); }

    /// The registration lock, which guards all registries of the domain. It is taken to register and to remove, never by a call;
    /// no foreign code runs under it.
    mutex& registration() noexcept;

    /// The hook, or each hook of a list that is about to be published, has one more holder; or the hook has one less. None are
    /// left: reclaim() will destroy its function object.
    void retain(hook_record& hook) noexcept;
    void retain(const hook_list& list) noexcept;
    void release(hook_record& hook) noexcept;

    /// Takes over a list that no site points to any more.
    void retire(hook_list& list) noexcept;

    /// Frees the retired lists that no call holds; others when the last such call leaves. Destroys the hooks that nobody holds,
    /// which is foreign code: not to be called under a lock.
    void reclaim() noexcept;

    /// Returns when no other thread can run these hooks any more and what they captured is destroyed; does not wait for calls
    /// that this thread is inside of. The hooks have been removed. Where threads would wait for each other for ever, one of them
    /// is let through. Gives up at `until`, if that is not null; tells whether it did not have to.
    bool wait_until_unused(const hook_group& hooks, const time_point* until = nullptr);

    /// Whether what one of these hooks captured is not destroyed yet.
    bool is_alive(const hook_group& hooks) noexcept;

    /// A call leaves that was counted in the list. As reclaim().
    void leave_counted(const hook_list& list) noexcept;

    void wake_waiters() noexcept;

    /// Slots for the calling thread, which may throw std::bad_alloc; none for it any more; none for any.
    thread_hazards& acquire_slots();
    void release_slots() noexcept;
    void free_slots() noexcept;

private:
    // Lives on the stack of a thread that waits.
    struct waiter {
        hazard_domain& domain;
        const hook_group& hooks;
        const thread_id thread = this_thread_id();
        waiter* next = std::exchange(domain.waiters_, this);
        bool visited = false;
        condition change{};

        ~waiter() {
            waiter** at = &domain.waiters_;
            while (*at != this) at = &(*at)->next;
            *at = next;
        }
    };

    void set_up() noexcept;

    // The mutex is held when these are called.
    bool reclaim(mutex_lock& lock) noexcept;
    void destroy(hook_record& hook, mutex_lock& lock) noexcept;
    void free_reclaimable(mutex_lock& lock) noexcept;
    void sort_retired() noexcept;
    bool mark_lists_in_slots() noexcept;
    static void move_first(hook_list*& from, hook_list*& to) noexcept;
    void release_list(hook_list*& list) noexcept;
    static void retain_one(hook_record& hook) noexcept;
    void release_one(hook_record& hook) noexcept;
    static void forget(ref<hook_record>& unheld) noexcept;
    void wake_all() noexcept;
    template <class Visitor>
    bool any_slot(Visitor visit) const;
    template <class Predicate>
    bool any_user(const waiter& waiting, Predicate matches) const;
    template <class Predicate>
    bool any_user(const hook_list& list, const waiter& waiting, Predicate matches) const;
    bool waits_for(thread_id from, thread_id to) const noexcept;

    thread_hazards& (*const this_thread_)();

    mutex registration_{};
    mutex mutex_{};  // guards what follows; nothing else is locked under it, and no foreign code runs
    bool is_set_up_ = false;
    bool asymmetric_ = false;  // the system has the process-wide barrier
    thread_hazards* threads_ = nullptr;
    std::uint64_t thread_numbers_ = 0;  // the last one given
    hook_list* retired_ = nullptr;  // may be in slots
    hook_list* left_to_counted_calls_ = nullptr;  // in no slot; the last call that is counted in one reclaims it
    hook_list* reclaimable_ = nullptr;   // to be freed
    ref<hook_record> to_destroy_{};     // to be destroyed, or being destroyed
    waiter* waiters_ = nullptr;
};

EXTENSIBLE_COLD_FUNCTION thread_hazards& hazards_of_this_thread();

#if defined(EXTENSIBLE_COMPILED)

EXTENSIBLE_HIDDEN extern never_destroyed<hazard_domain> hazards_storage;

#else

EXTENSIBLE_HIDDEN inline constinit never_destroyed<hazard_domain> hazards_storage{&hazards_of_this_thread};

#endif

/// The domain of the module that asks.
EXTENSIBLE_HIDDEN inline hazard_domain& hazards() noexcept { return hazards_storage.value; }

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

#if defined(EXTENSIBLE_COMPILED)

constinit never_destroyed<hazard_domain> hazards_storage{&hazards_of_this_thread};

#endif

// ---- Slots of threads ------------------------------------------------------------------------------------------------

EXTENSIBLE_COLD_FUNCTION void release_hazards_of_this_thread() noexcept {
    this_thread_hazards::set(&no_hazards);
    hazards().release_slots();
}

thread_hazards& hazards_of_this_thread() {
    if (this_thread_hazards::get() == &no_hazards) {
        // When the program ends, or a library is closed.
        static const struct module_end {
            ~module_end() { hazards().free_slots(); }
        } at_module_end;
        this_thread_hazards::set(&hazards().acquire_slots());
        call_at_thread_end<&release_hazards_of_this_thread>();
    }
    return *this_thread_hazards::get();
}

EXTENSIBLE_COLD_FUNCTION thread_hazards& hazard_domain::acquire_slots() {
    set_up();
    const thread_id me = this_thread_id();
    {
        const mutex_lock lock(mutex_);
        // Its own, where it is past the destruction of its thread-local objects, or those of a thread of this number that could not
        // give them back, because its first call came even later.
        thread_hazards* thread = threads_;
        while (thread && thread->owner != me) thread = thread->next;
        if (!thread) {
            thread = threads_;
            while (thread && thread->owner != 0) thread = thread->next;
        }
        if (thread) {
            thread->owner = me;
            thread->number = ++thread_numbers_;
            return *thread;
        }
    }
    thread_hazards* const made = new thread_hazards(*this, asymmetric_);  // not locked: operator new may be the program's
    const mutex_lock lock(mutex_);
    made->owner = me;
    made->number = ++thread_numbers_;
    made->next = std::exchange(threads_, made);
    return *made;
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::release_slots() noexcept {
    const thread_id me = this_thread_id();
    const mutex_lock lock(mutex_);
    // Inside of a call this is std::exit, which unwinds nothing: the thread stays, and so does what it holds.
    for (thread_hazards* thread = threads_; thread; thread = thread->next)
        if (thread->owner == me && !thread->is_in_call()) thread->owner = 0;
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::free_slots() noexcept {
    const mutex_lock lock(mutex_);
    for (const thread_hazards* thread = threads_; thread; thread = thread->next)
        if (thread->owner != 0) return;  // that thread may still use them
    while (threads_) thread_hazards::destroy(std::exchange(threads_, threads_->next));
}

EXTENSIBLE_COLD_FUNCTION mutex& hazard_domain::registration() noexcept {
    set_up();
    return registration_;
}

// Before the first slot is used and before the first change: asks the system for the barrier.
EXTENSIBLE_COLD_FUNCTION void hazard_domain::set_up() noexcept {
    const mutex_lock lock(mutex_);
    if (!std::exchange(is_set_up_, true)) asymmetric_ = enable_process_barrier();
}

// ---- Retired lists ---------------------------------------------------------------------------------------------------

EXTENSIBLE_COLD_FUNCTION void hazard_domain::retire(hook_list& list) noexcept {
    const mutex_lock lock(mutex_);
    list.next = std::exchange(retired_, &list);
}

// Moves a list, which `from` links to, to another chain.
EXTENSIBLE_COLD_FUNCTION void hazard_domain::move_first(hook_list*& from, hook_list*& to) noexcept {
    hook_list* const list = std::exchange(from, from->next);
    list->next = std::exchange(to, list);
}

// Nobody holds the list any more.
EXTENSIBLE_COLD_FUNCTION void hazard_domain::release_list(hook_list*& list) noexcept {
    list->any_of([this](hook_record& hook) { return release_one(hook), false; });
    move_first(list, reclaimable_);
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::reclaim() noexcept {
    mutex_lock lock(mutex_);
    reclaim(lock);
    wake_all();  // also when nothing was reclaimed: a call may have left that somebody waits for
}

// Tells whether there was something to reclaim. The lock is let go of meanwhile.
EXTENSIBLE_COLD_FUNCTION bool hazard_domain::reclaim(mutex_lock& lock) noexcept {
    for (bool any = false;; any = true) {
        sort_retired();
        hook_record* hook = to_destroy_.get();
        while (hook && hook->destroyed_by != 0) hook = hook->next.get();
        if (hook) destroy(*hook, lock);
        else if (reclaimable_) free_reclaimable(lock);
        else return any;
    }
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::leave_counted(const hook_list& list) noexcept {
    // The list may be gone afterwards, unless this is the last call that it was left to.
    const std::size_t before = list.calls.fetch_sub(hook_list::one_call, std::memory_order_seq_cst);
    // Without left_to_calls the list is still published, or a beginning call has it in a slot and reclaims it on
    // clearing the slot. So no thread needs waking here.
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

// Finds out which of the retired lists nobody holds, and which only calls that are counted. Looks again until a look
// sets no new flag: every slot that the last look found was flagged before, so its call sees the flag when it leaves.
EXTENSIBLE_COLD_FUNCTION void hazard_domain::sort_retired() noexcept {
    for (bool again = retired_ != nullptr; again;) {
        // Between the stores that replaced the lists, or flagged slots, and the next look. Where slots are stored with sequential
        // consistency, the order of such accesses does it.
        if (asymmetric_) process_barrier();
        again = mark_lists_in_slots();
        for (hook_list** at = &retired_; *at;) {
            // The count after the look at the slots, because a call that is counted has its list in one before. No further one can come.
            if ((*at)->in_slot) at = &(*at)->next;
            else if ((*at)->calls.fetch_or(hook_list::left_to_calls, std::memory_order_seq_cst) != 0) move_first(*at, left_to_counted_calls_);
            else release_list(*at);
        }
        again &= retired_ != nullptr;
    }
}

// Marks the retired lists that are in slots. Tells whether it has set a flag.
EXTENSIBLE_COLD_FUNCTION bool hazard_domain::mark_lists_in_slots() noexcept {
    // A hash table: where calls are nested deeply, as many lists may be retired as there are slots.
    constexpr std::size_t bucket_count = 251;
    hook_list* buckets[bucket_count]{};
    const auto bucket_of = [&](std::uintptr_t list) -> hook_list*& { return buckets[list / alignof(hook_list) % bucket_count]; };
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
        flagged |= (slot.flags.fetch_or(hazard_slot::reclaim_requested, std::memory_order_seq_cst) & hazard_slot::reclaim_requested) == 0;
        return false;
    });
    return flagged;
}

// Calls `visit` for the slots that are not empty until it returns true; tells whether it has.
template <class Visitor>
EXTENSIBLE_COLD_FUNCTION bool hazard_domain::any_slot(Visitor visit) const {
    for (thread_hazards* thread = threads_; thread; thread = thread->next)
        for (hazard_slot* slot = thread->own_slots; slot; slot = slot->next.load(std::memory_order_seq_cst))
            if (const std::uintptr_t held = slot->held.load(std::memory_order_seq_cst); held != 0 && visit(*slot, held)) return true;
    return false;
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::free_reclaimable(mutex_lock& lock) noexcept {
    hook_list* list = std::exchange(reclaimable_, nullptr);
    lock.unlock();
    while (list) hook_list::free(std::exchange(list, list->next));
    lock.lock();
}

// ---- Hooks that are removed ------------------------------------------------------------------------------------------

EXTENSIBLE_COLD_FUNCTION void hazard_domain::retain(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    retain_one(hook);
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::retain(const hook_list& list) noexcept {
    const mutex_lock lock(mutex_);
    list.any_of([](hook_record& hook) { return retain_one(hook), false; });
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::retain_one(hook_record& hook) noexcept {
    if (hook.holders++ != 0) return;
    ref(&hook).release();  // the holders own the record: release_one() takes this up
    ++hook.alive;
    if (hook.plugin) ++hook.plugin->alive;
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::release(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    release_one(hook);
}

EXTENSIBLE_COLD_FUNCTION void hazard_domain::release_one(hook_record& hook) noexcept {
    if (--hook.holders != 0) return;
    hook.next = std::move(to_destroy_);
    to_destroy_ = ref<hook_record>(ref<hook_record>::adopted{&hook});
}

// It stays in the chain while the function object is destroyed, so that wait_until_unused() waits for that too. Whoever calls this
// wakes the waiters afterwards.
EXTENSIBLE_COLD_FUNCTION void hazard_domain::destroy(hook_record& hook, mutex_lock& lock) noexcept {
    ref<hook_record> kept(&hook);
    hook.destroyed_by = this_thread_id();
    wake_all();  // one that waits for the next of them can destroy that itself, should this destructor wait for it
    lock.unlock();
    hook.destroy_object();
    lock.lock();
    ref<hook_record>* at = &to_destroy_;
    while (at->get() != &hook) at = &(*at)->next;
    forget(*at);
    lock.unlock();
    kept = {};  // may free the record
    lock.lock();
}

// Takes a hook, which `unheld` links to, from its chain.
EXTENSIBLE_COLD_FUNCTION void hazard_domain::forget(ref<hook_record>& unheld) noexcept {
    const ref<hook_record> hook = std::exchange(unheld, std::move(unheld->next));
    --hook->alive;
    if (hook->plugin) --hook->plugin->alive;
}

#endif

}}}  // namespace ext::detail
