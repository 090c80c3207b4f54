// Does the heap grow? Threads call functions and register hooks in rounds. After each round the
// heap is compared with the heap after the first rounds. The arguments are the number of calls and
// the number of registrations: 10000000 1000000 in .ci/memory.
#include "../heap.hpp"
#include "../tasks.hpp"

#include <extensible/extensible.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

// What the threads share: functions with hooks of every kind.
struct shared {
    ext::registry registry;
    ext::extensible<int(int)> plain{registry, "plain", [](int x) { return x; }};
    ext::extensible<int(int)> nested{registry, "nested", [this](int depth) {
        return depth == 0 ? 0 : nested(depth - 1);
    }};
    ext::extensible<int(int)> throws{registry, "throws", [](int x) { return x; }};
    ext::extensible<tasks::lazy<int>(tasks::gate&)> awaited{registry, "awaited",
                                                            [](tasks::gate& gate) -> tasks::lazy<int> {
                                                                co_await gate;
                                                                co_return 1;
                                                            }};

    shared() {
        registry.on_start("*", [](ext::any_call& call) {
            call.kwargs().set("x", std::string(100, 'x'));
            return [](ext::any_call&) {};
        }, {.isolate = true});
        plain.around([](auto&, auto& proceed) { proceed(); });
        plain.on_end([](auto& call) { call.result = *call.result + 1; });
        throws.on_end([](auto& call) {
            if (call.template arg<0>() == 1)
                throw std::runtime_error("a text that is longer than any small string holds");
        });
        awaited.around([](auto&, auto& proceed) -> tasks::lazy<void> { co_await proceed(); });
        awaited.on_end([](auto&) -> tasks::lazy<void> { co_return; });
    }
};

void call(shared& with, long calls) {
    for (long i = 0; i < calls;) {
        for (int n = 0; n < 8; ++n, ++i) with.plain(1);
        i += 4, with.nested(3);
        try {
            ++i, with.throws(1);
        } catch (const std::runtime_error&) {
        }
        ++i;
        tasks::gate gate;
        tasks::lazy<int> suspended = with.awaited(gate);
        suspended.start();
        if (i % 64 < 32) gate.open();  // else it is destroyed while it is suspended
    }
}

void register_and_remove(shared& with, long registrations) {
    static std::atomic<int> numbers{0};
    const std::string capture = std::string(100, 'x') + std::to_string(++numbers);
    const auto hook = [capture](auto&) {};
    for (long i = 0; i < registrations;) {
        for (int n = 0; n < 4; ++n, ++i) with.plain.on_start(hook, {.priority = n}).remove();
        ext::scoped_hook replaces = with.plain.on_end(hook, {.id = "id " + capture, .before = "x", .replace = true});
        ext::scoped_hook by_name = with.registry.on_start<int(int)>("nested", hook, {.times = 100});
        ext::scoped_hook waits = with.registry.on_start<void()>("nobody's " + capture, hook);
        ext::hook pattern = with.registry.on_end("*e*", [capture](ext::any_call&) {});
        pattern.disable();
        pattern.enable();
        pattern.remove_and_wait();
        ext::plugin plugin{with.registry, "plugin"};
        plugin.on_start(with.plain, hook);
        plugin.on_end(with.throws, hook);
        i += 6;
        ext::extensible<int(int)> second{with.registry, "plain", [](int x) { return x; }};
        ext::extensible<void()> other{with.registry, "of this thread alone " + capture, [] {}};
        other.on_start(hook), ++i;
        if (i % 64 == 0) with.registry.on_hook_run([](const ext::hook_run&) {}).remove(), ++i;
    }
}

// Starts threads that end with the round. Every thread has slots before the first thread ends, so
// every round needs the same number of slots.
void run_round(shared& with, long calls, long registrations) {
    constexpr int pairs = 2;
    std::latch begun(2 * pairs);
    std::vector<std::thread> threads;
    const auto start = [&](auto function, long count) {
        threads.emplace_back([&, function, count] {
            with.plain(1);
            begun.arrive_and_wait();
            function(with, count);
        });
    };
    for (int i = 0; i < pairs; ++i) {
        start(call, calls / pairs);
        start(register_and_remove, registrations / pairs);
    }
    for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main(int count, char** arguments) {
    const long calls = count > 1 ? std::atol(arguments[1]) : 100'000,
               registrations = count > 2 ? std::atol(arguments[2]) : 10'000;
    constexpr int first_rounds = 2, rounds = 20;
    std::size_t blocks = 0, bytes = 0, most = 0;
    bool grew = false;
    shared with;
    std::puts("round     blocks      bytes  most bytes");
    for (int round = 0; round < rounds + first_rounds; ++round) {
        heap::take_most_bytes();
        run_round(with, calls / rounds, registrations / rounds);
        const std::size_t most_now = heap::take_most_bytes();
        std::printf("%5d %10zu %10zu %11zu\n", round, heap::blocks(), heap::bytes(), most_now);
        if (round < first_rounds) {
            blocks = heap::blocks(), bytes = heap::bytes();
            if (most < most_now) most = most_now;
            continue;
        }
        // A block of malloc() may be larger than requested, by up to the size of a block's header.
        grew |= heap::blocks() > blocks || heap::bytes() > bytes + blocks * 16 || most_now > 2 * most;
    }
    if (grew) std::puts("the heap grew");
    return grew;
}
