// Two files in one program, of which this one is compiled with exceptions and the other without: each has the library for itself, and
// neither gets the other's code. Where the linker puts the default registry, one of them is told so.
#include <extensible/extensible.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#if !EXTENSIBLE_EXCEPTIONS
#error "This is to be compiled with exceptions."
#endif

int calls_without_exceptions();
void use_default_registry_without_exceptions();

namespace {

void require(bool holds, const char* claim) {
    if (holds) return;
    std::fprintf(stderr, "not so: %s\n", claim);
    std::_Exit(1);
}

// The same names and types as in the other file.
int calls_with_exceptions() {
    ext::registry registry;
    ext::extensible<int(int)> twice{registry, "twice", [](int x) { return x < 0 ? throw std::out_of_range("less than 0") : 2 * x; }};
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
    require(calls_with_exceptions() == 8, "exceptions of functions and hooks are caught where they are compiled with exceptions");
    require(calls_without_exceptions() == 110, "the other file has the library without exceptions beside it");
    require(calls_with_exceptions() == 8, "and afterwards too");
    if (is_refused_default_registry()) return 0;
    use_default_registry_without_exceptions();
    return 1;
}
