#include "catch.hpp"
#include "heap.hpp"

#ifdef GET_KEY_PROGRAM
#include "secrets/readme.hpp"
#endif

#include <secrets/dotenv.hpp>

#include <extensible/extensible.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#if !defined(_WIN32)  // Windows has no FIFOs
#include <sys/stat.h>
#endif

using Catch::Matchers::Equals;
using namespace std::string_literals;

namespace {

std::optional<std::string> nothing(std::string_view) { return std::nullopt; }

secrets::dotenv_file parse(std::string_view text) { return secrets::parse_dotenv(text, nothing); }

// The value of A, in a file without problems.
std::string value_of_a(std::string_view text, const secrets::dotenv_lookup& lookup = nothing) {
    const secrets::dotenv_file file = secrets::parse_dotenv(text, lookup);
    for (const auto& [line, message] : file.problems) FAIL_CHECK("line " << line << ": " << message);
    return std::string(file.find("A").value_or("none"));
}

// All variables in one line: "A=1, B=2".
std::string variables(std::string_view text) {
    std::string all;
    for (const auto& variable : parse(text).variables)
        all += (all.empty() ? "" : ", ") + variable.name + "=" + std::string(variable.value());
    return all;
}

std::string problems(const secrets::dotenv_file& file) {
    std::string all;
    for (const auto& [line, message] : file.problems)
        all += (all.empty() ? "" : ", ") + std::to_string(line) + ": " + std::string(message);
    return all;
}

}  // namespace

// ---- Lines and names ----------------------------------------------------------------------------

TEST_CASE("A .env file has one variable per line, and their order is kept") {
    CHECK(variables("B=2\nA=1\nC=3") == "B=2, A=1, C=3");
    CHECK(variables("").empty());
    CHECK(value_of_a("A=") == "");
    CHECK(value_of_a("A=\nB=2") == "");
    CHECK(value_of_a("A=a=b=c==") == "a=b=c==");
}

TEST_CASE("Empty lines and comments in a .env file are ignored") {
    CHECK(variables("\n\n# A=1\n \t \n   # more\nB=2\n#") == "B=2");
    CHECK(parse("\n# A=1 \"\n \t \n").problems.empty());
}

TEST_CASE("A line of a .env file may begin with export, and have blanks around the name and the value") {
    CHECK(value_of_a("export A=1") == "1");
    CHECK(value_of_a("\texport \t A\t =  1 \t") == "1");
    CHECK(variables("export=1\nexport =2\nexported=3") == "export=2, exported=3");
}

TEST_CASE("The name of a .env variable has letters, digits, underscores, dots and hyphens") {
    CHECK(variables("_a.B-9=1\nZ=2") == "_a.B-9=1, Z=2");
    CHECK(variables("302AI_API_KEY=1\n.b=2\n-c=3") == "302AI_API_KEY=1, .b=2, -c=3");
    const auto file = parse("A B=x\nA$=x\n\xC3\xA4=x\n=x");
    CHECK(file.variables.empty());
    CHECK(file.problems.size() == 4);
}

TEST_CASE("The name of a .env variable may be in single quotes") {
    CHECK(variables("'A'=1\nexport 'B' = 2\n'3'=3") == "A=1, B=2, 3=3");
    const auto file = parse("''=x\n'A=x\n'A B'=x\n'A'B=x\n\"A\"=x\n'A\n'=x");
    CHECK(file.variables.empty());
    CHECK(file.problems.size() == 7);
}

TEST_CASE("Of two values for a .env variable the later is used, in the place of the first") {
    CHECK(variables("A=1\nB=${A}\nA=2\nC=${A}") == "A=2, B=1, C=2");
}

TEST_CASE("A .env file may begin with a byte order mark, and its lines may end as on any system") {
    CHECK(variables("\xEF\xBB\xBF" "A=1\r\nB=2\rC=3\n\r\nD=4\r\n") == "A=1, B=2, C=3, D=4");
    CHECK(problems(parse("A=1\r\nx\rx\n\nx")) ==
          "2: expected '=' after the name, 3: expected '=' after the name, "
          "5: expected '=' after the name");
}

