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
#include <extensible/error.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
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

    // Not 0 if a call that leaves has more to do than to clear its slot.
    static constexpr std::uint32_t notify = 1;  // a retired list was found here: reclaim() is to be called
    static constexpr std::uint32_t fenced = 2;  // there is no process_barrier(); set for good
    static constexpr std::uint32_t nested = 4;  // not the thread's first slot: it goes back to the free ones; set for good
    atomic<std::uint32_t> attention{0};

    hazard_slot* next_free = nullptr;  // the owner's alone
    std::uint32_t block_size = 0;      // in the first slot of an array: how many it has

    /// The list that a call of this thread holds here; null without one.
    const hook_list* list() const noexcept {
        const std::uintptr_t value = held.load(std::memory_order_relaxed);  // relaxed: this thread wrote it
        return value == no_list ? nullptr : reinterpret_cast<const hook_list*>(value);  // NOLINT(performance-no-int-to-ptr)
    }
};

/// The slots of one thread, one for each call that it is inside of: the first slot, or else a free one of the others. Calls may end in
/// any order. The slots stay in the domain for good; when the thread has ended, another one takes them over. So nothing that a
/// thread's end leaves can dangle.
struct EXTENSIBLE_HIDDEN alignas(64) thread_hazards {
    static constexpr std::size_t first_slots = 7, further_slots = 8;

    // The domain, where its lists need no fence to be held; else nothing that a site has. The owner's alone, and constant.
    const void* quick_domain = this;

    hazard_domain* domain = nullptr;  // constant

    // The owner's alone.
    hazard_slot* free = nullptr;   // the first free slot, but for own_slots[0]
    hazard_slot* last = nullptr;   // the last slot of all
    std::size_t slots_made = 0;
    std::uint64_t number = 0;      // of the owner: unlike a thread_id, no other thread of the domain ever has it

    // Guarded by the domain's mutex.
    thread_id owner = 0;  // 0 when it is free
    thread_hazards* next = nullptr;

    hazard_slot own_slots[first_slots];

    constexpr thread_hazards() noexcept = default;
    thread_hazards(hazard_domain& home, bool asymmetric) noexcept;
    thread_hazards(const thread_hazards&) = delete;
    thread_hazards& operator=(const thread_hazards&) = delete;
    static void destroy(thread_hazards* thread) noexcept;  // no destructor: one of them is never destroyed

    /// A free slot for a call that begins. May throw std::bad_alloc.
    hazard_slot& take_slot() {
        // Relaxed: this thread has written it.
        if (own_slots[0].held.load(std::memory_order_relaxed) == 0) return own_slots[0];
        if (!free) [[unlikely]] grow();
        return *std::exchange(free, free->next_free);
    }

    /// Throws error if a call of `called` would need more than EXTENSIBLE_MAX_NESTING slots of this thread. Handlers of
    /// a registry are exempt. Call it before take_slot().
    void check_nesting(const site& called) const {
        if (slots_made < EXTENSIBLE_MAX_NESTING || free) [[likely]] return;
        // Relaxed: this thread has written it.
        if (own_slots[0].held.load(std::memory_order_relaxed) != 0) throw_if_nested_too_deeply(called);
    }

    /// After a call has cleared the slot. Relaxed: the flag is set for good.
    static void give_back(hazard_slot& slot) noexcept {
        if (slot.attention.load(std::memory_order_relaxed) & hazard_slot::nested)
            slot.next_free = std::exchange(slot.thread->free, &slot);
    }

    bool is_in_call() const noexcept;

private:
    static void throw_if_nested_too_deeply(const site& called);
    void grow();
    void adopt(hazard_slot* added, std::size_t count) noexcept;
};

EXTENSIBLE_PADDED_END

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
    void keep(hook_record& hook) noexcept;
    void keep(const hook_list& list) noexcept;
    void let_go(hook_record& hook) noexcept;

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
    void free_unused(mutex_lock& lock) noexcept;
    void sort_retired() noexcept;
    bool find_in_slots() noexcept;
    static void move_first(hook_list*& from, hook_list*& to) noexcept;
    void put_away(hook_list*& list) noexcept;
    static void keep_one(hook_record& hook) noexcept;
    void let_go_of_one(hook_record& hook) noexcept;
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
    hook_list* counted_ = nullptr;  // in no slot; the last call that is counted in one reclaims it
    hook_list* unused_ = nullptr;   // to be freed
    ref<hook_record> unheld_{};     // to be destroyed, or being destroyed
    waiter* waiters_ = nullptr;
};

