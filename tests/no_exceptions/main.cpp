// A program that is compiled without exceptions: everything works that does not throw. 0 is success.
#include "check.hpp"

int main() {
    check_calls();
    check_hooks();
    check_awaited_calls();
    check_ready_made_hooks();
    return failed_checks;
}
