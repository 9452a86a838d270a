// Own stats block: the mapping and what the owner writes into it besides cells.
#ifndef PX_STATS_BLOCK_INTERNAL_H
#define PX_STATS_BLOCK_INTERNAL_H

#include "base/shared_memory.h"
#include "stats/stats_layout.h"

struct px_stats_block {
    struct px_shared_memory memory;
    struct px_stats_header *header;
    px_cell *main_shard;
};

// Tell relatives that a block is attached here, and what is meant to be done with it. False: no room.
bool px__stats_block_know(px_stats_block *block, uint64_t id, enum px_stats_known_state state);
void px__stats_block_forget(px_stats_block *block, uint64_t id);
// Note that a slot was written once.
void px__stats_block_mark(px_stats_block *block, uint32_t slot);

#endif
