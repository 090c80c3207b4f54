// Loads plugins from shared libraries, reloads and closes them.
#include "half_way.hpp"

#include "../catch.hpp"
#include "../in_memory.hpp"
#include "../latch.hpp"

#include <extensible/extensible.hpp>
#include <extensible/library.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using tests::is_in_memory;
using tests::loaded_libraries;
namespace fs = std::filesystem;

namespace {

std::function<void()> in_the_middle;
std::string closed_plugins;  // their libraries have been closed

struct hooked {
    ext::registry registry;
    ext::extensible<int(int)> first{registry, "host.first", [](int x) { return x; }};
    ext::extensible<int(int)> second{registry, "host.second", [](int x) { return x; }};
    ext::extensible<int(int)> failing{registry, "other.failing", [](int x) { return x; }};
    ext::extensible<int(int)> order{registry, "other.order", [](int x) { return x; }};

    // 0 without hooks; 10101 and 10000 with those of version 1, and so on.
    std::pair<int, int> added() const { return {first(0), second(0)}; }
};
constexpr std::pair none{0, 0}, version_1{10101, 10000}, version_2{20202, 20000};

// A temporary folder with copies of libraries. No other test opens the same files.
class folder {
public:
    folder() {
        static const auto of_this_process = std::random_device()();
        static int number = 0;
        const std::string name = "extensible-" + std::to_string(of_this_process) + "-" + std::to_string(++number);
        path_ = fs::temp_directory_path() / name;
        replaced_ = fs::temp_directory_path() / (name + "-replaced");
        fs::create_directory(path_);
        fs::create_directory(replaced_);
    }
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;
    ~folder() {
        std::error_code is_open;  // Windows does not remove open files
        fs::remove_all(path_, is_open);
        fs::remove_all(replaced_, is_open);
    }

    const fs::path& path() const { return path_; }

    std::size_t size() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(path_), {})); }

    // Copies a library into the folder. A file of that name is moved away first: it may be open.
    fs::path copy(const std::string& library, const std::string& name) const {
        move_away(name);
        fs::copy_file(fs::path(LIBRARIES) / (library + LIBRARY_SUFFIX), path_ / name);
        return path_ / name;
    }
    fs::path copy(const std::string& library) const { return copy(library, library + LIBRARY_SUFFIX); }
    void move_away(const std::string& name) const {
        static int number = 0;
        if (fs::exists(path_ / name)) fs::rename(path_ / name, replaced_ / std::to_string(++number));
    }
    fs::path write(const std::string& name, const std::string& text) const {
        move_away(name);
        std::ofstream(path_ / name, std::ios::binary) << text;
        return path_ / name;
    }

private:
    fs::path path_, replaced_;
};

#if defined(_WIN32)
constexpr std::size_t copies_in_use = 1;  // of a reloaded library: Windows does not remove an open file
constexpr const char* library_of_the_system = "kernel32.dll";
constexpr int no_such_library = 126;
#else
constexpr std::size_t copies_in_use = 0;
constexpr const char* library_of_the_system = "libc.so.6";
constexpr int no_such_library = ENOENT;
#endif

// The system's message for an error code.
std::string text_of_code(int code) { return std::system_category().message(code); }

std::string owner_of_hooks(const ext::registry& registry) {
    for (const ext::function_info& function : registry.functions())
        for (const ext::hook_info& hook : function.hooks) return hook.owner;
    return "";
}

std::size_t number_of_hooks(const ext::registry& registry) {
    std::size_t number = 0;
    for (const ext::function_info& function : registry.functions()) number += function.hooks.size();
    return number;
}

}  // namespace

extern "C" EXTENSIBLE_EXPORT void half_way() {
    if (in_the_middle) in_the_middle();
}

extern "C" EXTENSIBLE_EXPORT void closes(const char* plugin) { closed_plugins += plugin; }

// ---- One library ----------------------------------------------------------------------------------------------------

TEST_CASE("A library with ready-made hooks is closed when it is destroyed") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("with_hooks");
    {
        const ext::library library{h.registry, file};
        CHECK(h.first(5) == 5);
        CHECK(is_in_memory(file));
    }
    CHECK_FALSE(is_in_memory(file));
}

#if !defined(_WIN32) && !defined(__APPLE__)
TEST_CASE("A path in which the system would replace a part is refused") {
    hooked h;
    const folder plugins;
    fs::create_directory(plugins.path() / "$LIB");
    const fs::path file = plugins.path() / "$LIB" / "vault.so";
    fs::rename(plugins.copy("version_1"), file);
    CHECK_THROWS_WITH(ext::library(h.registry, file),
                      file.string() + ": it cannot be opened as a shared library: the system replaces $LIB in a path");
}
#endif

