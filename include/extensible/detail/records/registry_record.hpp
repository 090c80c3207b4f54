#pragma once

// What is known about a registry: its functions, and the hooks under patterns?

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
    EXTENSIBLE_COLD_FUNCTION function_record* find(std::string_view name) const noexcept;
    EXTENSIBLE_COLD_FUNCTION void add(const ref<function_record>& function);
    EXTENSIBLE_COLD_FUNCTION void erase(function_record& function) noexcept;
    EXTENSIBLE_COLD_FUNCTION void clear() noexcept;
    std::size_t size() const noexcept { return size_; }

    /// Calls `visit` for each function, in any order. That may erase the function from the table, but no other one.
    template <class Visitor>
    EXTENSIBLE_COLD void for_each(Visitor visit) const {
        for (function_record* function : buckets_)
            while (function) visit(*std::exchange(function, function->next_of_bucket));
    }

private:
    EXTENSIBLE_COLD_FUNCTION function_record*& bucket_of(std::string_view name) noexcept;

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
struct registry_record : stamp, reference_counted {
    hazard_domain* const domain;  // of the module that made the registry: all that use it share this one

    // Guarded by the registration lock.
    registry_contents* contents = nullptr;  // made when it is first locked
    std::uint64_t registrations = 0;
    bool sealed = false;
    bool closed = false;  // the ext::registry is gone

    bool watched = false;  // there are monitors

    // The handlers of on_hook_error() and on_hook_run(): hooks of functions that have no name, called from these sites.
    wrapper_site errors, monitors;

    EXTENSIBLE_HIDDEN constexpr explicit registry_record(hazard_domain& shared, std::size_t initial_references = 0) noexcept;
    EXTENSIBLE_COLD_FUNCTION ~registry_record();

    /// Itself. Throws incompatible_module unless its stamp is that of the module that asks; before that nothing else is read.
    EXTENSIBLE_HIDDEN registry_record& checked();
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// The records' constructors and destructors are here, where all that they refer to is complete.
hook_group::hook_group(hook_record* only) noexcept : only_hook(only) {}
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

#endif

}}}  // namespace ext::detail
