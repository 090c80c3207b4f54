#pragma once

// How is a function wrapped, and what happens when it is called?

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/binding.hpp>
#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/make_hook.hpp>
#include <extensible/detail/outcome.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/running.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/params.hpp>
#include <extensible/proceed.hpp>
#include <extensible/registry.hpp>

#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

namespace detail {

[[noreturn]] EXTENSIBLE_FUNCTION void throw_empty_function(std::string_view name);

/// What ext::fn is. It takes the arguments as they are given, so that it costs no move that the function itself does not.
template <auto Function>
struct constant_function {
    static_assert(!std::is_member_object_pointer_v<decltype(Function)>,
                  "ext::fn: a data member is no function; wrap a lambda that returns it");

    template <class... A>
    EXTENSIBLE_ALWAYS_INLINE constexpr decltype(auto) operator()(A&&... args) const {
        return detail::invoke(Function, std::forward<A>(args)...);
    }
};
template <auto Function>
struct signature_from<constant_function<Function>> {
    using type = signature_of<decltype(Function)>;
};

// In place of the signature, where the arguments of a wrapper are not what it takes.
struct misused {};

}  // namespace detail

/// A function or member function that is known at compile time, as a function object: called directly, and not through a pointer.
///
///     ext::extensible get_api_key{"models.get_api_key", ext::fn<&read_api_key>};
template <auto Function>
inline constexpr detail::constant_function<Function> fn{};

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
/// underneath has to bear as many calls at once as callers make. The wrapper cannot be copied or moved. A call does not touch it any
/// more once the function is entered, so the function and the end hooks may destroy it; a start or around hook that does has to
/// supply the result and not go on, and no outer call of the same wrapper may still have the function before it.
template <class Signature, class Function = detail::erased_function<Signature>, class Parameters = parameters<>>
class extensible;

template <class R, class... A, class Function, class Parameters>
class extensible<R(A...), Function, Parameters> {
    using shape = detail::shape<R(A...)>;
    static constexpr const detail::call_operations& operations = detail::operations_of<R(A...), Parameters>::table;

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
    EXTENSIBLE_HIDDEN extensible(std::string_view name, Function function)
        : extensible(default_registry(), name, Parameters(), std::move(function)) {}
    EXTENSIBLE_HIDDEN extensible(registry& home, std::string_view name, Function function)
        : extensible(home, name, Parameters(), std::move(function)) {}

    /// As above, with names for the parameters.
    EXTENSIBLE_HIDDEN extensible(std::string_view name, Parameters names, Function function)
        : extensible(default_registry(), name, std::move(names), std::move(function)) {}
    EXTENSIBLE_HIDDEN extensible(registry& home, std::string_view name, Parameters names, Function function)
        : site_{nullptr, &detail::access::record(home)}, function_(std::move(function)), parameters_(std::move(names)) {
        if (detail::is_null(function_)) detail::throw_empty_function(name);
        detail::locked_registry(*site_.registry).attach(site_, name, operations);
    }

    extensible(const extensible&) = delete;
    extensible& operator=(const extensible&) = delete;

    /// Hooks that were registered on this object or another wrapper of the name go with the last such wrapper; those
    /// registered by name stay, and wait for the next one. Ends the program where there is no memory to remove hooks.
    EXTENSIBLE_HIDDEN ~extensible() { detail::locked_registry(*site_.registry).detach(site_); }

