/// A configuration of the proxy, as text. Only what the tests vary.
public struct ConfigText {
    public enum Filter {
        case echo
        /// tcp_proxy to `cluster`; the stat_prefix is the listener's name.
        case relay(cluster: String)
        /// tcp_proxy with these fields, in flow style: "cluster: up, max_connect_attempts: 3".
        case relayWith(String)
        case respond(String)
    }

    public struct Listener {
        public var name: String
        public var endpoints: [Endpoint]
        public var filter: Filter
        public var reusePort: Bool?
        public var accessLog: String?
        public var extra: String

        public init(
            _ name: String, _ endpoints: [Endpoint], _ filter: Filter = .echo, reusePort: Bool? = nil, accessLog: String? = nil,
            extra: String = ""
        ) {
            self.name = name
            self.endpoints = endpoints
            self.filter = filter
            self.reusePort = reusePort
            self.accessLog = accessLog
            self.extra = extra
        }
    }

    public var admin: Endpoint?
    public var listeners: [Listener]
    /// name → where its one endpoint is
    public var clusters: [(name: String, endpoint: Endpoint)]
    /// Clusters in flow style, and what else stands at the top of the file.
    public var otherClusters: [String] = []
    public var other: [String] = []

    public init(admin: Endpoint?, listeners: [Listener], clusters: [(name: String, endpoint: Endpoint)] = []) {
        self.admin = admin
        self.listeners = listeners
        self.clusters = clusters
    }

    public var yaml: String {
        var lines: [String] = []
        if let admin { lines.append("admin: { address: \(Self.address(admin)) }") }
        lines.append("static_resources:")
        lines.append(listeners.isEmpty ? "  listeners: []" : "  listeners:")
        for listener in listeners { lines += Self.lines(listener) }
        if !clusters.isEmpty || !otherClusters.isEmpty { lines.append("  clusters:") }
        for cluster in clusters { lines += Self.lines(cluster.name, cluster.endpoint) }
        for cluster in otherClusters { lines.append("  - \(cluster)") }
        lines += other
        return lines.joined(separator: "\n") + "\n"
    }

    /// An `address` in flow style.
    public static func address(_ endpoint: Endpoint) -> String {
        switch endpoint {
        case .host(let host, let port): "{ socket_address: { address: \(host), port_value: \(port) } }"
        case .v4(let port): "{ socket_address: { address: 127.0.0.1, port_value: \(port) } }"
        case .v6(let port): "{ socket_address: { address: \"::1\", port_value: \(port) } }"
        case .pipe(let path): "{ pipe: { path: \"\(path)\" } }"
        }
    }

    private static func lines(_ listener: Listener) -> [String] {
        var lines = ["  - name: \(listener.name)", "    address: \(address(listener.endpoints[0]))"]
        if listener.endpoints.count > 1 {
            lines.append("    additional_addresses:")
            for endpoint in listener.endpoints.dropFirst() { lines.append("    - address: \(address(endpoint))") }
        }
        if let reusePort = listener.reusePort { lines.append("    enable_reuse_port: \(reusePort)") }
        if !listener.extra.isEmpty { lines.append("    \(listener.extra)") }
        lines.append("    filter_chains:")
        lines.append("    - filters:")
        return lines + filterLines(listener).map { "      \($0)" }
    }

    private static func filterLines(_ listener: Listener) -> [String] {
        let types = "type.googleapis.com/envoy.extensions"
        switch listener.filter {
        case .echo:
            return [
                "- name: envoy.filters.network.echo",
                "  typed_config: { \"@type\": \(types).filters.network.echo.v3.Echo }",
            ]
        case .respond(let text):
            return [
                "- name: envoy.filters.network.direct_response", "  typed_config:",
                "    \"@type\": \(types).filters.network.direct_response.v3.Config", "    response: { inline_string: \"\(text)\" }",
            ]
        case .relay(let cluster): return relayLines(listener, "cluster: \(cluster)")
        case .relayWith(let fields): return relayLines(listener, fields)
        }
    }

    private static func relayLines(_ listener: Listener, _ fields: String) -> [String] {
        let types = "type.googleapis.com/envoy.extensions"
        let log = listener.accessLog.map {
            ", access_log: [{ name: file, typed_config: "
                + "{ \"@type\": \(types).access_loggers.file.v3.FileAccessLog, path: \"\($0)\" } }]"
        }
        let type = "\"@type\": \(types).filters.network.tcp_proxy.v3.TcpProxy"
        return [
            "- name: envoy.filters.network.tcp_proxy",
            "  typed_config: { \(type), stat_prefix: \(listener.name), \(fields)\(log ?? "") }",
        ]
    }

    private static func lines(_ name: String, _ endpoint: Endpoint) -> [String] {
        [
            "  - name: \(name)", "    type: STATIC", "    connect_timeout: 5s", "    load_assignment:", "      cluster_name: \(name)",
            "      endpoints:", "      - lb_endpoints:", "        - endpoint: { address: \(address(endpoint)) }",
        ]
    }
}
