#include <doubling.hpp>

int main() {
    twice.on_start([](ext::call<int(int)>& call) { call.arg<0>() = 21; });
    return twice(1) == 42 ? 0 : 1;
}
