internal import ProxyModel

/// A cluster with its endpoints.
struct ClusterDecoder {
    let context: DecodeContext

    /// nil where the name is unusable, which has been reported.
    func decode(_ message: Message) -> Cluster? {
        var cluster = Cluster(name: message.string("name") ?? "")
        cluster.statName = message.string("alt_stat_name").flatMap { $0.isEmpty ? nil : $0 }
        cluster.connectTimeoutMs = message.milliseconds("connect_timeout") ?? cluster.connectTimeoutMs
        cluster.bufferLimitBytes = message.uint32("per_connection_buffer_limit_bytes") ?? cluster.bufferLimitBytes
        decodeDiscovery(message, into: &cluster)
        decodeBalancing(message, into: &cluster)
        cluster.maxConnections = maxConnections(message) ?? cluster.maxConnections
        cluster.keepalive = message.message("upstream_connection_options")?.message("tcp_keepalive").map(keepalive)
        if hasUsableType(message), let assignment = message.message("load_assignment") {
            cluster.endpoints = endpoints(assignment, cluster.discovery)
        }
        checkLogicalDNS(cluster, message)
        return cluster.name.isEmpty ? nil : cluster
    }

    // MARK: discovery

    private func decodeDiscovery(_ message: Message, into cluster: inout Cluster) {
        switch message.enumeration("type") {
        case "STRICT_DNS": cluster.discovery = .strictDNS
        case "LOGICAL_DNS": cluster.discovery = .logicalDNS
        default: cluster.discovery = .static
        }
        cluster.dnsRefreshMs = message.milliseconds("dns_refresh_rate") ?? cluster.dnsRefreshMs
        cluster.lookupFamily = family(message) ?? cluster.lookupFamily
        decodeTypedDiscovery(message, into: &cluster)
    }

    /// What endpoints may be depends on the type; where that is in error, findings about them would only confuse.
    private func hasUsableType(_ message: Message) -> Bool {
        if let type = message.entry("type") { return !type.value.isInvalid }
        guard let custom = message.message("cluster_type") else { return !message.has("cluster_type") }
        return custom.any("typed_config") != nil
    }

    private func decodeTypedDiscovery(_ message: Message, into cluster: inout Cluster) {
        guard let type = message.message("cluster_type") else { return }
        guard let dns = type.any("typed_config") else {
            if !type.has("typed_config") {
                context.findings.error(
                    .missingType, type.place, "cluster_type has no 'typed_config'", path: type.path, hint: "use 'type' instead")
            }
            return
        }
        cluster.discovery = dns.bool("all_addresses_in_single_endpoint") ?? false ? .logicalDNS : .strictDNS
        cluster.dnsRefreshMs = dns.milliseconds("dns_refresh_rate") ?? cluster.dnsRefreshMs
        cluster.lookupFamily = family(dns) ?? cluster.lookupFamily
    }

    private func family(_ message: Message) -> Cluster.LookupFamily? {
        switch message.enumeration("dns_lookup_family") {
        case "AUTO": return .auto
        case "V4_ONLY": return .v4Only
        case "V6_ONLY": return .v6Only
        case "V4_PREFERRED": return .v4Preferred
        case "ALL": return .all
        default: return nil
        }
    }

    private func checkLogicalDNS(_ cluster: Cluster, _ message: Message) {
        guard cluster.discovery == .logicalDNS, let assignment = message.message("load_assignment") else { return }
        let localities = assignment.messages("endpoints")
        guard localities.count != 1 || localities[0].messages("lb_endpoints").count != 1 else { return }
        context.error(
            .logicalDnsEndpoints, message, "load_assignment", "a LOGICAL_DNS cluster needs exactly one endpoint",
            hint: "set 'type: STRICT_DNS' to use several names")
    }

    // MARK: balancing and limits

