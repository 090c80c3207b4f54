#pragma once

// How are texts and numbers joined to one text?
//
// Not here: the texts of hooks and exceptions: error.hpp.

#include <extensible/detail/platform/compiler.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Returns the concatenation of texts, for what() of an error.
EXTENSIBLE_COLD_FUNCTION std::string join(std::initializer_list<std::string_view> parts);

/// Does what std::to_string() does. With std::to_string(), GCC creates a unique symbol, and a library
/// that has one can never be unloaded.
EXTENSIBLE_COLD_FUNCTION std::string text_of(int number);

/// Writes a number in decimal digits, and advances `at` past them.
constexpr void write_number(char*& at, std::size_t number) noexcept {
    if (number >= 10) write_number(at, number / 10);
    *at++ = static_cast<char>('0' + number % 10);
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

std::string join(std::initializer_list<std::string_view> parts) {
    std::size_t size = 0;
    for (const std::string_view part : parts) size += part.size();
    std::string text(size, ' ');  // filled in place, because appending compiles to much more code
    char* at = text.data();
    for (const std::string_view part : parts)
        for (const char c : part) *at++ = c;
    return text;
}

std::string text_of(int number) {
    std::string text;
    for (int left = number; text.empty() || left != 0; left /= 10) {
        const int digit = left % 10;
        text.insert(text.begin(), static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    }
    return number < 0 ? "-" + text : text;
}

#endif

}}}  // namespace ext::detail
