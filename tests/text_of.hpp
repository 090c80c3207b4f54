#pragma once

#include <exception>
#include <string>

/// What an exception that is kept says; "none" where there is none.
inline std::string text_of(const std::exception_ptr& exception) {
    if (!exception) return "none";
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& e) {
        return e.what();
    }
}
