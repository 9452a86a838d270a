// Making blocks: names, slots, cells, seals, limits.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stats/stats_layout.h"
#include "stats_rig.h"
#include "test.h"

static int add_counter(px_stats_builder *builder, const char *name) {
    return px_stats_builder_add(builder, name, PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE);
}

TEST(stats_names_added_twice_have_one_slot) {
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_EQ(add_counter(builder, "a"), 0);
    ASSERT_EQ(add_counter(builder, "b"), 1);
    ASSERT_EQ(add_counter(builder, "a"), 0);
    ASSERT_EQ(px_stats_builder_add(builder, "a", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE), -EINVAL);
    px_stats_builder_destroy(builder);
    px_stats_builder_destroy(NULL);
}

TEST(stats_names_may_not_be_empty_or_too_long) {
    char name[PX_STAT_NAME_MAX + 2];
    px_stats_builder *builder = px_stats_builder_create();
    memset(name, 'n', sizeof name);
    name[PX_STAT_NAME_MAX + 1] = '\0';
    ASSERT_EQ(add_counter(builder, name), -EINVAL);
    name[PX_STAT_NAME_MAX] = '\0';
    ASSERT_EQ(add_counter(builder, name), 0);
    ASSERT_EQ(add_counter(builder, ""), -EINVAL);
    px_stats_builder_destroy(builder);
}

TEST(stats_slots_are_dense_and_found_again_among_many_names) {
    struct px_detail detail;
    char name[32];
    px_stats_builder *builder = px_stats_builder_create();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) {
            snprintf(name, sizeof name, "cluster.c%d.total", i);
            ASSERT_EQ(add_counter(builder, name), i);
        }
    }
    px_stats_block *block = px_stats_block_create(builder, 1, 0, &detail);
    ASSERT_TRUE(block != NULL);
    px_stats_builder_destroy(builder);
    px_stats_add(block, 12345, 3);
    px_stats_reader *reader = px_stats_reader_create(block);
    ASSERT_EQ(px_stats_reader_value(reader, "cluster.c12345.total"), 3);
    ASSERT_EQ(px_stats_reader_value(reader, "cluster.c12346.total"), 0);
    ASSERT_EQ(px_stats_reader_value(reader, "cluster.none"), 0);
    px_stats_reader_destroy(reader);
    px_stats_block_destroy(block);
}

TEST(stats_names_of_another_block_are_added_up_to_a_limit) {
    struct generation p = gen_start(0, "only.p");
    for (uint32_t limit = 0; limit < 5; limit++) {
        px_stats_builder *builder = px_stats_builder_create();
        ASSERT_EQ(add_counter(builder, "count"), 0);
        // Missing are one histogram and one counter; gauges are not taken over.
        ASSERT_EQ(px_stats_builder_add_block(builder, px_stats_block_fd(p.block), limit), limit < 2 ? 2 - (int)limit : 0);
        if (limit >= 2) ASSERT_EQ(add_counter(builder, "only.p"), 2);
        ASSERT_EQ(add_counter(builder, "active"), limit < 2 ? 1 + (int)limit : 3);
        px_stats_builder_destroy(builder);
    }
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_EQ(px_stats_builder_add_block(builder, STDIN_FILENO, 10), -PX_E_INCOMPATIBLE);
    px_stats_builder_destroy(builder);
    ASSERT_CALL(fcntl(px_stats_block_fd(p.block), F_GETFD));
    gen_stop(&p);
}

TEST(stats_shards_are_apart_by_cache_lines_and_cells_do_not_overlap) {
    struct generation g = gen_start(0, "x");
    px_cell *first = px__stats_shard(g.block, 0), *second = px__stats_shard(g.block, 1);
    ASSERT_EQ((uintptr_t)first % 64, 0);
    ASSERT_EQ((uintptr_t)second % 64, 0);
    ASSERT_EQ(px__stats_cell(g.block, COUNT), 0);
    ASSERT_EQ(px__stats_cell(g.block, ACTIVE), 1);
    ASSERT_EQ(px__stats_cell(g.block, LENGTH), 2);
    ASSERT_EQ(px__stats_cell(g.block, VERSION), 2 + PX_STATS_HISTOGRAM_CELLS);
    ASSERT_GE(second - first, px__stats_cell(g.block, FIRST_OWN) + 1);
    ASSERT_EQ((char *)second - (char *)first, (char *)px__stats_shard(g.block, 1) - (char *)px__stats_shard(g.block, 0));
    ASSERT_GE(px_stats_block_bytes(g.block), 2 * ((char *)second - (char *)first));
    gen_stop(&g);
}

