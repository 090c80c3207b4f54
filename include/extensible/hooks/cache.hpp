#pragma once

// ext::hooks::cache: an around hook that keeps the results of a function, and returns copies of
// them to later calls with equal arguments.
//
//     #include <extensible/hooks/cache.hpp>
//
//     ext::hooks::cache known{fetch, {.ttl = 10min, .capacity = 1000}};
//     fetch.around(known);
//     ext::hooks::cache sent{send, {.ttl = 1s}, [](const client& to, int what) { return std::pair(to.id(), what); }};
//     known.forget("oslo");
//     std::clog << known.counts().hits << " hits\n";

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/cache_key.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/expect.hpp>
#include <extensible/hooks/detail/lru.hpp>
#include <extensible/hooks/single_flight.hpp>
#include <extensible/proceed.hpp>
#include <extensible/result.hpp>
#include <extensible/wrapper.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// Options of a cache. All fields are optional. Designated initializers must appear in the order of
/// declaration.
struct cache_options {
    /// The time to live: how long a result is kept. 0 or more. With 0, only concurrent calls share
    /// a result.
    duration ttl = (duration::max)();

    /// The maximum number of kept results. If there are more, the least recently used one is
    /// evicted. At least 1.
    std::size_t capacity = 1000;

    /// How long a failure is kept: an exception, or a result for which ext::failed is true. 0 or
    /// more. With 0, failures are not kept.
    duration failures_ttl = duration(0);

    /// Tells the time. The cache does not sleep.
    hooks::clock clock = {};
};

/// The counters of a cache. See cache::counts().
struct cache_counts {
    /// The number of calls that received the result or the failure of another call.
    std::uint64_t hits = 0;

    /// The number of calls that proceeded to the function.
    std::uint64_t misses = 0;

    /// The number of results that were removed because the cache was full.
    std::uint64_t evictions = 0;

    /// The number of results that are kept now, including expired ones.
    std::size_t size = 0;

    /// The number of threads that are waiting now for another thread's call.
    std::size_t waiting = 0;
};

namespace detail {

template <class Key, class T>
class cache_state;

}  // namespace detail

/// An around hook that keeps the results of functions of the signature R(A...). A call with equal
/// arguments receives a copy of the kept result.
///
/// A result is found by the arguments of its call, which the cache stores: string views and C
/// strings as std::string, other pointers by their address. A view inside another type is stored as
/// a view, so the characters must live as long as the cache keeps the view. Each argument must be
/// copyable and have an operator<. Otherwise pass `make_key`, a callable that receives all
/// arguments as constants and returns a key that has an operator<. Several threads may call it at
/// the same time.
///
/// If several calls with equal arguments run at once, one of them calls the function. The others
/// wait, and receive the same result or exception. A waiting awaited call is suspended. It resumes
/// on the thread on which the other call ends, before that call returns. If the other call is
/// destroyed, one of the waiting calls takes its place. Do not destroy a waiting call while another
/// thread may resume it.
///
/// A thread that would wait for itself calls the function instead, so a plain function may call
/// itself with equal arguments. Awaited calls that wait for themselves are not detected, nor are
/// two threads that wait for each other in two caches: they wait forever.
///
/// A result that is a view, a pointer or a reference is kept as it is. The object that it refers to
/// must live as long as the cache keeps the result.
///
/// Copies share the kept results, and any number of threads may use them at the same time. To
/// register a cache by name, write the signature: `ext::around<R(A...)>("fetch",
/// ext::hooks::cache<R(A...)>{options})`.
template <class Signature, class MakeKey = detail::by_arguments>
class cache;

template <class R, class... A, class MakeKey>
class cache<R(A...), MakeKey> {
    static constexpr bool is_awaited = detail::coroutine_type<R>;
    using value = detail::outcome_of<R>;
    static_assert(std::is_void_v<value> || std::is_lvalue_reference_v<value> || std::is_copy_constructible_v<value>,
                  "ext::hooks::cache: the function's result cannot be copied, so it cannot be given to several; "
                  "return a std::shared_ptr");
    static_assert(!is_awaited || std::is_same_v<detail::sub_task_of<R>, detail::sub_task>,
                  "ext::hooks::cache: coroutines of the function's type await only those of their own family, "
                  "and so cannot wait here");
    using key = detail::key_of<MakeKey, std::remove_cvref_t<A>...>;

public:
    /// The call that the hook receives.
    using call_type = ext::call<R(A...)>;

