#pragma once

// Which domain does a module have, and which slots do its threads have?
//
// What must stay true:
// 1. No two threads that run have the same slots (tests/explorer: threads, slots).
// 2. The slots of a thread that has ended are handed to the next thread that needs some
//    (tests/allocation.cpp).
//
// Not here: what a slot holds (hazard_slots.hpp), and when lists are freed (hazard_domain.hpp).

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/never_destroyed.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/reclaim/hazard_slots.hpp>

#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Returns the slots of the calling thread in this module's domain, and acquires them if necessary.
EXTENSIBLE_COLD_FUNCTION thread_hazards& hazards_of_this_thread();

#if defined(EXTENSIBLE_COMPILED)

EXTENSIBLE_HIDDEN extern never_destroyed<hazard_domain> hazards_storage;

#else

EXTENSIBLE_HIDDEN inline constinit never_destroyed<hazard_domain> hazards_storage{&hazards_of_this_thread};

#endif

/// The domain of the module that calls this.
EXTENSIBLE_HIDDEN inline hazard_domain& hazards() noexcept { return hazards_storage.value; }

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

#if defined(EXTENSIBLE_COMPILED)

constinit never_destroyed<hazard_domain> hazards_storage{&hazards_of_this_thread};

#endif

EXTENSIBLE_COLD_FUNCTION void release_hazards_of_this_thread() noexcept {
    this_thread_hazards::set(&no_hazards);
    hazards().release_slots();
}

thread_hazards& hazards_of_this_thread() {
    if (this_thread_hazards::get() == &no_hazards) {
        // Destroyed when the program ends, or when this shared library is closed.
        static const struct module_end {
            ~module_end() { hazards().free_slots(); }
        } at_module_end;
        this_thread_hazards::set(&hazards().acquire_slots());
        call_at_thread_end<&release_hazards_of_this_thread>();
    }
    return *this_thread_hazards::get();
}

thread_hazards& hazard_domain::acquire_slots() {
    set_up();
    const thread_id me = this_thread_id();
    {
        const mutex_lock lock(mutex_);
        // First, slots that this thread_id already owns: this thread's, if release_slots() has left
        // them because it was inside a call; or those of an ended thread that had the same id, and
        // whose first call came too late for call_at_thread_end() to have an effect.
        thread_hazards* thread = threads_;
        while (thread && thread->owner != me) thread = thread->next;
        if (!thread) {
            thread = threads_;
            while (thread && thread->owner != 0) thread = thread->next;
        }
        if (thread) {
            thread->owner = me;
            thread->number = ++last_thread_number_;
            return *thread;
        }
    }
    // Not locked: operator new may be the application's.
    thread_hazards* const made = new thread_hazards(*this, has_process_barrier_);
    const mutex_lock lock(mutex_);
    made->owner = me;
    made->number = ++last_thread_number_;
    made->next = std::exchange(threads_, made);
    return *made;
}

void hazard_domain::release_slots() noexcept {
    const thread_id me = this_thread_id();
    const mutex_lock lock(mutex_);
    // If the thread is inside a call, std::exit is running, which unwinds nothing. The call is not
    // over, so its lists must stay protected.
    for (thread_hazards* thread = threads_; thread; thread = thread->next)
        if (thread->owner == me && !thread->is_in_call()) thread->owner = 0;
}

void hazard_domain::free_slots() noexcept {
    const mutex_lock lock(mutex_);
    for (const thread_hazards* thread = threads_; thread; thread = thread->next)
        if (thread->owner != 0) return;  // that thread may still use them
    while (threads_) thread_hazards::destroy(std::exchange(threads_, threads_->next));
}

#endif

}}}  // namespace ext::detail
