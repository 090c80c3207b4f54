#pragma once

// A start hook that takes keys from an Azure Key Vault. Needs libcurl.
//
//     ext::plugin plugin{"secrets"};
//     if (auto vault = secrets::azure_from_environment())
//         secrets::add_azure(plugin, "models.get_api_key", *vault);

#include "abi.hpp"
#include "credential.hpp"
#include "environment.hpp"
#include "http.hpp"
#include "json.hpp"
#include "login.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

// ---- Options ----------------------------------------------------------------------------------------------

/// The identity is the first of these that is configured: a client with a secret, a client with a
/// federated token, the managed identity of App Service, the managed identity of the virtual
/// machine. A half of one is an error: the next identity is not used instead.
struct SECRETS_VISIBLE azure_options {
    std::string vault{};   ///< "https://my-vault.vault.azure.net"
    std::string prefix{};  ///< start of all names, before the service: "api-keys-"
    std::string field{};   ///< field of a secret that is a JSON object; empty: the key is the whole secret

    std::string tenant{};  ///< tenant of the client
    std::string client{};  ///< id of the client, or of a managed identity if there are several
    std::string client_secret{};
    std::string federated_token_file{};  ///< read for each login, because it is replaced from time to time
    std::string authority = "https://login.microsoftonline.com";

    std::string identity_endpoint{};  ///< of App Service
    std::string identity_header{};    ///< sent to App Service, which requires it
    std::string metadata = "http://169.254.169.254";

    http_options http{};
    secrets::on_failure on_failure = secrets::on_failure::fail;
};

/// The options from the variables that README.md lists, most of which Azure's own clients read. Returns
/// std::nullopt without AZURE_KEYVAULT_URL. Throws store_error if a variable names an identity that is not
/// supported.
std::optional<azure_options> azure_from_environment();

// ---- The store --------------------------------------------------------------------------------------------

/// For store_hook. The constructor throws store_error if the options are invalid. It sends no request.
class azure_store {
public:
    static constexpr std::string_view name = "azure";
    explicit azure_store(azure_options options);
    std::optional<std::string> read(std::string_view service) const;
    std::string place_of(std::string_view service) const { return "secrets/" + name_of(service); }

private:
    std::string name_of(std::string_view service) const {
        std::string mapped = options_.prefix + std::string(service);
        std::replace_if(mapped.begin(), mapped.end(), [](char c) { return c == '_' || c == '.'; }, '-');
        return mapped;
    }
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about) const;
    store_error refusal(const http_answer& answer, const json& body, const std::string& about) const;

    std::string resource(deadline until) const;
    fetched<secret_text> token_of_client(const std::string& resource, deadline until) const;
    fetched<secret_text> managed_token(const std::string& resource, deadline until) const;

    azure_options options_;
    http_client http_, metadata_;
    mutable credential<secret_text> token_;
};

/// Registers the store's hook. `options.on_failure` says what happens on a failure.
inline ext::hook add_azure(ext::plugin& owner, std::string_view function, azure_options options,
                           ext::hook_options how = {.id = "azure"}) {
    return add_store<azure_store>(owner, function, std::move(options), std::move(how));
}

// -----------------------------------------------------------------------------------------------------------

namespace detail {

// The value of a parameter in a challenge:
//
//     Bearer authorization="https://...", resource="https://vault.azure.net"
inline std::string_view parameter_in(std::string_view challenge, std::string_view wanted) {
    const std::string before = std::string(wanted) + "=\"";
    constexpr std::size_t none = std::string_view::npos;
    for (std::size_t at = 0; (at = challenge.find(before, at)) != none; at += before.size()) {
        if (at == 0 || (challenge[at - 1] != ' ' && challenge[at - 1] != ',')) continue;
        const std::string_view value = challenge.substr(at + before.size());
        return value.substr(0, value.find('"'));
    }
    return "";
}

inline bool is_client(const azure_options& options) {
    return !options.client_secret.empty() || !options.federated_token_file.empty();
}

// Azure's own clients would use the identities that these variables name.
inline void refuse_other_identities(const azure_options& options) {
    refuse_variables("azure", {"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD",
                               "AZURE_USERNAME", "AZURE_PASSWORD"});
    const bool is_managed = !is_client(options);
    // Service Fabric, Arc, Azure ML and Cloud Shell set these for all programs, also for one with a client.
    if (is_managed) refuse_variables("azure", {"IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT"});
    if (is_managed && options.identity_endpoint.empty())  // App Service sets the old names as well
        refuse_variables("azure", {"MSI_ENDPOINT", "MSI_SECRET"});

    const std::string_view wanted = environment_variable("AZURE_TOKEN_CREDENTIALS");
    std::string_view used = "ManagedIdentityCredential";
    if (!options.client_secret.empty()) used = "EnvironmentCredential";
    else if (!is_managed) used = "WorkloadIdentityCredential";
    if (wanted != "prod" && wanted != used) refuse_variables("azure", {"AZURE_TOKEN_CREDENTIALS"});
}

}  // namespace detail

