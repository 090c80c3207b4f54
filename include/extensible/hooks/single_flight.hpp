#pragma once

// How is something asked for once, however many want it at the same time? One call asks: a flight. The others wait for it to end.

#include <extensible/detail/platform/compiler.hpp>

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::hooks {

/// The flights under way, by key. Its lock may guard more than them: for a cache, what is kept is looked at and a flight begun
/// in one step. Who begins a flight has to close() and end() it, whatever happens.
template <class Key, class Outcome, class Order = std::less<>>
class single_flight {
public:
    class flight;
    using shared_flight = std::shared_ptr<flight>;
    class awaiter;

    [[nodiscard]] std::unique_lock<std::mutex> lock() const { return std::unique_lock(*mutex_); }

    // ---- Under the lock ----

    /// The flight for this key; null where there is none.
    template <class K>
    shared_flight find(const K& key) const {
        const auto found = flights_.find(key);
        return found != flights_.end() ? found->second : nullptr;
    }

    /// Makes a flight of this thread, which nobody finds before begin(): that may throw std::bad_alloc, and then it has not
    /// begun.
    shared_flight make(Key key) const { return std::make_shared<flight>(std::move(key), mutex_); }
    void begin(const shared_flight& made) { flights_.emplace(made->key, made); }

    /// Blocks this thread until it has ended, without the lock. False at once where it would wait for itself: asking may need
    /// what is asked for, or what a thread is asking for that waits for this one. Not known of threads that wait in two objects
    /// of this class.
    bool wait(std::unique_lock<std::mutex>& lock, flight& joined);

    /// Nobody finds it any more. False where it had been forgotten: its outcome is for those alone who wait for it.
    bool close(const flight& asked) noexcept;

    /// Wakes the threads that wait. The coroutines wait for resume().
    void end(flight& asked, Outcome outcome) noexcept;

    /// Who asks from now on begins another flight.
    template <class K>
    void forget(const K& key) {
        if (const auto found = flights_.find(key); found != flights_.end()) flights_.erase(found);
    }
    void clear() noexcept { flights_.clear(); }

    /// How many threads are waiting.
    std::size_t waiting() const noexcept { return waits_.size(); }

    // ---- Without the lock ----

    /// `co_await ended(flight)`: the coroutine is suspended until the flight has ended. That it waits for itself is not seen.
    static awaiter ended(shared_flight joined) { return awaiter(std::move(joined)); }

    /// Resumes the coroutines that wait, in the order in which they came, on this thread.
    static void resume(shared_flight asked);

private:
    bool would_wait_for_itself(const flight& joined) const;

    const std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();  // guards all below, and the flights
    std::map<Key, shared_flight, Order> flights_;    // none that is closed
    std::map<std::thread::id, const flight*> waits_;  // which thread waits for what
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Key, class Outcome, class Order>
class single_flight<Key, Outcome, Order>::flight {
public:
    flight(Key asked, std::shared_ptr<std::mutex> mutex) : key(std::move(asked)), mutex_(std::move(mutex)) {}

    const Key key;
    Outcome outcome{};  // constant once it has ended

private:
    friend single_flight;
    const std::thread::id by_ = std::this_thread::get_id();
    const std::shared_ptr<std::mutex> mutex_;
    bool has_ended_ = false;
    std::condition_variable ended_{};
    std::list<awaiter*> suspended_{};
};

template <class Key, class Outcome, class Order>
class single_flight<Key, Outcome, Order>::awaiter {
public:
    explicit awaiter(shared_flight joined) noexcept : joined_(std::move(joined)) {}
    awaiter(const awaiter&) = delete;
    awaiter& operator=(const awaiter&) = delete;
    ~awaiter() {  // which may be destroyed while it waits
        const std::lock_guard lock(*joined_->mutex_);
        if (waits_) joined_->suspended_.erase(node_);
    }

    bool await_ready() const noexcept { return false; }

    // The coroutine may be running elsewhere once the lock is given up, and this destroyed. So what it needs then is its own,
    // and it is not inlined into the coroutine, which would have these variables.
    EXTENSIBLE_NOINLINE bool await_suspend(std::coroutine_handle<> handle) {
        const shared_flight joined = joined_;
        const std::lock_guard lock(*joined->mutex_);
        if (joined->has_ended_) return false;
        handle_ = handle;
        node_ = joined->suspended_.insert(joined->suspended_.end(), this);
        return waits_ = true;
    }
    void await_resume() const noexcept {}

private:
    friend single_flight;
    const shared_flight joined_;
    std::coroutine_handle<> handle_{};
    bool waits_ = false;
    typename std::list<awaiter*>::iterator node_{};
};

template <class Key, class Outcome, class Order>
bool single_flight<Key, Outcome, Order>::wait(std::unique_lock<std::mutex>& lock, flight& joined) {
    if (would_wait_for_itself(joined)) return false;
    const auto waits_here = waits_.emplace(std::this_thread::get_id(), &joined).first;
    joined.ended_.wait(lock, [&] { return joined.has_ended_; });
    waits_.erase(waits_here);
    return true;
}

// The threads that wait for each other never make a circle, or none of them would go on.
template <class Key, class Outcome, class Order>
bool single_flight<Key, Outcome, Order>::would_wait_for_itself(const flight& joined) const {
    for (const flight* next = &joined; !next->has_ended_;) {
        if (next->by_ == std::this_thread::get_id()) return true;
        const auto found = waits_.find(next->by_);
        if (found == waits_.end()) return false;
        next = found->second;
    }
    return false;
}

template <class Key, class Outcome, class Order>
bool single_flight<Key, Outcome, Order>::close(const flight& asked) noexcept {
    const auto found = flights_.find(asked.key);
    if (found == flights_.end() || found->second.get() != &asked) return false;
    flights_.erase(found);
    return true;
}

template <class Key, class Outcome, class Order>
void single_flight<Key, Outcome, Order>::end(flight& asked, Outcome outcome) noexcept {
    asked.outcome = std::move(outcome);
    asked.has_ended_ = true;
    asked.ended_.notify_all();
}

// One by one: what is resumed may destroy another that waits.
template <class Key, class Outcome, class Order>
void single_flight<Key, Outcome, Order>::resume(shared_flight asked) {
    std::unique_lock lock(*asked->mutex_);
    while (!asked->suspended_.empty()) {
        awaiter& next = *asked->suspended_.front();
        asked->suspended_.pop_front();
        next.waits_ = false;
        lock.unlock();
        next.handle_.resume();
        lock.lock();
    }
}

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
