#pragma once

// What is a hook handed? One struct for one call, every field of which it may read and change.

#include <extensible/arg.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/ends.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/params.hpp>
#include <extensible/result.hpp>

#include <cstddef>
#include <exception>
#include <string_view>
#include <tuple>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

namespace detail {

struct call_operations;

/// The part of an ext::call that is the same for every signature.
class call_fields {
public:
    /// The function's name. Valid during the call.
    const std::string_view name;

private:
    friend access;
    const call_operations& operations_;

    // How the call is used by code that does not know its signature.
    const call_operations& operations() const noexcept { return operations_; }

public:
    /// Named arguments beyond the parameters. Goes to the function where its last parameter is ext::kwargs, and is
    /// otherwise for hooks to hand things to each other.
    ext::kwargs kwargs;

    /// Null unless something was thrown. Set at the end of the call, it is thrown to the caller, whatever `result` is. Without
    /// exceptions it is null unless a hook sets it, and set at the end of the call it is an error, see on_error():
    /// std::make_exception_ptr gives null there with libstdc++ and -fno-rtti, and ends the program with libc++.
    union {  // because some libraries destroy it out of line, which nearly no call needs
        std::exception_ptr exception;
    };

    /// Whether the function underneath was called, also when it threw.
    bool original_ran = false;

private:
    call_ends ends_;

public:
    call_fields(const call_fields&) = delete;
    call_fields& operator=(const call_fields&) = delete;

protected:
    call_fields(const std::string_view& function, const call_operations& table) noexcept
        : name(function), operations_(table), exception() {}
    ~call_fields() {
        if (exception) [[unlikely]] exception.~exception_ptr();
    }
};

}  // namespace detail

/// One call of a wrapped function of this signature, as its hooks see it and may change it. It lives on the stack of
/// the calling thread until the last end hook has run, and is not to be used by other threads.
template <class Signature>
struct call;

template <class R, class... A>
struct call<R(A...)> : detail::call_fields {
    using signature = R(A...);

    /// One ext::arg<A> for each parameter, but for a last one that is ext::kwargs: `auto& [service] = call.args;`
    /// End hooks find here what the function was called with, after the start hooks' changes.
    typename detail::shape<signature>::args args;

    /// Set before the function runs: it is not called. Afterwards: what it returned, unless it threw. For a function that
    /// returns an awaitable: what awaiting that gives.
    ext::result<detail::outcome_of<R>> result;

    /// The argument of the parameter number `Index`, counted from 0: an ext::arg.
    template <std::size_t Index>
    auto& arg() noexcept {
        static_assert(Index < std::tuple_size_v<decltype(args)>, "ext::call::arg<Index>: the function has fewer parameters");
        return std::get<Index>(args);
    }

    /// By name an argument can be had where the names are known: in a hook registered on the function itself.
    template <detail::fixed_string Name>
    auto& arg() noexcept {
        static_assert(detail::parameter_called<Name>::template is<detail::always_false<call>>,
                      "ext::call::arg: the parameters have no names here; name them with ext::params where the function is "
                      "wrapped, and register the hook on that object");
        return std::get<0>(args);
    }

private:
    friend detail::access;

    // The view is taken by reference, so that it is copied at once.
    call(const std::string_view& function, const detail::call_operations& table, A&... given)
        : call(detail::shape<signature>::parameters, function, table, std::tie(given...)) {}

    template <std::size_t... Index>
    call(std::index_sequence<Index...>, const std::string_view& function, const detail::call_operations& table,
         std::tuple<A&...> given)
        : call_fields(function, table), args(std::get<Index>(given)...) {
        if constexpr (detail::shape<signature>::takes_kwargs) kwargs = std::get<sizeof...(Index)>(given);
    }
};

/// A hook gets this that was registered on a function with named parameters: the fields of its ext::call, and the arguments by
/// name. Converts to that call.
template <class Signature, class Parameters>
struct named_call {
    ext::call<Signature>& call;
    const std::string_view& name = call.name;
    decltype(ext::call<Signature>::args)& args = call.args;
    ext::kwargs& kwargs = call.kwargs;
    decltype(ext::call<Signature>::result)& result = call.result;
    std::exception_ptr& exception = call.exception;
    bool& original_ran = call.original_ran;

    /// The argument of the parameter number `Index`, counted from 0: an ext::arg.
    template <std::size_t Index>
    auto& arg() const noexcept {
        return call.template arg<Index>();
    }

    /// The argument of the parameter called `Name`: `call.arg<"timeout">()`, an ext::arg.
    template <detail::fixed_string Name>
    auto& arg() const noexcept {
        static_assert(detail::parameter_called<Name>::template is<Parameters::template has<Name>>,
                      "ext::call::arg: the function has no parameter of this name");
        return call.template arg<Parameters::template index<Name>>();
    }

    operator ext::call<Signature>&() const noexcept { return call; }
};

}  // namespace ext::inline EXTENSIBLE_ABI
