// Making processes: what a program started by px_spawn has and has not, and what comes back when it cannot be started.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/px_handoff.h"
#include "test.h"

static const char *const empty_environment[] = {NULL};

static void spawn_shell(const char *script, const int32_t *inherit, uint32_t count, int32_t *pid, int32_t *pidfd) {
    const char *argv[] = {"sh", "-c", script, NULL};
    struct px_spawn_spec spec = {.path = "/bin/sh", .argv = argv, .envp = empty_environment, .inherit = inherit, .inherit_count = count};
    struct px_detail detail;
    ASSERT_OK(px_spawn(&spec, pid, pidfd, &detail));
}

static int await_exit(int32_t pid, int32_t pidfd) {
    int32_t reaped, code, term_signal;
    WAIT_FD(pidfd, POLLIN, 5000, "the child's end");
    ASSERT_EQ(px_reap(pid, &reaped, &code, &term_signal), 1);
    ASSERT_EQ(reaped, pid);
    ASSERT_EQ(term_signal, 0);
    close(pidfd);
    return code;
}

static void read_all(int fd, char *text, size_t size) {
    size_t length = 0;
    ssize_t n;
    while ((n = read(fd, text + length, size - 1 - length)) > 0) length += (size_t)n;
    text[length] = '\0';
}

TEST(spawn_passes_descriptors_that_overlap) {
    int32_t pid, pidfd;
    char text[64];
    int a[2], b[2];
    ASSERT_CALL(pipe2(a, O_CLOEXEC));
    ASSERT_CALL(pipe2(b, O_CLOEXEC));
    int32_t exchanged[] = {a[1], b[1], b[1], a[1]};  // each stands where the other goes
    char script[96];
    snprintf(script, sizeof script, "printf B >&%d; printf A >&%d", a[1], b[1]);
    if (a[1] > 9 || b[1] > 9) SKIP("a shell knows descriptors 0 to 9");
    spawn_shell(script, exchanged, 2, &pid, &pidfd);
    close(a[1]);
    close(b[1]);
    ASSERT_EQ(await_exit(pid, pidfd), 0);
    read_all(a[0], text, sizeof text);
    ASSERT_STR(text, "A");
    read_all(b[0], text, sizeof text);
    ASSERT_STR(text, "B");
}

TEST(spawn_closes_everything_else) {
    int32_t pid, pidfd;
    char text[512];
    int out[2];
    ASSERT_CALL(pipe2(out, O_CLOEXEC));
    for (int i = 0; i < 50; i++) ASSERT_CALL(open("/dev/null", O_RDONLY));  // not close-on-exec
    int32_t inherit[] = {out[1], 1, out[1], 40};
    const char *argv[] = {"ls", "/proc/self/fd", NULL};
    struct px_spawn_spec spec = {.path = "/bin/ls", .argv = argv, .envp = empty_environment, .inherit = inherit, .inherit_count = 2};
    struct px_detail detail;
    ASSERT_OK(px_spawn(&spec, &pid, &pidfd, &detail));
    close(out[1]);
    read_all(out[0], text, sizeof text);
    ASSERT_STR(text, "0\n1\n2\n3\n40\n");  // 3 is the directory that ls reads
    ASSERT_EQ(await_exit(pid, pidfd), 0);
}

TEST(spawn_resets_signals) {
    int32_t pid, pidfd;
    char text[2048];
    int out[2];
    sigset_t all;
    sigfillset(&all);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigprocmask(SIG_BLOCK, &all, NULL);
    ASSERT_CALL(pipe2(out, O_CLOEXEC));
    int32_t inherit[] = {out[1], 1};
    const char *argv[] = {"grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status", NULL};
    struct px_spawn_spec spec = {.path = "/bin/grep", .argv = argv, .envp = empty_environment, .inherit = inherit, .inherit_count = 1};
    struct px_detail detail;
    ASSERT_OK(px_spawn(&spec, &pid, &pidfd, &detail));
    close(out[1]);
    read_all(out[0], text, sizeof text);
    ASSERT_CONTAINS(text, "SigBlk:\t0000000000000000");
    ASSERT_CONTAINS(text, "SigIgn:\t0000000000000000");
    ASSERT_EQ(await_exit(pid, pidfd), 0);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    ASSERT_TRUE(sigismember(&now, SIGTERM));  // ours are as they were
}

