// Making a stats block, and the owner's writes to it.
//
// Threads: each shard has one writer, the last one is the main thread's; header, base and `written` are the main thread's.
// Invariant: nothing but cells, `known`, `written` and the base ever changes after creation.
#include "stats/stats_block_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log_ring.h"
#include "stats/stats_builder.h"

static int make_id(uint64_t *id) {
    do {
        ssize_t count = getrandom(id, sizeof *id, 0);
        if (count < 0 && errno != EINTR) return -errno;
        if (count != sizeof *id) *id = 0;
    } while (*id == 0);
    return 0;
}

static void fill(px_stats_block *block, const struct px_stats_shape *shape, const px_stats_builder *builder) {
    char *map = block->memory.map;
    block->header = block->memory.map;
    block->header->shape = *shape;
    if (builder->count > 0) {
        memcpy(map + shape->directory_offset, builder->entries, builder->count * sizeof *builder->entries);
        memcpy(map + shape->names_offset, builder->names, builder->names_bytes);
    }
    block->main_shard = px__stats_shard_at(shape, map, shape->shard_count - 1);
}

px_stats_block *px_stats_block_create(const px_stats_builder *builder, uint32_t shards, uint64_t epoch, struct px_detail *detail) {
    struct px_stats_shape shape = {
        .slot_count = builder->count,
        .cell_count = builder->cell_count,
        .shard_count = shards,
        .names_bytes = builder->names_bytes,
        .epoch = epoch,
    };
    px_stats_block *block = NULL;
    int code = make_id(&shape.id);
    if (code < 0) {
        px_fail(detail, code, "getrandom", "stats block", "%s", "");
        return NULL;
    }
    if (!px__stats_shape_init(&shape)) {
        px_fail(detail, -EINVAL, "create", "stats block", "%u names, %u cells and %u shards are more than a block can have (or no shard)", builder->count, builder->cell_count, shards);
        return NULL;
    }
    block = calloc(1, sizeof *block);
    if (!block) {
        px_fail(detail, -ENOMEM, "calloc", "stats block", "asked for %zu bytes", sizeof *block);
        return NULL;
    }
    if (px__shared_memory_create(&block->memory, "proxy-stats", shape.bytes, PX_SHARED_READ_ONLY, detail) < 0) {
        free(block);
        return NULL;
    }
    fill(block, &shape, builder);
    return block;
}

void px_stats_block_destroy(px_stats_block *block) {
    if (!block) return;
    px__shared_memory_detach(&block->memory);
    free(block);
}

int px_stats_block_fd(const px_stats_block *block) {
    return block->memory.fd;
}

uint64_t px_stats_block_id(const px_stats_block *block) {
    return block->header->shape.id;
}

uint64_t px_stats_block_bytes(const px_stats_block *block) {
    return block->header->shape.bytes;
}

px_cell *px__stats_shard(px_stats_block *block, uint32_t index) {
    return px__stats_shard_at(&block->header->shape, block->memory.map, index);
}

uint32_t px__stats_cell(const px_stats_block *block, uint32_t slot) {
    const char *map = block->memory.map;
    return ((const struct px_stats_entry *)(map + block->header->shape.directory_offset))[slot].first_cell;
}

void px__stats_block_mark(px_stats_block *block, uint32_t slot) {
    atomic_store_explicit(&px__stats_written(&block->header->shape, block->memory.map)[slot], 1, memory_order_relaxed);
}

void px_stats_add(px_stats_block *block, uint32_t slot, int64_t delta) {
    px__stats_block_mark(block, slot);
    px__cell_add(block->main_shard, px__stats_cell(block, slot), (uint64_t)delta);
}

void px_stats_set(px_stats_block *block, uint32_t slot, int64_t value) {
    px__stats_block_mark(block, slot);
    atomic_store_explicit(&block->main_shard[px__stats_cell(block, slot)], (uint64_t)value, memory_order_relaxed);
}

void px_stats_record(px_stats_block *block, uint32_t slot, uint64_t value) {
    px__stats_block_mark(block, slot);
    px__cell_record(block->main_shard, px__stats_cell(block, slot), value);
}

static struct px_stats_known *find_known(px_stats_block *block, uint64_t id) {
    struct px_stats_known *known = block->header->known;
    for (uint32_t i = 0; i < PX_STATS_KNOWN_MAX; i++)
        if (atomic_load_explicit(&known[i].id, memory_order_relaxed) == id) return &known[i];
    return NULL;
}

bool px__stats_block_know(px_stats_block *block, uint64_t id, enum px_stats_known_state state) {
    struct px_stats_known *known = find_known(block, id);
    if (!known) known = find_known(block, 0);
    if (!known) return false;
    atomic_store_explicit(&known->state, state, memory_order_release);
    atomic_store_explicit(&known->id, id, memory_order_release);
    return true;
}

void px__stats_block_forget(px_stats_block *block, uint64_t id) {
    struct px_stats_known *known = find_known(block, id);
    if (known) atomic_store_explicit(&known->id, 0, memory_order_release);
}
