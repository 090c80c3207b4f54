#pragma once

// ext::hooks::trace: writes when each call began and how long it took to a file, which
// https://ui.perfetto.dev and chrome://tracing draw as a timeline.
//
//     #include <extensible/hooks/trace.hpp>
//
//     std::ofstream file("trace.json", std::ios::binary);
//     const ext::hooks::trace trace{file, {.pattern = "net.*"}};  // until the end of the scope

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/expect.hpp>
#include <extensible/hooks/detail/json.hpp>
#include <extensible/phase.hpp>
#include <extensible/registry.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <ios>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// Options of a trace. All fields are optional. Designated initializers must appear in the order of
/// declaration.
struct trace_options {
    /// A name or a pattern. Calls of the functions that it matches are recorded.
    std::string pattern = "*";

    /// If true, arguments, results and texts of exceptions are recorded too. They may be secrets.
    bool values = false;

    /// The size of the buffer in bytes: events are written when they take this much. At least 1.
    std::size_t buffer = 65'536;

    /// Tells the time. The trace does not sleep.
    hooks::clock clock = {};
};

namespace detail {

class trace_log;

}  // namespace detail

/// Records calls as trace events, as long as this object lives. An event covers a call from its
/// first start hook to its last end hook. Calls that other hooks answer are recorded too.
///
/// A plain call is an event "X" of its thread. An awaited call is a pair of events "b" and "e" with
/// an id of its own, because other calls may run on the thread in between, and the call may end on
/// another thread. The `args` of an event contain `threw` or `failed` if the call did. With
/// `.values` they also contain the text of the exception, and the arguments and results that are
/// numbers, bools or strings.
///
/// The stream must be seekable (not opened in append mode) and used by nothing else, and it must
/// outlive the trace. The file is valid JSON after each write, even if the program crashes later:
/// the events are an array, and each write overwrites the end of the array. If the stream fails,
/// the events are lost, and the calls proceed.
///
/// Any number of threads may make calls, and call flush(), at the same time. The trace cannot be
/// copied or moved.
class [[nodiscard("the trace ends where this is destroyed: give it a name")]] trace {
public:
    /// Begins to record calls of functions of the default registry. Writes to `out`, which must
    /// outlive the trace. Throws ext::error if an option is invalid, or if the stream is not good
    /// or not seekable. Also throws what registry::on_start() throws.
    [[nodiscard("the trace ends where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit trace(std::ostream& out, const trace_options& options = {})
        : trace(default_registry(), out, options) {}

    /// Begins to record calls of functions of the registry `home`. See the other constructor.
    [[nodiscard("the trace ends where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN trace(registry& home, std::ostream& out, const trace_options& options = {});
    trace(const trace&) = delete;
    trace& operator=(const trace&) = delete;

    /// Ends the recording, and writes the events in the buffer. An awaited call that is still
    /// running has no end event, and a plain one has no event at all.
    ~trace();

    /// Writes the events in the buffer.
    void flush() const;

private:
    std::shared_ptr<detail::trace_log> log_;  // shared with running calls
    scoped_hook hook_;
};

// -------------------------------------------------------------------------------------------------

namespace detail {

/// Collects the events of all threads, and writes them to the stream.
class trace_log {
public:
    trace_log(std::ostream& out, const trace_options& options)
        : options_(options), start_(options_.clock.now()), out_(&out), end_(out.tellp()) {
        expect(options_.buffer >= 1, "trace", ".buffer", "at least 1", options_.buffer);
        if (end_ == std::streampos(-1))
            detail::raise<error>("ext::hooks::trace: the stream must be good and seekable, such as that of a file");
        const std::lock_guard lock(mutex_);
        write();
    }

    bool has_values() const { return options_.values; }
    duration now() const { return options_.clock.now() - start_; }
    std::uint64_t next_id() { return ++last_id_; }

    void add(json_object event) {
        const std::lock_guard lock(mutex_);
        const auto [thread, is_new] = threads_.try_emplace(std::this_thread::get_id(), threads_.size() + 1);
        const std::string number = json(thread->second);
        if (is_new) {
            const json_object name = json_object().add("name", json("thread " + number));
            append(json_object().add("ph", json("M")).add("name", json("thread_name")).add("args", name.text()),
                   number);
        }
        append(std::move(event), number);
        if (pending_.size() >= options_.buffer) write();
    }

    void flush() {
        const std::lock_guard lock(mutex_);
        write();
    }

    /// Writes the buffer. After that the stream may be destroyed.
    void close() {
        const std::lock_guard lock(mutex_);
        write();
        out_ = nullptr;
    }

private:
    void append(json_object event, const std::string& thread) {
        event.add("pid", "1").add("tid", thread);  // the standard library cannot tell the process id
        pending_ += std::exchange(is_first_, false) ? "\n" : ",\n";
        pending_ += event.text();
    }

    // Writes everything at once, so that the program is unlikely to end in the middle. The end of
    // the array is shorter than any event, so the next write overwrites all of it.
    void write() {
        if (!out_ || pending_.empty()) return;
        constexpr std::string_view end_of_array = "\n]\n";
        const std::string text = std::exchange(pending_, std::string()).append(end_of_array);
        EXTENSIBLE_TRY {
            out_->seekp(end_);
            out_->write(text.data(), static_cast<std::streamsize>(text.size()));
            out_->flush();
        } EXTENSIBLE_CATCH(const std::ios_base::failure&) {
            // The state of the stream shows the failure too.
        }
        end_ += static_cast<std::streamoff>(text.size() - end_of_array.size());
    }

    const trace_options options_;
    const time_point start_;
    std::atomic<std::uint64_t> last_id_{0};
    std::mutex mutex_;
    std::ostream* out_;          // guarded by the mutex, like all that follows; null once it may be destroyed
    std::streampos end_;         // the end of the last event in the stream
    std::string pending_ = "[";  // the text that follows it
    bool is_first_ = true;
    std::map<std::thread::id, std::size_t> threads_;  // a std::thread::id is not a number
};

/// One call. Created when the call begins; called as a finisher when it ends.
class traced_call {
public:
    traced_call(std::shared_ptr<trace_log> log, const any_call& call) : log_(std::move(log)) {
        if (log_->has_values()) arguments_ = json_value::arguments(call);
        begin_ = log_->now();
        if (!call.is_awaited()) return;
        id_ = log_->next_id();
        add("b", call, begin_, json_object().add("arguments", std::exchange(arguments_, {})));
    }

    void operator()(const any_call& call) const {
        const duration end = log_->now();
        json_object details;
        details.add("arguments", arguments_);
        const bool shown = log_->has_values();
        const std::exception_ptr& thrown = call.exception();
        if (thrown) details.add("threw", shown ? json(detail::text_of(thrown)) : json(true));
        else if (call.failed()) details.add("failed", json(true));
        else if (shown) details.add("result", json_value::result(call));
        if (id_ != 0) add("e", call, end, details);
        else add("X", call, begin_, details, in_microseconds(end - begin_));
    }

private:
    void add(const char* phase, const any_call& call, duration time, const json_object& details,
             const std::string& length = {}) const {
        const std::string_view name = call.name();
        json_object event;
        event.add("ph", json(phase)).add("name", json(name)).add("cat", json(name.substr(0, name.rfind('.'))));
        event.add("ts", in_microseconds(time)).add("dur", length);
        if (id_ != 0) event.add("id", json(id_));
        log_->add(std::move(event.add("args", details.text())));
    }

    // Has nanosecond digits, because many calls take only a few hundred nanoseconds.
    static std::string in_microseconds(duration time) {
        const std::string digits = json(time.count() % 1000);
        return json(time.count() / 1000) + "." + std::string(3 - digits.size(), '0') + digits;
    }

    std::shared_ptr<trace_log> log_;
    std::string arguments_;  // as JSON; empty without `.values`, or if they are written already
    duration begin_{};
    std::uint64_t id_ = 0;  // the id of an awaited call; 0 for a plain one
};

}  // namespace detail

inline trace::trace(registry& home, std::ostream& out, const trace_options& options)
    : log_(std::make_shared<detail::trace_log>(out, options)),
      hook_(home.on_start(options.pattern, [log = log_](any_call& call) { return detail::traced_call(log, call); },
                          {.priority = (std::numeric_limits<int>::min)(), .isolate = true})) {}

inline trace::~trace() { log_->close(); }

inline void trace::flush() const { log_->flush(); }

}}}  // namespace ext::hooks
