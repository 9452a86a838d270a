// Sizes and offsets of a stats block, worked out in one place for whoever makes a block and whoever checks one. Stateless.
#include "stats/stats_layout.h"

static uint64_t aligned(uint64_t bytes) {
    return (bytes + PX_STATS_ALIGNMENT - 1) & ~(uint64_t)(PX_STATS_ALIGNMENT - 1);
}

static bool is_in_range(const struct px_stats_shape *shape) {
    return shape->slot_count <= PX_STATS_SLOTS_MAX && shape->cell_count <= (uint64_t)shape->slot_count * PX_STATS_HISTOGRAM_CELLS &&
        shape->cell_count >= shape->slot_count && shape->shard_count >= 1 && shape->shard_count <= PX_STATS_SHARDS_MAX;
}

bool px__stats_shape_init(struct px_stats_shape *shape) {
    if (!is_in_range(shape)) return false;
    shape->magic = PX_STATS_MAGIC;
    shape->layout_version = PX_STATS_LAYOUT;
    shape->header_bytes = sizeof(struct px_stats_header);
    shape->folded_capacity = PX_STATS_FOLDED_MAX;
    shape->known_capacity = PX_STATS_KNOWN_MAX;
    shape->bucket_count = PX_HISTOGRAM_BUCKETS;
    shape->reserved = 0;
    shape->directory_offset = sizeof(struct px_stats_header);
    shape->names_offset = shape->directory_offset + shape->slot_count * sizeof(struct px_stats_entry);
    shape->written_offset = aligned(shape->names_offset + shape->names_bytes);
    shape->base_offset = aligned(shape->written_offset + shape->slot_count);
    shape->base_bytes = aligned(sizeof(struct px_stats_base) + shape->cell_count * sizeof(px_cell));
    shape->shards_offset = shape->base_offset + 2 * shape->base_bytes;
    shape->shard_bytes = aligned(shape->cell_count * sizeof(px_cell));
    shape->bytes = shape->shards_offset + shape->shard_count * shape->shard_bytes;
    return shape->bytes <= PX_STATS_BYTES_MAX;
}
