#include "../catch.hpp"
#include "../tasks.hpp"
#include "simulated_clock.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/trace.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <ios>
#include <iterator>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace ext::literals;
using Catch::Matchers::ContainsSubstring;
namespace hooks = ext::hooks;

namespace {

// Checks that a text is a JSON document. It does not check the details of numbers and escapes.
class json_reader {
public:
    explicit json_reader(std::string_view text) : text_(text) {}
    bool reads_all() { return value() && (spaces(), text_.empty()); }

private:
    bool take(std::string_view token) {
        spaces();
        if (!text_.starts_with(token)) return false;
        text_.remove_prefix(token.size());
        return true;
    }
    void spaces() { text_.remove_prefix(std::min(text_.find_first_not_of(" \n\r\t"), text_.size())); }
    bool value() {
        if (take("{")) return take("}") || list("}", true);
        if (take("[")) return take("]") || list("]", false);
        if (take("\"")) return rest_of_string();
        return take("true") || take("false") || take("null") || number();
    }
    bool list(std::string_view end, bool named) {
        do {
            if (named && !(take("\"") && rest_of_string() && take(":"))) return false;
            if (!value()) return false;
        } while (take(","));
        return take(end);
    }
    bool rest_of_string() {
        for (std::size_t i = 0; i < text_.size(); ++i) {
            if (static_cast<unsigned char>(text_[i]) < 0x20) return false;
            if (text_[i] == '\\') ++i;
            else if (text_[i] == '"') return text_.remove_prefix(i + 1), true;
        }
        return false;
    }
    bool number() {
        const std::size_t length = std::min(text_.find_first_not_of("+-.0123456789eE"), text_.size());
        text_.remove_prefix(length);
        return length != 0;
    }

    std::string_view text_;
};

bool is_json(std::string_view text) { return json_reader(text).reads_all(); }

std::size_t count(std::string_view text, std::string_view part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
    return found;
}

struct outcome {
    bool is_good;
    friend bool failed(const outcome& outcome) { return !outcome.is_good; }
};

const std::string thread_1 = R"({"ph": "M", "name": "thread_name", "args": {"name": "thread 1"}, "pid": 1, "tid": 1})";

}  // namespace

TEST_CASE("a trace has an event for each plain call, inner calls first") {
    ext::registry registry;
    simulated_clock time;
    std::ostringstream out;
    ext::extensible inner{registry, "shop.till.pay", [&](int cents) {
        time.pass(1500ns);
        if (cents < 0) throw std::invalid_argument("a secret");
    }};
    ext::extensible outer{registry, "sell", [&](int cents) {
        time.pass(1ms);
        inner(cents);
    }};
    {
        const hooks::trace trace{registry, out, {.clock = time.clock()}};
        outer(5);
        CHECK_THROWS(inner(-5));
    }
    outer(5);
    CHECK(out.str() ==
          "[\n" + thread_1 + ",\n"
          R"({"ph": "X", "name": "shop.till.pay", "cat": "shop.till", "ts": 1000.000, "dur": 1.500, "args": {}, )"
          R"("pid": 1, "tid": 1},)" "\n"
          R"({"ph": "X", "name": "sell", "cat": "sell", "ts": 0.000, "dur": 1001.500, "args": {}, )"
          R"("pid": 1, "tid": 1},)" "\n"
          R"({"ph": "X", "name": "shop.till.pay", "cat": "shop.till", "ts": 1001.500, "dur": 1.500, )"
          R"("args": {"threw": true}, "pid": 1, "tid": 1})"
          "\n]\n");
    CHECK(is_json(out.str()));
}

TEST_CASE("a trace is valid JSON after each write of its buffer, and is not written in between") {
    ext::registry registry;
    std::ostringstream out;
    ext::extensible f{registry, "f", [] {}};
    SECTION("a small buffer is written for each event") {
        const hooks::trace trace{registry, out, {.buffer = 1}};
        CHECK(out.str() == "[\n]\n");
        for (std::size_t calls = 1; calls <= 5; ++calls) {
            f();
            CHECK(is_json(out.str()));
            CHECK(count(out.str(), R"("ph": "X")") == calls);
        }
    }
    SECTION("a larger buffer is written when it is full") {
        const hooks::trace trace{registry, out, {.buffer = 1000}};
        f();
        CHECK(out.str() == "[\n]\n");
        trace.flush();
        CHECK(count(out.str(), R"("ph": "X")") == 1);
        trace.flush();
        std::size_t largest = 0;
        for (int i = 0; i < 100; ++i) {
            const std::size_t before = out.str().size();
            f();
            largest = std::max(largest, out.str().size() - before);
            CHECK(is_json(out.str()));
        }
        CHECK(largest > 900);
        CHECK(largest < 1300);
    }
    CHECK(is_json(out.str()));
}

