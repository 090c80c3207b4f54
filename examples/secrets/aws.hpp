#pragma once

// A start hook that takes keys from AWS Secrets Manager. Needs libcurl. At run time, libcurl has to be 7.86
// or newer, because it signs the requests.
//
//     ext::plugin plugin{"secrets"};
//     if (auto aws = secrets::aws_from_environment()) secrets::add_aws(plugin, "models.get_api_key", *aws);

#include "abi.hpp"
#include "aws_credentials.hpp"
#include "credential.hpp"
#include "http.hpp"
#include "json.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

// ---- Options ----------------------------------------------------------------------------------------------

struct SECRETS_VISIBLE aws_options {
    std::string region{};                       ///< "eu-central-1"
    std::string endpoint{};                     ///< empty: AWS's, for the region
    std::string secret = "api-keys/{service}";  ///< name or ARN, with {service}: there is one key per service
    std::string field{};                        ///< field of a JSON object; empty: the key is the whole text
    aws_credential_options credentials{};

    http_options http{};  ///< without `plain_http`, keys travel only over TLS

    secrets::on_failure on_failure = secrets::on_failure::fail;
};

/// The options from AWS's files and the variables that README.md lists. They need a region, and a source of
/// an access key: the variables, a profile that has a key or that AWS_PROFILE names, a container, or the role
/// of the instance. Returns std::nullopt if either is missing, unless `role` is `asked`, variables name an
/// identity, or AWS_ENDPOINT_URL_SECRETS_MANAGER is set: then the store is required. Reads files, but sends no
/// request. Throws store_error for an identity that is missing or incomplete, a file that cannot be
/// understood, and a setting that is not supported.
std::optional<aws_options> aws_from_environment(instance_role role = instance_role::not_asked);

// ---- The store --------------------------------------------------------------------------------------------

/// For store_hook. The constructor throws store_error if the options are invalid. It sends no request.
class aws_store {
public:
    static constexpr std::string_view name = "aws";
    explicit aws_store(aws_options options);
    std::optional<std::string> read(std::string_view service) const;
    std::string place_of(std::string_view service) const { return with_service(options_.secret, service); }

private:
    http_request request_for(std::string_view service, const aws_key& key) const;
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about) const;

    aws_options options_;
    http_client http_;
    aws_credentials credentials_;
    mutable credential<aws_key> key_{[this](deadline until) { return credentials_.fetch(until); },
                                     {.clock = options_.http.clock}};
};

/// Registers the store's hook. `options.on_failure` says what happens on a failure.
inline ext::hook add_aws(ext::plugin& owner, std::string_view function, aws_options options,
                         ext::hook_options how = {.id = "aws"}) {
    return add_store<aws_store>(owner, function, std::move(options), std::move(how));
}

// ---- The environment --------------------------------------------------------------------------------------

namespace aws_detail {

// Sets the address, and refuses settings of addresses that are not supported. Without them, the request would
// go to another address than with AWS's clients. These read a variable, or else a line of the profile.
inline void set_endpoint(aws_options& options, const aws_profile& profile) {
    const auto refuse = [](const std::string& name) {
        throw store_error("aws", reason::misconfigured, name + " is not supported");
    };
    const auto is_on = [&](const char* name, const char* line) {
        const std::string_view value = variable(name);
        return equals_ignoring_case(value.empty() ? profile.value(line) : value, "true");
    };
    if (!is_on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls")) {
        options.endpoint = variable("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL");
        for (const std::string line : {"endpoint_url", "services"})
            if (options.endpoint.empty() && !profile.value(line).empty())
                refuse(line + " in the profile, without AWS_ENDPOINT_URL_SECRETS_MANAGER,");
    }
    if (is_on("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"))
        refuse("AWS_USE_FIPS_ENDPOINT, or use_fips_endpoint in the profile,");
    if (is_on("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"))
        refuse("AWS_USE_DUALSTACK_ENDPOINT, or use_dualstack_endpoint in the profile,");
}

// One clock, because one deadline is for all requests of a read.
inline aws_credential_options with_clock(aws_credential_options options, const ext::hooks::clock& clock) {
    options.http.clock = clock;
    return options;
}

// The domain of the addresses in the region's partition; empty if it is not known.
inline std::string_view domain_of(std::string_view region) {
    if (region.starts_with("us-gov-")) return ".amazonaws.com";
    if (std::count(region.begin(), region.end(), '-') != 2) return "";  // such as us-iso-east-1
    if (region.starts_with("cn-")) return ".amazonaws.com.cn";
    for (const char* const area : {"us-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-"})
        if (region.starts_with(area)) return ".amazonaws.com";
    return "";
}

}  // namespace aws_detail

