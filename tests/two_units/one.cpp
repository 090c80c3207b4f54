#include "shared.hpp"

ext::extensible<int(int)> twice{"two_units.twice", [](int x) { return 2 * x; }};

ext::registry* default_registry_of_one() { return &ext::default_registry(); }
const void* greet_of_one() { return &greet; }
std::string greet_from_one(std::string_view who) { return greet(who); }

ext::hook hook_from_one() {
    return greet.on_end([](auto& call) { *call.result += "!"; });
}
