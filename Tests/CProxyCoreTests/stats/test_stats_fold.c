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

TEST(stats_folder_that_dies_before_it_came_to_it_is_replaced_by_the_next) {
    struct generation g = gen_start(0, NULL), p = gen_start(1, NULL), c = gen_start(2, NULL);
    ASSERT_EQ(gen_attach(&p, &g), 0);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_attach(&c, &g), 0);
    gen_count(&g, 100);
    gen_count(&p, 10);
    gen_count(&c, 1);
    ASSERT_EQ(px_stats_reader_fold(c.reader, g.id), 0);
    ASSERT_EQ(px_stats_reader_count(c.reader), 2);  // left to p
    ASSERT_EQ(px_stats_reader_fold(c.reader, g.id), -ENOENT);
    ASSERT_EQ(gen_base_version(&c), 0);
    ASSERT_EQ(px_stats_reader_fold(c.reader, p.id), 0);  // killed: its reader was never closed
    ASSERT_EQ(px_stats_reader_count(c.reader), 0);
    ASSERT_EQ(gen_value(&c, "count"), 111);
    gen_stop(&g);
    gen_stop(&p);
    gen_stop(&c);
}

// One who was never told learns from the others' lists.
TEST(stats_death_is_learnt_from_relatives) {
    struct generation g = gen_start(0, NULL), p = gen_start(1, NULL), c = gen_start(2, NULL);
    ASSERT_EQ(gen_attach(&p, &g), 0);
    ASSERT_EQ(gen_attach(&c, &g), 0);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_attach(&p, &c), 0);
    gen_count(&g, 100);
    px_stats_set(g.block, ACTIVE, 9);
    ASSERT_EQ(gen_value(&p, "active"), 9);
    ASSERT_EQ(px_stats_reader_fold(c.reader, g.id), 0);
    ASSERT_EQ(gen_value(&c, "active"), 0);
    ASSERT_EQ(gen_value(&p, "active"), 0);
    ASSERT_EQ(px_stats_reader_count(p.reader), 1);
    ASSERT_EQ(gen_base_version(&p), 1);
    ASSERT_EQ(gen_value(&c, "count"), 100);
    ASSERT_EQ(px_stats_reader_count(c.reader), 1);
    ASSERT_EQ(px_stats_reader_fold(p.reader, g.id), -ENOENT);
    gen_stop(&g);
    gen_stop(&p);
    gen_stop(&c);
}

// A child that is given a dead block and the folder's block in either order.
TEST(stats_blocks_folded_already_are_not_attached_again) {
    for (int order = 0; order < 2; order++) {
        struct generation g = gen_start(0, NULL), p = gen_start(1, NULL), c = gen_start(2, NULL);
        gen_count(&g, 100);
        ASSERT_EQ(gen_attach(&p, &g), 0);
        if (order == 1) ASSERT_EQ(gen_attach(&c, &g), 0);
        ASSERT_EQ(px_stats_reader_fold(p.reader, g.id), 0);
        ASSERT_EQ(gen_attach(&p, &g), -EEXIST);
        ASSERT_EQ(gen_attach(&c, &p), 0);
        if (order == 0) ASSERT_EQ(gen_attach(&c, &g), -EEXIST);
        ASSERT_EQ(px_stats_reader_count(c.reader), 1);
        ASSERT_EQ(gen_value(&c, "count"), 100);
        gen_stop(&g);
        gen_stop(&p);
        gen_stop(&c);
    }
}

// Against the rule: both folded before they knew of each other. The longer base contains the shorter one.
TEST(stats_folded_twice_against_the_rule_still_count_once) {
    struct generation old = gen_start(0, NULL), g = gen_start(1, NULL), p = gen_start(2, NULL), c = gen_start(3, NULL);
    gen_count(&old, 1000);
    gen_count(&g, 100);
    gen_count(&p, 10);
    gen_count(&c, 1);
    ASSERT_EQ(gen_attach(&p, &old), 0);
    ASSERT_EQ(px_stats_reader_fold(p.reader, old.id), 0);
    ASSERT_EQ(gen_attach(&p, &g), 0);
    ASSERT_EQ(gen_attach(&c, &g), 0);
    ASSERT_EQ(px_stats_reader_fold(p.reader, g.id), 0);
    ASSERT_EQ(px_stats_reader_fold(c.reader, g.id), 0);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_attach(&p, &c), 0);
    ASSERT_EQ(gen_value(&c, "count"), 1111);
    ASSERT_EQ(gen_value(&p, "count"), 1111);
    ASSERT_EQ(px_stats_reader_reset(c.reader), -EBUSY);
    gen_stop(&p);
    ASSERT_EQ(px_stats_reader_fold(c.reader, px_stats_reader_block_id(c.reader, 0)), 0);
    ASSERT_EQ(gen_value(&c, "count"), 1111);
    gen_stop(&old);
    gen_stop(&g);
    gen_stop(&c);
}

