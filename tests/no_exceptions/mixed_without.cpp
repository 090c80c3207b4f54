// The other file of the program in mixed_with.cpp. This file is compiled without exceptions.
#include <extensible/extensible.hpp>

#include <cstdlib>
#include <string_view>

#if EXTENSIBLE_EXCEPTIONS
#error "Compile this file without exceptions."
#endif

int calls_without_exceptions() {
    ext::registry registry;
    ext::extensible<int(int)> twice{registry, "twice", [](int x) { return 2 * x; }};
    twice.on_start([](ext::any_call& call) { if (*call.arg<int>(0) == 0) call.set_result(100); });
    twice.on_end([](auto& call) { if (call.exception) call.exception = nullptr, call.result = -1; });
    return twice(0) + twice(5);
}

// Ends the program: the default registry belongs to the other file.
void use_default_registry_without_exceptions() {
    ext::on_error([](const ext::error& error) {
        const std::string_view text = error.what();
        const std::size_t own = text.find("; this module with ");
        const bool names_both = own < text.size() && text.find("_no_exceptions,", own) < text.size();
        std::_Exit(names_both ? 0 : 2);
    });
    ext::on_start("twice", [](ext::any_call&) {});
}
