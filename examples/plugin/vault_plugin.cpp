// A plugin in a shared library, which supplies API keys from a secrets store. The command that
// builds and runs it is in host.cpp.

#include <extensible/extensible.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>

using secrets = std::map<std::string, std::string, std::less<>>;

static secrets open_vault() {
    return {{"openai", "sk-from-the-vault"}};  // stands in for a connection to a real one
}

EXTENSIBLE_PLUGIN(self) {
    // By name, because the plugin knows nothing else of the host. The result is a std::string,
    // which owns its text. A view of a literal would refer to this library, and might be read after
    // the library is closed.
    self.on_start(
        "models.get_api_key",
        [vault = open_vault()](ext::call<std::string(std::string_view)>& call) {
            auto& [service] = call.args;
            if (const auto secret = vault.find(*service); secret != vault.end()) call.result = secret->second;
        },
        {.id = "vault"});
}
