#pragma once

// A start hook that takes keys from an Azure Key Vault. Needs libcurl and nlohmann-json.
//
//     ext::plugin plugin{"secrets"};
//     if (auto vault = secrets::azure_from_environment()) secrets::add_azure(plugin, "models.get_api_key", *vault);

#include "credential.hpp"
#include "environment.hpp"
#include "http.hpp"
#include "json.hpp"
#include "login.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

// ---- Options --------------------------------------------------------------------------------------------------------

/// The identity is the first of these that is configured: a client with a secret, a client with a
/// federated token, the managed identity of App Service, the managed identity of the virtual
/// machine.
struct azure_options {
    std::string vault{};   ///< "https://my-vault.vault.azure.net"
    std::string prefix{};  ///< start of all names, before the service: "api-keys-"

    std::string tenant{};  ///< tenant of the client
    std::string client{};  ///< id of the client, or of a managed identity if there are several
    std::string client_secret{};
    std::string federated_token_file{};  ///< read for each login, because it is replaced from time to time
    std::string authority = "https://login.microsoftonline.com";

    std::string identity_endpoint{};  ///< of App Service
    std::string identity_header{};    ///< sent to App Service, which requires it
    std::string metadata = "http://169.254.169.254";

    http_options http{};
    secrets::on_failure on_failure = secrets::on_failure::fall_through;
};

/// The options from AZURE_KEYVAULT_URL, and from the variables of Azure's own clients:
/// AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE,
/// AZURE_AUTHORITY_HOST, IDENTITY_ENDPOINT, IDENTITY_HEADER, AZURE_POD_IDENTITY_AUTHORITY_HOST,
/// REQUESTS_CA_BUNDLE (a file). Returns std::nullopt without AZURE_KEYVAULT_URL.
std::optional<azure_options> azure_from_environment();

// ---- The store ------------------------------------------------------------------------------------------------------

class azure_store {
public:
    static constexpr std::string_view name = "azure";

    /// Throws store_error if the options are invalid. Sends no request.
    explicit azure_store(azure_options options);

    /// The service's key, or std::nullopt if the vault has none, or if no secret can have this
    /// name. Throws store_error.
    std::optional<std::string> read(std::string_view service) const;

    /// Where read() looks: "secrets/openai".
    std::string place_of(std::string_view service) const { return "secrets/" + name_of(service); }

private:
    bool is_client() const { return !options_.client_secret.empty() || !options_.federated_token_file.empty(); }
    std::string name_of(std::string_view service) const;
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about) const;
    store_error refusal(const http_answer& answer, const json& body, const std::string& about) const;

    fetched<secret_text> log_in() const;
    std::string resource() const;
    static std::string parameter(std::string_view challenge, std::string_view name);
    fetched<secret_text> token_of_client(const std::string& resource) const;
    fetched<secret_text> managed_token(const std::string& resource) const;

    azure_options options_;
    http_client http_, metadata_;
    mutable credential<secret_text> token_;
};

/// Registers the store's hook. `options.on_failure` says what happens on a failure.
inline ext::hook add_azure(ext::plugin& owner, std::string_view function, azure_options options,
                           ext::hook_options how = {.id = "azure"}) {
    return add_store<azure_store>(owner, function, std::move(options), std::move(how));
}

// ---------------------------------------------------------------------------------------------------------------------

inline std::optional<azure_options> azure_from_environment() {
    azure_options options;
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
    options.http.ca_file = environment_variable("REQUESTS_CA_BUNDLE");
    return options;
}

// The value of a parameter in a challenge:
//
//     Bearer authorization="https://...", resource="https://vault.azure.net"
inline std::string azure_store::parameter(std::string_view challenge, std::string_view wanted) {
    const std::string before = std::string(wanted) + "=\"";
    for (std::size_t at = 0; (at = challenge.find(before, at)) != std::string_view::npos; at += before.size()) {
        if (at == 0 || (challenge[at - 1] != ' ' && challenge[at - 1] != ',')) continue;
        const std::string_view value = challenge.substr(at + before.size());
        return std::string(value.substr(0, value.find('"')));
    }
    return "";
}

inline azure_store::azure_store(azure_options options)
    : options_(std::move(options)), http_(std::string(name), options_.http),
      metadata_(std::string(name), metadata_options(options_.http)),
      token_([this] { return log_in(); }, {.clock = options_.http.clock}) {
    const auto refuse = [](const char* text) { throw store_error(name, reason::misconfigured, text); };
    options_.vault = checked_address(name, options_.vault);
    options_.authority = checked_address(name, options_.authority);
    options_.metadata = checked_address(name, options_.metadata);
    if (!options_.identity_endpoint.empty()) options_.identity_endpoint = checked_address(name, options_.identity_endpoint);
    if (!is_one_line(options_.identity_header)) refuse("the identity header is not one line of text");
    if (is_client() && (options_.tenant.empty() || options_.client.empty()))
        refuse("a client secret or a federated token needs the tenant's and the client's id");
    if (!is_askable(options_.prefix + "service")) refuse("the prefix cannot begin the name of a secret");
}

// ---- The token ------------------------------------------------------------------------------------------------------

// A token is valid for all vaults that its identity may read. So one is requested only if the
// vault's challenge names a resource to which the vault's host belongs. Otherwise any server could
// name Azure's resource, and collect tokens.
inline fetched<secret_text> azure_store::log_in() const {
    const std::string wanted = resource();
    return is_client() ? token_of_client(wanted) : managed_token(wanted);
}

