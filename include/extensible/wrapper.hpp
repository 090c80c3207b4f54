#pragma once

// ext::extensible: wraps a function, so that hooks run before, around and after its calls. The
// steps of a call are in call_with_hooks(). ext::fn: a function that is known at compile time.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/awaited/path.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/call/finishers.hpp>
#include <extensible/detail/call/hook_run.hpp>
#include <extensible/detail/reclaim/hazard_guard.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/register_hook.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/signature/arguments.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/binding.hpp>
#include <extensible/detail/signature/erased_function.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/options.hpp>
#include <extensible/params.hpp>
#include <extensible/phase.hpp>
#include <extensible/proceed.hpp>
#include <extensible/registry.hpp>
#include <extensible/result.hpp>

#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_empty_function(std::string_view name);

/// The type of ext::fn. It forwards its arguments, so it costs no move beyond those of the function
/// itself.
template <auto Function>
struct constant_function {
    static_assert(!std::is_member_object_pointer_v<decltype(Function)>,
                  "ext::fn: a data member is not a function; wrap a lambda that returns it");

    template <class... A>
    EXTENSIBLE_ALWAYS_INLINE constexpr decltype(auto) operator()(A&&... args) const {
        return detail::invoke(Function, std::forward<A>(args)...);
    }
};
template <auto Function>
struct signature_from<constant_function<Function>> {
    using type = signature_of<decltype(Function)>;
};

// Takes the place of the signature if the arguments of a wrapper's constructor are wrong.
struct not_constructible_from_these {};

}  // namespace detail

/// A function object for a function or member function that is known at compile time. The wrapper
/// calls it directly, not through a pointer.
///
///     ext::extensible get_api_key{"models.get_api_key", ext::fn<&read_api_key>};
///
/// For an overloaded function: `ext::fn<static_cast<R (*)(A)>(&f)>`.
template <auto Function>
inline constexpr detail::constant_function<Function> fn{};

/// A callable wrapper around a function. Calls look like calls of the function itself; hooks
/// registered under its name run before, around and after each call.
///
///     inline ext::extensible get_api_key{"models.get_api_key",
///         [](std::string_view service) -> std::string { return read_environment(service); }};
///
///     ext::hook vault = get_api_key.on_start([](auto& call) { call.result = "sk-vault"; });
///     std::string key = get_api_key("openai");  // sk-vault
///
/// The members are the constructors, `operator()`, `original()`, `name()`, `on_start()`,
/// `around()`, `on_end()` and the types `signature` and `call_type`.
///
/// `Signature` is R(A...). It and `Function` are deduced from a lambda, a function object, a
/// function pointer or a member function pointer, for which the object is the first parameter. If
/// only the signature is given, as in a declaration in a header, the function is type-erased.
/// `Parameters` holds the names that ext::params gives to the parameters.
///
/// Any thread may call a wrapper and register hooks at any time between its construction and its
/// destruction. The wrapped function is called concurrently if its callers call it concurrently. A
/// wrapper cannot be copied or moved: pass `std::ref(wrapper)` to a std::thread or a std::function.
///
/// Once the wrapped function has been entered, a call that is not awaited no longer accesses the
/// wrapper, unless an around hook proceeds again. So the function and the end hooks may destroy it
/// if no around hook does. The captures of the function, and defaults of its parameters, are
/// destroyed with it. A start or around hook may destroy it if the hook supplies the result and does not proceed.
/// In each case, every outer call of the same wrapper must have entered the function already.
template <class Signature, class Function = detail::erased_function<Signature>, class Parameters = parameters<>>
class extensible;

/// A callable wrapper around a function of the signature R(A...). Calls look like calls of the
/// function itself; hooks registered under its name run before, around and after each call. The
/// comment of the primary template ext::extensible has an example and the rules for threads and
/// lifetimes.
template <class R, class... A, class Function, class Parameters>
class extensible<R(A...), Function, Parameters> {
    using shape = detail::shape<R(A...)>;
    static constexpr const detail::call_operations& operations = detail::operations_of<R(A...), Parameters>::table;

