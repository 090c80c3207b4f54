// A host that loads the plugin of the example, loads it anew, and unloads it: host <plugin>. It is compiled with exceptions and without,
// and so is the plugin. Where the two differ the plugin is refused, and this ends with 3.
#include <extensible/extensible.hpp>
#include <extensible/library.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

ext::registry registry;
ext::extensible get_api_key{registry, "models.get_api_key", [](std::string_view) -> std::string { return "of the host"; }};

void end_refused(const ext::error& error) {
    std::printf("refused: %s\n", error.what());
    std::fflush(stdout);
    std::_Exit(3);
}

void require(bool holds, const char* claim) {
    if (holds) return;
    std::printf("not so: %s\n", claim);
    std::exit(1);
}

void use(const char* file) {
    {
        ext::library vault{registry, file, {.name = "vault"}};
        require(get_api_key("openai") == "sk-from-the-vault", "the plugin's hook runs");
        vault.reload();
        require(get_api_key("openai") == "sk-from-the-vault", "and when it is loaded anew");
        require(get_api_key("other") == "of the host", "for the services that it knows");
    }
    require(get_api_key("openai") == "of the host", "it is gone when it is unloaded");
    require(registry.functions()[0].hooks.empty(), "with its hooks");
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
