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
#include <extensible/hooks/failed.hpp>
#include <extensible/hooks/single_flight.hpp>
#include <extensible/proceed.hpp>
#include <extensible/result.hpp>
#include <extensible/wrapper.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
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

    /// How long a failure is kept: an exception, or a result for which the option `.failed`, or else
    /// ext::failed, is true. 0 or more. With 0, failures are not kept.
    duration failures_ttl = duration(0);

    /// If a call fails, its caller receives the expired result of an earlier call instead, until this
    /// long after the result has expired. 0 or more. With 0, expired results are not used. With
    /// `failures_ttl`, the function is then not called again for that long.
    duration stale_if_error = duration(0);

    /// Decides which results mean a failure. If this is empty, ext::failed decides.
    failure_predicate failed = {};

    /// Tells the time. The cache does not sleep.
    hooks::clock clock = {};
};

/// The counters of a cache. See cache::counts().
struct cache_counts {
    /// The number of calls that did not proceed, because another call had the outcome.
    std::uint64_t hits = 0;

    /// The number of calls that proceeded to the function, except those with a NaN.
    std::uint64_t misses = 0;

    /// The number of results that were removed because the cache was full.
    std::uint64_t evictions = 0;

    /// The number of results that are kept now, including expired ones that were not removed yet.
    std::size_t size = 0;

    /// The number of threads that are waiting now for another thread's call.
    std::size_t waiting = 0;
};

namespace detail {

template <class T>
class cache_state;

}  // namespace detail

/// An around hook that keeps the results of functions of the signature R(A...). A call with equal
/// arguments receives a copy of the kept result.
///
/// A result is found by the arguments of its call. These can be numbers, enumerators, texts (strings,
/// views and C strings, by their characters), pointers (by their address), durations, time points and
/// paths, and std::pair, std::tuple, std::optional, std::variant and ordered containers of these. If an
/// argument has another type, or a length follows a pointer to characters, pass `make_key`: a callable
/// that receives all arguments as constants and returns such a value. Several threads may call it at
/// the same time. 0.0 and -0.0 are different. No result is kept for arguments that contain a NaN.
///
/// If several calls with equal arguments run at once, one of them calls the function. The others
/// wait, and receive the same result or exception. A waiting awaited call is suspended. It resumes
/// on the thread on which the other call ends, before that call returns. If the other call is
/// destroyed, one of the waiting calls takes its place. Do not destroy a waiting call while another
/// thread may resume it.
///
/// A thread that is in a plain call of a cached function does not wait for other threads, but calls the
/// function itself. So threads whose cached functions call each other never wait for each other, with
/// one cache or with several in one module (the program, or a shared library). Cycles with an
/// awaited call are not detected: they wait forever.
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
    static_assert(std::is_void_v<value> || std::is_lvalue_reference_v<value> || detail::is_copyable<value>,
                  "ext::hooks::cache: the function's result cannot be copied, so it cannot be given to several; "
                  "return a std::shared_ptr");
    static_assert(!is_awaited || std::is_same_v<detail::sub_task_of<R>, detail::sub_task>,
                  "ext::hooks::cache: coroutines of the function's type await only those of their own family, "
                  "and so cannot wait here");
    using maker = detail::key_maker<MakeKey, std::remove_cvref_t<A>...>;
    using key = typename maker::key;  // checks here that a key can be made, and not first in a call

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
        : state_(detail::make_shared<state>(std::move(options))), make_key_(std::move(make_key)) {}

    /// Runs the cache as an around hook: sets the outcome of the call to a kept one, waits for that
    /// of another call, or proceeds.
    void operator()(call_type& call, ext::proceed& proceed) const
        requires(!is_awaited)
    {
        const key asked = key_of(call);
        if (!asked.is_equal_to_itself()) return proceed();
        for (;;) {
            const auto found = state_->ask(asked.bytes(), is_awaited);
            if (found.known) return found.known->give(call);
            if (found.is_begun) {
                typename state::asking here(*state_, found);
                proceed();
                return here.end(call);
            }
            if (!state_->wait(*found.flight)) return proceed();
            if (found.flight->outcome) return found.flight->outcome->give(call);
        }
    }

    /// Runs the cache as an around hook of a function that returns an awaitable.
    stage operator()(call_type& call, awaiting_proceed<stage>& proceed) const
        requires is_awaited
    {
        const key asked = key_of(call);
        if (!asked.is_equal_to_itself()) {
            co_await proceed();
            co_return;
        }
        for (;;) {
            const auto found = state_->ask(asked.bytes(), is_awaited);
            if (found.known) co_return found.known->give(call);
            if (found.is_begun) {
                typename state::asking here(*state_, found);
                co_await proceed();
                co_return here.end(call);
            }
            co_await state::flights::ended(found.flight);
            if (!found.flight->outcome) continue;
            state_->count_hit();
            co_return found.flight->outcome->give(call);
        }
    }

    /// Removes the result for these arguments, so that the next call with them calls the function.
    /// The result of a call with these arguments that is running now is not kept.
    void forget(const std::remove_cvref_t<A>&... args) const {
        const key asked = maker::make(make_key_, args...);
        if (asked.is_equal_to_itself()) state_->forget(asked.bytes());
    }

    /// Does what forget() does, for all arguments.
    void clear() const { state_->clear(); }

    /// Returns the current counters.
    cache_counts counts() const { return state_->counts(); }

