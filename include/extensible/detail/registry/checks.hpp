#pragma once

// Which names and options are refused, and with which error?
//
// Not here: errors of the order (order.hpp), and what depends on the state of the registry
// (locked_registry.hpp).

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/registry/order.hpp>
#include <extensible/detail/registry/pattern.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>
#include <extensible/phase.hpp>

#include <string>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

#if EXTENSIBLE_BODIES

EXTENSIBLE_COLD_FUNCTION std::string text_of(const hook_record& hook) {
    return text_of(hook.when, hook.id, hook.pattern, hook.owner());
}

[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_signature_mismatch(std::string_view function,
                                                                    const type_identity& wrapped,
                                                                    std::string_view other,
                                                                    const type_identity& given) {
    raise<signature_mismatch>(
        join({function, ": the function is ", wrapped.name, ", but the ", other, " is for ", given.name}));
}

[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_duplicate(std::string_view function, const hook_record& first) {
    raise<duplicate_hook>(join({function, ": there is already ", article(first.when), text_of(first),
                                "; remove it, or set .replace to run in its place"}));
}

EXTENSIBLE_COLD_FUNCTION void check_name(std::string_view name) {
    if (name.empty()) raise<error>("ext: a function's name must not be empty");
    if (is_pattern(name))
        raise<error>(join({name, ": a name with '*' is a pattern: no function can have it, and a hook that is "
                                 "registered under it must take an ext::any_call&"}));
}

EXTENSIBLE_COLD_FUNCTION void check_open(const registry_record& registry, std::string_view function) {
    if (registry.closed) raise<error>(join({function, ": its registry has been destroyed"}));
}

// Throws error for options that contradict each other, or that hooks of this kind cannot have.
EXTENSIBLE_COLD_FUNCTION void check_options(std::string_view where, const hook_record& hook,
                                            const hook_options& options) {
    const char* wrong = nullptr;
    if (contains(options.before, "*"))
        wrong = " states .before = \"*\", which is not the id of a hook; use .priority to run before all others";
    else if (contains(options.after, "*"))
        wrong = " states .after = \"*\", which is not the id of a hook; use .priority to run after all others";
    else if (options.replace && options.id.empty())
        wrong = " has .replace = true, but no .id; set it to the id of the hook to replace";
    else if (options.fallback && hook.when != phase::start) wrong = " has .fallback = true, which is for start hooks";
    else if (hook.sub_task && options.this_thread)
        wrong = " is awaited, and may resume on another thread, so it cannot have .this_thread = true";
    else if (hook.sub_task && !hook.reentrant)
        wrong = " is awaited, and may resume on another thread, so it cannot have .reentrant = false";
    if (wrong) raise<error>(join({where, ": the ", text_of(hook), wrong}));
}

#endif

}}}  // namespace ext::detail
