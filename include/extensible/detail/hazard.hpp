#pragma once

// How does a call use a list of hooks that others may replace at any time, and how is it known when nobody uses it any
// more? By hazard pointers: each call writes down, in a slot of its own thread, which list it holds.
//
// After M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects" (2004), with two additions: the
// reader's fence is replaced by a process-wide barrier on the writer's side where the system has one, and a writer that
// finds a list in use leaves word with the thread that holds it, so that the last call to leave cleans up.

#include <extensible/detail/records.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace ext::detail {

struct deep_call;
struct moved_function;

/// The slots of one thread. In its thread-local storage, and linked into the domain from its first hooked call on.
struct alignas(64) thread_hazards {
    static constexpr std::size_t capacity = 10;  // with which the struct fills two cache lines

    // Added to `depth` while calls have to take the slow way, so that one comparison with the capacity finds all who do.
    static constexpr std::size_t slow = ~(~std::size_t{0} >> 1);

    // Written by the owner, read by whoever reclaims. The last one is for pinning, see held_hooks.
    std::atomic<const hook_list*> slots[capacity + 1]{};

    // Why a call that leaves may have more to do than to clear its slot; 0 tells that it has not. A bit for each slot:
    // whoever reclaims found it in its way, and asks the call that leaves it to look after the list. And:
    static constexpr std::uint16_t visiting = 1u << 13;  // visits is not empty
    static constexpr std::uint16_t moved = 1u << 14;     // moved_functions is not empty
    static constexpr std::uint16_t ended = 1u << 15;     // the thread is past the destruction of its thread-local objects
    static constexpr std::uint16_t word_left(std::size_t slot) noexcept { return static_cast<std::uint16_t>(1u << slot); }
    std::atomic<std::uint16_t> attention{0};

    // The owner's alone.
    bool linked = false;
    std::size_t depth = slow;  // the calls that the thread is inside of; slow: not linked, or no process_barrier()
    deep_call* innermost = nullptr;
    moved_function* moved_functions = nullptr;
    deep_call* visits = nullptr;  // the calls that hold their list in another module's slots, innermost first

    thread_hazards* next = nullptr;  // set before the thread is linked; changed under the domain's mutex

    std::size_t calls() const noexcept { return depth & ~slow; }
};

/// What a call needs beyond its slot, rarely: when it is nested more deeply than there are slots, and when the function
/// belongs to another module's registry. Stands on the call's stack, and is not written otherwise.
struct deep_call {
    deep_call* outer;
    const hook_list* list;
    bool pinned;  // by its count; otherwise an outer call holds the list

    // For a visit to another module's slots.
    deep_call* outer_visit;
    hazard_domain* host;
    thread_hazards* host_thread;
    std::size_t depth;  // of the call among those of its own module
};

/// The function of a wrapper that was destroyed in the middle of its calls on this thread, which go on with it.
struct moved_function {
    const site* from;   // where the wrapper was; another one may stand there now
    std::size_t begin;  // the depth of the outermost of those calls, or of an outer one of the same name: its end is the end
    std::size_t end;    // one more than the depth of the innermost of them that has not ended
    void* function;
    void (*destroy)(void*) noexcept;
    moved_function* next;
};

/// What is waited for: one hook, or all of an owner.
struct awaited_hooks {
    const hook_record* hook;
    const owner_record* owner;  // where `hook` is null

    bool are_in(const hook_list& list) const noexcept {
        return hook ? list.contains(*hook) : list.contains_hook_of(*owner);
    }
};

using deadline = std::chrono::steady_clock::time_point;

/// All threads' slots, and the lists that have been replaced but may still be in use. It needs no construction and is never
/// destroyed. Each module (the program, a shared library) has one, and a registry uses that of the module it was made in:
/// calls from elsewhere hold their lists there too. So nothing of a module that is unloaded stays behind in it.
class hazard_domain {
public:
    /// `slots_of_thread` gives those of the calling thread, `arrange_end` has them unlinked when it ends: code of the
    /// domain's module, because that has the thread-local storage.
    constexpr hazard_domain(thread_hazards& (*slots_of_thread)() noexcept, void (*arrange_end)() noexcept) noexcept
        : this_thread_(slots_of_thread), arrange_thread_end_(arrange_end) {}

