// The child of fork() has only the thread that forked. It calls, registers, removes and starts threads, whatever the others were in the
// middle of.
#include <extensible/extensible.hpp>

#if defined(__unix__)

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

ext::extensible twice{"fork.twice", [](int x) { return 2 * x; }};

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::_Exit(1);
}

void be_child() {
    twice(1);
    ext::hook hook = twice.on_start([](auto& call) { call.result = 7; }, {.priority = 1});
    require(twice(1) == 7, "the child's hook does not run");
    hook.remove_and_wait();
    require(twice(1) == 2, "the child's hook runs though it is removed");
    std::thread([] { require(twice(2) == 4, "a thread of the child cannot call"); }).join();
    std::exit(0);
}

}  // namespace

int main() {
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i)
        threads.emplace_back([&] { while (!stop) twice(1); });
    threads.emplace_back([&] {
        while (!stop) {
            ext::hook hook = twice.on_start([](auto&) {});
            hook.remove_and_wait();
        }
    });
    twice.on_end([](auto&) {});
    int failures = 0;
    for (int i = 0; i < 50; ++i) {
        const pid_t child = fork();
        if (child == 0) be_child();
        int status = 0;
        waitpid(child, &status, 0);
        failures += status != 0;
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    require(twice(1) == 2, "the parent cannot go on");
    return failures == 0 ? 0 : 1;
}

#else

int main() {}

#endif
