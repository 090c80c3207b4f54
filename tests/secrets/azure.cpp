// Keys from an Azure Key Vault, over HTTP on loopback. The vault is a stand-in, and Azure's own
// clients read from it as well.
#include "catch.hpp"
#include "secrets/azure.hpp"
#include "secrets/cache.hpp"
#include "secrets/cloud.hpp"
#include "secrets/helpers.hpp"
#include "secrets/readme.hpp"
#include "secrets/replacement.hpp"
#include "secrets/server.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;
using namespace std::chrono_literals;
using cloud::fields;
using helpers::application;
using helpers::failure_of;
using helpers::variable;
using secrets::reason;

namespace {

const std::string key = helpers::secret("sk-key-of-the-azure-test-1");
const std::string client_secret = helpers::secret("client+secret/of~the&azure=test%2");
const std::string federated_token = helpers::secret("eyJ.federated.token-of-the-azure-test-3");
const std::string identity_header = helpers::secret("identity-header-of-the-azure-test-4");
const std::string token_begin = helpers::secret("eyJ.token-of-the-azure-test-5");

const std::string vault = "my-vault.vault.azure.net", login = "login.microsoftonline.com";
const std::string other_vault = "my-vault.evil.example";  // also asks for Azure's tokens
const std::string tenant = "72f988bf-0000-0000-0000-2d7cd011db47";
const std::string client = "0a1b2c3d-0000-0000-0000-111213141516";

// The vault, the login and the metadata server, as their documentation describes them. Any thread may
// call it.
class azure {
public:
    std::map<std::string, std::string> secrets{{"openai", key}};  // not changed while requests are answered
    std::string challenge = R"(Bearer authorization="https://login.microsoftonline.com/)" + tenant +
                            R"(", resource="https://vault.azure.net")";
    fake::replacement<const std::string&, const fake::request&> instead{};  // by host and request
    int lifetime = 3599;
    cloud::tokens tokens{token_begin};
    std::atomic<int> challenges = 0, logins = 0, reads = 0;

    fake::answer operator()(const fake::request& asked) {
        const auto [host, path, query] = cloud::target_of(asked);
        if (std::optional<fake::answer> other = instead(host, asked)) return *other;
        if (host == login) return answer_login(asked, path);
        if (host == vault || host == other_vault) return answer_vault(asked, path, query);
        if (path == "/metadata/identity/oauth2/token")
            return answer_metadata(asked, query, "2018-02-01", "metadata", "true");
        if (path == "/msi/token")
            return answer_metadata(asked, query, "2019-08-01", "x-identity-header", identity_header);
        return error(404, "NotFound");
    }

    static fake::answer error(int status, const std::string& code, const std::string& inner = "") {
        const std::string more = inner.empty() ? "" : R"(,"innererror":{"code":")" + inner + "\"}";
        return {status, R"({"error":{"code":")" + code + R"(","message":"Of )" + key + ' ' + token_begin +
                            '"' + more + "}}"};
    }

private:
    fake::answer answer_vault(const fake::request& asked, const std::string& path, const std::string& query) {
        const std::string with_challenge = "WWW-Authenticate: " + challenge + "\r\n";
        if (!asked.header("authorization")) {
            ++challenges;
            fake::answer no_token = error(401, "Unauthorized");
            no_token.more_headers = with_challenge;
            return no_token;
        }
        ++reads;
        if (asked.header("authorization") != "Bearer " + tokens.good()) {
            fake::answer invalid = error(401, "Unauthorized");
            invalid.more_headers = with_challenge;
            return invalid;
        }
        if (asked.method != "GET" || fields(query)["api-version"].substr(0, 2) != "7.")
            return error(400, "BadParameter");
        std::string name = path.substr(std::string("/secrets/").size());
        if (name.ends_with('/')) name.pop_back();  // an empty version
        const auto found = secrets.find(name);
        if (found == secrets.end()) return error(404, "SecretNotFound");
        if (found->second == "disabled") return error(403, "Forbidden", "SecretDisabled");
        return {200, R"({"value":")" + found->second + R"(","id":"https://)" + vault + "/secrets/" + name +
                         R"(/4387e9f3d6e14c459867679a90fd0f79","attributes":{"enabled":true,)"
                         R"("created":1493938410,"updated":1493938410,)"
                         R"("recoveryLevel":"Recoverable+Purgeable"}})"};
    }

    fake::answer answer_login(const fake::request& asked, const std::string& path) {
        // Azure's client asks for this first.
        if (path == '/' + tenant + "/v2.0/.well-known/openid-configuration")
            return {200, R"({"token_endpoint":"https://)" + login + '/' + tenant + R"(/oauth2/v2.0/token",)"
                         R"("authorization_endpoint":"https://)" + login + '/' + tenant +
                         R"(/oauth2/v2.0/authorize",)"
                         R"("issuer":"https://)" + login + '/' + tenant + R"(/v2.0"})"};
        if (path == "/common/discovery/instance")  // and then for the login's names
            return {200, R"({"metadata":[{"preferred_network":")" + login +
                             R"(","preferred_cache":")" + login + R"(","aliases":[")" + login + R"("]}]})"};
        ++logins;
        auto form = fields(asked.body);
        const bool has_secret = form["client_secret"] == client_secret;
        const bool has_assertion =
            form["client_assertion"] == federated_token &&
            form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        const std::string type = asked.header("content-type").value_or("");
        const bool is_good = asked.method == "POST" && path == '/' + tenant + "/oauth2/v2.0/token" &&
                             type.starts_with("application/x-www-form-urlencoded") &&
                             form["grant_type"] == "client_credentials" && form["client_id"] == client &&
                             form["scope"] == "https://vault.azure.net/.default" &&
                             has_secret != has_assertion;
        if (!is_good) return {401, R"({"error":"invalid_client","error_description":")" + asked.body + "\"}"};
        return {200, R"({"token_type":"Bearer","expires_in":)" + std::to_string(lifetime) +
                         R"(,"access_token":")" + tokens.good() + "\"}"};
    }

    fake::answer answer_metadata(const fake::request& asked, const std::string& query,
                                 const std::string& version, const std::string& header,
                                 const std::string& value) {
        ++logins;
        auto given = fields(query);
        if (asked.header(header) != value || given["api-version"] != version ||
            given["resource"] != "https://vault.azure.net")
            return error(400, "bad_request");
        const std::string end = version == "2018-02-01" ? R"("expires_in":"3599",)" : "";
        return {200, "{" + end + R"("expires_on":")" + std::to_string(cloud::unix_time() + lifetime) +
                         R"(","resource":"https://vault.azure.net","token_type":"Bearer","access_token":")" +
                         tokens.good() + "\"}"};
    }
};

