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
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
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

const std::string lookup = "/v1/auth/token/lookup-self";
const std::string mounts = "/v1/sys/internal/ui/mounts/secret";

// An engine's answer if a policy does not allow the request.
fake::answer denied() { return fake::errors(403, R"("1 error occurred:\n\t* permission denied\n\n")"); }

// An engine with logins. Its tokens are numbered, and valid until they are revoked. No policy allows
// api-keys/payments.
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
        const auto has_path = [&](const auto& asked) { return asked.path == path; };
        return static_cast<int>(std::count_if(all.begin(), all.end(), has_path));
    }

    std::atomic<int> logins = 0;
    int most_logins = 1000;  // "secret_id_num_uses"
    int lease = 3600;
    std::optional<fake::answer> lookup_answer;  // instead of that with the policy "default"
    std::function<void()> first_login = [] {}, pass = [] {};  // `pass` is called for each request
    fake::server server;

private:
    fake::answer answer(const fake::request& asked) {
        pass();
        if (asked.method == "POST" && asked.path.starts_with("/v1/auth/")) return log_in(asked);
        {
            const std::lock_guard lock(mutex);
            if (std::find(good.begin(), good.end(), asked.header("x-vault-token").value_or("")) == good.end())
                return fake::errors(403, R"("permission denied")");
        }
        if (asked.path == "/v1/secret/data/api-keys/payments") return denied();
        const fake::answer valid{200, R"({"data":{"ttl":3000}})"};
        if (asked.path == lookup) return lookup_answer.value_or(valid);
        if (asked.path == place) return fake::found(key);
        if (asked.path == "/v1/secret/data/api-keys/deleted") return fake::deleted();
        if (asked.path == "/v1/old/api-keys/openai")
            return {200, R"({"lease_duration":2764800,"data":{"key":")" + key + R"("}})"};
        if (asked.path == mounts) return fake::mount(R"({"version":"2"})");
        if (asked.path.starts_with("/v1/secret/data/")) return fake::missing();
        return fake::errors(404, R"("no handler for route")");
    }
    fake::answer log_in(const fake::request& asked) {
        const int number = ++logins;
        first_login();
        const bool app_role = asked.path == "/v1/auth/approle/login" &&
                              asked.body.find('"' + role_id + '"') != std::string::npos &&
                              asked.body.find('"' + secret_id + '"') != std::string::npos;
        const bool kubernetes = asked.path == "/v1/auth/k8s/prod/login" &&
                                asked.body.find("\"reader\"") != std::string::npos &&
                                asked.body.find('"' + service_account + '"') != std::string::npos;
        if ((!app_role && !kubernetes) || number > most_logins)
            return fake::errors(400, R"("invalid role or secret ID )" + secret_id + '"');
        const std::string token =
            helpers::secret("hvs.login-number-" + std::to_string(number) + ".of-the-test");
        allow(token);
        return fake::login(token, lease);
    }

    std::mutex mutex;
    std::vector<std::string> good;
};

// Unsets the variables of an address and an identity.
class clean_environment {
public:
    clean_environment() {
        for (const std::string prefix : {"BAO_", "VAULT_"})
            for (const std::string name : {"ADDR", "TOKEN", "TOKEN_PATH", "ROLE_ID", "SECRET_ID",
                                           "SECRET_ID_FILE", "K8S_ROLE", "AUTH_MOUNT"})
                unset_.emplace_back(prefix + name, nullptr);
    }

private:
    std::list<variable> unset_;
    variable home_{"HOME", "/nonexistent"};
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

// ---- Mounts -----------------------------------------------------------------------------------------------

TEST_CASE("An engine of the other KV version is reported, until the mount is upgraded or replaced") {
    const auto [configured, mounted] =
        GENERATE(table<int, std::string>({{2, "null"},
                                          {2, R"({"version":"1"})"},
                                          {1, R"({"version":"2"})"}}));
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
    server.put("sys/internal/ui/mounts/secret",
               fake::mount(R"({"version":")" + std::to_string(configured) + "\"}"));
    CHECK_FALSE(store.read("openai"));
    server.put("sys/internal/ui/mounts/secret", fake::mount(mounted));
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::no_engine);
}

