#pragma once

// How can an object be used before main() begins and after it returns?
//
// Checked by tests/programs/around_main.cpp.

#include <extensible/detail/platform/compiler.hpp>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A T that is never destroyed: a union does not destroy its members. In static storage it can be
/// used after main() has returned. If it is constant-initialized, it can also be used before main()
/// begins.
template <class T>
union never_destroyed {
    T value;

    template <class... A>
    constexpr explicit never_destroyed(A&&... from) noexcept : value(static_cast<A&&>(from)...) {}
    ~never_destroyed() {}
};

}}}  // namespace ext::detail
