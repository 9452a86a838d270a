#include "stats_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "stats/stats_block_internal.h"
#include "test.h"

static void add_names(px_stats_builder *builder, const char *extra) {
    ASSERT_EQ(px_stats_builder_add(builder, "count", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE), COUNT);
    ASSERT_EQ(px_stats_builder_add(builder, "active", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE), ACTIVE);
    ASSERT_EQ(px_stats_builder_add(builder, "length_ms", PX_STAT_HISTOGRAM, PX_IMPORT_ACCUMULATE), LENGTH);
    ASSERT_EQ(px_stats_builder_add(builder, "version", PX_STAT_GAUGE, PX_IMPORT_NEVER), VERSION);
    if (extra) ASSERT_EQ(px_stats_builder_add(builder, extra, PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE), FIRST_OWN);
}

struct generation gen_start_with_names(uint64_t epoch, const char *extra, const struct generation *of) {
    struct px_detail detail = {0};
    struct generation generation;
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_TRUE(builder != NULL);
    add_names(builder, extra);
    if (of) ASSERT_OK(px_stats_builder_add_block(builder, px_stats_block_fd(of->block), 1000));
    generation.block = px_stats_block_create(builder, 2, epoch, &detail);
    px_stats_builder_destroy(builder);
    if (!generation.block) FAIL("%s: %s", detail.call, detail.text);
    generation.reader = px_stats_reader_create(generation.block);
    ASSERT_TRUE(generation.reader != NULL);
    generation.id = px_stats_block_id(generation.block);
    return generation;
}

struct generation gen_start(uint64_t epoch, const char *extra) {
    return gen_start_with_names(epoch, extra, NULL);
}

void gen_stop(struct generation *generation) {
    px_stats_reader_destroy(generation->reader);
    px_stats_block_destroy(generation->block);
    *generation = (struct generation){0};
}

int gen_attach_fd(struct generation *generation, int fd, uint64_t expected) {
    struct px_detail detail;
    uint64_t id = 0;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    ASSERT_GE(copy, 0);
    int result = px_stats_reader_attach_fd(generation->reader, copy, &id, &detail);
    ASSERT_TRUE(id == expected);
    if (result != 0) close(copy);
    return result;
}

int gen_attach(struct generation *generation, const struct generation *other) {
    return gen_attach_fd(generation, px_stats_block_fd(other->block), other->id);
}

// A killed process writes nothing any more, whereas destroying a reader clears the block's `known` list. So the list is put back
// into what the relatives see: both are freed, but the block's memory keeps what it said.
void gen_abandon(struct generation *generation) {
    struct px_stats_known known[PX_STATS_KNOWN_MAX];
    memcpy(known, generation->block->header->known, sizeof known);
    px_stats_reader_destroy(generation->reader);
    memcpy(generation->block->header->known, known, sizeof known);
    px_stats_block_destroy(generation->block);
    *generation = (struct generation){0};
}

void gen_count(struct generation *generation, uint64_t times) {
    px_cell *shard = px__stats_shard(generation->block, 0);
    px__cell_add(shard, px__stats_cell(generation->block, COUNT), times);
}

int64_t gen_value(struct generation *generation, const char *name) {
    return px_stats_reader_value(generation->reader, name);
}

struct wanted {
    const char *name;
    struct px_stat *out;
    bool is_found;
};

static void take_wanted(const struct px_stat *stat, void *context) {
    struct wanted *wanted = context;
    if (strcmp(stat->name, wanted->name) != 0) return;
    ASSERT_FALSE(wanted->is_found);
    wanted->is_found = true;
    *wanted->out = *stat;
    wanted->out->name = wanted->name;
    wanted->out->buckets = NULL;
}

bool gen_find(struct generation *generation, const char *name, struct px_stat *out) {
    struct wanted wanted = {.name = name, .out = out};
    px_stats_reader_collect(generation->reader, take_wanted, &wanted);
    return wanted.is_found;
}

uint64_t gen_base_version(const struct generation *generation) {
    return atomic_load(&generation->block->header->base_version);
}
