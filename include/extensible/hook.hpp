#pragma once

// ext::hook and ext::scoped_hook: handles to registered hooks, to remove, disable and enable them.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/types/private_access.hpp>

#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

/// A handle to a registered hook. It is small and copyable, and does not own the hook: dropping the
/// handle does not remove the hook.
///
/// Any thread may use a handle at any time, even inside the hook. If the hook is removed, or its
/// registry is gone, the members change nothing. Members that change something may throw
/// std::bad_alloc; then nothing has changed.
class hook {
public:
    /// Creates a handle that refers to no hook. Its members do nothing.
    hook() noexcept = default;

    /// Removes the hook: calls that begin from now on do not run it, and it cannot be enabled
    /// again. Does not wait for calls; those that began earlier may still run the hook. Its captures are
    /// destroyed when the last of those calls has ended, by this thread, that of a call, or another
    /// thread that changes the registry.
    void remove() const { detail::remove(record_); }

    /// Removes the hook. Waits until its captures are destroyed and no other thread is inside a
    /// call that can still run it. Does not wait for calls that this thread itself is in.
    ///
    /// If several threads wait for each other's calls in a cycle, at least one of them returns early
    /// to break it. After an early return, or inside such a call, the captures may still exist.
    /// Cycles that span registries created by different modules (the program, shared libraries) are
    /// not detected.
    void remove_and_wait() const { detail::remove_and_wait(record_); }

    /// Enables the hook: from the next call on it runs again, in its old position, unless its plugin
    /// is disabled. Has no effect if
    /// the hook is enabled or removed already.
    void enable() const { detail::set_enabled(record_, true); }

    /// Disables the hook: from the next call on it does not run. Has no effect if the hook is
    /// disabled or removed already.
    void disable() const { detail::set_enabled(record_, false); }

    /// Returns true if the hook is registered, and both the hook and its plugin are enabled, even
    /// if no code has wrapped its function yet.
    bool active() const { return detail::is_active(record_); }

    /// Returns true if both handles refer to the same hook.
    friend bool operator==(const hook&, const hook&) = default;

private:
    friend detail::private_access;
    explicit hook(detail::ref<detail::hook_record> record) noexcept : record_(std::move(record)) {}

    detail::ref<detail::hook_record> record_;
};

/// Owns a registration: removes the hook in its destructor, and when another hook is assigned to
/// it. Movable, not copyable.
///
/// The destructor does not wait for calls on other threads: if the hook captures references to
/// locals, call `get().remove_and_wait()` before they go out of scope. If there is not enough
/// memory to remove the hook, the program ends.
///
///     ext::scoped_hook stub = charge.on_start([](auto& call) { call.result = true; });
class [[nodiscard("the hook is removed where its ext::scoped_hook is destroyed: give it a name")]] scoped_hook {
public:
    /// Creates an object that owns no hook.
    scoped_hook() noexcept = default;

    /// Takes ownership of `owned`, the handle that a registration returned.
    [[nodiscard("the hook is removed where its ext::scoped_hook is destroyed: give it a name")]]
    scoped_hook(ext::hook owned) noexcept : hook_(std::move(owned)) {}

    /// Takes over the hook of `other`, which then owns none.
    scoped_hook(scoped_hook&& other) noexcept : hook_(other.release()) {}

    /// Removes the hook that is owned, then takes over the hook of `other`.
    scoped_hook& operator=(scoped_hook&& other) noexcept {
        if (this != &other) {
            reset();
            hook_ = other.release();
        }
        return *this;
    }

    /// Removes the hook, without waiting for calls on other threads.
    ~scoped_hook() { reset(); }

    /// Removes the hook now, as the destructor does. If there is not enough memory, the program
    /// ends.
    void reset() noexcept { release().remove(); }

    /// Returns the handle, and keeps ownership. To wait for other threads, call
    /// `get().remove_and_wait()`.
    const ext::hook& get() const noexcept { return hook_; }

    /// Returns the handle, and gives up ownership: the hook remains registered.
    ext::hook release() noexcept { return std::exchange(hook_, {}); }

private:
    ext::hook hook_;
};

}}  // namespace ext
