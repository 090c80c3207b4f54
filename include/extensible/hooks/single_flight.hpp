#pragma once

// ext::hooks::single_flight: if several callers ask for the same key at the same time, one of them
// asks (the flight), and the others wait for its outcome. ext::hooks::cache uses it.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/core.hpp>

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

namespace detail {

// How many flights this thread has begun with begin(), and not ended.
EXTENSIBLE_HIDDEN inline constinit thread_local int flights_of_this_thread = 0;

}  // namespace detail

/// A table of the flights under way, by key, with a lock. It works for threads and coroutines.
///
/// A caller takes the lock and looks for a flight of its key. If there is one, the caller waits for
/// it with wait() or ended(). Otherwise it makes and begins a flight, asks without the lock, and
/// writes the flight's `outcome`. Then it must call close() and end() with the lock, and resume()
/// without it, even if asking failed. The lock may guard other data too: a cache looks at its kept
/// results and begins a flight under one lock.
///
/// Any number of threads may use one object. Call the members of the first group only with the lock
/// held, and the others only without it. `Outcome` must be default-constructible.
template <class Outcome>
class single_flight {
public:
    /// One flight. Its member `outcome` is constant once the flight has ended.
    class flight;

    /// A shared pointer to a flight.
    using shared_flight = std::shared_ptr<flight>;

    /// What ended() returns.
    class awaiter;

    /// Locks the table. The lock is released when the returned object is destroyed.
    [[nodiscard]] std::unique_lock<std::mutex> lock() const { return std::unique_lock(*mutex_); }

    // ---- With the lock held ----

    /// Returns the flight for this key, or null.
    shared_flight find(std::string_view key) const {
        const auto found = flights_.find(key);
        return found != flights_.end() ? found->second : nullptr;
    }

    /// Makes a flight of this thread. find() does not find it before begin().
    shared_flight make(std::string_view key) const { return detail::make_shared<flight>(std::string(key), mutex_); }

    /// Begins the flight: find() finds it from now on. It must end on this thread. If it throws
    /// std::bad_alloc, the flight has not begun.
    EXTENSIBLE_HIDDEN void begin(const shared_flight& made) {
        begin_awaited(made);
        made->is_counted_ = true;
        ++detail::flights_of_this_thread;
    }

    /// Begins the flight of a coroutine, which may end on another thread.
    void begin_awaited(const shared_flight& made) { flights_.emplace(made->key, made); }

    /// Blocks this thread until the flight has ended, at most for `longest`. Releases the lock while
    /// it waits, and takes it again. Returns whether the flight has ended. Returns false at once if
    /// this thread has begun the flight itself.
    ///
    /// If is_asking(), this thread might wait for a thread that waits for it. To be safe, do not wait
    /// then, but ask without a flight.
    bool wait(std::unique_lock<std::mutex>& lock, flight& joined, duration longest = (duration::max)());

    /// Removes the flight from the table. Returns false if it was already forgotten; then only its
    /// current waiters get the outcome.
    bool close(const flight& asked) noexcept;

    /// Ends the flight, and wakes the threads that wait. Coroutines wait until resume() is called.
    EXTENSIBLE_HIDDEN void end(flight& asked) noexcept;

    /// Removes the flight for this key, so that the next caller begins another one.
    void forget(std::string_view key) {
        if (const auto found = flights_.find(key); found != flights_.end()) flights_.erase(found);
    }

    /// Does what forget() does, for all keys.
    void clear() noexcept { flights_.clear(); }

    /// Returns the number of threads that are waiting.
    std::size_t waiting() const noexcept { return waiting_; }

    // ---- Without the lock ----

    /// Returns true between begin() and end() of a flight of this thread, of any single_flight in this
    /// module (the program, or a shared library).
    EXTENSIBLE_HIDDEN static bool is_asking() noexcept { return detail::flights_of_this_thread != 0; }

    /// Returns an awaitable: `co_await ended(flight)` suspends the coroutine until the flight has
    /// ended. A coroutine that waits for itself is not detected, and waits forever.
    static awaiter ended(shared_flight joined) { return awaiter(std::move(joined)); }

    /// Resumes the coroutines that wait for this flight, on this thread, in the order in which they
    /// arrived.
    static void resume(shared_flight asked);

private:
    const std::shared_ptr<std::mutex> mutex_ = detail::make_shared<std::mutex>();  // guards all below, and the flights
    std::unordered_map<std::string_view, shared_flight> flights_;  // begun, but neither closed nor forgotten
    std::size_t waiting_ = 0;
};

// -------------------------------------------------------------------------------------------------

template <class Outcome>
class single_flight<Outcome>::flight {
public:
    /// Makes a flight of the calling thread. Use make() instead.
    flight(std::string asked, std::shared_ptr<std::mutex> mutex) : key(std::move(asked)), mutex_(std::move(mutex)) {}

    /// The key that the flight asks for.
    const std::string key;

    /// The outcome. Only the code that has begun the flight may write it, before it calls end().
    Outcome outcome{};

private:
    friend single_flight;
    const std::thread::id by_ = std::this_thread::get_id();
    const std::shared_ptr<std::mutex> mutex_;
    bool is_counted_ = false;  // in flights_of_this_thread
    bool has_ended_ = false;
    std::condition_variable ended_{};
    std::list<awaiter*> suspended_{};
};

template <class Outcome>
class single_flight<Outcome>::awaiter {
public:
    explicit awaiter(shared_flight joined) noexcept : joined_(std::move(joined)) {}
    awaiter(const awaiter&) = delete;
    awaiter& operator=(const awaiter&) = delete;
    ~awaiter() {  // the coroutine may be destroyed while it waits
        const std::lock_guard lock(*joined_->mutex_);
        if (waits_) joined_->suspended_.erase(node_);
    }

    bool await_ready() const noexcept { return false; }

    // As soon as the lock is released, another thread may resume the coroutine, which destroys this
    // object. So the function has its own reference to the flight. It must not be inlined into the
    // coroutine, because its variables would then be in the coroutine's frame.
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

template <class Outcome>
bool single_flight<Outcome>::wait(std::unique_lock<std::mutex>& lock, flight& joined, duration longest) {
    if (joined.by_ == std::this_thread::get_id() && !joined.has_ended_) return false;
    struct counted {  // ends even if the thread is cancelled while it waits: the lock is held then
        std::size_t& waiting;
        ~counted() { --waiting; }
    };
    ++waiting_;
    const counted here{waiting_};
    const auto has_ended = [&] { return joined.has_ended_; };
    if (longest != (duration::max)()) return joined.ended_.wait_for(lock, longest, has_ended);
    joined.ended_.wait(lock, has_ended);  // wait_for() would add the duration to the time, and overflow
    return true;
}

template <class Outcome>
bool single_flight<Outcome>::close(const flight& asked) noexcept {
    const auto found = flights_.find(asked.key);
    if (found == flights_.end() || found->second.get() != &asked) return false;
    flights_.erase(found);
    return true;
}

template <class Outcome>
void single_flight<Outcome>::end(flight& asked) noexcept {
    if (asked.is_counted_) --detail::flights_of_this_thread;
    asked.has_ended_ = true;
    asked.ended_.notify_all();
}

// Takes one coroutine at a time from the list, because a resumed coroutine may destroy another one
// that waits.
template <class Outcome>
void single_flight<Outcome>::resume(shared_flight asked) {
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

}}}  // namespace ext::hooks
