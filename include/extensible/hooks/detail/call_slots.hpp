#pragma once

// The slots of limit_calls(): a fixed number of slots, and a queue of threads and coroutines that
// wait for one.

#include <extensible/detail/platform/compiler.hpp>

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

class call_slots;

// A waiting call. Guarded by the mutex of the slots.
struct waiter {
    std::list<waiter*>* in = nullptr;  // the list that contains this: the queue, or `ready` of a round; or null
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

/// Owns one slot, or none. The destructor returns the slot.
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

/// Gives slots to threads and coroutines in the order in which they arrived. A slot that is
/// returned passes directly to the first waiter in the queue, so a slot is free only if the queue
/// is empty. Any thread may use it.
class call_slots : public std::enable_shared_from_this<call_slots> {
    using queue = std::list<waiter*>;

public:
    class awaiter;

    call_slots(int count, int longest_queue) : free_(count), longest_queue_(longest_queue) {}

    /// Takes a slot, and blocks the thread until there is one. Returns no slot if the queue is
    /// full.
    slot take();

    /// Does the same for a coroutine: `co_await await()` suspends it until there is a slot. It
    /// resumes on the thread that returns a slot.
    awaiter await();

private:
    friend class slot;

    // Exists while a thread resumes coroutines in give_back(). The coroutines in `ready` have a
    // slot, and are resumed next on that thread.
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

    // As soon as the lock is released, another thread may resume the coroutine, which may destroy
    // the waiter and its reference to this object. So the function has its own reference. It must
    // not be inlined into the coroutine, because its variables would then be in the coroutine's
    // frame.
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

// -------------------------------------------------------------------------------------------------

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

// Called when an awaiter is destroyed. Its coroutine may have been destroyed while it waits, or
// before it has resumed with the slot that it was given.
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
        next.wake.notify_one();  // with the lock held, because the waiter may be destroyed once it is released
        return;
    }
    // A resumed coroutine may end, and return its slot, before resume() returns. In this case the
    // outer call of resume() on this thread resumes the next coroutine. Otherwise the calls would
    // nest as deep as the queue is long.
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
    while (*at != &here) at = &(*at)->outer;  // other threads may have begun rounds in the meantime
    *at = here.outer;
}

}}}}  // namespace ext::hooks::detail
