// Generations for statistics tests: a block and its reader. Several live in one process unless a test forks.
#ifndef STATS_RIG_H
#define STATS_RIG_H

#include "include/px_stats.h"

struct generation {
    px_stats_block *block;
    px_stats_reader *reader;
    uint64_t id;
};

enum { COUNT, ACTIVE, LENGTH, VERSION, FIRST_OWN };  // slots of gen_start: counter, gauge, histogram, gauge that is never imported

// A block with counter "count", gauge "active", histogram "length_ms" and gauge "version" (never imported), and the counter
// `extra` if there is one (slot FIRST_OWN); 2 shards.
struct generation gen_start(uint64_t epoch, const char *extra);
// The same, with the names of `of` added.
struct generation gen_start_with_names(uint64_t epoch, const char *extra, const struct generation *of);
void gen_stop(struct generation *generation);
// `reader` attaches `other`'s block. Returns the core's result.
int gen_attach(struct generation *generation, const struct generation *other);
// The same with a descriptor that stays the caller's.
int gen_attach_fd(struct generation *generation, int fd, uint64_t id);
// The process was killed: unlike after gen_stop, relatives find in its block all it ever said.
void gen_abandon(struct generation *generation);
// Count on a worker's shard.
void gen_count(struct generation *generation, uint64_t times);
int64_t gen_value(struct generation *generation, const char *name);
// One statistic as collect shows it; false: not shown. `buckets` is NULL in the copy.
bool gen_find(struct generation *generation, const char *name, struct px_stat *out);
// `base_version` of a block, as a relative sees it.
uint64_t gen_base_version(const struct generation *generation);

#endif
