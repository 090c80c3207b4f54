#pragma once

// How are the hooks of one owner disabled and unloaded together? And how does a shared library bring some?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/make_hook.hpp>
#include <extensible/detail/system.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/registry.hpp>
#include <extensible/wrapper.hpp>

#include <string_view>
#include <type_traits>
#include <utility>

/// Defines the entry point of a plugin in a shared library, which ext::library loads (see library.hpp): once in each library,
/// outside of namespaces. What follows is the body of a function that is handed the library's ext::plugin, to register hooks
/// with:
///
///     EXTENSIBLE_PLUGIN(self) {
///         self.on_start("models.get_api_key", [](ext::call<std::string(std::string_view)>& call) { call.result = "sk"; });
///     }
///
/// A reference to `self` may be kept until the library is unloaded, for hooks that come later. The body may throw: its hooks
/// are then removed, and whoever loads the library gets the text. Exports the function `extensible_plugin`, and what is read
/// before that is called: `extensible_plugin_stamp`, in every version of the library 256 characters that tell what it was
/// compiled with.
#define EXTENSIBLE_PLUGIN(self)                                                                        \
    extern "C" EXTENSIBLE_EXPORT const ::ext::detail::stamp extensible_plugin_stamp;                   \
    constexpr ::ext::detail::stamp extensible_plugin_stamp = ::ext::detail::make_stamp();              \
    extern "C" EXTENSIBLE_EXPORT void extensible_plugin(::ext::plugin&);                               \
    void extensible_plugin([[maybe_unused]] ::ext::plugin& self)  // NOLINT(bugprone-macro-parentheses)

namespace ext::inline EXTENSIBLE_ABI {

/// Defaults for all hooks of a plugin, which each of them may override.
struct plugin_options {
    bool isolate = false;   ///< as hook_options::isolate
    bool reentrant = true;  ///< as hook_options::reentrant
};

/// Owns hooks, which are disabled, enabled and unloaded together: each in one step for all of them, so that no call that
/// begins afterwards runs only some. Any thread may use it at any time, also from inside its hooks. Movable; one that was moved from
/// has no hooks, and throws error where it is to register one.
///
///     ext::plugin openbao{"openbao", {.isolate = true}};
///     openbao.on_start(get_api_key, supply_key, {.id = "openbao"});
class plugin {
public:
    /// A plugin of this name, which need not be the only one, for functions of the default registry or another.
    EXTENSIBLE_HIDDEN explicit plugin(std::string_view name, plugin_options defaults = {})
        : plugin(default_registry(), name, defaults) {}
    EXTENSIBLE_HIDDEN plugin(registry& home, std::string_view name, plugin_options defaults = {})
        : record_(new detail::plugin_record(detail::access::record(home), name, defaults.isolate, defaults.reentrant)) {}

    plugin(plugin&& other) noexcept = default;
    plugin& operator=(plugin&& other) noexcept {
        if (this != &other) {
            unload();
            record_ = std::move(other.record_);
        }
        return *this;
    }

    /// As unload(). Ends the program where there is no memory for that.
    ~plugin() { unload(); }

    /// Registers hooks on a function as its own on_start(), around() and on_end() do. The function must be of the plugin's
    /// registry. Throws error when the plugin has been unloaded.
    template <class Signature, class Function, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN hook on_start(const extensible<Signature, Function, Parameters>& function, Hook&& hook,
                                    const hook_options& options = detail::no_options()) & {
        return add<phase::start, Signature, Parameters>(detail::access::site(function), std::forward<Hook>(hook), options);
    }
    template <class Signature, class Function, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN hook around(const extensible<Signature, Function, Parameters>& function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) & {
        return add<phase::around, Signature, Parameters>(detail::access::site(function), std::forward<Hook>(hook), options);
    }
    template <class Signature, class Function, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN hook on_end(const extensible<Signature, Function, Parameters>& function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) & {
        return add<phase::end, Signature, Parameters>(detail::access::site(function), std::forward<Hook>(hook), options);
    }

