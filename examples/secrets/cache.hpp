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

namespace secrets {

struct cache_options {
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

/// A cache, as two hooks: the start hook supplies known keys, the end hook remembers new ones.
/// `Allocator` is for the memory of the keys. It may lock the memory, so that keys are never
/// written to a disk. Thread-safe. The hooks share the keys and keep them alive, so this object may
/// be destroyed.
template <class Allocator = std::allocator<char>>
class basic_cache {
public:
    using call_type = ext::call<std::string(std::string_view)>;

    explicit basic_cache(cache_options options = {}) : state_(std::make_shared<state>(std::move(options))) {}

    /// Registers both hooks. The start hook runs before the hooks of stores, even if these are
    /// registered later. If an isolated hook throws, the call does not fail: its result is
    /// remembered like any other key.
    void add_to(ext::plugin& plugin, std::string_view function = "models.get_api_key") const {
        // Not isolated, even if the plugin's hooks are: if a call fails, the calls that wait for it
        // have to fail, too. The end hook is registered first: otherwise a call between the two
        // registrations would begin a fetch that no end hook ends. The end hook runs last, so the
        // cache keeps the key as the other end hooks leave it.
        ext::scoped_hook end = plugin.on_end(function, end_hook(), {.id = "cache", .priority = last, .isolate = false});
        plugin.on_start(function, start_hook(), {.id = "cache",
                                                 .before = {"kv2", "aws", "azure", "google", "barbican", "dotenv"},
                                                 .isolate = false});
        end.release();
    }

    /// The hooks, if you want to register them yourself: always both, the end hook first.
    auto start_hook() const {
        return [state = state_](call_type& call) { state->start(call); };
    }
    auto end_hook() const {
        return [state = state_](call_type& call) { state->end(call); };
    }

    /// Removes a key, for example because it was withdrawn. The next call asks again. If a call is
    /// asking for the key now, its result does not get into the cache.
    void forget(std::string_view service) {
        const auto lock = state_->fetches.lock();
        const auto known = state_->entries.find(service);
        if (known != state_->entries.end()) state_->entries.erase(known);
        state_->fetches.forget(service);
    }

    /// As forget(), for all keys.
    void clear() {
        const auto lock = state_->fetches.lock();
        state_->entries.clear();
        state_->fetches.clear();
    }

    /// The number of threads that wait for a key for which another thread has asked.
    std::size_t waiting() const {
        const auto lock = state_->fetches.lock();
        return state_->fetches.waiting();
    }

private:
    using duration = cache_options::duration;
    using time_point = cache_options::time_point;

    static constexpr int last = std::numeric_limits<int>::max();
    static constexpr std::string_view mark = "cache.fetch";  // in the kwargs of the call that asks

    // A text that is wiped. Not a std::string: it stores short texts in itself, not in memory of
    // the allocator.
    class secret {
    public:
        explicit secret(std::string_view text) : text_(text.begin(), text.end()) {}
        secret(const secret&) = delete;
        secret& operator=(const secret&) = delete;
        ~secret() { wipe(text_.data(), text_.size()); }

        std::string copy() const { return std::string(text_.begin(), text_.end()); }

    private:
        std::vector<char, Allocator> text_;
    };
    using shared_secret = std::shared_ptr<const secret>;  // threads that waited may copy it after it has expired

    struct entry {
        shared_secret value;
        time_point given_until;  // without asking the store
        time_point kept_until;   // not less than given_until; between the two it is stale
        bool is_stale = false;   // it has expired, and is used because asking failed
        std::exception_ptr failure{};  // if `value` is null
    };

    // The outcome of a call that asks, for itself and for the threads that wait.
    struct outcome {
        shared_secret value{};  // null if it failed
        bool is_stale = false;
        std::exception_ptr failure{};
    };
    using fetches_by_service = ext::hooks::single_flight<outcome>;
    using shared_fetch = typename fetches_by_service::shared_flight;

    struct state {
        explicit state(cache_options given) : options(std::move(given)) {}

        const cache_options options;
        fetches_by_service fetches;  // its lock guards the entries too
        std::map<std::string, entry, std::less<>> entries;

