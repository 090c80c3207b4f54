// OpenBao and Vault beyond a plain read: versions, logins, redirects, temporary errors, and the
// environment.
#include "catch.hpp"
#include "secrets/cache.hpp"
#include "secrets/helpers.hpp"
#include "secrets/kv2.hpp"
#include "secrets/server.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/trace.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using helpers::failure_of;
using helpers::variable;
using secrets::reason;

namespace {

const std::string key = helpers::secret("sk-key-of-the-engines-7714");
const std::string role_id = helpers::secret("59d6d1ca-47bb-role-of-the-test");
const std::string secret_id = helpers::secret("84896a0c-1347-secret-of-the-test");
const std::string service_account = helpers::secret("eyJ.service-account-of-the-test.x");
const std::string token_of_file = helpers::secret("hvs.token-in-a-file");
const std::string place = "/v1/secret/data/api-keys/openai";

// An engine with logins. Its tokens are numbered, and valid until they are revoked.
class engine {
public:
    engine() {
        server.always([this](const fake::request& asked) { return answer(asked); });
    }
    secrets::kv2_options options() const {
        secrets::kv2_options options;
        options.address = server.address();
        options.http.timeout = 60s;
        options.http.tries = 1;
        return options;
    }
    void allow(const std::string& token) {
        const std::lock_guard lock(mutex);
        good.push_back(token);
    }
    void revoke_all() {
        const std::lock_guard lock(mutex);
        good.clear();
    }
    int count(const std::string& path) const {
        const auto all = server.received();
        return static_cast<int>(std::count_if(all.begin(), all.end(), [&](const auto& asked) { return asked.path == path; }));
    }

    std::atomic<int> logins = 0;
    int lease = 3600;
    std::function<void()> first_login = [] {};
    fake::server server;

private:
    fake::answer answer(const fake::request& asked) {
        if (asked.method == "POST" && asked.path.starts_with("/v1/auth/")) return log_in(asked);
        {
            const std::lock_guard lock(mutex);
            if (std::find(good.begin(), good.end(), asked.header("x-vault-token").value_or("")) == good.end())
                return fake::errors(403, R"("permission denied")");
        }
        if (asked.path == place) return fake::found(key);
        if (asked.path == "/v1/secret/data/api-keys/deleted") return fake::deleted();
        if (asked.path == "/v1/old/api-keys/openai")
            return {200, R"({"lease_duration":2764800,"data":{"key":")" + key + R"("}})"};
        if (asked.path == "/v1/sys/internal/ui/mounts/secret") return fake::mount(R"({"version":"2"})");
        return asked.path.starts_with("/v1/secret/data/") ? fake::missing() : fake::errors(404, R"("no handler for route")");
    }
    fake::answer log_in(const fake::request& asked) {
        const int number = ++logins;
        first_login();
        const bool app_role = asked.path == "/v1/auth/approle/login" &&
                              asked.body.find('"' + role_id + '"') != std::string::npos &&
                              asked.body.find('"' + secret_id + '"') != std::string::npos;
        const bool kubernetes = asked.path == "/v1/auth/k8s/prod/login" && asked.body.find("\"reader\"") != std::string::npos &&
                                asked.body.find('"' + service_account + '"') != std::string::npos;
        if (!app_role && !kubernetes) return fake::errors(400, R"("invalid role or secret ID )" + secret_id + '"');
        const std::string token = helpers::secret("hvs.login-number-" + std::to_string(number) + ".of-the-test");
        allow(token);
        return fake::login(token, lease);
    }

    std::mutex mutex;
    std::vector<std::string> good;
};

secrets::kv2_options with_app_role(const engine& engine) {
    secrets::kv2_options options = engine.options();
    options.login = {.role_id = role_id, .secret_id = secret_id};
    return options;
}

// The failure of a read if the engine gives this answer to every request.
helpers::failure failure_with(const fake::answer& answer, int tries = 1, int* requests = nullptr) {
    fake::server server;
    server.always(answer);
    secrets::kv2_options options;
    options.address = server.address();
    options.http.tries = tries;
    helpers::hand_clock time;
    options.http.clock = time.clock();
    const auto failed = failure_of([&] { secrets::kv2_store(options).read("openai"); });
    if (requests) *requests = server.requests();
    return failed;
}

}  // namespace

// ---- Mounts ---------------------------------------------------------------------------------------------------------