TEST_CASE("The hooks of a library run until it is destroyed, which also closes the file") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1");
    for (int round = 0; round < 3; ++round) {
        const ext::library library{h.registry, file};
        CHECK(h.added() == version_1);
        CHECK(is_in_memory(file));
        CHECK(library.file() == file);
    }
    CHECK(h.added() == none);
    CHECK(number_of_hooks(h.registry) == 0);
    CHECK_FALSE(is_in_memory(file));
}

TEST_CASE("All hooks of a library are enabled in one step, after its entry has returned") {
    hooked h;
    const folder plugins;
    std::size_t registered = 0;
    std::pair<int, int> half_way{1, 1};
    in_the_middle = [&] {
        registered = number_of_hooks(h.registry);
        half_way = h.added();
    };
    const ext::library library{h.registry, plugins.copy("version_1")};
    in_the_middle = nullptr;
    CHECK(registered == 1);
    CHECK(half_way == none);
    CHECK(h.added() == version_1);
}

TEST_CASE("A library's plugin is named after the file, or as the options say") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "libvault" LIBRARY_SUFFIX);
    {
        const ext::library library{h.registry, file};
        CHECK(library.plugin().name() == "libvault");
        CHECK(owner_of_hooks(h.registry) == "libvault");
    }
    const ext::library library{h.registry, file, {.name = "vault"}};
    CHECK(library.plugin().name() == "vault");
    CHECK(owner_of_hooks(h.registry) == "vault");
}

TEST_CASE("The options of a library are defaults for its hooks") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1");
    std::string told;
    h.registry.on_hook_error([&](const ext::hook_error& error) { told = error.text(); });
    {
        const ext::library library{h.registry, file};
        CHECK_THROWS_WITH(h.failing(1), "version 1");
    }
    const ext::library library{h.registry, file, {.isolate = true}};
    CHECK(h.failing(1) == 1);
    CHECK(told == "other.failing: the isolated start hook of version_1 threw: version 1");
}

TEST_CASE("The host can disable a library's plugin, and add hooks to it") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1");
    {
        const ext::library library{h.registry, file};
        library.plugin().disable();
        CHECK(h.added() == none);
        library.plugin().enable();
        library.plugin().on_start(h.second, [](auto& call) { call.result = 5; });
        CHECK(h.added() == std::pair(10101, 10005));
        ext::plugin taken = std::move(library.plugin());
        CHECK(h.added() == std::pair(10101, 10005));
    }
    CHECK(h.added() == none);
    CHECK_FALSE(is_in_memory(file));
}

TEST_CASE("A library can be loaded into the default registry") {
    const ext::extensible first{"host.first", [](int x) { return x; }};
    const folder plugins;
    plugins.copy("version_1");
    {
        const ext::library library{plugins.path() / "version_1" LIBRARY_SUFFIX};
        CHECK(first(0) == 10101);
    }
    {
        const auto loaded = ext::load_folder(plugins.path());
        CHECK(first(0) == 10101);
    }
    CHECK(first(0) == 0);
}

TEST_CASE("A library is opened at exactly its path, and not searched among the system's libraries") {
    hooked h;
    const folder plugins;
    plugins.copy("version_1");
    const fs::path before = fs::current_path();
    fs::current_path(plugins.path());
    CHECK_THROWS_AS(ext::library(h.registry, library_of_the_system), ext::error);
    {
        const ext::library library{h.registry, "version_1" LIBRARY_SUFFIX};
        CHECK(h.added() == version_1);
    }
    fs::current_path(before);
}

TEST_CASE("One file can be loaded into two registries, and is closed with the last of the two libraries") {
    hooked h, other;
    const folder plugins;
    const fs::path file = plugins.copy("version_1");
    {
        std::optional<ext::library> library(std::in_place, h.registry, file);
        const ext::library second{other.registry, file};
        CHECK((h.added() == version_1 && other.added() == version_1));
        library.reset();
        CHECK((h.added() == none && other.added() == version_1));
    }
    CHECK(other.added() == none);
    CHECK_FALSE(is_in_memory(file));
}

TEST_CASE("A library can be moved, and its plugin keeps its address") {
    hooked h, other;
    const folder plugins;
    const fs::path one = plugins.copy("version_1"), two = plugins.copy("version_2");
    ext::library library{h.registry, one};
    ext::plugin* const plugin = &library.plugin();
    ext::library moved{std::move(library)};
    CHECK(&moved.plugin() == plugin);
    CHECK(h.added() == version_1);
    CHECK_THROWS_WITH(library.plugin(), ContainsSubstring("moved from"));  // NOLINT

    library = std::move(moved);
    CHECK(&library.plugin() == plugin);
    CHECK(h.added() == version_1);
    library = ext::library(other.registry, two);  // unloads the old one
    CHECK((h.added() == none && other.added() == version_2));
    CHECK(library.file() == two);
    CHECK(is_in_memory(two));
    CHECK_FALSE(is_in_memory(one));
}