/// The slots of a thread that has none yet: they match no site.
EXTENSIBLE_HIDDEN inline constinit thread_hazards no_hazards;
using this_thread_hazards = thread_pointer<thread_hazards, no_hazards>;

EXTENSIBLE_FUNCTION thread_hazards& hazards_of_this_thread();

#if defined(EXTENSIBLE_COMPILED)
EXTENSIBLE_HIDDEN extern immortal<hazard_domain> hazards_storage;
#else
EXTENSIBLE_HIDDEN inline constinit immortal<hazard_domain> hazards_storage{&hazards_of_this_thread};
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
    EXTENSIBLE_HIDDEN static hazard_slot& hold_further(const site& from);
    static void hold_slowly(hazard_slot& slot, const site& from) noexcept;
    static bool has_been_replaced(const hook_list* list, const site& from) noexcept;
    static void leave_slowly(hazard_slot& slot) noexcept;

    hazard_slot* slot_;
    const hook_list* list_;
};

EXTENSIBLE_ALWAYS_INLINE inline hazard_guard::hazard_guard(const site& from) {
    thread_hazards& thread = *this_thread_hazards::get();
    slot_ = &thread.own_slots[0];
    // Acquire, and before the second look at the hooks: a call that finds the domain here again after a step, which has then been
    // made in this site, finds the new hooks. Pairs with the store in change::commit(). Relaxed: this thread has written it.
    // One condition, so that the compiler keeps the likely path in line.
    if (from.quick_domain.load(std::memory_order_acquire) != thread.quick_domain ||
        slot_->held.load(std::memory_order_relaxed) != 0 || !(list_ = hold_quickly(*slot_, from))) [[unlikely]] {  // NOLINT
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
    EXTENSIBLE_HIDDEN explicit counting_guard(const site& from) {
        const hazard_guard held(from);
        list_ = held.list();
        if (list_) list_->calls.fetch_add(hook_list::one_call, std::memory_order_seq_cst);  // before the slot is cleared
    }
    counting_guard(const counting_guard&) = delete;
    counting_guard& operator=(const counting_guard&) = delete;
    EXTENSIBLE_HIDDEN ~counting_guard() {
        if (list_) domain().leave_counted(*list_);
    }

    /// Null when the last hook was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

    /// While it lives the calling thread counts as being inside of the call: it does not wait for itself, and threads that wait
    /// for the call know whom they wait for.
    class on_this_thread {
    public:
        /// May throw std::bad_alloc, as hazard_guard; or does without where there is no memory.
        EXTENSIBLE_HIDDEN explicit on_this_thread(const counting_guard& held)
            : slot_(&held.domain().this_thread().take_slot()) {
            // Release: as in hazard_guard. That it is seen late does no harm: the count holds the list.
            slot_->held.store(reinterpret_cast<std::uintptr_t>(held.list_) | hazard_slot::counted, std::memory_order_release);
        }
        EXTENSIBLE_FUNCTION on_this_thread(const counting_guard& held, std::nothrow_t) noexcept;
        on_this_thread(const on_this_thread&) = delete;
        on_this_thread& operator=(const on_this_thread&) = delete;
        // A flag may have been set here for a list that was in the slot before. It stays for the next call in the slot.
        EXTENSIBLE_HIDDEN ~on_this_thread() {
            if (!slot_) return;
            slot_->held.store(0, std::memory_order_release);
            thread_hazards::give_back(*slot_);
        }

    private:
        EXTENSIBLE_HIDDEN on_this_thread() noexcept = default;

        hazard_slot* slot_ = nullptr;
    };

private:
    EXTENSIBLE_HIDDEN hazard_domain& domain() const noexcept { return *list_->function->registry->domain; }

    const hook_list* list_;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

#if defined(EXTENSIBLE_COMPILED)
constinit immortal<hazard_domain> hazards_storage{&hazards_of_this_thread};
#endif

// ---- Holding --------------------------------------------------------------------------------------------------------

// Holds the list in another slot if the constructor cannot: in the thread's first call, in a nested call, or in a call
// of a function of another module's registry. Also if the quick way fails: then it holds the list the slow way.
EXTENSIBLE_CALL_FUNCTION hazard_slot& hazard_guard::hold_further(const site& from) {
    thread_hazards* thread = this_thread_hazards::get();
    if (thread->domain != from.registry->domain) thread = &from.registry->domain->this_thread();
    thread->check_nesting(from);
    hazard_slot& slot = thread->take_slot();
    // Acquire: as in the constructor.
    const bool quickly = from.quick_domain.load(std::memory_order_acquire) == thread->quick_domain;
    if (!quickly || !hold_quickly(slot, from)) hold_slowly(slot, from);
    // A list that is not held after all may have been found here. This call looks after it when it leaves, because no foreign code
    // is to run while it begins. But nobody may wait for it that long.
    if (slot.attention.load(std::memory_order_seq_cst) & hazard_slot::notify) slot.thread->domain->wake_waiters();
    return slot;
}

// Needed if there is no process_barrier(), or if the list was replaced before it was held, or is just being replaced.
// Uses sequentially consistent accesses, which need no process_barrier().
EXTENSIBLE_FUNCTION void hazard_guard::hold_slowly(hazard_slot& slot, const site& from) noexcept {
    const hook_list* list;
    do {
        list = from.hooks.load(std::memory_order_seq_cst);
        slot.held.store(list ? reinterpret_cast<std::uintptr_t>(list) : hazard_slot::no_list, std::memory_order_seq_cst);
    } while (from.hooks.load(std::memory_order_seq_cst) != list || has_been_replaced(list, from));
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
    // Relaxed: the destructor has loaded it.
    if (slot.attention.load(std::memory_order_relaxed) == hazard_slot::nested) return thread_hazards::give_back(slot);
    slot.held.store(0, std::memory_order_seq_cst);  // once more, now with a fence
    const bool notify = (slot.attention.load(std::memory_order_seq_cst) & hazard_slot::notify) != 0;
    if (notify) slot.attention.fetch_and(~hazard_slot::notify, std::memory_order_seq_cst);
    thread_hazards::give_back(slot);
    if (notify) slot.thread->domain->reclaim();
}

counting_guard::on_this_thread::on_this_thread(const counting_guard& held, std::nothrow_t) noexcept
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
    hazard_slot* block = thread->own_slots[first_slots - 1].next.load(std::memory_order_relaxed);  // relaxed: no other thread is left
    while (block) delete[] std::exchange(block, block[block->block_size - 1].next.load(std::memory_order_relaxed));
    delete thread;
}

// Relaxed: this thread has written it.
EXTENSIBLE_FUNCTION bool thread_hazards::is_in_call() const noexcept {
    for (const hazard_slot* slot = own_slots; slot; slot = slot->next.load(std::memory_order_relaxed))
        if (slot->held.load(std::memory_order_relaxed) != 0) return true;
    return false;
}

EXTENSIBLE_FUNCTION void thread_hazards::throw_if_nested_too_deeply(const site& called) {
    if (!called.type) return;  // the handlers of a registry
    raise<error>(join({called.function->name,
                       ": calls with hooks are nested " EXTENSIBLE_TEXT(EXTENSIBLE_MAX_NESTING) " deep on this thread. Does "
                       "a hook call its own function? Then register it with .reentrant = false. For a function that calls "
                       "itself this often, define EXTENSIBLE_MAX_NESTING"}));
}

// More slots, after the last one.
EXTENSIBLE_FUNCTION void thread_hazards::grow() {
    static_assert(EXTENSIBLE_MAX_NESTING >= first_slots, "EXTENSIBLE_MAX_NESTING must be at least 7");
    std::size_t count = further_slots;
    if (slots_made < EXTENSIBLE_MAX_NESTING && EXTENSIBLE_MAX_NESTING - slots_made < count)
        count = EXTENSIBLE_MAX_NESTING - slots_made;
    adopt(new hazard_slot[count], count);
}

EXTENSIBLE_FUNCTION void thread_hazards::adopt(hazard_slot* added, std::size_t count) noexcept {
    added->block_size = static_cast<std::uint32_t>(count);
    for (std::size_t i = count; i-- > 0;) {
        hazard_slot& slot = added[i];
        slot.thread = this;
        // Relaxed, here and below: no other thread sees them yet.
        std::uint32_t flags = quick_domain == this ? hazard_slot::fenced : 0;
        if (&slot != own_slots) {
            flags |= hazard_slot::nested;
            slot.next_free = std::exchange(free, &slot);
        }
        slot.attention.store(flags, std::memory_order_relaxed);
        if (i + 1 < count) slot.next.store(&added[i + 1], std::memory_order_relaxed);
    }
    slots_made += count;
    // Sequentially consistent, as the load in any_slot(): a look that comes after a list was replaced, in the one order of such
    // accesses, then finds the slot that holds the list.
    hazard_slot* const before = std::exchange(last, &added[count - 1]);
    if (before) before->next.store(added, std::memory_order_seq_cst);
}

EXTENSIBLE_FUNCTION void release_hazards_of_this_thread() noexcept {
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

// Before the first slot is used and before the first change: asks the system for the barrier.
EXTENSIBLE_FUNCTION void hazard_domain::set_up() noexcept {
    const mutex_lock lock(mutex_);
    if (!std::exchange(is_set_up_, true)) asymmetric_ = enable_process_barrier();
}

// ---- Retired lists --------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void hazard_domain::retire(hook_list& list) noexcept {
    const mutex_lock lock(mutex_);
    list.next = std::exchange(retired_, &list);
}

// Moves a list, which `from` links to, to another chain.
EXTENSIBLE_FUNCTION void hazard_domain::move_first(hook_list*& from, hook_list*& to) noexcept {
    hook_list* const list = std::exchange(from, from->next);
    list->next = std::exchange(to, list);
}

// Nobody holds the list any more.
EXTENSIBLE_FUNCTION void hazard_domain::put_away(hook_list*& list) noexcept {
    list->any_of([this](hook_record& hook) { return let_go_of_one(hook), false; });
    move_first(list, unused_);
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
        hook_record* hook = unheld_.get();
        while (hook && hook->destroyed_by != 0) hook = hook->next.get();
        if (hook) destroy(*hook, lock);
        else if (unused_) free_unused(lock);
        else return any;
    }
}

