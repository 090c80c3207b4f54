// Prints API keys from secrets stores, a .env file or the environment, with a cache. Hooks do this
// for a function that reads only the environment. From the project's root (to ask an engine, set
// BAO_ADDR and BAO_TOKEN, too):
//
//     c++ -std=c++20 -pthread -Iinclude examples/secrets/get_key.cpp -lcurl -o get_key &&
//     OPENAI_API_KEY=sk-demo ./get_key --explain openai

#include "aws.hpp"
#include "azure.hpp"
#include "barbican.hpp"
#include "cache.hpp"
#include "dotenv.hpp"
#include "get_api_key.hpp"
#include "google.hpp"
#include "in_turn.hpp"
#include "kv2.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using api_key_call = decltype(get_api_key)::call_type;

struct options {
    std::vector<std::string_view> services;
    std::vector<std::string_view> from{"vault", "aws", "azure", "google", "barbican", "env-file"};
    bool from_all = true;  // all of these that are configured, in this order
    std::filesystem::path env_file = ".env";
    std::chrono::seconds ttl = std::chrono::minutes(5);
    secrets::on_failure on_failure = secrets::on_failure::fail;
    bool explain = false;
    bool reveal = false;
};

// ---- The hooks ----------------------------------------------------------------------------------

// Registers a store's hook. Returns false if the environment does not configure the store.
bool add_source(ext::plugin& plugin, const options& chosen, std::string_view source) {
    const auto add = [&](auto configured, auto add_hook, std::string id) {
        if (!configured) return false;
        configured->on_failure = chosen.on_failure;
        add_hook(plugin, get_api_key.name(), std::move(*configured), {.id = std::move(id)});
        return true;
    };
    if (source == "vault") return add(secrets::kv2_from_environment(), secrets::add_kv2, "kv2");
    // The role of the instance is used only if --from names AWS: outside of EC2, the call would
    // wait for a time-out.
    const auto role = chosen.from_all ? secrets::instance_role::not_asked : secrets::instance_role::asked;
    if (source == "aws") return add(secrets::aws_from_environment(role), secrets::add_aws, "aws");
    if (source == "azure") return add(secrets::azure_from_environment(), secrets::add_azure, "azure");
    if (source == "google") return add(secrets::google_from_environment(), secrets::add_google, "google");
    if (source == "barbican")
        return add(secrets::barbican_from_environment(), secrets::add_barbican, "barbican");
    if (source != "env-file")
        throw std::invalid_argument("--from: there is no '" + std::string(source) + "'");
    secrets::add_dotenv(plugin, get_api_key.name(), chosen.env_file);
    return true;
}

// The variables without which a store is not configured.
std::string needed_by(std::string_view source) {
    if (source == "vault") return "BAO_ADDR or VAULT_ADDR";
    if (source == "aws") return "AWS_REGION, and a credential";
    if (source == "azure") return "AZURE_KEYVAULT_URL";
    if (source == "google") return "GOOGLE_CLOUD_PROJECT or GOOGLE_APPLICATION_CREDENTIALS";
    return "OS_AUTH_URL";
}

void register_hooks(ext::plugin& plugin, const options& chosen) {
    for (const std::string_view source : chosen.from)
        if (!add_source(plugin, chosen, source) && !chosen.from_all)
            throw std::invalid_argument("--from " + std::string(source) + ": set " + needed_by(source));

    secrets::cache_options cache;
    cache.ttl = chosen.ttl;
    secrets::cache(cache).add_to(plugin, get_api_key.name());
    secrets::use_keys_in_turn(plugin, get_api_key.name());
}

// A line break in a name must not forge a second line.
std::string one_line(std::string text) {
    std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
    return text;
}

// Prints which hooks were asked: "openai: not from cache, not from kv2 (permission denied), from
// dotenv (dotenv .env)". It does not read the key itself.
void explain(api_key_call& call) {
    auto& [service] = call.args;
    std::string line = std::string(*service) + ": " + call.kwargs.value_or("way", "");
    const std::string said = call.kwargs.value_or(secrets::note::said, "");  // what ended the call
    if (!said.empty())
        line += "not from " + call.kwargs.value_or(secrets::note::store, "") + " (" + said + "), ";
    if (call.exception) line += "failed";
    else if (call.original_ran) line += "from nowhere";  // the hook "environment" has looked there before
    else if (const auto* source = call.kwargs.get<std::string>("source")) line += " (" + *source + ')';
    std::cout << one_line(line) << '\n';
}

