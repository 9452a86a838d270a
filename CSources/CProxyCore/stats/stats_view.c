// Mapping, checking and reading one stats block. See stats_view.h for what is copied and why.
//
// Threads: the reader's. A hostile owner can give wrong numbers, but not make us read outside the mapping or loop for ever:
// offsets come from the checked copy, counts are clamped, tries are bounded.
#include "stats/stats_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log_ring.h"

enum { READ_TRIES = 64 };  // a base changes when a generation dies; a reader that loses this often meets nonsense

static const char object[] = "stats block";

static int check_shape(const struct px_stats_shape *shape, size_t bytes, struct px_detail *detail) {
    struct px_stats_shape expected = {
        .slot_count = shape->slot_count,
        .cell_count = shape->cell_count,
        .shard_count = shape->shard_count,
        .names_bytes = shape->names_bytes,
        .id = shape->id,
        .epoch = shape->epoch,
    };
    if (shape->magic != PX_STATS_MAGIC) return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", object, "not a stats block");
    if (shape->layout_version != PX_STATS_LAYOUT)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", object, "layout %u, wanted %u", shape->layout_version, PX_STATS_LAYOUT);
    if (!px__stats_shape_init(&expected) || memcmp(shape, &expected, sizeof expected) != 0 || shape->bytes != bytes || shape->id == 0)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", object, "header does not fit together: %u names, %u cells, %u shards, %zu bytes",
            shape->slot_count, shape->cell_count, shape->shard_count, bytes);
    return 0;
}

static bool is_name(const struct px_stats_view *view, const struct px_stats_entry *entry, uint64_t offset) {
    return entry->name_offset == offset && entry->name_length >= 1 && entry->name_length <= PX_STAT_NAME_MAX &&
        offset + entry->name_length < view->shape.names_bytes &&
        strnlen(view->names + entry->name_offset, entry->name_length + (size_t)1) == entry->name_length;
}

static int check_directory(const struct px_stats_view *view, struct px_detail *detail) {
    uint64_t cells = 0, names = 0;
    for (uint32_t i = 0; i < view->shape.slot_count; i++) {
        const struct px_stats_entry *entry = &view->entries[i];
        if (!is_name(view, entry, names) || entry->kind > PX_STAT_HISTOGRAM || entry->import > PX_IMPORT_NEVER || entry->reserved != 0 ||
            entry->first_cell != cells)
            return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", object, "directory entry %u is malformed", i);
        cells += px__stats_cells_of(entry->kind);
        names += entry->name_length + (uint64_t)1;
    }
    if (cells == view->shape.cell_count && names == view->shape.names_bytes) return 0;
    return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", object, "directory has %llu cells and %llu bytes of names, header says %u and %u",
        (unsigned long long)cells, (unsigned long long)names, view->shape.cell_count, view->shape.names_bytes);
}

static void free_copies(struct px_stats_view *view) {
    free(view->entries);
    free(view->names);
    free(view->slots);
    free(view->folded);
}

// Copy, then check the copy.
static int load(struct px_stats_view *view, struct px_detail *detail) {
    const char *map = view->memory.map;
    memcpy(&view->shape, map, sizeof view->shape);
    int code = check_shape(&view->shape, view->memory.bytes, detail);
    if (code < 0) return code;
    size_t entries_bytes = view->shape.slot_count * sizeof *view->entries;
    view->entries = malloc(entries_bytes + 1);
    view->names = malloc(view->shape.names_bytes + (size_t)1);
    view->folded = malloc(PX_STATS_FOLDED_MAX * sizeof *view->folded);
    if (!view->entries || !view->names || !view->folded) {
        code = px_fail(detail, -ENOMEM, "malloc", object, "asked for %zu bytes", entries_bytes + view->shape.names_bytes);
    } else {
        memcpy(view->entries, map + view->shape.directory_offset, entries_bytes);
        memcpy(view->names, map + view->shape.names_offset, view->shape.names_bytes);
        code = check_directory(view, detail);
    }
    if (code < 0) free_copies(view);
    return code;
}

