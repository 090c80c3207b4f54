#pragma once

// The latch with which threads of a test wait for each other: std::latch, unless that may hang.

#include <cstddef>

#if defined(__MINGW32__)  // its std::latch uses std::atomic::wait, which may miss notifications
#include <condition_variable>
#include <mutex>

namespace tests {

class latch {
public:
    explicit latch(std::ptrdiff_t expected) : left_(expected) {}
    void count_down() {
        const std::lock_guard lock(mutex_);
        if (--left_ == 0) changed_.notify_all();
    }
    bool try_wait() const {
        const std::lock_guard lock(mutex_);
        return left_ == 0;
    }
    void wait() const {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return left_ == 0; });
    }
    void arrive_and_wait() {
        count_down();
        wait();
    }

private:
    std::ptrdiff_t left_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
};

}  // namespace tests

#else
#include <latch>

namespace tests {
using std::latch;
}
#endif
