// Keys from Google's Secret Manager, over HTTP on loopback. The servers are a stand-in, and
// Google's own client reads from it as well.
#include "catch.hpp"
#include "secrets/cache.hpp"
#include "secrets/cloud.hpp"
#include "secrets/google.hpp"
#include "secrets/helpers.hpp"
#include "secrets/readme.hpp"
#include "secrets/replacement.hpp"
#include "secrets/server.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using cloud::fields;
using helpers::application;
using helpers::failure_of;
using helpers::variable;
using secrets::reason;

namespace {

const std::string key = helpers::secret("sk-key-of-the-google-test-1");
const std::string token_begin = helpers::secret("ya29.token-of-the-google-test-2");
const std::string account = "reader@my-project.iam.gserviceaccount.com";

std::string base64(std::string_view bytes) {
    std::string text(secrets::base64url(bytes).view());
    for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
    text.resize((text.size() + 3) / 4 * 4, '=');
    return text;
}

// A key of a service account, made by openssl, and the certificate for checking its signatures.
class account_key {
public:
    static const account_key& only() {
        static const account_key one;
        return one;
    }
    // If false, warns that the test ends without having tested anything.
    bool is_usable() const {
        if (!is_made_) WARN("there is no program openssl, so nothing was tested");
        return is_made_;
    }
    std::string certificate() const { return (directory_.path() / "certificate.pem").string(); }
    std::string pem() const {
        std::ifstream file(directory_.path() / "key.pem");
        return {std::istreambuf_iterator<char>(file), {}};
    }

private:
    account_key() {
        const std::string make = "cd '" + directory_.path().string() + "' && openssl req -x509 -newkey rsa:2048 -nodes "
                                 "-keyout key.pem -out certificate.pem -days 2 -subj /CN=test >/dev/null 2>&1";
        is_made_ = std::system(make.c_str()) == 0;
        std::string line;
        for (std::ifstream file(directory_.path() / "key.pem"); std::getline(file, line);)
            if (line.size() == 64) helpers::secret(line);
    }
    fake::temporary_directory directory_;
    bool is_made_ = false;
};

// Secret Manager, the token endpoint and the metadata server, as their documentation describes
// them. Any thread may call it.
class google {
public:
    std::map<std::string, std::string> secrets{{"openai", key}};  // not changed while requests are answered
    fake::replacement<const fake::request&> instead{};
    std::string flavor = "Metadata-Flavor: Google\r\n";
    std::optional<std::string> universe{};  // as `secrets`
    cloud::tokens tokens{token_begin};
    std::atomic<int> logins = 0, reads = 0;

    std::string last_assertion() const {
        const std::lock_guard lock(mutex_);
        return assertion_;
    }

    fake::answer operator()(const fake::request& asked) {
        if (std::optional<fake::answer> other = instead(asked)) return *other;
        const auto [host, path, query] = cloud::target_of(asked);
        if (path == "/token") return answer_login(asked);
        if (path.starts_with("/computeMetadata/v1/")) return answer_metadata(asked, path.substr(20));
        return answer_secret(asked, path);
    }

    static fake::answer error(int code, const std::string& status, const std::string& message = "") {
        return {code, R"({"error":{"code":)" + std::to_string(code) + R"(,"message":")" + message + ' ' + key +
                          R"(","status":")" + status + "\"}}"};
    }
    static fake::answer payload(const std::string& value, std::uint32_t sum) {
        return {200, R"({"name":"projects/1/secrets/a/versions/1","payload":{"data":")" + base64(value) +
                         R"(","dataCrc32c":")" + std::to_string(sum) + "\"}}"};
    }

