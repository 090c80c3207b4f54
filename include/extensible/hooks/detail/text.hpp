#pragma once

// What do the ready-made hooks say of an exception?

#include <extensible/detail/config.hpp>

#include <exception>
#include <string>

namespace ext::inline EXTENSIBLE_ABI::hooks::detail {

/// Its what(). There is one.
inline std::string text_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& thrown) {
        return thrown.what();
    } catch (...) {
        return "something that is no std::exception";
    }
}

}  // namespace ext::inline EXTENSIBLE_ABI::hooks::detail