// A failed child had a name its parent lacks: the parent keeps the block, the next child has the name and folds it.
TEST(stats_names_of_a_failed_child_are_not_lost) {
    struct generation p = gen_start(0, NULL), failed = gen_start(1, "only.failed"), c;
    ASSERT_EQ(gen_attach(&failed, &p), 0);
    ASSERT_EQ(gen_attach(&p, &failed), 0);
    gen_count(&failed, 3);
    px_stats_add(failed.block, FIRST_OWN, 7);
    px_stats_set(failed.block, ACTIVE, 1);
    ASSERT_EQ(px_stats_reader_fold(p.reader, failed.id), 0);
    ASSERT_EQ(gen_value(&p, "only.failed"), 7);
    ASSERT_EQ(gen_value(&p, "count"), 3);
    ASSERT_EQ(gen_value(&p, "active"), 0);
    ASSERT_EQ(px_stats_reader_count(p.reader), 1);
    c = gen_start_with_names(2, NULL, &failed);
    ASSERT_EQ(gen_attach(&c, &failed), 0);
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(px_stats_reader_count(c.reader), 1);  // p said that it is dead and that it declines
    ASSERT_EQ(gen_attach(&p, &c), 0);
    for (int i = 0; i < 2; i++) {
        struct generation *reader = i == 0 ? &c : &p;
        ASSERT_EQ(gen_value(reader, "only.failed"), 7);
        ASSERT_EQ(gen_value(reader, "count"), 3);
        ASSERT_EQ(px_stats_reader_count(reader->reader), 1);
    }
    gen_stop(&failed);
    gen_stop(&p);
    gen_stop(&c);
}

// What cannot be folded is kept up to a limit; then it is folded without the names.
TEST(stats_blocks_kept_for_their_names_are_bounded) {
    struct generation p = gen_start(0, NULL);
    for (int i = 0; i < 100; i++) {
        struct generation failed = gen_start(1, "only.failed");
        gen_count(&failed, 1);
        px_stats_add(failed.block, FIRST_OWN, 1);
        ASSERT_EQ(gen_attach(&p, &failed), 0);
        uint64_t id = failed.id;
        gen_stop(&failed);
        ASSERT_EQ(px_stats_reader_fold(p.reader, id), 0);
        ASSERT_LE(px_stats_reader_count(p.reader), 16);
        ASSERT_EQ(gen_value(&p, "count"), i + 1);
    }
    gen_stop(&p);
}

TEST_WITH_LIMIT(stats_of_a_thousand_generations_are_exact, 60) {
    struct generation p = gen_start(0, NULL);
    uint64_t bytes = px_stats_block_bytes(p.block), ids[1001];
    int64_t total = 0;
    for (uint64_t epoch = 1; epoch <= 1000; epoch++) {
        gen_count(&p, epoch);
        px_stats_record(p.block, LENGTH, epoch);
        total += (int64_t)epoch;
        ids[epoch] = p.id;
        struct generation c = gen_start_with_names(epoch, NULL, &p);
        ASSERT_EQ(gen_attach(&c, &p), 0);
        gen_stop(&p);
        ASSERT_EQ(px_stats_reader_fold(c.reader, ids[epoch]), 0);
        ASSERT_EQ(gen_value(&c, "count"), total);
        p = c;
    }
    struct px_stat stat;
    ASSERT_TRUE(gen_find(&p, "length_ms", &stat));
    ASSERT_EQ(stat.histogram_count, 1000);
    ASSERT_EQ(stat.histogram_sum, total);
    ASSERT_EQ(px_stats_block_bytes(p.block), bytes);
    gen_stop(&p);
}

// More dead than ids are kept: the oldest are forgotten, no count is.
TEST_WITH_LIMIT(stats_forget_ids_but_no_counts, 60) {
    struct generation p = gen_start(0, NULL), c = gen_start(5000, NULL);
    for (uint64_t i = 1; i <= 4200; i++) {
        struct generation dead = gen_start(i, NULL);
        gen_count(&dead, 1);
        ASSERT_EQ(gen_attach(&p, &dead), 0);
        uint64_t id = dead.id;
        gen_stop(&dead);
        ASSERT_EQ(px_stats_reader_fold(p.reader, id), 0);
    }
    ASSERT_EQ(gen_attach(&c, &p), 0);
    ASSERT_EQ(gen_value(&c, "count"), 4200);
    uint64_t id = p.id;
    gen_stop(&p);
    ASSERT_EQ(px_stats_reader_fold(c.reader, id), 0);
    ASSERT_EQ(gen_value(&c, "count"), 4200);
    gen_stop(&c);
}
