// Inside view of the stats block: what a worker needs to count. One shard per writer thread; each cell is written by its thread
// alone, with a relaxed load and store (a plain add in machine code, no locked instruction), and read by anybody.
#ifndef PX_STATS_BLOCK_H
#define PX_STATS_BLOCK_H

#include <stdatomic.h>

#include "include/px_stats.h"

typedef _Atomic uint64_t px_cell;

// Shard `index` of the block (workers 0 … n-1, then the main thread).
px_cell *px__stats_shard(px_stats_block *block, uint32_t index);
// Index of a slot's first cell within every shard. A counter or gauge has one cell; a histogram has count, sum, then buckets.
uint32_t px__stats_cell(const px_stats_block *block, uint32_t slot);
// Bucket of a value, 0 … PX_HISTOGRAM_BUCKETS-1.
uint32_t px__histogram_bucket(uint64_t value);

static inline void px__cell_add(px_cell *shard, uint32_t cell, uint64_t delta) {
    uint64_t value = atomic_load_explicit(&shard[cell], memory_order_relaxed);
    atomic_store_explicit(&shard[cell], value + delta, memory_order_relaxed);
}

static inline void px__cell_record(px_cell *shard, uint32_t cell, uint64_t value) {
    px__cell_add(shard, cell, 1);
    px__cell_add(shard, cell + 1, value);
    px__cell_add(shard, cell + 2 + px__histogram_bucket(value), 1);
}

#endif
