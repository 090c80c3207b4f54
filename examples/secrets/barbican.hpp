#pragma once

// A start hook that takes keys from OpenStack's Barbican, with a login at its Keystone. Needs libcurl.
//
//     ext::plugin plugin{"secrets"};
//     if (auto barbican = secrets::barbican_from_environment())
//         secrets::add_barbican(plugin, "models.get_api_key", *barbican);
//
// Barbican never changes a secret. To replace a key, store a new secret with the same name: the
// newest secret is used. So every user who may store secrets in the project can replace a key. A
// UUID in `ids` always names the same secret, and needs no search. The name of a service is never used
// as an id: otherwise a caller could read every secret.

#include "abi.hpp"
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

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

// ---- Options ----------------------------------------------------------------------------------------------

struct SECRETS_VISIBLE barbican_options {
    keystone_options keystone{};

    std::string secret = "api-keys/{service}";              ///< its name; has to contain {service}
    std::map<std::string, std::string, std::less<>> ids{};  ///< UUIDs of secrets, by service
    std::string field{};  ///< field of a JSON object; empty: the key is the whole text

    http_options http{};

    secrets::on_failure on_failure = secrets::on_failure::fail;
};

/// The options from the variables of keystone_from_environment(), and from OS_CACERT, OS_CERT,
/// OS_KEY and the proxy in the environment. OS_INSECURE is ignored: TLS is always verified. Throws
/// store_error if a variable names an address of Barbican other than the one in the catalogue.
std::optional<barbican_options> barbican_from_environment();

// ---- The store --------------------------------------------------------------------------------------------

/// For store_hook. The constructor throws store_error if the options are invalid. It sends no request.
class barbican_store {
public:
    static constexpr std::string_view name = "barbican";
    explicit barbican_store(barbican_options options);
    std::optional<std::string> read(std::string_view service) const;

