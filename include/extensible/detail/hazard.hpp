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
    static constexpr std::uint16_t moved = 1u << 14;   // moved_functions is not empty
    static constexpr std::uint16_t ended = 1u << 15;   // the thread is past the destruction of its thread-local objects
    static constexpr std::uint16_t word_left(std::size_t slot) noexcept { return static_cast<std::uint16_t>(1u << slot); }
    std::atomic<std::uint16_t> attention{0};

    // The owner's alone.
    bool linked = false;
    std::size_t depth = slow;  // the calls that the thread is inside of; slow: not linked, or no process_barrier()
    deep_call* innermost = nullptr;
    moved_function* moved_functions = nullptr;

    thread_hazards* next = nullptr;  // set before the thread is linked; changed under the domain's mutex

    std::size_t calls() const noexcept { return depth & ~slow; }
};

/// A call that is nested more deeply than there are slots.
struct deep_call {
    deep_call* outer;
    const hook_list* list;
    bool pinned;  // by its count; otherwise an outer call holds the list
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

/// All threads' slots, and the lists that have been replaced but may still be in use. One for each module; it needs no
/// construction and is never destroyed.
class hazard_domain {
public:
    /// Takes over a list that no site points to any more. Runs no foreign code.
    void retire(hook_list* list) noexcept;

    /// Destroys the retired lists that no call holds; others when the last such call leaves. May run the destructors of
    /// what hooks captured: call it under no lock.
    void reclaim() noexcept;

    /// Returns when no other thread can run the hook any more and what it captured is destroyed; does not wait for calls
    /// that this thread is inside of. The hook is in no site's list. When two threads wait for each other's calls, one
    /// of them is let through, since they would wait for ever.
    void wait_until_unused(const hook_record& hook) noexcept;

    bool any_retired() const noexcept { return retired_count_.load(std::memory_order_seq_cst) != 0; }
    void link(thread_hazards& thread) noexcept;
    void unlink(thread_hazards& thread) noexcept;

private:
    struct waiter {
        const thread_hazards* thread;
        const hook_record* hook;
        waiter* next;

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

    std::atomic<thread_hazards*> threads_{nullptr};
    std::atomic<int> asymmetric_{-1};  // -1: not asked yet

    std::mutex mutex_;  // a leaf: nothing else is locked under it, and no foreign code runs
    std::atomic<std::uint32_t> changes_{0};  // counts up when somebody may have stopped using a retired list
    hook_list* retired_ = nullptr;
    std::atomic<std::size_t> retired_count_{0};
    waiter* waiters_ = nullptr;
};

inline constinit immortal<hazard_domain> hazards_storage;
inline hazard_domain& hazards() noexcept { return hazards_storage.value; }

inline constinit thread_local thread_hazards this_thread_hazards;

// ---------------------------------------------------------------------------------------------------------------------

/// The hooks of one call: those that were published when it began, held until it ends. Lives on the call's stack.
/// What a call costs is how many words it writes: so this is but a pointer, and the rest follows from the thread's depth.
class held_hooks {
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
    static const hook_list* hold(const site& from, thread_hazards& thread, std::size_t slot) noexcept;
    static void look_after(thread_hazards& thread, std::size_t slot) noexcept;
    static void pin(const site& from, thread_hazards& thread, deep_call& deep) noexcept;
    static void leave_slowly() noexcept;
    static void* find_moved(const site& from) noexcept;
    static void destroy_moved(thread_hazards& thread) noexcept;

    const hook_list* list_;
};

// Holds what `from` points to. To hold is to have it in a slot while it is still published: from then on reclaim() finds
// it there.
[[gnu::always_inline]] inline held_hooks::held_hooks(const site& from, deep_call& deep) noexcept {
    thread_hazards& thread = this_thread_hazards;
    const std::size_t depth = thread.depth++;
    if (depth < thread_hazards::capacity) [[likely]] {
        const hook_list* const list = from.hooks.load(std::memory_order_acquire);  // pairs with the store in set_hooks()
        // Release: whoever finds this value also sees that the list before it in this slot is done with; pairs with the
        // load in leave_word_with_holders(). The processor may do the load below first: process_barrier() sets that right.
        thread.slots[depth].store(list, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        list_ = list;
        if (from.hooks.load(std::memory_order_seq_cst) == list) [[likely]] return;
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

// The thread's first call, no process_barrier(), no slot left, or the list was replaced before it was held.
[[gnu::noinline]] inline const hook_list* held_hooks::hold_slowly(const site& from, deep_call& deep) noexcept {
    thread_hazards& thread = this_thread_hazards;
    if (!thread.linked) hazards().link(thread);
    const std::size_t depth = thread.calls() - 1;
    if (depth < thread_hazards::capacity) return hold(from, thread, depth);
    pin(from, thread, deep);
    return deep.list;
}

// With the order of sequentially consistent accesses, which needs no process_barrier().
inline const hook_list* held_hooks::hold(const site& from, thread_hazards& thread, std::size_t slot) noexcept {
    const hook_list* list;
    do {
        list = from.hooks.load(std::memory_order_seq_cst);
        thread.slots[slot].store(list, std::memory_order_seq_cst);
    } while (from.hooks.load(std::memory_order_seq_cst) != list);
    look_after(thread, slot);  // a list that is not held after all may have been found in the slot
    return list;
}

// Calls are nested more deeply than there are slots. A list that an outer call holds is held already; another one is
// pinned by its count, under the protection of the last slot.
inline void held_hooks::pin(const site& from, thread_hazards& thread, deep_call& deep) noexcept {
    constexpr std::size_t slot = thread_hazards::capacity;
    deep = {thread.innermost, from.hooks.load(std::memory_order_seq_cst), false};
    thread.innermost = &deep;
    for (std::size_t outer = 0; outer < slot; ++outer)
        if (thread.slots[outer].load(std::memory_order_relaxed) == deep.list) return;  // relaxed: this thread wrote it
    for (const deep_call* outer = deep.outer; outer; outer = outer->outer)
        if (outer->list == deep.list) return;
    deep.list = hold(from, thread, slot);
    if (deep.list) {
        const_cast<hook_list*>(deep.list)->pins.fetch_add(1, std::memory_order_seq_cst);
        deep.pinned = true;
    }
    thread.slots[slot].store(nullptr, std::memory_order_seq_cst);  // after the pin: who finds neither may destroy the list
    look_after(thread, slot);
}

[[gnu::noinline]] inline void held_hooks::leave_slowly() noexcept {
    thread_hazards& thread = this_thread_hazards;
    const std::size_t depth = thread.calls();
    if (thread.attention.load(std::memory_order_seq_cst) & thread_hazards::moved) destroy_moved(thread);
    if (depth < thread_hazards::capacity) {
        thread.slots[depth].store(nullptr, std::memory_order_seq_cst);  // once more where it was done, now with a fence
        look_after(thread, depth);
    } else {
        const deep_call& deep = *std::exchange(thread.innermost, thread.innermost->outer);
        if (deep.pinned) {
            const_cast<hook_list*>(deep.list)->pins.fetch_sub(1, std::memory_order_seq_cst);
            // The list may be gone now. Whoever retired it counted it first: this sees the count, or that thread no pin.
            if (hazards().any_retired()) hazards().reclaim();
        }
    }
    if (depth == 0 && thread.attention.load(std::memory_order_seq_cst) & thread_hazards::ended) hazards().unlink(thread);
}

// The slot has been cleared, or has changed. Reclaims what stood in it, if that was asked for meanwhile.
inline void held_hooks::look_after(thread_hazards& thread, std::size_t slot) noexcept {
    const std::uint16_t word = thread_hazards::word_left(slot);
    if ((thread.attention.load(std::memory_order_seq_cst) & word) == 0) return;
    thread.attention.fetch_and(static_cast<std::uint16_t>(~word), std::memory_order_seq_cst);
    hazards().reclaim();
}

[[gnu::noinline]] inline void* held_hooks::find_moved(const site& from) noexcept {
    const thread_hazards& thread = this_thread_hazards;
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

template <class Function>
void held_hooks::take_over(const site& from, Function& function) {
    thread_hazards& thread = this_thread_hazards;
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
