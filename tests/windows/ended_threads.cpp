// Threads call functions with hooks and end. While a thread ends, its thread-local objects call
// again. Each call must run its hooks, and no memory may stay allocated in the process's heaps.
// MinGW frees thread-local storage before it destroys thread-local objects. 0 is success.
#include <windows.h>

#include <extensible/extensible.hpp>

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

ext::extensible twice{"windows.twice", [](int x) { return 2 * x; }};
std::atomic<int> runs{0};

struct calls_at_its_end {
    int argument = 0;
    ~calls_at_its_end() { twice(1); }
};

// The number of bytes in use in all heaps of the process.
std::size_t heap_in_use() {
    HANDLE heaps[100];
    const DWORD count = ::GetProcessHeaps(100, heaps);
    std::size_t bytes = 0;
    for (DWORD i = 0; i < count && i < 100; ++i) {
        PROCESS_HEAP_ENTRY entry{};
        ::HeapLock(heaps[i]);
        while (::HeapWalk(heaps[i], &entry))
            if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) bytes += entry.cbData;
        ::HeapUnlock(heaps[i]);
    }
    return bytes;
}

// Runs the action on `count` threads, ten at a time.
template <class Action>
void run_threads(int count, Action action) {
    for (int done = 0; done < count; done += 10) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 10; ++i) threads.emplace_back(action);
        for (std::thread& thread : threads) thread.join();
    }
}

template <class Action>
long long growth(Action action) {
    run_threads(100, action);
    const std::size_t before = heap_in_use();
    run_threads(1000, action);
    return static_cast<long long>(heap_in_use()) - static_cast<long long>(before);
}

}  // namespace

int main() {
    twice.on_start([](auto&) { ++runs; }, {.reentrant = false});
    const long long nothing = growth([] {}), calls = growth([] { twice(1); });
    std::printf("1000 threads leave %lld bytes if they call nothing, and %lld if they call\n", nothing, calls);
    if (runs != 1100) return std::printf("hooks ran %d times in 1100 calls\n", runs.load()), 1;
    if (calls > nothing + 20'000) return 2;

    runs = 0;
    run_threads(100, [] {
        static thread_local calls_at_its_end at_end;
        at_end.argument = twice(1);
    });
    if (runs != 200) return std::printf("hooks ran %d times in 200 calls\n", runs.load()), 3;
    return 0;
}
