#pragma once

// The application's function, as it is without plugins. It reads only the environment.

#include "names.hpp"

#include <extensible/extensible.hpp>

#include <string>
#include <string_view>

/// Returns the service's key from the environment, or an empty text. If the variable holds several
/// keys with commas between them, each call returns the next one. Thread-safe.
inline ext::extensible get_api_key{"models.get_api_key", [](std::string_view service) -> std::string {
    const auto found = secrets::find_keys_in_environment(service);
    return found ? secrets::next_key(service, found->list) : "";
}};
