#pragma once

// Which hooks are in place, and in which order do they run?

#include <extensible/phase.hpp>
#include <extensible/registry.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ext {

/// What registry.functions() tells, as a table to be read: a line for each hook, in running order, under its function.
/// A hook's state is `runs`, `disabled`, `waits` where nobody has wrapped the function, or `passed by` where one of hook and
/// function is awaited, and the other not so.
inline std::string describe(const registry& registry) {
    const auto state_of = [](const function_info& function, const hook_info& hook) {
        return !hook.enabled ? "disabled" : !function.wrapped ? "waits" : !hook.suits ? "passed by" : "runs";
    };
    constexpr std::size_t columns = 7;
    using row = std::array<std::string, columns>;
    std::vector<row> rows{{"FUNCTION", "PHASE", "HOOK", "OWNER", "PRIORITY", "STATE", "SIGNATURE"}};
    for (const function_info& function : registry.functions()) {
        std::string name = function.name, signature = function.signature;
        if (function.hooks.empty()) rows.push_back({name, "", "", "", "", "no hooks", signature});
        for (const hook_info& hook : function.hooks) {
            const std::string via = hook.pattern.empty() || hook.pattern == function.name ? "" : " (" + hook.pattern + ")";
            rows.push_back({name, std::string(to_string(hook.phase)), (hook.id.empty() ? "-" : hook.id) + via, hook.owner,
                            std::to_string(hook.priority), state_of(function, hook), signature});
            name = signature = "";  // once for each function
        }
    }

    std::array<std::size_t, columns> width{};
    for (const row& r : rows)
        for (std::size_t c = 0; c < columns; ++c) width[c] = std::max(width[c], r[c].size());
    std::string text;
    for (const row& r : rows) {
        for (std::size_t c = 0; c < columns; ++c) {
            const std::string padding(width[c] - r[c].size(), ' ');
            text += c == 4 ? padding + r[c] : r[c] + padding;  // numbers to the right
            text += "  ";
        }
        text.erase(text.find_last_not_of(' ') + 1);
        text += '\n';
    }
    return text;
}

}  // namespace ext
