#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <array>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>


namespace {

struct opaque;  // never defined
const opaque* address_of(const opaque& handle) { return &handle; }
const opaque& same(const opaque& handle) { return handle; }

class base {
public:
    explicit base(int value) : n(value) {}
    int n;

protected:
    ~base() = default;
};
struct derived : base {
    using base::base;
};

// Destroys itself, as reference-counted objects do.
class self_destroying {
public:
    static self_destroying* make() { return new self_destroying; }
    void release() { delete this; }
    int n = 3;

private:
    ~self_destroying() = default;
};

struct shape {
    virtual ~shape() = default;
    virtual int sides() const = 0;
};
struct triangle : shape {
    int sides() const override { return 3; }
};

// A smart pointer whose operator& releases its object, like some COM pointers.
class com_pointer {
public:
    explicit com_pointer(int object) : object_(std::make_shared<int>(object)) {}
    std::shared_ptr<int>* operator&() {
        object_.reset();
        return &object_;
    }
    const void* operator&() const { return nullptr; }
    int object() const { return object_ ? *object_ : 0; }

private:
    std::shared_ptr<int> object_;
};

// Copies of this handle share an object, which need not be copyable.
template <class T>
struct shared_handle {
    using value_type = T;
    std::shared_ptr<T> object;
};

int three(int) { return 3; }
int four(int) { return 4; }

struct call_counter {
    int starts = 0, ends = 0;
};

// Registers a hook of each phase and a hook for any function. They access the arguments and the
// result.
template <class Function>
call_counter& add_hooks(const Function& function, call_counter& counter) {
    function.on_start([&](auto& call) { static_cast<void>(call.args), ++counter.starts; });
    function.around([](auto&, auto& proceed) { proceed(); });
    function.on_end([&](auto& call) { counter.ends += call.result.has_value(); });
    function.on_start([&](ext::any_call& call) { counter.starts += call.size() == 1; });
    return counter;
}

}  // namespace

TEST_CASE("Functions with unusual parameters and results can be wrapped") {
    ext::registry registry;
    call_counter counter;
    SECTION("with a reference to an incomplete type, as a parameter and as the result") {
        const int stands_for_one = 0;
        const auto& handle = reinterpret_cast<const opaque&>(stands_for_one);
        ext::extensible address{registry, "address", &address_of};
        add_hooks(address, counter);
        CHECK(address(handle) == &handle);
        ext::extensible through{registry, "through", &same};
        through.on_start([&](auto& call) { call.result = handle; });
        CHECK(&through(handle) == &handle);
    }
    SECTION("with a reference to an object whose destructor is protected") {
        ext::extensible read{registry, "read", [](const base& b) { return b.n; }};
        add_hooks(read, counter);
        CHECK(read(derived(3)) == 3);
        read.on_start([](auto& call) { call.template arg<0>() = derived(4); });
        CHECK(read(derived(3)) == 4);
        CHECK(counter.starts == 4);
    }
    SECTION("with a reference to an object whose destructor is private") {
        ext::extensible read{registry, "read", [](const self_destroying& object) { return object.n; }};
        add_hooks(read, counter);
        self_destroying* const object = self_destroying::make();
        CHECK(read(*object) == 3);
        object->release();
    }
    SECTION("with a reference to a volatile object, as a parameter and as the result") {
        volatile unsigned device = 0;
        const auto set = [](volatile unsigned& to) -> volatile unsigned& { return to = 3, to; };
        ext::extensible write{registry, "write", set};
        add_hooks(write, counter);
        CHECK(&write(device) == &device);
        CHECK(device == 3u);
        unsigned seen = 0;
        write.on_end([&](ext::any_call& call) {
            CHECK(call.arg_type(0) == "volatile unsigned int");
            CHECK(call.arg<unsigned>(0) == nullptr);
            if (const volatile unsigned* argument = call.arg<volatile unsigned>(0)) seen = *argument;
            if (const volatile unsigned* result = call.result<volatile unsigned>()) seen += *result;
        });
        write.on_start([](ext::any_call& call) { call.set_arg(0, 2u); });
        CHECK(&write(device) == &device);
        CHECK(seen == 6);
    }
    SECTION("with a reference to a constant volatile object") {
        const volatile unsigned device = 5;
        ext::extensible read{registry, "read", [](const volatile unsigned& from) -> unsigned { return from; }};
        add_hooks(read, counter);
        CHECK(read(device) == 5);
        read.on_start([](auto& call) { call.template arg<0>() = 6u; });
        CHECK(read(device) == 6);
    }
    SECTION("with a reference to a function, as a parameter and as the result") {
        ext::extensible pass{registry, "pass", [](int (&callback)(int)) -> int (&)(int) { return callback; }};
        add_hooks(pass, counter);
        CHECK(&pass(three) == &three);
        pass.on_end([](auto& call) { call.result = four; });
        CHECK(&pass(three) == &four);
        int seen = 0;
        pass.on_end([&](ext::any_call& call) {
            if (int (*argument)(int) = call.arg<int(int)>(0)) seen = 10 * argument(1);
            if (int (*result)(int) = call.result<int(int)>()) seen += result(1);
        });
        pass(three);
        CHECK(seen == 34);
    }
    SECTION("with an rvalue reference to an object of an abstract class") {
        ext::extensible count{registry, "count", [](shape&& s) { return s.sides(); }};
        add_hooks(count, counter);
        CHECK(count(triangle()) == 3);
    }
    SECTION("with references to arrays") {
        int numbers[3] = {1, 2, 3};
        ext::extensible last{registry, "last", [](int (&in)[3]) -> int (&)[3] { return in; }};
        add_hooks(last, counter);
        CHECK(last(numbers)[2] == 3);
        ext::extensible sum{registry, "sum", [](int (&&in)[2]) { return in[0] + in[1]; }};
        add_hooks(sum, counter);
        CHECK(sum({1, 2}) == 3);
    }
    CHECK(counter.ends > 0);
}

