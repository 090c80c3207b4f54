#pragma once

// A start hook that takes keys from OpenStack's Barbican, with a login at its Keystone. Needs libcurl and nlohmann-json.
//
//     ext::plugin plugin{"secrets"};
//     if (auto barbican = secrets::barbican_from_environment()) secrets::add_barbican(plugin, "models.get_api_key", *barbican);
//
// Barbican never changes a secret. To replace a key, store a new secret with the same name: the
// newest secret is used. So every user who may store secrets in the project can replace a key. A
// UUID always names the same secret, and needs no search.

#include "credential.hpp"
#include "environment.hpp"
#include "http.hpp"
#include "json.hpp"
#include "keystone.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

// ---- Options --------------------------------------------------------------------------------------------------------

struct barbican_options {
    keystone_options keystone{};

    std::string secret = "api-keys/{service}";             ///< its name; has to contain {service}: one key per service
    std::map<std::string, std::string, std::less<>> ids{};  ///< UUIDs of secrets, by service, if they are known

    http_options http{};

    secrets::on_failure on_failure = secrets::on_failure::fall_through;
};

/// The options from the variables of keystone_from_environment(), and from OS_CACERT, OS_CERT and
/// OS_KEY. Returns std::nullopt without OS_AUTH_URL.
std::optional<barbican_options> barbican_from_environment();

// ---- The store ------------------------------------------------------------------------------------------------------

class barbican_store {
public:
    static constexpr std::string_view name = "barbican";

    /// Throws store_error if the options are invalid. Sends no request.
    explicit barbican_store(barbican_options options);

    /// The service's key, or std::nullopt if the secret does not exist or has expired. Throws
    /// store_error.
    std::optional<std::string> read(std::string_view service) const;

    /// The name of the secret, "api-keys/openai", or its UUID, which is in the options or is the
    /// name of the service.
    std::string place_of(std::string_view service) const;

private:
    http_answer ask(const keystone_session& session, const std::string& path, std::string_view type,
                    const std::string& about) const;
    std::optional<std::string> find(const keystone_session& session, std::string_view wanted, const std::string& about) const;
    std::optional<std::string> payload(const keystone_session& session, const std::string& id, const std::string& about) const;
    store_error no_barbican(reason why, const std::string& about) const {
        return http_.error(why, about, "the answer is not one of Barbican");
    }

    barbican_options options_;
    http_client http_;
    keystone keystone_;
    mutable credential<keystone_session> session_;
};

/// Registers the store's hook. `options.on_failure` says what happens on a failure.
inline ext::hook add_barbican(ext::plugin& owner, std::string_view function, barbican_options options,
                              ext::hook_options how = {.id = "barbican"}) {
    return add_store<barbican_store>(owner, function, std::move(options), std::move(how));
}

// ---------------------------------------------------------------------------------------------------------------------

inline std::optional<barbican_options> barbican_from_environment() {
    std::optional<keystone_options> login = keystone_from_environment();
    if (!login) return std::nullopt;
    barbican_options options{.keystone = std::move(*login)};
    options.http.ca_file = environment_variable("OS_CACERT");
    options.http.client_certificate = environment_variable("OS_CERT");
    options.http.client_key = environment_variable("OS_KEY");
    return options;
}

inline barbican_store::barbican_store(barbican_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http), keystone_(name, http_, options_.keystone),
      session_([this] { return keystone_.log_in("key-manager"); },
               {.renew_before = std::chrono::seconds(30), .clock = options_.http.clock}) {
    const auto refuse = [](const std::string& text) { throw store_error(name, reason::misconfigured, text); };
    if (options_.secret.find("{service}") == std::string::npos)
        refuse("the name '" + options_.secret + "' has no {service} in it");
    if (!is_one_line(options_.secret)) refuse("the name of the secret is not one line of text");
    for (const auto& [service, id] : options_.ids)
        if (!is_uuid(id)) refuse("the id of '" + service + "' is not a UUID");
}

inline std::string barbican_store::place_of(std::string_view service) const {
    if (const auto known = options_.ids.find(service); known != options_.ids.end()) return known->second;
    return is_uuid(service) ? std::string(service) : with_service(options_.secret, service);
}

