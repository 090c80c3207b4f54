#include "catch.hpp"

#include <extensible/detail/type_name.hpp>
#include <extensible/extensible.hpp>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace app {

struct user {
    enum class role { admin };
};
template <class T, bool Lazy>
struct task {};

template <class T>
struct page {
    template <class U>
    struct cell {};
};

}  // namespace app

namespace {
struct hidden {};
}  // namespace

using ext::detail::type_name;

TEST_CASE("A type is named as one writes it, with every compiler and standard library") {
    CHECK(type_name<std::string(std::string_view)>() == "std::string(std::string_view)");
    CHECK(type_name<void()>() == "void()");
    CHECK(type_name<unsigned long long(bool, unsigned char, long)>() == "unsigned long long(bool, unsigned char, long)");
    CHECK(type_name<const std::string&>() == "const std::string&");
    CHECK(type_name<std::string&&>() == "std::string&&");
    CHECK(type_name<const char*>() == "const char*");
    CHECK(type_name<char* const*>() == "char* const*");
    CHECK(type_name<int (*)(const char*)>() == "int(*)(const char*)");
    CHECK(type_name<int (&)[4]>() == "int[4]&");
    CHECK(type_name<std::vector<std::map<std::string, std::vector<int>>>>() ==
          "std::vector<std::map<std::string, std::vector<int>>>");
    CHECK(type_name<std::unique_ptr<const app::user>>() == "std::unique_ptr<const app::user>");
    CHECK(type_name<std::optional<std::function<void(std::u8string)>>>() ==
          "std::optional<std::function<void(std::u8string)>>");
    CHECK(type_name<std::array<double, 3>>() == "std::array<double, 3>");
    CHECK(type_name<std::span<const std::byte>>() == "std::span<const std::byte>");
    CHECK(type_name<std::span<int, 2>>() == "std::span<int, 2>");
    CHECK(type_name<app::task<std::string, true>>() == "app::task<std::string, true>");
    CHECK(type_name<std::chrono::milliseconds>() == "std::chrono::milliseconds");
    CHECK(type_name<std::ostream&>() == "std::ostream&");
    CHECK(type_name<std::nullptr_t>() == "std::nullptr_t");
    CHECK(type_name<std::exception_ptr>() == "std::exception_ptr");
    CHECK(type_name<app::user::role>() == "app::user::role");
    CHECK(type_name<app::page<app::user>::cell<std::string>>() == "app::page<app::user>::cell<std::string>");
    CHECK(type_name<const ext::kwargs&>() == "const ext::kwargs&");
    CHECK(type_name<hidden>() == "(unnamed)::hidden");
}

TEST_CASE("Types are told apart by their names, but for those of an unnamed namespace") {
    using ext::detail::identity_of;
    CHECK(identity_of<int>() == identity_of<int>());
    CHECK_FALSE(identity_of<int>() == identity_of<long>());
    CHECK(identity_of<int>().local == nullptr);
    CHECK(identity_of<std::vector<hidden>>().local != nullptr);
    const int stands_for_another_unit = 0;
    const ext::detail::type_identity namesake{identity_of<hidden>().name, &stands_for_another_unit};
    CHECK_FALSE(identity_of<hidden>() == namesake);
}