TEST_CASE("A type's own operator& is never used") {
    ext::registry registry;
    const auto check = [&](auto function) {
        ext::extensible f{registry, "f", function};
        CHECK(f(com_pointer(1)).object() == 1);
        f.around([](auto&, auto& proceed) { proceed(); });
        CHECK(f(com_pointer(1)).object() == 1);
        ext::scoped_hook hook = f.on_start([](auto& call) { call.template arg<0>() = com_pointer(2); });
        CHECK(f(com_pointer(1)).object() == 2);
        hook = f.on_start([](ext::any_call& call) { call.set_arg(0, com_pointer(3)); });
        CHECK(f(com_pointer(1)).object() == 3);
        hook = f.on_start([](ext::any_call& call) { call.set_result(com_pointer(4)); });
        CHECK(f(com_pointer(1)).object() == 4);
        hook = f.on_start([](auto& call) {
            call.kwargs.set("pointer", com_pointer(5));
            call.result = *call.kwargs.template get<com_pointer>("pointer");
        });
        CHECK(f(com_pointer(1)).object() == 5);
    };
    check([](const com_pointer& p) { return p; });
    check([](com_pointer p) { return p; });

    com_pointer mine(6);
    ext::extensible refer{registry, "refer", [](com_pointer& p) -> com_pointer& { return p; }};
    refer.on_end([](ext::any_call& call) { CHECK(call.arg<com_pointer>(0) == call.result<com_pointer>()); });
    CHECK(refer(mine).object() == 6);
}

TEST_CASE("An argument that can be copied is intact for each attempt and for end hooks") {
    struct widget {
        widget() = default;
        widget(const widget&) = delete;
    };
    ext::registry registry;
    int found = 0;
    const auto check = [&](auto function, auto argument, auto is_there) {
        ext::extensible f{registry, "f", function};
        f.around([](auto&, auto& proceed) { proceed(), proceed(); });
        f.on_end([&](auto& call) { found += is_there(*call.template arg<0>()); });
        f(argument);
    };
    SECTION("a handle to an object that cannot be copied") {
        using handle = shared_handle<widget>;
        check([&](handle h) { found += h.object != nullptr; }, handle{std::make_shared<widget>()},
              [](const handle& h) { return h.object != nullptr; });
    }
    SECTION("a container of copyable elements") {
        using texts = std::vector<std::string>;
        check([&](texts t) { found += t.size() == 1; }, texts{"one"}, [](const texts& t) { return t.size() == 1; });
    }
    CHECK(found == 3);
}

#if defined(__cpp_static_call_operator) && __cplusplus > 202002L  // Clang warns about it in C++20
TEST_CASE("An object with a static operator() can be wrapped, and can be a hook") {
    struct half {
        static int operator()(int x) { return x / 2; }
    };
    ext::registry registry;
    ext::extensible halve{registry, "halve", half{}};
    CHECK(halve(4) == 2);
    registry.on_start("halve", [](ext::call<int(int)>& call) static { call.result = 5; });
    CHECK(halve(4) == 5);
    registry.around("ha*", [](ext::any_call&, auto& proceed) static { proceed(); });
    CHECK(halve(4) == 5);
}
#endif

// Clang 18 and 19 support it, but do not define the macro.
#if __cplusplus > 202002L && (defined(__cpp_explicit_this_parameter) || (defined(__clang__) && __clang_major__ >= 18))
TEST_CASE("An object whose operator() has an explicit object parameter can be wrapped, and can be a hook") {
    struct scaler {
        int factor;
        int operator()(this const scaler& self, int x) { return x * self.factor; }
    };
    struct by_value {
        int operator()(this by_value, int x) { return x + 1; }
    };
    struct derived_scaler : scaler {
        using scaler::operator();
    };
    ext::registry registry;
    ext::extensible scale{registry, "scale", scaler{3}};
    CHECK(scale(2) == 6);
    ext::extensible add{registry, "add", by_value{}};
    CHECK(add(2) == 3);
    ext::extensible derived_scale{registry, "derived_scale", derived_scaler{{4}}};
    CHECK(derived_scale(2) == 8);
    STATIC_REQUIRE(std::is_same_v<decltype(scale)::signature, int(int)>);
    struct setting {
        void operator()(this const setting&, ext::call<int(int)>& call) { call.result = 5; }
    };
    registry.on_start("scale", setting{});
    CHECK(scale(2) == 5);
}
#endif
