#pragma once

// extensible: wrap your functions, and let code register hooks that run at the start and at the end of their calls, or
// around them.
// This is the one header that an application includes. Its parts, in the order in which one meets them:

// IWYU pragma: begin_exports
#include <extensible/wrapper.hpp>   // ext::extensible: how is a function wrapped, and what happens when it is called?
#include <extensible/call.hpp>      // ext::call: what is a hook handed?
#include <extensible/arg.hpp>       // ext::arg: how does a hook read an argument, and replace it?
#include <extensible/result.hpp>    // ext::result: what came out, or what does a hook say came out?
#include <extensible/params.hpp>    // ext::params, "name"_kw: how are parameters named, and arguments given by name?
#include <extensible/kwargs.hpp>    // ext::kwargs: which named arguments came beyond the parameters?
#include <extensible/proceed.hpp>   // ext::proceed, ext::awaiting_proceed: how does an around hook go on to what is inside of it?
#include <extensible/any_call.hpp>  // ext::any_call: what is a hook handed that is for any function?
#include <extensible/adapters.hpp>  // ext::instead, ext::filter_result, ext::tap: how does a plain function become a hook?
#include <extensible/options.hpp>   // ext::hook_options, ext::phase: when does a hook run, and what can be said of it?
#include <extensible/hook.hpp>      // ext::hook, ext::scoped_hook: what can be done with a hook once it is registered?
#include <extensible/registry.hpp>  // ext::registry, ext::on_start, ext::on_end, ext::around: how are hooks registered by name?
#include <extensible/monitor.hpp>   // ext::hook_run: what is a monitor told of each run of a hook?
#include <extensible/describe.hpp>  // ext::describe: which hooks are in place, and in which order do they run?
#include <extensible/plugin.hpp>    // ext::plugin: how are the hooks of one owner disabled and unloaded together?
#include <extensible/error.hpp>     // ext::error and the others, ext::hook_error: what can go wrong, and where is it told?
// IWYU pragma: end_exports
