public import ProxyModel

/// The server as the admin page sees it. What costs something to find out is a closure, called only by the pages that show it.
public struct AdminSnapshot {
    public var server: ServerStatus
    public var node = Node()
    public var listeners: () -> [ListenerStatus] = { [] }
    public var clusters: () -> [ClusterStatus] = { [] }
    public var statistics: () -> [StatSample] = { [] }
    /// Lowest value of every histogram bucket, ascending; the last bucket has no upper bound.
    public var bucketLows: [UInt64] = []
    public var generations: () -> [GenerationStatus] = { [] }
    /// JSON of the last restart's report; nil where there was none.
    public var restartReport: () -> String? = { nil }
    public var configuration: () -> ConfigurationDump = { ConfigurationDump() }
    public var memory: () -> MemoryStatus = { MemoryStatus() }
    /// Components with their levels, sorted by name.
    public var logLevels: () -> [ComponentLevel] = { [] }
    /// `--stats-tag`: labels of every statistic of /stats/prometheus.
    public var statsTags: [(name: String, value: String)] = []
    /// Fields of `command_line_options` in /server_info.
    public var options: JSONValue = .object([])

    public init(server: ServerStatus) { self.server = server }
}

public struct ServerStatus: Sendable, Equatable {
    public enum State: Int64, Sendable {
        case live = 0
        case draining, preInitializing, initializing
        public var text: String {
            switch self {
            case .live: "LIVE"
            case .draining: "DRAINING"
            case .preInitializing: "PRE_INITIALIZING"
            case .initializing: "INITIALIZING"
            }
        }
    }
    public var state: State
    public var epoch: UInt64
    public var pid: Int32
    /// `<protocol version>.<capability flags in hex>`, or "disabled".
    public var hotRestartVersion: String
    public var uptimeS: UInt64
    public var uptimeAllEpochsS: UInt64
    /// Whether a child is initialising.
    public var restartInProgress = false
    public var nowUnixMs: UInt64

    public init(
        state: State, epoch: UInt64, pid: Int32, hotRestartVersion: String, uptimeS: UInt64, uptimeAllEpochsS: UInt64, nowUnixMs: UInt64
    ) {
        self.state = state
        self.epoch = epoch
        self.pid = pid
        self.hotRestartVersion = hotRestartVersion
        self.uptimeS = uptimeS
        self.uptimeAllEpochsS = uptimeAllEpochsS
        self.nowUnixMs = nowUnixMs
    }
}

public struct ListenerStatus: Sendable, Equatable {
    public var name: String
    /// As bound (real ports), the listener's `address` first.
    public var addresses: [Address]
    public init(name: String, addresses: [Address]) {
        self.name = name
        self.addresses = addresses
    }
}

public struct ClusterStatus: Sendable, Equatable {
    public struct Host: Sendable, Equatable {
        public var address: Address
        public var hostname = ""
        public var weight: UInt32 = 1
        public var isHealthy = true
        public var active: Int64 = 0
        public var total: UInt64 = 0
        public var connectFailures: UInt64 = 0
        public init(address: Address) { self.address = address }
    }
    public var name: String
    /// `alt_stat_name`, or the name.
    public var observabilityName: String
    public var maxConnections: UInt32 = 1024
    public var hosts: [Host] = []
    public init(name: String, observabilityName: String? = nil) {
        self.name = name
        self.observabilityName = observabilityName ?? name
    }
}

public struct GenerationStatus: Sendable, Equatable {
    public var epoch: UInt64
    public var pid: Int32
    /// "initializing", "serving", "draining" or "stopping".
    public var state: String
    public var version = ""
    public var startedUnixMs: UInt64 = 0
    public var connections: UInt64 = 0
    /// Age of the oldest connection; 0 when there is none.
    public var oldestConnectionMs: UInt64 = 0
    /// Force deadline; nil when not draining.
    public var drainEndsUnixMs: UInt64?
    public var configHash: UInt64 = 0
    public init(epoch: UInt64, pid: Int32, state: String) {
        self.epoch = epoch
        self.pid = pid
        self.state = state
    }
}

/// The configuration as loaded, each part as JSON text with Envoy's field names.
public struct ConfigurationDump: Sendable, Equatable {
    public struct Resource: Sendable, Equatable {
        public var name: String
        public var json: String
        public init(name: String, json: String) {
            self.name = name
            self.json = json
        }
    }
    public var bootstrap = "{}"
    public var clusters: [Resource] = []
    public var listeners: [Resource] = []
    public var loadedUnixMs: UInt64 = 0
    public init() {}
}

public struct MemoryStatus: Sendable, Equatable {
    public var allocated: UInt64 = 0
    public var heapSize: UInt64 = 0
    public var physical: UInt64 = 0
    public init() {}
}
