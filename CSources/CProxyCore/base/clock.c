// The one clock of the core: CLOCK_MONOTONIC, which all processes of one boot share, so that its values may travel between
// generations. Read through the vDSO, without a system call where the clock source allows.
#include <time.h>

#include "include/px_base.h"

uint64_t px_clock_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
