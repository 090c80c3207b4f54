#pragma once

// ext::registry: holds the names of wrapped functions. ext::on_start, ext::on_end, ext::around:
// register hooks by name.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/platform/never_destroyed.hpp>
#include <extensible/detail/reclaim/module_domain.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/register_hook.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/stamp.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/monitor.hpp>
#include <extensible/options.hpp>
#include <extensible/phase.hpp>

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI {

struct function_info;

/// Holds the names of wrapped functions, and the hooks registered on them. Most programs need only
/// default_registry(); others are for tests, or for two hosts in one process.
///
///     registry.on_start("models.get_api_key",
///                       [](ext::call<std::string(std::string_view)>& call) { log(call.name); });
///
/// Any thread may use a registry at any time. If it is destroyed before its functions, their hooks
/// are removed. Running calls finish with their hooks; later calls run none.
///
/// A registry belongs to the module (the program, or a shared library) that created it. That module
/// must stay loaded as long as any function that is wrapped in the registry is called. Pass other
/// modules a reference to it. If such a module was compiled with another layout of the library, or
/// another standard library, everything that it does with the registry throws incompatible_module.
class registry {
    // Functions that compare the stamps of two modules (see detail/stamp.hpp) have hidden
    // visibility, here and in other headers. Otherwise the dynamic linker may bind a library's call
    // to the host's copy of such a function, which compares the host with itself.

public:
    /// Creates an empty registry, separate from all others.
    EXTENSIBLE_HIDDEN registry() : record_(new detail::registry_record(detail::hazards())) {}
    registry(const registry&) = delete;
    registry& operator=(const registry&) = delete;

    /// Removes all hooks; its functions remain callable. If there is not enough memory for that,
    /// the program ends.
    EXTENSIBLE_HIDDEN ~registry() { detail::locked_registry(record()).close(); }

    /// Registers a hook that runs before the function with this name, which need not be wrapped
    /// yet.
    ///
    /// `Signature` is the function's, R(A...). You can leave it out if the hook takes an
    /// `ext::call<R(A...)>&`. A hook that takes an `ext::any_call&` is for functions of any
    /// signature. For such a hook `function` may be a pattern, in which `*` stands for any run of
    /// characters; the hook then runs for all functions that match, wrapped now or later.
    ///
    /// The hook is copied or moved in, and lives until it is removed. Several threads may run it at
    /// the same time. It may return a finisher: see extensible::on_start().
    ///
    /// Throws signature_mismatch, duplicate_hook, order_cycle or sealed; or error for an empty
    /// name, an empty hook or invalid options. Then nothing has changed.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_start(std::string_view function, Hook&& hook,
                                    const hook_options& options = detail::no_options()) {
        return detail::add_hook<phase::start, Signature>(record(), function, std::forward<Hook>(hook), options);
    }

    /// Registers a hook that runs after the function with this name, whether it returned or threw.
    /// The parameters and exceptions are those of on_start().
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_end(std::string_view function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) {
        return detail::add_hook<phase::end, Signature>(record(), function, std::forward<Hook>(hook), options);
    }

    /// Registers a hook that runs around the function with this name. Its second parameter is an
    /// ext::proceed&, which runs the next around hook or, innermost, the function. The first around
    /// hook in order is the outermost. The parameters and exceptions are those of on_start().
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook around(std::string_view function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) {
        return detail::add_hook<phase::around, Signature>(record(), function, std::forward<Hook>(hook), options);
    }

    /// Registers a handler for exceptions that no caller sees: an isolated hook threw them, a later
    /// exception replaced them, or an around hook discarded them by proceeding again. It takes a
    /// `const ext::hook_error&`.
    ///
    /// The handler is called on the thread on which the exception occurred; several threads may
    /// call it at the same time. If it throws, its own exception is dropped, and the reported one
    /// is written to stderr. You can register several handlers, and remove them as hooks are
    /// removed. Without a handler, a line is written to stderr; to prevent that, register a handler
    /// that does nothing. Throws sealed, or error for an empty handler.
    template <class Handler>
    EXTENSIBLE_HIDDEN hook on_hook_error(Handler&& handler) {
        return detail::add_handler<hook_error>(record(), std::forward<Handler>(handler));
    }

    /// Registers a monitor, which is called after each run of each hook, and whenever a call skips
    /// a hook because of that hook's options. It takes a `const ext::hook_run&`, which shows, for
    /// instance, which hook supplied the result and how long it took.
    ///
    /// The monitor is called on the thread of the hook; several threads may call it at the same
    /// time. If it throws, its exception is dropped. It is not notified of hooks that run because
    /// of what the monitor itself does. If it is registered during a call, it may be notified of
    /// only some of the hooks of that call. You can register several monitors, and remove them as
    /// hooks are removed. While there is a monitor, calls of all functions of the registry take
    /// longer. Throws sealed, or error for an empty monitor.
    template <class Monitor>
    EXTENSIBLE_HIDDEN hook on_hook_run(Monitor&& monitor) {
        return detail::add_handler<hook_run>(record(), std::forward<Monitor>(monitor));
    }

    /// Returns all functions with their hooks, sorted by name. The list includes names that have
    /// hooks but that no code has wrapped. Patterns that match no function are at the end of the
    /// list. The member is defined in function_info.hpp, which extensible.hpp includes.
    EXTENSIBLE_LAZY_FUNCTION std::vector<function_info> functions() const;

    /// Seals the registry: from now on, registering a hook, an error handler or a monitor throws
    /// ext::sealed. Hooks can still be removed, disabled and enabled, and functions can be wrapped.
    /// This cannot be undone.
    EXTENSIBLE_HIDDEN void seal() { detail::locked_registry(record())->sealed = true; }

private:
    friend detail::private_access;
    friend detail::never_destroyed<registry>;
    explicit constexpr registry(detail::ref<detail::registry_record>::adopted record) noexcept : record_(record) {}

    EXTENSIBLE_HIDDEN detail::registry_record& record() const { return record_->checked(); }

    // The first and only member in every version of the library. The record that it points to
    // begins with a stamp.
    detail::ref<detail::registry_record> record_;
};

