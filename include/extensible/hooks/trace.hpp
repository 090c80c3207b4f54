#pragma once

// When was which function called, and for how long? A file of trace events that https://ui.perfetto.dev and chrome://tracing
// draw.
//
//     #include <extensible/hooks/trace.hpp>
//
//     std::ofstream file("trace.json", std::ios::binary);
//     const ext::hooks::trace trace{file, {.pattern = "net.*"}};  // until the end of the scope

#include <extensible/any_call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/hooks/clock.hpp>
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

namespace ext::inline EXTENSIBLE_ABI::hooks {

struct trace_options {
    std::string pattern = "*";        ///< of the functions whose calls are recorded
    bool values = false;              ///< whether arguments, results and texts of exceptions are: they may be secrets
    std::size_t buffer = 65'536;      ///< when the events take so many bytes they are written; at least 1
    hooks::clock clock = {};
};

namespace detail {

class trace_log;

}  // namespace detail

/// Records calls as long as it lives, from their first start hook to their last end hook, also those that other hooks answer.
///
/// A plain call is an event "X" of its thread. An awaited one is a pair of events "b" and "e" with an id of its own, because
/// others may run between them on the thread, and it may end on another. `args` holds `threw` or `failed`, for calls that do;
/// and with `.values` the arguments, the result and the text of the exception, where they are numbers, bools or strings.
///
/// The stream is one that can be positioned in, as of a file that was not opened to append, and nobody else writes to it. The
/// events are an array, whose end is overwritten by the next ones: the file is valid JSON after each time that the buffer is
/// written, whichever way the program ends. Where the stream fails, the events are lost, and the calls go on.
class [[nodiscard("the trace ends where this is destroyed: give it a name")]] trace {
public:
    /// Of functions of the default registry, or another. Throws ext::error for options or a stream that cannot be meant.
    [[nodiscard("the trace ends where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit trace(std::ostream& out, const trace_options& options = {})
        : trace(default_registry(), out, options) {}
    [[nodiscard("the trace ends where this is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN trace(registry& home, std::ostream& out, const trace_options& options = {});
    trace(const trace&) = delete;
    trace& operator=(const trace&) = delete;

    /// Writes what is in the buffer. Calls that are still running have no end in the file.
    ~trace();

    /// Writes what is in the buffer.
    void flush() const;

private:
    std::shared_ptr<detail::trace_log> log_;  // which calls that are running have too
    scoped_hook hook_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// The events of all threads, on their way to the stream.
class trace_log {
public:
    trace_log(std::ostream& out, const trace_options& options)
        : options_(options), start_(options_.clock.now()), out_(&out), end_(out.tellp()) {
        expect(options_.buffer >= 1, "trace", ".buffer", "at least 1", options_.buffer);
        if (end_ == std::streampos(-1))
            ext::detail::raise<error>("ext::hooks::trace: a stream was expected that is good and seekable, such as that of a file");
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
            append(json_object().add("ph", json("M")).add("name", json("thread_name")).add("args", name.text()), number);
        }
        append(std::move(event), number);
        if (pending_.size() >= options_.buffer) write();
    }

    void flush() {
        const std::lock_guard lock(mutex_);
        write();
    }

    /// From now on the stream may be gone.
    void close() {
        const std::lock_guard lock(mutex_);
        write();
        out_ = nullptr;
    }

private:
    void append(json_object event, const std::string& thread) {
        event.add("pid", "1").add("tid", thread);  // the standard library knows no process ids
        pending_ += std::exchange(is_first_, false) ? "\n" : ",\n";
        pending_ += event.text();
    }

    // All at once, so that hardly any program ends in between. The array's end is shorter than the event that overwrites it.
    void write() {
        if (!out_ || pending_.empty()) return;
        constexpr std::string_view end_of_array = "\n]\n";
        const std::string text = std::exchange(pending_, std::string()).append(end_of_array);
        EXTENSIBLE_TRY {
            out_->seekp(end_);
            out_->write(text.data(), static_cast<std::streamsize>(text.size()));
            out_->flush();
        } EXTENSIBLE_CATCH(const std::ios_base::failure&) {
            // The stream has it in its state too.
        }
        end_ += static_cast<std::streamoff>(text.size() - end_of_array.size());
    }

    const trace_options options_;
    const time_point start_;
    std::atomic<std::uint64_t> last_id_{0};
    std::mutex mutex_;
    std::ostream* out_;          // guarded by the mutex, as all that follows; null once it may be gone
    std::streampos end_;         // of the last event in the stream
    std::string pending_ = "[";  // what comes behind that
    bool is_first_ = true;
    std::map<std::thread::id, std::size_t> threads_;  // a std::thread::id is no number
};

/// One call from its beginning on; its end.
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
        if (thrown) details.add("threw", shown ? json(ext::detail::text_of(thrown)) : json(true));
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

    // To the nanosecond, in a few hundred of which many a call is over.
    static std::string in_microseconds(duration time) {
        const std::string digits = json(time.count() % 1000);
        return json(time.count() / 1000) + "." + std::string(3 - digits.size(), '0') + digits;
    }

    std::shared_ptr<trace_log> log_;
    std::string arguments_;  // while they are to be written
    duration begin_{};
    std::uint64_t id_ = 0;  // of an awaited call
};

}  // namespace detail

inline trace::trace(registry& home, std::ostream& out, const trace_options& options)
    : log_(std::make_shared<detail::trace_log>(out, options)),
      hook_(home.on_start(options.pattern, [log = log_](any_call& call) { return detail::traced_call(log, call); },
                          {.priority = (std::numeric_limits<int>::min)(), .isolate = true})) {}

inline trace::~trace() { log_->close(); }

inline void trace::flush() const { log_->flush(); }

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
