// fork and exec, in C because nothing between the two may allocate, lock or run Swift.
//
// Not vfork: it would hold the calling thread inside the kernel until the program is loaded, without a deadline. The child
// gets a copy of this process's memory and uses nothing but system calls on it. Steps in the child: signals to default,
// setsid, descriptors to their places, everything else close-on-exec, exec. What fails comes back over a close-on-exec pipe as
// (step, errno); the end of that pipe without a word is a successful exec.
//
// Threads: any; all signals are blocked in the calling thread until the child is made, so that no handler of ours runs there.
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log_ring.h"
#include "include/px_handoff.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4u  // Linux 5.11
#endif

enum { EXEC_WAIT_MS = 10000, INHERIT_MAX = 4096, STDERR = 2 };

enum step { STEP_NONE, STEP_SETSID, STEP_DUP, STEP_CLOSE, STEP_EXEC };
static const char *const step_names[] = {"fork", "setsid", "dup2", "close_range", "execve"};

struct failure {
    int32_t step;
    int32_t error;
};

// One descriptor on its way: from `from` over `parked`, out of everybody's way, to `to`.
struct mapping {
    int32_t from;
    int32_t parked;
    int32_t to;
};

struct child_plan {
    const struct px_spawn_spec *spec;
    struct mapping *mappings;  // sorted by `to`
    uint32_t count;
    int32_t park_above;  // the first number above all targets
    int32_t report_fd;
};

// ---- in the child: system calls alone -----------------------------------------------------------------------------------------

static void report_and_exit(int fd, enum step step, int error) {
    struct failure failure = {.step = step, .error = error};
    (void)!write(fd, &failure, sizeof failure);
    _exit(127);
}

// By the system call: the C library's sigaction() refuses the two signals it keeps for its own threads, which a parent may have
// ignored all the same.
static void reset_signals(void) {
    const struct {
        void *handler;
        unsigned long flags, restorer, mask;
    } standard = {0};  // SIG_DFL; struct kernel_sigaction, on aarch64 without the restorer
    enum { MASK_BYTES = 8 };
    for (int signal = 1; signal < NSIG; signal++) syscall(SYS_rt_sigaction, signal, &standard, NULL, MASK_BYTES);  // EINVAL for some
}

// Targets may be sources of others (a and b exchanged), so all sources are first copied above all targets.
static int place_descriptors(struct child_plan *plan) {
    for (uint32_t i = 0; i < plan->count; i++) {
        plan->mappings[i].parked = fcntl(plan->mappings[i].from, F_DUPFD_CLOEXEC, plan->park_above);
        if (plan->mappings[i].parked < 0) return errno;
    }
    for (uint32_t i = 0; i < plan->count; i++)
        if (dup2(plan->mappings[i].parked, plan->mappings[i].to) < 0) return errno;
    return 0;
}

static void set_cloexec_one_by_one(uint32_t first, uint32_t last) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && last >= limit.rlim_cur) last = (uint32_t)limit.rlim_cur;
    for (uint32_t fd = first; fd <= last; fd++) fcntl((int)fd, F_SETFD, FD_CLOEXEC);
}

// Close-on-exec, not closed: the report pipe must live until exec has succeeded.
static void set_cloexec(uint32_t first, uint32_t last) {
    if (first > last) return;
    if (syscall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) < 0) set_cloexec_one_by_one(first, last);
}

static void set_cloexec_between_targets(const struct child_plan *plan) {
    uint32_t next = STDERR + 1;
    for (uint32_t i = 0; i < plan->count; i++) {
        uint32_t to = (uint32_t)plan->mappings[i].to;
        if (to < next) continue;
        set_cloexec(next, to - 1);
        next = to + 1;
    }
    set_cloexec(next, ~0u);
}

static void run_child(struct child_plan *plan) {
    sigset_t none;
    // The pipe must not stand where a target goes.
    int report_fd = fcntl(plan->report_fd, F_DUPFD_CLOEXEC, plan->park_above);
    if (report_fd < 0) report_and_exit(plan->report_fd, STEP_DUP, errno);
    reset_signals();
    if (plan->spec->new_session && setsid() < 0) report_and_exit(report_fd, STEP_SETSID, errno);
    int error = place_descriptors(plan);
    if (error) report_and_exit(report_fd, STEP_DUP, error);
    set_cloexec_between_targets(plan);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(plan->spec->path, (char *const *)plan->spec->argv, (char *const *)plan->spec->envp);
    report_and_exit(report_fd, STEP_EXEC, errno);
}

// ---- in the parent --------------------------------------------------------------------------------------------------------------