TEST_CASE("The .env parser agrees with the table of cases") {
    const auto decoded = [](std::string_view text) {
        std::string all;
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text[i] != '%') all += text[i];
            else all += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)), i += 2;
        }
        return all;
    };
    const auto outside = [](std::string_view name) -> std::optional<std::string> {
        if (name == "OUTSIDE") return "there";
        return name == "EMPTY" ? std::optional<std::string>("") : std::nullopt;
    };

    std::ifstream table(DOTENV_CASES);
    std::size_t cases = 0;
    for (std::string line; std::getline(table, line);) {
        if (line.empty() || line.starts_with('#')) continue;
        ++cases;
        const std::size_t first = line.find('\t'), second = line.find('\t', first + 1);
        std::string found;
        const secrets::dotenv_file file = secrets::parse_dotenv(decoded(line.substr(0, first)), outside);
        for (const auto& variable : file.variables)
            found += (found.empty() ? "" : "&") + variable.name + "=" + std::string(variable.value());
        INFO("the case " << line);
        CHECK(found == decoded(line.substr(first + 1, second - first - 1)));
    }
    CHECK(cases > 100);
}

// ---- Values -------------------------------------------------------------------------------------

TEST_CASE("An unquoted .env value ends before a comment that follows a blank") {
    CHECK(value_of_a("A=1 # one") == "1");
    CHECK(value_of_a("A=1\t# one") == "1");
    CHECK(value_of_a("A=some text # and # more") == "some text");
    CHECK(value_of_a("A=https://host/#part") == "https://host/#part");
    CHECK(value_of_a("A=#1") == "#1");
    CHECK(value_of_a("A= # nothing") == "");
    CHECK(value_of_a("A=it's 5\" # x") == "it's 5\"");
}

TEST_CASE("In an unquoted .env value only a dollar can be escaped") {
    CHECK(value_of_a(R"(A=a\nb\\c\"\t)") == R"(a\nb\\c\"\t)");
    CHECK(value_of_a(R"(A=\$1 \${B}\)") == R"($1 ${B}\)");
}

