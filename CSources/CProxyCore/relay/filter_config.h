// What a listener does with a connection: the filter part of its plan. Immutable, read by every worker.
#ifndef PX_FILTER_CONFIG_H
#define PX_FILTER_CONFIG_H

#include "base/random.h"
#include "relay/access_log.h"
#include "relay/cluster.h"

// Statistics of one tcp_proxy: field, name after "tcp.<stat_prefix>.", kind, import mode.
#define PX_TCP_STATS(X)                                                                                                     \
    X(downstream_cx_total, "downstream_cx_total", COUNTER, ACCUMULATE)                                                      \
    X(downstream_cx_no_route, "downstream_cx_no_route", COUNTER, ACCUMULATE)                                                \
    X(downstream_cx_rx_bytes_total, "downstream_cx_rx_bytes_total", COUNTER, ACCUMULATE)                                    \
    X(downstream_cx_tx_bytes_total, "downstream_cx_tx_bytes_total", COUNTER, ACCUMULATE)                                    \
    X(downstream_cx_rx_bytes_buffered, "downstream_cx_rx_bytes_buffered", GAUGE, ACCUMULATE)                                \
    X(downstream_cx_tx_bytes_buffered, "downstream_cx_tx_bytes_buffered", GAUGE, ACCUMULATE)                                \
    X(downstream_flow_control_paused_reading_total, "downstream_flow_control_paused_reading_total", COUNTER, ACCUMULATE)    \
    X(downstream_flow_control_resumed_reading_total, "downstream_flow_control_resumed_reading_total", COUNTER, ACCUMULATE)  \
    X(idle_timeout, "idle_timeout", COUNTER, ACCUMULATE)                                                                    \
    X(max_downstream_connection_duration, "max_downstream_connection_duration", COUNTER, ACCUMULATE)                        \
    X(upstream_flush_total, "upstream_flush_total", COUNTER, ACCUMULATE)                                                    \
    X(upstream_flush_active, "upstream_flush_active", GAUGE, ACCUMULATE)

struct px_tcp_stats {
    PX_TCP_STATS(PX_STAT_FIELD)
};

struct px_target {
    struct px_cluster *cluster;  // NULL: configured, but does not exist (downstream_cx_no_route)
    uint32_t weight;
};

struct px_filter_config {
    enum px_filter_kind kind;
    const char *filter_chain_name;   // "" where none

    // TCP_PROXY
    const char *stat_prefix;
    uint32_t idle_timeout_ms;
    uint32_t max_duration_ms;
    uint32_t max_connect_attempts;
    struct px_target *targets;
    uint32_t target_count;
    uint64_t target_weight;          // sum
    struct px_access_log **access_logs;
    uint32_t access_log_count;
    struct px_tcp_stats stats;

    // DIRECT_RESPONSE
    uint8_t *response;
    size_t response_length;
};

// The cluster of one connection, drawn by weight; NULL where there is no target or it does not exist.
struct px_cluster *px_filter_pick_cluster(const struct px_filter_config *config, uint64_t *random);

#endif
