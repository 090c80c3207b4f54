#include "catch.hpp"
#include "plain_order.hpp"

#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/error.hpp>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

using Catch::Matchers::Equals;
using ext::detail::hook_record;
using ext::detail::hook_sequence;
using hooks_in_order = std::vector<hook_record*>;

namespace {

hooks_in_order plainly_ordered(const hooks_in_order& hooks) {
    hooks_in_order ordered;
    for (const ext::phase when : {ext::phase::start, ext::phase::around, ext::phase::end}) {
        hooks_in_order part;
        for (hook_record* hook : hooks)
            if (hook->when == when) part.push_back(hook);
        for (hook_record* hook : plain_order<hook_record>(part).run()) ordered.push_back(hook);
    }
    return ordered;
}

hooks_in_order all(const hook_sequence& sequence) {
    hooks_in_order hooks;
    for (hook_record& hook : sequence) hooks.push_back(&hook);
    return hooks;
}

// A sequence, and what registers hooks in it.
struct sequence {
    hook_sequence hooks;
    std::uint64_t registrations = 0;
    bool moved_others = false;  // in the last change

    struct stated {
        std::string id{};
        int priority = 0;
        std::vector<std::string> before{}, after{};
        ext::phase when = ext::phase::start;
        std::string pattern{};
        bool replaces = false;
    };
    static hook_record* make(const stated& options, std::uint64_t number) {
        auto* const hook = new hook_record(options.id, options.pattern);
        hook->priority = options.priority;
        hook->before = options.before;
        hook->after = options.after;
        hook->when = options.when;
        hook->number = number;
        hook->replaces = options.replaces;
        hook->takes_place = options.replaces && options.priority == 0 && options.before.empty() && options.after.empty();
        return hook;
    }
    hook_record* add(const stated& options) {
        const ext::detail::ref hook(make(options, registrations + 1));
        change(hooks.plan_with("f", *hook));
        ++registrations;
        return hook.get();
    }
    void remove(hook_record* hook) {
        const ext::detail::ref<hook_record> kept(hook);
        change(hooks.plan_without("f", *hook));
    }
    void change(hook_sequence::edit planned) {
        const hooks_in_order before = all(hooks);
        moved_others = planned.moves_others;
        hooks_in_order after = before;
        if (!moved_others) {
            const auto place = after.begin() + static_cast<std::ptrdiff_t>(planned.at);
            if (planned.added) after.insert(place, planned.added);
            else require(*place == planned.leaving), after.erase(place);
        } else {
            after = all(planned.anew);
        }
        hooks.apply(planned);
        require(all(hooks) == after);
    }
    // A REQUIRE that is quick enough for many steps.
    static void require(bool holds) {
        if (!holds) FAIL("a plan tells another change than is made");
    }
    std::string order() const {
        std::string ids;
        for (const hook_record& hook : hooks) ids += hook.id;
        return ids;
    }
};

int steps() {
    const char* const wanted = std::getenv("HOOK_SEQUENCE_STEPS");
    return wanted ? std::atoi(wanted) : 20'000;
}

}  // namespace

TEST_CASE("Hooks that come and go one by one run as if all were put in order anew") {
    std::minstd_rand random(8);
    const auto below = [&random](unsigned n) { return static_cast<int>(random() % n); };
    sequence s;
    unsigned most = 8, ids = 8, often = 3;  // changed from time to time: dense and sparse graphs, short and long lists
    int quick = 0, moving = 0, cycles = 0;
    for (int step = 0; step < steps(); ++step) {
        if (step % 500 == 0) {
            most = 1 + static_cast<unsigned>(below(step % 2000 == 0 ? 60 : 12));
            ids = 1 + static_cast<unsigned>(below(2 * most));
            often = 1 + static_cast<unsigned>(below(6));
            s.hooks = {};
            REQUIRE(s.hooks.empty());
        }
        const auto name = [&] { return std::string("h").append(std::to_string(below(ids))); };
        const auto some_names = [&] {
            std::vector<std::string> names;
            while (below(often + 1) == 0 && names.size() < 3) names.push_back(name());
            return names;
        };
        const hooks_in_order before = all(s.hooks);
        bool added = false;
        try {
            if (before.size() >= most || (!before.empty() && below(3) == 0)) {
                s.remove(before[static_cast<std::size_t>(below(static_cast<unsigned>(before.size())))]);
            } else {
                const auto when = static_cast<ext::phase>(below(5) == 0 ? below(3) : 0);
                sequence::stated options{below(4) == 0 ? "" : name(), below(3) - 1, some_names(), some_names(), when};
                if (below(8) == 0) options.pattern = below(2) == 0 ? "a*" : "b*";
                const ext::detail::ref like(sequence::make(options, 0));
                options.replaces = s.hooks.find_original(*like) || below(6) == 0;
                added = true;
                s.add(options);
            }
            ++(s.moved_others ? moving : quick);
        } catch (const ext::order_cycle&) {
            ++cycles;
            REQUIRE(all(s.hooks) == before);
            continue;
        }
        const hooks_in_order after = all(s.hooks);
        if (after != plainly_ordered(after) || after.size() + 1 != before.size() + (added ? 2u : 0u))
            FAIL("step " << step << " of " << s.order());
        for (hook_record* hook : after)
            if (!hook->id.empty() && !hook->replaces && s.hooks.find_original(*hook) != hook) FAIL("step " << step << ": not found");
    }
    INFO(quick << " quick, " << moving << " moving, " << cycles << " cycles");
    if (std::getenv("HOOK_SEQUENCE_STEPS")) WARN(quick << " quick, " << moving << " moving, " << cycles << " cycles");
    CHECK(quick > steps() / 4);
    CHECK(moving > steps() / 20);
    CHECK(cycles > steps() / 50);
}

