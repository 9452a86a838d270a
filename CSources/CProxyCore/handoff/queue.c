// Two lock-free single-producer single-consumer rings in sealed shared memory, one in each direction, each with an eventfd.
//
// Invariants: a message is visible only once it is complete (the producer stores `tail` after its bytes), so a producer that
// dies in the middle of a push leaves nothing. The other side may be hostile: each word of its is loaded once into a local,
// checked, and only the local is used; sizes are those checked at attach, never read again; so no access ever leaves the
// ring. What cannot be is -PX_E_MALFORMED, and then this handle refuses everything, for a ring out of step never recovers.
// No cursor is kept in the handle, so that a queue can go to another process, and come back, between any two calls.
//
// Memory order: `tail` is stored with release after the bytes and loaded with acquire before them; `head` is stored with
// release after the bytes were copied out and loaded with acquire before they are overwritten. A wake-up costs a system call
// only when the consumer has reset its eventfd since the last: the producer stores `tail`, then loads `cleared`, the consumer
// counts `cleared`, then loads `tail`; these four are sequentially consistent, so one of the two sees what the other did (and
// that is cheaper than fences: only the store costs more than an ordinary one). `woken` is stored after the eventfd was raised: a producer killed before that leaves the work to the next.
//
// Threads: one producer and one consumer, which may be two threads.
#include "handoff/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log_ring.h"

enum { FD_MEMORY = 0, FD_EVENTS = 1, FD_COUNT = 3 };  // of px_queue_fds; FD_EVENTS + i wakes the consumer of ring i

struct end {
    struct px_queue_ring *ring;
    uint8_t *bytes;
    int event_fd;
};

struct px_queue {
    struct end out;  // we produce
    struct end in;   // we consume
    uint32_t ring_bytes;
    enum px_queue_side side;
    _Atomic bool is_dead;
    struct px_shared_memory memory;
};

static struct end end_of(px_queue *queue, uint32_t ring, int event_fd) {
    struct px_queue_layout *layout = queue->memory.map;
    uint8_t *bytes = (uint8_t *)queue->memory.map + sizeof *layout;
    return (struct end){.ring = &layout->rings[ring], .bytes = bytes + (size_t)ring * queue->ring_bytes, .event_fd = event_fd};
}

static void set_ends(px_queue *queue, uint32_t ring_bytes, enum px_queue_side side, const int32_t event_fds[2]) {
    uint32_t ours = side == PX_QUEUE_PARENT ? 0 : 1;
    queue->ring_bytes = ring_bytes;
    queue->side = side;
    queue->out = end_of(queue, ours, event_fds[ours]);
    queue->in = end_of(queue, 1 - ours, event_fds[1 - ours]);
}

static px_queue *allocate(struct px_detail *detail) {
    px_queue *queue = calloc(1, sizeof *queue);
    if (!queue) px_fail(detail, -ENOMEM, "calloc", "queue", "asked for %zu bytes", sizeof *queue);
    return queue;
}

static int open_event_fds(int32_t fds[2], struct px_detail *detail) {
    uint64_t limit;
    int64_t used;
    for (int i = 0; i < 2; i++) {
        fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fds[i] >= 0) continue;
        int code = -errno;
        if (i == 1) close(fds[0]);
        px_descriptor_usage(&limit, &used);
        return px_fail(detail, code, "eventfd", "queue", "descriptor limit (RLIMIT_NOFILE) is %llu", (unsigned long long)limit);
    }
    return 0;
}

static uint32_t round_up_to_ring(uint32_t bytes) {
    uint32_t ring = PX_QUEUE_RING_MIN;
    while (ring < bytes) ring *= 2;
    return ring;
}

static void init_layout(struct px_queue_layout *layout, uint32_t ring_bytes) {
    layout->header = (struct px_queue_header){
        .magic = PX_QUEUE_MAGIC,
        .layout_version = PX_QUEUE_LAYOUT,
        .header_bytes = sizeof *layout,
        .ring_bytes = ring_bytes,
        .ring_count = 2,
    };
    // Above `woken`: the first message of each ring raises the eventfd.
    for (int i = 0; i < 2; i++) atomic_store_explicit(&layout->rings[i].cleared, 1, memory_order_relaxed);
}

px_queue *px_queue_create(uint32_t ring_bytes, enum px_queue_side side, struct px_detail *detail) {
    int32_t event_fds[2];
    if (ring_bytes == 0 || ring_bytes > PX_QUEUE_RING_MAX) {
        px_fail(detail, -EINVAL, "create", "queue", "%u bytes in a ring, wanted 1 to %u", ring_bytes, PX_QUEUE_RING_MAX);
        return NULL;
    }
    ring_bytes = round_up_to_ring(ring_bytes);
    px_queue *queue = allocate(detail);
    if (!queue) return NULL;
    if (px__shared_memory_create(&queue->memory, "proxy-queue", px__queue_bytes(ring_bytes), PX_SHARED_WRITABLE, detail) < 0) goto free_queue;
    if (open_event_fds(event_fds, detail) < 0) goto detach;
    init_layout(queue->memory.map, ring_bytes);
    set_ends(queue, ring_bytes, side, event_fds);
    return queue;

detach:
    px__shared_memory_detach(&queue->memory);
free_queue:
    free(queue);
    return NULL;
}

