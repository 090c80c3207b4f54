#pragma once

// Finds the access key for requests to AWS, in the first of these sources that has one: the environment, the
// profile, the container's endpoint, the metadata service (version 2) of the instance.
//
// A source that is not supported, cannot be read or has only a part of a key is an error. If it were
// skipped, a later source would supply the key of another identity.

#include "abi.hpp"
#include "aws_profile.hpp"
#include "credential.hpp"
#include "http.hpp"
#include "json.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// An access key, with which requests are signed. Without a token it does not expire.
struct SECRETS_VISIBLE aws_key {
    secret_text id{}, secret{}, token{};
    bool operator==(const aws_key&) const = default;
};

struct SECRETS_VISIBLE aws_credential_options {
    aws_key key{};  ///< if any part of it is there, no other source is used

    aws_files files{};  ///< read each time
    std::string profile = "default";
    bool file_is_chosen = false;     ///< if true, the file of credentials has to exist
    bool config_is_chosen = false;   ///< if true, the config file has to exist
    bool profile_is_chosen = false;  ///< if true, the profile has to exist

    std::string container_address{};               ///< address of its credentials; empty: none
    secret_text container_token{};                 ///< sent to that address
    std::filesystem::path container_token_file{};  ///< file with the token, which is read each time; wins

    std::string instance_address{};  ///< "http://169.254.169.254"; empty: none

    std::string refused{};  ///< if not empty: the error, unless there is a `key`; no other source is used

    /// For requests to a container's endpoint or a metadata service. They are on a local network, so the
    /// time limits are short, and no proxy is used.
    http_options http{.connect_timeout = std::chrono::seconds(1),
                      .timeout = std::chrono::seconds(2),  // for all requests of a login
                      .plain_http = true};
};

/// Whether to ask for a key of the role of the EC2 instance. Outside of EC2 nothing answers, and a call
/// waits for a second or two.
enum class instance_role { not_asked, asked };

/// Whether credentials of a container may be requested from this URL. The request contains the container's
/// token, so the URL has to be https, on this machine, or one of the addresses that ECS and EKS use.
inline bool is_container_address(const std::string& url) {
    const std::optional<url_parts> parts = parts_of_url(url);
    return parts && (parts->encrypted || parts->local || parts->host == "169.254.170.2" ||
                     parts->host == "169.254.170.23" || parts->host == "[fd00:ec2::23]");
}

/// Finds the access key. Thread-safe.
class aws_credentials {
public:
    explicit aws_credentials(aws_credential_options options)
        : options_(std::move(options)), http_("aws", options_.http) {}

    /// Throws store_error.
    fetched<aws_key> fetch(deadline until) const;

    /// The key that needs no request: of the options or the profile. Returns std::nullopt if there is
    /// none. Throws store_error.
    std::optional<aws_key> key_without_request() const;

private:
    fetched<aws_key> find(deadline until) const;
    std::optional<aws_key> key_of_profile() const;
    fetched<aws_key> fetch_from_container(deadline until) const;
    fetched<aws_key> fetch_from_instance(deadline until) const;
    // The source and its host, for error texts. The path to a container's credentials is secret.
    std::string about(const char* whose, const std::string& url) const {
        const std::string about = std::string(whose) + " credentials";
        const std::optional<url_parts> parts = parts_of_url(url);
        if (!parts) throw http_.error(reason::misconfigured, about, "the address is not a URL");
        return about + " at " + parts->scheme + "://" + parts->host + ':' + parts->port;
    }
    // Sends the request. Returns an answer of status 200, or throws.
    http_answer ask(const http_request& request, deadline until) const {
        http_answer answer = http_.send(request, until);
        if (answer.status == 200) return answer;
        const store_error error = http_.error(answer, request.about);
        if (is_passing(error.why())) throw error;
        const std::string status = "status " + std::to_string(answer.status);
        throw http_.error(reason::no_credential, answer, request.about, status);
    }
    fetched<aws_key> key_in(const http_answer& answer, const std::string& about) const;

    aws_credential_options options_;
    http_client http_;
};

// ---- The environment --------------------------------------------------------------------------------------

