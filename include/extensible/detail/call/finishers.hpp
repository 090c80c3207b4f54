#pragma once

// Where are the ends that start hooks return for their call? In the call itself, one after the other; the first of them without
// an allocation if it is small.

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

/// What a start hook returned, to be run at the end of its call.
struct finisher {
    finisher* before;  // what was returned before
    hook_record* hook;
    void (*run)(void* self, call_fields* call, const run_input*);  // a run_hook, see hook_record.hpp
    void (*destroy)(finisher* self) noexcept;
};

/// The ends of one call. They do not outlive it: see run_finishers().
class finishers {
public:
    /// An end of this size that is no more aligned than a pointer needs no allocation, if it is the call's first.
    static constexpr std::size_t small_finisher = 5 * sizeof(void*);

    finishers() noexcept {}  // leaves the room as it is: nearly no call uses it
    finishers(const finishers&) = delete;
    finishers& operator=(const finishers&) = delete;

    /// Adds what `make()` returns, and gives it. It is handed what `Call` makes of the call.
    template <class Call, class Maker>
    auto& add(hook_record& hook, Maker make) {
        using node = node_of<std::decay_t<std::invoke_result_t<Maker>>>;
        constexpr bool fits = sizeof(node) <= sizeof room_ && alignof(node) <= alignof(void*);
        const auto run = [](void* self, call_fields* erased, const run_input*) {
            auto&& call = Call::of(erased);
            detail::invoke(static_cast<node*>(static_cast<finisher*>(self))->function, call);
        };
        node* added = nullptr;
        if constexpr (fits)
            if (!last_)
                added = new (room_) node{{nullptr, &hook, run, [](finisher* self) noexcept { static_cast<node*>(self)->~node(); }}, make()};
        if (!added)
            added = new node{{last_, &hook, run, [](finisher* self) noexcept { delete static_cast<node*>(self); }}, make()};
        last_ = added;
        return added->function;
    }

    /// The last one, which is no longer here; null where there is none.
    finisher* take_last() noexcept { return last_ ? std::exchange(last_, last_->before) : nullptr; }

private:
    template <class Function>
    struct node_of : finisher {
        Function function;
    };

    finisher* last_ = nullptr;
    alignas(void*) unsigned char room_[sizeof(finisher) + small_finisher];
};

}}}  // namespace ext::detail
