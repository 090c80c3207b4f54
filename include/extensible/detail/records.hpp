#pragma once

// What does the library know of hooks, functions and registries? The records behind handles, plugins, names and wrappers, the
// stamp that modules compare before they share any of it, and the list of hooks that a call runs.
//
// Records are shared by all modules of the process that use a registry, and outlive modules that are unloaded. So they refer to
// no code and no static storage of a module, except where a comment says so, and have no virtual functions.

#include <extensible/detail/config.hpp>
#include <extensible/detail/system.hpp>
#include <extensible/detail/type_name.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>

#include <compare>
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
    run_hook* run_guarded;  // for hooks with options, and where monitors watch; its object is the hook_record; null for handlers
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
    // Set before registration, constant from then on.
    ref<function_record> function;  // null for a hook under a pattern
    std::string pattern;            // empty for a hook on one function
    ref<plugin_record> plugin;      // null without one
    const type_identity* signature = nullptr;  // null for any; in the hook's module: not to be used once it is removed
    const type_identity* stage = nullptr;      // what it is awaited as; null for a plain hook; in the hook's module as well
    erased_hook erased{};
    phase when{};
    bool on_object = false;  // registered on the function itself: removed with its last wrapper
    bool isolate = false;
    bool reentrant = true;
    thread_id only_thread = 0;  // 0: any
    std::size_t times = 0;      // 0: without limit
    std::string id;
    int priority = 0;
    std::vector<std::string> before, after;
    std::uint64_t number = 0;   // the order of registration
    bool replaces = false;      // the hook that has its id in the same phase, on the same function or under the same pattern
    bool takes_place = false;   // of that hook in the order; it states none of its own

    atomic<std::size_t> begun{0};  // counted where `times` has a limit

    // Guarded by the registration lock.
    std::uint64_t mark = 0;  // of the change that has looked at it last
    bool runs() const noexcept { return enabled && (!plugin || plugin->enabled); }

    // Guarded by the hazard domain's mutex. Who may still run the hook: the registration; and each function for the time that
    // the hook is in its published list, and from then on in a retired one. Where nobody is left the function object is destroyed.
    std::size_t holders = 0;
    std::uint64_t seen = 0;           // the last search that found it
    thread_id destroyed_by = 0;       // the thread that is destroying the function object
    ref<hook_record> next{};          // in the domain's chain of such hooks

    EXTENSIBLE_FUNCTION explicit hook_record(std::string_view called = {}, std::string_view under = {});
    hook_record(const hook_record&) = delete;
    hook_record& operator=(const hook_record&) = delete;
    EXTENSIBLE_FUNCTION ~hook_record();

    /// Whether the two never run in one call, because one's plugin is about to take the place of the other's.
    bool excludes(const hook_record& other) const noexcept {
        return plugin && other.plugin && (plugin->predecessor == other.plugin || other.plugin->predecessor == plugin);
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

/// The hooks of one function in running order, phase by phase. Guarded by the lock of whoever owns it.
class hook_sequence {
public:
    struct edit;

    hook_sequence() = default;
    hook_sequence(hook_sequence&&) noexcept = default;
    EXTENSIBLE_FUNCTION hook_sequence& operator=(hook_sequence other) noexcept;
    EXTENSIBLE_FUNCTION ~hook_sequence();

    /// Works out what happens when a hook comes, or one of these goes. Throws order_cycle and std::bad_alloc; nothing has changed
    /// then. Quick where it is plain that no other hook moves.
    EXTENSIBLE_FUNCTION edit plan_with(std::string_view function, hook_record& added);
    EXTENSIBLE_FUNCTION edit plan_without(std::string_view function, const hook_record& leaving);
    /// Makes the change, which must be the last one planned. A hook that leaves must still have another owner.
    EXTENSIBLE_FUNCTION void apply(edit& planned) noexcept;

    /// Fills a new sequence: with hooks in any order, which are then put in theirs. Throws as above.
    EXTENSIBLE_FUNCTION void add(hook_record& hook);
    EXTENSIBLE_FUNCTION void arrange(std::string_view function);

    /// The hook that such a one would replace, or be a duplicate of; null where there is none or the id is empty.
    EXTENSIBLE_FUNCTION const hook_record* find_original(const hook_record& like) const noexcept;
    /// The hook that runs in place of this one, of those for which `runs(const hook_record&)` is true; null where none does.
    template <class Predicate>
    EXTENSIBLE_FUNCTION const hook_record* find_replacing(const hook_record& replaced, Predicate runs) const;

    struct iterator {
        const hook_sequence* sequence;
        std::size_t at;
        hook_record& operator*() const noexcept { return (*sequence)[at]; }
        iterator& operator++() noexcept {
            ++at;
            return *this;
        }
        bool operator==(const iterator&) const = default;
    };
    std::size_t size() const noexcept { return order_.size(); }
    bool empty() const noexcept { return order_.empty(); }
    hook_record& operator[](std::size_t at) const noexcept { return *order_[at]->hook; }
    iterator begin() const noexcept { return {this, 0}; }
    iterator end() const noexcept { return {this, size()}; }

private:
    class planning;
    class arrangement;
    struct entry;
    using entries = std::vector<entry*>;
    struct key {  // what hooks are sorted by: their names, or their turns
        phase when{};
        std::string_view id{}, pattern{};
        int counts = 0;    // the priority that it counts with
        int priority = 0;  // its own
        std::uint64_t number = 0;
        std::uint64_t own_number = 0;  // where it takes the place of another, which has the number above
        EXTENSIBLE_FUNCTION bool operator<(const key& other) const noexcept;
    };
    struct namesakes {
        entry *const *first, *const *last;
        entry* const* begin() const noexcept { return first; }
        entry* const* end() const noexcept { return last; }
    };
    struct rank {  // of hooks that count alike
        int priority = 0;
        std::uint64_t number = 0;
        auto operator<=>(const rank&) const = default;
    };
    struct entry {
        EXTENSIBLE_FUNCTION explicit entry(hook_record& of);
        EXTENSIBLE_FUNCTION void set_turn() noexcept;

        ref<hook_record> hook;
        const hook_record* place;             // the hook that states its place in the order: itself, or one that it replaces
        key name;
        key turn{};                           // of the hook in whose turn it was placed: mostly its own
        int raised = 0;                       // the priority that it counts with by its `after` alone
        int counts = 0;                       // the priority that it counts with
        entries runs_after{}, runs_before{};  // the registered hooks whose ids it states
        std::size_t unresolved = 0;           // how many ids it states that no registered hook has
        std::size_t referred = 0;             // how often others state its id

        // Used while all are arranged, and not kept up to date.
        enum { unseen, open, sorted, due, placed } state = unseen;
        entries forerunners{}, followers{};  // those that state that they run before it, or after it
        std::size_t next = 0;                // of those that must run before it; of its followers, once it is placed
        EXTENSIBLE_FUNCTION entry* next_before();
    };

    EXTENSIBLE_FUNCTION static void sort(entries& items, key entry::* by) noexcept;
    EXTENSIBLE_FUNCTION static std::size_t first(const entries& items, key entry::* by, const key& wanted) noexcept;
    EXTENSIBLE_FUNCTION namesakes find(phase when, std::string_view id) const noexcept;
    EXTENSIBLE_FUNCTION edit plan_anew(std::string_view function, hook_record* added, const hook_record* leaving) const;
    EXTENSIBLE_FUNCTION entry& append(hook_record& hook);
    EXTENSIBLE_FUNCTION void resolve(entry& stating) const;

    entries order_;               // owns them
    entries by_name_;             // those with an id, by phase, id, pattern and number
    std::size_t unresolved_ = 0;  // the sum over all
    rank last_{};                 // no hook has a larger one
};

/// A change that has been worked out and not made yet.
struct hook_sequence::edit {
    hook_record* added = nullptr;
    const hook_record* leaving = nullptr;  // one of the two is null, or both
    std::size_t at = 0;                    // the place of the one that leaves before the edit, or of the added one after it
    bool moves_others = false;             // then `anew` is the sequence after the edit, and nothing else is set
    hook_sequence anew{};                  // otherwise it owns the added hook's entry until apply() takes it
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
    hook_sequence hooks;             // disabled ones and those under patterns too
    hook_list* published = nullptr;  // what every site points to

    hook_list* newest_retired = nullptr;  // guarded by the hazard domain's mutex

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

/// The names of a registry, guarded by the registration lock.
struct registry_contents {
    std::vector<ref<function_record>> functions;  // in the order of their names
    hook_sequence patterns;                       // hooks under patterns
};

/// What an ext::registry owns. Shared by its functions and handles, which may outlive it. The stamp comes first. It can be
/// constant-initialized, whatever the standard library's containers can.
struct registry_record : stamp, counted {
    hazard_domain* const domain;  // of the module that made the registry: all that use it share this one

    // Guarded by the registration lock.
    registry_contents* contents = nullptr;  // made when it is first locked
    std::uint64_t registrations = 0;
    std::uint64_t marks = 0;  // the last one given to a hook_record
    bool sealed = false;
    bool closed = false;  // the ext::registry is gone

    bool watched = false;  // there are monitors

    // The handlers of on_hook_error() and on_hook_run(): hooks of functions that have no name, called from these sites.
    site errors, monitors;

    EXTENSIBLE_HIDDEN constexpr explicit registry_record(hazard_domain& shared, std::size_t initial_references = 0) noexcept;
    EXTENSIBLE_FUNCTION ~registry_record();

    /// Itself. Throws incompatible_module unless its stamp is that of the module that asks; before that nothing else is read.
    EXTENSIBLE_FUNCTION registry_record& checked();
};

// ---- What a call runs -----------------------------------------------------------------------------------------------

/// One hook as a call sees it.
struct hook_entry {
    run_hook* run;  // null in the entry behind the last of a phase
    void* object;   // what `run` is handed
    hook_record* record;

    // A hook that is awaited is guarded where that is done.
    static hook_entry of(hook_record& hook, bool watched) noexcept {
        const bool guarded = watched || hook.isolate || !hook.reentrant || hook.only_thread != 0 || hook.times != 0;
        if (guarded && hook.erased.run_guarded && !hook.stage) return {hook.erased.run_guarded, &hook, &hook};
        return {hook.erased.run, hook.object_to_run(), &hook};
    }
};

/// A change of several functions' hooks, which takes place in one step for all calls that begin afterwards.
struct change_step : counted {
    atomic<bool> happened{false};
};

/// A hook in a chain, which owns it.
struct hook_link {
    ref<hook_record> hook;
    hook_link* next;
};
EXTENSIBLE_FUNCTION void free_chain(hook_link* first) noexcept;

/// The enabled hooks of a function in running order, phase by phase: what one call runs. Never changed once it is published.
/// Who replaces it retires it to the hazard domain, which destroys it when no call holds it.
struct hook_list {
    const ref<function_record> function;
    const std::string_view name;             // the function's
    std::size_t size = 0;                    // the number of hooks
    const hook_entry* first[phase_count]{};  // of each phase; the entry behind the last of a phase has no `run`
    std::size_t ends = 0;                    // how many of them return the end of their call
    const bool watched;                      // by monitors
    bool only_start_hooks = true;            // and `ends` is 0

    // Calls that hold the list without a hazard slot, each counted as `one_call`. And whether the last of them looks after it.
    static constexpr std::size_t left_to_calls = 1, one_call = 2;
    mutable atomic<std::size_t> calls{0};

    // Once this step has happened, no call begins with this list, but with `successor`. Null while no step is under way.
    atomic<change_step*> step{nullptr};
    hook_list* successor = nullptr;  // set before `step`; used only while this list is still published

    // Guarded by the hazard domain's mutex, from when it is retired on. The list is a holder of the hooks that it has and its
    // successor has not.
    hook_link* dropped = nullptr;
    hook_list *older = nullptr, *newer = nullptr;   // the function's other retired lists
    hook_list *next = nullptr, *previous = nullptr;  // of the same state in the domain
    bool in_slot = false;                            // at the last look

    /// Makes a list: its hooks are added in running order, at most as many as there is room for.
    class writer {
    public:
        EXTENSIBLE_FUNCTION writer(function_record& function, std::size_t room, bool watched);
        EXTENSIBLE_FUNCTION void add(hook_record& hook) noexcept;
        EXTENSIBLE_FUNCTION hook_list* finish() noexcept;

    private:
        hook_list* list_;
        hook_entry* at_;
        std::size_t phase_ = 0;
    };

    /// Copies: with a hook directly behind `before`, or as the first of its phase if that is null; without a hook.
    EXTENSIBLE_FUNCTION hook_list* copy_with(hook_record& added, const hook_record* before) const;
    EXTENSIBLE_FUNCTION hook_list* copy_without(const hook_record& leaving) const;

    EXTENSIBLE_FUNCTION static void free(hook_list* list) noexcept;

    const hook_entry* begin(phase when) const noexcept { return first[static_cast<std::size_t>(when)]; }
    const hook_entry* begin() const noexcept { return std::launder(reinterpret_cast<const hook_entry*>(this + 1)); }

    /// Calls `visit` for the entries of all phases, in running order, until it returns true; tells whether it has.
    template <class Visitor>
    bool any_of(Visitor visit) const {
        for (const hook_entry* entry : first)
            for (; entry->run; ++entry)
                if (visit(*entry)) return true;
        return false;
    }

    /// Whether it has a hook of the group.
    bool contains(const hook_group& hooks) const noexcept {
        return any_of([&](const hook_entry& entry) { return hooks.has(*entry.record); });
    }

private:
    hook_list(function_record& of, bool is_watched) noexcept : function(&of), name(of.name), watched(is_watched) {}
    ~hook_list() = default;

    EXTENSIBLE_FUNCTION static hook_list* allocate(function_record& function, std::size_t room, bool watched);
    EXTENSIBLE_FUNCTION hook_list* copy(const hook_entry* left, hook_record* between, const hook_entry* right) const;
    EXTENSIBLE_FUNCTION void find_phases() noexcept;
    hook_entry* entries() noexcept { return reinterpret_cast<hook_entry*>(this + 1); }
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_FUNCTION void free_chain(hook_link* first) noexcept {
    while (first) delete std::exchange(first, first->next);
}

// The records' constructors and destructors are here, where all that they refer to is complete.
EXTENSIBLE_FUNCTION hook_group::~hook_group() = default;
EXTENSIBLE_FUNCTION plugin_record::plugin_record(registry_record& home, std::string_view called, bool isolates,
                                                 bool is_reentrant)
    : hook_group(nullptr), name(called), isolate(isolates), reentrant(is_reentrant) {
    registry = ref(&home);
    registered = true;
}
EXTENSIBLE_FUNCTION plugin_record::~plugin_record() = default;
EXTENSIBLE_FUNCTION hook_record::hook_record(std::string_view called, std::string_view under)
    : hook_group(this), pattern(under), id(called) {}
EXTENSIBLE_FUNCTION hook_record::~hook_record() { destroy_object(); }  // one that was never registered has its object still
EXTENSIBLE_FUNCTION hook_sequence::~hook_sequence() {
    for (entry* e : order_) delete e;
}
EXTENSIBLE_FUNCTION function_record::function_record(std::string_view called, const ref<registry_record>& home)
    : name(called), registry(home) {}
EXTENSIBLE_FUNCTION function_record::~function_record() = default;
EXTENSIBLE_FUNCTION registry_record::~registry_record() { delete contents; }

EXTENSIBLE_FUNCTION bool function_record::is_wanted() const noexcept {
    if (sites) return true;
    for (const hook_record& hook : hooks)
        if (hook.function) return true;
    return false;
}

// A list that has room for so many hooks. The sizes are few: each list replaces one that is a little shorter or longer, so its memory
// can be used again.
EXTENSIBLE_FUNCTION hook_list* hook_list::allocate(function_record& function, std::size_t room, bool watched) {
    static_assert(sizeof(hook_list) % alignof(hook_entry) == 0);
    std::size_t step = 1;
    while (step * 8 < room) step *= 2;
    const std::size_t capacity = (room / step + 1) * step + phase_count;
    void* const memory = ::operator new(sizeof(hook_list) + capacity * sizeof(hook_entry));
    return new (memory) hook_list(function, watched);
}

EXTENSIBLE_FUNCTION hook_list::writer::writer(function_record& function, std::size_t room, bool watched)
    : list_(allocate(function, room, watched)), at_(list_->entries()) {}

EXTENSIBLE_FUNCTION void hook_list::writer::add(hook_record& hook) noexcept {
    for (; phase_ != static_cast<std::size_t>(hook.when); ++phase_) new (at_++) hook_entry{};
    new (at_++) hook_entry(hook_entry::of(hook, list_->watched));
    ++list_->size;
    list_->ends += hook.erased.returns_end;
}

EXTENSIBLE_FUNCTION hook_list* hook_list::writer::finish() noexcept {
    for (; phase_ != phase_count; ++phase_) new (at_++) hook_entry{};
    list_->find_phases();
    return list_;
}

EXTENSIBLE_FUNCTION hook_list* hook_list::copy_with(hook_record& added, const hook_record* before) const {
    const hook_entry* place = begin(added.when);
    if (before && before->when == added.when) while (place++->record != before) {}
    return copy(place, &added, place);
}

EXTENSIBLE_FUNCTION hook_list* hook_list::copy_without(const hook_record& leaving) const {
    const hook_entry* place = begin(leaving.when);
    while (place->record != &leaving) ++place;
    return copy(place, nullptr, place + 1);
}

// The entries up to `left`, one of the hook between if that is not null, and the entries from `right` on.
EXTENSIBLE_FUNCTION hook_list* hook_list::copy(const hook_entry* left, hook_record* between, const hook_entry* right) const {
    const std::size_t count = size - static_cast<std::size_t>(right - left) + (between != nullptr);
    hook_list* const list = allocate(*function, count, watched);
    hook_entry* at = list->entries();
    list->size = count;
    list->ends = ends;
    for (const hook_entry* entry = begin(); entry != left; ++entry) new (at++) hook_entry(*entry);
    if (between) {
        new (at++) hook_entry(hook_entry::of(*between, watched));
        list->ends += between->erased.returns_end;
    }
    for (const hook_entry* gone = left; gone != right; ++gone) list->ends -= gone->record->erased.returns_end;
    for (const hook_entry* entry = right; entry != begin() + size + phase_count; ++entry) new (at++) hook_entry(*entry);
    list->find_phases();
    return list;
}

EXTENSIBLE_FUNCTION void hook_list::find_phases() noexcept {
    const hook_entry* at = entries();
    for (const hook_entry*& of_phase : first) {
        of_phase = at;
        while (at++->run) {}
    }
    only_start_hooks = !begin(phase::around)->run && !begin(phase::end)->run && ends == 0;
}

EXTENSIBLE_FUNCTION void hook_list::free(hook_list* list) noexcept {
    free_chain(list->dropped);
    // Relaxed: nobody else has the list any more.
    const ref<change_step> step(ref<change_step>::adopted{list->step.load(std::memory_order_relaxed)});
    list->~hook_list();
    ::operator delete(list);
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
