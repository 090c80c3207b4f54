#pragma once

// Shared by the hooks of all stores: the exception that they throw, and the start hook that looks up a key.
// The README shows how to support another store: its section "Your own store".

#include "abi.hpp"
#include "environment.hpp"
#include "text.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/clock.hpp>

#include <chrono>
#include <exception>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// What a call does if a store cannot be reached. A secret that does not exist is not a failure.
enum class on_failure {
    fail,         ///< throws store_error to the caller: no key is better than one from elsewhere
    fall_through  ///< reports to the registry's error handlers, and asks the next hook or the function
};

/// The reason for a failure. The order is that of is_passing() and is_out_of_reach().
enum class reason {
    // It may help to ask again, with nothing changed:
    rate_limited,
    server_error,  ///< 5xx
    passing,       ///< the server is not ready yet
    unreachable,   ///< nothing listens there, or the connection broke
    timed_out,
    // The store could not be reached, or did not work, either:
    sealed,         ///< an operator has to unseal the engine
    wrong_network,  ///< the store takes no requests from this address, whatever the credential
    untrusted,      ///< no TLS connection, or the certificate is not trusted
    redirected,     ///< not followed: the credential is for this address
    rejected,       ///< another status that a read should not have
    malformed,      ///< not the answer of such a store, or not all of it
    failed,         ///< an exception of a library, for example because memory is short
    // The identity, the configuration or the secret is wrong:
    permission_denied,  ///< the credential is wrong, or not for this secret
    expired_token,      ///< the credential was valid once: a new one may help
    bad_signature,      ///< for example a wrong secret access key
    clock_skew,         ///< this machine's clock and the server's differ too much
    no_credential,      ///< there is nothing to log in with, or the login failed
    misconfigured,      ///< the options or the environment cannot work
    no_engine,          ///< the address or mount is not such a store
    no_namespace,
    missing_field,  ///< the secret has no text in the field
    deleted,        ///< the secret waits for its deletion, or its latest version is destroyed
    disabled,       ///< the secret is switched off
    undecryptable   ///< the store cannot decrypt the secret
};

/// The reason in words, such as "permission denied".
inline std::string_view text_of(reason why) noexcept {
    switch (why) {
        case reason::permission_denied: return "permission denied";
        case reason::wrong_network: return "not from this network";
        case reason::expired_token: return "the token has expired";
        case reason::bad_signature: return "the signature is wrong";
        case reason::clock_skew: return "the clocks differ";
        case reason::sealed: return "sealed";
        case reason::rate_limited: return "too many requests";
        case reason::server_error: return "server error";
        case reason::passing: return "not now";
        case reason::rejected: return "rejected";
        case reason::redirected: return "redirected";
        case reason::unreachable: return "unreachable";
        case reason::timed_out: return "timed out";
        case reason::untrusted: return "not trusted";
        case reason::malformed: return "malformed answer";
        case reason::missing_field: return "field missing";
        case reason::deleted: return "deleted";
        case reason::disabled: return "disabled";
        case reason::undecryptable: return "cannot be decrypted";
        case reason::no_engine: return "no such engine";
        case reason::no_namespace: return "no such namespace";
        case reason::no_credential: return "no credential";
        case reason::misconfigured: return "misconfigured";
        case reason::failed: return "failed";
    }
    return "failed";
}

/// Whether it may help to ask again, with nothing changed.
inline bool is_passing(reason why) noexcept { return why <= reason::timed_out; }

/// Whether the store could not be reached, or did not work. The other reasons concern the identity, the
/// configuration or the secret: with these, `fall_through` does not use another key.
inline bool is_out_of_reach(reason why) noexcept { return why <= reason::failed; }

/// The exception of all stores. Its text names the store, the address and the place of the secret. It
/// contains no text that the server sent, except Barbican's host and OpenStack's ids of requests: a
/// server that repeats the request would put a token into a log.
///
/// It is an ext::refusal, so it reaches the caller, even if the hook or its plugin is isolated.
class SECRETS_VISIBLE store_error : public ext::refusal {
public:
    SECRETS_HIDDEN store_error(std::string_view store, secrets::reason why, const std::string& text,
                               std::optional<std::chrono::seconds> retry_after = std::nullopt)
        : ext::refusal(std::string(store) + ": " + text), why_(why), retry_after_(retry_after) {}

    SECRETS_HIDDEN secrets::reason why() const noexcept { return why_; }

