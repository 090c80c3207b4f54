#pragma once

// What does the library know of a function and its hooks? The records behind names, wrappers, handles and plugins, and the
// list of hooks that a call runs.
//
// Records are shared by all modules of the process that use a registry, and outlive modules that are unloaded. So they
// refer to no code and no static storage of a module but where it is said, and have no virtual functions.

#include <extensible/detail/intrusive.hpp>
#include <extensible/detail/type_name.hpp>
#include <extensible/phase.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::detail {

struct call_operations;
class hazard_domain;
struct change_step;
struct function_record;
struct hook_entry;
struct hook_list;
struct registry_record;
struct thread_hazards;

/// Runs a hook in a call, an ext::call that `operations` are for. `inside` is an ext::proceed for an around hook, else null.
/// A hook that is awaited is begun instead, and `inside` is a place_for_stage of the type that it says.
using run_hook = void(const hook_entry& self, void* call, const call_operations& operations, void* inside);

/// The hook itself with its type erased: the function object, and code of the module that it came from.
struct erased_hook {
    void* object;
    run_hook* run;
    void (*destroy)(void* object) noexcept;
};

/// What an ext::plugin owns, besides its hooks.
struct owner_record : counted {
    // Constant from construction on.
    ref<registry_record> registry;
    std::string name;
    bool isolate = false, reentrant = true;  // defaults for its hooks

    // Guarded by the registry's mutex.
    bool enabled = true;
    bool unloaded = false;

    owner_record();
    ~owner_record();
};

/// One registered hook: what an ext::hook refers to. Outlives the function object inside, which goes as soon as nothing
/// can run it any more.
struct hook_record : counted {
    // Set before registration, constant from then on.
    ref<registry_record> registry;
    ref<function_record> function;  // null for a hook under a pattern
    std::string pattern;            // empty for a hook on one function
    ref<owner_record> owner;        // null without
    const type_identity* signature = nullptr;  // null for any; in the hook's module: not to be used once it is removed
    const type_identity* stage = nullptr;      // what it is awaited as; null for a plain hook; as `signature`
    erased_hook erased{};
    run_hook* run = nullptr;  // erased.run, or what runs it with care; code of the hook's module
    phase when{};
    bool on_object = false;  // registered on the function itself: gone with its last wrapper
    bool isolate = false;
    bool reentrant = true;
    std::string id;
    int priority = 0;
    std::vector<std::string> before, after;
    std::uint64_t number = 0;  // the order of registration; a hook that replaces another takes its number

    // Guarded by the registry's mutex.
    bool registered = false;
    bool enabled = true;
    bool runs() const noexcept { return enabled && (!owner || owner->enabled); }

    // The registration and the hook lists that hold this hook. The last one to let go destroys the function object.
    std::atomic<std::size_t> holders{1};

    hook_record();
    ~hook_record();

    void release() noexcept {
        // As in ~ref: each holder's use of the hook comes before its destruction by the last.
        if (holders.fetch_sub(1, std::memory_order_acq_rel) == 1) erased.destroy(std::exchange(erased.object, nullptr));
    }
};

/// The part of a wrapper that the registry writes to: one pointer, which is all that a call without hooks reads.
struct site {
    mutable std::atomic<const hook_list*> hooks{nullptr};  // null when there is no enabled hook
    hazard_domain* domain = nullptr;                       // the registry's
    ref<function_record> function;
    const call_operations* operations = nullptr;  // in static storage of the module that the wrapper is part of; null for errors
    site* next = nullptr;                      // the function's other wrappers; guarded by the registry's mutex
};

/// One name in a registry.
struct function_record : counted {
    std::string name;
    ref<registry_record> registry;

    // Guarded by the registry's mutex.
    site* sites = nullptr;                 // the wrappers; none means that the hooks are waiting
    std::vector<ref<hook_record>> hooks;   // phase by phase, in running order, disabled ones and those under patterns too
    hook_list* published = nullptr;        // what every site points to
    bool wanted() const noexcept;          // somebody wraps it, or a hook of its own waits for it

    function_record(std::string_view called, ref<registry_record> home);
    ~function_record();
};

/// What an ext::registry owns. Shared by its functions and handles, which may outlive it.
struct registry_record : counted {
    std::mutex mutex;  // taken to register and remove, never by a call; no foreign code runs under it
    hazard_domain* const domain;  // of the module that made the registry: all that use it share this one

    // Guarded by the mutex.
    std::vector<ref<function_record>> functions;  // in the order of their names
    std::vector<ref<hook_record>> patterns;       // hooks under patterns, in the order of registration
    std::uint64_t registrations = 0;
    bool sealed = false;
    bool closed = false;  // the ext::registry is gone

