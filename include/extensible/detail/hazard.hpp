#pragma once

// How does a call use a list of hooks that others may replace at any time, and how is it known when nobody uses it any
// more? By hazard pointers: each call writes down, in a slot of its own thread, which list it holds.
//
// After M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects" (2004), with two additions: the
// reader's fence is replaced by a process-wide barrier on the writer's side where the system has one, and a writer that
// finds a list in use leaves word with the thread that holds it, so that the last call to leave cleans up.

#include <extensible/detail/process_barrier.hpp>
#include <extensible/detail/records.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <type_traits>
#include <utility>

namespace ext::detail {

class held_hooks;

/// The slots of one thread. In its thread-local storage, and linked into the domain from its first hooked call on.
struct alignas(64) thread_hazards {
    static constexpr std::size_t capacity = 11;

    // Why a call that leaves has more to do than to clear its slot. None of it: a bare load tells.
    static constexpr std::uint8_t word_left = 1;  // somebody who reclaims found a slot in its way, and asks to be helped
    static constexpr std::uint8_t fenced = 2;     // there is no process_barrier(), so slots take a fence
    static constexpr std::uint8_t ended = 4;      // the thread is past the destruction of its thread-local objects

    // Written by the owner, read by whoever reclaims. The last one is for pinning, see held_hooks.
    std::atomic<const hook_list*> slots[capacity + 1]{};
    std::atomic<std::uint8_t> attention{0};  // word_left is set by whoever reclaims, all else by the owner

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

