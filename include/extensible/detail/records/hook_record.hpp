#pragma once

// What is known about a hook, and about a plugin?
//
// What must stay true:
// 1. All modules of the process that use a registry share its records, which outlive modules that are
//    unloaded. So records have no virtual functions, and they refer to no code and no static storage
//    of a module, except where a comment says so (tests/stamp, tests/library).
// 2. A hook's function object is destroyed once, and not under a lock, by the first reclaim() after its
//    last holder released the hook (tests/explorer, scenarios "remove" and "deep"; tests/nesting.cpp).
//
// Not here: which hooks a call runs: hook_list.hpp. What the options mean: options.hpp. How a
// function object becomes an erased_hook: call/erase_hook.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/phase.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI {

class proceed;
struct hook_error;
struct hook_run;

namespace detail {

struct awaited_slot_base;
class call_fields;
struct function_record;
struct hook_record;
struct registry_record;

/// What a hook receives besides its call. At most one member is set.
struct run_input {
    ext::proceed* proceed = nullptr;  // for a plain around hook

    // For an awaited hook that is about to begin: an awaited_slot<SubTask>. SubTask is the type that
    // hook_record::sub_task identifies.
    awaited_slot_base* slot = nullptr;

    const ext::hook_error* error = nullptr;  // for a handler of on_hook_error()
    const ext::hook_run* run = nullptr;      // for a monitor
};

/// Runs the hook at `object` in a call. `input` is null for a plain start or end hook. `call` is null
/// for handlers and monitors.
using run_hook = void(void* object, call_fields* call, const run_input* input);

/// A hook with its type erased: the function object, and code of the module that created it.
struct erased_hook {
    void* object;
    run_hook* run;

    // Runs the first candidate of a hook_entry that the call does not skip: its `object` is the array
    // of candidates. Calls use it instead of `run` if the hook has an option that a call must apply
    // (needs_check_in_call), or while there are monitors. Null for handlers and monitors.
    run_hook* run_with_options;

    void (*destroy)(void* object) noexcept;
    bool takes_record = false;      // the `object` that `run` receives is the hook_record
    bool returns_finisher = false;  // only for a start hook
};

/// One hook, or all hooks of a plugin: the hooks that are enabled, disabled, removed and waited for
/// together.
struct hook_group : reference_counted {
    // Set before registration, then constant. It has the same offset in every version of the library,
    // because code compares the registry's stamp with its own before it reads anything else.
    ref<registry_record> registry;

    // This hook; null for a plugin. Constant.
    hook_record* const only_hook;

    // Guarded by the registration lock.
    bool enabled = true;
    bool registered = false;  // for a plugin: false once it is unloaded

    // The number of its hooks that were registered and whose function objects are not destroyed yet.
    // Guarded by the hazard domain's mutex.
    std::size_t alive = 0;

    EXTENSIBLE_COLD_FUNCTION explicit hook_group(hook_record* only) noexcept;
    EXTENSIBLE_COLD_FUNCTION ~hook_group();
    bool has(const hook_record& hook) const noexcept;
};

/// What an ext::plugin owns, besides its hooks.
struct plugin_record : hook_group {
    const std::string name;
    const bool isolate, reentrant;  // defaults for its hooks

    // The plugin that this one is about to replace; otherwise null. Hooks of the two may have the same
    // ids, and do not order each other. Set before the plugin registers a hook; from then on guarded
    // by the registration lock.
    ref<plugin_record> predecessor;

    EXTENSIBLE_COLD_FUNCTION plugin_record(registry_record& home, std::string_view called, bool isolates,
                                           bool is_reentrant);
    EXTENSIBLE_COLD_FUNCTION ~plugin_record();
};

/// One registered hook: an ext::hook refers to it. It outlives the hook's function object.
struct hook_record : hook_group {
    // The number of holders: the registration, and each list that contains the hook, published or
    // retired. Together they own one reference to this record. When the last one releases the hook,
    // the function object is due for destruction. Guarded by the hazard domain's mutex.
    std::size_t holders = 0;