inline std::optional<azure_options> azure_from_environment() {
    azure_options options{.http = http_options_of_environment("REQUESTS_CA_BUNDLE")};
    options.vault = environment_variable("AZURE_KEYVAULT_URL");
    if (options.vault.empty()) return std::nullopt;
    options.tenant = environment_variable("AZURE_TENANT_ID");
    options.client = environment_variable("AZURE_CLIENT_ID");
    options.client_secret = environment_variable("AZURE_CLIENT_SECRET");
    options.federated_token_file = environment_variable("AZURE_FEDERATED_TOKEN_FILE");
    if (const std::string host(environment_variable("AZURE_AUTHORITY_HOST")); !host.empty())
        options.authority = host.find("://") == std::string::npos ? "https://" + host : host;
    options.identity_endpoint = environment_variable("IDENTITY_ENDPOINT");
    options.identity_header = environment_variable("IDENTITY_HEADER");
    const std::string_view metadata = environment_variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    if (!metadata.empty()) options.metadata = metadata;
    detail::refuse_other_identities(options);
    return options;
}

inline azure_store::azure_store(azure_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http),
      metadata_(std::string(name), metadata_options(options_.http)),
      token_(
          [this](deadline until) {
              const std::string wanted = resource(until);
              return detail::is_client(options_) ? token_of_client(wanted, until)
                                                 : managed_token(wanted, until);
          },
          {.clock = options_.http.clock}) {
    const auto refuse = [](const char* text) { throw store_error(name, reason::misconfigured, text); };
    const auto check = [](std::string& address, const char* what) {
        address = checked_address(name, address, what);
    };
    check(options_.vault, "the vault's address (AZURE_KEYVAULT_URL)");
    check(options_.authority, "the authority (AZURE_AUTHORITY_HOST)");
    check(options_.metadata, "the metadata server (AZURE_POD_IDENTITY_AUTHORITY_HOST)");
    if (!options_.identity_endpoint.empty())
        check(options_.identity_endpoint, "the identity endpoint (IDENTITY_ENDPOINT)");
    if (!is_one_line(options_.identity_header)) refuse("the identity header is not one line of text");
    if (detail::is_client(options_)) {
        if (options_.tenant.empty()) refuse("the client needs a tenant (AZURE_TENANT_ID)");
        if (options_.client.empty()) refuse("the client needs an id (AZURE_CLIENT_ID)");
    } else {
        if (!options_.tenant.empty())
            refuse("the client of the tenant (AZURE_TENANT_ID) needs a secret (AZURE_CLIENT_SECRET) or a "
                   "federated token (AZURE_FEDERATED_TOKEN_FILE)");
        if (options_.identity_endpoint.empty() && !options_.identity_header.empty())
            refuse("the identity header needs an endpoint (IDENTITY_ENDPOINT)");
        if (options_.identity_header.empty() && !options_.identity_endpoint.empty())
            refuse("the identity endpoint needs a header (IDENTITY_HEADER)");
    }
    if (!is_askable(options_.prefix + "service")) refuse("the prefix cannot begin the name of a secret");
}

// ---- The token --------------------------------------------------------------------------------------------

// A token is valid for all vaults that its identity may read. So one is requested only if the
// vault's challenge names a resource to which the vault's host belongs. Otherwise any server could
// name Azure's resource, and collect tokens.
inline std::string azure_store::resource(deadline until) const {
    const http_request ask{.url = options_.vault + "/secrets?api-version=7.4", .about = options_.vault};
    const http_answer answer = http_.send(ask, until);
    if (answer.status != 401) throw refusal(answer, parse_json(answer.body), ask.about);
    const std::string_view challenge = answer.headers.find("WWW-Authenticate").value_or("");
    std::string wanted(detail::parameter_in(challenge, "resource"));
    if (wanted.empty()) wanted = detail::parameter_in(challenge, "scope");
    if (wanted.ends_with("/.default")) wanted.resize(wanted.size() - std::string_view("/.default").size());

    const std::optional<url_parts> vault = parts_of_url(options_.vault), whose = parts_of_url(wanted);
    if (!whose || !whose->encrypted)
        throw http_.error(reason::malformed, ask.about, "it does not say which token it takes");
    if (!vault->host.ends_with('.' + whose->host))
        throw http_.error(reason::untrusted, ask.about, "it asks for a token that is not for its host");
    return wanted;
}

inline fetched<secret_text> azure_store::token_of_client(const std::string& resource, deadline until) const {
    const std::string tenant = percent_encoded(options_.tenant);
    http_request ask{.method = "POST",
                     .url = options_.authority + '/' + tenant + "/oauth2/v2.0/token",
                     .about = options_.authority + ", token of client " + percent_encoded(options_.client),
                     .repeatable = true};
    ask.headers.add("Content-Type", "application/x-www-form-urlencoded");
    const std::string scope = resource + "/.default";
    ask.body = form_encoded(
        {{"grant_type", "client_credentials"}, {"client_id", options_.client}, {"scope", scope}});
    ask.body += '&';
    if (!options_.client_secret.empty()) {
        ask.body += form_encoded({{"client_secret", options_.client_secret}});
    } else {
        const std::optional<secret_text> token = token_in_file(options_.federated_token_file);
        if (!token)
            throw http_.error(reason::no_credential, ask.about,
                              "the file of the federated token cannot be read");
        constexpr std::string_view type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        ask.body += form_encoded({{"client_assertion_type", type}, {"client_assertion", *token}});
    }
    return token_in(http_, http_.send(ask, until), ask.about);
}