inline std::optional<aws_options> aws_from_environment(instance_role role) {
    using aws_detail::variable;
    aws_options options;
    options.credentials = aws_credentials_from_environment(role);
    const aws_profile profile = read_aws_profile(options.credentials.files, options.credentials.profile);
    options.region = variable("AWS_REGION", "AWS_DEFAULT_REGION");
    if (options.region.empty()) options.region = profile.value("region");
    const bool is_complete = !options.region.empty() && may_have_key(options.credentials, profile);
    const bool is_named =
        names_identity(options.credentials) || !variable("AWS_ENDPOINT_URL_SECRETS_MANAGER").empty();
    if (!is_complete && !is_named && role == instance_role::not_asked) return std::nullopt;

    refuse_variables("aws", {"AWS_DEFAULT_PROFILE"});
    options.http = http_options_of_environment("AWS_CA_BUNDLE");
    if (options.http.ca_file.empty()) options.http.ca_file = profile.value("ca_bundle");
    aws_detail::set_endpoint(options, profile);
    if (is_named) aws_credentials(options.credentials).key_without_request();
    return options;
}

// ---- Answers ----------------------------------------------------------------------------------------------

namespace aws_detail {

// AWS's name of the error. It is in the body, after the #:
//
//     {"__type": "com.amazonaws.secretsmanager#ResourceNotFoundException", "message": "..."}
//
// or in a header, where a URL may follow. "Exception" at its end is removed. Most errors have the status 400.
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
    bool refuses_key = false;  // AWS does not accept the access key, which may have been replaced
};

// The failure, or std::nullopt if the status says the same.
inline std::optional<aws_failure> failure_of(const http_answer& answer, const json& body) {
    const std::string error = aws_error(answer, body);
    const auto usual = text(member(&body, "message")), other = text(member(&body, "Message"));
    const std::string_view message = usual ? *usual : other.value_or("");
    const auto is = [&](auto... names) { return ((error == names) || ...); };
    const auto says = [&](auto... parts) { return ((message.find(parts) != std::string_view::npos) || ...); };
    const bool is_signature = is("InvalidSignature", "SignatureDoesNotMatch");
    if (is("ExpiredToken")) return aws_failure{reason::expired_token, "the token has expired", true};
    if (is("AccessDenied"))
        return aws_failure{reason::permission_denied, "no permission, for the secret or the KMS key"};
    if (is("UnrecognizedClient", "InvalidClientTokenId", "InvalidAccessKeyId"))
        return aws_failure{reason::permission_denied, "the access key is not taken", true};
    if (is("MissingAuthenticationToken", "NotAuthorized", "OptInRequired"))
        return aws_failure{reason::permission_denied, "the access key is not taken"};
    if (is("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture") ||
        (is_signature && says("Signature expired", "Signature not yet current")))
        return aws_failure{reason::clock_skew, "this machine's clock and the server's differ"};
    if (is_signature || is("IncompleteSignature"))
        return aws_failure{reason::bad_signature, "the signature is wrong, as with a wrong secret key", true};
    if (is("InvalidRequest") && says("marked for deletion", "marked deleted", "scheduled for deletion"))
        return aws_failure{reason::deleted, "the secret is marked for deletion"};
    if (is("DecryptionFailure"))
        return aws_failure{reason::undecryptable, "the KMS key cannot decrypt the secret"};
    if (is("Throttling", "Throttled", "TooManyRequests", "RequestThrottled", "RequestLimitExceeded"))
        return aws_failure{reason::rate_limited, "too many requests"};
    if (is("InternalServiceError", "InternalFailure", "ServiceUnavailable"))
        return aws_failure{reason::server_error, "the server has failed"};
    if (is("UnknownOperation")) return aws_failure{reason::no_engine, "it is not Secrets Manager"};
    return std::nullopt;
}

}  // namespace aws_detail

