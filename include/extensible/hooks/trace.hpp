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
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <ios>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
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
/// the events are an array, and each write overwrites the end of the array. If the stream fails, such
/// as with a full disk, later events are lost, the calls proceed, and the file remains valid.
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
    std::shared_ptr<detail::trace_log> log_;  // shared with the hook
    scoped_hook hook_;
};

// -------------------------------------------------------------------------------------------------

namespace detail {

/// Collects the events of all threads, and writes them to the stream. The stream, which may be code of
/// the application, is never used under the lock.
class trace_log {
public:
    trace_log(std::ostream& out, const trace_options& options)
        : options_(options), start_(options_.clock.now()), out_(&out), end_(out.tellp()) {
        expect(options_.buffer >= 1, "trace", ".buffer", "at least 1", options_.buffer);
        if (end_ == std::streampos(-1) || !put(end_, "[\n]\n"))
            detail::raise<error>("ext::hooks::trace: the stream must be good and seekable, such as that of a file");
        end_ += 1;
    }

    bool has_values() const { return options_.values; }
    duration now() const { return detail::elapsed(start_, options_.clock.now()); }
    std::uint64_t next_id() { return ++last_id_; }

    /// Adds an event. `append` appends its members to a string, without the process and the thread.
    template <class Append>
    void add(const Append& append) {
        std::unique_lock lock(mutex_);
        const auto [thread, is_new] = threads_.try_emplace(std::this_thread::get_id(), threads_.size() + 1);
        const std::size_t number = thread->second;
        if (is_new)
            add_event(number, [number](std::string& to) {
                append_json(to += R"("ph": "M", "name": "thread_name", "args": {"name": "thread )", number);
                to += "\"}";
            });
        add_event(number, append);
        if (pending_.size() >= options_.buffer && writer_ == std::thread::id()) write(lock);
    }

    /// Writes the buffer. Does nothing if the stream itself calls it while it is written.
    void flush() {
        std::unique_lock lock(mutex_);
        write_after_others(lock);
    }

    /// Writes the buffer. After that the stream may be destroyed.
    void close() noexcept {
        std::unique_lock lock(mutex_);
        EXTENSIBLE_TRY {
            write_after_others(lock);
        } EXTENSIBLE_CATCH(...) {
            // Out of memory: the events are lost.
        }
        out_ = nullptr;
    }

private:
    // If there is not enough memory, adds nothing.
    template <class Append>
    void add_event(std::size_t thread, const Append& append) {
        const std::size_t before = pending_.size();
        EXTENSIBLE_TRY {
            pending_ += is_first_ ? "\n{" : ",\n{";
            append(pending_);
            pending_ += R"(, "pid": 1, "tid": )";  // the standard library cannot tell the process id
            append_json(pending_, thread);
            pending_ += '}';
            is_first_ = false;
        } EXTENSIBLE_CATCH(...) {
            pending_.resize(before);
            EXTENSIBLE_RETHROW;
        }
    }

    void write_after_others(std::unique_lock<std::mutex>& lock) {
        if (writer_ == std::this_thread::get_id()) return;
        written_.wait(lock, [this] { return writer_ == std::thread::id(); });
        write(lock);
    }

    // Writes all events at once. Releases the lock while it writes. Whatever can throw comes before the
    // first change.
    void write(std::unique_lock<std::mutex>& lock) {
        if (!out_) pending_.clear();
        if (pending_.empty()) return;
        const std::string room(pending_.size(), ' ');
        std::string next;
        next.reserve(pending_.size());
        pending_ += end_of_array;
        const std::string text = std::exchange(pending_, std::move(next));
        const turn writing(*this, lock);
        // First spaces after the array, which make room: if the disk is full, this fails, and the file is
        // still valid. Then the events, over the end of the array. If either fails, they are lost.
        if (out_->good() && put(end_ + static_cast<std::streamoff>(end_of_array.size()), room) && put(end_, text))
            end_ += static_cast<std::streamoff>(room.size());
    }

    // Makes this thread the one that uses the stream, and releases the lock meanwhile.
    struct turn {
        trace_log& log;
        std::unique_lock<std::mutex>& lock;

        turn(trace_log& of, std::unique_lock<std::mutex>& held) : log(of), lock(held) {
            log.writer_ = std::this_thread::get_id();
            lock.unlock();
        }
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;
        ~turn() {
            lock.lock();
            log.writer_ = std::thread::id();
            log.written_.notify_all();
        }
    };

