#pragma once

// A start hook that takes keys from Google's Secret Manager. Needs libcurl and nlohmann-json. Key
// files of service accounts also need OpenSSL's libcrypto.
//
//     ext::plugin plugin{"secrets"};
//     if (auto cloud = secrets::google_from_environment()) secrets::add_google(plugin, "models.get_api_key", *cloud);

#include "credential.hpp"
#include "encoding.hpp"
#include "environment.hpp"
#include "http.hpp"
#include "json.hpp"
#include "login.hpp"
#include "rs256.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

// ---- Options --------------------------------------------------------------------------------------------------------

struct google_options {
    std::string project{};   ///< empty: the key file's, or the machine's
    std::string prefix{};    ///< start of all names, before the service: "api-keys-"
    std::string key_file{};  ///< of a service account; empty: the machine's account, from the metadata server
    std::string metadata = "http://metadata.google.internal";
    std::string address = "https://secretmanager.googleapis.com";

    http_options http{};
    secrets::on_failure on_failure = secrets::on_failure::fall_through;
};

/// The options from GOOGLE_CLOUD_PROJECT, GOOGLE_APPLICATION_CREDENTIALS and GCE_METADATA_HOST,
/// which Google's own clients read, and from CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER, which
/// gcloud reads. Returns std::nullopt if none of the first three is set, even on Google's machines:
/// this does not detect them.
std::optional<google_options> google_from_environment();

// ---- The store ------------------------------------------------------------------------------------------------------

class google_store {
public:
    static constexpr std::string_view name = "google";

    /// Throws store_error if the options are invalid. Sends no request, and reads no file.
    explicit google_store(google_options options);

    /// The service's key, from the latest version of the secret; std::nullopt if there is none, or
    /// if no secret can have this name. Throws store_error.
    std::optional<std::string> read(std::string_view service) const;

    /// Where read() looks: "secrets/openai".
    std::string place_of(std::string_view service) const { return "secrets/" + options_.prefix + std::string(service); }

private:
    struct login {
        secret_text token;
        std::string project;
    };

    fetched<login> log_in() const;
    fetched<secret_text> token_of_account(const json& account) const;
    std::string assertion_of(const json& account, const std::string& token_uri) const;
    json account_in_file() const;
    http_answer metadata(const std::string& path) const;
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about) const;

    google_options options_;
    http_client http_, metadata_;
    mutable credential<login> login_;
};

/// Registers the store's hook. `options.on_failure` says what happens on a failure.
inline ext::hook add_google(ext::plugin& owner, std::string_view function, google_options options,
                            ext::hook_options how = {.id = "google"}) {
    return add_store<google_store>(owner, function, std::move(options), std::move(how));
}

// ---------------------------------------------------------------------------------------------------------------------

inline std::optional<google_options> google_from_environment() {
    google_options options;
    options.project = environment_variable("GOOGLE_CLOUD_PROJECT");
    options.key_file = environment_variable("GOOGLE_APPLICATION_CREDENTIALS");
    const std::string metadata(environment_variable("GCE_METADATA_HOST"));
    if (!metadata.empty()) options.metadata = "http://" + metadata;
    const std::string_view address = environment_variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER");
    if (!address.empty()) options.address = address;
    if (options.project.empty() && options.key_file.empty() && metadata.empty()) return std::nullopt;
    return options;
}

inline google_store::google_store(google_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http),
      metadata_(std::string(name), metadata_options(options_.http)),
      login_([this] { return log_in(); }, {.clock = options_.http.clock}) {
    const auto refuse = [](const char* text) { throw store_error(name, reason::misconfigured, text); };
    options_.address = checked_address(name, options_.address);
    options_.metadata = checked_address(name, options_.metadata);
    if (!has_rs256 && !options_.key_file.empty())
        refuse("the key of a service account takes OpenSSL's libcrypto, which this program is built without");
    if (!is_askable(options_.prefix + "service")) refuse("the prefix cannot begin the name of a secret");
}

// ---- The token ------------------------------------------------------------------------------------------------------

// A key file has precedence over the metadata server. Otherwise a program on one of Google's
// machines would silently use another account than the configured one.
inline auto google_store::log_in() const -> fetched<login> {
    std::string project = options_.project;
    fetched<secret_text> token;
    if (!options_.key_file.empty()) {
        const json account = account_in_file();
        if (project.empty()) project = text(member(&account, "project_id")).value_or("");
        if (project.empty()) throw store_error(name, reason::misconfigured, "neither options nor key file name a project");
        token = token_of_account(account);
    } else {
        const std::string about = options_.metadata + ", the machine's account";
        const http_answer answer = metadata("instance/service-accounts/default/token");
        if (answer.status == 404) throw http_.error(reason::no_credential, about, "the machine has no service account");
        token = token_in(metadata_, answer, about);
        if (project.empty()) {
            const http_answer named = metadata("project/project-id");
            if (named.status != 200) throw http_.error(named, options_.metadata + ", the project");
            project = named.body.view();
        }
    }
    return {{std::move(token.value), std::move(project)}, token.lifetime};
}

inline http_answer google_store::metadata(const std::string& path) const {
    http_request ask{.url = options_.metadata + "/computeMetadata/v1/" + path, .about = options_.metadata + ", " + path};
    ask.headers.add("Metadata-Flavor", "Google");
    http_answer answer = ask_metadata(metadata_, ask);
    if (answer.headers.find("Metadata-Flavor") != "Google")  // it is a router, or the login page of a network
        throw http_.error(reason::no_credential, ask.about, "this is not Google's metadata server");
    return answer;
}