private:
    fake::answer token_answer() {
        ++logins;
        return {200, R"({"access_token":")" + tokens.good() + R"(","expires_in":3599,"token_type":"Bearer"})",
                "application/json", flavor};
    }

    // In another test, Google's own client checks the signature.
    fake::answer answer_login(const fake::request& asked) {
        auto form = fields(asked.body);
        const bool is_grant = form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer";
        if (asked.method != "POST" || !is_grant || form["assertion"].empty())
            return {400, R"({"error":"invalid_grant","error_description":")" + form["assertion"] + "\"}"};
        {
            const std::lock_guard lock(mutex_);
            assertion_ = form["assertion"];
        }
        return token_answer();
    }

    fake::answer answer_metadata(const fake::request& asked, const std::string& path) {
        if (asked.header("metadata-flavor") != "Google") return {403, "", "text/html"};
        for (const std::string& which : {std::string("default"), account})
            if (path == "instance/service-accounts/" + which + "/token") return token_answer();
        if (path == "universe/universe-domain" && universe)
            return {200, *universe, "application/text", flavor};
        if (path == "project/project-id") return {200, "my-project", "application/text", flavor};
        if (path == "instance/service-accounts/default/")  // which Google's client asks for first
            return {200,
                    R"({"email":")" + account +
                        R"(","scopes":["https://www.googleapis.com/auth/cloud-platform"]})",
                    "application/json", flavor};
        return {404, "", "text/html", flavor};
    }

    fake::answer answer_secret(const fake::request& asked, const std::string& path) {
        ++reads;
        if (asked.header("authorization") != "Bearer " + tokens.good()) return error(401, "UNAUTHENTICATED");
        const std::string before = "/v1/projects/my-project/secrets/", after = "/versions/latest:access";
        if (asked.method != "GET" || !path.starts_with(before) || !path.ends_with(after))
            return error(403, "PERMISSION_DENIED");
        const auto found = secrets.find(path.substr(before.size(), path.size() - before.size() - after.size()));
        if (found == secrets.end()) return error(404, "NOT_FOUND", "Secret not found or has no versions.");
        return payload(found->second, secrets::crc32c(found->second));
    }

    mutable std::mutex mutex_;
    std::string assertion_;  // guarded by the mutex
};

// The variables of one of Google's machines, with an empty home.
class environment {
public:
    environment() {
        for (const char* const name :
             {"GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCLOUD_PROJECT",
              "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
              "CLOUDSDK_CONFIG", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GOOGLE_API_USE_CLIENT_CERTIFICATE",
              "GOOGLE_API_USE_MTLS_ENDPOINT"})
            variables_.emplace_back(name, nullptr);
        variables_.emplace_back("GOOGLE_CLOUD_PROJECT", "p");
        variables_.emplace_back("HOME", home().c_str());
    }
    const std::filesystem::path& home() const { return home_.path(); }

private:
    fake::temporary_directory home_;
    std::list<variable> variables_;
};

// A program on one of Google's machines.
struct setting {
    google cloud;
    fake::server server;
    fake::temporary_directory directory;
    secrets::google_options options;

    setting() {
        server.always([this](const fake::request& asked) { return cloud(asked); });
        options.address = options.metadata = server.address();
        options.http = {.timeout = 60s, .tries = 1};
    }
    std::optional<std::string> read(std::string_view service = "openai") const {
        return secrets::google_store(options).read(service);
    }
    helpers::failure failure(std::string_view service = "openai") const {
        return failure_of([&] { read(service); });
    }
    // Requests with `part` in their path, by default those to Secret Manager, get this answer.
    void answer(fake::answer with, std::string part = ":access") {
        cloud.instead = [with = std::move(with), part = std::move(part)](const fake::request& asked) {
            return asked.path.find(part) != std::string::npos ? std::optional(with) : std::nullopt;
        };
    }
    void use_key_file(const std::string& text) {
        options.key_file = (directory.path() / "key.json").string();
        std::ofstream(options.key_file) << text;
    }
    void use_account(const std::string& universe = "googleapis.com", const std::string& end_of_uri = "") {
        const secrets::secret_text file = secrets::json_object(
            {{"type", "service_account"}, {"project_id", "my-project"}, {"private_key_id", "key-1"},
             {"private_key", account_key::only().pem()}, {"client_email", account},
             {"token_uri", server.address() + "/token" + end_of_uri}, {"universe_domain", universe}});
        use_key_file(std::string(file.view()));
    }
};

}  // namespace

// ---- Encodings ------------------------------------------------------------------------------------------------------