TEST_CASE("An engine of the other KV version is reported, and the mount is asked for once") {
    const auto [configured, mounted] =
        GENERATE(table<int, std::string>({{2, "null"}, {2, R"({"version":"1"})"}, {1, R"({"version":"2"})"}}));
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", fake::mount(mounted));
    secrets::kv2_options options;
    options.address = server.address();
    options.version = configured;
    const secrets::kv2_store store(options);
    for (int i = 0; i < 3; ++i) {
        const auto failed = failure_of([&] { store.read("openai"); });
        CHECK(failed.why == reason::no_engine);
        CHECK_THAT(failed.text, ContainsSubstring("of KV version " + std::to_string(3 - configured) +
                                         ", and is read as one of version " + std::to_string(configured)));
    }
    CHECK(server.requests() == 4);
}

TEST_CASE("An engine of version 1 is read if the options say so") {
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", fake::mount("null"));
    server.put("secret/api-keys/openai", {200, R"({"lease_duration":2764800,"data":{"key":")" + key + R"("}})"});
    secrets::kv2_options options;
    options.address = server.address();
    options.version = 1;
    const secrets::kv2_store store(options);
    CHECK(store.read("openai") == key);
    CHECK_FALSE(store.read("mistral"));
}

TEST_CASE("A mount is not reported if it cannot be queried or has the right version") {
    const fake::answer answer = GENERATE(fake::errors(403, R"("preflight capability check returned 403")"), fake::missing(),
                                         fake::answer{200, "<html>"}, fake::mount(R"({"version":"2"})"));
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", answer);
    secrets::kv2_options options;
    options.address = server.address();
    CHECK_FALSE(secrets::kv2_store(options).read("openai"));
}

TEST_CASE("A mount that is not a KV engine and a missing namespace are reported") {
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", fake::mount("null", "pki"));
    secrets::kv2_options options;
    options.address = server.address();
    CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::no_engine);
    CHECK(failure_with(fake::errors(404, R"("namespace not found")")).why == reason::no_namespace);
}

// ---- Temporary errors -----------------------------------------------------------------------------------------------

TEST_CASE("An error that the engine calls temporary is retried") {
    const fake::answer answer = GENERATE(
        fake::errors(
            400, R"("Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period")"),
        fake::errors(412, R"("required index state not present")"));
    int requests = 0;
    CHECK(failure_with(answer, 3, &requests).why == reason::passing);
    CHECK(requests == 3);
}

TEST_CASE("Neither a sealed engine nor a wrong request is retried") {
    int requests = 0;
    CHECK(failure_with(fake::errors(503, R"("Vault is sealed")"), 3, &requests).why == reason::sealed);
    CHECK(requests == 1);
    CHECK(failure_with(fake::errors(400, R"("bad")"), 3, &requests).why == reason::rejected);
    CHECK(requests == 1);
}

TEST_CASE("Retry-After is in the error, and the cache does not ask the engine before") {
    const int number = GENERATE(429, 503);
    const auto choice = GENERATE(secrets::on_failure::fail, secrets::on_failure::fall_through);
    fake::server server;
    server.always({number, "", "text/plain", "Retry-After: 30\r\n"});
    secrets::kv2_options options;
    options.address = server.address();
    options.http.timeout = 5s;
    CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).retry_after == 30s);
    CHECK(server.requests() == 1);  // it does not fit in the time-out

    auto now = std::chrono::steady_clock::now();
    helpers::application app(std::make_shared<const secrets::kv2_store>(options), choice);
    secrets::cache_options cache;
    cache.now = [&] { return now; };
    secrets::cache(cache).add_to(app.plugin);
    const auto ask = [&] {
        std::string got;
        const auto failed = failure_of([&] { got = app.get_api_key("openai"); });
        CHECK(failed.why.has_value() == (choice == secrets::on_failure::fail));
        CHECK((failed.why || got == "sk-from-the-environment"));
    };
    ask();
    CHECK(server.requests() == 2);
    now += 29s;
    ask();
    CHECK(server.requests() == 2);
    now += 1s;
    server.always(fake::found(key));
    CHECK(app.get_api_key("openai") == key);
    CHECK(server.requests() == 3);
}

TEST_CASE("A standby's redirect is followed if the options allow it") {
    fake::server active("hvs.token"), standby;
    active.put("secret/data/api-keys/openai", fake::found(key));
    standby.always({307, "", "text/plain", "Location: " + active.address() + place + "\r\n"});
    secrets::kv2_options options;
    options.address = standby.address();
    options.login.token = "hvs.token";
    options.http.redirects = secrets::redirects::same_host;
    CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::redirected);
    CHECK(active.requests() == 0);
    options.http.redirects = secrets::redirects::any_host;
    CHECK(secrets::kv2_store(options).read("openai") == key);
}

