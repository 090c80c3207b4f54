// Writes a text of ext::hooks::metrics, which promtool checks if it is installed.
#include <extensible/extensible.hpp>
#include <extensible/hooks/metrics.hpp>

#include <iostream>

int main() {
    ext::extensible half{"half", [](int x) { return x / 2; }};
    ext::extensible strange{"a \\ \"name\"\nin two lines, \xC3\xA9 \xE9", [](int x) { return x; }};
    const ext::hooks::metrics metrics{"*", {.buckets = {1e-9, 1.5e-7, .005, 2, 1e300}}};
    for (int i = 0; i < 1000; ++i) half(i);
    strange(1);
    metrics.write(std::cout);
    return std::cout ? 0 : 1;
}
