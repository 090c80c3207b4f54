#pragma once

// How is the library run under every schedule, on a machine that is as weak as C++ allows? Threads
// are fibers. Each operation that several threads may see is a point where another one may go on,
// and each load is given any value that the thread may still see.
//
// Depth first, with a bound on preemptions, time-outs and loads of stale values; or at random.
// Found are: use after free (memory is not used twice in one execution), data races, deadlocks and
// lost wake-ups (nobody can go on), and what a scenario checks.
//
// The memory is that of C++20, except that the modification order of an atomic is the order in
// which its stores are executed: a load does not see what comes later, and of two stores to one
// atomic that nothing orders the one that is executed first is the first. A load sees any value
// that no newer one hides: one that happens before the load, or was seen by what happens before it.
// A sequentially consistent one also fits into the single order of all such operations.
// Read-modify-writes see the newest value.
//
// The process-wide barrier is that of P1202: it is ordered with the signal fences of the other
// threads, and with nothing else. In the end that is a full fence in each thread, except that the
// compiler may move accesses across where no signal fence keeps it.
//
// Which operations are points: those on atomics that one thread writes and another one reads or
// writes, in any execution so far (where such an atomic turns up, the search begins anew), and
// those on mutexes. Not the relaxed ones, which the library uses for what only one thread sees, and
// not those that count references, which are weaker than sequentially consistent.

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

/// Gives the execution up.
[[noreturn]] void fail(const char* why);

inline void check(bool holds, const char* claim) {
    if (!holds) fail(claim);
}

// ---- Accesses, and how they are weakened ----------------------------------------------------------------------------

enum class operation {
    load, store, fetch_add, fetch_sub, fetch_or, fetch_and, compare_exchange, signal_fence, process_barrier
};
const char* name_of(operation what) noexcept;

/// Where an access is made: it is told apart from others by this.
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

/// How much of each thread's past is known: of what happens before now.
struct vector_clock {
    std::uint32_t of[max_threads + 2]{};  // 0 sets up; one more than there are, for whole registers
    void join(const vector_clock& other) noexcept;
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
    vector_clock now;
    vector_clock fenced;    // at the last signal fence: a barrier sees that much
    vector_clock barriers;  // what barriers have brought, from the next signal fence on
    exception_state exceptions;
    std::uintptr_t id = 0;
    int module = 0;  // whose thread-local storage it uses
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

/// What the search, the scenarios and the model share.
struct machine {
    fiber fibers[max_threads + 1];  // 0 sets up
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
    std::vector<script_step> script;  // a schedule that is given: this fiber passes so many points, then the next entry
    std::size_t script_at = 0;
    int script_passed = 0;
    std::vector<std::size_t> newly_shared;

    // The machine's variants.
    bool has_barrier = true;
    access weak;  // this access has the order below; a fence is not there. No line: none
    std::memory_order weak_order{};

    std::vector<access>* met = nullptr;  // where accesses are noted
    bool tracing = false;
    std::vector<std::string> trace;
};
extern machine m;

/// Another thread may go on here.
void point();

/// Reads or writes of what is no atomic: two of two threads, one of which writes, are a data race
/// unless one happens before the other. Called for all of the code that is compiled with
/// -fsanitize=thread. One object is always accessed by the address of its first byte.
void plain_access(const void* at, bool writes);

bool is_alive(const void* p) noexcept;

// ---- What the library is made of ------------------------------------------------------------------------------------

void signal_fence(place where);
void process_barrier(place where);

/// What an atomic is, whatever its type: its newest value, and where the earlier ones are in this execution.
struct cell {
    std::uint64_t newest = 0;
    mutable long execution = 0;            // to which the rest belongs
    mutable std::uint32_t last_store = 0;  // the newest value's
    mutable std::uint32_t location = 0;    // a number of its own
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

/// What one thread hands to another, as an executor does: what came before happens before what
/// comes afterwards. No point.
class handover {
public:
    void give() noexcept;
    void take() const noexcept;
    bool is_known() const noexcept;  // whether what came before happens before now, handed over or not

private:
    vector_clock given_{};
};

/// One pointer for each fiber in each module, which is `initial` when an execution begins.
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

/// The current thread ends; what follows is a new one that it started, with this id, 0 for one that
/// no thread had before.
void end_thread(std::uintptr_t next_id);

// ---- Running --------------------------------------------------------------------------------------------------------

void set_up_memory();

/// Forgets which atomics several threads use.
void forget_what_is_shared();

void begin_execution();

/// Has data races of this object found too, which is in static storage.
void watch(const void* object, std::size_t size);

/// Runs the bodies as threads, in one execution.
void run(const std::vector<std::function<void()>>& bodies);

void end_execution();

}  // namespace mc