namespace aws_detail {

inline std::string container_address() {
    const std::string path(variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
    if (path.empty()) return std::string(variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    return "http://169.254.170.2" + (path.starts_with('/') ? path : '/' + path);  // else it extends the host
}

inline std::string instance_address(instance_role role) {
    const std::string address(variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"));
    if (equals_ignoring_case(variable("AWS_EC2_METADATA_DISABLED"), "true")) return "";
    return address.empty() && role == instance_role::asked ? "http://169.254.169.254" : address;
}

// The lines of a profile with a key, and those that would lead to another identity.
inline constexpr const char* key_lines[] = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token",
                                            "aws_security_token"};
inline constexpr const char* refused_lines[] = {
    "role_arn",       "source_profile", "credential_source", "web_identity_token_file", "sso_session",
    "sso_account_id", "sso_role_name",  "sso_start_url",     "login_session"};

// What is wrong if only a part of the key is there; otherwise empty.
inline std::string missing_part(const aws_key& key, const std::string& id, const std::string& secret,
                                const std::string& token) {
    const std::string without = " is set without ";
    if (key.secret.empty() && !key.id.empty()) return id + without + secret;
    if (key.id.empty() && !key.secret.empty()) return secret + without + id;
    return key.id.empty() && !key.token.empty() ? token + without + id : "";
}

inline bool has_container(const aws_credential_options& options) {
    return !options.container_address.empty() || !options.container_token.empty() ||
           !options.container_token_file.empty();
}

// The first file that is chosen, but missing; otherwise empty.
inline std::filesystem::path missing_file(const aws_credential_options& options) {
    if (options.file_is_chosen && is_missing(options.files.credentials)) return options.files.credentials;
    if (options.config_is_chosen && is_missing(options.files.config)) return options.files.config;
    return {};
}

}  // namespace aws_detail

/// The options from AWS's variables, which README.md lists.
inline aws_credential_options aws_credentials_from_environment(instance_role role) {
    using aws_detail::variable;
    aws_credential_options options;
    options.key = {secret_text(variable("AWS_ACCESS_KEY_ID")), secret_text(variable("AWS_SECRET_ACCESS_KEY")),
                   secret_text(variable("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"))};
    for (const char* const name : {"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"})
        if (!variable(name).empty())
            options.refused = std::string(name) + " is set: logins with a web identity are not supported";
    // AWS's clients differ in whether they read AWS_DEFAULT_PROFILE, so aws_from_environment() refuses it.
    options.profile_is_chosen = !variable("AWS_PROFILE", "AWS_DEFAULT_PROFILE").empty();
    if (options.profile_is_chosen) options.profile = variable("AWS_PROFILE", "AWS_DEFAULT_PROFILE");
    options.file_is_chosen = !variable("AWS_SHARED_CREDENTIALS_FILE").empty();
    options.config_is_chosen = !variable("AWS_CONFIG_FILE").empty();
    options.files = aws_files_of_environment();
    options.container_address = aws_detail::container_address();
    options.container_token = secret_text(variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    options.container_token_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    options.instance_address = aws_detail::instance_address(role);
    return options;
}

/// Whether the options name an identity, which has to be used or refused. A complete access key does
/// not name one: many tools use its variables.
inline bool names_identity(const aws_credential_options& options) {
    if (!options.key.id.empty() && !options.key.secret.empty()) return false;
    if (options.key != aws_key() || !options.refused.empty()) return true;
    if (options.container_address.empty() && aws_detail::has_container(options)) return true;
    return options.profile_is_chosen || options.file_is_chosen || !aws_detail::missing_file(options).empty();
}

/// Whether any source may have a key. `profile` is that of the options. Sends no request, and reads no file.
inline bool may_have_key(const aws_credential_options& options, const aws_profile& profile) {
    if (options.key != aws_key() || names_identity(options)) return true;
    if (aws_detail::has_container(options) || !options.instance_address.empty()) return true;
    const auto has = [&](const char* line) { return !profile.value(line).empty(); };
    using namespace aws_detail;
    return has("credential_process") || std::any_of(std::begin(key_lines), std::end(key_lines), has) ||
           std::any_of(std::begin(refused_lines), std::end(refused_lines), has);
}

// ---- The profile ------------------------------------------------------------------------------------------

// In the order of AWS's own clients. If the profile takes a role, its own key is not the key for requests.
inline std::optional<aws_key> aws_credentials::key_of_profile() const {
    const std::string about = "profile '" + options_.profile + "'";
    const auto refuse = [&](const std::string& why) { throw http_.error(reason::no_credential, about, why); };
    const auto key_from = [&](const aws_profile::lines& file) -> std::optional<aws_key> {
        const auto line = [&](const char* name) {
            const auto found = file.find(name);
            return found == file.end() ? secret_text() : found->second;
        };
        const auto [id, secret, token, old_token] = aws_detail::key_lines;
        aws_key key{line(id), line(secret), line(old_token)};  // AWS's clients prefer the old name
        if (key.token.empty()) key.token = line(token);
        if (key == aws_key()) return std::nullopt;
        const std::string fault = aws_detail::missing_part(key, id, secret, token);
        if (!fault.empty()) refuse(fault);
        return key;
    };

    const std::filesystem::path missing = aws_detail::missing_file(options_);
    if (!missing.empty()) refuse(missing.string() + " does not exist");
    const aws_profile profile = read_aws_profile(options_.files, options_.profile);
    if (!profile.is_there && options_.profile_is_chosen)
        throw store_error("aws", reason::no_credential, about + " does not exist");
    for (const char* const line : aws_detail::refused_lines)
        if (!profile.value(line).empty()) refuse(std::string(line) + " is not supported");
    if (std::optional<aws_key> key = key_from(profile.credentials)) return key;
    if (!profile.value("credential_process").empty()) refuse("credential_process is not supported");
    return key_from(profile.config);
}

// ---- Endpoints --------------------------------------------------------------------------------------------

// {"AccessKeyId": "...", "SecretAccessKey": "...", "Token": "...", "Expiration": "2025-01-31T09:00:29Z"}
inline fetched<aws_key> aws_credentials::key_in(const http_answer& answer, const std::string& about) const {
    const json body = parse_json(answer.body);
    if (const auto code = text(member(&body, "Code")); code && *code != "Success")
        throw http_.error(reason::no_credential, about, "it refuses them");
    const auto line = [&](std::string_view name) { return text(member(&body, name)).value_or(""); };
    const std::string_view id = line("AccessKeyId"), secret = line("SecretAccessKey");
    fetched<aws_key> key{{secret_text(id), secret_text(secret), secret_text(line("Token"))}};
    if (key.value.id.empty() || key.value.secret.empty())
        throw http_.error(reason::malformed, about, "the answer has no key in it");
    if (const auto end = utc_time(line("Expiration"))) key.lifetime = until(*end);
    return key;
}

inline fetched<aws_key> aws_credentials::fetch_from_container(deadline until) const {
    http_request request{.url = options_.container_address};
    request.about = about("the container's", request.url);
    if (!is_container_address(request.url))
        throw http_.error(reason::misconfigured, request.about, "not an address of container credentials");
    secret_text token = options_.container_token;
    if (!options_.container_token_file.empty()) {
        const std::optional<secret_text> line = token_in_file(options_.container_token_file);
        if (!line) throw http_.error(reason::no_credential, request.about, "the file has no token");
        token = *line;
    }
    if (!is_one_line(token))
        throw http_.error(reason::misconfigured, request.about, "the token is not one line of text");
    request.headers.add("Authorization", token);
    return key_in(ask(request, until), request.about);
}

// The token is used at once, and not stored.
inline fetched<aws_key> aws_credentials::fetch_from_instance(deadline until) const {
    const std::string address = checked_address("aws", options_.instance_address,
                                                "the instance's address (AWS_EC2_METADATA_SERVICE_ENDPOINT)");
    const std::string whose = about("the instance's", address);
    http_request login{.method = "PUT", .url = address + "/latest/api/token", .about = whose};
    login.repeatable = true;
    login.headers.add("X-aws-ec2-metadata-token-ttl-seconds", "60");
    const http_answer token = ask(login, until);
    if (token.body.empty() || !is_one_line(token.body))
        throw http_.error(reason::malformed, whose, "it sent no token");
    const auto get = [&](const std::string& role) {
        const std::string path = "/latest/meta-data/iam/security-credentials/" + role;
        http_request request{.url = address + path, .about = whose};
        request.headers.add("X-aws-ec2-metadata-token", token.body);
        return ask(request, until);
    };
    const http_answer roles = get("");
    const std::string_view role = roles.body.view().substr(0, roles.body.view().find_first_of("\r\n"));
    if (role.empty()) throw http_.error(reason::no_credential, whose, "it has no role");
    return key_in(get(percent_encoded(role)), whose);
}

inline fetched<aws_key> aws_credentials::fetch(deadline until) const {
    fetched<aws_key> found = find(std::min(until, http_.begin_read()));
    for (const secret_text* const part : {&found.value.id, &found.value.secret, &found.value.token})
        if (!is_one_line(*part))
            throw store_error("aws", reason::no_credential, "a part of the key is not one line of text");
    return found;
}

inline std::optional<aws_key> aws_credentials::key_without_request() const {
    const auto refuse = [](const std::string& why) { throw store_error("aws", reason::no_credential, why); };
    const std::string fault = aws_detail::missing_part(
        options_.key, "AWS_ACCESS_KEY_ID (or key.id)", "AWS_SECRET_ACCESS_KEY (or key.secret)",
        "AWS_SESSION_TOKEN, AWS_SECURITY_TOKEN (or key.token)");
    if (!fault.empty()) refuse(fault);
    if (!options_.key.id.empty()) return options_.key;
    if (!options_.refused.empty()) refuse(options_.refused);
    std::optional<aws_key> key = key_of_profile();
    if (!key && options_.container_address.empty() && aws_detail::has_container(options_))
        refuse("AWS_CONTAINER_AUTHORIZATION_TOKEN or its file is set without an address, as in "
               "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    return key;
}

inline fetched<aws_key> aws_credentials::find(deadline until) const {
    if (std::optional<aws_key> key = key_without_request()) return {std::move(*key), std::nullopt};
    if (!options_.container_address.empty()) return fetch_from_container(until);
    if (!options_.instance_address.empty()) return fetch_from_instance(until);
    throw store_error("aws", reason::no_credential, "no access key in the environment or the profile");
}

}}  // namespace secrets
