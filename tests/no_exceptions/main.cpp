// A program that is compiled without exceptions: everything that does not throw works in it.
// It exits with 0 on success.
#include "check.hpp"

int main() {
    check_calls();
    check_hooks();
    check_awaited_calls();
    check_ready_made_hooks();
    return failed_checks;
}
