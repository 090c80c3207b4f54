#pragma once

// What is a type called? A name is the one that people write, the same with every compiler and standard library, and it is made
// at compile time. Names also tell types apart across shared libraries, without run-time type information: see type_identity.
//
// Templates take a type apart: functions, pointers, references, arrays, qualifiers, and class templates whose arguments are
// types, values, or one type and then values. For what remains there is the compiler's text, with spelling_rules applied.
// Compilers do not agree on the text of:
// - pointers, and objects of class type, as template arguments;
// - class templates of another mix of types and values, as `grid<3, double>`: default arguments are left out as the compiler
//   likes. GCC leaves out the type of a number too: if that parameter is `auto`, `grid<3, T>` and `grid<3u, T>` have one name;
// - lambdas, and classes of a function: Clang does not say which function, and GCC does not say which of its lambdas.
// So two types can have one name. In one module they are different all the same: type_identity compares addresses there.

#include <extensible/detail/config.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <type_traits>

namespace ext::inline EXTENSIBLE_ABI::detail {

/// The name of T as one writes it: `std::string(std::string_view)`, `std::vector<int>`, `unsigned long`.
template <class T>
constexpr std::string_view type_name() noexcept;

/// Tells types apart. Each type has one identity in a module; identities of two modules are compared by name.
struct type_identity {
    std::string_view name;
    const void* local;             // not null if another module's type of this name is another one: unnamed namespaces, lambdas
    const void* module = nullptr;  // the address of something that each module has one of

    friend constexpr bool operator==(const type_identity& a, const type_identity& b) noexcept {
        if (a.module && a.module == b.module) return &a == &b;
        return a.local == b.local && a.name == b.name;
    }
};

/// The one identity of T, in static storage of the module that asks. Not to be copied: its address counts.
template <class T>
constexpr const type_identity& identity_of() noexcept;

// The compiler's text ---------------------------------------------------------------------------------------------------------

template <class T>
constexpr std::string_view function_text() noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
    return __FUNCSIG__;
#else
    return __PRETTY_FUNCTION__;
#endif
}

// Where a type is in that text, seen from both ends.
inline constexpr std::size_t text_before_type = function_text<double>().find("double");
inline constexpr std::size_t text_around_type = function_text<double>().size() - std::string_view("double").size();

template <class T>
constexpr std::string_view spelling() noexcept {
    constexpr std::string_view text = function_text<T>();
    return {text.data() + text_before_type, text.size() - text_around_type};
}

// `ext::abi_2::`, with what EXTENSIBLE_ABI is; or `ext::` if the compiler leaves inline namespaces out.
constexpr std::string_view spelled_namespace() noexcept {
    constexpr std::string_view text = function_text<double>();
    constexpr std::size_t begin = text.find("ext::");
    return text.substr(begin, text.find("detail::") - begin);
}

struct spelling_rule {
    std::string_view spelled;
    std::string_view written;
    bool is_local = false;  // tells that the type is no other module's
};

