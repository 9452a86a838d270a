// Names of statistics before a block is made. Slots are dense and in the order in which the names came.
//
// Threads: owner only. Memory: grows by doubling; a failed growth leaves the builder as it was.
#include "stats/stats_builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stats/stats_view.h"

px_stats_builder *px_stats_builder_create(void) {
    return calloc(1, sizeof(struct px_stats_builder));
}

void px_stats_builder_destroy(px_stats_builder *builder) {
    if (!builder) return;
    free(builder->entries);
    free(builder->names);
    free(builder->index);
    free(builder);
}

// FNV-1a: names come from configurations of the same user, so nobody chooses them to collide.
static uint32_t hash(const char *name, size_t length) {
    uint32_t value = 2166136261u;
    for (size_t i = 0; i < length; i++) value = (value ^ (uint8_t)name[i]) * 16777619u;
    return value ^ value >> 15;
}

static bool has_name(const px_stats_builder *builder, uint32_t slot, const char *name, size_t length) {
    const struct px_stats_entry *entry = &builder->entries[slot];
    return entry->name_length == length && memcmp(builder->names + entry->name_offset, name, length) == 0;
}

// Place of a name in the index, or the free place it would get.
static uint32_t find_place(const px_stats_builder *builder, const char *name, size_t length) {
    uint32_t mask = builder->index_capacity - 1;
    uint32_t place = hash(name, length) & mask;
    while (builder->index[place] != 0 && !has_name(builder, builder->index[place] - 1, name, length)) place = (place + 1) & mask;
    return place;
}

uint32_t px__stats_builder_find(const px_stats_builder *builder, const char *name, size_t length) {
    if (builder->index_capacity == 0) return UINT32_MAX;
    return builder->index[find_place(builder, name, length)] - 1;
}

static bool grow_index(px_stats_builder *builder) {
    if (builder->count < builder->index_capacity / 2) return true;
    uint32_t capacity = builder->index_capacity ? builder->index_capacity * 2 : 256;
    uint32_t *index = calloc(capacity, sizeof *index);
    if (!index) return false;
    free(builder->index);
    builder->index = index;
    builder->index_capacity = capacity;
    for (uint32_t i = 0; i < builder->count; i++)
        index[find_place(builder, px__stats_builder_name(builder, i), builder->entries[i].name_length)] = i + 1;
    return true;
}

static bool grow_entries(px_stats_builder *builder) {
    if (builder->count < builder->capacity) return true;
    uint32_t capacity = builder->capacity ? builder->capacity * 2 : 128;
    struct px_stats_entry *entries = realloc(builder->entries, capacity * sizeof *entries);
    if (!entries) return false;
    builder->entries = entries;
    builder->capacity = capacity;
    return true;
}

static bool grow_names(px_stats_builder *builder, size_t bytes) {
    if (builder->names_capacity - builder->names_bytes >= bytes) return true;
    uint32_t capacity = builder->names_capacity ? builder->names_capacity * 2 : 8192;  // over twice the longest name
    char *names = realloc(builder->names, capacity);
    if (!names) return false;
    builder->names = names;
    builder->names_capacity = capacity;
    return true;
}

int px_stats_builder_add(px_stats_builder *builder, const char *name, enum px_stat_kind kind, enum px_stat_import import) {
    size_t length = strnlen(name, PX_STAT_NAME_MAX + 1);
    if (length == 0 || length > PX_STAT_NAME_MAX) return -EINVAL;
    uint32_t slot = px__stats_builder_find(builder, name, length);
    if (slot != UINT32_MAX) return builder->entries[slot].kind == kind ? (int)slot : -EINVAL;
    if (builder->count == PX_STATS_SLOTS_MAX) return -ENOMEM;
    if (!grow_entries(builder) || !grow_names(builder, length + 1) || !grow_index(builder)) return -ENOMEM;
    slot = builder->count;
    builder->entries[slot] = (struct px_stats_entry){
        .name_offset = builder->names_bytes,
        .name_length = (uint32_t)length,
        .first_cell = builder->cell_count,
        .kind = (uint8_t)kind,
        .import = (uint8_t)import,
    };
    memcpy(builder->names + builder->names_bytes, name, length + 1);
    builder->index[find_place(builder, name, length)] = slot + 1;
    builder->names_bytes += (uint32_t)length + 1;
    builder->cell_count += px__stats_cells_of(kind);
    builder->count++;
    return (int)slot;
}

static bool is_wanted(const px_stats_builder *builder, const struct px_stats_view *view, uint32_t slot) {
    const struct px_stats_entry *entry = &view->entries[slot];
    return entry->kind != PX_STAT_GAUGE && px__stats_builder_find(builder, view->names + entry->name_offset, entry->name_length) == UINT32_MAX;
}

int px_stats_builder_add_block(px_stats_builder *builder, int fd, uint32_t limit) {
    struct px_stats_view view;
    uint32_t added = 0, left_out = 0;
    int result = px__stats_view_open(&view, fd, NULL);
    if (result < 0) return result;
    for (uint32_t i = 0; i < view.shape.slot_count && result >= 0; i++) {
        if (!is_wanted(builder, &view, i)) continue;
        if (added == limit) {
            left_out++;
            continue;
        }
        const struct px_stats_entry *entry = &view.entries[i];
        result = px_stats_builder_add(builder, view.names + entry->name_offset, entry->kind, entry->import);
        added++;
    }
    view.memory.fd = -1;  // stays the caller's
    px__stats_view_close(&view);
    return result < 0 ? result : (int)left_out;
}
