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

/// What a start hook returned, to be run at the end of its call.
struct call_end {
    call_end* before;  // what was returned before
    hook_record* hook;
    void (*run)(void* self, call_fields* call, void*);  // a run_hook, see records.hpp
    void (*destroy)(call_end* self) noexcept;
};

/// The ends of one call. They do not outlive it: see run_ends().
class call_ends {
public:
    /// An end of this size that is no more aligned than a pointer needs no allocation, if it is the call's first.
    static constexpr std::size_t small_end = 5 * sizeof(void*);

    call_ends() noexcept {}  // leaves the room as it is: nearly no call uses it
    call_ends(const call_ends&) = delete;
    call_ends& operator=(const call_ends&) = delete;

    /// Adds what `make()` returns, and gives it. It is handed what `Call` makes of the call.
    template <class Call, class Maker>
    auto& add(hook_record& hook, Maker make) {
        using node = node_of<std::decay_t<std::invoke_result_t<Maker>>>;
        constexpr bool fits = sizeof(node) <= sizeof room_ && alignof(node) <= alignof(void*);
        const auto run = [](void* self, call_fields* erased, void*) {
            auto&& call = Call::from(erased);
            detail::invoke(static_cast<node*>(static_cast<call_end*>(self))->end, call);
        };
        node* added = nullptr;
        if constexpr (fits)
            if (!last_)
                added = new (room_) node{{nullptr, &hook, run, [](call_end* self) noexcept { static_cast<node*>(self)->~node(); }}, make()};
        if (!added)
            added = new node{{last_, &hook, run, [](call_end* self) noexcept { delete static_cast<node*>(self); }}, make()};
        last_ = added;
        return added->end;
    }

    /// The last one, which is no longer here; null where there is none.
    call_end* take_last() noexcept { return last_ ? std::exchange(last_, last_->before) : nullptr; }

private:
    template <class End>
    struct node_of : call_end {
        End end;
    };

    call_end* last_ = nullptr;
    alignas(void*) unsigned char room_[sizeof(call_end) + small_end];
};

}}}  // namespace ext::detail