// What compilers and standard libraries put into a name that nobody writes. A rule applies to whole words, and of two rules the
// first one does.
EXTENSIBLE_HIDDEN inline constexpr spelling_rule spelling_rules[] = {
    {"class ", ""}, {"struct ", ""}, {"union ", ""}, {"enum ", ""}, {"__cdecl", ""}, {"__ptr64", ""}, {"(void)", "()"},
    {"const", "const"}, {"volatile", "volatile"}, {"noexcept", "noexcept"},  // whose blanks differ: `*const`, `)const`
    {"long long unsigned int", "unsigned long long"}, {"long unsigned int", "unsigned long"},
    {"short unsigned int", "unsigned short"}, {"unsigned __int64", "unsigned long long"},
    {"__int128 unsigned", "unsigned __int128"}, {"long long int", "long long"}, {"long int", "long"}, {"short int", "short"},
    {"__int64", "long long"},
    {spelled_namespace(), "ext::"},
    {"std::__cxx11::basic_string<char>", "std::string"}, {"std::basic_string<char>", "std::string"},
    {"std::basic_string<char,struct std::char_traits<char>,class std::allocator<char> >", "std::string"},
    {"std::basic_string_view<char>", "std::string_view"},
    {"std::basic_string_view<char,struct std::char_traits<char> >", "std::string_view"},
    {"std::__exception_ptr::", "std::"}, {"std::chrono::_V2::", "std::chrono::"}, {"std::_V2::", "std::"},
    {"std::filesystem::__cxx11::", "std::filesystem::"}, {"std::__fs::filesystem::", "std::filesystem::"},
    {"std::__1::__fs::filesystem::", "std::filesystem::"}, {"std::__1::", "std::"}, {"std::__ndk1::", "std::"},
    {"std::__cxx11::", "std::"}, {"std::__debug::", "std::"}, {"std::__cxx1998::", "std::"}, {"std::__8::", "std::"},
    {"{anonymous}", "(unnamed)", true}, {"(anonymous namespace)", "(unnamed)", true},
    {"`anonymous-namespace'", "(unnamed)", true}, {"`anonymous namespace'", "(unnamed)", true},
    {"<unnamed>::", "(unnamed)::", true}, {"<unnamed", "<unnamed", true}, {"(unnamed ", "(unnamed ", true},
    {"(anonymous ", "(unnamed ", true}, {"<lambda", "<lambda", true}, {"(lambda ", "(lambda ", true},
    {")::", ")::", true}, {"'::", "'::", true},
};

constexpr bool is_of_word(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           static_cast<unsigned char>(c) >= 0x80;  // of a letter in UTF-8
}

inline constexpr std::size_t rule_count = sizeof spelling_rules / sizeof *spelling_rules;

/// The index of the rule; `rule_count` where there is none. Not a pointer: with -fsanitize=undefined, GCC 12 cannot compare one
/// with null in a constant expression.
constexpr std::size_t find_rule(const char* at, std::size_t size) noexcept {
    std::size_t index = 0;
    for (; index != rule_count; ++index) {
        const spelling_rule& rule = spelling_rules[index];
        const std::size_t length = rule.spelled.size();
        if (rule.spelled[0] != *at || length > size) continue;
        std::size_t same = 1;
        while (same != length && rule.spelled[same] == at[same]) ++same;
        if (same == length && !(is_of_word(at[length - 1]) && length != size && is_of_word(at[length]))) break;
    }
    return index;
}

template <std::size_t Capacity>
struct rewritten_text {
    char text[Capacity]{};
    std::size_t size = 0;
    bool is_local = false;

    constexpr std::string_view view() const noexcept { return {text, size}; }
    constexpr void write(char c) noexcept { text[size++] = c; }

    // A blank is needed between words, and before a word that says something of what precedes it.
    constexpr void write_blank(char next) noexcept {
        const char last = size == 0 ? ' ' : text[size - 1];
        if (is_of_word(next) && (is_of_word(last) || last == '*' || last == '&' || last == '>' || last == ')')) write(' ');
    }
};

// The longest that a text can become: blanks are added after commas.
constexpr std::size_t capacity_for(std::string_view text) noexcept { return text.size() * 2 + 1; }

template <std::size_t Capacity>
constexpr rewritten_text<Capacity> rewrite(std::string_view text) noexcept {
    rewritten_text<Capacity> out;
    const char* at = text.data();
    const char* const end = at + text.size();
    char last = 0;  // of what was read
    while (at != end) {
        const bool begins = !is_of_word(*at) || !(is_of_word(last) || last == ':');
        const std::size_t index = begins ? find_rule(at, static_cast<std::size_t>(end - at)) : rule_count;
        if (index != rule_count) {
            const spelling_rule& rule = spelling_rules[index];
            if (!rule.written.empty()) out.write_blank(rule.written[0]);
            for (char c : rule.written) out.write(c);
            if (rule.is_local) out.is_local = true;
            at += rule.spelled.size();
            last = rule.spelled.back();
            continue;
        }
        last = *at++;
        if (last == ' ') {
            if (at != end) out.write_blank(*at);
        } else {
            out.write(last);
            if (last == ',') out.write(' ');
        }
    }
    return out;
}