inline std::string azure_store::resource() const {
    const http_request ask{.url = options_.vault + "/secrets?api-version=7.4", .about = options_.vault};
    const http_answer answer = http_.send(ask);
    if (answer.status != 401) throw refusal(answer, parse_json(answer.body), ask.about);
    const std::string_view challenge = answer.headers.find("WWW-Authenticate").value_or("");
    std::string wanted = parameter(challenge, "resource");
    if (wanted.empty()) wanted = parameter(challenge, "scope");
    if (wanted.ends_with("/.default")) wanted.resize(wanted.size() - std::string_view("/.default").size());

    const std::optional<url_parts> vault = parts_of_url(options_.vault), whose = parts_of_url(wanted);
    if (!whose || !whose->encrypted) throw http_.error(reason::malformed, ask.about, "it does not say which token it takes");
    if (!vault->host.ends_with('.' + whose->host))
        throw http_.error(reason::untrusted, ask.about, "it asks for a token that is not for its host");
    return wanted;
}

inline fetched<secret_text> azure_store::token_of_client(const std::string& resource) const {
    http_request ask{.method = "POST",
                     .url = options_.authority + '/' + percent_encoded(options_.tenant) + "/oauth2/v2.0/token",
                     .about = options_.authority + ", token of client " + percent_encoded(options_.client),
                     .repeatable = true};
    ask.headers.add("Content-Type", "application/x-www-form-urlencoded");
    const std::string scope = resource + "/.default";
    ask.body = form_encoded({{"grant_type", "client_credentials"}, {"client_id", options_.client}, {"scope", scope}});
    ask.body += '&';
    if (!options_.client_secret.empty()) {
        ask.body += form_encoded({{"client_secret", options_.client_secret}});
    } else {
        const std::optional<secret_text> token = token_in_file(options_.federated_token_file);
        if (!token) throw http_.error(reason::no_credential, ask.about, "the file of the federated token cannot be read");
        ask.body += form_encoded({{"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
                                  {"client_assertion", *token}});
    }
    return token_in(http_, http_.send(ask), ask.about);
}

inline fetched<secret_text> azure_store::managed_token(const std::string& resource) const {
    const bool is_app_service = !options_.identity_endpoint.empty() && !options_.identity_header.empty();
    const std::string& endpoint = is_app_service ? options_.identity_endpoint : options_.metadata;
    http_request ask{.url = endpoint, .about = endpoint + ", managed identity"};
    ask.url += is_app_service ? "?api-version=2019-08-01" : "/metadata/identity/oauth2/token?api-version=2018-02-01";
    ask.url += "&resource=" + percent_encoded(resource);
    if (!options_.client.empty()) ask.url += "&client_id=" + percent_encoded(options_.client);
    if (is_app_service) ask.headers.add("X-IDENTITY-HEADER", options_.identity_header);
    else ask.headers.add("Metadata", "true");
    // The server is not ready yet, or about to be updated: Azure's documentation says to ask again.
    ask.passing = [](const http_answer& came) {
        return came.status == 404 || came.status == 410 || came.status == 429 || came.status >= 500;
    };
    return token_in(metadata_, ask_metadata(metadata_, ask), ask.about);
}

// ---- The secret -----------------------------------------------------------------------------------------------------

inline std::string azure_store::name_of(std::string_view service) const {
    std::string mapped = options_.prefix + std::string(service);
    for (char& c : mapped)
        if (c == '_' || c == '.') c = '-';
    return mapped;
}

inline std::optional<std::string> azure_store::read(std::string_view service) const {
    constexpr std::string_view allowed = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-";
    const std::string secret = name_of(service);
    if (service.empty() || secret.size() > 127 || secret.find_first_not_of(allowed) != std::string::npos) return std::nullopt;
    const std::string about = options_.vault + ", " + place_of(service);
    return token_.use([&](const secret_text& token) {
        http_request ask{.url = options_.vault + "/secrets/" + secret + "?api-version=7.4", .about = about};
        ask.headers.add("Authorization", "Bearer ", token);
        return key_in(http_.send(ask), about);
    });
}

// An error is
//
//     {"error": {"code": "Forbidden", "message": "...", "innererror": {"code": "SecretDisabled"}}}
//
// A secret that was deleted, but can be recovered, is reported as not found.
inline std::optional<std::string> azure_store::key_in(const http_answer& answer, const std::string& about) const {
    const json body = parse_json(answer.body);
    if (answer.status == 200) return http_.key_in(text(member(&body, "value")), about);
    if (answer.status == 404 && text(member(&body, "error", "code")) == "SecretNotFound") return std::nullopt;
    throw refusal(answer, body, about);
}

inline store_error azure_store::refusal(const http_answer& answer, const json& body, const std::string& about) const {
    static constexpr struct { long status; std::string_view code; reason why; const char* text; } known[] = {
        {403, "SecretDisabled", reason::disabled, "the secret is disabled"},
        {403, "ForbiddenByFirewall", reason::wrong_network, "the vault's firewall does not let this address in"},
        {403, "ForbiddenByConnection", reason::wrong_network, "the vault takes no requests from the public network"},
        {403, "ForbiddenByPolicy", reason::permission_denied, "permission denied by the vault's access policy"},
        {403, "AccessDenied", reason::permission_denied, "permission denied by the vault's access policy"},
        {403, "ForbiddenByRbac", reason::permission_denied, "permission denied: no role of the identity lets it read this"},
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

}  // namespace secrets
