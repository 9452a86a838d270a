// A listener as the plan has it: immutable, read by every worker. The filter's part is in relay/filter_config.h.
#ifndef PX_LISTENER_CONFIG_H
#define PX_LISTENER_CONFIG_H

#include "include/px_plan.h"

// Statistics of one listener: field, name after "listener.<prefix>.", kind, import mode. All Envoy's but downstream_accept_paused:
// how often accepting rested because descriptors or memory had run out.
#define PX_LISTENER_STATS(X)                                                                                  \
    X(downstream_cx_total, "downstream_cx_total", COUNTER, ACCUMULATE)                                        \
    X(downstream_cx_destroy, "downstream_cx_destroy", COUNTER, ACCUMULATE)                                    \
    X(downstream_cx_overflow, "downstream_cx_overflow", COUNTER, ACCUMULATE)                                  \
    X(downstream_cx_overload_reject, "downstream_cx_overload_reject", COUNTER, ACCUMULATE)                    \
    X(downstream_global_cx_overflow, "downstream_global_cx_overflow", COUNTER, ACCUMULATE)                    \
    X(downstream_accept_paused, "downstream_accept_paused", COUNTER, ACCUMULATE)                              \
    X(downstream_cx_active, "downstream_cx_active", GAUGE, ACCUMULATE)                                        \
    X(downstream_cx_length_ms, "downstream_cx_length_ms", HISTOGRAM, ACCUMULATE)                              \
    X(connections_accepted_per_socket_event, "connections_accepted_per_socket_event", HISTOGRAM, ACCUMULATE)

// Statistics "listener.<prefix>.worker_<n>."; worker n counts them, in its own shard.
#define PX_LISTENER_WORKER_STATS(X)                                        \
    X(downstream_cx_total, "downstream_cx_total", COUNTER, ACCUMULATE)     \
    X(downstream_cx_active, "downstream_cx_active", GAUGE, ACCUMULATE)

// Fields of all stats structs: the slot from registration on, the cell index (px__cell_add) once px_plan_bind_stats ran.
#define PX_STAT_FIELD(field, name, kind, import) uint32_t field;
struct px_listener_stats {
    PX_LISTENER_STATS(PX_STAT_FIELD)
};
struct px_listener_worker_stats {
    PX_LISTENER_WORKER_STATS(PX_STAT_FIELD)
};

struct px_address_config {
    struct px_addr addr;                 // as configured; port 0 stays 0 here
    uint32_t pipe_mode;
    struct px_socket_option *options;    // the listener's, then the address' own
    uint32_t option_count;
};

struct px_listener_config {
    uint32_t index;                      // in the plan
    char *name;
    char *stat_prefix;                   // never NULL: the first address where none was given
    bool reuse_port;
    bool bind_to_port;
    bool inbound;
    int32_t backlog;
    uint32_t accept_batch;
    uint32_t buffer_limit_bytes;
    uint64_t connection_limit;
    struct px_address_config *addresses;
    uint32_t address_count;
    struct px_listener_stats stats;
    struct px_listener_worker_stats *worker_stats;  // one per worker
};

#endif
