#pragma once

// Where do names live, and how are hooks registered by name?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/make_hook.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/params.hpp>

#include <string_view>
#include <type_traits>
#include <utility>

namespace ext {

/// The names of wrapped functions, and the hooks registered on them. Most programs need only default_registry(); others
/// are for tests, or for two hosts in one process. Any thread may use it at any time. Where it is destroyed before its
/// functions, their hooks are removed, calls that are running finish with theirs, and the functions go on without.
class registry {
public:
    registry() : record_(new detail::registry_record) {}
    registry(const registry&) = delete;
    registry& operator=(const registry&) = delete;
    ~registry() { detail::close(*record_); }

    /// Registers `hook` to run at the start of the calls of `function`, which need not be wrapped yet.
    /// `Signature` is the function's, R(A...); it may be left out where the hook takes an `ext::call<R(A...)>&`.
    /// The hook is moved or copied in, lives until it is removed, and is called by any thread that calls the function, by
    /// several at once. Throws signature_mismatch, duplicate_hook, order_cycle, or error for an empty name or hook; then
    /// nothing has changed.
    template <class Signature = void, class Hook>
    hook on_start(std::string_view function, Hook&& hook, hook_options options = {}) {
        return add<Signature>(detail::phase::start, function, std::forward<Hook>(hook), options);
    }

    /// As on_start(), at the end of the calls, whichever way they end.
    template <class Signature = void, class Hook>
    hook on_end(std::string_view function, Hook&& hook, hook_options options = {}) {
        return add<Signature>(detail::phase::end, function, std::forward<Hook>(hook), options);
    }

    /// Library use: what the registry owns.
    detail::registry_record& record() const noexcept { return *record_; }

private:
    template <class Signature, class Hook>
    ext::hook add(detail::phase when, std::string_view function, Hook&& hook, hook_options& options) {
        using signature = typename detail::signature_of_hook<Signature, std::decay_t<Hook>>::type;
        const auto record =
            detail::make_hook<signature, parameters<>>(when, function, std::forward<Hook>(hook));
        detail::add(*record_, function, record, options);
        return ext::hook(record);
    }

    detail::ref<detail::registry_record> record_;
};

/// The registry of the free functions, and of wrappers that name no other. It is there before main and after it returns.
inline registry& default_registry() {
    static detail::immortal<registry> instance;
    return instance.value;
}

/// As registry::on_start(), in the default registry: `ext::on_start("models.get_api_key", hook)`.
template <class Signature = void, class Hook>
hook on_start(std::string_view function, Hook&& hook, hook_options options = {}) {
    return default_registry().on_start<Signature>(function, std::forward<Hook>(hook), std::move(options));
}

/// As registry::on_end(), in the default registry.
template <class Signature = void, class Hook>
hook on_end(std::string_view function, Hook&& hook, hook_options options = {}) {
    return default_registry().on_end<Signature>(function, std::forward<Hook>(hook), std::move(options));
}

}  // namespace ext
