// Owns the free buffers and pipes of one worker; used by that worker's thread alone, so there are no locks.
// Free lists are short: what a burst took beyond them goes back to the system, so that memory follows the load down.
#include "relay/pool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/client_memory.h"
#include "base/log_ring.h"
#include "base/reserve.h"

// fs.pipe-max-size of an unprivileged user. Measured in bulk, in processor time per MiB beside 193 µs of copying: 160 µs with a
// pipe of 256 KiB, 150 with 512, 127 with 1024. An empty pipe costs 10 KiB of slots, and its bytes are those of the sockets.
enum { BUFFERS_KEPT = 16, PIPES_KEPT = 32, PIPE_BYTES = 1024 * 1024 };

void px_pool_init(struct px_pool *pool) {
    *pool = (struct px_pool){0};
    px_client_memory_begin();
}

static void pipe_destroy(struct px_pipe *pipe) {
    close(pipe->read_fd);
    close(pipe->write_fd);
    free(pipe);
}

void px_pool_deinit(struct px_pool *pool) {
    while (pool->buffers) {
        struct px_buffer *buffer = pool->buffers;
        pool->buffers = buffer->next;
        free(buffer);
    }
    while (pool->pipes) {
        struct px_pipe *pipe = pool->pipes;
        pool->pipes = pipe->next;
        pipe_destroy(pipe);
    }
    free(pool->scratch);
    *pool = (struct px_pool){0};
}

static struct px_buffer *buffer_create(void) {
    static struct px_log_gate gate;
    uint64_t skipped;
    struct px_buffer *buffer = px_client_malloc(sizeof *buffer);
    if (!buffer && px_log_gate_open(&gate, px_clock_monotonic_ns() / 1000000, &skipped))
        px_log(PX_ERROR, "conn_handler", "no memory for the bytes of a connection, which is closed (%llu like this not shown); raise the memory limit (cgroup, ulimit -v) or lower the connection limits", (unsigned long long)skipped);
    return buffer;
}

static struct px_buffer *pooled_or_new(struct px_pool *pool) {
    struct px_buffer *buffer = pool->buffers;
    if (!buffer) return buffer_create();
    pool->buffers = buffer->next;
    pool->buffer_count--;
    return buffer;
}

struct px_buffer *px_pool_take_buffer(struct px_pool *pool) {
    struct px_buffer *buffer = pool->scratch ? pool->scratch : pooled_or_new(pool);
    pool->scratch = NULL;
    if (buffer) buffer->start = buffer->end = 0;
    return buffer;
}

void px_pool_put_buffer(struct px_pool *pool, struct px_buffer *buffer) {
    if (!pool->scratch) {
        pool->scratch = buffer;
        return;
    }
    if (pool->buffer_count >= BUFFERS_KEPT) {
        free(buffer);
        return;
    }
    buffer->next = pool->buffers;
    pool->buffers = buffer;
    pool->buffer_count++;
}

static struct px_pipe *pipe_create(void) {
    struct px_pipe *pipe = px_client_malloc(sizeof *pipe);
    int fds[2];
    if (!pipe) return NULL;
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(pipe);
        return NULL;
    }
    // Copying does without.
    if (px_reserve_has(fds[1])) {
        close(fds[0]);
        close(fds[1]);
        free(pipe);
        return NULL;
    }
    // May be refused to a user who has used up fs.pipe-user-pages-soft; the size the kernel chose then has to do.
    int capacity = fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    if (capacity < 0) capacity = fcntl(fds[1], F_GETPIPE_SZ);
    *pipe = (struct px_pipe){.read_fd = fds[0], .write_fd = fds[1], .capacity = capacity > 0 ? (uint32_t)capacity : 4096};
    return pipe;
}

struct px_pipe *px_pool_take_pipe(struct px_pool *pool) {
    struct px_pipe *pipe = pool->pipes;
    if (!pipe) return pipe_create();
    pool->pipes = pipe->next;
    pool->pipe_count--;
    return pipe;
}

void px_pool_put_pipe(struct px_pool *pool, struct px_pipe *pipe) {
    if (pipe->filled > 0 || pool->pipe_count >= PIPES_KEPT) {
        pipe_destroy(pipe);
        return;
    }
    pipe->next = pool->pipes;
    pool->pipes = pipe;
    pool->pipe_count++;
}
