#pragma once

// A cache for keys from a slow store. Many threads that need a key cause one request.
//
//  1. The cache supplies a key for `ttl`. An empty result, which means that no source has the key,
//     is remembered for `negative_ttl`.
//  2. If the cache has no valid entry, the call continues to the hooks after the cache, and to the
//     function. Other threads that need the same key wait for this call, and get the same key or
//     the same exception.
//  3. A failure is not remembered: the next call asks again. There are three exceptions:
//     - With `serve_stale`, the cache supplies the expired key instead, for `stale_for`. The store
//       is not asked for `retry_after`.
//     - A store that leaves a note "failure" in the call's kwargs has failed, too, even if another
//       source supplied a key. That key is remembered for `retry_after`, unless there is an expired
//       key to supply.
//     - A store that leaves a note "retry_after" is not asked before that time has passed. Until
//       then the outcome is remembered, even if it is an exception.
//  4. A call never waits for itself: asking for a key may need the same key, or two threads may
//     each need the key that the other asks for. Such a call asks, too, and does not change the
//     cache.
//  5. Keys are overwritten before their memory is freed: when they are replaced, forgotten, or
//     expired and the next key is asked for, and when the cache is destroyed. Callers get copies,
//     which are not overwritten.

#include "abi.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/single_flight.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// A note of the call that asks a store, for the end hook.
inline constexpr std::string_view cache_mark = "cache.fetch";

struct SECRETS_VISIBLE cache_options {
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;

    duration ttl = std::chrono::minutes(5);
    duration negative_ttl = std::chrono::seconds(10);

    bool serve_stale = false;
    duration stale_for = std::chrono::hours(1);  ///< from the time when the key expired
    duration retry_after = std::chrono::seconds(5);

    /// Gets a line when a stale key replaces an exception, which no other code will see, or a key
    /// from elsewhere. It is called on the thread that asked the store.
    std::function<void(std::string_view message)> report = [](std::string_view message) {
        std::clog << std::string(message) + '\n';
    };

    /// The clock, for tests. Has to be thread-safe.
    std::function<time_point()> now = [] { return std::chrono::steady_clock::now(); };
};

/// A cache, as two hooks: the start hook supplies known keys, the end hook remembers new ones. `Allocator` is
/// for the memory of the keys. It may lock the memory, so that keys are never written to a disk. Thread-safe.
/// The hooks share the keys and keep them alive, so this object may be destroyed.
template <class Allocator = std::allocator<char>>
class SECRETS_VISIBLE basic_cache {
public:
    using call_type = ext::call<std::string(std::string_view)>;

    SECRETS_HIDDEN explicit basic_cache(cache_options options = {})
        : state_(std::make_shared<state>(std::move(options))) {}

    /// Registers both hooks. If an isolated hook throws, the call continues, and its result is remembered: for
    /// at most `retry_after` if the hook leaves a note "failure", as those of stores do.
    SECRETS_HIDDEN void add_to(ext::plugin& plugin, std::string_view function = "models.get_api_key") const {
        // Not isolated, even if the plugin's hooks are: if a call fails, the calls that wait for it
        // have to fail, too. The end hook is registered first: otherwise a call between the two
        // registrations would begin a fetch that no end hook ends. The end hook runs last, so the
        // cache keeps the key as the other end hooks leave it. The start hook runs before those of
        // stores, whose priority is 0 by default.
        constexpr int last = std::numeric_limits<int>::max();
        ext::scoped_hook end =
            plugin.on_end(function, end_hook(), {.id = "cache", .priority = last, .isolate = false});
        plugin.on_start(function, start_hook(),
                        {.id = "cache", .priority = -100, .fallback = true, .isolate = false});
        end.release();
    }

    /// The hooks, if you want to register them yourself: always both, the end hook first, and the
    /// start hook with `.fallback = true`.
    SECRETS_HIDDEN auto start_hook() const {
        return [state = state_](call_type& call) { state->start(call); };
    }
    SECRETS_HIDDEN auto end_hook() const {
        return [state = state_](call_type& call) { state->end(call); };
    }

    /// Removes a key, for example because it was withdrawn. The next call asks again. If a call is
    /// asking for the key now, its result does not get into the cache.
    SECRETS_HIDDEN void forget(std::string_view service) {
        typename entries_by_service::node_type dropped;  // destroyed without the lock, as in state
        const auto lock = state_->fetches.lock();
        if (const auto known = state_->entries.find(service); known != state_->entries.end())
            dropped = state_->entries.extract(known);
        state_->fetches.forget(service);
    }

    /// As forget(), for all keys.
    SECRETS_HIDDEN void clear() {
        entries_by_service dropped;
        const auto lock = state_->fetches.lock();
        dropped.swap(state_->entries);
        state_->fetches.clear();
    }

    /// The number of threads that wait for a key for which another thread has asked.
    SECRETS_HIDDEN std::size_t waiting() const {
        const auto lock = state_->fetches.lock();
        return state_->fetches.waiting();
    }

private:
    using duration = cache_options::duration;
    using time_point = cache_options::time_point;

    // A text that is wiped. Not a std::string: it stores short texts in itself, not in memory of
    // the allocator.
    class secret {
    public:
        SECRETS_HIDDEN explicit secret(std::string_view text) : text_(text.begin(), text.end()) {}
        secret(const secret&) = delete;
        secret& operator=(const secret&) = delete;
        SECRETS_HIDDEN ~secret() { wipe(text_.data(), text_.size()); }

        SECRETS_HIDDEN std::string copy() const { return std::string(text_.begin(), text_.end()); }

    private:
        std::vector<char, Allocator> text_;
    };
    using shared_secret = std::shared_ptr<const secret>;  // waiting threads may copy it after it has expired

