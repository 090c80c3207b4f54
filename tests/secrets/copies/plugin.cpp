// A plugin with a copy of the hooks in which variable_names() does something else than in the host. It
// contains all hooks, because the program get_key does.
#define main unused_main
#include "secrets/get_key.cpp"

extern "C" const char* first_variable() {
    static const std::string name = secrets::variable_names("openai")[0];
    return name.c_str();
}
