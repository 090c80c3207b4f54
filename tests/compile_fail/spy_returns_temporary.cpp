// A view that a spy returns must not refer to a temporary.
// expect: can_be_returned
#include <extensible/extensible.hpp>
#include <extensible/hooks/spy.hpp>

#include <string>
#include <string_view>

inline void answer(ext::hooks::spy<std::string_view(int)>& spy) {
#ifdef FIXED
    static const std::string text = "yes";
    spy.returns(text);
#else
    spy.returns(std::string("yes"));
#endif
}
