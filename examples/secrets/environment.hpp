#pragma once

// What does the environment say?

#include <cstdlib>
#include <string_view>

namespace secrets {

/// The variable's value; empty without the variable. A view of the environment, which must not change meanwhile: a copy of a
/// secret would have to be wiped.
inline std::string_view environment_variable(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

}  // namespace secrets
