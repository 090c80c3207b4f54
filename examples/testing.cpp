// Tests code that charges money and sends mail. Spies run in place of these functions, without an
// interface or a mock class. From the project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/testing.cpp -o testing && ./testing

#include <extensible/extensible.hpp>
#include <extensible/hooks/spy.hpp>

#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

using ext::hooks::spy;

// ---- The application, which knows nothing of tests: a shop ----------------------------------------------------------

namespace shop {

ext::extensible charge{"billing.charge", [](std::string_view account, int cents) -> bool {
    throw std::logic_error("would charge " + std::string(account) + " " + std::to_string(cents) + " cents for real");
}};

ext::extensible send_mail{"mail.send", [](const std::string& account, const std::string&) {
    throw std::logic_error("would send a mail to " + account);
}};

// Charges the account, a second time if the bank does not answer, and sends the customer a mail.
// Returns whether the account was charged.
bool buy(const std::string& account, int cents) {
    bool paid = false;
    try {
        paid = charge(account, cents);
    } catch (const std::runtime_error&) {
        paid = charge(account, cents);
    }
    send_mail(account, paid ? "thank you" : "sorry");
    return paid;
}

}  // namespace shop

// ---- The tests ------------------------------------------------------------------------------------------------------

// Stands in for a test framework. In Catch2 it would be `INFO(seen); CHECK(holds);`, in GoogleTest
// `EXPECT_TRUE(holds) << seen;`.
int failures = 0;
void check(const char* claim, bool holds, const auto&... seen) {
    std::cout << (holds ? "ok      " : "FAILED  ") << claim << '\n';
    if (holds) return;
    ++failures;
    ((std::cout << seen << '\n'), ...);
}

// `.this_thread` limits a spy to the thread of its test, if tests run on several threads. The spy
// is removed at the end of its scope.
void test_that_a_sale_is_charged_once() {
    spy charged{shop::charge, {.this_thread = true}};
    spy mailed{shop::send_mail, {.this_thread = true}};
    charged.returns(true);
    mailed.returns();

    check("a sale is paid", shop::buy("ann", 250));
    check("it is charged once", charged.count() == 1 && charged.count("ann", 250) == 1, charged);
    check("the customer is thanked", mailed.count("ann", "thank you") == 1, mailed);
}

void test_that_a_bank_is_asked_again() {
    spy charged{shop::charge, {.this_thread = true}};
    spy mailed{shop::send_mail, {.this_thread = true}};
    charged.throws(std::runtime_error("no answer")).then_returns(false);
    mailed.returns();

    check("a sale that is declined is not paid", !shop::buy("bob", 100));
    check("the bank is asked again", charged.count("bob", 100) == 2, charged);
    check("the first failure was the bank's", charged.at(0).exception != nullptr, charged);
    check("the customer is told", mailed.count("bob", "sorry") == 1, mailed);
}

// A check that fails on purpose, to show what the spy prints then.
void show_a_failure() {
    spy charged{shop::charge};
    spy mailed{shop::send_mail};
    charged.throws(std::runtime_error("no answer")).then_returns(true);
    mailed.returns();
    shop::buy("eve", 999);
    check("the bank is asked three times", charged.count() == 3, charged);
}

int main() {
    test_that_a_sale_is_charged_once();
    test_that_a_bank_is_asked_again();
    if (failures != 0) return 1;
    show_a_failure();
}
