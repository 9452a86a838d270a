// The reserve is a private mapping that nobody touches: it counts against RLIMIT_DATA, RLIMIT_AS and strict overcommit, which are what
// make malloc() fail, and costs no page. (A cgroup's limit never does: there the kernel kills.)
//
// Invariant: `reserve` is NULL exactly while the driver may need what it was. One word for all threads; the ordinary path loads it.
#include "base/client_memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { RESERVE_BYTES = 8 << 20, RETRY_MS = 100 };

static _Atomic(void *) reserve;
static _Atomic uint64_t tried_ms;

static void *map_reserve(void) {
    void *map = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

void px_client_memory_begin(void) {
    void *none = NULL, *map = atomic_load_explicit(&reserve, memory_order_relaxed) ? NULL : map_reserve();
    if (map && !atomic_compare_exchange_strong(&reserve, &none, map)) munmap(map, RESERVE_BYTES);
}

static void let_go(void) {
    void *map = atomic_exchange(&reserve, NULL);
    if (map) munmap(map, RESERVE_BYTES);
    atomic_store_explicit(&tried_ms, px_clock_monotonic_ns() / 1000000, memory_order_relaxed);
}

// Now and then, by whoever asks first.
static bool is_held(void) {
    if (atomic_load_explicit(&reserve, memory_order_relaxed)) return true;
    uint64_t now = px_clock_monotonic_ns() / 1000000, tried = atomic_load_explicit(&tried_ms, memory_order_relaxed);
    if (now - tried < RETRY_MS || !atomic_compare_exchange_strong(&tried_ms, &tried, now)) return false;
    px_client_memory_begin();
    return atomic_load_explicit(&reserve, memory_order_relaxed) != NULL;
}

void *px_client_malloc(size_t bytes) {
    if (!is_held()) return NULL;
    void *memory = malloc(bytes);
    if (!memory) let_go();
    return memory;
}
