#include "catch.hpp"

#include <extensible/detail/types/type_identity.hpp>
#include <extensible/detail/types/type_name.hpp>

#include <array>
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <regex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#if __has_include(<memory_resource>)  // libc++ has it since version 16
#include <memory_resource>
#endif

namespace ext { inline namespace EXTENSIBLE_ABI {

struct of_the_library {};

}}  // namespace ext

// Names that begin or end with a keyword that a compiler may write before a type.
struct mystruct {};
class subclass {};
enum enumerate { one };
union unionized {};
struct my__cdecl {};
struct belong {};
template <class, int, class>
struct foo {};

namespace app {

struct user {
    enum class role { admin };
    int age;
};
template <class T, bool Lazy>
struct task {};
template <class T = void>
struct deferred {};
template <class T>
struct page {
    template <class U>
    struct cell {};
    struct row {};
};
template <class T, class Value = typename T::value_type>  // Clang 14 writes out such a default argument
struct view {};
template <class T, class Pointer = T*, class... More>
struct pack {};
template <template <class...> class Template>
struct uses {};

template <auto... Values>
struct any_values {};
template <auto Value>
struct any_value {};
template <class T, auto Value>
struct type_and_any_value {};
template <unsigned long long Value>
struct number {};
template <short Value>
struct small_number {};
template <char Value>
struct character {};
template <user::role Role>
struct of_role {};
template <int Columns, class T>
struct grid {};

inline auto make_local() {
    struct local {};
    return local();
}

}  // namespace app

struct local {};

constexpr auto lambda_of_no_function = [] {};

namespace {

struct hidden {};
enum class choice { yes };

}  // namespace

using ext::detail::identity_of;
using ext::detail::type_name;

TEST_CASE("A type is named as in source code, with every compiler and standard library") {
    CHECK(type_name<std::string(std::string_view)>() == "std::string(std::string_view)");
    CHECK(type_name<void()>() == "void()");
    CHECK(type_name<unsigned long long(bool, unsigned char, long)>() ==
          "unsigned long long(bool, unsigned char, long)");
    CHECK(type_name<const std::string&>() == "const std::string&");
    CHECK(type_name<std::string&&>() == "std::string&&");
    CHECK(type_name<std::vector<std::map<std::string, std::vector<int>>>>() ==
          "std::vector<std::map<std::string, std::vector<int>>>");
    CHECK(type_name<std::unique_ptr<const app::user>>() == "std::unique_ptr<const app::user>");
    CHECK(type_name<std::optional<std::function<void(std::u8string)>>>() ==
          "std::optional<std::function<void(std::u8string)>>");
    CHECK(type_name<app::task<std::string, true>>() == "app::task<std::string, true>");
    CHECK(type_name<app::deferred<>>() == "app::deferred<void>");
    CHECK(type_name<app::user::role>() == "app::user::role");
    CHECK(type_name<app::page<app::user>::cell<std::string>>() == "app::page<app::user>::cell<std::string>");
    CHECK(type_name<app::page<std::string>::cell<std::string_view>>() ==
          "app::page<std::string>::cell<std::string_view>");
    CHECK(type_name<app::page<std::string_view>::row>() == "app::page<std::string_view>::row");
    CHECK(type_name<app::uses<app::deferred>>() == "app::uses<app::deferred>");
    CHECK(type_name<hidden>() == "(unnamed)::hidden");
    static_assert(type_name<int>() == "int");
}

TEST_CASE("Fundamental types have the same name with every compiler") {
    CHECK(type_name<void(short, unsigned short, int, unsigned, long, unsigned long, long long, unsigned long long)>() ==
          "void(short, unsigned short, int, unsigned int, long, unsigned long, long long, unsigned long long)");
    CHECK(type_name<void(char, signed char, unsigned char, wchar_t, char8_t, char16_t, char32_t)>() ==
          "void(char, signed char, unsigned char, wchar_t, char8_t, char16_t, char32_t)");
    CHECK(type_name<void(float, double, long double, std::nullptr_t)>() ==
          "void(float, double, long double, std::nullptr_t)");
}