        void start(call_type& call) {
            if (call.result) return;  // an earlier hook had the key
            auto& [service] = call.args;
            const time_point now = options.now();

            shared_fetch asked;
            {
                std::unique_lock lock = fetches.lock();
                const auto known = entries.find(*service);
                if (known != entries.end() && now < known->second.given_until) {
                    if (known->second.failure) std::rethrow_exception(known->second.failure);
                    return give(call, *known->second.value, known->second.is_stale);
                }
                asked = fetches.find(*service);
                if (!asked) return begin_fetch(call, now);
                if (fetches.is_asking() || !fetches.wait(lock, *asked)) return;  // this call asks itself
            }
            const outcome& came = asked->outcome;
            if (came.failure) std::rethrow_exception(came.failure);
            if (came.value) give(call, *came.value, came.is_stale);
        }

        void end(call_type& call) {
            const shared_fetch asked = call.kwargs.take<shared_fetch>(mark).value_or(nullptr);
            if (!asked) return;

            shared_secret value;
            std::exception_ptr failure = call.exception;
            time_point now = time_point::max();
            try {
                now = options.now();
                if (call.result && !failure) value = std::make_shared<const secret>(*call.result);
            } catch (...) {
                failure = std::current_exception();  // the waiting threads have to be woken even so
            }

            const std::string* const told = call.kwargs.get<std::string>(note::failure);
            const auto* const wanted = call.kwargs.get<std::chrono::seconds>(note::retry_after);
            const bool has_failed = call.exception || told;
            const duration pause = std::max<duration>(options.retry_after, wanted ? *wanted : std::chrono::seconds(0));
            {
                const auto lock = fetches.lock();
                const bool is_wanted = fetches.close(*asked);  // not forgotten meanwhile
                const auto known = entries.find(asked->key);
                // An entry that still exists has expired, and was kept for this. The others were
                // dropped when this call began.
                const bool is_stale = has_failed && is_wanted && known != entries.end() && known->second.value &&
                                      now < known->second.kept_until;
                asked->outcome = {is_stale ? known->second.value : value, is_stale, is_stale ? nullptr : failure};
                fetches.end(*asked);

                // If the code below throws (memory may be short), only this call fails.
                if (is_stale) {
                    known->second.given_until = std::min(known->second.kept_until, later(now, pause));
                    known->second.is_stale = true;
                    give(call, *known->second.value, true);
                } else if (is_wanted && has_failed && wanted) {
                    const time_point until = later(now, pause);
                    entries.insert_or_assign(asked->key, entry{value, until, until, false, failure});
                } else if (value && is_wanted) {
                    entries.insert_or_assign(asked->key, remember(value, call.result->empty(), has_failed, now));
                }
                if (!is_stale) return;
            }
            // Not under the lock: report() may ask for a key.
            const std::exception_ptr failed = std::exchange(call.exception, nullptr);
            options.report(asked->key + ": its expired key is used, because asking failed: " +
                           (failed ? text_of(failed) : *told));
        }

        void begin_fetch(call_type& call, time_point now) {
            std::erase_if(entries, [now](const auto& known) { return now >= known.second.kept_until; });
            auto& [service] = call.args;
            const shared_fetch asked = fetches.make(*service);
            // The mark first: if setting it throws, no thread waits yet. A fetch without a mark
            // would never end.
            call.kwargs.set(mark, asked);
            fetches.begin(asked);
        }

        entry remember(shared_secret value, bool is_negative, bool has_failed, time_point now) const {
            duration kept = is_negative ? options.negative_ttl : options.ttl;
            if (has_failed) kept = std::min(kept, options.retry_after);  // a key from elsewhere: ask again soon
            const time_point expires = later(now, kept);
            const bool may_be_stale = options.serve_stale && !is_negative && !has_failed;
            return {std::move(value), expires, may_be_stale ? later(expires, options.stale_for) : expires, false, nullptr};
        }
    };

    static void give(call_type& call, const secret& value, bool is_stale) {
        call.result = value.copy();
        call.kwargs.set("source", is_stale ? "cache, stale" : "cache");
    }

    static time_point later(time_point from, duration by) {
        return by > time_point::max() - from ? time_point::max() : from + by;  // the maximum means "for ever"
    }

    static std::string text_of(const std::exception_ptr& exception) {
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

}  // namespace secrets
