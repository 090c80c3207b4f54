#pragma once

// How is a function stored if only its signature is known? Checked by tests/wrapper.cpp and
// tests/signature.cpp.
//
// Not here: function objects of hooks: hook_record.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/error.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

template <class Signature>
class erased_function;

/// True if the result of a call converts to R. Unlike std::is_invocable_r in C++23, this is also true
/// if R would refer to a temporary: erased_function reports that with a static_assert.
template <class R, class Function, class... A>
concept gives = std::is_invocable_v<Function, A...> &&
                (std::is_void_v<R> || std::is_convertible_v<std::invoke_result_t<Function, A...>, R>);

[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_not_constructed();

/// Stores any function object that can be called as R(A...), even a move-only one. It is empty if it is
/// made from an empty function.
template <class R, class... A>
class erased_function<R(A...)> {
public:
    template <class Function>
        requires(!std::same_as<std::remove_cvref_t<Function>, erased_function> &&
                 gives<R, std::decay_t<Function>&, A...>)
    erased_function(Function&& function) {
        using held = std::decay_t<Function>;
        static_assert(binds_directly<std::invoke_result_t<held&, A...>, R>,
                      "ext::extensible: the signature's result is a reference, and would refer to a temporary that the "
                      "function returns");
        if (detail::is_null(function)) return;
        object_ = new held(std::forward<Function>(function));
        call_ = [](void* object, A&&... args) -> R {
            if constexpr (std::is_void_v<R>) detail::invoke(*static_cast<held*>(object), std::forward<A>(args)...);
            else return detail::invoke(*static_cast<held*>(object), std::forward<A>(args)...);
        };
        destroy_ = [](void* object) noexcept { delete static_cast<held*>(object); };
    }

    erased_function(const erased_function&) = delete;
    erased_function(erased_function&& other) noexcept
        : object_(std::exchange(other.object_, nullptr)), call_(other.call_), destroy_(other.destroy_) {}
    erased_function& operator=(erased_function other) noexcept {
        std::swap(object_, other.object_);
        std::swap(call_, other.call_);
        std::swap(destroy_, other.destroy_);
        return *this;
    }
    ~erased_function() {
        if (object_) destroy_(object_);
    }

    explicit operator bool() const noexcept { return object_ != nullptr; }

    /// Throws error if this object is not constructed yet: static storage is zero until then.
    R operator()(A... args) const {
        if (!call_) [[unlikely]] throw_not_constructed();
        return call_(object_, std::forward<A>(args)...);
    }

private:
    void* object_ = nullptr;  // owned; null if this is empty, and then the others must not be used
    R (*call_)(void* object, A&&... args) = nullptr;
    void (*destroy_)(void* object) noexcept = nullptr;
};

#if EXTENSIBLE_BODIES

void throw_not_constructed() {
    raise<error>("ext: this ext::extensible is not constructed yet, because its source file is initialized later; "
                 "call it after main() has begun, or make it a static variable of a function");
}

#endif

}}}  // namespace ext::detail
