/// The configuration as the server uses it: checked, defaults filled in, references resolved to names that exist (or known not
/// to, where Envoy accepts that). Made by ProxyConfig, read by everybody else. Durations are milliseconds.
public struct Configuration: Sendable, Equatable {
    public var node = Node()
    public var admin: Admin?
    public var statsFlushIntervalMs: UInt64 = 5000
    public var listeners: [Listener] = []
    public var clusters: [Cluster] = []
    /// Connections over all listeners (overload manager, global_downstream_max_connections); nil: no limit.
    public var globalConnectionLimit: UInt64?
    /// How many unknown fields were let pass (`--allow-unknown-static-fields`).
    public var unknownFieldCount = 0

    public init() {}
}

public struct Node: Sendable, Equatable {
    public var id = ""
    public var cluster = ""
    public var region = ""
    public var zone = ""
    public var subZone = ""
    public init() {}
}

public struct Admin: Sendable, Equatable {
    public var address: Address
    public init(address: Address) { self.address = address }
}

/// Where to listen or connect.
public enum Address: Sendable, Equatable, Hashable {
    /// IP literal (or, for endpoints of DNS clusters, a name) and port.
    case socket(host: String, port: UInt16)
    /// Unix socket: path, or abstract with a leading "@"; `mode` 0 leaves the permission bits alone.
    case pipe(path: String, mode: UInt32)
}

public struct SocketOption: Sendable, Equatable {
    public enum State: Sendable, Equatable { case prebind, bound, listening }
    public enum Value: Sendable, Equatable {
        case int(Int32)
        case bytes([UInt8])
    }
    public var level: Int32
    public var name: Int32
    public var value: Value
    public var state: State
    public init(level: Int32, name: Int32, value: Value, state: State) {
        self.level = level
        self.name = name
        self.value = value
        self.state = state
    }
}

public struct Listener: Sendable, Equatable {
    public var name: String
    public var statPrefix: String?
    /// The listener's `address`, then `additional_addresses`, each with its own socket options.
    public var addresses: [ListenerAddress]
    public var reusePort = true
    public var bindToPort = true
    public var inbound = false
    /// nil: net.core.somaxconn.
    public var backlog: Int32?
    /// nil: the core's own bound.
    public var acceptBatch: UInt32?
    public var bufferLimitBytes: UInt32 = 1 << 20
    /// nil: none.
    public var connectionLimit: UInt64?
    /// `socket_options`, with `tcp_keepalive`, `freebind`, `transparent` and `tcp_fast_open_queue_length` written out as options.
    public var socketOptions: [SocketOption] = []
    public var filterChainName: String?
    public var filter: Filter
    public init(name: String, addresses: [ListenerAddress], filter: Filter) {
        self.name = name
        self.addresses = addresses
        self.filter = filter
    }
}

public struct ListenerAddress: Sendable, Equatable {
    public var address: Address
    public var socketOptions: [SocketOption]
    public init(address: Address, socketOptions: [SocketOption] = []) {
        self.address = address
        self.socketOptions = socketOptions
    }
}

public enum Filter: Sendable, Equatable {
    case echo
    case directResponse([UInt8])
    case tcpProxy(TcpProxy)
}

public struct TcpProxy: Sendable, Equatable {
    public struct Target: Sendable, Equatable {
        public var cluster: String
        public var weight: UInt32
        public init(cluster: String, weight: UInt32) {
            self.cluster = cluster
            self.weight = weight
        }
    }
    public var statPrefix: String
    public var targets: [Target]
    /// 0: off.
    public var idleTimeoutMs: UInt64 = 3_600_000
    public var maxConnectAttempts: UInt32 = 1
    /// 0: off.
    public var maxDownstreamDurationMs: UInt64 = 0
    public var accessLogs: [AccessLog] = []
    public init(statPrefix: String, targets: [Target]) {
        self.statPrefix = statPrefix
        self.targets = targets
    }
}

public struct AccessLog: Sendable, Equatable {
    public var path: String
    public var operations: [LogOperation]
    public init(path: String, operations: [LogOperation]) {
        self.path = path
        self.operations = operations
    }
}

/// One piece of a compiled access-log format; the cases are those of the core's px_log_op_kind.
public struct LogOperation: Sendable, Equatable {
    public enum Kind: Int32, Sendable, CaseIterable {
        case literal = 0
        case dash, startTime, bytesReceived, bytesSent, duration, responseFlags, responseFlagsLong, responseCode
        case upstreamHost, upstreamCluster, upstreamLocalAddress, upstreamFailureReason, upstreamAttempts
        case downstreamRemote, downstreamRemoteIP, downstreamLocal, downstreamLocalIP, downstreamLocalPort
        case connectionID, terminationDetails, filterChainName, accessLogType, upstreamRemoteIP, upstreamRemotePort
    }
    public var kind: Kind
    public var text: String
    /// 0: uncut.
    public var maxLength: UInt32
    public var json: Bool
    public init(_ kind: Kind, text: String = "", maxLength: UInt32 = 0, json: Bool = false) {
        self.kind = kind
        self.text = text
        self.maxLength = maxLength
        self.json = json
    }
}

public struct Cluster: Sendable, Equatable {
    public enum Discovery: Int32, Sendable {
        case `static` = 0
        case strictDNS, logicalDNS
    }
    public enum Balancing: Int32, Sendable {
        case roundRobin = 0
        case leastRequest, random
    }
    public enum LookupFamily: Int32, Sendable {
        case auto = 0
        case v4Only, v6Only, v4Preferred, all
    }
    public struct Keepalive: Sendable, Equatable {
        /// 0 in any field: the system's default.
        public var probes: UInt32 = 0
        public var timeS: UInt32 = 0
        public var intervalS: UInt32 = 0
        public init() {}
    }
    public struct Endpoint: Sendable, Equatable {
        public var address: Address
        public var weight: UInt32 = 1
        public var unhealthy = false
        public var hostname = ""
        public init(address: Address) { self.address = address }
    }
    public var name: String
    public var statName: String?
    public var discovery: Discovery = .static
    public var balancing: Balancing = .roundRobin
    public var lookupFamily: LookupFamily = .auto
    public var connectTimeoutMs: UInt64 = 5000
    public var dnsRefreshMs: UInt64 = 5000
    public var maxConnections: UInt32 = 1024
    public var choiceCount: UInt32 = 2
    public var bufferLimitBytes: UInt32 = 1 << 20
    public var keepalive: Keepalive?
    public var endpoints: [Endpoint] = []
    public init(name: String) { self.name = name }
}
