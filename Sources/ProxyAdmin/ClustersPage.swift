import ProxyModel

/// `/clusters`
enum ClustersPage {
    static let parameters: [AdminRouter.Route.Parameter] = [
        .init(name: "format", help: "text (default) or json"),
        .init(name: "filter", help: "regular expression (RE2 syntax) that cluster names are to match, in part"),
    ]
    /// Envoy's defaults for what this proxy does not limit.
    private static let otherThresholds: [(String, UInt32)] = [("max_pending_requests", 1024), ("max_requests", 1024), ("max_retries", 3)]

    static func response(_ query: AdminQuery, _ snapshot: AdminSnapshot) -> AdminResponse {
        var clusters = snapshot.clusters()
        if let filter = query["filter"] {
            do {
                clusters = try LinearPattern(filter).select(clusters) { $0.name }
            } catch { return .badRequest(error.text) }
        }
        if query["format"] == "json" { return .json(.object(JSONValue.list("cluster_statuses", clusters.map(status)))) }
        return AdminResponse(clusters.map(text).joined())
    }

    // MARK: - Text

    private static func text(_ cluster: ClusterStatus) -> String {
        let name = cluster.name
        var lines = ["\(name)::observability_name::\(cluster.observabilityName)"]
        for (priority, maximum) in [("default", cluster.maxConnections), ("high", 1024)] {
            let thresholds = [("max_connections", maximum)] + otherThresholds
            lines += thresholds.map { "\(name)::\(priority)_priority::\($0)::\($1)" }
        }
        lines.append("\(name)::added_via_api::false")
        for host in cluster.hosts { lines += values(host).map { "\(name)::\(host.address.text)::\($0)::\($1)" } }
        return lines.map { $0 + "\n" }.joined()
    }

    private static func values(_ host: ClusterStatus.Host) -> [(String, String)] {
        [
            ("cx_active", String(host.active)), ("cx_connect_fail", String(host.connectFailures)), ("cx_total", String(host.total)),
            ("rq_active", "0"), ("rq_error", "0"), ("rq_pending_active", "0"), ("rq_success", "0"), ("rq_timeout", "0"), ("rq_total", "0"),
            ("hostname", host.hostname), ("health_flags", host.isHealthy ? "healthy" : "/failed_eds_health"),
            ("weight", String(host.weight)),
            ("region", ""), ("zone", ""), ("sub_zone", ""), ("canary", "false"), ("priority", "0"), ("success_rate", "-1"),
            ("local_origin_success_rate", "-1"),
        ]
    }

    // MARK: - JSON

    private static func status(_ cluster: ClusterStatus) -> JSONValue {
        func thresholds(_ maximum: UInt32) -> [JSONValue.Member] {
            ([("max_connections", maximum)] + otherThresholds).map { .init($0, .number($1)) }
        }
        let priorities: [JSONValue] = [
            .object(thresholds(cluster.maxConnections)), .object([.init("priority", .string("HIGH"))] + thresholds(1024)),
        ]
        return .object(
            [.init("name", .string(cluster.name))] + JSONValue.list("host_statuses", cluster.hosts.map(status)) + [
                .init("circuit_breakers", .object([.init("thresholds", .array(priorities))])),
                .init("observability_name", .string(cluster.observabilityName)),
            ])
    }

    private static func status(_ host: ClusterStatus.Host) -> JSONValue {
        let counters: [(String, UInt64)] = [
            ("cx_connect_fail", host.connectFailures), ("cx_total", host.total), ("rq_error", 0), ("rq_success", 0), ("rq_timeout", 0),
            ("rq_total", 0),
        ]
        let gauges: [(String, UInt64)] = [("cx_active", UInt64(max(0, host.active))), ("rq_active", 0), ("rq_pending_active", 0)]
        let stats = counters.map { stat($0, $1, []) } + gauges.map { stat($0, $1, [.init("type", .string("GAUGE"))]) }
        var members: [JSONValue.Member] = [
            .init("address", host.address.json), .init("stats", .array(stats)),
            .init("health_status", .object([.init("eds_health_status", .string(host.isHealthy ? "HEALTHY" : "UNHEALTHY"))])),
            .init("weight", .number(host.weight)),
        ]
        if !host.hostname.isEmpty { members.append(.init("hostname", .string(host.hostname))) }
        return .object(members + [.init("locality", .object([]))])
    }

    /// A value of 0 is left out, as protobuf does.
    private static func stat(_ name: String, _ value: UInt64, _ type: [JSONValue.Member]) -> JSONValue {
        .object(type + (value == 0 ? [] : [.init("value", .string(value))]) + [.init("name", .string(name))])
    }
}
