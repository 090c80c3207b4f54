#pragma once

// How is a hook registered? By its phase, and by the function itself, its name, or a pattern.

#include <extensible/any_call.hpp>
#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/make_hook.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/params.hpp>

#include <concepts>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext::detail {

/// Registers `hook` on the wrapped function at `place`. `owner` may be null.
template <phase When, class Signature, class Parameters, class Hook>
ext::hook register_hook(const site& place, Hook&& hook, hook_options& options, const ref<owner_record>& owner = {}) {
    const auto record = make_hook<When, Signature, Parameters>(place.function->name, owner, std::forward<Hook>(hook));
    add(place, record, options);
    return ext::hook(record);
}

/// Registers `hook` by name or under a pattern. `Signature` is void where the hook tells it.
template <phase When, class Signature, class Hook>
ext::hook register_hook(registry_record& registry, std::string_view name, Hook&& hook, hook_options& options,
                        const ref<owner_record>& owner = {}) {
    using signature = typename signature_of_hook<When, Signature, std::decay_t<Hook>>::type;
    if constexpr (std::same_as<signature, any_call>) {
        const auto record = make_any_hook<When>(name, owner, std::forward<Hook>(hook));
        add_pattern(registry, name, record, options);
        return ext::hook(record);
    } else {
        const auto record = make_hook<When, signature, parameters<>>(name, owner, std::forward<Hook>(hook));
        add(registry, name, record, options);
        return ext::hook(record);
    }
}

}  // namespace ext::detail
