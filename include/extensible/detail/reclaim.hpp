#pragma once

// When is a list of hooks destroyed that has been replaced, and who waits for that? The bodies of hazard_domain.

#include <extensible/detail/hazard.hpp>
#include <extensible/detail/process_barrier.hpp>
#include <extensible/detail/records.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <utility>

namespace ext::detail {

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

inline thread_hazards& this_module_thread() noexcept { return this_thread_hazards; }

struct [[gnu::visibility("hidden")]] thread_end {
    ~thread_end() {
        this_thread_hazards.attention.fetch_or(thread_hazards::ended, std::memory_order_seq_cst);
        // Inside of a call this is std::exit, which unwinds nothing: the thread stays, and so does what it holds.
        if (this_thread_hazards.linked && this_thread_hazards.calls() == 0) hazards().unlink(this_thread_hazards);
    }
    void touch() const noexcept {}
};
[[gnu::visibility("hidden")]] inline thread_local thread_end this_thread_end;
inline void arrange_thread_end() noexcept { this_thread_end.touch(); }

[[gnu::noinline]] inline void hazard_domain::link(thread_hazards& thread) noexcept {
    const bool ended = (thread.attention.load(std::memory_order_seq_cst) & thread_hazards::ended) != 0;
    if (!ended) arrange_thread_end_();
    thread.linked = true;
    if (asymmetric()) thread.depth &= ~thread_hazards::slow;
    thread.next = threads_.load(std::memory_order_seq_cst);
    while (!threads_.compare_exchange_weak(thread.next, &thread, std::memory_order_seq_cst)) {
    }
}

// Threads are linked without a lock, at the head, and unlinked under the mutex: so only the head can change meanwhile.
[[gnu::noinline]] inline void hazard_domain::unlink(thread_hazards& thread) noexcept {
    const std::lock_guard lock(mutex_);
    thread.linked = false;
    thread.depth |= thread_hazards::slow;
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

inline void hazard_domain::reclaim() noexcept {
    std::unique_lock lock(mutex_);
    reclaim(lock);
    tell_of_change();  // also when nothing was reclaimed: a call may have left that somebody waits for
}

// Tells whether there was something to reclaim. The lock is held before and after, but not all the time.
inline bool hazard_domain::reclaim(std::unique_lock<std::mutex>& lock) noexcept {
    bool any = false;
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
        any = true;
    }
    return any;
}

inline void hazard_domain::tell_of_change() noexcept {
    for (waiter* waiting = waiters_; waiting; waiting = waiting->next) waiting->change.notify_all();
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
            list->reclaimed_by = &this_thread();
            return list;
        }
    }
    return nullptr;
}

// Whether a call holds the list. Threads in whose slots it stands will look after it when they leave it.
inline bool hazard_domain::leave_word_with_holders(const hook_list& list) noexcept {
    bool held = false;
    for (thread_hazards* thread = threads_.load(std::memory_order_seq_cst); thread; thread = thread->next) {
        for (std::size_t slot = 0; slot < std::size(thread->slots); ++slot) {
            if (thread->slots[slot].load(std::memory_order_seq_cst) != &list) continue;
            thread->attention.fetch_or(thread_hazards::word_left(slot), std::memory_order_seq_cst);
            held = true;
        }
    }
    return held || list.pins.load(std::memory_order_seq_cst) != 0;  // after the slots, see pin()
}

inline bool hazard_domain::wait_until_unused(const awaited_hooks& hooks, const deadline* until) {
    std::unique_lock lock(mutex_);
    waiter self{&this_thread(), &hooks, waiters_};
    waiters_ = &self;
    bool unused = false;
    for (bool late = false;;) {
        if (reclaim(lock)) tell_of_change();
        for (const hook_list* list = retired_; list; list = list->next_retired)
            if (hooks.are_in(*list)) leave_word_with_holders(*list);
        barrier();
        const outlook seen = look_out(self, [&](const thread_hazards* user) {
            return !user || !waits_for(*user, *self.thread, 64);  // else it is let through, or this thread
        });
        unused = seen == outlook::nobody;
        if (unused || late) break;
        if (seen == outlook::left) continue;
        // Under the lock since the look: no change is missed.
        if (!until) self.change.wait(lock);
        else late = self.change.wait_until(lock, *until) == std::cv_status::timeout;
    }
    waiter** at = &waiters_;
    while (*at != &self) at = &(*at)->next;
    *at = self.next;
    return unused;
}

// Who can still run one of the waiter's hooks, or is destroying what it captured: `other`, if another thread does that
// matches, where null stands for one that holds it by a pin and is not known; `left`, if a list with one has no holder any
// more and is still to be reclaimed; else `nobody` but the waiter's own thread.
template <class Predicate>
hazard_domain::outlook hazard_domain::look_out(const waiter& waiting, Predicate matches) const noexcept {
    outlook seen = outlook::nobody;
    for (const hook_list* list = retired_; list; list = list->next_retired) {
        if (!waiting.hooks->are_in(*list)) continue;
        bool used = false;
        const auto is_awaited = [&](const thread_hazards* user) {
            used = true;
            return user != waiting.thread && matches(user);
        };
        if (list->reclaimed_by && is_awaited(list->reclaimed_by)) return outlook::other;
        for (const thread_hazards* thread = threads_.load(std::memory_order_seq_cst); thread; thread = thread->next)
            for (const auto& slot : thread->slots)
                if (slot.load(std::memory_order_seq_cst) == list && is_awaited(thread)) return outlook::other;
        const std::size_t pins = list->pins.load(std::memory_order_seq_cst);  // after the slots, see pin()
        if (pins > waiting.own_pins(*list) && is_awaited(nullptr)) return outlook::other;
        if (!used && pins == 0) seen = outlook::left;
    }
    return seen;
}

// Whether `from` waits for a call of `to`, or for another thread that does.
inline bool hazard_domain::waits_for(const thread_hazards& from, const thread_hazards& to,
                                     std::size_t limit) const noexcept {
    if (limit == 0) return false;
    for (const waiter* w = waiters_; w; w = w->next) {
        if (w->thread != &from) continue;
        const outlook seen = look_out(*w, [&](const thread_hazards* user) {
            return user && (user == &to || waits_for(*user, to, limit - 1));
        });
        if (seen == outlook::other) return true;
    }
    return false;
}

// How many of the list's pins are of calls that the waiter's thread is inside of.
inline std::size_t hazard_domain::waiter::own_pins(const hook_list& list) const noexcept {
    std::size_t count = 0;
    for (const deep_call* deep = thread->innermost; deep; deep = deep->outer)
        if (deep->pinned && deep->list == &list) ++count;
    return count;
}

}  // namespace ext::detail
