// Threads call a function while hooks are registered and removed, on a system that refuses
// membarrier(). Each call then needs a fence. If membarrier() is refused only later, after calls
// without fences, the program terminates. Linux only.
#include <extensible/extensible.hpp>

#if defined(__linux__)
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <exception>
#include <memory>
#include <thread>

namespace {

enum : int { went_on, ended, went_wrong };

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

// The exit status of a process that registers a hook, calls the function, loses membarrier(), and
// then removes the hook.
int status_where_refused_later() {
    const pid_t child = fork();
    if (child == 0) {
        std::set_terminate([] { _exit(ended); });
        ext::extensible f{"membarrier.later", [](int x) { return x; }};
        ext::hook hook = f.on_start([](auto&) {});
        f(1);
        if (!forbid_membarrier()) _exit(went_wrong);
        hook.remove();
        _exit(went_on);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : went_wrong;
}

bool has_membarrier() {
#ifdef EXTENSIBLE_NO_PROCESS_BARRIER
    return false;
#else
    return syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
}

}  // namespace

int main() {
    if (status_where_refused_later() != (has_membarrier() ? ended : went_on)) return 1;
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