// Registers a hook after each start hook, which notes what that hook did. Registers explain() as
// the last hook.
void register_witnesses(ext::plugin& plugin) {
    std::vector<std::string> ids;
    for (const ext::function_info& function : ext::default_registry().functions())
        for (const ext::hook_info& hook : function.hooks)
            if (function.name == get_api_key.name() && hook.phase == ext::phase::start)
                ids.push_back(hook.id);

    for (auto id = ids.begin(); id != ids.end(); ++id) {
        const auto witness = [id = *id](api_key_call& call) {
            if (call.kwargs.contains("supplied")) return;  // the later hooks do not change the result
            const std::string way = call.kwargs.value_or("way", "");
            const std::string said = call.kwargs.value_or(secrets::note::said, "");
            call.kwargs.set(secrets::note::said, "");
            const std::string why = said.empty() ? "" : " (" + said + ')';
            if (!call.result) return call.kwargs.set("way", way + "not from " + id + why + ", ");
            call.kwargs.set("way", way + (call.result->empty() ? "from nowhere, says " : "from ") + id);
            call.kwargs.set("supplied", true);
        };
        plugin.on_start(get_api_key, witness,
                        {.id = "after " + *id, .before = ext::hook_ids(id + 1, ids.end()), .after = *id});
    }
    plugin.on_end(get_api_key, explain, {.id = "explain"});
}

// ---- The command line ---------------------------------------------------------------------------

constexpr std::string_view help = R"(usage: get_key [OPTION...] SERVICE...

Prints the API key of each service, from the first of these sources that has it:
  vault     a KV engine of OpenBao or Vault, if BAO_ADDR or VAULT_ADDR is set: field "key" of
            secret/api-keys/SERVICE
  aws       AWS Secrets Manager, if a region and a credential are set: the secret api-keys/SERVICE
  azure     Azure Key Vault, if AZURE_KEYVAULT_URL is set: the secret SERVICE
  google    Google Secret Manager, if GOOGLE_CLOUD_PROJECT or a key file names a project: the secret SERVICE
  barbican  OpenStack, if OS_AUTH_URL is set: the secret api-keys/SERVICE
  env-file  the .env file: the first of the variables API_KEY_SERVICE, SERVICE_API_KEY and
            SERVICE_API_TOKEN with a key
The last source is the environment, with the same variables. From any source, several keys with commas
between them are used in turn.

  --from SOURCES   ask only these, in this order: --from aws,env-file; each has to be configured
  --explain        print which hooks are in place, and which of them supplied each key, but no key
  --env-file FILE  read this file instead of .env; it has to exist
  --ttl SECONDS    cache keys for this time instead of 300 seconds
  --fall-through   if a store cannot be reached, ask the next one, instead of failing (--fail, the default)
  --reveal         print whole keys, instead of at most three characters of each
  --help           print this text

The variables that configure the stores, which also use HTTPS_PROXY and NO_PROXY:
  vault     BAO_... or else VAULT_...: ADDR, NAMESPACE, KV_VERSION, TOKEN or TOKEN_PATH, ROLE_ID, SECRET_ID or
            SECRET_ID_FILE, K8S_ROLE, AUTH_MOUNT, CACERT or CAPATH, CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME,
            CLIENT_TIMEOUT, PROXY_ADDR
  aws       AWS_REGION or AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL,
            AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_SECURITY_TOKEN, AWS_PROFILE,
            AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or
            AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN or
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, AWS_EC2_METADATA_SERVICE_ENDPOINT,
            AWS_EC2_METADATA_DISABLED, AWS_CA_BUNDLE
  azure     AZURE_KEYVAULT_URL, AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET or
            AZURE_FEDERATED_TOKEN_FILE, AZURE_AUTHORITY_HOST, IDENTITY_ENDPOINT, IDENTITY_HEADER,
            AZURE_POD_IDENTITY_AUTHORITY_HOST, REQUESTS_CA_BUNDLE
  google    GOOGLE_CLOUD_PROJECT, GOOGLE_APPLICATION_CREDENTIALS, GCE_METADATA_HOST,
            CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER, CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE
  barbican  OS_AUTH_URL, OS_APPLICATION_CREDENTIAL_ID, OS_APPLICATION_CREDENTIAL_SECRET, OS_USERNAME or
            OS_USER_ID, OS_PASSWORD, OS_USER_DOMAIN_NAME or OS_USER_DOMAIN_ID, OS_PROJECT_NAME or
            OS_PROJECT_ID, OS_PROJECT_DOMAIN_NAME or OS_PROJECT_DOMAIN_ID, OS_REGION_NAME, OS_INTERFACE,
            OS_CACERT, OS_CERT, OS_KEY

