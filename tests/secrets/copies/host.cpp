// A host that exports its functions, and loads a plugin with another copy of the hooks. Each uses the
// functions of its own copy:
//
//     host <plugin>
#include "secrets/names.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <string>

int main(int, char** arguments) {
    void* const plugin = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
    if (!plugin) return std::fprintf(stderr, "%s\n", dlerror()), 2;
    const auto first_variable = reinterpret_cast<const char* (*)()>(dlsym(plugin, "first_variable"));
    if (!first_variable) return 2;
    const std::string of_plugin = first_variable(), of_host = secrets::variable_names("openai")[0];
    std::printf("host: %s, plugin: %s\n", of_host.c_str(), of_plugin.c_str());
    return of_host == "API_KEY_OPENAI" && of_plugin == "COPY_KEY_OPENAI" ? 0 : 1;
}