/// Returns the registry of the free functions ext::on_start() and others, and of wrappers that name
/// no registry. It exists before main() begins and after it returns.
///
/// On ELF and Mach-O (untested), all modules of a process share one default registry, even with
/// -fvisibility=hidden, if the program exports its symbols (-rdynamic, or ENABLE_EXPORTS in CMake).
/// Otherwise each module has its own.
EXTENSIBLE_HIDDEN registry& default_registry() noexcept;

/// Registers a hook that runs before the function with this name, or before all functions that
/// match a pattern, in the default registry. See registry::on_start().
///
///     ext::on_start("models.*", [](ext::any_call& call) { log(call.name()); });
template <class Signature = void, class Hook>
EXTENSIBLE_HIDDEN hook on_start(std::string_view function, Hook&& hook,
                                const hook_options& options = detail::no_options()) {
    return default_registry().on_start<Signature>(function, std::forward<Hook>(hook), options);
}

/// Registers a hook that runs after the function with this name, or after all functions that match
/// a pattern, in the default registry. See registry::on_end().
///
///     ext::on_end("models.*", [](ext::any_call& call) { log(call.failed()); });
template <class Signature = void, class Hook>
EXTENSIBLE_HIDDEN hook on_end(std::string_view function, Hook&& hook,
                              const hook_options& options = detail::no_options()) {
    return default_registry().on_end<Signature>(function, std::forward<Hook>(hook), options);
}

/// Registers a hook that runs around the function with this name, or around all functions that
/// match a pattern, in the default registry. See registry::around().
///
///     ext::around("models.*", [](ext::any_call& call, auto& proceed) { proceed(); });
template <class Signature = void, class Hook>
EXTENSIBLE_HIDDEN hook around(std::string_view function, Hook&& hook,
                              const hook_options& options = detail::no_options()) {
    return default_registry().around<Signature>(function, std::forward<Hook>(hook), options);
}

// -------------------------------------------------------------------------------------------------

namespace detail {

// ---- The default registry -----------------------------------------------------------------------

// In static storage, and initialized before any code runs. Each module has a record of its own. The
// record is never destroyed, because its count of references begins at 1. Each module also defines
// a handle to its record, but modules that can see each other's symbols all use one of the handles.
// The name and the layout of the handle, one pointer, are the same in all versions of the library.
// So modules of two versions find each other here, and the stamp shows that they are incompatible.
#if defined(EXTENSIBLE_COMPILED)
extern "C" EXTENSIBLE_VISIBLE never_destroyed<registry> extensible_default_registry;
#endif
#if EXTENSIBLE_BODIES
EXTENSIBLE_HIDDEN inline constinit never_destroyed<registry_record> default_record{hazards_storage.value,
                                                                                   std::size_t{1}};
extern "C" {
EXTENSIBLE_SHARED_VARIABLE constinit never_destroyed<registry> extensible_default_registry{
    ref<registry_record>::adopted{&default_record.value}};
}
#endif

}  // namespace detail

inline registry& default_registry() noexcept { return detail::extensible_default_registry.value; }

}}  // namespace ext
