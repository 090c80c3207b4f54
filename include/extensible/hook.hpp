#pragma once

// What can be said when a hook is registered, and what can be done with it afterwards?

#include <extensible/call.hpp>
#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/signature.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext {

/// Ids of hooks: `"one"`, or `{"one", "another"}`.
class hook_ids : public std::vector<std::string> {
public:
    using std::vector<std::string>::vector;
    hook_ids(const char* id) : vector{std::string(id)} {}     
    hook_ids(std::string id) : vector{std::move(id)} {}       
    hook_ids(std::string_view id) : vector{std::string(id)} {}
};

/// How a hook is registered: `{.id = "vault", .priority = 10, .before = "dotenv"}`. All of it may be left out; what is
/// given stands in this order, as C++ has it.
struct hook_options {
    /// A name for the hook, one of a kind in its function and phase. Empty: none.
    std::string id{};

    /// Smaller runs first; hooks of one priority run in the order of their registration. Not given: 0.
    std::optional<int> priority{};

    /// Hooks of the same function and phase that this one runs before or after, whether or not they are registered yet.
    /// They move this hook, only as far as needed, and not the others.
    hook_ids before{};
    hook_ids after{};

    /// Takes the place of the hook that has this id, in one step: its rank, and its priority, `before` and `after` where
    /// they are not given here. Without such a hook it is an ordinary registration.
    bool replace = false;
};

class hook;

namespace detail {

// What a hook is handed: the call itself, or with the names of a function's parameters.
template <class Signature, class Parameters>
struct handed {
    static named_call<Signature, Parameters> from(void* call) { return {*static_cast<ext::call<Signature>*>(call)}; }
};
template <class Signature>
struct handed<Signature, parameters<>> {
    static ext::call<Signature>& from(void* call) { return *static_cast<ext::call<Signature>*>(call); }
};

/// A record of the hook, not registered yet. `function` is for the text of an error.
template <class Signature, class Parameters, class Hook>
ref<hook_record> make_hook(phase when, std::string_view function, Hook&& hook, hook_options& options) {
    using stored = std::decay_t<Hook>;
    using call = handed<Signature, Parameters>;
    constexpr bool takes_the_call = std::is_invocable_v<stored&, decltype(call::from(nullptr))&>;
    static_assert(takes_the_call,
                  "ext: a hook must be callable with the call of its function, as in [](auto& call) { ... } or "
                  "[](ext::call<R(A...)>& call) { ... } with exactly the function's signature");
    if constexpr (takes_the_call) {
        if (is_null(hook))
            throw error(std::string(function) + ": " + (when == phase::end ? "an " : "a ") + std::string(name_of(when)) +
                        " hook was expected, an empty one was given: a null pointer or an empty std::function");
        ref<hook_record> record(new hook_record);
        record->signature = &identity_of<Signature>();
        record->when = when;
        record->id = std::move(options.id);
        record->before = std::move(options.before);
        record->after = std::move(options.after);
        record->erased = {new stored(std::forward<Hook>(hook)),
                          [](void* object, void* erased_call) {
                              auto&& handed_over = call::from(erased_call);
                              static_cast<void>(std::invoke(*static_cast<stored*>(object), handed_over));
                          },
                          [](void* object) noexcept { delete static_cast<stored*>(object); }};
        return record;
    } else {
        return {};
    }
}

}  // namespace detail

/// A handle to a registered hook: small, copyable, and not its owner; dropping it keeps the hook. Everything may be called
/// at any time from any thread, also from inside the hook, and after the hook, the function or the registry is gone; it
/// then does nothing. A default-constructed handle refers to no hook.
class hook {
public:
    hook() noexcept = default;

    /// Calls that begin from now on do not run the hook; it cannot be enabled again. Returns at once: calls that began
    /// before may still run it. What it captured is destroyed when the last of them has left. May throw std::bad_alloc,
    /// and then nothing has changed.
    void remove() {
        if (record_) detail::remove(record_);
    }

    /// As remove(), and returns only when no other thread is inside a call that can still run the hook, and what it
    /// captured is destroyed. Does not wait for calls that this thread is inside of itself. Where two threads wait in
    /// this way for each other's calls, one of them is let through.
    void remove_and_wait() {
        if (!record_) return;
        detail::remove(record_);
        detail::hazards().wait_until_unused(*record_);
    }

    /// From the next call on the hook runs again, in its old place. Nothing where it is enabled or has been removed.
    void enable() {
        if (record_) detail::set_enabled(record_, true);
    }

    /// From the next call on the hook does not run.
    void disable() {
        if (record_) detail::set_enabled(record_, false);
    }

    /// Whether the hook is registered and enabled. Its function may be one that nobody has wrapped yet.
    bool active() const { return record_ && detail::is_active(record_); }

    /// Whether both refer to one hook.
    friend bool operator==(const hook&, const hook&) = default;

    /// Library use: refers to a registered hook.
    explicit hook(detail::ref<detail::hook_record> record) noexcept : record_(std::move(record)) {}

private:
    detail::ref<detail::hook_record> record_;
};

/// Owns a registration: removes the hook in its destructor, or when it is given another one. Movable.
/// The destructor does not wait for calls on other threads; where the hook captured references to what goes out of scope
/// next, call `get().remove_and_wait()` first.
class scoped_hook {
public:
    scoped_hook() noexcept = default;
    scoped_hook(ext::hook owned) noexcept : hook_(std::move(owned)) {}
    scoped_hook(scoped_hook&& other) noexcept : hook_(other.release()) {}
    scoped_hook& operator=(scoped_hook&& other) noexcept {
        if (this != &other) {
            hook_.remove();
            hook_ = other.release();
        }
        return *this;
    }
    ~scoped_hook() { hook_.remove(); }

    /// The handle; the registration stays owned.
    const ext::hook& get() const noexcept { return hook_; }
    ext::hook& get() noexcept { return hook_; }

    /// Gives up ownership: the hook stays.
    ext::hook release() noexcept { return std::exchange(hook_, {}); }

private:
    ext::hook hook_;
};

}  // namespace ext