    thread_hazards& this_thread() const noexcept { return this_thread_(); }

    /// Takes over a list that no site points to any more. Runs no foreign code.
    void retire(hook_list* list) noexcept;

    /// Destroys the retired lists that no call holds; others when the last such call leaves. May run the destructors of
    /// what hooks captured: call it under no lock.
    void reclaim() noexcept;

    /// Returns when no other thread can run these hooks any more and what they captured is destroyed; does not wait for
    /// calls that this thread is inside of. The hooks are in no site's list. When two threads wait for each other's calls,
    /// one of them is let through, since they would wait for ever. Gives up at the deadline, if there is one; tells
    /// whether it did not have to.
    bool wait_until_unused(const awaited_hooks& hooks, const deadline* until = nullptr);

    bool any_retired() const noexcept { return retired_count_.load(std::memory_order_seq_cst) != 0; }
    void link(thread_hazards& thread) noexcept;
    void unlink(thread_hazards& thread) noexcept;

private:
    struct waiter {
        const thread_hazards* thread;
        const awaited_hooks* hooks;
        waiter* next;
        std::condition_variable change{};  // somebody may have stopped using a retired list

        std::size_t own_pins(const hook_list& list) const noexcept;
    };

    bool asymmetric() noexcept;
    void barrier() noexcept;

    enum class outlook { nobody, left, other };

    // All that follow are called with the mutex held.
    bool reclaim(std::unique_lock<std::mutex>& lock) noexcept;
    void tell_of_change() noexcept;
    hook_list* take_unused() noexcept;
    bool leave_word_with_holders(const hook_list& list) noexcept;
    template <class Predicate>
    outlook look_out(const waiter& waiting, Predicate matches) const noexcept;
    bool waits_for(const thread_hazards& from, const thread_hazards& to, std::size_t limit) const noexcept;

    thread_hazards& (*const this_thread_)() noexcept;
    void (*const arrange_thread_end_)() noexcept;

    std::atomic<thread_hazards*> threads_{nullptr};
    std::atomic<int> asymmetric_{-1};  // -1: not asked yet

    std::mutex mutex_;  // a leaf: nothing else is locked under it, and no foreign code runs
    hook_list* retired_ = nullptr;
    std::atomic<std::size_t> retired_count_{0};
    waiter* waiters_ = nullptr;
};

// Hidden is what each module has its own of, however it is compiled, and all code that uses it: the dynamic linker would
// otherwise mix one module's code with another's storage, or keep a library from ever being unloaded.
[[gnu::visibility("hidden")]] inline constinit thread_local thread_hazards this_thread_hazards;

[[gnu::visibility("hidden")]] thread_hazards& this_module_thread() noexcept;
[[gnu::visibility("hidden")]] void arrange_thread_end() noexcept;

[[gnu::visibility("hidden")]] inline constinit immortal<hazard_domain> hazards_storage{&this_module_thread, &arrange_thread_end};

/// The domain of the module that asks.
[[gnu::visibility("hidden")]] inline hazard_domain& hazards() noexcept { return hazards_storage.value; }

// ---------------------------------------------------------------------------------------------------------------------

/// The hooks of one call: those that were published when it began, held until it ends. Lives on the call's stack.
/// What a call costs is how many words it writes: so this is but a pointer, and the rest follows from the thread's depth.
class [[gnu::visibility("hidden")]] held_hooks {
public:
    /// `deep` lives as long as this, and is used only where there is no slot left. It is no member, because then the
    /// compiler could not keep this in a register.
    held_hooks(const site& from, deep_call& deep) noexcept;
    held_hooks(const held_hooks&) = delete;
    held_hooks& operator=(const held_hooks&) = delete;
    ~held_hooks();

    /// Null when the last hook was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

    /// The function underneath: `function`, or where the wrapper's destructor has moved it since the call began.
    template <class Function>
    static Function& original(const site& from, Function& function) noexcept {
        // Relaxed: this thread has set it, if it is set.
        if (this_thread_hazards.attention.load(std::memory_order_relaxed) == 0) [[likely]] return function;
        void* const moved = find_moved(from);
        return moved ? *static_cast<Function*>(moved) : function;
    }

