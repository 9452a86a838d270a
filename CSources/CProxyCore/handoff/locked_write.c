// Whole lines to a file that several generations write.
//
// The lock keeps lines whole between generations; it never keeps anybody from writing. A holder that is stopped is waited for
// once, up to the time-out, then lines are written without it until it lets go: O_APPEND with one write() is nearly always whole anyway. A
// holder that died may have left part of a line (a fatal signal ends a long write() in the middle), which is ended first.
//
// Threads: any but a worker: this waits.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
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

// Returns whether we hold it. `*owner_died`: the one before us did not let go by itself. A holder that does not move is waited for once:
// until we have had the lock again, we only look whether it is free.
static bool lock_within(px_control_block *block, enum px_lock which, uint32_t timeout_ms, bool *owner_died) {
    pthread_mutex_t *mutex = &block->shared->locks[which].mutex;
    _Atomic bool *is_stuck = &block->is_stuck[which];
    int error = pthread_mutex_trylock(mutex);
    if (error == EBUSY && timeout_ms > 0 && !atomic_load_explicit(is_stuck, memory_order_relaxed)) {
        struct timespec deadline = deadline_after(timeout_ms);
        error = pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &deadline);
        if (error == ETIMEDOUT) atomic_store_explicit(is_stuck, true, memory_order_relaxed);
    }
    *owner_died = error == EOWNERDEAD;
    // Should this fail, the lock is gone for good and everybody writes without it.
    if (error == EOWNERDEAD) pthread_mutex_consistent(mutex);
    if (error != 0 && error != EOWNERDEAD) return false;
    atomic_store_explicit(is_stuck, false, memory_order_relaxed);
    return true;
}

// Waits for room until `deadline_ns`. A signal is no reason to give up.
static int await_room(int fd, uint64_t deadline_ns) {
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    for (;;) {
        uint64_t now_ns = px_clock_monotonic_ns();
        uint64_t left_ms = now_ns < deadline_ns ? (deadline_ns - now_ns + 999999) / 1000000 : 0;
        int ready = poll(&room, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
        if (ready > 0) return 0;
        if (ready == 0 && left_ms == 0) return -EAGAIN;
        if (ready < 0 && errno != EINTR) return -errno;
    }
}

// As many whole lines as a pipe with any room at all takes without blocking, and in one piece (PIPE_BUF, pipe(7)).
static size_t piece_of(const char *bytes, size_t length) {
    if (length <= PIPE_BUF) return length;
    const char *end = memrchr(bytes, '\n', PIPE_BUF);
    return end ? (size_t)(end - bytes) + 1 : PIPE_BUF;
}

// One deadline for the whole, or a reader that takes a little now and then would hold us for ever. A pipe or terminal that
// nobody reads would block the write itself, so room is awaited first; a file never blocks so, and gets all in one write.
static int write_all(int fd, const char *bytes, size_t length, uint32_t timeout_ms) {
    struct stat status;
    uint64_t deadline_ns = px_clock_monotonic_ns() + timeout_ms * UINT64_C(1000000);
    bool may_block = fstat(fd, &status) == 0 && !S_ISREG(status.st_mode);
    while (length > 0) {
        int code = may_block ? await_room(fd, deadline_ns) : 0;
        if (code < 0) return code;
        ssize_t n = write(fd, bytes, may_block ? piece_of(bytes, length) : length);
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
            continue;
        }
        if (n == 0) return -EIO;  // no kernel file does this; it must not become a loop
        if (errno == EINTR || (errno == EAGAIN && may_block)) continue;
        return -errno;
    }
    return 0;
}

int px_locked_write(int fd, px_control_block *block, enum px_lock which, const void *bytes, size_t length, uint32_t timeout_ms) {
    int code = 0;
    if (!block) return write_all(fd, bytes, length, timeout_ms);
    struct px_control_lock *lock = &block->shared->locks[which];
    bool owner_died = false;
    bool held = lock_within(block, which, timeout_ms, &owner_died);
    bool partial = atomic_exchange_explicit(&lock->line_is_partial, 0, memory_order_relaxed) != 0;
    // No room for the newline: then the line must not follow either, should room be found in between.
    if (owner_died || partial) code = px_end_partial_line(fd);
    if (code == 0) code = write_all(fd, bytes, length, timeout_ms);
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
    // A byte that cannot be read may be half a line's; an empty line too many is better than a torn one.
    if (read_last_byte(fd, status.st_size, &last) != 1) last = '?';
    return last == '\n' ? 0 : write_all(fd, "\n", 1, 0);
}
