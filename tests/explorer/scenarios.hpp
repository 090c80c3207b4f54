#pragma once

// What can the explorer try?

#include <functional>
#include <span>
#include <vector>

namespace mc {

struct scenario {
    const char* name;
    const char* claim;
    std::vector<std::function<void()>> (*make)();  // what each of the threads does
};

std::span<const scenario> all_scenarios() noexcept;

/// Once, in the schedule that the machine's choices give. Afterwards the machine tells whether it failed.
void execute(const scenario& chosen);

/// Once, before the first execution.
void watch_static_storage();

}  // namespace mc
