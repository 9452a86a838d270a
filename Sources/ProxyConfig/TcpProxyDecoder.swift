internal import ProxyModel

/// The tcp_proxy filter. Whether its clusters exist is checked with the whole configuration in view.
struct TcpProxyDecoder {
    let context: DecodeContext

    func decode(_ message: Message) -> TcpProxy? {
        let accessLogs = message.messages("access_log").compactMap { AccessLogDecoder(context: context).decode($0) }
        let targets = self.targets(message)
        checkWeights(targets, message)
        guard let statPrefix = message.string("stat_prefix"), !targets.isEmpty else { return nil }
        var proxy = TcpProxy(statPrefix: statPrefix, targets: targets)
        proxy.idleTimeoutMs = message.milliseconds("idle_timeout") ?? proxy.idleTimeoutMs
        proxy.maxConnectAttempts = message.uint32("max_connect_attempts") ?? proxy.maxConnectAttempts
        proxy.maxDownstreamDurationMs = message.milliseconds("max_downstream_connection_duration") ?? 0
        proxy.accessLogs = accessLogs
        return proxy
    }

    private func targets(_ message: Message) -> [TcpProxy.Target] {
        if let cluster = message.string("cluster") {
            if cluster.isEmpty { context.error(.missingField, message, "cluster", "'cluster' must not be empty") }
            return [TcpProxy.Target(cluster: cluster, weight: 1)]
        }
        return (message.message("weighted_clusters")?.messages("clusters") ?? []).compactMap { entry in
            guard let name = entry.string("name"), let weight = entry.uint32("weight") else { return nil }
            return TcpProxy.Target(cluster: name, weight: weight)
        }
    }

    private func checkWeights(_ targets: [TcpProxy.Target], _ message: Message) {
        let sum = targets.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
        if sum > UInt64(UInt32.max) {
            context.error(
                .weightSum, message, "weighted_clusters", "the weights add up to \(sum), above \(UInt32.max)", hint: "divide them all")
        }
    }
}
