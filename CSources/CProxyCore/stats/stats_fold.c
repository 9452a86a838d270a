// Folding dead relatives' counts into bases, so that each block's counts are met exactly once by every reader.
//
// The rule. A block is in one place: attached as it is, or in exactly one living generation's base. A dead block is folded by
// the oldest living generation that has it attached; everybody else keeps it attached, without its gauges, until it sees the
// id in somebody's base, and then drops it. When the folder dies before it came to it, the next oldest folds the folder's block
// (its base included) and then this one. A child is given all of its parent's blocks before it folds anything, so whoever has a
// block attached also has every older living generation's block attached and sees in its `known` list whether it is to wait.
//
// A folder that has no room for a name that counted (an older configuration) declines, says so in its `known` list, and keeps
// the block attached; then the next oldest folds, which is younger and has the names. At most DECLINED_MAX are kept so;
// beyond that it folds what it has names for.
//
// Order of reading: `known` lists first, then bases. A folder publishes its base first and then takes the block off its list,
// so who finds the block not on the list finds it in the base, if it was ever there.
//
// Safety net. Should two living bases have an id in common after all (a block given to a generation that the folder did not
// know), only the longer one is counted: exact where one contains the other, and never too much.
//
// Crash: a base is written into the copy that does not count and then published with one store; a death before that store leaves
// the block unfolded and attached elsewhere, a death after it leaves it folded. Threads: owner only.
#include <errno.h>
#include <string.h>

#include "stats/stats_reader.h"

enum { DECLINED_MAX = 16 };

// ---- which bases count --------------------------------------------------------------------------------------------------------

static bool is_contained(px_stats_reader *reader, const struct px_stats_view *view) {
    if (view != &reader->self && px__stats_view_has_folded(view, reader->self.shape.id)) return true;
    for (uint32_t i = 0; i <= reader->count; i++) {
        const struct px_stats_view *other = px__stats_view_at(reader, i);
        if (other != view && other->counts_base && px__stats_view_overlaps(other, view)) return true;
    }
    return false;
}

static struct px_stats_view *longest_undecided(px_stats_reader *reader, const bool *decided) {
    struct px_stats_view *longest = NULL;
    for (uint32_t i = 0; i <= reader->count; i++)
        if (!decided[i] && (!longest || px__stats_view_at(reader, i)->folded_count > longest->folded_count)) longest = px__stats_view_at(reader, i);
    return longest;
}

static void choose_bases(px_stats_reader *reader) {
    bool decided[PX_STATS_KNOWN_MAX + 1] = {false};
    struct px_stats_view *view;
    if (reader->is_settled) return;
    for (uint32_t i = 0; i <= reader->count; i++) px__stats_view_at(reader, i)->counts_base = false;
    while ((view = longest_undecided(reader, decided)) != NULL) {
        view->counts_base = !is_contained(reader, view);
        for (uint32_t i = 0; i <= reader->count; i++)
            if (px__stats_view_at(reader, i) == view) decided[i] = true;
    }
    reader->is_settled = true;
}

// ---- writing own base ---------------------------------------------------------------------------------------------------------

