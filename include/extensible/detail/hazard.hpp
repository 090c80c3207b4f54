#pragma once

// How does a call use a list of hooks that others may replace at any time, and how is it known when nobody uses it any more? By
// hazard pointers: each call writes down, in a slot of its own thread, which list it holds.
//
// After M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects" (2004), with two additions: the reader's
// fence is replaced by a process-wide barrier on the writer's side where the system has one, and a writer that finds a list in
// use leaves a flag in the slot, so that the last call to leave cleans up.
//
// The invariant: a list is freed only by a thread that has seen, after a barrier that came after the list was replaced, that no
// slot holds it, and that no call is counted in it. A slot holds a list if it was stored there while the list was published.

#include <extensible/detail/config.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/system.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::detail {

struct thread_hazards;

EXTENSIBLE_PADDED_BEGIN

/// What one call on a thread holds.
struct alignas(32) hazard_slot {
    // The list; `no_list` for a call without one; 0 where the slot is free. Written by the owner, read by whoever reclaims. Plus
    // `counted` where the list's count holds it, and the slot only tells which thread is inside of the call.
    static constexpr std::uintptr_t counted = 1, no_list = 2;
    atomic<std::uintptr_t> held{0};

    atomic<hazard_slot*> next{nullptr};  // set once, by the owner

    thread_hazards* thread = nullptr;  // whose it is; constant

    // Not 0 where a call that leaves has more to do than to clear its slot.
    static constexpr std::uint32_t notify = 1;  // a retired list was found here: reclaim() is to be called
    static constexpr std::uint32_t fenced = 2;  // there is no process_barrier(); set for good
    atomic<std::uint32_t> attention{0};

    /// The list that a call of this thread holds here; null without one.
    const hook_list* list() const noexcept {
        const std::uintptr_t value = held.load(std::memory_order_relaxed);  // relaxed: this thread wrote it
        return value == no_list ? nullptr : reinterpret_cast<const hook_list*>(value);  // NOLINT(performance-no-int-to-ptr)
    }
};

/// The slots of one thread, as many as it has calls inside of each other: each call takes the first free one. They stay in the
/// domain for good; when the thread has ended, another one takes them over. So nothing that a thread's end leaves can dangle.
struct alignas(64) thread_hazards {
    static constexpr std::size_t first_slots = 7, further_slots = 8;

    // The domain, where its lists need no fence to be held; else nothing that a site has. The owner's alone, and constant.
    const void* quick_domain = this;

    hazard_domain* domain = nullptr;  // constant

    // Guarded by the domain's mutex.
    thread_id owner = 0;  // 0 when it is free
    thread_hazards* next = nullptr;

    hazard_slot own_slots[first_slots];

    constexpr thread_hazards() noexcept = default;
    EXTENSIBLE_FUNCTION thread_hazards(hazard_domain& home, bool asymmetric) noexcept;
    thread_hazards(const thread_hazards&) = delete;
    thread_hazards& operator=(const thread_hazards&) = delete;
    EXTENSIBLE_FUNCTION static void destroy(thread_hazards* thread) noexcept;  // no destructor: one of them is never destroyed

    /// The first slot that is free, for a call that begins. May throw std::bad_alloc.
    hazard_slot& free_slot() {
        hazard_slot* slot = own_slots;
        while (slot->held.load(std::memory_order_relaxed) != 0) {  // relaxed, here and below: this thread has written it
            hazard_slot* const following = slot->next.load(std::memory_order_relaxed);
            slot = following ? following : grow(*slot);
        }
        return *slot;
    }

    bool is_in_call() const noexcept { return own_slots[0].held.load(std::memory_order_relaxed) != 0; }

private:
    EXTENSIBLE_FUNCTION hazard_slot* grow(hazard_slot& last);
    EXTENSIBLE_FUNCTION hazard_slot* adopt(hazard_slot* added, std::size_t count) noexcept;
};

EXTENSIBLE_PADDED_END

/// All threads' slots, and the lists that have been replaced but may still be in use. It needs no construction and is never
/// destroyed. Each module (the program, a shared library) has one, and a registry uses that of the module it was made in: calls
/// from elsewhere hold their lists there too. So nothing of a module that is unloaded stays behind in it.
class hazard_domain {
public:
    /// `of_this_thread` gives the calling thread's slots, and `arrange_fork` has the domain looked after around fork(): code of the
    /// domain's module.
    constexpr hazard_domain(thread_hazards& (*of_this_thread)(), void (*arrange_fork)() noexcept) noexcept
        : this_thread_(of_this_thread), arrange_fork_(arrange_fork) {}

