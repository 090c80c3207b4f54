#pragma once

// What is known about a registry: its functions, and the hooks under patterns?
//
// What must stay true:
// 1. The stamp comes first in every version of the library, and its size never changes. Code reads the
//    other members only after it has compared the stamp with its own: see checked() (tests/stamp).
// 2. A registry_record can be constant-initialized with any standard library, so the default registry
//    exists before any code runs (tests/programs/around_main.cpp).
//
// Not here: the operations of a registry: registry/locked_registry.hpp. How stamps are made and
// compared: stamp.hpp in the folder above.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

class hazard_domain;

/// What a module was compiled with, as text: the version of the library, the standard library, and a
/// hash of the layouts of the types that modules share. See make_stamp().
struct stamp {
    char text[256];
};

/// The functions of a registry by name: a hash table, which owns a reference to each function. Adding,
/// finding and erasing a function take constant time on average.
class function_table {
public:
    function_table() noexcept = default;
    function_table(const function_table&) = delete;
    function_table& operator=(const function_table&) = delete;
    ~function_table() { clear(); }

    /// Returns null if no function has this name.
    EXTENSIBLE_COLD_FUNCTION function_record* find(std::string_view name) const noexcept;
    /// Adds a function whose name is not in the table. If std::bad_alloc is thrown, nothing has changed.
    EXTENSIBLE_COLD_FUNCTION void add(const ref<function_record>& function);
    /// Erases a function that is in the table.
    EXTENSIBLE_COLD_FUNCTION void erase(function_record& function) noexcept;
    EXTENSIBLE_COLD_FUNCTION void clear() noexcept;
    std::size_t size() const noexcept { return size_; }

    /// Calls `visit` for each function, in any order. `visit` may erase this function from the table, but
    /// not others.
    template <class Visitor>
    EXTENSIBLE_COLD void for_each(Visitor visit) const {
        for (function_record* function : buckets_)
            while (function) visit(*std::exchange(function, function->next_of_bucket));
    }

private:
    EXTENSIBLE_COLD_FUNCTION function_record*& bucket_of(std::string_view name) noexcept;

    // The first function of each bucket. There are at least as many buckets as functions.
    array<function_record*> buckets_;
    std::size_t size_ = 0;
};

/// The names of a registry. Guarded by the registration lock.
struct registry_contents {
    function_table functions;
    hook_order patterns;  // the hooks under patterns, in running order
};

/// What an ext::registry owns. Its functions, hooks and plugins share it, and may outlive the
/// ext::registry.
struct registry_record : stamp, reference_counted {
    // The domain of the module that created the registry. All modules that use the registry use this
    // domain. It has the registration lock.
    hazard_domain* const domain;

    // Guarded by the registration lock.
    registry_contents* contents = nullptr;  // owned; null until a locked_registry first locks the registry
    std::uint64_t registrations = 0;        // the hook_record::number of the latest hook
    bool sealed = false;
    bool closed = false;   // the ext::registry is destroyed
    bool watched = false;  // there are monitors, even if all are disabled

    // The handlers of on_hook_error() and the monitors of on_hook_run() are hooks of two functions that
    // are not in `contents`. These sites stand for their wrappers.
    wrapper_site errors, monitors;

    EXTENSIBLE_HIDDEN constexpr explicit registry_record(hazard_domain& shared,
                                                         std::size_t initial_references = 0) noexcept;
    EXTENSIBLE_COLD_FUNCTION ~registry_record();

    /// Returns this record. Throws incompatible_module if its stamp does not match that of the calling
    /// module; then nothing but the stamp has been read.
    EXTENSIBLE_HIDDEN registry_record& checked();
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// The constructors and destructors of all records are here because they need complete types, and the
// records refer to each other. Only registry_record's constructor, which needs make_stamp(), is in
// stamp.hpp.
hook_group::hook_group(hook_record* only) noexcept : only_hook(only) {}
hook_group::~hook_group() = default;
plugin_record::plugin_record(registry_record& home, std::string_view called, bool isolates, bool is_reentrant)
    : hook_group(nullptr), name(called), isolate(isolates), reentrant(is_reentrant) {
    registry = ref(&home);
    registered = true;
}
plugin_record::~plugin_record() = default;
hook_record::hook_record(std::string_view called, std::string_view under)
    : hook_group(this), pattern(under), id(called) {}
hook_record::~hook_record() { destroy_object(); }  // if the registration failed, the object is still there
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

// The hash function is FNV-1a. std::hash would need <functional>, which is slow to compile.
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

#endif

}}}  // namespace ext::detail
