#pragma once

// Which names does a pattern match?

#include <extensible/detail/platform/compiler.hpp>

#include <cstddef>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

constexpr bool is_pattern(std::string_view name) noexcept { return name.find('*') != std::string_view::npos; }

/// Whether `name` is what `pattern` says, where each `*` matches any run of characters, an empty one too.
constexpr bool matches(std::string_view pattern, std::string_view name) noexcept {
    std::size_t p = 0, n = 0;
    std::size_t star = pattern.size(), after_star = 0;  // the last star, and where in the name it ends for now
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            after_star = n;
        } else if (p < pattern.size() && pattern[p] == name[n]) {
            ++p;
            ++n;
        } else if (star != pattern.size()) {
            p = star + 1;
            n = ++after_star;  // the star takes one more
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

}}}  // namespace ext::detail
