// Folding: that every count is met exactly once, by whomever and whenever the dead are folded.
#include <errno.h>

#include "include/px_base.h"
#include "stats_rig.h"
#include "test.h"

TEST(stats_of_a_living_parent_and_of_a_dead_one_are_the_same) {
    struct generation p = gen_start(0, NULL), c = gen_start(1, NULL);
    gen_count(&p, 5);
    gen_count(&c, 2);
    px_stats_record(p.block, LENGTH, 7);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_value(&c, "count"), 7);
    gen_count(&p, 1);
    ASSERT_EQ(gen_value(&c, "count"), 8);
    uint64_t id = p.id;
    gen_stop(&p);
    ASSERT_EQ(px_stats_reader_fold(c.reader, id), 0);
    ASSERT_EQ(px_stats_reader_fold(c.reader, id), -ENOENT);
    ASSERT_EQ(px_stats_reader_count(c.reader), 0);
    ASSERT_EQ(gen_value(&c, "count"), 8);
    struct px_stat stat;
    ASSERT_TRUE(gen_find(&c, "length_ms", &stat));
    ASSERT_EQ(stat.histogram_count, 1);
    ASSERT_EQ(stat.histogram_sum, 7);
    gen_stop(&c);
}

// The draining grandparent's block is attached by parent and child; both are told of its death, in either order.
static void fold_grandparent(bool parent_first, bool parent_knows_child) {
    struct generation g = gen_start(0, NULL), p = gen_start(1, NULL), c = gen_start(2, NULL), d;
    ASSERT_EQ(gen_attach(&p, &g), 0);
    ASSERT_EQ(gen_attach(&c, &g), 0);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    if (parent_knows_child) ASSERT_EQ(gen_attach(&p, &c), 0);
    gen_count(&g, 100);
    gen_count(&p, 10);
    gen_count(&c, 1);
    uint64_t gid = g.id, pid = p.id;
    gen_stop(&g);
    struct generation *first = parent_first ? &p : &c, *second = parent_first ? &c : &p;
    ASSERT_EQ(px_stats_reader_fold(first->reader, gid), 0);
    ASSERT_EQ(gen_value(&c, "count"), 111);
    ASSERT_EQ(gen_value(&p, "count"), parent_knows_child ? 111 : 110);
    (void)!px_stats_reader_fold(second->reader, gid);
    ASSERT_EQ(gen_value(&c, "count"), 111);
    ASSERT_EQ(gen_value(&p, "count"), parent_knows_child ? 111 : 110);
    d = gen_start(3, NULL);
    ASSERT_EQ(gen_attach(&d, &c), 0);
    ASSERT_EQ(gen_attach(&d, &p), 0);
    ASSERT_EQ(gen_value(&d, "count"), 111);
    gen_stop(&p);
    ASSERT_EQ(px_stats_reader_fold(d.reader, pid), 0);
    ASSERT_EQ(gen_value(&d, "count"), 111);
    ASSERT_EQ(px_stats_reader_fold(c.reader, pid), 0);
    ASSERT_EQ(gen_value(&c, "count"), 111);
    ASSERT_EQ(gen_value(&d, "count"), 111);
    ASSERT_EQ(px_stats_reader_count(d.reader), 1);
    gen_stop(&c);
    gen_stop(&d);
}

TEST(stats_folded_by_parent_and_child_count_once) {
    for (int i = 0; i < 4; i++) fold_grandparent(i & 1, i & 2);
}
