// The memory all living generations of one base id share: the word of who serves, the locks of the log files, a record per
// generation.
//
// Invariants: `serving` changes by compare-and-swap alone, so there are never two who believe they serve. A record is written
// by its generation alone; a place is claimed and freed by compare-and-swap. Everybody may write anywhere in the block, so
// what is read from it is checked before it goes up (states are closed enums in Swift, strings must end).
//
// Threads: any, except that a generation publishes its record from one thread.
#include "handoff/control_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log_ring.h"

enum { READ_TRIES = 64 };  // a record changes a few times a second; a reader that loses this often meets nonsense

static int init_lock(struct px_control_lock *lock) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error) return -error;
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error) error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!error) error = pthread_mutex_init(&lock->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return -error;
}

static int init_layout(struct px_control_layout *shared, uint64_t epoch) {
    *shared = (struct px_control_layout){
        .layout_version = PX_CONTROL_LAYOUT,
        .bytes = sizeof *shared,
        .mutex_bytes = sizeof(pthread_mutex_t),
        .lock_count = PX_LOCK_COUNT,
        .record_count = PX_GENERATIONS_MAX,
        .record_bytes = sizeof(struct px_control_record),
    };
    for (uint32_t i = 0; i < PX_LOCK_COUNT; i++) {
        int code = init_lock(&shared->locks[i]);
        if (code < 0) return code;
    }
    atomic_store_explicit(&shared->serving, epoch, memory_order_relaxed);
    shared->magic = PX_CONTROL_MAGIC;
    return 0;
}

px_control_block *px_control_block_create(uint64_t epoch, struct px_detail *detail) {
    px_control_block *block = calloc(1, sizeof *block);
    if (!block) {
        px_fail(detail, -ENOMEM, "calloc", "control block", "asked for %zu bytes", sizeof *block);
        return NULL;
    }
    if (px__shared_memory_create(&block->memory, "proxy-control", sizeof *block->shared, PX_SHARED_WRITABLE, detail) < 0) goto free_block;
    block->shared = block->memory.map;
    int code = init_layout(block->shared, epoch);
    if (code == 0) return block;
    px_fail(detail, code, "pthread_mutex_init", "control block", "%s", "");
    px__shared_memory_detach(&block->memory);
free_block:
    free(block);
    return NULL;
}

static int check_layout(const struct px_control_layout *shared, struct px_detail *detail) {
    struct px_control_layout expected = {
        .magic = PX_CONTROL_MAGIC,
        .layout_version = PX_CONTROL_LAYOUT,
        .bytes = sizeof *shared,
        .mutex_bytes = sizeof(pthread_mutex_t),
        .lock_count = PX_LOCK_COUNT,
        .record_count = PX_GENERATIONS_MAX,
        .record_bytes = sizeof(struct px_control_record),
    };
    if (memcmp(shared, &expected, offsetof(struct px_control_layout, reserved)) == 0) return 0;
    if (shared->magic != PX_CONTROL_MAGIC)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", "control block", "magic is %#llx, wanted %#llx",
            (unsigned long long)shared->magic, PX_CONTROL_MAGIC);
    return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", "control block",
        "layout %u with %u bytes, %u locks of %u bytes and %u records of %u, wanted layout %u with %u bytes, %u locks of %u bytes and "
        "%u records of %u", shared->layout_version, shared->bytes, shared->lock_count, shared->mutex_bytes, shared->record_count,
        shared->record_bytes, expected.layout_version, expected.bytes, expected.lock_count, expected.mutex_bytes,
        expected.record_count, expected.record_bytes);
}

px_control_block *px_control_block_attach(int fd, struct px_detail *detail) {
    const size_t bytes = sizeof(struct px_control_layout);
    px_control_block *block = calloc(1, sizeof *block);
    if (!block) {
        px_fail(detail, -ENOMEM, "calloc", "control block", "asked for %zu bytes", sizeof *block);
        return NULL;
    }
    // A later layout may be larger; it is refused by its number, which says more than its size.
    if (px__shared_memory_attach(&block->memory, fd, "control block", bytes, bytes * 16, PX_SHARED_WRITABLE, detail) < 0) goto free_block;
    block->shared = block->memory.map;
    if (check_layout(block->shared, detail) == 0) return block;
    block->memory.fd = -1;  // stays the caller's
    px__shared_memory_detach(&block->memory);
free_block:
    free(block);
    return NULL;
}

