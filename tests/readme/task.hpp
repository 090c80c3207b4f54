#pragma once

// Stands for "your own task type" in the pages.

#include "../tasks.hpp"

#include <chrono>

template <class T>
using task = tasks::lazy<T>;

/// A timer that can be awaited.
inline task<void> after(std::chrono::nanoseconds) { co_return; }