Exit status: 0 if each service has a key, 1 if one has none, 2 if the command line or the configuration is
wrong.
)";

std::chrono::seconds seconds_from(std::string_view text) {
    int seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || end != text.data() + text.size() || seconds < 0)
        throw std::invalid_argument("--ttl needs a number of seconds, not '" + std::string(text) + "'");
    return std::chrono::seconds(seconds);
}

std::vector<std::string_view> split(std::string_view list) {
    std::vector<std::string_view> entries;
    for (std::size_t comma; (comma = list.find(',')) != std::string_view::npos; list.remove_prefix(comma + 1))
        entries.push_back(list.substr(0, comma));
    entries.push_back(list);
    return entries;
}

options parse(const std::vector<std::string_view>& arguments) {
    options chosen;
    for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
        const auto value = [&, option = *argument](const char* what) {
            if (++argument == arguments.end())
                throw std::invalid_argument(std::string(option) + " needs " + what);
            return *argument;
        };
        if (*argument == "--explain") chosen.explain = true;
        else if (*argument == "--reveal") chosen.reveal = true;
        else if (*argument == "--fail") chosen.on_failure = secrets::on_failure::fail;
        else if (*argument == "--fall-through") chosen.on_failure = secrets::on_failure::fall_through;
        else if (*argument == "--from") {
            chosen.from = split(value("stores with commas between them"));
            chosen.from_all = false;
        } else if (*argument == "--ttl") chosen.ttl = seconds_from(value("a number of seconds"));
        else if (*argument == "--env-file") {
            chosen.env_file = value("a file");
            if (!std::filesystem::exists(chosen.env_file) || std::filesystem::is_directory(chosen.env_file))
                throw std::invalid_argument("--env-file: not a file: " + chosen.env_file.string());
        } else if (argument->starts_with('-')) {
            throw std::invalid_argument("unknown option: " + std::string(*argument));
        } else chosen.services.push_back(*argument);
    }
    if (chosen.services.empty()) throw std::invalid_argument("no service given");
    if (chosen.explain && chosen.reveal)
        throw std::invalid_argument("--explain prints no key that --reveal could show");
    return chosen;
}

std::string masked(const std::string& key) {
    return key.size() < 8 ? "***" : key.substr(0, 3) + "***";  // of a short key, three reveal too much
}

// Prints each service's key. Returns the program's exit status: 0 if each service has a key.
int show_keys(const options& chosen) {
    int status = 0;
    for (const std::string_view service : chosen.services) {
        try {
            const std::string key = get_api_key(service);  // the call that an application makes
            if (key.empty()) throw std::runtime_error("no key found");
            const std::string shown = chosen.reveal ? key : masked(key);
            if (!chosen.explain) std::cout << one_line(std::string(service)) << ": " << shown << '\n';
        } catch (const std::exception& error) {
            std::cerr << one_line("get_key: " + std::string(service) + ": " + error.what()) << '\n';
            status = 1;
        }
    }
    return status;
}

int main(int argc, char** argv) {
#ifdef SIGPIPE  // Windows does not have it
    std::signal(SIGPIPE, SIG_IGN);  // a TLS connection that the server closes may raise it
#endif
    std::cout << std::unitbuf;  // keeps the order of lines if std::cerr goes to the same file
    const std::vector<std::string_view> arguments(argv + 1, argv + argc);
    if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
        std::cout << help;
        return 0;
    }

    options chosen;
    ext::plugin plugin{"secrets"};
    try {
        chosen = parse(arguments);
        register_hooks(plugin, chosen);
    } catch (const std::exception& error) {
        std::cerr << one_line(std::string("get_key: ") + error.what()) << " (try --help)\n";
        return 2;
    }
    if (chosen.explain) {
        std::cout << ext::describe(ext::default_registry()) << '\n';  // without the witnesses
        register_witnesses(plugin);
    }
    ext::default_registry().seal();  // no later code can add a hook that reads the keys

    return show_keys(chosen);
}
