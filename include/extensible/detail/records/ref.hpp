#pragma once

// Who owns a record? Its refs do: a record counts them, and the last one deletes it.
//
// What must stay true: everything that an owner did with an object happens before another owner
// deletes it (tests/explorer, scenario "handles").
//
// Not here: who can still run a hook. See `holders` in hook_record.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>

#include <cstddef>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// The base class of the objects that a `ref` can own.
struct reference_counted {
    // The number of refs, and of references that a ref gave up with release(). Any thread changes
    // it, without a lock. It starts at 1 in objects of static storage, which are never deleted.
    atomic<std::size_t> references;

    constexpr explicit reference_counted(std::size_t initially = 0) noexcept : references(initially) {}
};

/// An intrusive pointer that shares ownership of a T, a class derived from reference_counted. Unlike
/// a std::shared_ptr, it holds no pointer to code of the module that created the object. So a shared
/// library can be closed while objects that it created live on.
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
        // Release: what this owner did happens before the object is deleted. Acquire: the last owner
        // sees what all others did. Both pair with this same access by the other owners.
        if (object_ && object_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete object_;
    }

    /// Takes over a reference that is counted already, for example one that release() gave up.
    struct adopted {
        T* object;
    };
    constexpr explicit ref(adopted counted) noexcept : object_(counted.object) {}

    /// Gives up the reference, which remains counted until another ref takes it over.
    T* release() noexcept { return std::exchange(object_, nullptr); }

    T* get() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }
    friend bool operator==(const ref&, const ref&) = default;

private:
    void retain() noexcept {
        // Relaxed: the caller keeps the object alive meanwhile, so only the number matters.
        if (object_) object_->references.fetch_add(1, std::memory_order_relaxed);
    }

    T* object_ = nullptr;
};
template <class T>
ref(T*) -> ref<T>;

}}}  // namespace ext::detail
