#pragma once

// How is a function's result given again, without a call, to those who ask for the same? By an around hook that keeps it.
//
//     #include <extensible/hooks/cache.hpp>
//
//     ext::hooks::cache known{fetch, {.ttl = 10min, .capacity = 1000}};
//     fetch.around(known);
//     ext::hooks::cache sent{send, {.ttl = 1s}, [](const client& to, int what) { return std::pair(to.id(), what); }};
//     known.forget("oslo");
//     std::clog << known.counts().hits << " hits\n";

#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/arguments.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/cache_key.hpp>
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

namespace ext::inline EXTENSIBLE_ABI::hooks {

struct cache_options {
    duration ttl = (duration::max)();      ///< time to live: so long a result is given again
    std::size_t capacity = 1000;         ///< so many results are kept: the one goes that was not asked for for the longest time
    duration failures_ttl = duration(0);  ///< so long a failure is given again: exceptions, and results that say so, see ext::failed
    hooks::clock clock = {};
};

struct cache_counts {
    std::uint64_t hits = 0;       ///< calls that were given a result, or a failure, of another
    std::uint64_t misses = 0;     ///< calls that went on to the function
    std::uint64_t evictions = 0;  ///< results that the capacity had no room for
    std::size_t size = 0;         ///< results that are kept now, also those whose time is over
    std::size_t waiting = 0;      ///< threads that wait now for what another has asked for
};

namespace detail {

template <class Key, class T>
class cache_state;

}  // namespace detail

/// An around hook for functions of this signature. The results are told apart by the arguments, which are kept: views and C
/// strings as strings of their own, pointers by their address; what a view further in refers to has to live as long. For
/// arguments that have no operator<, `make_key` is called with all of them, by any thread, and gives something that has.
///
/// Who asks for what another call is asking for waits for it, and gets the same: also its exception. An awaited call is
/// suspended meanwhile, and goes on on the thread on which the other ended, before that returns; where the other is destroyed,
/// one of them asks in its place. A thread that would wait for itself, because asking needs what is asked for, goes on to the
/// function instead; of an awaited call that cannot be known, and it would wait for ever.
///
/// The copies share what is kept, and any thread may use them. What is given is a copy. A call that waits may be destroyed, but
/// not while another thread may resume it. By name the signature is given: `ext::around<R(A...)>("fetch",
/// ext::hooks::cache<R(A...)>{options})`.
template <class Signature, class MakeKey = detail::by_arguments>
class cache;

template <class R, class... A, class MakeKey>
class cache<R(A...), MakeKey> {
    static constexpr bool is_awaited = ext::detail::coroutine_type<R>;
    using value = ext::detail::outcome_of<R>;
    static_assert(std::is_void_v<value> || std::is_lvalue_reference_v<value> || std::is_copy_constructible_v<value>,
                  "ext::hooks::cache: the function's result cannot be copied, so it cannot be given to several; "
                  "return a std::shared_ptr");
    static_assert(!is_awaited || std::is_same_v<ext::detail::stage_of<R>, ext::detail::stage>,
                  "ext::hooks::cache: coroutines of the function's type await only those of their own family, "
                  "and so cannot wait here");
    using key = detail::key_of<MakeKey, std::remove_cvref_t<A>...>;

public:
    using call_type = ext::call<R(A...)>;
    using stage = ext::detail::stage_of<R>;

    /// The function only tells the signature. Throws ext::error for options that cannot be meant.
    template <class Function, class Parameters>
    explicit cache(const extensible<R(A...), Function, Parameters>&, cache_options options = {}, MakeKey make_key = {})
        : cache(std::move(options), std::move(make_key)) {}
    explicit cache(cache_options options = {}, MakeKey make_key = {})
        : state_(std::make_shared<state>(std::move(options))), make_key_(std::move(make_key)) {}

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

    /// The next call with these arguments goes on to the function. What is being asked for now is not kept.
    void forget(const std::remove_cvref_t<A>&... args) const { state_->forget(key(make_key_(args...))); }

    /// As forget(), for all.
    void clear() const { state_->clear(); }

    cache_counts counts() const { return state_->counts(); }

private:
    using state = detail::cache_state<key, value>;

    key key_of(call_type& call) const {
        return ext::detail::pass_on<true>(call, [&](const auto&... args) { return key(make_key_(args...)); });
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

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

template <class Key, class T>
class cache_state {
public:
    struct outcome {
        ext::result<T> result;
        std::exception_ptr exception;
    };
    using shared_outcome = std::shared_ptr<const outcome>;  // null where it could not be copied, or the call was destroyed
    using flights = single_flight<Key, shared_outcome, key_order>;
    using shared_flight = typename flights::shared_flight;

    explicit cache_state(cache_options options) : options_(std::move(options)), kept_(options_.capacity) {
        expect(options_.ttl >= duration(0), "cache", ".ttl", "0 or more", options_.ttl);
        expect(options_.capacity >= 1, "cache", ".capacity", "at least 1", options_.capacity);
        expect(options_.failures_ttl >= duration(0), "cache", ".failures_ttl", "0 or more", options_.failures_ttl);
    }

    struct found {
        shared_outcome outcome;  // what is kept; else
        shared_flight flight;    // who is asking
        bool begun = false;      // it is the caller
    };
    found ask(const Key& key);

    /// False where this thread would wait for itself.
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

/// While a call asks: the flight that it has begun. It ends with this, also where the call is destroyed.
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
            // There is no memory, or it cannot be copied: those who wait ask themselves.
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
            // There is no memory: it is asked for again.
        }
    }
    flights::resume(flight);
}

}  // namespace detail

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
