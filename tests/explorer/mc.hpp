#pragma once

// Runs the library under every schedule, on a machine that is as weak as C++ allows. Threads are
// fibers. Each operation that several threads can observe is a point: another thread can run there.
// Each load can return any value that its thread may still see.
//
// The search is depth first, with a bound on preemptions, time-outs and loads of stale values, or
// it is random. It finds use after free (memory is not reused within one execution), data races,
// deadlocks and lost wake-ups (no thread can run), and claims of a scenario that do not hold.
//
// The memory model is that of C++20, except that the modification order of an atomic is the order
// in which its stores are executed. So a load does not see later stores. If two stores to one
// atomic are not ordered otherwise, they have the order in which they are executed. A load sees
// any value that no newer value hides. A newer value hides older ones if its store happens before
// the load, or if an operation that happens before the load has seen it. A sequentially consistent
// load also fits into the single order of all such operations. Read-modify-writes see the newest
// value.
//
// The process-wide barrier is that of P1202: it is ordered with the signal fences of the other
// threads, and with nothing else. In effect it is a full fence in each thread, but the compiler may
// move accesses across it unless a signal fence prevents that.
//
// Operations on mutexes are points. Operations on an atomic are points if one thread has written it
// and another thread has read or written it, in any execution so far. When such an atomic is found,
// the search restarts. Relaxed operations are not points: the library uses them for data that only
// one thread sees. Operations that count references are not points either: they
// are weaker than sequentially consistent.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace mc {

inline constexpr int max_threads = 6;
inline constexpr int max_modules = 2;
inline constexpr std::size_t arena_size = 256 * 1024;  // of one fiber
inline constexpr std::size_t memory_size = (max_threads + 1) * arena_size;

// ---- Claims ---------------------------------------------------------------------------------------------------------

/// Aborts the execution.
[[noreturn]] void fail(const char* why);

inline void check(bool holds, const char* claim) {
    if (!holds) fail(claim);
}

// ---- Accesses, and how they are weakened ----------------------------------------------------------------------------

enum class operation {
    load, store, fetch_add, fetch_sub, fetch_or, fetch_and, compare_exchange, signal_fence, process_barrier
};
const char* name_of(operation what) noexcept;

/// The place of an access in the source, which identifies the access.
struct place {
    const char* file;
    const char* function;
    int line;
    static constexpr place here(const char* file = __builtin_FILE(), const char* function = __builtin_FUNCTION(),
                                int line = __builtin_LINE()) noexcept {
        return {file, function, line};
    }
};

struct access {
    place at{};
    operation what{};
    std::memory_order order{};
};

// ---- State ----------------------------------------------------------------------------------------------------------

/// How much of each thread's past is known, that is, happens before now.
struct vector_clock {
    std::uint32_t of[max_threads + 2]{};  // 0: the set-up; one more than needed, to fill registers
    void join(const vector_clock& other) noexcept;
};

/// What the C++ runtime stores for each thread: the exceptions that are being handled.
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
    std::int64_t wakes_at = 0;  // 0: no time-out
    vector_clock now;
    vector_clock fenced;    // its past at the last signal fence, which a barrier acquires
    vector_clock barriers;  // the past of barriers, which its next signal fence acquires
    exception_state exceptions;
    std::uintptr_t id = 0;
    int module = 0;  // it uses the thread-local storage of this module
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

/// The state that the search, the scenarios and the machine share.
struct machine {
    fiber fibers[max_threads + 1];  // 0: the set-up
    int count = 0;
    int current = 0;
    bool running = false;  // the fibers run
    bool failed = false;
    std::string failure;
    long execution = 0;
    long points = 0;
    std::int64_t time = 1;
    std::uintptr_t last_id = 0;

    // The search.
    bool random = false;
    std::uint64_t seed = 1;
    std::vector<choice> path;
    std::size_t at = 0;  // of the path
    int preemptions = 0, max_preemptions = 2, stale_loads = 0, max_stale_loads = 2;
    unsigned switch_one_in = 4, stale_one_in = 2;
    std::vector<script_step> script;  // a given schedule: the fiber passes its points, then the next entry applies
    std::size_t script_at = 0;
    int script_passed = 0;
    std::vector<std::size_t> newly_shared;

    // The machine's variants.
    bool has_barrier = true;
    access weak;  // this access gets the order below; a fence is omitted. Line 0: none
    std::memory_order weak_order{};

    std::vector<access>* met = nullptr;  // accesses are recorded here
    bool tracing = false;
    std::vector<std::string> trace;
};
extern machine m;

/// Another thread can run here.
void point();

/// A read or write of an object that is not atomic. Two accesses of different threads, of which one
/// writes, are a data race unless one happens before the other. Code that is compiled with
/// -fsanitize=thread calls this. It always accesses an object by the address of its first byte.
void plain_access(const void* at, bool writes);

bool is_alive(const void* p) noexcept;

