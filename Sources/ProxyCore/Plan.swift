internal import CProxyCore
public import ProxyModel

#if canImport(Glibc)
    internal import Glibc
#endif

/// The configuration in the core's form. Built from a checked Configuration, then given to an Engine.
public final class Plan {
    private(set) var handle: OpaquePointer?

    public init(_ configuration: Configuration) throws(CoreError) {
        guard let handle = px_plan_create() else { throw CoreError(code: -12, call: "plan") }
        self.handle = handle
        px_plan_set_global_connection_limit(handle, configuration.globalConnectionLimit ?? 0)
        var clusterIndex: [String: Int32] = [:]
        for cluster in configuration.clusters { clusterIndex[cluster.name] = try Self.add(cluster, to: handle) }
        for listener in configuration.listeners { try Self.add(listener, to: handle, clusters: clusterIndex) }
    }

    deinit { px_plan_destroy(handle) }

    /// The engine owns the plan now.
    func consumed() { handle = nil }

    public func registerStatistics(_ builder: StatisticsBuilder, workers: UInt32) throws(CoreError) {
        try Self.check(px_plan_register_stats(handle!, builder.handle, workers), "register statistics")
    }

    /// What serving would bind and create, as far as it can be told without doing it.
    public func check() throws(CoreError) {
        _ = try checked("check") { px_plan_check(handle!, &$0) }
    }

    private static func add(_ cluster: Cluster, to plan: OpaquePointer) throws(CoreError) -> Int32 {
        let texts = Texts()
        var spec = px_cluster_spec(
            name: texts.keep(cluster.name), stat_name: texts.keep(cluster.statName),
            type: px_cluster_type(rawValue: UInt32(cluster.discovery.rawValue))!,
            lb_policy: px_lb_policy(rawValue: UInt32(cluster.balancing.rawValue))!,
            dns_family: px_dns_family(rawValue: UInt32(cluster.lookupFamily.rawValue))!,
            connect_timeout_ms: clamped(cluster.connectTimeoutMs), dns_refresh_ms: clamped(cluster.dnsRefreshMs),
            max_connections: cluster.maxConnections, choice_count: cluster.choiceCount,
            buffer_limit_bytes: cluster.bufferLimitBytes, keepalive: cluster.keepalive != nil,
            keepalive_probes: cluster.keepalive?.probes ?? 0, keepalive_time_s: cluster.keepalive?.timeS ?? 0,
            keepalive_interval_s: cluster.keepalive?.intervalS ?? 0)
        let index = try check(px_plan_add_cluster(plan, &spec), "cluster", cluster.name)
        for endpoint in cluster.endpoints {
            let host: String
            let port: UInt16
            switch endpoint.address {
            case .socket(let name, let number): (host, port) = (name, number)
            case .pipe(let path, _): (host, port) = (path, 0)
            }
            var spec = px_endpoint_spec(
                host: texts.keep(host), port: port, weight: endpoint.weight, unhealthy: endpoint.unhealthy,
                hostname: texts.keep(endpoint.hostname))
            try check(px_plan_add_endpoint(plan, UInt32(index), &spec), "endpoint", "\(cluster.name) \(host)")
        }
        return index
    }