    /// The calling thread's slots. May throw std::bad_alloc at a thread's first call.
    thread_hazards& this_thread() const { return this_thread_(); }

    /// The registration lock, which guards all registries of the domain. It is taken to register and to remove, never by a call;
    /// no foreign code runs under it.
    EXTENSIBLE_FUNCTION mutex& registration() noexcept;

    /// The hook has one more holder, or one less. None are left: reclaim() will destroy its function object.
    EXTENSIBLE_FUNCTION void keep(hook_record& hook) noexcept;
    EXTENSIBLE_FUNCTION void let_go(hook_record& hook) noexcept;

    /// Takes over a list that no site points to any more, and that holds these hooks, which its successor has not.
    EXTENSIBLE_FUNCTION void retire(hook_list& list, hook_link* dropped) noexcept;

    /// Frees the retired lists that no call holds; others when the last such call leaves. Destroys the hooks that nobody holds,
    /// which is foreign code: not to be called under a lock.
    EXTENSIBLE_FUNCTION void reclaim() noexcept;

    /// Returns when no other thread can run these hooks any more and what they captured is destroyed; does not wait for calls
    /// that this thread is inside of. The hooks have been removed. Where threads would wait for each other for ever, one of them
    /// is let through. Gives up at `until`, if that is not null; tells whether it did not have to.
    EXTENSIBLE_FUNCTION bool wait_until_unused(const hook_group& hooks, const time_point* until = nullptr);

    /// Whether what one of these hooks captured is not destroyed yet.
    EXTENSIBLE_FUNCTION bool is_alive(const hook_group& hooks) noexcept;

    /// A call leaves that was counted in the list. As reclaim().
    EXTENSIBLE_FUNCTION void leave_counted(const hook_list& list) noexcept;

    EXTENSIBLE_FUNCTION void wake_waiters() noexcept;

    /// Slots for the calling thread, which may throw std::bad_alloc; none for it any more; none for any.
    EXTENSIBLE_FUNCTION thread_hazards& acquire_slots();
    EXTENSIBLE_FUNCTION void release_slots() noexcept;
    EXTENSIBLE_FUNCTION void free_slots() noexcept;

    /// A child process has only the thread that forked. The locks are held from before, so nothing is left half done.
    EXTENSIBLE_FUNCTION void before_fork() noexcept;
    EXTENSIBLE_FUNCTION void after_fork() noexcept;
    EXTENSIBLE_FUNCTION void after_fork_in_child() noexcept;

private:
    // Lives on the stack of a thread that waits.
    struct waiter {
        hazard_domain& domain;
        const thread_id thread;
        const hook_group& hooks;
        waiter* next;
        bool visited = false;
        condition change{};

        EXTENSIBLE_FUNCTION waiter(hazard_domain& waited_in, const hook_group& awaited) noexcept;
        waiter(const waiter&) = delete;
        waiter& operator=(const waiter&) = delete;
        EXTENSIBLE_FUNCTION ~waiter();
    };

    // Lists in one state, linked through themselves.
    struct list_chain {
        hook_list* first = nullptr;
        EXTENSIBLE_FUNCTION void add(hook_list& list) noexcept;
        EXTENSIBLE_FUNCTION void remove(hook_list& list) noexcept;
    };

    // Hooks in one state.
    struct hook_chain {
        ref<hook_record> first{};
        EXTENSIBLE_FUNCTION void add(ref<hook_record> hook) noexcept;
        EXTENSIBLE_FUNCTION ref<hook_record> remove(hook_record& hook) noexcept;
    };

    enum class users { none, left, others };

    EXTENSIBLE_FUNCTION void set_up() noexcept;

    // The mutex is held when these are called.
    EXTENSIBLE_FUNCTION bool reclaim(mutex_lock& lock) noexcept;
    EXTENSIBLE_FUNCTION void destroy_dying(mutex_lock& lock) noexcept;
    EXTENSIBLE_FUNCTION void free_unused(mutex_lock& lock) noexcept;
    EXTENSIBLE_FUNCTION void sort_retired() noexcept;
    EXTENSIBLE_FUNCTION bool find_in_slots() noexcept;
    EXTENSIBLE_FUNCTION void put_away(hook_list& list) noexcept;
    EXTENSIBLE_FUNCTION void let_go_of_one(hook_record& hook) noexcept;
    EXTENSIBLE_FUNCTION void wake_all() noexcept;
    template <class Visitor>
    EXTENSIBLE_FUNCTION bool any_slot(Visitor visit) const;
    template <class Predicate>
    EXTENSIBLE_FUNCTION users find_users(const waiter& waiting, Predicate matches) const;
    template <class Predicate>
    EXTENSIBLE_FUNCTION users find_users(const hook_list& list, const waiter& waiting, Predicate matches) const;
    EXTENSIBLE_FUNCTION bool waits_for(thread_id from, thread_id to) const noexcept;

