#pragma once

// Lets a test replace the answers of a stand-in, even while the server's threads answer requests.

#include "secrets/server.hpp"

#include <functional>
#include <mutex>
#include <optional>
#include <utility>

namespace fake {

template <class... Arguments>
class replacement {
public:
    using function = std::function<std::optional<answer>(Arguments...)>;

    replacement& operator=(function answers) {
        const std::lock_guard lock(mutex_);
        answers_ = std::move(answers);
        return *this;
    }

    // Nothing if the stand-in should give its usual answer.
    std::optional<answer> operator()(Arguments... asked) const {
        std::unique_lock lock(mutex_);
        const function answers = answers_;
        lock.unlock();  // the function may wait for requests of other threads
        return answers ? answers(asked...) : std::nullopt;
    }

private:
    mutable std::mutex mutex_;
    function answers_;
};

}  // namespace fake