TEST_CASE("the file of a trace is valid JSON whenever the program ends") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](const std::string& text) { return text.size(); }};
    const std::filesystem::path path = std::filesystem::temp_directory_path() / "extensible_test_of_trace.json";
    {
        std::ofstream file(path, std::ios::binary);
        const hooks::trace trace{registry, file, {.values = true, .buffer = 1}};
        for (std::size_t calls = 1; calls <= 5; ++calls) {
            f(std::string(calls * 5000, 'x'));  // one event larger than the file's buffer, and one smaller
            f("x");
            std::ifstream read(path, std::ios::binary);
            const std::string written{std::istreambuf_iterator<char>(read), {}};
            CHECK(is_json(written));
            CHECK(count(written, R"("ph": "X")") == 2 * calls);
        }
    }
    std::filesystem::remove(path);  // the stream has closed it
}

TEST_CASE("a call does not fail because its trace cannot be written") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    int reported = 0;
    registry.on_hook_error([&](const ext::hook_error&) { ++reported; });
    std::ostringstream out;
    out.exceptions(std::ios::badbit | std::ios::failbit);
    {
        const hooks::trace trace{registry, out, {.buffer = 1}};
        CHECK_THROWS(out.setstate(std::ios::badbit));
        CHECK(f(1) == 1);
    }
    CHECK(out.bad());
    CHECK(out.str() == "[\n]\n");
    CHECK(reported == 0);
}

namespace {

// A file on a disk with room for this many bytes.
class small_disk : public std::stringbuf {
public:
    std::size_t room = 1'000'000;
    bool throws = false;  // if the disk is full

protected:
    std::streamsize xsputn(const char* text, std::streamsize size) override {
        const auto at = static_cast<std::size_t>(pubseekoff(0, std::ios::cur, std::ios::out));
        const auto rest = static_cast<std::streamsize>(at < room ? room - at : 0);
        const std::streamsize written = std::stringbuf::xsputn(text, std::min(size, rest));
        if (throws && written != size) throw std::runtime_error("the disk is full");
        return written;
    }
};

}  // namespace

TEST_CASE("the file of a trace remains valid JSON if the disk is full") {
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    const bool stream_throws = GENERATE(false, true), disk_throws = GENERATE(false, true);
    for (std::size_t room = 3; room < 400; ++room) {
        small_disk disk;
        disk.throws = disk_throws;
        std::ostream out(&disk);
        if (stream_throws) out.exceptions(std::ios::badbit | std::ios::failbit);
        {
            const hooks::trace trace{registry, out, {.buffer = 100}};
            f(1);
            disk.room = room;
            for (int i = 0; i < 5; ++i) f(i);
            disk.room = 1'000'000;
            f(2);
        }
        REQUIRE(is_json(disk.str()));
        REQUIRE(out.good() == (count(disk.str(), "\"X\"") == 7));
    }
}

TEST_CASE("the stream of a trace may make traced calls, also on other threads") {
    struct calling : std::stringbuf {
        std::function<void()> call;
        int sync() override {
            if (call) std::exchange(call, nullptr)();
            return 0;
        }
    };
    ext::registry registry;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    calling buffer;
    std::ostream out(&buffer);
    {
        const hooks::trace trace{registry, out, {.buffer = 1}};
        buffer.call = [&] {
            f(2);
            trace.flush();
            std::thread([&] { f(3); }).join();
        };
        f(1);
    }
    CHECK(is_json(buffer.str()));
    CHECK(count(buffer.str(), "\"X\"") == 3);
}

TEST_CASE("a trace writes a pointer to characters that a length follows as an address") {
    ext::registry registry;
    std::ostringstream out;
    ext::extensible send{registry, "send", [](const char*, std::size_t size) { return size; }};
    ext::extensible say{registry, "say", [](const char*, bool) {}};
    const std::string not_terminated(3, 'x');
    {
        const hooks::trace trace{registry, out, {.values = true}};
        send(not_terminated.data(), 3);
        say("hello", true);
    }
    CHECK(is_json(out.str()));
    CHECK_THAT(out.str(), ContainsSubstring(R"({"arguments": {"0": "0x)") &&
                              ContainsSubstring(R"(", "1": 3}, "result": 3})") &&
                              ContainsSubstring(R"({"0": "hello", "1": true})") && !ContainsSubstring("xxx"));
}