    thread_hazards& (*const this_thread_)();
    void (*const arrange_fork_)() noexcept;

    mutex registration_{};
    mutex mutex_{};  // guards what follows; nothing else is locked under it, and no foreign code runs
    bool is_set_up_ = false;
    bool asymmetric_ = false;  // the system has the process-wide barrier
    thread_hazards* threads_ = nullptr;
    list_chain retired_;         // may be in slots
    list_chain counted_;         // in no slot; the last call that is counted in one reclaims it
    list_chain unused_;          // to be freed
    hook_chain dying_;           // to be destroyed
    hook_chain being_destroyed_;
    waiter* waiters_ = nullptr;
    std::uint64_t searches_ = 0;
};

/// The slots of a thread that has none yet: they match no site.
EXTENSIBLE_HIDDEN inline constinit thread_hazards no_hazards;
using this_thread_hazards = thread_pointer<thread_hazards, no_hazards>;

EXTENSIBLE_FUNCTION thread_hazards& hazards_of_this_thread();
EXTENSIBLE_FUNCTION void arrange_fork() noexcept;

#if defined(EXTENSIBLE_COMPILED)
EXTENSIBLE_HIDDEN extern immortal<hazard_domain> hazards_storage;
#else
EXTENSIBLE_HIDDEN inline constinit immortal<hazard_domain> hazards_storage{&hazards_of_this_thread, &arrange_fork};
#endif

/// The domain of the module that asks.
EXTENSIBLE_HIDDEN inline hazard_domain& hazards() noexcept { return hazards_storage.value; }

// ---------------------------------------------------------------------------------------------------------------------

/// Holds the hooks of one call: those that are published when it begins, until it ends. Lives on the call's stack.
class EXTENSIBLE_HIDDEN hazard_guard {
public:
    /// Holds what `from` points to. May throw std::bad_alloc, where the thread has no slots yet or uses more than ever before.
    explicit hazard_guard(const site& from);
    hazard_guard(const hazard_guard&) = delete;
    hazard_guard& operator=(const hazard_guard&) = delete;
    ~hazard_guard();

    /// Null where there is no hook, perhaps because the last one was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

private:
    static const hook_list* hold_quickly(hazard_slot& slot, const site& from) noexcept;
    EXTENSIBLE_CALL_FUNCTION static hazard_slot& hold_further(const site& from);
    EXTENSIBLE_FUNCTION static hazard_slot& hold_slowly(const site& from);
    EXTENSIBLE_FUNCTION static bool has_been_replaced(const hook_list* list, const site& from) noexcept;
    EXTENSIBLE_FUNCTION static void leave_slowly(hazard_slot& slot) noexcept;

    hazard_slot* slot_;
    const hook_list* list_;
};

EXTENSIBLE_ALWAYS_INLINE inline hazard_guard::hazard_guard(const site& from) {
    thread_hazards& thread = *this_thread_hazards::get();
    slot_ = &thread.own_slots[0];
    list_ = nullptr;
    // Acquire, and before the second look at the hooks: a call that finds the domain here again after a step, which has then been
    // made in this site, finds the new hooks. Pairs with the store in change::commit(). Relaxed: this thread has written it.
    if (from.quick_domain.load(std::memory_order_acquire) == thread.quick_domain &&
        slot_->held.load(std::memory_order_relaxed) == 0) [[likely]]
        list_ = hold_quickly(*slot_, from);
    if (!list_) [[unlikely]] {
        // Given as one pointer: an object that is filled by another function would be kept in memory.
        slot_ = &hold_further(from);
        list_ = slot_->list();
    }
}

// To hold a list is to have it in a slot while it is still published: from then on whoever reclaims finds it there. Null where
// that fails.
EXTENSIBLE_ALWAYS_INLINE inline const hook_list* hazard_guard::hold_quickly(hazard_slot& slot, const site& from) noexcept {
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
    if (slot_->attention.load(std::memory_order_seq_cst) != 0) [[unlikely]] leave_slowly(*slot_);
}

