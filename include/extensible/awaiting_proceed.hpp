#pragma once

// ext::awaiting_proceed: with it, an around hook of a function that returns an awaitable runs the rest
// of its call.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/awaited/awaited_hook.hpp>
#include <extensible/detail/awaited/counting_guard.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/call/monitoring.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/proceed.hpp>

namespace ext { inline namespace EXTENSIBLE_ABI {

/// Runs the rest of a call, from an around hook of a function that returns an awaitable. Such a
/// hook is a coroutine, which is awaited, and writes `co_await proceed()`. See ext::proceed.
///
///     read_secret.around([](auto& call, auto& proceed) -> task<void> { co_await proceed(); });
template <class SubTask>
class awaiting_proceed {
public:
    /// Returns an awaitable that runs the rest of the call when it is awaited, as
    /// ext::proceed::operator() does. Do not call it again before the awaitable is done.
    [[nodiscard("nothing runs unless it is awaited: co_await proceed()")]] SubTask operator()();

    awaiting_proceed(const awaiting_proceed&) = delete;
    awaiting_proceed& operator=(const awaiting_proceed&) = delete;

private:
    friend detail::private_access;
    using shared = detail::rest_of_call<SubTask>;
    awaiting_proceed(const shared& call, const detail::hook_entry& entry) noexcept : place_{call, entry} {}

    // Runs the around hook of this entry, and within it the rest of the call.
    static SubTask run(const shared& call, const detail::hook_entry& entry);
    SubTask run_rest();
    SubTask run_rest_watched();

    detail::place_in_call<SubTask> place_;
};

// -------------------------------------------------------------------------------------------------

template <class SubTask>
SubTask awaiting_proceed<SubTask>::operator()() {
    const shared& rest = place_.shared;
    if (rest.call.exception) detail::displace_exception(rest.call, *place_.hook, *rest.held);
    return place_.watch ? run_rest_watched() : run_rest();
}

template <class SubTask>
SubTask awaiting_proceed<SubTask>::run_rest_watched() {
    const detail::hook_watch::timed_rest timer(*place_.watch);
    co_await run_rest();
}

template <class SubTask>
SubTask awaiting_proceed<SubTask>::run_rest() {
    const shared& rest = place_.shared;
    SubTask begun = place_.next().run ? run(rest, place_.next()) : rest.run_function(rest);
    place_.called = true;  // not reached if the sub-task cannot be allocated
    return begun;
}

// To the hooks outside it, an around hook that throws looks like a function that threw.
template <class SubTask>
SubTask awaiting_proceed<SubTask>::run(const shared& call, const detail::hook_entry& entry) {
    const detail::call_operations& operations = detail::private_access::operations(call.call);
    operations.reset_result(&call.call);
    awaiting_proceed next(call, entry);
    const detail::hook_entry* const hook = detail::hook_in_turn(entry, call.call, *call.held);
    bool skipped = !hook;
    if (hook) {
        next.place_.hook = hook->record;
        EXTENSIBLE_TRY {
            co_await detail::begin_hook<SubTask>(*hook, call.call, *call.held, &next);
        } EXTENSIBLE_CATCH(...) {
            if (!detail::keep_or_isolate(call.call, *hook->record, *call.held)) operations.reset_result(&call.call);
            else skipped = !next.place_.called && !operations.has_result(&call.call) && !call.call.exception;
        }
    }
    next.place_.watch = nullptr;  // the hook's run is over
    if (skipped) co_await next();
}

}}  // namespace ext
