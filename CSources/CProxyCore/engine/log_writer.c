// The thread that writes access logs, so that no worker ever waits for a disk.
//
// Owns every px_log_file's descriptor and spare buffer from create to destroy. Others talk to it through `lock` (numbers of requests
// asked and done) and one eventfd, which workers also touch when a buffer has grown to its minimum. Time spent in a write is the
// kernel's; what does not fit into a buffer meanwhile is dropped and counted by the workers (log_file.c).
#include "engine/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log_ring.h"

enum {
    LOCK_WAIT_MS = 200,       // for the other generation's lock, which a stopped process may hold
    PIPE_WAIT_MS = 1000,      // for a pipe's reader, per flush
    COMPLAIN_EVERY_S = 10,
};

// What only the thread knows about one file.
struct file_state {
    bool is_pipe;              // or a terminal or socket: not a regular file
    bool torn;                 // a write failed half-way: the file may end within a line
    uint64_t complained_ns;    // when a loss was last logged; 0: never
    uint64_t lost_lines, lost_bytes;  // since then
};

struct px_log_writer {
    struct px_log_writer_options options;
    struct file_state *states;
    pthread_t thread;
    bool started;
    int wake_fd;

    pthread_mutex_t lock;      // of all below
    pthread_cond_t done;
    uint64_t flush_asked, flush_done;
    bool reopen_asked;
    bool stopping;
};

static void count(const struct px_log_writer *writer, uint32_t cell, uint64_t delta) {
    if (writer->options.shard != NULL) px__cell_add(writer->options.shard, cell, delta);
}

// ---- opening ----------------------------------------------------------------------------------------------------------------

// O_NONBLOCK: a FIFO without a reader must not stop the start, nor a full one the flush at the end. For regular files it means nothing.
// Reading is wanted to see how the file ends; a file that may only be written is fine too. /dev/stdout that is a socket (as under
// systemd) cannot be opened again (ENXIO), but duplicated.
static int open_log(const char *path) {
    int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = open(path, O_RDWR | flags, 0644);
    if (fd < 0 && errno == EACCES) fd = open(path, O_WRONLY | flags, 0644);
    if (fd < 0 && errno == ENXIO && strcmp(path, "/dev/stdout") == 0) fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 && errno == ENXIO && strcmp(path, "/dev/stderr") == 0) fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    return fd >= 0 ? fd : -errno;
}

static void adopt_descriptor(struct px_log_file *file, struct file_state *state, int fd) {
    struct stat status;
    if (file->fd >= 0) close(file->fd);
    file->fd = fd;
    state->is_pipe = fstat(fd, &status) == 0 && !S_ISREG(status.st_mode);
    state->torn = false;
    if (!state->is_pipe) (void)!px_end_partial_line(fd);  // what a crashed generation left
}

static int open_fail(struct px_detail *detail, int code, const char *path) {
    const char *text = "";
    if (code == -ENOENT) text = "the directory does not exist";
    if (code == -EACCES || code == -EPERM) text = "this user may not write there";
    if (code == -EISDIR) text = "access_log needs a file, this is a directory";
    if (code == -EMFILE) text = "all file descriptors are in use; raise the limit (ulimit -n, LimitNOFILE=)";
    if (code == -EROFS) text = "the file system is read-only";
    return px_fail(detail, code, "open", path, "%s", text);
}

static void reopen_all(struct px_log_writer *writer) {
    for (uint32_t i = 0; i < writer->options.file_count; i++) {
        struct px_log_file *file = writer->options.files[i];
        int fd = open_log(file->path);
        if (fd >= 0) {
            adopt_descriptor(file, &writer->states[i], fd);
            continue;
        }
        count(writer, file->stats->reopen_failed, 1);
        px_log(PX_WARNING, "file", "access log %s could not be reopened (%s); writing goes on into the old file", file->path,
            px_error_name(fd));
    }
}

// ---- writing ----------------------------------------------------------------------------------------------------------------

