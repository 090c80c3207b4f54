#pragma once

// ext::plugin: hooks of one owner, which are disabled, enabled and unloaded together.
// EXTENSIBLE_PLUGIN: the entry point of a plugin in a shared library.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/register_hook.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/stamp.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/phase.hpp>
#include <extensible/registry.hpp>
#include <extensible/wrapper.hpp>

#include <string_view>
#include <type_traits>
#include <utility>

/// Defines the entry point of a plugin in a shared library, which ext::library loads (see
/// library.hpp). Use it once in each library, outside of namespaces. The body of a function
/// follows. Its parameter `self` is the library's ext::plugin, with which it registers hooks:
///
///     EXTENSIBLE_PLUGIN(self) {
///         self.on_start("models.get_api_key",
///             [](ext::call<std::string(std::string_view)>& call) { call.result = "sk"; });
///     }
///
/// You may keep a reference to `self` until the library is unloaded, to register more hooks later.
/// If the body throws, its hooks are removed, and the ext::library that loads the plugin throws
/// ext::error with the text of the exception.
///
/// The macro exports the function `extensible_plugin` and the string `extensible_plugin_stamp`,
/// which is checked before the function is called. The string has 256 characters in every version
/// of extensible, and records how the plugin was compiled.
#define EXTENSIBLE_PLUGIN(self)                                                                        \
    extern "C" EXTENSIBLE_EXPORT const ::ext::detail::stamp extensible_plugin_stamp;                   \
    constexpr ::ext::detail::stamp extensible_plugin_stamp = ::ext::detail::make_stamp();              \
    extern "C" EXTENSIBLE_EXPORT void extensible_plugin(::ext::plugin&);                               \
    void extensible_plugin([[maybe_unused]] ::ext::plugin& self)  // NOLINT(bugprone-macro-parentheses)

namespace ext { inline namespace EXTENSIBLE_ABI {

/// Defaults for all hooks of a plugin. Each hook may override them.
struct plugin_options {
    /// If true, what the hooks throw is reported, and the call proceeds. See hook_options::isolate.
    bool isolate = false;

    /// If false, a hook is skipped in calls that it makes itself. See hook_options::reentrant.
    bool reentrant = true;
};

/// Owns hooks, which are disabled, enabled and unloaded together. Each of these operations takes
/// effect for all hooks in one step, for every call that begins afterwards.
///
///     ext::plugin openbao{"openbao", {.isolate = true}};
///     openbao.on_start(get_api_key, supply_key, {.id = "openbao"});
///     openbao.on_end("models.*", [](ext::any_call& call) { log(call.failed()); });
///     openbao.unload();  // when it returns, no other thread is running any of its hooks
///
/// Any thread may use a plugin at any time, even from inside its hooks. Movable, not copyable. A
/// moved-from plugin has no hooks; registering with it throws ext::error.
class plugin {
public:
    /// Creates a plugin for functions of the default registry. `name` is copied, and need not be
    /// unique.
    EXTENSIBLE_HIDDEN explicit plugin(std::string_view name, plugin_options defaults = {})
        : plugin(default_registry(), name, defaults) {}

    /// Creates a plugin for functions of the registry `home`. `name` is copied, and need not be
    /// unique.
    EXTENSIBLE_HIDDEN plugin(registry& home, std::string_view name, plugin_options defaults = {})
        : record_(new detail::plugin_record(detail::private_access::record(home), name, defaults.isolate,
                                            defaults.reentrant)) {}

    /// Takes over the hooks of `other`, which then has none.
    plugin(plugin&& other) noexcept = default;

    /// Unloads this plugin as unload() does, then takes over the hooks of `other`. If there is not
    /// enough memory to unload, the program ends.
    plugin& operator=(plugin&& other) noexcept {
        if (this != &other) {
            unload();
            record_ = std::move(other.record_);
        }
        return *this;
    }

    /// Unloads the plugin as unload() does. If there is not enough memory for that, the program
    /// ends.
    ~plugin() { unload(); }

    /// Registers a hook of this plugin that runs before `function`. See extensible::on_start().
    /// Throws ext::error if the function is in another registry than the plugin, or the plugin has
    /// been unloaded.
    template <class Signature, class Function, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN hook on_start(const extensible<Signature, Function, Parameters>& function, Hook&& hook,
                                    const hook_options& options = detail::no_options()) & {
        return add<phase::start, Signature, Parameters>(detail::private_access::site(function),
                                                        std::forward<Hook>(hook), options);
    }

    /// Registers a hook of this plugin that runs around `function`. See extensible::around().
    /// Throws ext::error if the function is in another registry than the plugin, or the plugin has
    /// been unloaded.
    template <class Signature, class Function, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN hook around(const extensible<Signature, Function, Parameters>& function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) & {
        return add<phase::around, Signature, Parameters>(detail::private_access::site(function),
                                                         std::forward<Hook>(hook), options);
    }

    /// Registers a hook of this plugin that runs after `function`. See extensible::on_end(). Throws
    /// ext::error if the function is in another registry than the plugin, or the plugin has been
    /// unloaded.
    template <class Signature, class Function, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN hook on_end(const extensible<Signature, Function, Parameters>& function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) & {
        return add<phase::end, Signature, Parameters>(detail::private_access::site(function),
                                                      std::forward<Hook>(hook), options);
    }

