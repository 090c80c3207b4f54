#pragma once

// Where does an exception go that no caller will see? To the handlers of the registry; without one, to stderr.

#include <extensible/any_call.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/running.hpp>
#include <extensible/hook_error.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace ext::detail {

// A handler gets no call.
[[gnu::visibility("hidden")]] inline constexpr call_operations operations_of_errors{};

inline void write_to_stderr(const hook_error& error) noexcept {
    try {
        const std::string text = "extensible: " + error.text() + "\n";
        std::fputs(text.c_str(), stderr);
    } catch (...) {
        std::fputs("extensible: out of memory while a hook's exception was reported\n", stderr);
    }
}

/// `function` is the name of the one that was called.
[[gnu::noinline, gnu::cold, gnu::visibility("hidden")]] inline void report(const hook_record& hook, std::string_view function,
                                                                          std::exception_ptr exception, bool displaced) {
    hook_error error{function,  hook.when, hook.id, hook.owner ? std::string_view(hook.owner->name) : std::string_view(),
                     std::move(exception), displaced};
    deep_call deep;
    const held_hooks held(hook.registry->errors, deep);
    if (!held.list()) return write_to_stderr(error);
    for (const hook_entry& handler : held.list()->all()) {
        // A handler that comes by an error itself must not be handed that: it might never end.
        if (running_hook::is_running(*handler.record)) {
            write_to_stderr(error);
            continue;
        }
        const running_hook running(*handler.record);
        try {
            handler.run(handler, &error, operations_of_errors, nullptr);
        } catch (...) {
            if (!std::current_exception()) throw;  // the thread is being cancelled
            write_to_stderr(error);
        }
    }
}

/// In a catch-all block: reports what it has caught, which `hook` threw, in a call that goes on as if it had returned.
inline void report_isolated(const hook_record& hook, std::string_view function) {
    if (!std::current_exception()) throw;  // the thread is being cancelled
    report(hook, function, std::current_exception(), false);
}

}  // namespace ext::detail
