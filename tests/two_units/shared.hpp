#pragma once

#include <extensible/extensible.hpp>
// What the umbrella leaves out.
#include <extensible/hooks/breaker.hpp>
#include <extensible/hooks/cache.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/limit.hpp>
#include <extensible/hooks/retry.hpp>
#include <extensible/hooks/spy.hpp>
#include <extensible/hooks/trace.hpp>
#include <extensible/library.hpp>

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
