/// The plan: what to serve, as plain structs the driver fills from the configuration. Built once, copied by nobody: the
/// engine takes it over. Immutable after px_engine_create. All functions here: thread: owner, before the engine exists.
///
/// Strings and arrays given to `px_plan_add_…` are lent for the call; the plan keeps its own copies.
#ifndef PX_PLAN_H
#define PX_PLAN_H

#include "px_base.h"
#include "px_stats.h"

PX_ASSUME_NONNULL_BEGIN

typedef struct px_plan px_plan;

enum PX_CLOSED_ENUM px_cluster_type { PX_CLUSTER_STATIC = 0, PX_CLUSTER_STRICT_DNS = 1, PX_CLUSTER_LOGICAL_DNS = 2 };
enum PX_CLOSED_ENUM px_lb_policy { PX_LB_ROUND_ROBIN = 0, PX_LB_LEAST_REQUEST = 1, PX_LB_RANDOM = 2 };
/// Envoy's dns_lookup_family. AUTO is v6 first, v4 where there is none; V4_PREFERRED the reverse; ALL both.
enum PX_CLOSED_ENUM px_dns_family {
    PX_DNS_AUTO = 0, PX_DNS_V4_ONLY = 1, PX_DNS_V6_ONLY = 2, PX_DNS_V4_PREFERRED = 3, PX_DNS_ALL = 4
};

struct px_cluster_spec {
    const char *name;
    const char *PX_NULLABLE stat_name;  ///< alt_stat_name; NULL = name
    enum px_cluster_type type;
    enum px_lb_policy lb_policy;
    enum px_dns_family dns_family;
    uint32_t connect_timeout_ms;   ///< > 0
    uint32_t dns_refresh_ms;       ///< > 0
    uint32_t max_connections;      ///< circuit breaker, across all workers; UINT32_MAX = none
    uint32_t choice_count;         ///< LEAST_REQUEST: hosts drawn, >= 2
    uint32_t buffer_limit_bytes;   ///< per_connection_buffer_limit_bytes of the upstream connection
    bool keepalive;                ///< set SO_KEEPALIVE on upstream connections
    uint32_t keepalive_probes;     ///< 0 = the system's default; likewise the next two
    uint32_t keepalive_time_s;
    uint32_t keepalive_interval_s;
};

/// Add a cluster. Returns its index >= 0, or -EEXIST, -ENOMEM.
PX_API PX_MUST_USE int px_plan_add_cluster(px_plan *plan, const struct px_cluster_spec *spec);

struct px_endpoint_spec {
    const char *host;      ///< IP literal, DNS name (DNS cluster types only), or a pipe path when `port` is 0 and it starts with '/' or '@'
    uint16_t port;
    uint32_t weight;       ///< >= 1
    bool unhealthy;        ///< health_status says UNHEALTHY, DRAINING or TIMEOUT: listed, never chosen
    const char *PX_NULLABLE hostname;  ///< endpoint.hostname, shown by /clusters
};
/// Add an endpoint to a cluster, in configuration order. Returns its index, or -EINVAL (not a literal in a STATIC cluster).
PX_API PX_MUST_USE int px_plan_add_endpoint(px_plan *plan, uint32_t cluster, const struct px_endpoint_spec *spec);

/// One piece of a compiled access-log format. Operators that have no meaning for TCP print "-" (or null in JSON).
enum PX_CLOSED_ENUM px_log_op_kind {
    PX_LOG_LITERAL = 0,               ///< text as it is
    PX_LOG_DASH = 1,                  ///< an operator that is always absent for TCP, for example %REQ(...)%
    PX_LOG_START_TIME = 2,            ///< `text`: strftime format with Envoy's %f and %1f..%9f, %s; empty = default ISO with ms
    PX_LOG_BYTES_RECEIVED = 3,        ///< from the downstream
    PX_LOG_BYTES_SENT = 4,            ///< to the downstream
    PX_LOG_DURATION = 5,              ///< ms from accept to close
    PX_LOG_RESPONSE_FLAGS = 6,        ///< short form: UH, UF, UO, NR, DT, ...; "-" when none
    PX_LOG_RESPONSE_FLAGS_LONG = 7,
    PX_LOG_RESPONSE_CODE = 8,         ///< "0" for TCP
    PX_LOG_UPSTREAM_HOST = 9,         ///< ip:port
    PX_LOG_UPSTREAM_CLUSTER = 10,
    PX_LOG_UPSTREAM_LOCAL_ADDRESS = 11,
    PX_LOG_UPSTREAM_FAILURE_REASON = 12,
    PX_LOG_UPSTREAM_ATTEMPTS = 13,
    PX_LOG_DOWNSTREAM_REMOTE = 14,    ///< ip:port
    PX_LOG_DOWNSTREAM_REMOTE_IP = 15,
    PX_LOG_DOWNSTREAM_LOCAL = 16,
    PX_LOG_DOWNSTREAM_LOCAL_IP = 17,
    PX_LOG_DOWNSTREAM_LOCAL_PORT = 18,
    PX_LOG_CONNECTION_ID = 19,
    PX_LOG_TERMINATION_DETAILS = 20,
    PX_LOG_FILTER_CHAIN_NAME = 21,
    PX_LOG_ACCESS_LOG_TYPE = 22,      ///< "TcpConnectionEnd"
    PX_LOG_UPSTREAM_REMOTE_IP = 23,
    PX_LOG_UPSTREAM_REMOTE_PORT = 24,
};

