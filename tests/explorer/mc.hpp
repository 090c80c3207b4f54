#pragma once

// How is the library run under every schedule? On a model of the machine: threads are fibers, each operation that several threads
// may see is a point where another one may go on, and a store stays in its thread's store buffer for as long as the model likes.
//
// Depth first, with a bound on preemptions, delayed stores and time-outs; or at random. Found are: use after free (memory is not used
// twice in one execution), deadlocks and lost wake-ups (nobody can go on), and what a scenario checks.
//
// Which operations are points: those on atomics that one thread writes and another one reads or writes, in any execution so far (where
// such an atomic turns up, the search begins anew), and those on mutexes. Not the relaxed ones, which the library uses for what only one
// thread sees, and not those that count references, which are weaker than sequentially consistent. The machine is x86's: loads take
// place in order, and so do one thread's stores.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <functional>
#include <new>
#include <string>
#include <utility>
#include <vector>

// Of the C++ ABI; libc++ does not declare it.
namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1

namespace mc {

inline constexpr int max_threads = 6;
inline constexpr std::size_t stack_size = 256 * 1024;
inline constexpr std::size_t arena_size = 256 * 1024;  // of one fiber
inline constexpr std::size_t memory_size = (max_threads + 1) * arena_size;
inline constexpr unsigned buffer_size = 64;

// ---- State ----------------------------------------------------------------------------------------------------------

struct delayed_store {
    void* at;
    std::uint64_t value;
    unsigned size;
};

/// What the C++ runtime keeps for a thread: the exceptions that are being handled.
struct exception_state {
    void* caught = nullptr;
    unsigned uncaught = 0;
};

struct fiber {
    void* stack_pointer = nullptr;
    char* stack = nullptr;
    std::function<void()> body;
    enum { ready, on_mutex, on_condition, finished } state = finished;
    const void* waits_on = nullptr;
    std::int64_t wakes_at = 0;  // 0: only when it is woken
    delayed_store buffer[buffer_size];
    unsigned first = 0, last = 0;  // of the buffer
    exception_state exceptions;
    std::uintptr_t id = 0;
    void (*at_end[4])() noexcept {};
    int ends = 0;
    std::size_t used = 0;  // of its arena
};

struct choice {
    std::uint8_t taken, of;
};

struct script_step {
    int fiber, points;
};

struct machine {
    fiber fibers[max_threads + 1];  // 0 sets up
    int count = 0;
    int current = 0;
    bool running = false;  // the fibers run
    bool failed = false;
    std::string failure;
    void* main_stack_pointer = nullptr;
    exception_state main_exceptions;
    long execution = 0;
    long points = 0;
    std::int64_t time = 1;
    std::uintptr_t last_id = 0;
    void (*at_fork[3])() = {};

    // The search.
    bool random = false;
    std::uint64_t seed = 1;
    std::vector<choice> path;
    std::size_t at = 0;  // of the path
    int preemptions = 0, max_preemptions = 2, delays = 0, max_delays = 2;
    unsigned switch_one_in = 4, delay_one_in = 2;
    std::vector<script_step> script;  // a schedule that is given: this fiber passes so many points, then the next entry
    std::size_t script_at = 0;
    int script_passed = 0;

    // The machine's variants.
    bool has_barrier = true, broken_barrier = false;

    bool tracing = false;
    std::vector<std::string> trace;

