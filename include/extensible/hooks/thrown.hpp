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

template <class Exception>
bool is_thrown(const any_call& call) {
#if EXTENSIBLE_EXCEPTIONS
    try {
        std::rethrow_exception(call.exception());
    } catch (const Exception&) {
        return true;
    } catch (...) {
        return false;
    }
#else
    static_assert(detail::always_false<Exception>, "ext::hooks::thrown: this is compiled without exceptions");
    return call.exception() != nullptr;
#endif
}

}  // namespace detail

/// Returns true if the call threw an exception of one of these types, or of a type derived from
/// one: `retry({.when = ext::hooks::thrown<busy, std::system_error>})`.
template <class... Exceptions>
bool thrown(const any_call& call) {
    return call.exception() && (detail::is_thrown<Exceptions>(call) || ...);
}

}}}  // namespace ext::hooks
