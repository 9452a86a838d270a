// Whether a process runs, also where no pidfd can be had.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/px_handoff.h"
#include "test.h"

// A child that waits for its end, and one that has ended and is not reaped.
static pid_t living(void) {
    pid_t pid = fork();
    ASSERT_CALL(pid);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    return pid;
}

static pid_t ended(void) {
    siginfo_t info;
    pid_t pid = fork();
    ASSERT_CALL(pid);
    if (pid == 0) _exit(0);
    ASSERT_CALL(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    return pid;
}

static void reap(pid_t pid) {
    kill(pid, SIGKILL);
    ASSERT_CALL(waitpid(pid, NULL, 0));
}

static void deny_pidfds(int error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 434, 0, 1),  // pidfd_open
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    ASSERT_CALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    ASSERT_CALL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void expect_both_told_apart(void) {
    pid_t lives = living(), dead = ended();
    ASSERT_TRUE(px_process_is_running(lives));
    ASSERT_FALSE(px_process_is_running(dead));
    reap(lives);
    reap(dead);
    ASSERT_FALSE(px_process_is_running(lives));
}

TEST(processes_that_run_and_that_have_ended_are_told_apart) {
    expect_both_told_apart();
}

TEST(processes_are_told_apart_where_pidfds_are_denied) {
    deny_pidfds(EPERM);
    ASSERT_EQ(px_pidfd_open(getpid()), -EPERM);
    expect_both_told_apart();
}

TEST(a_living_process_is_not_taken_for_dead_for_want_of_a_descriptor) {
    struct rlimit none;
    int last = -1;
    pid_t lives = living();
    ASSERT_CALL(getrlimit(RLIMIT_NOFILE, &none));
    none.rlim_cur = 64;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &none));
    for (int fd; (fd = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0;) last = fd;
    ASSERT_EQ(px_pidfd_open(lives), -EMFILE);
    ASSERT_TRUE(px_process_is_running(lives));
    reap(lives);
    ASSERT_FALSE(px_process_is_running(lives));
    close(last);  // the leak checker needs one
}