// ---- Primitives of the library --------------------------------------------------------------------------------------

void signal_fence(place where);
void process_barrier(place where);

/// The state of an atomic of any type: its newest value, and its earlier values in this execution.
struct cell {
    std::uint64_t newest = 0;
    mutable long execution = 0;            // the rest belongs to this execution
    mutable std::uint32_t last_store = 0;  // of the newest value
    mutable std::uint32_t location = 0;    // a unique number
};
void make(cell& made) noexcept;
std::uint64_t load(const cell& from, std::memory_order order, place where);
void store(cell& to, std::uint64_t value, std::memory_order order, place where);
std::uint64_t modify(cell& at, operation what, std::uint64_t by, std::memory_order order, place where);
bool compare_exchange(cell& at, std::uint64_t& expected, std::uint64_t desired, std::memory_order order, place where);

template <class T>
class atomic {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);

public:
    constexpr atomic() noexcept : atomic(T()) {}
    constexpr atomic(T value) noexcept : cell_{to_bits(value)} {
        if (!std::is_constant_evaluated()) make(cell_);
    }
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(std::memory_order order = std::memory_order_seq_cst, place where = place::here()) const noexcept {
        return of_bits(mc::load(cell_, order, where));
    }
    void store(T value, std::memory_order order = std::memory_order_seq_cst, place where = place::here()) noexcept {
        mc::store(cell_, to_bits(value), order, where);
    }
    T fetch_add(T by, std::memory_order order = std::memory_order_seq_cst, place where = place::here()) noexcept {
        return of_bits(modify(cell_, operation::fetch_add, to_bits(by), order, where));
    }
    T fetch_sub(T by, std::memory_order order = std::memory_order_seq_cst, place where = place::here()) noexcept {
        return of_bits(modify(cell_, operation::fetch_sub, to_bits(by), order, where));
    }
    T fetch_or(T by, std::memory_order order = std::memory_order_seq_cst, place where = place::here()) noexcept {
        return of_bits(modify(cell_, operation::fetch_or, to_bits(by), order, where));
    }
    T fetch_and(T by, std::memory_order order = std::memory_order_seq_cst, place where = place::here()) noexcept {
        return of_bits(modify(cell_, operation::fetch_and, to_bits(by), order, where));
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order order = std::memory_order_seq_cst,
                                 place where = place::here()) noexcept {
        std::uint64_t bits = to_bits(expected);
        const bool exchanged = compare_exchange(cell_, bits, to_bits(desired), order, where);
        expected = of_bits(bits);
        return exchanged;
    }

private:
    static constexpr std::uint64_t to_bits(T value) noexcept {
        if constexpr (std::is_pointer_v<T>) return value ? reinterpret_cast<std::uint64_t>(value) : 0;
        else return static_cast<std::uint64_t>(value);
    }
    static T of_bits(std::uint64_t bits) noexcept {
        if constexpr (std::is_pointer_v<T>) return reinterpret_cast<T>(bits);
        else return static_cast<T>(bits);
    }

    cell cell_;
};

class mutex {
public:
    constexpr mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;
    void lock() noexcept;
    void unlock() noexcept;

private:
    int holder_ = -1;
    vector_clock given_back_{};
};

class condition {
public:
    void wait(mutex& held) { wait_until(held, 0); }
    void wait_until(mutex& held, std::int64_t until);
    void notify_all() noexcept;

private:
    [[maybe_unused]] char address_ = 0;
};

/// One thread gives, another takes, as in an executor: what precedes give() happens before what
/// follows take(). These are not points.
class handover {
public:
    void give() noexcept;
    void take() const noexcept;
    bool is_known() const noexcept;  // whether what precedes give() happens before now, taken or not

private:
    vector_clock given_{};
};

/// One pointer for each fiber in each module. It is `Initial` when an execution begins.
template <class T, T& Initial>
class thread_pointer {
public:
    static T* get() noexcept { return here(); }
    static void set(T* value) noexcept { here() = value; }

private:
    static T*& here() noexcept {
        if (std::exchange(of_execution, m.execution) != m.execution)
            for (auto& of_module : values)
                for (T*& each : of_module) each = &Initial;
        return values[m.fibers[m.current].module][m.current];
    }
    static inline T* values[max_modules][max_threads + 1]{};
    static inline long of_execution = -1;
};

void call_at_thread_end(void (*function)() noexcept);

/// The current thread ends. The fiber continues as a new thread that the old one has started. The
/// new thread has this id, or a fresh one if it is 0.
void end_thread(std::uintptr_t next_id);

// ---- Running --------------------------------------------------------------------------------------------------------

void set_up_memory();

/// Forgets which atomics several threads use.
void forget_what_is_shared();

void begin_execution();

/// Also looks for data races in this object, which is in static storage.
void watch(const void* object, std::size_t size);

/// Runs the bodies as threads, in one execution.
void run(const std::vector<std::function<void()>>& bodies);

void end_execution();

}  // namespace mc