TEST_CASE("a trace of awaited calls has pairs of events, even if the calls are suspended") {
    ext::registry registry;
    simulated_clock time;
    std::ostringstream out;
    tasks::gate gates[2];
    ext::extensible parse{registry, "net.parse", [&] { time.pass(2us); }};
    ext::extensible load{registry, "net.load", [&](int i) -> tasks::lazy<int> {
        co_await gates[i];
        parse();
        co_return i;
    }};
    {
        const hooks::trace trace{registry, out, {.pattern = "net.*", .values = true, .clock = time.clock()}};
        auto first = load(0), second = load(1);
        first.start();
        time.pass(10us);
        second.start();
        std::thread([&] { gates[0].open(); }).join();
        time.pass(10us);
        gates[1].open();
        CHECK(first.get() + second.get() == 1);
    }
    const auto event = [](const std::string& phase, const std::string& begin, const std::string& rest) {
        return ContainsSubstring("{\"ph\": \"" + phase + R"(", "name": "net.load", "cat": "net", "ts": )" +
                                 begin + ", " + rest);
    };
    CHECK(is_json(out.str()));
    CHECK_THAT(out.str(), event("b", "0.000", R"("id": 1, "args": {"arguments": {"0": 0}}, "pid": 1, "tid": 1})"));
    CHECK_THAT(out.str(), event("b", "10.000", R"("id": 2, "args": {"arguments": {"0": 1}}, "pid": 1, "tid": 1})"));
    CHECK_THAT(out.str(), event("e", "12.000", R"("id": 1, "args": {"result": 0}, "pid": 1, "tid": 2})"));
    CHECK_THAT(out.str(), event("e", "24.000", R"("id": 2, "args": {"result": 1}, "pid": 1, "tid": 1})"));
    CHECK(count(out.str(), R"({"ph": "X", "name": "net.parse")") == 2);
    CHECK_THAT(out.str(),
               ContainsSubstring(R"("ts": 10.000, "dur": 2.000, "args": {"arguments": {}}, "pid": 1, "tid": 2})"));
    CHECK(count(out.str(), "thread_name") == 2);
}

TEST_CASE("a trace records the end of a call that is destroyed while it is suspended") {
    ext::registry registry;
    std::ostringstream out;
    tasks::gate gate;
    ext::extensible load{registry, "load", [&]() -> tasks::lazy<int> {
        co_await gate;
        co_return 1;
    }};
    {
        const hooks::trace trace{registry, out};
        load().start();
    }
    CHECK(count(out.str(), R"("ph": "b")") == 1);
    CHECK(count(out.str(), R"("ph": "e")") == 1);
    CHECK_THAT(out.str(), ContainsSubstring(R"("args": {"threw": true})"));
}

TEST_CASE("a trace has arguments, results and the texts of exceptions only with .values") {
    ext::registry registry;
    const std::string text = "\"large\" tea\\\nto go \xE9\xF0\x9F\x8D\xB5\xC0\x80";
    ext::extensible brew{
        registry, "brew", ext::params("what"_kw, "cups"_kw, "degrees"_kw, "milk"_kw, "note"_kw, "cup"_kw),
        [](std::string_view what, unsigned cups, double degrees, bool, const char*, std::unique_ptr<int>) {
            if (cups == 0) throw std::invalid_argument("no " + std::string(what));
            return degrees;
        }};
    const auto trace_of = [&](bool values, unsigned cups, double degrees) {
        std::ostringstream out;
        {
            const hooks::trace trace{registry, out, {.values = values}};
            try {
                brew(text, cups, degrees, true, nullptr, nullptr);
            } catch (const std::invalid_argument&) {
            }
        }
        CHECK(is_json(out.str()));
        return out.str();
    };
    const std::string what = R"(\"large\" tea\\\u000ato go \ufffd)" "\xF0\x9F\x8D\xB5" R"(\ufffd\ufffd")";
    const std::string rest = R"(, "cups": 2, "degrees": 90.5, "milk": true, "note": null}, "result": 90.5})";
    CHECK_THAT(trace_of(true, 2, 90.5), ContainsSubstring(R"("args": {"arguments": {"what": ")" + what + rest));
    CHECK_THAT(trace_of(true, 0, 90.5), ContainsSubstring(R"(null}, "threw": "no )" + what + "}"));
    CHECK_THAT(trace_of(true, 1, std::numeric_limits<double>::infinity()), ContainsSubstring(R"("result": null)"));
    CHECK_THAT(trace_of(false, 2, 90.5), ContainsSubstring(R"("args": {})"));
    CHECK_THAT(trace_of(false, 0, 90.5), ContainsSubstring(R"("args": {"threw": true})"));
}

