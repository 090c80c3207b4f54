// A program that opens a library with hooks while its threads call the hooked functions:
//     host <library> [one-registry]

#include "../in_memory.hpp"
#include "../latch.hpp"
#include "api.hpp"

#include <extensible/detail/loading/shared_library.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

#define EXPECT(...) ((__VA_ARGS__) ? void() : fail(#__VA_ARGS__, __LINE__))

void fail(const char* claim, int line) {
    std::fprintf(stderr, "line %d: %s does not hold\n", line, claim);
    std::exit(1);
}

class library {
public:
    explicit library(const char* path) : path_(path), open_(std::in_place, path, path) {
        EXPECT(tests::is_in_memory(path));
    }
    library(const library&) = delete;
    library& operator=(const library&) = delete;
    ~library() {
        open_.reset();
        EXPECT(!tests::is_in_memory(path_));  // nothing keeps the library open
    }

    template <class Function>
    Function* function(const char* name) const {
        return open_->find<Function>(name);
    }

private:
    const char* path_;
    std::optional<ext::detail::shared_library> open_;
};

void load_and_unload_while_threads_call(const char* path) {
    ext::registry registry;
    ext::extensible<int(int)> inner{registry, "host.inner", [](int x) { return x; }};
    ext::extensible<std::string(std::string_view)> get_key{
        registry, "host.get_key", [](std::string_view service) { return std::string(service.substr(0, 10)); }};
    host_api host{registry, get_key, inner, &ext::default_registry()};

    std::atomic<bool> stop{false};
    std::atomic<int> rounds{0};
    std::vector<std::thread> threads;
    for (int number = 0; number < 8; ++number)
        threads.emplace_back([&, number] {
            const char* const services[] = {"ours", "nested", "rewritten", "plain"};
            while (!stop) {
                const std::string_view service = services[(number + rounds++) % 4];
                const std::string key = get_key(service);  // throws if only half of the plugin's hooks run
                EXPECT(key == service || (service == "ours" && key == "from the library") ||
                       (service == "rewritten" && key == "rrrrrrrrrr"));
                const int x = inner(1);
                EXPECT(x == 1 || x == 2);
            }
        });

    for (int round = 0; round < 200; ++round) {
        const library opened(path);
        opened.function<load_function>("load")(host);
        EXPECT(get_key("ours") == "from the library" && inner(1) == 2);
        EXPECT(opened.function<call_function>("call_own")(1) == 4);
        EXPECT(opened.function<call_function>("call_inner")(5) == 6);
        const int before = rounds;
        while (rounds < before + 20) std::this_thread::yield();  // the threads have run the hooks
        opened.function<unload_function>("unload")();
        EXPECT(host.captured == 0);
        EXPECT(get_key("ours") == "ours");
    }
    EXPECT(host.calls_in_library > 200);
    stop = true;
    for (auto& thread : threads) thread.join();
    EXPECT(registry.functions().size() == 2);
}

void hooks_wait_for_the_host(const char* path) {
    ext::registry registry;
    ext::extensible<int(int)> other{registry, "elsewhere.inner", [](int x) { return x; }};
    ext::extensible<std::string(std::string_view)> unused{registry, "elsewhere.key",
                                                          [](std::string_view) { return std::string(); }};
    host_api host{registry, unused, other, &ext::default_registry()};
    const library opened(path);
    opened.function<load_function>("load")(host);
    const ext::extensible<int(int)> late{registry, "host.inner", [](int x) { return x; }};
    EXPECT(late(1) == 2);
    opened.function<unload_function>("unload")();
    EXPECT(host.captured == 0 && late(1) == 1);
}

// The slots that the call needs must belong to the host. If they belonged to the library, it would
// stay open until the thread ends.
void a_thread_whose_first_call_comes_from_the_library_outlives_it(const char* path) {
    ext::registry registry;
    ext::extensible<int(int)> inner{registry, "host.inner", [](int x) { return x; }};
    ext::extensible<std::string(std::string_view)> unused{registry, "elsewhere.key",
                                                          [](std::string_view) { return std::string(); }};
    host_api host{registry, unused, inner, &ext::default_registry()};
    tests::latch called(1), closed(1);
    std::thread thread;
    {
        const library opened(path);
        opened.function<load_function>("load")(host);
        thread = std::thread([&] {
            EXPECT(opened.function<call_function>("call_inner")(5) == 6);
            called.count_down();
            closed.wait();
            EXPECT(inner(5) == 5);
        });
        called.wait();
        opened.function<unload_function>("unload")();
    }
    closed.count_down();
    thread.join();
}

void hooks_of_the_library_are_awaited(const char* path) {
    using tasks::lazy;
    ext::registry registry;
    ext::extensible<int(int)> inner{registry, "host.inner", [](int x) { return x; }};
    ext::extensible<std::string(std::string_view)> unused{registry, "elsewhere.key",
                                                          [](std::string_view) { return std::string(); }};
    ext::extensible<lazy<int>(int)> later{registry, "host.later", [](int x) -> lazy<int> { co_return x; }};
    tasks::gate gate;
    host_api host{registry, unused, inner, &ext::default_registry(), &gate};
    std::optional<lazy<int>> call;
    {
        const library opened(path);
        opened.function<load_function>("load")(host);
        call.emplace(later(1));
        call->start();
        EXPECT(!call->done());
        EXPECT(!opened.function<unload_at_once_function>("unload_at_once")());  // the suspended call has the hooks
        EXPECT(later(1).run() == 1);                                            // new calls do not run them
        gate.open();
        EXPECT(call->done());
        opened.function<unload_function>("unload")();
        EXPECT(host.captured == 0);
    }
    EXPECT(call->get() == 20);
}

}  // namespace

int main(int count, char** arguments) try {
    const char* const path = arguments[1];
    const bool one_registry = count > 2 && std::strcmp(arguments[2], "one-registry") == 0;
    {
        const library opened(path);
        EXPECT((opened.function<registry_function>("default_registry")() == &ext::default_registry()) == one_registry);
    }
    hooks_wait_for_the_host(path);
    a_thread_whose_first_call_comes_from_the_library_outlives_it(path);
    hooks_of_the_library_are_awaited(path);
    load_and_unload_while_threads_call(path);
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