// Names, put together ---------------------------------------------------------------------------------------------------------

// What a name is made of.
struct name_parts {
    bool is_local;
    std::string_view parts[5];
    std::size_t split = 0;  // of a function: where `(*)` goes, behind the result

    constexpr name_parts(bool local, std::string_view a, std::string_view b = {}, std::string_view c = {},
                         std::string_view d = {}, std::string_view e = {}) noexcept
        : is_local(local), parts{a, b, c, d, e} {}

    constexpr std::size_t size() const noexcept {
        std::size_t sum = 0;
        for (std::string_view part : parts) sum += part.size();
        return sum;
    }
};

// Has the member `parts`. This one is for types that are not taken apart; specializations are for all others.
template <class T>
struct name_of {
    EXTENSIBLE_HIDDEN static constexpr auto rewritten = rewrite<capacity_for(spelling<T>())>(spelling<T>());
    static constexpr name_parts parts{rewritten.is_local, rewritten.view()};
};

template <std::size_t Size>
struct stored_text {
    char text[Size == 0 ? 1 : Size];
    constexpr std::string_view view() const noexcept { return {text, Size}; }
};

template <std::size_t Size, class Parts>
constexpr stored_text<Size> join(const Parts& parts, std::string_view between = {}) noexcept {
    stored_text<Size> out{};
    char* at = out.text;
    for (std::string_view part : parts) {
        if (at != out.text)
            for (char c : between) *at++ = c;
        for (char c : part) *at++ = c;
    }
    return out;
}

// Each name is made once. Only those that are asked for at run time are in the program.
template <class T>
EXTENSIBLE_HIDDEN inline constexpr auto stored_name = join<name_of<T>::parts.size()>(name_of<T>::parts.parts);

struct finished_name {
    std::string_view text;
    bool is_local;
    std::size_t split;
};

template <class T>
inline constexpr finished_name finished{stored_name<T>.view(), name_of<T>::parts.is_local, name_of<T>::parts.split};

template <>
struct name_of<std::nullptr_t> {
    static constexpr name_parts parts{false, "std::nullptr_t"};
};

// Pointers, references, qualifiers, arrays ------------------------------------------------------------------------------------

constexpr name_parts marked(const finished_name& object, std::string_view mark) noexcept {
    if (object.split == 0) return {object.is_local, object.text, mark};
    return {object.is_local, object.text.substr(0, object.split), "(", mark, ")", object.text.substr(object.split)};
}

template <class T>
struct name_of<T*> {
    static constexpr name_parts parts = marked(finished<T>, "*");
};
template <class T>
struct name_of<T&> {
    static constexpr name_parts parts = marked(finished<T>, "&");
};
template <class T>
struct name_of<T&&> {
    static constexpr name_parts parts = marked(finished<T>, "&&");
};

template <class T>
constexpr name_parts qualified(std::string_view qualifier) noexcept {
    constexpr const finished_name& object = finished<T>;
    if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T>) return {object.is_local, object.text, " ", qualifier};
    else return {object.is_local, qualifier, " ", object.text};
}

// An array is not qualified, its elements are.
template <class T>
    requires (!std::is_array_v<T>)
struct name_of<const T> {
    static constexpr name_parts parts = qualified<T>("const");
};
template <class T>
    requires (!std::is_array_v<T>)
struct name_of<volatile T> {
    static constexpr name_parts parts = qualified<T>("volatile");
};
template <class T>
    requires (!std::is_array_v<T>)
struct name_of<const volatile T> {
    static constexpr name_parts parts = qualified<T>("const volatile");
};

constexpr std::size_t digits_of(unsigned long long number) noexcept { return number < 10 ? 1 : 1 + digits_of(number / 10); }

template <unsigned long long Number>
constexpr auto make_digits() noexcept {
    stored_text<digits_of(Number)> out{};
    char* at = out.text + sizeof out.text;
    for (unsigned long long rest = Number; at != out.text; rest /= 10) *--at = static_cast<char>('0' + rest % 10);
    return out;
}
template <unsigned long long Number>
EXTENSIBLE_HIDDEN inline constexpr auto digits = make_digits<Number>();

// `int[2][3]` is an array of two arrays, and the two is written first.
constexpr name_parts array_of(const finished_name& element, std::size_t innermost, std::string_view size) noexcept {
    return {element.is_local, element.text.substr(0, innermost), "[", size, "]", element.text.substr(innermost)};
}

template <class T, std::size_t Size>
struct name_of<T[Size]> {
    static constexpr std::size_t innermost = finished<std::remove_all_extents_t<T>>.text.size();
    static constexpr name_parts parts = array_of(finished<T>, innermost, digits<Size>.view());
};
template <class T>
struct name_of<T[]> {
    static constexpr std::size_t innermost = finished<std::remove_all_extents_t<T>>.text.size();
    static constexpr name_parts parts = array_of(finished<T>, innermost, {});
};

// Functions -------------------------------------------------------------------------------------------------------------------

template <class... T>
struct type_list {};

template <class List>
struct names_in;
template <class... T>
struct names_in<type_list<T...>> {
    static constexpr bool is_local = (false || ... || finished<T>.is_local);
    static constexpr std::size_t commas = sizeof...(T) > 1 ? sizeof...(T) - 1 : 0;
    EXTENSIBLE_HIDDEN static constexpr auto text = join<((2 * commas) + ... + finished<T>.text.size())>(
        std::initializer_list<std::string_view>{finished<T>.text...}, ", ");
};

constexpr name_parts function(const finished_name& result, std::string_view parameters, bool is_local) noexcept {
    name_parts parts{is_local, result.text, "(", parameters, ")"};
    parts.split = result.text.size();
    return parts;
}
constexpr name_parts noexcept_function(const finished_name& plain) noexcept {
    name_parts parts{plain.is_local, plain.text, " noexcept"};
    parts.split = plain.split;
    return parts;
}

template <class R, class... A>
struct name_of<R(A...)> {
    using parameters = names_in<type_list<A...>>;
    static constexpr name_parts parts =
        function(finished<R>, parameters::text.view(), finished<R>.is_local || parameters::is_local);
};
template <class R, class... A>
struct name_of<R(A...) noexcept> {
    static constexpr name_parts parts = noexcept_function(finished<R(A...)>);
};

// Values as template arguments ------------------------------------------------------------------------------------------------

// A value, as if it were a type. `IsTyped` tells that the template's parameter is `auto`: the type of a number is written too.
template <bool IsTyped, auto Value>
struct argument {
    EXTENSIBLE_HIDDEN static constexpr auto value = Value;
};

// No std::string_view::find(), for the same reason as in find_rule().
constexpr std::size_t behind_comma(const char* text) noexcept {
    std::size_t at = 0;
    while (text[at] != ',') ++at;
    return at + 2;
}

template <bool IsTyped, auto Value>
struct name_of<argument<IsTyped, Value>> {  // the text between `argument<false, ` and `>`
    static constexpr std::string_view spelled = spelling<argument<false, Value>>();
    EXTENSIBLE_HIDDEN static constexpr auto rewritten = rewrite<capacity_for(spelled)>(spelled);
    static constexpr std::size_t begin = behind_comma(rewritten.text);
    static constexpr name_parts parts{rewritten.is_local, rewritten.view().substr(begin, rewritten.size - begin - 1)};
};
template <bool IsTyped, bool Value>
struct name_of<argument<IsTyped, Value>> {
    static constexpr name_parts parts{false, Value ? "true" : "false"};
};

template <class Number>
constexpr unsigned long long magnitude(Number number) noexcept {
    return number < 0 ? 0 - static_cast<unsigned long long>(number) : static_cast<unsigned long long>(number);
}

// Characters are numbers too, since compilers do not agree on how to write them.
template <bool IsTyped, auto Value>
    requires std::is_integral_v<decltype(Value)>
struct name_of<argument<IsTyped, Value>> {
    static constexpr std::string_view sign = Value < 0 ? "-" : "", number = digits<magnitude(Value)>.view();
    static constexpr name_parts parts = IsTyped && !std::is_same_v<decltype(Value), int>
                                            ? name_parts{false, "(", finished<decltype(Value)>.text, ")", sign, number}
                                            : name_parts{false, sign, number};
};