TEST(spawn_makes_a_session_when_asked) {
    int32_t pid, pidfd;
    const char *argv[] = {"sh", "-c", "exec sleep 5", NULL};
    struct px_spawn_spec spec = {.path = "/bin/sh", .argv = argv, .envp = empty_environment, .new_session = true};
    struct px_detail detail;
    ASSERT_OK(px_spawn(&spec, &pid, &pidfd, &detail));
    ASSERT_EQ(getsid(pid), pid);
    ASSERT_OK(px_pidfd_signal(pidfd, SIGKILL));
    WAIT_FD(pidfd, POLLIN, 5000, "the child's end");
    int32_t reaped, code, term_signal;
    ASSERT_EQ(px_reap(-1, &reaped, &code, &term_signal), 1);
    ASSERT_EQ(reaped, pid);
    ASSERT_EQ(term_signal, SIGKILL);
    ASSERT_EQ(px_pidfd_signal(pidfd, SIGKILL), -ESRCH);
    ASSERT_EQ(px_reap(pid, &reaped, &code, &term_signal), -ECHILD);
}

TEST(spawn_reports_what_cannot_be_executed) {
    int before = test_open_descriptors();
    int32_t pid, pidfd;
    const char *argv[] = {"x", NULL};
    struct px_spawn_spec spec = {.path = "/nowhere/x", .argv = argv, .envp = empty_environment};
    struct px_detail detail;
    ASSERT_EQ(px_spawn(&spec, &pid, &pidfd, &detail), -ENOENT);
    ASSERT_STR(detail.call, "execve");
    ASSERT_STR(detail.object, "/nowhere/x");
    ASSERT_EQ(detail.code, -ENOENT);
    ASSERT_EQ(pidfd, -1);
    spec.path = "/etc/passwd";
    ASSERT_EQ(px_spawn(&spec, &pid, &pidfd, &detail), -EACCES);
    ASSERT_EQ(waitpid(-1, NULL, WNOHANG), -1);  // nothing left to reap
    ASSERT_EQ(errno, ECHILD);
    ASSERT_EQ(test_open_descriptors(), before);
}

TEST(spawn_reports_bad_descriptors) {
    int before = test_open_descriptors();
    int32_t pid, pidfd;
    const char *argv[] = {"true", NULL};
    int32_t twice[] = {0, 5, 1, 5}, closed[] = {77, 5}, negative[] = {-1, 5}, largest[] = {0, INT32_MAX};
    struct px_spawn_spec spec = {.path = "/bin/true", .argv = argv, .envp = empty_environment, .inherit = twice, .inherit_count = 2};
    struct px_detail detail;
    ASSERT_EQ(px_spawn(&spec, &pid, &pidfd, &detail), -EINVAL);
    spec.inherit = closed;
    spec.inherit_count = 1;
    ASSERT_EQ(px_spawn(&spec, &pid, &pidfd, &detail), -EBADF);
    ASSERT_STR(detail.call, "dup2");
    spec.inherit = negative;
    ASSERT_EQ(px_spawn(&spec, &pid, &pidfd, &detail), -EBADF);
    spec.inherit = largest;
    ASSERT_EQ(px_spawn(&spec, &pid, &pidfd, &detail), -EBADF);
    ASSERT_STR(detail.call, "inherit");
    ASSERT_EQ(test_open_descriptors(), before);
}

static void spawn_over_the_process_limit(void) {
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    ASSERT_CALL(setgid(54321));
    ASSERT_CALL(setuid(54321));  // root is exempt
    ASSERT_CALL(setrlimit(RLIMIT_NPROC, &none));
    int32_t pid, pidfd;
    const char *argv[] = {"true", NULL};
    struct px_spawn_spec spec = {.path = "/bin/true", .argv = argv, .envp = empty_environment};
    struct px_detail detail;
    ASSERT_EQ(px_spawn(&spec, &pid, &pidfd, &detail), -EAGAIN);
    ASSERT_STR(detail.call, "fork");
    _exit(0);
}

TEST(spawn_reports_a_process_limit) {
    int status;
    if (getuid() != 0) SKIP("needs root to become another user");
    pid_t pid = (pid_t)ASSERT_CALL(fork());
    if (pid == 0) spawn_over_the_process_limit();
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
}
