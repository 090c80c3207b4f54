// Two translation units include every header. If an `inline` is missing, the program does not link.
// The checks show that the units share one default registry and one object for each wrapper.
#include "shared.hpp"

#include <cstdio>

static int failed = 0;

static void check(bool holds, const char* claim) {
    if (holds) return;
    std::printf("does not hold: %s\n", claim);
    ++failed;
}

int main() {
    check(default_registry_of_one() == &ext::default_registry(), "both units share one default registry");
    check(greet_of_one() == &greet, "an inline wrapper in a header is one object");

    {
        const ext::scoped_hook owner = hook_from_one();
        check(greet("you") == "hello you!", "a hook registered in one unit runs in the other");
        check(greet_from_one("you") == "hello you!", "and in its own unit");
    }
    check(greet_from_one("you") == "hello you", "a hook removed in one unit does not run in the other");

    ext::on_start<int(int)>("two_units.twice", [](auto& call) { call.template arg<0>() = 21; });
    check(twice(1) == 42, "a wrapper declared extern is the one defined in the other unit");
    return failed;
}
