// Moves bytes of one direction. Worker threads only; owns a buffer or a pipe exactly while bytes wait in it.
//
// Copying: recv() into a buffer of the pool, send() at once. If the sink takes all, the buffer goes back and nothing was
// allocated. If it does not, the stream keeps the buffer and reading stops (backpressure: the kernel's
// receive window does the rest) until the sink has taken it. So at most one read waits in user space, never more than `limit`.
//
// Splicing: after FULL_READS reads in a row that filled the buffer, the bytes go through a pipe and never reach user space
// (a third less processor time in bulk; `make bench` measures it). For small messages it costs more, so short splices lead back to
// copying.
//
// Edges: after a short recv() the receive queue is empty, and the next segment makes a new edge; the second recv() that would
// only say EAGAIN is saved. The exceptions, where one must read on: the peer's FIN is already there (it made its edge together
// with the data), and Unix sockets (a read stops at a message that carries descriptors). A FIN that arrives after epoll
// reported has an edge of its own. Likewise a short send() has set SOCK_NOSPACE, so EPOLLOUT will come (tcp_sendmsg_locked,
// unix_stream_sendmsg); nothing need be tried again.
#include "relay/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

enum { FULL_READS = 4, SHORT_SPLICE = 16 * 1024 };

void px_side_note(struct px_side *side, uint32_t events) {
    if (events & PX_READABLE) side->bits |= PX_SIDE_READABLE;
    if (events & PX_WRITABLE) side->bits |= PX_SIDE_WRITABLE;
    if (events & PX_READ_HANGUP) side->bits |= PX_SIDE_READ_HANGUP | PX_SIDE_READABLE;
    // The pending error or end is learnt by trying, after the data that came before it.
    if (events & PX_HANGUP) side->bits |= PX_SIDE_HANGUP | PX_SIDE_READ_HANGUP | PX_SIDE_READABLE | PX_SIDE_WRITABLE;
}

uint32_t px_stream_waiting(const struct px_stream *stream) {
    if (stream->buffer) return stream->buffer->end - stream->buffer->start;
    return stream->pipe ? stream->pipe->filled : 0;
}

static void give_back(struct px_stream *stream, struct px_pool *pool) {
    if (stream->buffer) px_pool_put_buffer(pool, stream->buffer);
    if (stream->pipe) px_pool_put_pipe(pool, stream->pipe);
    stream->buffer = NULL;
    stream->pipe = NULL;
}

void px_stream_drop(struct px_stream *stream, struct px_pool *pool, const struct px_stream_cells *cells) {
    if (stream->paused) px__cell_add(cells->shard, cells->buffered, -(uint64_t)px_stream_waiting(stream));
    stream->paused = false;
    give_back(stream, pool);
}

// ---- writing ----------------------------------------------------------------------------------------------------------------

static ssize_t send_buffer(struct px_buffer *buffer, struct px_side *sink) {
    size_t length = buffer->end - buffer->start;
    ssize_t sent = send(sink->handle.fd, buffer->bytes + buffer->start, length, MSG_NOSIGNAL);
    if (sent < 0) return -errno;
    if ((size_t)sent < length) sink->bits &= ~(uint32_t)PX_SIDE_WRITABLE;
    buffer->start += (uint32_t)sent;
    return sent;
}

static ssize_t splice_out(struct px_pipe *pipe, struct px_side *sink) {
    ssize_t sent = splice(pipe->read_fd, NULL, sink->handle.fd, NULL, pipe->filled, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent < 0) return -errno;
    if (sent == 0) return -EPIPE;  // cannot be while the pipe holds bytes; never spin on it
    pipe->filled -= (uint32_t)sent;
    return sent;
}

static void pause_reading(struct px_stream *stream, const struct px_stream_cells *cells) {
    if (stream->paused) return;
    stream->paused = true;
    px__cell_add(cells->shard, cells->paused, 1);
    px__cell_add(cells->shard, cells->buffered, px_stream_waiting(stream));
}

static void resume_reading(struct px_stream *stream, const struct px_stream_cells *cells) {
    if (!stream->paused) return;
    stream->paused = false;
    px__cell_add(cells->shard, cells->resumed, 1);
}