TEST_CASE("An engine of version 1 is read if the options say so") {
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", fake::mount("null"));
    server.put("secret/api-keys/openai",
               {200, R"({"lease_duration":2764800,"data":{"key":")" + key + R"("}})"});
    secrets::kv2_options options;
    options.address = server.address();
    options.version = 1;
    const secrets::kv2_store store(options);
    CHECK(store.read("openai") == key);
    CHECK_FALSE(store.read("mistral"));
}

TEST_CASE("A mount is not reported if it cannot be queried or has the right version") {
    const fake::answer answer =
        GENERATE(fake::errors(403, R"("preflight capability check returned 403")"), fake::missing(),
                 fake::answer{200, "<html>"}, fake::mount(R"({"version":"2"})"));
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", answer);
    secrets::kv2_options options;
    options.address = server.address();
    CHECK_FALSE(secrets::kv2_store(options).read("openai"));
}

TEST_CASE("If the engine fails when it is asked for the mount, the read fails, too: there may be a key") {
    const auto [answer, why] = GENERATE(table<fake::answer, reason>({
        {fake::errors(503, R"("Vault is sealed")"), reason::sealed},
        {fake::errors(503, ""), reason::server_error},
        {fake::errors(500, ""), reason::server_error},
        {{501, ""}, reason::server_error},
        {{502, "<html>"}, reason::server_error},
        {fake::errors(429, ""), reason::rate_limited},
        {fake::errors(412, ""), reason::passing},
        {{408, ""}, reason::rejected},
    }));
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", answer);
    secrets::kv2_options options;
    options.address = server.address();
    options.http.tries = 1;
    const auto failed = failure_of([&] { secrets::kv2_store(options).read("openai"); });
    CHECK(failed.why == why);
    CHECK_THAT(failed.text, ContainsSubstring(server.address() + ", the mount: "));
}

TEST_CASE("A mount that is not a KV engine and a missing namespace are reported") {
    fake::server server;
    server.put("sys/internal/ui/mounts/secret", fake::mount("null", "pki"));
    secrets::kv2_options options;
    options.address = server.address();
    CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::no_engine);
    CHECK(failure_with(fake::errors(404, R"("namespace not found")")).why == reason::no_namespace);
}

// ---- Temporary errors -------------------------------------------------------------------------------------

TEST_CASE("An error that the engine calls temporary is retried") {
    const fake::answer answer =
        GENERATE(fake::errors(400, R"("Upgrading from non-versioned to versioned data. This backend )"
                                   R"(will be unavailable for a brief period")"),
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

// ---- Logins -----------------------------------------------------------------------------------------------

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
    CHECK(engine.count(lookup) == 1);
}

TEST_CASE("A secret that the policy does not allow costs neither the token nor a login") {
    engine engine;
    engine.most_logins = 1;
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "token").string();
    helpers::hand_clock time;
    secrets::kv2_options options = with_app_role(engine);
    if (GENERATE(false, true)) {  // the same for a token in a file
        engine.allow(token_of_file);
        std::ofstream(file) << token_of_file;
        options.login = {.token_file = file};
    }
    options.http.clock = time.clock();
    const secrets::kv2_store store(options);
    const auto refused = [&] {
        const auto failed = failure_of([&] { store.read("payments"); });
        CHECK(failed.why == reason::permission_denied);
        CHECK_THAT(failed.text, ContainsSubstring("secret/api-keys/payments: permission denied"));
    };
    refused();
    refused();
    CHECK(engine.count(lookup) == 1);  // the refusal is remembered
    time.pass(60s);
    refused();
    CHECK(engine.count(lookup) == 2);
    CHECK(engine.logins <= 1);
    CHECK(store.read("openai") == key);
}

