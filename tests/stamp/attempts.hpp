#pragma once

// Everything that a module can do with a registry, or with objects that belong to a registry. Both
// the host and the library do it, with the same types of hooks and functions. So the dynamic linker
// can give the library the host's code for functions that are not hidden.

#include <extensible/extensible.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

// What the host passes to the library: only pointers, whose layout does not depend on how the
// library was compiled.
struct handed {
    ext::registry* registry;
    ext::extensible<int(int)>* function;
    ext::plugin* plugin;
    ext::hook* hook;
};

struct start_hook {
    void operator()(ext::any_call&) const {}
};
struct around_hook {
    void operator()(ext::any_call&, ext::proceed& proceed) const { proceed(); }
};
struct error_handler {
    void operator()(const ext::hook_error&) const {}
};
inline int plus_one(int x) { return x + 1; }

enum class what {
    register_by_name,
    register_under_pattern,
    register_around,
    wrap,
    wrap_function_pointer,
    make_plugin,
    handle_errors,
    list_functions,
    describe,
    use_wrapper,
    use_plugin,
    use_hook,
    seal,
    end
};
struct attempt {
    bool in_default_registry;
    what kind;
};

// Writes the outcome to `text`, because modules with different standard libraries cannot exchange
// objects of these libraries.
using attempt_function = void(const handed& given, attempt attempted, char* text, std::size_t size);

namespace {

void make(const handed& given, attempt attempted) {
    using namespace ext::literals;
    ext::registry& registry = attempted.in_default_registry ? ext::default_registry() : *given.registry;
    const ext::hook_options options{.id = "an id that is too long to be kept in a string itself", .before = "another"};
    ext::scoped_hook made;
    switch (attempted.kind) {
    case what::register_by_name: made = registry.on_start<int(int)>("attempted", start_hook(), options); return;
    case what::register_under_pattern: made = registry.on_end("att*", start_hook(), options); return;
    case what::register_around: made = registry.around<int(int)>("attempted", around_hook()); return;
    case what::wrap: ext::extensible<int(int)>(registry, "attempted", &plus_one)(1); return;
    case what::wrap_function_pointer: ext::extensible(registry, "attempted", ext::params("x"_kw), &plus_one)(1); return;
    case what::make_plugin: {
        ext::plugin plugin(registry, "attempting");
        plugin.on_start("*", start_hook());
        return;
    }
    case what::handle_errors: made = registry.on_hook_error(error_handler()); return;
    case what::list_functions: static_cast<void>(registry.functions()); return;
    case what::describe: static_cast<void>(ext::describe(registry)); return;
    case what::use_wrapper: made = given.function->on_start(start_hook(), options); return;
    case what::use_plugin: given.plugin->on_start("attempted", start_hook()).remove(); return;
    case what::use_hook: given.hook->disable(), given.hook->enable(); return;
    case what::seal: registry.seal(); return;
    case what::end: return;
    }
}

void try_to_make(const handed& given, attempt attempted, char* text, std::size_t size) {
    try {
        make(given, attempted);
        std::snprintf(text, size, "done");
    } catch (const ext::incompatible_module& error) {
        std::snprintf(text, size, "incompatible: %s", error.what());
    } catch (const std::exception& error) {
        std::snprintf(text, size, "failed: %s", error.what());
    }
}

void use_own_registry() {
    ext::registry own;
    ext::extensible f{own, "own", [](int x) { return x; }};
    f.on_start([](auto& call) { call.result = 3; });
    if (f(1) != 3) std::terminate();
}

}  // namespace
