// Restarts in random order against a plain sum. Up to ten generations live at once; children are born, fail, take over, and
// everybody is told of each death at a moment of its own, or never. The generation that serves must always show the exact total,
// and nobody may ever see a counter go back.
#include <errno.h>

#include "base/random.h"
#include "stats_rig.h"
#include "test.h"

enum { LIVING_MAX = 10, DEATHS_MAX = 4096, STEPS = 600 };

struct member {
    struct generation generation;
    int64_t seen;
};

struct world {
    struct member living[LIVING_MAX];  // by age; the last one serves, or is a child that is being born
    uint32_t count;
    uint64_t deaths[DEATHS_MAX];
    uint32_t death_count;
    int64_t total;
    uint64_t epoch, seed;
};

static uint32_t below(struct world *world, uint32_t bound) {
    return px_random_below(&world->seed, bound);
}

static void work(struct world *world) {
    uint64_t times = below(world, 1000);
    gen_count(&world->living[below(world, world->count)].generation, times);
    world->total += (int64_t)times;
}

// A block out of a relative's hands, since its owner may be gone.
static void pass(struct generation *to, const struct generation *from, uint32_t index) {
    (void)gen_attach_fd(to, px_stats_reader_fd(from->reader, index), px_stats_reader_block_id(from->reader, index));
}

// The one that serves has a link to everybody, so that before it has a child it knows of the deaths there were. Draining ones
// may never be told.
static void catch_up(struct world *world, struct generation *parent) {
    for (uint32_t i = world->death_count > 64 ? world->death_count - 64 : 0; i < world->death_count; i++)
        (void)!px_stats_reader_fold(parent->reader, world->deaths[i]);
}

static void be_born(struct world *world) {
    if (world->count == LIVING_MAX) return;
    struct generation *parent = &world->living[world->count - 1].generation;
    catch_up(world, parent);
    struct member *child = &world->living[world->count];
    *child = (struct member){.generation = gen_start(++world->epoch, NULL)};
    bool parent_first = below(world, 2);
    if (parent_first) (void)gen_attach(&child->generation, parent);
    for (uint32_t i = px_stats_reader_count(parent->reader); i > 0; i--) pass(&child->generation, parent, i - 1);
    if (!parent_first) (void)gen_attach(&child->generation, parent);
    if (below(world, 4) > 0) (void)gen_attach(parent, &child->generation);
    world->count++;
}

static void die(struct world *world) {
    if (world->count == 1 || world->death_count == DEATHS_MAX) return;
    uint32_t index = below(world, world->count);
    struct generation *dying = &world->living[index].generation;
    // The one that serves dies only if its parent has its block, as when a restart fails; else its counts are with it.
    if (index == world->count - 1) {
        struct generation *parent = &world->living[index - 1].generation;
        (void)gen_attach(parent, dying);
        for (uint32_t i = px_stats_reader_count(dying->reader); i > 0; i--) pass(parent, dying, i - 1);
    }
    world->deaths[world->death_count++] = dying->id;
    if (below(world, 2)) gen_abandon(dying);
    else gen_stop(dying);
    for (uint32_t i = index; i + 1 < world->count; i++) world->living[i] = world->living[i + 1];
    world->count--;
}

static void be_told(struct world *world) {
    if (world->death_count == 0) return;
    struct generation *who = &world->living[below(world, world->count)].generation;
    (void)!px_stats_reader_fold(who->reader, world->deaths[below(world, world->death_count)]);
}

static void look(struct world *world) {
    for (uint32_t i = 0; i < world->count; i++) {
        struct member *member = &world->living[i];
        if (i + 1 < world->count && below(world, 2)) continue;
        int64_t value = gen_value(&member->generation, "count");
        ASSERT_GE(value, member->seen);
        ASSERT_LE(value, world->total);
        member->seen = value;
        if (i + 1 == world->count) ASSERT_EQ(value, world->total);
    }
}

static void live(uint64_t seed) {
    struct world world = {.seed = seed, .count = 1, .living = {{.generation = gen_start(0, NULL)}}};
    for (int i = 0; i < STEPS; i++) {
        uint32_t what = below(&world, 16);
        if (what < 5) work(&world);
        else if (what < 7) be_born(&world);
        else if (what < 9) die(&world);
        else if (what < 14) be_told(&world);
        else look(&world);
    }
    look(&world);
    while (world.count > 0) gen_stop(&world.living[--world.count].generation);
}

TEST_WITH_LIMIT(stats_are_exact_whatever_the_order_of_births_deaths_and_news, 60) {
    for (uint64_t seed = 1; seed <= 40; seed++) live(seed);
}
