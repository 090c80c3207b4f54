// The calls of one thread end in any order, as with stackful coroutines that stay on their thread.
// Exits with 0 if all checks hold.
#include "expect.hpp"

#include <extensible/extensible.hpp>

#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpedantic"  // RISC-V's ucontext_t ends with an array that has no elements
#endif

namespace {

class fiber {
public:
    explicit fiber(std::function<void(fiber&)> run) : run_(std::move(run)) {
        getcontext(&inside_);
        inside_.uc_stack.ss_sp = stack_.data();
        inside_.uc_stack.ss_size = stack_.size();
        inside_.uc_link = &outside_;
        const auto self = reinterpret_cast<std::uintptr_t>(this);
        makecontext(&inside_, reinterpret_cast<void (*)()>(&enter), 2,
                    static_cast<unsigned>(std::uint64_t{self} >> 32), static_cast<unsigned>(self));
    }
    fiber(const fiber&) = delete;
    fiber& operator=(const fiber&) = delete;

    void resume() { swapcontext(&outside_, &inside_); }
    void suspend() { swapcontext(&inside_, &outside_); }

private:
    static void enter(unsigned high, unsigned low) {
        auto* const self = reinterpret_cast<fiber*>(static_cast<std::uintptr_t>(std::uint64_t{high} << 32 | low));
        self->run_(*self);
    }

    std::vector<char> stack_ = std::vector<char>(256 * 1024);
    std::function<void(fiber&)> run_;
    ucontext_t inside_{}, outside_{};
};

// Begins more calls than a thread has slots at first. Each calls a function of its own, with hooks
// of every phase. Then every second function loses its hooks, and the calls end in a random order.
void end_in_any_order(unsigned seed) {
    constexpr int count = 40;
    std::minstd_rand random(seed);
    ext::registry registry;
    struct one {
        std::shared_ptr<int> state = std::make_shared<int>(0);
        std::unique_ptr<ext::extensible<int(int)>> function;
        std::vector<ext::hook> hooks;
        std::unique_ptr<fiber> runs;
    };
    std::vector<std::unique_ptr<one>> all;
    for (int i = 0; i < count; ++i) {
        all.push_back(std::make_unique<one>());
        one& o = *all.back();
        o.function = std::make_unique<ext::extensible<int(int)>>(registry, std::to_string(i), [&o](int x) {
            o.runs->suspend();
            return x;
        });
        o.hooks.push_back(o.function->on_start([state = o.state](auto&) { ++*state; }, {.reentrant = false}));
        o.hooks.push_back(o.function->around([state = o.state](auto&, auto& proceed) { proceed(), ++*state; },
                                             {.reentrant = false}));
        o.hooks.push_back(o.function->on_end([state = o.state](auto&) { ++*state; }));
        o.runs = std::make_unique<fiber>([&o, i](fiber&) {
            expect((*o.function)(i) == i, "a call returns its function's result");
        });
    }
    for (const auto& o : all) o->runs->resume();
    for (int i = 0; i < count; i += 2)
        for (ext::hook& hook : all[static_cast<std::size_t>(i)]->hooks) hook.remove_and_wait();
    std::vector<one*> order;
    for (const auto& o : all) order.push_back(o.get());
    std::shuffle(order.begin(), order.end(), random);
    for (one* o : order) {
        expect(o->state.use_count() == 4, "the hooks' captures live as long as the call");
        o->runs->resume();
        expect(*o->state == 3, "each hook of the call has run");
        o->runs.reset();
    }
    for (int i = 0; i < count; ++i) {
        one& o = *all[static_cast<std::size_t>(i)];
        if (i % 2 == 0)
            expect(o.state.use_count() == 1, "a removed hook's captures are destroyed when its call has ended");
        o.runs = std::make_unique<fiber>([&o, i](fiber&) {
            expect((*o.function)(i) == i, "a function can be called again");
        });
        o.runs->resume();
        o.runs->resume();
        expect(*o.state == (i % 2 == 0 ? 3 : 6), "the second call runs the remaining hooks");
    }
}

}  // namespace

int main() {
    for (unsigned seed = 1; seed <= 20; ++seed) end_in_any_order(seed);
    return failures != 0;
}