TEST_CASE("a trace marks a result that denotes a failed call") {
    ext::registry registry;
    std::ostringstream out;
    ext::extensible ask{registry, "ask", [](bool good) { return outcome{good}; }};
    {
        const hooks::trace trace{registry, out};
        ask(true);
        ask(false);
    }
    CHECK(count(out.str(), R"("args": {})") == 1);
    CHECK(count(out.str(), R"("args": {"failed": true})") == 1);
}

TEST_CASE("a trace records calls that hooks answer, with the result that hooks set last") {
    ext::registry registry;
    std::ostringstream out;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    f.on_start([](auto& call) { call.result = 7; });
    f.on_end([](auto& call) { call.result = 8; });
    {
        const hooks::trace trace{registry, out, {.values = true}};
        CHECK(f(1) == 8);
    }
    CHECK_THAT(out.str(), ContainsSubstring(R"({"arguments": {"0": 1}, "result": 8})"));
}

TEST_CASE("a trace and its stream can be destroyed while a call runs") {
    ext::registry registry;
    auto out = std::make_unique<std::ostringstream>();
    auto trace = std::make_unique<hooks::trace>(registry, *out);
    std::string written;
    ext::extensible f{registry, "f", [&] {
        trace.reset();
        written = out->str();
        out.reset();
    }};
    f();
    CHECK(written == "[\n]\n");
}

TEST_CASE("threads share a trace, which names each thread once") {
    ext::registry registry;
    std::ostringstream out;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    {
        const hooks::trace trace{registry, out, {.values = true, .buffer = 500}};
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 4; ++thread)
            threads.emplace_back([&] {
                for (int i = 0; i < 100; ++i) f(i);
            });
        for (int i = 0; i < 20; ++i) trace.flush();
        for (std::thread& thread : threads) thread.join();
    }
    CHECK(is_json(out.str()));
    CHECK(count(out.str(), R"("ph": "X")") == 400);
    CHECK(count(out.str(), "thread_name") <= 4);
    CHECK(count(out.str(), R"("name": "thread 1")") == 1);
}

TEST_CASE("a trace is appended to its stream, and an unusable stream is an error") {
    ext::registry registry;
    std::ostringstream out;
    ext::extensible f{registry, "f", [] {}};
    out << "window.trace = ";
    {
        const hooks::trace trace{registry, out, {.buffer = 1}};
        f();
        f();
    }
    REQUIRE_THAT(out.str(), Catch::Matchers::StartsWith("window.trace = [\n{"));
    CHECK(is_json(std::string_view(out.str()).substr(15)));
    CHECK(count(out.str(), "]") == 1);

    std::ofstream closed;
    CHECK_THROWS_WITH((hooks::trace{registry, closed}),
                      "ext::hooks::trace: the stream must be good and seekable, such as that of a file");
    CHECK_THROWS_WITH((hooks::trace{registry, out, {.buffer = 0}}),
                      "ext::hooks::trace: .buffer must be at least 1, but is 0");
    CHECK_THROWS_AS((hooks::trace{registry, out, {.pattern = ""}}), ext::error);
}

TEST_CASE("A trace uses the default registry if no registry is given") {
    ext::extensible f{"trace_of_the_default_registry.f", [] { throw 1; }};
    std::ostringstream out;
    {
        const hooks::trace trace{out, {.pattern = "trace_of_the_default_registry.*", .values = true}};
        CHECK_THROWS_AS(f(), int);
    }
    CHECK(is_json(out.str()));
    CHECK_THAT(out.str(), Catch::Matchers::ContainsSubstring("trace_of_the_default_registry.f"));
    CHECK_THAT(out.str(), Catch::Matchers::ContainsSubstring("something that is not a std::exception"));
}
