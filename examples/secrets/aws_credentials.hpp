#pragma once

// With which key does a program ask AWS? The first of these has it: the program's environment, its profile, its container's
// endpoint, the metadata service (version 2) of its instance.
//
// A profile that logs in by SSO, by another program or with another role is refused, and so is a web identity: passed over,
// the key of another would be found.

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

/// What requests are signed with. Without a token it has no end.
struct aws_key {
    secret_text id{}, secret{}, token{};
};

struct aws_credential_options {
    aws_key key{};  ///< with an id in it: nothing else is asked

    aws_files files{};  ///< are read each time
    std::string profile = "default";
    bool profile_is_chosen = false;  ///< there has to be one of this name

    std::string container_address{};               ///< of its credentials; empty: it has none
    secret_text container_token{};                 ///< is sent there
    std::filesystem::path container_token_file{};  ///< the same, read each time; goes before the token

    std::string instance_address{};  ///< "http://169.254.169.254"; empty: the metadata service is not asked

    std::string refused{};  ///< why there is no key, where what goes before the profile is not supported; empty: it goes on

    /// For each request to a container's endpoint or a metadata service, which are near.
    http_options http{.connect_timeout = std::chrono::seconds(1), .timeout = std::chrono::seconds(2), .plain_http = true};
};

/// Whether the role of the EC2 instance that the program runs on is asked for a key. Elsewhere nobody answers, and a call waits
/// for that, a second or two.
enum class instance_role { not_asked, asked };

/// The options from AWS's variables, which aws.hpp lists.
aws_credential_options aws_credentials_from_environment(instance_role role);

/// Whether there is anything that may give a key, as far as can be told without asking anybody.
bool may_have_key(const aws_credential_options& options);

/// Whether a container's credentials may be asked for there: over https, on this machine, or at the addresses that ECS and EKS
/// have for it. A request has the container's token.
bool is_container_address(const std::string& url);

/// Finds the key. Any thread may call it.
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
    return "http://169.254.170.2" + (path.starts_with('/') ? path : '/' + path);  // or it would belong to the host's name
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
        options.refused = "AWS_WEB_IDENTITY_TOKEN_FILE is set: to log in with a web identity is not supported";
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

// In the order of AWS's own clients: the key of a profile that takes a role is not the one that it asks with.
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

// For error texts. The path to a container's credentials is for the container alone.
inline std::string aws_credentials::about(const char* whose, const std::string& url) const {
    const std::string about = std::string(whose) + " credentials";
    const std::optional<url_parts> parts = parts_of_url(url);
    if (!parts) throw http_.error(reason::misconfigured, about, "the address is none");
    return about + " at " + parts->scheme + "://" + parts->host + ':' + parts->port;
}

// An answer of status 200.
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
        throw http_.error(reason::misconfigured, request.about, "the address is not one that containers have");
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

// The token is used at once, and not kept.
inline fetched<aws_key> aws_credentials::fetch_from_instance() const {
    const std::string address = checked_address("aws", options_.instance_address), whose = about("the instance's", address);
    http_request login{.method = "PUT", .url = address + "/latest/api/token", .about = whose, .repeatable = true};
    login.headers.add("X-aws-ec2-metadata-token-ttl-seconds", "60");
    const http_answer token = ask(login);
    if (token.body.empty() || !is_one_line(token.body)) throw http_.error(reason::malformed, whose, "the answer is no token");
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