    /// The name of the secret, "api-keys/openai", or its UUID if the options have it.
    std::string place_of(std::string_view service) const {
        const auto known = options_.ids.find(service);
        return known != options_.ids.end() ? known->second : with_service(options_.secret, service);
    }

private:
    // One read of a key.
    struct reading {
        const keystone_session& session;
        std::string about;
        deadline until;
    };
    http_answer ask(const reading& now, const std::string& path, std::string_view type) const;
    std::optional<std::string> find(const reading& now, std::string_view wanted) const;
    std::optional<std::string> payload(const reading& now, const std::string& id) const;
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

// -----------------------------------------------------------------------------------------------------------

inline std::optional<barbican_options> barbican_from_environment() {
    refuse_variables(barbican_store::name, {"BARBICAN_ENDPOINT", "OS_KEY_MANAGER_ENDPOINT_OVERRIDE",
                                            "OS_KEY_MANAGER_INTERFACE", "OS_KEY_MANAGER_REGION_NAME",
                                            "OS_ENDPOINT_OVERRIDE"});
    std::optional<keystone_options> login = keystone_from_environment();
    if (!login) return std::nullopt;
    barbican_options options{.keystone = std::move(*login), .http = http_options_of_environment("OS_CACERT")};
    options.http.client_certificate = environment_variable("OS_CERT");
    options.http.client_key = environment_variable("OS_KEY");
    return options;
}

inline barbican_store::barbican_store(barbican_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http),
      keystone_(name, http_, options_.keystone),
      session_([this](deadline until) { return keystone_.log_in("key-manager", until); },
               {.renew_before = std::chrono::seconds(30), .clock = options_.http.clock}) {
    const auto refuse = [](const std::string& text) { throw store_error(name, reason::misconfigured, text); };
    if (options_.secret.find("{service}") == std::string::npos)
        refuse("the name '" + options_.secret + "' has no {service} in it");
    if (!is_one_line(options_.secret)) refuse("the name of the secret is not one line of text");
    for (const auto& [service, id] : options_.ids)
        if (!is_uuid(id)) refuse("the id of '" + service + "' is not a UUID");
}

inline std::optional<std::string> barbican_store::read(std::string_view service) const {
    if (!is_askable(service)) return std::nullopt;
    const std::string place = place_of(service);
    const deadline until = http_.begin_read();
    return session_.use(until, [&](const keystone_session& session) {
        const url_parts at = parts_of_url(session.endpoint).value();  // without its path: the server's choice
        const reading now{session, at.scheme + "://" + at.host + ':' + at.port + ", " + place, until};
        const std::optional<std::string> id = options_.ids.contains(service) ? place : find(now, place);
        return id ? payload(now, *id) : std::nullopt;
    });
}

// Sends a request. Returns an answer of status 200 or 404, or throws.
inline http_answer barbican_store::ask(const reading& now, const std::string& path,
                                       std::string_view type) const {
    const std::string& endpoint = now.session.endpoint;
    const std::string version = endpoint.ends_with("/v1") ? "" : "/v1";
    http_request ask{.url = endpoint + version + "/secrets" + path, .about = now.about};
    ask.headers.add("X-Auth-Token", now.session.token).add("Accept", type);
    http_answer answer = http_.send(ask, now.until);
    if (answer.status == 200 || answer.status == 404) return answer;

    const std::string request = now.about + request_of(answer);
    if (answer.status == 401)
        throw http_.error(reason::expired_token, request, "the token has expired, or was withdrawn");
    if (answer.status == 403)
        throw http_.error(reason::permission_denied, request,
                          "the role does not allow it, or the secret is another project's");
    throw http_.error(answer, request);
}

// The UUID of the newest secret with exactly this name. Barbican treats the name in a search as a
// pattern with "%" and "_", ignores case, and decodes it twice. Its link to the next page lacks the
// name, so the next offset is computed here.
inline std::optional<std::string> barbican_store::find(const reading& now, std::string_view wanted) const {
    constexpr int most_pages = 100;
    const std::string query =
        "?name=" + percent_encoded(percent_encoded(wanted)) + "&sort=created:desc&limit=100&offset=";
    std::size_t offset = 0;
    for (int page = 0; page < most_pages; ++page) {
        const http_answer answer = ask(now, query + std::to_string(offset), "application/json");
        if (answer.status == 404) throw no_barbican(reason::no_engine, now.about);
        const json body = parse_json(answer.body);
        const json* const secrets = member(&body, "secrets");
        const std::optional<std::int64_t> total = number(member(&body, "total"));
        if (!secrets || !secrets->is_array() || !total) throw no_barbican(reason::malformed, now.about);
        for (const json& secret : secrets->elements()) {
            if (text(member(&secret, "name")) != wanted) continue;
            // The reference contains the host that the server believes to be its own, often
            // wrongly. That host must not get the token.
            std::string_view id = text(member(&secret, "secret_ref")).value_or("");
            id.remove_prefix(id.rfind('/') + 1);  // npos + 1 is 0
            if (!is_uuid(id)) throw no_barbican(reason::malformed, now.about);
            return std::string(id);
        }
        offset += secrets->elements().size();
        if (secrets->elements().empty() || static_cast<std::int64_t>(offset) >= *total) return std::nullopt;
    }
    throw http_.error(reason::rejected, now.about, "too many secrets have a name that is like this one");
}

// The payload exactly as it was stored. For a payload that is not text, Barbican accepts only this
// type, and not in a list of types. An answer without a length also ends if the connection breaks, so a
// part of the key could be taken for the key.
inline std::optional<std::string> barbican_store::payload(const reading& now, const std::string& id) const {
    const http_answer answer = ask(now, '/' + id + "/payload", "application/octet-stream");
    if (answer.status == 404) {
        const json body = parse_json(answer.body);
        if (number(member(&body, "code")) == 404) return std::nullopt;  // no secret, or one without a payload
        throw no_barbican(reason::no_engine, now.about);
    }
    const std::string_view type = answer.headers.find("Content-Type").value_or("");
    if (type.starts_with("text/html")) throw no_barbican(reason::malformed, now.about);  // a proxy's page
    const std::string_view coding = answer.headers.find("Transfer-Encoding").value_or("");
    if (!answer.headers.find("Content-Length") && !equals_ignoring_case(coding, "chunked"))
        throw http_.error(reason::malformed, now.about, "the answer has no length");
    return http_.key_in(answer.body, options_.field, now.about);
}

}}  // namespace secrets
