#pragma once

// Who owns a record? Records are counted intrusively.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>

#include <cstddef>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Base of what `ref` counts.
struct reference_counted {
    atomic<std::size_t> references;

    constexpr explicit reference_counted(std::size_t initially = 0) noexcept : references(initially) {}
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

}}}  // namespace ext::detail
