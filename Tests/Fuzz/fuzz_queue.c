// Fuzzes the queue's reader with hostile memory. With an odd first byte the input is the shared memory from its first byte on,
// header included; else it is two cursors and the bytes between them, and what is popped is compared with a plain reading of the
// same bytes. Either way popping ends, nothing is read outside, and a queue that called something nonsense stays dead.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handoff/queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING = PX_QUEUE_RING_MIN, CAPACITY = 256 };

static px_queue *owner;
static struct px_shared_memory memory;

static void require(bool condition) {
    if (!condition) abort();
}

static void dup_fds(int32_t fds[3]) {
    px_queue_fds(owner, fds);
    for (int i = 0; i < 3; i++) require((fds[i] = dup(fds[i])) >= 0);
}

static void begin(void) {
    struct px_detail detail;
    int32_t fds[3];
    require((owner = px_queue_create(RING, PX_QUEUE_PARENT, &detail)) != NULL);
    px_queue_fds(owner, fds);
    require(px__shared_memory_attach(&memory, dup(fds[0]), "fuzz", 1, 1 << 20, PX_SHARED_WRITABLE, &detail) == 0);
}

static px_queue *attach(void) {
    struct px_detail detail;
    int32_t fds[3];
    dup_fds(fds);
    px_queue *queue = px_queue_attach(fds, PX_QUEUE_CHILD, &detail);
    for (int i = 0; !queue && i < 3; i++) close(fds[i]);
    return queue;
}

// Pops until it ends. `model`: the bytes from `head` on, or NULL.
static void pop_all(px_queue *queue, const uint8_t *model, uint64_t used) {
    uint8_t *bytes = malloc(CAPACITY);
    uint64_t at = 0;
    uint32_t type, pops = 0;
    for (;;) {
        int length = px_queue_pop(queue, &type, bytes, CAPACITY);
        if (length < 0 && length != -EMSGSIZE) {
            require(length == -EAGAIN || length == -PX_E_MALFORMED);
            if (length == -PX_E_MALFORMED) require(px_queue_push(queue, 1, "x", 1) == length && px_queue_pop(queue, &type, bytes, 1) == length);
            if (model) require((length == -EAGAIN) == (at == used));
            break;
        }
        require(length <= CAPACITY && ++pops <= RING / PX_QUEUE_ALIGN);
        if (!model) continue;
        uint32_t wanted[2];
        require(at + sizeof wanted <= used);
        memcpy(wanted, model + at, sizeof wanted);
        require(type == wanted[0] && (length < 0 ? wanted[1] > CAPACITY : wanted[1] == (uint32_t)length));
        require(length < 0 || memcmp(bytes, model + at + sizeof wanted, (size_t)length) == 0);
        at += (sizeof wanted + wanted[1] + 7) & ~(uint64_t)7;
        require(at <= used);
    }
    free(bytes);
}

static void fuzz_memory(const uint8_t *data, size_t size) {
    memcpy(memory.map, data, size < memory.bytes ? size : memory.bytes);
    px_queue *queue = attach();
    if (!queue) return;
    pop_all(queue, NULL, 0);
    (void)!px_queue_push(queue, 1, "message", 7);
    px_queue_clear(queue);
    px_queue_destroy(queue);
}

static void fuzz_messages(const uint8_t *data, size_t size) {
    struct px_queue_layout *layout = memory.map;
    uint8_t *ring = (uint8_t *)(layout + 1), model[RING] = {0};
    uint64_t head, tail;
    if (size < 16) return;
    memcpy(&head, data, 8);
    memcpy(&tail, data + 8, 8);
    tail += head;
    memcpy(model, data + 16, size - 16 < RING ? size - 16 : RING);
    for (uint32_t i = 0; i < RING; i++) ring[(head + i) % RING] = model[i];
    atomic_store(&layout->rings[0].head, head);
    atomic_store(&layout->rings[0].tail, tail);
    px_queue *queue = attach();
    require(queue != NULL);
    bool possible = head % 8 == 0 && tail % 8 == 0 && tail - head <= RING;
    pop_all(queue, possible ? model : NULL, tail - head);
    px_queue_destroy(queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct px_queue_layout good;
    if (size == 0) return 0;
    if (!owner) {
        begin();
        memcpy(&good, memory.map, sizeof good);
    }
    memset(memory.map, 0, memory.bytes);  // an input behaves the same whatever came before it
    memcpy(memory.map, &good, sizeof good);
    if (data[0] & 1) fuzz_memory(data + 1, size - 1);
    else fuzz_messages(data + 1, size - 1);
    return 0;
}