    private static func add(_ listener: Listener, to plan: OpaquePointer, clusters: [String: Int32]) throws(CoreError) {
        let texts = Texts()
        var proxy: TcpProxy?
        var response: [UInt8] = []
        var kind = px_filter_kind.PX_FILTER_ECHO
        switch listener.filter {
        case .echo: break
        case .directResponse(let bytes): (kind, response) = (.PX_FILTER_DIRECT_RESPONSE, bytes)
        case .tcpProxy(let filter): (kind, proxy) = (.PX_FILTER_TCP_PROXY, filter)
        }
        let index = try response.withUnsafeBufferPointer { bytes throws(CoreError) -> UInt32 in
            var spec = px_listener_spec(
                name: texts.keep(listener.name), stat_prefix: texts.keep(listener.statPrefix), reuse_port: listener.reusePort,
                bind_to_port: listener.bindToPort, inbound: listener.inbound, backlog: listener.backlog ?? 0,
                accept_batch: listener.acceptBatch ?? 0, buffer_limit_bytes: listener.bufferLimitBytes,
                connection_limit: listener.connectionLimit ?? 0, filter_chain_name: texts.keep(listener.filterChainName),
                filter: kind, tcp_stat_prefix: texts.keep(proxy?.statPrefix), idle_timeout_ms: clamped(proxy?.idleTimeoutMs ?? 0),
                max_duration_ms: clamped(proxy?.maxDownstreamDurationMs ?? 0), max_connect_attempts: proxy?.maxConnectAttempts ?? 1,
                response: bytes.baseAddress, response_length: bytes.count)
            return UInt32(try check(px_plan_add_listener(plan, &spec), "listener", listener.name))
        }
        for option in listener.socketOptions { try add(option, to: plan, listener: index, address: -1) }
        for (position, entry) in listener.addresses.enumerated() {
            let address = try SocketAddress(entry.address)
            var mode: UInt32 = 0
            if case .pipe(_, let bits) = entry.address { mode = bits }
            let result = withUnsafePointer(to: address.raw) { px_plan_add_address(plan, index, $0, mode) }
            try check(result, "address", address.description)
            for option in entry.socketOptions { try add(option, to: plan, listener: index, address: Int32(position)) }
        }
        guard let proxy else { return }
        for target in proxy.targets {
            try check(px_plan_add_target(plan, index, clusters[target.cluster] ?? -1, target.weight), "target", target.cluster)
        }
        for log in proxy.accessLogs {
            let operations = log.operations.map {
                px_log_op(
                    kind: px_log_op_kind(rawValue: UInt32($0.kind.rawValue))!, text: texts.keep($0.text), max_length: $0.maxLength,
                    json: $0.json)
            }
            let file = try check(px_plan_add_access_log(plan, log.path, operations, operations.count), "access log", log.path)
            try check(px_plan_attach_access_log(plan, index, UInt32(file)), "access log", log.path)
        }
    }

    private static func add(_ option: SocketOption, to plan: OpaquePointer, listener: UInt32, address: Int32) throws(CoreError) {
        let state: px_socket_option_state =
            switch option.state {
            case .prebind: .PX_OPTION_PREBIND
            case .bound: .PX_OPTION_BOUND
            case .listening: .PX_OPTION_LISTENING
            }
        var number: Int32 = 0
        var bytes: [UInt8] = []
        var isInt = true
        switch option.value {
        case .int(let value): number = value
        case .bytes(let value): (bytes, isInt) = (value, false)
        }
        let result = bytes.withUnsafeBufferPointer { room in
            var raw = px_socket_option(
                level: option.level, name: option.name, state: state, is_int: isInt, int_value: number, bytes: room.baseAddress,
                length: room.count)
            return px_plan_add_socket_option(plan, listener, address, &raw)
        }
        try check(result, "socket option", "level \(option.level) name \(option.name)")
    }

    @discardableResult
    private static func check(_ result: Int32, _ call: String, _ object: String = "") throws(CoreError) -> Int32 {
        guard result >= 0 else { throw CoreError(code: result, call: call, object: object) }
        return result
    }

    private static func clamped(_ value: UInt64) -> UInt32 { UInt32(clamping: value) }
}

/// C strings that live as long as this object.
private final class Texts {
    private var kept: [UnsafeMutablePointer<CChar>] = []
    deinit { for text in kept { free(text) } }
    func keep(_ text: String) -> UnsafePointer<CChar> {
        let copy = strdup(text)!
        kept.append(copy)
        return UnsafePointer(copy)
    }
    func keep(_ text: String?) -> UnsafePointer<CChar>? { text.map { keep($0) } }
}