void px_control_block_destroy(px_control_block *block) {
    if (!block) return;
    px__shared_memory_detach(&block->memory);
    free(block);
}

int px_control_block_fd(const px_control_block *block) {
    return block->memory.fd;
}

uint64_t px_control_block_serving(const px_control_block *block) {
    return atomic_load_explicit(&block->shared->serving, memory_order_acquire);
}

bool px_control_block_take(px_control_block *block, uint64_t expected, uint64_t epoch) {
    return atomic_compare_exchange_strong(&block->shared->serving, &expected, epoch);
}

static struct px_control_record *find_record(px_control_block *block, uint64_t owner) {
    for (uint32_t i = 0; i < PX_GENERATIONS_MAX; i++)
        if (atomic_load_explicit(&block->shared->records[i].owner, memory_order_acquire) == owner) return &block->shared->records[i];
    return NULL;
}

static struct px_control_record *claim_record(px_control_block *block, uint64_t owner) {
    for (uint32_t i = 0; i < PX_GENERATIONS_MAX; i++) {
        uint64_t nobody = 0;
        if (atomic_compare_exchange_strong(&block->shared->records[i].owner, &nobody, owner)) return &block->shared->records[i];
    }
    return NULL;
}

static void write_record(struct px_control_record *record, const struct px_generation *generation) {
    uint64_t words[PX_RECORD_WORDS];
    uint64_t version = atomic_load_explicit(&record->version, memory_order_relaxed) + 1;
    memcpy(words, generation, sizeof words);
    // A reader that meets a word stored below must also see the version before this one (C11 7.17.4, fence to fence).
    atomic_thread_fence(memory_order_release);
    for (uint32_t i = 0; i < PX_RECORD_WORDS; i++)
        atomic_store_explicit(&record->words[version & 1][i], words[i], memory_order_relaxed);
    atomic_store_explicit(&record->version, version, memory_order_release);
}

int px_control_block_publish(px_control_block *block, const struct px_generation *generation) {
    uint64_t owner = generation->epoch + 1;
    if (owner == 0) return -EINVAL;
    struct px_control_record *record = find_record(block, owner);
    if (!record) record = claim_record(block, owner);
    if (!record) return -PX_E_NO_SPACE;
    write_record(record, generation);
    return 0;
}

void px_control_block_retire(px_control_block *block, uint64_t epoch) {
    uint64_t owner = epoch + 1;
    struct px_control_record *record = owner == 0 ? NULL : find_record(block, owner);
    if (record) atomic_compare_exchange_strong(&record->owner, &owner, 0);
}

static bool read_words(struct px_control_record *record, uint64_t words[PX_RECORD_WORDS]) {
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t version = atomic_load_explicit(&record->version, memory_order_acquire);
        if (version == 0) return false;
        for (uint32_t w = 0; w < PX_RECORD_WORDS; w++)
            words[w] = atomic_load_explicit(&record->words[version & 1][w], memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&record->version, memory_order_relaxed) == version) return true;
    }
    return false;
}

static bool read_record(struct px_control_record *record, struct px_generation *out) {
    uint64_t words[PX_RECORD_WORDS];
    int32_t state;
    uint64_t owner = atomic_load_explicit(&record->owner, memory_order_acquire);
    if (owner == 0 || !read_words(record, words)) return false;
    memcpy(&state, (char *)words + offsetof(struct px_generation, state), sizeof state);
    if (state < PX_GENERATION_INITIALIZING || state > PX_GENERATION_STOPPING) return false;
    memcpy(out, words, sizeof *out);
    out->version[sizeof out->version - 1] = '\0';
    // Another epoch's words: the place was claimed anew and its owner has not published yet.
    return out->epoch + 1 == owner;
}

static int by_epoch(const void *a, const void *b) {
    uint64_t x = ((const struct px_generation *)a)->epoch, y = ((const struct px_generation *)b)->epoch;
    return x < y ? -1 : x > y;
}

uint32_t px_control_block_generations(const px_control_block *block, struct px_generation *out, uint32_t capacity) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < PX_GENERATIONS_MAX && count < capacity; i++)
        if (read_record(&block->shared->records[i], &out[count])) count++;
    if (count > 1) qsort(out, count, sizeof *out, by_epoch);
    return count;
}
