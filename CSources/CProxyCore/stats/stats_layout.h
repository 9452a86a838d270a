// Layout of a stats block. All fields have fixed widths, all padding is written out, and everything before `base_version` follows
// from four counts (px__stats_shape_init), so that a reader checks a header by making it anew and comparing.
//
//   header | directory | names | written | base, copy 0 | base, copy 1 | shard 0 | … | shard n-1
//
// The base copy that version v shows is v & 1: the owner fills the other one and then counts the version up, so that its death
// in the middle of folding leaves one whole copy. A base holds the ids folded into it and one sum for each cell, modulo 2^64: a
// reset subtracts there, and only the total is judged.
#ifndef PX_STATS_LAYOUT_H
#define PX_STATS_LAYOUT_H

#include <stddef.h>

#include "stats/stats_block.h"

#define PX_STATS_MAGIC 0x314b434253585001ull
// Raised by one whenever anything below changes its place or meaning, the histogram's buckets included.
#define PX_STATS_LAYOUT 1u

enum {
    PX_STATS_ALIGNMENT = 64,
    PX_STATS_SLOTS_MAX = 1 << 20,
    PX_STATS_SHARDS_MAX = 4096,
    PX_STATS_FOLDED_MAX = 4096,  // newest ids kept; an older one is known to nobody alive
    PX_STATS_KNOWN_MAX = 64,
    PX_STATS_HISTOGRAM_CELLS = 2 + PX_HISTOGRAM_BUCKETS,  // count, sum, buckets
};
#define PX_STATS_BYTES_MAX ((uint64_t)1 << 36)

// What never changes once the block is made.
struct px_stats_shape {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t header_bytes;
    uint64_t bytes;
    uint32_t slot_count;
    uint32_t cell_count;
    uint32_t shard_count;
    uint32_t names_bytes;
    uint32_t folded_capacity;
    uint32_t known_capacity;
    uint32_t bucket_count;
    uint32_t reserved;
    uint64_t directory_offset;
    uint64_t names_offset;
    uint64_t written_offset;
    uint64_t base_offset;  // of copy 0; copy 1 follows base_bytes later
    uint64_t base_bytes;
    uint64_t shards_offset;
    uint64_t shard_bytes;
    uint64_t id;
    uint64_t epoch;
};
_Static_assert(sizeof(struct px_stats_shape) == 128, "layout of the stats block");
_Static_assert(offsetof(struct px_stats_shape, id) == 112, "layout of the stats block");

// A relative's block that the owner has attached, and what it means to do with it; see stats_fold.c.
enum px_stats_known_state { PX_STATS_LIVES = 0, PX_STATS_DEAD = 1, PX_STATS_DECLINED = 2 };
struct px_stats_known {
    _Atomic uint64_t id;  // 0: free
    _Atomic uint64_t state;
};
_Static_assert(sizeof(struct px_stats_known) == 16, "layout of the stats block");

struct px_stats_header {
    struct px_stats_shape shape;
    _Atomic uint64_t base_version;
    uint64_t reserved[7];
    struct px_stats_known known[PX_STATS_KNOWN_MAX];
};
_Static_assert(offsetof(struct px_stats_header, base_version) == 128, "layout of the stats block");
_Static_assert(offsetof(struct px_stats_header, known) == 192, "layout of the stats block");
_Static_assert(sizeof(struct px_stats_header) == 1216 && sizeof(struct px_stats_header) % PX_STATS_ALIGNMENT == 0, "layout of the stats block");

// A row of the directory; slots are its indexes.
struct px_stats_entry {
    uint32_t name_offset;  // into the names, each of which ends with a NUL
    uint32_t name_length;
    uint32_t first_cell;   // within a shard, and within a base
    uint8_t kind;
    uint8_t import;
    uint16_t reserved;
};
_Static_assert(sizeof(struct px_stats_entry) == 16, "layout of the stats block");

struct px_stats_base {
    _Atomic uint64_t folded_count;
    uint64_t reserved[7];
    _Atomic uint64_t folded[PX_STATS_FOLDED_MAX];  // oldest first
    px_cell cells[];
};
_Static_assert(offsetof(struct px_stats_base, cells) == 64 + 8 * PX_STATS_FOLDED_MAX, "layout of the stats block");

static inline uint32_t px__stats_cells_of(uint32_t kind) {
    return kind == PX_STAT_HISTOGRAM ? PX_STATS_HISTOGRAM_CELLS : 1;
}

static inline struct px_stats_base *px__stats_base(const struct px_stats_shape *shape, void *map, uint64_t version) {
    return (struct px_stats_base *)((char *)map + shape->base_offset + (version & 1) * shape->base_bytes);
}

static inline px_cell *px__stats_shard_at(const struct px_stats_shape *shape, void *map, uint32_t index) {
    return (px_cell *)((char *)map + shape->shards_offset + index * shape->shard_bytes);
}

static inline _Atomic uint8_t *px__stats_written(const struct px_stats_shape *shape, void *map) {
    return (_Atomic uint8_t *)((char *)map + shape->written_offset);
}

// Work out every other field from the four counts, id and epoch in `shape`. False: a count is out of range.
bool px__stats_shape_init(struct px_stats_shape *shape);

#endif