    /// What the hook returns if the function returns an awaitable. Otherwise void.
    using stage = detail::sub_task_of<R>;

    /// Creates an empty cache. Takes only the signature from the function. Throws ext::error if an
    /// option is invalid.
    template <class Function, class Parameters>
    explicit cache(const extensible<R(A...), Function, Parameters>&, cache_options options = {}, MakeKey make_key = {})
        : cache(std::move(options), std::move(make_key)) {}

    /// Creates an empty cache. Throws ext::error if an option is invalid.
    explicit cache(cache_options options = {}, MakeKey make_key = {})
        : state_(std::make_shared<state>(std::move(options))), make_key_(std::move(make_key)) {}

    /// Runs the cache as an around hook: sets the outcome of the call to a kept one, waits for that
    /// of another call, or proceeds.
    void operator()(call_type& call, ext::proceed& proceed) const
        requires(!is_awaited)
    {
        const key asked = key_of(call);
        for (;;) {
            const auto found = state_->ask(asked);
            if (found.outcome) return give(call, *found.outcome);
            if (found.begun) {
                typename state::asking here(*state_, found.flight);
                proceed();
                return here.end(call);
            }
            if (!state_->wait(*found.flight)) return proceed();
            if (found.flight->outcome) return give(call, *found.flight->outcome);
        }
    }

    /// Runs the cache as an around hook of a function that returns an awaitable.
    stage operator()(call_type& call, awaiting_proceed<stage>& proceed) const
        requires is_awaited
    {
        const key asked = key_of(call);
        for (;;) {
            const auto found = state_->ask(asked);
            if (found.outcome) co_return give(call, *found.outcome);
            if (found.begun) {
                typename state::asking here(*state_, found.flight);
                co_await proceed();
                co_return here.end(call);
            }
            co_await state::flights::ended(found.flight);
            if (found.flight->outcome) co_return give(call, *found.flight->outcome);
        }
    }

    /// Removes the result for these arguments, so that the next call with them calls the function.
    /// The result of a call with these arguments that is running now is not kept.
    void forget(const std::remove_cvref_t<A>&... args) const { state_->forget(key(make_key_(args...))); }

    /// Does what forget() does, for all arguments.
    void clear() const { state_->clear(); }

    /// Returns the current counters.
    cache_counts counts() const { return state_->counts(); }

private:
    using state = detail::cache_state<key, value>;

    key key_of(call_type& call) const {
        return detail::pass_on<true>(call, [&](const auto&... args) { return key(make_key_(args...)); });
    }

    void give(call_type& call, const typename state::outcome& known) const {
        state_->count_hit();
        call.exception = known.exception;
        if constexpr (std::is_void_v<value>) {
            if (known.result) call.result.emplace();
        } else if (known.result) {
            call.result.emplace(*known.result);
        }
    }

    std::shared_ptr<state> state_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS MakeKey make_key_;
};

template <class Signature, class Function, class Parameters>
cache(const extensible<Signature, Function, Parameters>&, cache_options = {}) -> cache<Signature>;
template <class Signature, class Function, class Parameters, class MakeKey>
cache(const extensible<Signature, Function, Parameters>&, cache_options, MakeKey) -> cache<Signature, MakeKey>;

// -------------------------------------------------------------------------------------------------

namespace detail {

template <class Key, class T>
class cache_state {
public:
    struct outcome {
        ext::result<T> result;
        std::exception_ptr exception;
    };
    using shared_outcome = std::shared_ptr<const outcome>;  // null if it could not be copied, or the call was destroyed
    using flights = single_flight<Key, shared_outcome, key_order>;
    using shared_flight = typename flights::shared_flight;

