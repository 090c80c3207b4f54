#pragma once

// Reads answers in JSON (RFC 8259), and writes secrets into requests. All memory that holds a text is
// wiped, and no exception quotes one. A JSON library would keep copies of texts in memory of its own.

#include "abi.hpp"
#include "wipe.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// A value in JSON, with copies of its texts.
class json {
public:
    /// `invalid`: the text was not JSON.
    enum class kind { invalid, null, boolean, number, text, array, object };

    bool is_null() const noexcept { return kind_ == kind::null; }
    bool is_array() const noexcept { return kind_ == kind::array; }
    bool is_object() const noexcept { return kind_ == kind::object; }
    bool is_text() const noexcept { return kind_ == kind::text; }
    bool is_true() const noexcept { return kind_ == kind::boolean && text_ == "true"; }

    /// The elements of an array, or the values of an object.
    const std::vector<json>& elements() const noexcept { return elements_; }

    /// The characters of a text, or those of a number as they are written.
    std::string_view characters() const noexcept { return text_; }

    /// The last member of this name; null if there is none.
    const json* find(std::string_view name) const {
        for (std::size_t i = names_.size(); i-- > 0;)
            if (names_[i] == name) return &elements_[i];
        return nullptr;
    }

private:
    friend class json_reader;

    kind kind_ = kind::invalid;
    secret_text text_{};  // of a text, without its escapes; of a number or a boolean, as it is written
    std::vector<secret_text> names_{};
    std::vector<json> elements_{};
};

class json_reader {
public:
    explicit json_reader(std::string_view text) : rest_(text) {}

    /// The whole text as one value, which is `invalid` if the text is not JSON.
    json read() && {
        json value;
        return read(value, 0) && (skip_space(), rest_.empty()) ? std::move(value) : json();
    }

private:
    static constexpr int deepest = 100;  // otherwise a server could exhaust the stack

    void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
    bool take(std::string_view wanted) {
        skip_space();
        if (!rest_.starts_with(wanted)) return false;
        rest_.remove_prefix(wanted.size());
        return true;
    }

    bool read(json& to, int depth) {
        if (depth == deepest) return false;
        if (take("{")) return read_all(to, json::kind::object, "}", depth);
        if (take("[")) return read_all(to, json::kind::array, "]", depth);
        if (take("\"")) return to.kind_ = json::kind::text, read_text(to.text_);
        for (const auto& [word, kind] :
             {std::pair("true", json::kind::boolean), std::pair("false", json::kind::boolean),
              std::pair("null", json::kind::null)})
            if (take(word)) return to.kind_ = kind, to.text_ = secret_text(word), true;
        return to.kind_ = json::kind::number, read_number(to.text_);
    }

    bool read_all(json& to, json::kind kind, std::string_view end, int depth) {
        to.kind_ = kind;
        if (take(end)) return true;
        do {
            const bool is_object = kind == json::kind::object;
            if (is_object && !(take("\"") && read_text(to.names_.emplace_back()) && take(":"))) return false;
            if (!read(to.elements_.emplace_back(), depth + 1)) return false;
        } while (take(","));
        return take(end);
    }

    // -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
    bool read_number(secret_text& to) {
        const std::string_view all = rest_;
        const auto skip = [this](std::string_view one_of) {
            const bool is_there = !rest_.empty() && one_of.find(rest_[0]) != std::string_view::npos;
            if (is_there) rest_.remove_prefix(1);
            return is_there;
        };
        const auto skip_digits = [&] {
            if (!skip("0123456789")) return false;
            while (skip("0123456789")) {}
            return true;
        };
        skip("-");
        if (!skip("0") && !skip_digits()) return false;
        if (skip(".") && !skip_digits()) return false;
        if (skip("eE") && (skip("+-"), !skip_digits())) return false;
        to = secret_text(all.substr(0, all.size() - rest_.size()));
        return true;
    }