// The header as it is now, in our own memory; nobody can change it after it was checked.
static int check_header(const struct px_shared_memory *memory, uint32_t *ring_bytes, struct px_detail *detail) {
    struct px_queue_header header;
    memcpy(&header, memory->map, sizeof header);
    if (header.magic != PX_QUEUE_MAGIC)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", "queue", "magic is %#llx, wanted %#llx", (unsigned long long)header.magic, PX_QUEUE_MAGIC);
    if (header.layout_version != PX_QUEUE_LAYOUT)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", "queue", "layout %u, wanted layout %u", header.layout_version, PX_QUEUE_LAYOUT);
    bool is_possible = header.header_bytes == sizeof(struct px_queue_layout) && header.ring_count == 2 &&
        header.ring_bytes >= PX_QUEUE_RING_MIN && header.ring_bytes <= PX_QUEUE_RING_MAX &&
        (header.ring_bytes & (header.ring_bytes - 1)) == 0 && px__queue_bytes(header.ring_bytes) == memory->bytes;
    if (!is_possible)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", "queue", "%u rings of %u bytes after %u bytes of header in %zu bytes",
            header.ring_count, header.ring_bytes, header.header_bytes, memory->bytes);
    *ring_bytes = header.ring_bytes;
    return 0;
}

// A descriptor that blocks, or is something else, would stop whoever reads or writes it.
static int check_event_fd(int fd, struct px_detail *detail) {
    static const char wanted[] = "anon_inode:[eventfd]";
    char path[40], target[sizeof wanted] = "";
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return px_fail(detail, -errno, "fcntl(F_GETFL)", "queue", "%s", "");
    if (!(flags & O_NONBLOCK)) return px_fail(detail, -PX_E_INCOMPATIBLE, "fcntl(F_GETFL)", "queue", "an eventfd blocks");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target);
    if (n < 0) return 0;  // no /proc here; what follows is safe with any non-blocking descriptor
    if ((size_t)n != sizeof wanted - 1 || memcmp(target, wanted, (size_t)n) != 0)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "readlink", "queue", "a descriptor passed as eventfd is none");
    return 0;
}

px_queue *px_queue_attach(const int32_t fds[FD_COUNT], enum px_queue_side side, struct px_detail *detail) {
    uint32_t ring_bytes = 0;
    if (check_event_fd(fds[FD_EVENTS], detail) < 0 || check_event_fd(fds[FD_EVENTS + 1], detail) < 0) return NULL;
    px_queue *queue = allocate(detail);
    if (!queue) return NULL;
    if (px__shared_memory_attach(&queue->memory, fds[FD_MEMORY], "queue", px__queue_bytes(PX_QUEUE_RING_MIN),
            px__queue_bytes(PX_QUEUE_RING_MAX), PX_SHARED_WRITABLE, detail) < 0)
        goto free_queue;
    if (check_header(&queue->memory, &ring_bytes, detail) < 0) goto detach;
    set_ends(queue, ring_bytes, side, fds + FD_EVENTS);
    return queue;

detach:
    queue->memory.fd = -1;  // stays the caller's
    px__shared_memory_detach(&queue->memory);
free_queue:
    free(queue);
    return NULL;
}

void px_queue_fds(const px_queue *queue, int32_t fds[FD_COUNT]) {
    bool is_parent = queue->side == PX_QUEUE_PARENT;
    fds[FD_MEMORY] = queue->memory.fd;
    fds[FD_EVENTS] = is_parent ? queue->out.event_fd : queue->in.event_fd;
    fds[FD_EVENTS + 1] = is_parent ? queue->in.event_fd : queue->out.event_fd;
}

void px_queue_destroy(px_queue *queue) {
    if (!queue) return;
    close(queue->out.event_fd);
    close(queue->in.event_fd);
    px__shared_memory_detach(&queue->memory);
    free(queue);
}

// ---- bytes of a ring ------------------------------------------------------------------------------------------------------------

static uint32_t padded(uint32_t length) {
    return (length + PX_QUEUE_ALIGN - 1) & ~(PX_QUEUE_ALIGN - 1);
}

// `length` bytes at cursor `at`, up to the ring's end and then from its beginning.
static void copy_in(const px_queue *queue, uint8_t *ring, uint64_t at, const void *bytes, uint32_t length) {
    uint32_t offset = (uint32_t)(at & (queue->ring_bytes - 1));
    uint32_t first = length < queue->ring_bytes - offset ? length : queue->ring_bytes - offset;
    memcpy(ring + offset, bytes, first);
    if (first < length) memcpy(ring, (const uint8_t *)bytes + first, length - first);
}

