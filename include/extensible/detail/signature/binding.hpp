#pragma once

// Which argument is for which parameter? Arguments are bound at compile time as Python binds them at
// run time.
//
// What must stay true:
// 1. A parameter takes the argument in its position, otherwise the one with its name, otherwise its
//    default (tests/params.cpp).
// 2. Named arguments that match no parameter are added to the kwargs, if the function takes them
//    (tests/params.cpp).
// 3. Any other argument, and an argument that is missing or given twice, is a compile error of one
//    sentence. If the parameter has a name, the error contains it
//    (tests/compile_fail/argument_*.cpp).
// 4. A reference parameter of an awaited function does not refer to a temporary that is made here
//    (tests/compile_fail/awaited_*.cpp).
//
// Not here: the names and defaults: params.hpp. The map of kwargs: kwargs.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/params.hpp>

#include <concepts>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

template <class>
struct keyword_traits {
    static constexpr bool is_keyword = false;
    static constexpr std::string_view name{};
};
template <fixed_string Name, class T>
struct keyword_traits<keyword_argument<Name, T>> {
    static constexpr bool is_keyword = true;
    static constexpr std::string_view name = Name.view();
};

template <class Given>
inline constexpr bool is_keyword = keyword_traits<std::remove_cvref_t<Given>>::is_keyword;

/// Binds arguments of the types `Given`, which are references, to the parameters of a function.
/// `Parameters` is an ext::parameters.
template <class Signature, class Parameters, class... Given>
class binding {
    using function = shape<Signature>;
    static constexpr std::size_t parameter_count = std::tuple_size_v<typename function::args>;
    static constexpr std::size_t given_count = sizeof...(Given);
    static constexpr std::size_t none = static_cast<std::size_t>(-1);  // no such argument

    // One element for each argument, and one more, because an array must not be empty.
    static constexpr bool keywords[given_count + 1]{is_keyword<Given>...};
    EXTENSIBLE_HIDDEN static constexpr std::string_view names[given_count + 1]{
        keyword_traits<std::remove_cvref_t<Given>>::name...};
    static constexpr bool are_kwargs[given_count + 1]{std::same_as<std::remove_cvref_t<Given>, kwargs>...};

    // True if the last argument is an ext::kwargs. The function's kwargs then begin with its contents.
    static constexpr bool whole_kwargs = function::takes_kwargs && are_kwargs[given_count == 0 ? 0 : given_count - 1];
    static constexpr std::size_t single_count = given_count - (whole_kwargs ? 1 : 0);

    // The number of arguments before the first named one.
    static constexpr std::size_t positional_count = [] {
        std::size_t count = 0;
        while (count < single_count && !keywords[count]) ++count;
        return count;
    }();

    // True if no positional argument follows a named one.
    static constexpr bool positional_first = [] {
        for (std::size_t i = positional_count; i < single_count; ++i)
            if (!keywords[i]) return false;
        return true;
    }();

    static constexpr std::size_t argument_named(std::string_view name, std::size_t from = 0) {
        for (std::size_t i = from; i < single_count; ++i)
            if (keywords[i] && names[i] == name) return i;
        return none;
    }

    // The index of the argument for a parameter. If it is `none`, the parameter takes its default.
    static constexpr std::size_t argument_for(std::size_t parameter) {
        if (parameter < positional_count) return parameter;
        return parameter < Parameters::count ? argument_named(Parameters::names[parameter]) : none;
    }

    template <std::size_t Index>
    using parameter_at = std::tuple_element_t<Index, decltype(Parameters::all)>;

    template <std::size_t Parameter>
    static decltype(auto) pick(const Parameters& defaults, std::tuple<Given...>& given) {
        constexpr std::size_t argument = argument_for(Parameter);
        if constexpr (argument == none) return std::as_const(std::get<Parameter>(defaults.all).value);
        else if constexpr (keywords[argument]) return value_of(std::get<argument>(given));
        else return std::get<argument>(std::move(given));
    }

    template <fixed_string Name, class T>
    static T&& value_of(keyword_argument<Name, T>& named) noexcept {
        return static_cast<T&&>(named.value);  // T is a reference
    }

    template <std::size_t Index>
    static consteval bool has_argument() {
        if constexpr (Index >= Parameters::count) {
            static_assert(Index < positional_count, "ext: too few arguments for this function");
            return Index < positional_count;
        } else {
            constexpr bool given = argument_for(Index) != none || parameter_at<Index>::has_default;
            static_assert(detail::parameter_called<parameter_at<Index>::name>::template is<given>,
                          "ext: the argument for this parameter is missing, and it has no default");
            if constexpr (!given) return false;
            else return argument_converts<Index>();
        }
    }
    template <std::size_t Index>
    using argument_at = decltype(pick<Index>(std::declval<const Parameters&>(), std::declval<std::tuple<Given...>&>()));

