#pragma once

// Which type is it, in any module? See type_name.hpp for names that are not unique.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/spelling.hpp>
#include <extensible/detail/types/type_name.hpp>

#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Tells types apart. Each type has one identity in a module; identities of two modules are compared by name.
struct type_identity {
    std::string_view name;
    const void* local;             // not null if another module's type of this name is another one: unnamed namespaces, lambdas
    const void* module = nullptr;  // the address of something that each module has one of

    friend constexpr bool operator==(const type_identity& a, const type_identity& b) noexcept {
        if (a.module && a.module == b.module) return &a == &b;
        return a.local == b.local && a.name == b.name;
    }
};

/// The one identity of T, in static storage of the module that asks. Not to be copied: its address counts.
template <class T>
constexpr const type_identity& identity_of() noexcept;

// What is in the name of a type that no other module has: of an unnamed namespace or a function, or without a name of its own.
EXTENSIBLE_HIDDEN inline constexpr std::string_view local_marks[] = {
    ")::", "'::", "<lambda(", "(lambda at", "<unnamed ", "(unnamed at", "(anonymous at"};

constexpr bool is_local(std::string_view name) noexcept {
    for (; !name.empty(); name.remove_prefix(1))
        if (!is_of_word(name[0]))
            for (std::string_view mark : local_marks)
                if (begins_with(name, mark)) return true;
    return false;
}

// Hidden on purpose, as identities are: each module has its own.
EXTENSIBLE_HIDDEN inline constexpr char this_module = 0;

template <class T>
EXTENSIBLE_HIDDEN inline constexpr type_identity stored_identity{
    type_name<T>(), is_local(type_name<T>()) ? stored_name<T>.text : nullptr, &this_module};

template <class T>
constexpr const type_identity& identity_of() noexcept {
    return stored_identity<T>;
}

}}}  // namespace ext::detail
