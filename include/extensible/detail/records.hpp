#pragma once

// What does the library know of a function and its hooks? The records behind names, wrappers and handles, and the list
// of hooks that a call runs.

#include <extensible/detail/intrusive.hpp>
#include <extensible/detail/type_name.hpp>

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

/// When a hook runs.
enum class phase : std::uint8_t { start, end };
inline constexpr std::size_t phase_count = 2;

constexpr std::string_view name_of(phase when) noexcept { return when == phase::start ? "start" : "end"; }

struct function_record;
struct registry_record;
struct hook_list;
struct thread_hazards;

/// The hook itself with its type erased: the function object, and code of the module that it came from.
struct erased_hook {
    void* object;
    void (*run)(void* object, void* call);  // `call` points to the ext::call of the hook's signature
    void (*destroy)(void* object) noexcept;
};

/// One registered hook: what an ext::hook refers to. Outlives the function object inside, which goes as soon as nothing
/// can run it any more.
struct hook_record : counted {
    // Set before registration, constant from then on.
    ref<function_record> function;
    const type_identity* signature = nullptr;
    erased_hook erased{};
    phase when{};
    bool on_object = false;  // registered on the function itself: gone with its last wrapper
    std::string id;
    int priority = 0;
    std::vector<std::string> before, after;
    std::uint64_t number = 0;  // the order of registration; a hook that replaces another takes its number

    // Guarded by the registry's mutex.
    bool registered = false;
    bool enabled = true;

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
    std::atomic<const hook_list*> hooks{nullptr};  // null when there is no enabled hook
    ref<function_record> function;
    const type_identity* signature = nullptr;  // in static storage of the module that the wrapper is part of
    site* next = nullptr;                      // the function's other wrappers; guarded by the registry's mutex
};

/// One name in a registry.
struct function_record : counted {
    std::string name;
    ref<registry_record> registry;

    // Guarded by the registry's mutex.
    site* sites = nullptr;                 // the wrappers; none means that the hooks are waiting
    std::vector<ref<hook_record>> hooks;   // phase by phase, in running order, the disabled ones too
    hook_list* published = nullptr;        // what every site points to

    function_record(std::string_view called, ref<registry_record> home);
    ~function_record();
};

/// What an ext::registry owns. Shared by its functions and handles, which may outlive it.
struct registry_record : counted {
    std::mutex mutex;  // taken to register and remove, never by a call; no foreign code runs under it

    // Guarded by the mutex.
    std::vector<ref<function_record>> functions;  // in the order of their names
    std::uint64_t registrations = 0;
    bool closed = false;  // the ext::registry is gone

    registry_record();
    ~registry_record();
};

// Defined here, where all that the records refer to is complete.
inline hook_record::hook_record() = default;
inline hook_record::~hook_record() {
    if (erased.object) erased.destroy(erased.object);  // it was never registered
}
inline function_record::function_record(std::string_view called, ref<registry_record> home)
    : name(called), registry(std::move(home)) {}
inline function_record::~function_record() = default;
inline registry_record::registry_record() = default;
inline registry_record::~registry_record() = default;

/// One hook as a call sees it.
struct hook_entry {
    void (*run)(void* object, void* call);
    void* object;
    hook_record* record;
};

/// The enabled hooks of a function in running order, phase by phase: what one call runs. Never changed once it is
/// published. Who replaces it hands it to the hazard domain, which destroys it when no call holds it.
struct hook_list {
    ref<function_record> function;
    std::string_view name;                              // the function's
    std::array<const hook_entry*, phase_count> ends{};  // behind the last hook of each phase
    std::atomic<std::size_t> pins{0};                  // calls that hold the list without a hazard slot

    // Guarded by the hazard domain's mutex.
    hook_list* next_retired = nullptr;
    const thread_hazards* reclaimed_by = nullptr;  // the thread that is letting go of the hooks, if one is

    /// `hooks` is in running order, phase by phase.
    static hook_list* make(ref<function_record> function, std::span<hook_record* const> hooks) {
        static_assert(sizeof(hook_list) % alignof(hook_entry) == 0);
        void* const memory = ::operator new(sizeof(hook_list) + hooks.size() * sizeof(hook_entry));
        auto* const list = new (memory) hook_list;
        list->name = function->name;
        list->function = std::move(function);
        hook_entry* at = list->entries();
        list->ends.fill(at);
        for (hook_record* hook : hooks) {
            hook->references.fetch_add(1, std::memory_order_relaxed);  // as ref<hook_record>
            hook->holders.fetch_add(1, std::memory_order_relaxed);     // the registration holds it meanwhile
            new (at++) hook_entry{hook->erased.run, hook->erased.object, hook};
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
        list->~hook_list();
        ::operator delete(list);
    }

    std::span<const hook_entry> all() const noexcept { return {entries(), ends.back()}; }
    std::span<const hook_entry> of(phase when) const noexcept {
        const auto p = static_cast<std::size_t>(when);
        return {p == 0 ? entries() : ends[p - 1], ends[p]};
    }
    bool contains(const hook_record& hook) const noexcept {
        for (const hook_entry& entry : all())
            if (entry.record == &hook) return true;
        return false;
    }

private:
    hook_list() = default;
    ~hook_list() = default;

    hook_entry* entries() noexcept { return std::launder(reinterpret_cast<hook_entry*>(this + 1)); }
    const hook_entry* entries() const noexcept { return const_cast<hook_list*>(this)->entries(); }
};

}  // namespace ext::detail