/// Holds the hooks of a call that may be suspended, and go on and end on other threads: by the list's count.
class counting_guard {
public:
    /// As hazard_guard.
    EXTENSIBLE_HIDDEN explicit counting_guard(const site& from) : domain_(*from.registry->domain) {
        const hazard_guard held(from);
        list_ = held.list();
        if (list_) list_->calls.fetch_add(hook_list::one_call, std::memory_order_seq_cst);  // before the slot is cleared
    }
    counting_guard(const counting_guard&) = delete;
    counting_guard& operator=(const counting_guard&) = delete;
    EXTENSIBLE_HIDDEN ~counting_guard() {
        if (list_) domain_.leave_counted(*list_);
    }

    /// Null when the last hook was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

    /// While it lives the calling thread counts as being inside of the call: it does not wait for itself, and threads that wait
    /// for the call know whom they wait for.
    class on_this_thread {
    public:
        /// May throw std::bad_alloc, as hazard_guard; or does without where there is no memory.
        EXTENSIBLE_HIDDEN explicit on_this_thread(const counting_guard& held) : slot_(&held.domain_.this_thread().free_slot()) {
            // Release: as in hazard_guard. That it is seen late does no harm: the count holds the list.
            slot_->held.store(reinterpret_cast<std::uintptr_t>(held.list_) | hazard_slot::counted, std::memory_order_release);
        }
        EXTENSIBLE_FUNCTION on_this_thread(const counting_guard& held, std::nothrow_t) noexcept;
        on_this_thread(const on_this_thread&) = delete;
        on_this_thread& operator=(const on_this_thread&) = delete;
        // A flag may have been set here for a list that was in the slot before. It stays for the next call in the slot.
        EXTENSIBLE_HIDDEN ~on_this_thread() {
            if (slot_) slot_->held.store(0, std::memory_order_release);
        }

    private:
        EXTENSIBLE_HIDDEN on_this_thread() noexcept = default;

        hazard_slot* slot_ = nullptr;
    };

private:
    hazard_domain& domain_;
    const hook_list* list_;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

#if defined(EXTENSIBLE_COMPILED)
constinit immortal<hazard_domain> hazards_storage{&hazards_of_this_thread, &arrange_fork};
#endif

// ---- Holding --------------------------------------------------------------------------------------------------------

// A call inside of others, in the same way in the next slot; or the slow way.
EXTENSIBLE_CALL_BODY hazard_slot& hazard_guard::hold_further(const site& from) {
    thread_hazards& thread = *this_thread_hazards::get();
    hazard_slot* slot = nullptr;
    if (from.quick_domain.load(std::memory_order_acquire) == thread.quick_domain) {
        slot = &thread.free_slot();
        if (!hold_quickly(*slot, from)) slot = nullptr;
    }
    if (!slot) slot = &hold_slowly(from);
    // A list that is not held after all may have been found here. This call looks after it when it leaves, because no foreign code
    // is to run while it begins. But nobody may wait for it that long.
    if (slot->attention.load(std::memory_order_seq_cst) & hazard_slot::notify) slot->thread->domain->wake_waiters();
    return *slot;
}

// The thread's first call, no process_barrier(), the list was replaced before it was held or is just being replaced, or the
// function is of another module's registry. With the order of sequentially consistent accesses, which needs no process_barrier().
EXTENSIBLE_FUNCTION hazard_slot& hazard_guard::hold_slowly(const site& from) {
    hazard_slot& slot = from.registry->domain->this_thread().free_slot();
    const hook_list* list;
    do {
        list = from.hooks.load(std::memory_order_seq_cst);
        slot.held.store(list ? reinterpret_cast<std::uintptr_t>(list) : hazard_slot::no_list, std::memory_order_seq_cst);
    } while (from.hooks.load(std::memory_order_seq_cst) != list || has_been_replaced(list, from));
    return slot;
}

// Whether a step has happened in which the list was replaced. The thread that makes the step may not have come to this site yet:
// its store is done here for it, so that no call has to wait. The list is held, so no other can be at its address.
EXTENSIBLE_FUNCTION bool hazard_guard::has_been_replaced(const hook_list* list, const site& from) noexcept {
    const change_step* const step = list ? list->step.load(std::memory_order_seq_cst) : nullptr;
    if (!step || !step->happened.load(std::memory_order_seq_cst)) return false;
    from.hooks.compare_exchange_strong(list, list->successor, std::memory_order_seq_cst);
    return true;
}

EXTENSIBLE_FUNCTION void hazard_guard::leave_slowly(hazard_slot& slot) noexcept {
    slot.held.store(0, std::memory_order_seq_cst);  // once more, now with a fence
    if ((slot.attention.load(std::memory_order_seq_cst) & hazard_slot::notify) == 0) return;
    slot.attention.fetch_and(~hazard_slot::notify, std::memory_order_seq_cst);
    slot.thread->domain->reclaim();
}

EXTENSIBLE_FUNCTION counting_guard::on_this_thread::on_this_thread(const counting_guard& held, std::nothrow_t) noexcept
    : on_this_thread() {
    EXTENSIBLE_TRY {
        on_this_thread here(held);
        std::swap(slot_, here.slot_);
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // Threads that wait for the call do not know then that it is on this one.
    }
}

// ---- Slots of threads -----------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION thread_hazards::thread_hazards(hazard_domain& home, bool asymmetric) noexcept : domain(&home) {
    if (asymmetric) quick_domain = &home;
    adopt(own_slots, first_slots);
}