// The copy of own base that does not count, made equal to the one that does.
static struct px_stats_base *begin_base(px_stats_reader *reader) {
    const struct px_stats_shape *shape = &reader->self.shape;
    struct px_stats_base *from = px__stats_base(shape, reader->own->memory.map, reader->self.base_version);
    struct px_stats_base *to = px__stats_base(shape, reader->own->memory.map, reader->self.base_version + 1);
    // A reader that meets a word stored below must also see the version before this one (C11 7.17.4, fence to fence).
    atomic_thread_fence(memory_order_release);
    for (uint32_t i = 0; i < shape->cell_count; i++)
        atomic_store_explicit(&to->cells[i], atomic_load_explicit(&from->cells[i], memory_order_relaxed), memory_order_relaxed);
    uint64_t count = atomic_load_explicit(&from->folded_count, memory_order_relaxed);
    for (uint64_t i = 0; i < count; i++)
        atomic_store_explicit(&to->folded[i], atomic_load_explicit(&from->folded[i], memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&to->folded_count, count, memory_order_relaxed);
    return to;
}

static void publish_base(px_stats_reader *reader) {
    atomic_store_explicit(&reader->own->header->base_version, reader->self.base_version + 1, memory_order_release);
    px__stats_view_refresh(&reader->self);
    reader->is_settled = false;
}

static void append_id(struct px_stats_base *base, uint64_t id) {
    uint64_t count = atomic_load_explicit(&base->folded_count, memory_order_relaxed);
    if (count == PX_STATS_FOLDED_MAX) {
        for (uint64_t i = 1; i < count; i++)
            atomic_store_explicit(&base->folded[i - 1], atomic_load_explicit(&base->folded[i], memory_order_relaxed), memory_order_relaxed);
        count--;
    }
    atomic_store_explicit(&base->folded[count], id, memory_order_relaxed);
    atomic_store_explicit(&base->folded_count, count + 1, memory_order_relaxed);
}

// The dead one's ids come first, since most of them are older, then own ones, then its own id; the oldest are forgotten.
static void merge_ids(px_stats_reader *reader, struct px_stats_base *to, const struct px_stats_view *dead) {
    struct px_stats_base *own = px__stats_base(&reader->self.shape, reader->own->memory.map, reader->self.base_version);
    struct px_stats_base *theirs = px__stats_base(&dead->shape, dead->memory.map, dead->base_version);
    uint32_t room = PX_STATS_FOLDED_MAX - 1, count = 0;
    uint32_t kept = dead->folded_count;
    if (kept + reader->self.folded_count > room) kept = reader->self.folded_count < room ? room - reader->self.folded_count : 0;
    for (uint32_t i = dead->folded_count - kept; i < dead->folded_count; i++)
        atomic_store_explicit(&to->folded[count++], atomic_load_explicit(&theirs->folded[i], memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&to->folded_count, count, memory_order_relaxed);
    for (uint32_t i = 0; i < reader->self.folded_count; i++) {
        uint64_t id = atomic_load_explicit(&own->folded[i], memory_order_relaxed);
        if (!px__stats_view_has_folded(dead, id)) append_id(to, id);
    }
    append_id(to, dead->shape.id);
}

// ---- folding ------------------------------------------------------------------------------------------------------------------

static bool has_counts(const struct px_stats_view *view, uint32_t slot, bool with_base, uint64_t sums[PX_STATS_HISTOGRAM_CELLS]) {
    memset(sums, 0, PX_STATS_HISTOGRAM_CELLS * sizeof *sums);
    bool any = px__stats_view_add_shards(view, slot, sums);
    if (with_base) any |= px__stats_view_add_base(view, slot, sums);
    return any;
}

// Whether own block lacks a name that the view counted under.
static bool would_lose(px_stats_reader *reader, const struct px_stats_view *view) {
    uint64_t sums[PX_STATS_HISTOGRAM_CELLS];
    for (uint32_t slot = reader->self.shape.slot_count; slot < reader->table->count; slot++) {
        uint32_t theirs = px__stats_slot_in(view, slot);
        if (theirs == UINT32_MAX || view->entries[theirs].kind == PX_STAT_GAUGE) continue;
        if (has_counts(view, theirs, view->counts_base, sums)) return true;
    }
    return false;
}

static void fold_slot(px_stats_reader *reader, struct px_stats_base *base, const struct px_stats_view *view, uint32_t slot) {
    uint64_t sums[PX_STATS_HISTOGRAM_CELLS];
    const struct px_stats_entry *entry = &reader->self.entries[slot];
    uint32_t theirs = px__stats_slot_in(view, slot);
    if (!reader->self.counts_base)
        for (uint32_t i = 0; i < px__stats_cells_of(entry->kind); i++) atomic_store_explicit(&base->cells[entry->first_cell + i], 0, memory_order_relaxed);
    if (theirs == UINT32_MAX || entry->kind == PX_STAT_GAUGE) return;
    if (!has_counts(view, theirs, view->counts_base, sums)) return;
    px__stats_block_mark(reader->own, slot);
    for (uint32_t i = 0; i < px__stats_cells_of(entry->kind); i++) px__cell_add(base->cells, entry->first_cell + i, sums[i]);
}

static void fold_view(px_stats_reader *reader, uint32_t index) {
    const struct px_stats_view *view = reader->relatives[index];
    struct px_stats_base *base = begin_base(reader);
    for (uint32_t slot = 0; slot < reader->self.shape.slot_count; slot++) fold_slot(reader, base, view, slot);
    merge_ids(reader, base, view);
    publish_base(reader);
    px__stats_drop(reader, index);
}

static void decline(px_stats_reader *reader, struct px_stats_view *view) {
    view->is_declined = true;
    (void)px__stats_block_know(reader->own, view->shape.id, PX_STATS_DECLINED);
}

static uint32_t declined_count(const px_stats_reader *reader) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < reader->count; i++) count += reader->relatives[i]->is_declined;
    return count;
}

// ---- who folds ----------------------------------------------------------------------------------------------------------------

static bool is_older(const struct px_stats_view *view, const struct px_stats_view *other) {
    if (view->shape.epoch != other->shape.epoch) return view->shape.epoch < other->shape.epoch;
    return view->shape.id < other->shape.id;
}