EXTENSIBLE_FUNCTION void hazard_domain::leave_counted(const hook_list& list) noexcept {
    // The list may be gone afterwards, unless this is the last call that it was left to.
    const std::size_t before = list.calls.fetch_sub(hook_list::one_call, std::memory_order_seq_cst);
    // Without left_to_calls the list is still published, or a beginning call has it in a slot and reclaims it on
    // clearing the slot. So no thread needs waking here.
    if ((before & hook_list::left_to_calls) == 0) return;
    mutex_lock lock(mutex_);
    if (before == hook_list::one_call + hook_list::left_to_calls) {
        hook_list** at = &counted_;
        while (*at != &list) at = &(*at)->next;
        put_away(*at);
        reclaim(lock);
    }
    wake_all();
}

// Finds out which of the retired lists nobody holds, and which only calls that are counted. Looks again until a look
// sets no new flag: every slot that the last look found was flagged before, so its call sees the flag when it leaves.
EXTENSIBLE_FUNCTION void hazard_domain::sort_retired() noexcept {
    for (bool again = retired_ != nullptr; again;) {
        // Between the stores that replaced the lists, or flagged slots, and the next look. Where slots are stored with sequential
        // consistency, the order of such accesses does it.
        if (asymmetric_) process_barrier();
        again = find_in_slots();
        for (hook_list** at = &retired_; *at;) {
            // The count after the look at the slots, because a call that is counted has its list in one before. No further one can come.
            if ((*at)->in_slot) at = &(*at)->next;
            else if ((*at)->calls.fetch_or(hook_list::left_to_calls, std::memory_order_seq_cst) != 0) move_first(*at, counted_);
            else put_away(*at);
        }
        again &= retired_ != nullptr;
    }
}

