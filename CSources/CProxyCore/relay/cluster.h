// Upstream clusters: their hosts, and what is counted about them over all workers.
//
// A host set is immutable and reference-counted. When names resolve to something else, a new set is made, which shares the hosts that
// stayed (so their counters go on), and each worker swaps its pointer in its own loop (relay/balance.h). A connection holds
// its host. Atomics here are touched when a connection opens or ends, never per byte.
#ifndef PX_CLUSTER_H
#define PX_CLUSTER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/log_ring.h"
#include "include/px_plan.h"
#include "net/listener_config.h"
#include "net/sock.h"
#include "stats/stats_block.h"

// Statistics of one cluster: field, name after "cluster.<name>.", kind, import mode.
#define PX_CLUSTER_STATS(X)                                                                                              \
    X(membership_change, "membership_change", COUNTER, ACCUMULATE)                                                       \
    X(update_attempt, "update_attempt", COUNTER, ACCUMULATE)                                                             \
    X(update_success, "update_success", COUNTER, ACCUMULATE)                                                             \
    X(update_failure, "update_failure", COUNTER, ACCUMULATE)                                                             \
    X(update_empty, "update_empty", COUNTER, ACCUMULATE)                                                                 \
    X(update_no_rebuild, "update_no_rebuild", COUNTER, ACCUMULATE)                                                       \
    X(membership_total, "membership_total", GAUGE, NEVER)                                                                \
    X(membership_healthy, "membership_healthy", GAUGE, NEVER)                                                            \
    X(max_host_weight, "max_host_weight", GAUGE, NEVER)                                                                  \
    X(upstream_cx_total, "upstream_cx_total", COUNTER, ACCUMULATE)                                                       \
    X(upstream_cx_active, "upstream_cx_active", GAUGE, ACCUMULATE)                                                       \
    X(upstream_cx_connect_fail, "upstream_cx_connect_fail", COUNTER, ACCUMULATE)                                         \
    X(upstream_cx_connect_timeout, "upstream_cx_connect_timeout", COUNTER, ACCUMULATE)                                   \
    X(upstream_cx_connect_attempts_exceeded, "upstream_cx_connect_attempts_exceeded", COUNTER, ACCUMULATE)               \
    X(upstream_cx_overflow, "upstream_cx_overflow", COUNTER, ACCUMULATE)                                                 \
    X(upstream_cx_none_healthy, "upstream_cx_none_healthy", COUNTER, ACCUMULATE)                                         \
    X(upstream_cx_destroy, "upstream_cx_destroy", COUNTER, ACCUMULATE)                                                   \
    X(upstream_cx_destroy_local, "upstream_cx_destroy_local", COUNTER, ACCUMULATE)                                       \
    X(upstream_cx_destroy_remote, "upstream_cx_destroy_remote", COUNTER, ACCUMULATE)                                     \
    X(upstream_cx_idle_timeout, "upstream_cx_idle_timeout", COUNTER, ACCUMULATE)                                         \
    X(upstream_cx_rx_bytes_total, "upstream_cx_rx_bytes_total", COUNTER, ACCUMULATE)                                     \
    X(upstream_cx_tx_bytes_total, "upstream_cx_tx_bytes_total", COUNTER, ACCUMULATE)                                     \
    X(upstream_cx_rx_bytes_buffered, "upstream_cx_rx_bytes_buffered", GAUGE, ACCUMULATE)                                 \
    X(upstream_cx_tx_bytes_buffered, "upstream_cx_tx_bytes_buffered", GAUGE, ACCUMULATE)                                 \
    X(upstream_flow_control_paused_reading_total, "upstream_flow_control_paused_reading_total", COUNTER, ACCUMULATE)     \
    X(upstream_flow_control_resumed_reading_total, "upstream_flow_control_resumed_reading_total", COUNTER, ACCUMULATE)   \
    X(upstream_flow_control_backed_up_total, "upstream_flow_control_backed_up_total", COUNTER, ACCUMULATE)               \
    X(upstream_flow_control_drained_total, "upstream_flow_control_drained_total", COUNTER, ACCUMULATE)                   \
    X(cx_open, "circuit_breakers.default.cx_open", GAUGE, ACCUMULATE)                                                    \
    X(upstream_cx_connect_ms, "upstream_cx_connect_ms", HISTOGRAM, ACCUMULATE)                                           \
    X(upstream_cx_length_ms, "upstream_cx_length_ms", HISTOGRAM, ACCUMULATE)

struct px_cluster_stats {
    PX_CLUSTER_STATS(PX_STAT_FIELD)
};

struct px_host {
    _Atomic uint32_t references;
    uint32_t weight;
    bool healthy;
    struct px_addr addr;
    _Atomic int64_t cx_active;
    _Atomic uint64_t cx_total;
    _Atomic uint64_t cx_connect_fail;
    char hostname[];
};

