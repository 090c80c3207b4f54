#pragma once

// Where does a call keep the finishers that its start hooks return? In a stack that is part of the
// call; the first one without an allocation if it is small.
//
// What must stay true:
// 1. The finisher added last is taken first (tests/ends.cpp).
// 2. A call's first finisher allocates nothing if it fits into small_finisher (tests/allocation.cpp).
// 3. The class has no destructor, so every way out of a call takes and destroys all finishers:
//    run_finishers() in hook_run.hpp, keep_exception() in failures.hpp for a forced unwinding,
//    awaited_end_hooks in awaited/end_hooks.hpp (tests/ends.cpp, tests/out_of_memory_calls.cpp).
//
// Not here: how a finisher is added: run_start() in erase_hook.hpp; how it runs: hook_run.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/invoke.hpp>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

class call_fields;
struct hook_record;
struct run_input;

/// A finisher with its type erased. Constant once it is constructed.
struct finisher {
    finisher* before;   // the one that was added before this one; null for the first
    hook_record* hook;  // the start hook that returned it
    void (*run)(void* self, call_fields* call, const run_input*);  // a run_hook, see hook_record.hpp
    void (*destroy)(finisher* self) noexcept;  // also frees its memory, if it was allocated
};

/// The finishers of one call. Only the thread on which the call is running uses them.
class finishers {
public:
    /// A call's first finisher needs no allocation if it is at most this large, and at most as aligned
    /// as a pointer.
    static constexpr std::size_t small_finisher = 5 * sizeof(void*);

    finishers() noexcept {}  // leaves room_ uninitialized: nearly no call uses it
    finishers(const finishers&) = delete;
    finishers& operator=(const finishers&) = delete;

    /// Adds the callable that `make()` returns, and returns a reference to it. When the finisher runs,
    /// the callable receives `Call::of()` of the call; `Call` is a call_view.
    template <class Call, class Maker>
    auto& add(hook_record& hook, Maker make) {
        using node = node_of<std::decay_t<std::invoke_result_t<Maker>>>;
        constexpr bool fits = sizeof(node) <= sizeof room_ && alignof(node) <= alignof(void*);
        const auto run = [](void* self, call_fields* erased, const run_input*) {
            auto&& call = Call::of(erased);
            detail::invoke(static_cast<node*>(static_cast<finisher*>(self))->function, call);
        };
        node* added = nullptr;
        if constexpr (fits) {
            const auto destroy = [](finisher* self) noexcept { static_cast<node*>(self)->~node(); };
            if (!last_) added = new (room_) node{{nullptr, &hook, run, destroy}, make()};
        }
        if (!added) {
            const auto destroy = [](finisher* self) noexcept { delete static_cast<node*>(self); };
            added = new node{{last_, &hook, run, destroy}, make()};
        }
        last_ = added;
        return added->function;
    }

    /// Removes the last finisher and returns it; null if there is none. The caller must destroy it.
    finisher* take_last() noexcept { return last_ ? std::exchange(last_, last_->before) : nullptr; }

    /// Destroys all finishers, and runs none.
    void destroy_all() noexcept {
        while (finisher* const last = take_last()) last->destroy(last);
    }

private:
    template <class Function>
    struct node_of : finisher {
        Function function;
    };

    finisher* last_ = nullptr;  // the top of the stack; null if it is empty
    alignas(void*) unsigned char room_[sizeof(finisher) + small_finisher];  // for the first one, if it fits
};

}}}  // namespace ext::detail