TEST_CASE("A token that has expired is kept until there is a new one") {
    engine engine;
    engine.most_logins = 1;
    const secrets::kv2_store store(with_app_role(engine));
    CHECK(store.read("openai") == key);
    engine.revoke_all();
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::permission_denied);
    CHECK(engine.logins == 2);
    engine.allow("hvs.login-number-1.of-the-test");
    CHECK(store.read("openai") == key);
    CHECK(engine.logins == 2);
}

TEST_CASE("A read that is denied after a new login, too, fails, and leads to no login for a minute") {
    engine engine;
    engine.lookup_answer = denied();  // so a refusal looks like an expired token
    helpers::hand_clock time;
    secrets::kv2_options options = with_app_role(engine);
    options.http.clock = time.clock();
    const secrets::kv2_store store(options);
    const auto refused = [&] {
        return failure_of([&] { store.read("payments"); }).why == reason::permission_denied;
    };
    SECTION("the first token is refused") {
        CHECK(refused());
        CHECK(engine.logins == 1);
    }
    SECTION("the first token was good for another secret") {
        CHECK(store.read("openai") == key);
        CHECK(refused());
        CHECK(engine.logins == 2);
    }
    const int logins = engine.logins, before = engine.server.requests();
    for (int i = 0; i < 3; ++i) CHECK(refused());
    CHECK(engine.logins == logins);
    CHECK(engine.server.requests() == before + 3);
    CHECK(store.read("openai") == key);
    time.pass(60s);
    CHECK(refused());
    CHECK(engine.logins == logins + 1);
}

TEST_CASE("A forbidden secret costs at most one login a minute, whatever lookup-self answers") {
    const bool is_single_use = GENERATE(true, false);
    const auto [answer, why] = GENERATE(table<fake::answer, reason>({
        {fake::answer{200, "{}"}, reason::permission_denied},
        {fake::errors(401, ""), reason::permission_denied},
        {denied(), reason::permission_denied},
        {fake::errors(400, ""), reason::rejected},
        {fake::errors(404, ""), reason::rejected},
        {fake::errors(405, ""), reason::rejected},
        {fake::errors(412, ""), reason::passing},
        {fake::answer{302, "", "text/plain", "Location: http://127.0.0.1:1/\r\n"}, reason::redirected},
        {fake::errors(429, ""), reason::rate_limited},
        {fake::errors(500, ""), reason::server_error},
        {fake::errors(503, R"("Vault is sealed")"), reason::sealed},
    }));
    const bool may_have_expired = answer.status == 401 || answer.status == 403;
    CAPTURE(is_single_use, answer.status);
    engine engine;
    engine.lookup_answer = answer;
    if (is_single_use) engine.most_logins = 1;
    helpers::hand_clock time;
    secrets::kv2_options options = with_app_role(engine);
    options.http.clock = time.clock();
    const secrets::kv2_store store(options);
    CHECK(store.read("openai") == key);
    for (int logins = 1; logins <= 3; ++logins) {  // three minutes
        for (int i = 0; i < 10; ++i, time.pass(6s)) {
            const auto failed = failure_of([&] { store.read("payments"); });
            CHECK(failed.why == why);
            CHECK_THAT(failed.text, ContainsSubstring(why == reason::permission_denied
                                                          ? "secret/api-keys/payments: permission denied"
                                                          : "auth/token/lookup-self: "));
            CHECK(store.read("openai") == key);
        }
        CHECK(engine.logins == (may_have_expired ? 1 + logins : 1));
    }
}

TEST_CASE("A lookup-self that may help later is tried again, within the same read") {
    engine engine;
    engine.lookup_answer = fake::errors(GENERATE(412, 429, 500), "");
    helpers::hand_clock time;
    secrets::kv2_options options = with_app_role(engine);
    options.http.clock = time.clock();
    options.http.tries = 3;
    const secrets::kv2_store store(options);
    CHECK(store.read("openai") == key);
    CHECK(is_passing(failure_of([&] { store.read("payments"); }).why.value()));
    CHECK(engine.count(lookup) == 3);
}