// ---- Logins ---------------------------------------------------------------------------------------------------------

TEST_CASE("A login by AppRole supplies the token, which is kept, and renewed before it expires") {
    engine engine;
    helpers::hand_clock time;
    secrets::kv2_options options = with_app_role(engine);
    options.http.clock = time.clock();
    const secrets::kv2_store store(options);
    for (int i = 0; i < 3; ++i) CHECK(store.read("openai") == key);
    CHECK(engine.logins == 1);
    time.pass(3500s);
    CHECK(store.read("openai") == key);
    CHECK(engine.logins == 1);
    time.pass(60s);  // 40 s before the end
    CHECK(store.read("openai") == key);
    CHECK(engine.logins == 2);
}

TEST_CASE("A revoked token is replaced once") {
    engine engine;
    const secrets::kv2_store store(with_app_role(engine));
    CHECK(store.read("openai") == key);
    engine.revoke_all();
    CHECK(store.read("openai") == key);
    CHECK(engine.logins == 2);
}

TEST_CASE("A read that is still denied after a new login fails") {
    engine engine;
    const secrets::kv2_store store(with_app_role(engine));
    CHECK(store.read("openai") == key);
    engine.server.always([&](const fake::request& asked) {
        return asked.method == "POST" ? fake::login("hvs.other", 60) : fake::errors(403, R"("permission denied")");
    });
    const int before = engine.server.requests();
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::permission_denied);
    CHECK(engine.server.requests() == before + 3);
}

TEST_CASE("Secret ids, tokens of service accounts and tokens come from files, which are read again for each login") {
    engine engine;
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "token").string();
    secrets::kv2_options options = engine.options();
    SECTION("AppRole") {
        std::ofstream(file) << secret_id << '\n';
        options.login = {.role_id = role_id, .secret_id_file = file};
        CHECK(secrets::kv2_store(options).read("openai") == key);
    }
    SECTION("Kubernetes") {
        std::ofstream(file) << "eyJ.too-old";
        options.login = {.kubernetes_role = "reader", .kubernetes_token_file = file, .mount = "k8s/prod"};
        const secrets::kv2_store store(options);
        CHECK(failure_of([&] { store.read("openai"); }).why == reason::no_credential);
        std::ofstream(file) << service_account;
        CHECK(store.read("openai") == key);
    }
    SECTION("a token") {
        engine.allow(token_of_file);
        std::ofstream(file) << "hvs.old\r\n";
        options.login = {.token_file = file};
        const secrets::kv2_store store(options);
        CHECK(failure_of([&] { store.read("openai"); }).why == reason::permission_denied);
        std::ofstream(file) << token_of_file << "\r\n";
        CHECK(store.read("openai") == key);
    }
    SECTION("a file that is not there") {
        options.login = {.token_file = file};
        const auto failed = failure_of([&] { secrets::kv2_store(options).read("openai"); });
        CHECK(failed.why == reason::no_credential);
        CHECK_THAT(failed.text, ContainsSubstring(file));
        CHECK(engine.server.requests() == 0);
    }
}

TEST_CASE("A login that is refused, malformed or hanging is reported, and the error does not contain what was sent") {
    const auto [answer, why] = GENERATE(table<fake::answer, reason>({
        {fake::errors(400, R"("invalid secret id )" + secret_id + '"'), reason::no_credential},
        {fake::errors(403, '"' + secret_id + '"'), reason::no_credential},
        {fake::errors(503, R"("Vault is sealed")"), reason::server_error},
        {fake::errors(429, ""), reason::rate_limited},
        {{200, "{}"}, reason::malformed},
        {fake::login("", 60), reason::malformed},
        {fake::login(R"(hvs\r\nX-Other: 1)", 60), reason::malformed},
        {{404, "<html>"}, reason::rejected},
    }));
    fake::server server;
    server.always(answer);
    secrets::kv2_options options;
    options.address = server.address();
    options.http.tries = 1;
    options.login = {.role_id = role_id, .secret_id = secret_id};
    const auto failed = failure_of([&] { secrets::kv2_store(options).read("openai"); });
    CHECK(failed.why == why);
    CHECK_THAT(failed.text, ContainsSubstring("auth/approle/login"));

    fake::answer hangs;
    hangs.until_given_up = true;
    server.always(hangs);
    options.http.timeout = 50ms;
    CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::timed_out);
}

