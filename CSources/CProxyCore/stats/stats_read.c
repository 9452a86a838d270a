// Reader: attaches relatives' blocks and sums statistics over own block, living relatives and bases.
//
// A sum is taken from one consistent picture: bases' versions are noted first and checked last, and if one of them changed (a
// relative folded meanwhile) the sum is taken again. So a block that moves from "attached" to "in somebody's base" is met in
// exactly one of the two places. Threads: owner only.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log_ring.h"
#include "stats/stats_reader.h"

enum { SUM_TRIES = 64 };

// ---- table of names -----------------------------------------------------------------------------------------------------------

static int add_names(px_stats_builder *table, const struct px_stats_view *view) {
    for (uint32_t i = 0; i < view->shape.slot_count; i++) {
        const struct px_stats_entry *entry = &view->entries[i];
        int slot = px_stats_builder_add(table, view->names + entry->name_offset, entry->kind, entry->import);
        if (slot == -ENOMEM) return slot;  // -EINVAL: of another kind than elsewhere, so it is not shown
    }
    return 0;
}

// Slots of the view's block in the order of the table.
static uint32_t *map_slots(const px_stats_builder *table, const struct px_stats_view *view) {
    uint32_t *slots = calloc(table->count + (size_t)1, sizeof *slots);
    if (!slots) return NULL;
    for (uint32_t i = 0; i < view->shape.slot_count; i++) {
        const struct px_stats_entry *entry = &view->entries[i];
        uint32_t slot = px__stats_builder_find(table, view->names + entry->name_offset, entry->name_length);
        if (slot != UINT32_MAX && table->entries[slot].kind == entry->kind) slots[slot] = i + 1;
    }
    return slots;
}

struct new_table {
    px_stats_builder *table;
    uint64_t *sums;
    bool *used;
    uint32_t *slots[PX_STATS_KNOWN_MAX + 1];
};

static void discard(struct new_table *new, uint32_t count) {
    px_stats_builder_destroy(new->table);
    free(new->sums);
    free(new->used);
    for (uint32_t i = 0; i <= count; i++) free(new->slots[i]);
}

static int make_table(px_stats_reader *reader, struct new_table *new) {
    new->table = px_stats_builder_create();
    if (!new->table) return -ENOMEM;
    for (uint32_t i = 0; i <= reader->count; i++)
        if (add_names(new->table, px__stats_view_at(reader, i)) < 0) return -ENOMEM;
    new->sums = calloc(new->table->cell_count + (size_t)1, sizeof *new->sums);
    new->used = calloc(new->table->count + (size_t)1, sizeof *new->used);
    if (!new->sums || !new->used) return -ENOMEM;
    for (uint32_t i = 0; i <= reader->count; i++) {
        new->slots[i] = map_slots(new->table, px__stats_view_at(reader, i));
        if (!new->slots[i]) return -ENOMEM;
    }
    return 0;
}

// Make the table anew for the blocks attached now; names of dropped ones go.
static int rebuild_table(px_stats_reader *reader) {
    struct new_table new = {0};
    int code = make_table(reader, &new);
    if (code < 0) {
        discard(&new, reader->count);
        return code;
    }
    px_stats_builder_destroy(reader->table);
    free(reader->sums);
    free(reader->used);
    reader->table = new.table;
    reader->sums = new.sums;
    reader->used = new.used;
    for (uint32_t i = 0; i <= reader->count; i++) {
        free(px__stats_view_at(reader, i)->slots);
        px__stats_view_at(reader, i)->slots = new.slots[i];
    }
    return 0;
}

// ---- attaching ----------------------------------------------------------------------------------------------------------------

px_stats_reader *px_stats_reader_create(px_stats_block *own) {
    px_stats_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return NULL;
    reader->own = own;
    if (px__stats_view_own(&reader->self, &own->memory) < 0) {
        free(reader);
        return NULL;
    }
    if (rebuild_table(reader) < 0) {
        px_stats_reader_destroy(reader);
        return NULL;
    }
    return reader;
}

void px_stats_reader_destroy(px_stats_reader *reader) {
    if (!reader) return;
    while (reader->count > 0) px__stats_drop(reader, reader->count - 1);
    reader->self.memory.map = NULL;  // the block's
    px__stats_view_close(&reader->self);
    px_stats_builder_destroy(reader->table);
    free(reader->sums);
    free(reader->used);
    free(reader);
}

