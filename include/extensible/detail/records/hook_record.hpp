#pragma once

// What is known about a hook, and about the hooks of a plugin?
//
// Records are shared by all modules of the process that use a registry, and outlive modules that are unloaded. So they refer to
// no code and no static storage of a module, except where a comment says so, and have no virtual functions.

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

/// What a hook receives besides its call. At most one of these is set.
struct run_input {
    ext::proceed* proceed = nullptr;    // for an around hook
    awaited_slot_base* slot = nullptr;  // for an awaited hook, which is begun: an awaited_slot of the type that its record names
    const ext::hook_error* error = nullptr;  // for a handler of on_hook_error(), which has no call
    const ext::hook_run* run = nullptr;      // for a monitor, which has no call
};

/// Runs the hook at `object` in a call. `input` is null for a plain start or end hook.
using run_hook = void(void* object, call_fields* call, const run_input* input);

/// A hook with its type erased: the function object, and code of the module that it came from.
struct erased_hook {
    void* object;
    run_hook* run;
    run_hook* run_guarded;  // for hooks with options, and while monitors watch: its object is the candidates of a hook_entry; null for handlers
    void (*destroy)(void* object) noexcept;
    bool takes_record = false;  // `run` is handed the hook_record, in which the object is
    bool returns_finisher = false;   // a start hook that returns the end of its call
};

/// One hook, or all hooks of a plugin: what is disabled, enabled, removed and waited for together.
struct hook_group : reference_counted {
    // Set before registration, constant from then on. The registry has its place in every version of the library, as in `site`.
    ref<registry_record> registry;
    hook_record* const only_hook;  // null for a plugin

    // Guarded by the registration lock.
    bool enabled = true;
    bool registered = false;  // for a plugin: not unloaded

    // How many of its hooks have captured state that is not destroyed yet. Guarded by the hazard domain's mutex.
    std::size_t alive = 0;

    EXTENSIBLE_COLD_FUNCTION explicit hook_group(hook_record* only) noexcept;
    EXTENSIBLE_COLD_FUNCTION ~hook_group();
    bool has(const hook_record& hook) const noexcept;
};

/// What an ext::plugin owns, besides its hooks.
struct plugin_record : hook_group {
    const std::string name;
    const bool isolate, reentrant;  // defaults for its hooks

    // The plugin whose place this one is about to take; else null. Guarded by the registration lock. Hooks of the two may have the
    // same ids, and do not order each other.
    ref<plugin_record> predecessor;

    EXTENSIBLE_COLD_FUNCTION plugin_record(registry_record& home, std::string_view called, bool isolates, bool is_reentrant);
    EXTENSIBLE_COLD_FUNCTION ~plugin_record();
};

/// One registered hook: what an ext::hook refers to. Outlives the function object inside, which is destroyed as soon as nothing
/// can run it any more.
struct hook_record : hook_group {
    // Guarded by the hazard domain's mutex. Who may still run the hook: the registration, and each list that has it,
    // published or retired. They own this record. When the last one lets go, the function object is destroyed.
    std::size_t holders = 0;

    // Set before registration, constant from then on. Each change of a function reads the first ones of all its hooks:
    // they are close together.
    ref<plugin_record> plugin;                 // null without one
    const type_identity* sub_task = nullptr;      // what it is awaited as; null for a plain hook; in the hook's module
    phase when{};
    bool on_object = false;  // registered on the function itself: removed with its last wrapper
    bool has_options = false;  // a call needs more to run it than to call `erased.run`, and may skip it
    bool isolate = false;
    bool reentrant = true;
    bool fallback = false;
    bool replaces = false;     // the hook that has its id in the same phase, on the same function or under the same pattern
    bool inherits_turn = false;  // of that hook in the order; it states none of its own
    std::uint64_t only_thread = 0;  // the number of a thread, see thread_hazards; 0: any
    std::size_t times = 0;          // 0: without limit
    erased_hook erased{};
    ref<function_record> function;  // null for a hook under a pattern
    std::string pattern;            // empty for a hook on one function
    const type_identity* signature = nullptr;  // null for any; in the hook's module: not to be used once it is removed
    std::string id;
    int priority = 0;
    std::vector<std::string> before, after;
    std::uint64_t number = 0;   // the order of registration

    atomic<std::size_t> begun{0};  // counted where `times` has a limit

    // Guarded by the registration lock.
    bool is_enabled() const noexcept { return enabled && (!plugin || plugin->enabled); }

    // Guarded by the hazard domain's mutex.
    thread_id destroyed_by = 0;  // the thread that is destroying the function object
    ref<hook_record> next{};     // in the domain's chain of hooks that nobody holds

    EXTENSIBLE_COLD_FUNCTION explicit hook_record(std::string_view called = {}, std::string_view under = {});
    hook_record(const hook_record&) = delete;
    hook_record& operator=(const hook_record&) = delete;
    EXTENSIBLE_COLD_FUNCTION ~hook_record();

    /// Whether its plugin is about to replace another one. Until then the hook is disabled, and its `before`, `after`
    /// and id have no effect.
    bool is_coming() const noexcept { return plugin && plugin->predecessor; }

    /// Whether the two never run in one call, because one's plugin is about to take the place of the other's.
    bool excludes(const hook_record& other) const noexcept {
        return plugin && other.plugin && (plugin->predecessor == other.plugin || other.plugin->predecessor == plugin);
    }

    /// Whether the two have one id, in one phase, on one function or under one pattern.
    bool is_namesake(const hook_record& other) const noexcept {
        return !id.empty() && id == other.id && when == other.when && pattern == other.pattern;
    }

    /// What `erased.run` is handed.
    void* object_to_run() noexcept { return erased.takes_record ? this : erased.object; }

    /// Runs foreign code: not to be called under a lock.
    void destroy_object() noexcept {
        if (erased.object) erased.destroy(std::exchange(erased.object, nullptr));
    }
};

inline bool hook_group::has(const hook_record& hook) const noexcept { return this == &hook || this == hook.plugin.get(); }

}}}  // namespace ext::detail