    // The characters up to the closing quote.
    bool read_text(secret_text& to) {
        while (!rest_.empty()) {
            const char c = rest_[0];
            rest_.remove_prefix(1);
            if (c == '"') return true;
            if (static_cast<unsigned char>(c) < ' ') return false;
            if (c != '\\') to += c;
            else if (!read_escape(to)) return false;
        }
        return false;
    }

    bool read_escape(secret_text& to) {
        constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        const std::size_t which = rest_.empty() ? std::string_view::npos : letters.find(rest_[0]);
        if (which != std::string_view::npos) return to += meanings[which], rest_.remove_prefix(1), true;

        std::uint32_t code = 0, low = 0;
        if (!read_unit(code)) return false;
        const bool is_pair = code >= 0xd800 && code < 0xdc00;
        if (is_pair && !(rest_.starts_with('\\') && (rest_.remove_prefix(1), read_unit(low)))) return false;
        if (is_pair ? low < 0xdc00 || low >= 0xe000 : code >= 0xdc00 && code < 0xe000) return false;
        append_utf8(to, is_pair ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : code);
        return true;
    }

    // uXXXX, without the backslash.
    bool read_unit(std::uint32_t& code) {
        constexpr std::string_view digits = "0123456789abcdefABCDEF";
        if (rest_.size() < 5 || rest_[0] != 'u') return false;
        for (const char c : rest_.substr(1, 4)) {
            const std::size_t digit = digits.find(c);
            if (digit == std::string_view::npos) return false;
            code = code * 16 + static_cast<std::uint32_t>(digit > 15 ? digit - 6 : digit);
        }
        rest_.remove_prefix(5);
        return true;
    }

    static void append_utf8(secret_text& to, std::uint32_t code) {
        const auto append = [&to](std::uint32_t byte) {
            to += static_cast<char>(static_cast<unsigned char>(byte));
        };
        const auto append_last = [&](int bits) { append(0x80 | (code >> bits & 0x3f)); };
        if (code < 0x80) append(code);
        else if (code < 0x800) append(0xc0 | code >> 6), append_last(0);
        else if (code < 0x10000) append(0xe0 | code >> 12), append_last(6), append_last(0);
        else append(0xf0 | code >> 18), append_last(12), append_last(6), append_last(0);
    }

    std::string_view rest_;
};

/// Parses JSON. If the text is not JSON, the value is `invalid`, and has no members.
inline json parse_json(std::string_view text) { return json_reader(text).read(); }

/// The member of this name; null if there is none, or if `object` is null or not an object.
inline const json* member(const json* object, std::string_view name) {
    return object ? object->find(name) : nullptr;
}

/// The member of a member, and so on.
template <class... Names>
const json* member(const json* object, std::string_view name, Names... more) {
    return member(member(object, name), more...);
}

/// The text, a view into the value; std::nullopt if the value is not a text.
inline std::optional<std::string_view> text(const json* value) {
    return value && value->is_text() ? std::optional(value->characters()) : std::nullopt;
}

/// A whole number, which may be written as a text; std::nullopt if the value is not one.
inline std::optional<std::int64_t> number(const json* value) {
    std::string_view digits = value ? value->characters() : "";
    const bool is_negative = digits.starts_with('-');
    if (is_negative) digits.remove_prefix(1);
    if (digits.empty() || digits.size() > 18) return std::nullopt;
    std::int64_t read = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return std::nullopt;
        read = read * 10 + (c - '0');
    }
    return is_negative ? -read : read;
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

/// An object whose values are texts: {"role_id":"...","secret_id":"..."}
inline secret_text json_object(std::initializer_list<std::pair<std::string_view, std::string_view>> members) {
    secret_text object("{");
    for (const auto& [name, value] : members) {
        if (object.size() > 1) object += ',';
        append_quoted(object, name);
        append_quoted(object += ':', value);
    }
    return object += '}';
}

}}  // namespace secrets