// What the others' `known` lists say of a view: whether its owner is dead, and whether somebody older is to fold it.
static void ask_relatives(px_stats_reader *reader, struct px_stats_view *view) {
    bool was_dead = view->is_dead;
    view->waits = false;
    for (uint32_t i = 0; i < reader->count; i++) {
        const struct px_stats_view *other = reader->relatives[i];
        if (other == view) continue;
        int state = px__stats_view_knows(other, view->shape.id);
        if (state == PX_STATS_DEAD || state == PX_STATS_DECLINED) view->is_dead = true;
        if ((state == PX_STATS_LIVES || state == PX_STATS_DEAD) && !other->is_dead && is_older(other, &reader->self)) view->waits = true;
    }
    if (view->is_dead && !was_dead) (void)px__stats_block_know(reader->own, view->shape.id, PX_STATS_DEAD);
}

static bool is_folded_somewhere(px_stats_reader *reader, uint64_t id) {
    for (uint32_t i = 0; i <= reader->count; i++)
        if (px__stats_view_has_folded(px__stats_view_at(reader, i), id)) return true;
    return false;
}

static void refresh_all(px_stats_reader *reader) {
    for (uint32_t i = 0; i <= reader->count; i++)
        if (px__stats_view_refresh(px__stats_view_at(reader, i))) reader->is_settled = false;
}

static bool drop_one(px_stats_reader *reader) {
    for (uint32_t i = 0; i < reader->count; i++) {
        if (!is_folded_somewhere(reader, reader->relatives[i]->shape.id)) continue;
        px__stats_drop(reader, i);
        return true;
    }
    return false;
}

static bool fold_one(px_stats_reader *reader) {
    for (uint32_t i = 0; i < reader->count; i++) {
        struct px_stats_view *view = reader->relatives[i];
        if (!view->is_dead || view->waits || view->is_declined) continue;
        if (would_lose(reader, view) && declined_count(reader) < DECLINED_MAX) decline(reader, view);
        else fold_view(reader, i);
        return true;
    }
    return false;
}

void px__stats_settle(px_stats_reader *reader) {
    bool changed = true;
    // Each round drops, folds or declines one block, which happens to a block at most twice.
    for (int i = 0; changed && i < 2 * PX_STATS_KNOWN_MAX + 1; i++) {
        for (uint32_t k = 0; k < reader->count; k++) ask_relatives(reader, reader->relatives[k]);
        refresh_all(reader);
        changed = drop_one(reader);
        choose_bases(reader);
        if (!changed) changed = fold_one(reader);
    }
    choose_bases(reader);
}

int px_stats_reader_fold(px_stats_reader *reader, uint64_t id) {
    for (uint32_t i = 0; i < reader->count; i++) {
        struct px_stats_view *view = reader->relatives[i];
        if (view->shape.id != id) continue;
        if (view->is_dead) return -ENOENT;
        view->is_dead = true;
        (void)px__stats_block_know(reader->own, id, PX_STATS_DEAD);
        px__stats_settle(reader);
        return 0;
    }
    return -ENOENT;
}

// ---- reset --------------------------------------------------------------------------------------------------------------------

static void reset_slot(px_stats_reader *reader, struct px_stats_base *base, uint32_t slot) {
    const struct px_stats_entry *entry = &reader->self.entries[slot];
    if (entry->kind == PX_STAT_GAUGE) return;
    for (uint32_t i = 0; i < px__stats_cells_of(entry->kind); i++)
        px__cell_add(base->cells, entry->first_cell + i, -reader->sums[entry->first_cell + i]);
    if (reader->used[slot]) px__stats_block_mark(reader->own, slot);
}

static bool has_counts_of_others_alone(const px_stats_reader *reader) {
    for (uint32_t slot = reader->self.shape.slot_count; slot < reader->table->count; slot++) {
        const struct px_stats_entry *entry = &reader->table->entries[slot];
        if (entry->kind != PX_STAT_GAUGE && reader->sums[entry->first_cell] != 0) return true;
    }
    return false;
}

// What is read now is taken off own base. Sums are modulo 2^64, so this holds for all who reach the same blocks, is folded
// with the base, and needs nothing of its own. -PX_E_NO_SPACE: all is reset but what only a relative has a name for;
// -EBUSY: own base does not count just now (see the safety net above), so nothing is reset.
int px_stats_reader_reset(px_stats_reader *reader) {
    px__stats_sum(reader, 0, reader->table->count);
    if (!reader->self.counts_base) return -EBUSY;
    struct px_stats_base *base = begin_base(reader);
    for (uint32_t slot = 0; slot < reader->self.shape.slot_count; slot++) reset_slot(reader, base, slot);
    publish_base(reader);
    return has_counts_of_others_alone(reader) ? -PX_E_NO_SPACE : 0;
}