    private func decodeBalancing(_ message: Message, into cluster: inout Cluster) {
        switch message.enumeration("lb_policy") {
        case "LEAST_REQUEST": cluster.balancing = .leastRequest
        case "RANDOM": cluster.balancing = .random
        default: cluster.balancing = .roundRobin
        }
        cluster.choiceCount = message.message("least_request_lb_config")?.uint32("choice_count") ?? cluster.choiceCount
        if let policy = message.message("load_balancing_policy") { decodePolicy(policy, into: &cluster) }
        if message.enumeration("lb_policy") == "LOAD_BALANCING_POLICY_CONFIG", !message.has("load_balancing_policy") {
            context.error(.missingField, message, "lb_policy", "LOAD_BALANCING_POLICY_CONFIG needs 'load_balancing_policy'")
        }
    }

    /// The first policy counts, as in Envoy.
    private func decodePolicy(_ policy: Message, into cluster: inout Cluster) {
        guard let first = policy.messages("policies").first?.message("typed_extension_config")?.any("typed_config") else {
            if policy.messages("policies").isEmpty {
                context.findings.error(.itemCount, policy.place, "'policies' must have at least 1 item", path: policy.path(of: "policies"))
            }
            return
        }
        switch first.schema.name.split(separator: ".").last {
        case "LeastRequest":
            cluster.balancing = .leastRequest
            cluster.choiceCount = first.uint32("choice_count") ?? cluster.choiceCount
        case "Random": cluster.balancing = .random
        default: cluster.balancing = .roundRobin
        }
    }

    /// TCP counts against the thresholds of priority DEFAULT.
    private func maxConnections(_ message: Message) -> UInt32? {
        var seen: [String: Message] = [:]
        for threshold in message.message("circuit_breakers")?.messages("thresholds") ?? [] {
            let priority = threshold.enumeration("priority") ?? "DEFAULT"
            if let first = seen[priority] {
                let place = threshold.entry("priority")?.valuePlace ?? threshold.place
                context.findings.warning(
                    .duplicateThreshold, place,
                    "a second threshold for priority \(priority) is not used; \(context.first(first.place, seenFrom: place))",
                    path: threshold.path)
                continue
            }
            seen[priority] = threshold
        }
        return seen["DEFAULT"]?.uint32("max_connections")
    }

    private func keepalive(_ message: Message) -> Cluster.Keepalive {
        var result = Cluster.Keepalive()
        result.probes = message.uint32("keepalive_probes") ?? 0
        result.timeS = message.uint32("keepalive_time") ?? 0
        result.intervalS = message.uint32("keepalive_interval") ?? 0
        return result
    }

    // MARK: endpoints

    private func endpoints(_ assignment: Message, _ discovery: Cluster.Discovery) -> [Cluster.Endpoint] {
        let localities = assignment.messages("endpoints")
        for locality in localities where (locality.integer("priority") ?? 0) > 0 {
            context.error(
                .unsupportedValue, locality, "priority", "priorities above 0 are valid in Envoy but not supported here yet",
                hint: "list the endpoints with priority 0, or in a cluster of their own")
        }
        let endpoints = localities.flatMap { $0.messages("lb_endpoints") }.compactMap { endpoint($0, discovery) }
        let sum = endpoints.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
        if sum > UInt64(UInt32.max) {
            context.error(.weightSum, assignment, "endpoints", "the weights add up to \(sum), above \(UInt32.max)", hint: "divide them all")
        }
        return endpoints
    }

    private func endpoint(_ message: Message, _ discovery: Cluster.Discovery) -> Cluster.Endpoint? {
        guard let endpoint = message.message("endpoint") else { return missing("endpoint", message) }
        guard let address = endpoint.message("address") else { return missing("address", endpoint) }
        guard let decoded = context.address(address, discovery == .static ? .literalEndpoint : .resolvedEndpoint) else { return nil }
        var result = Cluster.Endpoint(address: decoded)
        result.weight = message.uint32("load_balancing_weight") ?? 1
        result.unhealthy = ["UNHEALTHY", "DRAINING", "TIMEOUT"].contains(message.enumeration("health_status"))
        result.hostname = endpoint.string("hostname") ?? ""
        return result
    }

    private func missing(_ field: String, _ message: Message) -> Cluster.Endpoint? {
        if !message.has(field) {
            context.findings.error(
                .missingField, message.place, "\(lastName(message.path)) has no '\(field)'", path: message.path(of: field))
        }
        return nil
    }
}
