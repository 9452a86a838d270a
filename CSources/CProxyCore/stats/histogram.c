// Buckets of a histogram: 0 … 3 have one each, then every octave has four of equal width, so that a bucket is at most a quarter
// wider than its lowest value. The octave from 2^40 is the last; its last bucket has no upper end. Stateless.
#include "stats/stats_block.h"

enum { SUB_BITS = 2, SUB_BUCKETS = 1 << SUB_BITS };

uint32_t px__histogram_bucket(uint64_t value) {
    if (value < SUB_BUCKETS) return (uint32_t)value;
    uint32_t octave = 63u - (uint32_t)__builtin_clzll(value);
    uint32_t sub = (uint32_t)(value >> (octave - SUB_BITS)) & (SUB_BUCKETS - 1);
    uint32_t bucket = (octave - SUB_BITS + 1) * SUB_BUCKETS + sub;
    return bucket < PX_HISTOGRAM_BUCKETS ? bucket : PX_HISTOGRAM_BUCKETS - 1;
}

static uint64_t lowest(uint32_t index) {
    if (index < SUB_BUCKETS) return index;
    uint32_t shift = index / SUB_BUCKETS - 1;
    return (uint64_t)(SUB_BUCKETS + index % SUB_BUCKETS) << shift;
}

void px_histogram_bounds(uint32_t index, uint64_t *low, uint64_t *high) {
    if (index >= PX_HISTOGRAM_BUCKETS) index = PX_HISTOGRAM_BUCKETS - 1;
    *low = lowest(index);
    *high = index == PX_HISTOGRAM_BUCKETS - 1 ? UINT64_MAX : lowest(index + 1);
}
