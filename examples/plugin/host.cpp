// Shows a program that loads a plugin from a shared library, reloads it, and unloads it, while its threads keep calling
// the function that the plugin extends. From the project's root:
//
//     c++ -std=c++20 -fvisibility=hidden -fPIC -shared -Iinclude examples/plugin/vault_plugin.cpp -o vault_plugin.so &&
//     c++ -std=c++20 -fvisibility=hidden -pthread -Iinclude examples/plugin/host.cpp -o host -ldl &&
//     OPENAI_API_KEY=sk-from-the-environment ./host ./vault_plugin.so

#include <extensible/extensible.hpp>
#include <extensible/library.hpp>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// The host's own registry, which it passes to its plugins. (On some platforms, each module has a
// default registry of its own.)
inline ext::registry registry;

inline ext::extensible get_api_key{registry, "models.get_api_key", [](std::string_view service) -> std::string {
    const char* const key = service == "openai" ? std::getenv("OPENAI_API_KEY") : nullptr;
    return key ? key : "";
}};

// Threads that ask for the key again and again, and count where it came from. The destructor stops
// them.
class callers {
public:
    explicit callers(const std::string& environment_key) {
        for (int i = 0; i < 3; ++i)
            threads_.emplace_back([this, environment_key] {
                while (!done_) {
                    const std::string key = get_api_key("openai");
                    ++(key == environment_key ? from_environment : key == "sk-from-the-vault" ? from_plugin : wrong);
                }
            });
    }
    ~callers() {
        done_ = true;
        for (std::thread& thread : threads_) thread.join();
    }

    // Returns when the threads have received a thousand more of these answers.
    static void wait_for_more(const std::atomic<long>& answers) {
        for (const long enough = answers + 1000; answers < enough;) std::this_thread::yield();
    }

    std::atomic<long> from_environment{0}, from_plugin{0}, wrong{0};

private:
    std::atomic<bool> done_{false};
    std::vector<std::thread> threads_;
};

void run(const std::string& file, const std::string& environment_key) {
    const auto show = [](const char* when) { std::cout << when << ": " << get_api_key("openai") << '\n'; };

    show("At first");
    callers threads(environment_key);
    callers::wait_for_more(threads.from_environment);
    {
        ext::library vault{registry, file, {.name = "vault"}};
        std::cout << ext::describe(registry);
        show("Loaded");
        callers::wait_for_more(threads.from_plugin);
        vault.reload();  // the file may be a newer version
        show("Reloaded");
        callers::wait_for_more(threads.from_plugin);
    }
    show("Unloaded, and the library closed");
    callers::wait_for_more(threads.from_environment);
    std::cout << "The threads called all the while. Wrong keys: " << threads.wrong << '\n';
}

int main(int argc, char** argv) {
    const char* const environment_key = std::getenv("OPENAI_API_KEY");
    if (argc != 2 || !environment_key) {
        std::cerr << "usage: OPENAI_API_KEY=KEY host PLUGIN\n";
        return 2;
    }
    try {
        run(argv[1], environment_key);
    } catch (const ext::error& error) {
        std::cerr << "host: " << error.what() << '\n';
        return 1;
    }
}
