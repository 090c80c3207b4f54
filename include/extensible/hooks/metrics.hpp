#pragma once

// ext::hooks::metrics: counts the calls of each function, their failures and the time that they
// take, for Prometheus (https://prometheus.io) or as data.
//
//     #include <extensible/hooks/metrics.hpp>
//
//     const ext::hooks::metrics metrics{"net.*"};  // until the end of the scope
//     metrics.write(response);                     // what Prometheus scrapes
//     for (const auto& function : metrics.functions()) std::cout << function.name << ": " << function.calls;

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/hook.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/expect.hpp>
#include <extensible/hooks/detail/function_counters.hpp>
#include <extensible/hooks/detail/json.hpp>
#include <extensible/hooks/detail/prometheus.hpp>
#include <extensible/hooks/failed.hpp>
#include <extensible/registry.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ios>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// Options of ext::hooks::metrics. All fields are optional. Designated initializers must appear in
/// the order of declaration.
struct metrics_options {
    /// The upper bounds of the histogram's buckets, in seconds. A bucket includes its bound. Each
    /// bound is more than 0, finite, and more than the one before it. There is always one more
    /// bucket, without a bound. The defaults are those of Prometheus.
    std::vector<double> buckets = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

    /// Decides which results mean a failure. If this is empty, ext::failed decides. Runs when the call
    /// ends. If it throws, the call is counted as a failure, and the error handlers of the registry
    /// receive the exception.
    failure_predicate failed = {};

    /// Tells the time. The metrics do not sleep.
    hooks::clock clock = {};
};

/// A bucket of the histogram of a function.
struct metrics_bucket {
    /// The upper bound in seconds, which belongs to the bucket. Infinity for the last bucket.
    double bound = 0;

    /// The number of ended calls that took at most this long.
    std::uint64_t calls = 0;
};

/// The metrics of one function.
struct function_metrics {
    /// The name of the function.
    std::string name;

    /// The number of calls that have ended.
    std::uint64_t calls = 0;

    /// The number of these calls that have failed.
    std::uint64_t failures = 0;

    /// The number of calls that have begun and not ended.
    std::uint64_t in_flight = 0;

    /// The sum of the times that the ended calls took.
    duration time{};

    /// The histogram of these times. Each bucket includes the calls of the buckets before it, so
    /// the last bucket has all ended calls.
    std::vector<metrics_bucket> buckets = {};
};

namespace detail {

class metrics_log;

}  // namespace detail

