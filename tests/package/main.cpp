#include <extensible/extensible.hpp>

inline ext::extensible twice{"package.twice", [](int x) { return 2 * x; }};

int main() {
    ext::on_start("package.twice", [](ext::call<int(int)>& call) { call.arg<0>() = 21; });
    return twice(1) == 42 ? 0 : 1;
}
