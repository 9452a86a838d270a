// Inside of px_plan: everything the driver added, as the layers below want it. The engine takes it over; after px_plan_bind_stats
// it is immutable but for the clusters' atomics and host sets and the log files' buffers.
#ifndef PX_PLAN_INTERNAL_H
#define PX_PLAN_INTERNAL_H

#include "net/listener_config.h"
#include "relay/filter_config.h"

#define PX_LISTENER_MANAGER_STATS(X)                                                    \
    X(listener_added, "listener_added", COUNTER, ACCUMULATE)                            \
    X(listener_create_failure, "listener_create_failure", COUNTER, ACCUMULATE)          \
    X(listener_create_success, "listener_create_success", COUNTER, ACCUMULATE)          \
    X(listener_modified, "listener_modified", COUNTER, ACCUMULATE)                      \
    X(listener_removed, "listener_removed", COUNTER, ACCUMULATE)                        \
    X(listener_stopped, "listener_stopped", COUNTER, ACCUMULATE)                        \
    X(total_filter_chains_draining, "total_filter_chains_draining", GAUGE, NEVER)       \
    X(total_listeners_active, "total_listeners_active", GAUGE, NEVER)                   \
    X(total_listeners_draining, "total_listeners_draining", GAUGE, NEVER)               \
    X(total_listeners_warming, "total_listeners_warming", GAUGE, NEVER)                 \
    X(workers_started, "workers_started", GAUGE, NEVER)

#define PX_CLUSTER_MANAGER_STATS(X)                         \
    X(cluster_added, "cluster_added", COUNTER, ACCUMULATE)  \
    X(active_clusters, "active_clusters", GAUGE, NEVER)     \
    X(warming_clusters, "warming_clusters", GAUGE, NEVER)

struct px_listener_manager_stats {
    PX_LISTENER_MANAGER_STATS(PX_STAT_FIELD)
};
struct px_cluster_manager_stats {
    PX_CLUSTER_MANAGER_STATS(PX_STAT_FIELD)
};

// One listener with its filter. Each is allocated alone, so that pointers to both halves stay.
struct px_listener_plan {
    struct px_listener_config listener;
    struct px_filter_config filter;
    char *filter_chain_name;
    char *tcp_stat_prefix;
    struct px_socket_option *options;  // for all addresses, as they came
    uint32_t option_count;
};

struct px_plan {
    struct px_cluster **clusters;
    uint32_t cluster_count;
    struct px_listener_plan **listeners;
    uint32_t listener_count;
    struct px_access_log **access_logs;
    uint32_t access_log_count;
    struct px_log_file **log_files;     // each path once
    uint32_t log_file_count;
    uint64_t global_connection_limit;   // 0 = none
    uint32_t workers;                   // as given to px_plan_register_stats; 0 before
    bool stats_bound;
    struct px_listener_manager_stats listener_manager;
    struct px_cluster_manager_stats cluster_manager;
    struct px_filesystem_stats filesystem;
};

// Turn every slot into its cell index, once. Engine, before any thread starts. A plan whose stats were never registered gets
// cells of slot 0, so register first; -EINVAL says that this was not done.
int px_plan_bind_stats(struct px_plan *plan, px_stats_block *block);

#endif
