#pragma once

// How does a hook read an argument, and replace it?

#include <extensible/detail/keeper.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext {

/// One argument of a call, for a parameter declared as T. `*arg` reads it where it stands, nothing is copied.
/// `arg = value` replaces it: for a parameter `P&` it writes to the caller's object, for any other the call owns the
/// replacement until its last end hook has run. Belongs to one call, and to its thread.
template <class T>
class arg {
    using object = std::remove_reference_t<T>;

    // A by-value number or pointer is the call's own already: it is written where it stands.
    static constexpr bool in_place = (std::is_lvalue_reference_v<T> && !std::is_const_v<object>) || std::is_scalar_v<T>;

    // Nothing but a reference can be made of an incomplete type, so there is nothing to replace it with.
    static constexpr bool is_complete = requires { sizeof(object); };

public:
    /// Library use: refers to `object`, which outlives the call.
    explicit arg(object& caller) noexcept : object_(std::addressof(caller)) {}
    arg(const arg&) = delete;
    arg& operator=(const arg&) = delete;

    /// The argument as it now stands.
    object& operator*() const noexcept { return *object_; }
    object* operator->() const noexcept { return object_; }

    /// Replaces the argument. `value` is copied or moved into the call, or into the caller's object where T is `P&`.
    template <class U = std::remove_cv_t<object>>
        requires(std::convertible_to<U &&, std::remove_cv_t<object>> || std::derived_from<std::remove_cvref_t<U>, object>)
    arg& operator=(U&& value) {
        if constexpr (in_place) {
            *object_ = std::forward<U>(value);
        } else {
            object_ = &replacement_.keep(std::forward<U>(value));
        }
        return *this;
    }

private:
    using replacement =
        std::conditional_t<in_place || !is_complete, detail::nothing, detail::keeper<std::remove_cv_t<object>>>;

    object* object_;
    [[no_unique_address]] replacement replacement_;
};

}  // namespace ext