inline fetched<secret_text> azure_store::managed_token(const std::string& resource, deadline until) const {
    const bool is_app_service = !options_.identity_endpoint.empty();
    const std::string& endpoint = is_app_service ? options_.identity_endpoint : options_.metadata;
    http_request ask{.url = endpoint, .about = endpoint + ", managed identity"};
    ask.url += is_app_service ? "?api-version=2019-08-01"
                              : "/metadata/identity/oauth2/token?api-version=2018-02-01";
    ask.url += "&resource=" + percent_encoded(resource);
    if (!options_.client.empty()) ask.url += "&client_id=" + percent_encoded(options_.client);
    if (is_app_service) ask.headers.add("X-IDENTITY-HEADER", options_.identity_header);
    else ask.headers.add("Metadata", "true");
    ask.passing = [](const http_answer&) { return false; };  // its pauses are below
    http_answer answer = ask_metadata(metadata_, ask, until);

    // With these answers, the server is not ready yet, or is being updated, which may take more than a
    // minute. The pauses are those of Azure's own clients.
    const auto is_passing = [](long status) {
        return status == 404 || status == 410 || status == 429 || status >= 500;
    };
    const ext::hooks::clock& clock = metadata_.options().clock;
    for (std::chrono::milliseconds pause{800}; is_passing(answer.status); pause *= 2) {
        const std::chrono::milliseconds wanted = answer.retry_after.value_or(std::chrono::seconds(0)),
                                        wait = std::max(pause, wanted);
        if (clock.now() + wait >= until) break;
        clock.sleep(wait);
        answer = ask_metadata(metadata_, ask, until);
    }
    if (answer.status == 410)
        throw metadata_.error(reason::passing, answer, ask.about, "status 410, it is not ready yet");
    return token_in(metadata_, answer, ask.about);
}

// ---- The secret -------------------------------------------------------------------------------------------

inline std::optional<std::string> azure_store::read(std::string_view service) const {
    const std::string secret = name_of(service);
    if (service.empty() || secret.size() > 127 || !has_only(secret, "-")) return std::nullopt;
    const std::string about = options_.vault + ", " + place_of(service);
    const deadline until = http_.begin_read();
    return token_.use(until, [&](const secret_text& token) {
        http_request ask{.url = options_.vault + "/secrets/" + secret + "?api-version=7.4", .about = about};
        ask.headers.add("Authorization", "Bearer ", token);
        return key_in(http_.send(ask, until), about);
    });
}

// An error is
//
//     {"error": {"code": "Forbidden", "message": "...", "innererror": {"code": "SecretDisabled"}}}
//
// A secret that was deleted, but can be recovered, is reported as not found.
inline std::optional<std::string> azure_store::key_in(const http_answer& answer,
                                                      const std::string& about) const {
    const json body = parse_json(answer.body);
    if (answer.status == 200) return http_.key_in(text(member(&body, "value")), options_.field, about);
    if (answer.status == 404 && text(member(&body, "error", "code")) == "SecretNotFound") return std::nullopt;
    throw refusal(answer, body, about);
}

inline store_error azure_store::refusal(const http_answer& answer, const json& body,
                                        const std::string& about) const {
    static constexpr struct { long status; std::string_view code; reason why; const char* text; } known[] = {
        {403, "SecretDisabled", reason::disabled, "the secret is disabled"},
        {403, "ForbiddenByFirewall", reason::wrong_network,
         "the vault's firewall does not let this address in"},
        {403, "ForbiddenByConnection", reason::wrong_network,
         "the vault takes no requests from the public network"},
        {403, "ForbiddenByPolicy", reason::permission_denied,
         "permission denied by the vault's access policy"},
        {403, "AccessDenied", reason::permission_denied, "permission denied by the vault's access policy"},
        {403, "ForbiddenByRbac", reason::permission_denied,
         "permission denied: no role of the identity lets it read this"},
        {409, "ObjectIsDeletedButRecoverable", reason::deleted, "the secret is deleted"},
        {409, "ObjectIsBeingDeleted", reason::deleted, "the secret is being deleted"},
    };
    for (const auto& [status, code, why, said] : known)  // services differ in the spelling of "innererror"
        if (answer.status == status && (text(member(&body, "error", "innererror", "code")) == code ||
                                        text(member(&body, "error", "innerError", "code")) == code))
            return http_.error(why, answer, about, said);
    if (answer.status == 401)
        return http_.error(reason::expired_token, answer, about, "the vault does not take the token");
    if (answer.status == 404 || answer.status == 200)
        return http_.error(reason::malformed, answer, about, "the answer is not one of a Key Vault");
    return http_.error(answer, about);
}

}}  // namespace secrets
