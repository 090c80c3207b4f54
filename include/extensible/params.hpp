#pragma once

// ext::params and "name"_kw: names for the parameters of a function, and arguments given by name.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

/// A string as a template argument.
template <std::size_t Size>
struct fixed_string {
    char text[Size]{};

    consteval fixed_string(const char (&from)[Size]) {
        for (std::size_t i = 0; i < Size; ++i) text[i] = from[i];
    }
    constexpr std::string_view view() const noexcept { return {text, Size - 1}; }
};
template <std::size_t Size>
fixed_string(const char (&)[Size]) -> fixed_string<Size>;

// `detail::parameter_called<"url">::is<Holds>` equals Holds. If a static_assert uses it, qualified
// as here, compilers print the name. Clang before 15 prints the characters of a class as numbers,
// so they are passed to it one by one.
#if EXTENSIBLE_TEXT_IS_NUMBERS
template <char... Name>
struct parameter_spelled {
    template <bool Holds>
    static constexpr bool is = Holds;
};
template <fixed_string Name, std::size_t... Index>
parameter_spelled<Name.text[Index]...> spell(std::index_sequence<Index...>);
template <fixed_string Name>
using parameter_called = decltype(spell<Name>(std::make_index_sequence<Name.view().size()>()));
#else
template <fixed_string Name>
struct parameter_called {
    template <bool Holds>
    static constexpr bool is = Holds;
};
#endif

}  // namespace detail

/// An argument given by name, the result of `"timeout"_kw = 5s`. The value is not copied: T is a
/// reference type.
template <detail::fixed_string Name, class T>
struct keyword_argument {
    /// The value, by reference.
    T value;
};

/// The name of a parameter, the result of `"timeout"_kw`.
template <detail::fixed_string Name>
struct keyword {
    /// Returns an argument with this name that refers to `value`. Use it in the same expression, in
    /// a call or in ext::params.
    template <class T>
    constexpr keyword_argument<Name, T&&> operator=(T&& value) const noexcept {
        return {std::forward<T>(value)};
    }
};

/// The namespace of `"name"_kw`. Write `using namespace ext::literals;` to use it.
inline namespace literals {

/// Returns the name of a parameter: `"timeout"_kw`. In ext::params it names a parameter, and
/// `"timeout"_kw = 30s` also gives it a default. In a call, `"timeout"_kw = 5s` is an argument.
template <detail::fixed_string Name>
consteval keyword<Name> operator""_kw() noexcept {
    return {};
}

}  // namespace literals

namespace detail {

// One named parameter, with or without a default.
template <fixed_string Name, class Default = void>
struct parameter {
    EXTENSIBLE_HIDDEN static constexpr auto name = Name;
    static constexpr bool has_default = true;
    Default value;
};
template <fixed_string Name>
struct parameter<Name, void> {
    EXTENSIBLE_HIDDEN static constexpr auto name = Name;
    static constexpr bool has_default = false;
};

template <class T>
constexpr parameter<"?"> to_parameter(const T&) {
    static_assert(sizeof(T) == 0,
                  "ext: ext::params takes names, as in \"url\"_kw, or with a default, as in \"timeout\"_kw = 30s");
    return {};
}
template <fixed_string Name>
constexpr parameter<Name> to_parameter(keyword<Name>) {
    return {};
}
template <fixed_string Name, class T>
constexpr parameter<Name, std::decay_t<T>> to_parameter(keyword_argument<Name, T>&& given) {
    return {std::forward<T>(given.value)};
}

}  // namespace detail

/// The names of a function's parameters, in order, and their defaults. ext::params() creates it.
template <class... Parameter>
struct parameters {
    /// The parameters, with their defaults. The element types are for the library's own use.
    std::tuple<Parameter...> all;

    /// The number of parameters.
    static constexpr std::size_t count = sizeof...(Parameter);

    /// The names of the parameters, in order, followed by an empty one.
    EXTENSIBLE_HIDDEN static constexpr std::string_view names[count + 1]{Parameter::name.view()...};

    /// Returns the index of the parameter called `name`, counted from 0, or `count` if there is
    /// none. The search begins at the index `from`.
    static constexpr std::size_t find(std::string_view name, std::size_t from = 0) noexcept {
        while (from < count && names[from] != name) ++from;
        return from;
    }

    /// The index of the parameter called `Name`, counted from 0, or `count` if there is none.
    template <detail::fixed_string Name>
    static constexpr std::size_t index = find(Name.view());

    /// True if there is a parameter called `Name`.
    template <detail::fixed_string Name>
    static constexpr bool has = index<Name> < count;

    /// Returns true if no two parameters have the same name.
    static constexpr bool names_differ() noexcept {
        for (std::size_t i = 0; i < count; ++i)
            if (find(names[i], i + 1) < count) return false;
        return true;
    }
};

/// Names the parameters of a wrapped function, in order, and can give them defaults.
///
///     ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30s),
///                           [](std::string_view url, std::chrono::seconds timeout) { ... }};
///     fetch("https://example.org", "timeout"_kw = 5s);
///
/// A default is copied or moved in here. In a call that needs it, a parameter taken by value is a
/// copy of the default, and a parameter `const T&` refers to the default itself.
template <class... Named>
constexpr auto params(Named&&... named) {
    return parameters<decltype(detail::to_parameter(std::forward<Named>(named)))...>{
        {detail::to_parameter(std::forward<Named>(named))...}};
}

}}  // namespace ext
