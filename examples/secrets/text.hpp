#pragma once

// What the hooks ask about texts, and cut from them.

#include "abi.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// Whether the text has no control characters: a line break would begin another header, or another line
/// of a log.
inline bool is_one_line(std::string_view text) noexcept {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') return false;
    return true;
}

/// Whether a secret can have this name: it is not empty, and has no control characters and no segments
/// that are empty, `.` or `..`, which could change a path. Stores are not asked for other names.
inline bool is_askable(std::string_view service) noexcept {
    if (!is_one_line(service)) return false;
    for (;;) {
        const std::size_t slash = service.find('/');
        const std::string_view segment = service.substr(0, slash);
        if (segment.empty() || segment == "." || segment == "..") return false;
        if (slash == std::string_view::npos) return true;
        service.remove_prefix(slash + 1);
    }
}

/// The text with its ASCII letters in lower case, whatever the locale is.
inline std::string in_lower_case(std::string_view text) {
    std::string lower(text);
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

inline bool equals_ignoring_case(std::string_view one, std::string_view other) {
    return in_lower_case(one) == in_lower_case(other);
}

/// Whether the text has only letters, digits and these other characters.
inline bool has_only(std::string_view text, std::string_view others) {
    std::string allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return text.find_first_not_of(allowed.append(others)) == std::string_view::npos;
}

/// The text without a line break at its end. `echo` and editors add one.
inline std::string_view without_line_break(std::string_view text) noexcept {
    if (text.ends_with('\n')) text.remove_suffix(text.ends_with("\r\n") ? 2 : 1);
    return text;
}

/// The text without white space at its ends.
inline std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view space = " \t\r\n\f\v";
    text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
    return text.substr(0, text.find_last_not_of(space) + 1);
}

/// A pattern such as "api-keys/{service}", with `{service}` replaced by the service. The inserted
/// name is not searched for `{service}`.
inline std::string with_service(std::string pattern, std::string_view service) {
    constexpr std::string_view placeholder = "{service}";
    for (std::size_t at = 0; (at = pattern.find(placeholder, at)) != std::string::npos; at += service.size())
        pattern.replace(at, placeholder.size(), service);
    return pattern;
}

}}  // namespace secrets