inline json google_store::account_in_file() const {
    const auto refuse = [&](reason why, const std::string& text) {
        throw store_error(name, why, options_.key_file + ": " + text);
    };
    const std::optional<secret_text> file = text_of_file(options_.key_file);
    if (!file) refuse(reason::no_credential, "the key file cannot be read");
    json account = parse_json(*file);
    const std::string_view kind = text(member(&account, "type")).value_or("");
    for (const std::string_view other : {"authorized_user", "external_account", "external_account_authorized_user",
                                         "impersonated_service_account", "gdch_service_account"})
        if (kind == other) refuse(reason::misconfigured, "credentials of kind " + std::string(other) + " are not supported");
    if (kind != "service_account") refuse(reason::misconfigured, "this is not the key file of a service account");
    return account;
}

inline std::string google_store::assertion_of(const json& account, const std::string& token_uri) const {
    using namespace std::chrono;
    const std::int64_t now = duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
    json header, claims;
    header["alg"] = "RS256";
    header["typ"] = "JWT";
    if (const json* const id = member(&account, "private_key_id")) header["kid"] = *id;
    claims["iss"] = json_string(text(member(&account, "client_email")).value_or(""));
    claims["scope"] = "https://www.googleapis.com/auth/cloud-platform";
    claims["aud"] = json_string(token_uri);
    claims["iat"] = now;
    claims["exp"] = now + 3600;
    const std::string_view pem = text(member(&account, "private_key")).value_or("");
    const std::optional<std::string> token = signed_token(header.dump(), claims.dump(), pem);
    if (!token) throw store_error(name, reason::misconfigured, options_.key_file + ": there is no RSA key in it");
    return *token;
}

inline fetched<secret_text> google_store::token_of_account(const json& account) const {
    const std::string token_uri(text(member(&account, "token_uri")).value_or("https://oauth2.googleapis.com/token"));
    const std::optional<url_parts> parts = parts_of_url(token_uri);
    http_request ask{.method = "POST",
                     .url = token_uri,
                     .about = (parts ? parts->host : "no host") + ", token of the account in " + options_.key_file,
                     .repeatable = true};
    ask.headers.add("Content-Type", "application/x-www-form-urlencoded");
    ask.body = form_encoded({{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
                             {"assertion", assertion_of(account, token_uri)}});
    const http_answer answer = http_.send(ask);
    const json body = parse_json(answer.body);
    if (text(member(&body, "error_description")).value_or("").find("iat and exp") != std::string_view::npos)
        throw http_.error(reason::clock_skew, answer, ask.about, "the clocks of this machine and of Google differ");
    return token_in(http_, answer, ask.about);
}

// ---- The secret -----------------------------------------------------------------------------------------------------

inline std::optional<std::string> google_store::read(std::string_view service) const {
    constexpr std::string_view allowed = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
    const std::string secret = options_.prefix + std::string(service);
    if (service.empty() || secret.size() > 255 || secret.find_first_not_of(allowed) != std::string::npos) return std::nullopt;
    const std::string about = options_.address + ", " + place_of(service);
    return login_.use([&](const login& with) {
        http_request ask{.url = options_.address + "/v1/projects/" + percent_encoded(with.project) + "/secrets/" + secret +
                                "/versions/latest:access",
                         .about = about};
        ask.headers.add("Authorization", "Bearer ", with.token);
        return key_in(http_.send(ask), about);
    });
}

// {"payload": {"data": "c2s=", "dataCrc32c": "1234"}}, or {"error": {"status": "NOT_FOUND", "message": "..."}}.
inline std::optional<std::string> google_store::key_in(const http_answer& answer, const std::string& about) const {
    const json body = parse_json(answer.body);
    if (answer.status == 200) {
        const std::optional<secret_text> data = base64_decoded(text(member(&body, "payload", "data")).value_or("?"));
        const std::optional<std::int64_t> sum = number(member(&body, "payload", "dataCrc32c"));
        if (!data || !sum) throw http_.error(reason::malformed, about, "the answer has no data with a checksum in it");
        if (*sum != crc32c(*data)) throw http_.error(reason::malformed, about, "the data does not match its checksum");
        return http_.key_in(*data, about);
    }
    const std::string_view status = text(member(&body, "error", "status")).value_or("");
    const std::string_view message = text(member(&body, "error", "message")).value_or("");
    if (status == "NOT_FOUND") return std::nullopt;
    if (answer.status == 404) throw http_.error(reason::malformed, about, "the answer is not one of Secret Manager");
    if (status == "UNAUTHENTICATED") throw http_.error(reason::expired_token, answer, about, "it does not take the token");
    if (status == "RESOURCE_EXHAUSTED") throw http_.error(reason::rate_limited, answer, about, "too many requests");
    if (status == "FAILED_PRECONDITION" && message.find("DESTROYED") != std::string_view::npos)
        throw http_.error(reason::deleted, answer, about, "the latest version is destroyed");
    if (status == "FAILED_PRECONDITION") throw http_.error(reason::disabled, answer, about, "the latest version is disabled");
    throw http_.error(answer, about);
}

}  // namespace secrets
