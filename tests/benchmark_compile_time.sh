#!/bin/bash
# Measures what the library costs in compile time, in the compiler's memory, and in object files.
# Compares with standard headers, and with other libraries if their include folders are given:
#
#     ENTT=.../src EVENTPP=.../include SIGSLOT=.../include tests/benchmark_compile_time.sh [--csv] [<compiler>...]
#
# Times are the shortest CPU time of several runs, memory is from GCC's -ftime-report. In object
# files, `code` is the size of the sections .text*, and `tables` the size of .rodata*, .data*,
# .gcc_except_table* and .eh_frame*. The bounds are for GCC. For Clang, the bounds of sizes are 1.3
# times as high. The exit status is 0 whatever was measured.
set -euo pipefail

include=$(cd "$(dirname "$0")/../include" && pwd)
csv=
if [ "${1:-}" = --csv ]; then csv=yes; shift; fi
compilers=("$@")
if [ $# = 0 ]; then compilers=("${CXX:-c++}"); fi
runs=${RUNS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The cost of each further function or lambda is computed from the difference between few and many.
# `few` is larger for lambdas: GCC inlines less in larger files, so the first lambdas also shrink
# all other code.
declare -A few=([functions]=1 [lambdas]=60) many=([functions]=11 [lambdas]=90)
declare -A time memory code tables options

# ---- What is compiled ------------------------------------------------------------------------------------------------

# add <name> <options>: adds the standard input as a source to compile.
sources=()
add() {
    sources+=("$1")
    options[$1]=$2
    cat > "$work/$1.cpp"
}

# uses <count> <text>: prints the text for each of `count` functions, with its number in place of @.
uses() {
    echo 'extern int counted; template <int> struct argument { int value; };'
    for ((i = 1; i <= $1; ++i)); do echo "${2//@/$i}"; done
}

# add_each <name that ends in what is counted> <options> <include> <text>
add_each() {
    add "$1.few" "$2" < <(echo "$3"; uses "${few[${1##*.}]}" "$4")
    add "$1.many" "$2" < <(echo "$3"; uses "${many[${1##*.}]}" "$4")
}

# add_library <name> <options> <include> <text>: adds the include alone, and with uses.
add_library() {
    add "$1.alone" "$2" <<< "$3"
    add_each "$1.functions" "$2" "$3" "$4"
}

ours='#include <extensible/extensible.hpp>'
wrapped='ext::extensible<int(argument<@>)> f@{"f@", [](argument<@> a) { return a.value; }};
    int call@() { return f@({@}); }
    void hook@() { f@.on_start([](auto&) { counted += @; }); }'
hooks='ext::extensible<int(int)> f{"f", [](int a) { return a; }};'

add standard '' <<< $'#include <string>\n#include <vector>\n#include <functional>'
for mode in header_only compiled; do
    option="-I$include"
    if [ $mode = compiled ]; then option+=' -DEXTENSIBLE_COMPILED'; fi
    add_library $mode "$option" "$ours" "$wrapped"
    add_each $mode.lambdas "$option" "$ours
$hooks" 'void hook@() { f.on_start([](auto&) { counted += @; }); }'
done
add compiled.source "-I$include -DEXTENSIBLE_COMPILED" < "$include/extensible/extensible.cpp"

if [ -n "${ENTT:-}" ]; then
    if [ -e "$ENTT/entt/signal/sigh.hpp" ]; then header=entt/signal/sigh.hpp; else header=entt/entt.hpp; fi
    add_library entt "-isystem $ENTT" "#include <$header>" 'entt::sigh<void(argument<@>)> f@;
        void heard@(argument<@>) { counted += @; }
        void call@() { f@.publish({@}); }
        void hook@() { entt::sink{f@}.connect<&heard@>(); }'
fi
if [ -n "${EVENTPP:-}" ]; then
    add_library eventpp "-isystem $EVENTPP" '#include <eventpp/callbacklist.h>' \
        'eventpp::CallbackList<void(argument<@>)> f@;
        void call@() { f@(argument<@>{@}); }
        void hook@() { f@.append([](argument<@>) { counted += @; }); }'
fi
if [ -n "${SIGSLOT:-}" ]; then
    add_library sigslot "-isystem $SIGSLOT" '#include <sigslot/signal.hpp>' 'sigslot::signal<argument<@>> f@;
        void call@() { f@(argument<@>{@}); }
        void hook@() { f@.connect([](argument<@>) { counted += @; }); }'
fi

# ---- Measuring -------------------------------------------------------------------------------------------------------

compile() {  # <name> <further options>
    # shellcheck disable=SC2086  # the options are several words
    "$cxx" -std=c++20 -O2 -c ${options[$1]} "${@:2}" "$work/$1.cpp" -o "$work/$1.o"
}

milliseconds() {
    local TIMEFORMAT='%U %S'
    { time compile "$1"; } 2>&1 | awk 'END { print int(($1 + $2) * 1000) }'
}

bytes_of() {  # <name> <sections>
    size -A "$work/$1.o" | awk -v wanted="^\\.($2)" '$1 ~ wanted { sum += $2 } END { print sum + 0 }'
}

measure() {
    local name run report=
    if ! "$cxx" --version | grep -qi clang; then report=-ftime-report; fi
    for name in "${sources[@]}"; do  # once without timing, to show errors and to cache the files
        compile "$name" $report 2> "$work/report" || { cat "$work/report"; exit 1; }
        memory[$name]=$(awk '$1 == "TOTAL" { print $NF / ($NF ~ /k$/ ? 1000 : 1) }' "$work/report")
        code[$name]=$(bytes_of "$name" text)
        tables[$name]=$(bytes_of "$name" 'rodata|data|gcc_except_table|eh_frame')
    done
    for ((run = 0; run < runs; ++run)); do  # in turns, so that other load on the machine affects all sources
        for name in "${sources[@]}"; do milliseconds "$name" >> "$work/$name.times"; done
    done
    for name in "${sources[@]}"; do time[$name]=$(sort -n "$work/$name.times" | head -n 1); rm "$work/$name.times"; done
}

# ---- The table -------------------------------------------------------------------------------------------------------

# judged <value> <bound> <what>: says whether the bound is met, if both are given.
judged() {
    if [ -n "$1" ] && [ -n "$2" ]; then
        awk -v value="$1" -v bound="$2" -v what="$3" 'BEGIN {
            printf "%s <= %d: %s  ", what, bound, value <= bound ? "met" : "not met" }'
    fi
}
of_bytes() {
    local scale=1
    if "$cxx" --version | grep -qi clang; then scale=1.3; fi
    awk -v bound="$1" -v scale=$scale 'BEGIN { if (bound) print bound * scale }'
}

# line <library> <what> <CPU ms> <MB> <code> <tables> <verdict>
line() {
    if [ $csv ]; then
        (IFS=,; echo "$cxx,${*:1:6}")
    else
        printf '%-20s %-28s %7s %7s %7s %7s   %s\n' "$1" "$2" "${3:--}" "${4:--}" "${5:--}" "${6:--}" "$7"
    fi
}

# row <library> <what> <ms> <MB> <code> <tables> [<bounds of MB, of code, of both>]
row() {
    line "${@:1:6}" "$(judged "$4" "${7:-}" MB; judged "$5" "$(of_bytes "${8:-}")" code
        judged "$((${5:-0} + ${6:-0}))" "$(of_bytes "${9:-}")" 'code and tables')"
}

