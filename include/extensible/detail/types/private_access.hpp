#pragma once

// How does the library reach the private members of its public classes?

#include <extensible/detail/platform/compiler.hpp>

#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Accesses private members of public classes, which declare it as a friend.
struct private_access {
    template <class T, class... A>
    static constexpr T make(A&&... args) {
        return T(std::forward<A>(args)...);
    }
    EXTENSIBLE_HIDDEN static constexpr auto& record(auto& owner) { return owner.record(); }
    EXTENSIBLE_HIDDEN static auto& slot(auto& library) { return library.slot_; }
    static constexpr auto& site(auto& wrapper) { return wrapper.site_; }
    static constexpr auto& operations(auto& call) { return call.operations(); }
    static constexpr auto& finishers(auto& call) { return call.finishers_; }
    static constexpr auto& place(auto& proceed) { return proceed.place_; }
    /// Returns true if the result was written since the last call of this function.
    static constexpr bool take_mark(auto& result) noexcept { return std::exchange(result.mark_.written, false); }
    template <class Proceed>
    static auto run(const auto& call, const auto& hook) {
        return Proceed::run(call, hook);
    }
};

}}}  // namespace ext::detail