TEST_CASE("CRC-32C agrees with the examples of RFC 3720") {
    std::string up, down, zeros(32, '\0'), ones(32, '\xff');
    for (char c = 0; c < 32; ++c) {
        up += c;
        down += static_cast<char>(31 - c);
    }
    const unsigned char read_command[48] = {
        1, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
        0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
    CHECK(secrets::crc32c("") == 0u);
    CHECK(secrets::crc32c(zeros) == 0x8a9136aau);
    CHECK(secrets::crc32c(ones) == 0x62a8ab43u);
    CHECK(secrets::crc32c(up) == 0x46dd794eu);
    CHECK(secrets::crc32c(down) == 0x113fdb5cu);
    CHECK(secrets::crc32c({reinterpret_cast<const char*>(read_command), sizeof read_command}) == 0xd9963a56u);
    CHECK(secrets::crc32c("123456789") == 0xe3069283u);
}

TEST_CASE("Base64 agrees with the examples of RFC 4648, and invalid texts are rejected") {
    for (const auto& [bytes, text] : std::map<std::string, std::string>{
             {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
             {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "+//+"}}) {
        CHECK(secrets::base64_decoded(text).value() == bytes);
        CHECK(base64(bytes) == text);
    }
    CHECK(secrets::base64url("\xfb\xff\xfe?") == "-__-Pw");
    for (const char* const text : {"Z", "Zg", "Zg=", "=", "====", "Zh==", "Zm9=", "Zm9v\n", "-__-", "Z===", "Zg==Zg=="})
        CHECK(!secrets::base64_decoded(text));
}

// ---- Accounts -------------------------------------------------------------------------------------------------------

TEST_CASE("google: A machine asks its metadata server for the token and the project, and gets the key") {
    setting with;
    CHECK(with.read() == key);
    CHECK(with.server.requests() == 4);
    CHECK(with.server.received().at(0).header("metadata-flavor") == "Google");
    CHECK(with.server.last().path == "/v1/projects/my-project/secrets/openai/versions/latest:access");
    with.options.project = "my-project";
    CHECK(with.read() == key);
    CHECK(with.server.requests() == 7);
    with.options.project = "an/other";
    CHECK(with.failure().why == reason::permission_denied);
    CHECK_THAT(with.server.last().path, ContainsSubstring("/projects/an%2Fother/"));
}

TEST_CASE("google: A metadata server that is not Google's is not trusted, and a missing one is remembered") {
    setting with;
    with.cloud.flavor = "";
    CHECK(with.failure().why == reason::no_credential);
    CHECK(with.cloud.reads == 0);
    const fake::closed_port nobody;
    with.options.metadata = nobody.address();
    const helpers::failure failed = with.failure();
    CHECK(failed.why == reason::no_credential);
    CHECK(failed.retry_after == 30s);
    CHECK_THAT(failed.text, ContainsSubstring("no server answers"));
}

TEST_CASE("google: A machine of another universe is refused, because its token is not for googleapis.com") {
    using domain = std::optional<std::string>;
    const auto [universe, why] = GENERATE(table<domain, std::optional<reason>>({
        {std::nullopt, std::nullopt},
        {"", std::nullopt},
        {"googleapis.com", std::nullopt},
        {"googleapis.com\n", std::nullopt},
        {"example.goog", reason::misconfigured},
        {"googleapis.com.example.goog", reason::misconfigured},
    }));
    CAPTURE(universe.value_or("404"));
    setting with;
    with.options.project = GENERATE("", "my-project");
    with.cloud.universe = universe;
    const helpers::failure failed = with.failure();
    CHECK(failed.why == why);
    if (why) CHECK_THAT(failed.text, ContainsSubstring("a universe other than googleapis.com"));
    CHECK(with.cloud.reads == (why ? 0 : 1));
    with.answer({503, "", "text/html", with.cloud.flavor}, "/universe-domain");
    CHECK(with.failure().why == reason::server_error);
    CHECK(with.cloud.reads == (why ? 0 : 1));
}

TEST_CASE("google: A machine without an account says so") {
    setting with;
    with.answer({404, "", "text/html", with.cloud.flavor}, "/token");
    const helpers::failure failed = with.failure();
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring("no service account"));
}

TEST_CASE("google: The error for unsupported credentials names their kind, and no error contains the file's content") {
    const auto [text, why, about] = GENERATE(table<std::string, reason, std::string>({
        {R"({"type":"authorized_user","refresh_token":")" + key + "\"}", reason::misconfigured, "kind authorized_user"},
        {R"({"type":"external_account"})", reason::misconfigured, "kind external_account"},
        {R"({"type":"impersonated_service_account"})", reason::misconfigured, "kind impersonated_service_account"},
        {R"({"type":")" + key + "\"}", reason::misconfigured, "not the key file"},
        {R"({"type":"service_account"})", reason::misconfigured, "client_email is missing"},
        {R"({"type":"service_account","client_email":"a","private_key":[]})", reason::misconfigured,
         "private_key is missing"},
        {R"({"type":"service_account","client_email":"a","private_key":"b"})", reason::misconfigured,
         "name a project"},
        {R"({"type":"service_account","client_email":"a","project_id":"p","private_key":")" + key + "\"}",
         reason::misconfigured, "no RSA key"},
        {R"({"type":"service_account","universe_domain":"example.com"})", reason::misconfigured,
         "a universe_domain other than googleapis.com is not supported"},
        {R"({"type":"service_account","universe_domain":1})", reason::misconfigured, "universe_domain"},
        {"\xef\xbb\xbf{}" + key, reason::misconfigured, "not the key file"},
        {key, reason::misconfigured, "not the key file"},
    }));
    setting with;
    with.use_key_file(text);
    const helpers::failure failed = with.failure();
    CHECK(failed.why == why);
    if (secrets::has_rs256) {
        CHECK_THAT(failed.text, ContainsSubstring(about));
        with.options.key_file += ".missing";
        CHECK(with.failure().why == reason::no_credential);
    } else {
        CHECK_THAT(failed.text, ContainsSubstring("a key file needs libcrypto: compile with "
                                                  "SECRETS_WITH_LIBCRYPTO and link libcrypto"));
    }
    CHECK(with.server.requests() == 0);
}

