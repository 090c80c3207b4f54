#pragma once

// Where do names live, and how are hooks registered by name?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/change.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/intrusive.hpp>
#include <extensible/detail/make_hook.hpp>
#include <extensible/detail/pattern.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/register_hook.hpp>
#include <extensible/hook.hpp>
#include <extensible/hook_error.hpp>
#include <extensible/options.hpp>
#include <extensible/phase.hpp>

#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext {

/// A hook as registry::functions() tells of it.
struct hook_info {
    ext::phase phase{};
    std::string id;       ///< empty without one
    std::string owner;    ///< the ext::plugin that it belongs to, empty without one
    std::string pattern;  ///< what it is registered under, empty for a hook on this one function
    int priority = 0;
    bool enabled = true;  ///< both the hook and its plugin are
    bool suits = true;    ///< false: passed by, because one of hook and function is awaited, and the other not so
};

/// A function as registry::functions() tells of it.
struct function_info {
    std::string name;               ///< or a pattern that matches no function yet
    std::string signature;          ///< as one writes it; what the hooks expect where nobody wraps it; empty for a pattern
    bool wrapped = false;           ///< false: hooks wait for it
    std::vector<hook_info> hooks;   ///< start, around, end, each in running order
};

/// The names of wrapped functions, and the hooks registered on them. Most programs need only default_registry(); others
/// are for tests, or for two hosts in one process. Any thread may use it at any time. Where it is destroyed before its
/// functions, their hooks are removed, calls that are running finish with theirs, and the functions go on without.
///
/// A registry belongs to the module (the program, or a shared library) that made it, which has to stay loaded as long as
/// anything is called that is wrapped in it. Other modules are handed a reference to it.
class registry {
public:
    registry() : record_(new detail::registry_record(detail::hazards())) {}
    registry(const registry&) = delete;
    registry& operator=(const registry&) = delete;
    ~registry() { detail::close(*record_); }

    /// Registers `hook` to run at the start of the calls of `function`, which need not be wrapped yet.
    /// `Signature` is the function's, R(A...); it may be left out where the hook takes an `ext::call<R(A...)>&`.
    /// The hook is moved or copied in, lives until it is removed, and is called by any thread that calls the function, by
    /// several at once. Throws signature_mismatch, duplicate_hook, order_cycle, sealed, or error for an empty name or hook;
    /// then nothing has changed.
    ///
    /// A hook that takes an `ext::any_call&` is for functions of any signature, and `function` may then be a pattern, in
    /// which `*` stands for any run of characters: it runs for all functions that it matches, wrapped now or later.
    template <class Signature = void, class Hook>
    hook on_start(std::string_view function, Hook&& hook, hook_options options = {}) {
        return detail::register_hook<phase::start, Signature>(*record_, function, std::forward<Hook>(hook), options);
    }

    /// As on_start(), at the end of the calls, whichever way they end.
    template <class Signature = void, class Hook>
    hook on_end(std::string_view function, Hook&& hook, hook_options options = {}) {
        return detail::register_hook<phase::end, Signature>(*record_, function, std::forward<Hook>(hook), options);
    }

    /// As on_start(), around the functions: `hook` is also handed an ext::proceed&, which runs what it stands around.
    template <class Signature = void, class Hook>
    hook around(std::string_view function, Hook&& hook, hook_options options = {}) {
        return detail::register_hook<phase::around, Signature>(*record_, function, std::forward<Hook>(hook), options);
    }

    /// Has `handler`, which takes a `const ext::hook_error&`, called for every exception that no caller will see: one that
    /// an isolated hook threw, or that another displaced. It is called on the thread where that happens, by several at
    /// once; what it throws is dropped. Several may be registered, and removed as hooks are. Without one, a line goes to
    /// stderr; for silence, register one that does nothing. Throws sealed, or error for an empty handler.
    template <class Handler>
    hook on_hook_error(Handler&& handler) {
        const auto record = detail::make_error_handler(std::forward<Handler>(handler));
        detail::add_error_handler(*record_, record);
        return hook(record);
    }

    /// All functions in the order of their names, with their hooks; also those that hooks wait for and nobody has wrapped,
    /// and last the patterns that match none.
    std::vector<function_info> functions() const;

    /// From now on nobody can register a hook: that throws ext::sealed. Hooks can still be removed, disabled and enabled,
    /// and functions be wrapped. Cannot be undone.
    void seal() { detail::seal(*record_); }

    /// Library use: what the registry owns.
    detail::registry_record& record() const noexcept { return *record_; }
    explicit constexpr registry(detail::ref<detail::registry_record> record) noexcept : record_(std::move(record)) {}

private:
    detail::ref<detail::registry_record> record_;
};

/// The registry of the free functions, and of wrappers that name no other. It is there before main and after it returns.
/// On ELF and Mach-O all modules of a process have the same one, also when they are compiled with -fvisibility=hidden,
/// provided that the program exports its symbols (-rdynamic; ENABLE_EXPORTS in CMake); elsewhere each has its own.
registry& default_registry() noexcept;

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

/// As registry::around(), in the default registry.
template <class Signature = void, class Hook>
hook around(std::string_view function, Hook&& hook, hook_options options = {}) {
    return default_registry().around<Signature>(function, std::forward<Hook>(hook), std::move(options));
}

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// In static storage, made before anything runs. The record owns itself once, so that it is never destroyed.
struct static_registry {
    registry_record record{hazards_storage.value, 1};
    ext::registry handle{ref<registry_record>::adopt(&record)};
};

// One for all modules that can see each other's. Not `inline`, because GCC would then mark it as unique, and a library that
// had to use its own could never be unloaded; weak, so that it may stand in every translation unit all the same.
#if defined(__ELF__) || defined(__APPLE__)
[[gnu::weak, gnu::visibility("default")]] constinit immortal<static_registry> default_registry_storage{};
#else
inline constinit immortal<static_registry> default_registry_storage{};
#endif

}  // namespace detail

inline registry& default_registry() noexcept { return detail::default_registry_storage.value.handle; }

inline std::vector<function_info> registry::functions() const {
    const auto info_of = [](const detail::hook_record& hook) {
        return hook_info{hook.when,     hook.id,     hook.owner ? hook.owner->name : std::string(), hook.pattern,
                         hook.priority, hook.runs()};
    };
    std::vector<function_info> all;
    const std::lock_guard lock(record_->mutex);
    for (const auto& function : record_->functions) {
        function_info& info = all.emplace_back();
        info.name = function->name;
        info.wrapped = function->sites != nullptr;
        if (info.wrapped) info.signature = function->sites->operations->signature->name;
        for (const auto& hook : function->hooks) {
            if (info.signature.empty() && hook->signature) info.signature = hook->signature->name;
            info.hooks.push_back(info_of(*hook));
            if (info.wrapped) info.hooks.back().suits = detail::suits(*hook, function->sites->operations);
        }
    }
    for (const auto& hook : record_->patterns) {
        bool applies = false;
        for (const auto& function : record_->functions) applies |= detail::matches(hook->pattern, function->name);
        if (!applies) all.push_back({hook->pattern, "", false, {info_of(*hook)}});
    }
    return all;
}

}  // namespace ext
