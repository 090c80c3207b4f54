// Calls that are nested without end throw an error with a helpful text. They do not overflow the
// stack. Exits with 0 if all checks hold.
#include "expect.hpp"

#include <extensible/extensible.hpp>

#include <pthread.h>

#include <cstddef>
#include <string>

namespace {

std::string error_of(const ext::extensible<int(int)>& function, int argument) {
    try {
        function(argument);
        return "";
    } catch (const ext::error& error) {
        return error.what();
    }
}

void* nest(void*) {
    ext::registry registry;
    int starts = 0, ends = 0, reports = 0;
    registry.on_hook_error([&](const ext::hook_error&) { ++reports; });
    ext::extensible<int(int)>* self = nullptr;
    ext::extensible<int(int)> sum{registry, "math.sum", [&](int n) { return n == 0 ? 0 : n + (*self)(n - 1); }};
    self = &sum;
    const ext::scoped_hook start = sum.on_start([&](auto&) { ++starts; });
    const ext::scoped_hook end = sum.on_end([&](auto& call) { if (++ends == 1 && call.exception) throw 7; });
    constexpr int limit = EXTENSIBLE_MAX_NESTING;
    const std::string text = "math.sum: calls with hooks are nested " + std::to_string(limit) +
                             " deep on this thread. Does a hook call its own function? "
                             "Then register it with .reentrant = false. "
                             "For a function that calls itself this often, define EXTENSIBLE_MAX_NESTING";

    expect(sum(limit - 1) == (limit - 1) * limit / 2, "calls can be nested up to the limit");
    expect(starts == limit && ends == limit, "each nested call runs its hooks");
    expect(error_of(sum, limit) == text,
           "one more level throws a text with the function, the likely cause and the fix");
    expect(starts == 2 * limit && ends == 2 * limit, "no hook of that call has run, and all other calls have ended");
    expect(sum(10) == 55, "the function can be called again");

    starts = ends = 0;
    try {
        sum(limit);
        expect(false, "the caller gets the hook's exception");
    } catch (int thrown) {
        expect(thrown == 7 && reports == 1, "the error handler is called even at the limit");
    }

    ext::extensible<int(int)> get{registry, "get", [](int x) { return x; }};
    ext::scoped_hook asks = get.on_start([&](auto& call) { call.result = get(*call.template arg<0>()); });
    expect(error_of(get, 1).starts_with("get: calls with hooks are nested "),
           "a hook that calls its own function does not overflow the stack");
    asks = get.on_start([&](auto& call) { call.result = get(*call.template arg<0>()) + 1; }, {.reentrant = false});
    expect(get(1) == 2, "a hook with .reentrant = false runs once");
    return nullptr;
}

}  // namespace

int main() {
    // With sanitizers and without optimization the default stack is too small for the limit.
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, std::size_t{128} << 20);
    pthread_t thread;
    if (pthread_create(&thread, &attributes, nest, nullptr) != 0) return 1;
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    return failures != 0;
}