TEST_CASE("A token that is given is not looked up") {
    engine engine;
    engine.allow("hvs.given");
    secrets::kv2_options options = engine.options();
    options.login.token = GENERATE(as<std::string>{}, "hvs.given", "hvs.expired", "");
    CHECK(failure_of([&] { secrets::kv2_store(options).read("payments"); }).why == reason::permission_denied);
    CHECK(engine.server.requests() == 1);
}

TEST_CASE("kv2: One read has one time limit, with its login and its questions for the token and the mount") {
    const std::string login = "/v1/auth/approle/login", folder = "/v1/secret/data/api-keys/";
    using row = std::tuple<std::string, bool, std::vector<std::string>>;
    const auto [service, is_expired, wanted] = GENERATE_COPY(values<row>({
        {"missing", false, {login, folder + "missing"}},    // the mount is not asked for
        {"payments", false, {login, folder + "payments"}},  // the token is not looked up
        {"openai", true, {place, lookup}},                  // there is no login
    }));
    helpers::hand_clock time;
    engine engine;
    secrets::kv2_options options = with_app_role(engine);
    options.http.clock = time.clock();
    const secrets::kv2_store store(options);
    if (is_expired) {
        CHECK(store.read("openai") == key);
        engine.revoke_all();
    }
    engine.pass = [&] { time.pass(31s); };  // each answer takes half of the time
    const std::size_t before = engine.server.received().size();
    const auto begin = time.clock().now();
    CHECK(failure_of([&store, &name = service] { store.read(name); }).why == reason::timed_out);
    CHECK(time.clock().now() - begin == 62s);
    std::vector<std::string> asked;
    for (const fake::request& request : engine.server.received()) asked.push_back(request.path);
    asked.erase(asked.begin(), asked.begin() + static_cast<std::ptrdiff_t>(before));
    CHECK(asked == wanted);
}

TEST_CASE("Slashes around the mount of a login do not matter") {
    engine engine;
    secrets::kv2_options options = with_app_role(engine);
    options.login.mount = GENERATE(as<std::string>{}, "approle", "approle/", "/approle", "//approle//");
    CHECK(secrets::kv2_store(options).read("openai") == key);
}

TEST_CASE("An id of a role or a secret is sent as it is, even if it is not UTF-8, and no error contains it") {
    const std::string odd = helpers::secret("geheim\xe4Q\"\\\n-of-the-test");
    const bool has_role_only = GENERATE(false, true);
    engine engine;
    secrets::kv2_options options = engine.options();
    options.login = {.role_id = odd, .secret_id = has_role_only ? "" : odd};
    const auto failed = failure_of([&] { secrets::kv2_store(options).read("openai"); });
    CHECK(failed.why == reason::no_credential);
    CHECK(failed.text == "kv2: " + engine.server.address() + ", auth/approle/login: the login is refused");
    const std::string sent = "\"geheim\xe4Q\\\"\\\\\\u000a-of-the-test\"";
    CHECK(engine.server.last().body ==
          "{\"role_id\":" + sent + (has_role_only ? "" : ",\"secret_id\":" + sent) + "}");
}

TEST_CASE("Secret ids, tokens of service accounts and tokens come from files, "
          "which are read again for each login") {
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
        engine.revoke_all();
        std::filesystem::remove(file);
        const auto failed = failure_of([&] { store.read("openai"); });
        CHECK(failed.why == reason::no_credential);
        CHECK_THAT(failed.text, ContainsSubstring("cannot be read from " + file));
    }
}

