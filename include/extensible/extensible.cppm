// The library as a C++20 module: `import extensible;` replaces the includes. The module exports all
// public names, also those of the ready-made hooks and of ext::library. It exports no macros: for
// EXTENSIBLE_PLUGIN and EXTENSIBLE_VERSION, include their headers.
module;

#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

export module extensible;

export namespace ext {

using ext::abandoned;
using ext::any_call;
using ext::arg;
using ext::around;
using ext::awaiting_proceed;
using ext::bad_kwarg;
using ext::call;
using ext::check_pending;
using ext::default_registry;
using ext::describe;
using ext::duplicate_hook;
using ext::effect;
using ext::error;
using ext::extensible;
using ext::failed;
using ext::filter_result;
using ext::fn;
using ext::folder_options;
using ext::function_info;
using ext::hook;
using ext::hook_error;
using ext::hook_ids;
using ext::hook_info;
using ext::hook_options;
using ext::hook_run;
using ext::incompatible_module;
using ext::instead;
using ext::keyword;
using ext::keyword_argument;
using ext::kwarg;
using ext::kwargs;
using ext::library;
using ext::library_options;
using ext::load_folder;
using ext::load_report;
using ext::named_call;
using ext::nanoseconds;
using ext::no_result;
using ext::on_end;
using ext::on_error;
using ext::on_start;
using ext::order_cycle;
using ext::parameters;
using ext::params;
using ext::phase;
using ext::plugin;
using ext::plugin_options;
using ext::proceed;
using ext::refusal;
using ext::registry;
using ext::result;
using ext::scoped_hook;
using ext::sealed;
using ext::signature_mismatch;
using ext::tap;
using ext::to_string;
using ext::version;
using ext::operator""_kw;

}  // namespace ext

export namespace ext::inline literals {

using ext::literals::operator""_kw;

}  // namespace ext::literals

export namespace ext::hooks {

#if EXTENSIBLE_EXCEPTIONS
using ext::hooks::breaker;
using ext::hooks::breaker_open;
using ext::hooks::breaker_options;
using ext::hooks::breaker_state;
using ext::hooks::to_string;
#endif
using ext::hooks::cache;
using ext::hooks::cache_counts;
using ext::hooks::cache_options;
using ext::hooks::clock;
using ext::hooks::duration;
using ext::hooks::failure_predicate;
using ext::hooks::faults;
using ext::hooks::faults_options;
using ext::hooks::function_metrics;
using ext::hooks::injected_fault;
using ext::hooks::limit_calls;
using ext::hooks::limit_calls_options;
using ext::hooks::limit_exceeded;
using ext::hooks::limit_rate;
using ext::hooks::limit_rate_options;
using ext::hooks::metrics;
using ext::hooks::metrics_bucket;
using ext::hooks::metrics_options;
using ext::hooks::not_copied;
using ext::hooks::nothing;
using ext::hooks::operator<<;
using ext::hooks::retry;
using ext::hooks::retry_options;
using ext::hooks::single_flight;
using ext::hooks::spied_call;
using ext::hooks::spy;
using ext::hooks::thrown;
using ext::hooks::time_point;
using ext::hooks::trace;
using ext::hooks::trace_options;
using ext::hooks::wait;
using ext::hooks::wait_type;

}  // namespace ext::hooks
