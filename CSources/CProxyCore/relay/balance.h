// Which host gets the next connection. One balancer per worker and cluster, used by its worker alone, so nothing here is shared
// but the host set it points to.
#ifndef PX_BALANCE_H
#define PX_BALANCE_H

#include "relay/cluster.h"

struct px_deadline;  // one host's place in the earliest-deadline-first queue

struct px_balancer {
    struct px_cluster *cluster;
    struct px_host_set *set;       // one reference
    struct px_deadline *queue;     // heap over set->healthy; NULL where weights are equal
    double now;                    // virtual time of the queue
    uint64_t order;                // next tie-breaker of the queue
    uint64_t random;
    uint32_t next;                 // ROUND_ROBIN with equal weights
};

// Start with the cluster's newest set. `seed` differs between workers. 0 or -ENOMEM.
int px_balancer_init(struct px_balancer *balancer, struct px_cluster *cluster, uint64_t seed);
void px_balancer_deinit(struct px_balancer *balancer);
// Swap to `set` (the caller keeps its own reference). -ENOMEM: the old set stays.
int px_balancer_replace(struct px_balancer *balancer, struct px_host_set *set);
// The next host, with a reference for the caller, or NULL where none is healthy. `avoid` (may be NULL): the host that just failed,
// not chosen as long as there is another.
struct px_host *px_balancer_pick(struct px_balancer *balancer, const struct px_host *avoid);

#endif
