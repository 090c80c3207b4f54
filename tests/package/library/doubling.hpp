#pragma once

#include <extensible/extensible.hpp>

extern ext::extensible<int(int)> twice;