    /// Registers hooks by name, or under a pattern, as registry::on_start() and the others do.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_start(std::string_view function, Hook&& hook,
                                    const hook_options& options = detail::no_options()) & {
        return add<phase::start, Signature>(function, std::forward<Hook>(hook), options);
    }
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook around(std::string_view function, Hook&& hook, const hook_options& options = detail::no_options()) & {
        return add<phase::around, Signature>(function, std::forward<Hook>(hook), options);
    }
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_end(std::string_view function, Hook&& hook, const hook_options& options = detail::no_options()) & {
        return add<phase::end, Signature>(function, std::forward<Hook>(hook), options);
    }

    /// Not for a temporary: `ext::plugin{"vault"}.on_start(...)` does not compile, as the hook would be removed at once.
    template <class Signature = void, class Function, class Hook>
    hook on_start(Function&&, Hook&&, const hook_options& = detail::no_options()) && {
        return refuse_temporary<Signature>();
    }
    template <class Signature = void, class Function, class Hook>
    hook around(Function&&, Hook&&, const hook_options& = detail::no_options()) && {
        return refuse_temporary<Signature>();
    }
    template <class Signature = void, class Function, class Hook>
    hook on_end(Function&&, Hook&&, const hook_options& = detail::no_options()) && {
        return refuse_temporary<Signature>();
    }

    /// From the next call on none of its hooks runs. May throw std::bad_alloc, and then nothing has changed.
    void disable() { detail::set_enabled(record_, false); }

    /// From the next call on its hooks run again, but for those that are disabled themselves.
    void enable() { detail::set_enabled(record_, true); }

    /// Removes its hooks, and returns when no other thread is inside a call that can still run one of them and all that
    /// they captured is destroyed: the shared library that they came from may then be closed. Does not wait for calls that
    /// this thread is inside of; those run the hooks to their end. It cannot register hooks afterwards. May throw
    /// std::bad_alloc, and then nothing has changed. No effect if it was moved from.
    void unload() { detail::remove_and_wait(record_); }

    /// As unload(), but waits no longer than `time`, a std::chrono::duration. False when it had to give up: the hooks are removed,
    /// and some may still be running; another unload() waits for them.
    template <class Duration>
        requires requires(const Duration& time) { time.count(), Duration::period::den; }
    [[nodiscard]] bool unload_for(const Duration& time) {
        using period = typename Duration::period;
        constexpr double nanoseconds_per_tick = 1e9 * static_cast<double>(period::num) / static_cast<double>(period::den);
        const detail::time_point until = detail::from_now(static_cast<double>(time.count()) * nanoseconds_per_tick);
        return detail::remove_and_wait(record_, &until);
    }

    /// Its name; empty where it was moved from. Valid as long as the plugin.
    std::string_view name() const noexcept { return record_ ? std::string_view(record_->name) : std::string_view(); }

private:
    friend detail::access;
    explicit plugin(detail::ref<detail::plugin_record> record) noexcept : record_(std::move(record)) {}

    EXTENSIBLE_HIDDEN const detail::ref<detail::plugin_record>& checked() const {
        if (!record_) detail::raise<error>("ext::plugin: this plugin was moved from, no hook can be registered");
        record_->registry->checked();
        return record_;
    }

    template <class Signature>
    static hook refuse_temporary() {
        static_assert(!std::is_same_v<Signature, Signature>,
                      "ext::plugin: this plugin is a temporary, which removes its hooks at the end of the statement; give it a name");
        return {};
    }

    template <phase When, class Signature, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN ext::hook add(const detail::site& function, Hook&& hook, const hook_options& options) {
        return detail::register_hook<When, Signature, Parameters>(function, std::forward<Hook>(hook), options, checked().get());
    }
    template <phase When, class Signature, class Hook>
    EXTENSIBLE_HIDDEN ext::hook add(std::string_view function, Hook&& hook, const hook_options& options) {
        return detail::register_hook<When, Signature>(*checked()->registry, function, std::forward<Hook>(hook), options,
                                                      record_.get());
    }

    detail::ref<detail::plugin_record> record_;
};

}  // namespace ext::inline EXTENSIBLE_ABI
