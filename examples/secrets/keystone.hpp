#pragma once

// Logs in to OpenStack with Keystone's version 3 API. The answer contains a token, and a catalogue
// with the addresses of the services.

#include "abi.hpp"
#include "credential.hpp"
#include "environment.hpp"
#include "http.hpp"
#include "json.hpp"
#include "login.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// The user and the project of a login. If both a name and an id are set, the id is used. A name
/// also needs its domain.
struct SECRETS_VISIBLE keystone_options {
    std::string auth_url{};  ///< "https://keystone.example:5000/v3", with or without the /v3

    std::string application_credential_id{};  ///< with it, user and project are not used
    secret_text application_credential_secret{};

    std::string user_id{}, user_name{}, user_domain_id{}, user_domain_name{};
    secret_text password{};
    std::string project_id{}, project_name{}, project_domain_id{}, project_domain_name{};

    std::string region{};  ///< region of the service; empty: the first in the catalogue
    std::string endpoint_interface = "public";  ///< or "internal" or "admin", also with "URL" at the end
};

/// The options from the variables that README.md lists. Returns std::nullopt if neither OS_AUTH_URL nor a
/// credential is set. Throws store_error if another variable names an identity or a scope, or if a credential
/// is set without OS_AUTH_URL. OS_DOMAIN_... and OS_DEFAULT_DOMAIN... are ignored: the token is always for a
/// project, and a name without its own domain is an error.
inline std::optional<keystone_options> keystone_from_environment() {
    const auto refuse = [](const char* text) { throw store_error("barbican", reason::misconfigured, text); };
    refuse_variables("barbican", {"OS_CLOUD", "OS_APPLICATION_CREDENTIAL_NAME", "OS_TOKEN", "OS_AUTH_TOKEN",
                                  "OS_AUTH_PLUGIN", "OS_TRUST_ID", "OS_SYSTEM_SCOPE"});
    keystone_options options;
    options.auth_url = environment_variable("OS_AUTH_URL");
    options.application_credential_id = environment_variable("OS_APPLICATION_CREDENTIAL_ID");
    options.application_credential_secret =
        secret_text(environment_variable("OS_APPLICATION_CREDENTIAL_SECRET"));
    options.user_id = environment_variable("OS_USER_ID");
    options.user_name = environment_variable("OS_USERNAME");
    options.user_domain_id = environment_variable("OS_USER_DOMAIN_ID");
    options.user_domain_name = environment_variable("OS_USER_DOMAIN_NAME");
    options.password = secret_text(environment_variable("OS_PASSWORD"));
    if (options.auth_url.empty()) {
        const bool has_user = !options.user_id.empty() || !options.user_name.empty();
        if (!options.application_credential_id.empty() || !options.application_credential_secret.empty() ||
            (has_user && !options.password.empty()))
            refuse("OS_AUTH_URL is not set");
        return std::nullopt;
    }
    options.project_id = environment_variable("OS_PROJECT_ID");
    if (options.project_id.empty()) refuse_variables("barbican", {"OS_TENANT_ID"});  // its old name
    options.project_name = environment_variable("OS_PROJECT_NAME");
    options.project_domain_id = environment_variable("OS_PROJECT_DOMAIN_ID");
    options.project_domain_name = environment_variable("OS_PROJECT_DOMAIN_NAME");
    options.region = environment_variable("OS_REGION_NAME");
    const std::string_view kind = environment_variable("OS_INTERFACE");
    if (kind.empty()) refuse_variables("barbican", {"OS_ENDPOINT_TYPE"});  // its old name
    else options.endpoint_interface = kind;

    const std::string_view version = environment_variable("OS_IDENTITY_API_VERSION");
    if (!version.empty() && !version.starts_with('3')) refuse("OS_IDENTITY_API_VERSION is not 3");
    const std::string_view type = environment_variable("OS_AUTH_TYPE");
    const bool has_id = !options.application_credential_id.empty();
    const bool wants_id = type == "v3applicationcredential";
    if (!type.empty() && !wants_id && type != "password" && type != "v3password")
        refuse("OS_AUTH_TYPE is not password, v3password or v3applicationcredential");
    if (wants_id && !has_id) refuse("OS_AUTH_TYPE needs OS_APPLICATION_CREDENTIAL_ID, which is not set");
    if (has_id && !type.empty() && !wants_id)
        refuse("OS_AUTH_TYPE names a password, but OS_APPLICATION_CREDENTIAL_ID is set");
    return options;
}