    // Set before registration, then constant, except for `erased.object`. The first fields are close
    // together because each change of a function reads those of all its hooks.
    ref<plugin_record> plugin;  // null if the hook belongs to no plugin

    // The type of the sub-task that awaits the hook; null for a plain hook. In static storage of the
    // hook's module.
    const type_identity* sub_task = nullptr;

    phase when{};
    bool on_wrapper = false;      // registered on a wrapper: removed with the last wrapper of its function
    bool needs_check_in_call = false;    // it has options that calls check, so they use `erased.run_with_options`
    bool isolate = false;
    bool reentrant = true;
    bool fallback = false;
    bool replaces = false;       // see is_namesake() for the hooks that it replaces
    bool inherits_turn = false;  // from the hook that it replaces, because it states no place of its own
    std::uint64_t only_thread = 0;  // the only thread whose calls run it: thread_hazards::number; 0: any
    std::size_t times = 0;          // 0: without limit
    erased_hook erased{};           // `object` is null once the function object is being destroyed
    ref<function_record> function;  // null for a hook under a pattern
    std::string pattern;            // empty for a hook on one function

    // Null for any signature. In static storage of the hook's module, which may be unloaded after the
    // hook is removed: do not read it from then on.
    const type_identity* signature = nullptr;

    std::string id;
    int priority = 0;
    std::vector<std::string> before, after;
    std::uint64_t number = 0;  // the order of registration, from 1

    // The number of runs that calls have tried to begin; 0 if `times` is 0. Calls on any thread add to
    // it, without a lock: see claim_run().
    atomic<std::size_t> begun{0};

    // Call it under the registration lock.
    bool is_enabled() const noexcept { return enabled && (!plugin || plugin->enabled); }

    // Guarded by the hazard domain's mutex.
    thread_id destroyed_by = 0;  // the thread that destroys the function object; 0 if that has not begun
    ref<hook_record> next{};     // in the domain's chain of hooks without holders

    EXTENSIBLE_COLD_FUNCTION explicit hook_record(std::string_view called = {}, std::string_view under = {});
    hook_record(const hook_record&) = delete;
    hook_record& operator=(const hook_record&) = delete;
    EXTENSIBLE_COLD_FUNCTION ~hook_record();

    /// The name of its plugin, or empty.
    std::string_view owner() const noexcept { return plugin ? std::string_view(plugin->name) : std::string_view(); }

    /// Returns whether the hook's plugin is about to replace another one. Until it has, the hook is
    /// disabled, and its `before`, `after` and id do not affect the order.
    bool is_coming() const noexcept { return plugin && plugin->predecessor; }

    /// Returns whether no call runs both hooks, because the plugin of one is about to replace the
    /// plugin of the other.
    bool excludes(const hook_record& other) const noexcept {
        return plugin && other.plugin && (plugin->predecessor == other.plugin || other.plugin->predecessor == plugin);
    }

    /// Returns whether two hooks of one hook_order have the same id, phase and pattern. Hooks on a
    /// function have an empty pattern. An empty id is not the same as another.
    bool is_namesake(const hook_record& other) const noexcept {
        return !id.empty() && id == other.id && when == other.when && pattern == other.pattern;
    }

    /// Returns the `object` that `erased.run` receives.
    void* object_to_run() noexcept { return erased.takes_record ? this : erased.object; }

    /// Destroys the function object, unless that has been done. Runs foreign code: do not call it
    /// under a lock.
    void destroy_object() noexcept {
        if (erased.object) erased.destroy(std::exchange(erased.object, nullptr));
    }
};

inline bool hook_group::has(const hook_record& hook) const noexcept {
    return this == &hook || this == hook.plugin.get();
}

}}}  // namespace ext::detail