#ifdef SECRETS_WITH_LIBCRYPTO
TEST_CASE("google: A configured key file is preferred to the metadata server") {
    if (!account_key::only().is_usable()) return;
    setting with;
    with.use_account();
    CHECK(with.read() == key);
    CHECK(with.server.requests() == 2);
    CHECK(with.server.received().at(0).path == "/token");
    with.use_account("googleapis.com", GENERATE("?", "#"));
    const helpers::failure failed = with.failure();
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring("key.json: the token_uri has a user, a query or a fragment"));
    CHECK(with.server.requests() == 2);
}

TEST_CASE("google: A failed login has its reason, and the error contains neither the assertion nor the key") {
    if (!account_key::only().is_usable()) return;
    const std::string skew = "Invalid JWT: Token must be a short-lived token. Check your iat and exp values.";
    const auto [answer, why] = GENERATE_COPY(table<fake::answer, reason>({
        {fake::answer{400, R"({"error":"invalid_grant","error_description":")" + key + "\"}"}, reason::no_credential},
        {fake::answer{400, R"({"error":"invalid_grant","error_description":")" + skew + "\"}"}, reason::clock_skew},
        {fake::answer{503, key}, reason::server_error},
        {fake::answer{429, key}, reason::rate_limited},
        {fake::answer{200, key}, reason::malformed},
    }));
    setting with;
    with.use_account();
    with.answer(answer, "/token");
    CHECK(with.failure().why == why);
    CHECK(with.cloud.reads == 0);
}
#endif

