#!/bin/bash
# Shows what including the library costs a compiler, next to the standard headers that it includes:
# CXX=clang++ tests/benchmark_compile_time.sh
set -euo pipefail

include=$(cd "$(dirname "$0")/../include" && pwd)
cxx=${CXX:-c++}
runs=11
bound=1.25
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Headers of one system, which have a slash or a dot in their names, are left out: they count for the library.
grep -rhoE '^ *#include <[a-z_]+>' "$include/extensible" | sort -u > "$work/standard.cpp"
echo '#include <extensible/extensible.hpp>' > "$work/library.cpp"

# CPU time of one compilation of $1 with the further options: what else the machine does counts less than in elapsed time.
milliseconds() {
    local source=$1 TIMEFORMAT='%U %S'
    shift
    { time "$cxx" -std=c++20 -O2 -I "$include" "$@" "$source"; } 2>&1 | awk 'END { print int(($1 + $2) * 1000) }'
}

median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }

"$cxx" --version | head -n 1
for source in standard library; do  # once not counted, to see errors and to have the files read
    "$cxx" -std=c++20 -I "$include" -fsyntax-only "$work/$source.cpp"
done
for options in '-fsyntax-only' "-c -o $work/out.o"; do
    # In turns, so that what else the machine does falls on both.
    for ((run = 0; run < runs; ++run)); do
        for source in standard library; do
            # shellcheck disable=SC2086  # the options are several words
            milliseconds "$work/$source.cpp" $options >> "$work/$source.times"
        done
    done
    standard=$(median < "$work/standard.times")
    library=$(median < "$work/library.times")
    rm "$work"/*.times
    awk -v options="${options%% *}" -v standard="$standard" -v library="$library" -v bound="$bound" 'BEGIN {
        ratio = library / standard
        printf "%-14s standard headers %5d ms   extensible.hpp %5d ms   ratio %.2f   bound %.2f   %s\n",
            options, standard, library, ratio, bound, ratio <= bound ? "met" : "not met"
    }'
done
