#pragma once

// What does a function take and give? Signatures of callables; the shape of one: its parameters without the kwargs; and a
// function of which only the signature is known.

#include <extensible/arg.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/options.hpp>
#include <extensible/result.hpp>

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

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

/// Whether `function` is a null pointer or an empty std::function, and so cannot be called.
template <class Function>
bool is_null(const Function& function) noexcept {
    if constexpr (std::is_pointer_v<Function> || std::is_member_pointer_v<Function>) return function == nullptr;
    else if constexpr (std::is_constructible_v<bool, const Function&> && !std::is_convertible_v<const Function&, bool>)
        return !function;  // its operator bool is explicit; a lambda is a pointer, and so true, implicitly
    else return false;
}

// Whether a T can be copied. A container is if its elements are, which std::is_copy_constructible does not check.
template <class T>
inline constexpr bool is_copyable = std::is_copy_constructible_v<T>;
template <class T>
    requires requires(const T& container) {
        container.begin();
        container.end();
        requires !std::same_as<typename T::value_type, T>;
    }
inline constexpr bool is_copyable<T> = std::is_copy_constructible_v<T> && is_copyable<typename T::value_type>;

/// How an argument is handed to the call with hooks: scalars by value, because a reference would make the call without
/// hooks write them to memory.
template <class T>
using handed_on = std::conditional_t<std::is_scalar_v<T>, T, T&&>;

// The argument as the function's parameter T takes it.
template <bool Kept, class T>
decltype(auto) pass_on(arg<T>& argument) noexcept {
    if constexpr (std::is_lvalue_reference_v<T>) return static_cast<T>(*argument);
    else if constexpr (Kept && !std::is_reference_v<T> && is_copyable<T>) return std::as_const(*argument);
    else return std::move(*argument);
}

/// Calls `function` with the arguments of the call, and its kwargs where the signature has them. `Kept`: the arguments are
/// looked at afterwards, so those taken by value are copied where they can be, and moved otherwise.
template <bool Kept, class Signature, class Function>
decltype(auto) pass_on(call<Signature>& call, Function&& function) {
    return [&]<std::size_t... Index>(std::index_sequence<Index...>) -> decltype(auto) {
        if constexpr (shape<Signature>::takes_kwargs)
            return function(pass_on<Kept>(std::get<Index>(call.args))..., call.kwargs);
        else
            return function(pass_on<Kept>(std::get<Index>(call.args))...);
    }(shape<Signature>::parameters);
}

template <class Signature>
class erased_function;

/// Whether a call gives an R. It is std::is_invocable_r, which from C++23 on says no to a reference to a temporary: of that the
/// library has something to say.
template <class R, class Function, class... A>
concept gives = std::is_invocable_v<Function, A...> &&
                (std::is_void_v<R> || std::is_convertible_v<std::invoke_result_t<Function, A...>, R>);

[[noreturn]] EXTENSIBLE_FUNCTION void throw_not_constructed();

/// Any function that can be called as R(A...), move-only ones too. Empty when made from an empty one.
template <class R, class... A>
class erased_function<R(A...)> {
public:
    template <class Function>
        requires(!std::same_as<std::remove_cvref_t<Function>, erased_function> && gives<R, std::decay_t<Function>&, A...>)
    erased_function(Function&& function) {
        using held = std::decay_t<Function>;
        static_assert(binds_directly<std::invoke_result_t<held&, A...>, R>,
                      "ext::extensible: the signature's result is a reference, and would refer to a temporary that the function returns");
        if (is_null(function)) return;
        object_ = new held(std::forward<Function>(function));
        call_ = [](void* object, A&&... args) -> R {
            if constexpr (std::is_void_v<R>) detail::invoke(*static_cast<held*>(object), std::forward<A>(args)...);
            else return detail::invoke(*static_cast<held*>(object), std::forward<A>(args)...);
        };
        destroy_ = [](void* object) noexcept { delete static_cast<held*>(object); };
    }

    erased_function(const erased_function&) = delete;
    erased_function(erased_function&& other) noexcept
        : object_(std::exchange(other.object_, nullptr)), call_(other.call_), destroy_(other.destroy_) {}
    erased_function& operator=(erased_function other) noexcept {
        std::swap(object_, other.object_);
        std::swap(call_, other.call_);
        std::swap(destroy_, other.destroy_);
        return *this;
    }
    ~erased_function() {
        if (object_) destroy_(object_);
    }

    explicit operator bool() const noexcept { return object_ != nullptr; }

    /// Throws error if it is in static storage and not constructed yet, and so is zero.
    R operator()(A... args) const {
        if (!call_) [[unlikely]] throw_not_constructed();
        return call_(object_, std::forward<A>(args)...);
    }

private:
    void* object_ = nullptr;  // owned; null means empty, and then the others mean nothing
    R (*call_)(void* object, A&&... args) = nullptr;
    void (*destroy_)(void* object) noexcept = nullptr;
};

#if EXTENSIBLE_BODIES

void throw_not_constructed() {
    raise<error>("ext: this ext::extensible is not constructed yet, because its source file is initialized later; call it "
                 "after main() has begun, or make it a static variable of a function");
}

#endif

}  // namespace detail

}  // namespace ext::inline EXTENSIBLE_ABI
