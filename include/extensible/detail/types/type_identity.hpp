#pragma once

// Are two types the same, even if they come from different modules?
//
// What must stay true (tests/type_name.cpp):
// 1. In one module, types are the same if their identities have one address, whatever their names.
// 2. In two modules, types are the same if their names are, except for types that exist in one module
//    only, such as lambdas and classes in unnamed namespaces.
// 3. No comparison depends on the address of a type_info or of a function.
//
// Not here: the names, and which of them are not unique: type_name.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/spelling.hpp>
#include <extensible/detail/types/type_name.hpp>

#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Identifies a type. Each module has one identity for each type: identity_of<T>().
struct type_identity {
    std::string_view name;
    const void* local;  // null, unless the type exists in this module only: then an address in this module
    const void* module = nullptr;  // the address of the module's `this_module`

    friend constexpr bool operator==(const type_identity& a, const type_identity& b) noexcept {
        if (a.module && a.module == b.module) return &a == &b;
        return a.local == b.local && a.name == b.name;
    }
};

/// Returns the identity of T, in static storage of the calling module. Do not copy it: comparisons use
/// its address.
template <class T>
constexpr const type_identity& identity_of() noexcept;

// The name of a type contains one of these if no other module can have the type: it is in an unnamed
// namespace or a function, or has no name itself.
EXTENSIBLE_HIDDEN inline constexpr std::string_view local_marks[] = {
    ")::", "'::", "<lambda(", "(lambda at", "<unnamed ", "(unnamed at", "(anonymous at"};

constexpr bool is_local(std::string_view name) noexcept {
    for (; !name.empty(); name.remove_prefix(1))
        if (!is_of_word(name[0]))
            for (std::string_view mark : local_marks)
                if (begins_with(name, mark)) return true;
    return false;
}

// Hidden, as the identities are, so that each module has its own.
EXTENSIBLE_HIDDEN inline constexpr char this_module = 0;

template <class T>
EXTENSIBLE_HIDDEN inline constexpr type_identity stored_identity{
    type_name<T>(), is_local(type_name<T>()) ? stored_name<T>.text : nullptr, &this_module};

template <class T>
constexpr const type_identity& identity_of() noexcept {
    return stored_identity<T>;
}

}}}  // namespace ext::detail
