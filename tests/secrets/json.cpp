// Our reader of JSON accepts the same texts as nlohmann-json, and reads the same values.
#include "catch.hpp"
#include "secrets/json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <regex>
#include <string>
#include <string_view>

namespace {

using secrets::json;

bool is_valid(const json& read) {
    return read.is_null() || read.is_array() || read.is_object() || read.is_text() ||
           !read.characters().empty();
}

bool is_same(const json& read, const nlohmann::json& expected) {
    if (expected.is_string()) return read.is_text() && read.characters() == expected.get<std::string>();
    if (expected.is_boolean()) return read.is_true() == expected.get<bool>();
    if (expected.is_number_integer()) {
        const auto number = secrets::number(&read);  // std::nullopt if it has more than 18 digits
        return !number || *number == expected.get<std::int64_t>();
    }
    if (expected.is_number()) return !read.characters().empty();
    if (expected.is_null()) return read.is_null();
    if (expected.is_array())
        return read.is_array() && std::equal(read.elements().begin(), read.elements().end(), expected.begin(),
                                             expected.end(), is_same);
    const auto has_item = [&](const auto& item) {
        const json* const found = secrets::member(&read, item.key());
        return found && is_same(*found, item.value());
    };
    return read.is_object() && std::all_of(expected.items().begin(), expected.items().end(), has_item);
}

// nlohmann-json refuses numbers that a double cannot hold, and we do not convert them.
bool may_have_a_huge_number(const std::string& text) {
    static const std::regex exponent("[0-9]e");
    return std::regex_search(text, exponent);
}

}  // namespace

TEST_CASE("JSON, valid or not, is read as nlohmann-json reads it") {
    const std::string_view seed = GENERATE(
        as<std::string_view>{},
        R"({"a":[1,2.5,-0,{"b":null}],"c":"x\u00e9\ud83d\ude00\n","d":true,"e":false})",
        R"({"data":{"data":{"key":"sk"},"metadata":{"deletion_time":""}}})",
        R"(["\"\\\/\b\f\n\r\t",{},[],""])", "-12.5", "\"text\"");
    constexpr std::string_view characters = "{}[]\",:0123456789.+-truefalsn\\ud8ca \n";
    std::mt19937 random(42);
    const auto below = [&](std::size_t limit) { return random() % limit; };
    for (int i = 0; i < 20000; ++i) {
        std::string text(seed);
        for (std::size_t changes = below(4); changes > 0; --changes) {
            const std::size_t at = below(text.size() + 1);
            if (below(2) == 0) text.insert(at, 1, characters[below(characters.size())]);
            else text.erase(at, below(3));
        }
        if (may_have_a_huge_number(text)) continue;
        CAPTURE(text);
        const auto expected = nlohmann::json::parse(text, nullptr, false);
        const json read = secrets::parse_json(text);
        REQUIRE(is_valid(read) == !expected.is_discarded());
        if (is_valid(read)) REQUIRE(is_same(read, expected));
    }
}
