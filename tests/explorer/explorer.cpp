// Small configurations of the library under every schedule, bounded, or under many random ones.
//
//     explorer                          lists the scenarios
//     explorer all 2 [3]                runs all of them, depth first, with at most 2 preemptions
//                                       and 2 stale loads: with the process-wide barrier, then
//                                       without it; each for at most 3 seconds of processor time
//     explorer wait2 dfs 3 60 [fences]  runs one for at most 60 seconds; without the barrier
//     explorer wait2 random 9 60 [seed=7]
//                                       runs it at random, without a bound
//     explorer remove1 dfs 0 10 script=1:10,2:6,3:12
//                                       the first thread passes 10 points, then the second 6, ...
//
//     explorer accesses                 lists the core's accesses to atomics
//     explorer weaken hazard_guard:protect_fast.load.2 acquire remove1 [options]
//                                       runs the scenario with this load as an acquire
//     explorer check weakenings.txt     checks that each weakening fails as the table says, and
//                                       that the table is complete
//     explorer find [access]            looks for scenarios that catch the weakenings
//
// 0 is success. If a scenario fails, the explorer prints a trace of the schedule and exits with 2.

#include "mc.hpp"
#include "scenarios.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <tuple>
#include <unistd.h>
#include <vector>

namespace {

using mc::scenario;

const scenario* running;

const scenario* find_scenario(const std::string& name) {
    for (const scenario& each : mc::all_scenarios())
        if (name == each.name) return &each;
    return nullptr;
}

// ---- Processes: a crash ends only its own scenario ------------------------------------------------------------------

using job = std::function<int()>;

/// Runs as many jobs at once as there are processors. If `until_one_fails`, no job starts after one
/// has failed. Returns the results of the jobs.
std::vector<int> run_jobs(const std::vector<job>& jobs, bool until_one_fails = false) {
    std::vector<int> results(jobs.size());
    std::map<pid_t, std::size_t> under_way;
    const std::size_t at_once = std::max(1u, std::thread::hardware_concurrency());
    bool failed = false;
    for (std::size_t next = 0; next < jobs.size() || !under_way.empty();) {
        if (until_one_fails && failed) next = jobs.size();
        if (next < jobs.size() && under_way.size() < at_once) {
            std::fflush(stdout);
            const pid_t child = fork();
            if (child == 0) {
                const int result = jobs[next]();
                std::fflush(stdout);
                _exit(result);
            }
            under_way[child] = next++;
            continue;
        }
        int status = 0;
        const pid_t ended = wait(&status);
        const int result = WIFEXITED(status) ? WEXITSTATUS(status) : 2;
        results[under_way.at(ended)] = result;
        failed |= result != 0;
        under_way.erase(ended);
    }
    return results;
}

// ---- The search -----------------------------------------------------------------------------------------------------

enum class outcome { failed, incomplete, complete };

struct search {
    long executions = 0, begun_anew = 0;
    double points = 0;
    bool complete = true;
    std::uint64_t seed = 0;  // of the last execution
};

// Goes to the next path, depth first. False if there is none.
bool next_path() {
    std::vector<mc::choice>& path = mc::m.path;
    while (!path.empty() && path.back().taken + 1 == path.back().of) path.pop_back();
    if (path.empty()) return false;
    ++path.back().taken;
    return true;
}

// Some random executions. They find most atomics that threads share, so that the search restarts
// less often. A failure is not reported here: the search is expected to find it again.
void execute_at_random(const scenario& chosen, int count) {
    mc::m.random = true;
    for (int i = 0; i < count; ++i) {
        mc::m.path.clear();
        mc::execute(chosen);
        if (mc::m.failed) break;
    }
    mc::m.random = false;
    mc::m.path.clear();
}

void print_trace() {
    for (const std::string& line : mc::m.trace) std::puts(line.c_str());
}

// Executes one schedule after the other. If a schedule fails, it is the last one.
search execute_all(const scenario& chosen, double seconds) {
    const std::clock_t end = std::clock() + static_cast<std::clock_t>(seconds * CLOCKS_PER_SEC);
    search s;
    for (;;) {
        s.seed = mc::m.seed;
        if (mc::m.random) {
            mc::m.path.clear();
            mc::m.switch_one_in = static_cast<unsigned>(2 + s.executions % 20);
            mc::m.stale_one_in = static_cast<unsigned>(1 + s.executions % 7);
        }
        mc::execute(chosen);
        ++s.executions;
        s.points += static_cast<double>(mc::m.points);
        if (mc::m.failed || !mc::m.script.empty()) return s;
        if (!mc::m.random && !mc::m.newly_shared.empty()) {
            mc::m.path.clear();
            ++s.begun_anew;
        } else if (!mc::m.random && !next_path()) {
            return s;
        }
        if (s.executions % 256 == 0 && std::clock() > end) {
            s.complete = false;
            return s;
        }
    }
}

// Repeats the schedule of a failure, and prints a trace.
void run_again(const scenario& chosen, std::uint64_t seed) {
    mc::m.tracing = true;
    mc::m.seed = seed;
    if (mc::m.random) mc::m.path.clear();
    mc::execute(chosen);
    if (!mc::m.failed) std::puts("(not reproduced)");
    print_trace();
    mc::m.tracing = false;
    mc::m.trace.clear();
}

enum class report { all, none };

std::uint64_t first_seed = 1;

outcome explore(const scenario& chosen, double seconds, report printed = report::all) {
    running = &chosen;
    const std::clock_t begin = std::clock();
    mc::forget_what_is_shared();
    mc::m.path.clear();
    mc::m.seed = first_seed;
    if (!mc::m.random && mc::m.script.empty()) execute_at_random(chosen, 300);
    const search s = execute_all(chosen, seconds);
    const outcome ended = mc::m.failed ? outcome::failed : s.complete ? outcome::complete : outcome::incomplete;
    if (printed == report::none) return ended;
    if (mc::m.failed) {
        std::printf("%s: FAILED after %ld executions: %s\n", chosen.name, s.executions, mc::m.failure.c_str());
        run_again(chosen, s.seed);
        return ended;
    }
    if (!mc::m.script.empty()) print_trace();
    std::printf("%-14s %s %s %d: %8ld executions, %3.0f points each, %ld restarts, %s, %.1f s\n", chosen.name,
                mc::m.random ? "random" : "dfs", mc::m.has_barrier ? "barrier" : "fences", mc::m.max_preemptions,
                s.executions, s.points / static_cast<double>(s.executions), s.begun_anew,
                s.complete ? "complete" : "not complete", static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
    return ended;
}

// If the depth-first search does not end in half of the time, random schedules use the other half.
outcome explore_both_ways(const scenario& chosen, bool barrier, int bound, double seconds,
                          report printed = report::all) {
    mc::m.has_barrier = barrier;
    mc::m.max_preemptions = mc::m.max_stale_loads = bound;
    outcome ended = explore(chosen, seconds / 2, printed);
    mc::m.random = true;
    if (ended == outcome::incomplete) ended = explore(chosen, seconds / 2, printed);
    mc::m.random = false;
    return ended;
}

bool explore_all(int bound, double seconds) {
    std::vector<job> jobs;
    for (const bool barrier : {true, false})
        for (const scenario& each : mc::all_scenarios())
            jobs.push_back([&each, barrier, bound, seconds] {
                return explore_both_ways(each, barrier, bound, seconds) == outcome::failed ? 2 : 0;
            });
    const std::vector<int> results = run_jobs(jobs);
    return std::all_of(results.begin(), results.end(), [](int result) { return result == 0; });
}

// ---- Options of a search -------------------------------------------------------------------------------------------

void read_option(const char* option) {
    const auto begins = [&](const char* name) {
        const std::size_t size = std::strlen(name);
        return !std::strncmp(option, name, size) ? option + size : nullptr;
    };
    if (begins("fences")) mc::m.has_barrier = false;
    if (begins("random")) mc::m.random = true;
    if (begins("trace")) mc::m.tracing = true;
    if (const char* value = begins("bound=")) mc::m.max_preemptions = mc::m.max_stale_loads = std::atoi(value);
    if (const char* value = begins("stale=")) mc::m.max_stale_loads = std::atoi(value);
    if (const char* value = begins("seed=")) first_seed = std::strtoull(value, nullptr, 10);
    if (const char* value = begins("script=")) {
        mc::m.max_preemptions = mc::m.max_stale_loads = 0;
        for (char* at = const_cast<char*>(value); *at;) {
            const int fiber = static_cast<int>(std::strtol(at, &at, 10));
            mc::m.script.push_back({fiber, static_cast<int>(std::strtol(at + 1, &at, 10))});
            if (*at) ++at;
        }
    }
}

// ---- Weakenings -----------------------------------------------------------------------------------------------------

constexpr double seconds_to_catch = 20;

constexpr const char* order_names[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
const char* name_of(std::memory_order order) { return order_names[static_cast<int>(order)]; }

bool is_fence(const mc::access& a) {
    return a.what == mc::operation::signal_fence || a.what == mc::operation::process_barrier;
}

std::string name_of_place(const mc::access& a) {
    std::string file = a.at.file, function = a.at.function;
    file = file.substr(file.rfind('/') + 1);
    function = function.substr(0, function.find('<'));  // some compilers add a template's arguments
    return file.substr(0, file.find('.')) + ":" + function + "." + mc::name_of(a.what);
}

/// The library's accesses by name: file, function, operation, and a number in the order of lines.
using accesses = std::map<std::string, mc::access>;

accesses find_accesses() {
    std::vector<mc::access> met;
    std::map<std::string, std::map<std::tuple<int, std::memory_order>, mc::access>> by_place;
    mc::m.met = &met;
    const bool had_barrier = mc::m.has_barrier, was_random = mc::m.random;
    for (const bool barrier : {true, false}) {
        mc::m.has_barrier = barrier;
        for (const scenario& each : mc::all_scenarios()) {
            met.clear();
            execute_at_random(each, 100);
            for (const mc::access& a : met)
                if (std::strstr(a.at.file, "include/extensible/")) by_place[name_of_place(a)][{a.at.line, a.order}] = a;
        }
    }
    mc::m.met = nullptr;
    mc::m.has_barrier = had_barrier;
    mc::m.random = was_random;
    accesses all;
    for (const auto& [place, by_line] : by_place) {
        int number = 0;
        for (const auto& [line, a] : by_line) all[place + "." + std::to_string(++number)] = a;
    }
    return all;
}

/// Counts the accesses in the headers that no scenario reaches, except for relaxed ones. All of
/// them state their order. Two headers are ignored: the explorer replaces system.hpp, and the
/// handler in error.hpp exists only without exceptions, but the scenarios are built with exceptions.
int count_unmet(const accesses& all) {
    std::set<std::string> met;
    std::filesystem::path headers;
    for (const auto& [name, a] : all) {
        met.insert(std::filesystem::path(a.at.file).filename().string() + ":" + std::to_string(a.at.line));
        headers = std::filesystem::path(a.at.file).parent_path();
    }
    int unmet = 0;
    const std::regex ordered("std::memory_order_(acquire|release|acq_rel|seq_cst)\\)");
    while (headers.filename() != "extensible") headers = headers.parent_path();
    for (const auto& header : std::filesystem::recursive_directory_iterator(headers)) {
        if (header.path().parent_path().filename() == "platform" || header.path().filename() == "error.hpp") continue;
        std::ifstream file(header.path());
        int number = 0;
        for (std::string line; std::getline(file, line);) {
            const std::string place = header.path().filename().string() + ":" + std::to_string(++number);
            if (met.count(place) || !std::regex_search(line, ordered)) continue;
            std::printf("no scenario reaches %s\n", place.c_str());
            ++unmet;
        }
    }
    return unmet;
}

/// The orders that are weaker by one step. A relaxed fence is omitted.
std::vector<std::memory_order> weaker_by_one(const mc::access& a, std::memory_order order) {
    using enum std::memory_order;
    if (is_fence(a)) return order == seq_cst ? std::vector{relaxed} : std::vector<std::memory_order>{};
    if (order == acq_rel) return {acquire, release};
    if (order == acquire || order == release) return {relaxed};
    if (order != seq_cst) return {};
    return {a.what == mc::operation::load ? acquire : a.what == mc::operation::store ? release : acq_rel};
}

void weaken(const mc::access& a, std::memory_order to) {
    mc::m.weak = a;
    mc::m.weak_order = to;
}

/// One line of the table.
struct weakening {
    std::string access, order, scenario, rest;  // rest: options, or the reason if the scenario is "-"
};

std::vector<weakening> read_table(const char* name) {
    std::vector<weakening> table;
    std::ifstream file(name);
    for (std::string line; std::getline(file, line);) {
        weakening w;
        std::istringstream text(line);
        if (line.empty() || line[0] == '#' || !(text >> w.access >> w.order >> w.scenario)) continue;
        std::getline(text >> std::ws, w.rest);
        table.push_back(w);
    }
    return table;
}

std::memory_order order_of(const std::string& name) {
    for (int i = 0; i < 6; ++i)
        if (name == order_names[i]) return static_cast<std::memory_order>(i);
    return std::memory_order_relaxed;
}

int complain(const std::string& what) {
    std::puts(what.c_str());
    return 2;
}

/// Checks that the scenario fails if the access is weakened, as the table says. 0 if it does.
int check_line(const weakening& line, const mc::access& a) {
    const scenario* const chosen = find_scenario(line.scenario);
    if (!chosen) return complain("no such scenario: " + line.scenario);
    weaken(a, order_of(line.order));
    std::istringstream options(line.rest);
    for (std::string option; options >> option;) read_option(option.c_str());
    const outcome ended = explore(*chosen, seconds_to_catch, report::none);
    const std::string found = ended == outcome::failed ? mc::m.failure : "NOT CAUGHT";
    std::printf("%-44s %-8s %-9s %s\n", line.access.c_str(), line.order.c_str(), line.scenario.c_str(), found.c_str());
    return ended == outcome::failed ? 0 : 2;
}

/// Counts the weakenings that are missing in the table. If no scenario catches a weakening, the
/// table must also have the next weaker ones.
int count_missing(const std::vector<weakening>& table, const std::string& name, const mc::access& a,
                  std::memory_order from) {
    int missing = 0;
    for (const std::memory_order to : weaker_by_one(a, from)) {
        const auto line = std::find_if(table.begin(), table.end(),
                                       [&](const weakening& w) { return w.access == name && w.order == name_of(to); });
        if (line == table.end()) std::printf("not in the table: %s %s\n", name.c_str(), name_of(to)), ++missing;
        else if (line->scenario == "-") missing += count_missing(table, name, a, to);
    }
    return missing;
}

bool check_table(const char* name) {
    const std::vector<weakening> table = read_table(name);
    const accesses all = find_accesses();
    int wrong = count_unmet(all);
    for (const auto& [access, a] : all) wrong += count_missing(table, access, a, a.order);
    std::vector<job> jobs;
    for (const weakening& line : table) {
        const auto found = all.find(line.access);
        if (found == all.end()) std::printf("no such access: %s\n", line.access.c_str()), ++wrong;
        else if (line.scenario != "-") jobs.push_back([&line, a = found->second] { return check_line(line, a); });
    }
    for (const int result : run_jobs(jobs)) wrong += result != 0;
    return wrong == 0 && !table.empty();
}

/// Looks for scenarios that catch the weakenings, and prints lines for the table.
void find_scenario_for(const std::string& name, const mc::access& a, std::memory_order from, double seconds) {
    for (const std::memory_order to : weaker_by_one(a, from)) {
        weaken(a, to);
        std::vector<job> jobs;
        std::vector<std::string> names, caught_by;
        for (const scenario& each : mc::all_scenarios()) {
            for (const bool barrier : {true, false}) {
                names.push_back(std::string(each.name) + (barrier ? "" : " fences"));
                jobs.push_back([&each, barrier, seconds] {
                    return explore_both_ways(each, barrier, 2, seconds, report::none) == outcome::failed;
                });
            }
        }
        const std::vector<int> results = run_jobs(jobs, true);
        for (std::size_t i = 0; i < jobs.size(); ++i)
            if (results[i]) caught_by.push_back(names[i]);
        std::printf("%-44s %-8s %s\n", name.c_str(), name_of(to), caught_by.empty() ? "-" : caught_by[0].c_str());
        if (caught_by.empty()) find_scenario_for(name, a, to, seconds);
    }
}

void find_scenarios(const std::string& only, double seconds) {
    for (const auto& [name, a] : find_accesses())
        if (only.empty() || name == only) find_scenario_for(name, a, a.order, seconds);
}

void print_accesses() {
    for (const auto& [name, a] : find_accesses())
        std::printf("%-44s %s\n", name.c_str(), is_fence(a) ? "" : name_of(a.order));
}

// ---- The command line -----------------------------------------------------------------------------------------------

void on_crash(int signal) {
    char text[160];
    const int size =
        std::snprintf(text, sizeof text, "%s: CRASH, signal %d, in T%d after %zu choices: see the option trace\n",
                      running->name, signal, mc::m.current, mc::m.at);
    static_cast<void>(!write(1, text, static_cast<std::size_t>(size)));
    for (const std::string& line : mc::m.trace) {
        static_cast<void>(!write(1, line.c_str(), line.size()));
        static_cast<void>(!write(1, "\n", 1));
    }
    _exit(2);
}

void catch_crashes() {
    static char stack[65536];
    stack_t alternate{};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    sigaltstack(&alternate, nullptr);
    struct sigaction action {};
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK;
    for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGILL}) sigaction(signal, &action, nullptr);
}

int run_weakened(const std::string& name, const std::string& order, const scenario& chosen) {
    const accesses all = find_accesses();
    const auto found = all.find(name);
    if (found == all.end()) return complain("no such access: " + name);
    weaken(found->second, order_of(order));
    return explore(chosen, seconds_to_catch) == outcome::failed ? 2 : 0;
}

int run(const std::vector<std::string>& arguments) {
    const auto argument = [&](std::size_t i) { return i < arguments.size() ? arguments[i] : std::string(); };
    const std::string command = argument(0);
    if (command == "all") {
        const double seconds = argument(2).empty() ? 3 : std::stod(argument(2));
        return explore_all(std::atoi(argument(1).c_str()), seconds) ? 0 : 2;
    }
    if (command == "accesses") return print_accesses(), 0;
    if (command == "check") return check_table(argument(1).c_str()) ? 0 : 2;
    if (command == "find") return find_scenarios(argument(1), argument(2).empty() ? 1 : std::stod(argument(2))), 0;
    if (const scenario* const chosen = find_scenario(argument(3)); chosen && command == "weaken") {
        for (std::size_t i = 4; i < arguments.size(); ++i) read_option(arguments[i].c_str());
        return run_weakened(argument(1), argument(2), *chosen);
    }
    if (const scenario* const chosen = find_scenario(command); chosen && arguments.size() >= 4) {
        mc::m.random = argument(1) == "random";
        mc::m.max_preemptions = mc::m.max_stale_loads = std::atoi(argument(2).c_str());
        for (std::size_t i = 4; i < arguments.size(); ++i) read_option(arguments[i].c_str());
        return explore(*chosen, std::stod(argument(3))) == outcome::failed ? 2 : 0;
    }
    for (const scenario& each : mc::all_scenarios()) std::printf("%-14s %s\n", each.name, each.claim);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 4096);
    static_cast<void>(!std::freopen("/dev/null", "w", stderr));  // the library reports errors there
    mc::set_up_memory();
    mc::watch_static_storage();
    catch_crashes();
    const int result = run({argv + 1, argv + argc});
    std::fflush(stdout);
    std::_Exit(result);  // no destructors run: objects of the last execution are in the arenas
}
