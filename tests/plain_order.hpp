#pragma once

// The order in which hooks run: the rules of detail/registry/order.hpp, written as plainly as possible. The
// implementation starts from scratch each time, and is slow.

#include <algorithm>
#include <cstddef>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

/// The `before` and `after` of hooks form a cycle.
struct plain_order_cycle {};

/// Puts hooks of one phase in order. A Hook has `id`, `pattern`, `priority`, `before`, `after`,
/// `number`, `replaces` and `inherits_turn`, as a hook_record has them. Throws plain_order_cycle.
template <class Hook>
std::vector<Hook*> plain_order(const std::vector<Hook*>& hooks) {
    using turn = std::pair<int, unsigned long long>;
    const auto names = [](const auto& ids, const Hook& hook) {
        return !hook.id.empty() && std::find(ids.begin(), ids.end(), hook.id) != ids.end();
    };
    const std::size_t count = hooks.size();

    // Rule 1.
    std::vector<const Hook*> place(hooks.begin(), hooks.end());
    std::vector<turn> own(count);
    for (std::size_t i = 0; i != count; ++i) {
        for (const Hook* other : hooks)
            if (hooks[i]->inherits_turn && !other->replaces && other->id == hooks[i]->id &&
                other->pattern == hooks[i]->pattern)
                place[i] = other;
        own[i] = {place[i]->priority, place[i]->number};
    }

    // Rule 2, until nothing changes any more.
    std::vector<turn> taken = own;
    for (bool again = true; again;) {
        again = false;
        for (std::size_t i = 0; i != count; ++i)
            for (std::size_t j = 0; j != count; ++j)
                if (i != j && names(place[i]->before, *hooks[j]) && taken[j] < taken[i])
                    taken[i] = taken[j], again = true;
    }

    // Rules 3 and 4.
    std::vector<Hook*> order;
    std::vector<bool> has_run(count);
    while (order.size() != count) {
        const auto waits = [&](std::size_t i) {
            for (std::size_t j = 0; j != count; ++j)
                if (i != j && !has_run[j] && (names(place[i]->after, *hooks[j]) || names(place[j]->before, *hooks[i])))
                    return true;
            return false;
        };
        const auto rank = [&](std::size_t i) { return std::tuple(taken[i], own[i], hooks[i]->number); };
        std::size_t next = count;
        for (std::size_t i = 0; i != count; ++i)
            if (!has_run[i] && !waits(i) && (next == count || rank(i) < rank(next))) next = i;
        if (next == count) throw plain_order_cycle();
        has_run[next] = true;
        order.push_back(hooks[next]);
    }
    return order;
}
