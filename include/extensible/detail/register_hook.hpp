#pragma once

// How is a hook registered? In steps, each of which answers one question:
//   add_hook()                      What is the signature of the function?
//   pick_call_view()                Does the hook take the ext::call or an ext::any_call?
//   pick_awaited_or_plain()         Is the hook awaited? (For any function: pick_for_any_call().)
//   erase_plain(), erase_awaited()  Which functions run the hook?
//   add_erased()                    Does the registry accept the hook?
//
// What must stay true:
// 1. If the registration fails, the hook is destroyed, and nothing has changed (tests/registry.cpp,
//    tests/out_of_memory.cpp).
// 2. A hook of a wrong type fails a static_assert, whose text says what to write (tests/compile_fail).
//
// Not here: what a hook can take: call/hook_parameters.hpp; the functions that run it:
// call/erase_hook.hpp; what the registry checks and stores: registry/locked_registry.hpp.

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/detail/awaited/awaited_hook.hpp>
#include <extensible/detail/call/erase_hook.hpp>
#include <extensible/detail/call/hook_parameters.hpp>
#include <extensible/detail/call/hook_run.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/registry/pattern.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/signature/sub_task.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/monitor.hpp>
#include <extensible/options.hpp>
#include <extensible/params.hpp>
#include <extensible/phase.hpp>
#include <extensible/proceed.hpp>

#include <concepts>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Where a hook is registered: on a wrapper, by a function's name, or under a pattern.
struct registration_target {
    const wrapper_site* site;  // of the wrapper; null if the hook is not registered on one
    registry_record& registry;
    std::string_view name;  // of the function; or the pattern
    bool is_pattern;        // false if `site` is set
    plugin_record* plugin;  // the owner of the hook; null if it has none
};

/// Registers a hook. If that fails, destroys the hook. `signature` is null if the hook is for any
/// function, and `sub_task` is null if it is not awaited.
EXTENSIBLE_HIDDEN ext::hook add_erased(const registration_target& target, phase when, const erased_hook& erased,
                                       const type_identity* signature, const type_identity* sub_task,
                                       const hook_options& options);

/// Returns the registry of a wrapper. Throws error if the wrapper is not constructed yet. It is then
/// in static storage of a source file that is initialized later, so all its members are zero.
EXTENSIBLE_HIDDEN registry_record& registry_of(const wrapper_site& site);

