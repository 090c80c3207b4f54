#pragma once

// How is a function wrapped, and what happens when it is called?

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/await_hook.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/binding.hpp>
#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/call_operations.hpp>
#include <extensible/detail/erased_function.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/outcome.hpp>
#include <extensible/detail/register_hook.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/params.hpp>
#include <extensible/proceed.hpp>
#include <extensible/registry.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext {

/// A function that can be extended: it is called as the function itself, and hooks registered on its name run at the start
/// and at the end of each call.
///
///     inline ext::extensible get_api_key{"models.get_api_key", [](std::string_view service) -> std::string { ... }};
///
/// `Signature` is R(A...); it and `Function` are deduced from a lambda, a function object, a function pointer or a member
/// function pointer (the object is then the first parameter). Given only the signature, the function is type-erased.
/// `Parameters` are the names made by ext::params.
///
/// Any thread may call it and register hooks at any time, between its construction and its destruction. The function
/// underneath has to bear as many calls at once as callers make. The wrapper cannot be copied or moved. A hook may destroy
/// it in the middle of a call, which then finishes.
template <class Signature, class Function = detail::erased_function<Signature>, class Parameters = parameters<>>
class extensible;

template <class R, class... A, class Function, class Parameters>
class extensible<R(A...), Function, Parameters> {
    using shape = detail::shape<R(A...)>;

    static_assert(std::is_void_v<R> || std::is_reference_v<R> || std::is_move_constructible_v<R>,
                  "ext::extensible: the function's result type cannot be moved, so a hook could not supply or pass on a "
                  "result; return a std::unique_ptr or a reference");
    static_assert(((std::is_reference_v<A> || std::is_move_constructible_v<A>) && ... && true),
                  "ext::extensible: a parameter's type cannot be moved, so it could not be passed on; take it by reference");
    static_assert(Parameters::count == 0 || Parameters::count == std::tuple_size_v<typename shape::args>,
                  "ext::extensible: ext::params must name each parameter of the function, but for a last ext::kwargs");
    static_assert(Parameters::names_differ(), "ext::extensible: ext::params names two parameters alike");

public:
    using signature = R(A...);
    using call_type = ext::call<signature>;  ///< what a hook is handed: `void audit(decltype(get_api_key)::call_type&)`

    /// Wraps `function` under `name`, in the default registry or another, which attaches the hooks that wait for it.
    /// `name` is copied. Throws signature_mismatch when hooks or other wrappers of that name have another signature, and
    /// error for an empty name or function.
    extensible(std::string_view name, Function function)
        : extensible(default_registry(), name, Parameters(), std::move(function)) {}
    extensible(registry& home, std::string_view name, Function function)
        : extensible(home, name, Parameters(), std::move(function)) {}

    /// As above, with names for the parameters.
    extensible(std::string_view name, Parameters names, Function function)
        : extensible(default_registry(), name, std::move(names), std::move(function)) {}
    extensible(registry& home, std::string_view name, Parameters names, Function function)
        : function_(std::move(function)), parameters_(std::move(names)) {
        if (detail::is_null(function_))
            throw error(std::string(name) + ": a function to wrap was expected, an empty one was given: a null pointer or an "
                                            "empty std::function");
        detail::attach(home.record(), name, detail::operations_of<signature, Parameters>::table, site_);
    }

    extensible(const extensible&) = delete;
    extensible& operator=(const extensible&) = delete;

    /// Hooks that were registered on this object or another wrapper of the name go with the last such wrapper; those
    /// registered by name stay, and wait for the next one.
    ~extensible() {
        detail::held_hooks::take_over(site_, function_);
        detail::detach(site_);
    }

    /// Calls the function, inside the hooks that are registered and enabled now. Throws what they leave in
    /// `call.exception`, or no_result when they leave neither that nor a result.
    R operator()(A... args) const {
        // Acquire: who finds no hooks here, after a change of several functions, finds it made in the others too. Pairs with
        // the store in publish().
        if (!site_.hooks.load(std::memory_order_acquire)) [[likely]]
            return std::invoke(function_, std::forward<A>(args)...);
        if constexpr (detail::coroutine_type<R>) return await_with_hooks(*this, std::forward<A>(args)...);
        else return call_with_hooks(std::forward<A>(args)...);
    }

