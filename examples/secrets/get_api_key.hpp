#pragma once

// The application's function, as it would be without any plugin: it knows the environment and nothing of hooks.

#include "names.hpp"

#include <extensible/extensible.hpp>

#include <string>
#include <string_view>

/// The service's key from the environment, of several with commas between them the next in turn; empty without any. Any thread
/// may ask.
inline ext::extensible get_api_key{"models.get_api_key", [](std::string_view service) -> std::string {
    const auto found = secrets::find_keys_in_environment(service);
    return found ? secrets::next_key(service, found->list) : "";
}};
