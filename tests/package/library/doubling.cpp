#include "doubling.hpp"

ext::extensible<int(int)> twice{"package.twice", [](int x) { return 2 * x; }};