EXTENSIBLE_FUNCTION void thread_hazards::destroy(thread_hazards* thread) noexcept {
    hazard_slot* added = thread->own_slots[first_slots - 1].next.load(std::memory_order_relaxed);  // relaxed: nobody else is left
    while (added) delete[] std::exchange(added, added[further_slots - 1].next.load(std::memory_order_relaxed));
    delete thread;
}

// More slots, behind the last one.
EXTENSIBLE_FUNCTION hazard_slot* thread_hazards::grow(hazard_slot& last) {
    hazard_slot* const added = adopt(new hazard_slot[further_slots], further_slots);
    // Sequentially consistent, as the load in any_slot(): a look that comes after a list was replaced, in the one order of such
    // accesses, then finds the slot that holds the list.
    last.next.store(added, std::memory_order_seq_cst);
    return added;
}

EXTENSIBLE_FUNCTION hazard_slot* thread_hazards::adopt(hazard_slot* added, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        added[i].thread = this;
        // Relaxed: nobody else sees them yet.
        if (quick_domain == this) added[i].attention.store(hazard_slot::fenced, std::memory_order_relaxed);
        if (i + 1 < count) added[i].next.store(&added[i + 1], std::memory_order_relaxed);
    }
    return added;
}

EXTENSIBLE_FUNCTION void release_hazards_of_this_thread() noexcept {
    this_thread_hazards::set(&no_hazards);
    hazards().release_slots();
}

EXTENSIBLE_FUNCTION thread_hazards& hazards_of_this_thread() {
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

EXTENSIBLE_FUNCTION thread_hazards& hazard_domain::acquire_slots() {
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
            return *thread;
        }
    }
    thread_hazards* const made = new thread_hazards(*this, asymmetric_);  // not locked: operator new may be the program's
    const mutex_lock lock(mutex_);
    made->owner = me;
    made->next = std::exchange(threads_, made);
    return *made;
}

EXTENSIBLE_FUNCTION void hazard_domain::release_slots() noexcept {
    const thread_id me = this_thread_id();
    const mutex_lock lock(mutex_);
    // Inside of a call this is std::exit, which unwinds nothing: the thread stays, and so does what it holds.
    for (thread_hazards* thread = threads_; thread; thread = thread->next)
        if (thread->owner == me && !thread->is_in_call()) thread->owner = 0;
}

EXTENSIBLE_FUNCTION void hazard_domain::free_slots() noexcept {
    const mutex_lock lock(mutex_);
    for (const thread_hazards* thread = threads_; thread; thread = thread->next)
        if (thread->owner != 0) return;  // that thread may still use them
    while (threads_) thread_hazards::destroy(std::exchange(threads_, threads_->next));
}

EXTENSIBLE_FUNCTION mutex& hazard_domain::registration() noexcept {
    set_up();
    return registration_;
}

// Before the first slot is used and before the first change: asks the system for the barrier, and arranges for fork().
EXTENSIBLE_FUNCTION void hazard_domain::set_up() noexcept {
    const mutex_lock lock(mutex_);
    if (std::exchange(is_set_up_, true)) return;
    asymmetric_ = enable_process_barrier();
    arrange_fork_();
}

EXTENSIBLE_FUNCTION void arrange_fork() noexcept {
    call_at_fork([] { hazards().before_fork(); }, [] { hazards().after_fork(); }, [] { hazards().after_fork_in_child(); });
}

EXTENSIBLE_FUNCTION void hazard_domain::before_fork() noexcept {
    registration_.lock();
    mutex_.lock();
}

EXTENSIBLE_FUNCTION void hazard_domain::after_fork() noexcept {
    mutex_.unlock();
    registration_.unlock();
}