    /// The wrapper is being destroyed: its calls on this thread, which go on afterwards, take the function over.
    template <class Function>
    static void take_over(const site& from, Function& function);

private:
    static const hook_list* hold_slowly(const site& from, deep_call& deep) noexcept;
    static const hook_list* hold_in(hazard_domain& domain, thread_hazards& thread, const site& from, deep_call& deep) noexcept;
    static const hook_list* hold(hazard_domain& domain, thread_hazards& thread, std::size_t slot, const site& from) noexcept;
    static bool has_been_replaced(const hook_list* list, const site& from) noexcept;
    static void pin(hazard_domain& domain, thread_hazards& thread, const site& from, deep_call& deep) noexcept;
    static void leave_slowly() noexcept;
    static void leave(hazard_domain& domain, thread_hazards& thread) noexcept;
    static void look_after(hazard_domain& domain, thread_hazards& thread, std::size_t slot) noexcept;
    static void* find_moved(const site& from) noexcept;
    static void destroy_moved(thread_hazards& thread) noexcept;

    const hook_list* list_;
};

// Holds what `from` points to. To hold is to have it in a slot while it is still published: from then on reclaim() finds
// it there.
[[gnu::always_inline]] inline held_hooks::held_hooks(const site& from, deep_call& deep) noexcept {
    thread_hazards& thread = this_thread_hazards;
    const std::size_t depth = thread.depth++;
    if (depth < thread_hazards::capacity && from.domain == &hazards()) [[likely]] {
        const hook_list* const list = from.hooks.load(std::memory_order_acquire);  // pairs with the store in publish()
        // Release: whoever finds this value also sees that the list before it in this slot is done with; pairs with the
        // load in leave_word_with_holders(). The processor may do the load below first: process_barrier() sets that right.
        thread.slots[depth].store(list, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        list_ = list;
        if (list && from.hooks.load(std::memory_order_seq_cst) == list) [[likely]] {
            // Acquire: who sees a step sees what it is about; pairs with the store in announce().
            if (!list->step.load(std::memory_order_acquire)) [[likely]] return;
        }
    }
    list_ = hold_slowly(from, deep);
}

[[gnu::always_inline]] inline held_hooks::~held_hooks() {
    thread_hazards& thread = this_thread_hazards;
    const std::size_t depth = --thread.depth;
    if (depth < thread_hazards::capacity) [[likely]] {
        // Release: as above. Either the load sees the word that was left, or the second look finds the slot empty.
        thread.slots[depth].store(nullptr, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (thread.attention.load(std::memory_order_seq_cst) == 0) [[likely]] return;
    }
    leave_slowly();
}

// The thread's first call, no process_barrier(), no slot left, the list was replaced before it was held or is just being
// replaced, or the function is of another module's registry.
[[gnu::noinline]] inline const hook_list* held_hooks::hold_slowly(const site& from, deep_call& deep) noexcept {
    thread_hazards& thread = this_thread_hazards;
    if (from.domain == &hazards()) return hold_in(hazards(), thread, from, deep);

    // A visit: the list is held in the slots that the thread has there, as if it were called from there.
    thread_hazards& host_thread = from.domain->this_thread();
    deep.outer_visit = thread.visits;
    deep.host = from.domain;
    deep.host_thread = &host_thread;
    deep.depth = thread.calls() - 1;
    thread.visits = &deep;
    thread.attention.fetch_or(thread_hazards::visiting, std::memory_order_seq_cst);
    ++host_thread.depth;
    return hold_in(*from.domain, host_thread, from, deep);
}

// The call is counted already.
inline const hook_list* held_hooks::hold_in(hazard_domain& domain, thread_hazards& thread, const site& from,
                                            deep_call& deep) noexcept {
    if (!thread.linked) domain.link(thread);
    const std::size_t depth = thread.calls() - 1;
    if (depth < thread_hazards::capacity) return hold(domain, thread, depth, from);
    pin(domain, thread, from, deep);
    return deep.list;
}

// With the order of sequentially consistent accesses, which needs no process_barrier().
inline const hook_list* held_hooks::hold(hazard_domain& domain, thread_hazards& thread, std::size_t slot,
                                         const site& from) noexcept {
    const hook_list* list;
    do {
        list = from.hooks.load(std::memory_order_seq_cst);
        thread.slots[slot].store(list, std::memory_order_seq_cst);
    } while (from.hooks.load(std::memory_order_seq_cst) != list || has_been_replaced(list, from));
    look_after(domain, thread, slot);  // a list that is not held after all may have been found in the slot
    return list;
}

// Whether a step has happened in which the list was replaced. Who makes it may not have come to this site yet: that is
// done here for it, so that no call has to wait. The list is held, so no other can stand at its address.
inline bool held_hooks::has_been_replaced(const hook_list* list, const site& from) noexcept {
    const change_step* const step = list ? list->step.load(std::memory_order_seq_cst) : nullptr;
    if (!step || !step->happened.load(std::memory_order_seq_cst)) return false;
    from.hooks.compare_exchange_strong(list, list->successor, std::memory_order_seq_cst);
    return true;
}

// Calls are nested more deeply than there are slots. A list that an outer call holds is held already; another one is
// pinned by its count, under the protection of the last slot.
inline void held_hooks::pin(hazard_domain& domain, thread_hazards& thread, const site& from, deep_call& deep) noexcept {
    constexpr std::size_t slot = thread_hazards::capacity;
    deep.outer = thread.innermost;
    deep.list = from.hooks.load(std::memory_order_seq_cst);
    deep.pinned = false;
    thread.innermost = &deep;
    bool held = false;
    for (std::size_t outer = 0; outer < slot && !held; ++outer)
        held = thread.slots[outer].load(std::memory_order_relaxed) == deep.list;  // relaxed: this thread wrote it
    for (const deep_call* outer = deep.outer; outer && !held; outer = outer->outer) held = outer->list == deep.list;
    if (held && !has_been_replaced(deep.list, from)) return;
    deep.list = hold(domain, thread, slot, from);
    if (deep.list) {
        const_cast<hook_list*>(deep.list)->pins.fetch_add(1, std::memory_order_seq_cst);
        deep.pinned = true;
    }
    thread.slots[slot].store(nullptr, std::memory_order_seq_cst);  // after the pin: who finds neither may destroy the list
    look_after(domain, thread, slot);
}

[[gnu::noinline]] inline void held_hooks::leave_slowly() noexcept {
    thread_hazards& thread = this_thread_hazards;
    deep_call* const visit = thread.visits;
    if (!visit || visit->depth != thread.calls()) return leave(hazards(), thread);
    thread.visits = visit->outer_visit;
    if (!thread.visits)
        thread.attention.fetch_and(static_cast<std::uint16_t>(~thread_hazards::visiting), std::memory_order_seq_cst);
    --visit->host_thread->depth;
    leave(*visit->host, *visit->host_thread);
}

// The call is no longer counted.
inline void held_hooks::leave(hazard_domain& domain, thread_hazards& thread) noexcept {
    const std::size_t depth = thread.calls();
    if (thread.attention.load(std::memory_order_seq_cst) & thread_hazards::moved) destroy_moved(thread);
    if (depth < thread_hazards::capacity) {
        thread.slots[depth].store(nullptr, std::memory_order_seq_cst);  // once more where it was done, now with a fence
        look_after(domain, thread, depth);
    } else {
        const deep_call& deep = *std::exchange(thread.innermost, thread.innermost->outer);
        if (deep.pinned) {
            const_cast<hook_list*>(deep.list)->pins.fetch_sub(1, std::memory_order_seq_cst);
            // The list may be gone now. Whoever retired it counted it first: this sees the count, or that thread no pin.
            if (domain.any_retired()) domain.reclaim();
        }
    }
    if (depth == 0 && thread.attention.load(std::memory_order_seq_cst) & thread_hazards::ended) domain.unlink(thread);
}

// The slot has been cleared, or has changed. Reclaims what stood in it, if that was asked for meanwhile.
inline void held_hooks::look_after(hazard_domain& domain, thread_hazards& thread, std::size_t slot) noexcept {
    const std::uint16_t word = thread_hazards::word_left(slot);
    if ((thread.attention.load(std::memory_order_seq_cst) & word) == 0) return;
    thread.attention.fetch_and(static_cast<std::uint16_t>(~word), std::memory_order_seq_cst);
    domain.reclaim();
}

// `from` may be gone: its address tells.
[[gnu::noinline]] inline void* held_hooks::find_moved(const site& from) noexcept {
    const thread_hazards& here = this_thread_hazards;
    const bool is_visit = here.visits && here.visits->depth == here.calls() - 1;
    const thread_hazards& thread = is_visit ? *here.visits->host_thread : here;
    const std::size_t depth = thread.calls() - 1;  // of the call that asks
    // The one that was moved first: a later one was that of another wrapper in the same place, whose calls are further in.
    void* function = nullptr;
    for (const moved_function* moved = thread.moved_functions; moved; moved = moved->next)
        if (moved->from == &from && moved->begin <= depth && depth < moved->end) function = moved->function;
    return function;
}

// A call has left. It may be the last one that a moved function was kept for.
inline void held_hooks::destroy_moved(thread_hazards& thread) noexcept {
    const std::size_t depth = thread.calls();
    for (moved_function** at = &thread.moved_functions; *at;) {
        moved_function* const moved = *at;
        moved->end = std::min(moved->end, depth);
        if (moved->begin < moved->end) {
            at = &moved->next;
            continue;
        }
        *at = moved->next;
        moved->destroy(moved->function);  // may call functions with hooks, which leave the list as it was
        delete moved;
    }
    if (!thread.moved_functions)
        thread.attention.fetch_and(static_cast<std::uint16_t>(~thread_hazards::moved), std::memory_order_seq_cst);
}

/// The hooks of a call that may be suspended, and go on and end on other threads. Holds the list by its count.
class pinned_hooks {
public:
    explicit pinned_hooks(const site& from) noexcept : domain_(*from.domain) {
        deep_call deep;
        const held_hooks held(from, deep);
        list_ = const_cast<hook_list*>(held.list());
        if (list_) list_->pins.fetch_add(1, std::memory_order_seq_cst);  // before the slot is cleared, as in pin()
    }
    pinned_hooks(const pinned_hooks&) = delete;
    pinned_hooks& operator=(const pinned_hooks&) = delete;
    ~pinned_hooks() {
        if (!list_) return;
        list_->pins.fetch_sub(1, std::memory_order_seq_cst);
        if (domain_.any_retired()) domain_.reclaim();  // as in leave()
    }

    /// Null when the last hook was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

    /// While it lives the calling thread counts as being inside of the call: it must not wait for itself.
    class on_this_thread {
    public:
        explicit on_this_thread(const pinned_hooks& held) noexcept : thread_(held.domain_.this_thread()) {
            frame_.outer = std::exchange(thread_.innermost, &frame_);
            frame_.list = held.list_;
            frame_.pinned = true;
        }
        on_this_thread(const on_this_thread&) = delete;
        on_this_thread& operator=(const on_this_thread&) = delete;
        ~on_this_thread() { thread_.innermost = frame_.outer; }

    private:
        thread_hazards& thread_;
        deep_call frame_;
    };

private:
    hazard_domain& domain_;
    hook_list* list_;
};

template <class Function>
void held_hooks::take_over(const site& from, Function& function) {
    thread_hazards& thread = from.domain->this_thread();
    const auto is_of_this_name = [&](const hook_list* list) { return list && list->function == from.function; };
    std::size_t begin = 0;
    while (begin < thread_hazards::capacity && begin < thread.calls() &&
           !is_of_this_name(thread.slots[begin].load(std::memory_order_relaxed)))  // relaxed: this thread wrote it
        ++begin;
    if (begin == thread_hazards::capacity) {
        const deep_call* deep = thread.innermost;
        while (deep && !is_of_this_name(deep->list)) deep = deep->outer;
        if (!deep) return;
    }
    if (begin == thread.calls()) return;
    thread.moved_functions = new moved_function{
        &from, begin, thread.calls(), new Function(std::move(function)),
        [](void* object) noexcept { delete static_cast<Function*>(object); }, thread.moved_functions};
    thread.attention.fetch_or(thread_hazards::moved, std::memory_order_seq_cst);
}

}  // namespace ext::detail
