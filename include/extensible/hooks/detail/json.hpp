#pragma once

// Values as JSON: for ext::hooks::trace and ext::hooks::metrics, and for the texts of faults and spies.

#include <extensible/any_call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/detail/c_string.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// Returns the number of bytes of the first character of `text`, or 0 if the text does not begin
/// with valid UTF-8.
inline std::size_t utf8_length(std::string_view text) {
    const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0), second = byte(1);
    const std::size_t length =
        first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    if (first == 0xE0 && second < 0xA0) return 0;  // overlong: two bytes are enough
    if (first == 0xED && second > 0x9F) return 0;  // one half of a surrogate pair
    if (first == 0xF0 && second < 0x90) return 0;  // overlong: three bytes are enough
    if (first == 0xF4 && second > 0x8F) return 0;  // above U+10FFFF
    return length;
}

/// Appends a text as a JSON string. Bytes that are not UTF-8 are replaced, because one such byte would
/// make the whole document invalid.
inline void append_json(std::string& to, std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    const auto needs_no_escape = [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; };
    to += '"';
    while (!text.empty()) {
        const auto special = std::find_if_not(text.begin(), text.end(), needs_no_escape);
        const auto plain = static_cast<std::size_t>(special - text.begin());
        to += text.substr(0, plain);
        text.remove_prefix(plain);
        if (text.empty()) break;
        const char c = text.front();
        const auto code = static_cast<unsigned char>(c);
        const std::size_t length = utf8_length(text);
        if (length == 0) to += "\\ufffd";
        else if (code < 0x20) to += {'\\', 'u', '0', '0', hex[code / 16u], hex[code % 16u]};
        else if (c == '"' || c == '\\') to += {'\\', c};
        else to += text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    to += '"';
}

/// Appends a C string, or `null`.
inline void append_json(std::string& to, const char* text) {
    if (text) append_json(to, std::string_view(text));
    else to += "null";
}

/// Appends a number in base 10 or 16. Does not use std::to_chars() or std::to_string(): with these, GCC creates
/// a unique symbol for integers, and a library that has one can never be unloaded.
inline void append_number(std::string& to, std::uint64_t number, unsigned base = 10) {
    std::array<char, 20> digits;
    auto first = digits.end();
    do *--first = "0123456789abcdef"[number % base];
    while ((number /= base) != 0);
    to.append(first, digits.end());
}

/// Appends a number or a bool. JSON has no infinity, and no NaN: for these, appends `null`.
template <class T>
    requires std::is_arithmetic_v<T>
void append_json(std::string& to, T value) {
    if constexpr (std::is_same_v<T, bool>) {
        to += value ? "true" : "false";
    } else if constexpr (std::is_floating_point_v<T>) {
        if (!std::isfinite(value)) return void(to += "null");
        std::array<char, 32> digits;
        to.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
    } else {
        const auto number = static_cast<std::uint64_t>(value);
        if (value < 0) to += '-';
        append_number(to, value < 0 ? 0 - number : number);
    }
}

/// Returns a number or a bool as JSON.
template <class T>
std::string json(T value) {
    std::string text;
    append_json(text, value);
    return text;
}

/// Appends a number as an address is written.
inline void append_address(std::string& to, std::uintptr_t number) {
    append_number(to += "0x", number, 16);
}

/// The arguments and the result of a call as JSON. Values of other types than these are left out.
template <class... T>
struct json_values {
    /// Appends `name: value` for each argument, in braces. A parameter without a name has its number.
    static void append_arguments(std::string& to, const any_call& call) {
        to += '{';
        const char* separator = "";
        for (std::size_t i = 0; i < call.size(); ++i) {
            const std::size_t before = to.size();
            to += separator;
            const std::string_view name = call.arg_name(i);
            if (name.empty()) append_json(to += '"', i), to += '"';
            else append_json(to, name);
            to += ": ";
            if (append_argument(to, call, i)) separator = ", ";
            else to.resize(before);
        }
        to += '}';
    }

    /// Appends the result. Returns false if it has none of the types.
    static bool append_result(std::string& to, const any_call& call) { return append_first(to, call.result<T>()...); }

private:
    // A pointer to characters is a C string unless a length follows: see c_string.hpp.
    static bool append_argument(std::string& to, const any_call& call, std::size_t index) {
        const char* const* const text = call.arg<const char*>(index);
        if (!text || !is_length(call, index + 1)) return append_first(to, call.arg<T>(index)...);
        to += '"';
        append_address(to, reinterpret_cast<std::uintptr_t>(*text));
        to += '"';
        return true;
    }
    static bool is_length(const any_call& call, std::size_t index) {
        const auto is = [&]<class Integer>(Integer) { return call.arg<Integer>(index) != nullptr; };
        return index < call.size() && (((can_be_length<T> && call.arg<T>(index)) || ...) || is(char()) ||
                                       is(wchar_t()) || is(char8_t()) || is(char16_t()) || is(char32_t()));
    }
    static bool append_first(std::string& to, const T*... values) {
        return ((values ? (append_json(to, *values), true) : false) || ...);
    }
};
using json_value = json_values<bool, signed char, unsigned char, short, unsigned short, int, unsigned, long,
                               unsigned long, long long, unsigned long long, float, double, std::string,
                               std::string_view, const char*>;

}}}}  // namespace ext::hooks::detail