    /// Registers a hook of this plugin that runs before the function with this name, or before all
    /// functions that match a pattern. See registry::on_start(). Throws ext::error if the plugin
    /// has been unloaded.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_start(std::string_view function, Hook&& hook,
                                    const hook_options& options = detail::no_options()) & {
        return add<phase::start, Signature>(function, std::forward<Hook>(hook), options);
    }

    /// Registers a hook of this plugin that runs around the function with this name, or around all
    /// functions that match a pattern. See registry::around(). Throws ext::error if the plugin has
    /// been unloaded.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook around(std::string_view function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) & {
        return add<phase::around, Signature>(function, std::forward<Hook>(hook), options);
    }

    /// Registers a hook of this plugin that runs after the function with this name, or after all
    /// functions that match a pattern. See registry::on_end(). Throws ext::error if the plugin has
    /// been unloaded.
    template <class Signature = void, class Hook>
    EXTENSIBLE_HIDDEN hook on_end(std::string_view function, Hook&& hook,
                                  const hook_options& options = detail::no_options()) & {
        return add<phase::end, Signature>(function, std::forward<Hook>(hook), options);
    }

    /// Does not compile, because a temporary plugin would remove the hook at the end of the
    /// statement. Give the plugin a name.
    template <class Signature = void, class Function, class Hook>
    hook on_start(Function&&, Hook&&, const hook_options& = detail::no_options()) && {
        return refuse_temporary<Signature>();
    }

    /// Does not compile, because a temporary plugin would remove the hook at the end of the
    /// statement. Give the plugin a name.
    template <class Signature = void, class Function, class Hook>
    hook around(Function&&, Hook&&, const hook_options& = detail::no_options()) && {
        return refuse_temporary<Signature>();
    }

    /// Does not compile, because a temporary plugin would remove the hook at the end of the
    /// statement. Give the plugin a name.
    template <class Signature = void, class Function, class Hook>
    hook on_end(Function&&, Hook&&, const hook_options& = detail::no_options()) && {
        return refuse_temporary<Signature>();
    }

    /// Disables all hooks of the plugin: from the next call on, none of them runs. May throw
    /// std::bad_alloc; then nothing has changed.
    void disable() { detail::set_enabled(record_, false); }

    /// Enables the plugin: from the next call on, its hooks run again, except hooks that are
    /// disabled themselves. May throw std::bad_alloc; then nothing has changed.
    void enable() { detail::set_enabled(record_, true); }

    /// Removes all hooks of the plugin. Waits until their captures are destroyed and no other
    /// thread is inside a call that can still run one of them.
    ///
    /// Does not wait for calls that this thread itself is in: those calls run the hooks to their
    /// end. If this thread is in no such call, you may now close the shared library that contains
    /// the hooks. See hook::remove_and_wait() for threads that wait for each other. Afterwards the
    /// plugin cannot register hooks. May throw std::bad_alloc; then nothing has changed. A
    /// moved-from plugin does nothing.
    void unload() { detail::remove_and_wait(record_); }

    /// Unloads the plugin as unload() does, but waits no longer than `time`, a
    /// std::chrono::duration. Returns false if the time was not enough: then the hooks are removed,
    /// but some may still be running; call unload() again to wait for them.
    template <class Duration>
        requires requires(const Duration& time) { time.count(), Duration::period::den; }
    [[nodiscard]] bool unload_for(const Duration& time) {
        using period = typename Duration::period;
        constexpr double nanoseconds_per_tick =
            1e9 * static_cast<double>(period::num) / static_cast<double>(period::den);
        const detail::time_point until = detail::from_now(static_cast<double>(time.count()) * nanoseconds_per_tick);
        return detail::remove_and_wait(record_, &until);
    }

    /// Returns the name of the plugin, or an empty text if it was moved from. Valid while the
    /// plugin lives.
    std::string_view name() const noexcept { return record_ ? std::string_view(record_->name) : std::string_view(); }

private:
    friend detail::private_access;
    explicit plugin(detail::ref<detail::plugin_record> record) noexcept : record_(std::move(record)) {}

    // Throws error if this was moved from, or incompatible_module if the registry belongs to an
    // incompatible module.
    EXTENSIBLE_HIDDEN const detail::ref<detail::plugin_record>& checked() const {
        if (!record_) detail::raise<error>("ext::plugin: this plugin has been moved from, so it cannot register hooks");
        record_->registry->checked();
        return record_;
    }

    template <class Signature>
    static hook refuse_temporary() {
        static_assert(!std::is_same_v<Signature, Signature>,
                      "ext::plugin: this plugin is a temporary, which removes its hooks at the end of the statement; "
                      "give it a name");
        return {};
    }

    template <phase When, class Signature, class Parameters, class Hook>
    EXTENSIBLE_HIDDEN ext::hook add(const detail::wrapper_site& function, Hook&& hook, const hook_options& options) {
        return detail::add_hook<When, Signature, Parameters>(function, std::forward<Hook>(hook), options,
                                                             checked().get());
    }
    template <phase When, class Signature, class Hook>
    EXTENSIBLE_HIDDEN ext::hook add(std::string_view function, Hook&& hook, const hook_options& options) {
        return detail::add_hook<When, Signature>(*checked()->registry, function, std::forward<Hook>(hook), options,
                                                 record_.get());
    }

    detail::ref<detail::plugin_record> record_;  // null if this was moved from
};

}}  // namespace ext
