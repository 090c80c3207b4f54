#pragma once

// Finds the access key for requests to AWS, in the first of these sources that has one: the
// environment, the profile, the container's endpoint, the metadata service (version 2) of the
// instance.
//
// Profiles that log in by SSO, by another program or with another role are refused, and so are web
// identities. If they were skipped, a later source would supply the key of another identity.

#include "aws_profile.hpp"
#include "credential.hpp"
#include "http.hpp"
#include "json.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

/// An access key, with which requests are signed. Without a token it does not expire.
struct aws_key {
    secret_text id{}, secret{}, token{};
};

struct aws_credential_options {
    aws_key key{};  ///< if it has an id, no other source is used

    aws_files files{};  ///< read each time
    std::string profile = "default";
    bool profile_is_chosen = false;  ///< if true, the profile has to exist

    std::string container_address{};               ///< address of its credentials; empty: none
    secret_text container_token{};                 ///< sent to that address
    std::filesystem::path container_token_file{};  ///< file with that token, which is read each time; wins

    std::string instance_address{};  ///< "http://169.254.169.254"; empty: none

    std::string refused{};  ///< if not empty: the error, unless `key` has an id; no other source is used

    /// For requests to a container's endpoint or a metadata service. They are on a local network,
    /// so the time limits are short.
    http_options http{.connect_timeout = std::chrono::seconds(1), .timeout = std::chrono::seconds(2), .plain_http = true};
};

/// Whether to ask for a key of the role of the EC2 instance. Outside of EC2 nothing answers, and a
/// call waits for a second or two.
enum class instance_role { not_asked, asked };

/// The options from AWS's variables, which aws.hpp lists.
aws_credential_options aws_credentials_from_environment(instance_role role);

/// Whether any source may have a key, as far as one can tell without a request.
bool may_have_key(const aws_credential_options& options);

/// Whether credentials of a container may be requested from this URL. The request contains the
/// container's token, so the URL has to be https, on this machine, or one of the addresses that ECS
/// and EKS use.
bool is_container_address(const std::string& url);

/// Finds the access key. Thread-safe.
class aws_credentials {
public:
    explicit aws_credentials(aws_credential_options options) : options_(std::move(options)), http_("aws", options_.http) {}

    /// Throws store_error.
    fetched<aws_key> fetch() const;

private:
    fetched<aws_key> find() const;
    std::optional<aws_key> key_of_profile() const;
    fetched<aws_key> fetch_from_container() const;
    fetched<aws_key> fetch_from_instance() const;
    std::string about(const char* whose, const std::string& url) const;
    http_answer ask(const http_request& request) const;
    fetched<aws_key> key_in(const http_answer& answer, const std::string& about) const;

