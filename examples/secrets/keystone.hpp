#pragma once

// Logs in to OpenStack with Keystone's version 3 API. The answer contains a token, and a catalogue
// with the addresses of the services.

#include "credential.hpp"
#include "environment.hpp"
#include "http.hpp"
#include "json.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

/// The user and the project of a login. If both a name and an id are set, the id is used. A name
/// also needs its domain.
struct keystone_options {
    std::string auth_url{};  ///< "https://keystone.example:5000/v3", with or without the /v3

    std::string application_credential_id{};  ///< if id and secret are set, user and project are not used
    secret_text application_credential_secret{};

    std::string user_id{}, user_name{}, user_domain_id{}, user_domain_name{};
    secret_text password{};
    std::string project_id{}, project_name{}, project_domain_id{}, project_domain_name{};

    std::string region{};  ///< region of the service; empty: the first in the catalogue
    std::string interface = "public";
};

/// The options from OS_AUTH_URL, OS_APPLICATION_CREDENTIAL_ID and _SECRET, OS_USERNAME or
/// OS_USER_ID, OS_PASSWORD, OS_PROJECT_NAME or _ID, OS_USER_DOMAIN_NAME or _ID,
/// OS_PROJECT_DOMAIN_NAME or _ID, OS_REGION_NAME and OS_INTERFACE. Returns std::nullopt without
/// OS_AUTH_URL.
std::optional<keystone_options> keystone_from_environment();

/// The result of a login.
struct keystone_session {
    secret_text token{};
    std::string endpoint{};  ///< address of the service, without slashes at its end
};

/// Logs in for a store. Thread-safe.
class keystone {
public:
    /// The client has to outlive this object. Throws store_error if the options are invalid; if one
    /// is missing, the error names its variable.
    keystone(std::string_view store, const http_client& http, keystone_options options);

    /// Returns a token, and the address of the service of this type, such as "key-manager". Throws
    /// store_error.
    fetched<keystone_session> log_in(std::string_view service) const;

    const std::string& address() const noexcept { return options_.auth_url; }

private:
    bool has_application_credential() const {
        return !options_.application_credential_id.empty() && !options_.application_credential_secret.empty();
    }
    const char* missing_variable() const;
    secret_text question() const;
    store_error refusal(const http_answer& answer) const;
    std::string endpoint_in(const json* token, std::string_view service) const;

    const http_client& http_;
    keystone_options options_;
    std::string about_;
};

/// ", request req-<UUID>" for an error text, with which an operator finds the request in the
/// server's log. Empty if the answer has no id of this form. Other texts are not used: they could
/// be anything, such as a token.
std::string request_of(const http_answer& answer);

/// Whether the text is a UUID as OpenStack writes it: 8-4-4-4-12 hexadecimal digits.
bool is_uuid(std::string_view text) noexcept;

// ---------------------------------------------------------------------------------------------------------------------

inline std::optional<keystone_options> keystone_from_environment() {
    keystone_options options;
    options.auth_url = environment_variable("OS_AUTH_URL");
    if (options.auth_url.empty()) return std::nullopt;
    options.application_credential_id = environment_variable("OS_APPLICATION_CREDENTIAL_ID");
    options.application_credential_secret = secret_text(environment_variable("OS_APPLICATION_CREDENTIAL_SECRET"));
    options.user_id = environment_variable("OS_USER_ID");
    options.user_name = environment_variable("OS_USERNAME");
    options.user_domain_id = environment_variable("OS_USER_DOMAIN_ID");
    options.user_domain_name = environment_variable("OS_USER_DOMAIN_NAME");
    options.password = secret_text(environment_variable("OS_PASSWORD"));
    options.project_id = environment_variable("OS_PROJECT_ID");
    options.project_name = environment_variable("OS_PROJECT_NAME");
    options.project_domain_id = environment_variable("OS_PROJECT_DOMAIN_ID");
    options.project_domain_name = environment_variable("OS_PROJECT_DOMAIN_NAME");
    options.region = environment_variable("OS_REGION_NAME");
    const std::string_view interface = environment_variable("OS_INTERFACE");
    if (!interface.empty()) options.interface = interface;
    return options;
}