TEST_CASE("Two thousand threads that ask for one key log in once and read it once") {
    constexpr std::size_t count = 2000;
    engine engine;
    helpers::application app(std::make_shared<const secrets::kv2_store>(with_app_role(engine)));
    secrets::cache cache;
    cache.add_to(app.plugin);
    bool all_waited = false;
    engine.first_login = [&] { all_waited = helpers::eventually([&] { return cache.waiting() == count - 1; }); };
    const auto got = helpers::in_threads(count, [&] { return std::string(app.get_api_key("openai")); });
    CHECK(all_waited);
    CHECK(std::count(got.begin(), got.end(), key) == count);
    CHECK(engine.logins == 1);
    CHECK(engine.count(place) == 1);
}

TEST_CASE("Threads without a cache log in once, and each of them reads the key") {
    engine engine;
    const secrets::kv2_store store(with_app_role(engine));
    const auto got = helpers::in_threads(64, [&] { return store.read("openai").value_or("none"); });
    CHECK(std::count(got.begin(), got.end(), key) == 64);
    CHECK(engine.logins == 1);
    CHECK(engine.count(place) == 64);
}

// ---- The environment ------------------------------------------------------------------------------------------------

TEST_CASE("The options have everything that OpenBao's own programs take from the environment") {
    const fake::temporary_directory home;
    const variable at_home("HOME", home.path().c_str()), address("BAO_ADDR", "https://bao.example"),
        vault("VAULT_ADDR", nullptr), token("BAO_TOKEN", nullptr), vault_token("VAULT_TOKEN", nullptr);
    const auto read = [] { return secrets::kv2_from_environment().value(); };
    CHECK(read().login.token_file.empty());
    std::ofstream(home.path() / ".vault-token") << token_of_file;
    CHECK(read().login.token_file == (home.path() / ".vault-token").string());

    const variable path("VAULT_TOKEN_PATH", "/run/token"), certificate("BAO_CLIENT_CERT", "/client.pem"),
        the_key("BAO_CLIENT_KEY", "/key.pem"), name("VAULT_TLS_SERVER_NAME", "bao"), proxy("BAO_PROXY_ADDR", "http://proxy:1"),
        role("BAO_ROLE_ID", "role"), secret("BAO_SECRET_ID", "secret"), file("VAULT_SECRET_ID_FILE", "/run/id"),
        kubernetes("VAULT_K8S_ROLE", "reader"), mount("VAULT_AUTH_MOUNT", "k8s"), version("BAO_KV_VERSION", "1");
    const secrets::kv2_options options = read();
    CHECK(options.login.token_file == "/run/token");
    CHECK(options.http.client_certificate == "/client.pem");
    CHECK(options.http.client_key == "/key.pem");
    CHECK(options.http.tls_server_name == "bao");
    CHECK(options.http.proxy == "http://proxy:1");
    CHECK(options.login.role_id == "role");
    CHECK(options.login.secret_id == "secret");
    CHECK(options.login.secret_id_file == "/run/id");
    CHECK(options.login.kubernetes_role == "reader");
    CHECK(options.login.mount == "k8s");
    CHECK(options.version == 1);
}

TEST_CASE("A time-out from the environment is a number of seconds or a time with units") {
    const variable address("BAO_ADDR", "https://bao.example");
    const auto [text, time] = GENERATE(table<std::string, std::chrono::milliseconds>(
        {{"60", 60s}, {"60s", 60s}, {"1m30s", 90s}, {"250ms", 250ms}, {"1h", 1h}, {"", 5s}}));
    {
        const variable timeout("BAO_CLIENT_TIMEOUT", text.c_str());
        CHECK(secrets::kv2_from_environment().value().http.timeout == time);
    }
    for (const char* const odd : {"0", "-1", "soon", "5x", "5s3", "s", "99999999999"}) {
        const variable timeout("BAO_CLIENT_TIMEOUT", odd);
        CHECK(failure_of([] { secrets::kv2_from_environment(); }).why == reason::misconfigured);
    }
    const variable version("BAO_KV_VERSION", "3");
    CHECK(failure_of([] { secrets::kv2_from_environment(); }).why == reason::misconfigured);
}

TEST_CASE("An agent can be asked at a Unix socket") {
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "agent").string();
    fake::server server(fake::server_options{.unix_socket = file});
    server.put("secret/data/api-keys/openai", fake::found(key));
    const variable address("BAO_ADDR", ("unix://" + file).c_str()), home("HOME", directory.path().c_str());
    secrets::kv2_options options = secrets::kv2_from_environment().value();
    CHECK(secrets::kv2_store(options).read("openai") == key);
    options.address += ".missing";
    CHECK_THAT(failure_of([&] { secrets::kv2_store(options).read("openai"); }).text, ContainsSubstring("unix://" + file));
}

// ---- Traces ---------------------------------------------------------------------------------------------------------

TEST_CASE("A trace of the calls and the list of the hooks contain no key and no token") {
    engine engine;
    helpers::application app(std::make_shared<const secrets::kv2_store>(with_app_role(engine)));
    std::ostringstream told;
    {
        const ext::hooks::trace trace(app.registry, told);
        CHECK(app.get_api_key("openai") == key);
        engine.server.always(fake::errors(500, '"' + key + '"'));
        CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    }
    CHECK_THAT(helpers::searched(told.str()), ContainsSubstring("models.get_api_key"));
    CHECK_THAT(helpers::searched(ext::describe(app.registry)), ContainsSubstring("kv2"));
    CHECK(app.errors.size() == 1);
}

// ---- An independent client ------------------------------------------------------------------------------------------

#ifdef PYTHON_WITH_HVAC
TEST_CASE("The client hvac gets the same from the stand-in as the hook does, with the same requests") {
    engine engine;
    const fake::temporary_directory directory;
    const std::string out = (directory.path() / "out").string(), jwt = (directory.path() / "jwt").string();
    const std::string command = std::string("'" PYTHON_WITH_HVAC "' '" HVAC_SCRIPT "' ") + engine.server.address() + ' ' +
                                role_id + ' ' + secret_id + ' ' + service_account + " >'" + out + "' 2>&1";
    const int status = std::system(command.c_str());
    std::ifstream from(out);
    const std::string printed{std::istreambuf_iterator<char>(from), {}};
    INFO(printed);
    REQUIRE(status == 0);
    const std::vector<fake::request> by_hvac = engine.server.received();

    std::ofstream(jwt) << service_account;
    secrets::kv2_options app_role = with_app_role(engine), kubernetes = engine.options();
    app_role.name_space = kubernetes.name_space = "team";
    kubernetes.login = {.kubernetes_role = "reader", .kubernetes_token_file = jwt, .mount = "k8s/prod"};
    secrets::kv2_options nobody = engine.options(), nowhere = app_role, old = app_role, wrong = app_role;
    nowhere.mount = "nowhere";
    old.mount = "old";
    old.version = 1;
    wrong.login.secret_id = "wrong";
    const auto read = [](const secrets::kv2_options& options, std::string_view service) {
        return secrets::kv2_store(options).read(service);
    };
    CHECK(failure_of([&] { read(nobody, "openai"); }).why == reason::permission_denied);
    CHECK(read(app_role, "openai") == key);
    CHECK_FALSE(read(app_role, "nobody"));
    CHECK_FALSE(read(app_role, "deleted"));
    CHECK(failure_of([&] { read(nowhere, "openai"); }).why == reason::no_engine);
    CHECK(read(old, "openai") == key);
    CHECK(read(kubernetes, "openai") == key);
    CHECK(failure_of([&] { read(wrong, "openai"); }).why == reason::no_credential);
    CHECK(printed == "no token: Forbidden\nAppRole: " + key +
                         "\nmissing: InvalidPath\ndeleted: InvalidPath\nno mount: InvalidPath\n" + "version 1: " + key +
                         "\nKubernetes: " + key + "\nwrong AppRole: InvalidRequest\n");

    // The hook has also sent each of hvac's requests: the same method, path and namespace, and the
    // same login.
    const std::vector<fake::request> all = engine.server.received();
    for (const fake::request& theirs : by_hvac) {
        CAPTURE(theirs.method, theirs.path);
        CHECK(theirs.header("x-vault-request") == "true");
        CHECK(std::any_of(all.begin() + static_cast<std::ptrdiff_t>(by_hvac.size()), all.end(), [&](const fake::request& ours) {
            return ours.method == theirs.method && ours.path == theirs.path && ours.header("x-vault-request") == "true" &&
                   ours.header("x-vault-token").has_value() == theirs.header("x-vault-token").has_value() &&
                   (ours.header("x-vault-namespace") == "team" || !ours.header("x-vault-token"));
        }));
        CHECK(theirs.header("x-vault-namespace") == "team");
    }
}
#endif
