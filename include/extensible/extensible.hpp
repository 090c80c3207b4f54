#pragma once

// The one header that an application includes. Wrap your functions with ext::extensible; any code
// can then register hooks that run before, around and after their calls.

// IWYU pragma: begin_exports

// Wrapping functions:
#include <extensible/wrapper.hpp>           // ext::extensible: wraps a function; ext::fn
#include <extensible/params.hpp>            // ext::params, "name"_kw: names for parameters and arguments

// Writing hooks:
#include <extensible/call.hpp>              // ext::call: what a hook receives
#include <extensible/arg.hpp>               // ext::arg: reads or replaces an argument
#include <extensible/kwargs.hpp>            // ext::kwargs: named arguments beyond the parameters
#include <extensible/result.hpp>            // ext::result: the result of a call; ext::failed
#include <extensible/any_call.hpp>          // ext::any_call: a call of a function of any signature
#include <extensible/proceed.hpp>           // ext::proceed: runs the rest of a call in an around hook
#include <extensible/awaiting_proceed.hpp>  // ext::awaiting_proceed: the same, awaited
#include <extensible/adapters.hpp>          // ext::instead, filter_result, tap: hooks from plain functions

// Registering hooks:
#include <extensible/registry.hpp>          // ext::registry, ext::on_start, ...: registering by name
#include <extensible/phase.hpp>             // ext::phase: when in a call a hook runs
#include <extensible/options.hpp>           // ext::hook_options: id, order and behaviour
#include <extensible/hook.hpp>              // ext::hook, ext::scoped_hook: handles to registered hooks
#include <extensible/plugin.hpp>            // ext::plugin: the hooks of one owner

// Observing hooks:
#include <extensible/describe.hpp>          // ext::describe, ext::check_pending: listing the hooks
#include <extensible/function_info.hpp>     // ext::function_info: the hooks as data
#include <extensible/monitor.hpp>           // ext::hook_run: what a monitor receives

// Errors and versions:
#include <extensible/error.hpp>             // ext::error and the other exceptions; ext::on_error
#include <extensible/version.hpp>           // ext::version, EXTENSIBLE_VERSION

// IWYU pragma: end_exports
