#pragma once

// How does a function object become a hook? By code that knows its type and hands it the call.

#include <extensible/call.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/error.hpp>
#include <extensible/params.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext::detail {

// What a hook is handed: the call itself, or with the names of a function's parameters.
template <class Signature, class Parameters>
struct handed {
    static named_call<Signature, Parameters> from(void* call) { return {*static_cast<ext::call<Signature>*>(call)}; }
};
template <class Signature>
struct handed<Signature, parameters<>> {
    static ext::call<Signature>& from(void* call) { return *static_cast<ext::call<Signature>*>(call); }
};

/// A record of the hook, not registered yet. `function` is for the text of an error.
template <class Signature, class Parameters, class Hook>
ref<hook_record> make_hook(phase when, std::string_view function, Hook&& hook) {
    using stored = std::decay_t<Hook>;
    using call = handed<Signature, Parameters>;
    constexpr bool takes_the_call = std::is_invocable_v<stored&, decltype(call::from(nullptr))&>;
    static_assert(takes_the_call,
                  "ext: a hook must be callable with the call of its function, as in [](auto& call) { ... } or "
                  "[](ext::call<R(A...)>& call) { ... } with exactly the function's signature");
    if constexpr (takes_the_call) {
        if (is_null(hook))
            throw error(std::string(function) + ": " + (when == phase::end ? "an " : "a ") + std::string(name_of(when)) +
                        " hook was expected, an empty one was given: a null pointer or an empty std::function");
        ref<hook_record> record(new hook_record);
        record->signature = &identity_of<Signature>();
        record->when = when;
        record->erased = {new stored(std::forward<Hook>(hook)),
                          [](void* object, void* erased_call) {
                              auto&& handed_over = call::from(erased_call);
                              static_cast<void>(std::invoke(*static_cast<stored*>(object), handed_over));
                          },
                          [](void* object) noexcept { delete static_cast<stored*>(object); }};
        return record;
    } else {
        return {};
    }
}

}  // namespace ext::detail