    /// The owner has left a list, and may have been asked to reclaim it.
    void left(thread_hazards& thread) noexcept;

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
    void hold(const site& from, thread_hazards& thread, std::atomic<const hook_list*>& slot) noexcept;
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
    if (depth_ < thread_hazards::capacity) hold(from, thread, thread.slots[depth_]);
    else pin(from, thread);
}

// With the order of sequentially consistent accesses, which needs no process_barrier().
inline void held_hooks::hold(const site& from, thread_hazards& thread,
                             std::atomic<const hook_list*>& slot) noexcept {
    do {
        list_ = from.hooks.load(std::memory_order_seq_cst);
        slot.store(list_, std::memory_order_seq_cst);
    } while (from.hooks.load(std::memory_order_seq_cst) != list_);
    // A list that is not held after all may have been found in the slot, and word left.
    if (thread.attention.load(std::memory_order_seq_cst) & thread_hazards::word_left) hazards().left(thread);
}

// Calls are nested more deeply than there are slots. A list that an outer call holds is held already; another one is
// pinned by its count, under the protection of the last slot.
inline void held_hooks::pin(const site& from, thread_hazards& thread) noexcept {
    pinned_ = false;
    list_ = from.hooks.load(std::memory_order_seq_cst);
    for (const held_hooks* outer = outer_; outer; outer = outer->outer_)
        if (outer->list_ == list_) return;
    auto& slot = thread.slots[thread_hazards::capacity];
    hold(from, thread, slot);
    if (list_) {
        const_cast<hook_list*>(list_)->pins.fetch_add(1, std::memory_order_seq_cst);
        pinned_ = true;
    }
    slot.store(nullptr, std::memory_order_seq_cst);  // after the pin: whoever finds neither may destroy the list
    if (thread.attention.load(std::memory_order_seq_cst) & thread_hazards::word_left) hazards().left(thread);
}

[[gnu::noinline]] inline void held_hooks::leave_slowly(thread_hazards& thread) noexcept {
    if (depth_ < thread_hazards::capacity) {
        thread.slots[depth_].store(nullptr, std::memory_order_seq_cst);  // once more, now with a fence
    } else if (pinned_) {
        const_cast<hook_list*>(list_)->pins.fetch_sub(1, std::memory_order_seq_cst);
        // The list may be gone now. Whoever retired it counted it first: this sees the count, or that thread no pin.
        if (hazards().any_retired()) hazards().left(thread);
    }
    const std::uint8_t attention = thread.attention.load(std::memory_order_seq_cst);
    if (attention & thread_hazards::word_left) hazards().left(thread);
    if (attention & thread_hazards::ended && !outer_) hazards().unlink(thread);
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

// ---------------------------------------------------------------------------------------------------------------------

// Asked before the first slot is used and before the first list is retired; all who ask at once get the same answer.
inline bool hazard_domain::asymmetric() noexcept {
    // Relaxed: the answer stands for itself, and asking again does no harm.
    int known = asymmetric_.load(std::memory_order_relaxed);
    if (known < 0) {
        known = enable_process_barrier() ? 1 : 0;
        asymmetric_.store(known, std::memory_order_relaxed);
    }
    return known == 1;
}

// Between what this thread wrote and what it reads next. Where slots are published with sequentially consistent stores,
// their order with the sequentially consistent accesses here does it.
inline void hazard_domain::barrier() noexcept {
    if (asymmetric()) process_barrier();
}

struct thread_end {
    ~thread_end() {
        this_thread_hazards.attention.fetch_or(thread_hazards::ended, std::memory_order_seq_cst);
        if (this_thread_hazards.linked) hazards().unlink(this_thread_hazards);
    }
    void touch() const noexcept {}
};
inline thread_local thread_end this_thread_end;

[[gnu::noinline]] inline void hazard_domain::link(thread_hazards& thread) noexcept {
    const bool ended = (thread.attention.load(std::memory_order_seq_cst) & thread_hazards::ended) != 0;
    if (!ended) this_thread_end.touch();  // arranges for its destruction
    thread.linked = true;
    thread.without_fence = asymmetric();
    if (!thread.without_fence) thread.attention.fetch_or(thread_hazards::fenced, std::memory_order_seq_cst);
    thread.next = threads_.load(std::memory_order_seq_cst);
    while (!threads_.compare_exchange_weak(thread.next, &thread, std::memory_order_seq_cst)) {
    }
}

// Threads are linked without a lock, at the head, and unlinked under the mutex: so only the head can change meanwhile.
[[gnu::noinline]] inline void hazard_domain::unlink(thread_hazards& thread) noexcept {
    const std::lock_guard lock(mutex_);
    thread.linked = thread.without_fence = false;
    thread_hazards* head = &thread;
    if (threads_.compare_exchange_strong(head, thread.next, std::memory_order_seq_cst)) return;
    while (head->next != &thread) head = head->next;
    head->next = thread.next;
}

inline void hazard_domain::retire(hook_list* list) noexcept {
    const std::lock_guard lock(mutex_);
    list->next_retired = std::exchange(retired_, list);
    retired_count_.fetch_add(1, std::memory_order_seq_cst);
}

[[gnu::noinline]] inline void hazard_domain::left(thread_hazards& thread) noexcept {
    // Before looking: an outer call may be asked again.
    thread.attention.fetch_and(static_cast<std::uint8_t>(~thread_hazards::word_left), std::memory_order_seq_cst);
    reclaim();
}

inline void hazard_domain::reclaim() noexcept {
    std::unique_lock lock(mutex_);
    while (hook_list* const list = take_unused()) {
        // The list stays among the retired ones while the hooks' captured state is destroyed, so that
        // wait_until_unused() waits for that too.
        lock.unlock();
        list->release_hooks();
        lock.lock();
        hook_list** at = &retired_;
        while (*at != list) at = &(*at)->next_retired;
        *at = list->next_retired;
        retired_count_.fetch_sub(1, std::memory_order_seq_cst);
        lock.unlock();
        hook_list::free(list);
        lock.lock();
    }
    changes_.fetch_add(1, std::memory_order_seq_cst);
    changes_.notify_all();
}

// A retired list that no call holds, marked as this thread's to let go of; null when there is none.
inline hook_list* hazard_domain::take_unused() noexcept {
    // A first look leaves word with whoever holds a list; the second one finds those who left before they could see it.
    for (int look = 0; look < 2; ++look) {
        bool any = false;
        for (const hook_list* list = retired_; list; list = list->next_retired) any |= !list->reclaimed_by;
        if (!any) break;
        barrier();
        for (hook_list* list = retired_; list; list = list->next_retired) {
            if (list->reclaimed_by || leave_word_with_holders(*list)) continue;
            list->reclaimed_by = &this_thread_hazards;
            return list;
        }
    }
    return nullptr;
}

// Whether a call holds the list. Threads in whose slots it stands will look after it when they leave it.
inline bool hazard_domain::leave_word_with_holders(const hook_list& list) noexcept {
    bool held = false;
    for (thread_hazards* thread = threads_.load(std::memory_order_seq_cst); thread; thread = thread->next) {
        for (const auto& slot : thread->slots) {
            if (slot.load(std::memory_order_seq_cst) != &list) continue;
            thread->attention.fetch_or(thread_hazards::word_left, std::memory_order_seq_cst);
            held = true;
        }
    }
    return held || list.pins.load(std::memory_order_seq_cst) != 0;  // after the slots, see pin()
}

inline void hazard_domain::wait_until_unused(const hook_record& hook) noexcept {
    std::unique_lock lock(mutex_);
    waiter self{&this_thread_hazards, &hook, waiters_};
    waiters_ = &self;
    // One who waits for a call of this thread may now be let through, or this thread, which finds that out here.
    while (must_wait(self)) {
        const std::uint32_t seen = changes_.load(std::memory_order_seq_cst);  // under the lock: no change is missed
        lock.unlock();
        changes_.wait(seen, std::memory_order_seq_cst);
        lock.lock();
    }
    waiter** at = &waiters_;
    while (*at != &self) at = &(*at)->next;
    *at = self.next;
}

inline bool hazard_domain::must_wait(const waiter& waiting) noexcept {
    for (const hook_list* list = retired_; list; list = list->next_retired)
        if (list->contains(*waiting.hook)) leave_word_with_holders(*list);
    barrier();
    return any_other_user(waiting, [&](const thread_hazards* user) {
        return !user || !waits_for(*user, *waiting.thread, 64);
    });
}

// Whether some other thread that can run the waiter's hook, or is destroying what it captured, matches. A thread that
// holds it by a pin is not known: null.
template <class Predicate>
bool hazard_domain::any_other_user(const waiter& waiting, Predicate matches) const noexcept {
    for (const hook_list* list = retired_; list; list = list->next_retired) {
        if (!list->contains(*waiting.hook)) continue;
        if (list->reclaimed_by) {
            if (list->reclaimed_by != waiting.thread && matches(list->reclaimed_by)) return true;
            continue;
        }
        for (const thread_hazards* thread = threads_.load(std::memory_order_seq_cst); thread; thread = thread->next) {
            if (thread == waiting.thread) continue;
            for (const auto& slot : thread->slots)
                if (slot.load(std::memory_order_seq_cst) == list && matches(thread)) return true;
        }
        if (list->pins.load(std::memory_order_seq_cst) > waiting.own_pins(*list) && matches(nullptr)) return true;
    }
    return false;
}

// Whether `from` waits for a call of `to`, or for another thread that does.
inline bool hazard_domain::waits_for(const thread_hazards& from, const thread_hazards& to,
                                     std::size_t limit) const noexcept {
    if (limit == 0) return false;
    for (const waiter* w = waiters_; w; w = w->next) {
        if (w->thread != &from) continue;
        if (any_other_user(*w, [&](const thread_hazards* user) {
                return user && (user == &to || waits_for(*user, to, limit - 1));
            }))
            return true;
    }
    return false;
}

// How many of the list's pins are of calls that the waiter's thread is inside of.
inline std::size_t hazard_domain::waiter::own_pins(const hook_list& list) const noexcept {
    std::size_t count = 0;
    for (const held_hooks* call = thread->innermost; call; call = call->outer())
        if (call->pins(list)) ++count;
    return count;
}

}  // namespace ext::detail