    /// How long the server does not want to be asked.
    SECRETS_HIDDEN std::optional<std::chrono::seconds> retry_after() const noexcept { return retry_after_; }

private:
    secrets::reason why_;
    std::optional<std::chrono::seconds> retry_after_;
};

/// The time at which a read of a key has to have ended, with its login, its tries and its pages.
using deadline = ext::hooks::time_point;

/// Throws store_error if one of these variables is set. The store's own clients read them. Here they are
/// not supported, and without them another identity or address would be used.
inline void refuse_variables(std::string_view store, std::initializer_list<const char*> names) {
    for (const char* const name : names)
        if (!environment_variable(name).empty())
            throw store_error(store, reason::misconfigured,
                              std::string(name) + " is set, which is not supported here");
}

/// Notes that a store's hook leaves in the call's kwargs.
namespace note {
/// Where the key came from: "kv2 secret/api-keys/openai".
inline constexpr std::string_view source = "source";
/// The store that was asked last: "kv2".
inline constexpr std::string_view store = "store";
/// What it said: "not found", "permission denied".
inline constexpr std::string_view said = "said";
/// what() of its exception, even if the call continues.
inline constexpr std::string_view failure = "failure";
/// std::chrono::seconds: do not ask the store again within this time.
inline constexpr std::string_view retry_after = "retry_after";
}  // namespace note

/// A start hook for a function that takes a service's name and returns its key. `Store` has `name`,
/// `place_of(service)` for the notes, and a thread-safe `read(service)`, which returns the key, or
/// std::nullopt if there is none, or throws. A line break at the end of the key is removed.
///
/// Register it with add_store(), or with `.fallback = true`: otherwise it replaces the key of an earlier
/// hook. With `fall_through` it also has to be isolated.
template <class Store>
class store_hook {
public:
    using call_type = ext::call<std::string(std::string_view)>;

    explicit store_hook(std::shared_ptr<const Store> store, on_failure choice = on_failure::fail)
        : store_(std::move(store)), choice_(choice) {}

    void operator()(call_type& call) const {
        const std::string_view service = *std::get<0>(call.args);
        call.kwargs.set(note::store, std::string(Store::name));
        if (!is_askable(service)) return call.kwargs.set(note::said, "not asked");
        try {
            std::optional<std::string> key = store_->read(service);
            if (!key) return call.kwargs.set(note::said, "not found");
            key->resize(without_line_break(*key).size());
            if (key->empty())
                throw store_error(Store::name, reason::missing_field,
                                  store_->place_of(service) + ": the key is empty");
            call.result = std::move(*key);
            call.kwargs.set(note::source, std::string(Store::name) + ' ' + store_->place_of(service));
        } catch (const store_error& error) {
            fail(call, error);
        } catch (...) {  // its text may contain a part of a secret
            if (!std::current_exception()) throw;  // pthread_cancel()
            const std::string text = store_->place_of(service) + ": an unexpected exception";
            fail(call, store_error(Store::name, reason::failed, text));
        }
    }

private:
    [[noreturn]] void fail(call_type& call, const store_error& error) const {
        call.kwargs.set(note::failure, error.what());
        call.kwargs.set(note::said, std::string(text_of(error.why())));
        if (error.retry_after()) call.kwargs.set(note::retry_after, *error.retry_after());
        if (choice_ == on_failure::fall_through && is_out_of_reach(error.why()))
            throw std::runtime_error(error.what());
        throw error;
    }

    std::shared_ptr<const Store> store_;
    on_failure choice_;
};

/// Registers the store's hook, which is skipped in calls that have a key already: the first store that
/// has one wins. The id of the hook is the store's name by default. `choice` says what happens if the
/// store cannot be reached.
template <class Store>
ext::hook add_store(ext::plugin& owner, std::string_view function, std::shared_ptr<const Store> store,
                    on_failure choice = on_failure::fail,
                    ext::hook_options how = {.id = std::string(Store::name)}) {
    how.fallback = true;
    how.isolate = choice == on_failure::fall_through;
    return owner.on_start(function, store_hook<Store>(std::move(store), choice), std::move(how));
}

/// The same for a store that is made from its options, which have the choice in `on_failure`. Throws
/// store_error if the options are invalid.
template <class Store, class Options>
ext::hook add_store(ext::plugin& owner, std::string_view function, Options options, ext::hook_options how) {
    const on_failure choice = options.on_failure;
    return add_store(owner, function, std::make_shared<const Store>(std::move(options)), choice,
                     std::move(how));
}

}}  // namespace secrets