TEST_CASE("Pointers, references, qualifiers, arrays and functions") {
    CHECK(type_name<const char*>() == "const char*");
    CHECK(type_name<char* const*>() == "char* const*");
    CHECK(type_name<const volatile int>() == "const volatile int");
    CHECK(type_name<int* const volatile>() == "int* const volatile");
    CHECK(type_name<volatile int*>() == "volatile int*");
    CHECK(type_name<int (*)(const char*)>() == "int(*)(const char*)");
    CHECK(type_name<int (&)(const char*) noexcept>() == "int(&)(const char*) noexcept");
    CHECK(type_name<void (*const)()>() == "void(*)() const");
    CHECK(type_name<int (*(*)(char))(long)>() == "int(*)(long)(*)(char)");
    CHECK(type_name<void(int, ...)>() == "void(int, ...)");
    CHECK(type_name<void(std::string) const&>() == "void(std::string) const&");
    CHECK(type_name<int (&)[4]>() == "int[4]&");
    CHECK(type_name<const int[2][3]>() == "const int[2][3]");
    CHECK(type_name<int[][3]>() == "int[][3]");
    CHECK(type_name<int app::user::*>() == "int app::user::*");
    CHECK(type_name<void (app::user::*)(int) const noexcept>() == "void(app::user::*)(int) const noexcept");
}

TEST_CASE("Rewriting does not change names that contain a keyword") {
    CHECK(type_name<mystruct>() == "mystruct");
    CHECK(type_name<foo<mystruct*, 3, subclass&>>() == "foo<mystruct*, 3, subclass&>");
    CHECK(type_name<foo<enumerate, -3, unionized>>() == "foo<enumerate, -3, unionized>");
    CHECK(type_name<foo<const mystruct, 0, belong* const>>() == "foo<const mystruct, 0, belong* const>");
    CHECK(type_name<app::page<const mystruct>::cell<subclass>>() == "app::page<const mystruct>::cell<subclass>");
    CHECK(type_name<my__cdecl>() == "my__cdecl");
    CHECK(type_name<belong(unionized)>() == "belong(unionized)");
}

TEST_CASE("Inline namespaces are omitted") {
    CHECK(type_name<const ext::of_the_library&>() == "const ext::of_the_library&");
    CHECK(type_name<std::list<int>>() == "std::list<int>");
    CHECK(type_name<std::filesystem::path>() == "std::filesystem::path");
    CHECK(type_name<const std::error_category&>() == "const std::error_category&");
    CHECK(type_name<std::exception_ptr>() == "std::exception_ptr");
    CHECK(type_name<std::regex>() == "std::regex");
}

TEST_CASE("Default arguments of templates are omitted") {
    CHECK(type_name<std::vector<int, std::allocator<int>>>() == "std::vector<int>");
    CHECK(type_name<std::set<int>>() == "std::set<int>");
    CHECK(type_name<std::set<int, std::greater<int>>>() == "std::set<int, std::greater<int>>");
    CHECK(type_name<std::set<int, std::greater<>>>() == "std::set<int, std::greater<void>>");
    CHECK(type_name<std::unordered_map<std::string, std::deque<int>>>() ==
          "std::unordered_map<std::string, std::deque<int>>");
    CHECK(type_name<std::span<const std::byte>>() == "std::span<const std::byte>");
    CHECK(type_name<app::view<std::string>>() == "app::view<std::string>");
    CHECK(type_name<app::view<std::string, int>>() == "app::view<std::string, int>");
    CHECK(type_name<app::pack<int>>() == "app::pack<int>");
    CHECK(type_name<app::pack<int, int*, char>>() == "app::pack<int, int*, char>");
    CHECK(type_name<std::tuple<>>() == "std::tuple<>");
    CHECK(type_name<std::variant<std::monostate, std::tuple<int, std::allocator<int>>>>() ==
          "std::variant<std::monostate, std::tuple<int, std::allocator<int>>>");
}