// The variables of a machine that has a vault, and no other identity than its own.
class environment {
public:
    environment() {
        for (const char* const name :
             {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE",
              "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE",
              "AZURE_POD_IDENTITY_AUTHORITY_HOST", "AZURE_CLIENT_CERTIFICATE_PATH",
              "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_USERNAME", "AZURE_PASSWORD", "IMDS_ENDPOINT",
              "IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET", "AZURE_TOKEN_CREDENTIALS"})
            variables_.emplace_back(name, nullptr);
        variables_.emplace_back("AZURE_KEYVAULT_URL", ("https://" + vault + "/").c_str());
    }

private:
    std::list<variable> variables_;
};

// A program that logs in with a client secret. The stand-in is its proxy, and so its whole network.
struct setting {
    azure cloud;
    fake::server server;
    secrets::azure_options options;

    setting() {
        server.always([this](const fake::request& asked) { return cloud(asked); });
        options.vault = "http://" + vault;
        options.authority = "http://" + login;
        options.tenant = tenant;
        options.client = client;
        options.client_secret = client_secret;
        options.metadata = server.address();
        options.http = {.timeout = 60s, .tries = 1, .plain_http = true, .proxy = server.address()};
    }
    std::optional<std::string> read(std::string_view service = "openai") const {
        return secrets::azure_store(options).read(service);
    }
    helpers::failure failure(std::string_view service = "openai") const {
        return failure_of([&] { read(service); });
    }
    // The program has no client, but is on a machine with an identity.
    void use_machine() {
        options.tenant.clear();
        options.client.clear();
        options.client_secret.clear();
    }
    // The vault gives this answer to requests with a token.
    void answer(fake::answer with) {
        cloud.instead = [with = std::move(with)](const std::string& host, const fake::request& asked) {
            return host == vault && asked.header("authorization") ? std::optional(with) : std::nullopt;
        };
    }
    // The login gives this answer.
    void answer_login(fake::answer with) {
        cloud.instead = [with = std::move(with)](const std::string& host, const fake::request&) {
            return host == login ? std::optional(with) : std::nullopt;
        };
    }
};

}  // namespace

// ---- Identities -------------------------------------------------------------------------------------------

TEST_CASE("azure: A client logs in with its secret, and gets the key") {
    setting with;
    CHECK(with.read() == key);
    CHECK(with.cloud.challenges == 1);
    CHECK(with.cloud.logins == 1);
    CHECK(with.cloud.reads == 1);
    CHECK(with.server.received().front().header("authorization") == std::nullopt);
    CHECK_THAT(with.server.last().path, Equals("http://" + vault + "/secrets/openai?api-version=7.4"));
}

TEST_CASE("azure: A client logs in with a federated token, which is read from its file each time") {
    setting with;
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "token").string();
    with.options.client_secret.clear();
    with.options.federated_token_file = file;
    const secrets::azure_store store(with.options);
    const helpers::failure failed = failure_of([&] { store.read("openai"); });
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring("the file of the federated token cannot be read"));
    std::ofstream(file) << "another";
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::no_credential);
    std::ofstream(file) << federated_token << '\n';
    CHECK(store.read("openai") == key);
}

TEST_CASE("azure: A machine with an identity asks its metadata server, without a proxy") {
    setting with;
    with.use_machine();
    with.options.client = GENERATE(std::string(), client);
    CHECK(with.read() == key);
    const fake::request asked = with.server.received().at(1);
    CHECK(asked.path == "/metadata/identity/oauth2/token?api-version=2018-02-01&resource="
                        "https%3A%2F%2Fvault.azure.net" +
                            (with.options.client.empty() ? "" : "&client_id=" + client));
}

