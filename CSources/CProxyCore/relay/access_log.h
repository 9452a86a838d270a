// Access-log lines: a compiled format (px_log_op) run over what a connection was.
#ifndef PX_ACCESS_LOG_H
#define PX_ACCESS_LOG_H

#include "include/px_plan.h"
#include "relay/log_file.h"

// Response flags: name, short, long; in the order in which they are printed (Envoy's).
#define PX_RESPONSE_FLAG_MAP(X)                                                   \
    X(NO_HEALTHY_UPSTREAM, "UH", "NoHealthyUpstream")                             \
    X(UPSTREAM_CONNECTION_FAILURE, "UF", "UpstreamConnectionFailure")             \
    X(UPSTREAM_CONNECTION_TERMINATION, "UC", "UpstreamConnectionTermination")     \
    X(UPSTREAM_OVERFLOW, "UO", "UpstreamOverflow")                                \
    X(NO_ROUTE, "NR", "NoRouteFound")                                             \
    X(DOWNSTREAM_TERMINATION, "DC", "DownstreamConnectionTermination")            \
    X(RETRY_LIMIT, "URX", "UpstreamRetryLimitExceeded")                           \
    X(IDLE_TIMEOUT, "SI", "StreamIdleTimeout")                                    \
    X(DURATION_TIMEOUT, "DT", "DurationTimeout")                                  \
    X(NO_CLUSTER, "NC", "NoClusterFound")                                         \
    X(OVERLOAD, "OM", "OverloadManagerTerminated")                                \
    X(DNS_FAILURE, "DF", "DnsResolutionFailed")                                   \
    X(DOWNSTREAM_RESET, "DR", "DownstreamRemoteReset")

enum px_response_flag_bit {
#define PX_FLAG_BIT(name, brief, full) PX_FLAG_BIT_##name,
    PX_RESPONSE_FLAG_MAP(PX_FLAG_BIT)
#undef PX_FLAG_BIT
    PX_FLAG_BITS
};
enum px_response_flag {  // a set: px_access_record.flags
#define PX_FLAG_VALUE(name, brief, full) PX_FLAG_##name = 1 << PX_FLAG_BIT_##name,
    PX_RESPONSE_FLAG_MAP(PX_FLAG_VALUE)
#undef PX_FLAG_VALUE
};

// What one connection was. Strings are lent for the call; NULL or "" = absent. An address of length 0 = absent.
struct px_access_record {
    uint64_t start_unix_ns;         // CLOCK_REALTIME at accept
    uint64_t duration_ms;
    uint64_t bytes_received;        // from the downstream
    uint64_t bytes_sent;            // to the downstream
    uint64_t connection_id;
    uint32_t flags;                 // PX_FLAG_…
    uint32_t attempts;              // connects tried; 0 = none
    struct px_addr downstream_remote, downstream_local;
    struct px_addr upstream_host, upstream_local;
    const char *cluster;
    const char *failure_reason;
    const char *termination_details;
    const char *filter_chain_name;
};

struct px_access_log {
    struct px_log_file *file;
    struct px_log_op *ops;          // text never NULL
    uint32_t op_count;
};

#define PX_ACCESS_LINE_MAX 8192  // a longer line is cut (and still ends in a newline if the format does)

// Run the format into `line`; returns the length, at most size.
size_t px_access_log_format(const struct px_access_log *log, const struct px_access_record *record, char *line, size_t size);
// Format and append to the file. Any worker, with its own shard.
void px_access_log_emit(const struct px_access_log *log, const struct px_access_record *record, px_cell *shard);

#endif