TEST_CASE("A library outlives its registry") {
    const folder plugins;
    const fs::path file = plugins.copy("version_1");
    std::optional<hooked> h(std::in_place);
    {
        const ext::library library{h->registry, file};
        h.reset();
        CHECK(is_in_memory(file));
    }
    CHECK_FALSE(is_in_memory(file));
}

TEST_CASE("A library is closed only when all calls with its hooks have ended") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1");
    std::optional<ext::library> library(std::in_place, h.registry, file);
    tests::latch inside(1), go_on(1);
    ext::extensible<int(int)> slow{h.registry, "host.slow", [&](int x) {
        inside.count_down();
        go_on.wait();
        return x;
    }};
    int result = 0;
    std::thread caller([&] { result = slow(0); });
    inside.wait();
    std::atomic<bool> closed{false};
    std::thread closer([&] {
        library.reset();
        closed = true;
    });
    while (h.second(0) != 0) std::this_thread::yield();  // its hooks are removed
    CHECK(is_in_memory(file));
    CHECK_FALSE(closed);
    go_on.count_down();
    caller.join();
    closer.join();
    CHECK(result == 10000);
    CHECK_FALSE(is_in_memory(file));
}

TEST_CASE("A library that is destroyed during a call with its hooks stays in memory") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1");
    std::optional<ext::library> library(std::in_place, h.registry, file);
    ext::extensible<int(int)> ending{h.registry, "host.ending", [&](int x) {
        library.reset();
        return x;
    }};
    CHECK(ending(0) == 10000);  // the running call keeps its hooks
    CHECK(ending(0) == 0);
    CHECK(is_in_memory(file));
}

// ---- Reload ---------------------------------------------------------------------------------------------------------

TEST_CASE("A reloaded library has the hooks of the new file") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    h.registry.on_hook_error([](const ext::hook_error&) {});
    const std::size_t before = loaded_libraries();
    {
        ext::library library{h.registry, file, {.name = "safe", .isolate = true}};
        for (const auto& [name, added] : {std::pair("version_2", version_2), std::pair("version_1", version_1),
                                          std::pair("version_2", version_2)}) {
            plugins.copy(name, "vault" LIBRARY_SUFFIX);
            library.reload();
            CHECK(h.added() == added);
            CHECK(loaded_libraries() == before + 1);
            CHECK(plugins.size() == 1 + copies_in_use);  // other copies have been removed
            CHECK(library.plugin().name() == "safe");
            CHECK(owner_of_hooks(h.registry) == "safe");
            CHECK(h.failing(1) == 1);
            CHECK(number_of_hooks(h.registry) == 7);
        }
    }
    CHECK(h.added() == none);
    CHECK(number_of_hooks(h.registry) == 0);
    CHECK(loaded_libraries() == before);
}

TEST_CASE("A library without static thread-local storage can be reloaded any number of times") {
    hooked h;
    const folder plugins;
    ext::library library{h.registry, plugins.copy("dynamic_tls")};
    for (int round = 0; round < 200; ++round) library.reload();
    CHECK(h.added() == version_1);
}

TEST_CASE("After a reload, the order constraints of the new hooks apply, and those of the old hooks do not") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    ext::library library{h.registry, file};
    h.order.on_start([](auto& call) { auto& [x] = call.args; x = *x * 10 + 3; }, {.after = {"a", "b"}});
    h.order.on_start([](auto& call) { auto& [x] = call.args; x = *x * 10 + 4; }, {.before = "a"});
    CHECK(h.order(0) == 4123);
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    library.reload();
    CHECK(h.order(0) == 4213);
    plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    library.reload();
    CHECK(h.order(0) == 4123);
}

TEST_CASE("A hook that replaces a library's hook still does so after a reload") {
    hooked h;
    const folder plugins;
    ext::library library{h.registry, plugins.copy("version_1", "vault" LIBRARY_SUFFIX)};
    ext::hook other = h.first.on_start([](auto& call) { auto& [x] = call.args; x = 5; },
                                       {.id = "first", .replace = true});
    CHECK(h.first(0) == 10105);
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    library.reload();
    CHECK(h.first(0) == 20205);
    other.remove();
    CHECK(h.added() == version_2);
}

TEST_CASE("A hook that replaces a library's hook has the position of that hook in the loaded version") {
    hooked h;
    const folder plugins;
    ext::library library{h.registry, plugins.copy("version_1", "vault" LIBRARY_SUFFIX)};
    h.order.on_start([](auto& call) { auto& [x] = call.args; x = *x * 10 + 5; }, {.id = "a", .replace = true});
    CHECK(h.order(0) == 52);
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    library.reload();
    CHECK(h.order(0) == 25);
    plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    library.reload();
    CHECK(h.order(0) == 52);
}

TEST_CASE("The old hooks run while the new library registers its hooks") {
    hooked h;
    const folder plugins;
    ext::library library{h.registry, plugins.copy("version_1", "vault" LIBRARY_SUFFIX)};
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    std::pair<int, int> half_way;
    std::string refused;
    in_the_middle = [&] {
        half_way = h.added();
        try {
            h.first.on_start([](auto&) {}, {.id = "first"});  // the id is still unique
        } catch (const ext::duplicate_hook& error) {
            refused = error.what();
        }
    };
    library.reload();
    in_the_middle = nullptr;
    CHECK(half_way == version_1);
    CHECK_THAT(refused, ContainsSubstring("there is already a start hook 'first' of vault"));
    CHECK(h.added() == version_2);
}

TEST_CASE("If a reload fails, the old library remains loaded") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    ext::library library{h.registry, file};
    ext::plugin* const plugin = &library.plugin();
    const std::size_t before = loaded_libraries();
    const auto stays = [&] {
        CHECK(&library.plugin() == plugin);
        CHECK(h.added() == version_1);
        CHECK(number_of_hooks(h.registry) == 7);
        CHECK(loaded_libraries() == before);
    };
    plugins.move_away("vault" LIBRARY_SUFFIX);
    CHECK_THROWS_WITH(library.reload(),
                      StartsWith(file.string() + ": it cannot be copied") &&
                          (ContainsSubstring(text_of_code(2)) ||
                           ContainsSubstring(std::generic_category().message(ENOENT))));
    stays();
    plugins.write("vault" LIBRARY_SUFFIX, "no library");
    CHECK_THROWS_WITH(library.reload(), StartsWith(file.string() + ": it cannot be opened as a shared library"));
    stays();
    CHECK(plugins.size() == 1);
    for (const auto& [name, says] : {std::pair("no_plugin", ": it does not export extensible_plugin;"),
                                     std::pair("other_layout", ": the library was compiled with "),
                                     std::pair("throwing", ": its entry threw: the vault is locked")}) {
        plugins.copy(name, "vault" LIBRARY_SUFFIX);
        CHECK_THROWS_WITH(library.reload(), StartsWith(file.string() + says));
        stays();
    }
    h.registry.seal();
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    CHECK_THROWS_WITH(library.reload(), ContainsSubstring("the registry is sealed"));
    stays();
}

TEST_CASE("If the new hooks cannot be put in order, a reload fails, and succeeds once they can") {
    hooked h;
    const folder plugins;
    ext::library library{h.registry, plugins.copy("version_1", "vault" LIBRARY_SUFFIX)};
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    // In version 1, `a` runs before `b`; in version 2, `b` runs before `a`.
    const ext::scoped_hook between = h.order.on_start([](auto&) {}, {.id = "c", .before = "b", .after = "a"});
    CHECK_THROWS_AS(library.reload(), ext::order_cycle);
    CHECK(h.added() == version_1);
    CHECK(h.order(0) == 12);
    CHECK_THROWS_AS(library.reload(), ext::order_cycle);
    between.get().remove();
    library.reload();
    CHECK(h.added() == version_2);
    CHECK(h.order(0) == 21);
}

TEST_CASE("A reload leaves a disabled plugin disabled, restores an unloaded one, and throws after a move") {
    hooked h;
    const folder plugins;
    ext::library library{h.registry, plugins.copy("version_1", "vault" LIBRARY_SUFFIX)};
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    library.plugin().disable();
    library.reload();
    CHECK(h.added() == none);
    library.plugin().enable();
    CHECK(h.added() == version_2);
    library.plugin().unload();
    library.reload();
    CHECK(h.added() == version_2);
    const ext::library moved{std::move(library)};
    CHECK_THROWS_WITH(library.reload(), ContainsSubstring("moved from"));  // NOLINT
}

TEST_CASE("If a library is reloaded during a call with its hooks, the old version stays in memory") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    ext::library library{h.registry, file};
    plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
    int calls = 0;
    ext::extensible<int(int)> ending{h.registry, "host.ending", [&](int x) {
        if (calls++ == 0) library.reload();
        return x;
    }};
    CHECK(ending(0) == 10000);  // the call runs the hooks that it began with
    CHECK(ending(0) == 20000);
    CHECK(is_in_memory(file));
}

TEST_CASE("A reload is atomic while threads call: each call runs the hooks of exactly one version") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    std::deque<ext::extensible<int(int)>> more;  // many, so that preparing the reload takes a while
    for (int number = 0; number < 300; ++number)
        more.emplace_back(h.registry, "host.more." + std::to_string(number), [](int x) { return x; });
    std::atomic<int> wrong{0};
    for (int round = 0; round < 10; ++round) {
        plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
        ext::library library{h.registry, file};
        tests::latch calling(8);
        std::vector<std::thread> threads;
        for (int number = 0; number < 8; ++number)
            threads.emplace_back([&, number] {
                int version = 1;
                for (int calls_of_2 = 0, calls = 0; calls_of_2 < 10; ++calls) {
                    const bool first = (calls + number) % 2 == 0;
                    const int result = first ? h.first(0) : h.second(0), unit = first ? 10101 : 10000;
                    // After a call of any function has run new hooks, no call runs old ones.
                    if (result % unit != 0 || result / unit < version || result / unit > 2) ++wrong;
                    version = result / unit;
                    calls_of_2 += version == 2;
                    if (calls == 10) calling.count_down();
                    if (calls_of_2 == 10 && calls < 10) ++wrong, calling.count_down();
                }
            });
        calling.wait();
        plugins.copy("version_2", "vault" LIBRARY_SUFFIX);
        library.reload();
        for (std::thread& thread : threads) thread.join();
    }
    CHECK(wrong == 0);
    CHECK(h.added() == none);
}

// ---- Broken libraries -----------------------------------------------------------------------------------------------

TEST_CASE("Opening a file that is not a shared library is an error that names the file") {
    hooked h;
    const folder plugins;
    const auto opened = [&](const fs::path& file) { const ext::library library{h.registry, file}; };
    const fs::path missing = plugins.path() / "missing" LIBRARY_SUFFIX,
                   text = plugins.write("text" LIBRARY_SUFFIX, "no library");
    const std::string reason = ": it cannot be opened as a shared library: ";
    CHECK_THROWS_WITH(opened(missing),
                      StartsWith(missing.string() + reason) && ContainsSubstring(text_of_code(no_such_library)));
    CHECK_THROWS_WITH(opened(text), StartsWith(text.string() + reason));
    CHECK_THROWS_WITH(opened(plugins.path()), StartsWith(plugins.path().string() + reason));
    CHECK_THROWS_AS(opened(""), ext::error);
    CHECK(h.added() == none);
}

TEST_CASE("A library without an entry or a stamp is an error that says what to write") {
    hooked h;
    const folder plugins;
    for (const auto& [name, says] : {std::pair("no_plugin", ": it does not export extensible_plugin; "),
                                     std::pair("without_stamp",
                                               ": it does not export extensible_plugin_stamp; ")}) {
        const fs::path file = plugins.copy(name);
        CHECK_THROWS_WITH(ext::library(h.registry, file),
                          file.string() + says +
                              "define its entry with EXTENSIBLE_PLUGIN(self) { ... }, which exports both");
        CHECK_FALSE(is_in_memory(file));
    }
}

TEST_CASE("A library that has no entry, but needs a library that has one, is an error") {
    hooked h;
    const folder plugins;
    const fs::path needed = plugins.copy("needed"), file = plugins.copy("needs_plugin");
    CHECK_THROWS_WITH(ext::library(h.registry, file),
                      StartsWith(file.string() + ": it does not export extensible_plugin; "));
    CHECK(h.first(0) == 0);
    const ext::library library{h.registry, needed};
    CHECK_THROWS_WITH(ext::library(h.registry, file),
                      StartsWith(file.string() + ": it does not export extensible_plugin; "));
    CHECK(h.first(0) == 1);
}

#if !defined(_WIN32)

TEST_CASE("A named pipe is an error, and is not opened") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    ext::library library{h.registry, file};
    plugins.move_away("vault" LIBRARY_SUFFIX);
    REQUIRE(::mkfifo(file.c_str(), 0666) == 0);
    const int pipe = ::open(file.c_str(), O_RDWR | O_NONBLOCK);  // otherwise opening it would wait
    const std::string text(1000, 'x');
    REQUIRE(::write(pipe, text.data(), text.size()) == 1000);
    const std::string reason = file.string() + ": it cannot be opened as a shared library: it is not a regular file";
    CHECK_THROWS_WITH(ext::library(h.registry, file), reason);
    CHECK_THROWS_WITH(library.reload(), reason);
    const auto reports = ext::load_folder(h.registry, plugins.path());
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].reason == reason);
    std::array<char, 2000> left{};
    CHECK(::read(pipe, left.data(), left.size()) == 1000);
    ::close(pipe);
    CHECK(h.added() == version_1);
}

#endif

#if !defined(_WIN32) && !defined(__APPLE__)

