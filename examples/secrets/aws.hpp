#pragma once

// A start hook that takes keys from AWS Secrets Manager. Needs nlohmann-json and libcurl. At run
// time, libcurl has to be 7.86 or newer, because it signs the requests.
//
//     ext::plugin plugin{"secrets"};
//     if (auto aws = secrets::aws_from_environment()) secrets::add_aws(plugin, "models.get_api_key", *aws);

#include "aws_credentials.hpp"
#include "credential.hpp"
#include "http.hpp"
#include "json.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

// ---- Options --------------------------------------------------------------------------------------------------------

struct aws_options {
    std::string region{};                         ///< "eu-central-1"
    std::string endpoint{};                       ///< empty: AWS's, for the region
    std::string secret = "api-keys/{service}";    ///< name or ARN; has to contain {service}: one key per service
    std::string field{};                          ///< field of a JSON object; empty: the key is the whole text
    aws_credential_options credentials{};

    http_options http{};  ///< without `plain_http`, keys travel only over TLS

    secrets::on_failure on_failure = secrets::on_failure::fall_through;
};

/// The options from AWS's variables and files. They need a region, and a source of an access key:
/// the variables, a profile that has a key or that AWS_PROFILE names, a container, or the role of
/// the instance. Returns std::nullopt if either is missing, unless `role` is `asked`. Reads files,
/// but sends no request.
///
/// The variables are:
///
///     AWS_REGION or AWS_DEFAULT_REGION
///     AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL
///     AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_SECURITY_TOKEN
///     AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE
///     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI
///     AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN
///     AWS_EC2_METADATA_SERVICE_ENDPOINT (turns the role of the instance on)
///     AWS_EC2_METADATA_DISABLED=true (turns it off)
std::optional<aws_options> aws_from_environment(instance_role role = instance_role::not_asked);

// ---- The store ------------------------------------------------------------------------------------------------------

class aws_store {
public:
    static constexpr std::string_view name = "aws";

    /// Throws store_error if the options are invalid. Sends no request.
    explicit aws_store(aws_options options);

    /// The service's key, or std::nullopt if the secret does not exist. Throws store_error.
    std::optional<std::string> read(std::string_view service) const;

    /// The name of the secret: "api-keys/openai".
    std::string place_of(std::string_view service) const { return with_service(options_.secret, service); }

private:
    http_request request_for(std::string_view service, const aws_key& key) const;
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about) const;

    aws_options options_;
    http_client http_;
    aws_credentials credentials_;
    mutable credential<aws_key> key_{[this] { return credentials_.fetch(); }, {.clock = options_.http.clock}};
};

/// Registers the store's hook. `options.on_failure` says what happens on a failure.
inline ext::hook add_aws(ext::plugin& owner, std::string_view function, aws_options options,
                         ext::hook_options how = {.id = "aws"}) {
    return add_store<aws_store>(owner, function, std::move(options), std::move(how));
}

// ---- The environment ------------------------------------------------------------------------------------------------

inline std::optional<aws_options> aws_from_environment(instance_role role) {
    using aws_detail::variable;
    aws_options options;
    options.credentials = aws_credentials_from_environment(role);
    options.region = variable("AWS_REGION", "AWS_DEFAULT_REGION");
    if (options.region.empty())
        options.region = read_aws_profile(options.credentials.files, options.credentials.profile).value("region");
    options.endpoint = variable("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL");
    const bool is_complete = !options.region.empty() && may_have_key(options.credentials);
    return is_complete || role == instance_role::asked ? std::optional(std::move(options)) : std::nullopt;
}

// ---- Answers --------------------------------------------------------------------------------------------------------