[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_empty_hook(std::string_view function, phase when);
[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_empty_handler(bool monitors);

/// Registers a hook that is not awaited. `Call` is the call_view of what the hook takes, and Result is
/// what the hook returns: void, or a finisher.
template <phase When, class Call, class Result, class Hook>
ext::hook erase_plain(const registration_target& target, const type_identity* signature, Hook&& hook,
                      const hook_options& options) {
    using stored = std::decay_t<Hook>;
    if (detail::is_null(hook)) throw_empty_hook(target.name, When);
    if constexpr (std::is_void_v<Result>) {
        const erased_hook erased =
            detail::erase(&run_plain<When, Call, stored>, &run_with_options, std::forward<Hook>(hook));
        return add_erased(target, When, erased, signature, nullptr, options);
    } else {
        using finish = hook_invocation<std::decay_t<Result>, decltype(Call::of(nullptr))>;
        constexpr bool is_finisher = When == phase::start && (takes_reference<finish> || finish::is_callable);
        static_assert(is_finisher,
                      "ext: a hook must return nothing: to skip the function, set call.result. A start hook may return "
                      "a finisher, which can be called with the call, and a hook of an awaited function an awaitable");
        if constexpr (is_finisher && finish::is_callable) {
            static_assert(std::is_void_v<typename finish::type>,
                          "ext: the finisher that a start hook returns must return nothing, and is not awaited");
            erased_hook erased = detail::erase(&run_start<Call, stored>, &run_with_options, std::forward<Hook>(hook));
            erased.takes_record = erased.returns_finisher = true;
            return add_erased(target, When, erased, signature, nullptr, options);
        }
        return {};
    }
}

/// Registers a hook that is awaited. SubTask is the type of coroutine that awaits it.
template <phase When, class Call, class SubTask, class Hook>
ext::hook erase_awaited(const registration_target& target, const type_identity* signature, Hook&& hook,
                        const hook_options& options) {
    if (detail::is_null(hook)) throw_empty_hook(target.name, When);
    run_hook* const run = &begin_awaited<When, Call, SubTask, std::decay_t<Hook>>;
    erased_hook erased = detail::erase(run, &run_with_options, std::forward<Hook>(hook));
    erased.takes_record = true;
    return add_erased(target, When, erased, signature, &identity_of<SubTask>(), options);
}

// The type of the second parameter of an around hook, for functions that return R.
template <class R>
struct proceed_of {
    using type = proceed;
};
template <coroutine_type R>
struct proceed_of<R> {
    using type = awaiting_proceed<sub_task_of<R>>;
};
template <class R>
using proceed_for = typename proceed_of<R>::type;

/// Registers a hook on a function that returns R. `Call` is the call_view of what the hook takes.
template <phase When, class R, class Call, class Hook>
ext::hook pick_awaited_or_plain(const registration_target& target, const type_identity* signature, Hook&& hook,
                                const hook_options& options) {
    constexpr bool is_awaited = coroutine_type<R>;
    using result = typename hook_result<When, std::decay_t<Hook>, Call, proceed_for<R>>::type;
    if constexpr (awaitable<result>) {
        static_assert(is_awaited,
                      "ext: the hook returns an awaitable, and the function does not: no code would await it");
        if constexpr (is_awaited) {
            using sub_task_type = sub_task_of<R>;
            constexpr bool function_can_await = can_await<sub_task_type, result>;
            static_assert(function_can_await,
                          "ext: the hook returns an awaitable that coroutines of the function's type cannot await; "
                          "let it return one of the function's own family");
            if constexpr (function_can_await)
                return erase_awaited<When, Call, sub_task_type>(target, signature, std::forward<Hook>(hook), options);
        }
        return {};
    } else {
        static_assert(When != phase::around || !is_awaited,
                      "ext: an around hook of a function that returns an awaitable has to return one too, and must "
                      "await the rest of the call: co_await proceed()");
        return erase_plain<When, Call, result>(target, signature, std::forward<Hook>(hook), options);
    }
}

// True if the hook can be called as an around hook of a function that returns R.
template <class Hook, class Call, class R>
constexpr bool is_around_hook_for = hook_result<phase::around, Hook, Call, proceed_for<R>>::is_callable;

template <class Signature>
struct result_type_of;
template <class R, class... A>
struct result_type_of<R(A...)> {
    using type = R;
};

/// Reports a hook that takes neither the call of its function nor an ext::any_call.
template <phase When, class Hook, class Typed, class Any, class R>
void report_wrong_parameters() {
    if constexpr (When == phase::around) {
        static_assert(always_false<Hook>,
                      "ext: an around hook must take the call of its function and an ext::proceed by reference, as in "
                      "[](auto& call, auto& proceed) { ... } or [](ext::call<R(A...)>& call, ext::proceed& proceed) "
                      "{ ... } with exactly the function's signature");
    } else {
        constexpr bool is_around_hook = is_around_hook_for<Hook, Typed, R> || is_around_hook_for<Hook, Any, R>;
        static_assert(!is_around_hook,
                      "ext: this hook takes the call and an ext::proceed, so it is an around hook: "
                      "register it with around()");
        static_assert(is_around_hook,
                      "ext: a hook must take the call of its function by reference, as in [](auto& call) { ... } or "
                      "[](ext::call<R(A...)>& call) { ... } with exactly the function's signature");
    }
}

/// Registers a hook on a function of this signature. `Parameters` are the names of its parameters.
template <phase When, class Signature, class Parameters, class Hook>
ext::hook pick_call_view(const registration_target& target, Hook&& hook, const hook_options& options) {
    using R = typename result_type_of<Signature>::type;
    using typed = call_view<Signature, Parameters>;
    using any = call_view<any_call, parameters<>>;
    using with_call = hook_result<When, std::decay_t<Hook>, typed, proceed_for<R>>;
    using with_any_call = hook_result<When, std::decay_t<Hook>, any, proceed_for<R>>;
    constexpr bool takes_the_call = takes_reference<with_call> || with_call::is_callable;
    // A generic hook that does not take the ext::call does not take an ext::any_call either. Only a
    // generic around hook may: [](ext::any_call& call, auto& proceed).
    constexpr bool takes_any_call = [] {
        // NOLINTNEXTLINE(bugprone-branch-clone): the second condition is evaluated for few hooks
        if constexpr (takes_the_call || (is_generic<std::decay_t<Hook>> && When != phase::around)) return false;
        else if constexpr (takes_proceed_by_value<std::decay_t<Hook>>) return false;
        else return takes_reference<with_any_call> || with_any_call::is_callable;
    }();
    if constexpr (takes_the_call) {
        // If it is not callable, the compiler has reported an error in the hook's body.
        if constexpr (with_call::is_callable) {
            const type_identity* const signature = &identity_of<Signature>();
            return pick_awaited_or_plain<When, R, typed>(target, signature, std::forward<Hook>(hook), options);
        }
    } else if constexpr (takes_any_call) {
        if constexpr (with_any_call::is_callable)
            return pick_awaited_or_plain<When, R, any>(target, nullptr, std::forward<Hook>(hook), options);
    } else {
        detail::report_wrong_parameters<When, std::decay_t<Hook>, typed, any, R>();
    }
    return {};
}

/// Registers a hook for functions of any signature. If the hook returns an awaitable, it runs only in
/// calls whose sub-tasks have the same type: see replacements.hpp.
template <phase When, class Hook>
ext::hook pick_for_any_call(const registration_target& target, Hook&& hook, const hook_options& options) {
    using any = call_view<any_call, parameters<>>;
    using given = hook_result<When, std::decay_t<Hook>, any, ext::proceed>;
    constexpr bool takes_the_call = takes_reference<given> || given::is_callable;
    if constexpr (!given::is_callable) {
        static_assert(takes_the_call,
                      "ext: a hook for any function must be callable with an ext::any_call&, "
                      "and an around hook with an ext::proceed& as well");
        return {};
    } else if constexpr (awaitable<typename given::type>) {
        using result = typename given::type;
        // The function is not known, so the hook's own type decides which functions can await it.
        using of_result = sub_task_for<result>;
        using own_sub_task = std::conditional_t<coroutine_type<result>, of_result, std::type_identity<sub_task>>;
        using sub_task_type = typename own_sub_task::type;
        return erase_awaited<When, any, sub_task_type>(target, nullptr, std::forward<Hook>(hook), options);
    } else {
        return erase_plain<When, any, typename given::type>(target, nullptr, std::forward<Hook>(hook), options);
    }
}

/// Registers `hook` on the wrapper with this site, which another module may have constructed.
template <phase When, class Signature, class Parameters, class Hook>
EXTENSIBLE_HIDDEN ext::hook add_hook(const wrapper_site& site, Hook&& hook, const hook_options& options,
                                     plugin_record* plugin = nullptr) {
    registry_record& registry = registry_of(site);
    const registration_target target{&site, registry, site.function->name, false, plugin};
    return pick_call_view<When, Signature, Parameters>(target, std::forward<Hook>(hook), options);
}

/// Registers `hook` by name or under a pattern. If `Signature` is void, it is deduced from the hook's
/// parameter.
template <phase When, class Signature, class Hook>
ext::hook add_hook(registry_record& registry, std::string_view name, Hook&& hook, const hook_options& options,
                   plugin_record* plugin = nullptr) {
    using signature = typename signature_of_hook<When, Signature, std::decay_t<Hook>>::type;
    constexpr bool is_any = std::same_as<signature, any_call>;
    const registration_target target{nullptr, registry, name, is_any && is_pattern(name), plugin};
    if constexpr (is_any) return pick_for_any_call<When>(target, std::forward<Hook>(hook), options);
    else return pick_call_view<When, signature, parameters<>>(target, std::forward<Hook>(hook), options);
}

/// Registers a monitor, or an error handler. If that fails, destroys it.
EXTENSIBLE_HIDDEN ext::hook add_erased_handler(registry_record& registry, const erased_hook& erased, bool monitors);

/// Registers an error handler, if Event is hook_error, or a monitor, if it is hook_run: a hook without
/// a call, which receives the event.
template <class Event, class Handler>
ext::hook add_handler(registry_record& registry, Handler&& handler) {
    constexpr bool monitors = std::is_same_v<Event, hook_run>;
    using invocation = hook_invocation<std::decay_t<Handler>, const Event>;
    constexpr bool takes_the_event = takes_reference<invocation> || invocation::is_callable;
    static_assert(takes_the_event || monitors,
                  "ext: a handler for on_hook_error() must be callable with a const ext::hook_error&");
    static_assert(takes_the_event || !monitors,
                  "ext: a monitor for on_hook_run() must be callable with a const ext::hook_run&");
    if constexpr (invocation::is_callable) {
        if (detail::is_null(handler)) throw_empty_handler(monitors);
        run_hook* const run = &run_handler<Event, std::decay_t<Handler>>;
        return add_erased_handler(registry, detail::erase(run, nullptr, std::forward<Handler>(handler)), monitors);
    } else {
        return {};
    }
}

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALLED_BY_USERS registry_record& registry_of(const wrapper_site& site) {
    if (site.registry) return site.registry->checked();
    raise<error>("ext: this ext::extensible is not constructed yet, because its source file is initialized later; "
                 "register the hook by the function's name, as in ext::on_start(\"name\", hook), which waits for the "
                 "function");
}

void throw_empty_hook(std::string_view function, phase when) {
    raise<error>(join({function, ": the ", to_string(when),
                       " hook is empty: a null pointer or an empty std::function"}));
}

void throw_empty_handler(bool monitors) {
    raise<error>(join({"ext: the handler for ", monitors ? "on_hook_run()" : "on_hook_error()",
                       " is empty: a null pointer or an empty std::function"}));
}

// Returns a new record that owns the hook. If that fails, destroys the hook.
EXTENSIBLE_COLD_FUNCTION ref<hook_record> make_record(const erased_hook& erased, phase when, std::string_view id,
                                                      std::string_view pattern) {
    EXTENSIBLE_TRY {
        ref record(new hook_record(id, pattern));
        record->erased = erased;
        record->when = when;
        return record;
    } EXTENSIBLE_CATCH(...) {
        erased.destroy(erased.object);
        EXTENSIBLE_RETHROW;
    }
}

EXTENSIBLE_CALLED_BY_USERS ext::hook add_erased(const registration_target& target, phase when,
                                                const erased_hook& erased, const type_identity* signature,
                                                const type_identity* sub_task, const hook_options& options) {
    const std::string_view pattern = target.is_pattern ? target.name : std::string_view();
    ref record = make_record(erased, when, options.id, pattern);
    record->signature = signature;
    record->sub_task = sub_task;
    record->plugin = ref(target.plugin);
    {
        locked_registry registry(target.registry);
        if (target.site) registry.add(*target.site, *record, options);
        else if (target.is_pattern) registry.add_pattern(target.name, *record, options);
        else registry.add(target.name, *record, options);
    }
    return private_access::make<ext::hook>(std::move(record));
}

EXTENSIBLE_CALLED_BY_USERS ext::hook add_erased_handler(registry_record& registry, const erased_hook& erased,
                                                        bool monitors) {
    ref record = make_record(erased, phase::start, "", "");
    {
        locked_registry locked(registry);
        if (monitors) locked.add_monitor(*record);
        else locked.add_error_handler(*record);
    }
    return private_access::make<ext::hook>(std::move(record));
}

#endif

}}}  // namespace ext::detail
