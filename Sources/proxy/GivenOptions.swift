/// The options as they stand on the command line: typed, not yet checked for sense. Has the default of each, for all who read one.
struct GivenOptions: Sendable, Equatable {
    static let defaults = GivenOptions()

    var configPath: String?
    var configYAML: String?
    var mode = "serve"
    var allowUnknownStaticFields = false

    /// nil: not given.
    var restartEpoch: RestartEpoch?
    var baseID: UInt32 = 0
    var useDynamicBaseID = false
    var baseIDPath: String?
    var socketPath = "@proxy_domain_socket"
    var socketMode = "600"
    var disableHotRestart = false
    var hotRestartVersion = false
    var skipHotRestartOnNoParent = false
    var skipHotRestartParentStats = false
    var restartOnHUP = false
    var maxDrainingGenerations: UInt32 = 8
    var rollbackWindowS: UInt32 = 5

    var drainTimeS: UInt32 = 900
    var drainStrategy = "gradual"
    var parentShutdownTimeS: UInt32?

    var concurrency: UInt32?
    var cpusetThreads = false

    var logLevel = "info"
    var componentLogLevel: String?
    var logFormat = "text"
    var logPath: String?
    var logFormatEscaped = false
    var fileFlushIntervalMsec: UInt32 = 10_000
    var fileFlushMinSizeKB: UInt32 = 64

    var adminAddressPath: String?
    var localAddressIPVersion = "v4"
    var serviceCluster: String?
    var serviceNode: String?
    var serviceZone: String?
    var statsTag: [String] = []

    var ignored: Set<IgnoredOption> = []
}

/// Options of Envoy that have nothing to act on here, in the order of the help text.
enum IgnoredOption: String, Sendable, CaseIterable {
    case rejectUnknownDynamicFields = "--reject-unknown-dynamic-fields"
    case ignoreUnknownDynamicFields = "--ignore-unknown-dynamic-fields"
    case disableExtensions = "--disable-extensions"
    case enableMutexTracing = "--enable-mutex-tracing"
    case enableCoreDump = "--enable-core-dump"
    case skipDeprecatedLogs = "--skip-deprecated-logs"
    case enableFineGrainLogging = "--enable-fine-grain-logging"
    case logStacktraceSingleEntry = "--log-stacktrace-single-entry"
}