TEST_CASE("azure: An App Service app asks its endpoint, which gives the token's expiry as a point in time") {
    setting with;
    helpers::hand_clock time;
    with.options.http.clock = time.clock();
    with.use_machine();
    with.options.identity_endpoint = with.server.address() + "/msi/token/";
    with.options.identity_header = identity_header;
    const secrets::azure_store store(with.options);
    CHECK(store.read("openai") == key);
    time.pass(50min);
    CHECK(store.read("openai") == key);
    CHECK(with.cloud.logins == 1);
    time.pass(10min);
    CHECK(store.read("openai") == key);
    CHECK(with.cloud.logins == 2);
}

TEST_CASE("azure: A metadata server that is not ready is asked again, after the pauses of Azure's clients") {
    using pauses = std::vector<std::chrono::milliseconds>;
    setting with;
    helpers::hand_clock time;
    with.use_machine();
    with.options.http.clock = time.clock();
    std::atomic<int> left = 3;
    fake::answer not_ready = azure::error(GENERATE(404, 410, 429, 500), "not_ready");
    const bool says_when = GENERATE(false, true);
    if (says_when) not_ready.more_headers = "Retry-After: 2\r\n";
    with.cloud.instead = [&](const std::string&, const fake::request& asked) {
        return asked.header("metadata") && left-- > 0 ? std::optional(not_ready) : std::nullopt;
    };
    CHECK(with.read() == key);
    CHECK(time.pauses() == (says_when ? pauses{2000ms, 2000ms, 3200ms} : pauses{800ms, 1600ms, 3200ms}));
}

TEST_CASE("azure: A metadata server that does not become ready is asked as long as the read has time") {
    using pauses = std::vector<std::chrono::milliseconds>;
    setting with;
    helpers::hand_clock time;
    with.use_machine();
    with.options.http.clock = time.clock();
    with.cloud.instead = [&](const std::string&, const fake::request& asked) {
        return asked.header("metadata") ? std::optional(azure::error(410, "not_ready")) : std::nullopt;
    };
    const helpers::failure failed = with.failure();
    CHECK(failed.why == reason::passing);
    CHECK_THAT(failed.text, ContainsSubstring("managed identity: status 410, it is not ready yet"));
    CHECK(time.pauses() == pauses{800ms, 1600ms, 3200ms, 6400ms, 12800ms, 25600ms});
}

TEST_CASE("azure: A machine without an identity is asked once") {
    setting with;
    helpers::hand_clock time;
    with.use_machine();
    with.options.http.clock = time.clock();
    with.cloud.instead = [&](const std::string&, const fake::request& asked) {
        return asked.header("metadata") ? std::optional(azure::error(400, "invalid_request")) : std::nullopt;
    };
    CHECK(with.failure().why == reason::no_credential);
    CHECK(time.pauses().empty());
}

TEST_CASE("azure: Outside of Azure there is no credential, "
          "and the metadata server is asked again only after a while") {
    setting with;
    const fake::closed_port nobody;
    with.use_machine();
    with.options.metadata = nobody.address();
    const secrets::azure_store store(with.options);
    for (int i = 0; i < 2; ++i) {
        const helpers::failure failed = failure_of([&] { store.read("openai"); });
        CHECK(failed.why == reason::no_credential);
        CHECK(failed.retry_after == 30s);
        CHECK_THAT(failed.text,
                   ContainsSubstring("azure: " + nobody.address() + ", managed identity: no server answers"));
    }
    CHECK(with.cloud.challenges == 1);
}

TEST_CASE("azure: A variable that names an unsupported identity is refused, and no other identity is used") {
    const auto [name, value] = GENERATE(table<std::string, std::string>({
        {"AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem"},
        {"AZURE_CLIENT_CERTIFICATE_PASSWORD", "p"},
        {"AZURE_USERNAME", "u"},
        {"AZURE_PASSWORD", "p"},
        {"IMDS_ENDPOINT", "http://127.0.0.1:1"},
        {"IDENTITY_SERVER_THUMBPRINT", "ab"},
        {"MSI_ENDPOINT", "http://127.0.0.1:1/x"},
        {"MSI_SECRET", "s"},
        {"AZURE_TOKEN_CREDENTIALS", "dev"},
        {"AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential"},
    }));
    CAPTURE(name, value);
    const environment machine;
    CHECK(secrets::azure_from_environment());
    const variable named(name, value.c_str());
    const helpers::failure failed = failure_of([] { secrets::azure_from_environment(); });
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == "azure: " + name + " is set, which is not supported here");
    const variable no_vault("AZURE_KEYVAULT_URL", nullptr);
    CHECK_FALSE(secrets::azure_from_environment());
}