struct px_host *px_host_acquire(struct px_host *host);  // returns it
void px_host_release(struct px_host *host);             // NULL is fine

// One connection's life at a host: started, then perhaps failed, then ended (always, also after a failure).
static inline void px_host_started(struct px_host *host) {
    atomic_fetch_add_explicit(&host->cx_active, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&host->cx_total, 1, memory_order_relaxed);
}
static inline void px_host_failed(struct px_host *host) {
    atomic_fetch_add_explicit(&host->cx_connect_fail, 1, memory_order_relaxed);
}
static inline void px_host_ended(struct px_host *host) {
    atomic_fetch_sub_explicit(&host->cx_active, 1, memory_order_relaxed);
}

struct px_host_set {
    _Atomic uint32_t references;
    uint32_t count;            // all hosts, in configuration order
    uint32_t healthy_count;
    uint32_t max_weight;       // of all hosts; 0 if there are none
    bool equal_weights;        // of the healthy ones
    struct px_host **healthy;  // those that may be chosen; points behind hosts[count]
    struct px_host *hosts[];
};

struct px_host_set *px_host_set_acquire(struct px_host_set *set);  // returns it
void px_host_set_release(struct px_host_set *set);                 // NULL is fine

struct px_host_spec {
    struct px_addr addr;
    uint32_t weight;
    bool healthy;
    const char *hostname;  // "" where none
};
// A set of these hosts; the same address twice is one host. Hosts of `previous` (may be NULL) with the same address, weight, health
// and hostname are shared. The caller holds the one reference. NULL: out of memory.
struct px_host_set *px_host_set_create(const struct px_host_spec *specs, uint32_t count, const struct px_host_set *previous);
// The same hosts (shared ones) in any order.
bool px_host_set_equal(const struct px_host_set *a, const struct px_host_set *b);

struct px_endpoint {
    char *host;
    char *hostname;   // "" where none
    uint16_t port;
    uint32_t weight;
    bool unhealthy;
    bool literal;     // `addr` is valid: an IP or a pipe
    struct px_addr addr;
};

struct px_cluster {
    uint32_t index;   // in the plan
    char *name;
    char *stat_name;
    enum px_cluster_type type;
    enum px_lb_policy lb_policy;
    enum px_dns_family dns_family;
    uint32_t connect_timeout_ms;
    uint32_t dns_refresh_ms;
    uint32_t max_connections;  // UINT32_MAX = none
    uint32_t choice_count;
    uint32_t buffer_limit_bytes;
    struct px_keepalive keepalive;
    struct px_endpoint *endpoints;
    uint32_t endpoint_count, endpoint_capacity;
    struct px_cluster_stats stats;
    struct px_log_gate connect_gate;  // of the log line about connections that do not come about

    pthread_mutex_t lock;         // of `hosts`, for readers that are not workers
    struct px_host_set *hosts;    // the newest set; never NULL after px_cluster_load_static
    _Alignas(64) _Atomic uint32_t connections;  // of all workers; for the circuit breaker
};

// First host set: the literals of a STATIC cluster, else an empty one (the resolver publishes the first). Also a DNS cluster all of
// whose endpoints are literals is complete at once. 0 or -ENOMEM.
int px_cluster_load_static(struct px_cluster *cluster);
// Whether the resolver has to look at it.
bool px_cluster_needs_resolver(const struct px_cluster *cluster);
// The newest set, with a reference for the caller. Any thread.
struct px_host_set *px_cluster_hosts(struct px_cluster *cluster);
// Replace the newest set; takes over the caller's reference. Workers are told separately. Any thread.
void px_cluster_publish(struct px_cluster *cluster, struct px_host_set *set);
// Write membership gauges into `shard`: main thread before start, later the resolver's thread alone.
void px_cluster_count_members(const struct px_cluster *cluster, const struct px_host_set *set, px_cell *shard);

// Circuit breaker: take one of max_connections, before px_sock_connect. false: at the limit; upstream_cx_overflow was counted. Any
// worker, with its own shard. cx_open is moved by the worker that crosses the limit, so that the sum over shards is 0 or 1.
bool px_cluster_admit(struct px_cluster *cluster, px_cell *shard);
// Give it back.
void px_cluster_leave(struct px_cluster *cluster, px_cell *shard);

// For the plan: a cluster without endpoints. NULL: out of memory. Destroy: no balancer and no connection may be left.
struct px_cluster *px_cluster_create(const struct px_cluster_spec *spec, uint32_t index);
int px_cluster_add_endpoint(struct px_cluster *cluster, const struct px_endpoint_spec *spec);  // index or -errno
void px_cluster_destroy(struct px_cluster *cluster);

#endif
