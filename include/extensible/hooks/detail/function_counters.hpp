#pragma once

// Where does ext::hooks::metrics count the calls of each function? In counters that threads share
// out between them, which a call finds by the function's name. Nothing here takes a lock.
//
// What must stay true (tests/hooks/metrics.cpp, and the scenarios `counters` and `countadd` of tests/explorer):
// 1. Only the first call of a name allocates.
// 2. A call begins and ends in one cell, even if it ends on another thread. So no cell has fewer
//    than 0 calls in flight.
// 3. In each reading, there are at most as many failures as ended calls. A call writes its bucket,
//    and then `failures`, which releases the bucket. read() loads them in the opposite order.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/core.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// One reading of the counters of a function.
struct counted_calls {
    std::uint64_t in_flight = 0;
    std::uint64_t failures = 0;
    std::uint64_t nanoseconds = 0;     // of the ended calls
    std::vector<std::uint64_t> ended;  // one for each bucket
};

/// Returns the number of this thread. Threads are numbered in the order in which they ask, so that
/// few threads share a cell of function_counters. Hidden: GCC makes other local statics unique
/// symbols, and a library that has one can never be unloaded.
EXTENSIBLE_HIDDEN inline std::size_t thread_number() noexcept {
    static constinit std::atomic<std::size_t> last{0};
    static constinit thread_local std::size_t number = 0;  // 0 if the thread has none yet
    if (number == 0) number = last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: publishes nothing else
    return number;
}

/// The counters of one function. Any number of threads may use them at the same time.
class function_counters {
public:
    /// `buckets` is the number of buckets. At least 1.
    function_counters(std::string_view name, std::size_t buckets)
        : name_(name),
          buckets_(buckets),
          lines_of_cell_((first_bucket + buckets + line::size - 1) / line::size),
          lines_(std::make_unique<line[]>(cells * lines_of_cell_)) {}

    const std::string& name() const noexcept { return name_; }

    /// Counts the begin of a call on the thread of this number. Returns the cell in which the call counts; pass it
    /// to end().
    std::size_t begin(std::size_t thread) noexcept {
        const std::size_t cell = thread % cells;
        // Relaxed: the begin of a call happens before its end, also on another thread.
        counter(cell, in_flight).fetch_add(1, std::memory_order_relaxed);
        return cell;
    }

    /// Counts the end of a call, on any thread. The time is 0 or more.
    void end(std::size_t cell, std::size_t bucket, duration time, bool failed) noexcept {
        // Relaxed: each is a number of its own, and publishes nothing else.
        counter(cell, nanoseconds).fetch_add(static_cast<std::uint64_t>(time.count()), std::memory_order_relaxed);
        counter(cell, first_bucket + bucket).fetch_add(1, std::memory_order_relaxed);
        // Release: see 3. Pairs with the load in sum_of().
        if (failed) counter(cell, failures).fetch_add(1, std::memory_order_release);
        counter(cell, in_flight).fetch_sub(1, std::memory_order_relaxed);  // relaxed: as in begin()
    }

    counted_calls read() const {
        counted_calls all;
        all.failures = sum_of(failures);  // before the buckets: see 3
        for (std::size_t i = 0; i < buckets_; ++i) all.ended.push_back(sum_of(first_bucket + i));
        all.nanoseconds = sum_of(nanoseconds);
        all.in_flight = sum_of(in_flight);
        return all;
    }

private:
    // A cache line. Calls that count in different cells write different lines.
    struct alignas(64) line {
        static constexpr std::size_t size = 8;
        std::array<detail::atomic<std::uint64_t>, size> counters{};
    };
    static constexpr std::size_t cells = 8;
    enum position : std::size_t { in_flight, nanoseconds, failures, first_bucket };  // of a counter in its cell

    detail::atomic<std::uint64_t>& counter(std::size_t cell, std::size_t index) const noexcept {
        return lines_[cell * lines_of_cell_ + index / line::size].counters[index % line::size];
    }
    std::uint64_t sum_of(std::size_t index) const noexcept {
        std::uint64_t sum = 0;
        // Acquire: see 3. Pairs with the write of `failures` in end().
        for (std::size_t cell = 0; cell < cells; ++cell) sum += counter(cell, index).load(std::memory_order_acquire);
        return sum;
    }

    const std::string name_;
    const std::size_t buckets_;
    const std::size_t lines_of_cell_;
    const std::unique_ptr<line[]> lines_;
};

/// The counters of all functions. A tree, to which functions are added and from which none is
/// removed. Each level uses two bits of the hash of the name to select one of four branches.
class functions_counters {
public:
    explicit functions_counters(std::size_t buckets) noexcept : buckets_(buckets) {}
    functions_counters(const functions_counters&) = delete;
    functions_counters& operator=(const functions_counters&) = delete;
    ~functions_counters() { delete root_.load(std::memory_order_relaxed); }  // relaxed: no other thread uses it

    /// Returns the counters of this function, which live as long as this object. Adds them if they
    /// are missing, and may then throw std::bad_alloc.
    function_counters& of(std::string_view name) {
        const std::size_t hash = std::hash<std::string_view>()(name);
        std::unique_ptr<node> made;
        detail::atomic<node*>* branch = &root_;
        for (std::size_t bits = hash;; bits >>= 2) {
            // Acquire: the node's contents were written before it was added. Pairs with the
            // exchange.
            node* found = branch->load(std::memory_order_acquire);
            if (!found) {
                if (!made) made = std::make_unique<node>(name, hash, buckets_);
                // Release, for the loads. Acquire, if another thread has added a node meanwhile.
                if (branch->compare_exchange_strong(found, made.get(), std::memory_order_acq_rel))
                    return made.release()->counters;
            }
            if (found->hash == hash && found->counters.name() == name) return found->counters;
            branch = &found->branches[bits % found->branches.size()];
        }
    }

    /// Calls `visitor` with the counters of each function, in no particular order.
    template <class Visitor>
    void for_each(Visitor&& visitor) const {
        visit(root_, visitor);
    }

private:
    struct node {
        node(std::string_view name, std::size_t hash_of_name, std::size_t buckets)
            : hash(hash_of_name), counters(name, buckets) {}
        node(const node&) = delete;
        node& operator=(const node&) = delete;
        ~node() {
            for (const auto& branch : branches) delete branch.load(std::memory_order_relaxed);  // as above
        }

        const std::size_t hash;
        function_counters counters;
        std::array<detail::atomic<node*>, 4> branches{};
    };

    template <class Visitor>
    static void visit(const detail::atomic<node*>& branch, Visitor& visitor) {
        const node* const found = branch.load(std::memory_order_acquire);  // acquire: as in of()
        if (!found) return;
        visitor(found->counters);
        for (const auto& below : found->branches) visit(below, visitor);
    }

    const std::size_t buckets_;
    detail::atomic<node*> root_{nullptr};
};

}}}}  // namespace ext::hooks::detail
