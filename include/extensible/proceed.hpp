#pragma once

// ext::proceed and ext::awaiting_proceed: with these, an around hook runs the rest of its call.

#include <extensible/any_call.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/outcome.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/running.hpp>

#include <optional>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

namespace detail {

/// What all around hooks of one call share. `run_function` resets the result, calls the function,
/// and leaves its outcome in the call. In an awaited call, it returns a stage that does so when it
/// is awaited.
template <class Result>
struct inside_of_call {
    call_fields& call;
    Result (*run_function)(const inside_of_call& self);
    const counting_guard* held = nullptr;  // of an awaited call; null for others
};

}  // namespace detail

/// Runs the rest of a call, from an around hook: the next around hook or, innermost, the function.
/// An around hook receives it as its second parameter.
///
///     get_api_key.around([](auto& call, auto& proceed) {
///         proceed();
///         if (call.exception) call.exception = nullptr, proceed();  // try again
///     });
///
/// Call it zero or more times, only while the hook runs, on its thread. A hook that does not call
/// it must supply the outcome itself: a result or an exception. The object cannot be copied.
class proceed {
public:
    /// Runs the rest of the call with the current arguments, and replaces what `result` and
    /// `exception` hold by the outcome. It does not throw what the function or a hook throws.
    ///
    /// An exception that is still in the call is displaced, and reported to the error handlers of
    /// the registry. To avoid the report, set `call.exception = nullptr` first.
    void operator()();

    proceed(const proceed&) = delete;
    proceed& operator=(const proceed&) = delete;

private:
    friend detail::access;
    using shared = detail::inside_of_call<void>;
    proceed(const shared& call, const detail::hook_entry& caller) noexcept : call_(call), caller_(caller), hook_(caller.record) {}

    EXTENSIBLE_HIDDEN static void run(const shared& call, const detail::hook_entry& hook);

    const shared& call_;
    const detail::hook_entry& caller_;  // the next entry is after it
    const detail::hook_record* hook_;   // that receives this: the caller's, or a hook it replaces
    bool called_ = false;
};

/// Runs the rest of a call, from an around hook of a function that returns an awaitable. Such a
/// hook is a coroutine, which is awaited, and writes `co_await proceed()`. See ext::proceed.
///
///     read_secret.around([](auto& call, auto& proceed) -> task<void> { co_await proceed(); });
template <class Stage>
class awaiting_proceed {
public:
    /// Returns an awaitable that runs the rest of the call when it is awaited, as
    /// ext::proceed::operator() does. Do not call it again before the awaitable is done.
    [[nodiscard("nothing runs unless it is awaited: co_await proceed()")]] Stage operator()();

    awaiting_proceed(const awaiting_proceed&) = delete;
    awaiting_proceed& operator=(const awaiting_proceed&) = delete;

private:
    friend detail::access;
    using shared = detail::inside_of_call<Stage>;
    awaiting_proceed(const shared& call, const detail::hook_entry& caller) noexcept : call_(call), caller_(caller), hook_(caller.record) {}

    static Stage run(const shared& call, const detail::hook_entry& entry);
    Stage go_on();
    Stage go_on_watched();

    const shared& call_;
    const detail::hook_entry& caller_;
    const detail::hook_record* hook_;
    detail::hook_watch* watch_ = nullptr;  // of the hook that receives this; null without a monitor
    bool called_ = false;
};

namespace detail {

/// Runs one of the candidates of a hook_entry, which are at `object`, or none if the call skips
/// them all.
EXTENSIBLE_HIDDEN void run_guarded(void* object, call_fields* call, void* inside);

struct watched_inside;

}  // namespace detail

// -------------------------------------------------------------------------------------------------

inline void proceed::operator()() {
    called_ = true;
    if (call_.call.exception) [[unlikely]] detail::displace_exception(call_.call, *hook_);
    const detail::hook_entry& next = (&caller_)[1];
    if (!next.run) return call_.run_function(call_);
    detail::access::operations(call_.call).reset_result(&call_.call);
    run(call_, next);
}

namespace detail {

/// What beginning an awaited hook takes and yields. In: the guard and, for an around hook, its
/// proceed. Out: the stage, a coroutine that runs the hook.
template <class Stage>
struct place_for_stage {
    const counting_guard& held;       // of the call
    awaiting_proceed<Stage>* inside;  // null except for an around hook
    std::optional<Stage> begun{};
};

/// Begins a hook whose stages have this type. An exception of the hook is thrown when the stage is
/// awaited.
template <class Stage>
Stage begin_hook(const hook_entry& hook, call_fields& call, const counting_guard& held, awaiting_proceed<Stage>* inside = nullptr) {
    place_for_stage<Stage> place{held, inside};
    hook.run(hook.object, &call, &place);
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the hook has set it
    return std::move(*place.begun);
}

}  // namespace detail

