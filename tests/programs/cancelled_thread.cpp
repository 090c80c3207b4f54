// A thread is cancelled inside a hooked call. The call ends, and its hooks can be removed
// afterwards. Only with glibc and libstdc++: with other runtime libraries a cancellation cannot
// pass through a catch-all block.
#include <extensible/extensible.hpp>

#if defined(__GLIBC__) && defined(__GLIBCXX__)
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>

int main() {
    std::atomic<bool> inside{false};
    ext::extensible waits{"cancel.waits", [&](int x) {
        inside = true;
        for (;;) ::pause();
        return x;
    }};
    ext::hook start = waits.on_start([](auto&) {});
    ext::hook end = waits.on_end([](auto&) {});
    pthread_t thread;
    const auto run = [](void* f) -> void* {
        (*static_cast<decltype(waits)*>(f))(1);
        return nullptr;
    };
    if (pthread_create(&thread, nullptr, run, &waits) != 0) return 1;
    while (!inside) ::sched_yield();
    void* outcome = nullptr;
    if (pthread_cancel(thread) != 0 || pthread_join(thread, &outcome) != 0) return 1;
    start.remove_and_wait();
    end.remove_and_wait();
    return outcome == PTHREAD_CANCELED ? 0 : 1;
}
#else
int main() {}
#endif
