#pragma once

// How is a slow secrets store asked once for a key, however many threads need it, and then not again for a while?
//
//  1. A key is given from the cache for `ttl`. That there is none (the result is empty) is remembered for
//     `negative_ttl`.
//  2. Otherwise the call goes on and asks: the hooks behind this one, and the function. The threads that want the same
//     key meanwhile wait, and get what it gets: the key, or the same exception.
//  3. A failure is not remembered: the next call asks again. With `serve_stale` the key that has expired is given
//     instead, for `stale_for`, and the store is left in peace for `retry_after` before it is asked again. A store that
//     leaves a note "failure" in the call's kwargs has failed, too, though another has supplied a key in its place. That
//     key, where there is no expired one to be given, is remembered for `retry_after`. A store that leaves a note "retry_after"
//     is not asked before that time has passed: whatever there is instead, a failure too, is remembered until then.
//  4. A call does not wait for what waits for itself: asking for a key may need that key, or two threads may each need
//     the key that the other is asking for. It then asks, too, and leaves the cache as it is.
//  5. Keys are overwritten before their memory is given back: those that are replaced, expired (when the next key is
//     asked for), forgotten, and all of them with the cache. What callers were given is a copy, and theirs.

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
    duration stale_for = std::chrono::hours(1);  ///< counted from when the key expired
    duration retry_after = std::chrono::seconds(5);

    /// Is told, by the thread that asked, when a stale key takes the place of an exception, which nobody else will see, or
    /// of a key from elsewhere.
    std::function<void(std::string_view message)> report = [](std::string_view message) {
        std::clog << std::string(message) + '\n';
    };

    /// Any thread may call it; for tests.
    std::function<time_point()> now = [] { return std::chrono::steady_clock::now(); };
};

/// Two hooks, one that answers and one that remembers. `Allocator` is for the memory that keys are kept in, which might
/// be locked, so that it is never written to a disk. Any thread may use it at any time. The hooks share what is in it,
/// and do not need this object to live.
template <class Allocator = std::allocator<char>>
class basic_cache {
public:
    using call_type = ext::call<std::string(std::string_view)>;

    explicit basic_cache(cache_options options = {}) : state_(std::make_shared<state>(std::move(options))) {}

    /// Registers the hooks, so that they run before those whose work they spare, whether or not these are there yet. A
    /// hook that is isolated does not fail: what the call comes to without it is remembered as any other key.
    void add_to(ext::plugin& plugin, std::string_view function = "models.get_api_key") const {
        // Not isolated, even if the plugin's hooks are: those who wait for a call that fails have to fail as well. The
        // end hook first, since a call between the two registrations would begin to ask, and nobody would end that. It
        // runs last, and so remembers what the other end hooks made of the key.
        ext::scoped_hook end = plugin.on_end(function, end_hook(), {.id = "cache", .priority = last, .isolate = false});
        plugin.on_start(function, start_hook(), {.id = "cache",
                                                 .before = {"kv2", "aws", "azure", "google", "barbican", "dotenv"},
                                                 .isolate = false});
        end.release();
    }

    /// The hooks themselves, for who wants to register them otherwise: always both, and the end hook first.
    auto start_hook() const {
        return [state = state_](call_type& call) { state->start(call); };
    }
    auto end_hook() const {
        return [state = state_](call_type& call) { state->end(call); };
    }

    /// Asks again the next time: the key was withdrawn, say. What is being asked for now does not get into the cache.
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

    /// How many threads are waiting for a key that another has asked for.
    std::size_t waiting() const {
        const auto lock = state_->fetches.lock();
        return state_->fetches.waiting();
    }

private:
    using duration = cache_options::duration;
    using time_point = cache_options::time_point;

    static constexpr int last = std::numeric_limits<int>::max();
    static constexpr std::string_view mark = "cache.fetch";  // in the call that asks for others, too

    // Text that is wiped. Not in a std::string, which keeps short texts within itself, where no allocator sees them.
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
    using shared_secret = std::shared_ptr<const secret>;  // an expired one may still be on its way to those who waited

    struct entry {
        shared_secret value;
        time_point given_until;  // without asking
        time_point kept_until;   // not less than given_until; between the two it is stale
        bool is_stale = false;   // it has expired, and is given because asking failed
        std::exception_ptr failure{};  // where there is no value
    };

    // What a call that asks for all came to.
    struct outcome {
        shared_secret value{};  // null when it failed
        bool is_stale = false;
        std::exception_ptr failure{};
    };
    using fetches_by_service = ext::hooks::single_flight<std::string, outcome>;
    using shared_fetch = typename fetches_by_service::shared_flight;

    struct state {
        explicit state(cache_options given) : options(std::move(given)) {}

        const cache_options options;
        fetches_by_service fetches;  // its lock guards the entries too
        std::map<std::string, entry, std::less<>> entries;

        void start(call_type& call) {
            if (call.result) return;  // a hook before this one had the key
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
                if (!fetches.wait(lock, *asked)) return;
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
                failure = std::current_exception();  // those who wait have to be woken all the same
            }

            const std::string* const told = call.kwargs.get<std::string>(note::failure);
            const auto* const wanted = call.kwargs.get<std::chrono::seconds>(note::retry_after);
            const bool has_failed = call.exception || told;
            const duration pause = std::max<duration>(options.retry_after, wanted ? *wanted : std::chrono::seconds(0));
            {
                const auto lock = fetches.lock();
                const bool is_wanted = fetches.close(*asked);  // not forgotten meanwhile
                const auto known = entries.find(asked->key);
                // What is still there has expired, and is kept for this: the others were dropped when this call began.
                const bool is_stale = has_failed && is_wanted && known != entries.end() && known->second.value &&
                                      now < known->second.kept_until;
                fetches.end(*asked, {is_stale ? known->second.value : value, is_stale, is_stale ? nullptr : failure});

                // What throws from here on (there may be no memory) is this call's own trouble.
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
            // Not under the lock: who is told may ask for a key.
            const std::exception_ptr failed = std::exchange(call.exception, nullptr);
            options.report(asked->key + ": its expired key is used, because asking failed: " +
                           (failed ? text_of(failed) : *told));
        }

        void begin_fetch(call_type& call, time_point now) {
            std::erase_if(entries, [now](const auto& known) { return now >= known.second.kept_until; });
            auto& [service] = call.args;
            const shared_fetch asked = fetches.make(std::string(*service));
            // The mark first: should the other throw, nobody waits for what nobody ends.
            call.kwargs.set(mark, asked);
            fetches.begin(asked);
        }

        entry remember(shared_secret value, bool is_negative, bool has_failed, time_point now) const {
            duration kept = is_negative ? options.negative_ttl : options.ttl;
            if (has_failed) kept = std::min(kept, options.retry_after);  // a key from elsewhere, until the store is up again
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
        return by > time_point::max() - from ? time_point::max() : from + by;  // "for ever" may be given as the maximum
    }

    static std::string text_of(const std::exception_ptr& exception) {
        try {
            std::rethrow_exception(exception);
        } catch (const std::exception& error) {
            return error.what();
        } catch (...) {
            return "something that is no std::exception";
        }
    }

    std::shared_ptr<state> state_;
};

using cache = basic_cache<>;

}  // namespace secrets