TEST_CASE("google: A metadata server, a token endpoint or a Secret Manager that hangs is given up") {
    setting with;
    fake::answer late{200, "{}"};
    late.until_given_up = true;
    with.answer(late, "/token");
    with.options.http.timeout = 100ms;
    CHECK(with.failure().why == reason::timed_out);
    with.answer(late);
    CHECK(with.failure().why == reason::timed_out);
#ifdef SECRETS_WITH_LIBCRYPTO
    if (!account_key::only().is_usable()) return;
    with.use_account();
    with.answer(late, "/token");
    const helpers::failure failed = with.failure();
    CHECK(failed.why == reason::timed_out);
    CHECK_THAT(failed.text, ContainsSubstring("127.0.0.1, token of the account in "));
    CHECK(with.cloud.logins == 1);
    CHECK(with.cloud.reads == 0);
#endif
}

TEST_CASE("google: A variable that names another identity or address is refused, and its default is not") {
    const auto [name, value, harmless] = GENERATE(table<std::string, std::string, std::vector<std::string>>({
        {"GOOGLE_CLOUD_UNIVERSE_DOMAIN", "example.com", {"googleapis.com"}},
        {"GOOGLE_API_USE_CLIENT_CERTIFICATE", "True", {"false"}},
        {"GOOGLE_API_USE_MTLS_ENDPOINT", "always", {"never", "auto"}},
        {"GCE_METADATA_ROOT", "127.0.0.1:1", {""}},
        {"GCLOUD_PROJECT", "p", {""}},
    }));
    CAPTURE(name);
    const environment machine;
    const variable project("GOOGLE_CLOUD_PROJECT", name == "GCLOUD_PROJECT" ? nullptr : "p"),
        file("GOOGLE_APPLICATION_CREDENTIALS", name == "GCLOUD_PROJECT" ? "/key.json" : nullptr);
    const variable named(name, value.c_str());
    const helpers::failure failed = failure_of([] { secrets::google_from_environment(); });
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == "google: " + name + " is set, which is not supported here");
    for (const std::string& other : harmless) {
        const variable is_harmless(name, other.c_str());
        CHECK(secrets::google_from_environment());
    }
}

TEST_CASE("google: A variable that names only an unsupported project or metadata server is refused") {
    const environment machine;
    const variable no_project("GOOGLE_CLOUD_PROJECT", nullptr);
    for (const std::string name : {"GCLOUD_PROJECT", "GCE_METADATA_ROOT"}) {
        const variable named(name, "127.0.0.1:1");
        const helpers::failure failed = failure_of([] { secrets::google_from_environment(); });
        CHECK(failed.why == reason::misconfigured);
        CHECK(failed.text == "google: " + name + " is set, which is not supported here");
    }
    for (const std::string name : {"GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GOOGLE_API_USE_CLIENT_CERTIFICATE",
                                   "GOOGLE_API_USE_MTLS_ENDPOINT"}) {  // for all of Google's clients
        const variable named(name, "other");
        CHECK_FALSE(secrets::google_from_environment());
    }
}

TEST_CASE("google: A login of gcloud is refused, because the machine's account would be used silently") {
    const environment machine;
    const bool is_at_home = GENERATE(true, false);
    const std::filesystem::path folder = machine.home() / (is_at_home ? ".config/gcloud" : "elsewhere");
    const variable config("CLOUDSDK_CONFIG", is_at_home ? nullptr : folder.c_str());
    std::filesystem::create_directories(folder);
    CHECK(secrets::google_from_environment());
    const std::string file = (folder / "application_default_credentials.json").string();
    std::ofstream(file) << R"({"type":"authorized_user"})";
    const helpers::failure failed = failure_of([] { secrets::google_from_environment(); });
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == "google: " + file + " is a login of gcloud, which is not supported here");
    const variable key_file("GOOGLE_APPLICATION_CREDENTIALS", "/key.json");
    CHECK(secrets::google_from_environment());
}

// ---- Secrets --------------------------------------------------------------------------------------------------------

