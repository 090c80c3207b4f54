#pragma once

// Which failures does a ready-made hook look at? For its option `.when`, where exceptions of some types count.

#include <extensible/any_call.hpp>
#include <extensible/detail/config.hpp>

#include <exception>
#include <type_traits>

namespace ext::inline EXTENSIBLE_ABI::hooks {

/// Whether an exception of one of these types was thrown: `retry({.when = ext::hooks::thrown<busy, std::system_error>})`.
template <class... Exceptions>
bool thrown(const any_call& call) {
    const auto is = [&]<class Exception>(std::type_identity<Exception>) {
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
        return false;
#endif
    };
    return call.exception() && (is(std::type_identity<Exceptions>()) || ...);
}

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