// Write what waits. 0: nothing waits any more; -EAGAIN: the sink takes no more now; else its error.
static int flush(struct px_stream *stream, struct px_side *sink, const struct px_stream_cells *cells) {
    while (px_stream_waiting(stream) > 0) {
        if (!(sink->bits & PX_SIDE_WRITABLE)) {
            pause_reading(stream, cells);
            return -EAGAIN;
        }
        ssize_t sent = stream->buffer ? send_buffer(stream->buffer, sink) : splice_out(stream->pipe, sink);
        if (sent == -EAGAIN) {
            sink->bits &= ~(uint32_t)PX_SIDE_WRITABLE;
        } else if (sent < 0 && sent != -EINTR) {
            return (int)sent;
        } else if (sent > 0) {
            stream->written += (uint64_t)sent;
            px__cell_add(cells->shard, cells->written, (uint64_t)sent);
            if (stream->paused) px__cell_add(cells->shard, cells->buffered, -(uint64_t)sent);
        }
    }
    resume_reading(stream, cells);
    return 0;
}

// ---- reading ----------------------------------------------------------------------------------------------------------------

static ssize_t receive(struct px_stream *stream, struct px_side *source, struct px_pool *pool) {
    uint32_t wanted = stream->limit < PX_BUFFER_BYTES ? stream->limit : PX_BUFFER_BYTES;
    struct px_buffer *buffer = stream->buffer = px_pool_take_buffer(pool);
    if (!buffer) return -ENOMEM;
    ssize_t got = recv(source->handle.fd, buffer->bytes, wanted, 0);
    if (got < 0) return -errno;
    buffer->end = (uint32_t)got;
    bool may_hold_more = (size_t)got == wanted || (source->bits & (PX_SIDE_READ_HANGUP | PX_SIDE_UNIX));
    if (!may_hold_more) source->bits &= ~(uint32_t)PX_SIDE_READABLE;
    stream->full_reads = got == PX_BUFFER_BYTES ? stream->full_reads + 1 : 0;
    stream->bulk = stream->full_reads == FULL_READS;
    return got;
}

// A short splice says nothing of the receive queue (the pipe's slots may be what was full), so this reads until EAGAIN.
static ssize_t splice_in(struct px_stream *stream, struct px_side *source) {
    struct px_pipe *pipe = stream->pipe;
    uint32_t wanted = stream->limit < pipe->capacity ? stream->limit : pipe->capacity;
    ssize_t got = splice(source->handle.fd, NULL, pipe->write_fd, NULL, wanted, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (got < 0) return -errno;
    pipe->filled = (uint32_t)got;
    stream->full_reads = got >= SHORT_SPLICE ? FULL_READS : stream->full_reads - 1;
    stream->bulk = stream->full_reads > 0;
    return got;
}

static ssize_t read_some(struct px_stream *stream, struct px_side *source, struct px_pool *pool) {
    if (stream->bulk && !stream->pipe) stream->pipe = px_pool_take_pipe(pool);
    if (!stream->bulk && stream->pipe) give_back(stream, pool);
    if (stream->pipe) return splice_in(stream, source);
    return receive(stream, source, pool);
}

// Read once. 0: something was read, or the end; else -errno.
static int fill(struct px_stream *stream, struct px_side *source, struct px_pool *pool, const struct px_stream_cells *cells) {
    ssize_t got = read_some(stream, source, pool);
    if (got == -EINTR) return 0;
    if (got == -EAGAIN) source->bits &= ~(uint32_t)PX_SIDE_READABLE;
    if (got < 0) return (int)got;
    if (got == 0) stream->ended = true;
    stream->read += (uint64_t)got;
    px__cell_add(cells->shard, cells->read, (uint64_t)got);
    return 0;
}

static enum px_stream_result move(struct px_stream *stream, struct px_side *source, struct px_side *sink, struct px_pool *pool, const struct px_stream_cells *cells) {
    uint64_t share_ends = stream->read + PX_STREAM_SHARE;
    for (;;) {
        int error = flush(stream, sink, cells);
        if (error == -EAGAIN) return PX_STREAM_WAITING;
        if (error < 0) return PX_STREAM_SINK_FAILED;
        if (stream->ended) return PX_STREAM_ENDED;
        if (!(source->bits & PX_SIDE_READABLE)) return PX_STREAM_WAITING;
        if (stream->read >= share_ends) return PX_STREAM_BUSY;
        if (stream->buffer) px_pool_put_buffer(pool, stream->buffer);
        stream->buffer = NULL;
        error = fill(stream, source, pool, cells);
        if (error == -EAGAIN) return PX_STREAM_WAITING;
        if (error < 0) return PX_STREAM_SOURCE_FAILED;
    }
}

enum px_stream_result px_stream_pump(struct px_stream *stream, struct px_side *source, struct px_side *sink, struct px_pool *pool, const struct px_stream_cells *cells) {
    enum px_stream_result result = move(stream, source, sink, pool, cells);
    if (px_stream_waiting(stream) == 0) give_back(stream, pool);
    return result;
}
