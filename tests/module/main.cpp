// A program that imports the library as a module, instead of including it. Built by .ci/module.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

import extensible;

using namespace ext::literals;

ext::extensible get_api_key{"get_api_key", ext::params("service"_kw),
                            [](std::string_view service, const ext::kwargs&) -> std::string {
                                const char* const key = std::getenv(std::string(service).c_str());
                                return key ? key : "none";
                            }};
ext::extensible half{"half", [](int x) {
    if (x % 2) throw 1;
    return x / 2;
}};

void check(bool holds, const char* what) {
    std::cout << what << (holds ? " holds\n" : " does not hold\n");
    if (!holds) std::exit(1);
}

int main() {
    check(get_api_key("NO_SUCH_VARIABLE") == "none", "a call without hooks");
    {
        ext::plugin plugin{"vault"};
        plugin.on_start(get_api_key, [](auto& call) {
            auto&& [service] = call.args;
            if (service == "openai") call.result = call.kwargs.value_or("prefix", "") + "key";
        }, {.id = "supply", .priority = 5});
        ext::default_registry().on_end("get_*", [](ext::any_call& call) {
            if (const auto* const key = call.result<std::string>()) call.set_result(*key + "!");
        });
        check(get_api_key("service"_kw = "openai", "prefix"_kw = std::string("sk-")) == "sk-key!",
              "a call by name with hooks");
        check(ext::describe(ext::default_registry()).find("supply") != std::string::npos, "a description");
    }
    check(get_api_key("openai") == "none!", "a call after the plugin was destroyed");

    ext::scoped_hook retried = half.around(ext::hooks::retry({.attempts = 2}));
    int attempts = 0;
    ext::scoped_hook even = half.around([&](auto& call, auto& proceed) {
        auto& [x] = call.args;
        if (++attempts == 2) x = 8;
        return proceed();
    });
    check(half(7) == 4 && attempts == 2, "a ready-made hook");

    bool told = false;
    try {
        ext::on_start("half", [](ext::call<std::string(std::string)>&) {});
    } catch (const ext::signature_mismatch& error) {
        told = std::string_view(error.what()).find("std::string(std::string)") != std::string_view::npos;
    }
    check(told, "an error");
}