inline std::optional<std::string> barbican_store::read(std::string_view service) const {
    if (!is_askable(service)) return std::nullopt;
    const std::string place = place_of(service);
    return session_.use([&](const keystone_session& session) {
        const url_parts at = parts_of_url(session.endpoint).value();  // without its path, which the server chooses
        const std::string about = at.scheme + "://" + at.host + ':' + at.port + ", " + place;
        const std::optional<std::string> id = is_uuid(place) ? place : find(session, place, about);
        return id ? payload(session, *id, about) : std::nullopt;
    });
}

// Sends a request. Returns an answer of status 200 or 404, or throws.
inline http_answer barbican_store::ask(const keystone_session& session, const std::string& path, std::string_view type,
                                       const std::string& about) const {
    const std::string version = session.endpoint.ends_with("/v1") ? "" : "/v1";
    http_request ask{.url = session.endpoint + version + "/secrets" + path, .about = about};
    ask.headers.add("X-Auth-Token", session.token).add("Accept", type);
    http_answer answer = http_.send(ask);
    if (answer.status == 200 || answer.status == 404) return answer;

    const std::string request = about + request_of(answer);
    if (answer.status == 401) throw http_.error(reason::expired_token, request, "the token has expired, or was withdrawn");
    if (answer.status == 403)
        throw http_.error(reason::permission_denied, request, "the role does not allow it, or the secret is another project's");
    throw http_.error(answer, request);
}

// The UUID of the newest secret with exactly this name. Barbican treats the name in a search as a
// pattern with "%" and "_", ignores case, and decodes it twice. Its link to the next page lacks the
// name, so the next offset is computed here.
inline std::optional<std::string> barbican_store::find(const keystone_session& session, std::string_view wanted,
                                                       const std::string& about) const {
    constexpr int most_pages = 100;
    const std::string query = "?name=" + percent_encoded(percent_encoded(wanted)) + "&sort=created:desc&limit=100&offset=";
    std::size_t offset = 0;
    for (int page = 0; page < most_pages; ++page) {
        const http_answer answer = ask(session, query + std::to_string(offset), "application/json", about);
        if (answer.status == 404) throw no_barbican(reason::no_engine, about);
        const json body = parse_json(answer.body);
        const json* const secrets = member(&body, "secrets");
        const std::optional<std::int64_t> total = number(member(&body, "total"));
        if (!secrets || !secrets->is_array() || !total) throw no_barbican(reason::malformed, about);
        for (const json& secret : *secrets) {
            if (text(member(&secret, "name")) != wanted) continue;
            // The reference contains the host that the server believes to be its own, often
            // wrongly. That host must not get the token.
            std::string_view id = text(member(&secret, "secret_ref")).value_or("");
            id.remove_prefix(id.rfind('/') + 1);  // npos + 1 is 0
            if (!is_uuid(id)) throw no_barbican(reason::malformed, about);
            return std::string(id);
        }
        offset += secrets->size();
        if (secrets->empty() || static_cast<std::int64_t>(offset) >= *total) return std::nullopt;
    }
    throw http_.error(reason::rejected, about, "too many secrets have a name that is like this one");
}

// The payload exactly as it was stored. For a payload that is not text, Barbican accepts only this
// type, and not in a list of types.
inline std::optional<std::string> barbican_store::payload(const keystone_session& session, const std::string& id,
                                                          const std::string& about) const {
    const http_answer answer = ask(session, '/' + id + "/payload", "application/octet-stream", about);
    if (answer.status == 404) {
        const json body = parse_json(answer.body);
        if (number(member(&body, "code")) == 404) return std::nullopt;  // no such secret, or a secret without a payload
        throw no_barbican(reason::no_engine, about);
    }
    const std::string_view type = answer.headers.find("Content-Type").value_or("");
    if (type.starts_with("text/html")) throw no_barbican(reason::malformed, about);  // a proxy's page is not a key
    return http_.key_in(answer.body.view(), about);
}

}  // namespace secrets
