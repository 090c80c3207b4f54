// Prints how the hook's own classes interpret AWS's variables and files, for aws_botocore.py.
//
//     aws_probe id             the id of the access key that is found, or why there is none
//     aws_probe read NAME...   a line for each secret: its text, "not found", or the error
#include "secrets/aws.hpp"

#include <iostream>
#include <string>
#include <string_view>

namespace {

secrets::aws_options options() {
    secrets::aws_options options = secrets::aws_from_environment().value_or(secrets::aws_options());
    options.secret = "{service}";
    return options;
}

int print_id() {
    const auto found = secrets::aws_from_environment();
    if (!found) return std::cout << "not configured\n", 0;
    const auto key = secrets::aws_credentials(found->credentials).fetch(secrets::deadline::max());
    std::cout << key.value.id.view() << '\n';
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc == 2 && std::string_view(argv[1]) == "id") return print_id();
        const secrets::aws_store store(options());
        for (int i = 2; i < argc; ++i) {
            try {
                const auto value = store.read(argv[i]);
                std::cout << (value ? "found " + *value : "not found") << '\n';
            } catch (const secrets::store_error& error) {
                std::cout << "failed " << error.what() << '\n';
            }
        }
    } catch (const secrets::store_error& error) {
        std::cout << "failed " << error.what() << '\n';
    }
}