    explicit cache_state(cache_options options) : options_(std::move(options)), kept_(options_.capacity) {
        expect(options_.ttl >= duration(0), "cache", ".ttl", "0 or more", options_.ttl);
        expect(options_.capacity >= 1, "cache", ".capacity", "at least 1", options_.capacity);
        expect(options_.failures_ttl >= duration(0), "cache", ".failures_ttl", "0 or more", options_.failures_ttl);
    }

    struct found {
        shared_outcome outcome;  // the kept outcome; if it is null:
        shared_flight flight;    // the call that is asking now
        bool begun = false;      // true if that is the caller's own call, whose flight has just begun
    };
    found ask(const Key& key);

    /// Waits for the flight to end. Returns false at once if this thread would wait for itself.
    bool wait(typename flights::flight& flight) {
        std::unique_lock lock = flights_.lock();
        const bool waited = flights_.wait(lock, flight);
        if (!waited) ++counts_.misses;
        return waited;
    }

    class asking;

    void forget(const Key& key) {
        const auto lock = flights_.lock();
        kept_.forget(key);
        flights_.forget(key);
    }
    void clear() {
        const auto lock = flights_.lock();
        kept_.clear();
        flights_.clear();
    }
    void count_hit() {
        const auto lock = flights_.lock();
        ++counts_.hits;
    }
    cache_counts counts() const {
        const auto lock = flights_.lock();
        cache_counts counts = counts_;
        counts.size = kept_.size();
        counts.waiting = flights_.waiting();
        return counts;
    }

private:
    void end(const shared_flight& flight, shared_outcome came, duration ttl);

    const cache_options options_;
    flights flights_;  // its lock guards all below
    lru<Key, shared_outcome, key_order> kept_;
    cache_counts counts_;
};

/// Owns the flight that a call has begun. The destructor ends the flight, even if the call is
/// destroyed while it is suspended.
template <class Key, class T>
class cache_state<Key, T>::asking {
public:
    asking(cache_state& state, shared_flight begun) noexcept : state_(state), flight_(std::move(begun)) {}
    asking(const asking&) = delete;
    asking& operator=(const asking&) = delete;
    ~asking() { state_.end(flight_, std::move(outcome_), ttl_); }

    template <class Call>
    void end(const Call& call) {
        bool failed = !call.result.has_value() || call.exception;
        if constexpr (!std::is_void_v<T>) failed = failed || ext::failed(*call.result);
        ttl_ = failed ? state_.options_.failures_ttl : state_.options_.ttl;
        EXTENSIBLE_TRY {
            outcome_ = std::make_shared<const outcome>(outcome{call.result, call.exception});
        } EXTENSIBLE_CATCH(...) {
            // The outcome could not be copied, perhaps for lack of memory. Then the waiting calls
            // ask again.
        }
    }

private:
    cache_state& state_;
    const shared_flight flight_;
    shared_outcome outcome_;
    duration ttl_{0};
};

template <class Key, class T>
auto cache_state<Key, T>::ask(const Key& key) -> found {
    const time_point now = options_.clock.now();
    const auto lock = flights_.lock();
    if (const shared_outcome* const known = kept_.find(key, now)) return {*known, nullptr};
    if (shared_flight joined = flights_.find(key)) return {nullptr, std::move(joined)};
    found made{nullptr, flights_.make(key), true};
    flights_.begin(made.flight);
    ++counts_.misses;
    return made;
}

template <class Key, class T>
void cache_state<Key, T>::end(const shared_flight& flight, shared_outcome came, duration ttl) {
    const time_point now = options_.clock.now();
    {
        const auto lock = flights_.lock();
        const bool is_wanted = flights_.close(*flight);
        flights_.end(*flight, came);
        const bool is_kept = is_wanted && came && ttl > duration(0);
        EXTENSIBLE_TRY {
            const time_point until = ttl < (time_point::max)() - now ? now + ttl : (time_point::max)();
            if (is_kept) counts_.evictions += kept_.keep(flight->key, std::move(came), until);
        } EXTENSIBLE_CATCH(...) {
            // Out of memory: the outcome is not kept.
        }
    }
    flights::resume(flight);
}

}  // namespace detail

}}}  // namespace ext::hooks