    // Memory.
    char* memory = nullptr;
    std::uint8_t* shadow = nullptr;                     // per 16 bytes: 1 allocated, 2 freed
    std::uint8_t *readers = nullptr, *writers = nullptr;  // per 4 bytes: the fibers, in this execution
    std::uint8_t* is_shared = nullptr;                  // per 4 bytes: 1 from the next execution on, 2 now
    std::vector<std::size_t> newly_shared;
    struct block {
        char* at;
        std::size_t size;
    };
    block freed[8192];
    std::size_t freed_count = 0;
};
inline machine m;
inline bool arena_on = false;

struct outside_arena {
    const bool was = std::exchange(arena_on, false);
    ~outside_arena() { arena_on = was; }
};

inline bool in_memory(const void* p) noexcept { return p >= m.memory && p < m.memory + memory_size; }

// ---- Switching ------------------------------------------------------------------------------------------------------

extern "C" void mc_switch(void** save, void* to);
asm(R"(
.text
.globl mc_switch
mc_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

inline void exchange_exceptions(exception_state& save, const exception_state& to) noexcept {
    void* const globals = abi::__cxa_get_globals();
    std::memcpy(&save, globals, sizeof save);
    std::memcpy(globals, &to, sizeof to);
}

inline void go_to(int next) {
    if (next == m.current) return;
    fiber& from = m.fibers[m.current];
    m.current = next;
    exchange_exceptions(from.exceptions, m.fibers[next].exceptions);
    mc_switch(&from.stack_pointer, m.fibers[next].stack_pointer);
}

[[noreturn]] inline void go_to_main() {
    exception_state ignored_exceptions;
    exchange_exceptions(ignored_exceptions, m.main_exceptions);
    void* ignored;
    mc_switch(&ignored, m.main_stack_pointer);
    std::abort();
}

/// Gives the execution up.
[[noreturn]] inline void fail(const char* why) {
    const outside_arena outside;
    if (!m.failed) m.failure = why;
    m.failed = true;
    if (m.running) go_to_main();
    std::printf("failed outside of the fibers: %s\n", why);
    std::exit(2);
}

inline void check(bool holds, const char* claim) {
    if (!holds) fail(claim);
}

inline void note(const char* what, const void* at, std::uint64_t value) {
    if (!m.tracing || !m.running) return;
    const outside_arena outside;
    char line[160];
    std::snprintf(line, sizeof line, "T%d %s %p %lld", m.current, what, at, static_cast<long long>(value));
    m.trace.push_back(line);
}

// ---- Choices --------------------------------------------------------------------------------------------------------

inline std::uint64_t next_random() noexcept {
    m.seed ^= m.seed << 13;
    m.seed ^= m.seed >> 7;
    m.seed ^= m.seed << 17;
    return m.seed;
}

inline int pick(int of) {
    if (of == 1) return 0;
    const outside_arena outside;
    if (m.at < m.path.size()) {
        if (m.path[m.at].of != of) {
            std::printf("not deterministic: %d of %d\n", m.path[m.at].of, of);
            std::exit(3);
        }
        return m.path[m.at++].taken;
    }
    const int taken = m.random ? static_cast<int>(next_random() % static_cast<unsigned>(of)) : 0;
    m.path.push_back({static_cast<std::uint8_t>(taken), static_cast<std::uint8_t>(of)});
    ++m.at;
    return taken;
}

inline bool is_alive(const void* p) noexcept {
    return !in_memory(p) || m.shadow[(static_cast<const char*>(p) - m.memory) / 16] == 1;
}
inline void check_alive(const void* p) {
    if (!is_alive(p)) fail("use after free");
}

inline void commit_first(fiber& f) {
    const delayed_store& store = f.buffer[f.first++ % buffer_size];
    if (f.first == f.last) f.first = f.last = 0;
    check_alive(store.at);
    std::memcpy(store.at, &store.value, store.size);
}
inline void commit_all(fiber& f) {
    while (f.first != f.last) commit_first(f);
}

inline bool follow_script(bool stay) {
    if (m.script_at >= m.script.size()) return false;
    script_step& step = m.script[m.script_at];
    if (stay && step.fiber == m.current && m.script_passed++ < step.points) return true;
    if (!stay || step.fiber == m.current) {
        ++m.script_at;
        m.script_passed = 0;
    }
    if (m.script_at >= m.script.size() || m.fibers[m.script[m.script_at].fiber].state != fiber::ready) return false;
    m.script_passed = 1;  // the point where it is
    go_to(m.script[m.script_at].fiber);
    return true;
}

/// Another thread may go on here, a store take place, or time pass. `stay`: whether the current thread can go on.
inline void schedule(bool stay) {
    if (follow_script(stay)) return;
    for (;;) {
        enum kind { go_on, drain, wake };
        struct option {
            kind what;
            int fiber;
        } options[3 * max_threads];
        int n = 0;
        if (stay) options[n++] = {go_on, m.current};
        const bool may_preempt = m.random ? !stay || next_random() % m.switch_one_in == 0 : !stay || m.preemptions < m.max_preemptions;
        for (int i = 1; i <= m.count && may_preempt; ++i)
            if (i != m.current && m.fibers[i].state == fiber::ready) options[n++] = {go_on, i};
        for (int i = 1; i <= m.count && (may_preempt || n == 0); ++i)
            if (m.fibers[i].first != m.fibers[i].last && (!m.random || n == 0 || next_random() % 8 == 0)) options[n++] = {drain, i};
        for (int i = 1; i <= m.count && (may_preempt || n == 0); ++i)
            if (m.fibers[i].state == fiber::on_condition && m.fibers[i].wakes_at) options[n++] = {wake, i};
        if (n == 0) {
            for (int i = 1; i <= m.count; ++i)
                if (m.fibers[i].state != fiber::finished) fail("deadlock: nobody can go on");
            go_to_main();
        }
        const option chosen = options[pick(n)];
        fiber& f = m.fibers[chosen.fiber];
        if (stay && (chosen.what != go_on || chosen.fiber != m.current)) ++m.preemptions;
        if (chosen.what == go_on) return go_to(chosen.fiber);
        if (chosen.what == drain) commit_first(f);
        if (chosen.what == wake) {
            f.state = fiber::ready;
            if (m.time < f.wakes_at) m.time = f.wakes_at;
        }
    }
}

inline void point() {
    if (!m.running) return;
    if (++m.points > 100000) fail("too long: a livelock?");
    schedule(true);
}

/// Whether an operation on this is a point.
inline bool concerns_others(const void* at, bool writes) {
    if (!m.running) return false;
    if (!in_memory(at)) return true;
    const std::size_t place = static_cast<std::size_t>(static_cast<const char*>(at) - m.memory) / 4;
    const auto me = static_cast<std::uint8_t>(1 << m.current);
    (writes ? m.writers : m.readers)[place] |= me;
    const std::uint8_t all = m.readers[place] | m.writers[place];
    if (m.writers[place] && (all & (all - 1)) && !m.is_shared[place]) {
        const outside_arena outside;
        m.is_shared[place] = 1;
        m.newly_shared.push_back(place);
    }
    return m.is_shared[place] == 2;
}

// ---- What the library is made of ------------------------------------------------------------------------------------

inline void process_barrier() {
    point();
    note("barrier", nullptr, 0);
    if (m.broken_barrier) return;
    for (int i = 1; i <= m.count; ++i) commit_all(m.fibers[i]);
}

template <class T>
class atomic {
    static_assert(sizeof(T) <= 8);

public:
    constexpr atomic() noexcept : value_() {}
    constexpr atomic(T value) noexcept : value_(value) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
        begin(false, order != std::memory_order_relaxed);
        if (const delayed_store* const own = in_own_buffer()) {
            T value;
            std::memcpy(&value, &own->value, sizeof value);
            note("load*", this, own->value);
            return value;
        }
        note("load", this, bits(value_));
        return value_;
    }

    void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
        begin(true, order != std::memory_order_relaxed);
        if (!m.running) {
            value_ = value;
            return;
        }
        fiber& f = m.fibers[m.current];
        if (order == std::memory_order_seq_cst) commit_all(f);
        else if (f.first != f.last || (order != std::memory_order_relaxed && may_delay())) {
            if (f.last - f.first == buffer_size) commit_first(f);
            note("store (delayed)", this, bits(value));
            f.buffer[f.last++ % buffer_size] = {&value_, bits(value), sizeof(T)};
            return;
        }
        note("store", this, bits(value));
        value_ = value;
    }