    // Returns false if the stream failed.
    bool put(std::streampos at, std::string_view text) {
        EXTENSIBLE_TRY {
            out_->seekp(at);
            out_->write(text.data(), static_cast<std::streamsize>(text.size()));
            out_->flush();
        } EXTENSIBLE_CATCH(...) {
            if (!std::current_exception()) EXTENSIBLE_RETHROW;  // the thread ends
            return false;
        }
        return out_->good();
    }

    static constexpr std::string_view end_of_array = "\n]\n";

    const trace_options options_;
    const time_point start_;
    std::atomic<std::uint64_t> last_id_{0};
    std::mutex mutex_;
    std::condition_variable written_;
    std::thread::id writer_;     // the thread that may use the next two without the lock, or none; all are guarded
    std::ostream* out_;          // null once it may be destroyed
    std::streampos end_;         // the end of the last event in the stream
    std::string pending_;        // the text that is to be written at end_
    bool is_first_ = true;
    std::unordered_map<std::thread::id, std::size_t> threads_;  // a std::thread::id is not a number
};

/// One call. Created when the call begins; called as a finisher when it ends. It does not own the log: the
/// hook does, and the call protects the hook until the finisher is destroyed.
class traced_call {
public:
    traced_call(trace_log& log, const any_call& call) : log_(&log) {
        if (log_->has_values())
            json_value::append_arguments(*(arguments_ = std::make_unique<std::string>()), call);
        begin_ = log_->now();
        if (!call.is_awaited()) return;
        id_ = log_->next_id();
        add("b", call, begin_, [this](std::string& to) { append_arguments(to); });
        arguments_ = nullptr;
    }

    void operator()(const any_call& call) const {
        const duration end = log_->now();
        const std::string outcome = outcome_of(call);
        const auto details = [&](std::string& to) {
            append_arguments(to);
            if (arguments_ && !outcome.empty()) to += ", ";
            to += outcome;
        };
        if (id_ != 0) add("e", call, end, details);
        else add("X", call, begin_, details, end - begin_);
    }

private:
    void append_arguments(std::string& to) const {
        if (arguments_) to += "\"arguments\": ", to += *arguments_;
    }

    std::string outcome_of(const any_call& call) const {
        std::string text;
        const std::exception_ptr& thrown = call.exception();
        if (thrown && log_->has_values()) append_json(text = "\"threw\": ", detail::text_of(thrown));
        else if (thrown) text = "\"threw\": true";
        else if (call.failed()) text = "\"failed\": true";
        else if (log_->has_values() && !json_value::append_result(text = "\"result\": ", call)) text.clear();
        return text;
    }

    // `details` appends the members of "args".
    template <class Details>
    void add(std::string_view phase, const any_call& call, duration time, const Details& details,
             std::optional<duration> length = {}) const {
        const std::string_view name = call.name();
        log_->add([&](std::string& to) {
            to.append("\"ph\": \"").append(phase).append("\", \"name\": ");
            append_json(to, name);
            append_json(to += ", \"cat\": ", name.substr(0, name.rfind('.')));
            append_microseconds(to += ", \"ts\": ", time);
            if (length) append_microseconds(to += ", \"dur\": ", *length);
            if (id_ != 0) append_json(to += ", \"id\": ", id_);
            details(to += ", \"args\": {");
            to += '}';
        });
    }

    // Has nanosecond digits, because many calls take only a few hundred nanoseconds.
    static void append_microseconds(std::string& to, duration time) {
        append_json(to, time.count() / 1000);
        const auto rest = static_cast<int>(time.count() % 1000);
        const auto digit = [](int number) { return static_cast<char>('0' + number % 10); };
        to += {'.', digit(rest / 100), digit(rest / 10), digit(rest)};
    }

    trace_log* log_;
    std::unique_ptr<std::string> arguments_;  // as JSON; empty without `.values`, or if they are written already
    duration begin_{};
    std::uint64_t id_ = 0;  // the id of an awaited call; 0 for a plain one
};

}  // namespace detail

inline trace::trace(registry& home, std::ostream& out, const trace_options& options)
    : log_(detail::make_shared<detail::trace_log>(out, options)),
      hook_(home.on_start(options.pattern, [log = log_](any_call& call) { return detail::traced_call(*log, call); },
                          {.priority = (std::numeric_limits<int>::min)(), .isolate = true})) {}

inline trace::~trace() { log_->close(); }

inline void trace::flush() const { log_->flush(); }

}}}  // namespace ext::hooks
