// Small fast random numbers for load balancing and jitter (splitmix64, Steele, Lea and Flood 2014). One state per thread; not
// for secrets.
#ifndef PX_RANDOM_H
#define PX_RANDOM_H

#include <stdint.h>

static inline uint64_t px_random_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// 0 … bound-1, bound > 0. Multiplication instead of a remainder; the bias is below bound / 2^32.
static inline uint32_t px_random_below(uint64_t *state, uint32_t bound) {
    return (uint32_t)(((px_random_next(state) >> 32) * bound) >> 32);
}

#endif
