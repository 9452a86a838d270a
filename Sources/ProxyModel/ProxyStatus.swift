/// The serving generation's answer to a query on the control socket.
public struct ProxyStatus: Sendable, Equatable, Codable {
    public struct Generation: Sendable, Equatable, Codable {
        public var epoch: UInt64
        public var pid: Int32
        /// "initializing", "serving", "draining" or "stopping".
        public var state: String
        public var connections: UInt64
        public var oldestConnectionMs: UInt64?
        /// Force deadline of a draining generation.
        public var drainEndsUnixMs: UInt64?
        public var startedUnixMs: UInt64
        public init(
            epoch: UInt64, pid: Int32, state: String, connections: UInt64 = 0, oldestConnectionMs: UInt64? = nil,
            drainEndsUnixMs: UInt64? = nil, startedUnixMs: UInt64 = 0
        ) {
            self.epoch = epoch
            self.pid = pid
            self.state = state
            self.connections = connections
            self.oldestConnectionMs = oldestConnectionMs
            self.drainEndsUnixMs = drainEndsUnixMs
            self.startedUnixMs = startedUnixMs
        }
        enum CodingKeys: String, CodingKey {
            case epoch, pid, state, connections
            case oldestConnectionMs = "oldest_connection_ms"
            case drainEndsUnixMs = "drain_ends_unix_ms"
            case startedUnixMs = "started_unix_ms"
        }
    }

    public var epoch: UInt64 = 0
    public var pid: Int32 = 0
    public var version = ""
    public var startedUnixMs: UInt64 = 0
    public var restartInProgress = false
    public var configPath: String?
    public var configYAML: String?
    public var configHash: String?
    /// The program's path on disk.
    public var executable: String?
    /// Without the program's own name.
    public var arguments: [String] = []
    public var admin: String?
    public var supervised = false
    public var generations: [Generation] = []
    public var lastRestart: RestartReport?
    public init() {}

    enum CodingKeys: String, CodingKey {
        case epoch, pid, version
        case startedUnixMs = "started_unix_ms"
        case restartInProgress = "restart_in_progress"
        case configPath = "config_path"
        case configYAML = "config_yaml"
        case configHash = "config_hash"
        case executable, arguments, admin
        case supervised, generations
        case lastRestart = "last_restart"
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        epoch = try fields.decode(UInt64.self, forKey: .epoch)
        pid = try fields.decode(Int32.self, forKey: .pid)
        version = try fields.value(.version, or: "")
        startedUnixMs = try fields.value(.startedUnixMs, or: 0)
        restartInProgress = try fields.value(.restartInProgress, or: false)
        configPath = try fields.decodeIfPresent(String.self, forKey: .configPath)
        configYAML = try fields.decodeIfPresent(String.self, forKey: .configYAML)
        configHash = try fields.decodeIfPresent(String.self, forKey: .configHash)
        executable = try fields.decodeIfPresent(String.self, forKey: .executable)
        arguments = try fields.value(.arguments, or: [])
        admin = try fields.decodeIfPresent(String.self, forKey: .admin)
        supervised = try fields.value(.supervised, or: false)
        generations = try fields.value(.generations, or: [])
        lastRestart = try fields.decodeIfPresent(RestartReport.self, forKey: .lastRestart)
    }
}
