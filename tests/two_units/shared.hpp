#pragma once

#include <extensible/extensible.hpp>
#include <extensible/library.hpp>  // which the umbrella leaves out

#include <string>
#include <string_view>

// What an application's header declares: one wrapper defined here, one in a source file.
inline ext::extensible greet{"two_units.greet", [](std::string_view who) { return "hello " + std::string(who); }};
extern ext::extensible<int(int)> twice;

// The same, as the other unit sees it.
ext::registry* default_registry_of_one();
const void* greet_of_one();
std::string greet_from_one(std::string_view who);
ext::hook hook_from_one();