TEST_CASE("The usual aliases of the standard library are used") {
    CHECK(type_name<std::u16string_view>() == "std::u16string_view");
    CHECK(type_name<std::wstring>() == "std::wstring");
#if __has_include(<memory_resource>)
    CHECK(type_name<std::pmr::string>() == "std::pmr::string");
    CHECK(type_name<std::pmr::u16string>() == "std::pmr::u16string");
    CHECK(type_name<std::pmr::vector<int>>() == "std::vector<int, std::pmr::polymorphic_allocator<int>>");
#endif
    CHECK(type_name<std::ostream&>() == "std::ostream&");
    CHECK(type_name<std::wistream>() == "std::wistream");
    CHECK(type_name<std::chrono::nanoseconds>() == "std::chrono::nanoseconds");
    CHECK(type_name<std::chrono::microseconds>() == "std::chrono::microseconds");
    CHECK(type_name<std::chrono::milliseconds>() == "std::chrono::milliseconds");
    CHECK(type_name<std::chrono::seconds>() == "std::chrono::seconds");
    CHECK(type_name<std::chrono::minutes>() == "std::chrono::minutes");
    CHECK(type_name<std::chrono::hours>() == "std::chrono::hours");
    CHECK(type_name<std::chrono::duration<double>>() == "std::chrono::duration<double>");
    CHECK(type_name<std::chrono::duration<double, std::milli>>() ==
          "std::chrono::duration<double, std::ratio<1, 1000>>");
    CHECK(type_name<std::chrono::duration<short, std::ratio<60>>>() == "std::chrono::duration<short, std::ratio<60>>");
    CHECK(type_name<std::chrono::system_clock::time_point>() == "std::chrono::system_clock::time_point");
    CHECK(type_name<std::chrono::steady_clock::time_point>() == "std::chrono::steady_clock::time_point");
    CHECK(type_name<std::chrono::sys_seconds>() ==
          "std::chrono::time_point<std::chrono::system_clock, std::chrono::seconds>");
    CHECK_FALSE(type_name<std::chrono::duration<long>>() == type_name<std::chrono::duration<long long>>());
}

TEST_CASE("Values as template arguments: a number has its type if another type would make another class") {
    CHECK(type_name<std::array<double, 3>>() == "std::array<double, 3>");
    CHECK(type_name<std::span<int, 2>>() == "std::span<int, 2>");
    CHECK(type_name<std::array<std::array<int, 0>, 12>>() == "std::array<std::array<int, 0>, 12>");
    CHECK(type_name<std::integral_constant<long, 3>>() == "std::integral_constant<long, 3>");
    CHECK(type_name<app::number<18446744073709551615u>>() == "app::number<18446744073709551615>");
    CHECK(type_name<app::small_number<-32768>>() == "app::small_number<-32768>");
    CHECK(type_name<app::character<'<'>>() == "app::character<60>");
    CHECK(type_name<app::of_role<app::user::role::admin>>() == "app::of_role<app::user::role::admin>");
    CHECK(type_name<app::grid<3, double>>() == "app::grid<3, double>");
    CHECK(type_name<app::any_value<3>>() == "app::any_value<3>");
    CHECK(type_name<app::any_value<3u>>() == "app::any_value<(unsigned int)3>");
    CHECK(type_name<app::any_value<3l>>() == "app::any_value<(long)3>");
    CHECK(type_name<app::any_value<'a'>>() == "app::any_value<(char)97>");
    CHECK(type_name<app::any_value<true>>() == "app::any_value<true>");
    CHECK(type_name<app::any_value<nullptr>>() == "app::any_value<nullptr>");
    CHECK(type_name<app::any_value<app::user::role::admin>>() == "app::any_value<app::user::role::admin>");
    CHECK(type_name<app::any_value<app::user::role(7)>>() == "app::any_value<(app::user::role)7>");
    CHECK(type_name<app::any_value<choice::yes>>() == "app::any_value<(unnamed)::choice::yes>");
    CHECK(type_name<app::any_values<>>() == "app::any_values<>");
    CHECK(type_name<app::any_values<1, -2, 3ul>>() == "app::any_values<1, -2, (unsigned long)3>");
    CHECK(type_name<app::type_and_any_value<std::string, 5ll>>() ==
          "app::type_and_any_value<std::string, (long long)5>");
}