void px__stats_drop(px_stats_reader *reader, uint32_t index) {
    struct px_stats_view *view = reader->relatives[index];
    reader->count--;
    memmove(&reader->relatives[index], &reader->relatives[index + 1], (reader->count - index) * sizeof reader->relatives[0]);
    reader->is_settled = false;
    px__stats_block_forget(reader->own, view->shape.id);
    px__stats_view_close(view);
    free(view);
}

static bool is_known(px_stats_reader *reader, uint64_t id) {
    if (id == reader->self.shape.id) return true;
    for (uint32_t i = 0; i <= reader->count; i++) {
        struct px_stats_view *view = px__stats_view_at(reader, i);
        px__stats_view_refresh(view);
        if (view->shape.id == id || px__stats_view_has_folded(view, id)) return true;
    }
    return false;
}

static int add_view(px_stats_reader *reader, struct px_stats_view *view, struct px_detail *detail) {
    if (reader->count == PX_STATS_KNOWN_MAX)
        return px_fail(detail, -PX_E_NO_SPACE, "attach", "stats block", "%u blocks are attached, the most there can be", reader->count);
    reader->relatives[reader->count++] = view;
    if (rebuild_table(reader) < 0) {
        reader->count--;
        return px_fail(detail, -ENOMEM, "malloc", "stats block", "names of %u statistics", view->shape.slot_count);
    }
    // Told to the relatives before their bases are looked at: see stats_fold.c.
    (void)px__stats_block_know(reader->own, view->shape.id, PX_STATS_LIVES);
    reader->is_settled = false;
    px__stats_settle(reader);
    return 0;
}

static int check_epoch(const struct px_stats_view *view, const uint64_t *epoch, struct px_detail *detail) {
    if (!epoch || view->shape.epoch == *epoch) return 0;
    return px_fail(detail, -PX_E_INCOMPATIBLE, "attach", "stats block", "it is of epoch %llu, wanted %llu",
        (unsigned long long)view->shape.epoch, (unsigned long long)*epoch);
}

static int attach(px_stats_reader *reader, const uint64_t *epoch, int fd, uint64_t *id, struct px_detail *detail) {
    struct px_stats_view *view = calloc(1, sizeof *view);
    if (!view) return px_fail(detail, -ENOMEM, "calloc", "stats block", "asked for %zu bytes", sizeof *view);
    int code = px__stats_view_open(view, fd, detail);
    if (code < 0) {
        free(view);
        return code;
    }
    if (id) *id = view->shape.id;
    code = check_epoch(view, epoch, detail);
    if (code == 0) code = is_known(reader, view->shape.id) ? -EEXIST : add_view(reader, view, detail);
    if (code == 0) return 0;
    view->memory.fd = -1;  // stays the caller's
    px__stats_view_close(view);
    free(view);
    return code;
}

int px_stats_reader_attach_fd(px_stats_reader *reader, int fd, uint64_t *id, struct px_detail *detail) {
    return attach(reader, NULL, fd, id, detail);
}

int px_stats_reader_attach_fd_of(px_stats_reader *reader, uint64_t epoch, int fd, uint64_t *id, struct px_detail *detail) {
    return attach(reader, &epoch, fd, id, detail);
}

uint32_t px_stats_reader_count(const px_stats_reader *reader) {
    return reader->count;
}

int px_stats_reader_fd(const px_stats_reader *reader, uint32_t index) {
    return reader->relatives[index]->memory.fd;
}

uint64_t px_stats_reader_block_id(const px_stats_reader *reader, uint32_t index) {
    return reader->relatives[index]->shape.id;
}

uint64_t px_stats_reader_epoch(const px_stats_reader *reader, uint32_t index) {
    return reader->relatives[index]->shape.epoch;
}

// ---- summing ------------------------------------------------------------------------------------------------------------------

static bool was_written(const struct px_stats_view *view, uint32_t slot) {
    return atomic_load_explicit(&px__stats_written(&view->shape, view->memory.map)[slot], memory_order_relaxed) != 0;
}

