#pragma once

// How is an object kept usable before main has begun and after it has returned?

#include <extensible/detail/platform/compiler.hpp>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A T in static storage that is never destroyed, for use before main and after it has returned.
template <class T>
union never_destroyed {
    T value;

    template <class... A>
    constexpr explicit never_destroyed(A&&... from) noexcept : value(static_cast<A&&>(from)...) {}
    ~never_destroyed() {}
};

}}}  // namespace ext::detail