private:
    using state = detail::cache_state<value>;

    key key_of(call_type& call) const {
        return detail::pass_on<true>(call, [&](const auto&... args) { return maker::make(make_key_, args...); });
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

/// What the copies of a cache share, for functions with results of type T. The destructor of a result,
/// which is code of the application, never runs while the lock is held: removed results are in a list
/// that is declared before the lock is taken.
template <class T>
class cache_state {
public:
    struct outcome {
        ext::result<T> result;
        std::exception_ptr exception;

        /// Gives a copy to a call.
        template <class Call>
        void give(Call& call) const {
            call.exception = exception;
            if constexpr (std::is_void_v<T>) {
                if (result) call.result.emplace();
            } else if (result) {
                call.result.emplace(*result);
            }
        }
    };
    using shared_outcome = std::shared_ptr<const outcome>;  // null if it could not be copied, or the call was destroyed
    using flights = single_flight<shared_outcome>;
    using shared_flight = typename flights::shared_flight;

    explicit cache_state(cache_options options) : options_(std::move(options)), kept_(options_.capacity) {
        expect(options_.ttl >= duration(0), "cache", ".ttl", "0 or more", options_.ttl);
        expect(options_.capacity >= 1, "cache", ".capacity", "at least 1", options_.capacity);
        expect(options_.failures_ttl >= duration(0), "cache", ".failures_ttl", "0 or more", options_.failures_ttl);
        expect(options_.stale_if_error >= duration(0), "cache", ".stale_if_error", "0 or more",
               options_.stale_if_error);
    }

    struct found {
        shared_outcome known;   // the kept outcome; if it is null:
        shared_flight flight;   // the call that is asking now
        bool is_begun = false;  // true if that is the caller's own call, whose flight has just begun
        shared_outcome stale{};  // for the caller's own call: the expired result, or null
        time_point stale_until{};
    };
    found ask(std::string_view key, bool is_awaited);

    /// Waits for the flight to end. Returns false at once if this thread is asking for something itself.
    bool wait(typename flights::flight& flight) {
        std::unique_lock lock = flights_.lock();
        const bool waited = !flights::is_asking() && flights_.wait(lock, flight);
        if (!waited) ++counts_.misses;
        else if (flight.outcome) ++counts_.hits;
        return waited;
    }

    class asking;

    void forget(std::string_view key) {
        entries removed;
        const auto lock = flights_.lock();
        kept_.forget(key, removed);
        flights_.forget(key);
    }
    void clear() {
        entries removed;
        const auto lock = flights_.lock();
        kept_.clear(removed);
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
    using entries = typename lru<shared_outcome>::entries;

    const cache_options options_;
    flights flights_;  // its lock guards all below
    lru<shared_outcome> kept_;
    cache_counts counts_;
};

/// Owns the flight that a call has begun. The destructor ends the flight, even if the call is
/// destroyed while it is suspended.
template <class T>
class cache_state<T>::asking {
public:
    asking(cache_state& state, const found& begun) noexcept : state_(state), begun_(begun) {}
    asking(const asking&) = delete;
    asking& operator=(const asking&) = delete;
    ~asking();

    /// Takes over the outcome of the call, or replaces it by the expired result.
    template <class Call>
    void end(Call& call);

private:
    void keep(const shared_outcome& came, time_point now, time_point fresh_until, time_point kept_until);

    cache_state& state_;
    const found& begun_;
    entries made_{};  // the entry that is kept: one, or none
};

template <class T>
auto cache_state<T>::ask(std::string_view key, bool is_awaited) -> found {
    entries removed;
    const time_point now = options_.clock.now();
    const auto lock = flights_.lock();
    const auto* const kept = kept_.find(key, now, removed);
    if (kept && now < kept->fresh_until) {
        ++counts_.hits;
        return {kept->value, nullptr};
    }
    if (shared_flight joined = flights_.find(key)) return {nullptr, std::move(joined)};
    found made{nullptr, flights_.make(key), true};
    if (kept) made.stale = kept->value, made.stale_until = kept->kept_until;
    if (is_awaited) flights_.begin_awaited(made.flight);
    else flights_.begin(made.flight);
    ++counts_.misses;
    return made;
}

template <class T>
template <class Call>
void cache_state<T>::asking::end(Call& call) {
    const cache_options& options = state_.options_;
    const time_point now = options.clock.now();
    const bool failed = !call.result.has_value() || options.failed(call);
    if (failed && begun_.stale && now < begun_.stale_until) {
        begun_.stale->give(call);
        return keep(begun_.stale, now, later(now, options.failures_ttl), begun_.stale_until);
    }
    const time_point fresh_until = later(now, failed ? options.failures_ttl : options.ttl);
    const time_point kept_until = failed ? fresh_until : later(fresh_until, options.stale_if_error);
    EXTENSIBLE_TRY {
        keep(detail::make_shared<const outcome>(outcome{call.result, call.exception}), now, fresh_until, kept_until);
    } EXTENSIBLE_CATCH(...) {
        // The outcome could not be copied, perhaps for lack of memory. Then the waiting calls ask again.
    }
}

template <class T>
void cache_state<T>::asking::keep(const shared_outcome& came, time_point now, time_point fresh_until,
                                  time_point kept_until) {
    begun_.flight->outcome = came;
    EXTENSIBLE_TRY {
        if (now < kept_until) made_.push_back({begun_.flight->key, came, fresh_until, kept_until});
    } EXTENSIBLE_CATCH(...) {
        // Out of memory: the outcome is not kept.
    }
}

template <class T>
cache_state<T>::asking::~asking() {
    entries removed;
    {
        const auto lock = state_.flights_.lock();
        const bool is_wanted = state_.flights_.close(*begun_.flight);
        state_.flights_.end(*begun_.flight);
        EXTENSIBLE_TRY {
            if (is_wanted && !made_.empty()) state_.counts_.evictions += state_.kept_.keep(made_, removed);
        } EXTENSIBLE_CATCH(...) {
            // Out of memory: the outcome is not kept.
        }
    }
    flights::resume(begun_.flight);
}

}  // namespace detail

}}}  // namespace ext::hooks
