#pragma once

// How is the type of a hook erased? Each function here is compiled for the types of one hook and of
// what it receives. An erased_hook points to the hook's object and to such functions.
//
// What must stay true:
// 1. A function that is used as erased_hook::run has the type run_hook. Its `object` is the hook's
//    record if erased_hook::takes_record is true, and otherwise the hook's object (tests/hook.cpp,
//    tests/ends.cpp).
// 2. An empty finisher is discarded, and never runs (tests/ends.cpp).
//
// Not here: which of these functions a hook needs: register_hook.hpp; hooks that are awaited:
// awaited/awaited_hook.hpp; what a hook can take: hook_parameters.hpp.

#include <extensible/call.hpp>
#include <extensible/detail/call/finishers.hpp>
#include <extensible/detail/call/hook_parameters.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/error.hpp>
#include <extensible/monitor.hpp>
#include <extensible/phase.hpp>
#include <extensible/proceed.hpp>

#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

// Runs a start hook that returns a finisher. The finisher refers to the hook's record, which is
// therefore the object. An empty finisher, such as an empty std::function, is discarded.
template <class Call, class Hook>
void run_start(void* object, call_fields* erased_call, const run_input*) {
    hook_record& record = *static_cast<hook_record*>(object);
    finishers& of_call = private_access::finishers(*erased_call);
    auto&& call = Call::of(erased_call);
    const auto& added = of_call.add<Call>(record, [&]() -> decltype(auto) {
        return detail::invoke(*static_cast<Hook*>(record.erased.object), call);
    });
    if (!detail::is_null(added)) return;
    finisher* const empty = of_call.take_last();
    empty->destroy(empty);
}

template <phase When, class Call, class Hook>
void run_plain(void* object, call_fields* erased_call, [[maybe_unused]] const run_input* input) {
    auto&& call = Call::of(erased_call);
    if constexpr (When == phase::around)
        detail::invoke(*static_cast<Hook*>(object), call, *input->proceed);
    else
        detail::invoke(*static_cast<Hook*>(object), call);
}

// Runs an error handler, if Event is hook_error, or a monitor, if Event is hook_run.
template <class Event, class Handler>
void run_handler(void* object, call_fields*, const run_input* input) {
    const auto& event = [input]() -> const Event& {
        if constexpr (std::is_same_v<Event, hook_error>) return *input->error;
        else return *input->run;
    }();
    static_cast<void>(detail::invoke(*static_cast<Handler*>(object), event));
}

/// Copies or moves the hook into an object of its own. The caller must have it destroyed, by
/// erased_hook::destroy. `run_with_options` is null for error handlers and monitors.
template <class Hook>
erased_hook erase(run_hook* run, run_hook* run_with_options, Hook&& hook) {
    using stored = std::decay_t<Hook>;
    const auto destroy = [](void* object) noexcept { delete static_cast<stored*>(object); };
    return {new stored(std::forward<Hook>(hook)), run, run_with_options, destroy};
}

}}}  // namespace ext::detail
