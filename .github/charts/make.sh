#!/bin/bash
# How do the README's charts come from what was measured? calls.csv becomes cost.svg and
# threads.svg, compile.csv compile.svg:
#
#     cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DEXTENSIBLE_BENCHMARK_PEERS=ON
#     cmake --build build --target benchmark_peers
#     build/tests/benchmark_peers > .github/charts/calls.csv
#     export SIGSLOT=build/_deps/peer_sigslot-src/include EVENTPP=build/_deps/peer_eventpp-src/include
#     export ENTT=build/_deps/peer_entt-src/src
#     tests/benchmark_compile_time.sh --csv g++-12 clang++-14 > .github/charts/compile.csv
#     .github/charts/make.sh
#
# On a quiet machine. The heads of both files say who measured what where, and that becomes the foot of each chart.
set -euo pipefail
cd "$(dirname "$0")"

# ---- What all charts have in common ----------------------------------------------------------------------------------

# A browser takes the colours of the reader's mode; each chart brings its own background, so that
# they always fit together.
style='<style>
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .small { font-size: 11px } .quiet { fill: #59636e }'\
' .strong { font-weight: 600 }
.background { fill: #ffffff } .grid { stroke: #d8dee4 } .axis { stroke: #818b98 }
.line { fill: none; stroke-width: 1.8 } .ours { stroke-width: 3.4 } .one-thread { stroke-dasharray: 5 3 }
.extensible { stroke: #cf3f00 } .plain { stroke: #59636e } .map { stroke: #8a6d00 } .boost { stroke: #a0306f }
.sigcxx { stroke: #7a3fc4 } .sigslot { stroke: #0b62c4 } .eventpp { stroke: #00777b } .entt { stroke: #1a7f37 }
.first { fill: #a9b3bf } .rest { fill: #5d7690 } .our-first { fill: #f4b695 } .our-rest { fill: #cf3f00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .quiet { fill: #9da7b3 }
.background { fill: #0d1117 } .grid { stroke: #2b323b } .axis { stroke: #767f8a }
.extensible { stroke: #ff7b3d } .plain { stroke: #9da7b3 } .map { stroke: #d9b53c } .boost { stroke: #f28cc5 }
.sigcxx { stroke: #c297ff } .sigslot { stroke: #6cb0ff } .eventpp { stroke: #3fc8cc } .entt { stroke: #4fce6a }
.first { fill: #5a6673 } .rest { fill: #93aac2 } .our-first { fill: #8c4520 } .our-rest { fill: #ff7b3d }
}
</style>'

# Functions of awk. Lines of the head are `# key: value`; a key may be there more than once.
common='
function head_line(line,    at, key) {
    at = index(line, ": ")
    key = substr(line, 3, at - 3)
    if (key in head) head[key] = head[key] ", " substr(line, at + 2)
    else head[key] = substr(line, at + 2)
}
function rounded(value) { return sprintf(value < 10 ? "%.1f" : "%.0f", value) }
function text(x, y, class, anchor, what) {
    printf "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">%s</text>\n", x, y, class, anchor, what
}
function segment(x1, y1, x2, y2, class) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class
}
function begin(width, height, title, subtitle) {
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" " \
        "width=\"%d\" height=\"%d\" role=\"img\">\n", width, height, width, height
    printf "<title>%s</title>\n%s\n", title, style
    printf "<rect width=\"%d\" height=\"%d\" rx=\"8\" class=\"background\"/>\n", width, height
    text(20, 30, "title", "start", title)
    text(20, 50, "quiet", "start", subtitle)
}
function foot(height, command, versions) {
    text(20, height - 28, "small quiet", "start", command)
    text(20, height - 12, "small quiet", "start", versions)
    print "</svg>"
}
'

# ---- Lines, on a logarithmic scale, each with its name at its right end ----------------------------------------------

# lines <part of calls.csv> <column of x> <column of y> <unit of a value> <title> <subtitle> <below x> <beside y>
lines() {
    awk -F, -v style="$style" -v part="$1" -v of_x="$2" -v of_y="$3" -v unit="$4" -v title="$5" -v subtitle="$6" \
        -v below="$7" -v beside="$8" "$common"'
    /^#/ { head_line($0); next }
    $1 == part && $2 == "plain call" { plain_y = $of_y }
    $1 == part {
        if (!($2 in points)) names[++series] = $2
        points[$2]++
        values[$2, $of_x] = $of_y
        if (!($of_x in seen)) { seen[$of_x] = 1; xs[++columns] = $of_x }
        if (!lowest || $of_y < lowest) lowest = $of_y
        if ($of_y > highest) highest = $of_y
    }
    BEGIN {
        left = 70; right = 610; top = 76; bottom = 440; height = 530; width = 860
        class["extensible"] = "extensible ours"; class["plain call"] = "plain"; class["map under a mutex"] = "map"
        class["Boost.Signals2"] = "boost"; class["libsigc++"] = "sigcxx one-thread"; class["EnTT"] = "entt one-thread"
        class["sigslot"] = "sigslot"; class["eventpp"] = "eventpp"
    }
    function x_of(column) { return left + (column - 1) * (right - left - 14) / (columns - 1) }
    function y_of(value) { return bottom - (log(value) - log(low)) * (bottom - top) / (log(high) - log(low)) }

    # The ends, from the lowest up, where labels are pushed apart so that none lies on another.
    function place_labels(    i, j, name, y) {
        for (i = 1; i <= series; ++i) {
            for (j = i; j > 1 && values[order[j - 1], xs[columns]] > values[names[i], xs[columns]]; --j)
                order[j] = order[j - 1]
            order[j] = names[i]
        }
        for (i = 1; i <= series; ++i) { label_y[i] = y_of(values[order[i], xs[columns]]); shift[i] = 0 }
        for (j = 0; j < 500; ++j)
            for (i = 2; i <= series; ++i)
                if (label_y[i - 1] - label_y[i] < 17) { label_y[i - 1] += 0.5; label_y[i] -= 0.5 }
    }
    function draw_axes(    i, tick, step) {
        for (tick = 1; tick <= high; tick *= 10)
            for (i = 1; i <= 3; ++i) {
                step = tick * (i == 1 ? 1 : i == 2 ? 2 : 5)
                if (step < low || step > high) continue
                segment(left, y_of(step), right, y_of(step), "grid")
                text(left - 8, y_of(step) + 4, "small quiet", "end", step)
            }
        segment(left, bottom, right, bottom, "axis")
        for (i = 1; i <= columns; ++i) {
            segment(x_of(i), bottom, x_of(i), bottom + 5, "axis")
            text(x_of(i), bottom + 20, "small quiet", "middle", xs[i])
        }
        text((left + right) / 2, bottom + 38, "quiet", "middle", below)
        printf "<text transform=\"translate(22 %d) rotate(-90)\" class=\"quiet\" text-anchor=\"middle\">%s</text>\n", \
            (top + bottom) / 2, beside
    }
    function draw_series(name, at,    i, path, y, value) {
        for (i = 1; i <= columns; ++i)
            path = path sprintf("%s%.1f %.1f", i == 1 ? "M" : " L", x_of(i), y_of(values[name, xs[i]]))
        printf "<path d=\"%s\" class=\"line %s\"/>\n", path, class[name]
        y = y_of(values[name, xs[columns]])
        split(class[name], only, " ")
        printf "<path d=\"M%.1f %.1f L%.1f %.1f L%.1f %.1f\" class=\"line %s\" style=\"stroke-width:1\"/>\n", \
            right - 10, y, right + 16, at, right + 22, at, only[1]
        value = values[name, xs[columns]]
        text(right + 27, at + 4.5, name == "extensible" ? "strong" : "", "start", name " <tspan class=\"quiet\">" \
            rounded(value) unit (part == "calls" ? ", " rounded(value / plain_y) "×" : "") "</tspan>")
    }
    END {
        for (i in xs)
            if (!(("plain call", xs[i]) in values)) values["plain call", xs[i]] = plain_y  # which has no hooks
        for (low = 1; low * 10 <= lowest; low *= 10);
        for (high = 1; high < highest; high *= 10);
        if (high / 2 >= highest) high /= 2
        if (lowest / low >= 5) low *= 5; else if (lowest / low >= 2) low *= 2
        begin(width, height, title, subtitle)
        place_labels()
        draw_axes()
        for (i = 1; i <= series; ++i) if (order[i] != "extensible") draw_series(order[i], label_y[i])
        for (i = 1; i <= series; ++i)
            if (order[i] == "extensible") draw_series(order[i], label_y[i])  # on top of the others
        foot(height, "cmake --build build --target benchmark_peers &amp;&amp; build/tests/benchmark_peers", \
            head["machine"] " · " head["compiler"] " · " head["date"] " · " head["peers"])
    }' calls.csv
}

# ---- Bars: a row for each library, a column for each thing that is measured ------------------------------------------

bars() {
    awk -F, -v style="$style" "$common"'
    /^#/ { head_line($0); next }
    $1 == "compiler" { next }
    {
        who = $1 ~ /clang/ ? "Clang" : "GCC"
        if (!($2 in seen)) { seen[$2] = 1; names[++rows] = $2 }
        kind = $3 == "include alone" ? "alone" : $3 == "one function" ? "one" : \
            $3 == "each further function" ? "each" : $3
        value["time", who, $2, kind] = $4 / 1000
        value["memory", who, $2, kind] = $5
        value["code", who, $2, kind] = $6 / 1000
    }
    function rectangle(x, y, width, height, class) {
        if (width > 0)
            printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" class=\"%s\"/>\n", \
                x, y, width, height, class
    }
    # A bar: what the include takes alone, then the rest of one function. Behind it the figures.
    function bar(what, who, name, x, y, thick, scale, decimals,    alone, one, ours, figures) {
        alone = value[what, who, name, "alone"]
        one = value[what, who, name, "one"]
        ours = name ~ /^extensible/ ? "our-" : ""
        rectangle(x, y, alone * scale, thick, ours "first")
        rectangle(x + alone * scale, y, (one - alone) * scale, thick, ours "rest")
        figures = sprintf("%." decimals "f", one ? one : alone)
        if (one) figures = figures sprintf(" <tspan class=\"quiet\">+ %." (decimals == 0 ? 1 : 2) "f</tspan>", \
            value[what, who, name, "each"])
        if (one || alone)
            text(x + (one > alone ? one : alone) * scale + 6, y + thick / 2 + 4, "small", "start", figures)
    }
    function panel(what, x, room, title, decimals,    most, i, y, w, whos, count, key) {
        count = what == "memory" ? split("GCC", whos, " ") : split("GCC Clang", whos, " ")
        for (key in value)
            if (index(key, what SUBSEP) == 1 && key !~ /once$/ && value[key] + 0 > most) most = value[key] + 0
        text(x, top - 16, "strong", "start", title)
        for (i = 1; i <= rows; ++i)
            for (w = 1; w <= count; ++w) {
                y = top + (i - 1) * pitch + (count == 1 ? 8 : (w - 1) * 17)
                if (!value[what, whos[w], names[i], "one"] && !value[what, whos[w], names[i], "alone"]) continue
                text(x, y + 11, "small quiet", "start", whos[w])
                bar(what, whos[w], names[i], x + 36, y, 14, room / most, decimals)
            }
    }
    END {
        width = 940; top = 104; pitch = 47; height = top + rows * pitch + 84
        begin(width, height, "What one file takes to compile", \
            "-O2 -c: light is the include alone, dark one function with " \
            "a hook, called (others: a signal with a listener, emitted); + each further one")
        for (i = 1; i <= rows; ++i) {
            text(20, top + (i - 1) * pitch + 20, names[i] ~ /^extensible/ ? "strong" : "", "start", \
                names[i] == "extensible compiled" ? "… compiled" : \
                names[i] (names[i] == "standard headers" ? "*" : ""))
            if (i > 1) segment(20, top + (i - 1) * pitch - 8, width - 20, top + (i - 1) * pitch - 8, "grid")
        }
        panel("time", 160, 150, "CPU time, s", 2)
        panel("memory", 445, 95, "compiler memory, MB", 0)
        panel("code", 680, 120, "code in the object, kB", 1)
        compiled = "GCC" SUBSEP "extensible compiled" SUBSEP "extensible.cpp once"
        once = sprintf("%.1f s, %.0f MB, %.0f kB", \
            value["time", compiled], value["memory", compiled], value["code", compiled])
        text(20, height - 60, "small quiet", "start", \
            "* &lt;string&gt;, &lt;vector&gt; and &lt;functional&gt;. … compiled: " \
            "besides, once in a module, extensible.cpp, with GCC " once ".")
        gsub(/\(Debian [^)]*\) |Debian | version/, "", head["compiler"])
        foot(height, "tests/benchmark_compile_time.sh --csv g++-12 clang++-14", \
            head["machine"] " · " head["compiler"] " · " head["date"] (head["peers"] ? " · " head["peers"] : ""))
    }' compile.csv
}

lines calls 3 5 ' ns' 'A call with hooks' \
    'One thread; each hook adds to a counter. Dashed: not made for several threads.' \
    'hooks, or listeners' 'nanoseconds per call, log scale' > cost.svg
lines threads 4 7 '' 'Calls of one function with one hook, on several threads' \
    'Calls of all threads together; only what is made for several threads.' \
    'threads' 'million calls per second, log scale' > threads.svg
bars > compile.svg
