#pragma once

// Which hooks are in place, and in which order do they run?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/order.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/options.hpp>
#include <extensible/registry.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
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
EXTENSIBLE_LAZY_FUNCTION std::string describe(const registry& registry);

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

namespace detail {

EXTENSIBLE_LAZY_FUNCTION hook_info info_of(hook_record& hook, const hook_record* running_instead) {
    std::string other;
    if (running_instead)
        other = running_instead->plugin ? join({running_instead->id, " of ", running_instead->plugin->name}) : running_instead->id;
    return {hook.when,     hook.id,     hook.plugin ? hook.plugin->name : std::string(), hook.pattern,
            hook.priority, hook.runs(), true, std::move(other), access::make<ext::hook>(ref(&hook))};
}

EXTENSIBLE_LAZY_FUNCTION function_info info_of(const function_record& function) {
    function_info info{function.name, {}, function.sites != nullptr, {}};
    if (info.wrapped) info.signature = function.sites->type->signature->name;
    for (hook_record& hook : function.hooks) {
        if (info.signature.empty() && hook.signature) info.signature = hook.signature->name;
        info.hooks.push_back(info_of(hook, running_instead(hook, function, function.hooks)));
        if (info.wrapped) info.hooks.back().suits = suits(hook, function.sites->type);
    }
    return info;
}

// Cells, row by row, as text: each column is as wide as its widest cell, and that of numbers is aligned to the right.
EXTENSIBLE_LAZY_FUNCTION std::string table_of(const std::vector<std::string>& cells, std::size_t columns, std::size_t number_column) {
    std::vector<std::size_t> width(columns);
    for (std::size_t at = 0; at < cells.size(); ++at)
        if (std::size_t& of_column = width[at % columns]; cells[at].size() > of_column) of_column = cells[at].size();
    std::string text;
    for (std::size_t at = 0; at < cells.size(); ++at) {
        const std::size_t column = at % columns;
        const std::string padding(width[column] - cells[at].size(), ' ');
        text += column == number_column ? padding + cells[at] : cells[at] + padding;
        text += "  ";
        if (column + 1 == columns) {
            text.erase(text.find_last_not_of(' ') + 1);
            text += '\n';
        }
    }
    return text;
}

}  // namespace detail

EXTENSIBLE_LAZY_BODY std::vector<function_info> registry::functions() const {
    std::vector<function_info> all;
    const detail::locked_registry locked(record());
    const detail::registry_contents& contents = *locked->contents;
    all.reserve(contents.functions.size());
    for (const auto& function : contents.functions) all.push_back(detail::info_of(*function));
    for (detail::hook_record& hook : contents.patterns) {
        bool applies = false;
        for (const auto& function : contents.functions) applies |= detail::matches(hook.pattern, function->name);
        const auto runs = [](const detail::hook_record& other) { return other.runs(); };
        if (!applies) all.push_back({hook.pattern, "", false, {detail::info_of(hook, contents.patterns.find_replacing(hook, runs))}});
    }
    return all;
}

EXTENSIBLE_LAZY_BODY std::string describe(const registry& registry) {
    const auto state_of = [](const function_info& function, const hook_info& hook) {
        if (hook.enabled && !hook.replaced_by.empty()) return "replaced by " + hook.replaced_by;
        return std::string(!hook.enabled ? "disabled" : !function.wrapped ? "waits" : !hook.suits ? "skipped" : "runs");
    };
    std::vector<std::string> cells;
    const auto add_row = [&](std::initializer_list<std::string_view> row) {
        for (const std::string_view cell : row) cells.emplace_back(cell);
    };
    add_row({"FUNCTION", "PHASE", "HOOK", "OWNER", "PRIORITY", "STATE", "SIGNATURE"});
    const std::size_t columns = cells.size();
    for (const function_info& function : registry.functions()) {
        std::string_view name = function.name, signature = function.signature;
        if (function.hooks.empty()) add_row({name, "", "", "", "", "no hooks", signature});
        for (const hook_info& hook : function.hooks) {
            const std::string via = hook.pattern.empty() || hook.pattern == function.name ? "" : " (" + hook.pattern + ")";
            add_row({name, to_string(hook.phase), (hook.id.empty() ? "-" : hook.id) + via, hook.owner, detail::text_of(hook.priority),
                     state_of(function, hook), signature});
            name = signature = "";  // once for each function
        }
    }
    return detail::table_of(cells, columns, 4);
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI
