// Loads plugins from shared libraries, reloads and closes them.
#include "half_way.hpp"

#include "../catch.hpp"
#include "../in_memory.hpp"
#include "../latch.hpp"

#include <extensible/extensible.hpp>
#include <extensible/library.hpp>

#include <atomic>
#include <cerrno>
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

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using tests::is_in_memory;
using tests::loaded_libraries;
namespace fs = std::filesystem;

namespace {

std::function<void()> in_the_middle;

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
        std::ofstream(path_ / name) << text;
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

// ---- One library ----------------------------------------------------------------------------------------------------

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
