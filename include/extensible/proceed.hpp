#pragma once

// ext::proceed: with it, an around hook runs the rest of its call.

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/call/monitoring.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/private_access.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

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
    proceed(const shared& call, const detail::hook_entry& caller) noexcept
        : call_(call), caller_(caller), hook_(caller.record) {}

    // Runs the around hook of this entry, and within it the rest of the call.
    EXTENSIBLE_HIDDEN static void run(const shared& call, const detail::hook_entry& hook);
    void run_rest();
    EXTENSIBLE_COLD_FUNCTION void run_rest_watched();

    const shared& call_;
    const detail::hook_entry& caller_;  // the entry in whose turn this was made; the next one follows it

    // Written by the library before the hook runs, and after it has run: see run_supervised().
    const detail::hook_record* hook_;      // the hook that receives this: the caller's, or one that it replaces
    detail::hook_watch* watch_ = nullptr;  // of its run; null if there are no monitors, and after the run

    bool called_ = false;  // whether operator() was called
};

// -------------------------------------------------------------------------------------------------

inline void proceed::operator()() {
    called_ = true;
    if (call_.call.exception) [[unlikely]] detail::displace_exception(call_.call, *hook_);
    if (watch_) [[unlikely]] return run_rest_watched();
    run_rest();
}

inline void proceed::run_rest() {
    const detail::hook_entry& next = (&caller_)[1];
    if (!next.run) return call_.run_function(call_);
    detail::private_access::operations(call_.call).reset_result(&call_.call);
    run(call_, next);
}

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALLED_BY_USERS void proceed::run(const shared& call, const detail::hook_entry& hook) {
    proceed next(call, hook);
    const detail::run_input input{.proceed = &next};
    EXTENSIBLE_TRY {
        hook.run(hook.object, &call.call, &input);
    } EXTENSIBLE_CATCH(...) {
        detail::keep_exception(call.call, *hook.record);
        detail::private_access::operations(call.call).reset_result(&call.call);
    }
}

void proceed::run_rest_watched() {
    const detail::hook_watch::timed_rest timer(*watch_);
    run_rest();
}

#endif

}}  // namespace ext
