#pragma once

// The scenarios that the explorer can run.

#include <functional>
#include <span>
#include <vector>

namespace mc {

struct scenario {
    const char* name;
    const char* claim;
    std::vector<std::function<void()>> (*make)();  // the bodies of the threads
};

std::span<const scenario> all_scenarios() noexcept;

/// Executes the scenario once, in the schedule that the machine's choices give. Afterwards m.failed
/// says whether it failed.
void execute(const scenario& chosen);

/// Call this once, before the first execution.
void watch_static_storage();

}  // namespace mc
