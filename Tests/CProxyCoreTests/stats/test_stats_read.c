// Reading over several living generations: gauges, names, order, attaching, reset.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stats_rig.h"
#include "stats/stats_layout.h"
#include "test.h"

TEST(stats_gauges_of_the_living_are_summed_unless_never_imported_and_drop_out_with_death) {
    struct generation p = gen_start(0, NULL), c = gen_start(1, NULL);
    px_stats_set(p.block, ACTIVE, 10);
    px_stats_set(c.block, ACTIVE, 4);
    px_stats_set(p.block, VERSION, 1);
    px_stats_set(c.block, VERSION, 2);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_value(&c, "active"), 14);
    ASSERT_EQ(gen_value(&c, "version"), 2);
    ASSERT_EQ(px_stats_reader_fold(c.reader, p.id), 0);
    ASSERT_EQ(gen_value(&c, "active"), 4);
    gen_stop(&p);
    gen_stop(&c);
}

struct names {
    const char *names[16];
    char copies[16][32];
    int count;
};

static void take_name(const struct px_stat *stat, void *context) {
    struct names *names = context;
    strncpy(names->copies[names->count], stat->name, 31);
    names->names[names->count] = names->copies[names->count];
    names->count++;
}

TEST(stats_come_in_own_order_and_relatives_own_names_after) {
    struct names names = {0};
    struct generation p = gen_start(0, "only.p"), c = gen_start(1, "only.c");
    px_stats_add(p.block, FIRST_OWN, 3);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    px_stats_reader_collect(c.reader, take_name, &names);
    ASSERT_EQ(names.count, 6);
    const char *expected[] = {"count", "active", "length_ms", "version", "only.c", "only.p"};
    for (int i = 0; i < 6; i++) ASSERT_STR(names.names[i], expected[i]);
    ASSERT_EQ(gen_value(&c, "only.p"), 3);
    gen_stop(&p);
    gen_stop(&c);
}

TEST(stats_are_used_once_written) {
    struct px_stat stat;
    struct generation p = gen_start(0, NULL), c = gen_start(1, NULL);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    const char *names[] = {"count", "active", "length_ms", "version"};
    for (int i = 0; i < 4; i++) {
        ASSERT_TRUE(gen_find(&c, names[i], &stat));
        ASSERT_FALSE(stat.used);
        ASSERT_EQ(stat.kind, i == LENGTH ? PX_STAT_HISTOGRAM : i == COUNT ? PX_STAT_COUNTER : PX_STAT_GAUGE);
    }
    px_stats_add(p.block, COUNT, 1);
    px_stats_set(c.block, ACTIVE, 0);  // written, though it is 0
    px_stats_record(p.block, LENGTH, 0);
    px_stats_set(c.block, VERSION, 0);
    for (int i = 0; i < 4; i++) {
        ASSERT_TRUE(gen_find(&c, names[i], &stat));
        ASSERT_TRUE(stat.used);
    }
    gen_stop(&p);
    gen_stop(&c);
}

static struct generation start_with_other_kind(void) {
    struct px_detail detail;
    struct generation g;
    px_stats_builder *builder = px_stats_builder_create();
    ASSERT_OK(px_stats_builder_add(builder, "count", PX_STAT_GAUGE, PX_IMPORT_ACCUMULATE));
    ASSERT_OK(px_stats_builder_add(builder, "length_ms", PX_STAT_COUNTER, PX_IMPORT_ACCUMULATE));
    g.block = px_stats_block_create(builder, 1, 0, &detail);
    g.reader = px_stats_reader_create(g.block);
    g.id = px_stats_block_id(g.block);
    px_stats_builder_destroy(builder);
    return g;
}

TEST(stats_whose_kind_changed_start_anew) {
    struct generation p = start_with_other_kind(), c = gen_start(1, NULL);
    px_stats_add(p.block, 0, 5);
    px_stats_add(p.block, 1, 5);
    px_stats_add(c.block, COUNT, 1);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_value(&c, "count"), 1);
    ASSERT_EQ(px_stats_reader_fold(c.reader, p.id), 0);
    ASSERT_EQ(px_stats_reader_count(c.reader), 0);
    ASSERT_EQ(gen_value(&c, "count"), 1);
    gen_stop(&p);
    gen_stop(&c);
}

TEST(stats_reader_lists_what_it_has_attached) {
    struct generation p = gen_start(6, NULL), c = gen_start(7, NULL);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(px_stats_reader_count(c.reader), 1);
    ASSERT_EQ(px_stats_reader_epoch(c.reader, 0), 6);
    ASSERT_TRUE(px_stats_reader_block_id(c.reader, 0) == p.id);
    ASSERT_CALL(fcntl(px_stats_reader_fd(c.reader, 0), F_GETFD));
    gen_stop(&p);
    gen_stop(&c);
}

