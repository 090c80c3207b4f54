#pragma once

// How does a compiler spell a type, and how is that text rewritten to what one writes in source code?
//
// What must stay true: the rewritten text is the same with every compiler and standard library, with
// the exceptions that type_name.hpp lists (tests/type_name.cpp).
//
// Not here: types that consist of other types. type_name.hpp takes them apart first.

#include <extensible/detail/platform/compiler.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

template <class T>
constexpr std::string_view function_text() noexcept {
    return EXTENSIBLE_FUNCTION_TEXT;
}

// The length of the text before the type, and of the text before and after it.
inline constexpr std::size_t text_before_type = function_text<double>().find("double");
inline constexpr std::size_t text_around_type = function_text<double>().size() - std::string_view("double").size();

/// The type as the compiler spells it.
template <class T>
constexpr std::string_view spelling() noexcept {
    constexpr std::string_view text = function_text<T>();
    return {text.data() + text_before_type, text.size() - text_around_type};
}

struct spelling_rule {
    std::string_view spelled, written;
};

// Texts that compilers and standard libraries write, and what source code has instead. A rule
// applies only to whole words. If several rules apply, the first one is used. All blanks are removed;
// write_blank() inserts the necessary ones.
EXTENSIBLE_HIDDEN inline constexpr spelling_rule spelling_rules[] = {
    {" ", ""}, {",", ", "}, {"(void)", "()"},
    {"class ", ""}, {"struct ", ""}, {"union ", ""}, {"enum ", ""}, {"__cdecl", ""}, {"__ptr64", ""},
    {"const", "const"}, {"volatile", "volatile"}, {"noexcept", "noexcept"},  // to insert blanks: `*const`, `)const`
    {"long long unsigned int", "unsigned long long"}, {"long unsigned int", "unsigned long"},
    {"short unsigned int", "unsigned short"}, {"unsigned __int64", "unsigned long long"}, {"__int64", "long long"},
    {"__int128 unsigned", "unsigned __int128"},
    {"long long int", "long long"}, {"long int", "long"}, {"short int", "short"},
    {"std::__cxx11::basic_string<char>", "std::string"}, {"std::basic_string<char>", "std::string"},
    {"std::basic_string<char,struct std::char_traits<char>,class std::allocator<char> >", "std::string"},
    {"std::basic_string_view<char>", "std::string_view"},
    {"std::basic_string_view<char,struct std::char_traits<char> >", "std::string_view"},
    {"ext::" EXTENSIBLE_TEXT(EXTENSIBLE_ABI) "::", "ext::"},
    {"__cxx11::", ""}, {"__exception_ptr::", ""}, {"_V2::", ""},
    {"__debug::", ""}, {"__cxx1998::", ""}, {"__8::", ""}, {"__1::", ""}, {"__ndk1::", ""}, {"__fs::", ""},
    {"{anonymous}", "(unnamed)"}, {"(anonymous namespace)", "(unnamed)"}, {"<unnamed>::", "(unnamed)::"},
    {"`anonymous-namespace'", "(unnamed)"}, {"`anonymous namespace'", "(unnamed)"},
};

constexpr bool is_of_word(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           static_cast<unsigned char>(c) >= 0x80;  // a part of a letter in UTF-8
}

// Used instead of std::string_view::starts_with(), for which GCC needs much memory in each constant
// expression.
constexpr bool begins_with(std::string_view text, std::string_view begin) noexcept {
    const std::size_t size = begin.size();
    if (size > text.size()) return false;
    const char *read = text.data(), *expected = begin.data();
    std::size_t same = 0;
    while (same != size && read[same] == expected[same]) ++same;
    return same == size;
}

// Returns the rule for the beginning of the text, or a rule that keeps the first character. `last` is
// the character before the text.
constexpr spelling_rule rule_for(std::string_view text, char last) noexcept {
    const std::string_view first = text.substr(0, 1);
    if (is_of_word(last) && is_of_word(text[0])) return {first, first};
    for (const spelling_rule& rule : spelling_rules) {
        if (rule.spelled[0] != first[0] || !begins_with(text, rule.spelled)) continue;
        const std::size_t size = rule.spelled.size();
        if (size == text.size() || !is_of_word(text[size - 1]) || !is_of_word(text[size])) return rule;
    }
    return {first, first};
}

template <std::size_t Capacity>
struct text_buffer {
    char text[Capacity + 1]{};
    std::uint32_t size = 0;

    constexpr std::string_view view() const noexcept { return {text, std::size_t{size}}; }
    constexpr void write(std::string_view added) noexcept {
        for (char c : added) text[size++] = c;
    }
    // Writes a blank if one is needed before `next`: between two words, and before a qualifier or
    // specifier, as in `char* const` and `int() noexcept`.
    constexpr void write_blank(char next) noexcept {
        const char last = size == 0 ? ' ' : text[size - 1];
        if (is_of_word(next) && (is_of_word(last) || last == '*' || last == '&' || last == '>' || last == ')'))
            write(" ");
    }
};

template <std::size_t Capacity>
constexpr text_buffer<Capacity> rewrite(std::string_view text) noexcept {
    text_buffer<Capacity> out;
    bool has_blank = false;  // the compiler wrote a blank after the text that was written last
    for (char last = 0; !text.empty();) {
        const auto [spelled, written] = rule_for(text, last);
        if (written.empty()) {
            has_blank = has_blank || spelled[0] == ' ';
        } else {
            if (has_blank || written.size() > 1) out.write_blank(written[0]);
            out.write(written);
            has_blank = false;
        }
        last = spelled.back();
        text.remove_prefix(spelled.size());
    }
    return out;
}

/// The spelling of T, rewritten. The buffer has at least twice the size of the text, because blanks are
/// inserted after commas. The size is rounded up, so that few different sizes are compiled.
template <class T>
EXTENSIBLE_HIDDEN inline constexpr auto rewritten = rewrite<(spelling<T>().size() / 32 + 1) * 64>(spelling<T>());

/// Returns the template arguments: the text between the first `<` and the last character, a `>`.
constexpr std::string_view inside(std::string_view text) noexcept {
    std::size_t begin = 0;
    while (text[begin++] != '<') {}
    return text.substr(begin, text.size() - begin - 1);
}

}}}  // namespace ext::detail