    T fetch_add(T by, std::memory_order order = std::memory_order_seq_cst) noexcept {
        return modify(order, [&](T value) { return static_cast<T>(value + by); });
    }
    T fetch_sub(T by, std::memory_order order = std::memory_order_seq_cst) noexcept {
        return modify(order, [&](T value) { return static_cast<T>(value - by); });
    }
    T fetch_or(T by, std::memory_order order = std::memory_order_seq_cst) noexcept {
        return modify(order, [&](T value) { return static_cast<T>(value | by); });
    }
    T fetch_and(T by, std::memory_order order = std::memory_order_seq_cst) noexcept {
        return modify(order, [&](T value) { return static_cast<T>(value & by); });
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order order = std::memory_order_seq_cst) noexcept {
        const T compared = expected;
        expected = modify(order, [&](T value) { return value == compared ? desired : value; });
        return expected == compared;
    }

private:
    static std::uint64_t bits(T value) noexcept {
        std::uint64_t all = 0;
        std::memcpy(&all, &value, sizeof value);
        return all;
    }
    void begin(bool writes, bool may_be_point) const {
        if (!m.running) return;
        if (may_be_point && concerns_others(this, writes)) point();
        check_alive(this);
    }
    static bool may_delay() {
        if (m.random) return next_random() % m.delay_one_in == 0;
        const bool delays = m.delays < m.max_delays && pick(2) == 1;
        m.delays += delays;
        return delays;
    }
    const delayed_store* in_own_buffer() const {
        if (!m.running) return nullptr;
        const fiber& f = m.fibers[m.current];
        for (unsigned i = f.last; i != f.first; --i) {
            const delayed_store& store = f.buffer[(i - 1) % buffer_size];
            if (store.at == static_cast<const void*>(&value_)) return &store;
        }
        return nullptr;
    }
    template <class F>
    T modify(std::memory_order order, F f) noexcept {
        begin(true, order == std::memory_order_seq_cst);
        if (m.running && (order != std::memory_order_relaxed || in_own_buffer())) commit_all(m.fibers[m.current]);
        const T before = value_;
        value_ = f(before);
        note("modify", this, bits(value_));
        return before;
    }