    static_assert(std::is_void_v<R> || std::is_reference_v<R> || std::is_move_constructible_v<R>,
                  "ext::extensible: the function's result type cannot be moved, so a hook could not supply or pass on "
                  "a result; return a std::unique_ptr or a reference");
    static_assert(((std::is_reference_v<A> || std::is_move_constructible_v<A>) && ... && true),
                  "ext::extensible: a parameter's type cannot be moved, so it could not be passed on; "
                  "take it by reference");
    static_assert(Parameters::count == 0 || Parameters::count == std::tuple_size_v<typename shape::args>,
                  "ext::extensible: ext::params must name each parameter of the function, except a last ext::kwargs");
    static_assert(Parameters::names_differ(), "ext::extensible: ext::params gives two parameters the same name");

public:
    /// The signature of the function.
    using signature = R(A...);

    /// The type that a hook receives, for hooks that are not generic:
    /// `void audit(decltype(get_api_key)::call_type& call);`
    using call_type = ext::call<signature>;

    /// Wraps `function` under `name`, in the default registry, and attaches the hooks that wait for
    /// it. `name` is copied, and `function` is moved in.
    ///
    /// Throws signature_mismatch if hooks or other wrappers of that name have another signature.
    /// Throws error if the name is empty or contains `*`, or if the function is empty.
    EXTENSIBLE_HIDDEN extensible(std::string_view name, Function function)
        : extensible(default_registry(), name, Parameters(), std::move(function)) {}

    /// Wraps `function` under `name`, in the registry `home`, and attaches the hooks that wait for
    /// it. `name` is copied, and `function` is moved in.
    ///
    /// Throws signature_mismatch if hooks or other wrappers of that name have another signature.
    /// Throws error if the name is empty or contains `*`, or if the function is empty.
    EXTENSIBLE_HIDDEN extensible(registry& home, std::string_view name, Function function)
        : extensible(home, name, Parameters(), std::move(function)) {}

    /// Wraps `function` under `name`, in the default registry, with names for its parameters: see
    /// ext::params. Throws what the constructor without names throws.
    EXTENSIBLE_HIDDEN extensible(std::string_view name, Parameters names, Function function)
        : extensible(default_registry(), name, std::move(names), std::move(function)) {}

    /// Wraps `function` under `name`, in the registry `home`, with names for its parameters: see
    /// ext::params. Throws what the constructor without names throws.
    EXTENSIBLE_HIDDEN extensible(registry& home, std::string_view name, Parameters names, Function function)
        : site_{nullptr, &detail::private_access::record(home)},
          function_(std::move(function)),
          parameters_(std::move(names)) {
        if (detail::is_null(function_)) detail::throw_empty_function(name);
        detail::locked_registry(*site_.registry).attach(site_, name, operations);
    }

    extensible(const extensible&) = delete;
    extensible& operator=(const extensible&) = delete;

    /// Destroys the wrapper. If it is the last one of its name, removes the hooks that were
    /// registered on wrappers of that name. Hooks registered by name remain, and apply to the next
    /// wrapper of that name. If there is not enough memory to remove hooks, the program ends.
    EXTENSIBLE_HIDDEN ~extensible() { detail::locked_registry(*site_.registry).detach(site_); }

    /// Calls the function with the hooks that are registered and enabled now.
    ///
    /// Rethrows `call.exception` if it is set after the last end hook and finisher. Throws
    /// no_result if there is neither an exception nor a result, except for a `void` function.
    /// Before anything has begun, a call may also throw:
    /// - std::bad_alloc, in a thread's first call with hooks, and if the thread nests calls with
    ///   hooks more deeply than ever before;
    /// - error, if more than EXTENSIBLE_MAX_NESTING calls with hooks are nested on this thread;
    /// - error, if the wrapper is type-erased and not constructed yet.
    R operator()(A... args) const {
        // Acquire: a change may concern several functions. If a call finds no hooks here because of
        // such a change, it then finds the change in the other functions too. Pairs with the store
        // in change::publish().
        if (!site_.hooks.load(std::memory_order_acquire)) [[likely]]
            return detail::invoke(function_, std::forward<A>(args)...);
        if constexpr (detail::coroutine_type<R>) {
            using path = detail::awaited_path<signature, Function>;
            return path::run(site_, function_, operations, std::forward<A>(args)...);
        } else {
            return call_with_hooks(std::forward<A>(args)...);
        }
    }

