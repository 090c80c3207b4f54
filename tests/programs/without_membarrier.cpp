// Threads call while hooks come and go, on a system that refuses membarrier(): calls then take a fence each. Linux only.
#include <extensible/extensible.hpp>

#if defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <thread>

namespace {

bool forbid_membarrier() {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
           syscall(__NR_membarrier, 0, 0, 0) == -1 && errno == ENOSYS;
}

}  // namespace

int main() {
    if (!forbid_membarrier()) return 1;
    ext::extensible f{"membarrier.f", [](int x) { return x; }};
    std::atomic<bool> stop{false};
    std::atomic<int> failures{0};
    const auto caller = [&] {
        while (!stop)
            if (f(1) != 1) ++failures;
    };
    std::thread one(caller), two(caller);
    for (int round = 0; round < 2000; ++round) {
        auto state = std::make_shared<std::atomic<bool>>(true);
        std::weak_ptr<std::atomic<bool>> watch = state;
        ext::hook hook = f.on_start([state = std::move(state), &failures](auto&) {
            if (!state->load()) ++failures;
        });
        if (round % 2) f.on_start([](auto&) {}).remove();
        hook.remove_and_wait();
        if (!watch.expired()) ++failures;
    }
    stop = true;
    one.join();
    two.join();
    return failures == 0 ? 0 : 1;
}
#else
int main() {}
#endif