// The same value, as a number of another type.
template <auto Value>
constexpr auto make_retyped() noexcept {
    using type = decltype(Value);
    if constexpr (!std::is_integral_v<type> || std::is_same_v<type, bool>) return Value;
    else if constexpr (Value < 0) return std::conditional_t<std::is_same_v<type, long long>, long, long long>(Value);
    else return std::conditional_t<std::is_same_v<type, unsigned long long>, unsigned long, unsigned long long>(Value);
}
template <auto Value>
EXTENSIBLE_HIDDEN inline constexpr auto retyped = make_retyped<Value>();

// Class templates -------------------------------------------------------------------------------------------------------------

template <template <class...> class Template>
struct of_types {
    template <class... A>
    using with = Template<A...>;
};
template <template <class, auto...> class Template>
struct of_type_and_values {
    template <class First, class... A>
    using with = Template<First, A::value...>;
};
template <template <auto...> class Template>
struct of_values {
    template <class... A>
    using with = Template<A::value...>;
};

// Whether these arguments name the type Whole.
template <class Template, class Whole, class... Arguments>
inline constexpr bool names_it = requires { requires std::is_same_v<typename Template::template with<Arguments...>, Whole>; };

// The shortest list of arguments that names the type: the default ones are left out.
template <class Template, class Whole, class... Given, class Next, class... Rest>
constexpr auto shortest_list(type_list<Given...>, type_list<Next, Rest...>) noexcept {
    if constexpr (sizeof...(Rest) == 0 || names_it<Template, Whole, Given..., Next>) return type_list<Given..., Next>();
    else return shortest_list<Template, Whole>(type_list<Given..., Next>(), type_list<Rest...>());
}

// What is before the last list of template arguments; all of it if the compiler writes an alias.
constexpr std::string_view before_arguments(std::string_view spelled) noexcept {
    if (!spelled.ends_with('>')) return spelled;
    std::size_t open = 1, at = spelled.size() - 1;
    while (open != 0 && --at != 0) {
        if (spelled[at - 1] == '\'' && spelled[at + 1] == '\'') continue;  // a character as an argument
        if (spelled[at] == '>') ++open;
        if (spelled[at] == '<') --open;
    }
    return spelled.substr(0, at);
}

// What std::chrono's aliases count in; <chrono> itself is a large header.
#if defined(__GLIBCXX__)
using chrono_seconds = std::int64_t;
using chrono_minutes = std::int64_t;
#else
using chrono_seconds = long long;
using chrono_minutes = std::conditional_t<std::is_same_v<std::int64_t, long>, long, int>;
#endif

// An alias that everybody uses: it is written for the beginning of the template's name if the arguments are `first` and `rest`.
struct alias_rule {
    std::string_view begin, first, rest, written;
};
EXTENSIBLE_HIDDEN inline constexpr alias_rule alias_rules[] = {
    {"std::chrono::duration", finished<chrono_seconds>.text, ", std::ratio<1, 1000000000>", "std::chrono::nanoseconds"},
    {"std::chrono::duration", finished<chrono_seconds>.text, ", std::ratio<1, 1000000>", "std::chrono::microseconds"},
    {"std::chrono::duration", finished<chrono_seconds>.text, ", std::ratio<1, 1000>", "std::chrono::milliseconds"},
    {"std::chrono::duration", finished<chrono_seconds>.text, "", "std::chrono::seconds"},
    {"std::chrono::duration", finished<chrono_minutes>.text, ", std::ratio<60>", "std::chrono::minutes"},
    {"std::chrono::duration", finished<chrono_minutes>.text, ", std::ratio<3600>", "std::chrono::hours"},
    {"std::basic_", "char", "", "std::"}, {"std::basic_", "wchar_t", "", "std::w"}, {"std::basic_", "char8_t", "", "std::u8"},
    {"std::basic_", "char16_t", "", "std::u16"}, {"std::basic_", "char32_t", "", "std::u32"},
    {"std::basic_", "char", ", std::char_traits<char>, std::pmr::polymorphic_allocator<char>", "std::pmr::"},
    {"std::basic_", "wchar_t", ", std::char_traits<wchar_t>, std::pmr::polymorphic_allocator<wchar_t>", "std::pmr::w"},
    {"std::basic_", "char8_t", ", std::char_traits<char8_t>, std::pmr::polymorphic_allocator<char8_t>", "std::pmr::u8"},
    {"std::basic_", "char16_t", ", std::char_traits<char16_t>, std::pmr::polymorphic_allocator<char16_t>", "std::pmr::u16"},
    {"std::basic_", "char32_t", ", std::char_traits<char32_t>, std::pmr::polymorphic_allocator<char32_t>", "std::pmr::u32"},
};