static int by_target(const void *a, const void *b) {
    const struct mapping *x = a, *y = b;
    return x->to < y->to ? -1 : x->to > y->to;
}

static int plan_mappings(const struct px_spawn_spec *spec, struct child_plan *plan) {
    if (spec->inherit_count > INHERIT_MAX) return -EINVAL;
    plan->mappings = calloc(spec->inherit_count + 1, sizeof *plan->mappings);
    if (!plan->mappings) return -ENOMEM;
    plan->count = spec->inherit_count;
    plan->park_above = STDERR + 1;
    for (uint32_t i = 0; i < plan->count; i++) {
        plan->mappings[i] = (struct mapping){.from = spec->inherit[2 * i], .to = spec->inherit[2 * i + 1], .parked = -1};
        // INT32_MAX has no number above it to park descriptors at.
        if (plan->mappings[i].from < 0 || plan->mappings[i].to < 0 || plan->mappings[i].to == INT32_MAX) return -EBADF;
        if (plan->mappings[i].to >= plan->park_above) plan->park_above = plan->mappings[i].to + 1;
    }
    qsort(plan->mappings, plan->count, sizeof *plan->mappings, by_target);
    for (uint32_t i = 1; i < plan->count; i++)
        if (plan->mappings[i].to == plan->mappings[i - 1].to) return -EINVAL;
    return 0;
}

// fork() that also gives a pidfd. The raw call runs no atfork handlers, and the child needs none.
static pid_t fork_with_pidfd(int32_t *pidfd) {
    struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD};
    *pidfd = -1;
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid >= 0 || (errno != ENOSYS && errno != EPERM && errno != EINVAL)) return (pid_t)pid;
    pid = fork();  // no clone3: before Linux 5.3, or refused by a seccomp filter
    if (pid > 0) *pidfd = px_pidfd_open((int32_t)pid);  // not reaped yet, so the pid is still its own
    if (*pidfd < 0) *pidfd = -1;
    return (pid_t)pid;
}

static pid_t make_child(struct child_plan *plan, int32_t *pidfd) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork_with_pidfd(pidfd);
    if (pid == 0) run_child(plan);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid < 0 ? -error : pid;
}

static int64_t now_ms(void) {
    return (int64_t)(px_clock_monotonic_ns() / 1000000);
}

// 0: exec has succeeded (or the child was killed before it, which its pidfd tells). Else what failed.
static struct failure await_exec(int fd) {
    struct failure failure = {0};
    int64_t deadline = now_ms() + EXEC_WAIT_MS;
    for (;;) {
        struct pollfd report = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - now_ms();
        int ready = left > 0 ? poll(&report, 1, (int)left) : 0;
        if (ready == 0) return (struct failure){.step = STEP_EXEC, .error = ETIMEDOUT};
        if (ready < 0) continue;
        ssize_t n = read(fd, &failure, sizeof failure);
        if (n < 0 && errno == EINTR) continue;
        return n == (ssize_t)sizeof failure ? failure : (struct failure){0};
    }
}

static void end_child(pid_t pid, int32_t *pidfd) {
    // Without a pidfd: ours, and reaped by nobody else unless SIGCHLD is ignored, so the pid is still its own.
    if (*pidfd < 0 || px_pidfd_signal(*pidfd, SIGKILL) == -ENOSYS) kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    if (*pidfd >= 0) close(*pidfd);
    *pidfd = -1;
}

int px_spawn(const struct px_spawn_spec *spec, int32_t *pid, int32_t *pidfd, struct px_detail *detail) {
    struct child_plan plan = {.spec = spec};
    struct failure failure;
    int report[2] = {-1, -1};
    *pid = -1;
    *pidfd = -1;
    int code = plan_mappings(spec, &plan);
    if (code < 0) {
        px_fail(detail, code, "inherit", spec->path, "descriptors to pass are not usable as given");
        goto done;
    }
    if (pipe2(report, O_CLOEXEC) < 0) {
        code = px_fail(detail, -errno, "pipe2", spec->path, "%s", "");
        goto done;
    }
    plan.report_fd = report[1];
    pid_t child = make_child(&plan, pidfd);
    close(report[1]);
    if (child < 0) {
        code = px_fail(detail, child, "fork", spec->path, "%s", "");
        goto done;
    }
    failure = await_exec(report[0]);
    if (failure.error) {
        end_child(child, pidfd);
        code = px_fail(detail, -failure.error, step_names[failure.step], spec->path, "%s", "");
    } else {
        *pid = child;
    }
done:
    if (report[0] >= 0) close(report[0]);
    free(plan.mappings);
    return code;
}