TEST_CASE("Names that MSVC writes are rewritten to the same form") {
    const auto written = [](std::string_view text) { return std::string(ext::detail::rewrite<500>(text).view()); };
    CHECK(written("class app::page<class std::basic_string<char,struct std::char_traits<char>,"
                  "class std::allocator<char> > >::row") == "app::page<std::string>::row");
    CHECK(written("struct foo<struct mystruct *,3,class subclass &>") == "foo<mystruct*, 3, subclass&>");
    for (const std::string end : {"a", "z", "A", "Z", "0", "9", "_", "$", "\xc3\x80"})
        CHECK(written("struct word" + end + "struct *") == "word" + end + "struct*");
    CHECK(written("unsigned __int64") == "unsigned long long");
    CHECK(written("struct app::any_value<&constant>") == "app::any_value<&constant>");
    CHECK(written("enum app::user::role") == "app::user::role");
    CHECK(written("union unionized") == "unionized");
    CHECK(written("class std::map<int,union unionized,struct std::less<int>,"
                  "class std::allocator<struct std::pair<int const ,union unionized> > >") ==
          "std::map<int, unionized, std::less<int>, std::allocator<std::pair<int const, unionized>>>");
    CHECK(written("class std::basic_string_view<char,struct std::char_traits<char> >") == "std::string_view");
    CHECK(written("char const * __ptr64") == "char const*");
    CHECK(written("int (__cdecl*)(char const *,enum enumerate)") == "int(*)(char const*, enumerate)");
    CHECK(written("struct ext::" EXTENSIBLE_TEXT(EXTENSIBLE_ABI) "::of_the_library const &") ==
          "ext::of_the_library const&");
    CHECK(written("class std::function<void __cdecl(int,unsigned __int64)>") ==
          "std::function<void(int, unsigned long long)>");
    CHECK(written("class std::chrono::duration<__int64,struct std::ratio<1,1000> >") ==
          "std::chrono::duration<long long, std::ratio<1, 1000>>");
    CHECK(written("class app::pack<int,int *,struct app::page<struct app::user>::cell<int> &&>") ==
          "app::pack<int, int*, app::page<app::user>::cell<int>&&>");
    CHECK(ext::detail::inside(written("struct ext::detail::of_value<`anonymous-namespace'::choice::yes>")) ==
          "(unnamed)::choice::yes");
    CHECK(written("void (__cdecl app::user::*)(void)const ") == "void(app::user::*)() const");
    CHECK(written("struct `anonymous-namespace'::hidden") == "(unnamed)::hidden");
    CHECK(ext::detail::is_local("struct `anonymous-namespace'::hidden"));
    CHECK(ext::detail::is_local("struct app::make_local::`2'::local"));
}

TEST_CASE("A long name does not exceed the limits of compilers for constant expressions") {
    using inner = std::map<std::string, std::vector<std::pair<std::string, std::unique_ptr<app::user>>>>;
    using outer =
        std::map<std::string, std::vector<std::pair<inner, std::unique_ptr<std::map<std::string_view, inner>>>>>;
    const std::string name = "std::map<std::string, std::vector<std::pair<std::string, std::unique_ptr<app::user>>>>";
    CHECK(type_name<inner>() == name);
    CHECK(type_name<outer(const outer&, std::function<outer(outer)>)>().size() > 1000);
    CHECK(type_name<outer>() == "std::map<std::string, std::vector<std::pair<" + name +
                                    ", std::unique_ptr<std::map<std::string_view, " + name + ">>>>>");
}

TEST_CASE("Types of one module are equal if they are the same type, whatever their names") {
    CHECK(identity_of<int>() == identity_of<int>());
    CHECK_FALSE(identity_of<int>() == identity_of<long>());
    CHECK_FALSE(identity_of<app::any_value<3>>() == identity_of<app::any_value<3u>>());
    CHECK_FALSE(identity_of<app::of_role<app::user::role(0)>>() == identity_of<app::of_role<app::user::role(1)>>());
    // Clang gives these two the same name.
    CHECK_FALSE(identity_of<local>() == identity_of<decltype(app::make_local())>());
    CHECK_FALSE(identity_of<std::vector<local>>() == identity_of<std::vector<decltype(app::make_local())>>());
    // GCC gives these two the same name.
    const auto first = [] {};
    const auto second = [] {};
    CHECK(identity_of<decltype(first)>() == identity_of<decltype(first)>());
    CHECK_FALSE(identity_of<decltype(first)>() == identity_of<decltype(second)>());
}

TEST_CASE("Types of two modules are equal if their names are, except for types that exist in one module only") {
    using ext::detail::type_identity;
    const int other_module = 0, other_type = 0;
    CHECK(identity_of<int>().local == nullptr);
    CHECK(identity_of<std::string>() == type_identity{"std::string", nullptr, &other_module});
    CHECK_FALSE(identity_of<std::string>() == type_identity{"std::wstring", nullptr, &other_module});
    const auto lambda = [] {};
    for (const type_identity* identity :
         {&identity_of<hidden>(), &identity_of<std::vector<hidden>>(), &identity_of<int(const hidden*)>(),
          &identity_of<app::any_value<choice::yes>>(), &identity_of<decltype(lambda)>(),
          &identity_of<std::array<decltype(lambda), 2>>(), &identity_of<decltype(lambda_of_no_function)>()}) {
        CAPTURE(identity->name);
        CHECK(identity->local != nullptr);
        CHECK_FALSE(*identity == type_identity{identity->name, &other_type, &other_module});
        CHECK_FALSE(*identity == type_identity{identity->name, nullptr, &other_module});
    }
}
