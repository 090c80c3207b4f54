#pragma once

// How is a hook run that must not do harm? One that is registered with `.isolate` or `.reentrant = false`.

#include <extensible/any_call.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/report.hpp>
#include <extensible/detail/running.hpp>
#include <extensible/proceed.hpp>

#include <optional>

namespace ext::detail {

[[gnu::visibility("hidden")]] inline void run_isolated(const hook_entry& self, void* erased_call,
                                                       const call_operations& operations, void* inside) {
    try {
        self.record->erased.run(self, erased_call, operations, inside);
    } catch (...) {
        const any_call call(erased_call, operations);
        report_isolated(*self.record, call.name());
        // An around hook that failed before it came to anything has still to let the function run.
        if (self.record->when != phase::around || call.has_result() || call.exception()) return;
        proceed& next = *static_cast<proceed*>(inside);
        if (!next.called()) next();
    }
}

/// Runs it with care.
[[gnu::visibility("hidden")]] inline void run_guarded(const hook_entry& self, void* call, const call_operations& operations,
                                                      void* inside) {
    const hook_record& hook = *self.record;
    std::optional<running_hook> running;
    if (!hook.reentrant) {
        if (running_hook::is_running(hook)) {  // passed by
            if (hook.when == phase::around) (*static_cast<proceed*>(inside))();
            return;
        }
        running.emplace(hook);
    }
    (hook.isolate ? &run_isolated : hook.erased.run)(self, call, operations, inside);
}

}  // namespace ext::detail