TEST_CASE("google: A name that no secret can have is not requested, and a missing secret falls through silently") {
    setting with;
    with.options.prefix = "api-keys_";
    const secrets::google_store store(with.options);
    for (const char* const service : {"a/b", "a b", "a.b", "", "a%2fb", "a:b", "a\n"}) CHECK(!store.read(service));
    CHECK(!store.read(std::string(247, 'a')));
    CHECK(with.server.requests() == 0);
    CHECK(!store.read(std::string(246, 'a')));
    CHECK(with.cloud.reads == 1);

    with.cloud.secrets["api-keys_openai"] = key;
    application app;
    secrets::add_google(app.plugin, "models.get_api_key", with.options);
    std::string source;
    app.get_api_key.on_end([&](auto& call) { source = call.kwargs.value_or("source", "nowhere"); });
    CHECK(app.get_api_key("openai") == key);
    CHECK(source == "google secrets/api-keys_openai");
    CHECK(app.get_api_key("nobody") == "sk-from-the-environment");
    CHECK(app.errors.empty());
}

TEST_CASE("google: A key with line breaks, zeros and other bytes arrives as it was stored") {
    setting with;
    with.cloud.secrets["openai"] = std::string("\0\n\xff sk \xc3\xbc", 9);
    CHECK(with.read() == with.cloud.secrets["openai"]);
}

TEST_CASE("google: A field of a JSON secret is the key, and without a named field the secret is refused") {
    setting with;
    with.cloud.secrets["openai"] = R"({"user":"a,b","key":")" + key + "\"}\n";
    CHECK(with.failure().why == reason::missing_field);
    with.options.field = "key";
    CHECK(with.read() == key);
    with.options.field = "password";
    CHECK(with.failure().why == reason::missing_field);
}

TEST_CASE("google: Each failure has its reason, and no error text contains anything that Google sent") {
    fake::answer exhausted = google::error(429, "RESOURCE_EXHAUSTED"),
                 cut_off = google::payload(key, secrets::crc32c(key));
    exhausted.more_headers = "Retry-After: 7\r\n";
    cut_off.cut_off = 10;
    using row = std::tuple<fake::answer, reason, std::string>;
    const std::vector<row> table{
        {google::error(400, "FAILED_PRECONDITION", "In DISABLED state."), reason::disabled, "is disabled"},
        {google::error(400, "FAILED_PRECONDITION", "In DESTROYED state."), reason::deleted, "is destroyed"},
        {google::error(403, "PERMISSION_DENIED"), reason::permission_denied, "permission denied"},
        {google::error(401, "UNAUTHENTICATED"), reason::expired_token, "does not take the token"},
        {google::error(500, "INTERNAL"), reason::server_error, "status 500"},
        {google::error(400, "INVALID_ARGUMENT"), reason::rejected, "status 400"},
        {exhausted, reason::rate_limited, "too many requests"},
        {{404, "<html>" + key, "text/html"}, reason::malformed, "not one of Secret Manager"},
        {{307, key, "text/plain", "Location: http://evil.example/" + key + "\r\n"}, reason::redirected, "status 307"},
        {cut_off, reason::malformed, "cut off"},
        {google::payload(key, 1), reason::malformed, "checksum"},
        {google::payload("", 0), reason::missing_field, "the key is empty"},
        {{200, R"({"payload":{"data":")" + base64(key) + "\"}}"}, reason::malformed, "checksum"},
        {{200, R"({"payload":{"data":")" + key + R"(","dataCrc32c":"1"}})"}, reason::malformed, "no data"},
        {{200, R"({"payload":{"data":["c2s="],"dataCrc32c":"1"}})"}, reason::malformed, "no data"},
        {{200, key}, reason::malformed, "no data"},
    };
    for (const auto& [answer, why, text] : table) {
        CAPTURE(text);
        setting with;
        with.answer(answer);
        const helpers::failure failed = with.failure();
        CHECK(failed.why == why);
        CHECK_THAT(failed.text, ContainsSubstring("google: " + with.server.address() + ", secrets/openai: "));
        CHECK_THAT(failed.text, ContainsSubstring(text));
        CHECK(failed.retry_after == (answer.status == 429 ? std::optional(7s) : std::nullopt));
    }
    setting with;
    const fake::closed_port nobody;
    with.options.address = nobody.address();
    CHECK(with.failure().why == reason::unreachable);
}

