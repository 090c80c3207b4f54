// A function that reads API keys from the environment. Hooks take keys from files instead, rewrite
// its argument, and write an audit log. The function and its callers do not change. From the
// project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/get_api_key.cpp -o get_api_key &&
//     OPENAI_API_KEY=sk-demo ./get_api_key openai

#include "secrets/names.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <cctype>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// ---- The application ------------------------------------------------------------------------------------------------

// Returns the service's key from the environment, or an empty text. If the variable holds several
// keys with commas between them, each call returns the next one. The first and the last line make
// this function extensible: hooks that are registered anywhere in the program apply to it.
inline ext::extensible get_api_key{"models.get_api_key", [](std::string_view service) -> std::string {
    // API_KEY_OPENAI, OPENAI_API_KEY or OPENAI_API_TOKEN
    const auto found = secrets::find_keys_in_environment(service);
    return found ? secrets::next_key(service, found->list) : "";
}};

// ---- The hooks, which the application does not know -----------------------------------------------------------------

using api_key_call = decltype(get_api_key)::call_type;

// A start hook that rewrites the argument: users name a model, but the key belongs to its service.
void resolve_alias(api_key_call& call) {
    auto& [service] = call.args;
    if (*service == "claude") service = "anthropic";
    if (*service == "gpt") service = "openai";
}

// The names of the files that may hold the key: the variables' names, in upper and lower case, and
// the service's name.
std::vector<std::string> file_names(std::string_view service) {
    std::vector<std::string> names;
    for (std::string name : secrets::variable_names(service)) {
        names.push_back(name);
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        names.push_back(name);
    }
    names.emplace_back(service);
    return names;
}

// Returns the file's text without one newline at its end, or an empty text if the file does not
// exist. A file that cannot be read is an error: otherwise another key would be used without
// notice.
std::string read_secret(const std::filesystem::path& path) {
    if (!std::filesystem::is_regular_file(path)) return "";
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    std::string secret(std::istreambuf_iterator<char>(file), {});
    if (secret.ends_with('\n')) secret.pop_back();
    return secret;
}

// A start hook that reads the key from a directory with one file per secret, as Docker, Kubernetes
// and systemd provide it. If it supplies a key, the function is not called. Otherwise the function
// runs as usual.
auto secrets_from(std::filesystem::path directory) {
    return [directory = std::move(directory)](api_key_call& call) {
        auto& [service] = call.args;
        // The name becomes part of a path, which must not leave the directory. (":" may follow a
        // drive letter.)
        if (service->starts_with('.') || service->find_first_of("/\\:") != std::string_view::npos) return;

        for (const std::string& name : file_names(*service)) {
            const std::filesystem::path file = directory / name;
            const std::string secret = read_secret(file);
            if (secret.empty()) continue;
            call.result = secret;
            call.kwargs.set("source", file.string());  // a note for the hooks that run later
            return;
        }
    };
}

// Describes how the call ended, without the key.
std::string outcome(const api_key_call& call) {
    try {
        if (call.exception) std::rethrow_exception(call.exception);
    } catch (const std::exception& error) {
        return std::string("failed: ") + error.what();
    } catch (...) {
        return "failed";
    }
    if (!call.result || call.result->empty()) return "no key";
    return "key from " + call.kwargs.value_or("source", call.original_ran ? "the environment" : "a hook");
}

// An end hook that writes one line for each call, whether the call returned or threw.
void audit(api_key_call& call) {
    auto& [service] = call.args;  // as the start hooks have rewritten it
    std::string line = "audit: " + std::string(*service) + ": " + outcome(call);
    // A line break in a name must not forge a second line.
    std::replace_if(line.begin(), line.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
    std::cerr << line + '\n';
}

// Registers the hooks. They are removed when the returned vector is destroyed.
std::vector<ext::scoped_hook> register_hooks(const std::optional<std::filesystem::path>& secrets) {
    std::vector<ext::scoped_hook> hooks;
    if (secrets) hooks.push_back(get_api_key.on_start(secrets_from(*secrets), {.id = "secrets"}));

    // Runs first although it is registered second: files have the names of services, not of models.
    hooks.push_back(get_api_key.on_start(resolve_alias, {.id = "alias", .before = "secrets"}));

    // By name, as in a plugin that knows nothing else of the application. The priority makes it the
    // last end hook.
    hooks.push_back(ext::on_end("models.get_api_key", audit, {.id = "audit", .priority = 100}));
    return hooks;
}

// ---- The command line -----------------------------------------------------------------------------------------------

constexpr std::string_view help = R"(usage: get_api_key [--secrets DIR] [--no-hooks] [--reveal] SERVICE...

Prints the API key of each service. The key is in the first of the variables API_KEY_<SERVICE>, <SERVICE>_API_KEY and
<SERVICE>_API_TOKEN that is set. If the variable holds several keys with commas between them, they are used in turn.
Hooks resolve the aliases claude (anthropic) and gpt (openai), and write an audit line for each call to stderr.

  --secrets DIR  take the key from a file in DIR, if there is a file with the name of such a variable, in upper or lower
                 case, or of the service
  --no-hooks     register no hooks: use only the environment
  --reveal       print whole keys, instead of at most three characters of each
  --help         print this text

Exit status: 0 if each service has a key, 1 if one has none, 2 if the command line is wrong.
)";

struct options {
    std::vector<std::string_view> services;
    std::optional<std::filesystem::path> secrets;
    bool hooks = true;
    bool reveal = false;
};

options parse(const std::vector<std::string_view>& arguments) {
    options chosen;
    for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
        if (*argument == "--no-hooks") {
            chosen.hooks = false;
        } else if (*argument == "--reveal") {
            chosen.reveal = true;
        } else if (*argument == "--secrets") {
            if (++argument == arguments.end()) throw std::invalid_argument("--secrets needs a directory");
            chosen.secrets = *argument;
            if (!std::filesystem::is_directory(*chosen.secrets))
                throw std::invalid_argument("--secrets: no such directory: " + chosen.secrets->string());
        } else if (argument->starts_with('-')) {
            throw std::invalid_argument("unknown option: " + std::string(*argument));
        } else {
            chosen.services.push_back(*argument);
        }
    }
    if (chosen.services.empty()) throw std::invalid_argument("no service given");
    return chosen;
}

std::string masked(const std::string& key) {
    return key.size() < 8 ? "***" : key.substr(0, 3) + "***";  // three characters would reveal too much of a short key
}

int main(int argc, char** argv) {
    const std::vector<std::string_view> arguments(argv + 1, argv + argc);
    if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
        std::cout << help;
        return 0;
    }

    options chosen;
    try {
        chosen = parse(arguments);
    } catch (const std::exception& error) {
        std::cerr << "get_api_key: " << error.what() << " (try --help)\n";
        return 2;
    }

    std::vector<ext::scoped_hook> hooks;
    if (chosen.hooks) hooks = register_hooks(chosen.secrets);

    int status = 0;
    for (const std::string_view service : chosen.services) {
        try {
            const std::string key = get_api_key(service);  // the same call, with or without hooks
            if (key.empty()) throw std::runtime_error("no key found");
            std::cout << service << ": " << (chosen.reveal ? key : masked(key)) << '\n';
        } catch (const std::exception& error) {
            std::cerr << "get_api_key: " << service << ": " << error.what() << '\n';
            status = 1;
        }
    }
    return status;
}
