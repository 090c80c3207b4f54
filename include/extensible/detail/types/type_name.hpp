#pragma once

// What is a type called? The name is made at compile time, and is the one that source code uses.
//
// What must stay true: the name is the same with every compiler and standard library
// (tests/type_name.cpp), because types of different modules are compared by their names.
//
// A type is taken apart, down to parts that only the compiler can name. Rewriting the compiler's text
// for the whole type would not be enough: compilers omit different default arguments of templates,
// and GCC omits the type of a number. Compilers still differ in
// - pointers, and objects of class type, as template arguments;
// - class templates with a value before a type, such as `grid<3, double>`, which are not taken apart;
// - lambdas and local classes: Clang omits the function, and GCC does not number a function's lambdas.
// So two types can have the same name.
//
// Not here: the compiler's text, and how it is rewritten: spelling.hpp. How types with the same name
// are distinguished: type_identity.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/spelling.hpp>

#include <cstddef>
#include <initializer_list>
#include <string_view>
#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Returns the name of T as one writes it, such as `std::string(std::string_view)`, `std::vector<int>`
/// or `unsigned long`.
template <class T>
constexpr std::string_view type_name() noexcept;

struct name_parts {
    std::string_view part[5];

    constexpr name_parts(std::string_view a, std::string_view b = {}, std::string_view c = {}, std::string_view d = {},
                         std::string_view e = {}) noexcept
        : part{a, b, c, d, e} {}
    constexpr std::size_t size() const noexcept {
        return part[0].size() + part[1].size() + part[2].size() + part[3].size() + part[4].size();
    }
};

// The parts of the name of T. In general that is the rewritten text of the compiler. Specializations
// take types apart.
template <class T>
inline constexpr name_parts parts = rewritten<T>.view();

template <std::size_t Capacity>
constexpr text_buffer<Capacity> join(const auto& texts, std::string_view between = {}) noexcept {
    text_buffer<Capacity> out;
    for (std::string_view text : texts) {
        if (out.size != 0) out.write(between);
        out.write(text);
    }
    return out;
}

// The name of T. Each name is made once. The program contains only names that are used at run time.
template <class T>
EXTENSIBLE_HIDDEN inline constexpr auto stored_name = join<parts<T>.size()>(parts<T>.part);

template <class T>
constexpr std::string_view type_name() noexcept {
    return stored_name<T>.view();
}

// The names of several types, with commas between them.
template <class... T>
EXTENSIBLE_HIDDEN inline constexpr auto list =
    join<(0 + ... + (type_name<T>().size() + 2))>(std::initializer_list<std::string_view>{type_name<T>()...}, ", ");

template <>
inline constexpr name_parts parts<std::nullptr_t>{"std::nullptr_t"};

template <class R, class... A>
inline constexpr name_parts parts<R(A...)>{type_name<R>(), "(", list<A...>.view(), ")"};
template <class R, class... A>
inline constexpr name_parts parts<R(A...) noexcept>{type_name<R>(), "(", list<A...>.view(), ")", " noexcept"};

// A pointer or a reference to T. In a function type, the mark follows the result: `int(*)(char)`.
template <class T>
constexpr name_parts marked(std::string_view mark) noexcept {
    const std::string_view object = type_name<T>(), result = parts<T>.part[0];
    if (!std::is_function_v<T> || result == object) return {object, mark};
    return {result, "(", mark, ")", object.substr(result.size())};
}
template <class T>
inline constexpr name_parts parts<T*> = marked<T>("*");
template <class T>
inline constexpr name_parts parts<T&> = marked<T>("&");
template <class T>
inline constexpr name_parts parts<T&&> = marked<T>("&&");

// Returns the position of the parameters in a function type. Qualifiers may follow them:
// `int(char) const`.
constexpr std::size_t begin_of_parameters(std::string_view function) noexcept {
    std::size_t at = function.rfind(')');
    for (std::size_t open = 1; open != 0;) {
        --at;
        if (function[at] == ')') ++open;
        if (function[at] == '(') --open;
    }
    return at;
}
// Member pointers are taken apart because Clang 21 writes the class without its namespace.
template <class T, class C>
constexpr name_parts member_pointer() noexcept {
    const std::string_view member = type_name<T>();
    if (!std::is_function_v<T>) return {member, " ", type_name<C>(), "::*"};
    const std::size_t result = begin_of_parameters(member);
    return {member.substr(0, result), "(", type_name<C>(), "::*)", member.substr(result)};
}
template <class T, class C>
inline constexpr name_parts parts<T C::*> = member_pointer<T, C>();

