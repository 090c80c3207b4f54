// The least that a call with thread-safe hooks must do, written by hand: one hazard pointer per
// thread, no nested calls, no options. The benchmark compares the library with it.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <optional>
#include <string_view>
#include <vector>

namespace minimum {

struct call {
    std::string_view name;
    const void* operations = nullptr;
    void* kwargs = nullptr;
    std::exception_ptr exception{};
    void* finishers = nullptr;
    bool ran = false, written = false;
    int* argument = nullptr;
    std::optional<int> result{};
};

struct entry {
    void (*run)(void* object, call& call) = nullptr;  // null after the last hook of a phase
    void* object = nullptr;
};

struct list {
    std::string_view name;
    std::vector<entry> start{entry{}}, end{entry{}};
    bool only_start_hooks = true;
};

struct alignas(64) slot {
    std::atomic<const list*> held{nullptr};
    std::atomic<unsigned> attention{0};
};

inline thread_local slot* slot_of_this_thread = nullptr;

// The cold paths: a thread's first call, notifying a writer, and a call that throws or runs end hooks.
[[gnu::noinline, gnu::cold]] inline slot* make_slot() {
    static thread_local slot made;
    return slot_of_this_thread = &made;
}
[[gnu::noinline, gnu::cold]] inline void notify_writer(slot&) { asm volatile(""); }
[[gnu::noinline, gnu::cold]] inline void keep_exception(call& call) { call.exception = std::current_exception(); }
[[gnu::noinline, gnu::cold]] inline int end_otherwise(const call& call) {
    if (call.exception) std::rethrow_exception(call.exception);
    return *call.result;
}

class guard {
public:
    guard(const std::atomic<const list*>& hooks, const list* held) : slot_(slot_of_this_thread) {
        if (!slot_ || slot_->held.load(std::memory_order_relaxed)) [[unlikely]] slot_ = make_slot();
        slot_->held.store(held, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (hooks.load() != held) [[unlikely]] slot_ = make_slot();
    }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;
    ~guard() {
        slot_->held.store(nullptr, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (slot_->attention.load() != 0) [[unlikely]] notify_writer(*slot_);
    }

private:
    slot* slot_;
};

// A function int(int) with hooks.
template <class Function>
class wrapper {
public:
    explicit wrapper(Function function) : function_(function) {}

    void add_start_hook(void (*hook)(void*, call&)) {
        list_.start.insert(list_.start.begin(), entry{hook, nullptr});
        hooks_ = &list_;
    }
    void add_end_hook(void (*hook)(void*, call&)) {
        list_.end.insert(list_.end.begin(), entry{hook, nullptr});
        list_.only_start_hooks = false;
        hooks_ = &list_;
    }

    int operator()(int argument) const {
        const list* const hooks = hooks_.load(std::memory_order_acquire);
        if (!hooks) [[likely]] return function_(argument);
        return call_with_hooks(*hooks, argument);
    }

private:
    [[gnu::noinline]] int call_with_hooks(const list& hooks, int argument) const {
        const guard held(hooks_, &hooks);
        call call{.name = hooks.name, .operations = this, .argument = &argument};
        const entry* hook = hooks.start.data();
        try {
            for (; hook->run; ++hook) hook->run(hook->object, call);
        } catch (...) {
            keep_exception(call);
        }
        if (!call.result && !call.exception) [[likely]] {
            if (hooks.only_start_hooks) [[likely]] return function_(*call.argument);
            try {
                call.result = function_(*call.argument);
            } catch (...) {
                keep_exception(call);
            }
        }
        for (hook = hooks.end.data(); hook->run; ++hook) {
            try {
                hook->run(hook->object, call);
            } catch (...) {
                keep_exception(call);
            }
        }
        if (call.exception) [[unlikely]] return end_otherwise(call);
        return *call.result;
    }

    Function function_;
    list list_{.name = "name"};
    std::atomic<const list*> hooks_{nullptr};
};

}  // namespace minimum
