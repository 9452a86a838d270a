/// A statistic that the driver itself keeps.
public struct ServerStatistic: Sendable, Equatable {
    public enum Kind: Sendable {
        case counter
        /// Summed over living generations.
        case gauge
        /// Each generation's own; only the serving one's is shown.
        case gaugeNeverImported
        case histogram
    }
    public var name: String
    public var kind: Kind
    init(_ name: String, _ kind: Kind) {
        self.name = name
        self.kind = kind
    }
}

/// Names of server.*, Envoy's and, below them, ours. The core registers what belongs to listeners, clusters and proxies.
public enum ServerStatistics {
    public static let all: [ServerStatistic] = envoy + ours

    static let envoy: [ServerStatistic] = [
        ServerStatistic("server.debug_assertion_failures", .counter),
        ServerStatistic("server.dropped_stat_flushes", .counter),
        ServerStatistic("server.dynamic_unknown_fields", .counter),
        ServerStatistic("server.envoy_bug_failures", .counter),
        ServerStatistic("server.envoy_notifications", .counter),
        ServerStatistic("server.static_unknown_fields", .counter),
        ServerStatistic("server.wip_protos", .counter),
        ServerStatistic("server.compilation_settings.fips_mode", .gaugeNeverImported),
        ServerStatistic("server.concurrency", .gaugeNeverImported),
        ServerStatistic("server.days_until_first_cert_expiring", .gaugeNeverImported),
        ServerStatistic("server.hot_restart_epoch", .gaugeNeverImported),
        ServerStatistic("server.hot_restart_generation", .gaugeNeverImported),
        ServerStatistic("server.live", .gaugeNeverImported),
        ServerStatistic("server.memory_allocated", .gauge),
        ServerStatistic("server.memory_heap_size", .gauge),
        ServerStatistic("server.memory_physical_size", .gauge),
        ServerStatistic("server.parent_connections", .gaugeNeverImported),
        ServerStatistic("server.seconds_until_first_ocsp_response_expiring", .gaugeNeverImported),
        ServerStatistic("server.state", .gaugeNeverImported),
        ServerStatistic("server.stats_recent_lookups", .gaugeNeverImported),
        ServerStatistic("server.total_connections", .gaugeNeverImported),
        ServerStatistic("server.uptime", .gaugeNeverImported),
        ServerStatistic("server.version", .gaugeNeverImported),
        ServerStatistic("server.initialization_time_ms", .histogram),
    ]

    static let ours: [ServerStatistic] = [
        // Restarts asked of this chain of generations, and how they ended.
        ServerStatistic("server.restart_attempts", .counter),
        ServerStatistic("server.restart_failures", .counter),
        ServerStatistic("server.restart_rollbacks", .counter),
        // 1 if the last one succeeded, 0 if not; when it ended, in seconds since 1970.
        ServerStatistic("server.restart_success", .gaugeNeverImported),
        ServerStatistic("server.last_restart_timestamp_seconds", .gaugeNeverImported),
        ServerStatistic("server.draining_generations", .gaugeNeverImported),
        // Connections closed by force at the end of a drain, or because too many generations were draining.
        ServerStatistic("server.connections_cut", .counter),
        // Log records that the core's ring had no room for.
        ServerStatistic("server.log_records_lost", .counter),
    ]
}
