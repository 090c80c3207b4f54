#pragma once

#include <exception>
#include <string>

/// The text of an exception; "none" if the pointer is null.
inline std::string text_of(const std::exception_ptr& exception) {
    if (!exception) return "none";
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& e) {
        return e.what();
    }
}