TEST(stats_blocks_attached_beyond_the_limit_are_refused_with_a_number) {
    struct px_detail detail = {0};
    struct generation c = gen_start(1000, NULL), other;
    for (int i = 0; i <= PX_STATS_KNOWN_MAX; i++) {
        other = gen_start((uint64_t)i, NULL);
        gen_count(&other, 1);
        int fd = dup(px_stats_block_fd(other.block));
        int result = px_stats_reader_attach_fd(c.reader, fd, NULL, &detail);
        ASSERT_EQ(result, i < PX_STATS_KNOWN_MAX ? 0 : -PX_E_NO_SPACE);
        if (result != 0) ASSERT_CALL(close(fd));
        gen_stop(&other);
    }
    ASSERT_CONTAINS(detail.text, "64");
    ASSERT_EQ(gen_value(&c, "count"), PX_STATS_KNOWN_MAX);
    while (px_stats_reader_count(c.reader) > 0) ASSERT_EQ(px_stats_reader_fold(c.reader, px_stats_reader_block_id(c.reader, 0)), 0);
    ASSERT_EQ(gen_value(&c, "count"), PX_STATS_KNOWN_MAX);
    gen_stop(&c);
}

TEST(stats_descriptors_that_are_no_sealed_block_are_refused) {
    struct px_detail detail = {0};
    struct generation c = gen_start(1, NULL);
    int fds[2];
    ASSERT_CALL(pipe(fds));
    ASSERT_EQ(px_stats_reader_attach_fd(c.reader, fds[0], NULL, &detail), -PX_E_INCOMPATIBLE);
    int fd = memfd_create("unsealed", MFD_ALLOW_SEALING);
    ASSERT_CALL(ftruncate(fd, 100000));
    ASSERT_EQ(px_stats_reader_attach_fd(c.reader, fd, NULL, &detail), -PX_E_INCOMPATIBLE);
    ASSERT_CONTAINS(detail.text, "seals");
    ASSERT_CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | 0x10));
    ASSERT_EQ(px_stats_reader_attach_fd(c.reader, fd, NULL, &detail), -PX_E_INCOMPATIBLE);
    ASSERT_CONTAINS(detail.text, "not a stats block");
    ASSERT_CALL(close(fd));  // stayed ours
    ASSERT_EQ(px_stats_reader_attach_fd(c.reader, -1, NULL, &detail), -PX_E_INCOMPATIBLE);
    gen_stop(&c);
}

TEST(stats_reset_reads_zero_for_everybody_and_for_later_generations) {
    struct px_stat stat;
    struct generation p = gen_start(0, NULL), c = gen_start(1, NULL), d;
    gen_count(&p, 5);
    px_stats_set(p.block, ACTIVE, 2);
    px_stats_record(p.block, LENGTH, 100);
    gen_count(&c, 2);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_attach(&p, &c), 0);
    ASSERT_EQ(px_stats_reader_reset(c.reader), 0);
    ASSERT_EQ(gen_value(&c, "count"), 0);
    ASSERT_EQ(gen_value(&p, "count"), 0);
    ASSERT_EQ(gen_value(&c, "active"), 2);
    ASSERT_TRUE(gen_find(&c, "length_ms", &stat));
    ASSERT_EQ(stat.histogram_count, 0);
    ASSERT_EQ(stat.histogram_sum, 0);
    ASSERT_TRUE(stat.used);
    gen_count(&p, 1);
    ASSERT_EQ(gen_value(&c, "count"), 1);
    d = gen_start(2, NULL);
    ASSERT_EQ(gen_attach(&d, &p), 0);
    ASSERT_EQ(gen_attach(&d, &c), 0);
    ASSERT_EQ(gen_value(&d, "count"), 1);
    gen_stop(&p);
    ASSERT_EQ(px_stats_reader_fold(c.reader, px_stats_reader_block_id(c.reader, 0)), 0);
    ASSERT_EQ(gen_value(&d, "count"), 1);
    uint64_t id = c.id;
    gen_stop(&c);
    ASSERT_EQ(px_stats_reader_fold(d.reader, id), 0);
    ASSERT_EQ(gen_value(&d, "count"), 1);
    ASSERT_TRUE(gen_find(&d, "count", &stat));
    ASSERT_TRUE(stat.used);
    gen_stop(&d);
}

TEST(stats_reset_by_one_who_reaches_more_never_wraps_elsewhere) {
    struct generation p = gen_start(0, NULL), c = gen_start(1, NULL), d = gen_start(2, NULL);
    gen_count(&d, 50);
    ASSERT_EQ(gen_attach(&c, &d), 0);
    ASSERT_EQ(gen_attach(&p, &c), 0);
    ASSERT_EQ(px_stats_reader_reset(c.reader), 0);
    ASSERT_EQ(gen_value(&p, "count"), 0);
    ASSERT_EQ(gen_value(&c, "count"), 0);
    gen_stop(&p);
    gen_stop(&c);
    gen_stop(&d);
}

TEST(stats_reset_says_what_it_could_not_reach) {
    struct generation p = gen_start(0, "only.p"), c = gen_start(1, NULL);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(px_stats_reader_reset(c.reader), 0);
    px_stats_add(p.block, FIRST_OWN, 3);
    gen_count(&p, 3);
    ASSERT_EQ(px_stats_reader_reset(c.reader), -PX_E_NO_SPACE);
    ASSERT_EQ(gen_value(&c, "count"), 0);
    ASSERT_EQ(gen_value(&c, "only.p"), 3);
    gen_stop(&p);
    gen_stop(&c);
}