// Marks the retired lists that are in slots. Tells whether it has set a flag.
EXTENSIBLE_FUNCTION bool hazard_domain::find_in_slots() noexcept {
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

EXTENSIBLE_FUNCTION void hazard_domain::free_unused(mutex_lock& lock) noexcept {
    hook_list* list = std::exchange(unused_, nullptr);
    lock.unlock();
    while (list) hook_list::free(std::exchange(list, list->next));
    lock.lock();
}

// ---- Hooks that are removed -----------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void hazard_domain::keep(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    keep_one(hook);
}

EXTENSIBLE_FUNCTION void hazard_domain::keep(const hook_list& list) noexcept {
    const mutex_lock lock(mutex_);
    list.any_of([](hook_record& hook) { return keep_one(hook), false; });
}

EXTENSIBLE_FUNCTION void hazard_domain::keep_one(hook_record& hook) noexcept {
    if (hook.holders++ != 0) return;
    ref(&hook).release();  // the holders own the record: let_go_of_one() takes this up
    ++hook.alive;
    if (hook.plugin) ++hook.plugin->alive;
}

EXTENSIBLE_FUNCTION void hazard_domain::let_go(hook_record& hook) noexcept {
    const mutex_lock lock(mutex_);
    let_go_of_one(hook);
}

