#pragma once

// How are the hooks of one owner disabled and unloaded together?

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/register_hook.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/params.hpp>
#include <extensible/phase.hpp>
#include <extensible/registry.hpp>
#include <extensible/wrapper.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace ext {

/// Defaults for all hooks of a plugin, which each of them may override.
struct plugin_options {
    bool isolate = false;   ///< as hook_options::isolate
    bool reentrant = true;  ///< as hook_options::reentrant
};

/// Owns hooks, which are disabled, enabled and unloaded together: each in one step for all of them, so that no call that
/// begins afterwards runs only some. Any thread may use it at any time, also from inside its hooks. Movable.
///
///     ext::plugin openbao{"openbao", {.isolate = true}};
///     openbao.on_start(get_api_key, supply_key, {.id = "openbao"});
class plugin {
public:
    /// A plugin of this name, which need not be the only one, for functions of the default registry or another.
    explicit plugin(std::string_view name, plugin_options defaults = {}) : plugin(default_registry(), name, defaults) {}
    plugin(registry& home, std::string_view name, plugin_options defaults = {});

    plugin(plugin&& other) noexcept = default;
    plugin& operator=(plugin&& other) noexcept {
        if (this != &other) {
            unload();
            record_ = std::move(other.record_);
        }
        return *this;
    }

    /// As unload().
    ~plugin() { unload(); }

    /// Registers hooks on a function as its own on_start(), around() and on_end() do. The function must be of the plugin's
    /// registry. Throws error when the plugin has been unloaded.
    template <class Signature, class Function, class Parameters, class Hook>
    hook on_start(const extensible<Signature, Function, Parameters>& function, Hook&& hook, hook_options options = {}) {
        return add<phase::start, Signature, Parameters>(function.site(), std::forward<Hook>(hook), options);
    }
    template <class Signature, class Function, class Parameters, class Hook>
    hook around(const extensible<Signature, Function, Parameters>& function, Hook&& hook, hook_options options = {}) {
        return add<phase::around, Signature, Parameters>(function.site(), std::forward<Hook>(hook), options);
    }
    template <class Signature, class Function, class Parameters, class Hook>
    hook on_end(const extensible<Signature, Function, Parameters>& function, Hook&& hook, hook_options options = {}) {
        return add<phase::end, Signature, Parameters>(function.site(), std::forward<Hook>(hook), options);
    }

    /// Registers hooks by name, or under a pattern, as registry::on_start() and the others do.
    template <class Signature = void, class Hook>
    hook on_start(std::string_view function, Hook&& hook, hook_options options = {}) {
        return add<phase::start, Signature>(function, std::forward<Hook>(hook), options);
    }
    template <class Signature = void, class Hook>
    hook around(std::string_view function, Hook&& hook, hook_options options = {}) {
        return add<phase::around, Signature>(function, std::forward<Hook>(hook), options);
    }
    template <class Signature = void, class Hook>
    hook on_end(std::string_view function, Hook&& hook, hook_options options = {}) {
        return add<phase::end, Signature>(function, std::forward<Hook>(hook), options);
    }

    /// From the next call on none of its hooks runs. May throw std::bad_alloc, and then nothing has changed.
    void disable() { detail::set_enabled(*record_, false); }

    /// From the next call on its hooks run again, but for those that are disabled themselves.
    void enable() { detail::set_enabled(*record_, true); }

    /// Removes its hooks, and returns when no other thread is inside a call that can still run one of them and all that
    /// they captured is destroyed: the shared library that they came from may then be closed. Does not wait for calls that
    /// this thread is inside of; those run the hooks to their end. It cannot register hooks afterwards. May throw
    /// std::bad_alloc, and then nothing has changed.
    void unload() { unload_until(nullptr); }

    /// As unload(), but waits no longer than this. False when it had to give up: the hooks are removed, and some may still
    /// be running; another unload() waits for them.
    template <class Rep, class Period>
    [[nodiscard]] bool unload_for(std::chrono::duration<Rep, Period> time) {
        const detail::deadline until = std::chrono::steady_clock::now() + std::chrono::ceil<detail::deadline::duration>(time);
        return unload_until(&until);
    }

    /// Its name. Valid as long as the plugin.
    std::string_view name() const noexcept { return record_->name; }

private:
    bool unload_until(const detail::deadline* until) {
        if (!record_) return true;  // moved from
        detail::unload(*record_);
        return record_->registry->domain->wait_until_unused({nullptr, record_.get()}, until);
    }

    template <phase When, class Signature, class Parameters, class Hook>
    ext::hook add(const detail::site& function, Hook&& hook, hook_options& options) {
        return detail::register_hook<When, Signature, Parameters>(function, std::forward<Hook>(hook), options, record_);
    }
    template <phase When, class Signature, class Hook>
    ext::hook add(std::string_view function, Hook&& hook, hook_options& options) {
        return detail::register_hook<When, Signature>(*record_->registry, function, std::forward<Hook>(hook), options, record_);
    }

    detail::ref<detail::owner_record> record_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline plugin::plugin(registry& home, std::string_view name, plugin_options defaults) : record_(new detail::owner_record) {
    record_->registry = detail::ref<detail::registry_record>(&home.record());
    record_->name = name;
    record_->isolate = defaults.isolate;
    record_->reentrant = defaults.reentrant;
}

}  // namespace ext
