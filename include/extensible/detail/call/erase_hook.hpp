#pragma once

// How does a function object become a hook? By code that knows its type and hands it the call.

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

// A start hook that returns the end of its call. An empty one, as of a std::function, is none.
template <class Call, class Hook>
void run_start(void* object, call_fields* erased_call, const run_input*) {
    hook_record& record = *static_cast<hook_record*>(object);
    finishers& of_call = private_access::finishers(*erased_call);
    auto&& call = Call::of(erased_call);
    const auto& added = of_call.add<Call>(record, [&]() -> decltype(auto) {
        return detail::invoke(*static_cast<Hook*>(record.erased.object), call);
    });
    if (!is_null(added)) return;
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

// A handler receives an ext::hook_error, and a monitor an ext::hook_run.
template <class Event, class Handler>
void run_handler(void* object, call_fields*, const run_input* input) {
    const auto& event = [input]() -> const Event& {
        if constexpr (std::is_same_v<Event, hook_error>) return *input->error;
        else return *input->run;
    }();
    static_cast<void>(detail::invoke(*static_cast<Handler*>(object), event));
}

template <class Hook>
erased_hook erase(run_hook* run, run_hook* guarded, Hook&& hook) {
    using stored = std::decay_t<Hook>;
    return {new stored(std::forward<Hook>(hook)), run, guarded, [](void* object) noexcept { delete static_cast<stored*>(object); }};
}

}}}  // namespace ext::detail
