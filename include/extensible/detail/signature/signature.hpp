#pragma once

// What does a function take and return? This header finds the signature of a callable, and the
// parameters in a signature. Checked by tests/signature.cpp and tests/wrapper.cpp.
//
// Not here: whether the result is awaited: awaitable.hpp. What a hook takes: hook_parameters.hpp.

#include <extensible/arg.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/phase.hpp>

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

template <class Signature>
struct call;
class any_call;
class proceed;

namespace detail {

template <class>
inline constexpr bool always_false = false;

// The result and the parameters of a function. If the last parameter is an ext::kwargs, it is not one
// of `parameters`: it receives the named arguments.
template <class Signature>
struct shape;

template <class R, class... A>
struct shape<R(A...)> {
    using result = R;
    template <std::size_t Index>
    using parameter_type = std::tuple_element_t<Index, std::tuple<A...>>;

private:
    static constexpr std::size_t count = sizeof...(A);

    static constexpr bool ends_with_kwargs() {
        if constexpr (count == 0) return false;
        else return std::same_as<parameter_type<count - 1>, const kwargs&> ||
                    std::same_as<parameter_type<count - 1>, kwargs>;
    }

    template <std::size_t... Index>
    static std::tuple<arg<parameter_type<Index>>...> args_of(std::index_sequence<Index...>);

public:
    static constexpr bool takes_kwargs = ends_with_kwargs();
    static constexpr bool takes_kwargs_by_reference = (std::same_as<A, const kwargs&> || ...);
    static constexpr auto parameters = std::make_index_sequence<count - (takes_kwargs ? 1 : 0)>{};
    using args = decltype(args_of(parameters));
};

// The signature R(A...) of a function pointer, a member function pointer, or a function object that
// has one operator().
template <class Function>
struct signature_from {
    static_assert(always_false<Function>,
                  "ext: the signature of this function cannot be deduced, because it is a template, overloaded or not "
                  "a function; give it: ext::extensible<R(A...)>");
};
template <class R, class... A, bool Noexcept>
struct signature_from<R (*)(A...) noexcept(Noexcept)> {
    using type = R(A...);
};

template <class R, class Object, class... A>
struct member_signature {
    using type = R(Object, A...);
    using without_object = R(A...);
};
template <class R, class C, class... A, bool Noexcept>
struct signature_from<R (C::*)(A...) noexcept(Noexcept)> : member_signature<R, C&, A...> {};
template <class R, class C, class... A, bool Noexcept>
struct signature_from<R (C::*)(A...) & noexcept(Noexcept)> : member_signature<R, C&, A...> {};
template <class R, class C, class... A, bool Noexcept>
struct signature_from<R (C::*)(A...) && noexcept(Noexcept)> : member_signature<R, C&&, A...> {};
template <class R, class C, class... A, bool Noexcept>
struct signature_from<R (C::*)(A...) const noexcept(Noexcept)> : member_signature<R, const C&, A...> {};
template <class R, class C, class... A, bool Noexcept>
struct signature_from<R (C::*)(A...) const & noexcept(Noexcept)> : member_signature<R, const C&, A...> {};

// The signature of the operator() of an `Object`, without the object.
template <class Object, class Operator>
struct call_operator {
    using signature = typename signature_from<Operator>::without_object;
};
// In C++23 it may be static, or may have an explicit object parameter, which is not an argument.
template <class Object, class R, class... A, bool Noexcept>
struct call_operator<Object, R (*)(A...) noexcept(Noexcept)> {
    using signature = R(A...);
};
template <class Object, class R, class This, class... A, bool Noexcept>
    requires(std::derived_from<Object, std::remove_cvref_t<This>> && std::is_invocable_v<Object&, A...>)
struct call_operator<Object, R (*)(This, A...) noexcept(Noexcept)> {
    using signature = R(A...);
};

template <class Function>
    requires requires { &Function::operator(); }
struct signature_from<Function> {
    using type = typename call_operator<Function, decltype(&Function::operator())>::signature;
};

template <class Function>
using signature_of = typename signature_from<std::decay_t<Function>>::type;

// A hook class that works in several phases, plain and awaited, has several operator(), so its
// signature cannot be deduced. If each of them takes an ext::any_call& first, the class declares
// `using for_any_call = void;`.
template <class Hook>
concept for_any_call = requires { typename Hook::for_any_call; };

// The signature of a hook that is registered by name: `Given` if it is not void; otherwise that of the
// ext::call that the hook takes, or any_call if it takes that.
template <phase When, class Given, class Hook>
struct signature_of_hook {
    using type = Given;
};
template <phase When, class Hook>
struct signature_of_hook<When, void, Hook> {
    template <class Call>
    struct from_call {
        static_assert(always_false<Call>,
                      "ext: a hook registered by name takes an ext::call<R(A...)>& or an ext::any_call&, or the "
                      "signature is given: ext::on_start<R(A...)>(name, hook)");
        using type = void();
    };
    template <class Result, class Signature, class... Proceed>
    struct from_call<Result(call<Signature>&, Proceed...)> {
        using type = Signature;
    };
    template <class Result, class Signature, class... Proceed>
    struct from_call<Result(const call<Signature>&, Proceed...)> {
        using type = Signature;
    };
    template <class Result, class... Proceed>
    struct from_call<Result(any_call&, Proceed...)> {
        using type = any_call;
    };
    template <class Result, class... Proceed>
    struct from_call<Result(const any_call&, Proceed...)> {
        using type = any_call;
    };
    template <class Result, class... Proceed>
    struct from_call<Result(any_call, Proceed...)> {
        using type = any_call;
    };
    static auto find() {
        if constexpr (for_any_call<Hook>)
            return from_call<void(any_call&)>();
        else if constexpr (requires { &Hook::operator(); } || std::is_pointer_v<Hook>)
            return from_call<signature_of<Hook>>();
        else if constexpr (When == phase::around)
            return find_around();
        else
            return from_call<Hook>();
    }
    static auto find_around() {
        // [](any_call& call, auto& proceed). This does not take the address of its operator(): if that is
        // a coroutine, Clang 17 and 18 would compile its body.
        if constexpr (requires(Hook& hook, any_call& call, proceed& rest) {
                          hook.template operator()<proceed>(call, rest);
                      })
            return from_call<void(any_call&)>();
        else if constexpr (requires { &Hook::template operator()<proceed>; })  // [](call<R(A...)>& call, auto& proceed)
            return from_call<typename call_operator<Hook, decltype(&Hook::template operator()<proceed>)>::signature>();
        else
            return from_call<Hook>();
    }
    using type = typename decltype(find())::type;
};

}}}  // namespace ext::detail
