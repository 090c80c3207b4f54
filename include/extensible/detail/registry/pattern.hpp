#pragma once

// Which names does a pattern match? tests/any_call.cpp and tests/model check it.
//
// Not here: which hooks under patterns a function has: matching_hooks() in order.hpp.

#include <extensible/detail/platform/compiler.hpp>

#include <cstddef>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

constexpr bool is_pattern(std::string_view name) noexcept { return name.find('*') != std::string_view::npos; }

/// Returns whether `pattern` matches `name`. Each `*` matches any run of characters, even an empty one.
constexpr bool matches(std::string_view pattern, std::string_view name) noexcept {
    std::size_t p = 0, n = 0;
    std::size_t star = pattern.size(), after_star = 0;  // the last star, and the end of its match so far
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            after_star = n;
        } else if (p < pattern.size() && pattern[p] == name[n]) {
            ++p;
            ++n;
        } else if (star != pattern.size()) {
            p = star + 1;
            n = ++after_star;  // try again: the star matches one more character
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

}}}  // namespace ext::detail
