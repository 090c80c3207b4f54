// What a registry reports about its functions and hooks: functions(), describe(), check_pending().
#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <string>
#include <string_view>
#include <vector>

using Catch::Matchers::Equals;

TEST_CASE("describe() returns a table of all functions, with their hooks in the order in which they run") {
    ext::registry registry;
    ext::extensible get_api_key{registry, "models.get_api_key", [](std::string_view) { return std::string(); }};
    ext::extensible unhooked{registry, "math.twice", [](int x) { return 2 * x; }};
    ext::plugin openbao{registry, "openbao"};
    openbao.on_start(get_api_key, [](auto&) {}, {.id = "vault", .priority = 10});
    get_api_key.on_end([](auto&) {});
    get_api_key.on_start([](auto&) {}, {.id = "dotenv", .before = "vault"}).disable();
    registry.around("models.*", [](ext::any_call&, auto& proceed) { proceed(); }, {.id = "trace", .priority = -100});
    registry.on_start<void(int)>("models.unload", [](auto&) {}, {.id = "audit"});
    registry.on_end("disk.*", [](ext::any_call&) {}, {.id = "watch"});
    CHECK_THAT("\n" + ext::describe(registry), Equals(R"(
FUNCTION            PHASE   HOOK              OWNER    PRIORITY  STATE     SIGNATURE
math.twice                                                       no hooks  int(int)
models.get_api_key  start   dotenv                            0  disabled  std::string(std::string_view)
                    start   vault             openbao        10  runs
                    around  trace (models.*)               -100  runs
                    end     -                                 0  runs
models.unload       start   audit                             0  waits     void(int)
                    around  trace (models.*)               -100  waits
disk.*              end     watch                             0  waits
)"));
}

TEST_CASE("describe() says which hooks for any function are skipped because only one side is awaited") {
    ext::registry registry;
    ext::extensible read{registry, "file.read", []() -> tasks::lazy<int> { co_return 1; }};
    ext::extensible size{registry, "file.size", []() { return 1; }};
    registry.around("file.*", [](ext::any_call&, auto& proceed) { proceed(); }, {.id = "plain"});
    registry.around("file.*", [](ext::any_call&, auto& proceed) -> tasks::lazy<void> { co_await proceed(); },
                    {.id = "awaited"});
    registry.on_end("file.*", [](ext::any_call&) {}, {.id = "both"});
    CHECK_THAT("\n" + ext::describe(registry), Equals(R"(
FUNCTION   PHASE   HOOK              OWNER  PRIORITY  STATE    SIGNATURE
file.read  around  plain (file.*)                  0  skipped  tasks::task<int, true>()
           around  awaited (file.*)                0  runs
           end     both (file.*)                   0  runs
file.size  around  plain (file.*)                  0  runs     int()
           around  awaited (file.*)                0  skipped
           end     both (file.*)                   0  runs
)"));
}

TEST_CASE("describe() says which hook runs in place of another") {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    ext::plugin user{registry, "user"};
    f.on_start([](auto&) {}, {.id = "vault"});
    f.on_start([](auto&) {}, {.id = "cache"});
    f.on_start([](auto&) {}, {.id = "cache", .replace = true});
    user.on_start(f, [](auto&) {}, {.id = "vault", .replace = true});
    CHECK_THAT("\n" + ext::describe(registry), Equals(R"(
FUNCTION  PHASE  HOOK   OWNER  PRIORITY  STATE                      SIGNATURE
f         start  vault                0  replaced by vault of user  void()
          start  vault  user          0  runs
          start  cache                0  replaced by cache
          start  cache                0  runs
)"));
}

TEST_CASE("describe() says which hook replaces another under a pattern that matches no function yet") {
    ext::registry registry;
    registry.on_start("disk.*", [](ext::any_call&) {}, {.id = "watch"});
    ext::hook other = registry.on_start("disk.*", [](ext::any_call&) {}, {.id = "watch", .replace = true});
    CHECK_THAT("\n" + ext::describe(registry), Equals(R"(
FUNCTION  PHASE  HOOK   OWNER  PRIORITY  STATE              SIGNATURE
disk.*    start  watch                0  replaced by watch
disk.*    start  watch                0  waits
)"));
    other.disable();
    CHECK(registry.functions()[0].hooks[0].replaced_by.empty());
}

TEST_CASE("functions() and describe() list the ids that no hook has") {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    ext::plugin openbao{registry, "openbao"};
    openbao.on_start(f, [](auto&) {}, {.id = "vault", .before = {"cache", "vualt", "b"}, .after = {"a", "b", "vault"}});
    f.on_start([](auto&) {}, {.id = "a"});
    f.on_end([](auto&) {}, {.id = "cache", .after = "b"});
    ext::hook watch = registry.on_start("f*", [](ext::any_call&) {}, {.id = "watch", .after = "dotenv"});
    const ext::function_info info = registry.functions()[0];
    REQUIRE(info.hooks.size() == 4);
    CHECK(info.hooks[0].unknown_ids.empty());
    CHECK(info.hooks[1].unknown_ids == std::vector<std::string>{"cache", "vualt", "b", "vault"});
    CHECK(info.hooks[2].unknown_ids == std::vector<std::string>{"dotenv"});
    CHECK_THAT("\n" + ext::describe(registry), Equals(R"(
FUNCTION  PHASE  HOOK        OWNER    PRIORITY  STATE  SIGNATURE
f         start  a                           0  runs   void()
          start  vault       openbao         0  runs
          start  watch (f*)                  0  runs
          end    cache                       0  runs
f: the start hook 'vault' of openbao names ids that no other start hook has: 'cache', 'vualt', 'b', 'vault'
f: the start hook 'watch' for 'f*' names ids that no other start hook has: 'dotenv'
f: the end hook 'cache' names ids that no other end hook has: 'b'
)"));
    ext::hook b = f.on_end([](auto&) {}, {.id = "b"});
    CHECK(registry.functions()[0].hooks[4].unknown_ids.empty());
    b.remove();
    CHECK(registry.functions()[0].hooks[3].unknown_ids == std::vector<std::string>{"b"});
}

namespace {

// What check_pending() says; empty if it finds nothing.
std::string pending_in(const ext::registry& registry) {
    try {
        ext::check_pending(registry);
        return "";
    } catch (const ext::error& error) {
        return error.what();
    }
}
const std::string pending = "ext::check_pending: some hooks wait for names that are probably misspelt";

}  // namespace

TEST_CASE("check_pending() finds hooks that wait for a name that no code has wrapped") {
    ext::registry registry;
    ext::extensible get_api_key{registry, "models.get_api_key", [](std::string_view) { return std::string(); }};
    ext::extensible list{registry, "models.list", [] { return 0; }};
    list.on_start([](auto&) {});
    registry.on_start("disk.*", [](ext::any_call&) {});  // a function that matches may be wrapped later
    CHECK(pending_in(registry).empty());

    registry.on_start<std::string(std::string_view)>("models.get_apikey", [](auto&) {});
    ext::hook unload = registry.on_start("models.unload", [](ext::any_call&) {});
    CHECK(pending_in(registry) ==
          pending +
              "\nmodels.get_apikey: hooks wait for this function, which no code has wrapped in this registry: "
              "did you mean models.get_api_key?"
              "\nmodels.unload: hooks wait for this function, which no code has wrapped in this registry");
    ext::extensible late{registry, "models.get_apikey", [](std::string_view) { return std::string(); }};
    unload.remove();
    CHECK(pending_in(registry).empty());
}

TEST_CASE("check_pending() finds ids that are similar to another hook's, or are those of another phase") {
    ext::registry registry;
    ext::extensible f{registry, "f", [] {}};
    f.on_start([](auto&) {}, {.id = "vault"});
    f.on_end([](auto&) {}, {.id = "close"});
    SECTION("if at most two characters are inserted, deleted or changed") {
        for (const char* nearly : {"vualt", "vaul", "vaults", "ault", "Vaukt"}) {
            ext::scoped_hook hook = f.on_start([](auto&) {}, {.id = "dotenv", .after = nearly});
            CHECK(pending_in(registry) == pending + "\nf: the start hook 'dotenv' names '" + nearly +
                                              "', which no other start hook has: did you mean 'vault'?");
        }
    }
    SECTION("and suggests the nearest one, and not the hook's own id") {
        f.on_start([](auto&) {}, {.id = "vaulted"});
        f.on_start([](auto&) {}, {.id = "stage2", .after = "stage1"});
        CHECK(pending_in(registry).empty());
        f.on_start([](auto&) {}, {.after = "vaults"});
        CHECK(pending_in(registry) ==
              pending + "\nf: the start hook names 'vaults', which no other start hook has: did you mean 'vault'?");
    }
    SECTION("also for the hook to replace") {
        f.on_start([](auto&) {}, {.id = "vaults", .replace = true});
        f.on_start([](auto&) {}, {.id = "vault", .replace = true});
        f.on_start([](auto&) {}, {.id = "close", .replace = true});
        f.on_start([](auto&) {}, {.id = "what may come later", .replace = true});
        CHECK(pending_in(registry) ==
              pending +
                  "\nf: the start hook 'vaults' names 'vaults', which no other start hook has: did you mean 'vault'?"
                  "\nf: the start hook 'close' names 'close', which no other start hook has: an end hook has it");
    }
    SECTION("if a hook of another phase has it") {
        ext::plugin plugin{registry, "plugin"};
        plugin.on_start(f, [](auto&) {}, {.before = {"close", "dotenv"}});
        CHECK(pending_in(registry) ==
              pending +
                  "\nf: the start hook of plugin names 'close', which no other start hook has: an end hook has it");
    }
    SECTION("but short ids must be more similar") {
        f.on_start([](auto&) {}, {.id = "aws", .after = {"gcp", "env"}});
        f.on_start([](auto&) {}, {.id = "db"});
        f.on_start([](auto&) {}, {.after = "gwp"});  // two changes
        CHECK(pending_in(registry).empty());
        f.on_start([](auto&) {}, {.after = {"dc", "awz"}});
        CHECK(pending_in(registry) ==
              pending +
                  "\nf: the start hook names 'dc', which no other start hook has: did you mean 'db'?"
                  "\nf: the start hook names 'awz', which no other start hook has: did you mean 'aws'?");
    }
    SECTION("but not if no other id is similar, nor under a pattern that matches no function") {
        f.on_start([](auto&) {}, {.after = {"environment", "vaultages"}});
        registry.on_start("g*", [](ext::any_call&) {}, {.id = "log", .after = "vualt"});
        CHECK(pending_in(registry).empty());
    }
}

TEST_CASE("A hook that functions() lists can be disabled and removed") {
    ext::registry registry;
    int runs = 0;
    ext::extensible f{registry, "f", [] {}};
    f.on_start([&](auto&) { ++runs; }, {.id = "here"});
    registry.on_start("nobody.*", [](ext::any_call&) {}, {.id = "waits"});
    std::vector<ext::function_info> functions = registry.functions();
    functions[0].hooks[0].handle.disable();
    f();
    CHECK(runs == 0);
    functions[0].hooks[0].handle.enable();
    f();
    CHECK(runs == 1);
    for (ext::function_info& function : functions) function.hooks[0].handle.remove();
    f();
    CHECK(runs == 1);
    CHECK(registry.functions().size() == 1);
}

TEST_CASE("functions() lists every function with its signature and hooks") {
    ext::registry registry;
    CHECK(registry.functions().empty());
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::plugin plugin{registry, "owner"};
    ext::hook hook = plugin.on_end("f", [](ext::any_call&) {}, {.id = "one", .priority = 3});
    registry.on_start<void()>("waits", [](auto&) {});
    const auto functions = registry.functions();
    REQUIRE(functions.size() == 2);
    CHECK(functions[0].name == "f");
    CHECK(functions[0].signature == "int(int)");
    CHECK(functions[0].wrapped);
    REQUIRE(functions[0].hooks.size() == 1);
    const ext::hook_info& info = functions[0].hooks[0];
    CHECK(info.phase == ext::phase::end);
    CHECK(info.id == "one");
    CHECK(info.owner == "owner");
    CHECK(info.pattern.empty());
    CHECK(info.priority == 3);
    CHECK(info.enabled);
    CHECK(functions[1].name == "waits");
    CHECK(functions[1].signature == "void()");
    CHECK(!functions[1].wrapped);
    CHECK(functions[1].hooks.size() == 1);

    plugin.disable();
    CHECK(!registry.functions()[0].hooks[0].enabled);
    plugin.enable();
    hook.disable();
    CHECK(!registry.functions()[0].hooks[0].enabled);
    hook.remove();
    CHECK(registry.functions()[0].hooks.empty());
}

TEST_CASE("A sealed registry accepts no more hooks, and keeps the hooks that it has") {
    ext::registry registry;
    std::string way;
    ext::extensible f{registry, "f", [](int x) { return x; }};
    ext::plugin plugin{registry, "p"};
    ext::hook first = f.on_start([&](auto&) { way += "1"; }, {.id = "first"});
    ext::hook second = plugin.on_start(f, [&](auto&) { way += "2"; });
    registry.seal();
    registry.seal();
    CHECK_THROWS_WITH(f.on_start([](auto&) {}), Equals("f: the registry is sealed, so no hook can be registered"));
    CHECK_THROWS_AS(f.on_start([](auto&) {}, {.id = "first", .replace = true}), ext::sealed);
    CHECK_THROWS_AS(f.around([](auto&, auto&) {}), ext::sealed);
    CHECK_THROWS_AS(registry.on_end<int(int)>("f", [](auto&) {}), ext::sealed);
    CHECK_THROWS_AS(registry.on_start("*", [](ext::any_call&) {}), ext::sealed);
    CHECK_THROWS_AS(registry.on_hook_error([](const ext::hook_error&) {}), ext::sealed);
    CHECK_THROWS_AS(plugin.on_end(f, [](auto&) {}), ext::sealed);
    f(1);
    first.disable();
    f(1);
    first.enable();
    second.remove();
    f(1);
    CHECK(way == "1221");
    ext::extensible g{registry, "g", [](int x) { return x; }};
    CHECK(g(1) == 1);
    CHECK(registry.functions().size() == 2);
}
