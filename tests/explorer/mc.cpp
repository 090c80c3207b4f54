// The machine that mc.hpp describes.

#include "mc.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <iterator>
#include <new>

// Part of the C++ ABI, but libc++ does not declare it.
namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1

namespace mc {

machine m;

namespace {

constexpr std::size_t stack_size = 256 * 1024;
constexpr std::size_t granule = 8;         // bytes for each entry of the tables below
constexpr std::size_t watched_size = 8192;  // of objects in static storage
constexpr std::size_t granules = (memory_size + watched_size) / granule;

bool arena_on = false;

struct outside_arena {
    const bool was = std::exchange(arena_on, false);
    ~outside_arena() { arena_on = was; }
};

/// One value of an atomic. The values of an atomic are a chain that begins with the newest.
struct stored {
    const cell* at;
    std::uint64_t value;
    std::uint32_t before;   // the store before it; 0: none
    vector_clock seen;      // when each thread first saw it; 0: it has not
    vector_clock released;  // what happens before an operation that acquires it
};

/// One sequentially consistent operation. All such operations have a single order. It agrees with
/// the order in each thread, with what happens before what, and with the order of the values of
/// each atomic. It can differ from the order of execution.
struct sequential {
    int thread;
    std::uint32_t before_in_thread;  // 0: none, here and below
    std::uint32_t before_here;       // on the same atomic
    std::uint32_t location;          // the atomic's number
    std::uint32_t value;             // the number of the store that it sees or is
    bool stores;
    vector_clock now;
};

/// The non-atomic accesses that begin at one byte.
struct plain_cell {
    long execution;
    std::uint8_t begun;  // in the cell of a granule's first byte: which bytes have accesses
    std::uint8_t writer;
    std::uint32_t write_time;  // 0: never
    vector_clock read_times;
};

struct block {
    char* at;
    std::size_t size;
};

void* main_stack_pointer;
exception_state main_exceptions;
std::vector<stored> stores;
std::vector<sequential> sequentials;
std::vector<std::uint32_t> last_sequential_here;  // by location
std::uint32_t last_sequential_of[max_threads + 1];

char* memory;
std::uint8_t* shadow;            // per 16 bytes: 1 allocated, 2 freed
std::uint8_t *readers, *writers;  // per granule: bits of the fibers, in this execution
std::uint8_t* is_shared;         // per granule: 1 from the next execution on, 2 now
plain_cell* plain_cells[granule];  // by the byte in its granule, then by granule
std::vector<block> watched;
const char *watched_begin, *watched_end;

bool in_memory(const void* p) noexcept { return p >= memory && p < memory + memory_size; }
std::size_t offset(const void* p) noexcept { return static_cast<std::size_t>(static_cast<const char*>(p) - memory); }

fiber& current() noexcept { return m.fibers[m.current]; }

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

void exchange_exceptions(exception_state& save, const exception_state& to) noexcept {
    void* const globals = abi::__cxa_get_globals();
    std::memcpy(&save, globals, sizeof save);
    std::memcpy(globals, &to, sizeof to);
}

void go_to(int next) {
    if (next == m.current) return;
    fiber& from = current();
    m.current = next;
    exchange_exceptions(from.exceptions, current().exceptions);
    mc_switch(&from.stack_pointer, current().stack_pointer);
}

[[noreturn]] void go_to_main() {
    exception_state ignored_exceptions;
    exchange_exceptions(ignored_exceptions, main_exceptions);
    void* ignored;
    mc_switch(&ignored, main_stack_pointer);
    std::abort();
}

}  // namespace

void fail(const char* why) {
    const outside_arena outside;
    if (!m.failed) m.failure = "T" + std::to_string(m.current) + ": " + why;
    m.failed = true;
    if (m.running) go_to_main();
    std::printf("failed outside of the fibers: %s\n", why);
    std::exit(2);
}

// ---- Choices --------------------------------------------------------------------------------------------------------

namespace {

std::uint64_t next_random() noexcept {
    m.seed ^= m.seed << 13;
    m.seed ^= m.seed >> 7;
    m.seed ^= m.seed << 17;
    return m.seed;
}

int pick(int of) {
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

bool follow_script(bool stay) {
    if (m.script_at >= m.script.size()) return false;
    script_step& step = m.script[m.script_at];
    if (stay && step.fiber == m.current && m.script_passed++ < step.points) return true;
    if (!stay || step.fiber == m.current) {
        ++m.script_at;
        m.script_passed = 0;
    }
    if (m.script_at >= m.script.size() || m.fibers[m.script[m.script_at].fiber].state != fiber::ready) return false;
    m.script_passed = 1;  // the point at which it is
    go_to(m.script[m.script_at].fiber);
    return true;
}

/// Another thread can run here, or time can pass. `stay`: whether the current thread can continue.
void schedule(bool stay) {
    if (follow_script(stay)) return;
    for (;;) {
        struct option {
            int fiber;
            bool wakes;
        } options[2 * max_threads];
        int n = 0;
        if (stay) options[n++] = {m.current, false};
        const bool may_preempt =
            !stay || (m.random ? next_random() % m.switch_one_in == 0 : m.preemptions < m.max_preemptions);
        for (int i = 1; i <= m.count && may_preempt; ++i)
            if (i != m.current && m.fibers[i].state == fiber::ready) options[n++] = {i, false};
        for (int i = 1; i <= m.count && may_preempt; ++i)
            if (m.fibers[i].state == fiber::on_condition && m.fibers[i].wakes_at) options[n++] = {i, true};
        if (n == 0) {
            for (int i = 1; i <= m.count; ++i)
                if (m.fibers[i].state != fiber::finished) fail("deadlock: no thread can run");
            go_to_main();
        }
        const option chosen = options[pick(n)];
        if (stay && chosen.fiber != m.current) ++m.preemptions;
        if (!chosen.wakes) return go_to(chosen.fiber);
        fiber& f = m.fibers[chosen.fiber];
        f.state = fiber::ready;
        if (m.time < f.wakes_at) m.time = f.wakes_at;
    }
}

/// Whether an operation on this object is a point.
bool concerns_others(const void* at, bool writes) {
    if (!in_memory(at)) return true;
    const std::size_t where = offset(at) / granule;
    const auto me = static_cast<std::uint8_t>(1 << m.current);
    (writes ? writers : readers)[where] |= me;
    const std::uint8_t all = readers[where] | writers[where];
    if (writers[where] && (all & (all - 1)) && !is_shared[where]) {
        const outside_arena outside;
        is_shared[where] = 1;
        m.newly_shared.push_back(where);
    }
    return is_shared[where] == 2;
}

}  // namespace

void point() {
    if (!m.running) return;
    if (++m.points > 100000) fail("too long: a livelock?");
    schedule(true);
}

// ---- What happens before what ---------------------------------------------------------------------------------------

void vector_clock::join(const vector_clock& other) noexcept {
    for (std::size_t i = 0; i < std::size(of); ++i) of[i] = std::max(of[i], other.of[i]);
}

namespace {

std::uint32_t& time_of(fiber& f) noexcept { return f.now.of[&f - m.fibers]; }

/// Whether one of these events happens before now. Each is a time of its thread; 0 is not an event.
bool is_known(const vector_clock& events) noexcept {
    bool known = false;
    for (std::size_t i = 0; i < std::size(events.of); ++i)
        known |= events.of[i] != 0 && events.of[i] <= current().now.of[i];
    return known;
}

/// Whether all of these events happen before now.
bool are_known(const vector_clock& events) noexcept {
    bool known = true;
    for (std::size_t i = 0; i < std::size(events.of); ++i) known &= events.of[i] <= current().now.of[i];
    return known;
}

/// Returns the current thread's past. A thread that joins it does not know of what the current
/// thread does from now on.
vector_clock release_past() noexcept {
    const vector_clock past = current().now;
    ++time_of(current());
    return past;
}

bool acquires(std::memory_order order) noexcept {
    return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}
bool releases(std::memory_order order) noexcept {
    return order == std::memory_order_release || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}

// ---- Accesses -------------------------------------------------------------------------------------------------------

void note(const char* what, const void* at, std::uint64_t value = 0, const char* where = "", const char* how = "") {
    if (!m.tracing || !m.running) return;
    const outside_arena outside;
    char line[200];
    const int length = static_cast<int>(std::strcspn(where, "<"));  // without a template's arguments
    std::snprintf(line, sizeof line, "T%d %-18.*s %s%s %p %lld", m.current, length, where, what, how, at,
                  static_cast<long long>(value));
    m.trace.push_back(line);
}
void note(operation what, const place& where, const void* at, std::uint64_t value, bool is_stale = false) {
    note(name_of(what), at, value, where.function, is_stale ? " (stale)" : "");
}

/// Whether this is the access that is weakened.
bool is_weak(operation what, std::memory_order order, const place& where) {
    if (m.met) {
        const outside_arena outside;
        m.met->push_back({where, what, order});
    }
    const access& weak = m.weak;
    return where.line == weak.at.line && what == weak.what && order == weak.order &&
           !std::strcmp(where.file, weak.at.file);
}

/// Begins an operation on an atomic. Returns the memory order to use.
std::memory_order begin(const cell& at, operation what, bool is_point, std::memory_order order, const place& where) {
    if (concerns_others(&at, what != operation::load) && is_point) point();
    if (!is_alive(&at)) fail("use after free");
    plain_access(&at, false);  // it must not be freed concurrently
    return is_weak(what, order, where) ? m.weak_order : order;
}

/// Adds a value to the values of an atomic.
stored& add_store(const cell& to, std::uint64_t value) {
    const outside_arena outside;
    const std::uint32_t before = to.execution == m.execution ? to.last_store : 0;
    if (!before) {
        to.location = static_cast<std::uint32_t>(last_sequential_here.size());
        last_sequential_here.push_back(0);
    }
    to.execution = m.execution;
    to.last_store = static_cast<std::uint32_t>(stores.size());
    stores.push_back({&to, value, before, {}, {}});
    return stores.back();
}

/// The newest value. At the first use in an execution, it is the value from before the threads began.
stored& last_store(const cell& of) {
    if (of.execution == m.execution && of.last_store) return stores[of.last_store];
    stored& initial = add_store(of, of.newest);
    initial.seen.of[0] = 1;
    return initial;
}

using reached = std::uint32_t[max_threads + 1];  // of each thread, the last operation that precedes a given one

bool precedes_here(const sequential& a, const sequential& b) noexcept {
    return a.value < b.value || (a.value == b.value && a.stores && !b.stores);
}

void reach_past(reached& all, const vector_clock& now);

/// Adds an operation, and all operations that precede it.
void reach(reached& all, std::uint32_t last) {
    const std::uint32_t until = std::exchange(all[sequentials[last].thread], last);
    for (std::uint32_t n = last; n > until; n = sequentials[n].before_in_thread) {
        for (std::uint32_t here = last_sequential_here[sequentials[n].location]; here;
             here = sequentials[here].before_here)
            if (precedes_here(sequentials[here], sequentials[n]) && all[sequentials[here].thread] < here)
                reach(all, here);
    }
    reach_past(all, sequentials[last].now);
}

/// Adds all operations that happen before this time, and all that precede these.
void reach_past(reached& all, const vector_clock& now) {
    for (int thread = 0; thread <= max_threads; ++thread) {
        std::uint32_t last = last_sequential_of[thread];
        while (sequentials[last].now.of[thread] > now.of[thread]) last = sequentials[last].before_in_thread;
        if (all[thread] < last) reach(all, last);
    }
}

/// The number of the oldest value that a sequentially consistent load of the current thread may
/// see. It is at least as new as any value that a preceding sequentially consistent operation has
/// seen or stored.
std::uint32_t oldest_in_single_order(const cell& from) {
    reached earlier{};
    reach_past(earlier, current().now);
    std::uint32_t oldest = 0;
    for (std::uint32_t here = last_sequential_here[from.location]; here; here = sequentials[here].before_here)
        if (here <= earlier[sequentials[here].thread]) oldest = std::max(oldest, sequentials[here].value);
    return oldest;
}

void add_to_single_order(const cell& at, std::uint32_t value, bool stores_it) {
    const outside_arena outside;
    const auto number = static_cast<std::uint32_t>(sequentials.size());
    std::uint32_t& last_of_thread = last_sequential_of[m.current];
    std::uint32_t& last_here = last_sequential_here[at.location];
    sequentials.push_back({m.current, last_of_thread, last_here, at.location, value, stores_it, current().now});
    last_of_thread = last_here = number;
}

/// Chooses the value that a load sees.
stored& choose(const cell& from, bool sequentially_consistent) {
    stored* const newest = &last_store(from);
    if (is_known(newest->seen)) return *newest;
    const bool may_be_stale = m.random ? next_random() % m.stale_one_in == 0 : m.stale_loads < m.max_stale_loads;
    const stored* const limit = &stores[sequentially_consistent && may_be_stale ? oldest_in_single_order(from) : 0];
    int visible = 1;
    for (const stored* oldest = newest; oldest > limit && !is_known(oldest->seen); ++visible) {
        if (oldest->before == 0) fail("data race: an atomic is used while it is constructed");
        oldest = &stores[oldest->before];
    }
    const int back = may_be_stale ? pick(visible) : 0;
    m.stale_loads += back != 0;
    stored* chosen = newest;
    for (int i = 0; i < back; ++i) chosen = &stores[chosen->before];
    return *chosen;
}

void see(const cell& from, stored& seen, std::memory_order order) {
    std::uint32_t& first = seen.seen.of[m.current];
    if (first == 0) first = time_of(current());
    if (acquires(order)) current().now.join(seen.released);
    if (order == std::memory_order_seq_cst)
        add_to_single_order(from, static_cast<std::uint32_t>(&seen - stores.data()), false);
}

void put(cell& to, std::uint64_t value, std::memory_order order, const vector_clock& released_before) {
    stored& added = add_store(to, value);
    added.seen.of[m.current] = time_of(current());
    added.released = released_before;
    if (order == std::memory_order_seq_cst) add_to_single_order(to, to.last_store, true);
    if (releases(order)) added.released.join(release_past());
    to.newest = value;
}

std::uint64_t changed(operation what, std::uint64_t value, std::uint64_t by) {
    switch (what) {
    case operation::fetch_add: return value + by;
    case operation::fetch_sub: return value - by;
    case operation::fetch_or: return value | by;
    default: return value & by;
    }
}

}  // namespace

const char* name_of(operation what) noexcept {
    constexpr const char* names[] = {"load", "store", "fetch_add", "fetch_sub", "fetch_or", "fetch_and",
                                     "compare_exchange", "signal_fence", "process_barrier"};
    return names[static_cast<int>(what)];
}

void make(cell& made) noexcept {
    if (m.running) put(made, made.newest, std::memory_order_relaxed, {});
}

std::uint64_t load(const cell& from, std::memory_order order, place where) {
    if (!m.running) return from.newest;
    const std::memory_order weak = begin(from, operation::load, order != std::memory_order_relaxed, order, where);
    stored& seen = choose(from, weak == std::memory_order_seq_cst);
    note(operation::load, where, &from, seen.value, &seen != &stores[from.last_store]);
    see(from, seen, weak);
    return seen.value;
}

void store(cell& to, std::uint64_t value, std::memory_order order, place where) {
    if (!m.running) {
        to.newest = value;
        return;
    }
    const std::memory_order weak = begin(to, operation::store, order != std::memory_order_relaxed, order, where);
    note(operation::store, where, &to, value);
    last_store(to);
    put(to, value, weak, {});
}

std::uint64_t modify(cell& at, operation what, std::uint64_t by, std::memory_order order, place where) {
    const std::uint64_t before = at.newest;
    if (!m.running) {
        at.newest = changed(what, before, by);
        return before;
    }
    const std::memory_order weak = begin(at, what, order == std::memory_order_seq_cst, order, where);
    stored& seen = last_store(at);
    const std::uint64_t value = seen.value;
    see(at, seen, weak);
    const vector_clock released = seen.released;  // a copy, because put() may move `seen`
    note(what, where, &at, changed(what, value, by));
    put(at, changed(what, value, by), weak, released);
    return value;
}

bool compare_exchange(cell& at, std::uint64_t& expected, std::uint64_t desired, std::memory_order order, place where) {
    if (!m.running) fail("compare_exchange outside of the fibers");
    const std::memory_order weak =
        begin(at, operation::compare_exchange, order == std::memory_order_seq_cst, order, where);
    stored& seen = last_store(at);
    const std::uint64_t value = seen.value;
    see(at, seen, weak);
    const vector_clock released = seen.released;
    note(operation::compare_exchange, where, &at, value == expected ? desired : value);
    if (value == expected) put(at, desired, weak, released);
    return std::exchange(expected, value) == value;
}

void signal_fence(place where) {
    if (!m.running || is_weak(operation::signal_fence, std::memory_order_seq_cst, where)) return;
    current().now.join(current().barriers);
    current().fenced = release_past();
}

void process_barrier(place where) {
    if (!m.running) return;
    point();
    note(operation::process_barrier, where, nullptr, 0);
    if (is_weak(operation::process_barrier, std::memory_order_seq_cst, where)) return;
    for (int i = 1; i <= m.count; ++i) current().now.join(m.fibers[i].fenced);
    const vector_clock past = release_past();
    for (int i = 1; i <= m.count; ++i) m.fibers[i].barriers.join(past);
}

// ---- Locks ----------------------------------------------------------------------------------------------------------

void mutex::lock() noexcept {
    if (!m.running) {
        check(holder_ < 0, "outside of the fibers, a lock is taken that is already held");
        holder_ = 0;
        return;
    }
    point();
    if (!is_alive(this)) fail("use after free");
    while (holder_ >= 0) {
        check(holder_ != m.current, "a thread takes a lock that it already holds");
        current().state = fiber::on_mutex;
        current().waits_on = this;
        schedule(false);
    }
    note("lock", this);
    current().now.join(given_back_);
    holder_ = m.current;
}

// This is not a point: the next operation is one, or other threads cannot observe it.
void mutex::unlock() noexcept {
    if (m.running) {
        if (!is_alive(this)) fail("use after free");
        check(holder_ == m.current, "a thread releases a lock that it does not hold");
        given_back_ = release_past();
    }
    note("unlock", this);
    holder_ = -1;
    for (int i = 1; i <= m.count; ++i)
        if (m.fibers[i].state == fiber::on_mutex && m.fibers[i].waits_on == this) m.fibers[i].state = fiber::ready;
}

void condition::wait_until(mutex& held, std::int64_t until) {
    check(m.running, "a wait outside of the fibers");
    note("wait", this);
    fiber& f = current();
    held.unlock();
    f.state = fiber::on_condition;
    f.waits_on = this;
    f.wakes_at = until;
    schedule(false);
    held.lock();
}

void condition::notify_all() noexcept {
    note("notify", this);
    if (!is_alive(this)) fail("use after free");
    for (int i = 1; i <= m.count; ++i)
        if (m.fibers[i].state == fiber::on_condition && m.fibers[i].waits_on == this) m.fibers[i].state = fiber::ready;
}

void handover::give() noexcept { given_ = release_past(); }
void handover::take() const noexcept { current().now.join(given_); }
bool handover::is_known() const noexcept { return are_known(given_); }

// ---- Threads --------------------------------------------------------------------------------------------------------

void call_at_thread_end(void (*function)() noexcept) {
    fiber& f = current();
    for (int i = 0; i < f.ends; ++i)
        if (f.at_end[i] == function) return;
    f.at_end[f.ends++] = function;
}

void end_thread(std::uintptr_t next_id) {
    fiber& f = current();
    while (f.ends != 0) f.at_end[--f.ends]();
    f.id = next_id ? next_id : ++m.last_id;
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

bool is_alive(const void* p) noexcept { return !in_memory(p) || shadow[offset(p) / 16] == 1; }

namespace {

/// The index of a byte's granule in the tables. 0: data races are not looked for in this memory.
std::size_t granule_of(const char* at) {
    if (in_memory(at)) return offset(at) / granule;
    if (at < watched_begin || at >= watched_end) return 0;
    std::size_t first = memory_size / granule;
    for (const block& each : watched) {
        if (at >= each.at && at < each.at + each.size) return first + static_cast<std::size_t>(at - each.at) / granule;
        first += each.size / granule + 1;
    }
    return 0;
}

plain_cell& plain_cell_of(std::size_t at, std::size_t byte) {
    plain_cell& found = plain_cells[byte][at];
    if (found.execution != m.execution) found = {m.execution, 0, 0, 0, {}};
    return found;
}

void access_byte(plain_cell& cell, bool writes) {
    const fiber& f = current();
    if (cell.write_time > f.now.of[cell.writer]) fail("data race: a thread accesses what another one writes");
    if (!writes) {
        cell.read_times.of[m.current] = f.now.of[m.current];
        return;
    }
    if (!are_known(cell.read_times)) fail("data race: a thread writes what another one reads");
    cell.writer = static_cast<std::uint8_t>(m.current);
    cell.write_time = f.now.of[m.current];
}

/// Checks that all uses of this memory happen before now, when it is freed.
void check_unused(const char* begin, std::size_t size) {
    for (const char* at = begin; at < begin + size; at += granule) {
        const std::size_t where = granule_of(at);
        for (unsigned begun = plain_cell_of(where, 0).begun, byte = 0; begun >> byte; ++byte)
            if (begun >> byte & 1) access_byte(plain_cell_of(where, byte), true);
    }
}

// Each fiber has its own arena, so that its allocations have the same addresses in most executions.
void* allocate(std::size_t size, std::size_t alignment) {
    fiber& f = current();
    size = (size + 15) / 16 * 16;
    const std::size_t begin = (f.used + 16 + alignment - 1) / alignment * alignment;
    if (begin + size > arena_size) {
        std::puts("the arena is full");
        std::exit(3);
    }
    f.used = begin + size;
    char* const at = memory + static_cast<std::size_t>(m.current) * arena_size + begin;
    std::memcpy(at - 16, &size, sizeof size);
    std::memset(shadow + offset(at) / 16, 1, size / 16);
    return at;
}

void release(void* p) {
    char* const at = static_cast<char*>(p);
    std::size_t size;
    std::memcpy(&size, at - 16, sizeof size);
    std::uint8_t* const shadowed = shadow + offset(at) / 16;
    if (*shadowed != 1) fail("freed twice");
    if (m.running) check_unused(at, size);
    std::memset(shadowed, 2, size / 16);
    std::memset(at, 0xdd, size);
}

}  // namespace

void plain_access(const void* p, bool writes) {
    if (!m.running) return;
    const std::size_t where = granule_of(static_cast<const char*>(p));
    const std::size_t byte = reinterpret_cast<std::uintptr_t>(p) % granule;
    if (where == 0) return;
    if (!is_alive(p)) fail("use after free");
    plain_cell& cell = plain_cells[byte][where];
    if (cell.execution != m.execution) plain_cell_of(where, 0).begun |= static_cast<std::uint8_t>(1 << byte);
    access_byte(plain_cell_of(where, byte), writes);
}

namespace {

/// Accesses a whole range, as if each granule were one object.
void plain_accesses(const void* begin, std::size_t size, bool writes) {
    for (std::size_t at = 0; at < size; at += granule) plain_access(static_cast<const char*>(begin) + at, writes);
}

}  // namespace

void watch(const void* object, std::size_t size) {
    const outside_arena outside;
    char* const begin = static_cast<char*>(const_cast<void*>(object));
    watched.push_back({begin, size});
    watched_begin = watched_begin ? std::min<const char*>(watched_begin, begin) : begin;
    watched_end = std::max<const char*>(watched_end, begin + size);
}

// ---- One execution --------------------------------------------------------------------------------------------------

void begin_execution() {
    for (int i = 0; i <= max_threads; ++i) {
        fiber& f = m.fibers[i];
        const std::size_t from = static_cast<std::size_t>(i) * arena_size, used = (f.used + 63) / 64 * 64;
        std::memset(shadow + from / 16, 0, used / 16);
        std::memset(readers + from / granule, 0, used / granule);
        std::memset(writers + from / granule, 0, used / granule);
        f.used = 0;
        f.id = static_cast<std::uintptr_t>(i) + 1;
        f.module = 0;
        f.ends = 0;
        f.now = f.fenced = f.barriers = {};
        f.now.of[0] = f.now.of[i] = 1;
        f.exceptions = {};
    }
    stores.resize(1);
    sequentials.resize(1);
    last_sequential_here.clear();
    std::fill(std::begin(last_sequential_of), std::end(last_sequential_of), 0);
    m.last_id = max_threads + 1;
    m.failed = false;
    m.at = 0;
    m.preemptions = m.stale_loads = 0;
    m.points = 0;
    m.time = 1;
    m.newly_shared.clear();
    ++m.execution;
    arena_on = true;
}

namespace {

void run_fiber() {
    fiber& f = current();
    f.body();
    end_thread(0);
    f.state = fiber::finished;
    schedule(false);
}

}  // namespace

void run(const std::vector<std::function<void()>>& bodies) {
    m.count = static_cast<int>(bodies.size());
    for (int i = 1; i <= m.count; ++i) {
        fiber& f = m.fibers[i];
        // This overwrites the body of the last execution, which may have been aborted.
        new (&f.body) std::function<void()>(bodies[static_cast<std::size_t>(i - 1)]);
        f.state = fiber::ready;
        if (!f.stack) f.stack = static_cast<char*>(std::malloc(stack_size));
        void** at = reinterpret_cast<void**>(f.stack + stack_size - 64);
        *--at = nullptr;  // alignment, as after a call
        *--at = reinterpret_cast<void*>(&run_fiber);
        for (int saved = 0; saved < 6; ++saved) *--at = nullptr;
        f.stack_pointer = at;
    }
    m.script_at = 0;
    m.script_passed = 0;
    const int first = m.script.empty() ? 1 + pick(m.count) : m.script[0].fiber;
    m.running = true;
    m.current = first;
    exchange_exceptions(main_exceptions, m.fibers[first].exceptions);
    mc_switch(&main_stack_pointer, m.fibers[first].stack_pointer);
    m.running = false;
    m.current = 0;
    m.count = 0;
}

void end_execution() {
    arena_on = false;
    if (m.failed) return;  // is_shared does not change, so that it fails again in the same way
    for (const std::size_t where : m.newly_shared) is_shared[where] = 2;
}

void forget_what_is_shared() { std::memset(is_shared, 0, granules); }

void set_up_memory() {
    memory = static_cast<char*>(std::aligned_alloc(4096, memory_size));
    shadow = static_cast<std::uint8_t*>(std::calloc(memory_size / 16, 1));
    readers = static_cast<std::uint8_t*>(std::calloc(granules, 1));
    writers = static_cast<std::uint8_t*>(std::calloc(granules, 1));
    is_shared = static_cast<std::uint8_t*>(std::calloc(granules, 1));
    for (plain_cell*& each : plain_cells) each = static_cast<plain_cell*>(std::calloc(granules, sizeof(plain_cell)));
    stores.reserve(4096);
    stores.resize(1);
    sequentials.reserve(4096);
    sequentials.resize(1);
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

// ---- Data races -----------------------------------------------------------------------------------------------------

// Code compiled with -fsanitize=thread calls these. The sanitizer's own runtime is not linked.
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void** at) { mc::plain_access(at, false); }
void __tsan_vptr_update(void** at, void*) { mc::plain_access(at, true); }
void __tsan_read_range(void* at, std::size_t size) { mc::plain_accesses(at, size, false); }
void __tsan_write_range(void* at, std::size_t size) { mc::plain_accesses(at, size, true); }
void* __tsan_memset(void* to, int value, std::size_t size) {
    mc::plain_accesses(to, size, true);
    return std::memset(to, value, size);
}
void* __tsan_memcpy(void* to, const void* from, std::size_t size) {
    mc::plain_accesses(from, size, false);
    mc::plain_accesses(to, size, true);
    return std::memcpy(to, from, size);
}
void* __tsan_memmove(void* to, const void* from, std::size_t size) {
    mc::plain_accesses(from, size, false);
    mc::plain_accesses(to, size, true);
    return std::memmove(to, from, size);
}
void __tsan_read1(void* at) { mc::plain_access(at, false); }
void __tsan_read2(void* at) { mc::plain_access(at, false); }
void __tsan_read4(void* at) { mc::plain_access(at, false); }
void __tsan_read8(void* at) { mc::plain_access(at, false); }
void __tsan_read16(void* at) { mc::plain_access(at, false); }
void __tsan_write1(void* at) { mc::plain_access(at, true); }
void __tsan_write2(void* at) { mc::plain_access(at, true); }
void __tsan_write4(void* at) { mc::plain_access(at, true); }
void __tsan_write8(void* at) { mc::plain_access(at, true); }
void __tsan_write16(void* at) { mc::plain_access(at, true); }
void __tsan_unaligned_read2(void* at) { mc::plain_access(at, false); }
void __tsan_unaligned_read4(void* at) { mc::plain_access(at, false); }
void __tsan_unaligned_read8(void* at) { mc::plain_access(at, false); }
void __tsan_unaligned_read16(void* at) { mc::plain_access(at, false); }
void __tsan_unaligned_write2(void* at) { mc::plain_access(at, true); }
void __tsan_unaligned_write4(void* at) { mc::plain_access(at, true); }
void __tsan_unaligned_write8(void* at) { mc::plain_access(at, true); }
void __tsan_unaligned_write16(void* at) { mc::plain_access(at, true); }
unsigned char __tsan_atomic8_load(const volatile unsigned char* at, int) { return *at; }  // of a variable's guard
}
