#pragma once

// How is any value written in the text of a spy? Integers and texts of char are written as in JSON, wide
// texts and some pointers by numbers, and other values by their `<<` or as their type.
//
// What must stay true: what the `<<` of one value does to its stream has no effect on others
// (tests/hooks/spy.cpp).

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/detail/c_string.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/json.hpp>

#include <cstdint>
#include <ostream>
#include <sstream>
#include <streambuf>
#include <string>
#include <string_view>
#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// Stands for an argument or a result of type T that cannot be copied.
template <class T>
struct not_copied {};

namespace detail {

template <class>
inline constexpr bool is_not_copied = false;
template <class T>
inline constexpr bool is_not_copied<not_copied<T>> = true;

// Appends what the `<<` of a value writes, or the name of its type if that fails.
template <class T>
void append_printed(std::string& to, const T& value) {
    EXTENSIBLE_TRY {
        std::ostringstream out;
        out << value;
        if (out) return void(to += out.str());
    } EXTENSIBLE_CATCH(...) {
        // The type's name is enough.
    }
    to.append("<").append(detail::type_name<T>()).append(", which cannot be printed>");
}

// Appends a text of wide characters, in quotes. Characters other than printable ASCII, quotes and
// backslashes are written as numbers, as in \u{0xe9}.
template <class Character>
void append_wide(std::string& to, std::basic_string_view<Character> text) {
    to += '"';
    for (const Character c : text) {
        const auto number = static_cast<std::uint32_t>(c);
        if (number >= 0x20 && number < 0x7F && number != '"' && number != '\\') {
            to += static_cast<char>(number);
        } else {
            append_address(to += "\\u{", number);
            to += '}';
        }
    }
    to += '"';
}

// The << of a stream calls a pointer to a function such as std::endl, and reads a stream buffer.
template <class T>
inline constexpr bool has_harmful_output =
    std::is_pointer_v<T> && (std::is_function_v<std::remove_pointer_t<T>> || std::is_convertible_v<T, std::streambuf*>);

template <class T>
void append_value(std::string& to, const T& value) {
    if constexpr (std::is_convertible_v<const T&, std::string_view> && !std::is_pointer_v<T> &&
                  !std::is_null_pointer_v<T>) {
        append_json(to, std::string_view(value));
    } else if constexpr (requires { typename T::traits_type; std::basic_string_view<typename T::value_type>(value); }) {
        append_wide(to, std::basic_string_view<typename T::value_type>(value));
    } else if constexpr (is_character_pointer<T> || has_harmful_output<T>) {
        append_address(to, reinterpret_cast<std::uintptr_t>(value));
    } else if constexpr (std::is_same_v<T, signed char> || std::is_same_v<T, unsigned char>) {
        append_json(to, +value);  // as a number
    } else if constexpr (std::is_integral_v<T> && !is_character<T> && sizeof(T) <= 8) {
        append_json(to, value);
    } else if constexpr (requires(std::ostream& out) { out << value; }) {
        append_printed(to, value);
    } else {
        to.append("<").append(detail::type_name<T>()).append(">");
    }
}
template <class T>
void append_value(std::string& to, const not_copied<T>&) {
    to.append("<").append(detail::type_name<T>()).append(", which cannot be copied>");
}

}  // namespace detail

}}}  // namespace ext::hooks
