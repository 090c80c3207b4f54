#pragma once

#include <extensible/extensible.hpp>
// Headers that extensible.hpp does not include.
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

// As in an application's header: one wrapper is defined here, the other in a source file.
inline ext::extensible greet{"two_units.greet", [](std::string_view who) { return "hello " + std::string(who); }};
extern ext::extensible<int(int)> twice;

// Defined in one.cpp: what that translation unit sees.
ext::registry* default_registry_of_one();
const void* greet_of_one();
std::string greet_from_one(std::string_view who);
ext::hook hook_from_one();
