/// Which generation to be (`--restart-epoch`).
enum RestartEpoch: Sendable, Equatable {
    case number(UInt64)
    /// Given without a value: the serving generation's epoch + 1, or 0 if nothing serves.
    case next
    /// Not given: 0 if nothing serves, else an error that names who does.
    case unspecified
}

/// What the command line asks for, checked. Made by `ServerOptions.init(_:)` in OptionChecks.swift.
struct ServerOptions: Sendable, Equatable {
    enum Mode: String, Sendable, CaseIterable {
        case serve, validate
        case initOnly = "init_only"
    }
    enum DrainStrategy: String, Sendable, CaseIterable { case gradual, immediate }
    enum AddressVersion: String, Sendable, CaseIterable { case v4, v6 }

    // Configuration
    var configPath: String?
    var configYAML: String?
    var mode = Mode.serve
    var allowUnknownStaticFields = false

    // Hot restart
    var restartEpoch = RestartEpoch.unspecified
    var baseID: UInt32 = 0
    var useDynamicBaseID = false
    var baseIDPath: String?
    var socketPath = "@proxy_domain_socket"
    var socketMode: UInt32 = 0o600
    var disableHotRestart = false
    var skipOnNoParent = false
    var skipParentStats = false
    var restartOnHUP = false
    var maxDrainingGenerations: UInt32 = 8
    var rollbackWindowS: UInt32 = 5

    // Draining
    var drainTimeS: UInt32 = 900
    var drainStrategy = DrainStrategy.gradual
    var parentShutdownTimeS: UInt32 = 60
    /// Whether `--parent-shutdown-time-s` was given: then it counts from the take-over, otherwise from the end of the drain time.
    var parentShutdownTimeGiven = false

    // Workers
    /// nil: as many as processors this process may run on. Never 0.
    var concurrency: UInt32?
    /// Always so here; kept for /server_info.
    var cpusetThreads = false

    // Logging
    var logLevel = LogLevel.info
    var componentLogLevels: [ComponentLogLevel] = []
    var logFormat = LogFormat.text
    /// As given, for /server_info.
    var logFormatText = "text"
    /// Always so here; kept for /server_info.
    var logFormatEscaped = false
    var logPath: String?
    var fileFlushIntervalMs: UInt32 = 10_000
    var fileFlushMinSizeKB: UInt32 = 64

    // Admin and identity
    var adminAddressPath: String?
    var localAddressVersion = AddressVersion.v4
    var serviceCluster: String?
    var serviceNode: String?
    var serviceZone: String?
    var statsTags: [StatsTag] = []

    /// Print what `--hot-restart-version` asks for and exit.
    var printHotRestartVersion = false
    /// Options given that change nothing here, in the order of the help text.
    var withoutEffect: [String] = []
    /// What the user should know before it hurts; complete sentences.
    var warnings: [String] = []

    /// The name the control socket is bound to: one per base id.
    var controlSocketName: String { "\(socketPath)_parent_\(baseID)" }

    /// Force deadline of a parent that drains for `drainTimeS`, counted from the take-over.
    func forceDeadlineS(parentDrainTimeS: UInt32) -> UInt64 {
        parentShutdownTimeGiven ? UInt64(parentShutdownTimeS) : UInt64(parentDrainTimeS) + UInt64(parentShutdownTimeS)
    }
}

struct ComponentLogLevel: Sendable, Equatable {
    var component: String
    var level: LogLevel
}

struct StatsTag: Sendable, Equatable {
    var name: String
    var value: String
}