inline keystone::keystone(std::string_view store, const http_client& http, keystone_options options)
    : http_(http), options_(std::move(options)) {
    options_.auth_url = checked_address(store, std::move(options_.auth_url));
    if (!options_.auth_url.ends_with("/v3")) options_.auth_url += "/v3";  // at other paths Keystone has no logins: 404
    about_ = options_.auth_url + ", login";
    if (const char* const missing = missing_variable())
        throw http_.error(reason::misconfigured, about_,
                          std::string(missing) + " is not set, and there is no application credential "
                                                 "(OS_APPLICATION_CREDENTIAL_ID with OS_APPLICATION_CREDENTIAL_SECRET)");
}

// The variable that is missing, or null. A project is required: without it Keystone returns no
// catalogue, and a token that no service accepts.
inline const char* keystone::missing_variable() const {
    const keystone_options& o = options_;
    if (has_application_credential()) return nullptr;
    if (o.user_id.empty() && o.user_name.empty()) return "OS_USERNAME or OS_USER_ID";
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
inline void append_identity(secret_text& to, const std::string& id, const std::string& name, const std::string& domain_id,
                            const std::string& domain_name) {
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
        secret_text body(R"({"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":)");
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

inline fetched<keystone_session> keystone::log_in(std::string_view service) const {
    http_request ask{.method = "POST", .url = options_.auth_url + "/auth/tokens", .about = about_, .body = question(),
                     .repeatable = true};  // a token that is not needed does no harm
    ask.headers.add("Content-Type", "application/json").add("Accept", "application/json");
    const http_answer answer = http_.send(ask);
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

// Keystone does not distinguish a wrong password from an unknown user or project, or from a missing
// role.
inline store_error keystone::refusal(const http_answer& answer) const {
    const std::string about = about_ + request_of(answer);
    const json body = parse_json(answer.body);
    if (answer.status == 401)
        return http_.error(reason::no_credential, about, has_application_credential()
                               ? "refused: the application credential has expired, or its secret is wrong"
                               : "refused: a wrong user, password or project, or no role in it");
    if (answer.status == 404 && has_application_credential() && member(&body, "error"))
        return http_.error(reason::no_credential, about, "refused: there is no such application credential");
    if (answer.status == 404) return http_.error(reason::no_engine, about, "there is no Keystone at this address");
    if (answer.status < 200 || answer.status >= 300) return http_.error(answer, about);
    return http_.error(reason::malformed, about, "the answer is not one of Keystone");
}

inline std::string keystone::endpoint_in(const json* token, std::string_view service) const {
    const auto each = [](const json* list, auto function) {
        if (list && list->is_array())
            for (const json& element : *list) function(element);
    };
    std::optional<std::string> found;
    each(member(token, "catalog"), [&](const json& offered) {
        if (text(member(&offered, "type")) != service) return;
        each(member(&offered, "endpoints"), [&](const json& endpoint) {
            const bool is_there = options_.region.empty() || text(member(&endpoint, "region")) == options_.region ||
                                  text(member(&endpoint, "region_id")) == options_.region;
            if (!found && is_there && text(member(&endpoint, "interface")) == options_.interface)
                found = text(member(&endpoint, "url")).value_or("");
        });
    });
    const std::string sought = "service " + std::string(service) + ", interface " + options_.interface + ", region " +
                               (options_.region.empty() ? "any" : options_.region);
    if (!found) throw http_.error(reason::no_engine, about_, "the catalogue does not have " + sought);
    if (!parts_of_url(*found))
        throw http_.error(reason::malformed, about_, "the catalogue has no usable address for " + sought);
    while (found->ends_with('/')) found->pop_back();
    return *found;
}

inline bool is_uuid(std::string_view text) noexcept {
    constexpr std::string_view pattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    return std::equal(text.begin(), text.end(), pattern.begin(), pattern.end(), [](char c, char wanted) {
        const bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        return wanted == 'x' ? is_digit : c == wanted;
    });
}

inline std::string request_of(const http_answer& answer) {
    const std::string_view id = answer.headers.find("X-Openstack-Request-Id").value_or("");
    return id.starts_with("req-") && is_uuid(id.substr(4)) ? ", request " + std::string(id) : "";
}

}  // namespace secrets
