#pragma once

// Which calls run at once, and which wait? A number of slots, and a queue of threads and coroutines that wait for one.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/text.hpp>

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::hooks::detail {

class call_slots;

// A call that waits. Guarded by the mutex of the slots.
struct waiter {
    std::list<waiter*>* in = nullptr;  // the queue, or the round whose turn it is; null for neither
    std::list<waiter*>::iterator node{};
    bool has_slot = false;
    std::coroutine_handle<> suspended{};  // null for a thread
    std::condition_variable wake{};

    void join(std::list<waiter*>& to) {
        node = to.insert(to.end(), this);
        in = &to;
    }
    void move_to(std::list<waiter*>& to) noexcept {
        to.splice(to.end(), *in, node);
        in = &to;
    }
    void leave() noexcept {
        if (in) in->erase(node);
        in = nullptr;
    }
};

/// One that is taken, or none. It is given back when this is destroyed.
class [[nodiscard]] slot {
public:
    explicit slot(std::shared_ptr<call_slots> of = nullptr) noexcept : of_(std::move(of)) {}
    slot(slot&&) noexcept = default;
    slot& operator=(slot&&) = delete;
    inline ~slot();

    explicit operator bool() const noexcept { return of_ != nullptr; }

private:
    std::shared_ptr<call_slots> of_;
};

/// Who waits first gets a slot first, threads and coroutines alike. A slot that is given back goes straight to the first in the
/// queue: there is a free one only where nobody waits.
class call_slots : public std::enable_shared_from_this<call_slots> {
    using queue = std::list<waiter*>;

public:
    class awaiter;

    call_slots(int count, int longest_queue) : free_(count), longest_queue_(longest_queue) {}

    /// Waits for one, blocking the thread. None where the queue is as long as it may be.
    slot take();

    /// `co_await await()`: the same, and the coroutine is suspended. It goes on on the thread that gives a slot back.
    awaiter await();

private:
    friend class slot;

    // While a thread resumes coroutines in give_back(): those whose turn it is next on that thread.
    struct round {
        std::thread::id by;
        queue ready{};
        round* outer = nullptr;
    };

    enum class turn { now, later, never };
    turn enter(waiter& call);
    void abandon(waiter& call);
    void give_back();
    void resume(std::unique_lock<std::mutex>& lock, round& here);

    // The coroutine may be running elsewhere once the lock is given up, and may have destroyed all that is its. So this keeps
    // the mutex, and is not inlined into the coroutine, which would have these variables then.
    EXTENSIBLE_NOINLINE bool suspend(waiter& call, std::coroutine_handle<> handle) {
        const std::shared_ptr<call_slots> kept = shared_from_this();
        const std::lock_guard lock(mutex_);
        call.suspended = handle;
        return enter(call) == turn::later;
    }

    std::mutex mutex_;  // guards all below
    int free_;
    const int longest_queue_;
    queue queue_;
    round* rounds_ = nullptr;
};

// ---------------------------------------------------------------------------------------------------------------------

class call_slots::awaiter {
public:
    explicit awaiter(std::shared_ptr<call_slots> of) : of_(std::move(of)) {}
    awaiter(const awaiter&) = delete;
    awaiter& operator=(const awaiter&) = delete;
    ~awaiter() { of_->abandon(call_); }

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> handle) { return of_->suspend(call_, handle); }
    slot await_resume() { return slot(std::exchange(call_.has_slot, false) ? of_ : nullptr); }

private:
    std::shared_ptr<call_slots> of_;
    waiter call_;
};

inline slot::~slot() {
    if (of_) of_->give_back();
}

inline call_slots::turn call_slots::enter(waiter& call) {
    if (free_ > 0) {
        --free_;
        call.has_slot = true;
        return turn::now;
    }
    if (queue_.size() >= static_cast<std::size_t>(longest_queue_)) return turn::never;
    call.join(queue_);
    return turn::later;
}

inline slot call_slots::take() {
    waiter call;
    std::unique_lock lock(mutex_);
    if (enter(call) == turn::later) call.wake.wait(lock, [&] { return call.has_slot; });
    return slot(call.has_slot ? shared_from_this() : nullptr);
}

inline call_slots::awaiter call_slots::await() { return awaiter(shared_from_this()); }

// Where a coroutine is destroyed while it waits, or before it has gone on with the slot that it was given.
inline void call_slots::abandon(waiter& call) {
    std::unique_lock lock(mutex_);
    call.leave();
    lock.unlock();
    if (call.has_slot) give_back();
}

inline void call_slots::give_back() {
    std::unique_lock lock(mutex_);
    if (queue_.empty()) {
        ++free_;
        return;
    }
    waiter& next = *queue_.front();
    next.has_slot = true;
    if (!next.suspended) {
        next.leave();
        next.wake.notify_one();  // under the lock, behind which it is gone
        return;
    }
    // A coroutine may have ended, and given its slot back, before resume() returns. That is done further out then: as many as
    // wait would otherwise be resumed one within another.
    for (round* outer = rounds_; outer; outer = outer->outer)
        if (outer->by == std::this_thread::get_id()) return next.move_to(outer->ready);
    round here{std::this_thread::get_id()};
    next.move_to(here.ready);
    resume(lock, here);
}

inline void call_slots::resume(std::unique_lock<std::mutex>& lock, round& here) {
    here.outer = std::exchange(rounds_, &here);
    while (!here.ready.empty()) {
        waiter& next = *here.ready.front();
        next.leave();
        lock.unlock();
        next.suspended.resume();
        lock.lock();
    }
    round** at = &rounds_;
    while (*at != &here) at = &(*at)->outer;  // rounds of other threads may have begun meanwhile
    *at = here.outer;
}

}  // namespace ext::inline EXTENSIBLE_ABI::hooks::detail