static void copy_out(const px_queue *queue, const uint8_t *ring, uint64_t at, void *bytes, uint32_t length) {
    uint32_t offset = (uint32_t)(at & (queue->ring_bytes - 1));
    uint32_t first = length < queue->ring_bytes - offset ? length : queue->ring_bytes - offset;
    memcpy(bytes, ring + offset, first);
    if (first < length) memcpy((uint8_t *)bytes + first, ring, length - first);
}

// The word before a message's bytes; atomic, so that it is read once however the other side writes it.
static _Atomic uint64_t *word_at(const px_queue *queue, uint8_t *ring, uint64_t at) {
    return (_Atomic uint64_t *)(void *)(ring + (at & (queue->ring_bytes - 1)));
}

// Bytes between two cursors, if there can be such: both at a message's border, not more than the ring holds.
static bool measure(const px_queue *queue, uint64_t head, uint64_t tail, uint32_t *used) {
    if (((head | tail) & (PX_QUEUE_ALIGN - 1)) != 0 || tail - head > queue->ring_bytes) return false;
    *used = (uint32_t)(tail - head);
    return true;
}

static int die(px_queue *queue) {
    atomic_store_explicit(&queue->is_dead, true, memory_order_relaxed);
    return -PX_E_MALFORMED;
}

static void raise_event(int fd) {
    const uint64_t one = 1;
    // EAGAIN: the counter is at its end, so the eventfd is readable as it is.
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

// ---- producer -------------------------------------------------------------------------------------------------------------------

static void wake(const struct end *out) {
    uint64_t cleared = atomic_load_explicit(&out->ring->cleared, memory_order_seq_cst);
    if (atomic_load_explicit(&out->ring->woken, memory_order_relaxed) == cleared) return;
    raise_event(out->event_fd);
    atomic_store_explicit(&out->ring->woken, cleared, memory_order_relaxed);
}

int px_queue_push(px_queue *queue, uint32_t type, const void *bytes, uint32_t length) {
    const struct end *out = &queue->out;
    uint32_t used;
    if (atomic_load_explicit(&queue->is_dead, memory_order_relaxed)) return -PX_E_MALFORMED;
    if (length > queue->ring_bytes - PX_QUEUE_ALIGN) return -EMSGSIZE;
    uint32_t needed = PX_QUEUE_ALIGN + padded(length);
    uint64_t tail = atomic_load_explicit(&out->ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&out->ring->head, memory_order_acquire);
    if (!measure(queue, head, tail, &used)) return die(queue);
    if (needed > queue->ring_bytes - used) return -EAGAIN;
    atomic_store_explicit(word_at(queue, out->bytes, tail), (uint64_t)length << 32 | type, memory_order_relaxed);
    if (length > 0) copy_in(queue, out->bytes, tail + PX_QUEUE_ALIGN, bytes, length);
    atomic_store_explicit(&out->ring->tail, tail + needed, memory_order_seq_cst);
    wake(out);
    return 0;
}

// ---- consumer -------------------------------------------------------------------------------------------------------------------

int px_queue_pop(px_queue *queue, uint32_t *type, void *bytes, uint32_t capacity) {
    const struct end *in = &queue->in;
    uint32_t used;
    if (atomic_load_explicit(&queue->is_dead, memory_order_relaxed)) return -PX_E_MALFORMED;
    uint64_t head = atomic_load_explicit(&in->ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&in->ring->tail, memory_order_seq_cst);
    if (!measure(queue, head, tail, &used)) return die(queue);
    if (used == 0) return -EAGAIN;
    uint64_t word = atomic_load_explicit(word_at(queue, in->bytes, head), memory_order_relaxed);
    uint32_t length = (uint32_t)(word >> 32);
    if (length > used - PX_QUEUE_ALIGN || padded(length) > used - PX_QUEUE_ALIGN) return die(queue);
    bool fits = length <= capacity;
    if (fits && length > 0) copy_out(queue, in->bytes, head + PX_QUEUE_ALIGN, bytes, length);
    *type = (uint32_t)word;
    atomic_store_explicit(&in->ring->head, head + PX_QUEUE_ALIGN + padded(length), memory_order_release);
    return fits ? (int)length : -EMSGSIZE;
}

int px_queue_event_fd(const px_queue *queue) {
    return queue->in.event_fd;
}

void px_queue_clear(px_queue *queue) {
    uint64_t count;
    while (read(queue->in.event_fd, &count, sizeof count) < 0 && errno == EINTR) continue;
    atomic_fetch_add_explicit(&queue->in.ring->cleared, 1, memory_order_seq_cst);
}

void px_queue_raise(px_queue *queue) {
    raise_event(queue->in.event_fd);
}
