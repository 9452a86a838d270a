#include <stdlib.h>
#include <string.h>

#include "loop/timer_wheel.h"
#include "test.h"

static struct px_timer_wheel wheel;

static void never_called(struct px_timer *timer) {
    FAIL("the wheel runs no callback");
}

// What is due at `now`, as a count; checks that nothing is early and that due times do not go back.
static unsigned take_all(uint64_t now, uint64_t *last_due) {
    unsigned count = 0;
    for (struct px_timer *timer; (timer = px_timer_wheel_take(&wheel, now)); count++) {
        ASSERT_LE(timer->due_ms, now);
        ASSERT_GE(timer->due_ms, *last_due);
        ASSERT_FALSE(px_timer_is_armed(timer));
        *last_due = timer->due_ms;
    }
    ASSERT_EQ(wheel.now_ms, now);
    return count;
}

TEST(wheel_gives_each_timer_at_its_millisecond_whatever_its_distance) {
    static const uint64_t delays[] = {0, 1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, 262143, 262144, 900000, 16777216, 1073741824,
        (uint64_t)1 << 36, (uint64_t)1 << 40};
    static const uint64_t starts[] = {0, 1, 63, 64, 4095, 123456789, ((uint64_t)1 << 36) - 1, ((uint64_t)1 << 41) + 77};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
            struct px_timer timer = {.on_fire = never_called};
            uint64_t due = starts[s] + delays[d];
            px_timer_wheel_init(&wheel, starts[s]);
            px_timer_wheel_add(&wheel, &timer, due);
            ASSERT_TRUE(px_timer_is_armed(&timer));
            if (delays[d]) ASSERT_TRUE(px_timer_wheel_take(&wheel, due - 1) == NULL);
            ASSERT_LE(px_timer_wheel_next(&wheel), due);
            ASSERT_TRUE(px_timer_wheel_take(&wheel, due) == &timer);
            ASSERT_TRUE(px_timer_wheel_take(&wheel, due) == NULL);
            ASSERT_EQ(px_timer_wheel_next(&wheel), (int64_t)UINT64_MAX);
        }
    }
}

TEST(wheel_next_wakes_a_lone_timer_at_most_once_per_level) {
    struct px_timer timer = {0};
    px_timer_wheel_init(&wheel, 1000003);
    px_timer_wheel_add(&wheel, &timer, 1000003 + 900000);
    unsigned wakeups = 0;
    uint64_t now = 1000003;
    while (px_timer_is_armed(&timer)) {
        uint64_t next = px_timer_wheel_next(&wheel);
        ASSERT_GT(next, now);
        ASSERT_LE(next, 1000003 + 900000);
        now = next;
        px_timer_wheel_take(&wheel, now);
        wakeups++;
    }
    ASSERT_EQ(now, 1000003 + 900000);
    ASSERT_LE(wakeups, PX_WHEEL_LEVELS);
}

TEST(wheel_takes_due_times_out_of_range_to_its_ends) {
    struct px_timer past = {0}, never = {0};
    uint64_t last = 0;
    px_timer_wheel_init(&wheel, 500);
    px_timer_wheel_add(&wheel, &past, 3);
    px_timer_wheel_add(&wheel, &never, UINT64_MAX);
    ASSERT_EQ(take_all(500, &last), 1);
    ASSERT_EQ(take_all((uint64_t)1 << 39, &last), 0);
    ASSERT_TRUE(px_timer_is_armed(&never));
    px_timer_wheel_remove(&wheel, &never);
    ASSERT_EQ(px_timer_wheel_next(&wheel), (int64_t)UINT64_MAX);
}

TEST(wheel_cancel_works_at_every_place_of_a_slot_and_among_the_due) {
    struct px_timer timers[5];
    for (unsigned victim = 0; victim < 5; victim++) {
        memset(timers, 0, sizeof timers);
        px_timer_wheel_init(&wheel, 0);
        for (unsigned i = 0; i < 5; i++) px_timer_wheel_add(&wheel, &timers[i], 5000);
        px_timer_wheel_remove(&wheel, &timers[victim]);
        struct px_timer *first = px_timer_wheel_take(&wheel, 5000);
        ASSERT_TRUE(first && first != &timers[victim]);
        // Three are left among the due: cancel one there too.
        struct px_timer *second = NULL;
        for (unsigned i = 0; i < 5; i++) if (px_timer_is_armed(&timers[i])) second = &timers[i];
        ASSERT_TRUE(second != NULL);
        px_timer_wheel_remove(&wheel, second);
        uint64_t last = 0;
        ASSERT_EQ(take_all(5000, &last), 2);
        for (unsigned level = 0; level < PX_WHEEL_LEVELS; level++) ASSERT_EQ(wheel.occupied[level], 0);
    }
}

// Against a plain array as the model, from a fixed seed.
TEST(wheel_agrees_with_a_model_over_random_arms_cancels_and_jumps) {
    enum { TIMERS = 300 };
    static struct px_timer timers[TIMERS];
    uint64_t now = 999999, last = 0;
    srandom(7);
    px_timer_wheel_init(&wheel, now);
    for (int step = 0; step < 200000; step++) {
        struct px_timer *timer = &timers[random() % TIMERS];
        int action = (int)(random() % 8);
        if (action < 4) {
            if (px_timer_is_armed(timer)) px_timer_wheel_remove(&wheel, timer);
            px_timer_wheel_add(&wheel, timer, now + (uint64_t)random() % ((uint64_t)1 << random() % 24));
        } else if (action < 6) {
            if (px_timer_is_armed(timer)) px_timer_wheel_remove(&wheel, timer);
        } else {
            uint64_t next = now + (uint64_t)random() % ((uint64_t)1 << random() % 20), earliest = UINT64_MAX;
            unsigned expected = 0;
            for (int i = 0; i < TIMERS; i++) {
                if (!px_timer_is_armed(&timers[i])) continue;
                expected += timers[i].due_ms <= next;
                if (timers[i].due_ms < earliest) earliest = timers[i].due_ms;
            }
            ASSERT_TRUE(px_timer_wheel_next(&wheel) <= earliest);
            ASSERT_EQ(take_all(next, &last), expected);
            now = next;
        }
    }
}