TEST_CASE("A library that has been copied in part is an error") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("version_1", "vault" LIBRARY_SUFFIX), part = plugins.path() / "part";
    ext::library library{h.registry, file};
    const std::string incomplete = file.string() + ": it is incomplete: the file is shorter than its headers say";
    const std::uintmax_t size = fs::file_size(file);
    for (const std::uintmax_t copied :
         {size - 1, size / 2, size / 4, size / 16, std::uintmax_t{64}, std::uintmax_t{63}}) {
        fs::copy_file(file, part);
        fs::resize_file(part, copied);
        plugins.move_away("vault" LIBRARY_SUFFIX);
        fs::rename(part, file);
        CHECK_THROWS_WITH(ext::library(h.registry, file), incomplete);
        CHECK_THROWS_WITH(library.reload(), incomplete);
        plugins.copy("version_1", "vault" LIBRARY_SUFFIX);
    }
    CHECK(h.added() == version_1);
}

// An ELF file with two segments, which the system does not open, because it is for no machine.
template <class Address>
struct elf_file {
    Address segments = sizeof(Address) == 8 ? 64 : 52, sections = 0;
    std::uint16_t segment_entry_size = sizeof(Address) == 8 ? 56 : 32, segment_count = 2, section_count = 0;
    std::uint32_t type = 1;  // of the second segment: the system maps it
    Address offset = 0, size = 1000;

    std::string text() const {
        std::string text("ELF");
        text += sizeof(Address) == 8 ? '' : '';
        text += std::endian::native == std::endian::little ? '' : '';
        text.resize(1000);
        const auto put = [&](std::size_t at, auto value) { std::memcpy(&text[at], &value, sizeof value); };
        const std::size_t after_addresses = 24 + 3 * sizeof(Address), second = sizeof(Address) == 8 ? 64 + 56 : 52 + 32;
        put(24 + sizeof(Address), segments);
        put(24 + 2 * sizeof(Address), sections);
        put(after_addresses + 6, segment_entry_size);
        put(after_addresses + 8, segment_count);
        put(after_addresses + 10, std::uint16_t{64});
        put(after_addresses + 12, section_count);
        put(second, type);
        put(second + sizeof(Address), offset);
        put(second + 4 * sizeof(Address), size);
        return text;
    }
};

TEMPLATE_TEST_CASE("An ELF file is incomplete if it ends before a segment that is mapped, or before a table", "",
                   std::uint32_t, std::uint64_t) {
    using file = elf_file<TestType>;
    hooked h;
    const folder plugins;
    const auto is_incomplete = [&](const file& written) {
        const fs::path path = plugins.write("written" LIBRARY_SUFFIX, written.text());
        try {
            const ext::library library{h.registry, path};
        } catch (const ext::error& error) {
            const std::string text = error.what();
            if (text == path.string() + ": it is incomplete: the file is shorter than its headers say") return true;
            CHECK_THAT(text, StartsWith(path.string() + ": it cannot be opened as a shared library: "));
        }
        return false;
    };
    constexpr TestType most = ~TestType{0};
    CHECK_FALSE(is_incomplete({}));
    CHECK(is_incomplete({.size = 1001}));
    CHECK(is_incomplete({.size = most}));
    CHECK(is_incomplete({.offset = 1}));
    CHECK(is_incomplete({.offset = most}));
    CHECK_FALSE(is_incomplete({.offset = 1, .size = 999}));
    CHECK_FALSE(is_incomplete({.type = 2, .size = 1001}));  // this segment is not mapped
    CHECK(is_incomplete({.segments = 999}));
    CHECK(is_incomplete({.segments = most}));
    CHECK(is_incomplete({.segments = 990, .segment_entry_size = 1}));  // the entries are too small
    CHECK(is_incomplete({.segment_count = 0xffff}));
    CHECK_FALSE(is_incomplete({.segment_entry_size = 0, .segment_count = 0xffff}));
    CHECK_FALSE(is_incomplete({.sections = 1000 - 128, .section_count = 2}));
    CHECK(is_incomplete({.sections = 1000 - 127, .section_count = 2}));
    CHECK(is_incomplete({.sections = most, .section_count = 0xffff}));
}

#endif

TEST_CASE("A library with a different stamp is rejected before its entry runs, and the error describes both sides") {
    hooked h;
    const folder plugins;
    for (const auto& [name, says] :
         {std::pair("other_layout", ": the library was compiled with extensible with layout abi_"),
          std::pair("other_version", ": the library was compiled with extensible with layout abi_9")}) {
        const fs::path file = plugins.copy(name);
        const std::string mine =
            "; the module that loads it with extensible with layout " EXTENSIBLE_TEXT(EXTENSIBLE_ABI) ", ";
        CHECK_THROWS_AS(ext::library(h.registry, file), ext::incompatible_module);
        CHECK_THROWS_WITH(ext::library(h.registry, file),
                          StartsWith(file.string() + says) && ContainsSubstring(mine) &&
                              ContainsSubstring("; compile both alike"));
        CHECK_FALSE(is_in_memory(file));
    }
}

