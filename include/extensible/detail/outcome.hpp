#pragma once

// How does a call keep what was thrown, drop what came out before, and end without a result? What is rare stands in functions
// of its own, since the registers that it takes would otherwise be saved in each call.

#include <extensible/any_call.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/report.hpp>
#include <extensible/error.hpp>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace ext::detail {

/// In a catch-all block: keeps what it has caught. What is no C++ exception cannot be kept and goes on: a thread that is
/// cancelled.
[[gnu::noinline, gnu::cold]] inline void keep_exception(std::exception_ptr& exception) {
    std::exception_ptr caught = std::current_exception();
    if (!caught) throw;
    exception = std::move(caught);
}

/// As above, for what `hook` threw in a call of `function`. If it takes another one's place, that is reported.
[[gnu::noinline, gnu::cold]] inline void keep_exception(std::exception_ptr& exception, const hook_entry& hook,
                                                        std::string_view function) {
    std::exception_ptr before = exception;
    keep_exception(exception);
    if (before && before != exception) report(*hook.record, function, std::move(before), true);
}

/// Before an around hook goes on: what the inside came to before is gone. An exception that is still there is displaced, and
/// reported as `caller`'s doing; there is none where nobody has gone on yet, and `caller` may be null then.
inline void forget_outcome(const any_call& call, const hook_entry* caller) {
    std::exception_ptr& exception = call.exception();
    if (exception) [[unlikely]] report(*caller->record, call.name(), std::exchange(exception, nullptr), true);
    call.operations().reset_result(call.erased());
}

/// Throws what the call of `function` ended with, when that is no result.
[[noreturn, gnu::noinline, gnu::cold]] inline void throw_outcome(std::string_view function, std::exception_ptr exception) {
    if (exception) std::rethrow_exception(std::move(exception));
    throw no_result(std::string(function) + ": the call ended with neither a result nor an exception");
}

}  // namespace ext::detail