TEST_CASE("If the file of a login cannot be used, the error names it, and no other identity is used") {
    engine engine;
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "file").string();
    const std::string content =
        GENERATE(as<std::string>{}, "no file", "a folder", "", "\n", "hvs.one-line\nhvs.another");
    if (content == "a folder") std::filesystem::create_directory(file);
    else if (content != "no file") std::ofstream(file) << content;
    std::ofstream(directory.path() / ".vault-token") << token_of_file;
    engine.allow(token_of_file);
    const variable home("HOME", directory.path().c_str()), token("BAO_TOKEN", nullptr),
        address("BAO_ADDR", engine.server.address().c_str());
    secrets::kv2_options options;
    SECTION("TOKEN_PATH") {
        const variable path("BAO_TOKEN_PATH", file.c_str());
        options = secrets::kv2_from_environment().value();
    }
    SECTION("SECRET_ID_FILE") {
        const variable role("BAO_ROLE_ID", role_id.c_str()), path("BAO_SECRET_ID_FILE", file.c_str());
        options = secrets::kv2_from_environment().value();
    }
    SECTION("the token of the service account") {
        const variable role("BAO_K8S_ROLE", "reader");
        options = secrets::kv2_from_environment().value();
        options.login.kubernetes_token_file = file;
    }
    helpers::application app(std::make_shared<const secrets::kv2_store>(options),
                             secrets::on_failure::fall_through);
    const auto failed = failure_of([&] { app.get_api_key("openai"); });
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring("cannot be read from " + file));
    CHECK(engine.server.requests() == 0);
}

TEST_CASE("A part of a login without its role is an error that names it, and no other identity is used") {
    engine engine;
    const clean_environment clean;
    const variable address("BAO_ADDR", engine.server.address().c_str());
    const std::string prefix = GENERATE(as<std::string>{}, "BAO_", "VAULT_");
    const std::string name = GENERATE(as<std::string>{}, "SECRET_ID", "SECRET_ID_FILE", "AUTH_MOUNT");
    const variable token(prefix + "TOKEN", GENERATE(as<const char*>{}, nullptr, "hvs.another"));
    {
        const variable part(prefix + name, "84896a0c"), role(prefix + "ROLE_ID", ""),
            k8s("VAULT_K8S_ROLE", "");
        const auto failed = failure_of([] { secrets::kv2_from_environment(); });
        CHECK(failed.why == reason::misconfigured);
        CHECK(failed.text == "kv2: " + prefix + name + " is set without " + prefix + "ROLE_ID" +
                                 (name == "AUTH_MOUNT" ? " or " + prefix + "K8S_ROLE" : ""));
    }
    const variable no_token(prefix + "TOKEN", nullptr), role(prefix + "ROLE_ID", "role");
    CHECK_NOTHROW(secrets::kv2_store(secrets::kv2_from_environment().value()));  // it may need no secret id
    {
        const variable part(prefix + name, "84896a0c");
        CHECK(secrets::kv2_from_environment().value().login.role_id == "role");
    }
    const auto refuses = [&](const secrets::vault_login& login, const std::string& text) {
        secrets::kv2_options options = engine.options();
        options.login = login;
        const auto failed = failure_of([&] { secrets::kv2_store store(options); });
        CHECK(failed.why == reason::misconfigured);
        CHECK_THAT(failed.text, ContainsSubstring(text));
    };
    refuses({.secret_id = secret_id}, "a secret id is set without its role_id");
    refuses({.secret_id_file = "/run/id"}, "a secret id is set without its role_id");
    refuses({.secret_id = secret_id, .kubernetes_role = "reader"}, "a secret id is set without its role_id");
    refuses({.token_file = "/run/token", .mount = "kubernetes"}, "the mount of a login is set without");
    refuses({.role_id = role_id, .mount = "/"}, "'/' is not a mount of a login");
    refuses({.role_id = role_id, .mount = "a/../b"}, "'a/../b' is not a mount of a login");
    CHECK(engine.server.requests() == 0);
}

TEST_CASE("A login without an address is an error that names both, and a token alone is not") {
    const clean_environment clean;
    const variable address("BAO_ADDR", GENERATE(as<const char*>{}, nullptr, "")),
        token("BAO_TOKEN", GENERATE(as<const char*>{}, nullptr, "hvs.another")),
        file("VAULT_TOKEN_PATH", "/run/token"), mount("VAULT_AUTH_MOUNT", "k8s"), empty("BAO_ROLE_ID", "");
    CHECK_FALSE(secrets::kv2_from_environment());
    const std::string prefix = GENERATE(as<std::string>{}, "BAO_", "VAULT_");
    const std::string name =
        prefix + GENERATE(as<std::string>{}, "ROLE_ID", "SECRET_ID", "SECRET_ID_FILE", "K8S_ROLE");
    const variable part(name, "84896a0c");
    const auto failed = failure_of([] { secrets::kv2_from_environment(); });
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == "kv2: " + name + " is set without BAO_ADDR or VAULT_ADDR");
}

