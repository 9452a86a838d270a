// What counting costs: a counter and a histogram as a worker writes them, beside a plain increment of a word in memory.
#include <stdlib.h>

#include "bench.h"
#include "stats/stats_block.h"

enum { BATCH = 10000, COUNTERS = 64, ROUNDS = 3 };

static uint64_t plain[COUNTERS];

// The word is loaded and stored each time, as a counter that others may read must be.
static double floor_ns(const struct bench *bench) {
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            plain[i % COUNTERS]++;
            bench_keep(plain);
        }
    }
    return bench_ns_per_operation(&loop);
}

static double counter_ns(const struct bench *bench, px_cell *shard, const uint32_t *cells) {
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            px__cell_add(shard, cells[i % COUNTERS], 1);
            bench_keep(shard);
        }
    }
    return bench_ns_per_operation(&loop);
}

// Values over many buckets, so that neither branch nor cache line is always the same.
static double record_ns(const struct bench *bench, px_cell *shard, uint32_t cell) {
    uint64_t value = 1;
    struct bench_loop loop = bench_begin(bench);
    for (; bench_go_on(&loop); loop.operations += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            value = value * 6364136223846793005u + 1442695040888963407u;
            px__cell_record(shard, cell, value >> (24 + i % 32));
            bench_keep(shard);
        }
    }
    return bench_ns_per_operation(&loop);
}

static px_stats_block *make_block(struct bench *bench, uint32_t *cells, uint32_t *histogram) {
    struct px_detail detail = {0};
    char name[] = "counter.00";
    px_stats_builder *builder = px_stats_builder_create();
    if (!builder) bench_fail(bench, "no memory");
    for (uint32_t i = 0; i < COUNTERS; i++) {
        name[8] = (char)('0' + i / 10);
        name[9] = (char)('0' + i % 10);
        if (px_stats_builder_add(builder, name, PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE) < 0) bench_fail(bench, "no memory");
    }
    if (px_stats_builder_add(builder, "histogram", PX_STAT_HISTOGRAM, PX_IMPORT_ACCUMULATE) < 0) bench_fail(bench, "no memory");
    px_stats_block *block = px_stats_block_create(builder, 2, 0, &detail);
    px_stats_builder_destroy(builder);
    if (!block) bench_fail(bench, "%s: %s", detail.call, detail.text);
    for (uint32_t i = 0; i < COUNTERS; i++) cells[i] = px__stats_cell(block, i);
    *histogram = px__stats_cell(block, COUNTERS);
    return block;
}

static double least(double a, double b) {
    return a == 0 || b < a ? b : a;
}

// In turns, and the best of each: a few nanoseconds are less than what other processes disturb.
BENCH(stats) {
    uint32_t cells[COUNTERS], histogram;
    px_stats_block *block = make_block(bench, cells, &histogram);
    px_cell *shard = px__stats_shard(block, 0);
    double floor = 0, counter = 0, record = 0;
    for (int i = 0; i < ROUNDS; i++) {
        floor = least(floor, floor_ns(bench));
        counter = least(counter, counter_ns(bench, shard, cells));
        record = least(record, record_ns(bench, shard, histogram));
    }
    bench_report(bench, "count", "ns", counter, floor, "plain memory increment");
    bench_report(bench, "record in a histogram", "ns", record, floor, "plain memory increment");
    px_stats_block_destroy(block);
}
