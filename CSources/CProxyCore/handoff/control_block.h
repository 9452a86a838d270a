// Layout of the control block, and the one question the data path asks of it.
//
// A generation's record is kept twice: its owner writes the copy that is not current and then publishes it by counting
// `version` up, so that a reader finds a whole record even if the owner died in the middle. The copy that version v shows is
// v & 1; v == 0 shows none.
#ifndef PX_CONTROL_BLOCK_H
#define PX_CONTROL_BLOCK_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/shared_memory.h"
#include "include/px_handoff.h"

#define PX_CONTROL_MAGIC 0x314b434c42585001ull
// Raised by one whenever anything below changes its place or meaning.
#define PX_CONTROL_LAYOUT 1u
#define PX_LOCK_COUNT 2u

enum { PX_RECORD_WORDS = sizeof(struct px_generation) / sizeof(uint64_t) };
_Static_assert(sizeof(struct px_generation) == 104, "layout of the control block");
_Static_assert(sizeof(struct px_generation) % sizeof(uint64_t) == 0, "layout of the control block");

struct px_control_lock {
    pthread_mutex_t mutex;  // robust, process-shared
    // A write under this lock ended in the middle of a line (disk full); whoever writes next ends the line first.
    _Alignas(8) _Atomic uint32_t line_is_partial;
    uint32_t reserved;
};

struct px_control_record {
    _Atomic uint64_t owner;  // epoch + 1; 0: free
    _Atomic uint64_t version;
    _Atomic uint64_t words[2][PX_RECORD_WORDS];
};
_Static_assert(sizeof(struct px_control_record) == 224, "layout of the control block");

struct px_control_layout {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t bytes;
    uint32_t mutex_bytes;  // sizeof(pthread_mutex_t): the two programs may be linked to different C libraries
    uint32_t lock_count;
    uint32_t record_count;
    uint32_t record_bytes;
    uint64_t reserved[4];
    _Alignas(64) _Atomic uint64_t serving;
    _Alignas(64) struct px_control_lock locks[PX_LOCK_COUNT];
    _Alignas(64) struct px_control_record records[PX_GENERATIONS_MAX];
};
_Static_assert(offsetof(struct px_control_layout, serving) == 64, "layout of the control block");
_Static_assert(offsetof(struct px_control_layout, locks) == 128, "layout of the control block");

struct px_control_block {
    struct px_control_layout *shared;
    struct px_shared_memory memory;
    _Atomic bool is_stuck[PX_LOCK_COUNT];  // this process has waited for the lock's holder in vain (locked_write.c)
};

// Whether `epoch` is the one that serves. Data path: one load of a word that changes once per restart. Any thread.
static inline bool px__control_block_serves(const px_control_block *block, uint64_t epoch) {
    return atomic_load_explicit(&block->shared->serving, memory_order_acquire) == epoch;
}

#endif
