// A program that passes its registry to a library: host <library> done | <a word of the library's stamp>
// It exports its symbols, so the library shares its default registry too, except on Windows.

#include "../in_memory.hpp"
#include "attempts.hpp"

#include <extensible/detail/loading/shared_library.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace {

#define EXPECT(...) ((__VA_ARGS__) ? void() : fail(#__VA_ARGS__, __LINE__, attempted, text))

void fail(const char* claim, int line, attempt attempted, const std::string& text) {
    std::fprintf(stderr, "line %d: %s does not hold for attempt %d in the %s registry: %s\n", line, claim,
                 static_cast<int>(attempted.kind), attempted.in_default_registry ? "default" : "given", text.c_str());
    std::exit(1);
}

std::string text_of(attempt_function* tried, const handed& given, attempt attempted) {
    char text[2000] = "";
    tried(given, attempted, text, sizeof text);
    return text;
}

}  // namespace

int main(int, char** arguments) try {
    std::optional<ext::detail::shared_library> library(std::in_place, arguments[1], arguments[1]);
    const std::string_view expected = arguments[2];
    auto* const in_library = library->find<attempt_function>("attempt_in_library");
    auto* const use_own = library->find<void()>("use_own");

#if defined(_WIN32)
    const std::initializer_list<bool> tried = {false};
#else
    const std::initializer_list<bool> tried = {false, true};
#endif
    for (const bool in_default_registry : tried) {
        ext::registry registry;
        ext::registry& used = in_default_registry ? ext::default_registry() : registry;
        ext::extensible<int(int)> function{used, "attempted.too", &plus_one};
        ext::plugin plugin{used, "of the host"};
        ext::hook hook = plugin.on_start(function, [](auto& call) { call.result = 40; });
        const handed given{&registry, &function, &plugin, &hook};
        for (attempt attempted{in_default_registry, what{}}; attempted.kind != what::end;
             attempted.kind = static_cast<what>(static_cast<int>(attempted.kind) + 1)) {
            const std::string text = text_of(in_library, given, attempted);
            if (expected == "done") {
                EXPECT(text == "done");
            } else if (attempted.kind != what::use_hook || text != "done") {  // which may run the host's code
                const std::size_t between = text.find("; this module with extensible ");
                EXPECT(text.starts_with("incompatible: ext: the module of the registry was compiled with extensible "));
                EXPECT(between < text.size() && text.find(expected, between) < text.size());
            }
            if (attempted.kind == what::seal) continue;
            // The rejected attempt has changed nothing for the host.
            EXPECT(text_of(&try_to_make, given, attempted) == "done");
            EXPECT(function(1) == 40 && used.functions().size() == 1);
        }
    }
    use_own_registry();

    // A library that is rejected can still use its own registries. This is not tried if the layout
    // differs and the version does not: the dynamic linker may then give it the host's code.
    if (expected != "types") std::thread(use_own).join();  // a thread keeps the library open until it ends

    library.reset();
    if (expected == "done" && tests::is_in_memory(arguments[1])) fail("it is gone", __LINE__, {}, "all were made");
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