/// The result of a login.
struct keystone_session {
    secret_text token{};
    std::string endpoint{};  ///< address of the service, without slashes at its end
    bool operator==(const keystone_session&) const = default;
};

/// Logs in for a store. Thread-safe.
class keystone {
public:
    /// The client has to outlive this object. Throws store_error if the options are invalid; if one
    /// is missing, the error names its variable.
    keystone(std::string_view store, const http_client& http, keystone_options options);

    /// Returns a token, and the address of the service of this type, such as "key-manager". Throws
    /// store_error.
    fetched<keystone_session> log_in(std::string_view service, deadline until) const;

private:
    bool has_application_credential() const { return !options_.application_credential_id.empty(); }
    const char* missing_variable() const;
    secret_text question() const;
    store_error refusal(const http_answer& answer) const;
    std::string endpoint_in(const json* token, std::string_view service) const;

    const http_client& http_;
    keystone_options options_;
    std::string about_;
};

/// Whether the text is a UUID as OpenStack writes it: 8-4-4-4-12 hexadecimal digits.
inline bool is_uuid(std::string_view text) noexcept {
    constexpr std::string_view pattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    constexpr std::string_view digits = "0123456789abcdefABCDEF";
    return std::equal(text.begin(), text.end(), pattern.begin(), pattern.end(), [=](char c, char wanted) {
        return wanted == 'x' ? digits.find(c) != std::string_view::npos : c == wanted;
    });
}

/// ", request req-<UUID>" for an error text, with which an operator finds the request in the
/// server's log. Empty if the answer has no id of this form. Other texts are not used: they could
/// be anything, such as a token.
inline std::string request_of(const http_answer& answer) {
    const std::string_view id = answer.headers.find("X-Openstack-Request-Id").value_or("");
    return id.starts_with("req-") && is_uuid(id.substr(4)) ? ", request " + std::string(id) : "";
}

// -----------------------------------------------------------------------------------------------------------

inline keystone::keystone(std::string_view store, const http_client& http, keystone_options options)
    : http_(http), options_(std::move(options)) {
    options_.auth_url =
        checked_address(store, std::move(options_.auth_url), "the address (OS_AUTH_URL)");
    if (!options_.auth_url.ends_with("/v3")) options_.auth_url += "/v3";  // other paths have no logins: 404
    about_ = options_.auth_url + ", login";
    if (const char* const missing = missing_variable())
        throw http_.error(reason::misconfigured, about_, std::string(missing) + " is not set");
    std::string& kind = options_.endpoint_interface;
    if (kind.ends_with("URL")) kind.resize(kind.size() - 3);
    if (kind != "public" && kind != "internal" && kind != "admin")
        throw http_.error(reason::misconfigured, about_, "OS_INTERFACE is not public, internal or admin");
}

// The variable that is missing, or null. If half of an application credential is set, the user is not
// used: it is another identity. A project is required: without it Keystone returns no catalogue, and a
// token that no service accepts.
inline const char* keystone::missing_variable() const {
    const keystone_options& o = options_;
    const bool has_secret = !o.application_credential_secret.empty();
    if (has_secret != has_application_credential())
        return has_secret ? "OS_APPLICATION_CREDENTIAL_ID" : "OS_APPLICATION_CREDENTIAL_SECRET";
    if (has_secret) return nullptr;
    if (o.user_id.empty() && o.user_name.empty())
        return "OS_APPLICATION_CREDENTIAL_ID, OS_USERNAME or OS_USER_ID";
    if (o.user_id.empty() && o.user_domain_id.empty() && o.user_domain_name.empty())
        return "OS_USER_DOMAIN_NAME or OS_USER_DOMAIN_ID";
    if (o.password.empty()) return "OS_PASSWORD";
    if (o.project_id.empty() && o.project_name.empty()) return "OS_PROJECT_NAME or OS_PROJECT_ID";
    if (o.project_id.empty() && o.project_domain_id.empty() && o.project_domain_name.empty())
        return "OS_PROJECT_DOMAIN_NAME or OS_PROJECT_DOMAIN_ID";
    return nullptr;
}

namespace detail {

// "id":"..." or "name":"..."
inline void append_identity(secret_text& to, const std::string& id, const std::string& name) {
    to += id.empty() ? R"("name":)" : R"("id":)";
    append_quoted(to, id.empty() ? name : id);
}

// The same, with the domain that a name needs.
inline void append_identity(secret_text& to, const std::string& id, const std::string& name,
                            const std::string& domain_id, const std::string& domain_name) {
    append_identity(to, id, name);
    if (!id.empty()) return;
    to += R"(,"domain":{)";
    append_identity(to, domain_id, domain_name);
    to += '}';
}

}  // namespace detail

