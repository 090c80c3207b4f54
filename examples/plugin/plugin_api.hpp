#pragma once

// What the host and its plugins agree on: two functions that every plugin has. They are found by their names, so they
// are visible even where -fvisibility=hidden hides all else.

#include <extensible/registry.hpp>

#include <string>

/// Registers the plugin's hooks in the host's registry. Where it cannot, it says why in `error`. It throws nothing: the
/// code that an exception needs might be the plugin's, and gone by the time somebody catches it.
extern "C" [[gnu::visibility("default")]] bool load_plugin(ext::registry& host, std::string& error) noexcept;

/// When it returns no thread is inside the plugin's hooks, and the shared library may be closed.
extern "C" [[gnu::visibility("default")]] void unload_plugin() noexcept;
