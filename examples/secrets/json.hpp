#pragma once

// Reads answers in JSON, and writes secrets into requests. The texts are wiped, and no exception
// quotes them.

#include "wipe.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace secrets {

/// JSON whose memory is overwritten before it is freed. All its texts are in that memory, short
/// ones too. (The parser's own buffer leaves up to 15 characters of a short text on the stack.)
using json_string = std::basic_string<char, std::char_traits<char>, wiping_allocator<char>>;
using json =
    nlohmann::basic_json<std::map, std::vector, json_string, bool, std::int64_t, std::uint64_t, double, wiping_allocator>;

/// Parses JSON. If the text is not JSON, the result is a discarded value, whose members are null.
/// An exception would quote the text.
inline json parse_json(std::string_view text) { return json::parse(text.begin(), text.end(), nullptr, false); }

/// The member of this name; null if there is none, or if `object` is not an object.
inline const json* member(const json* object, std::string_view name) {
    if (!object || !object->is_object()) return nullptr;
    const auto found = object->find(json_string(name));
    return found != object->end() ? &*found : nullptr;
}

/// The member of a member, and so on.
template <class... Names>
const json* member(const json* object, std::string_view name, Names... more) {
    return member(member(object, name), more...);
}

/// The text, a view into the JSON; std::nullopt if the value is not a text.
inline std::optional<std::string_view> text(const json* value) {
    if (!value || !value->is_string()) return std::nullopt;
    return std::string_view(value->get_ref<const json_string&>());
}

/// A whole number, which may be written as a text; std::nullopt if the value is not one.
inline std::optional<std::int64_t> number(const json* value) {
    if (!value) return std::nullopt;
    if (value->is_number_integer()) return value->get<std::int64_t>();
    const std::optional<std::string_view> written = text(value);
    if (!written || written->empty() || written->size() > 18) return std::nullopt;
    std::int64_t read = 0;
    for (const char c : *written) {
        if (c < '0' || c > '9') return std::nullopt;
        read = read * 10 + (c - '0');
    }
    return read;
}

/// Appends the text as JSON, in quotes. Bytes that are not UTF-8 are not changed.
inline void append_quoted(secret_text& to, std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    to += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < ' ') (((to += "\\u00") += digits[byte / 16]) += digits[byte % 16]);
        else ((c == '"' || c == '\\' ? to += '\\' : to) += c);
    }
    to += '"';
}

}  // namespace secrets
