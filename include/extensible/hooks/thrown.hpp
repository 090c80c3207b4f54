#pragma once

// Which failures does a ready-made hook look at? For its option `.when`, where exceptions of some types count.

#include <extensible/any_call.hpp>
#include <extensible/detail/platform/compiler.hpp>

#include <exception>

namespace ext::inline EXTENSIBLE_ABI::hooks {

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
    static_assert(ext::detail::always_false<Exception>, "ext::hooks::thrown: this is compiled without exceptions");
    return call.exception() != nullptr;
#endif
}

}  // namespace detail

/// Whether an exception of one of these types was thrown: `retry({.when = ext::hooks::thrown<busy, std::system_error>})`.
template <class... Exceptions>
bool thrown(const any_call& call) {
    return call.exception() && (detail::is_thrown<Exceptions>(call) || ...);
}

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
