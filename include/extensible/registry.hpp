#pragma once

// Where are names kept, and how are hooks registered by name?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/make_hook.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/stamp.hpp>
#include <extensible/detail/system.hpp>
#include <extensible/hook.hpp>
#include <extensible/monitor.hpp>
#include <extensible/options.hpp>

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI {

struct function_info;

/// The names of wrapped functions, and the hooks registered on them. Most programs need only default_registry(); others
/// are for tests, or for two hosts in one process. Any thread may use it at any time. Where it is destroyed before its
/// functions, their hooks are removed, calls that are running finish with theirs, and the functions go on without.
///
/// A registry belongs to the module (the program, or a shared library) that made it, which has to stay loaded as long as
/// anything is called that is wrapped in it. Other modules are handed a reference to it. One that was compiled with another
/// version or layout of the library gets incompatible_module from whatever it does with the registry.
///
/// Everything that compares the two is hidden, here and in other headers: the dynamic linker may otherwise give a library the
/// host's code for it, which compares the host with itself.
class registry {
public:
    EXTENSIBLE_HIDDEN registry() : record_(new detail::registry_record(detail::hazards())) {}
    registry(const registry&) = delete;
    registry& operator=(const registry&) = delete;

    /// Ends the program where there is no memory to remove its hooks.
    EXTENSIBLE_HIDDEN ~registry() { detail::locked_registry(record()).close(); }

    /// Registers `hook` to run at the start of the calls of `function`, which need not be wrapped yet.
    /// `Signature` is the function's, R(A...); it may be left out where the hook takes an `ext::call<R(A...)>&`.
    /// The hook is moved or copied in, lives until it is removed, and is called by any thread that calls the function, by
    /// several at once. Throws signature_mismatch, duplicate_hook, order_cycle, sealed, or error for an empty name or hook;
    /// then nothing has changed.
    ///
    /// A hook that takes an `ext::any_call&` is for functions of any signature, and `function` may then be a pattern, in
    /// which `*` is any run of characters: it runs for all functions that it matches, wrapped now or later.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_start(std::string_view function, Hook&& hook,
                                    const hook_options& options = detail::no_options()) {
        return detail::register_hook<phase::start, Signature>(record(), function, std::forward<Hook>(hook), options);
    }

    /// As on_start(), at the end of the calls, whichever way they end.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_end(std::string_view function, Hook&& hook, const hook_options& options = detail::no_options()) {
        return detail::register_hook<phase::end, Signature>(record(), function, std::forward<Hook>(hook), options);
    }

    /// As on_start(), around the functions: `hook` is also handed an ext::proceed&, which runs the next one and, last, the function.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook around(std::string_view function, Hook&& hook, const hook_options& options = detail::no_options()) {
        return detail::register_hook<phase::around, Signature>(record(), function, std::forward<Hook>(hook), options);
    }

    /// Has `handler`, which takes a `const ext::hook_error&`, called for every exception that no caller will see: one that
    /// an isolated hook threw, or that another displaced. It is called on the thread where that happens, by several at
    /// once; what it throws is dropped. Several may be registered, and removed as hooks are. Without one, a line goes to
    /// stderr; for silence, register one that does nothing. Throws sealed, or error for an empty handler.
    template <class Handler>
    EXTENSIBLE_HIDDEN hook on_hook_error(Handler&& handler) {
        return detail::register_handler<hook_error>(record(), std::forward<Handler>(handler));
    }

    /// Has `monitor`, which takes a `const ext::hook_run&`, told of each run of each hook, behind it: which hook supplied the result,
    /// and how long it took. It is called on the thread of the hook, by several at once; what it throws is dropped, and it is not told
    /// of hooks that it causes to run itself. Several may be registered, and removed as hooks are. As long as there is one, calls of
    /// all functions of the registry take longer. One that is registered during a call is told of some of that call's hooks only. Throws sealed, or error for an empty monitor.
    template <class Monitor>
    EXTENSIBLE_HIDDEN hook on_hook_run(Monitor&& monitor) {
        return detail::register_handler<hook_run>(record(), std::forward<Monitor>(monitor));
    }

    /// All functions in the order of their names, with their hooks; also those that hooks wait for and nobody has wrapped,
    /// and last the patterns that match none.
    EXTENSIBLE_LAZY_FUNCTION std::vector<function_info> functions() const;

    /// From now on nobody can register a hook: that throws ext::sealed. Hooks can still be removed, disabled and enabled,
    /// and functions be wrapped. Cannot be undone.
    EXTENSIBLE_HIDDEN void seal() { detail::locked_registry(record())->sealed = true; }

private:
    friend detail::access;
    friend detail::immortal<registry>;
    explicit constexpr registry(detail::ref<detail::registry_record>::adopted record) noexcept : record_(record) {}

    EXTENSIBLE_HIDDEN detail::registry_record& record() const { return record_->checked(); }

    // The first and only member, in every version of the library: what it points to begins with a stamp.
    detail::ref<detail::registry_record> record_;
};

/// The registry of the free functions, and of wrappers that name no other. It is there before main and after it returns.
/// On ELF and Mach-O (untested) all modules of a process have the same one, also when they are compiled with -fvisibility=hidden,
/// provided that the program exports its symbols (-rdynamic; ENABLE_EXPORTS in CMake); elsewhere each has its own.
EXTENSIBLE_HIDDEN registry& default_registry() noexcept;

/// As registry::on_start(), in the default registry: `ext::on_start("models.get_api_key", hook)`.
template <class Signature = void, class Hook>
EXTENSIBLE_HIDDEN hook on_start(std::string_view function, Hook&& hook, const hook_options& options = detail::no_options()) {
    return default_registry().on_start<Signature>(function, std::forward<Hook>(hook), options);
}

/// As registry::on_end(), in the default registry.
template <class Signature = void, class Hook>
EXTENSIBLE_HIDDEN hook on_end(std::string_view function, Hook&& hook, const hook_options& options = detail::no_options()) {
    return default_registry().on_end<Signature>(function, std::forward<Hook>(hook), options);
}

/// As registry::around(), in the default registry.
template <class Signature = void, class Hook>
EXTENSIBLE_HIDDEN hook around(std::string_view function, Hook&& hook, const hook_options& options = detail::no_options()) {
    return default_registry().around<Signature>(function, std::forward<Hook>(hook), options);
}

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// ---- The default registry -------------------------------------------------------------------------------------------

// In static storage, and there before anything runs. Each module has a record of its own, which owns itself once, so it is
// never destroyed; and a handle to it, of which all modules use the same one. The handle's name and layout, one pointer, are the
// same in all versions of the library, so modules of two versions meet here, and find by the stamp that they do not fit.
#if defined(EXTENSIBLE_COMPILED)
extern "C" EXTENSIBLE_VISIBLE immortal<registry> extensible_default_registry;
#endif
#if EXTENSIBLE_BODIES
EXTENSIBLE_HIDDEN inline constinit immortal<registry_record> default_record{hazards_storage.value, std::size_t{1}};
extern "C" {
EXTENSIBLE_SHARED_VARIABLE constinit immortal<registry> extensible_default_registry{
    ref<registry_record>::adopted{&default_record.value}};
}
#endif

}  // namespace detail

inline registry& default_registry() noexcept { return detail::extensible_default_registry.value; }

}  // namespace ext::inline EXTENSIBLE_ABI