TEST_CASE("Of many hooks, each is put in its place without a look at what the others state") {
    const auto id = [](int i) { return std::string("hook").append(std::to_string(i)); };
    const auto register_all = [](auto options) {
        hook_sequence hooks;
        int moving = 0;
        for (int i = 0; i < 10'000; ++i) {
            const sequence::stated stated = options(i);
            const ext::detail::ref hook(sequence::make(stated, static_cast<std::uint64_t>(i + 1)));
            auto planned = hooks.plan_with("f", *hook);
            moving += planned.moves_others;
            hooks.apply(planned);
        }
        CHECK(moving == 0);
        bool forwards = true, backwards = true;
        for (std::size_t at = 1; at < hooks.size(); ++at) {
            forwards &= hooks[at - 1].number + 1 == hooks[at].number;
            backwards &= hooks[at - 1].number == hooks[at].number + 1;
        }
        return std::string(forwards ? "forwards" : backwards ? "backwards" : "mixed");
    };
    const auto names_last = [&](int i) { return i == 0 ? std::vector<std::string>() : std::vector{id(i - 1)}; };
    using stated = sequence::stated;
    CHECK(register_all([&](int) { return stated{}; }) == "forwards");
    CHECK(register_all([&](int i) { return stated{.priority = -i}; }) == "backwards");
    CHECK(register_all([&](int i) { return stated{.id = id(i)}; }) == "forwards");
    CHECK(register_all([&](int i) { return stated{.id = id(i), .after = names_last(i)}; }) == "forwards");
    CHECK(register_all([&](int i) { return stated{.id = id(i), .before = names_last(i)}; }) == "backwards");
    CHECK(register_all([&](int) { return stated{.before = {"nobody"}}; }) == "forwards");
}

TEST_CASE("A hook that nobody names goes without a look at the others, and so does one whose turn is early enough come") {
    sequence s;
    hook_record* const a = s.add({.id = "a"});
    hook_record* const early = s.add({.priority = -1, .before = {"a"}});
    CHECK_FALSE(s.moved_others);
    hook_record* const between = s.add({.id = "b", .before = {"nobody", "a"}, .after = {"nobody"}});
    CHECK_FALSE(s.moved_others);
    CHECK(all(s.hooks) == hooks_in_order{early, between, a});
    for (hook_record* hook : {between, early, a}) {
        s.remove(hook);
        CHECK_FALSE(s.moved_others);
    }
    CHECK(s.hooks.empty());
}

TEST_CASE("A chain of constraints may be long, and be given from its end on") {
    std::vector<ext::detail::ref<hook_record>> owners;
    hooks_in_order chain;
    const int length = 10'000;
    for (int i = 0; i < length; ++i) {  // each waits for the next one
        owners.emplace_back(new hook_record);
        owners.back()->id = std::to_string(i);
        owners.back()->after = {std::to_string(i + 1)};
        owners.back()->number = static_cast<std::uint64_t>(i + 1);
        chain.push_back(owners.back().get());
    }
    hook_sequence hooks;
    for (hook_record* hook : chain) hooks.add(*hook);
    hooks.arrange("f");
    CHECK(all(hooks) == hooks_in_order(chain.rbegin(), chain.rend()));
    owners.back()->after = {"0"};
    hook_sequence circle;
    for (hook_record* hook : chain) circle.add(*hook);
    CHECK_THROWS_AS(circle.arrange("f"), ext::order_cycle);
}

TEST_CASE("A cycle is told from the hook on that comes first, with the phase") {
    sequence s;
    s.add({.id = "before it", .when = ext::phase::end});
    s.add({.id = "a", .when = ext::phase::end});
    s.add({.id = "b", .after = {"a"}, .when = ext::phase::end});
    CHECK_THROWS_WITH(s.add({.before = {"a"}, .after = {"b"}, .when = ext::phase::end}),
                      Equals("f: the end hooks cannot be put in order: 'a' before 'b' before (a hook without id) before 'a'"));
    CHECK_THROWS_WITH(s.add({.id = "self", .before = {"self"}}),
                      Equals("f: the start hooks cannot be put in order: 'self' before 'self'"));
    CHECK(s.hooks.size() == 3);
}

