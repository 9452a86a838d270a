#include "stats/stats_block.h"
#include "test.h"

TEST(histogram_bounds_join_without_gap_and_cover_everything) {
    uint64_t low, high, last = 0;
    for (uint32_t i = 0; i < PX_HISTOGRAM_BUCKETS; i++) {
        px_histogram_bounds(i, &low, &high);
        ASSERT_EQ(low, last);
        ASSERT_TRUE(high > low);
        last = high;
    }
    ASSERT_TRUE(last == UINT64_MAX);
    px_histogram_bounds(PX_HISTOGRAM_BUCKETS - 4, &low, &high);
    ASSERT_EQ(low, 1ll << 40);
}

TEST(histogram_bucket_of_a_value_is_the_one_whose_bounds_hold_it) {
    for (uint32_t i = 0; i < PX_HISTOGRAM_BUCKETS; i++) {
        uint64_t low, high;
        px_histogram_bounds(i, &low, &high);
        ASSERT_EQ(px__histogram_bucket(low), i);
        ASSERT_EQ(px__histogram_bucket(low + (high - low) / 2), i);
        ASSERT_EQ(px__histogram_bucket(high - 1), i);
    }
    ASSERT_EQ(px__histogram_bucket(UINT64_MAX), PX_HISTOGRAM_BUCKETS - 1);
}

TEST(histogram_buckets_are_at_most_a_quarter_wide) {
    for (uint32_t i = 4; i + 1 < PX_HISTOGRAM_BUCKETS; i++) {
        uint64_t low, high;
        px_histogram_bounds(i, &low, &high);
        ASSERT_LE((high - low) * 4, low);
    }
}

TEST(histogram_bounds_of_a_bucket_there_is_not_are_the_last_ones) {
    uint64_t low, high, last_low, last_high;
    px_histogram_bounds(UINT32_MAX, &low, &high);
    px_histogram_bounds(PX_HISTOGRAM_BUCKETS - 1, &last_low, &last_high);
    ASSERT_EQ(low, last_low);
    ASSERT_TRUE(high == last_high);
}