EXTENSIBLE_FUNCTION void hazard_domain::after_fork_in_child() noexcept {
    const thread_id me = this_thread_id();
    waiters_ = nullptr;
    for (thread_hazards* thread = threads_; thread; thread = thread->next) {
        if (thread->owner == me) continue;
        for (hazard_slot* slot = thread->own_slots; slot; slot = slot->next.load(std::memory_order_relaxed))
            slot->held.store(0, std::memory_order_relaxed);  // relaxed, here and above: there is no other thread
        thread->owner = 0;
    }
    // The last call that a list was left to may have been leaving, on another thread.
    for (hook_list* list = counted_.first; list;) {
        hook_list& left = *std::exchange(list, list->next);
        if (left.calls.load(std::memory_order_relaxed) != hook_list::left_to_calls) continue;
        counted_.remove(left);
        put_away(left);
    }
    // What another thread was destroying stays as it is, and nobody waits for it.
    for (ref<hook_record>* at = &being_destroyed_.first; *at;) {
        const ref<hook_record> hook = *at;
        if (hook->destroyed_by == me) {
            at = &hook->next;
            continue;
        }
        *at = std::move(hook->next);
        --hook->alive;
        if (hook->plugin) --hook->plugin->alive;
    }
    after_fork();
}

// ---- Retired lists --------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void hazard_domain::list_chain::add(hook_list& list) noexcept {
    list.previous = nullptr;
    list.next = first;
    if (first) first->previous = &list;
    first = &list;
}

EXTENSIBLE_FUNCTION void hazard_domain::list_chain::remove(hook_list& list) noexcept {
    (list.previous ? list.previous->next : first) = list.next;
    if (list.next) list.next->previous = list.previous;
}

EXTENSIBLE_FUNCTION void hazard_domain::retire(hook_list& list, hook_link* dropped) noexcept {
    const mutex_lock lock(mutex_);
    list.dropped = dropped;
    hook_list*& newest = list.function->newest_retired;
    list.older = newest;
    if (newest) newest->newer = &list;
    newest = &list;
    retired_.add(list);
}

EXTENSIBLE_FUNCTION void hazard_domain::reclaim() noexcept {
    mutex_lock lock(mutex_);
    reclaim(lock);
    wake_all();  // also when nothing was reclaimed: a call may have left that somebody waits for
}

// Tells whether there was something to reclaim. The lock is let go of meanwhile.
EXTENSIBLE_FUNCTION bool hazard_domain::reclaim(mutex_lock& lock) noexcept {
    for (bool any = false;; any = true) {
        sort_retired();
        if (dying_.first) destroy_dying(lock);
        else if (unused_.first) free_unused(lock);
        else return any;
    }
}

EXTENSIBLE_FUNCTION void hazard_domain::leave_counted(const hook_list& list) noexcept {
    // The list may be gone afterwards, unless this is the last call that it was left to.
    const std::size_t before = list.calls.fetch_sub(hook_list::one_call, std::memory_order_seq_cst);
    // Not replaced, or in a slot: the call that leaves that reclaims it. Nobody waits for this one then, because the calls of a
    // function are either all counted, with the list in a slot for a moment only, or none.
    if ((before & hook_list::left_to_calls) == 0) return;
    mutex_lock lock(mutex_);
    if (before == hook_list::one_call + hook_list::left_to_calls) {
        hook_list& last = const_cast<hook_list&>(list);
        counted_.remove(last);
        put_away(last);
        reclaim(lock);
    }
    wake_all();
}

// Finds out which of the retired lists nobody holds, and which only calls that are counted. The slots that the others are in are
// flagged, and have been before the last look was taken: a call that left before it could see the flag is not found again.
EXTENSIBLE_FUNCTION void hazard_domain::sort_retired() noexcept {
    for (bool again = retired_.first != nullptr; again;) {
        // Between the stores that replaced the lists, or flagged slots, and the next look. Where slots are stored with sequential
        // consistency, the order of such accesses does it.
        if (asymmetric_) process_barrier();
        again = find_in_slots();
        for (hook_list* list = retired_.first; list;) {
            hook_list& sorted = *std::exchange(list, list->next);
            if (sorted.in_slot) continue;
            retired_.remove(sorted);
            // After the look at the slots, because a call that is counted has its list in one before. No further one can come.
            const bool held = sorted.calls.fetch_or(hook_list::left_to_calls, std::memory_order_seq_cst) != 0;
            if (held) counted_.add(sorted);
            else put_away(sorted);
        }
        again &= retired_.first != nullptr;
    }
}

