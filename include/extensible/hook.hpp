#pragma once

// What can be done with a hook once it is registered?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/config.hpp>

#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

/// A handle to a registered hook: small, copyable, and not its owner; dropping it keeps the hook. Everything may be called
/// at any time from any thread, also from inside the hook, and after the hook, the function or the registry is gone; it
/// then does nothing. A default-constructed handle refers to no hook.
class hook {
public:
    hook() noexcept = default;

    /// Calls that begin from now on do not run the hook; it cannot be enabled again. Returns at once: calls that began
    /// before may still run it. What it captured is destroyed when the last of them has left. May throw std::bad_alloc,
    /// and then nothing has changed.
    void remove() const { detail::remove(record_); }

    /// As remove(), and returns only when no other thread is inside a call that can still run the hook, and what it
    /// captured is destroyed. Does not wait for calls that this thread is inside of itself. Where threads wait in this way
    /// for each other's calls, in a circle, one of them is let through; but not where the functions are in registries that different
    /// modules (the program, shared libraries) have made.
    void remove_and_wait() const { detail::remove_and_wait(record_); }

    /// From the next call on the hook runs again, in its old place. No effect if it is enabled or removed already.
    void enable() const { detail::set_enabled(record_, true); }

    /// From the next call on the hook does not run. No effect if it is disabled or removed already.
    void disable() const { detail::set_enabled(record_, false); }

    /// Whether the hook is registered and enabled. Its function may be one that nobody has wrapped yet.
    bool active() const { return detail::is_active(record_); }

    /// Whether both refer to one hook.
    friend bool operator==(const hook&, const hook&) = default;

private:
    friend detail::access;
    explicit hook(detail::ref<detail::hook_record> record) noexcept : record_(std::move(record)) {}

    detail::ref<detail::hook_record> record_;
};

/// Owns a registration: removes the hook in its destructor, or when it is given another one. Movable.
/// The destructor does not wait for calls on other threads; where the hook captured references to what goes out of scope
/// next, call `get().remove_and_wait()` first. It ends the program where there is no memory to remove the hook.
class [[nodiscard("the hook is removed where its ext::scoped_hook is destroyed: give it a name")]] scoped_hook {
public:
    scoped_hook() noexcept = default;
    [[nodiscard("the hook is removed where its ext::scoped_hook is destroyed: give it a name")]]
    scoped_hook(ext::hook owned) noexcept : hook_(std::move(owned)) {}
    scoped_hook(scoped_hook&& other) noexcept : hook_(other.release()) {}
    scoped_hook& operator=(scoped_hook&& other) noexcept {
        if (this != &other) {
            reset();
            hook_ = other.release();
        }
        return *this;
    }
    ~scoped_hook() { reset(); }

    /// Removes the hook now. As the destructor it ends the program where there is no memory for that.
    void reset() noexcept { release().remove(); }

    /// The handle; the registration stays owned.
    const ext::hook& get() const noexcept { return hook_; }

    /// Gives up ownership: the hook stays.
    ext::hook release() noexcept { return std::exchange(hook_, {}); }

private:
    ext::hook hook_;
};

}  // namespace ext::inline EXTENSIBLE_ABI