TEST_CASE("azure: Identities that Azure's own clients would not use either are ignored") {
    const environment machine;
    const variable arc("IMDS_ENDPOINT", "http://e"), fabric("IDENTITY_SERVER_THUMBPRINT", "ab"),
        shell("MSI_ENDPOINT", "http://e"), ml("MSI_SECRET", "s"), chain("AZURE_TOKEN_CREDENTIALS", "prod");
    {
        const variable secret(GENERATE("AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"), "s");
        CHECK(secrets::azure_from_environment());
        const variable other("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
        CHECK_THROWS(secrets::azure_from_environment());
    }
    const variable no_arc("IMDS_ENDPOINT", nullptr), no_fabric("IDENTITY_SERVER_THUMBPRINT", nullptr),
        service("IDENTITY_ENDPOINT", "http://e"),
        only("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
    CHECK(secrets::azure_from_environment());
}

TEST_CASE("azure: If a half of an identity is configured, the error names the other half") {
    using names = std::vector<std::string>;
    const auto [set, missing] = GENERATE(table<names, std::string>({
        {{"AZURE_CLIENT_SECRET"}, "AZURE_TENANT_ID"},
        {{"AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID"}, "AZURE_TENANT_ID"},
        {{"AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"}, "AZURE_CLIENT_ID"},
        {{"AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID"}, "AZURE_TENANT_ID"},
        {{"AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID"}, "AZURE_CLIENT_ID"},
        {{"AZURE_TENANT_ID"}, "AZURE_CLIENT_SECRET"},
        {{"AZURE_TENANT_ID", "AZURE_CLIENT_ID"}, "AZURE_CLIENT_SECRET"},
        {{"AZURE_TENANT_ID", "AZURE_CLIENT_ID"}, "AZURE_FEDERATED_TOKEN_FILE"},
        {{"IDENTITY_ENDPOINT"}, "IDENTITY_HEADER"},
        {{"IDENTITY_HEADER", "AZURE_CLIENT_ID"}, "IDENTITY_ENDPOINT"},
    }));
    CAPTURE(set, missing);
    const environment machine;
    std::list<variable> halves;
    for (const std::string& name : set) halves.emplace_back(name, "http://e");
    const auto make = [] { secrets::azure_store(secrets::azure_from_environment().value()); };
    const helpers::failure failed = failure_of(make);
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring('(' + missing + ')'));
}

// ---- Where tokens are sent --------------------------------------------------------------------------------

TEST_CASE("azure: A vault that asks for a token for another host receives none") {
    const auto [challenge, why] = GENERATE(table<std::string, std::optional<reason>>({
        {R"(Bearer authorization="https://a/b", resource="https://vault.azure.net")", std::nullopt},
        {R"(Bearer authorization="https://a/b",resource="https://VAULT.azure.net/")", std::nullopt},
        {R"(Bearer authorization="https://a/b", scope="https://vault.azure.net/.default")", std::nullopt},
        {R"(Bearer resource="https://vault.azure.cn")", reason::untrusted},
        {R"(Bearer resource="https://ault.azure.net")", reason::untrusted},
        {R"(Bearer resource="https://my-vault.vault.azure.net")", reason::untrusted},
        {R"(Bearer resource="https://management.azure.com")", reason::untrusted},
        {R"(Bearer resource="http://vault.azure.net")", reason::malformed},
        {R"(Bearer resource="https://user@vault.azure.net")", reason::malformed},
        {R"(Bearer resource="vault.azure.net")", reason::malformed},
        {R"(Bearer x_resource="https://vault.azure.net")", reason::malformed},
        {R"(Bearer resource=")", reason::malformed},
        {"Bearer", reason::malformed},
        {"", reason::malformed},
    }));
    CAPTURE(challenge);
    setting with;
    with.cloud.challenge = challenge;
    with.cloud.instead = [](const std::string& host, const fake::request& asked) {
        const bool is_login = host == login && fields(asked.body)["client_secret"] == client_secret;
        const fake::answer good{200, R"({"access_token":")" + token_begin + "-0\"}"};
        return is_login ? std::optional(good) : std::nullopt;
    };
    CHECK(with.failure().why == why);
    for (const fake::request& asked : with.server.received())
        CHECK((why ? !asked.header("authorization") && asked.body.empty() : true));
}

TEST_CASE("azure: A server outside of Azure that asks for Azure's tokens receives none") {
    setting with;
    with.options.vault = "http://" + other_vault;
    CHECK(with.failure().why == reason::untrusted);
    CHECK(with.cloud.logins == 0);
}

TEST_CASE("azure: The secret is sent only to the login in the options, whatever the vault says") {
    setting with;
    with.cloud.challenge =
        R"(Bearer authorization="http://evil.example/x", resource="https://vault.azure.net")";
    CHECK(with.read() == key);
    for (const fake::request& asked : with.server.received())
        CHECK_THAT(asked.path, !ContainsSubstring("evil.example"));
}

TEST_CASE("azure: Neither token nor secret is sent to an address without TLS") {
    setting with;
    with.options.http.plain_http = false;
    CHECK(with.failure().why == reason::misconfigured);
    CHECK(with.server.requests() == 0);
}

TEST_CASE("azure: TLS works the same way, and a certificate for another host is not trusted") {
    const fake::certificate certificate("DNS:" + vault + ",DNS:" + login), of_another("DNS:" + login);
    if (!certificate.is_usable()) return;
    const bool is_right = GENERATE(true, false);
    const fake::temporary_directory directory;
    setting with;
    const fake::certificate& shown = is_right ? certificate : of_another;
    fake::server server({.tls = &shown, .unix_socket = (directory.path() / "socket").string()});
    server.always([&](const fake::request& asked) { return with.cloud(asked); });
    with.options.vault = "https://" + vault;
    with.options.authority = "https://" + login;
    with.options.http = {.timeout = 60s, .tries = 1, .ca_file = shown.file()};
    with.options.http.unix_socket = (directory.path() / "socket").string();
    if (is_right) CHECK(with.read() == key);
    else CHECK(with.failure().why == reason::untrusted);
}

// ---- Names ------------------------------------------------------------------------------------------------

TEST_CASE("azure: A name that no secret can have is not requested, and other names are mapped") {
    setting with;
    with.options.prefix = "api_keys-";
    const secrets::azure_store store(with.options);
    for (const char* const service : {"a/b", "a b", "gr\xc3\xbc\xc3\x9f", "a%2fb", "", "a\r\nb", "a?b"})
        CHECK(!store.read(service));
    CHECK(!store.read(std::string(119, 'a')));
    CHECK(with.server.requests() == 0);

    with.cloud.secrets["api-keys-open-ai-v2"] = key;
    CHECK(store.read("open_ai.v2") == key);
    CHECK(store.place_of("open_ai.v2") == "secrets/api-keys-open-ai-v2");
    CHECK(!store.read(std::string(118, 'a')));
    CHECK(with.cloud.reads == 2);
}

TEST_CASE("azure: A note says where the key came from, and a missing key falls through silently") {
    setting with;
    application app;
    with.options.on_failure = GENERATE(secrets::on_failure::fall_through, secrets::on_failure::fail);
    secrets::add_azure(app.plugin, "models.get_api_key", with.options);
    std::string source;
    app.get_api_key.on_end([&](auto& call) { source = call.kwargs.value_or("source", "nowhere"); });
    CHECK(app.get_api_key("openai") == key);
    CHECK(source == "azure secrets/openai");
    CHECK(app.get_api_key("nobody") == "sk-from-the-environment");
    CHECK(source == "nowhere");
    CHECK(app.errors.empty());
}

TEST_CASE("azure: A field of a JSON secret is the key, and without a named field the secret is refused") {
    setting with;
    with.cloud.secrets["openai"] = R"({\"user\":\"a,b\",\"key\":\")" + key + R"(\"})";
    CHECK(with.failure().why == reason::missing_field);
    with.options.field = "key";
    CHECK(with.read() == key);
    with.options.field = "password";
    CHECK(with.failure().why == reason::missing_field);
}

// ---- Failures ---------------------------------------------------------------------------------------------

TEST_CASE("azure: Each failure has its reason, and no error text contains anything that the vault sent") {
    fake::answer throttled = azure::error(429, "Throttled"), html{404, "<html>" + key};
    fake::answer cut_off{200, R"({"value":")" + key + "\"}"};
    throttled.more_headers = "Retry-After: 7\r\n";
    cut_off.cut_off = 10;
    html.content_type = "text/html";
    fake::answer other_letters{403,
                               R"({"error":{"code":"Forbidden","innerError":{"code":"SecretDisabled"}}})"};
    using row = std::tuple<fake::answer, reason, std::string>;
    const std::vector<row> table{
        {azure::error(403, "Forbidden", "SecretDisabled"), reason::disabled, "the secret is disabled"},
        {other_letters, reason::disabled, "the secret is disabled"},
        {azure::error(403, "Forbidden", "ForbiddenByFirewall"), reason::wrong_network, "firewall"},
        {azure::error(403, "Forbidden", "ForbiddenByConnection"), reason::wrong_network, "public network"},
        {azure::error(403, "Forbidden", "ForbiddenByPolicy"), reason::permission_denied,
         "the vault's access policy"},
        {azure::error(403, "Forbidden", "AccessDenied"), reason::permission_denied,
         "the vault's access policy"},
        {azure::error(403, "Forbidden", "ForbiddenByRbac"), reason::permission_denied, "no role"},
        {azure::error(403, "Forbidden"), reason::permission_denied, "permission denied"},
        {azure::error(401, "Unauthorized"), reason::expired_token, "does not take the token"},
        {azure::error(409, "Conflict", "ObjectIsDeletedButRecoverable"), reason::deleted, "is deleted"},
        {azure::error(409, "Conflict", "ObjectIsBeingDeleted"), reason::deleted, "is being deleted"},
        {throttled, reason::rate_limited, "too many requests"},
        {azure::error(500, "InternalError"), reason::server_error, "status 500"},
        {azure::error(400, "BadParameter"), reason::rejected, "status 400"},
        {azure::error(404, "NotFound"), reason::malformed, "not one of a Key Vault"},
        {html, reason::malformed, "not one of a Key Vault"},
        {{307, key, "text/plain", "Location: http://evil.example/" + key + "\r\n"},
         reason::redirected, "status 307"},
        {cut_off, reason::malformed, "cut off"},
        {{200, R"({"value":)" + key}, reason::malformed, "no key in it"},
        {{200, R"({"value":["key"]})"}, reason::malformed, "no key in it"},
        {{200, R"({"value":""})"}, reason::missing_field, "the key is empty"},
        {{200, R"({"value":")" + std::string(1 << 21, 'x') + "\"}"}, reason::malformed, "too large"},
    };
    for (const auto& [answer, why, text] : table) {
        CAPTURE(text);
        setting with;
        with.answer(answer);
        const helpers::failure failed = with.failure();
        CHECK(failed.why == why);
        CHECK_THAT(failed.text, ContainsSubstring("azure: http://" + vault + ", secrets/openai: "));
        CHECK_THAT(failed.text, ContainsSubstring(text));
        CHECK(failed.text.size() < 200);
        CHECK(failed.retry_after == (answer.status == 429 ? std::optional(7s) : std::nullopt));
    }
}

TEST_CASE("azure: If the firewall refuses a request before the vault asks for a token, the error says so") {
    setting with;
    with.cloud.instead = [](const std::string& host, const fake::request&) {
        return host == vault ? std::optional(azure::error(403, "Forbidden", "ForbiddenByConnection"))
                             : std::nullopt;
    };
    CHECK(with.failure().why == reason::wrong_network);
    CHECK(with.cloud.logins == 0);
}

TEST_CASE("azure: A failed login is reported, and the error does not contain the secret") {
    fake::answer slow_down{429, "{}", "application/json", "Retry-After: 9\r\n"};
    const auto [answer, why] = GENERATE_COPY(table<fake::answer, reason>({
        {fake::answer{401, R"({"error":"invalid_client","say":")" + client_secret + "\"}"},
         reason::no_credential},
        {fake::answer{400, R"({"error":"unauthorized_client"})"}, reason::no_credential},
        {slow_down, reason::rate_limited},
        {fake::answer{503, client_secret}, reason::server_error},
        {fake::answer{200, client_secret}, reason::malformed},
        {fake::answer{200, R"({"access_token":""})"}, reason::malformed},
        {fake::answer{200, R"({"access_token":"a\r\nX-Other: )" + client_secret + "\"}"}, reason::malformed},
        {fake::answer{307, "", "text/plain", "Location: http://evil.example/\r\n"}, reason::redirected},
    }));
    setting with;
    with.answer_login(answer);
    const helpers::failure failed = with.failure();
    CHECK(failed.why == why);
    CHECK_THAT(failed.text,
               ContainsSubstring("azure: http://" + login + ", token of client " + client + ": "));
    CHECK(with.cloud.reads == 0);
}

TEST_CASE("azure: A login that hangs is given up, and the next call tries again") {
    setting with;
    fake::answer late{200, "{}"};
    late.until_given_up = true;
    with.answer_login(late);
    with.options.http.timeout = 100ms;
    const secrets::azure_store store(with.options);
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::timed_out);
    with.cloud.instead = nullptr;
    CHECK(helpers::eventually([&] { return !failure_of([&] { store.read("openai"); }).why; }));
}

TEST_CASE("azure: A missing vault is unreachable, and a slow vault is given up") {
    setting with;
    const fake::closed_port nobody;
    with.options.http.proxy = nobody.address();
    CHECK(with.failure().why == reason::unreachable);
    fake::answer late{200, "{}"};
    late.until_given_up = true;
    with.answer(late);
    with.options.http.proxy = with.server.address();
    with.options.http.timeout = 100ms;
    CHECK(with.failure().why == reason::timed_out);
}

TEST_CASE("azure: A failure is thrown, unless the vault is out of reach and the options say fall_through") {
    setting with;
    const auto add = [&](ext::plugin& plugin) {
        secrets::add_azure(plugin, "models.get_api_key", with.options);
    };
    cloud::check_fall_through(with, add, azure::error(500, "InternalError"),
                              azure::error(403, "Forbidden", "SecretDisabled"));
}

TEST_CASE("azure: A refused login reaches the caller, although the options say fall_through") {
    const int status = GENERATE(400, 401, 403, 404, 405, 422, 499, 408, 410, 429, 500);
    const bool is_refused = status < 500 && status != 408 && status != 410 && status != 429;
    const std::string identity = GENERATE("client", "machine", "App Service");
    CAPTURE(status, identity);
    setting with;
    helpers::hand_clock time;
    with.options.http.clock = time.clock();
    with.options.on_failure = secrets::on_failure::fall_through;
    if (identity != "client") with.use_machine();
    if (identity == "App Service") {
        with.options.identity_endpoint = with.server.address() + "/msi/token";
        with.options.identity_header = identity_header;
    }
    with.cloud.instead = [=](const std::string& host, const fake::request&) {
        return host != vault ? std::optional(azure::error(status, "refused")) : std::nullopt;
    };
    application app;
    secrets::add_azure(app.plugin, "models.get_api_key", with.options);
    const helpers::failure failed = failure_of([&] { app.get_api_key("openai"); });
    CHECK(failed.why == (is_refused ? std::optional(reason::no_credential) : std::nullopt));
    CHECK(app.runs == (is_refused ? 0 : 1));
    CHECK(with.cloud.reads == 0);
}

// ---- Time and threads -------------------------------------------------------------------------------------

TEST_CASE("azure: A token that expires early is renewed once") {
    setting with;
    cloud::check_renewal<secrets::azure_store>(with, key, azure::error(401, "Unauthorized"));
}

TEST_CASE("azure: One read has one time limit, with its login") {
    setting with;
    helpers::hand_clock time;
    with.options.http.clock = time.clock();
    if (GENERATE(false, true)) with.use_machine();
    with.cloud.instead = [&](const std::string&, const fake::request&) {
        time.pass(40s);
        return std::nullopt;
    };
    CHECK(with.failure().why == reason::timed_out);
    CHECK(with.cloud.challenges == 1);
    CHECK(with.cloud.logins == 1);
    CHECK(with.cloud.reads == 0);
}

TEST_CASE("azure: If the vault's answer takes all the time, that is not blamed on the metadata server") {
    setting with;
    helpers::hand_clock time;
    with.options.http.clock = time.clock();
    with.use_machine();
    with.cloud.instead = [&](const std::string&, const fake::request&) {
        time.pass(60s);
        return std::nullopt;
    };
    const helpers::failure failed = with.failure();
    CHECK(failed.why == reason::timed_out);
    CHECK(failed.retry_after == std::nullopt);
    CHECK(with.cloud.logins == 0);
}

TEST_CASE("azure: A token is kept, and renewed before it expires") {
    setting with;
    helpers::hand_clock time;
    with.options.http.clock = time.clock();
    const secrets::azure_store store(with.options);
    for (int i = 0; i < 3; ++i) CHECK(store.read("openai") == key);
    CHECK(with.cloud.logins == 1);
    time.pass(58min);
    CHECK(store.read("openai") == key);
    CHECK(with.cloud.logins == 1);
    time.pass(1min);
    CHECK(store.read("openai") == key);
    CHECK(with.cloud.logins == 2);
}

TEST_CASE("azure: If many threads ask at once, the vault and the login are asked once") {
    constexpr std::size_t count = 500;
    setting with;
    secrets::cache cache;
    with.cloud.instead = [&](const std::string& host,
                             const fake::request& asked) -> std::optional<fake::answer> {
        if (host == vault && asked.header("authorization"))
            helpers::eventually([&] { return cache.waiting() >= count - 1 || with.cloud.reads > 0; });
        return std::nullopt;
    };
    application app;
    cache.add_to(app.plugin);
    secrets::add_azure(app.plugin, "models.get_api_key", with.options);
    const std::vector<std::string> got =
        helpers::in_threads(count, [&] { return app.get_api_key("openai"); });
    CHECK(got == std::vector<std::string>(count, key));
    CHECK(with.cloud.logins == 1);
    CHECK(with.cloud.reads == 1);
    CHECK(app.errors.empty());
}

TEST_CASE("azure: Threads that ask for different keys at once log in once") {
    setting with;
    for (int i = 0; i < 16; ++i) with.cloud.secrets["service-" + std::to_string(i)] = key;
    const secrets::azure_store store(with.options);
    std::atomic<int> next = 0;
    const auto read = [&] { return store.read("service-" + std::to_string(next++)).value_or("nothing"); };
    const std::vector<std::string> got = helpers::in_threads(16, read);
    CHECK(got == std::vector<std::string>(16, key));
    CHECK(with.cloud.logins == 1);
    CHECK(with.cloud.reads == 16);
}

// ---- Options ----------------------------------------------------------------------------------------------

TEST_CASE("azure: The options come from the variables of Azure's own clients") {
    const environment machine;
    const variable the_tenant("AZURE_TENANT_ID", tenant.c_str()),
        the_client("AZURE_CLIENT_ID", client.c_str()),
        secret("AZURE_CLIENT_SECRET", client_secret.c_str()), file("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        endpoint("IDENTITY_ENDPOINT", "http://e"), header("IDENTITY_HEADER", identity_header.c_str()),
        bundle("REQUESTS_CA_BUNDLE", "/ca.pem");
    secrets::azure_options options = secrets::azure_from_environment().value();
    CHECK(options.vault == "https://" + vault + "/");
    CHECK(options.tenant == tenant);
    CHECK(options.client == client);
    CHECK(options.client_secret == client_secret);
    CHECK(options.federated_token_file == "/token");
    CHECK(options.authority == "https://login.microsoftonline.com");
    CHECK(options.identity_endpoint == "http://e");
    CHECK(options.identity_header == identity_header);
    CHECK(options.metadata == "http://169.254.169.254");
    CHECK(options.http.ca_file == "/ca.pem");
    CHECK(options.http.proxy_of_environment);
    CHECK(options.on_failure == secrets::on_failure::fail);
    {
        const variable other("AZURE_AUTHORITY_HOST", "login.chinacloudapi.cn");
        const variable at("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://m");
        CHECK(secrets::azure_from_environment().value().authority == "https://login.chinacloudapi.cn");
        CHECK(secrets::azure_from_environment().value().metadata == "http://m");
        const variable whole("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/");
        CHECK(secrets::azure_from_environment().value().authority == "https://login.microsoftonline.us/");
    }
    const variable none("AZURE_KEYVAULT_URL", nullptr);
    CHECK_FALSE(secrets::azure_from_environment());
}

TEST_CASE("azure: Invalid options are rejected when the store is created, "
          "and the error does not contain the secret") {
    using change = std::function<void(secrets::azure_options&)>;
    const auto [about, spoil] = GENERATE(table<std::string, change>({
        {"the vault's address (AZURE_KEYVAULT_URL) is not a URL",
         [](auto& options) { options.vault = client_secret; }},
        {"a user, a query or a fragment",
         [](auto& options) { options.vault = "https://a:" + identity_header + "@b"; }},
        {"the authority (AZURE_AUTHORITY_HOST) is not a URL",
         [](auto& options) { options.authority = "login"; }},
        {"the metadata server (AZURE_POD_IDENTITY_AUTHORITY_HOST) is not a URL",
         [](auto& options) { options.metadata = ""; }},
        {"the identity endpoint (IDENTITY_ENDPOINT) is not a URL",
         [](auto& options) { options.identity_endpoint = "ftp://a"; }},
        {"the identity header is not one line",
         [](auto& options) { options.identity_header = client_secret + "\n"; }},
        {"a user, a query or a fragment", [](auto& options) { options.vault += '?'; }},
        {"a user, a query or a fragment", [](auto& options) { options.vault += "/#"; }},
        {"a user, a query or a fragment", [](auto& options) { options.authority += '#'; }},
        {"a user, a query or a fragment", [](auto& options) { options.metadata += '?'; }},
        {"a user, a query or a fragment", [](auto& options) { options.identity_endpoint = "http://e?"; }},
        {"needs a tenant", [](auto& options) { options.tenant.clear(); }},
        {"needs an id", [](auto& options) { options.client.clear(); }},
        {"timeout", [](auto& options) { options.http.timeout = 0s; }},
    }));
    CAPTURE(about);
    setting with;
    spoil(with.options);
    const helpers::failure failed = failure_of([&] { secrets::azure_store store(with.options); });
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring(about));
}

// ---- The program ------------------------------------------------------------------------------------------

// Without a proxy: the names resolve to this machine, and the connections use TLS.
TEST_CASE("azure: The program prints what the README shows") {
    const std::string local_vault = "my-vault.vault.localhost", local_login = "login.localhost";
    const fake::certificate certificate("DNS:" + local_vault + ",DNS:" + local_login);
    if (!certificate.is_usable()) return;
    setting with;
    with.cloud.secrets["payments"] = "disabled";
    with.cloud.challenge =
        R"(Bearer authorization="https://login.localhost", resource="https://vault.localhost")";
    fake::server over_tls({.tls = &certificate});
    over_tls.always([&](fake::request asked) {  // the stand-in sees Azure's names
        asked.headers["host"] = asked.headers["host"].starts_with(local_login) ? login : vault;
        readme::example::replace(asked.body, "vault.localhost", "vault.azure.net");
        return with.cloud(asked);
    });
    const readme::example shown("azure");
    const readme::texts replaced{{"https://" + vault, over_tls.address(local_vault)},
                                 {"my-tenant-id", tenant}, {"my-client-id", client},
                                 {"my-client-secret", client_secret}};
    const readme::texts more_variables{{"AZURE_AUTHORITY_HOST", over_tls.address(local_login)},
                                       {"REQUESTS_CA_BUNDLE", certificate.file()}};
    CHECK(shown.printed(replaced, more_variables) == shown.output());
}

// ---- Azure's own clients ----------------------------------------------------------------------------------

#ifdef AZURE_PYTHON
TEST_CASE("azure: With each identity, Azure's own clients read the same from the stand-in") {
    const fake::certificate certificate("DNS:" + vault + ",DNS:" + login + ",DNS:" + other_vault);
    if (!certificate.is_usable()) return;
    setting with;
    with.cloud.secrets["off"] = "disabled";
    fake::server over_tls({.tls = &certificate});
    over_tls.always([&](const fake::request& asked) { return with.cloud(asked); });
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "token").string();
    std::ofstream(file) << federated_token;

    const std::string port = over_tls.address().substr(over_tls.address().rfind(':') + 1);
    const variable ca("REQUESTS_CA_BUNDLE", certificate.file().c_str()),
        secret("TEST_CLIENT_SECRET", client_secret.c_str()),
        header("TEST_IDENTITY_HEADER", identity_header.c_str());
    const std::string command = AZURE_PYTHON " -B '" SCRIPTS "/azure_clients.py' " + port + ' ' +
                                with.server.address() + ' ' + file + ' ' + tenant + ' ' + client;
    const std::string output = helpers::searched(cloud::output_of(command));
    INFO(output);
    for (const char* const identity : {"client secret", "federated token", "metadata", "app service"}) {
        CHECK_THAT(output,
                   ContainsSubstring(identity + std::string(": openai ") + cloud::digest(key) + '\n'));
        CHECK_THAT(output, ContainsSubstring(identity + std::string(": nobody SecretNotFound\n")));
        CHECK_THAT(output, ContainsSubstring(identity + std::string(": off SecretDisabled\n")));
    }
    CHECK_THAT(output, ContainsSubstring("wrong secret: ClientAuthenticationError\n"));
    CHECK_THAT(output, ContainsSubstring("wrong resource: ValueError\n"));
    WARN(output.substr(0, output.find('\n')));  // the versions
}
#endif
