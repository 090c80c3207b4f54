#pragma once

// How does a function object become a hook? By code that knows its type and hands it the call.

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/await_hook.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/call_operations.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/error.hpp>
#include <extensible/hook_error.hpp>
#include <extensible/params.hpp>
#include <extensible/proceed.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext::detail {

// What a hook is handed: the call itself, or with the names of a function's parameters, or as one of any function.
template <class Signature, class Parameters>
struct handed {
    static named_call<Signature, Parameters> from(any_call call) noexcept { return {call_from<Signature>(call.erased())}; }
};
template <class Signature>
struct handed<Signature, parameters<>> {
    static ext::call<Signature>& from(any_call call) noexcept { return call_from<Signature>(call.erased()); }
};
template <>
struct handed<any_call, parameters<>> {
    static any_call from(any_call call) noexcept { return call; }
};
template <>
struct handed<hook_error, parameters<>> {
    static const hook_error& from(any_call call) noexcept { return *static_cast<const hook_error*>(call.erased()); }
};

// What a hook returns; `Proceed` is what an around hook is handed to go on, and of no account for others.
template <phase When, class Hook, class Call, class Proceed>
struct hook_result {
    using call = decltype(Call::from(std::declval<any_call>()));
    static constexpr bool takes = std::is_invocable_v<Hook&, call&>;
    using type = typename std::conditional_t<takes, std::invoke_result<Hook&, call&>, std::type_identity<void>>::type;
};
template <class Hook, class Call, class Proceed>
struct hook_result<phase::around, Hook, Call, Proceed> {
    using call = decltype(Call::from(std::declval<any_call>()));
    static constexpr bool takes = std::is_invocable_v<Hook&, call&, Proceed&>;
    using type = typename std::conditional_t<takes, std::invoke_result<Hook&, call&, Proceed&>, std::type_identity<void>>::type;
};

/// A record of the hook, not registered yet. `function` is for the text of an error. A null signature stands for any.
template <phase When, class Hook>
ref<hook_record> make_record(std::string_view function, const type_identity* signature, const ref<owner_record>& owner,
                             run_hook* run, Hook&& hook) {
    using stored = std::decay_t<Hook>;
    if (is_null(hook))
        throw error(std::string(function) + ": " + (When == phase::start ? "a " : "an ") + std::string(to_string(When)) +
                    " hook was expected, an empty one was given: a null pointer or an empty std::function");
    ref<hook_record> record(new hook_record);
    record->signature = signature;
    record->when = When;
    record->owner = owner;
    record->erased = {new stored(std::forward<Hook>(hook)), run,
                      [](void* object) noexcept { delete static_cast<stored*>(object); }};
    return record;
}

/// As above, for a hook that is run with what `Call` makes of the call.
template <phase When, class Call, class Hook>
ref<hook_record> make_plain(std::string_view function, const type_identity* signature, const ref<owner_record>& owner,
                            Hook&& hook) {
    constexpr auto run = [](const hook_entry& self, void* erased_call, const call_operations& operations,
                            [[maybe_unused]] void* inside) {
        auto& function_object = *static_cast<std::decay_t<Hook>*>(self.object);
        auto&& call = Call::from(any_call(erased_call, operations));
        if constexpr (When == phase::around)
            static_cast<void>(std::invoke(function_object, call, *static_cast<proceed*>(inside)));
        else
            static_cast<void>(std::invoke(function_object, call));
    };
    return make_record<When>(function, signature, owner, run, std::forward<Hook>(hook));
}

// The coroutine that awaits a hook.
template <phase When, class Call, class Stage, class Hook>
Stage await_hook(Hook& hook, any_call erased, [[maybe_unused]] awaiting_proceed<Stage>* inside) {
    auto&& call = Call::from(erased);
    if constexpr (When == phase::around) static_cast<void>(co_await std::invoke(hook, call, *inside));
    else static_cast<void>(co_await std::invoke(hook, call));
}

/// As above, for a hook that returns an awaitable.
template <phase When, class Call, class Stage, class Hook>
ref<hook_record> make_awaited(std::string_view function, const type_identity* signature, const ref<owner_record>& owner,
                              Hook&& hook) {
    constexpr auto run = [](const hook_entry& self, void* erased_call, const call_operations& operations, void* inside) {
        auto& function_object = *static_cast<std::decay_t<Hook>*>(self.object);
        auto& place = *static_cast<place_for_stage<Stage>*>(inside);
        place.begun.emplace(await_hook<When, Call, Stage>(function_object, any_call(erased_call, operations), place.inside));
    };
    const auto record = make_record<When>(function, signature, owner, run, std::forward<Hook>(hook));
    record->stage = &identity_of<Stage>();
    return record;
}

