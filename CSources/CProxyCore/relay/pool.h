// Buffers and pipes of one worker. A connection owns neither while nothing waits: it borrows a buffer for one read and write, and
// keeps it only when the other side does not take all. The buffer given back last is lent first, so that it stays in the cache.
#ifndef PX_POOL_H
#define PX_POOL_H

#include "include/px_base.h"

// One read. Larger ones save system calls but fall out of the second-level cache between read and write.
#define PX_BUFFER_BYTES (64u * 1024)

struct px_buffer {
    struct px_buffer *next;  // in the pool
    uint32_t start, end;     // bytes that wait
    uint8_t bytes[PX_BUFFER_BYTES];
};

struct px_pipe {
    struct px_pipe *next;    // in the pool
    int32_t read_fd, write_fd;
    uint32_t capacity;
    uint32_t filled;         // bytes in it
};

struct px_pool {
    struct px_buffer *scratch;   // the one lent first; NULL while it is out
    struct px_buffer *buffers;   // free ones
    struct px_pipe *pipes;       // free and empty ones
    uint32_t buffer_count, pipe_count;
};

void px_pool_init(struct px_pool *pool);
void px_pool_deinit(struct px_pool *pool);

// An empty buffer. NULL: no memory.
struct px_buffer *px_pool_take_buffer(struct px_pool *pool);
void px_pool_put_buffer(struct px_pool *pool, struct px_buffer *buffer);

// An empty pipe, or NULL (no descriptors left: the caller goes on copying).
struct px_pipe *px_pool_take_pipe(struct px_pool *pool);
// A pipe that still holds bytes is closed instead of kept.
void px_pool_put_pipe(struct px_pool *pool, struct px_pipe *pipe);

#endif
