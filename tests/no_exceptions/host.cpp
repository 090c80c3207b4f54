// A host that loads, reloads and unloads the plugin of the example: host <plugin>
// The host and the plugin are compiled with and without exceptions. If they differ, the host
// rejects the plugin and exits with 3.
#include <extensible/extensible.hpp>
#include <extensible/library.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

ext::registry registry;
ext::extensible get_api_key{registry, "models.get_api_key", [](std::string_view) -> std::string {
    return "of the host";
}};

void end_refused(const ext::error& error) {
    std::printf("refused: %s\n", error.what());
    std::fflush(stdout);
    std::_Exit(3);
}

void require(bool holds, const char* claim) {
    if (holds) return;
    std::printf("does not hold: %s\n", claim);
    std::exit(1);
}

void use(const char* file) {
    {
        ext::library vault{registry, file, {.name = "vault"}};
        require(get_api_key("openai") == "sk-from-the-vault", "the plugin's hook runs");
        vault.reload();
        require(get_api_key("openai") == "sk-from-the-vault", "it runs after a reload");
        require(get_api_key("other") == "of the host", "it does not supply keys of other services");
    }
    require(get_api_key("openai") == "of the host", "it does not run after the plugin is unloaded");
    require(registry.functions()[0].hooks.empty(), "no hook is registered after the plugin is unloaded");
}

}  // namespace

int main(int, char** arguments) {
    ext::on_error(&end_refused);
#if EXTENSIBLE_EXCEPTIONS
    try {
        use(arguments[1]);
    } catch (const ext::error& error) {
        end_refused(error);
    }
#else
    use(arguments[1]);
#endif
}