// Marks the retired lists that are in slots. Tells whether it has set a flag.
EXTENSIBLE_FUNCTION bool hazard_domain::find_in_slots() noexcept {
    for (hook_list* list = retired_.first; list; list = list->next) list->in_slot = false;
    bool flagged = false;
    any_slot([&](hazard_slot& slot, std::uintptr_t held) {
        hook_list* list = retired_.first;
        while (list && reinterpret_cast<std::uintptr_t>(list) != held) list = list->next;
        if (!list) return false;
        list->in_slot = true;
        flagged |= (slot.attention.fetch_or(hazard_slot::notify, std::memory_order_seq_cst) & hazard_slot::notify) == 0;
        return false;
    });
    return flagged;
}

// Calls `visit` for the slots that are not empty until it returns true; tells whether it has.
template <class Visitor>
EXTENSIBLE_FUNCTION bool hazard_domain::any_slot(Visitor visit) const {
    for (thread_hazards* thread = threads_; thread; thread = thread->next)
        for (hazard_slot* slot = thread->own_slots; slot; slot = slot->next.load(std::memory_order_seq_cst))
            if (const std::uintptr_t held = slot->held.load(std::memory_order_seq_cst); held != 0 && visit(*slot, held)) return true;
    return false;
}

// Nobody holds the list. What it holds goes to the next older list of the function that has the hook too, and may still run it.
EXTENSIBLE_FUNCTION void hazard_domain::put_away(hook_list& list) noexcept {
    unused_.add(list);
    (list.newer ? list.newer->older : list.function->newest_retired) = list.older;
    if (list.older) list.older->newer = list.newer;
    for (hook_list* older = list.older; older && list.dropped; older = older->older) {
        ++searches_;
        older->any_of([&](const hook_entry& entry) {
            entry.record->seen = searches_;
            return false;
        });
        for (hook_link** at = &list.dropped; *at;) {
            hook_link* const dropped = *at;
            if (dropped->hook->seen != searches_) {
                at = &dropped->next;
                continue;
            }
            *at = dropped->next;
            dropped->next = std::exchange(older->dropped, dropped);
        }
    }
    for (const hook_link* dropped = list.dropped; dropped; dropped = dropped->next) let_go_of_one(*dropped->hook);
}

EXTENSIBLE_FUNCTION void hazard_domain::free_unused(mutex_lock& lock) noexcept {
    hook_list* list = std::exchange(unused_.first, nullptr);
    lock.unlock();
    while (list) hook_list::free(std::exchange(list, list->next));
    lock.lock();
}

// ---- Hooks that are removed -----------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void hazard_domain::keep(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    if (hook.holders++ != 0) return;
    ++hook.alive;
    if (hook.plugin) ++hook.plugin->alive;
}

EXTENSIBLE_FUNCTION void hazard_domain::let_go(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    let_go_of_one(hook);
}

EXTENSIBLE_FUNCTION void hazard_domain::let_go_of_one(hook_record& hook) noexcept {
    if (--hook.holders == 0) dying_.add(ref(&hook));
}

EXTENSIBLE_FUNCTION void hazard_domain::hook_chain::add(ref<hook_record> hook) noexcept {
    hook->next = std::move(first);
    first = std::move(hook);
}

EXTENSIBLE_FUNCTION ref<hook_record> hazard_domain::hook_chain::remove(hook_record& hook) noexcept {
    ref<hook_record>* at = &first;
    while (at->get() != &hook) at = &(*at)->next;
    ref<hook_record> removed = std::move(*at);
    *at = std::move(removed->next);
    return removed;
}

// It stays to be seen while the function object is destroyed, so that wait_until_unused() waits for that too. Whoever calls this
// wakes the waiters afterwards.
EXTENSIBLE_FUNCTION void hazard_domain::destroy_dying(mutex_lock& lock) noexcept {
    ref<hook_record> hook = dying_.remove(*dying_.first);
    hook->destroyed_by = this_thread_id();
    being_destroyed_.add(hook);
    wake_all();  // one that waits for the next of them can destroy that itself, should this destructor wait for it
    lock.unlock();
    hook->destroy_object();
    lock.lock();
    being_destroyed_.remove(*hook);
    --hook->alive;
    if (hook->plugin) --hook->plugin->alive;
    lock.unlock();
    hook = {};  // may free the record
    lock.lock();
}

// ---- Waiting --------------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void hazard_domain::wake_waiters() noexcept {
    const mutex_lock lock(mutex_);
    wake_all();
}

EXTENSIBLE_FUNCTION void hazard_domain::wake_all() noexcept {
    for (waiter* waiting = waiters_; waiting; waiting = waiting->next) waiting->change.notify_all();
}

