#pragma once

// How does a test have a stand-in answer otherwise than it would, and change that while the server's threads ask?

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

    // Nothing where the stand-in answers as ever.
    std::optional<answer> operator()(Arguments... asked) const {
        std::unique_lock lock(mutex_);
        const function answers = answers_;
        lock.unlock();  // it may wait for other threads that ask
        return answers ? answers(asked...) : std::nullopt;
    }

private:
    mutable std::mutex mutex_;
    function answers_;
};

}  // namespace fake