// The key in the answer, or std::nullopt if the secret does not exist.
inline std::optional<std::string> aws_store::key_in(const http_answer& answer,
                                                    const std::string& about) const {
    const json body = parse_json(answer.body);
    if (answer.status != 200) {
        if (aws_detail::aws_error(answer, body) == "ResourceNotFound") return std::nullopt;
        if (const auto failure = aws_detail::failure_of(answer, body))
            throw http_.error(failure->why, answer, about, std::string(failure->text));
        const store_error error = http_.error(answer, about);
        if (error.why() != reason::rejected || answer.status < 400 || answer.status == 408) throw error;
        // AWS refuses the request, so the options are wrong: the store is not out of reach.
        throw http_.error(reason::misconfigured, answer, about,
                          "the request is refused, status " + std::to_string(answer.status));
    }
    const std::optional<std::string_view> whole = text(member(&body, "SecretString"));
    if (!whole && text(member(&body, "SecretBinary")))
        throw http_.error(reason::missing_field, about, "the secret is binary, and has no text");
    return http_.key_in(whole, options_.field, about);
}

// ---- Requests ---------------------------------------------------------------------------------------------

inline aws_store::aws_store(aws_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http),
      credentials_(aws_detail::with_clock(options_.credentials, options_.http.clock)) {
    const auto refuse = [](const std::string& text) { throw store_error(name, reason::misconfigured, text); };
    const std::string& region = options_.region;
    if (region.empty()) refuse("no region: set AWS_REGION");
    if (!has_only(region, "-")) refuse("the region is not a name such as eu-central-1");
    if (options_.endpoint.empty()) {
        const std::string_view domain = aws_detail::domain_of(region);
        if (domain.empty())
            refuse("the domain of the partition of " + region + " is not known: set the endpoint, as in "
                   "AWS_ENDPOINT_URL_SECRETS_MANAGER");
        (options_.endpoint = "https://secretsmanager." + region) += domain;
    }
    options_.endpoint = checked_address(
        name, options_.endpoint, "the endpoint (AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL)");
    if (options_.secret.find("{service}") == std::string::npos)
        refuse("the secret '" + options_.secret + "' has no {service} in it");
    if (!has_only(place_of(""), ":/_+=.@-")) refuse("'" + options_.secret + "' is not a name of a secret");
}

inline http_request aws_store::request_for(std::string_view service, const aws_key& key) const {
    http_request request{.method = "POST", .url = options_.endpoint + '/'};
    request.about = options_.endpoint + ", " + place_of(service);
    request.headers.add("Content-Type", "application/x-amz-json-1.1");
    request.headers.add("X-Amz-Target", "secretsmanager.GetSecretValue");
    request.headers.add("X-Amz-Security-Token", key.token);
    request.body = json_object({{"SecretId", place_of(service)}});
    request.sign = aws_signature{"aws:amz:" + options_.region + ":secretsmanager", key.id, key.secret};
    request.repeatable = true;
    request.passing = [](const http_answer& answer) {
        const auto failure = aws_detail::failure_of(answer, parse_json(answer.body));
        return failure ? is_passing(failure->why) : answer.status == 429 || answer.status >= 500;
    };
    return request;
}

// If AWS refuses the access key, `use` fetches the key again, and asks again if it has changed. If it has not,
// the error is that of the answer, and not `expired_token`.
inline std::optional<std::string> aws_store::read(std::string_view service) const {
    if (!is_askable(service) || !has_only(service, "/_+=.@-")) return std::nullopt;  // not a possible name
    const deadline until = http_.begin_read();
    const std::string about = options_.endpoint + ", " + place_of(service);
    http_answer answer;
    try {
        key_.use(until, [&](const aws_key& key) {
            answer = http_.send(request_for(service, key), until);
            const auto failure = aws_detail::failure_of(answer, parse_json(answer.body));
            if (failure && failure->refuses_key)
                throw http_.error(reason::expired_token, about, std::string(failure->text));
        });
    } catch (const store_error& error) {
        if (error.why() != reason::expired_token) throw;
    }
    return key_in(answer, about);
}

}}  // namespace secrets
