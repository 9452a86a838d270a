// Other processes, held by pidfd so that a signal never meets a recycled pid.
//
// Threads: any; no state.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/px_handoff.h"

// By number: the wrappers came with glibc 2.36 only, and all architectures share these numbers.
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

int px_pidfd_open(int32_t pid) {
    if (pid <= 0) return -ESRCH;  // 0: the peer is in a pid namespace we cannot see into
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

// Whether it has ended and nobody has reaped it yet. Its state follows its name, which may hold anything but is in brackets (proc(5)).
static bool is_zombie(int32_t pid) {
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0) close(fd);
    const char *end = n > 0 ? memrchr(text, ')', (size_t)n) : NULL;
    return end && end + 2 < text + n && (end[2] == 'Z' || end[2] == 'X');
}

bool px_process_is_running(int32_t pid) {
    int pidfd = px_pidfd_open(pid);
    if (pidfd == -ESRCH) return false;
    if (pidfd < 0) return (kill(pid, 0) == 0 || errno != ESRCH) && !is_zombie(pid);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    bool running = poll(&ended, 1, 0) != 1;
    close(pidfd);
    return running;
}

int px_pidfd_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int px_reap(int32_t pid, int32_t *reaped, int32_t *exit_code, int32_t *term_signal) {
    int status = 0;
    *reaped = 0;
    *exit_code = 0;
    *term_signal = 0;
    pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended < 0) return -errno;
    if (ended == 0) return 0;
    *reaped = ended;
    if (WIFSIGNALED(status)) *term_signal = WTERMSIG(status);
    else *exit_code = WEXITSTATUS(status);
    return 1;
}
