#pragma once

// A start hook that takes keys from Google's Secret Manager. Needs libcurl. Key files of service
// accounts also need OpenSSL's libcrypto.
//
//     ext::plugin plugin{"secrets"};
//     if (auto cloud = secrets::google_from_environment())
//         secrets::add_google(plugin, "models.get_api_key", *cloud);

#include "abi.hpp"
#include "credential.hpp"
#include "encoding.hpp"
#include "environment.hpp"
#include "http.hpp"
#include "json.hpp"
#include "login.hpp"
#include "rs256.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

// ---- Options ----------------------------------------------------------------------------------------------

struct SECRETS_VISIBLE google_options {
    std::string project{};   ///< empty: the key file's, or the machine's
    std::string prefix{};    ///< start of all names, before the service: "api-keys-"
    std::string field{};     ///< field of a secret that is a JSON object; empty: the key is the whole secret
    std::string key_file{};  ///< of a service account; empty: the machine's account, from the metadata server
    std::string metadata = "http://metadata.google.internal";
    std::string address = "https://secretmanager.googleapis.com";

    http_options http{};
    secrets::on_failure on_failure = secrets::on_failure::fail;
};

/// The options from the variables that README.md lists. Returns std::nullopt if GOOGLE_CLOUD_PROJECT,
/// GOOGLE_APPLICATION_CREDENTIALS and GCE_METADATA_HOST are not set, even on Google's machines: this does not
/// detect them. Throws store_error if the environment names an identity or an address that is not supported.
std::optional<google_options> google_from_environment();

// ---- The store --------------------------------------------------------------------------------------------

/// For store_hook. Reads the latest version of a secret. The constructor throws store_error if the options
/// are invalid. It sends no request, and reads no file.
class google_store {
public:
    static constexpr std::string_view name = "google";
    explicit google_store(google_options options);
    std::optional<std::string> read(std::string_view service) const;
    std::string place_of(std::string_view service) const {
        return "secrets/" + options_.prefix + std::string(service);
    }

private:
    struct login {
        secret_text token;
        std::string project;
        bool operator==(const login&) const = default;
    };