TEST_CASE("If an entry throws half-way, its hooks are removed, and the error contains the text of its exception") {
    hooked h;
    const folder plugins;
    std::size_t registered = 0;
    in_the_middle = [&] { registered = number_of_hooks(h.registry); };
    for (const auto& [name, says] : {std::pair("throwing", "the vault is locked"),
                                     std::pair("throwing_int", "something that is not a std::exception")}) {
        const fs::path file = plugins.copy(name);
        std::optional<ext::error> thrown;
        try {
            const ext::library library{h.registry, file};
        } catch (const ext::error& error) {
            thrown = error;
        }
        REQUIRE(thrown);
        CHECK_FALSE(is_in_memory(file));
        CHECK(thrown->what() == file.string() + ": its entry threw: " + says);
        CHECK(registered == 3);
        CHECK(number_of_hooks(h.registry) == 0);
        CHECK(h.added() == none);
    }
    in_the_middle = nullptr;
}

TEST_CASE("If an entry cannot register a hook, the error says why") {
    hooked h;
    const folder plugins;
    const ext::library library{h.registry, plugins.copy("version_1")};
    CHECK_THROWS_WITH(ext::library(h.registry, plugins.copy("version_2")),
                      ContainsSubstring("version_2" LIBRARY_SUFFIX
                               ": its entry threw: host.first: there is already a start hook 'first' of version_1"));
    CHECK(h.added() == version_1);
    h.registry.seal();
    CHECK_THROWS_WITH(ext::library(h.registry, plugins.copy("throwing")), ContainsSubstring("the registry is sealed"));
    CHECK(h.added() == version_1);
}

// ---- A folder of libraries ------------------------------------------------------------------------------------------

TEST_CASE("A folder is loaded in the order of file names, and broken libraries are reported") {
    hooked h;
    const folder plugins;
    const std::vector<fs::path> files{
        plugins.write("1" LIBRARY_SUFFIX, "no library"), plugins.copy("throwing", "2" LIBRARY_SUFFIX),
        plugins.copy("version_2", "3" LIBRARY_SUFFIX),   plugins.copy("no_plugin", "4" LIBRARY_SUFFIX),
        plugins.copy("version_1", "5" LIBRARY_SUFFIX),   plugins.copy("other_layout", "6" LIBRARY_SUFFIX)};
    plugins.write("README.md", "no library either");
    fs::create_directory(plugins.path() / "folder" LIBRARY_SUFFIX);
    {
        const std::vector<ext::load_report> reports = ext::load_folder(h.registry, plugins.path());
        REQUIRE(reports.size() == files.size());
        for (std::size_t i = 0; i < files.size(); ++i) {
            CHECK(reports[i].file == files[i]);
            CHECK(reports[i].library.has_value() == (i == 2));
            CHECK(reports[i].reason.empty() == (i == 2));
        }
        CHECK(h.added() == version_2);
        CHECK(reports[2].library->plugin().name() == "3");
        CHECK_THAT(reports[1].reason, ContainsSubstring("2" LIBRARY_SUFFIX ": its entry threw: the vault is locked"));
        CHECK_THAT(reports[4].reason,
                   ContainsSubstring("5" LIBRARY_SUFFIX
                                     ": its entry threw: host.first: there is already a start hook 'first' of 3"));
    }
    CHECK(h.added() == none);
    for (const fs::path& file : files) CHECK_FALSE(is_in_memory(file));
}

TEST_CASE("A file that has two names in a folder is loaded once, and the second name is reported") {
    hooked h;
    const folder plugins;
    const fs::path file = plugins.copy("closing", "b" LIBRARY_SUFFIX);
    std::vector<fs::path> links{plugins.path() / ("c" LIBRARY_SUFFIX)};
    fs::create_hard_link(file, links[0]);
#if !defined(_WIN32)
    links.push_back(plugins.path() / ("d" LIBRARY_SUFFIX));
    fs::create_symlink(file.filename(), links[1]);
#endif
    {
        const auto reports = ext::load_folder(h.registry, plugins.path());
        REQUIRE(reports.size() == 1 + links.size());
        CHECK(reports[0].library);
        for (std::size_t i = 0; i < links.size(); ++i) {
            CHECK(reports[1 + i].file == links[i]);
            CHECK(reports[1 + i].reason ==
                  links[i].string() + ": it is another name of the file " + file.string() +
                      ", and each file is loaded once");
        }
        CHECK(h.first(0) == 1);
    }
    const auto reports = ext::load_folder(h.registry, plugins.path(), {.block = {"b"}});
    CHECK(reports[0].library);
    CHECK(h.first(0) == 1);
}