EXTENSIBLE_FUNCTION void hazard_domain::let_go_of_one(hook_record& hook) noexcept {
    if (--hook.holders != 0) return;
    hook.next = std::move(unheld_);
    unheld_ = ref<hook_record>(ref<hook_record>::adopted{&hook});
}

// It stays in the chain while the function object is destroyed, so that wait_until_unused() waits for that too. Whoever calls this
// wakes the waiters afterwards.
EXTENSIBLE_FUNCTION void hazard_domain::destroy(hook_record& hook, mutex_lock& lock) noexcept {
    ref<hook_record> kept(&hook);
    hook.destroyed_by = this_thread_id();
    wake_all();  // one that waits for the next of them can destroy that itself, should this destructor wait for it
    lock.unlock();
    hook.destroy_object();
    lock.lock();
    ref<hook_record>* at = &unheld_;
    while (at->get() != &hook) at = &(*at)->next;
    forget(*at);
    lock.unlock();
    kept = {};  // may free the record
    lock.lock();
}

// Takes a hook, which `unheld` links to, from its chain.
EXTENSIBLE_FUNCTION void hazard_domain::forget(ref<hook_record>& unheld) noexcept {
    const ref<hook_record> hook = std::exchange(unheld, std::move(unheld->next));
    --hook->alive;
    if (hook->plugin) --hook->plugin->alive;
}

// ---- Waiting --------------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void hazard_domain::wake_waiters() noexcept {
    const mutex_lock lock(mutex_);
    wake_all();
}

EXTENSIBLE_FUNCTION void hazard_domain::wake_all() noexcept {
    for (waiter* waiting = waiters_; waiting; waiting = waiting->next) waiting->change.notify_all();
}

EXTENSIBLE_FUNCTION bool hazard_domain::wait_until_unused(const hook_group& hooks, const time_point* until) {
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

EXTENSIBLE_FUNCTION bool hazard_domain::is_alive(const hook_group& hooks) noexcept {
    const mutex_lock lock(mutex_);
    return hooks.alive != 0;
}

// Whether another thread than the waiter's, for which `matches` is true, can still run one of its hooks, or destroys what it captured.
// The thread is 0 where it is not known: its call is suspended, or has just left and is on its way to reclaim the list.
template <class Predicate>
EXTENSIBLE_FUNCTION bool hazard_domain::any_user(const waiter& waiting, Predicate matches) const {
    if (waiting.hooks.alive == 0) return false;
    for (const hook_record* hook = unheld_.get(); hook; hook = hook->next.get())
        if (waiting.hooks.has(*hook) && hook->destroyed_by != waiting.thread && matches(hook->destroyed_by)) return true;
    for (const hook_list* lists : {retired_, counted_})
        for (const hook_list* list = lists; list; list = list->next)
            if (list->contains(waiting.hooks) && any_user(*list, waiting, matches)) return true;
    return false;
}

template <class Predicate>
EXTENSIBLE_FUNCTION bool hazard_domain::any_user(const hook_list& list, const waiter& waiting, Predicate matches) const {
    std::size_t holding = 0, counted = 0;  // slots in which the list is; and by calls that are counted
    if (any_slot([&](hazard_slot& slot, std::uintptr_t held) {
            if ((held & ~hazard_slot::counted) != reinterpret_cast<std::uintptr_t>(&list)) return false;
            const bool is_counted = (held & hazard_slot::counted) != 0;
            // The slots of all that hold a retired list have been flagged since. Others will find that they do not hold it.
            if (!is_counted && !(slot.attention.load(std::memory_order_seq_cst) & hazard_slot::notify)) return false;
            ++holding;
            counted += is_counted;
            return slot.thread->owner != waiting.thread && matches(slot.thread->owner);
        })) return true;
    const std::size_t calls = list.calls.load(std::memory_order_seq_cst);  // after the slots, as in sort_retired()
    return (holding == 0 || calls == hook_list::left_to_calls || calls / hook_list::one_call > counted) && matches(0);
}

// Whether `from` waits for a call of `to`, or for another thread that does.
EXTENSIBLE_FUNCTION bool hazard_domain::waits_for(thread_id from, thread_id to) const noexcept {
    for (waiter* w = waiters_; w; w = w->next) {
        if (w->thread != from || w->visited) continue;
        w->visited = true;
        if (any_user(*w, [&](thread_id user) { return user == to || waits_for(user, to); })) return true;
    }
    return false;
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