TEST_CASE("A hook that comes directly before another one comes behind all that must run before that") {
    // `late` brings b with it, and so f, and what f waits for: all in its turn.
    sequence s;
    s.add({.id = "f", .priority = 5, .before = {"b"}});
    s.add({.id = "b", .priority = 5});
    s.add({.id = "x", .priority = 2});
    s.add({.id = "late", .before = {"x"}, .after = {"b"}});
    s.add({.id = "g", .priority = 3, .before = {"f"}});
    s.add({.id = "y", .priority = 3, .before = {"f"}});
    s.add({.id = "n", .priority = 9, .before = {"b", "y"}});
    CHECK(all(s.hooks) == plainly_ordered(all(s.hooks)));
}

TEST_CASE("A hook that is in another one's turn is early for those that come later") {
    sequence s;
    s.add({.id = "x", .priority = 2});
    s.add({.id = "b", .priority = 3});
    s.add({.id = "l", .before = {"x"}, .after = {"b"}});
    s.add({.id = "n", .priority = 9, .before = {"b"}});
    CHECK_FALSE(s.moved_others);
    CHECK(s.order() == "nblx");
    s.add({.id = "m", .priority = 2, .before = {"n"}});
    CHECK(s.order() == "mnblx");
}

TEST_CASE("A hook that replaces another one has its place, whichever comes first") {
    sequence s;
    s.add({.id = "last"});
    s.add({.id = "middle"});
    hook_record* const replacing = s.add({.id = "first", .replaces = true});
    CHECK(s.order() == "lastmiddlefirst");
    hook_record* const original = s.add({.id = "first", .priority = -1, .before = {"last"}});
    CHECK(all(s.hooks) == hooks_in_order{replacing, original, &s.hooks[2], &s.hooks[3]});
    const auto runs = [](const hook_record&) { return true; };
    CHECK(s.hooks.find_replacing(*original, runs) == replacing);
    CHECK(s.hooks.find_replacing(*replacing, runs) == nullptr);
    hook_record* const later = s.add({.id = "first", .priority = 7, .replaces = true});
    CHECK(s.order() == "firstfirstlastmiddlefirst");
    CHECK(s.hooks.find_replacing(*replacing, runs) == later);
    CHECK(s.hooks.find_replacing(*original, [&](const hook_record& hook) { return &hook != later; }) == replacing);
    s.remove(original);
    CHECK(s.order() == "lastmiddlefirstfirst");
}

TEST_CASE("An id under several patterns means all hooks that have it, and replaces none of another pattern") {
    sequence s;
    s.add({.id = "trace", .priority = 3, .pattern = "a*"});
    s.add({.id = "trace", .pattern = "b*"});
    s.add({.id = "trace", .priority = 1, .pattern = "b*", .replaces = true});
    hook_record* const behind = s.add({.id = "x", .after = {"trace"}});
    CHECK(&s.hooks[3] == behind);
    hook_record* const own = s.add({.id = "trace", .priority = 5});
    CHECK(&s.hooks[4] == behind);
    CHECK(s.hooks.find_replacing(*own, [](const hook_record&) { return true; }) == nullptr);
}

TEST_CASE("Hooks that count alike run by their own priority") {
    sequence s;
    s.add({.id = "c"});
    s.add({.id = "a", .priority = -1, .after = {"c"}});
    s.add({.id = "d", .priority = -4, .after = {"c"}});
    CHECK(s.order() == "cda");
}

TEST_CASE("An empty id is nobody's") {
    sequence s;
    s.add({});
    s.add({.after = {""}});
    s.add({.before = {""}});
    s.add({});
    CHECK_FALSE(s.moved_others);
    CHECK(s.hooks.find_original(s.hooks[0]) == nullptr);
    CHECK(all(s.hooks) == plainly_ordered(all(s.hooks)));
    CHECK(s.hooks[0].number == 1);
    CHECK(s.hooks[3].number == 4);
}

TEST_CASE("A sequence owns its hooks for as long as they are in it") {
    sequence s;
    const ext::detail::ref<hook_record> kept(s.add({.id = "a"}));
    const std::size_t held = kept->references;
    auto dropped = s.hooks.plan_with("f", *kept);  // a plan that is not made changes nothing
    dropped = {};
    CHECK(kept->references == held);
    s.remove(kept.get());
    CHECK(kept->references == held - 1);
    s.change(s.hooks.plan_with("f", *kept));
    s.hooks = {};
    CHECK(kept->references == held - 1);
}
