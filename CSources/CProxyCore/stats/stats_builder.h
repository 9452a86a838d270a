// A growing table of statistics' names: what a block is made from, and how a reader finds one name in many blocks.
#ifndef PX_STATS_BUILDER_H
#define PX_STATS_BUILDER_H

#include "stats/stats_layout.h"

struct px_stats_builder {
    struct px_stats_entry *entries;
    uint32_t count, capacity;
    char *names;
    uint32_t names_bytes, names_capacity;
    uint32_t *index;  // open addressing, at most half full: slot + 1, 0 is free
    uint32_t index_capacity;
    uint32_t cell_count;
};

// Slot of a name, or UINT32_MAX.
uint32_t px__stats_builder_find(const px_stats_builder *builder, const char *name, size_t length);
static inline const char *px__stats_builder_name(const px_stats_builder *builder, uint32_t slot) {
    return builder->names + builder->entries[slot].name_offset;
}

#endif