    T value_;
};

class mutex {
public:
    constexpr mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    void lock() noexcept {
        if (!m.running) {
            check(holder_ < 0, "a lock that is held is taken, outside of the fibers");
            holder_ = 0;
            return;
        }
        point();
        commit_all(m.fibers[m.current]);
        check_alive(this);
        while (holder_ >= 0) {
            check(holder_ != m.current, "a thread takes a lock that it holds");
            fiber& f = m.fibers[m.current];
            f.state = fiber::on_mutex;
            f.waits_on = this;
            schedule(false);
        }
        note("lock", this, 0);
        holder_ = m.current;
    }

    // No point: what follows is one, or concerns nobody.
    void unlock() noexcept {
        if (m.running) {
            check_alive(this);
            check(holder_ == m.current, "a lock is given back that is not held");
            commit_all(m.fibers[m.current]);
        }
        note("unlock", this, 0);
        holder_ = -1;
        for (int i = 1; i <= m.count; ++i)
            if (m.fibers[i].state == fiber::on_mutex && m.fibers[i].waits_on == this) m.fibers[i].state = fiber::ready;
    }

private:
    int holder_ = -1;
};

class condition {
public:
    void wait(mutex& held) { wait_until(held, 0); }

    void wait_until(mutex& held, std::int64_t until) {
        check(m.running, "somebody waits outside of the fibers");
        note("wait", this, 0);
        fiber& f = m.fibers[m.current];
        held.unlock();
        f.state = fiber::on_condition;
        f.waits_on = this;
        f.wakes_at = until;
        schedule(false);
        held.lock();
    }

    void notify_all() noexcept {
        note("notify", this, 0);
        check_alive(this);
        for (int i = 1; i <= m.count; ++i)
            if (m.fibers[i].state == fiber::on_condition && m.fibers[i].waits_on == this) m.fibers[i].state = fiber::ready;
    }

private:
    char address_ = 0;
};

/// One pointer for each fiber, which is `initial` when an execution begins.
template <class T, T& Initial>
class thread_pointer {
public:
    static T* get() noexcept { return here(); }
    static void set(T* value) noexcept { here() = value; }

private:
    static T*& here() noexcept {
        if (std::exchange(of_execution, m.execution) != m.execution)
            for (T*& each : values) each = &Initial;
        return values[m.current];
    }
    static inline T* values[max_threads + 1]{};
    static inline long of_execution = -1;
};

inline void call_at_thread_end(void (*function)() noexcept) {
    fiber& f = m.fibers[m.current];
    for (int i = 0; i < f.ends; ++i)
        if (f.at_end[i] == function) return;
    f.at_end[f.ends++] = function;
}

/// The current thread ends; what follows is a new one, with this id, 0 for one that no thread had before.
inline void end_thread(std::uintptr_t next_id) {
    fiber& f = m.fibers[m.current];
    while (f.ends != 0) f.at_end[--f.ends]();
    f.id = next_id ? next_id : ++m.last_id;
}

