#pragma once

// ext::function_info, ext::hook_info: a registry's functions and hooks as data. See
// registry::functions().

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/registry/order.hpp>
#include <extensible/detail/registry/pattern.hpp>
#include <extensible/detail/registry/replacements.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/hook.hpp>
#include <extensible/phase.hpp>
#include <extensible/registry.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI {

/// One hook, as registry::functions() returns it.
struct hook_info {
    /// The phase in which the hook runs.
    ext::phase phase{};

    /// The id of the hook, or empty.
    std::string id;

    /// The name of the ext::plugin that the hook belongs to, or empty.
    std::string owner;

    /// The pattern under which the hook is registered, or empty for a hook on this one function.
    std::string pattern;

    /// The priority of the hook. Smaller runs first.
    int priority = 0;

    /// True if both the hook and its plugin are enabled.
    bool enabled = true;

    /// False if calls of the function skip the hook: it is awaited and they cannot await it, or it
    /// is a plain around hook and the function is awaited.
    bool suits = true;

    /// The hook that runs instead of this one, such as "vault of openbao", or empty. See
    /// hook_options::replace.
    std::string replaced_by;

    /// The ids that the hook names in `before`, in `after` or with `replace`, and that no other
    /// hook of its phase has.
    std::vector<std::string> unknown_ids;

    /// A handle to the hook, which may have been removed in the meantime.
    ext::hook handle;
};

/// One function and its hooks, as registry::functions() returns it.
struct function_info {
    /// The name of the function, or a pattern that matches no function yet.
    std::string name;

    /// The signature as it is written in source code. If no code has wrapped the function, the
    /// signature that its hooks expect. Empty for a pattern.
    std::string signature;

    /// True if the function is wrapped, false if hooks wait for it.
    bool wrapped = false;

    /// The hooks: those of the start phase, then around, then end, each in running order.
    std::vector<hook_info> hooks;
};

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

namespace detail {

EXTENSIBLE_LAZY_FUNCTION hook_info info_of(hook_record& hook, const hook_order& hooks, const replacements& replaced) {
    std::string other;
    if (const hook_record* const stand_in = replaced.replacement_of(hook))
        other = stand_in->plugin ? join({stand_in->id, " of ", stand_in->plugin->name}) : stand_in->id;
    hook_info info{hook.when, hook.id, std::string(hook.owner()), hook.pattern, hook.priority,
                   hook.is_enabled(), true, std::move(other), {}, private_access::make<ext::hook>(ref(&hook))};
    const auto add_if_unknown = [&](const std::string& id) {
        if (is_unknown(id, hook, hooks) && !contains(info.unknown_ids, id)) info.unknown_ids.push_back(id);
    };
    for (const std::string& id : hook.before) add_if_unknown(id);
    for (const std::string& id : hook.after) add_if_unknown(id);
    if (hook.replaces) add_if_unknown(hook.id);
    return info;
}

EXTENSIBLE_LAZY_FUNCTION function_info info_of(const function_record& function) {
    function_info info{function.name, {}, function.sites != nullptr, {}};
    if (info.wrapped) info.signature = function.sites->type->signature->name;
    const replacements replaced(function.hooks, &function);
    for (const ordered_hook& each : function.hooks) {
        if (info.signature.empty() && each.hook->signature) info.signature = each.hook->signature->name;
        info.hooks.push_back(info_of(*each.hook, function.hooks, replaced));
        if (info.wrapped) info.hooks.back().suits = can_run_in(*each.hook, function.sites->type);
    }
    return info;
}

}  // namespace detail

EXTENSIBLE_LAZY_BODY std::vector<function_info> registry::functions() const {
    std::vector<function_info> all;
    const detail::locked_registry locked(record());
    const detail::registry_contents& contents = *locked->contents;
    const detail::array<const detail::function_record*> by_name(contents.functions.size());
    std::size_t found = 0;
    contents.functions.for_each([&](const detail::function_record& function) { by_name[found++] = &function; });
    detail::sort(by_name, [](const auto* a, const auto* b) { return a->name < b->name; });
    all.reserve(by_name.size());
    for (const detail::function_record* function : by_name) all.push_back(detail::info_of(*function));
    const detail::replacements replaced(contents.patterns, nullptr);
    for (const detail::ordered_hook& each : contents.patterns) {
        bool applies = false;
        const std::string& pattern = each.hook->pattern;
        for (const detail::function_record* function : by_name) applies |= detail::matches(pattern, function->name);
        if (!applies) all.push_back({pattern, "", false, {detail::info_of(*each.hook, contents.patterns, replaced)}});
    }
    return all;
}

#endif

}}  // namespace ext
