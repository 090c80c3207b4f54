#pragma once

// ext::hooks::thrown: tells whether a call threw an exception of some types. For the option `.when`
// of the ready-made hooks.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/hooks/detail/core.hpp>

#include <exception>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

namespace detail {

// Returns true if the call threw an `Exception` for which `matches` is true.
template <class Exception, class Predicate>
bool has_thrown([[maybe_unused]] const any_call& call, [[maybe_unused]] Predicate matches) {
#if EXTENSIBLE_EXCEPTIONS
    if (!call.exception()) return false;
    try {
        std::rethrow_exception(call.exception());
    } catch (const Exception& exception) {
        return matches(exception);
    } catch (...) {
        return false;
    }
#else
    static_assert(detail::always_false<Exception>, "ext::hooks::thrown: this is compiled without exceptions");
    return false;
#endif
}

}  // namespace detail

/// Returns true if the call threw an exception of one of these types, or of a type derived from
/// one: `retry({.when = ext::hooks::thrown<busy, std::system_error>})`.
template <class... Exceptions>
bool thrown(const any_call& call) {
    return (detail::has_thrown<Exceptions>(call, [](const Exceptions&) { return true; }) || ...);
}

}}}  // namespace ext::hooks