static void add_slot(px_stats_reader *reader, const struct px_stats_view *view, uint32_t slot) {
    const struct px_stats_entry *entry = &reader->table->entries[slot];
    uint64_t *sums = reader->sums + entry->first_cell;
    uint32_t theirs = px__stats_slot_in(view, slot);
    bool is_gauge = entry->kind == PX_STAT_GAUGE;
    if (theirs == UINT32_MAX) return;
    if (is_gauge && (view->is_dead || (view != &reader->self && entry->import == PX_IMPORT_NEVER))) return;
    bool any = px__stats_view_add_shards(view, theirs, sums);
    if (!is_gauge && view->counts_base) any |= px__stats_view_add_base(view, theirs, sums);
    if (any || was_written(view, theirs)) reader->used[slot] = true;
}

static void sum_once(px_stats_reader *reader, uint32_t first, uint32_t last) {
    for (uint32_t slot = first; slot < last; slot++) {
        const struct px_stats_entry *entry = &reader->table->entries[slot];
        memset(reader->sums + entry->first_cell, 0, px__stats_cells_of(entry->kind) * sizeof *reader->sums);
        reader->used[slot] = false;
        for (uint32_t i = 0; i <= reader->count; i++) add_slot(reader, px__stats_view_at(reader, i), slot);
    }
}

static bool is_current(px_stats_reader *reader) {
    for (uint32_t i = 0; i < reader->count; i++)
        if (!px__stats_view_is_current(reader->relatives[i])) return false;
    return true;
}

void px__stats_sum(px_stats_reader *reader, uint32_t first, uint32_t last) {
    for (int i = 0; i < SUM_TRIES; i++) {
        px__stats_settle(reader);
        sum_once(reader, first, last);
        if (is_current(reader)) return;
    }
}

// A reset by somebody who reaches more blocks than we do leaves less than nothing here.
static uint64_t shown(uint64_t sum) {
    return (int64_t)sum < 0 ? 0 : sum;
}

static bool is_shown(px_stats_reader *reader, uint32_t slot) {
    const struct px_stats_entry *entry = &reader->table->entries[slot];
    if (slot < reader->self.shape.slot_count) return true;
    if (entry->kind == PX_STAT_GAUGE && entry->import == PX_IMPORT_NEVER) return false;
    for (uint32_t i = 0; i < reader->count; i++)
        if (px__stats_slot_in(reader->relatives[i], slot) != UINT32_MAX && !(entry->kind == PX_STAT_GAUGE && reader->relatives[i]->is_dead)) return true;
    return false;
}

// The count is the sum of the buckets, so that the two agree even where a value is being recorded or was cut by a kill.
static void fill_histogram(struct px_stat *stat, uint64_t *cells) {
    stat->histogram_sum = shown(cells[1]);
    for (uint32_t i = 0; i < PX_HISTOGRAM_BUCKETS; i++) {
        cells[2 + i] = shown(cells[2 + i]);
        stat->histogram_count += cells[2 + i];
    }
    stat->buckets = cells + 2;
}

static void fill(px_stats_reader *reader, uint32_t slot, struct px_stat *stat) {
    const struct px_stats_entry *entry = &reader->table->entries[slot];
    uint64_t *cells = reader->sums + entry->first_cell;
    *stat = (struct px_stat){
        .name = px__stats_builder_name(reader->table, slot),
        .kind = entry->kind,
        .import = entry->import,
        .used = reader->used[slot],
    };
    if (stat->kind == PX_STAT_COUNTER) stat->counter = shown(cells[0]);
    if (stat->kind == PX_STAT_GAUGE) stat->gauge = (int64_t)cells[0];
    if (stat->kind == PX_STAT_HISTOGRAM) fill_histogram(stat, cells);
}

void px_stats_reader_collect(px_stats_reader *reader, void (*each)(const struct px_stat *stat, void *context), void *context) {
    px__stats_sum(reader, 0, reader->table->count);
    for (uint32_t slot = 0; slot < reader->table->count; slot++) {
        struct px_stat stat;
        if (!is_shown(reader, slot)) continue;
        fill(reader, slot, &stat);
        each(&stat, context);
    }
}

int64_t px_stats_reader_value(px_stats_reader *reader, const char *name) {
    struct px_stat stat;
    uint32_t slot = px__stats_builder_find(reader->table, name, strlen(name));
    if (slot == UINT32_MAX) return 0;
    px__stats_sum(reader, slot, slot + 1);
    fill(reader, slot, &stat);
    return stat.kind == PX_STAT_COUNTER ? (int64_t)stat.counter : stat.gauge;
}
