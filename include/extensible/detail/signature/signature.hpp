#pragma once

// What does a function take and give? Signatures of callables, and the shape of a signature: its parameters without the kwargs.

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

// The parameters of a function, but for a last one that is ext::kwargs: that is no argument, it carries the named ones.
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
        else return std::same_as<parameter_type<count - 1>, const kwargs&> || std::same_as<parameter_type<count - 1>, kwargs>;
    }

    template <std::size_t... Index>
    static std::tuple<arg<parameter_type<Index>>...> args_of(std::index_sequence<Index...>);

public:
    static constexpr bool takes_kwargs = ends_with_kwargs();
    static constexpr bool takes_kwargs_by_reference = (std::same_as<A, const kwargs&> || ...);
    static constexpr auto parameters = std::make_index_sequence<count - (takes_kwargs ? 1 : 0)>{};
    using args = decltype(args_of(parameters));
};

// R(A...) from a function pointer, a member function pointer or a function object with one operator().
template <class Function>
struct signature_from {
    static_assert(always_false<Function>,
                  "ext: the signature of this function cannot be told, because it is a template, overloaded or no "
                  "function at all; give it: ext::extensible<R(A...)>");
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

// What the operator() of an `Object` takes besides the object.
template <class Object, class Operator>
struct call_operator {
    using signature = typename signature_from<Operator>::without_object;
};
// C++23: a static one; or one with an explicit object parameter, which is not given in a call.
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

// A class of which one object may be a start hook, an around hook, and one that is awaited, has several operator() that all take an
// ext::any_call& first, and says so: `using for_any_call = void;`.
template <class Hook>
concept for_any_call = requires { typename Hook::for_any_call; };

// The signature of a hook registered by name: the one given, or else that of the ext::call that it takes; any_call where
// it takes that.
template <phase When, class Given, class Hook>
struct signature_of_hook {
    using type = Given;
};
template <phase When, class Hook>
struct signature_of_hook<When, void, Hook> {
    template <class Call>
    struct from_call {
        static_assert(always_false<Call>,
                      "ext: a hook registered by name takes an ext::call<R(A...)>& or an ext::any_call&, or the signature is "
                      "given: ext::on_start<R(A...)>(name, hook)");
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
        // [](any_call& call, auto& proceed). Its address is not taken: Clang 17 and 18 then compile the body of a coroutine.
        if constexpr (requires(Hook& hook, any_call& call, proceed& inside) { hook.template operator()<proceed>(call, inside); })
            return from_call<void(any_call&)>();
        else if constexpr (requires { &Hook::template operator()<proceed>; })  // [](call<R(A...)>& call, auto& proceed)
            return from_call<typename call_operator<Hook, decltype(&Hook::template operator()<proceed>)>::signature>();
        else
            return from_call<Hook>();
    }
    using type = typename decltype(find())::type;
};

#if EXTENSIBLE_BODIES

#endif

}}}  // namespace ext::detail