// Lines lost are told at most every few seconds, with how many since.
static void complain(const struct px_log_file *file, struct file_state *state, const char *reason) {
    uint64_t now = px_clock_monotonic_ns();
    if (state->complained_ns != 0 && now - state->complained_ns < COMPLAIN_EVERY_S * 1000000000ull) return;
    px_log(PX_WARNING, "file",
        "access log %s: %s; lost since the last message: %llu lines that found the buffer full, %llu bytes that could not be written",
        file->path, reason, (unsigned long long)state->lost_lines, (unsigned long long)state->lost_bytes);
    state->complained_ns = now;
    state->lost_lines = state->lost_bytes = 0;
}

static int write_locked(struct px_log_writer *writer, int fd, const char *bytes, size_t length) {
    return px_locked_write(fd, writer->options.control, PX_LOCK_ACCESS_LOG, bytes, length, LOCK_WAIT_MS);
}

// Bytes of whole lines at `bytes`, at most PIPE_BUF, so that a non-blocking write takes all of them or none (pipe(7)). A line
// longer than that is one piece.
static size_t pipe_piece(const char *bytes, size_t length) {
    if (length <= PIPE_BUF) return length;
    const char *end = memrchr(bytes, '\n', PIPE_BUF);
    if (end == NULL) end = memchr(bytes, '\n', length);
    return end != NULL ? (size_t)(end - bytes) + 1 : length;
}

// Returns how much was written; `*result` says why not all.
static size_t write_pipe(struct px_log_writer *writer, int fd, const char *bytes, size_t length, int *result) {
    uint64_t give_up = px_clock_monotonic_ns() + PIPE_WAIT_MS * 1000000ull;
    size_t written = 0;
    *result = 0;
    while (written < length) {
        size_t piece = pipe_piece(bytes + written, length - written);
        *result = write_locked(writer, fd, bytes + written, piece);
        if (*result == 0) {
            written += piece;
            continue;
        }
        uint64_t now = px_clock_monotonic_ns();
        if (*result != -EAGAIN || now >= give_up) break;
        (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, (int)((give_up - now) / 1000000) + 1);
    }
    return written;
}

static size_t write_regular(
    struct px_log_writer *writer, int fd, struct file_state *state, const char *bytes, size_t length, int *result) {
    if (state->torn) (void)!px_end_partial_line(fd);
    *result = write_locked(writer, fd, bytes, length);
    state->torn = *result != 0;
    return *result == 0 ? length : 0;
}

static void write_file(struct px_log_writer *writer, uint32_t index, bool by_timer) {
    struct px_log_file *file = writer->options.files[index];
    struct file_state *state = &writer->states[index];
    char *bytes;
    uint64_t dropped;
    size_t length = px_log_file_take(file, &bytes, &dropped);
    state->lost_lines += dropped;
    if (length > 0) {
        int result;
        size_t written = state->is_pipe ? write_pipe(writer, file->fd, bytes, length, &result)
                                        : write_regular(writer, file->fd, state, bytes, length, &result);
        count(writer, result == 0 ? file->stats->write_completed : file->stats->write_failed, 1);
        count(writer, file->stats->write_total_buffered, -(uint64_t)length);
        if (by_timer) count(writer, file->stats->flushed_by_timer, 1);
        state->lost_bytes += length - written;
        if (result != 0) complain(file, state, px_error_text(result));
    }
    if (dropped > 0) complain(file, state, "the file is written more slowly than lines come");
}

// ---- the thread -------------------------------------------------------------------------------------------------------------

// Returns whether it was the timer that ended the wait.
static bool wait_for_work(struct px_log_writer *writer) {
    int timeout = writer->options.flush_ms > INT32_MAX ? INT32_MAX : (int)writer->options.flush_ms;
    if (poll(&(struct pollfd){.fd = writer->wake_fd, .events = POLLIN}, 1, timeout) <= 0) return true;
    eventfd_t times;
    (void)!eventfd_read(writer->wake_fd, &times);
    return false;
}

static void *writer_main(void *context) {
    struct px_log_writer *writer = context;
    pthread_setname_np(pthread_self(), "log-writer");
    for (bool stopping = false; !stopping;) {
        bool by_timer = wait_for_work(writer);
        pthread_mutex_lock(&writer->lock);
        uint64_t asked = writer->flush_asked;
        bool reopen = writer->reopen_asked;
        stopping = writer->stopping;
        writer->reopen_asked = false;
        pthread_mutex_unlock(&writer->lock);

        for (uint32_t i = 0; i < writer->options.file_count; i++) write_file(writer, i, by_timer);
        if (reopen) reopen_all(writer);

        pthread_mutex_lock(&writer->lock);
        writer->flush_done = asked;
        pthread_cond_broadcast(&writer->done);
        pthread_mutex_unlock(&writer->lock);
    }
    return NULL;
}