// The body of a login. An application credential belongs to a project, and Keystone refuses a
// request that names one, too.
inline secret_text keystone::question() const {
    const keystone_options& o = options_;
    if (has_application_credential()) {
        secret_text body(
            R"({"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":)");
        append_quoted(body, o.application_credential_id);
        append_quoted(body += R"(,"secret":)", o.application_credential_secret);
        return body += "}}}}";
    }
    secret_text body(R"({"auth":{"identity":{"methods":["password"],"password":{"user":{)");
    detail::append_identity(body, o.user_id, o.user_name, o.user_domain_id, o.user_domain_name);
    append_quoted(body += R"(,"password":)", o.password);
    body += R"(}}},"scope":{"project":{)";
    detail::append_identity(body, o.project_id, o.project_name, o.project_domain_id, o.project_domain_name);
    return body += "}}}}";
}

inline fetched<keystone_session> keystone::log_in(std::string_view service, deadline until) const {
    http_request ask{.method = "POST",
                     .url = options_.auth_url + "/auth/tokens",
                     .about = about_,
                     .body = question(),
                     .repeatable = true};  // a token that is not needed does no harm
    ask.headers.add("Content-Type", "application/json").add("Accept", "application/json");
    const http_answer answer = http_.send(ask, until);
    if (answer.status != 201) throw refusal(answer);

    const json body = parse_json(answer.body);
    const json* const token = member(&body, "token");
    const std::optional<std::string_view> subject = answer.headers.find("X-Subject-Token");
    if (!token || !subject || subject->empty() || !is_one_line(*subject))
        throw http_.error(reason::malformed, about_, "the answer is not one of Keystone");

    fetched<keystone_session> session{{secret_text(*subject), endpoint_in(token, service)}, std::nullopt};
    // Both times are Keystone's, so this machine's clock does not matter.
    const auto issued = utc_time(text(member(token, "issued_at")).value_or(""));
    const auto expires = utc_time(text(member(token, "expires_at")).value_or(""));
    if (issued && expires && *issued < *expires)
        session.lifetime = std::chrono::floor<std::chrono::seconds>(*expires - *issued);
    return session;
}

// Keystone does not distinguish a wrong password from an unknown user or project, or from a missing role.
inline store_error keystone::refusal(const http_answer& answer) const {
    const std::string about = about_ + request_of(answer);
    const json body = parse_json(answer.body);
    if (answer.status == 401)
        return http_.error(reason::no_credential, about,
                           has_application_credential()
                               ? "refused: the application credential has expired, or its secret is wrong"
                               : "refused: a wrong user, password or project, or no role in it");
    if (answer.status == 404 && has_application_credential() && member(&body, "error"))
        return http_.error(reason::no_credential, about, "refused: there is no such application credential");
    if (answer.status == 404)
        return http_.error(reason::no_engine, about, "there is no Keystone at this address");
    if (answer.status < 200 || answer.status >= 300) return login_error(http_, answer, about);
    return http_.error(reason::malformed, about, "the answer is not one of Keystone");
}

inline std::string keystone::endpoint_in(const json* token, std::string_view service) const {
    const auto each = [](const json* list, auto function) {
        if (list && list->is_array())
            for (const json& element : list->elements()) function(element);
    };
    std::optional<std::string> found;
    each(member(token, "catalog"), [&](const json& offered) {
        if (text(member(&offered, "type")) != service) return;
        each(member(&offered, "endpoints"), [&](const json& endpoint) {
            const bool is_there = options_.region.empty() ||
                                  text(member(&endpoint, "region")) == options_.region ||
                                  text(member(&endpoint, "region_id")) == options_.region;
            const bool is_kind = text(member(&endpoint, "interface")) == options_.endpoint_interface;
            if (!found && is_there && is_kind)
                found = text(member(&endpoint, "url")).value_or("");
        });
    });
    const std::string sought = "service " + std::string(service) + ", interface " +
                               options_.endpoint_interface + ", region " +
                               (options_.region.empty() ? "any" : options_.region);
    if (!found) throw http_.error(reason::no_engine, about_, "the catalogue does not have " + sought);
    if (!parts_of_url(*found) || found->find_first_of("?#") != std::string::npos)
        throw http_.error(reason::malformed, about_, "the catalogue has no usable address for " + sought);
    while (found->ends_with('/')) found->pop_back();
    return *found;
}

}}  // namespace secrets