int px__stats_view_open(struct px_stats_view *view, int fd, struct px_detail *detail) {
    *view = (struct px_stats_view){0};
    int code = px__shared_memory_attach(&view->memory, fd, object, sizeof(struct px_stats_header), PX_STATS_BYTES_MAX, PX_SHARED_READ_ONLY, detail);
    if (code < 0) return code;
    code = load(view, detail);
    if (code == 0) return 0;
    view->memory.fd = -1;  // stays the caller's
    px__shared_memory_detach(&view->memory);
    return code;
}

int px__stats_view_own(struct px_stats_view *view, const struct px_shared_memory *memory) {
    *view = (struct px_stats_view){.memory = *memory};
    return load(view, NULL);
}

void px__stats_view_close(struct px_stats_view *view) {
    free_copies(view);
    if (view->memory.map) px__shared_memory_detach(&view->memory);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t load_version(const struct px_stats_view *view) {
    return atomic_load_explicit(&px__stats_view_header(view)->base_version, memory_order_acquire);
}

bool px__stats_view_is_current(const struct px_stats_view *view) {
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&px__stats_view_header(view)->base_version, memory_order_relaxed) == view->base_version;
}

static void copy_folded(struct px_stats_view *view) {
    struct px_stats_base *base = px__stats_base(&view->shape, view->memory.map, view->base_version);
    uint64_t count = atomic_load_explicit(&base->folded_count, memory_order_relaxed);
    view->folded_count = count < PX_STATS_FOLDED_MAX ? (uint32_t)count : PX_STATS_FOLDED_MAX;
    for (uint32_t i = 0; i < view->folded_count; i++) view->folded[i] = atomic_load_explicit(&base->folded[i], memory_order_relaxed);
}

bool px__stats_view_refresh(struct px_stats_view *view) {
    uint64_t version = load_version(view);
    if (view->is_loaded && version == view->base_version) return false;
    for (int i = 0; i < READ_TRIES; i++) {
        view->base_version = version;
        copy_folded(view);
        if (px__stats_view_is_current(view)) break;
        version = load_version(view);
    }
    qsort(view->folded, view->folded_count, sizeof *view->folded, by_value);
    view->is_loaded = true;
    return true;
}

bool px__stats_view_has_folded(const struct px_stats_view *view, uint64_t id) {
    return view->folded_count > 0 && bsearch(&id, view->folded, view->folded_count, sizeof id, by_value) != NULL;
}

bool px__stats_view_overlaps(const struct px_stats_view *view, const struct px_stats_view *other) {
    uint32_t i = 0, k = 0;
    while (i < view->folded_count && k < other->folded_count) {
        if (view->folded[i] == other->folded[k]) return true;
        if (view->folded[i] < other->folded[k]) i++;
        else k++;
    }
    return false;
}

int px__stats_view_knows(const struct px_stats_view *view, uint64_t id) {
    struct px_stats_known *known = px__stats_view_header(view)->known;
    for (uint32_t i = 0; i < PX_STATS_KNOWN_MAX; i++) {
        if (atomic_load_explicit(&known[i].id, memory_order_acquire) != id) continue;
        uint64_t state = atomic_load_explicit(&known[i].state, memory_order_acquire);
        return state <= PX_STATS_DECLINED ? (int)state : PX_STATS_LIVES;
    }
    return -1;
}

static bool add_cells(const px_cell *cells, const struct px_stats_entry *entry, uint64_t *sums) {
    uint64_t any = 0;
    for (uint32_t i = 0; i < px__stats_cells_of(entry->kind); i++) {
        uint64_t value = atomic_load_explicit(&cells[entry->first_cell + i], memory_order_relaxed);
        sums[i] += value;
        any |= value;
    }
    return any != 0;
}

bool px__stats_view_add_shards(const struct px_stats_view *view, uint32_t slot, uint64_t *sums) {
    bool any = false;
    for (uint32_t i = 0; i < view->shape.shard_count; i++)
        any |= add_cells(px__stats_shard_at(&view->shape, view->memory.map, i), &view->entries[slot], sums);
    return any;
}

bool px__stats_view_add_base(const struct px_stats_view *view, uint32_t slot, uint64_t *sums) {
    return add_cells(px__stats_base(&view->shape, view->memory.map, view->base_version)->cells, &view->entries[slot], sums);
}