// What goes on to the inside of calls of functions that return R.
template <class R>
struct proceed_of {
    using type = proceed;
};
template <coroutine_type R>
struct proceed_of<R> {
    using type = awaiting_proceed<stage_of<R>>;
};
template <class R>
using proceed_for = typename proceed_of<R>::type;

/// A record of a hook on a function that returns R, which is handed what `Call` makes of the call.
template <phase When, class R, class Call, class Hook>
ref<hook_record> make_suitable(std::string_view function, const type_identity* signature, const ref<owner_record>& owner,
                               Hook&& hook) {
    constexpr bool is_awaited = coroutine_type<R>;
    using result = typename hook_result<When, std::decay_t<Hook>, Call, proceed_for<R>>::type;
    if constexpr (awaitable<result>) {
        static_assert(is_awaited, "ext: the hook returns an awaitable, and the function does not: nobody would await it");
        if constexpr (is_awaited) {
            using stage_type = stage_of<R>;
            constexpr bool function_can_await = can_await<stage_type, result>;
            static_assert(function_can_await,
                          "ext: the hook returns an awaitable that coroutines of the function's type cannot await; let it return "
                          "one of the function's own family");
            if constexpr (function_can_await)
                return make_awaited<When, Call, stage_type>(function, signature, owner, std::forward<Hook>(hook));
        }
        return {};
    } else {
        static_assert(When != phase::around || !is_awaited,
                      "ext: an around hook of a function that returns an awaitable has to return one too, and to await what it "
                      "goes on to: co_await proceed()");
        return make_plain<When, Call>(function, signature, owner, std::forward<Hook>(hook));
    }
}

template <class Signature>
struct result_type_of;
template <class R, class... A>
struct result_type_of<R(A...)> {
    using type = R;
};

/// A record of a hook on a function of this signature.
template <phase When, class Signature, class Parameters, class Hook>
ref<hook_record> make_hook(std::string_view function, const ref<owner_record>& owner, Hook&& hook) {
    using R = typename result_type_of<Signature>::type;
    using proceed = proceed_for<R>;
    using typed = handed<Signature, Parameters>;
    using any = handed<any_call, parameters<>>;
    constexpr bool takes_the_call = hook_result<When, std::decay_t<Hook>, typed, proceed>::takes;
    if constexpr (takes_the_call) {
        return make_suitable<When, R, typed>(function, &identity_of<Signature>(), owner, std::forward<Hook>(hook));
    } else if constexpr (hook_result<When, std::decay_t<Hook>, any, proceed>::takes) {
        return make_suitable<When, R, any>(function, nullptr, owner, std::forward<Hook>(hook));
    } else if constexpr (When == phase::around) {
        static_assert(takes_the_call,
                      "ext: an around hook must be callable with the call of its function and an ext::proceed, as in "
                      "[](auto& call, auto& proceed) { ... } or [](ext::call<R(A...)>& call, ext::proceed& proceed) { ... } "
                      "with exactly the function's signature");
        return {};
    } else {
        static_assert(takes_the_call,
                      "ext: a hook must be callable with the call of its function, as in [](auto& call) { ... } or "
                      "[](ext::call<R(A...)>& call) { ... } with exactly the function's signature");
        return {};
    }
}

/// A record of a handler for on_hook_error(), which is a hook without a call.
template <class Handler>
ref<hook_record> make_error_handler(Handler&& handler) {
    using given = handed<hook_error, parameters<>>;
    constexpr bool takes_the_error = std::is_invocable_v<std::decay_t<Handler>&, const hook_error&>;
    static_assert(takes_the_error, "ext: a handler for on_hook_error must be callable with a const ext::hook_error&");
    if constexpr (takes_the_error)
        return make_plain<phase::start, given>("on_hook_error", nullptr, {}, std::forward<Handler>(handler));
    else
        return {};
}

/// A record of a hook on functions of any signature. One that returns an awaitable is for those that do so too.
template <phase When, class Hook>
ref<hook_record> make_any_hook(std::string_view pattern, const ref<owner_record>& owner, Hook&& hook) {
    using any = handed<any_call, parameters<>>;
    using given = hook_result<When, std::decay_t<Hook>, any, ext::proceed>;
    if constexpr (!given::takes) {
        static_assert(given::takes, "ext: a hook for any function must be callable with an ext::any_call&, and an around hook "
                                    "with an ext::proceed& as well");
        return {};
    } else if constexpr (awaitable<typename given::type>) {
        using result = typename given::type;
        using own_stage = std::conditional_t<coroutine_type<result>, stage_for<result>, std::type_identity<stage>>;
        using stage_type = typename own_stage::type;
        return make_awaited<When, any, stage_type>(pattern, nullptr, owner, std::forward<Hook>(hook));
    } else {
        return make_plain<When, any>(pattern, nullptr, owner, std::forward<Hook>(hook));
    }
}

}  // namespace ext::detail
