// Inside of the reader, shared by what reads (stats_read.c) and what folds (stats_fold.c).
#ifndef PX_STATS_READER_H
#define PX_STATS_READER_H

#include "stats/stats_block_internal.h"
#include "stats/stats_builder.h"
#include "stats/stats_view.h"

struct px_stats_reader {
    px_stats_block *own;
    struct px_stats_view self;
    struct px_stats_view *relatives[PX_STATS_KNOWN_MAX];
    uint32_t count;
    px_stats_builder *table;  // own names first, slot by slot, then those that only relatives have
    uint64_t *sums;           // one for each cell of the table
    bool *used;               // one for each slot of the table
    bool is_settled;          // which bases count was worked out since anything changed
};

// Fold what is to be folded here, drop what was folded elsewhere, and decide which bases count. Before every reading.
void px__stats_settle(px_stats_reader *reader);
// Sum the table's slots [first, last) into reader->sums and reader->used.
void px__stats_sum(px_stats_reader *reader, uint32_t first, uint32_t last);
// Unmap and forget a relative.
void px__stats_drop(px_stats_reader *reader, uint32_t index);

// Own block first, then the relatives': 0 … count.
static inline struct px_stats_view *px__stats_view_at(px_stats_reader *reader, uint32_t index) {
    return index == 0 ? &reader->self : reader->relatives[index - 1];
}

// Slot in the view's block, or UINT32_MAX.
static inline uint32_t px__stats_slot_in(const struct px_stats_view *view, uint32_t slot) {
    return view->slots[slot] - 1;
}

#endif
