// A block as a reader sees it: mapping, and private copies of all that must not change under the reader's feet.
//
// A relative's owner can write into its block at any time, so nothing that was checked is read a second time: shape, directory
// and names are copied first and checked in the copy. What stays shared is numbers: cells, ids, the base's version.
#ifndef PX_STATS_VIEW_H
#define PX_STATS_VIEW_H

#include "base/shared_memory.h"
#include "stats/stats_layout.h"

struct px_stats_view {
    struct px_shared_memory memory;
    struct px_stats_shape shape;
    struct px_stats_entry *entries;
    char *names;
    // Kept by the reader.
    uint32_t *slots;        // slot in this block + 1 for each name of the reader's table, 0: has no such name
    uint64_t *folded;       // ids of the base at base_version, sorted
    uint32_t folded_count;
    uint64_t base_version;
    bool is_loaded;         // `folded` was ever read
    bool counts_base;       // not contained in another base that is counted
    bool is_dead;
    bool is_declined;
    bool waits;             // an older living relative is to fold it
};

static inline struct px_stats_header *px__stats_view_header(const struct px_stats_view *view) {
    return view->memory.map;
}

// Map a relative's block read-only and check it. Takes `fd` on success only. 0, -PX_E_INCOMPATIBLE or -errno.
int px__stats_view_open(struct px_stats_view *view, int fd, struct px_detail *detail);
// See own block; the mapping stays the block's.
int px__stats_view_own(struct px_stats_view *view, const struct px_shared_memory *memory);
// Free all, unmap and close. For own block's view the mapping must have been taken out of it first.
void px__stats_view_close(struct px_stats_view *view);

// Read the ids of the base again if its version is another one. Returns whether it was.
bool px__stats_view_refresh(struct px_stats_view *view);
bool px__stats_view_has_folded(const struct px_stats_view *view, uint64_t id);
// Whether the two bases have an id in common.
bool px__stats_view_overlaps(const struct px_stats_view *view, const struct px_stats_view *other);
// Whether the base is still the one whose ids were read last. Call after reading its cells.
bool px__stats_view_is_current(const struct px_stats_view *view);
// State in which the block's owner has `id` attached (enum px_stats_known_state), or -1.
int px__stats_view_knows(const struct px_stats_view *view, uint64_t id);
// Sums of a slot's cells: of all shards, and of the base. They add to `sums`; true if any cell was not 0.
bool px__stats_view_add_shards(const struct px_stats_view *view, uint32_t slot, uint64_t *sums);
bool px__stats_view_add_base(const struct px_stats_view *view, uint32_t slot, uint64_t *sums);

#endif
