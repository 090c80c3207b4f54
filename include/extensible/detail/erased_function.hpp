#pragma once

// How is a function kept when only its signature is known? By a pointer to it, and code that knows its type.

#include <extensible/detail/signature.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace ext::detail {

template <class Signature>
class erased_function;

/// Any function that can be called as R(A...), move-only ones too. Empty when made from an empty one.
template <class R, class... A>
class erased_function<R(A...)> {
public:
    template <class Function>
        requires(!std::same_as<std::remove_cvref_t<Function>, erased_function> &&
                 std::is_invocable_r_v<R, std::decay_t<Function>&, A...>)
    erased_function(Function&& function)
        : call_([](void* object, A&&... args) -> R {
              auto& held = *static_cast<std::decay_t<Function>*>(object);
              if constexpr (std::is_void_v<R>) std::invoke(held, std::forward<A>(args)...);
              else return std::invoke(held, std::forward<A>(args)...);
          }),
          object_(is_null(function) ? nullptr : new std::decay_t<Function>(std::forward<Function>(function)),
                  [](void* object) { delete static_cast<std::decay_t<Function>*>(object); }) {}

    explicit operator bool() const noexcept { return object_ != nullptr; }

    R operator()(A... args) const { return call_(object_.get(), std::forward<A>(args)...); }

private:
    R (*call_)(void* object, A&&... args);
    std::unique_ptr<void, void (*)(void*)> object_;
};

}  // namespace ext::detail