    // The outcome of a call that asks, for itself and for the threads that wait.
    struct outcome {
        shared_secret value{};  // null if it failed
        bool is_stale = false;  // the value has expired, and is used because asking failed
        std::exception_ptr failure{};
    };
    using fetches_by_service = ext::hooks::single_flight<outcome>;
    using shared_fetch = typename fetches_by_service::shared_flight;

    struct entry {
        outcome known{};
        time_point given_until{};  // without asking the store
        time_point kept_until{};   // not less than given_until; between the two it is stale
    };
    using entries_by_service = std::map<std::string, entry, std::less<>>;

    // Exceptions and keys are destroyed, and copied, without the lock: the destructor of an exception
    // and the allocator may be the application's, and may use the cache.
    struct state {
        SECRETS_HIDDEN explicit state(cache_options given) : options(std::move(given)) {}

        const cache_options options;
        fetches_by_service fetches;  // its lock guards the entries too
        entries_by_service entries;

        SECRETS_HIDDEN void start(call_type& call) {
            auto& [service] = call.args;
            const time_point now = options.now();

            entries_by_service expired;
            outcome known;
            shared_fetch asked;
            {
                std::unique_lock lock = fetches.lock();
                const auto found = entries.find(*service);
                if (found != entries.end() && now < found->second.given_until) known = found->second.known;
                else if (!(asked = fetches.find(*service))) return begin_fetch(call, now, expired);
                else if (fetches.is_asking() || !fetches.wait(lock, *asked)) return;  // this call asks itself
            }
            supply(call, asked ? asked->outcome : known);
        }

        SECRETS_HIDDEN void end(call_type& call) {
            using namespace std::chrono_literals;
            const shared_fetch asked = call.kwargs.take<shared_fetch>(cache_mark).value_or(nullptr);
            if (!asked) return;

            outcome came{.failure = call.exception};
            duration pause = options.retry_after;
            time_point now = time_point::max();
            const bool has_failed = call.exception || call.kwargs.contains(note::failure);
            const bool is_refused = call.exception && is_refusal(call.exception);
            const bool is_limited = call.kwargs.contains(note::retry_after);
            try {
                now = options.now();
                pause = std::max<duration>(pause, call.kwargs.value_or(note::retry_after, 0s));
                if (call.result && !call.exception) came.value = std::make_shared<const secret>(*call.result);
            } catch (...) {
                came.failure = std::current_exception();  // the waiting threads have to be woken even so
            }
            const bool is_kept = came.value || (has_failed && is_limited);
            const bool is_key = came.value && !call.result->empty();
            duration used = is_key ? options.ttl : options.negative_ttl;
            if (has_failed) used = is_limited ? pause : std::min(used, pause);  // ask again soon
            entry kept{came, later(now, used), later(now, used)};
            if (is_key && !has_failed && options.serve_stale)
                kept.kept_until = later(kept.given_until, options.stale_for);

            outcome stale;
            {
                const auto lock = fetches.lock();
                const bool is_wanted = fetches.close(*asked);  // not forgotten meanwhile
                const auto old = entries.find(asked->key);
                // An entry that still exists has expired, and was kept for this. The others were
                // dropped when this call began.
                const bool may_be_stale = has_failed && !is_refused && is_wanted;
                if (may_be_stale && old != entries.end() && now < old->second.kept_until)
                    stale = {.value = old->second.known.value, .is_stale = true};
                asked->outcome = stale.value ? stale : came;
                fetches.end(*asked);

                // If the code below throws (memory may be short), only this call fails.
                if (stale.value) {
                    old->second.known.is_stale = true;
                    old->second.given_until = std::min(old->second.kept_until, later(now, pause));
                } else if (is_wanted && is_kept) {
                    std::swap(entries[asked->key], kept);
                }
            }
            if (!stale.value) return;
            const std::exception_ptr failed = std::exchange(call.exception, nullptr);
            supply(call, stale);
            if (!options.report) return;
            options.report(asked->key + ": its expired key is used, because asking failed: " +
                           (failed ? text_of(failed) : call.kwargs.value_or(note::failure, "")));
        }

        SECRETS_HIDDEN void begin_fetch(call_type& call, time_point now, entries_by_service& expired) {
            for (auto next = entries.begin(); next != entries.end();) {
                const auto known = next++;
                if (now >= known->second.kept_until) expired.insert(entries.extract(known));
            }
            auto& [service] = call.args;
            const shared_fetch asked = fetches.make(*service);
            // The mark first: if setting it throws, no thread waits yet. A fetch without a mark
            // would never end.
            call.kwargs.set(cache_mark, asked);
            fetches.begin(asked);
        }
    };

    SECRETS_HIDDEN static void supply(call_type& call, const outcome& known) {
        if (known.failure) std::rethrow_exception(known.failure);
        if (!known.value) return;
        call.result = known.value->copy();
        call.kwargs.set(note::source, known.is_stale ? "cache, stale" : "cache");
    }

    SECRETS_HIDDEN static time_point later(time_point from, duration by) {
        return by > time_point::max() - from ? time_point::max() : from + by;  // the maximum means "for ever"
    }

    // Whether the identity, the configuration or the secret is wrong.
    SECRETS_HIDDEN static bool is_refusal(const std::exception_ptr& exception) {
        try {
            std::rethrow_exception(exception);
        } catch (const store_error& error) {
            return !is_out_of_reach(error.why());
        } catch (...) {
            return false;
        }
    }

    SECRETS_HIDDEN static std::string text_of(const std::exception_ptr& exception) {
        try {
            std::rethrow_exception(exception);
        } catch (const std::exception& error) {
            return error.what();
        } catch (...) {
            return "something that is not a std::exception";
        }
    }

    std::shared_ptr<state> state_;
};

using cache = basic_cache<>;

}}  // namespace secrets