EXTENSIBLE_FUNCTION hazard_domain::waiter::waiter(hazard_domain& waited_in, const hook_group& awaited) noexcept
    : domain(waited_in), thread(this_thread_id()), hooks(awaited), next(waited_in.waiters_) {
    domain.waiters_ = this;
}

EXTENSIBLE_FUNCTION hazard_domain::waiter::~waiter() {
    waiter** at = &domain.waiters_;
    while (*at != this) at = &(*at)->next;
    *at = next;
}

EXTENSIBLE_FUNCTION bool hazard_domain::wait_until_unused(const hook_group& hooks, const time_point* until) {
    mutex_lock lock(mutex_);
    waiter self(*this, hooks);
    for (;;) {
        if (reclaim(lock)) wake_all();
        const users seen = find_users(self, [&](thread_id user) {
            for (waiter* w = waiters_; w; w = w->next) w->visited = false;
            return !waits_for(user, self.thread);  // else it is let through, or this thread
        });
        if (seen == users::none) return true;
        if (seen == users::left) continue;
        if (until && now() >= *until) return false;
        // Under the lock since the look: no change is missed.
        if (until) self.change.wait_until(lock.held(), *until);
        else self.change.wait(lock.held());
    }
}

EXTENSIBLE_FUNCTION bool hazard_domain::is_alive(const hook_group& hooks) noexcept {
    const mutex_lock lock(mutex_);
    return hooks.alive != 0;
}

// Who can still run one of the waiter's hooks, or is destroying what it captured: `others`, if another thread does for which
// `matches` is true, where 0 is one that is not known, because its call is suspended; `left`, if a list has no holder any more
// and is still to be reclaimed; else `none` but the waiter's own thread.
template <class Predicate>
EXTENSIBLE_FUNCTION hazard_domain::users hazard_domain::find_users(const waiter& waiting, Predicate matches) const {
    if (waiting.hooks.alive == 0) return users::none;
    for (const hook_record* hook = being_destroyed_.first.get(); hook; hook = hook->next.get())
        if (waiting.hooks.has(*hook) && hook->destroyed_by != waiting.thread && matches(hook->destroyed_by)) return users::others;
    users seen = users::none;
    for (const hook_record* hook = dying_.first.get(); hook; hook = hook->next.get())
        if (waiting.hooks.has(*hook)) seen = users::left;
    for (const list_chain* lists : {&retired_, &counted_}) {
        for (const hook_list* list = lists->first; list; list = list->next) {
            if (!list->contains(waiting.hooks)) continue;
            const users of_list = find_users(*list, waiting, matches);
            if (of_list == users::others) return of_list;
            if (of_list == users::left) seen = of_list;
        }
    }
    return seen;
}

template <class Predicate>
EXTENSIBLE_FUNCTION hazard_domain::users hazard_domain::find_users(const hook_list& list, const waiter& waiting, Predicate matches) const {
    bool used = false;
    const auto is_awaited = [&](thread_id user) {
        used = true;
        return user != waiting.thread && matches(user);
    };
    std::size_t known = 0;  // of the calls that are counted
    if (any_slot([&](hazard_slot& slot, std::uintptr_t held) {
            if ((held & ~hazard_slot::counted) != reinterpret_cast<std::uintptr_t>(&list)) return false;
            const bool counted = (held & hazard_slot::counted) != 0;
            // The slots of all that hold a retired list have been flagged since. Others will find that they do not hold it.
            if (!counted && !(slot.attention.load(std::memory_order_seq_cst) & hazard_slot::notify)) return false;
            known += counted;
            return is_awaited(slot.thread->owner);
        })) return users::others;
    const std::size_t calls = list.calls.load(std::memory_order_seq_cst);  // after the slots, as in sort_retired()
    // The last call that was counted may have left, and be on its way to reclaim the list.
    const bool is_left = calls == hook_list::left_to_calls;
    if ((calls / hook_list::one_call > known || is_left) && is_awaited(0)) return users::others;
    return used ? users::none : users::left;
}

// Whether `from` waits for a call of `to`, or for another thread that does.
EXTENSIBLE_FUNCTION bool hazard_domain::waits_for(thread_id from, thread_id to) const noexcept {
    for (waiter* w = waiters_; w; w = w->next) {
        if (w->thread != from || w->visited) continue;
        w->visited = true;
        const users seen = find_users(*w, [&](thread_id user) { return user == to || waits_for(user, to); });
        if (seen == users::others) return true;
    }
    return false;
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