/// Counts the calls of functions, as long as this object lives: their number, their failures, how
/// many are in flight, and a histogram of the time that they took. A call lasts from its first
/// start hook to its last end hook. Calls that other hooks answer or refuse are counted too.
///
/// A failure is an exception, or a result for which the option `.failed`, or else ext::failed, is
/// true. A suspended call that is destroyed has the exception ext::abandoned. So it is a failure, with
/// the time until then. The same applies to a call whose thread ends inside it.
///
/// Functions of one name share their metrics. The metrics of a function remain when its wrapper is
/// destroyed.
///
/// Any number of threads may make calls, and call the members, at the same time. A call takes no
/// lock. The first counted call of each name allocates memory: about 1 KB with the default buckets.
/// If there is none, that call is not counted, and the error handlers of the registry receive the
/// exception. The object cannot be copied or moved.
class [[nodiscard("the metrics end where this is destroyed: give it a name")]] metrics {
public:
    /// Begins to count the calls of the functions of the default registry that match `pattern`, a
    /// name or a pattern. Throws ext::error if an option is invalid. Also throws what
    /// registry::on_start() throws.
    [[nodiscard("the metrics end where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit metrics(std::string_view pattern, const metrics_options& options = {})
        : metrics(default_registry(), pattern, options) {}

    /// Begins to count the calls of functions of the registry `home`. See the other constructor.
    [[nodiscard("the metrics end where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN metrics(registry& home, std::string_view pattern, const metrics_options& options = {});
    metrics(const metrics&) = delete;
    metrics& operator=(const metrics&) = delete;

    /// Ends the counting. Calls may be running.
    ~metrics() = default;

    /// Returns the metrics of each function that was called, in the order of their names. Other
    /// threads may call the functions meanwhile. Then the numbers of each function still fit
    /// together: `failures` is at most `calls`, and the last bucket is equal to `calls`. Throws
    /// std::bad_alloc.
    std::vector<function_metrics> functions() const;

    /// Writes the same in the text format of Prometheus, version 0.0.4. Its content type is
    /// "text/plain; version=0.0.4". Throws std::bad_alloc, and what the stream throws.
    ///
    /// The names of the metrics are extensible_calls_total, extensible_failures_total,
    /// extensible_calls_in_flight, and extensible_call_duration_seconds, which is a histogram. The
    /// label `function` has the name of the function.
    void write(std::ostream& out) const;

private:
    std::shared_ptr<detail::metrics_log> log_;  // shared with the hook
    scoped_hook hook_;
};

// -------------------------------------------------------------------------------------------------

namespace detail {

/// The counters, and how a call is counted. Any thread may use it.
class metrics_log {
public:
    explicit metrics_log(const metrics_options& options) : options_(options), counters_(options.buckets.size() + 1) {
        double last = 0;
        bool holds = true;
        std::string given;
        for (const double bound : options_.buckets) {
            holds = holds && bound > last && std::isfinite(bound);
            last = bound;
            given += (given.empty() ? "" : ", ") + detail::option_text(bound);
        }
        detail::expect(holds, "metrics", ".buckets", "finite, more than 0 and ascending", given);
        for (const double bound : options_.buckets) bounds_.push_back(nanoseconds(bound));
    }

    time_point now() const { return options_.clock.now(); }
    bool has_failed(const any_call& call) const { return options_.failed(call); }
    function_counters& counters_of(std::string_view function) { return counters_.of(function); }
    std::size_t bucket_of(duration time) const {
        return static_cast<std::size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), time) - bounds_.begin());
    }

    std::vector<function_metrics> functions() const {
        std::vector<function_metrics> all;
        counters_.for_each([&](const function_counters& counters) { all.push_back(read(counters)); });
        std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
        return all;
    }

private:
    // Rounded, because most bounds are not binary fractions. A time is a number of nanoseconds, and
    // one of 5 ms must be in the bucket .005.
    static duration nanoseconds(double seconds) {
        constexpr double longest = 9e18;
        return duration(std::llround(seconds * 1e9 < longest ? seconds * 1e9 : longest));
    }

    function_metrics read(const function_counters& counters) const {
        const counted_calls counted = counters.read();
        function_metrics all{.name = counters.name(), .failures = counted.failures, .in_flight = counted.in_flight};
        for (std::size_t i = 0; i < counted.ended.size(); ++i) {
            all.calls += counted.ended[i];
            all.buckets.push_back({i < options_.buckets.size() ? options_.buckets[i]
                                                               : std::numeric_limits<double>::infinity(),
                                   all.calls});
        }
        all.time = duration(static_cast<duration::rep>(counted.nanoseconds));
        return all;
    }

    const metrics_options options_;
    std::vector<duration> bounds_;  // of all buckets but the last
    functions_counters counters_;
};

/// One call. Created when the call begins; called as a finisher when it ends.
///
/// It does not own the log: otherwise all calls would write to one count of owners. The
/// hook owns the log, and the call protects the hook until the finisher is destroyed. The class has
/// at most five pointers, so that the library stores it in the call.
class counted_call {
public:
    counted_call(metrics_log& log, const any_call& call)
        : log_(&log),
          counters_(&log.counters_of(call.name())),
          cell_(counters_->begin(detail::thread_number())),
          begin_(std::bit_cast<halves>(log.now())) {}
    counted_call(counted_call&& other) noexcept
        : log_(other.log_),
          counters_(std::exchange(other.counters_, nullptr)),
          cell_(other.cell_),
          begin_(other.begin_) {}
    counted_call& operator=(counted_call&&) = delete;

    // Counts a call that has no outcome, because its thread ends or `.failed` throws.
    ~counted_call() {
        if (counters_) end(time_passed(), true);
    }

    void operator()(const any_call& call) {
        const duration time = time_passed();
        end(time, log_->has_failed(call));
    }

private:
    // Two halves: with an alignment of 8, the class would not fit on 32-bit processors.
    using halves = std::array<std::uint32_t, 2>;
    duration time_passed() const { return detail::elapsed(std::bit_cast<time_point>(begin_), log_->now()); }
    void end(duration time, bool failed) {
        std::exchange(counters_, nullptr)->end(cell_, log_->bucket_of(time), time, failed);
    }

    metrics_log* log_;
    function_counters* counters_;  // null once the end is counted
    std::size_t cell_;
    halves begin_;
};

static_assert(sizeof(counted_call) <= 5 * sizeof(void*) && alignof(counted_call) <= alignof(void*));

}  // namespace detail

inline metrics::metrics(registry& home, std::string_view pattern, const metrics_options& options)
    : log_(detail::make_shared<detail::metrics_log>(options)),
      hook_(home.on_start(pattern, [log = log_](any_call& call) { return detail::counted_call(*log, call); },
                          {.priority = (std::numeric_limits<int>::min)(), .isolate = true})) {}

inline std::vector<function_metrics> metrics::functions() const { return log_->functions(); }

inline void metrics::write(std::ostream& out) const {
    const std::vector<function_metrics> all = functions();
    detail::prometheus_text text;
    text.begin_family("extensible_calls_total", "counter", "Calls that have ended.");
    for (const auto& function : all) text.add(function.name, detail::json(function.calls));
    text.begin_family("extensible_failures_total", "counter", "Calls that have failed.");
    for (const auto& function : all) text.add(function.name, detail::json(function.failures));
    text.begin_family("extensible_calls_in_flight", "gauge", "Calls that have begun and not ended.");
    for (const auto& function : all) text.add(function.name, detail::json(function.in_flight));
    text.begin_family("extensible_call_duration_seconds", "histogram", "The time that the ended calls took.");
    for (const auto& function : all) {
        for (const metrics_bucket& bucket : function.buckets) {
            const std::string bound = std::isfinite(bucket.bound) ? detail::json(bucket.bound) : "+Inf";
            text.add(function.name, detail::json(bucket.calls), "_bucket", ",le=\"" + bound + "\"");
        }
        text.add(function.name, detail::seconds_text(function.time), "_sum");
        text.add(function.name, detail::json(function.calls), "_count");
    }
    out.write(text.text().data(), static_cast<std::streamsize>(text.text().size()));
}

}}}  // namespace ext::hooks