TEST_CASE("An identity comes from variables with one prefix, so that no other server's token is used") {
    engine engine;
    const clean_environment clean;
    const variable address("BAO_ADDR", engine.server.address().c_str());
    {
        const variable role("BAO_ROLE_ID", role_id.c_str()), secret("BAO_SECRET_ID", secret_id.c_str()),
            another("VAULT_TOKEN", token_of_file.c_str()), file("VAULT_TOKEN_PATH", "/run/token"),
            third("VAULT_K8S_ROLE", "reader"), mount("VAULT_AUTH_MOUNT", "k8s/prod");
        CHECK(secrets::kv2_store(secrets::kv2_from_environment().value()).read("openai") == key);
        for (const fake::request& asked : engine.server.received())
            CHECK(asked.header("x-vault-token") != token_of_file);
    }
    const std::string one =
        GENERATE(as<std::string>{}, "TOKEN", "TOKEN_PATH", "ROLE_ID", "K8S_ROLE", "SECRET_ID", "AUTH_MOUNT");
    const std::string other = GENERATE(as<std::string>{}, "TOKEN", "TOKEN_PATH", "ROLE_ID", "K8S_ROLE");
    const char* const value = GENERATE("of bao", "");  // set, but empty
    const variable of_bao("BAO_" + one, value), of_vault("VAULT_" + other, "of vault");
    std::optional<secrets::kv2_options> options;
    const auto failed = failure_of([&] { options = secrets::kv2_from_environment(); });
    const bool is_part = *value && (one == "SECRET_ID" || one == "AUTH_MOUNT");
    CHECK(failed.why == (is_part ? std::optional(reason::misconfigured) : std::nullopt));
    if (!options) return;
    const secrets::vault_login& login = options->login;
    CHECK(login.token == (one == "TOKEN" ? value : ""));
    CHECK(login.token_file == (one == "TOKEN_PATH" ? value : ""));
    CHECK(login.role_id == (one == "ROLE_ID" ? value : ""));
    CHECK(login.kubernetes_role == (one == "K8S_ROLE" ? value : ""));
}

TEST_CASE("Two identities in the environment are an error that names both") {
    const clean_environment clean;
    const variable address("BAO_ADDR", "https://bao.example");
    const std::string prefix = GENERATE(as<std::string>{}, "BAO_", "VAULT_");
    const auto [one, other] = GENERATE(table<std::string, std::string>(
        {{"TOKEN", "ROLE_ID"}, {"TOKEN", "K8S_ROLE"}, {"ROLE_ID", "K8S_ROLE"}}));
    const variable first(prefix + one, "one"), second(prefix + other, "another");
    const auto failed = failure_of([] { secrets::kv2_from_environment(); });
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == "kv2: " + prefix + one + " and " + prefix + other +
                             " are two identities: set only one of them");
}

