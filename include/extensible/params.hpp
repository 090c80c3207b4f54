#pragma once

// How are parameters named, and arguments given by name?

#include <extensible/detail/config.hpp>

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

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

// `detail::parameter_called<"url">::is<Holds>` is Holds; in a static_assert compilers print the name with it, where it is
// qualified as here. Clang before 15 prints characters of a class as numbers, so there they are handed over one by one.
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

/// An argument given by name: what `"timeout"_kw = 5s` makes. T is a reference to the value, which is not copied.
template <detail::fixed_string Name, class T>
struct keyword_argument {
    T value;
};

/// A name, alone or with a value: what `"timeout"_kw` makes.
template <detail::fixed_string Name>
struct keyword {
    /// Gives the name a value, by reference: use the result in the same expression, in a call or in ext::params.
    template <class T>
    constexpr keyword_argument<Name, T&&> operator=(T&& value) const noexcept {
        return {std::forward<T>(value)};
    }
};

inline namespace literals {

/// `"timeout"_kw`: names a parameter in ext::params, or with `= value` an argument of a call.
template <detail::fixed_string Name>
consteval keyword<Name> operator""_kw() noexcept {
    return {};
}

}  // namespace literals

namespace detail {

// One named parameter, with its default or without.
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

/// The names of a function's parameters in their order, and the defaults of those that have one. Made by ext::params.
template <class... Parameter>
struct parameters {
    std::tuple<Parameter...> all;

    static constexpr std::size_t count = sizeof...(Parameter);
    EXTENSIBLE_HIDDEN static constexpr std::string_view names[count + 1]{Parameter::name.view()...};  // an empty one ends them

    /// The number, counted from 0, of the first parameter from `from` on that is called `name`; `count` when there is none.
    static constexpr std::size_t find(std::string_view name, std::size_t from = 0) noexcept {
        while (from < count && names[from] != name) ++from;
        return from;
    }

    template <detail::fixed_string Name>
    static constexpr std::size_t index = find(Name.view());

    template <detail::fixed_string Name>
    static constexpr bool has = index<Name> < count;

    /// Whether no two parameters are called alike.
    static constexpr bool names_differ() noexcept {
        for (std::size_t i = 0; i < count; ++i)
            if (find(names[i], i + 1) < count) return false;
        return true;
    }
};

/// Names the parameters of the function that follows, in their order, with defaults where wanted:
/// `ext::params("url"_kw, "timeout"_kw = 30s)`. Defaults are copied, and copied again for each call that needs one.
template <class... Named>
constexpr auto params(Named&&... named) {
    return parameters<decltype(detail::to_parameter(std::forward<Named>(named)))...>{
        {detail::to_parameter(std::forward<Named>(named))...}};
}

}  // namespace ext::inline EXTENSIBLE_ABI