    /// Calls the function with its hooks, with arguments that are given by name, left to their
    /// defaults, or passed to the function's ext::kwargs: `fetch(link, "timeout"_kw = 5s)`. Throws
    /// what the other overload throws.
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

    /// Returns the wrapped function. Calling it directly runs no hooks. The reference is valid
    /// while the wrapper lives.
    Function& original() const noexcept { return function_; }

    /// Returns the name of the function. The view is valid while the wrapper lives.
    std::string_view name() const noexcept { return site_.function->name; }

    // The dynamic linker must not bind the following functions to those of another module: see
    // ext::registry. They are inlined, because Clang cannot hide a template in a template.

    /// Registers a hook that runs before the function. The hook takes the ext::call, or an
    /// ext::any_call, by reference.
    ///
    ///     get_api_key.on_start([](auto& call) { call.result = "sk-vault"; }, {.id = "vault"});
    ///
    /// `hook` is copied or moved in. It lives until it is removed, or until the last wrapper of the
    /// name is destroyed. Several threads may run it at the same time.
    ///
    /// The hook returns nothing, or a finisher: a callable that takes the ext::call. The finisher
    /// runs once, when this call ends, and is then destroyed. Finishers run after the end hooks, in
    /// the reverse order of their start hooks. A finisher may be move-only. The first one of a call
    /// is stored without an allocation if it is at most as large as five pointers, and at most as
    /// aligned as a pointer. If the function returns an awaitable, the hook may return an awaitable
    /// too, which is awaited.
    ///
    /// If the parameters have names, a generic hook receives an ext::named_call, which is used like
    /// an ext::call.
    ///
    /// Throws duplicate_hook, order_cycle or sealed; or error for an empty hook or invalid options,
    /// if the registry is gone, or if this wrapper is not constructed yet. Then nothing has
    /// changed.
    template <class Hook>
    EXTENSIBLE_ALWAYS_INLINE hook on_start(Hook&& hook, const hook_options& options = detail::no_options()) const {
        return detail::add_hook<phase::start, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

    /// Registers a hook that runs after the function, whether it returned or threw. The hook takes
    /// the ext::call by reference. It cannot return a finisher. Lifetime, threads and exceptions
    /// are those of on_start().
    template <class Hook>
    EXTENSIBLE_ALWAYS_INLINE hook on_end(Hook&& hook, const hook_options& options = detail::no_options()) const {
        return detail::add_hook<phase::end, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

    /// Registers a hook that runs around the function. The hook takes the ext::call and an
    /// ext::proceed by reference.
    ///
    ///     get_api_key.around([](auto& call, auto& proceed) { proceed(); });
    ///
    /// Calling `proceed()` runs the next around hook or, innermost, the function. The first around
    /// hook in order is the outermost. The hook cannot return a finisher. Lifetime, threads and
    /// exceptions are those of on_start().
    template <class Hook>
    EXTENSIBLE_ALWAYS_INLINE hook around(Hook&& hook, const hook_options& options = detail::no_options()) const {
        return detail::add_hook<phase::around, signature, Parameters>(site_, std::forward<Hook>(hook), options);
    }

private:
    friend detail::private_access;

    // What the innermost around hook proceeds to: the function.
    struct rest : detail::rest_of_call<void> {
        const extensible& self;
    };

    // One call with hooks, step by step.
    EXTENSIBLE_HIDDEN EXTENSIBLE_NOINLINE R call_with_hooks(detail::forwarded<A>... args) const {
        // The call runs these hooks, even if others are registered or these are removed meanwhile.
        const detail::hazard_guard held(site_);
        const detail::hook_list* const hooks = held.list();
        if (!hooks) [[unlikely]] return detail::invoke(function_, std::forward<A>(args)...);
        auto call = detail::private_access::make<ext::call<signature>>(hooks->name, operations, args...);

        // 1. Start hooks. Each sees what the earlier ones did. If one throws, the later ones are
        //    skipped. An entry without `run` ends a phase. While there are monitors, and for a hook with
        //    an option that a call must apply, `run` is run_with_options() in
        //    detail/call/hook_run.hpp.
        for (const detail::hook_entry* hook = hooks->begin(); hook->run; ++hook) {
            EXTENSIBLE_TRY {
                hook->run(hook->object, &call, nullptr);
            } EXTENSIBLE_CATCH(...) {
                detail::keep_exception(call, *hook->record);
                break;
            }
        }

        // 2. The function, unless the start hooks have set a result or an exception. If there are
        //    only start hooks, its outcome is passed straight to the caller, because no hook looks
        //    at it. Otherwise the function runs inside the around hooks, the first of which is the
        //    outermost.
        if (call.result || call.exception) [[unlikely]] {
            // The function is not called.
        } else if (hooks->nothing_after_function) [[likely]] {
            return detail::pass_on<false>(call, [this](auto&&... passed) -> R {
                return detail::invoke(function_, std::forward<decltype(passed)>(passed)...);
            });
        } else if (const detail::hook_entry& around = *hooks->begin(phase::around); around.run) [[unlikely]] {
            detail::private_access::run<proceed>(rest{{call, &run_rest}, *this}, around);
        } else {
            run_function(call);
        }

        // 3. All end hooks, even after an exception. Then the finishers that start hooks returned, in
        //    reverse order. (Only a forced unwinding skips them: see detail/call/failures.hpp.)
        for (const detail::hook_entry* hook = hooks->begin(phase::end); hook->run; ++hook) {
            EXTENSIBLE_TRY {
                hook->run(hook->object, &call, nullptr);
            } EXTENSIBLE_CATCH(...) {
                detail::keep_exception(call, *hook->record);
            }
        }
        if (hooks->has_finishers) [[unlikely]] detail::run_finishers(call);

        // 4. The outcome.
        if (call.exception || detail::has_no_value(call.result)) [[unlikely]] detail::throw_outcome(call);
        return detail::move_out(call.result);
    }

    // Runs the function for the innermost around hook: rest_of_call::run_function.
    static void run_rest(const detail::rest_of_call<void>& erased) {
        auto& call = static_cast<ext::call<signature>&>(erased.call);
        call.result.reset();
        static_cast<const rest&>(erased).self.run_function(call);
    }

    // Calls the function, and leaves the outcome in the call.
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

    detail::wrapper_site site_;
    EXTENSIBLE_NO_UNIQUE_ADDRESS mutable Function function_;  // mutable, because a call may change its state
    EXTENSIBLE_NO_UNIQUE_ADDRESS Parameters parameters_;      // has the defaults of the parameters; constant
};

// Chosen if the arguments of the constructor are wrong. The static_assert lists the valid ones.
template <class Function>
class extensible<detail::not_constructible_from_these, Function> {
    static_assert(detail::always_false<Function>,
                  "ext::extensible: the arguments are a registry if it is not the default one, a name, ext::params if "
                  "there are any, and one function; for one that is overloaded: ext::fn<static_cast<R (*)(A...)>(&f)>");

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

// Arguments that no other guide accepts: an overloaded function, no function, or another order.
extensible(std::string_view, ...) -> extensible<detail::not_constructible_from_these>;
extensible(registry&, ...) -> extensible<detail::not_constructible_from_these>;
template <class First, class... More>
    requires(sizeof...(More) != 0 && !std::is_convertible_v<First, std::string_view> &&
             !std::is_same_v<std::remove_cvref_t<First>, registry>)
extensible(First&&, More&&...) -> extensible<detail::not_constructible_from_these>;

#if EXTENSIBLE_BODIES

void detail::throw_empty_function(std::string_view name) {
    raise<error>(join({name, ": the function to wrap is empty: a null pointer or an empty std::function"}));
}

#endif

}}  // namespace ext
