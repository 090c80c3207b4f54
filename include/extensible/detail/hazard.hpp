#pragma once

// How does a call use a list of hooks that others may replace at any time, and how is it known when nobody uses it any
// more? By hazard pointers: each call writes down, in a slot of its own thread, which list it holds.
//
// After M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects" (2004), with two additions: the
// reader's fence is replaced by a process-wide barrier on the writer's side where the system has one, and a writer that
// finds a list in use leaves word with the thread that holds it, so that the last call to leave cleans up.

#include <extensible/detail/records.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace ext::detail {

class held_hooks;

/// The slots of one thread. In its thread-local storage, and linked into the domain from its first hooked call on.
struct alignas(64) thread_hazards {
    static constexpr std::size_t capacity = 11;

    // Written by the owner, read by whoever reclaims. The last one is for pinning, see held_hooks.
    std::atomic<const hook_list*> slots[capacity + 1]{};

    // Why a call that leaves may have more to do than to clear its slot; 0 tells that it has not. A bit for each slot:
    // whoever reclaims found it in its way, and asks the call that leaves it to look after the list. And:
    static constexpr std::uint16_t fenced = 1u << 14;  // there is no process_barrier(), so slots take a fence
    static constexpr std::uint16_t ended = 1u << 15;   // the thread is past the destruction of its thread-local objects
    static constexpr std::uint16_t word_left(std::size_t slot) noexcept { return static_cast<std::uint16_t>(1u << slot); }
    std::atomic<std::uint16_t> attention{0};

    // The owner's alone.
    bool linked = false;
    bool without_fence = false;  // linked and not fenced
    held_hooks* innermost = nullptr;

    thread_hazards* next = nullptr;  // set before the thread is linked; changed under the domain's mutex
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

    // All that follow are called with the mutex held.
    hook_list* take_unused() noexcept;
    bool leave_word_with_holders(const hook_list& list) noexcept;
    bool must_wait(const waiter& waiting) noexcept;
    template <class Predicate>
    bool any_other_user(const waiter& waiting, Predicate matches) const noexcept;
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
class held_hooks {
public:
    explicit held_hooks(const site& from) noexcept;
    held_hooks(const held_hooks&) = delete;
    held_hooks& operator=(const held_hooks&) = delete;
    ~held_hooks();

    /// Null when the last hook was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

    /// The function underneath: `function`, or where the wrapper's destructor has moved it since the call began.
    template <class Function>
    Function& original(Function& function) const noexcept {
        return moved_ ? *static_cast<Function*>(moved_->function) : function;
    }

    /// The wrapper is being destroyed: its calls on this thread, which go on afterwards, take the function over.
    template <class Function>
    static void take_over(const site& from, Function& function);

    /// For the domain: the call that this one is inside of, and whether this one holds the list by a pin.
    const held_hooks* outer() const noexcept { return outer_; }
    bool pins(const hook_list& list) const noexcept {
        return depth_ >= thread_hazards::capacity && pinned_ && list_ == &list;
    }

private:
    struct moved_function {
        void* function;
        void (*destroy)(void*) noexcept;
        const held_hooks* owner;  // the outermost call of the wrapper
    };

    void hold_slowly(const site& from) noexcept;
    void hold(const site& from, thread_hazards& thread, std::size_t slot) noexcept;
    static void look_after(thread_hazards& thread, std::size_t slot) noexcept;
    void pin(const site& from, thread_hazards& thread) noexcept;
    void leave_slowly(thread_hazards& thread) noexcept;
    void destroy_moved() noexcept;

    held_hooks* const outer_;
    const hook_list* list_;
    const site* const site_;
    moved_function* moved_ = nullptr;
    const std::size_t depth_;
    bool pinned_;  // only where depth_ is beyond the slots
};

// Holds what `from` points to. To hold is to have it in a slot while it is still published: from then on reclaim() finds
// it there.
[[gnu::always_inline]] inline held_hooks::held_hooks(const site& from) noexcept
    : outer_(this_thread_hazards.innermost), site_(&from), depth_(outer_ ? outer_->depth_ + 1 : 0) {
    const std::size_t depth = depth_;  // what stands in a local needs not be read again behind the fence
    thread_hazards& thread = this_thread_hazards;
    thread.innermost = this;
    if (thread.without_fence && depth < thread_hazards::capacity) [[likely]] {
        const hook_list* const list = from.hooks.load(std::memory_order_acquire);  // pairs with the store in set_hooks()
        // Release: whoever finds this value also sees that the list before it in this slot is done with; pairs with the
        // load in leave_word_with_holders(). The processor may do the load below first: process_barrier() sets that right.
        thread.slots[depth].store(list, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        list_ = list;
        if (from.hooks.load(std::memory_order_seq_cst) == list) [[likely]] return;
    }
    hold_slowly(from);
}

[[gnu::always_inline]] inline held_hooks::~held_hooks() {
    const std::size_t depth = depth_;
    thread_hazards& thread = this_thread_hazards;
    thread.innermost = outer_;
    if (moved_) [[unlikely]] destroy_moved();
    if (depth < thread_hazards::capacity) [[likely]] {
        // Release: as above. Either the load sees the word that was left, or the second look finds the slot empty.
        thread.slots[depth].store(nullptr, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (thread.attention.load(std::memory_order_seq_cst) == 0) [[likely]] return;
    }
    leave_slowly(thread);
}

// The thread's first call, no process_barrier(), no slot left, or the list was replaced before it was held.
[[gnu::noinline]] inline void held_hooks::hold_slowly(const site& from) noexcept {
    thread_hazards& thread = this_thread_hazards;
    if (!thread.linked) hazards().link(thread);
    if (depth_ < thread_hazards::capacity) hold(from, thread, depth_);
    else pin(from, thread);
}

// With the order of sequentially consistent accesses, which needs no process_barrier().
inline void held_hooks::hold(const site& from, thread_hazards& thread, std::size_t slot) noexcept {
    do {
        list_ = from.hooks.load(std::memory_order_seq_cst);
        thread.slots[slot].store(list_, std::memory_order_seq_cst);
    } while (from.hooks.load(std::memory_order_seq_cst) != list_);
    look_after(thread, slot);  // a list that is not held after all may have been found in the slot
}

// Calls are nested more deeply than there are slots. A list that an outer call holds is held already; another one is
// pinned by its count, under the protection of the last slot.
inline void held_hooks::pin(const site& from, thread_hazards& thread) noexcept {
    pinned_ = false;
    list_ = from.hooks.load(std::memory_order_seq_cst);
    for (const held_hooks* outer = outer_; outer; outer = outer->outer_)
        if (outer->list_ == list_) return;
    constexpr std::size_t slot = thread_hazards::capacity;
    hold(from, thread, slot);
    if (list_) {
        const_cast<hook_list*>(list_)->pins.fetch_add(1, std::memory_order_seq_cst);
        pinned_ = true;
    }
    thread.slots[slot].store(nullptr, std::memory_order_seq_cst);  // after the pin: who finds neither may destroy the list
    look_after(thread, slot);
}

[[gnu::noinline]] inline void held_hooks::leave_slowly(thread_hazards& thread) noexcept {
    if (depth_ < thread_hazards::capacity) {
        if (thread.attention.load(std::memory_order_seq_cst) & thread_hazards::fenced)
            thread.slots[depth_].store(nullptr, std::memory_order_seq_cst);  // once more, now with a fence
        look_after(thread, depth_);
    } else if (pinned_) {
        const_cast<hook_list*>(list_)->pins.fetch_sub(1, std::memory_order_seq_cst);
        // The list may be gone now. Whoever retired it counted it first: this sees the count, or that thread no pin.
        if (hazards().any_retired()) hazards().reclaim();
    }
    if (!outer_ && thread.attention.load(std::memory_order_seq_cst) & thread_hazards::ended) hazards().unlink(thread);
}

// The slot has been cleared, or has changed. Reclaims what stood in it, if that was asked for meanwhile.
inline void held_hooks::look_after(thread_hazards& thread, std::size_t slot) noexcept {
    const std::uint16_t word = thread_hazards::word_left(slot);
    if ((thread.attention.load(std::memory_order_seq_cst) & word) == 0) return;
    thread.attention.fetch_and(static_cast<std::uint16_t>(~word), std::memory_order_seq_cst);
    hazards().reclaim();
}

inline void held_hooks::destroy_moved() noexcept {
    if (moved_->owner != this) return;
    moved_->destroy(moved_->function);
    delete moved_;
}

template <class Function>
void held_hooks::take_over(const site& from, Function& function) {
    held_hooks* outermost = nullptr;
    for (held_hooks* call = this_thread_hazards.innermost; call; call = call->outer_)
        if (call->site_ == &from && !call->moved_) outermost = call;
    if (!outermost) return;
    auto* const moved = new moved_function{
        new Function(std::move(function)), [](void* object) noexcept { delete static_cast<Function*>(object); }, outermost};
    for (held_hooks* call = this_thread_hazards.innermost; call; call = call->outer_)
        if (call->site_ == &from && !call->moved_) call->moved_ = moved;
}

}  // namespace ext::detail