TEST_CASE("google: A failure is thrown, unless Google is out of reach and the options say fall_through") {
    setting with;
    const auto add = [&](ext::plugin& plugin) {
        secrets::add_google(plugin, "models.get_api_key", with.options);
    };
    cloud::check_fall_through(with, add, google::error(500, "INTERNAL"), google::error(400, "FAILED_PRECONDITION"));
    with.use_key_file(R"({"type":"authorized_user"})");
    application app;
    if (secrets::has_rs256) CHECK(cloud::failure_with(app, add) == reason::misconfigured);
    CHECK(app.runs == 0);
}

TEST_CASE("google: A refused login reaches the caller, although the options say fall_through") {
    const int status = GENERATE(400, 401, 403, 404, 405, 422, 499, 408, 410, 429, 500);
    const bool is_refused = status < 500 && status != 408 && status != 410 && status != 429;
    const std::string where = GENERATE("/token", "/universe-domain", "/project-id", "key file");
    CAPTURE(status, where);
    setting with;
    with.options.on_failure = secrets::on_failure::fall_through;
    if (where == "key file") {
        if (!secrets::has_rs256 || !account_key::only().is_usable()) return;
        with.use_account();
    }
    if (where == "/universe-domain" && status == 404) return;  // an older server
    with.answer({status, key, "text/html", with.cloud.flavor}, where == "key file" ? "/token" : where);
    application app;
    secrets::add_google(app.plugin, "models.get_api_key", with.options);
    const helpers::failure failed = failure_of([&] { app.get_api_key("openai"); });
    CHECK(failed.why == (is_refused ? std::optional(reason::no_credential) : std::nullopt));
    CHECK(app.runs == (is_refused ? 0 : 1));
    CHECK(with.cloud.reads == 0);
}

// ---- Time and threads -----------------------------------------------------------------------------------------------

TEST_CASE("google: A token that expires early is renewed once") {
    setting with;
    with.options.project = "my-project";  // so a login has two requests
    cloud::check_renewal<secrets::google_store>(with, key, google::error(401, "UNAUTHENTICATED"));
}

TEST_CASE("google: One read has one time limit, with its login") {
    setting with;
    helpers::hand_clock time;
    with.options.http.clock = time.clock();
    with.options.project = GENERATE("", "my-project");
    with.cloud.instead = [&](const fake::request&) {
        time.pass(40s);
        return std::nullopt;
    };
#ifdef SECRETS_WITH_LIBCRYPTO
    if (GENERATE(false, true) && account_key::only().is_usable()) with.use_account();
#endif
    with.options.http.timeout = 40s;
    CHECK(with.failure().why == reason::timed_out);
    CHECK(with.cloud.logins == 1);
    CHECK(with.server.requests() == 1);
}

TEST_CASE("google: If many threads ask at once, Secret Manager and the metadata server are asked once") {
    constexpr std::size_t count = 500;
    setting with;
    secrets::cache cache;
    with.cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (asked.path.ends_with(":access"))
            helpers::eventually([&] { return cache.waiting() >= count - 1 || with.cloud.reads > 0; });
        return std::nullopt;
    };
    application app;
    cache.add_to(app.plugin);
    secrets::add_google(app.plugin, "models.get_api_key", with.options);
    const std::vector<std::string> got = helpers::in_threads(count, [&] { return app.get_api_key("openai"); });
    CHECK(got == std::vector<std::string>(count, key));
    CHECK(with.cloud.logins == 1);
    CHECK(with.cloud.reads == 1);
}

// ---- Options --------------------------------------------------------------------------------------------------------

