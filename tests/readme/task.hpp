#pragma once

// What a page means by "your own task type".

#include "../tasks.hpp"

#include <chrono>

template <class T>
using task = tasks::lazy<T>;

/// A timer that can be awaited.
inline task<void> after(std::chrono::nanoseconds) { co_return; }