TEST(stats_of_all_shards_are_summed) {
    struct generation g = gen_start(0, NULL);
    px_stats_add(g.block, COUNT, 5);
    gen_count(&g, 7);
    px_stats_set(g.block, ACTIVE, 3);
    px__cell_add(px__stats_shard(g.block, 0), px__stats_cell(g.block, ACTIVE), (uint64_t)-1);
    ASSERT_EQ(gen_value(&g, "count"), 12);
    ASSERT_EQ(gen_value(&g, "active"), 2);
    px_stats_set(g.block, ACTIVE, -9);
    ASSERT_EQ(gen_value(&g, "active"), -10);
    gen_stop(&g);
}

TEST(stats_blocks_can_be_mapped_for_writing_by_nobody_else) {
    struct generation g = gen_start(0, NULL);
    int fd = px_stats_block_fd(g.block);
    size_t bytes = px_stats_block_bytes(g.block);
    ASSERT_TRUE(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    ASSERT_EQ(errno, EPERM);
    ASSERT_EQ(write(fd, "x", 1), -1);
    ASSERT_EQ(ftruncate(fd, 0), -1);
    ASSERT_EQ(ftruncate(fd, (off_t)bytes * 2), -1);
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_TRUE(map != MAP_FAILED);
    ASSERT_EQ(mprotect(map, bytes, PROT_READ | PROT_WRITE), -1);
    munmap(map, bytes);
    gen_stop(&g);
}

TEST(stats_block_that_exceeds_a_limit_says_how_much_and_which) {
    struct px_detail detail = {0};
    struct rlimit limit = {4096, 4096};
    signal(SIGXFSZ, SIG_DFL);
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_EQ(add_counter(builder, "a"), 0);
    ASSERT_CALL(setrlimit(RLIMIT_FSIZE, &limit));
    ASSERT_TRUE(px_stats_block_create(builder, 2, 0, &detail) == NULL);
    ASSERT_EQ(detail.code, -EFBIG);
    ASSERT_CONTAINS(detail.text, "bytes");
    ASSERT_CONTAINS(detail.text, "RLIMIT_FSIZE");
    ASSERT_CONTAINS(detail.text, "4096");
    px_stats_builder_destroy(builder);
}

TEST(stats_block_out_of_descriptors_says_so) {
    struct px_detail detail = {0};
    px_stats_builder *builder = px_stats_builder_create();
    struct rlimit limit = {(rlim_t)test_open_descriptors(), 4096};
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    int first = dup(STDIN_FILENO), last = first;
    for (int fd = first; fd >= 0; fd = dup(STDIN_FILENO)) last = fd;
    ASSERT_TRUE(px_stats_block_create(builder, 2, 0, &detail) == NULL);
    ASSERT_EQ(detail.code, -EMFILE);
    if (first >= 0) ASSERT_CALL(close_range((unsigned)first, (unsigned)last, 0));  // the leak check needs some
    limit.rlim_cur = 4096;
    ASSERT_CALL(setrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_CONTAINS(detail.text, "RLIMIT_NOFILE");
    px_stats_builder_destroy(builder);
}

TEST(stats_block_needs_a_shard_and_not_too_many) {
    struct px_detail detail = {0};
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_TRUE(px_stats_block_create(builder, 0, 0, &detail) == NULL);
    ASSERT_EQ(detail.code, -EINVAL);
    ASSERT_TRUE(px_stats_block_create(builder, PX_STATS_SHARDS_MAX + 1, 0, &detail) == NULL);
    ASSERT_EQ(detail.code, -EINVAL);
    px_stats_block *block = px_stats_block_create(builder, 1, 0, &detail);  // without a single name
    ASSERT_TRUE(block != NULL);
    px_stats_reader *reader = px_stats_reader_create(block);
    ASSERT_TRUE(reader != NULL);
    ASSERT_EQ(px_stats_reader_reset(reader), 0);
    px_stats_reader_destroy(reader);
    px_stats_block_destroy(block);
    px_stats_block_destroy(NULL);
    px_stats_builder_destroy(builder);
}

TEST(stats_blocks_have_ids_of_their_own) {
    uint64_t ids[64];
    for (int i = 0; i < 64; i++) {
        struct generation g = gen_start(1, NULL);
        ids[i] = g.id;
        ASSERT_TRUE(ids[i] != 0);
        for (int k = 0; k < i; k++) ASSERT_TRUE(ids[i] != ids[k]);
        gen_stop(&g);
    }
}

TEST(stats_blocks_and_readers_leak_no_descriptor) {
    int before = test_open_descriptors();
    struct generation p = gen_start(0, NULL), c = gen_start(1, NULL);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_attach(&c, &p), -EEXIST);
    ASSERT_EQ(gen_attach(&c, &c), -EEXIST);
    uint64_t id = p.id;
    gen_stop(&p);
    ASSERT_EQ(px_stats_reader_fold(c.reader, id), 0);
    ASSERT_EQ(test_open_descriptors(), before + 1);
    gen_stop(&c);
    ASSERT_EQ(test_open_descriptors(), before);
}