    // The handlers of on_hook_error(): hooks of a function that is in no list, called from this site.
    site errors;

    constexpr explicit registry_record(hazard_domain& shared, std::size_t initial_references = 0) noexcept
        : counted(initial_references), domain(&shared) {
        errors.domain = &shared;
    }
    ~registry_record();
};

// Defined here, where all that the records refer to is complete.
inline owner_record::owner_record() = default;
inline owner_record::~owner_record() = default;
inline hook_record::hook_record() = default;
inline hook_record::~hook_record() {
    if (erased.object) erased.destroy(erased.object);  // it was never registered
}
inline function_record::function_record(std::string_view called, ref<registry_record> home)
    : name(called), registry(std::move(home)) {}
inline function_record::~function_record() = default;
inline bool function_record::wanted() const noexcept {
    if (sites) return true;
    for (const auto& hook : hooks)
        if (hook->function) return true;
    return false;
}
inline registry_record::~registry_record() = default;

/// One hook as a call sees it.
struct hook_entry {
    run_hook* run;
    void* object;  // the function object
    hook_record* record;
};

/// A change of several functions' hooks, which takes place in one step for all calls that begin afterwards.
struct change_step : counted {
    std::atomic<bool> happened{false};
};

/// The enabled hooks of a function in running order, phase by phase: what one call runs. Never changed once it is
/// published. Who replaces it hands it to the hazard domain, which destroys it when no call holds it.
struct hook_list {
    ref<function_record> function;                      // null in a list that is made only to be retired
    std::string_view name;                              // the function's
    std::array<const hook_entry*, phase_count> ends{};  // behind the last hook of each phase
    std::atomic<std::size_t> pins{0};                  // calls that hold the list without a hazard slot

    // Once this step has happened, no call begins with this list, but with `successor`. Null while no step is under way.
    std::atomic<change_step*> step{nullptr};
    hook_list* successor = nullptr;  // set before `step`; used only while this list is still published

    // Guarded by the hazard domain's mutex.
    hook_list* next_retired = nullptr;
    const thread_hazards* reclaimed_by = nullptr;  // the thread that is letting go of the hooks, if one is

    /// `hooks` is in running order, phase by phase.
    static hook_list* make(ref<function_record> function, const std::vector<hook_record*>& hooks) {
        static_assert(sizeof(hook_list) % alignof(hook_entry) == 0);
        void* const memory = ::operator new(sizeof(hook_list) + hooks.size() * sizeof(hook_entry));
        auto* const list = new (memory) hook_list;
        if (function) list->name = function->name;
        list->function = std::move(function);
        hook_entry* at = list->entries();
        list->ends.fill(at);
        for (hook_record* hook : hooks) {
            hook->references.fetch_add(1, std::memory_order_relaxed);  // as ref<hook_record>
            hook->holders.fetch_add(1, std::memory_order_relaxed);     // the registration holds it meanwhile
            new (at++) hook_entry{hook->run, hook->erased.object, hook};
            for (std::size_t p = static_cast<std::size_t>(hook->when); p < phase_count; ++p) list->ends[p] = at;
        }
        return list;
    }

    /// Lets go of the hooks, which may destroy what they captured: foreign code, to be run under no lock.
    void release_hooks() const noexcept {
        for (const hook_entry& hook : all()) hook.record->release();
    }

    /// Frees the memory. The hooks have been let go of.
    static void free(hook_list* list) noexcept {
        for (const hook_entry& hook : list->all()) ref<hook_record>::adopt(hook.record);
        ref<change_step>::adopt(list->step.load(std::memory_order_relaxed));  // relaxed: nobody else has the list any more
        list->~hook_list();
        ::operator delete(list);
    }

    std::span<const hook_entry> all() const noexcept { return {entries(), ends.back()}; }
    std::span<const hook_entry> of(phase when) const noexcept {
        const auto p = static_cast<std::size_t>(when);
        return {p == 0 ? entries() : ends[p - 1], ends[p]};
    }
    bool is_empty_after(phase when) const noexcept { return ends[static_cast<std::size_t>(when)] == ends.back(); }
    bool contains(const hook_record& hook) const noexcept {
        for (const hook_entry& entry : all())
            if (entry.record == &hook) return true;
        return false;
    }
    bool contains_hook_of(const owner_record& owner) const noexcept {
        for (const hook_entry& entry : all())
            if (entry.record->owner.get() == &owner) return true;
        return false;
    }

private:
    hook_list() = default;
    ~hook_list() = default;

    hook_entry* entries() noexcept { return std::launder(reinterpret_cast<hook_entry*>(this + 1)); }
    const hook_entry* entries() const noexcept { return const_cast<hook_list*>(this)->entries(); }
};

}  // namespace ext::detail
