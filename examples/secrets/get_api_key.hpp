#pragma once

// The application's function, as it would be without any plugin: it knows the environment and nothing of hooks.

#include <extensible/extensible.hpp>

#include <cstdlib>
#include <string>
#include <string_view>

/// The variable that holds the service's key: MY_CLOUD_API_KEY for "my-cloud".
inline std::string variable_name(std::string_view service) {
    std::string name(service);
    for (char& c : name) {  // not with <cctype>, for which some locales have more letters than a variable may have
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        else if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9')) c = '_';
    }
    return name + "_API_KEY";
}

/// The service's key from the environment; empty without one. Any thread may ask.
inline ext::extensible get_api_key{"models.get_api_key", [](std::string_view service) -> std::string {
    const char* const key = std::getenv(variable_name(service).c_str());
    return key ? key : "";
}};
