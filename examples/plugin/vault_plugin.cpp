// Shows a plugin, in a shared library of its own, that supplies API keys from a secrets store; host.cpp has the command
// that builds and runs it.

#include "plugin_api.hpp"

#include <extensible/extensible.hpp>

#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace {

using secrets = std::map<std::string, std::string, std::less<>>;

secrets open_vault() {
    return {{"openai", "sk-from-the-vault"}};  // in place of a connection to a real one
}

// Owns the hooks. An optional, so that unload_plugin() can destroy it. Closing the library would do that, too, but under
// a lock of the dynamic linker, for which a call that has to be waited for may itself be waiting.
std::optional<ext::plugin> plugin;

}  // namespace

bool load_plugin(ext::registry& host, std::string& error) noexcept {
    try {
        plugin.emplace(host, "vault_plugin");
        // By name, because the plugin knows nothing else of the host. The result is a std::string, which owns its
        // text; a view of a literal would refer to this library, and might be read when that is closed.
        plugin->on_start(
            "models.get_api_key",
            [vault = open_vault()](ext::call<std::string(std::string_view)>& call) {
                auto& [service] = call.args;
                if (const auto secret = vault.find(*service); secret != vault.end()) call.result = secret->second;
            },
            {.id = "vault"});
        return true;
    } catch (const std::exception& thrown) {
        error = thrown.what();
        plugin.reset();
        return false;
    }
}

void unload_plugin() noexcept {
    plugin.reset();  // waits for the calls that are inside its hook, and destroys the hook with the open vault
}
