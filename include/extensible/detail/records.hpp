#pragma once

// What does the library know of hooks, functions and registries? The records behind handles, plugins, names and wrappers, the
// stamp that modules compare before they share any of it, and the list of hooks that a call runs.
//
// Records are shared by all modules of the process that use a registry, and outlive modules that are unloaded. So they refer to
// no code and no static storage of a module, except where a comment says so, and have no virtual functions.

#include <extensible/detail/array.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/system.hpp>
#include <extensible/detail/type_name.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI::detail {

class call_fields;
struct change_step;
struct function_record;
class hazard_domain;
struct hook_list;
struct hook_record;
struct registry_record;

/// Base of what `ref` counts.
struct counted {
    atomic<std::size_t> references;

    constexpr explicit counted(std::size_t initially = 0) noexcept : references(initially) {}
};

/// An intrusive pointer: shares ownership of a T derived from counted. Unlike a std::shared_ptr it keeps no pointer to code of
/// the module that made the object, so a shared library may be closed while objects that it made live on.
template <class T>
class ref {
public:
    constexpr ref() noexcept = default;
    explicit ref(T* object) noexcept : object_(object) { retain(); }
    ref(const ref& other) noexcept : object_(other.object_) { retain(); }
    ref(ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    ref& operator=(ref other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~ref() {
        // Release, so that what this owner did comes before; acquire, so that the last one sees what all the others did.
        // Both pair with this same line of the other owners.
        if (object_ && object_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete object_;
    }

    /// Takes over a reference that was counted already.
    struct adopted {
        T* object;
    };
    constexpr explicit ref(adopted counted) noexcept : object_(counted.object) {}

    /// Gives the reference up, still counted.
    T* release() noexcept { return std::exchange(object_, nullptr); }

    T* get() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }
    friend bool operator==(const ref&, const ref&) = default;

private:
    void retain() noexcept {
        // Relaxed: whoever copies a ref has one, so the object cannot go meanwhile.
        if (object_) object_->references.fetch_add(1, std::memory_order_relaxed);
    }

    T* object_ = nullptr;
};
template <class T>
ref(T*) -> ref<T>;

/// Runs a hook, which is at `object`, in a call. `inside` is an ext::proceed for an around hook. A hook that is awaited is begun
/// instead, and `inside` is a place_for_stage of the type that its record names. A handler of on_hook_error() gets no call, and the
/// ext::hook_error as `inside`.
using run_hook = void(void* object, call_fields* call, void* inside);

/// A hook with its type erased: the function object, and code of the module that it came from.
struct erased_hook {
    void* object;
    run_hook* run;
    run_hook* run_guarded;  // for hooks with options, and while monitors watch: its object is the candidates of a hook_entry; null for handlers
    void (*destroy)(void* object) noexcept;
    bool takes_record = false;  // `run` is handed the hook_record, in which the object is
    bool returns_end = false;   // a start hook that returns the end of its call
};

/// One hook, or all hooks of a plugin: what is disabled, enabled, removed and waited for together.
struct hook_group : counted {
    // Set before registration, constant from then on. The registry has its place in every version of the library, as in `site`.
    ref<registry_record> registry;
    hook_record* const only_hook;  // null for a plugin

    // Guarded by the registration lock.
    bool enabled = true;
    bool registered = false;  // for a plugin: not unloaded

    // How many of its hooks have captured state that is not destroyed yet. Guarded by the hazard domain's mutex.
    std::size_t alive = 0;

    explicit hook_group(hook_record* only) noexcept : only_hook(only) {}
    EXTENSIBLE_FUNCTION ~hook_group();
    bool has(const hook_record& hook) const noexcept;
};

/// What an ext::plugin owns, besides its hooks.
struct plugin_record : hook_group {
    const std::string name;
    const bool isolate, reentrant;  // defaults for its hooks

    // The plugin whose place this one is about to take; else null. Guarded by the registration lock. Hooks of the two may have the
    // same ids, and do not order each other.
    ref<plugin_record> predecessor;

    EXTENSIBLE_FUNCTION plugin_record(registry_record& home, std::string_view called, bool isolates, bool is_reentrant);
    EXTENSIBLE_FUNCTION ~plugin_record();
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
    const type_identity* stage = nullptr;      // what it is awaited as; null for a plain hook; in the hook's module
    phase when{};
    bool on_object = false;  // registered on the function itself: removed with its last wrapper
    bool has_options = false;  // a call needs more to run it than to call `erased.run`, and may skip it
    bool isolate = false;
    bool reentrant = true;
    bool fallback = false;
    bool replaces = false;     // the hook that has its id in the same phase, on the same function or under the same pattern
    bool takes_place = false;  // of that hook in the order; it states none of its own
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
    bool runs() const noexcept { return enabled && (!plugin || plugin->enabled); }

    // Guarded by the hazard domain's mutex.
    thread_id destroyed_by = 0;  // the thread that is destroying the function object
    ref<hook_record> next{};     // in the domain's chain of hooks that nobody holds

    EXTENSIBLE_FUNCTION explicit hook_record(std::string_view called = {}, std::string_view under = {});
    hook_record(const hook_record&) = delete;
    hook_record& operator=(const hook_record&) = delete;
    EXTENSIBLE_FUNCTION ~hook_record();

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

// ---- Functions --------------------------------------------------------------------------------------------------------

/// A place in the order of hooks. Smaller ones run first.
struct turn {
    phase when{};
    int priority = 0;
    std::uint64_t number = 0;  // of a registration
    friend bool operator==(const turn&, const turn&) = default;
    EXTENSIBLE_ALWAYS_INLINE friend bool operator<(const turn& a, const turn& b) noexcept {
        if (a.when != b.when) return a.when < b.when;
        return a.priority != b.priority ? a.priority < b.priority : a.number < b.number;
    }
};

/// A hook, and the turn that it takes among the hooks of a function: see order.hpp. The holders of a hook own it, see hook_record.
struct ordered_hook {
    hook_record* hook;
    turn taken;
};
using hook_order = array<ordered_hook>;  // in running order, phase by phase

/// Selects the hooks of `group`. If that is null: all hooks if `all` is true, else those registered on an object.
struct hook_selection {
    const hook_group* group;
    bool all;
    bool has(const hook_record& hook) const noexcept { return group ? group->has(hook) : all || hook.on_object; }
    bool has_any(const hook_order& hooks) const noexcept {
        for (const ordered_hook& each : hooks)
            if (has(*each.hook)) return true;
        return false;
    }
};

/// The part of a wrapper that the registry writes to. A call without hooks reads the first member, and nothing else. The second
/// has its place in every version of the library: the stamp of the registry tells whether the rest can be read.
struct site {
    mutable atomic<const hook_list*> hooks{nullptr};  // null when there is no enabled hook
    registry_record* registry = nullptr;              // set first, and then constant; the function keeps it

    // The hazard domain; null while the hooks of several sites are being changed in one step. See hazard_guard.
    atomic<const void*> quick_domain{nullptr};

    // Constant while the site is attached.
    ref<function_record> function{};
    const function_type* type = nullptr;  // null for error handlers

    site* next = nullptr;  // the function's other wrappers; guarded by the registration lock
};

/// One name in a registry.
struct function_record : counted {
    const std::string name;
    const ref<registry_record> registry;

    // Guarded by the registration lock.
    site* sites = nullptr;           // the wrappers; none means that the hooks are waiting
    hook_order hooks;                // disabled ones and those under patterns too
    hook_list* published = nullptr;  // what every site points to

    function_record* next_of_bucket = nullptr;  // in the registry's table of functions

    EXTENSIBLE_FUNCTION function_record(std::string_view called, const ref<registry_record>& home);
    EXTENSIBLE_FUNCTION ~function_record();

    /// Whether somebody wraps it, or a hook of its own waits for it.
    EXTENSIBLE_FUNCTION bool is_wanted() const noexcept;
};

// ---- Registries -----------------------------------------------------------------------------------------------------

/// What a module was compiled with, as text: the library's version, the standard library, and the sizes of what modules share.
/// Every registry begins with a stamp, in every version of the library, and its size never changes. It is made in registry.hpp,
/// where all that modules share is known.
struct stamp {
    char text[256];
};

/// The functions of a registry, by their names: a hash table. To add, find or erase one takes the same time however many there are.
class function_table {
public:
    function_table() noexcept = default;
    function_table(const function_table&) = delete;
    function_table& operator=(const function_table&) = delete;
    ~function_table() { clear(); }

    /// Null if there is none of this name.
    EXTENSIBLE_FUNCTION function_record* find(std::string_view name) const noexcept;
    EXTENSIBLE_FUNCTION void add(const ref<function_record>& function);
    EXTENSIBLE_FUNCTION void erase(function_record& function) noexcept;
    EXTENSIBLE_FUNCTION void clear() noexcept;
    std::size_t size() const noexcept { return size_; }

    /// Calls `visit` for each function, in any order. That may erase the function from the table, but no other one.
    template <class Visitor>
    EXTENSIBLE_COLD void for_each(Visitor visit) const {
        for (function_record* function : buckets_)
            while (function) visit(*std::exchange(function, function->next_of_bucket));
    }

private:
    EXTENSIBLE_FUNCTION function_record*& bucket_of(std::string_view name) noexcept;

    array<function_record*> buckets_;  // the first function of each; at least as many as there are functions
    std::size_t size_ = 0;
};

/// The names of a registry, guarded by the registration lock.
struct registry_contents {
    function_table functions;
    hook_order patterns;  // hooks under patterns
};

/// What an ext::registry owns. Shared by its functions and handles, which may outlive it. The stamp comes first. It can be
/// constant-initialized, whatever the standard library's containers can.
struct registry_record : stamp, counted {
    hazard_domain* const domain;  // of the module that made the registry: all that use it share this one

    // Guarded by the registration lock.
    registry_contents* contents = nullptr;  // made when it is first locked
    std::uint64_t registrations = 0;
    bool sealed = false;
    bool closed = false;  // the ext::registry is gone

    bool watched = false;  // there are monitors

    // The handlers of on_hook_error() and on_hook_run(): hooks of functions that have no name, called from these sites.
    site errors, monitors;

    EXTENSIBLE_HIDDEN constexpr explicit registry_record(hazard_domain& shared, std::size_t initial_references = 0) noexcept;
    EXTENSIBLE_FUNCTION ~registry_record();

    /// Itself. Throws incompatible_module unless its stamp is that of the module that asks; before that nothing else is read.
    EXTENSIBLE_HIDDEN registry_record& checked();
};

// ---- What a call runs -----------------------------------------------------------------------------------------------

/// One hook as a call sees it.
struct hook_entry {
    run_hook* run;  // null in the entry after the last of a phase
    void* object;   // what `run` receives
    hook_record* record;

    /// For a hook with options, and for every hook while monitors watch: the hooks of which one runs in this turn. The first is the
    /// entry's own; if a call skips it, the next one runs, which the first replaces. The entry after the last has no `run`. Null for
    /// any other hook, which always runs.
    const hook_entry* candidates() const noexcept {
        return run == record->erased.run_guarded ? static_cast<const hook_entry*>(object) : nullptr;
    }
};

/// A change of several functions' hooks, which takes place in one step for all calls that begin afterwards.
struct change_step : counted {
    atomic<bool> happened{false};
};

/// The enabled hooks of a function in running order, phase by phase: what one call runs. Never changed once it is published.
/// Who replaces it retires it to the hazard domain, which destroys it when no call holds it.
struct hook_list {
    const ref<function_record> function;
    const std::string_view name;             // the function's
    const hook_entry* first[phase_count]{};  // of each phase; the entry after the last of a phase has no `run`
    bool has_ends = false;                   // one of them returns the end of its call
    const bool watched;                      // by monitors
    bool only_start_hooks = true;            // and none of them returns an end

    // Calls that hold the list without a hazard slot, each counted as `one_call`. And whether the last of them looks after it.
    static constexpr std::size_t left_to_calls = 1, one_call = 2;
    mutable atomic<std::size_t> calls{0};

    // Once this step has happened, no call begins with this list, but with `successor`. Null while no step is under way.
    atomic<change_step*> step{nullptr};
    hook_list* successor = nullptr;  // set before `step`; used only while this list is still published

    // Guarded by the hazard domain's mutex, from when it is retired on.
    hook_list* next = nullptr;  // in the domain's chain
    bool in_slot = false;       // at the last look
    hook_list* next_of_bucket = nullptr;  // in the table of that look

    /// Makes a list. Its hooks are added in running order. There is room for this many entries and candidates of entries.
    class EXTENSIBLE_HIDDEN writer {
    public:
        writer(function_record& of, std::size_t entries, std::size_t candidates, bool is_watched);

        /// Adds the next hook. If it returns true, add its candidates, the hook itself first, and call
        /// end_candidates().
        bool add(hook_record& hook) noexcept;
        void add_candidate(hook_record& hook) noexcept;
        void end_candidates() noexcept { new (candidate_++) hook_entry{}; }
        hook_list* finish() noexcept;

    private:
        void begin_phases(std::size_t end) noexcept;

        hook_list* list_;
        hook_entry *entry_, *candidate_;  // where the next one comes
        std::size_t phases_ = 0;          // that have begun
    };

    EXTENSIBLE_FUNCTION static void free(hook_list* list) noexcept;

    const hook_entry* begin(phase when) const noexcept { return first[static_cast<std::size_t>(when)]; }
    const hook_entry* begin() const noexcept { return std::launder(reinterpret_cast<const hook_entry*>(this + 1)); }

    /// Calls `visit` for each hook until it returns true. Returns whether it has.
    template <class Visitor>
    bool any_of(Visitor visit) const {
        for (const hook_entry* entry : first) {
            for (; entry->run; ++entry) {
                const hook_entry* candidate = entry->candidates();
                if (!candidate && visit(*entry->record)) return true;
                for (; candidate && candidate->run; ++candidate)
                    if (visit(*candidate->record)) return true;
            }
        }
        return false;
    }

    /// Whether it has a hook of the group.
    bool contains(const hook_group& hooks) const noexcept {
        return any_of([&](const hook_record& hook) { return hooks.has(hook); });
    }

private:
    hook_list(function_record& of, bool is_watched) noexcept : function(&of), name(of.name), watched(is_watched) {}
    ~hook_list() = default;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// The records' constructors and destructors are here, where all that they refer to is complete.
hook_group::~hook_group() = default;
plugin_record::plugin_record(registry_record& home, std::string_view called, bool isolates,
                                                 bool is_reentrant)
    : hook_group(nullptr), name(called), isolate(isolates), reentrant(is_reentrant) {
    registry = ref(&home);
    registered = true;
}
plugin_record::~plugin_record() = default;
hook_record::hook_record(std::string_view called, std::string_view under)
    : hook_group(this), pattern(under), id(called) {}
hook_record::~hook_record() { destroy_object(); }  // one that was never registered has its object still
function_record::function_record(std::string_view called, const ref<registry_record>& home)
    : name(called), registry(home) {}
function_record::~function_record() = default;
registry_record::~registry_record() { delete contents; }

bool function_record::is_wanted() const noexcept {
    if (sites) return true;
    for (const ordered_hook& each : hooks)
        if (each.hook->function) return true;
    return false;
}

// The hash function is FNV-1a. That of the standard library is in <functional>, which takes long to compile.
function_record*& function_table::bucket_of(std::string_view name) noexcept {
    std::uint64_t hash = 14695981039346656037u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return buckets_[static_cast<std::size_t>((hash ^ hash >> 32) % buckets_.size())];
}

function_record* function_table::find(std::string_view name) const noexcept {
    if (size_ == 0) return nullptr;
    function_record* found = const_cast<function_table*>(this)->bucket_of(name);
    while (found && found->name != name) found = found->next_of_bucket;
    return found;
}

void function_table::add(const ref<function_record>& function) {
    if (size_ == buckets_.size()) {
        array<function_record*> former(2 * size_ + 1);
        buckets_.swap(former);
        for (function_record* moved : former)
            while (moved) {
                function_record* const next = moved->next_of_bucket;
                moved->next_of_bucket = std::exchange(bucket_of(moved->name), moved);
                moved = next;
            }
    }
    ++size_;
    function->next_of_bucket = std::exchange(bucket_of(function->name), ref(function).release());
}

void function_table::erase(function_record& function) noexcept {
    function_record** at = &bucket_of(function.name);
    while (*at != &function) at = &(*at)->next_of_bucket;
    *at = function.next_of_bucket;
    --size_;
    const ref<function_record> erased(ref<function_record>::adopted{&function});
}

void function_table::clear() noexcept {
    for_each([this](function_record& function) { erase(function); });
}

EXTENSIBLE_FUNCTION hook_list::writer::writer(function_record& of, std::size_t entries, std::size_t candidates,
                                              bool is_watched) {
    static_assert(sizeof(hook_list) % alignof(hook_entry) == 0);
    void* const memory = ::operator new(sizeof(hook_list) + (entries + phase_count + candidates) * sizeof(hook_entry));
    list_ = new (memory) hook_list(of, is_watched);
    entry_ = reinterpret_cast<hook_entry*>(list_ + 1);
    candidate_ = entry_ + entries + phase_count;
}

EXTENSIBLE_FUNCTION void hook_list::writer::begin_phases(std::size_t end) noexcept {
    for (; phases_ < end; ++phases_) {
        if (phases_ != 0) new (entry_++) hook_entry{};  // after the last one of the phase before
        list_->first[phases_] = entry_;
    }
}

EXTENSIBLE_FUNCTION bool hook_list::writer::add(hook_record& hook) noexcept {
    begin_phases(static_cast<std::size_t>(hook.when) + 1);
    const bool guarded = hook.erased.run_guarded && (list_->watched || hook.has_options);
    if (guarded) new (entry_++) hook_entry{hook.erased.run_guarded, candidate_, &hook};
    else new (entry_++) hook_entry{hook.erased.run, hook.object_to_run(), &hook};
    list_->has_ends |= hook.erased.returns_end;
    list_->only_start_hooks &= hook.when == phase::start && !hook.erased.returns_end;
    return guarded;
}

EXTENSIBLE_FUNCTION void hook_list::writer::add_candidate(hook_record& hook) noexcept {
    new (candidate_++) hook_entry{hook.erased.run, hook.object_to_run(), &hook};
    list_->has_ends |= hook.erased.returns_end;
    list_->only_start_hooks &= !hook.erased.returns_end;
}

EXTENSIBLE_FUNCTION hook_list* hook_list::writer::finish() noexcept {
    begin_phases(phase_count);
    new (entry_) hook_entry{};
    return list_;
}

void hook_list::free(hook_list* list) noexcept {
    // Relaxed: nobody else has the list any more.
    const ref<change_step> step(ref<change_step>::adopted{list->step.load(std::memory_order_relaxed)});
    list->~hook_list();
    ::operator delete(list);
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