# each <array> <name> [<format>]
each() {
    local -n values=$1
    local kind=${2##*.}
    if [ -n "${values[$2.few]}" ]; then
        awk -v some="${values[$2.few]}" -v more="${values[$2.many]}" -v count=$((many[$kind] - few[$kind])) \
            -v format="${3:-%d}" 'BEGIN { printf format, (more - some) / count }'
    fi
}
row_of_each() {  # <library> <what> <name> [<bounds>]
    row "$1" "$2" "$(each time "$3")" "$(each memory "$3" %.1f)" "$(each code "$3")" "$(each tables "$3")" "${@:4}"
}

# rows <library> <name> [<bounds: MB alone, MB of one, code of one, MB of each further, code of each further>]
rows() {
    row "$1" 'include alone' "${time[$2.alone]}" "${memory[$2.alone]}" '' '' "${3:-}"
    local one=$2.functions.few
    row "$1" 'one function' "${time[$one]}" "${memory[$one]}" "${code[$one]}" "${tables[$one]}" "${4:-}" "${5:-}"
    row_of_each "$1" 'each further function' "$2.functions" "${6:-}" "${7:-}"
}

table() {
    row 'standard headers' 'include alone' "${time[standard]}" "${memory[standard]}" '' ''
    rows extensible header_only 100 150 30000 10 1500
    row_of_each extensible 'each start lambda registered' header_only.lambdas '' '' 350
    rows 'extensible compiled' compiled '' 90 4000
    row_of_each 'extensible compiled' 'each start lambda registered' compiled.lambdas '' '' 350
    local source=compiled.source
    row 'extensible compiled' 'extensible.cpp once' \
        "${time[$source]}" "${memory[$source]}" "${code[$source]}" "${tables[$source]}"
    local library
    for library in EnTT eventpp sigslot; do
        if [ -v "time[${library,,}.alone]" ]; then rows $library ${library,,}; fi
    done
}

# ---- One compiler after another --------------------------------------------------------------------------------------

# peer <name> <include folder>: prints the name, and the version if the folder is in a git checkout.
peer() {
    if [ -n "$2" ]; then
        echo "# peers: $1 $(if [ -e "$2/../.git" ]; then git -C "$2" describe --tags | sed 's/^v//'; fi)"
    fi
}

if [ $csv ]; then
    echo "# machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
    for cxx in "${compilers[@]}"; do echo "# compiler: $("$cxx" --version | head -n 1)"; done
    echo "# date: $(date -u +%F)"
    peer sigslot "${SIGSLOT:-}"
    peer eventpp "${EVENTPP:-}"
    peer EnTT "${ENTT:-}"
    echo compiler,library,what,cpu_ms,memory_mb,code_bytes,tables_bytes
fi
for cxx in "${compilers[@]}"; do
    if [ ! $csv ]; then
        "$cxx" --version | head -n 1
        line '-O2 -c' '' 'CPU ms' MB code tables bounds
    fi
    measure
    table
done