TEST_CASE("google: The options come from the variables of Google's own clients") {
    const environment machine;
    const variable project("GOOGLE_CLOUD_PROJECT", nullptr);
    CHECK_FALSE(secrets::google_from_environment());
    {
        const variable set("GOOGLE_CLOUD_PROJECT", "p");
        CHECK(secrets::google_from_environment().value().project == "p");
        CHECK(secrets::google_from_environment().value().metadata == "http://metadata.google.internal");
        CHECK(secrets::google_from_environment().value().address == "https://secretmanager.googleapis.com");
        const variable other("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", "https://secretmanager.example/");
        CHECK(secrets::google_from_environment().value().address == "https://secretmanager.example/");
    }
    {
        const variable set("GOOGLE_APPLICATION_CREDENTIALS", "/key.json");
        const variable certificates("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "/ca.pem");
        CHECK(secrets::google_from_environment().value().key_file == "/key.json");
        CHECK(secrets::google_from_environment().value().http.ca_file == "/ca.pem");
        CHECK(secrets::google_from_environment().value().http.proxy_of_environment);
        CHECK(secrets::google_from_environment().value().on_failure == secrets::on_failure::fail);
    }
    {
        const variable alone("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", "https://other.example/");
        CHECK_FALSE(secrets::google_from_environment());
    }
    const variable set("GCE_METADATA_HOST", "127.0.0.1:80");
    CHECK(secrets::google_from_environment().value().metadata == "http://127.0.0.1:80");
}

TEST_CASE("google: An address that ends in a query or a fragment is refused") {
    setting with;
    const bool is_store = GENERATE(true, false);
    (is_store ? with.options.address : with.options.metadata) += GENERATE("?", "#", "/?");
    const helpers::failure failed = with.failure();
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == std::string("google: the ") +
                             (is_store ? "address (CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER)"
                                       : "metadata server (GCE_METADATA_HOST)") +
                             " has a user, a query or a fragment in it");
    CHECK(with.server.requests() == 0);
}

TEST_CASE("google: The metadata server is asked without a proxy") {
    setting with;
    const fake::closed_port nobody;
    with.options.http.proxy = nobody.address();
    CHECK(with.failure().why == reason::unreachable);
    CHECK(with.cloud.logins == 1);
    CHECK(with.cloud.reads == 0);
}

TEST_CASE("google: No token is sent to an address without TLS") {
    setting with;
    with.options.address = "http://secretmanager.example";
    CHECK(with.failure().why == reason::misconfigured);
    CHECK(with.cloud.reads == 0);
}

// ---- The program ----------------------------------------------------------------------------------------------------

#ifdef SECRETS_WITH_LIBCRYPTO
TEST_CASE("google: The program prints what the README shows") {
    if (!account_key::only().is_usable()) return;
    setting with;
    with.use_account();
    with.answer(google::error(403, "PERMISSION_DENIED"), "/payments/");
    const readme::example shown("google");
    const readme::texts replaced{{"key.json", with.options.key_file},
                                 {"https://secretmanager.googleapis.com", with.server.address()}};
    const readme::texts more{{"CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", with.server.address()}};
    CHECK(shown.printed(replaced, more) == shown.output());
}
#endif

// ---- Google's own client --------------------------------------------------------------------------------------------

#if defined(GOOGLE_PYTHON) && defined(SECRETS_WITH_LIBCRYPTO)
TEST_CASE("google: Google's own client accepts our signature, and reads from the same stand-in") {
    if (!account_key::only().is_usable()) return;
    setting with;
    with.use_account();
    CHECK(with.read() == key);
    const variable assertion("TEST_ASSERTION", with.cloud.last_assertion().c_str()),
        root("GCE_METADATA_ROOT", with.server.address().substr(7).c_str());  // the client of 2018 reads this variable
    const std::string output = helpers::searched(cloud::output_of(
        GOOGLE_PYTHON " -B '" SCRIPTS "/google_clients.py' " + with.server.address() + ' ' +
        with.options.key_file + ' ' + account_key::only().certificate()));
    INFO(output);
    CHECK_THAT(output, ContainsSubstring("our assertion: " + account + ' ' + with.server.address() +
                                         "/token 3600 key-1\n"));
    CHECK_THAT(output, ContainsSubstring("changed: ValueError\n"));
    CHECK_THAT(output, ContainsSubstring("key file: openai " + cloud::digest(key) + '\n'));
    CHECK_THAT(output, ContainsSubstring("metadata: openai " + cloud::digest(key) + '\n'));
    CHECK_THAT(output, ContainsSubstring("key file: nobody NOT_FOUND\n"));
    WARN(output.substr(0, output.find('\n')));  // the version
}
#endif