template <class Stage>
Stage awaiting_proceed<Stage>::operator()() {
    if (call_.call.exception) detail::displace_exception(call_.call, *hook_, *call_.held);
    return watch_ ? go_on_watched() : go_on();
}

template <class Stage>
Stage awaiting_proceed<Stage>::go_on_watched() {
    const detail::hook_watch::inside inside(*watch_);
    co_await go_on();
}

template <class Stage>
Stage awaiting_proceed<Stage>::go_on() {
    const detail::hook_entry& next = (&caller_)[1];
    Stage begun = next.run ? run(call_, next) : call_.run_function(call_);
    called_ = true;  // not reached if the stage cannot be allocated
    return begun;
}

// Runs an around hook. To the hooks outside it, an around hook that throws looks like a function
// that threw.
template <class Stage>
Stage awaiting_proceed<Stage>::run(const shared& call, const detail::hook_entry& entry) {
    const detail::call_operations& operations = detail::access::operations(call.call);
    operations.reset_result(&call.call);
    awaiting_proceed inside(call, entry);
    const detail::hook_entry* const hook = detail::hook_in_turn(entry, call.call, *call.held);
    bool skipped = !hook;
    if (hook) {
        inside.hook_ = hook->record;
        EXTENSIBLE_TRY {
            co_await detail::begin_hook<Stage>(*hook, call.call, *call.held, &inside);
        } EXTENSIBLE_CATCH(...) {
            if (!detail::keep_or_isolate(call.call, *hook->record, *call.held)) operations.reset_result(&call.call);
            else skipped = !inside.called_ && !operations.has_result(&call.call) && !call.call.exception;
        }
    }
    inside.watch_ = nullptr;  // the hook's run is over
    if (skipped) co_await inside();
}

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALL_FUNCTION void proceed::run(const shared& call, const detail::hook_entry& hook) {
    proceed inside(call, hook);
    EXTENSIBLE_TRY {
        hook.run(hook.object, &call.call, &inside);
    } EXTENSIBLE_CATCH(...) {
        detail::keep_exception(call.call, *hook.record);
        detail::access::operations(call.call).reset_result(&call.call);
    }
}

// Stands in for the rest of the call in an around hook that a monitor watches: runs the hook's
// actual proceed, and times it.
struct detail::watched_inside : inside_of_call<void> {
    hook_watch& watch;
    proceed& next;

    static void run(const inside_of_call<void>& erased) {
        const auto& self = static_cast<const watched_inside&>(erased);
        const hook_watch::inside inside(self.watch);
        self.next();
    }
};

namespace detail {

// Runs one hook. Returns false if the rest of the call still has to run: the hook is an isolated
// around hook, and failed before it produced an outcome. `next` is null except for an around hook.
EXTENSIBLE_FUNCTION bool run_hook_guarded(const hook_entry& hook, call_fields& call, proceed* next) {
    guarded_run guarded(*hook.record, hook.record->when, call);
    if (!next) return guarded.run(hook.run, hook.object, nullptr);
    bool returned = false;
    if (guarded.watch()) {
        const hook_entry alone[2]{{nullptr, nullptr, hook.record}, {}};
        const watched_inside watched{{call, &watched_inside::run}, guarded.watch(), *next};
        proceed watched_next = access::make<proceed>(watched, alone[0]);
        returned = guarded.run(hook.run, hook.object, &watched_next);
    } else {
        returned = guarded.run(hook.run, hook.object, next);
    }
    return returned || access::was_called(*next) || access::operations(call).has_result(&call) || call.exception;
}

}  // namespace detail

EXTENSIBLE_CALL_FUNCTION void detail::run_guarded(void* object, call_fields* call, void* inside) {
    const auto* const candidates = static_cast<const hook_entry*>(object);
    proceed* const next = candidates->record->when == phase::around ? static_cast<proceed*>(inside) : nullptr;
    const hook_entry* const hook = choose(candidates, *call);
    bool done = false;
    if (next && hook) access::hook_of(*next) = hook->record;
    EXTENSIBLE_TRY {
        done = hook && run_hook_guarded(*hook, *call, next);
    } EXTENSIBLE_CATCH(...) {
        keep_exception(*call, *hook->record);  // only here it is known which candidate threw it
        EXTENSIBLE_RETHROW;
    }
    if (next && !done) (*next)();
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI
