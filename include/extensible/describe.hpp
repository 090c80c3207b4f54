#pragma once

// ext::describe: lists all functions and hooks in running order. ext::check_pending: finds hooks
// that wait for a name that is probably misspelt.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/registry/pattern.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>
#include <extensible/function_info.hpp>
#include <extensible/phase.hpp>
#include <extensible/registry.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI {

/// Returns a table of all functions and hooks as text. Under each function, it has a line for each
/// hook, in running order. See registry::functions() for the same as data.
///
///     std::cout << ext::describe(ext::default_registry());
///
/// The state of a hook is `runs`, `disabled`, `replaced by ...`, `waits` if no code has wrapped the
/// function, or `skipped` if the hook cannot run in its calls (see hook_info::suits). A function
/// without hooks has one line with the state `no hooks`. Below the table, there is a line for each
/// hook that names unknown ids (see hook_info::unknown_ids).
EXTENSIBLE_LAZY_FUNCTION std::string describe(const registry& registry);

/// Throws ext::error if hooks wait for a name that is probably misspelt. The text lists all such
/// faults:
/// - A hook is registered by an exact name that no code has wrapped.
/// - A hook names an id, in `before`, in `after` or with `replace`, that no other hook of the phase
///   has, although a hook of another phase has it, or a hook has nearly that id: at most two
///   characters, and at most half of the id, are inserted, deleted or changed.
///
/// Other unknown ids, and patterns that match no function, are not faults, because they may refer
/// to something that is registered later. Call it at the end of start-up, and in tests. (It is
/// named after check_pending() of Python's pluggy.)
EXTENSIBLE_LAZY_FUNCTION void check_pending(const registry& registry);

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

namespace detail {

// The number of characters to insert, delete or change to turn one text into the other (the
// Levenshtein distance).
EXTENSIBLE_LAZY_FUNCTION std::size_t distance(std::string_view a, std::string_view b) {
    // The distances from the part of `a` that has been processed to each prefix of `b`.
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t before = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t changed = before + (a[i] != b[j]);
            before = row[j + 1];
            std::size_t least = row[j] < before ? row[j] + 1 : before + 1;
            if (changed < least) least = changed;
            row[j + 1] = least;
        }
    }
    return row[b.size()];
}

// The name that is nearest to a text. It differs by at most two changes, and by at most half of the
// text. Empty if no name is so near.
EXTENSIBLE_LAZY_FUNCTION std::string_view nearest(std::string_view text, const std::vector<std::string_view>& names) {
    std::string_view found;
    std::size_t least = text.size() < 4 ? text.size() / 2 + 1 : 3;
    for (const std::string_view name : names) {
        const std::size_t changes = distance(text, name);
        if (changes == 0 || changes >= least) continue;
        least = changes;
        found = name;
    }
    return found;
}

// A line about the ids that a hook names and no other hook has. Empty if there are none.
EXTENSIBLE_LAZY_FUNCTION std::string text_of_unknown_ids(const function_info& function, const hook_info& hook) {
    std::string ids;
    for (const std::string& id : hook.unknown_ids) ids += join({ids.empty() ? "'" : ", '", id, "'"});
    if (ids.empty()) return {};
    return join({function.name, ": the ", text_of(hook.phase, hook.id, hook.pattern, hook.owner),
                 " names ids that no other ", to_string(hook.phase), " hook has: ", ids, "\n"});
}

// The text of a table, from its cells row by row. Each column is as wide as its widest cell. The
// column of numbers is aligned to the right.
EXTENSIBLE_LAZY_FUNCTION std::string table_of(const std::vector<std::string>& cells, std::size_t columns,
                                              std::size_t number_column) {
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

EXTENSIBLE_LAZY_BODY std::string describe(const registry& registry) {
    const auto state_of = [](const function_info& function, const hook_info& hook) {
        std::string state = !hook.enabled ? "disabled" : !function.wrapped ? "waits" : !hook.suits ? "skipped" : "runs";
        if (hook.enabled && !hook.replaced_by.empty()) state = "replaced by " + hook.replaced_by;
        return state;
    };
    std::vector<std::string> cells;
    const auto add_row = [&](std::initializer_list<std::string_view> row) {
        for (const std::string_view cell : row) cells.emplace_back(cell);
    };
    add_row({"FUNCTION", "PHASE", "HOOK", "OWNER", "PRIORITY", "STATE", "SIGNATURE"});
    const std::size_t columns = cells.size();
    std::string unknown;
    for (const function_info& function : registry.functions()) {
        std::string_view name = function.name, signature = function.signature;
        if (function.hooks.empty()) add_row({name, "", "", "", "", "no hooks", signature});
        for (const hook_info& hook : function.hooks) {
            const std::string via =
                hook.pattern.empty() || hook.pattern == function.name ? "" : " (" + hook.pattern + ")";
            add_row({name, to_string(hook.phase), (hook.id.empty() ? "-" : hook.id) + via, hook.owner,
                     detail::text_of(hook.priority), state_of(function, hook), signature});
            name = signature = "";  // once for each function
            unknown += detail::text_of_unknown_ids(function, hook);
        }
    }
    return detail::table_of(cells, columns, 4) + unknown;
}

namespace detail {

// The faults in the ids that a hook names, as text. Empty if there are none.
EXTENSIBLE_LAZY_FUNCTION std::string faults_of_ids(const function_info& function, const hook_info& stating) {
    std::string faults;
    for (const std::string& id : stating.unknown_ids) {
        const hook_info* same = nullptr;
        std::vector<std::string_view> others;
        for (const hook_info& other : function.hooks) {
            if (other.phase != stating.phase && other.id == id) same = &other;
            if (other.phase == stating.phase && &other != &stating) others.push_back(other.id);
        }
        const std::string_view similar = nearest(id, others);
        if (!same && similar.empty()) continue;
        faults += join({"\n", function.name, ": the ",
                        text_of(stating.phase, stating.id, stating.pattern, stating.owner), " names '", id,
                        "', which no other ", to_string(stating.phase), " hook has: "});
        faults += similar.empty() ? join({article(same->phase), to_string(same->phase), " hook has it"})
                                  : join({"did you mean '", similar, "'?"});
    }
    return faults;
}

}  // namespace detail

EXTENSIBLE_LAZY_BODY void check_pending(const registry& registry) {
    const std::vector<function_info> functions = registry.functions();
    std::vector<std::string_view> wrapped;
    for (const function_info& function : functions)
        if (function.wrapped) wrapped.push_back(function.name);
    std::string faults;
    for (const function_info& function : functions) {
        for (const hook_info& hook : function.hooks) faults += detail::faults_of_ids(function, hook);
        if (function.wrapped || detail::is_pattern(function.name)) continue;
        faults += detail::join({"\n", function.name,
                                ": hooks wait for this function, which no code has wrapped in this registry"});
        const std::string_view similar = detail::nearest(function.name, wrapped);
        if (!similar.empty()) faults += detail::join({": did you mean ", similar, "?"});
    }
    if (!faults.empty())
        detail::raise<error>("ext::check_pending: some hooks wait for names that are probably misspelt" + faults);
}

#endif

}}  // namespace ext