template <class T>
constexpr name_parts qualified(std::string_view qualifiers) noexcept {
    if (std::is_pointer_v<T> || std::is_member_pointer_v<T>) return {type_name<T>(), " ", qualifiers};
    return {qualifiers, " ", type_name<T>()};
}
// These are not for arrays, because in a qualified array the elements are qualified.
template <class T>
    requires (!std::is_array_v<T>)
inline constexpr name_parts parts<const T> = qualified<T>("const");
template <class T>
    requires (!std::is_array_v<T>)
inline constexpr name_parts parts<volatile T> = qualified<T>("volatile");
template <class T>
    requires (!std::is_array_v<T>)
inline constexpr name_parts parts<const volatile T> = qualified<T>("const volatile");

// A value as a template argument. `IsTyped` is true if the parameter is `auto`: then the type of a
// number is written, too.
template <bool IsTyped, auto Value>
struct argument {
    static constexpr auto value = Value;
};

// Shows whether a template's parameters are `auto`. If so, the template with objects of this class as
// arguments is another type than with the values. If not, the objects convert to the values, and the
// type is the same.
template <auto Value>
struct untyped {
    constexpr operator decltype(Value)() const noexcept { return Value; }
};
template <auto Value>
struct untyped_argument {
    static constexpr untyped<Value> value{};
};

// The text of a value is taken from the compiler's text of one of these templates.
template <auto>
struct of_value;
template <long long>
struct of_negative;
template <unsigned long long>
struct of_number;

template <bool IsTyped, auto Value>
constexpr name_parts value() noexcept {
    using type = decltype(Value);
    if constexpr (std::is_same_v<type, bool>) {
        return {Value ? "true" : "false"};
    } else if constexpr (std::is_integral_v<type>) {  // also characters, because compilers write them differently
        using number = std::conditional_t<(Value < 0), of_negative<static_cast<long long>(Value)>,
                                          of_number<static_cast<unsigned long long>(Value)>>;
        if (!IsTyped || std::is_same_v<type, int>) return inside(spelling<number>());
        return {"(", type_name<type>(), ")", inside(spelling<number>())};
    } else {
        return inside(rewritten<of_value<Value>>.view());
    }
}
template <bool IsTyped, auto Value>
inline constexpr name_parts parts<argument<IsTyped, Value>> = value<IsTyped, Value>();

// `int[2][3]` is an array of two `int[3]`, so the size comes before those of the elements.
template <class T>
constexpr name_parts array_of(std::string_view size) noexcept {
    const std::size_t innermost = type_name<std::remove_all_extents_t<T>>().size();
    return {type_name<T>().substr(0, innermost), "[", size, "]", type_name<T>().substr(innermost)};
}
template <class T>
inline constexpr name_parts parts<T[]> = array_of<T>("");
template <class T, std::size_t Size>
inline constexpr name_parts parts<T[Size]> = array_of<T>(type_name<argument<false, Size>>());

// The types in which the aliases of std::chrono count, without <chrono>, which is a large header.
inline constexpr std::string_view chrono_seconds = type_name<EXTENSIBLE_CHRONO_SECONDS>();
inline constexpr std::string_view chrono_minutes = type_name<EXTENSIBLE_CHRONO_MINUTES>();

