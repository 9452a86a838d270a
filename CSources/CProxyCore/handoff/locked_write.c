// Whole lines to a file that several generations write.
//
// The lock keeps lines whole between generations; it never keeps anybody from writing. A holder that is stopped is waited for
// once, up to the time-out, then lines are written without it: O_APPEND with one write() is nearly always whole anyway. A
// holder that died may have left part of a line (a fatal signal ends a long write() in the middle), which is ended first.
//
// Threads: any but a worker: this waits.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "handoff/control_block.h"

enum { NANOSECONDS = 1000000000 };

static struct timespec deadline_after(uint32_t timeout_ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= NANOSECONDS) {
        at.tv_sec++;
        at.tv_nsec -= NANOSECONDS;
    }
    return at;
}

// Returns whether we hold it. `*owner_died`: the one before us did not let go by itself.
static bool lock_within(struct px_control_lock *lock, uint32_t timeout_ms, bool *owner_died) {
    int error = pthread_mutex_trylock(&lock->mutex);
    if (error == EBUSY) {
        struct timespec deadline = deadline_after(timeout_ms);
        error = pthread_mutex_clocklock(&lock->mutex, CLOCK_MONOTONIC, &deadline);
    }
    *owner_died = error == EOWNERDEAD;
    // Should this fail, the lock is gone for good and everybody writes without it.
    if (error == EOWNERDEAD) pthread_mutex_consistent(&lock->mutex);
    return error == 0 || error == EOWNERDEAD;
}

static int write_all(int fd, const char *bytes, size_t length, uint32_t timeout_ms) {
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n >= 0) {
            bytes += n;
            length -= (size_t)n;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return -errno;
        struct pollfd room = {.fd = fd, .events = POLLOUT};  // a pipe that somebody made non-blocking
        if (poll(&room, 1, (int)timeout_ms) <= 0) return -EAGAIN;
    }
    return 0;
}

int px_locked_write(int fd, px_control_block *block, enum px_lock which, const void *bytes, size_t length, uint32_t timeout_ms) {
    if (!block) return write_all(fd, bytes, length, timeout_ms);
    struct px_control_lock *lock = &block->shared->locks[which];
    bool owner_died = false;
    bool held = lock_within(lock, timeout_ms, &owner_died);
    bool partial = atomic_exchange_explicit(&lock->line_is_partial, 0, memory_order_relaxed) != 0;
    if (owner_died || partial) (void)!px_end_partial_line(fd);
    int code = write_all(fd, bytes, length, timeout_ms);
    if (code < 0) atomic_store_explicit(&lock->line_is_partial, 1, memory_order_relaxed);
    if (held) pthread_mutex_unlock(&lock->mutex);
    return code;
}

// A descriptor opened for writing alone cannot be read; the same file can be opened once more through /proc.
static ssize_t read_last_byte(int fd, off_t size, char *byte) {
    char path[40];
    ssize_t n = pread(fd, byte, 1, size - 1);
    if (n >= 0 || errno != EBADF) return n;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY | O_CLOEXEC);
    if (readable < 0) return -1;
    n = pread(readable, byte, 1, size - 1);
    close(readable);
    return n;
}

int px_end_partial_line(int fd) {
    struct stat status;
    char last = '\n';
    if (fstat(fd, &status) < 0) return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size == 0) return 0;
    if (read_last_byte(fd, status.st_size, &last) < 0) return -errno;
    return last == '\n' ? 0 : write_all(fd, "\n", 1, 0);
}