    /// As above, for arguments given by name, left to their defaults, or meant for the function's ext::kwargs.
    template <class... Given>
        requires((detail::is_keyword<Given> || ...) ||
                 (sizeof...(Given) != sizeof...(A) && (Parameters::count != 0 || shape::takes_kwargs)))
    R operator()(Given&&... given) const {
        using binding = detail::binding<signature, Parameters, Given&&...>;
        if constexpr (binding::fits) {
            return binding::apply(
                [this](auto&&... bound) -> R { return (*this)(std::forward<decltype(bound)>(bound)...); }, parameters_,
                std::forward<Given>(given)...);
        }
    }

    /// The function underneath; calling it runs no hooks. Valid as long as the wrapper.
    Function& original() const noexcept { return function_; }

    /// The name it is registered under.
    std::string_view name() const noexcept { return site_.function->name; }

    /// Registers `hook` to run at the start of each call, by any thread that calls, by several at once. It is handed the
    /// ext::call and is moved or copied in. It lives until it is removed or the last wrapper of the name is destroyed.
    /// Throws duplicate_hook, order_cycle, or error for an empty hook or when the registry is gone; then nothing has changed.
    template <class Hook>
    hook on_start(Hook&& hook, hook_options options = {}) const {
        return detail::register_hook<phase::start, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

    /// As on_start(), at the end of each call, whichever way it ends.
    template <class Hook>
    hook on_end(Hook&& hook, hook_options options = {}) const {
        return detail::register_hook<phase::end, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

    /// As on_start(), around the function: `hook` is handed the ext::call and an ext::proceed, which runs the next around
    /// hook and, last, the function. The first in order is the outermost.
    template <class Hook>
    hook around(Hook&& hook, hook_options options = {}) const {
        return detail::register_hook<phase::around, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

    /// Library use: where the registry finds the wrapper.
    const detail::site& site() const noexcept { return site_; }

private:
    // The way of one call that has hooks.
    [[gnu::noinline]] R call_with_hooks(detail::handed_on<A>... args) const {
        detail::deep_call deep;  // for calls that are nested very deeply
        const detail::held_hooks held(site_, deep);  // these hooks, whatever is registered or removed meanwhile
        const detail::hook_list* const hooks = held.list();
        if (!hooks) [[unlikely]] return std::invoke(function_, std::forward<A>(args)...);
        ext::call<signature> call(hooks->name, args...);
        const detail::call_operations& operations = detail::operations_of<signature, Parameters>::table;

        // 1. Start hooks, each seeing what the ones before it did. One that throws ends this.
        for (const auto& hook : hooks->of(phase::start)) {
            try {
                hook.run(hook, &call, operations, nullptr);
            } catch (...) {
                detail::keep_exception(call.exception, hook, call.name);
                break;
            }
        }

        // 2. The function, unless they have settled the outcome. With only start hooks, what comes out of it goes straight
        //    to the caller: nobody is there to look at it.
        if (!call.result && !call.exception) {
            if (hooks->is_empty_after(phase::start))
                return detail::pass_on<false>(call, [&](auto&&... passed) -> R {
                    return std::invoke(detail::held_hooks::original(site_, function_), std::forward<decltype(passed)>(passed)...);
                });
            auto run_function = [&] {
                call.original_ran = true;
                try {
                    detail::pass_on<true>(call, [&](auto&&... passed) {
                        call.result.set_from(detail::held_hooks::original(site_, function_),
                                             std::forward<decltype(passed)>(passed)...);
                    });
                } catch (...) {
                    detail::keep_exception(call.exception);
                }
            };
            // Inside the around hooks, the first of them outermost.
            if (const auto around = hooks->of(phase::around); around.empty()) run_function();
            else ext::proceed::through(around, any_call(&call, operations), run_function);
        }

        // 3. End hooks, always all of them.
        for (const auto& hook : hooks->of(phase::end)) {
            try {
                hook.run(hook, &call, operations, nullptr);
            } catch (...) {
                detail::keep_exception(call.exception, hook, call.name);
            }
        }

        // 4. The outcome.
        if (call.exception || !call.result) [[unlikely]] detail::throw_outcome(call.name, std::move(call.exception));
        return call.result.take();
    }

    // The way of one call of a function that returns an awaitable: the same, as a coroutine of the function's own kind, which
    // begins when the function's body would. It may be suspended in each step, and go on on another thread.
    static R await_with_hooks(const extensible& self, A... args) {
        const detail::pinned_hooks held(self.site_);  // these hooks, whatever is registered or removed meanwhile
        const detail::hook_list* const hooks = held.list();
        if (!hooks) co_return co_await std::invoke(self.function_, std::forward<A>(args)...);
        ext::call<signature> call(hooks->name, args...);
        const any_call erased(&call, detail::operations_of<signature, Parameters>::table);
        using stage = detail::stage_of<R>;
        detail::end_hooks end_hooks(*hooks, erased, held);  // which run also where the call is destroyed while it is suspended

        // 1. Start hooks, each seeing what the ones before it did. One that throws ends this.
        for (const auto& hook : hooks->of(phase::start)) {
            try {
                if (hook.record->stage) co_await detail::begin_hook<stage>(hook, erased, nullptr);
                else detail::run_hook_on_this_thread(hook, erased, held);
            } catch (...) {
                if (!detail::is_isolated(call.exception, hook, call.name)) break;
            }
        }

        // 2. The function, unless they have settled the outcome, inside the around hooks.
        if (!call.result && !call.exception) {
            auto await_function = [&self, &call]() -> stage {
                call.original_ran = true;
                try {
                    R awaited = detail::pass_on<true>(call, [&](auto&&... passed) -> R {
                        return std::invoke(self.function_, std::forward<decltype(passed)>(passed)...);
                    });
                    if constexpr (std::is_void_v<detail::outcome_of<R>>) {
                        co_await std::move(awaited);
                        call.result.emplace();
                    } else {
                        call.result.emplace(co_await std::move(awaited));
                    }
                } catch (...) {
                    detail::keep_exception(call.exception);
                }
            };
            co_await awaiting_proceed<stage>(erased, nullptr, hooks->of(phase::around), await_function)();
        }

        // 3. End hooks, always all of them.
        while (const detail::hook_entry* const hook = end_hooks.next()) {
            try {
                if (hook->record->stage) co_await detail::begin_hook<stage>(*hook, erased, nullptr);
                else detail::run_hook_on_this_thread(*hook, erased, held);
            } catch (...) {
                detail::is_isolated(call.exception, *hook, call.name);
            }
        }

        // 4. The outcome.
        if (call.exception || !call.result) [[unlikely]] detail::throw_outcome(call.name, std::move(call.exception));
        if constexpr (std::is_void_v<detail::outcome_of<R>>) co_return;
        else co_return call.result.take();
    }

    detail::site site_;
    [[no_unique_address]] mutable Function function_;
    [[no_unique_address]] Parameters parameters_;
};

template <class Function>
extensible(std::string_view, Function) -> extensible<detail::signature_of<Function>, Function>;
template <class Function>
extensible(registry&, std::string_view, Function) -> extensible<detail::signature_of<Function>, Function>;
template <class... Parameter, class Function>
extensible(std::string_view, parameters<Parameter...>, Function)
    -> extensible<detail::signature_of<Function>, Function, parameters<Parameter...>>;
template <class... Parameter, class Function>
extensible(registry&, std::string_view, parameters<Parameter...>, Function)
    -> extensible<detail::signature_of<Function>, Function, parameters<Parameter...>>;

}  // namespace ext
