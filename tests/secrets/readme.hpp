#pragma once

// Checks that the program prints what the README of the stores shows. The README's commands run
// unchanged, except that the test replaces addresses and credentials.

#include "secrets/cloud.hpp"
#include "secrets/helpers.hpp"
#include "secrets/server.hpp"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace readme {

using texts = std::vector<std::pair<std::string, std::string>>;

// Runs shell commands, and returns their output on stdout and stderr. The program is ./get_key. The
// environment has only these variables, HOME and PATH.
inline std::string output_of(const std::string& commands, const texts& variables = {}) {
    const fake::temporary_directory directory;
    std::filesystem::create_symlink(GET_KEY_PROGRAM, directory.path() / "get_key");
    std::ofstream(directory.path() / "commands") << commands;
    std::string run = "cd '" + directory.path().string() + "' && env -i HOME=. PATH=\"$PATH\"";
    for (const auto& [name, value] : variables) run += ' ' + name + "='" + value + '\'';
    return cloud::output_of(run + " sh commands");
}

// The README's commands and output for one store.
class example {
public:
    explicit example(const std::string& source) {
        std::ifstream file(SECRETS_README);
        const std::string page(std::istreambuf_iterator<char>(file), {});
        const std::size_t command = page.find("\n./get_key --from " + source + ' ');
        if (command == std::string::npos) throw std::runtime_error("the README has no command for " + source);
        commands_ = block(page, page.rfind("```sh\n", command));
        output_ = block(page, page.find("```text\n", command));
    }

    const std::string& output() const { return output_; }

    // Runs the commands with the README's texts replaced by the test's, and returns the output with
    // the README's texts. The table of hooks comes first, and is omitted if the README does not
    // show it.
    std::string printed(const texts& replaced, const texts& more_variables = {}) const {
        std::string commands = commands_;
        for (const auto& [shown, ours] : replaced) replace(commands, shown, ours);
        std::string text = helpers::searched(readme::output_of(commands, more_variables));
        for (const auto& [shown, ours] : replaced) replace(text, ours, shown);
        const std::size_t after_table = text.find("\n\n");
        if (after_table != std::string::npos && output_.find("\n\n") == std::string::npos)
            text.erase(0, after_table + 2);
        return text;
    }

    static void replace(std::string& text, std::string_view from, std::string_view to) {
        for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
            text.replace(at, from.size(), to);
    }

private:
    static std::string block(const std::string& page, std::size_t fence) {
        const std::size_t begin = page.find('\n', fence) + 1;
        return page.substr(begin, page.find("```", begin) - begin);
    }

    std::string commands_, output_;
};

}  // namespace readme
