#pragma once

// Compares the library with the model. If they differ, it looks for a short program that shows it.

#include "library.hpp"
#include "model.hpp"
#include "performer.hpp"
#include "program.hpp"

#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace model {

/// The model's trace, the library's trace up to the first difference, and whether they differ.
struct comparison {
    std::vector<std::string> expected, seen;
    bool differs;
};

inline comparison compare(const script& program) {
    trace expected;
    performer(expected, [](script_runner& scripts) { return std::make_unique<plain_model>(scripts); }).perform(program);
    trace seen(expected.lines());
    performer(seen, [](script_runner& scripts) { return std::make_unique<library>(scripts); }).perform(program);
    return {expected.lines(), seen.lines(), seen.differs()};
}

// ---- Shrinking ------------------------------------------------------------------------------------------------------

/// Collects all scripts of a program: the program itself, and the scripts of its hooks, finishers
/// and functions, at any depth.
inline void collect(script& program, std::vector<script*>& scripts) {
    scripts.push_back(&program);
    for (operation& o : program) collect(o.does, scripts), collect(o.at_end, scripts);
}

/// Deletes operations as long as the difference remains. Returns true if it has deleted any.
inline bool delete_operations(script& program) {
    bool any = false;
    for (std::size_t which = 0;; ++which) {
        std::vector<script*> scripts;
        collect(program, scripts);
        if (which >= scripts.size()) return any;
        for (std::size_t at = scripts[which]->size(); at-- > 0;) {
            script shorter = program;
            scripts.clear();
            collect(shorter, scripts);
            scripts[which]->erase(scripts[which]->begin() + static_cast<std::ptrdiff_t>(at));
            const bool differs = compare(shorter).differs;
            if (differs) program = std::move(shorter), any = true;
            scripts.clear();
            collect(program, scripts);
        }
    }
}

/// Deletes the options that do not matter for the difference.
inline void delete_options(script& program) {
    using simplify = void (*)(operation&);
    static constexpr simplify ways[]{
        [](operation& o) { o.before = 0; },          [](operation& o) { o.after = 0; },
        [](operation& o) { o.id = 0; },              [](operation& o) { o.priority.reset(); },
        [](operation& o) { o.replaces = false; },    [](operation& o) { o.isolate.reset(); },
        [](operation& o) { o.reentrant.reset(); },   [](operation& o) { o.plugin = -1; },
        [](operation& o) { o.times = 0; },           [](operation& o) { o.this_thread = false; },
        [](operation& o) { o.fallback = false; },    [](operation& o) { o.returns_end = false; },
        [](operation& o) { o.awaited = false; },     [](operation& o) { o.takes_any = false; },
        [](operation& o) { o.flag = true; },         [](operation& o) { o.flag_too = false; }};
    std::vector<script*> scripts;
    collect(program, scripts);
    for (std::size_t which = 0; which < scripts.size(); ++which) {
        for (std::size_t at = 0; at < scripts[which]->size(); ++at) {
            for (const simplify way : ways) {
                operation& o = (*scripts[which])[at];
                const operation before = o;
                way(o);
                if (!compare(program).differs) (*scripts[which])[at] = before;
                scripts.clear();
                collect(program, scripts);
            }
        }
    }
}

inline script shrink(script program) {
    while (delete_operations(program)) {}
    delete_options(program);
    return program;
}

/// Prints the program, the trace up to the first difference, and the line that differs in both.
inline void print(const script& program, const comparison& found) {
    std::printf("%s", text_of(program).c_str());
    const std::size_t at = found.seen.empty() ? 0 : found.seen.size() - 1;
    for (std::size_t i = 0; i < at && i < found.expected.size(); ++i)
        std::printf("        %s\n", found.expected[i].c_str());
    std::printf("model   %s\n", at < found.expected.size() ? found.expected[at].c_str() : "(nothing)");
    std::printf("library %s\n", found.seen.empty() ? "(nothing)" : found.seen[at].c_str());
}

/// True if the library does what the model does. Otherwise prints a short program that shows it.
inline bool check(const script& program) {
    if (!compare(program).differs) return true;
    const script shrunk = shrink(program);
    print(shrunk, compare(shrunk));
    return false;
}

}  // namespace model