struct px_log_op {
    enum px_log_op_kind kind;
    const char *PX_NULLABLE text;  ///< literal text or parameter
    uint32_t max_length;           ///< 0 = uncut
    bool json;                     ///< print as a JSON value: numbers bare, strings quoted and escaped, absent as null
};
/// Add an access-log file with its format (the format ends with its own newline). The same path may be added often;
/// it is opened once. Returns its index.
PX_API PX_MUST_USE int px_plan_add_access_log(px_plan *plan, const char *path, const struct px_log_op *ops, size_t count);

enum PX_CLOSED_ENUM px_filter_kind { PX_FILTER_TCP_PROXY = 0, PX_FILTER_ECHO = 1, PX_FILTER_DIRECT_RESPONSE = 2 };

struct px_listener_spec {
    const char *name;
    const char *PX_NULLABLE stat_prefix;  ///< NULL = from the first address
    bool reuse_port;                 ///< one SO_REUSEPORT socket per worker
    bool bind_to_port;               ///< false: no socket at all
    bool inbound;                    ///< traffic_direction INBOUND, for /drain_listeners?inboundonly
    int32_t backlog;                 ///< listen(); 0 = net.core.somaxconn
    uint32_t accept_batch;           ///< max_connections_to_accept_per_socket_event; 0 = the core's own bound
    uint32_t buffer_limit_bytes;     ///< per_connection_buffer_limit_bytes
    uint64_t connection_limit;       ///< 0 = none; over it a connection is accepted, closed and counted (downstream_cx_overflow)
    const char *PX_NULLABLE filter_chain_name;

    enum px_filter_kind filter;
    // TCP_PROXY
    const char *PX_NULLABLE tcp_stat_prefix;
    uint32_t idle_timeout_ms;        ///< 0 = off
    uint32_t max_duration_ms;        ///< max_downstream_connection_duration; 0 = off
    uint32_t max_connect_attempts;   ///< >= 1
    // DIRECT_RESPONSE
    const uint8_t *PX_NULLABLE response;
    size_t response_length;
};
/// Add a listener. Returns its index, or -EEXIST for a name that is taken.
PX_API PX_MUST_USE int px_plan_add_listener(px_plan *plan, const struct px_listener_spec *spec);
/// Add an address, in order (index 0 is the listener's `address`). `pipe_mode`: permission bits of a pipe path, 0 = leave.
/// Returns its index.
PX_API PX_MUST_USE int px_plan_add_address(px_plan *plan, uint32_t listener, const struct px_addr *addr, uint32_t pipe_mode);
/// A TCP_PROXY's cluster. Called once with weight 1 for `cluster`, several times for weighted_clusters. `cluster` < 0: a
/// cluster that does not exist (its connections are closed and counted: downstream_cx_no_route).
PX_API PX_MUST_USE int px_plan_add_target(px_plan *plan, uint32_t listener, int32_t cluster, uint32_t weight);
PX_API PX_MUST_USE int px_plan_attach_access_log(px_plan *plan, uint32_t listener, uint32_t access_log);

enum PX_CLOSED_ENUM px_socket_option_state { PX_OPTION_PREBIND = 0, PX_OPTION_BOUND = 1, PX_OPTION_LISTENING = 2 };
struct px_socket_option {
    int32_t level;
    int32_t name;
    enum px_socket_option_state state;
    bool is_int;
    int32_t int_value;
    const uint8_t *PX_NULLABLE bytes;
    size_t length;
};
enum { PX_OPTION_NAMES_MAX = 64 };
struct px_option_name {
    int32_t level, name;
};
/// Socket option for all addresses (`address` < 0) or one. Applied to new sockets in `state`, to inherited ones at take-over.
PX_API PX_MUST_USE int px_plan_add_socket_option(px_plan *plan, uint32_t listener, int32_t address, const struct px_socket_option *option);

/// Connections over all listeners together; 0 = no limit (overload manager's global_downstream_max_connections).
PX_API void px_plan_set_global_connection_limit(px_plan *plan, uint64_t limit);

PX_API PX_MUST_USE px_plan *PX_NULLABLE px_plan_create(void);
/// NULL is fine. Not to be called once an engine has the plan.
PX_API void px_plan_destroy(px_plan *PX_NULLABLE plan);

/// Register every counter, gauge and histogram of the plan (listener.*, listener_manager.*, tcp.*, cluster.*) under Envoy's
/// names. Must come before px_stats_block_create. Returns 0 or -ENOMEM.
PX_API PX_MUST_USE int px_plan_register_stats(px_plan *plan, px_stats_builder *builder, uint32_t workers);

PX_ASSUME_NONNULL_END

#endif
