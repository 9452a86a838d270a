// Name resolution off the data path: one thread that resolves DNS clusters with getaddrinfo() and refreshes them.
#ifndef PX_RESOLVER_H
#define PX_RESOLVER_H

#include "relay/cluster.h"

struct px_resolver;

// A new host set for `cluster`, already its newest (px_cluster_publish). `set` is lent: whoever keeps it takes a reference. Called on the
// resolver's thread; must not call px_resolver_stop.
typedef void (*px_resolver_publish_fn)(void *context, struct px_cluster *cluster, struct px_host_set *set);
// Every DNS cluster has had its first resolution, well or badly. Once, on the resolver's thread; not called where there is
// nothing to resolve (px_resolver_start returns NULL with detail->code 0).
typedef void (*px_resolver_warm_fn)(void *context);

struct px_resolver_options {
    struct px_cluster **clusters;   // borrowed until stop; those that need no resolver are skipped
    uint32_t cluster_count;
    px_cell *shard;                 // the main thread's; the resolver alone writes its cluster.*.update_* cells; NULL: not counted
    px_resolver_publish_fn publish;
    px_resolver_warm_fn warm;
    void *context;
};

struct px_resolver *px_resolver_start(const struct px_resolver_options *options, struct px_detail *detail);
// After this returns, no callback runs and no cluster is touched. Never waits for a getaddrinfo() in flight: that thread is left to
// itself with memory of its own and ends when the call does. NULL is fine.
void px_resolver_stop(struct px_resolver *resolver);

#endif