namespace aws_detail {

constexpr std::string_view letters_and_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

// Whether all characters may occur in names of secrets. A secret with another name cannot exist,
// and a valid name needs no escapes in JSON.
inline bool is_aws_name(std::string_view name, std::string_view more = "/_+=.@-") {
    return name.find_first_not_of(std::string(letters_and_digits).append(more)) == std::string_view::npos;
}

// AWS's name of the error. It is in the body, after the #:
//
//     {"__type": "com.amazonaws.secretsmanager#ResourceNotFoundException", "message": "..."}
//
// or in a header, where a URL may follow. "Exception" at its end is removed. Most errors have the
// status 400.
inline std::string aws_error(const http_answer& answer, const json& body) {
    std::string_view type = text(member(&body, "__type")).value_or("");
    if (type.empty()) type = answer.headers.find("x-amzn-ErrorType").value_or("");
    type = type.substr(0, type.find(':', type.find('#') + 1));
    type.remove_prefix(type.find('#') + 1);  // npos + 1 is 0
    if (type.ends_with("Exception")) type.remove_suffix(std::string_view("Exception").size());
    return std::string(type);
}

struct aws_failure {
    reason why;
    std::string_view text;
};

// The failure for an error of this name, or std::nullopt if the status says the same.
inline std::optional<aws_failure> failure_of(std::string_view error, std::string_view message) {
    const auto is = [&](auto... names) { return ((error == names) || ...); };
    const auto says = [&](auto... parts) { return ((message.find(parts) != std::string_view::npos) || ...); };
    if (is("ExpiredToken")) return aws_failure{reason::expired_token, "the token has expired"};
    if (is("AccessDenied")) return aws_failure{reason::permission_denied, "no permission, for the secret or the KMS key"};
    if (is("UnrecognizedClient", "InvalidClientTokenId", "MissingAuthenticationToken", "NotAuthorized", "OptInRequired"))
        return aws_failure{reason::permission_denied, "the access key is not taken"};
    if (is("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture") ||
        (is("InvalidSignature", "SignatureDoesNotMatch") && says("Signature expired", "Signature not yet current")))
        return aws_failure{reason::clock_skew, "this machine's clock and the server's differ"};
    if (is("InvalidSignature", "SignatureDoesNotMatch", "IncompleteSignature"))
        return aws_failure{reason::bad_signature, "the signature is wrong, as with a wrong secret access key"};
    if (is("InvalidRequest") && says("marked for deletion", "marked deleted", "scheduled for deletion"))
        return aws_failure{reason::deleted, "the secret is marked for deletion"};
    if (is("DecryptionFailure")) return aws_failure{reason::undecryptable, "the KMS key cannot decrypt the secret"};
    if (is("Throttling", "Throttled", "TooManyRequests", "RequestThrottled", "RequestLimitExceeded"))
        return aws_failure{reason::rate_limited, "too many requests"};
    if (is("InternalServiceError", "InternalFailure", "ServiceUnavailable"))
        return aws_failure{reason::server_error, "the server has failed"};
    if (is("UnknownOperation")) return aws_failure{reason::no_engine, "it is not Secrets Manager"};
    return std::nullopt;
}

inline std::optional<aws_failure> failure_of(const http_answer& answer, const json& body) {
    const auto message = text(member(&body, "message")), other = text(member(&body, "Message"));
    return failure_of(aws_error(answer, body), message ? *message : other.value_or(""));
}

}  // namespace aws_detail

// The key in the answer, or std::nullopt if the secret does not exist.
inline std::optional<std::string> aws_store::key_in(const http_answer& answer, const std::string& about) const {
    const json body = parse_json(answer.body);
    if (answer.status != 200) {
        if (aws_detail::aws_error(answer, body) == "ResourceNotFound") return std::nullopt;
        if (const auto failure = aws_detail::failure_of(answer, body))
            throw http_.error(failure->why, answer, about, std::string(failure->text));
        throw http_.error(answer, about);
    }
    const std::optional<std::string_view> whole = text(member(&body, "SecretString"));
    if (!whole && text(member(&body, "SecretBinary")))
        throw http_.error(reason::missing_field, about, "the secret is binary, and has no text");
    if (!whole || options_.field.empty()) return http_.key_in(whole, about);

    const json secret = parse_json(*whole);
    const std::optional<std::string_view> field = text(member(&secret, options_.field));
    if (!field) throw http_.error(reason::missing_field, about, "the secret has no text in its field '" + options_.field + "'");
    return http_.key_in(field, about);
}

// ---- Requests -------------------------------------------------------------------------------------------------------

inline aws_store::aws_store(aws_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http), credentials_(options_.credentials) {
    const auto refuse = [](const std::string& text) { throw store_error(name, reason::misconfigured, text); };
    if (options_.region.empty()) refuse("there is no region, as in AWS_REGION");
    if (!aws_detail::is_aws_name(options_.region, "-")) refuse("the region is none");  // it is part of a host's name
    const char* const domain = options_.region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com";
    if (options_.endpoint.empty()) options_.endpoint = "https://secretsmanager." + options_.region + domain;
    options_.endpoint = checked_address(name, options_.endpoint);
    if (options_.secret.find("{service}") == std::string::npos)
        refuse("the secret '" + options_.secret + "' has no {service} in it");
    if (!aws_detail::is_aws_name(place_of(""), ":/_+=.@-")) refuse("'" + options_.secret + "' is not a name of a secret");
}

inline http_request aws_store::request_for(std::string_view service, const aws_key& key) const {
    http_request request{.method = "POST", .url = options_.endpoint + '/'};
    request.about = options_.endpoint + ", " + place_of(service);
    request.headers.add("Content-Type", "application/x-amz-json-1.1").add("X-Amz-Target", "secretsmanager.GetSecretValue");
    request.headers.add("X-Amz-Security-Token", key.token);
    request.body = secret_text("{\"SecretId\":\"" + place_of(service) + "\"}");
    request.sign = aws_signature{"aws:amz:" + options_.region + ":secretsmanager", key.id, key.secret};
    request.repeatable = true;
    request.passing = [](const http_answer& answer) {
        const auto failure = aws_detail::failure_of(answer, parse_json(answer.body));
        return failure ? is_passing(failure->why) : answer.status == 429 || answer.status >= 500;
    };
    return request;
}

inline std::optional<std::string> aws_store::read(std::string_view service) const {
    if (!is_askable(service) || !aws_detail::is_aws_name(service)) return std::nullopt;
    return key_.use([&](const aws_key& key) {
        const http_request request = request_for(service, key);
        return key_in(http_.send(request), request.about);
    });
}

}  // namespace secrets