    template <std::size_t Index>
    static consteval bool argument_converts() {
        constexpr bool converts =
            std::is_convertible_v<argument_at<Index>, typename function::template parameter_type<Index>>;
        static_assert(detail::parameter_called<parameter_at<Index>::name>::template is<converts>,
                      "ext: the argument or default for this parameter cannot be converted to its type");
        return converts;
    }

    // A function that returns an awaitable may run after the call expression has been evaluated. By
    // then, a temporary that was made here for a reference parameter is destroyed.
    template <std::size_t Index>
    static consteval bool outlives_the_call() {
        // As an lvalue, because a temporary that the caller made lives until the call is awaited.
        using argument = std::remove_reference_t<argument_at<Index>>&;
        constexpr bool outlives = binds_directly<argument, typename function::template parameter_type<Index>>;
        if constexpr (Index < Parameters::count)
            static_assert(detail::parameter_called<parameter_at<Index>::name>::template is<outlives>,
                          "ext: this parameter of an awaited function would refer to a temporary that is gone when the "
                          "function runs; take it by value");
        else
            static_assert(outlives, "ext: a parameter of an awaited function would refer to a temporary that is gone "
                                    "when the function runs; take it by value");
        return outlives;
    }
    template <std::size_t... Parameter>
    static consteval bool arguments_outlive_the_call(std::index_sequence<Parameter...>) {
        static_assert(!function::takes_kwargs_by_reference,
                      "ext: the ext::kwargs of an awaited function would be gone when the function runs; take them by "
                      "value");
        return (outlives_the_call<Parameter>() && ... && !function::takes_kwargs_by_reference);
    }

    template <std::size_t Index>
    static consteval bool keyword_is_fine() {
        using argument = std::remove_cvref_t<std::tuple_element_t<Index, std::tuple<Given...>>>;
        return keyword_is_fine<Index>(static_cast<argument*>(nullptr));
    }
    template <std::size_t Index>
    static consteval bool keyword_is_fine(void*) {
        return true;
    }
    template <std::size_t Index, fixed_string Name, class T>
    static consteval bool keyword_is_fine(keyword_argument<Name, T>*) {
        constexpr bool known = function::takes_kwargs || Parameters::template has<Name>;
        static_assert(detail::parameter_called<Name>::template is<known>,
                      "ext: the function has no parameter of this name, and takes no ext::kwargs");
        constexpr bool once = argument_named(Name.view(), Index + 1) == none &&
                              !(Parameters::template has<Name> && Parameters::template index<Name> < positional_count);
        static_assert(detail::parameter_called<Name>::template is<once>,
                      "ext: the argument for this parameter is given twice");
        return known && once;
    }

    template <std::size_t... Parameter, std::size_t... Index>
    static consteval bool arguments_fit(std::index_sequence<Parameter...>, std::index_sequence<Index...>) {
        static_assert(positional_first, "ext: a positional argument comes after a named one");
        static_assert(positional_count <= parameter_count, "ext: too many arguments for this function");
        constexpr bool keywords_fine = (keyword_is_fine<Index>() && ... && true);
        if constexpr (positional_first && positional_count <= parameter_count && keywords_fine)
            return (has_argument<Parameter>() && ... && true);
        else
            return false;
    }

public:
    /// True if the arguments fit. If not, a static_assert has failed that says why.
    static constexpr bool fits = [] {
        if constexpr (!arguments_fit(function::parameters, std::make_index_sequence<given_count>()))
            return false;
        else if constexpr (coroutine_type<typename function::result>)
            return arguments_outlive_the_call(function::parameters);
        else
            return true;
    }();

    /// Calls `call` with one argument for each parameter. If the function takes kwargs, they are the
    /// last argument.
    template <class Call>
    static decltype(auto) apply(Call&& call, const Parameters& defaults, Given... given) {
        return apply(function::parameters, std::forward<Call>(call), defaults,
                     std::tuple<Given...>(std::forward<Given>(given)...));
    }

private:
    template <std::size_t... Parameter, class Call>
    static decltype(auto) apply(std::index_sequence<Parameter...>, Call&& call, const Parameters& defaults,
                                std::tuple<Given...> given) {
        if constexpr (function::takes_kwargs)
            return call(pick<Parameter>(defaults, given)..., rest(given, std::make_index_sequence<single_count>()));
        else
            return call(pick<Parameter>(defaults, given)...);
    }

    // Returns the kwargs for the function: those of the caller, and the named arguments that match no
    // parameter.
    template <std::size_t... Index>
    static kwargs rest(std::tuple<Given...>& given, std::index_sequence<Index...>) {
        kwargs named;
        if constexpr (whole_kwargs) named = std::get<given_count - 1>(std::move(given));
        (keep<Index>(named, given), ...);
        return named;
    }
    template <std::size_t Index>
    static void keep([[maybe_unused]] kwargs& named, [[maybe_unused]] std::tuple<Given...>& given) {
        if constexpr (keywords[Index]) {
            constexpr bool is_bound = Parameters::find(names[Index]) < Parameters::count;
            if constexpr (!is_bound) named.set(names[Index], value_of(std::get<Index>(given)));
        }
    }
};

}}}  // namespace ext::detail
