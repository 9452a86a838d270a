// One direction of a relay: bytes from one socket to another, without waiting and without an allocation while the reader of the
// other side keeps up.
#ifndef PX_STREAM_H
#define PX_STREAM_H

#include "loop/loop.h"
#include "relay/pool.h"
#include "stats/stats_block.h"

// What is known of a socket from its edges. An edge says once that something became possible; the bit stays until a system
// call says that it no longer is.
enum {
    PX_SIDE_READABLE = 1,
    PX_SIDE_WRITABLE = 2,
    PX_SIDE_READ_HANGUP = 4,  // the peer's FIN is in the receive queue
    PX_SIDE_HANGUP = 8,       // both directions ended, or an error
    PX_SIDE_UNIX = 16,        // a Unix socket
};

struct px_side {
    struct px_handle handle;
    uint32_t bits;
};

// Cells that one direction counts in, within the worker's shard. Each moves right after its system call, so that a SIGKILL
// leaves at most one operation uncounted.
struct px_stream_cells {
    px_cell *shard;
    uint32_t read, written;      // bytes
    uint32_t paused, resumed;    // reading stopped because the other side does not take more
    uint32_t buffered;           // gauge: bytes read but not written
};

struct px_stream {
    struct px_buffer *buffer;  // bytes read by copying and not yet written; NULL while there are none
    struct px_pipe *pipe;      // bytes read by splicing and not yet written; NULL while there are none
    uint64_t read, written;    // bytes
    uint32_t limit;            // bytes that may wait, > 0
    uint8_t full_reads;        // in a row; enough of them mean bulk
    bool bulk;                 // splice
    bool paused;               // something waits
    bool ended;                // the source's FIN was read
    bool passed;               // and everything before it was written, and the FIN sent
};

enum px_stream_result {
    PX_STREAM_WAITING,        // for an edge
    PX_STREAM_BUSY,           // its share of this turn is used up; call again in the next
    PX_STREAM_ENDED,          // the source's FIN was read and everything before it is written
    PX_STREAM_SOURCE_FAILED,  // read error, the source was reset
    PX_STREAM_SINK_FAILED,    // write error, the sink was reset
};

// Bytes one direction may move before others get their turn: about 100 µs.
#define PX_STREAM_SHARE (1024u * 1024)

// Translate what epoll said of a side.
void px_side_note(struct px_side *side, uint32_t events);

// Move what can be moved.
enum px_stream_result px_stream_pump(struct px_stream *stream, struct px_side *source, struct px_side *sink, struct px_pool *pool, const struct px_stream_cells *cells);
// Whether there is nothing to move: nothing waits, and the source has nothing to read.
static inline bool px_stream_is_idle(const struct px_stream *stream, const struct px_side *source) {
    return !stream->buffer && !stream->pipe && !stream->ended && !(source->bits & PX_SIDE_READABLE);
}
// Bytes that wait to be written.
uint32_t px_stream_waiting(const struct px_stream *stream);
// Give back what waits, unwritten.
void px_stream_drop(struct px_stream *stream, struct px_pool *pool, const struct px_stream_cells *cells);

#endif
