#pragma once

// Reads variables of the environment.

#include "abi.hpp"

#include <cstdlib>
#include <string_view>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// The variable's value, empty if the variable is not set. It is a view of the environment, which
/// must not change meanwhile. (A copy of a secret would have to be wiped.)
inline std::string_view environment_variable(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

}}  // namespace secrets