    fetched<login> log_in(deadline until) const;
    fetched<secret_text> token_of_account(const json& account, deadline until) const;
    secret_text assertion_of(const json& account, const std::string& token_uri) const;
    json account_in_file() const;
    http_answer metadata(const std::string& path, deadline until) const;
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

// -----------------------------------------------------------------------------------------------------------

namespace detail {

// Google's own clients would use the identities and addresses that these name.
inline void refuse_other_identities(const google_options& options) {
    const auto refuse_unless = [](const char* variable, std::initializer_list<std::string_view> supported) {
        const std::string_view value = environment_variable(variable);
        if (std::find(supported.begin(), supported.end(), value) == supported.end())
            refuse_variables("google", {variable});
    };
    refuse_unless("GOOGLE_CLOUD_UNIVERSE_DOMAIN", {"googleapis.com"});
    refuse_unless("GOOGLE_API_USE_CLIENT_CERTIFICATE", {"false"});
    refuse_unless("GOOGLE_API_USE_MTLS_ENDPOINT", {"auto", "never"});
    if (!options.key_file.empty()) return;

    std::filesystem::path folder = environment_variable("CLOUDSDK_CONFIG");
    if (folder.empty()) folder = std::filesystem::path(environment_variable("HOME")) / ".config/gcloud";
    const std::filesystem::path login = folder / "application_default_credentials.json";
    if (std::error_code ignored; std::filesystem::exists(login, ignored))
        throw store_error("google", reason::misconfigured,
                          login.string() + " is a login of gcloud, which is not supported here");
}

}  // namespace detail

inline std::optional<google_options> google_from_environment() {
    google_options options{.http = http_options_of_environment("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE")};
    options.project = environment_variable("GOOGLE_CLOUD_PROJECT");
    options.key_file = environment_variable("GOOGLE_APPLICATION_CREDENTIALS");
    const std::string metadata(environment_variable("GCE_METADATA_HOST"));
    if (!metadata.empty()) options.metadata = "http://" + metadata;
    const std::string_view address = environment_variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER");
    if (!address.empty()) options.address = address;
    // Google's clients read these as well. If they were ignored, the store could be skipped without notice.
    if (options.project.empty()) refuse_variables(google_store::name, {"GCLOUD_PROJECT"});
    if (options.key_file.empty() && metadata.empty())
        refuse_variables(google_store::name, {"GCE_METADATA_ROOT"});
    if (options.project.empty() && options.key_file.empty() && metadata.empty()) return std::nullopt;
    detail::refuse_other_identities(options);
    return options;
}

inline google_store::google_store(google_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http),
      metadata_(std::string(name), metadata_options(options_.http)),
      login_([this](deadline until) { return log_in(until); }, {.clock = options_.http.clock}) {
    const auto refuse = [](const char* text) { throw store_error(name, reason::misconfigured, text); };
    options_.address = checked_address(name, options_.address,
                                       "the address (CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER)");
    options_.metadata =
        checked_address(name, options_.metadata, "the metadata server (GCE_METADATA_HOST)");
    if (!has_rs256 && !options_.key_file.empty())
        refuse("a key file needs libcrypto: compile with SECRETS_WITH_LIBCRYPTO and link libcrypto");
    if (!is_askable(options_.prefix + "service")) refuse("the prefix cannot begin the name of a secret");
}

// ---- The token --------------------------------------------------------------------------------------------

// A key file has precedence over the metadata server. Otherwise a program on one of Google's
// machines would silently use another account than the configured one.
inline auto google_store::log_in(deadline until) const -> fetched<login> {
    std::string project = options_.project;
    fetched<secret_text> token;
    if (!options_.key_file.empty()) {
        const json account = account_in_file();
        if (project.empty()) project = text(member(&account, "project_id")).value_or("");
        if (project.empty())
            throw store_error(name, reason::misconfigured, "neither options nor key file name a project");
        token = token_of_account(account, until);
    } else {
        const std::string about = options_.metadata + ", the machine's account";
        const http_answer answer = metadata("instance/service-accounts/default/token", until);
        if (answer.status == 404)
            throw http_.error(reason::no_credential, about, "the machine has no service account");
        token = token_in(metadata_, answer, about);
        const http_answer universe = metadata("universe/universe-domain", until);
        if (universe.status != 200 && universe.status != 404)  // 404: an older server, of googleapis.com
            throw login_error(metadata_, universe, options_.metadata + ", the universe");
        const std::string_view domain = universe.status == 200 ? trimmed(universe.body) : "";
        if (!domain.empty() && domain != "googleapis.com")  // the address is one of googleapis.com
            throw http_.error(reason::misconfigured, about,
                              "a universe other than googleapis.com is not supported");
        if (project.empty()) {
            const http_answer named = metadata("project/project-id", until);
            if (named.status != 200)
                throw login_error(metadata_, named, options_.metadata + ", the project");
            project = named.body.view();
        }
    }
    return {{std::move(token.value), std::move(project)}, token.lifetime};
}

inline http_answer google_store::metadata(const std::string& path, deadline until) const {
    http_request ask{.url = options_.metadata + "/computeMetadata/v1/" + path,
                     .about = options_.metadata + ", " + path};
    ask.headers.add("Metadata-Flavor", "Google");
    http_answer answer = ask_metadata(metadata_, ask, until);
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
    for (const std::string_view other :
         {"authorized_user", "external_account", "external_account_authorized_user",
          "impersonated_service_account", "gdch_service_account"})
        if (kind == other)
            refuse(reason::misconfigured, "credentials of kind " + std::string(other) + " are not supported");
    if (kind != "service_account")
        refuse(reason::misconfigured, "this is not the key file of a service account");
    const json* const universe = member(&account, "universe_domain");
    if (universe && text(universe) != "googleapis.com")
        refuse(reason::misconfigured, "a universe_domain other than googleapis.com is not supported");
    for (const char* const field : {"client_email", "private_key"})
        if (text(member(&account, field)).value_or("").empty())
            refuse(reason::misconfigured, std::string(field) + " is missing");
    return account;
}

inline secret_text google_store::assertion_of(const json& account, const std::string& token_uri) const {
    using namespace std::chrono;
    const std::int64_t now = duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
    const std::optional<std::string_view> id = text(member(&account, "private_key_id"));
    const secret_text header = id ? json_object({{"alg", "RS256"}, {"typ", "JWT"}, {"kid", *id}})
                                  : json_object({{"alg", "RS256"}, {"typ", "JWT"}});
    secret_text claims("{\"iat\":" + std::to_string(now) + ",\"exp\":" + std::to_string(now + 3600));
    append_quoted(claims += ",\"scope\":", "https://www.googleapis.com/auth/cloud-platform");
    append_quoted(claims += ",\"iss\":", *text(member(&account, "client_email")));
    append_quoted(claims += ",\"aud\":", token_uri);
    claims += '}';
    secret_text token = base64url(header);
    (token += '.') += base64url(claims);
    const std::optional<secret_text> signature = rs256(token, *text(member(&account, "private_key")));
    if (!signature)
        throw store_error(name, reason::misconfigured, options_.key_file + ": there is no RSA key in it");
    return (token += '.') += base64url(*signature);
}

inline fetched<secret_text> google_store::token_of_account(const json& account, deadline until) const {
    const std::string_view in_file =
        text(member(&account, "token_uri")).value_or("https://oauth2.googleapis.com/token");
    const std::string token_uri =
        checked_address(name, std::string(in_file), options_.key_file + ": the token_uri");
    const std::string host = parts_of_url(token_uri)->host;
    http_request ask{.method = "POST",
                     .url = token_uri,
                     .about = host + ", token of the account in " + options_.key_file,
                     .repeatable = true};
    ask.headers.add("Content-Type", "application/x-www-form-urlencoded");
    ask.body = form_encoded({{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
                             {"assertion", assertion_of(account, token_uri)}});
    const http_answer answer = http_.send(ask, until);
    const json body = parse_json(answer.body);
    if (text(member(&body, "error_description")).value_or("").find("iat and exp") != std::string_view::npos)
        throw http_.error(reason::clock_skew, answer, ask.about,
                          "the clocks of this machine and of Google differ");
    return token_in(http_, answer, ask.about);
}

// ---- The secret -------------------------------------------------------------------------------------------

inline std::optional<std::string> google_store::read(std::string_view service) const {
    const std::string secret = options_.prefix + std::string(service);
    if (service.empty() || secret.size() > 255 || !has_only(secret, "-_")) return std::nullopt;
    const std::string about = options_.address + ", " + place_of(service);
    const deadline until = http_.begin_read();
    return login_.use(until, [&](const login& with) {
        http_request ask{.url = options_.address + "/v1/projects/" + percent_encoded(with.project) +
                                "/secrets/" + secret + "/versions/latest:access",
                         .about = about};
        ask.headers.add("Authorization", "Bearer ", with.token);
        return key_in(http_.send(ask, until), about);
    });
}

// {"payload": {"data": "c2s=", "dataCrc32c": "1234"}}, or
// {"error": {"status": "NOT_FOUND", "message": "..."}}.
inline std::optional<std::string> google_store::key_in(const http_answer& answer,
                                                       const std::string& about) const {
    const json body = parse_json(answer.body);
    if (answer.status == 200) {
        const std::optional<secret_text> data =
            base64_decoded(text(member(&body, "payload", "data")).value_or("?"));
        const std::optional<std::int64_t> sum = number(member(&body, "payload", "dataCrc32c"));
        if (!data || !sum)
            throw http_.error(reason::malformed, about, "the answer has no data with a checksum in it");
        if (*sum != crc32c(*data))
            throw http_.error(reason::malformed, about, "the data does not match its checksum");
        return http_.key_in(data->view(), options_.field, about);
    }
    const std::string_view status = text(member(&body, "error", "status")).value_or("");
    const std::string_view message = text(member(&body, "error", "message")).value_or("");
    if (status == "NOT_FOUND") return std::nullopt;
    if (answer.status == 404)
        throw http_.error(reason::malformed, about, "the answer is not one of Secret Manager");
    if (status == "UNAUTHENTICATED")
        throw http_.error(reason::expired_token, answer, about, "it does not take the token");
    if (status == "RESOURCE_EXHAUSTED")
        throw http_.error(reason::rate_limited, answer, about, "too many requests");
    if (status == "FAILED_PRECONDITION" && message.find("DESTROYED") != std::string_view::npos)
        throw http_.error(reason::deleted, answer, about, "the latest version is destroyed");
    if (status == "FAILED_PRECONDITION")
        throw http_.error(reason::disabled, answer, about, "the latest version is disabled");
    throw http_.error(answer, about);
}

}}  // namespace secrets