// A usual alias of the standard library. If the template's name begins with `begin`, and its arguments
// are `first` followed by `rest`, the name is `written` followed by the end of the template's name.
struct alias_rule {
    std::string_view begin, first, rest, written;
};
EXTENSIBLE_HIDDEN inline constexpr alias_rule alias_rules[] = {
    {"std::chrono::duration", chrono_seconds, ", std::ratio<1, 1000000000>", "std::chrono::nanoseconds"},
    {"std::chrono::duration", chrono_seconds, ", std::ratio<1, 1000000>", "std::chrono::microseconds"},
    {"std::chrono::duration", chrono_seconds, ", std::ratio<1, 1000>", "std::chrono::milliseconds"},
    {"std::chrono::duration", chrono_seconds, "", "std::chrono::seconds"},
    {"std::chrono::duration", chrono_minutes, ", std::ratio<60>", "std::chrono::minutes"},
    {"std::chrono::duration", chrono_minutes, ", std::ratio<3600>", "std::chrono::hours"},
    {"std::chrono::time_point", "std::chrono::system_clock", "", "std::chrono::system_clock::time_point"},
    {"std::chrono::time_point", "std::chrono::steady_clock", "", "std::chrono::steady_clock::time_point"},
    {"std::basic_", "char", "", "std::"}, {"std::basic_", "wchar_t", "", "std::w"},
    {"std::basic_", "char8_t", "", "std::u8"}, {"std::basic_", "char16_t", "", "std::u16"},
    {"std::basic_", "char32_t", "", "std::u32"},
    {"std::basic_", "char", ", std::char_traits<char>, std::pmr::polymorphic_allocator<char>", "std::pmr::"},
    {"std::basic_", "wchar_t", ", std::char_traits<wchar_t>, std::pmr::polymorphic_allocator<wchar_t>", "std::pmr::w"},
    {"std::basic_", "char8_t", ", std::char_traits<char8_t>, std::pmr::polymorphic_allocator<char8_t>", "std::pmr::u8"},
    {"std::basic_", "char16_t", ", std::char_traits<char16_t>, std::pmr::polymorphic_allocator<char16_t>",
     "std::pmr::u16"},
    {"std::basic_", "char32_t", ", std::char_traits<char32_t>, std::pmr::polymorphic_allocator<char32_t>",
     "std::pmr::u32"},
};

constexpr name_parts parts_of_class(std::string_view name, std::string_view arguments) noexcept {
    for (const alias_rule& rule : alias_rules)
        if (begins_with(name, rule.begin) && begins_with(arguments, rule.first) &&
            arguments.substr(rule.first.size()) == rule.rest)
            return {rule.written, name.substr(rule.begin.size())};
    return {name, "<", arguments, ">"};
}

// The kinds of class templates that are taken apart.
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

// True if the template with these arguments is the type Whole.
template <class Template, class Whole, class... A>
inline constexpr bool names_it = requires { requires std::is_same_v<typename Template::template with<A...>, Whole>; };

template <class... T>
struct type_list {};

// The name of a class of a template. Default arguments are omitted: the list of arguments is the
// shortest one that names the type.
template <class Template, class Whole, class... Given, class Next, class... Rest>
constexpr name_parts shortest(type_list<Given...>, type_list<Next, Rest...>) noexcept {
    if constexpr (sizeof...(Rest) == 0 || names_it<Template, Whole, Given..., Next>)
        return parts_of_class(inside(rewritten<Template>.view()), list<Given..., Next>.view());
    else return detail::shortest<Template, Whole>(type_list<Given..., Next>(), type_list<Rest...>());
}

template <template <class...> class Template, class First, class... Rest>
inline constexpr name_parts parts<Template<First, Rest...>> =
    detail::shortest<of_types<Template>, Template<First, Rest...>>(type_list<>(), type_list<First, Rest...>());

template <class Template, class Whole, class... First, auto... Values>
constexpr name_parts with_values(type_list<First...>, argument<false, Values>...) noexcept {
    constexpr bool is_typed = !names_it<Template, Whole, First..., untyped_argument<Values>...>;
    return detail::shortest<Template, Whole>(type_list<>(), type_list<First..., argument<is_typed, Values>...>());
}

template <template <class, auto...> class Template, class First, auto... Values>
    requires (sizeof...(Values) > 0)
inline constexpr name_parts parts<Template<First, Values...>> =
    detail::with_values<of_type_and_values<Template>, Template<First, Values...>>(type_list<First>(),
                                                                          argument<false, Values>()...);

template <template <auto...> class Template, auto... Values>
    requires (sizeof...(Values) > 0)
inline constexpr name_parts parts<Template<Values...>> =
    detail::with_values<of_values<Template>, Template<Values...>>(type_list<>(), argument<false, Values>()...);

}}}  // namespace ext::detail
