// Two files of one program. This file is compiled with exceptions, and the other without. Each has
// its own copy of the library, and neither gets the other's code. Only the default registry is
// shared: it belongs to one of the files, and the other file gets an error if it uses it.
#include <extensible/extensible.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#if !EXTENSIBLE_EXCEPTIONS
#error "Compile this file with exceptions."
#endif

int calls_without_exceptions();
void use_default_registry_without_exceptions();

namespace {

void require(bool holds, const char* claim) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", claim);
    std::_Exit(1);
}

// The same names and types as in the other file.
int calls_with_exceptions() {
    ext::registry registry;
    ext::extensible<int(int)> twice{registry, "twice", [](int x) {
        return x < 0 ? throw std::out_of_range("less than 0") : 2 * x;
    }};
    twice.on_start([](ext::any_call& call) { if (*call.arg<int>(0) == 0) throw std::invalid_argument("0"); });
    twice.on_end([](auto& call) { if (call.exception) call.exception = nullptr, call.result = -1; });
    return twice(-5) + twice(0) + twice(5);
}

bool is_refused_default_registry() {
    try {
        ext::on_start("twice", [](ext::any_call&) {});
        return false;
    } catch (const ext::incompatible_module&) {
        return true;
    }
}

}  // namespace

int main() {
    require(calls_with_exceptions() == 8, "this file's calls catch exceptions of functions and hooks");
    require(calls_without_exceptions() == 110, "the other file's calls work without exceptions");
    require(calls_with_exceptions() == 8, "this file's calls still catch exceptions afterwards");
    if (is_refused_default_registry()) return 0;
    use_default_registry_without_exceptions();
    return 1;
}
