// Shows a plugin, in a shared library of its own, that supplies API keys from a secrets store; host.cpp has the command
// that builds and runs it.

#include <extensible/extensible.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>

using secrets = std::map<std::string, std::string, std::less<>>;

static secrets open_vault() {
    return {{"openai", "sk-from-the-vault"}};  // in place of a connection to a real one
}

EXTENSIBLE_PLUGIN(self) {
    // By name, because the plugin knows nothing else of the host. The result is a std::string, which owns its text; a view of a
    // literal would refer to this library, and might be read when that is closed.
    self.on_start(
        "models.get_api_key",
        [vault = open_vault()](ext::call<std::string(std::string_view)>& call) {
            auto& [service] = call.args;
            if (const auto secret = vault.find(*service); secret != vault.end()) call.result = secret->second;
        },
        {.id = "vault"});
}