static void wake(struct px_log_writer *writer) {
    (void)!eventfd_write(writer->wake_fd, 1);  // can only fail when it is set already
}

void px_log_writer_reopen(struct px_log_writer *writer) {
    pthread_mutex_lock(&writer->lock);
    writer->reopen_asked = true;
    pthread_mutex_unlock(&writer->lock);
    wake(writer);
}

static struct timespec deadline_in(uint32_t ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

int px_log_writer_flush(struct px_log_writer *writer, uint32_t timeout_ms) {
    if (!writer->started) return 0;  // nobody has logged
    struct timespec deadline = deadline_in(timeout_ms);
    pthread_mutex_lock(&writer->lock);
    uint64_t mine = ++writer->flush_asked;
    wake(writer);
    int result = 0;
    while (writer->flush_done < mine && result == 0) result = pthread_cond_timedwait(&writer->done, &writer->lock, &deadline);
    if (writer->flush_done >= mine) result = 0;
    pthread_mutex_unlock(&writer->lock);
    return -result;
}

// ---- life -------------------------------------------------------------------------------------------------------------------

static int init_locks(struct px_log_writer *writer) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->done, &attributes);
    pthread_condattr_destroy(&attributes);
    writer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return writer->wake_fd >= 0 ? 0 : -errno;
}

// Half a buffer at most, so that there is room for what comes while the writer wakes.
static size_t wake_threshold(uint32_t min_bytes) {
    if (min_bytes == 0) return 1;
    return min_bytes < PX_LOG_BUFFER_BYTES / 2 ? min_bytes : PX_LOG_BUFFER_BYTES / 2;
}

struct px_log_writer *px_log_writer_create(const struct px_log_writer_options *options, struct px_detail *detail) {
    struct px_log_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        px_fail(detail, -ENOMEM, "calloc", "access-log writer", "out of memory");
        return NULL;
    }
    writer->options = *options;
    int result = init_locks(writer);
    writer->states = calloc(options->file_count + 1, sizeof *writer->states);
    if (result != 0 || writer->states == NULL) {
        px_fail(detail, result != 0 ? result : -ENOMEM, "eventfd", "access-log writer", "no memory or no descriptor left");
        goto failed;
    }
    for (uint32_t i = 0; i < options->file_count; i++) {
        struct px_log_file *file = options->files[i];
        int fd = open_log(file->path);
        if (fd < 0) {
            open_fail(detail, fd, file->path);
            goto failed;
        }
        adopt_descriptor(file, &writer->states[i], fd);
        file->wake_bytes = wake_threshold(options->min_bytes);
        file->wake_fd = writer->wake_fd;
    }
    return writer;

failed:
    px_log_writer_destroy(writer);
    return NULL;
}

int px_log_writer_start(struct px_log_writer *writer, struct px_detail *detail) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);  // signals are the main loop's; the thread inherits this mask
    int result = pthread_create(&writer->thread, NULL, writer_main, writer);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    writer->started = result == 0;
    if (result == 0) return 0;
    return px_fail(detail, -result, "pthread_create", "access-log writer", "no memory or too many threads (ulimit -u, TasksMax=)");
}

void px_log_writer_destroy(struct px_log_writer *writer) {
    if (writer == NULL) return;
    if (writer->started) {
        pthread_mutex_lock(&writer->lock);
        writer->stopping = true;
        pthread_mutex_unlock(&writer->lock);
        wake(writer);
        pthread_join(writer->thread, NULL);
    }
    for (uint32_t i = 0; i < writer->options.file_count; i++) {
        struct px_log_file *file = writer->options.files[i];
        if (file->fd >= 0) close(file->fd);
        file->fd = -1;
        file->wake_fd = -1;
    }
    if (writer->wake_fd >= 0) close(writer->wake_fd);
    pthread_cond_destroy(&writer->done);
    pthread_mutex_destroy(&writer->lock);
    free(writer->states);
    free(writer);
}
