#pragma once

// Values as JSON, for ext::hooks::trace.

#include <extensible/any_call.hpp>
#include <extensible/detail/platform/compiler.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
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

/// Returns a JSON string. Bytes that are not UTF-8 are replaced, because one such byte would make
/// the whole document invalid.
inline std::string json(std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string written = "\"";
    while (!text.empty()) {
        const char c = text.front();
        const auto code = static_cast<unsigned char>(c);
        const std::size_t length = utf8_length(text);
        if (length == 0) written += "\\ufffd";
        else if (code < 0x20) written += {'\\', 'u', '0', '0', hex[code / 16u], hex[code % 16u]};
        else if (c == '"' || c == '\\') written += {'\\', c};
        else written += text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return written + '"';
}

inline std::string json(const char* text) { return text ? json(std::string_view(text)) : "null"; }

template <class T>
    requires std::is_arithmetic_v<T>
std::string json(T value) {
    if constexpr (std::is_same_v<T, bool>) {
        return value ? "true" : "false";
    } else {
        if (!std::isfinite(static_cast<double>(value))) return "null";  // JSON has no infinity
        std::array<char, 32> digits;
        return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr};
    }
}

/// A JSON object that is written member by member.
class json_object {
public:
    /// Adds a member, whose value is JSON text. Does nothing if the value is empty.
    json_object& add(std::string_view name, const std::string& value) {
        if (!value.empty()) members_ += (members_.empty() ? "" : ", ") + json(name) + ": " + value;
        return *this;
    }
    std::string text() const { return "{" + members_ + "}"; }

private:
    std::string members_;
};

/// The arguments and results of a call as JSON. Values of other types than these are left out.
template <class... T>
struct json_values {
    static std::string argument(const any_call& call, std::size_t index) { return first(call.arg<T>(index)...); }
    static std::string result(const any_call& call) { return first(call.result<T>()...); }

    static std::string arguments(const any_call& call) {
        json_object all;
        for (std::size_t i = 0; i < call.size(); ++i) {
            const std::string name(call.arg_name(i));  // empty if the parameters have no names
            all.add(name.empty() ? std::to_string(i) : name, argument(call, i));
        }
        return all.text();
    }

private:
    static std::string first(const T*... values) {
        std::string written;
        ((values ? void(written = json(*values)) : void()), ...);
        return written;
    }
};
using json_value = json_values<bool, short, unsigned short, int, unsigned, long, unsigned long, long long,
                               unsigned long long, float, double, std::string, std::string_view, const char*>;

}}}}  // namespace ext::hooks::detail