constexpr name_parts parts_of_class(std::string_view name, std::string_view first, std::string_view all,
                                    bool is_local) noexcept {
    const std::string_view rest = all.substr(first.size());
    if (name == "std::chrono::time_point" && rest.empty()) return {is_local, first, "::time_point"};
    if (name.starts_with("std::"))
        for (const alias_rule& rule : alias_rules)
            if (name.starts_with(rule.begin) && first == rule.first && rest == rule.rest)
                return {is_local, rule.written, name.substr(rule.begin.size())};
    return {is_local, name, "<", all, ">"};
}

template <class Template, class T, class... Arguments>
struct name_of_class {
    static constexpr std::string_view spelled = before_arguments(spelling<T>());
    EXTENSIBLE_HIDDEN static constexpr auto rewritten = rewrite<capacity_for(spelled)>(spelled);

    template <class First, class... Rest>
    static constexpr name_parts make(type_list<First, Rest...>) noexcept {
        using names = names_in<type_list<First, Rest...>>;
        constexpr bool is_local = rewritten.is_local || names::is_local;
        if (spelled.size() == spelling<T>().size()) return {is_local, rewritten.view()};
        return parts_of_class(rewritten.view(), finished<First>.text, names::text.view(), is_local);
    }
    static constexpr name_parts parts = make(shortest_list<Template, T>(type_list<>(), type_list<Arguments...>()));
};

template <template <class...> class Template, class First, class... Rest>
struct name_of<Template<First, Rest...>> : name_of_class<of_types<Template>, Template<First, Rest...>, First, Rest...> {};

// A parameter is `auto` if the same number of another type makes another class.
template <template <class, auto...> class Template, class First, auto... Values>
    requires (sizeof...(Values) > 0)
struct name_of<Template<First, Values...>> {
    using of = of_type_and_values<Template>;
    using whole = Template<First, Values...>;
    static constexpr bool is_typed = !names_it<of, whole, First, argument<false, retyped<Values>>...>;
    static constexpr name_parts parts = name_of_class<of, whole, First, argument<is_typed, Values>...>::parts;
};
template <template <auto...> class Template, auto... Values>
    requires (sizeof...(Values) > 0)
struct name_of<Template<Values...>> {
    using of = of_values<Template>;
    using whole = Template<Values...>;
    static constexpr bool is_typed = !names_it<of, whole, argument<false, retyped<Values>>...>;
    static constexpr name_parts parts = name_of_class<of, whole, argument<is_typed, Values>...>::parts;
};

// Identities ------------------------------------------------------------------------------------------------------------------

template <class T>
constexpr std::string_view type_name() noexcept {
    return stored_name<T>.view();
}

// Hidden on purpose, as identities are: each module has its own.
EXTENSIBLE_HIDDEN inline constexpr char this_module = 0;

template <class T>
EXTENSIBLE_HIDDEN inline constexpr type_identity stored_identity{
    type_name<T>(), finished<T>.is_local ? stored_name<T>.text : nullptr, &this_module};

template <class T>
constexpr const type_identity& identity_of() noexcept {
    return stored_identity<T>;
}

/// What the calls of a function are like, as far as registering needs to know. In static storage of the function's module.
struct function_type {
    const type_identity* signature;
    const type_identity* stage;  // how parts of its calls are awaited; null where the function is not awaited
};

}  // namespace ext::inline EXTENSIBLE_ABI::detail
