#pragma once

// What the host passes to the library, and what the library exports.

#include "../tasks.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <string>
#include <string_view>

struct host_api {
    ext::registry& registry;
    ext::extensible<std::string(std::string_view)>& get_key;
    ext::extensible<int(int)>& inner;
    ext::registry* default_registry;    // of the host
    tasks::gate* later{};               // what the library's hook on "host.later" awaits
    std::atomic<int> captured{0};       // number of living captures of the library's hooks
    std::atomic<int> calls_in_library{0};
};

using load_function = void(host_api&);
using unload_function = void();
using unload_at_once_function = bool();
using call_function = int(int);
using registry_function = ext::registry*();
