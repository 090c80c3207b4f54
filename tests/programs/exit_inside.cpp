// A hook ends the program by std::exit while another thread keeps calling a function. Statics are
// destroyed during those calls.
#include <extensible/extensible.hpp>

#include <atomic>
#include <cstdlib>
#include <thread>

namespace {

struct removes_at_exit {
    ext::hook hook;
    ~removes_at_exit() { hook.remove(); }
};

ext::extensible leave{"exit.leave", [](int x) { return x; }};
ext::extensible<int(int)>* busy = new ext::extensible<int(int)>("exit.busy", [](int x) { return x; });
removes_at_exit on_leave, on_busy;
std::atomic<bool> running{false};

}  // namespace

int main() {
    on_busy.hook = busy->on_start([](auto&) { running = true; });
    on_leave.hook = leave.on_start([](auto&) { std::exit(0); });
    std::thread([] {
        for (;;) (*busy)(1);
    }).detach();
    while (!running) std::this_thread::yield();
    leave(1);
    return 1;
}
