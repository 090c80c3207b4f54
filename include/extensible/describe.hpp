#pragma once

// Which hooks are in place, and in which order do they run?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/order.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/options.hpp>
#include <extensible/registry.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI {

/// What registry::functions() tells about a hook.
struct hook_info {
    ext::phase phase{};
    std::string id;       ///< empty without one
    std::string owner;    ///< the ext::plugin that it belongs to, empty without one
    std::string pattern;  ///< what it is registered under, empty for a hook on this one function
    int priority = 0;
    bool enabled = true;  ///< both the hook and its plugin are
    bool suits = true;    ///< false: skipped, because only one of hook and function is awaited
    std::string replaced_by;  ///< "vault of openbao": the hook that runs in its place, empty where none does; see hook_options::replace
    ext::hook handle;     ///< of the hook, which may be gone meanwhile
};

/// What registry::functions() tells about a function.
struct function_info {
    std::string name;              ///< or a pattern that matches no function yet
    std::string signature;         ///< as one writes it; what the hooks expect where nobody wraps it; empty for a pattern
    bool wrapped = false;          ///< false: hooks wait for it
    std::vector<hook_info> hooks;  ///< start, around, end, each in running order
};

/// What registry.functions() tells, as a table to be read: a line for each hook, in running order, under its function.
/// A hook's state is `runs`, `disabled`, `replaced by ...`, `waits` where nobody has wrapped the function, or `skipped` where only one
/// of hook and function is awaited.
EXTENSIBLE_FUNCTION std::string describe(const registry& registry);

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

namespace detail {

EXTENSIBLE_FUNCTION hook_info info_of(hook_record& hook) {
    return {hook.when,     hook.id,     hook.plugin ? hook.plugin->name : std::string(), hook.pattern,
            hook.priority, hook.runs(), true, {}, access::make<ext::hook>(ref(&hook))};
}

EXTENSIBLE_FUNCTION function_info info_of(const function_record& function) {
    function_info info{function.name, {}, function.sites != nullptr, {}};
    if (info.wrapped) info.signature = function.sites->type->signature->name;
    for (hook_record& hook : function.hooks) {
        if (info.signature.empty() && hook.signature) info.signature = hook.signature->name;
        info.hooks.push_back(info_of(hook));
        hook_info& added = info.hooks.back();
        if (info.wrapped) added.suits = suits(hook, function.sites->type);
        if (const hook_record* const other = running_instead(hook, function, function.hooks))
            added.replaced_by = other->plugin ? join({other->id, " of ", other->plugin->name}) : other->id;
    }
    return info;
}

// Rows of texts, in columns as wide as their widest text; that of numbers is aligned to the right.
using row = std::vector<std::string>;
EXTENSIBLE_FUNCTION std::string table_of(const std::vector<row>& rows, std::size_t number_column) {
    std::vector<std::size_t> width(rows.front().size());
    for (const row& r : rows)
        for (std::size_t c = 0; c < r.size(); ++c)
            if (r[c].size() > width[c]) width[c] = r[c].size();
    std::string text;
    for (const row& r : rows) {
        for (std::size_t c = 0; c < r.size(); ++c) {
            const std::string padding(width[c] - r[c].size(), ' ');
            text += c == number_column ? padding + r[c] : r[c] + padding;
            text += "  ";
        }
        text.erase(text.find_last_not_of(' ') + 1);
        text += '\n';
    }
    return text;
}

}  // namespace detail

EXTENSIBLE_FUNCTION std::vector<function_info> registry::functions() const {
    std::vector<function_info> all;
    const detail::locked_registry locked(record());
    const detail::registry_contents& contents = *locked->contents;
    all.reserve(contents.functions.size());
    for (const auto& function : contents.functions) all.push_back(detail::info_of(*function));
    for (detail::hook_record& hook : contents.patterns) {
        bool applies = false;
        for (const auto& function : contents.functions) applies |= detail::matches(hook.pattern, function->name);
        if (!applies) all.push_back({hook.pattern, "", false, {detail::info_of(hook)}});
    }
    return all;
}

EXTENSIBLE_FUNCTION std::string describe(const registry& registry) {
    const auto state_of = [](const function_info& function, const hook_info& hook) {
        if (hook.enabled && !hook.replaced_by.empty()) return "replaced by " + hook.replaced_by;
        return std::string(!hook.enabled ? "disabled" : !function.wrapped ? "waits" : !hook.suits ? "skipped" : "runs");
    };
    std::vector<detail::row> rows{{"FUNCTION", "PHASE", "HOOK", "OWNER", "PRIORITY", "STATE", "SIGNATURE"}};
    for (const function_info& function : registry.functions()) {
        std::string name = function.name, signature = function.signature;
        if (function.hooks.empty()) rows.push_back({name, "", "", "", "", "no hooks", signature});
        for (const hook_info& hook : function.hooks) {
            const std::string via = hook.pattern.empty() || hook.pattern == function.name ? "" : " (" + hook.pattern + ")";
            rows.push_back({name, std::string(to_string(hook.phase)), (hook.id.empty() ? "-" : hook.id) + via, hook.owner,
                            detail::text_of(hook.priority), state_of(function, hook), signature});
            name = signature = "";  // once for each function
        }
    }
    return detail::table_of(rows, 4);
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI
