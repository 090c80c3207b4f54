#pragma once

// What a page means by "your own task type".

#include "../tasks.hpp"

template <class T>
using task = tasks::lazy<T>;