    aws_credential_options options_;
    http_client http_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline bool is_container_address(const std::string& url) {
    const std::optional<url_parts> parts = parts_of_url(url);
    if (!parts) return false;
    return parts->encrypted || parts->local || parts->host == "169.254.170.2" || parts->host == "169.254.170.23" ||
           parts->host == "[fd00:ec2::23]";
}

// ---- The environment ------------------------------------------------------------------------------------------------

namespace aws_detail {

inline std::string container_address() {
    const std::string path(variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
    if (path.empty()) return std::string(variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    return "http://169.254.170.2" + (path.starts_with('/') ? path : '/' + path);  // or it would extend the host's name
}

inline std::string instance_address(instance_role role) {
    const std::string address(variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"));
    if (detail::equals_ignoring_case(variable("AWS_EC2_METADATA_DISABLED"), "true")) return "";
    return address.empty() && role == instance_role::asked ? "http://169.254.169.254" : address;
}

}  // namespace aws_detail

inline aws_credential_options aws_credentials_from_environment(instance_role role) {
    using aws_detail::variable;
    aws_credential_options options;
    options.key = {secret_text(variable("AWS_ACCESS_KEY_ID")), secret_text(variable("AWS_SECRET_ACCESS_KEY")),
                   secret_text(variable("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"))};
    if (!options.key.id.empty() && options.key.secret.empty()) {
        options.key = {};
        options.refused = "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY";
    } else if (options.key.id.empty() && !variable("AWS_WEB_IDENTITY_TOKEN_FILE").empty()) {
        options.refused = "AWS_WEB_IDENTITY_TOKEN_FILE is set: logins with a web identity are not supported";
    }
    options.profile_is_chosen = !variable("AWS_PROFILE").empty();
    if (options.profile_is_chosen) options.profile = variable("AWS_PROFILE");
    options.files = aws_files_of_environment();
    options.container_address = aws_detail::container_address();
    options.container_token = secret_text(variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    options.container_token_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    options.instance_address = aws_detail::instance_address(role);
    return options;
}

inline bool may_have_key(const aws_credential_options& options) {
    if (!options.key.id.empty() || !options.refused.empty() || options.profile_is_chosen) return true;
    if (!options.container_address.empty() || !options.instance_address.empty()) return true;
    const aws_profile profile = read_aws_profile(options.files, options.profile);
    for (const char* const line : {"aws_access_key_id", "role_arn", "sso_account_id", "sso_role_name", "credential_process"})
        if (!profile.value(line).empty()) return true;
    return false;
}

// ---- The profile ----------------------------------------------------------------------------------------------------

// In the order of AWS's own clients. If the profile takes a role, its own key is not the key for
// requests.
inline std::optional<aws_key> aws_credentials::key_of_profile() const {
    const std::string about = "profile '" + options_.profile + "'";
    const auto refuse = [&](const char* why) { throw http_.error(reason::no_credential, about, why); };
    const auto key_from = [&](const aws_profile::lines& file) -> std::optional<aws_key> {
        const auto line = [&](std::string_view name) {
            const auto found = file.find(name);
            return found == file.end() ? secret_text() : found->second;
        };
        if (line("aws_access_key_id").empty()) return std::nullopt;
        if (line("aws_secret_access_key").empty()) refuse("it has an aws_access_key_id without an aws_secret_access_key");
        const secret_text token = line("aws_security_token");  // the old name, which AWS's clients prefer
        return aws_key{line("aws_access_key_id"), line("aws_secret_access_key"),
                       token.empty() ? line("aws_session_token") : token};
    };

    const aws_profile profile = read_aws_profile(options_.files, options_.profile);
    if (!profile.is_there && options_.profile_is_chosen) refuse("there is none of this name");
    if (!profile.value("role_arn").empty()) refuse("it takes another role (role_arn), which is not supported");
    if (!profile.value("sso_account_id").empty() || !profile.value("sso_role_name").empty())
        refuse("it logs in by SSO (sso_account_id), which is not supported");
    if (const std::optional<aws_key> key = key_from(profile.credentials)) return key;
    if (!profile.value("credential_process").empty()) refuse("it runs a program (credential_process), which is not supported");
    return key_from(profile.config);
}

// ---- Endpoints ------------------------------------------------------------------------------------------------------

// The source and its host, for error texts. The path to a container's credentials is secret.
inline std::string aws_credentials::about(const char* whose, const std::string& url) const {
    const std::string about = std::string(whose) + " credentials";
    const std::optional<url_parts> parts = parts_of_url(url);
    if (!parts) throw http_.error(reason::misconfigured, about, "the address is not a URL");
    return about + " at " + parts->scheme + "://" + parts->host + ':' + parts->port;
}

// Sends the request. Returns an answer of status 200, or throws.
inline http_answer aws_credentials::ask(const http_request& request) const {
    http_answer answer = http_.send(request);
    if (answer.status == 200) return answer;
    const store_error error = http_.error(answer, request.about);
    if (is_passing(error.why())) throw error;
    throw http_.error(reason::no_credential, answer, request.about, "status " + std::to_string(answer.status));
}

// {"AccessKeyId": "...", "SecretAccessKey": "...", "Token": "...", "Expiration": "2025-01-31T09:00:29Z"}
inline fetched<aws_key> aws_credentials::key_in(const http_answer& answer, const std::string& about) const {
    const json body = parse_json(answer.body);
    if (const auto code = text(member(&body, "Code")); code && *code != "Success")
        throw http_.error(reason::no_credential, about, "it refuses them");
    const auto line = [&](std::string_view name) { return text(member(&body, name)).value_or(""); };
    fetched<aws_key> key{{secret_text(line("AccessKeyId")), secret_text(line("SecretAccessKey")), secret_text(line("Token"))}};
    if (key.value.id.empty() || key.value.secret.empty())
        throw http_.error(reason::malformed, about, "the answer has no key in it");
    if (const auto end = utc_time(line("Expiration"))) key.lifetime = until(*end);
    return key;
}

inline fetched<aws_key> aws_credentials::fetch_from_container() const {
    http_request request{.url = options_.container_address, .about = about("the container's", options_.container_address)};
    if (!is_container_address(request.url))
        throw http_.error(reason::misconfigured, request.about, "this is not an address of container credentials");
    secret_text token = options_.container_token;
    if (!options_.container_token_file.empty()) {
        const std::optional<secret_text> line = token_in_file(options_.container_token_file);
        if (!line) throw http_.error(reason::no_credential, request.about, "the file has no token");
        token = *line;
    }
    if (!is_one_line(token)) throw http_.error(reason::misconfigured, request.about, "the token is not one line of text");
    request.headers.add("Authorization", token);
    return key_in(ask(request), request.about);
}

// The token is used at once, and not stored.
inline fetched<aws_key> aws_credentials::fetch_from_instance() const {
    const std::string address = checked_address("aws", options_.instance_address), whose = about("the instance's", address);
    http_request login{.method = "PUT", .url = address + "/latest/api/token", .about = whose, .repeatable = true};
    login.headers.add("X-aws-ec2-metadata-token-ttl-seconds", "60");
    const http_answer token = ask(login);
    if (token.body.empty() || !is_one_line(token.body)) throw http_.error(reason::malformed, whose, "it sent no token");
    const auto get = [&](const std::string& role) {
        http_request request{.url = address + "/latest/meta-data/iam/security-credentials/" + role, .about = whose};
        request.headers.add("X-aws-ec2-metadata-token", token.body);
        return ask(request);
    };
    const http_answer roles = get("");
    const std::string_view role = roles.body.view().substr(0, roles.body.view().find_first_of("\r\n"));
    if (role.empty()) throw http_.error(reason::no_credential, whose, "it has no role");
    return key_in(get(percent_encoded(role)), whose);
}

inline fetched<aws_key> aws_credentials::fetch() const {
    fetched<aws_key> found = find();
    for (const secret_text* const part : {&found.value.id, &found.value.secret, &found.value.token})
        if (!is_one_line(*part)) throw store_error("aws", reason::no_credential, "a part of the key is not one line of text");
    return found;
}

inline fetched<aws_key> aws_credentials::find() const {
    if (!options_.key.id.empty()) return {options_.key, std::nullopt};
    if (!options_.refused.empty()) throw store_error("aws", reason::no_credential, options_.refused);
    if (std::optional<aws_key> key = key_of_profile()) return {std::move(*key), std::nullopt};
    if (!options_.container_address.empty()) return fetch_from_container();
    if (!options_.instance_address.empty()) return fetch_from_instance();
    throw store_error("aws", reason::no_credential, "no key is in the environment or the profile");
}

}  // namespace secrets
