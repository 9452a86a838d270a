// Hosts and host sets: immutable once made, shared by reference count between the cluster, the workers and the connections.
//
// Any thread. A host outlives the set that listed it for as long as a connection to it lives, so that its counters have somewhere to
// go. The last reference is dropped with acquire-release order: whoever frees sees everything the others did.
#include "relay/cluster.h"

#include <stdlib.h>
#include <string.h>

struct px_host *px_host_acquire(struct px_host *host) {
    atomic_fetch_add_explicit(&host->references, 1, memory_order_relaxed);
    return host;
}

void px_host_release(struct px_host *host) {
    if (host != NULL && atomic_fetch_sub_explicit(&host->references, 1, memory_order_acq_rel) == 1) free(host);
}

struct px_host_set *px_host_set_acquire(struct px_host_set *set) {
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void px_host_set_release(struct px_host_set *set) {
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < set->count; i++) px_host_release(set->hosts[i]);
    free(set);
}

static struct px_host *host_create(const struct px_host_spec *spec) {
    size_t length = strlen(spec->hostname) + 1;
    struct px_host *host = calloc(1, sizeof *host + length);
    if (host == NULL) return NULL;
    atomic_init(&host->references, 1);
    host->weight = spec->weight;
    host->healthy = spec->healthy;
    host->addr = spec->addr;
    memcpy(host->hostname, spec->hostname, length);
    return host;
}

static bool host_matches(const struct px_host *host, const struct px_host_spec *spec) {
    return host->weight == spec->weight && host->healthy == spec->healthy && px_addr_equal(&host->addr, &spec->addr) &&
           strcmp(host->hostname, spec->hostname) == 0;
}

static struct px_host *host_reuse_or_create(const struct px_host_set *previous, const struct px_host_spec *spec) {
    for (uint32_t i = 0; previous != NULL && i < previous->count; i++)
        if (host_matches(previous->hosts[i], spec)) return px_host_acquire(previous->hosts[i]);
    return host_create(spec);
}

static bool set_has_address(const struct px_host_set *set, const struct px_addr *addr) {
    for (uint32_t i = 0; i < set->count; i++)
        if (px_addr_equal(&set->hosts[i]->addr, addr)) return true;
    return false;
}

static void set_summarize(struct px_host_set *set) {
    set->equal_weights = true;
    for (uint32_t i = 0; i < set->count; i++) {
        struct px_host *host = set->hosts[i];
        if (host->weight > set->max_weight) set->max_weight = host->weight;
        if (!host->healthy) continue;
        set->healthy[set->healthy_count++] = host;
        if (host->weight != set->healthy[0]->weight) set->equal_weights = false;
    }
}

struct px_host_set *px_host_set_create(
    const struct px_host_spec *specs, uint32_t count, const struct px_host_set *previous) {
    struct px_host_set *set = calloc(1, sizeof *set + 2 * (size_t)count * sizeof(struct px_host *));
    if (set == NULL) return NULL;
    atomic_init(&set->references, 1);
    set->healthy = set->hosts + count;
    for (uint32_t i = 0; i < count; i++) {
        if (set_has_address(set, &specs[i].addr)) continue;
        struct px_host *host = host_reuse_or_create(previous, &specs[i]);
        if (host == NULL) {
            px_host_set_release(set);
            return NULL;
        }
        set->hosts[set->count++] = host;
    }
    set_summarize(set);
    return set;
}

static bool set_lists(const struct px_host_set *set, const struct px_host *host) {
    for (uint32_t i = 0; i < set->count; i++)
        if (set->hosts[i] == host) return true;
    return false;
}

bool px_host_set_equal(const struct px_host_set *a, const struct px_host_set *b) {
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!set_lists(b, a->hosts[i])) return false;
    return true;
}