TEST_CASE("In a .env value in single quotes only a quote and a backslash can be escaped") {
    CHECK(value_of_a(R"(A=' a\n"\$1 ${B} # '# comment)") == R"( a\n"\$1 ${B} # )");
    CHECK(value_of_a("A=''") == "");
    CHECK(value_of_a(R"(A='it\'s \\ it')") == R"(it's \ it)");
}

TEST_CASE("A .env value in quotes may end with a backslash") {
    for (const std::string q : {"'", "\""}) {
        CHECK(value_of_a("A=" + q + "C:\\dir\\" + q) == "C:\\dir\\");
        CHECK(value_of_a("A=" + q + "C:\\dir\\\\" + q) == "C:\\dir\\");
        CHECK(variables("A=" + q + "a\\" + q + " # it's \"so\"\nB=" + q + "b\\" + q + "\nC=3") ==
              "A=a\\, B=b\\, C=3");
        // The line's last quote closes the value.
        CHECK(value_of_a("A=" + q + "a\\" + q + " # b\\" + q) == "a" + q + " # b\\");
        // The first quote is escaped, because another one closes the value.
        CHECK(value_of_a("A=" + q + "a\\" + q + "\nb" + q) == "a" + q + "\nb");
        const auto file = parse("A=" + q + "a\\" + q + "\nx\\" + q + "\nB=" + q + "b" + q);
        CHECK(file.find("A") == "a\\");  // and not the next line as well
        CHECK(problems(file) == "2: expected '=' after the name");
        CHECK(problems(parse("A=" + q + "a\\" + q + "b")) == "1: the quote is not closed");
    }
}

TEST_CASE("White space around a .env value is not part of it, and neither is Unicode's white space") {
    for (const std::string blank : {" ", "\t", "\v", "\f", "\u00A0", "\u1680", "\u2000", "\u200A", "\u2028",
                                    "\u2029", "\u202F", "\u205F", "\u3000"}) {
        const std::string value = "sk" + blank + "7";
        CHECK(value_of_a(blank + "A" + blank + "=" + blank + blank + value + blank + " " + blank) == value);
        CHECK(value_of_a("export" + blank + "A=sk" + blank + "# a note") == "sk");
        CHECK(value_of_a("A='sk '" + blank) == "sk ");
        CHECK(value_of_a("A=\"sk \"" + blank + "#") == "sk ");
    }
    // Bytes of white space in other characters, and characters that only look like white space.
    for (const std::string value : {"\u00E0", "\u20A0", "\u200B", "\u2030", "\xA0", "\xC2", "\xE2\x80"})
        CHECK(value_of_a("A=" + value) == value);
}

TEST_CASE("A .env value in double quotes can have escapes") {
    CHECK(value_of_a(R"(A="a\nb\rc\td\"e\\f\$g")") == "a\nb\rc\td\"e\\f$g");
    CHECK(value_of_a(R"(A="\\n\\" # a comment)") == "\\n\\");
    CHECK(value_of_a(R"(A="\a\b\f\v\'")") == "\a\b\f\v'");
    CHECK(value_of_a(R"(A="\d\x41\
")") == "\\d\\x41\\\n");
    CHECK(value_of_a(R"(A="'it' # is")") == "'it' # is");
}

TEST_CASE("A quoted .env value may span lines, and line numbers count them") {
    CHECK(value_of_a("A=\"one\ntwo\r\nthree\rfour\n\"") == "one\ntwo\nthree\nfour\n");
    CHECK(value_of_a("A='one\n# two\r\nB=3' # end") == "one\n# two\nB=3");
    CHECK_THAT(problems(parse("A='one\r\ntwo\rthree'\nx\nB=\"\n\n\"\ny")),
               Equals("4: expected '=' after the name, 8: expected '=' after the name"));
}

// ---- Expansion ----------------------------------------------------------------------------------

TEST_CASE("A variable in a .env value comes from the lines above, or else the environment, or is empty") {
    const auto outside = [](std::string_view name) -> std::optional<std::string> {
        if (name == "HOST") return "outside";
        if (name == "B") return "not this one";
        return std::nullopt;
    };
    CHECK(value_of_a("B=1\nA=<${B}>", outside) == "<1>");
    CHECK(value_of_a("A=\"${HOST}:${NONE}${HOST}\"", outside) == "outside:outside");
    CHECK(value_of_a("A='${HOST}'", outside) == "${HOST}");
    CHECK(value_of_a("B=\nA=<${B}>", outside) == "<>");
    CHECK(value_of_a("A=${B}\nB=2", outside) == "not this one");
    CHECK(value_of_a("A=1\nA=${A}2", outside) == "12");
}

TEST_CASE("A .env value may have a default for a variable that is not set or is empty") {
    CHECK(value_of_a("B=1\nA=${B:-2}") == "1");
    CHECK(value_of_a("B=\nA=${B:-2}") == "2");
    CHECK(value_of_a("A=\"<${B:-a b # c}>\" # d") == "<a b # c>");
    CHECK(value_of_a("A=<${B:-}>") == "<>");
    CHECK(value_of_a("B=1\nA=${C:-<${B}${D:-3}>}.") == "<13>.");
    CHECK(value_of_a("B=1\nA=${B:-<${C:-2}${B}>}.") == "1.");
    CHECK(value_of_a("A=\"${B:-\\\"\\n}\"") == "\"\n");
}

TEST_CASE("The value of a variable in a .env value is not expanded again") {
    CHECK(value_of_a("C=3\nB='${C}\\n'\nA=\"${B}\"") == "${C}\\n");
}

TEST_CASE("Dollars and braces in a .env value that do not belong to a variable stay") {
    const std::string value = "$B$1$$ ${ ${} ${\u00E4} ${B C} ${B-C ${B:+x} } {}";
    CHECK(value_of_a("A=" + value) == value);
    CHECK(value_of_a("A=\"${\"") == "${");
}

TEST_CASE("A .env file whose values double from line to line is limited in size") {
    std::string text = "A0=0123456789\n";
    for (int i = 1; i <= 60; ++i) {
        const std::string last = "${A" + std::to_string(i - 1) + "}";
        text += "A" + std::to_string(i) + "=" + last + last + "\n";
    }
    text += "B=1";
    const auto file = parse(text);
    CHECK(file.problems.size() > 40);
    CHECK(file.problems[0].message == "the variables in it make it too long");
    CHECK(*file.find("B") == "1");
    std::size_t size = 0;
    for (const auto& variable : file.variables) size += variable.value().size();
    CHECK(size <= secrets::dotenv_expansion_limit + text.size());
}

TEST_CASE("Many values of a .env file that are too long cost no more than one of them") {
    const std::string half(secrets::dotenv_expansion_limit / 2, 'x');
    std::string text;
    for (int i = 0; i < 20000; ++i) text += "A=${B}${B}${B}\n";
    std::size_t lookups = 0;
    const auto file = secrets::parse_dotenv(text, [&](std::string_view) {
        ++lookups;
        return std::optional<std::string>(half);
    });
    CHECK(file.problems.size() == 20000);
    CHECK(lookups == 3);
}

// ---- Malformed lines ----------------------------------------------------------------------------

TEST_CASE("A malformed line of a .env file is reported with its number, and the rest is used") {
    const auto file = parse("A=1\nthis is none\nB=2\n=3\nC='3' x\nD=${B:-x\nE=5\n");
    CHECK(problems(file) ==
          "2: expected '=' after the name, 4: expected the name of a variable, "
          "5: expected nothing but a comment after the closing quote, 6: expected '}' after a '${NAME:-'");
    CHECK(file.variables.size() == 3);
    CHECK(*file.find("E") == "5");
    CHECK(problems(parse("A=\"\n${B:-\"\n=")) ==
          "1: expected '}' after a '${NAME:-', 2: expected the name of a variable, "
          "3: expected the name of a variable");
}

TEST_CASE("An unclosed quote in a .env file costs only one variable") {
    for (const char quote : {'"', '\''}) {
        const std::string q(1, quote);
        const auto alone = parse("A=" + q + "1\nB=2\nC=3");
        CHECK(problems(alone) == "1: the quote is not closed");
        CHECK(alone.variables.size() == 2);

        // Here it seems closed, by the quote that opens the next value.
        const auto with_others = parse("A=" + q + "1\nB=" + q + "2" + q + "\nC=" + q + "3" + q);
        CHECK(problems(with_others) == "1: expected nothing but a comment after the closing quote");
        CHECK(with_others.variables.size() == 2);
        CHECK(*with_others.find("B") == "2");
    }
    CHECK(problems(parse("A=\"\\")) == "1: the quote is not closed");
    CHECK(problems(parse("A='\\")) == "1: the quote is not closed");
}

TEST_CASE("A .env file of only open quotes and braces is parsed fast") {
    std::string quotes, ends, braces = "A=", mixed;
    for (int i = 0; i < 100000; ++i) {
        quotes += i % 2 ? "A=\"\\\"x\n" : "A='\\'x\n";
        ends += i % 2 ? "A=\"\\\"\n" : "A='\\' \\' \\'\n";
        braces += "${B:-";
        mixed += "A=\"' ${\nB='\" ${B:-\n";
    }
    CHECK(parse(quotes).problems.size() == 100000);
    CHECK(parse(ends).problems.empty());
    CHECK(parse(braces).problems.size() == 1);
    CHECK(parse(braces + std::string(100000, '}')).problems.empty());
    parse(mixed);
}

// ---- The store ----------------------------------------------------------------------------------

namespace {

// A function like get_api_key in a registry of its own. Its hook reads a file in a directory of its
// own.
struct with_file {
    ext::registry registry;
    ext::extensible<std::string(std::string_view)> get_key{
        registry, "models.get_api_key", [](std::string_view) { return "from the function"; }};
    ext::plugin plugin{registry, "secrets"};
    std::filesystem::path directory = make_directory();
    std::filesystem::path path = directory / ".env";
    std::vector<std::string> reports;

    with_file() {
        secrets::dotenv_options options;
        options.report = [this](std::string_view message) { reports.emplace_back(message); };
        options.lookup = nothing;
        secrets::add_dotenv(plugin, get_key.name(), path, options);
    }
    ~with_file() { std::filesystem::remove_all(directory); }

    void write(std::string_view text) const { std::ofstream(path, std::ios::binary) << text; }

    // The notes of the next call.
    ext::kwargs notes_of(std::string_view service) {
        ext::kwargs notes;
        const ext::scoped_hook noting = get_key.on_end([&](auto& call) { notes = call.kwargs; });
        try {
            get_key(service);
        } catch (const secrets::store_error&) {}  // the notes have its text
        return notes;
    }

    static std::filesystem::path make_directory() {
        static int count = 0;
        std::random_device random;
        const auto path = std::filesystem::temp_directory_path() /
                          ("extensible-dotenv-" + std::to_string(random()) + "-" + std::to_string(count++));
        std::filesystem::create_directory(path);
        return path;
    }
};

}  // namespace

TEST_CASE("A .env file supplies the key of the service's variable, with the notes of a store") {
    with_file f;
    f.write("OPENAI_API_KEY='sk-1'\nMY_CLOUD_API_KEY=sk-2\nEMPTY_API_KEY=\n");
    CHECK(f.get_key("openai") == "sk-1");
    CHECK(f.notes_of("openai").value_or(secrets::note::source, "none") == "dotenv " + f.path.string());
    CHECK(f.get_key("my-cloud") == "sk-2");
    CHECK(f.get_key("other") == "from the function");
    CHECK(!f.notes_of("other").contains(secrets::note::source));
    CHECK(f.notes_of("other").value_or(secrets::note::store, "none") == "dotenv");
    CHECK(f.notes_of("other").value_or(secrets::note::said, "none") == "not found");
    CHECK(f.notes_of("../other").value_or(secrets::note::said, "none") == "not asked");
    CHECK(f.get_key("empty") == "from the function");
    CHECK(f.reports.empty());
}

TEST_CASE("A .env file supplies the first of the service's variables that has a key, with all its keys") {
    with_file f;
    f.write("OPENAI_API_TOKEN=sk-3\nOPENAI_API_KEY=sk-2\nAPI_KEY_OPENAI=' , '\n"
            "API_KEY_AI=sk-4,sk-5\nAI_API_KEY=sk-6");
    CHECK(f.get_key("openai") == "sk-2");
    CHECK(f.get_key("ai") == "sk-4,sk-5");
    f.write("OPENAI_API_TOKEN=sk-3\nOPENAI_API_KEY=sk-2\nAPI_KEY_OPENAI=sk-1");
    CHECK(f.get_key("openai") == "sk-1");
    f.write("OPENAI_API_TOKEN=sk-3");
    CHECK(f.get_key("openai") == "sk-3");
}

TEST_CASE("Of the text of a .env variable, one line break at its end is not part of the key") {
    with_file f;
    f.write("A_API_KEY='sk-1\n'\nB_API_KEY=' sk-2 \r\n'\nC_API_KEY=\"sk-3\\r\\n\"\nD_API_KEY='sk-4\n\n'\n"
            "E_API_KEY='sk-5,sk-6\n'\nF_API_KEY=' \n'\nG_API_KEY='\nsk-7'");
    CHECK(f.get_key("a") == "sk-1");
    CHECK(f.get_key("b") == " sk-2 ");
    CHECK(f.get_key("c") == "sk-3");
    CHECK(f.get_key("d") == "sk-4\n");
    CHECK(f.get_key("e") == "sk-5,sk-6");
    CHECK(f.get_key("f") == "from the function");
    CHECK(f.get_key("g") == "\nsk-7");
}

TEST_CASE("A .env file does not replace a key that another hook has supplied, and is not read then") {
    with_file f;
    f.write("OPENAI_API_KEY=sk-1\n?");
    f.get_key.on_start([](auto& call) { call.result = "from a hook"; }, {.before = "dotenv"});
    CHECK(f.get_key("openai") == "from a hook");
    CHECK(f.reports.empty());
    // The same without .fallback.
    f.get_key.on_start(secrets::dotenv_hook(f.path), {.id = "dotenv", .replace = true});
    CHECK(f.get_key("openai") == "from a hook");
}

TEST_CASE("A .env file is parsed again when its text changes, even if its size and its time do not") {
    with_file f;
    CHECK(f.get_key("openai") == "from the function");  // there is no file yet
    f.write("OPENAI_API_KEY=sk-1\n?");
    CHECK(f.get_key("openai") == "sk-1");
    const auto time = std::filesystem::last_write_time(f.path);
    f.write("OPENAI_API_KEY=sk-2\n?");
    std::filesystem::last_write_time(f.path, time);
    CHECK(f.get_key("openai") == "sk-2");
    CHECK(f.get_key("openai") == "sk-2");
    CHECK(f.reports.size() == 2);  // parsed twice

    std::ofstream(f.directory / "new") << "OPENAI_API_KEY=sk-3\n?";
    std::filesystem::last_write_time(f.directory / "new", time);
    std::filesystem::rename(f.directory / "new", f.path);
    CHECK(f.get_key("openai") == "sk-3");

    std::filesystem::remove(f.path);
    CHECK(f.get_key("openai") == "from the function");
    CHECK(f.reports.size() == 3);
}

TEST_CASE("A relative path of a .env file belongs to the directory in which its hook was made") {
    const std::filesystem::path before = std::filesystem::current_path();
    with_file mine, other;
    mine.write("OPENAI_API_KEY=sk-mine\nsk-secret");
    other.write("OPENAI_API_KEY=sk-of-another");
    std::filesystem::current_path(mine.directory);
    std::vector<std::string> reports;
    secrets::dotenv_options options;
    options.report = [&](std::string_view message) { reports.emplace_back(message); };
    secrets::add_dotenv(mine.plugin, mine.get_key.name(), ".env", options, {.id = "dotenv", .replace = true});
    for (const std::filesystem::path& directory : {std::filesystem::path("/"), other.directory}) {
        std::filesystem::current_path(directory);
        CHECK(mine.get_key("openai") == "sk-mine");
    }
    std::filesystem::current_path(before);
    CHECK(mine.notes_of("openai").value_or(secrets::note::source, "none") == "dotenv .env");
    CHECK_THAT(reports, Equals(std::vector{".env:2: expected '=' after the name"s}));
}

TEST_CASE("Malformed lines of a .env file are reported without their text, once for each change") {
    with_file f;
    f.write("OPENAI_API_KEY=sk-1\nsk-secret\nOTHER_API_KEY=\"sk-secret\n");
    CHECK(f.get_key("openai") == "sk-1");
    CHECK(f.get_key("openai") == "sk-1");
    const std::string name = f.path.string();
    CHECK_THAT(f.reports, Equals(std::vector{name + ":2: expected '=' after the name",
                                             name + ":3: the quote is not closed"}));
    f.write("OPENAI_API_KEY=sk-2\n?");
    CHECK(f.get_key("openai") == "sk-2");
    CHECK(f.reports.size() == 3);
}

TEST_CASE("The report function of a .env file may ask for a key") {
    with_file f;
    f.write("OPENAI_API_KEY=sk-1\n?");
    std::string key;
    secrets::dotenv_options options;
    options.report = [&](std::string_view) { key = f.get_key("openai"); };
    secrets::add_dotenv(f.plugin, f.get_key.name(), f.path, options, {.id = "dotenv", .replace = true});
    CHECK(f.get_key("openai") == "sk-1");
    CHECK(key == "sk-1");
}

TEST_CASE("The contents of a .env file are wiped before their memory is freed") {
    auto f = std::make_unique<with_file>();
    const auto freed_by = [](const auto& function) {
        heap::search_freed("sk-wiped");
        function();
        return heap::search_freed("");
    };
    // Asks for a service that has no key in the file, because the caller owns a key that is found.
    const auto read = [&] { f->get_key("other"); };
    f->write("A_API_KEY=sk-wiped-1\nB='sk-wiped-2 \nin two lines'\nC=\"<${A_API_KEY}${B}>\"\nB=sk-wiped-3\n"
             "D=sk-wiped-4'\nE='sk-wiped");
    CHECK(freed_by(read) == 0);
    f->write("A_API_KEY=sk-wiped-5\nB=" + std::string(10000, 'x') + "sk-wiped-6");
    CHECK(freed_by(read) == 0);
    CHECK(f->get_key("a") == "sk-wiped-5");
    CHECK(freed_by([&] { f.reset(); }) == 0);
    CHECK(freed_by([] { std::ostringstream() << "not by itself: sk-wiped"; }) > 0);
}

#if !defined(_WIN32)  // Windows has no FIFOs
TEST_CASE("A FIFO in place of the .env file is read once") {
    with_file f;
    REQUIRE(mkfifo(f.path.c_str(), 0600) == 0);
    std::thread writer([&] { std::ofstream(f.path) << "OPENAI_API_KEY=sk-1\nOTHER_API_KEY=sk-2\n?"; });
    CHECK(f.get_key("openai") == "sk-1");
    writer.join();
    CHECK(f.get_key("other") == "sk-2");  // a second look would wait for a second writer
    CHECK(f.get_key("nobody") == "from the function");
    CHECK(f.reports.size() == 1);

    std::filesystem::remove(f.path);
    CHECK(f.get_key("openai") == "from the function");
    f.write("OPENAI_API_KEY=sk-3");
    CHECK(f.get_key("openai") == "sk-3");
}
#endif

#if !defined(_WIN32)
TEST_CASE("A .env file that exists and cannot be read is an error for the caller, even of an isolated hook") {
    with_file f;
    SECTION("it is a directory") {
        std::filesystem::create_directory(f.path);
    }
    SECTION("it is UTF-16") {
        f.write(std::string("\xFF\xFEO\0=\0s\0k\0", 10));
    }
    SECTION("it is a link to itself") {
        std::filesystem::create_symlink(f.path, f.path);
    }
#if defined(__linux__)
    SECTION("reading fails") {
        std::filesystem::create_symlink("/proc/self/mem", f.path);  // nothing is mapped at its beginning
    }
#endif
    SECTION("it cannot be opened") {
        f.write("OPENAI_API_KEY=sk-1");
        std::filesystem::permissions(f.path, std::filesystem::perms::none);
        if (std::ifstream(f.path)) return;  // this is root, who may read it
    }
    const ext::hook_options isolated{.id = "dotenv", .replace = true, .isolate = true};
    f.get_key.on_start(secrets::dotenv_hook(f.path), isolated);
    CHECK_THROWS_AS(f.get_key("openai"), secrets::store_error);
    const ext::kwargs notes = f.notes_of("openai");
    CHECK(notes.value_or(secrets::note::failure, "none") == "dotenv: cannot read " + f.path.string());
    CHECK(notes.value_or(secrets::note::said, "none") == "misconfigured");
}
#endif

TEST_CASE("The functions that look up a variable and report a problem may ask for a key") {
    with_file f;
    f.write("OPENAI_API_KEY=${OTHER}\nnot a variable");
    secrets::dotenv_options options;
    int lookups = 0;
    options.lookup = [&](std::string_view) {
        return lookups++ == 0 ? std::optional(f.get_key("mistral")) : std::nullopt;
    };
    options.report = [&](std::string_view) { f.get_key("mistral"); };
    secrets::add_dotenv(f.plugin, f.get_key.name(), f.path, options, {.id = "dotenv", .replace = true});
    CHECK(f.get_key("openai") == "from the function");
}

TEST_CASE("Nothing is reported if there is no function for it") {
    with_file f;
    f.write("OPENAI_API_KEY=sk-1\nnot a variable");
    secrets::dotenv_options options;
    options.report = nullptr;
    secrets::add_dotenv(f.plugin, f.get_key.name(), f.path, options, {.id = "dotenv", .replace = true});
    CHECK(f.get_key("openai") == "sk-1");
}

TEST_CASE("An exception of the function that looks up a variable is a failure, without its text") {
    with_file f;
    f.write("OPENAI_API_KEY=${OTHER}");
    secrets::dotenv_options options;
    options.lookup = [](std::string_view) -> std::optional<std::string> {
        throw std::runtime_error("sk-secret");
    };
    secrets::add_dotenv(f.plugin, f.get_key.name(), f.path, options, {.id = "dotenv", .replace = true});
    CHECK_THROWS_AS(f.get_key("openai"), secrets::store_error);
    CHECK(f.notes_of("openai").value_or(secrets::note::failure, "none") ==
          "dotenv: " + f.path.string() + ": an unexpected exception");
}

// ---- Any bytes ----------------------------------------------------------------------------------

namespace {

class generator {
public:
    explicit generator(unsigned seed) : engine_(seed) {}

    std::size_t below(std::size_t limit) { return engine_() % limit; }
    bool one_in(std::size_t n) { return below(n) == 0; }
    char one_of(std::string_view characters) { return characters[below(characters.size())]; }

    std::string text_of(std::string_view characters, std::size_t longest) {
        std::string text(below(longest + 1), '\0');
        for (char& c : text) c = one_of(characters);
        return text;
    }
    std::string blanks() { return one_in(9) ? "\u00A0" : one_in(3) ? text_of(" \t", 2) : ""; }
    std::string line_end() { return one_in(2) ? "\n" : "\r\n"; }

private:
    std::mt19937 engine_;  // gives the same numbers everywhere, unlike the distributions
};

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

bool fits_unquoted(std::string_view value) {
    if (value.empty()) return true;
    if (contains("'\" \t", value.substr(0, 1)) || value.ends_with(' ') || value.ends_with('\t')) return false;
    for (const std::string_view part : {"\r", "\n", " #", "\t#", "${", "\\$"})
        if (contains(value, part)) return false;
    return true;
}

// Writes the value in one of the ways that a .env file allows.
std::string render(const std::string& value, generator& random) {
    // Without leading blanks: a # after a blank would begin a comment.
    if (fits_unquoted(value) && random.one_in(2))
        return value + (random.one_in(3) ? " # it's \"one\"" : random.blanks());

    const std::string following = random.blanks() + (random.one_in(3) ? "# a ' and a \"" : "");
    std::string quoted;
    if (value.find('\r') == std::string::npos && random.one_in(2)) {
        for (const char c : value) {
            if (c == '\\' || c == '\'') quoted += '\\';
            quoted += c;
        }
        return random.blanks() + "'" + quoted + "'" + following;
    }

    for (const char c : value) {
        if (c == '\\' || c == '"' || c == '$') quoted += {'\\', c};
        else if (c == '\r') quoted += "\\r";
        else if (c == '\n') quoted += random.one_in(2) ? "\\n" : random.line_end();
        else quoted += c;
    }
    return random.blanks() + "\"" + quoted + "\"" + following;
}

struct generated {
    std::map<std::string, std::string> variables;
    std::string text;
};

generated make_file(generator& random) {
    generated file;
    if (random.one_in(5)) file.text += "\xEF\xBB\xBF";
    for (std::size_t i = random.below(6); i > 0; --i) {
        if (random.one_in(5)) file.text += random.blanks() + "# ' \" ${A:-" + random.line_end();
        if (random.one_in(5)) file.text += random.blanks() + random.line_end();
        const std::string name = random.one_of("ABc_9") + random.text_of("Ab_.-9", 3);
        const std::string value = random.text_of("ab  \t'\"\\$#{}\n\r=:-", 12);
        file.variables[name] = value;
        const std::string quote = random.one_in(4) ? "'" : "";
        file.text += random.blanks() + (random.one_in(3) ? "export " : "") + quote + name + quote +
                     random.blanks() + "=" + render(value, random) + random.line_end();
    }
    return file;
}

// Checks properties that hold for any text.
void check_properties(std::string_view text) {
    // In memory of exactly its size, so that a sanitizer detects reads past the end.
    const std::unique_ptr<char[]> exact(new char[text.size()]);
    std::copy(text.begin(), text.end(), exact.get());
    const auto file = secrets::parse_dotenv({exact.get(), text.size()}, [](std::string_view name) {
        return name.size() % 2 ? std::optional<std::string>(name) : std::nullopt;
    });

    std::size_t lines = 1;
    for (std::size_t i = 0; i < text.size(); ++i)
        lines += text[i] == '\n' || (text[i] == '\r' && text.substr(i + 1, 1) != "\n");
    std::size_t last = 0;
    bool in_range = true, well_named = true;
    for (const auto& [line, message] : file.problems) {
        in_range = in_range && line > last && line <= lines && !message.empty();
        last = line;
    }
    constexpr std::string_view in_names = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    std::map<std::string_view, int> names;
    for (const auto& [name, value] : file.variables)
        well_named = well_named && ++names[name] == 1 && contains(text, name) && !name.empty() &&
                     name.find_first_not_of(in_names) == std::string::npos;
    const bool few = file.variables.size() + file.problems.size() <= lines;
    if (!in_range || !well_named || !few)
        FAIL_CHECK("for the text <" << text << ">: " << in_range << well_named << few);
}

}  // namespace

TEST_CASE("Variables that are written to a .env file in any style are read back") {
    generator random(1);
    for (int i = 0; i < 20000; ++i) {
        const generated written = make_file(random);
        const auto read = parse(written.text);
        std::map<std::string, std::string> variables;
        for (const auto& variable : read.variables) variables[variable.name] = variable.value();
        if (!read.problems.empty() || variables != written.variables) {
            FAIL("for the text <" << written.text << ">, with the problems: " << problems(read));
        }
    }
}

TEST_CASE("A .env file may hold any bytes") {
    generator random(2);
    for (int i = 0; i < 10000; ++i) {
        std::string text(random.below(60), '\0');
        for (char& c : text) c = static_cast<char>(random.below(256));
        check_properties(text);
        check_properties(random.text_of("AB=\"'\\${}:-# \n\r\t.exprt", 60));
    }
}

TEST_CASE("A .env file may be damaged in any way") {
    generator random(3);
    for (int i = 0; i < 10000; ++i) {
        std::string text = make_file(random).text;
        check_properties(text);
        for (std::size_t damages = 1 + random.below(4); damages > 0 && !text.empty(); --damages) {
            const std::size_t at = random.below(text.size());
            switch (random.below(4)) {
                case 0: text.erase(at, 1 + random.below(4)); break;
                case 1: text.insert(at, 1, random.one_of("\"'\\$={}#\n\r \0"s)); break;
                case 2: text[at] = static_cast<char>(random.below(256)); break;
                default: text.resize(at); break;
            }
        }
        check_properties(text);
    }
}

// ---- The program --------------------------------------------------------------------------------

#ifdef GET_KEY_PROGRAM
TEST_CASE("env-file: The program prints what the README shows") {
    const readme::example shown("env-file");
    CHECK(shown.printed({}) == shown.output());
}

// The pipe has no reader, like a connection that the server has closed.
TEST_CASE("A closed pipe does not terminate the program") {
    CHECK(readme::output_of("mkfifo pipe; exec 3<>pipe 4>pipe 3<&-; ./get_key --help >&4; echo $?") == "0\n");
}
#endif