    /// Calls the function, inside the hooks that are registered and enabled now. Throws what they leave in
    /// `call.exception`, or no_result when they leave neither that nor a result. May throw std::bad_alloc before anything has
    /// begun, in a thread's first call with hooks, and when it nests more deeply than ever before.
    R operator()(A... args) const {
        // Acquire: a call that finds no hooks here, after a change of several functions, finds it made in the others too. Pairs
        // with the store in change::publish().
        if (!site_.hooks.load(std::memory_order_acquire)) [[likely]] return detail::invoke(function_, std::forward<A>(args)...);
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

    // These are inlined because Clang cannot hide a template in a template; see ext::registry.

    /// Registers `hook` to run at the start of each call, by any thread that calls, by several at once. It is handed the
    /// ext::call and is moved or copied in. It lives until it is removed or the last wrapper of the name is destroyed.
    /// It returns nothing, or the end of its call: a function object that can be called with the ext::call, which runs behind the end
    /// hooks of this call, the last one returned first, and is destroyed then. It may be move-only. The first end of a call takes no
    /// allocation if what it captures is no larger than five pointers and no more aligned.
    /// Throws duplicate_hook, order_cycle, or error for an empty hook or when the registry is gone; then nothing has changed.
    template <class Hook>
    EXTENSIBLE_ALWAYS_INLINE hook on_start(Hook&& hook, const hook_options& options = detail::no_options()) const {
        return detail::register_hook<phase::start, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

    /// As on_start(), at the end of each call, whichever way it ends.
    template <class Hook>
    EXTENSIBLE_ALWAYS_INLINE hook on_end(Hook&& hook, const hook_options& options = detail::no_options()) const {
        return detail::register_hook<phase::end, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

    /// As on_start(), around the function: `hook` is handed the ext::call and an ext::proceed, which runs the next around
    /// hook and, last, the function. The first in order is the outermost.
    template <class Hook>
    EXTENSIBLE_ALWAYS_INLINE hook around(Hook&& hook, const hook_options& options = detail::no_options()) const {
        return detail::register_hook<phase::around, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

private:
    friend detail::access;

    // The function as what the around hooks have inside of them; the same of a call that is awaited.
    struct inside : detail::inside_of_call<void> {
        const extensible& self;
    };
    struct awaited_inside : detail::inside_of_call<detail::stage_of<R>> {
        const extensible& self;
        detail::function_task<R>& task;
    };

    // The way of one call that has hooks.
    EXTENSIBLE_HIDDEN EXTENSIBLE_NOINLINE R call_with_hooks(detail::handed_on<A>... args) const {
        const detail::hazard_guard held(site_);  // these hooks, whatever is registered or removed meanwhile
        const detail::hook_list* const hooks = held.list();
        if (!hooks) [[unlikely]] return detail::invoke(function_, std::forward<A>(args)...);
        auto call = detail::access::make<ext::call<signature>>(hooks->name, operations, args...);

        // 1. Start hooks, each seeing what the ones before it did. One that throws ends this.
        for (const detail::hook_entry* hook = hooks->begin(); hook->run; ++hook) {
            EXTENSIBLE_TRY {
                hook->run(hook->object, &call, nullptr);
            } EXTENSIBLE_CATCH(...) {
                detail::keep_exception(call, *hook->record);
                break;
            }
        }

        // 2. The function, unless they have settled the outcome. With only start hooks, what comes out of it goes straight to
        //    the caller: nobody is there to look at it. Otherwise inside the around hooks, the first of them outermost.
        if (call.result || call.exception) [[unlikely]] {
            // It is not called.
        } else if (hooks->only_start_hooks) [[likely]] {
            return detail::pass_on<false>(call, [this](auto&&... passed) -> R {
                return detail::invoke(function_, std::forward<decltype(passed)>(passed)...);
            });
        } else if (const detail::hook_entry& around = *hooks->begin(phase::around); around.run) [[unlikely]] {
            detail::access::run<proceed>(inside{{call, &run_inside}, *this}, around);
        } else {
            run_function(call);
        }

        // 3. End hooks, always all of them; then the ends that start hooks returned, the last one first.
        for (const detail::hook_entry* hook = hooks->begin(phase::end); hook->run; ++hook) {
            EXTENSIBLE_TRY {
                hook->run(hook->object, &call, nullptr);
            } EXTENSIBLE_CATCH(...) {
                detail::keep_exception(call, *hook->record);
            }
        }
        if (hooks->has_ends) [[unlikely]] detail::run_ends(call);

        // 4. The outcome.
        if (call.exception || detail::is_missing(call.result)) [[unlikely]] detail::throw_outcome(call);
        return detail::take(call.result);
    }

    // The function, as what the around hooks have inside of them.
    static void run_inside(const detail::inside_of_call<void>& erased) {
        auto& call = static_cast<ext::call<signature>&>(erased.call);
        call.result.reset();
        static_cast<const inside&>(erased).self.run_function(call);
    }

    void run_function(ext::call<signature>& call) const {
        call.original_ran = true;
        EXTENSIBLE_TRY {
            detail::pass_on<true>(call, [&](auto&&... passed) {
                detail::set_from(call.result, function_, std::forward<decltype(passed)>(passed)...);
            });
        } EXTENSIBLE_CATCH(...) {
            detail::keep_exception(call);
        }
    }

    // The way of one call of a function that returns an awaitable: the same, as a coroutine of the function's own kind, which
    // begins when the function's body would. It may be suspended in each step, and go on on another thread.
    static R await_with_hooks(const extensible& self, A... args) {
        const detail::counting_guard held(self.site_);  // these hooks, whatever is registered or removed meanwhile
        const detail::hook_list* const hooks = held.list();
        if (!hooks) co_return co_await detail::invoke(self.function_, std::forward<A>(args)...);
        auto call = detail::access::make<ext::call<signature>>(hooks->name, operations, args...);
        using stage = detail::stage_of<R>;
        detail::function_task<R> task;
        detail::awaited_end_hooks end_hooks(call, held);  // which run also where the call is destroyed while it is suspended

        // 1. Start hooks, each seeing what the ones before it did. One that throws ends this.
        for (const detail::hook_entry* entry = hooks->begin(); entry->run; ++entry) {
            const detail::hook_entry* const hook = detail::hook_in_turn(*entry, call, held);
            if (!hook) continue;
            EXTENSIBLE_TRY {
                if (hook->record->stage) co_await detail::begin_hook<stage>(*hook, call, held);
                else detail::run_on_this_thread(*hook, call, held);
            } EXTENSIBLE_CATCH(...) {
                if (!detail::keep_or_isolate(call, *hook->record, held)) break;
            }
        }

        // 2. The function, unless they have settled the outcome, inside the around hooks.
        if (!call.result && !call.exception) {
            EXTENSIBLE_TRY {
                if (const detail::hook_entry& around = *hooks->begin(phase::around); around.run) [[unlikely]] {
                    const awaited_inside function{{call, &await_function, &held}, self, task};
                    co_await detail::access::run<awaiting_proceed<stage>>(function, around);
                } else if constexpr (std::is_void_v<detail::outcome_of<R>>) {  // here: a stage of its own would be another coroutine
                    co_await task.begin([&] { return begin_function(call, self); }), call.result.emplace();
                } else {
                    call.result.emplace(co_await task.begin([&] { return begin_function(call, self); }));
                }
            } EXTENSIBLE_CATCH(...) {  // of the function; or there is no memory for a stage
                detail::keep_exception(call);
            }
        }

        // 3. End hooks, always all of them; then the ends that start hooks returned, the last one first.
        while (const detail::hook_entry* const hook = end_hooks.next()) {
            EXTENSIBLE_TRY {
                if (hook->record->stage) co_await detail::begin_hook<stage>(*hook, call, held);
                else end_hooks.run(*hook);
            } EXTENSIBLE_CATCH(...) {
                detail::keep_or_isolate(call, *hook->record, held);
            }
        }
        end_hooks.run_ends();

        // 4. The outcome.
        if (call.exception || detail::is_missing(call.result)) [[unlikely]] detail::throw_outcome(call);
        if constexpr (std::is_void_v<detail::outcome_of<R>>) co_return;
        else co_return detail::take(call.result);
    }

    // The function inside of around hooks that are awaited.
    static auto await_function(const detail::inside_of_call<detail::stage_of<R>>& erased) -> detail::stage_of<R>
        requires detail::coroutine_type<R>
    {
        auto& call = static_cast<ext::call<signature>&>(erased.call);
        const auto& inside = static_cast<const awaited_inside&>(erased);
        call.result.reset();
        EXTENSIBLE_TRY {
            const auto begin = [&] { return begin_function(call, inside.self); };
            if constexpr (std::is_void_v<detail::outcome_of<R>>) co_await inside.task.begin(begin), call.result.emplace();
            else call.result.emplace(co_await inside.task.begin(begin));
        } EXTENSIBLE_CATCH(...) {
            detail::keep_exception(call);
        }
    }

    static R begin_function(ext::call<signature>& call, const extensible& self) {
        call.original_ran = true;
        return detail::pass_on<true>(call, [&](auto&&... passed) -> R {
            return detail::invoke(self.function_, std::forward<decltype(passed)>(passed)...);
        });
    }

    detail::site site_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS mutable Function function_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS Parameters parameters_;
};

template <class Function>
class extensible<detail::misused, Function> {
    static_assert(detail::always_false<Function>,
                  "ext::extensible: the arguments are a registry if it is not the default one, a name, ext::params if there are any, and "
                  "one function; for one that is overloaded: ext::fn<static_cast<R (*)(A...)>(&f)>");

public:
    template <class... Given>
    explicit extensible(Given&&...) {}
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

// What nothing else takes: an overloaded function, or none; another order.
extensible(std::string_view, ...) -> extensible<detail::misused>;
extensible(registry&, ...) -> extensible<detail::misused>;
template <class First, class... More>
    requires(sizeof...(More) != 0 && !std::is_convertible_v<First, std::string_view> && !std::is_same_v<std::remove_cvref_t<First>, registry>)
extensible(First&&, More&&...) -> extensible<detail::misused>;

#if EXTENSIBLE_BODIES

void detail::throw_empty_function(std::string_view name) {
    raise<error>(join({name, ": a function to wrap was expected, an empty one was given: a null pointer or an empty std::function"}));
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI
