#pragma once

// ext::call: what a hook receives, with the arguments, the result and the exception of one call.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/arg.hpp>
#include <extensible/detail/call/finishers.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/params.hpp>
#include <extensible/result.hpp>

#include <cstddef>
#include <exception>
#include <string_view>
#include <tuple>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

struct call_operations;

/// The fields of an ext::call that are the same for every signature.
class call_fields {
public:
    /// The name of the function. Valid during the call.
    const std::string_view name;

private:
    friend private_access;
    const call_operations& operations_;

    // How code that does not know the signature uses the call.
    const call_operations& operations() const noexcept { return operations_; }

public:
    /// The named arguments beyond the parameters. If the last parameter of the function is an
    /// ext::kwargs, the function receives them. In any case hooks can pass values to each other
    /// here.
    ext::kwargs kwargs;

    // In a union, so that the destructor can skip it: some standard libraries destroy it out of line,
    // even if it is null.
    union {
        /// What was thrown, or null. If it is set when the call ends, it is rethrown to the caller,
        /// whatever `result` holds. If it is set when all start hooks have run, the around hooks
        /// and the function are skipped.
        ///
        /// Without exceptions (-fno-exceptions) it is null unless a hook sets it. If it is then set
        /// when the call ends, that is an error, which the handler of ext::on_error() receives. In
        /// such programs std::make_exception_ptr returns null with libstdc++ and -fno-rtti, and
        /// ends the program with libc++.
        std::exception_ptr exception;
    };

    /// True if the wrapped function was called, even if it threw.
    bool original_ran = false;

private:
    finishers finishers_;

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

/// What a hook receives: one call of a wrapped function. `Signature` is that of the function,
/// R(A...).
///
/// The members are `name`, `args`, `arg<I>()`, `kwargs`, `result`, `exception` and `original_ran`.
/// A hook may read all of them, and change the arguments, `kwargs`, the result and the exception.
///
///     get_api_key.on_start([](ext::call<std::string(std::string_view)>& call) {
///         if (*call.arg<0>() == "test") call.result = "sk-test";  // the function is not called
///     });
///
/// A call lives on the stack of the calling thread (or in the coroutine, if the function returns an
/// awaitable) until its last end hook and finisher (see extensible::on_start()) have run. It cannot
/// be copied: take it by reference. It is not thread-safe: use it only on the thread of the hook,
/// and only while the hook runs.
template <class Signature>
struct call;

/// What a hook receives: one call of a wrapped function of the signature R(A...).
/// - `name`: the name of the function;
/// - `args`, `arg<I>()`: the arguments, which a hook can read and replace;
/// - `kwargs`: the named arguments beyond the parameters;
/// - `result`: the result, or empty; if a start hook sets it, the function is not called;
/// - `exception`: what was thrown, or null;
/// - `original_ran`: true if the wrapped function was called.
///
/// Use the call only on the thread of the hook, and only while the hook runs.
template <class R, class... A>
struct call<R(A...)> : detail::call_fields {
    /// The signature of the function.
    using signature = R(A...);

    /// The arguments: a std::tuple with an ext::arg<A> for each parameter, except a trailing
    /// ext::kwargs. Name them with `auto& [service] = call.args;`. End hooks see the arguments as
    /// the start hooks and around hooks left them. But what the function does through a reference is
    /// visible, and an argument for a `T&&`, or one that cannot be copied, has been moved into the
    /// function.
    typename detail::shape<signature>::args args;

    /// The result of the call, or empty; it is used like a std::optional<R>. If it is set when all
    /// start hooks have run, the around hooks and the function are skipped. After the function has
    /// run, it holds what the function returned, or is empty if the function threw. If the function
    /// returns an awaitable, it holds what `co_await` yields.
    ext::result<detail::outcome_of<R>> result;

    /// Returns the argument with this index, counted from 0, as an ext::arg. In a generic hook,
    /// write `call.template arg<0>()`.
    template <std::size_t Index>
    auto& arg() noexcept {
        static_assert(Index < std::tuple_size_v<decltype(args)>,
                      "ext::call::arg<Index>: the function has fewer parameters");
        return std::get<Index>(args);
    }

    /// Does not compile. Only a hook that is registered on a wrapper with named parameters can
    /// access an argument by name: see ext::named_call.
    template <detail::fixed_string Name>
    auto& arg() noexcept {
        static_assert(detail::parameter_called<Name>::template is<detail::always_false<call>>,
                      "ext::call::arg: the parameters have no names here; name them with ext::params where the "
                      "function is wrapped, and register the hook on that object");
        return std::get<0>(args);
    }

private:
    friend detail::private_access;

    // Takes the view by reference, so that it is copied at once, straight into `name`.
    call(const std::string_view& function, const detail::call_operations& table, A&... given)
        : call(detail::shape<signature>::parameters, function, table, std::tie(given...)) {}

    template <std::size_t... Index>
    call(std::index_sequence<Index...>, const std::string_view& function, const detail::call_operations& table,
         std::tuple<A&...> given)
        : call_fields(function, table), args(std::get<Index>(given)...) {
        if constexpr (detail::shape<signature>::takes_kwargs) kwargs = std::get<sizeof...(Index)>(given);
    }
};

/// What a hook receives if it is registered on a wrapper with named parameters (see ext::params):
/// the fields of the ext::call, and the arguments by name. Converts to that ext::call.
///
///     fetch.on_start([](auto& call) { call.template arg<"timeout">() = 10s; });
template <class Signature, class Parameters>
struct named_call {
    /// The call itself.
    ext::call<Signature>& call;

    /// The name of the function. Valid during the call.
    const std::string_view& name = call.name;

    /// The arguments, each an ext::arg. See ext::call::args.
    decltype(ext::call<Signature>::args)& args = call.args;

    /// The named arguments beyond the parameters. See ext::call::kwargs.
    ext::kwargs& kwargs = call.kwargs;

    /// The result of the call, or empty. See ext::call::result.
    decltype(ext::call<Signature>::result)& result = call.result;

    /// What was thrown, or null. See ext::call::exception.
    std::exception_ptr& exception = call.exception;

    /// True if the wrapped function was called, even if it threw.
    bool& original_ran = call.original_ran;

    /// Returns the argument with this index, counted from 0, as an ext::arg.
    template <std::size_t Index>
    auto& arg() const noexcept {
        return call.template arg<Index>();
    }

    /// Returns the argument for the parameter with this name, as an ext::arg:
    /// `call.arg<"timeout">()`. In a generic hook, write `call.template arg<"timeout">()`.
    template <detail::fixed_string Name>
    auto& arg() const noexcept {
        static_assert(detail::parameter_called<Name>::template is<Parameters::template has<Name>>,
                      "ext::call::arg: the function has no parameter of this name");
        return call.template arg<Parameters::template index<Name>>();
    }

    /// Converts to the call itself, for functions that take an ext::call&.
    operator ext::call<Signature>&() const noexcept { return call; }
};

}}  // namespace ext