/// The process forks, and what follows is the child: no other thread is left, nor a store that it delayed.
inline void go_on_in_child() {
    m.at_fork[0]();
    for (int i = 1; i <= m.count; ++i) {
        if (i == m.current) continue;
        m.fibers[i].state = fiber::finished;
        m.fibers[i].first = m.fibers[i].last = 0;
    }
    m.at_fork[2]();
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

// Each fiber has an arena of its own, so that what it allocates has the same address in most executions.
inline void* allocate(std::size_t size, std::size_t alignment) {
    fiber& f = m.fibers[m.current];
    size = (size + 15) / 16 * 16;
    const std::size_t begin = (f.used + 16 + alignment - 1) / alignment * alignment;
    if (begin + size > arena_size) {
        std::puts("no memory in the arena");
        std::exit(3);
    }
    f.used = begin + size;
    char* const at = m.memory + static_cast<std::size_t>(m.current) * arena_size + begin;
    std::memcpy(at - 16, &size, sizeof size);
    std::memset(m.shadow + (at - m.memory) / 16, 1, size / 16);
    return at;
}

inline void release(void* p) {
    char* const at = static_cast<char*>(p);
    std::size_t size;
    std::memcpy(&size, at - 16, sizeof size);
    std::uint8_t* const shadow = m.shadow + (at - m.memory) / 16;
    if (*shadow != 1) fail("freed twice");
    std::memset(shadow, 2, size / 16);
    std::memset(at, 0xdd, size);
    if (m.freed_count < sizeof m.freed / sizeof *m.freed) m.freed[m.freed_count++] = {at, size};
}

/// Whether what was freed has not been written to since.
inline bool freed_is_untouched() {
    for (std::size_t i = 0; i < m.freed_count; ++i) {
        const char* const at = m.freed[i].at;
        const std::size_t size = m.freed[i].size;
        if (size && (static_cast<unsigned char>(*at) != 0xdd || std::memcmp(at, at + 1, size - 1) != 0)) return false;
    }
    return true;
}

// ---- One execution --------------------------------------------------------------------------------------------------

inline void begin_execution() {
    for (int i = 0; i <= max_threads; ++i) {
        fiber& f = m.fibers[i];
        const std::size_t from = static_cast<std::size_t>(i) * arena_size, used = (f.used + 63) / 64 * 64;
        std::memset(m.shadow + from / 16, 0, used / 16);
        std::memset(m.readers + from / 4, 0, used / 4);
        std::memset(m.writers + from / 4, 0, used / 4);
        f.used = 0;
        f.id = static_cast<std::uintptr_t>(i) + 1;
        f.ends = 0;
        f.first = f.last = 0;
        f.exceptions = {};
    }
    m.last_id = max_threads + 1;
    m.freed_count = 0;
    m.failed = false;
    m.at = 0;
    m.preemptions = m.delays = 0;
    m.points = 0;
    m.time = 1;
    m.newly_shared.clear();
    ++m.execution;
    arena_on = true;
}

inline void run_fiber() {
    fiber& f = m.fibers[m.current];
    f.body();
    end_thread(0);
    commit_all(f);
    f.state = fiber::finished;
    schedule(false);
}

/// Runs the bodies as threads, in one execution.
inline void run(const std::vector<std::function<void()>>& bodies) {
    m.count = static_cast<int>(bodies.size());
    for (int i = 1; i <= m.count; ++i) {
        fiber& f = m.fibers[i];
        new (&f.body) std::function<void()>(bodies[static_cast<std::size_t>(i - 1)]);  // over that of an execution that was given up
        f.state = fiber::ready;
        if (!f.stack) f.stack = static_cast<char*>(std::malloc(stack_size));
        void** at = reinterpret_cast<void**>(f.stack + stack_size - 64);
        *--at = nullptr;  // alignment, as behind a call
        *--at = reinterpret_cast<void*>(&run_fiber);
        for (int saved = 0; saved < 6; ++saved) *--at = nullptr;
        f.stack_pointer = at;
    }
    m.script_at = 0;
    m.script_passed = 0;
    const int first = m.script.empty() ? 1 + pick(m.count) : m.script[0].fiber;
    m.running = true;
    m.current = first;
    exchange_exceptions(m.main_exceptions, m.fibers[first].exceptions);
    mc_switch(&m.main_stack_pointer, m.fibers[first].stack_pointer);
    m.running = false;
    m.current = 0;
    m.count = 0;
}

inline void end_execution() {
    arena_on = false;
    if (m.failed) return;  // what is shared stays as it is, so that it fails again in the same way
    for (const std::size_t place : m.newly_shared) m.is_shared[place] = 2;
}

inline void set_up_memory() {
    m.memory = static_cast<char*>(std::aligned_alloc(4096, memory_size));
    m.shadow = static_cast<std::uint8_t*>(std::calloc(memory_size / 16, 1));
    m.readers = static_cast<std::uint8_t*>(std::calloc(memory_size / 4, 1));
    m.writers = static_cast<std::uint8_t*>(std::calloc(memory_size / 4, 1));
    m.is_shared = static_cast<std::uint8_t*>(std::calloc(memory_size / 4, 1));
}

}  // namespace mc

void* operator new(std::size_t size) { return mc::arena_on ? mc::allocate(size, 16) : std::malloc(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    const auto to = static_cast<std::size_t>(alignment);
    return mc::arena_on ? mc::allocate(size, to) : std::aligned_alloc(to, (size + to - 1) / to * to);
}
void operator delete(void* p) noexcept {
    if (mc::in_memory(p)) mc::release(p);
    else std::free(p);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }
void operator delete(void* p, std::align_val_t) noexcept { operator delete(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { operator delete(p); }