TEST_CASE("A login that is refused, malformed or hanging is reported, "
          "and the error does not contain what was sent") {
    const auto [answer, why] = GENERATE(table<fake::answer, reason>({
        {fake::errors(400, R"("invalid secret id )" + secret_id + '"'), reason::no_credential},
        {fake::errors(403, '"' + secret_id + '"'), reason::no_credential},
        {{401, ""}, reason::no_credential},
        {{405, ""}, reason::no_credential},
        {{409, ""}, reason::no_credential},
        {{410, ""}, reason::no_credential},
        {{422, ""}, reason::no_credential},
        {{451, ""}, reason::no_credential},
        {{408, ""}, reason::rejected},
        {fake::errors(412, ""), reason::passing},
        {fake::errors(500, ""), reason::server_error},
        {fake::errors(503, R"("Vault is sealed")"), reason::sealed},
        {fake::errors(429, ""), reason::rate_limited},
        {{200, "{}"}, reason::malformed},
        {fake::login("", 60), reason::malformed},
        {fake::login(R"(hvs\r\nX-Other: 1)", 60), reason::malformed},
        {{404, "<html>"}, reason::no_credential},  // the mount is wrong
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
    helpers::application app(std::make_shared<const secrets::kv2_store>(options),
                             secrets::on_failure::fall_through);
    const bool is_refused = why == reason::no_credential;  // then no key from elsewhere is used
    CHECK(failure_of([&] { app.get_api_key("openai"); }).why.has_value() == is_refused);

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
    engine.first_login = [&] {
        all_waited = helpers::eventually([&] { return cache.waiting() == count - 1; });
    };
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

TEST_CASE("Threads whose token has expired log in once, and each of them reads the key") {
    engine engine;
    const secrets::kv2_store store(with_app_role(engine));
    CHECK(store.read("openai") == key);
    engine.revoke_all();
    const auto got = helpers::in_threads(64, [&] { return store.read("openai").value_or("none"); });
    CHECK(std::count(got.begin(), got.end(), key) == 64);
    CHECK(engine.logins == 2);
}

// ---- The environment --------------------------------------------------------------------------------------

TEST_CASE("The options have everything that OpenBao's own programs take from the environment") {
    const fake::temporary_directory home;
    const clean_environment clean;
    const variable at_home("HOME", home.path().c_str()), address("BAO_ADDR", "https://bao.example");
    const auto read = [] { return secrets::kv2_from_environment().value(); };
    CHECK(read().login.token_file.empty());
    std::ofstream(home.path() / ".vault-token") << token_of_file;
    CHECK(read().login.token_file == (home.path() / ".vault-token").string());

    const variable path("BAO_TOKEN_PATH", "/run/token"), certificate("BAO_CLIENT_CERT", "/client.pem"),
        the_key("BAO_CLIENT_KEY", "/key.pem"), name("VAULT_TLS_SERVER_NAME", "bao"),
        proxy("BAO_PROXY_ADDR", "http://proxy:1"), role("BAO_ROLE_ID", "role"),
        secret("BAO_SECRET_ID", "secret"), file("BAO_SECRET_ID_FILE", "/run/id"),
        mount("BAO_AUTH_MOUNT", "k8s"), version("BAO_KV_VERSION", "1");
    secrets::kv2_options options = read();
    CHECK(options.login.token_file == "/run/token");
    CHECK(options.http.client_certificate == "/client.pem");
    CHECK(options.http.client_key == "/key.pem");
    CHECK(options.http.tls_server_name == "bao");
    CHECK(options.http.proxy == "http://proxy:1");
    CHECK(options.login.role_id == "role");
    CHECK(options.login.secret_id == "secret");
    CHECK(options.login.secret_id_file == "/run/id");
    CHECK(options.login.mount == "k8s");
    CHECK(options.version == 1);
    const variable no_role("BAO_ROLE_ID", ""), no_secret("BAO_SECRET_ID", ""),
        no_file("BAO_SECRET_ID_FILE", ""), kubernetes("BAO_K8S_ROLE", "reader");
    CHECK(read().login.kubernetes_role == "reader");
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
        const auto failed = failure_of([] { secrets::kv2_from_environment(); });
        CHECK(failed.why == reason::misconfigured);
        CHECK_THAT(failed.text, ContainsSubstring("BAO_CLIENT_TIMEOUT"));
    }
    const variable version("VAULT_KV_VERSION", "3");
    const auto failed = failure_of([] { secrets::kv2_from_environment(); });
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring("VAULT_KV_VERSION is neither 1 nor 2"));
}

TEST_CASE("HTTPS_PROXY is used for an https address of another machine, if PROXY_ADDR is not set") {
    fake::server proxy, other, local(fake::server_options{});
    proxy.always(fake::errors(403, ""));
    other.always(fake::errors(403, ""));
    local.put("secret/data/api-keys/openai", fake::found(key));
    const variable https("HTTPS_PROXY", proxy.address().c_str()), small("https_proxy", nullptr),
        http("http_proxy", proxy.address().c_str()), all("ALL_PROXY", proxy.address().c_str()),
        none("no_proxy", nullptr), NONE("NO_PROXY", nullptr), home("HOME", "/nonexistent");
    const auto read = [] {
        secrets::kv2_options options = secrets::kv2_from_environment().value();
        options.http.tries = 1;
        return secrets::kv2_store(options).read("openai");
    };
    const variable address("BAO_ADDR", "https://bao.example:8200");
    CHECK(failure_of([&] { read(); }).why == reason::unreachable);
    CHECK(proxy.last().method == "CONNECT");
    CHECK(proxy.last().path == "bao.example:8200");
    {
        const variable own("VAULT_PROXY_ADDR", other.address().c_str());
        CHECK(failure_of([&] { read(); }).why == reason::unreachable);
        CHECK(other.last().method == "CONNECT");
    }
    CHECK(proxy.requests() == 1);
    const variable here("BAO_ADDR", local.address().c_str());
    CHECK(read() == key);
    CHECK(proxy.requests() == 1);
}

TEST_CASE("An agent can be asked at a Unix socket") {
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "agent").string();
    fake::server server(fake::server_options{.unix_socket = file});
    server.put("secret/data/api-keys/openai", fake::found(key));
    const fake::closed_port nobody;
    const variable address("BAO_ADDR", ("unix://" + file).c_str()), home("HOME", directory.path().c_str()),
        proxy("ALL_PROXY", nobody.address().c_str()), http("http_proxy", nobody.address().c_str());
    secrets::kv2_options options = secrets::kv2_from_environment().value();
    CHECK(secrets::kv2_store(options).read("openai") == key);
    options.address += ".missing";
    CHECK_THAT(failure_of([&] { secrets::kv2_store(options).read("openai"); }).text,
               ContainsSubstring("unix://" + file));
}

// ---- Traces -----------------------------------------------------------------------------------------------

TEST_CASE("A trace of the calls and the list of the hooks contain no key and no token") {
    engine engine;
    helpers::application app(std::make_shared<const secrets::kv2_store>(with_app_role(engine)),
                             secrets::on_failure::fall_through);
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

// ---- An independent client --------------------------------------------------------------------------------

#ifdef PYTHON_WITH_HVAC
TEST_CASE("The client hvac gets the same from the stand-in as the hook does, with the same requests") {
    engine engine;
    const fake::temporary_directory directory;
    const std::string out = (directory.path() / "out").string(), jwt = (directory.path() / "jwt").string();
    const std::string command = std::string("'" PYTHON_WITH_HVAC "' '" HVAC_SCRIPT "' ") +
                                engine.server.address() + ' ' + role_id + ' ' + secret_id + ' ' +
                                service_account + " >'" + out + "' 2>&1";
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
                         "\nmissing: InvalidPath\ndeleted: InvalidPath\nno mount: InvalidPath\n" +
                         "version 1: " + key +
                         "\nKubernetes: " + key + "\nwrong AppRole: InvalidRequest\n");

    // The hook has also sent each of hvac's requests: the same method, path and namespace, and the
    // same login.
    const std::vector<fake::request> all = engine.server.received();
    for (const fake::request& theirs : by_hvac) {
        CAPTURE(theirs.method, theirs.path);
        CHECK(theirs.header("x-vault-request") == "true");
        const auto is_same = [&](const fake::request& ours) {
            return ours.method == theirs.method && ours.path == theirs.path &&
                   ours.header("x-vault-request") == "true" &&
                   ours.header("x-vault-token").has_value() == theirs.header("x-vault-token").has_value() &&
                   (ours.header("x-vault-namespace") == "team" || !ours.header("x-vault-token"));
        };
        CHECK(std::any_of(all.begin() + static_cast<std::ptrdiff_t>(by_hvac.size()), all.end(), is_same));
        CHECK(theirs.header("x-vault-namespace") == "team");
    }
}
#endif
