#pragma once

// ext::proceed: with it, an around hook runs the rest of its call.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/call/monitoring.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/private_access.hpp>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

class counting_guard;

/// What all around hooks of one call share. `run_function` resets the result, calls the function,
/// and leaves its outcome in the call. In an awaited call, it returns a sub-task that does so when
/// it is awaited.
template <class Result>
struct rest_of_call {
    call_fields& call;
    Result (*run_function)(const rest_of_call& self);
    const counting_guard* held = nullptr;  // of an awaited call; null for other calls
};

/// The place of one around hook in its call: what its `proceed` needs.
template <class Result>
struct place_in_call {
    const rest_of_call<Result>& shared;
    const hook_entry& entry;  // in whose turn the hook runs

    // Written by the library before the hook runs, and after it has run.
    const hook_record* hook = entry.record;  // the hook that runs: the entry's own, or one that it replaces
    hook_watch* watch = nullptr;             // of its run; null if there are no monitors, and after the run

    bool called = false;  // whether the hook has called `proceed`

    const hook_entry& next() const noexcept { return (&entry)[1]; }
};

}  // namespace detail

/// Runs the rest of a call, from an around hook: the next around hook or, innermost, the function.
/// An around hook receives it as its second parameter.
///
///     get_api_key.around([](auto& call, auto& proceed) {
///         proceed();
///         if (call.exception) call.exception = nullptr, proceed();  // try again
///     });
///
/// Call it zero or more times, only while the hook runs, on its thread. A hook that does not call
/// it must supply the outcome itself: a result or an exception. The object cannot be copied.
class proceed {
public:
    /// Runs the rest of the call with the current arguments, and replaces what `result` and
    /// `exception` hold by the outcome. It does not throw what the function or a hook throws.
    ///
    /// An exception that is still in the call is displaced, and reported to the error handlers of
    /// the registry. To avoid the report, set `call.exception = nullptr` first.
    void operator()();

    proceed(const proceed&) = delete;
    proceed& operator=(const proceed&) = delete;

private:
    friend detail::private_access;
    using shared = detail::rest_of_call<void>;
    proceed(const shared& call, const detail::hook_entry& entry) noexcept : place_{call, entry} {}

    // Runs the around hook of this entry, and within it the rest of the call.
    EXTENSIBLE_HIDDEN static void run(const shared& call, const detail::hook_entry& entry);
    void run_rest();
    EXTENSIBLE_COLD_FUNCTION void run_rest_watched();

    detail::place_in_call<void> place_;
};

// -------------------------------------------------------------------------------------------------

inline void proceed::operator()() {
    place_.called = true;
    detail::call_fields& call = place_.shared.call;
    if (call.exception) [[unlikely]] detail::displace_exception(call, *place_.hook);
    if (place_.watch) [[unlikely]] return run_rest_watched();
    run_rest();
}

inline void proceed::run_rest() {
    const shared& rest = place_.shared;
    if (!place_.next().run) return rest.run_function(rest);
    detail::private_access::operations(rest.call).reset_result(&rest.call);
    run(rest, place_.next());
}

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALLED_BY_USERS void proceed::run(const shared& call, const detail::hook_entry& entry) {
    proceed next(call, entry);
    const detail::run_input input{.proceed = &next};
    EXTENSIBLE_TRY {
        entry.run(entry.object, &call.call, &input);
    } EXTENSIBLE_CATCH(...) {
        detail::keep_exception(call.call, *entry.record);
        detail::private_access::operations(call.call).reset_result(&call.call);
    }
}

void proceed::run_rest_watched() {
    const detail::hook_watch::timed_rest timer(*place_.watch);
    run_rest();
}

#endif

}}  // namespace ext
