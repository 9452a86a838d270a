// Layout of a queue's shared memory: a header, two rings' cursors, then the bytes of the two rings, the parent's ring first.
//
//     +--------+------------------+------------------+---------------------+---------------------+
//     | header | parent -> child  | child -> parent  | ring_bytes          | ring_bytes          |
//     +--------+------------------+------------------+---------------------+---------------------+
//
// A message is one word (type, length), then its bytes, padded to 8; so the word never wraps, its bytes may. Cursors count
// bytes since the beginning and never go back: `tail - head` bytes are in the ring, at offset `head & (ring_bytes - 1)`.
#ifndef PX_QUEUE_H
#define PX_QUEUE_H

#include <stdatomic.h>

#include "base/shared_memory.h"
#include "include/px_handoff.h"

#define PX_QUEUE_MAGIC 0x3145554555585001ull
// Raised by one whenever anything below changes its place or meaning.
#define PX_QUEUE_LAYOUT 1u
// Bytes of one ring: a power of two between these.
#define PX_QUEUE_RING_MIN 4096u
#define PX_QUEUE_RING_MAX (1u << 24)
#define PX_QUEUE_ALIGN 8u

struct px_queue_header {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t header_bytes;  // where the rings' bytes begin
    uint32_t ring_bytes;
    uint32_t ring_count;
    uint64_t reserved[5];
};
_Static_assert(sizeof(struct px_queue_header) == 64, "layout of the queue");

// Each line is written by one side alone: what the producer writes and what the consumer writes do not share a cache line.
struct px_queue_ring {
    _Alignas(64) _Atomic uint64_t tail;  // producer: end of what is complete
    _Atomic uint64_t woken;              // producer: the value of `cleared` for which it has raised the eventfd
    _Alignas(64) _Atomic uint64_t head;  // consumer: end of what it has taken
    _Atomic uint64_t cleared;            // consumer: how often it has reset the eventfd, from 1
};
_Static_assert(sizeof(struct px_queue_ring) == 128, "layout of the queue");
_Static_assert(offsetof(struct px_queue_ring, woken) == 8, "layout of the queue");
_Static_assert(offsetof(struct px_queue_ring, head) == 64, "layout of the queue");
_Static_assert(offsetof(struct px_queue_ring, cleared) == 72, "layout of the queue");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock in the queue would not be shared");

struct px_queue_layout {
    struct px_queue_header header;
    struct px_queue_ring rings[2];  // [PX_QUEUE_PARENT]: what the parent produces
};
_Static_assert(offsetof(struct px_queue_layout, rings) == 64, "layout of the queue");
_Static_assert(sizeof(struct px_queue_layout) == 320, "layout of the queue");

static inline size_t px__queue_bytes(uint32_t ring_bytes) {
    return sizeof(struct px_queue_layout) + 2 * (size_t)ring_bytes;
}

#endif