TEST_CASE("The libraries of a folder are closed in the reverse order of loading") {
    hooked h;
    const folder plugins;
    for (const std::string name : {"a", "b", "c", "d"}) plugins.copy("closing", name + LIBRARY_SUFFIX);
    plugins.write("b2" LIBRARY_SUFFIX, "no library");
    closed_plugins.clear();
    SECTION("with the vector") {
        static_cast<void>(ext::load_folder(h.registry, plugins.path()));
    }
    SECTION("in whichever order the reports are destroyed") {
        auto reports = ext::load_folder(h.registry, plugins.path());
        reports.erase(reports.begin());
        std::reverse(reports.begin(), reports.end());
        while (!reports.empty()) reports.pop_back();
    }
    SECTION("also after one has been reloaded") {
        auto reports = ext::load_folder(h.registry, plugins.path());
        reports[1].library->reload();
        CHECK(closed_plugins == "b");
        CHECK(h.first(0) == 4);
        closed_plugins.clear();
    }
    SECTION("also if one outlives the others") {
        auto reports = ext::load_folder(h.registry, plugins.path());
        const ext::library outlives = std::move(*reports[0].library);
        reports.clear();
        CHECK(closed_plugins == "dcb");
        CHECK(h.first(0) == 1);
    }
    CHECK(closed_plugins == "dcba");
    CHECK(h.first(0) == 0);
}

TEST_CASE("If the report of one library is destroyed, its hooks are removed at once") {
    hooked h;
    const folder plugins;
    for (const std::string name : {"a", "b", "c"}) plugins.copy("closing", name + LIBRARY_SUFFIX);
    closed_plugins.clear();
    auto reports = ext::load_folder(h.registry, plugins.path());
    CHECK(h.first(0) == 3);
    reports[1].library.reset();
    CHECK(h.first(0) == 2);
    CHECK(closed_plugins == "");
    *reports[0].library = std::move(*reports[2].library);
    CHECK(h.first(0) == 1);
    CHECK(closed_plugins == "");
    reports.clear();
    CHECK(h.first(0) == 0);
    CHECK(closed_plugins == "cba");
}

TEST_CASE("load_folder() loads libraries that are allowed and not blocked, by name, file name or pattern") {
    hooked h;
    const folder plugins;
    for (const std::string name : {"a_one", "a_two", "b_one", "b_two"})
        plugins.copy("no_plugin", name + LIBRARY_SUFFIX);
    const auto tried = [&](const ext::folder_options& options) {
        std::string names;
        for (const ext::load_report& report : ext::load_folder(h.registry, plugins.path(), options))
            names += report.file.stem().string() + " ";
        return names;
    };
    CHECK(tried({}) == "a_one a_two b_one b_two ");
    CHECK(tried({.allow = {"b_one", "a_two" LIBRARY_SUFFIX}}) == "a_two b_one ");
    CHECK(tried({.block = {"b_one", "a_two" LIBRARY_SUFFIX}}) == "a_one b_two ");
    CHECK(tried({.allow = {"a*", "b_two"}, .block = {"*one"}}) == "a_two b_two ");
    CHECK(tried({.allow = {"a_one"}, .block = {"a_one"}}) == "");
    CHECK(tried({.allow = {"c*"}}) == "");
}

TEST_CASE("load_folder() reports an allowed name that no file has") {
    hooked h;
    const folder plugins;
    plugins.copy("version_1");
    const auto reports = ext::load_folder(h.registry, plugins.path(), {.allow = {"valut", "version_1"}});
    REQUIRE(reports.size() == 2);
    CHECK(reports[0].library);
    CHECK(reports[1].file == plugins.path() / "valut");
    CHECK(reports[1].reason == plugins.path().string() + ": it has no plugin 'valut', which is allowed");
}

TEST_CASE("The options of load_folder() are defaults for the hooks of all plugins") {
    hooked h;
    const folder plugins;
    plugins.copy("version_1");
    h.registry.on_hook_error([](const ext::hook_error&) {});
    const auto reports = ext::load_folder(h.registry, plugins.path(), {.isolate = true});
    CHECK(h.failing(1) == 1);
}

TEST_CASE("An unreadable folder is an error, and so is an empty name") {
    hooked h;
    const folder plugins;
    plugins.copy("version_1");
    const auto loaded = [&](const fs::path& path, const ext::folder_options& options) {
        static_cast<void>(ext::load_folder(h.registry, path, options));
    };
    CHECK_THROWS_WITH(loaded(plugins.path() / "missing", {}),
                      ContainsSubstring("missing: it cannot be read as a folder of plugins: "));
    CHECK_THROWS_WITH(loaded(plugins.path(), {.allow = {""}}), ContainsSubstring("must not be empty"));
    CHECK_THROWS_WITH(loaded(plugins.path(), {.block = {"x", ""}}), ContainsSubstring("must not be empty"));
    CHECK(h.added() == none);
}
