import ArgumentParser

// The options as words: names, help, and values as far as the parser checks them. What was read is a `GivenOptions`; what it means is in
// OptionChecks.swift. PlainCommandLine.swift reads the same options without the parser: a test holds the two to each other.

extension RestartEpoch: ExpressibleByArgument {
    init?(argument: String) {
        guard let number = UInt64(argument) else { return nil }
        self = .number(number)
    }
}

struct ConfigurationArguments: ParsableArguments {
    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("Configuration file, YAML or JSON.", valueName: "file"))
    var configPath: String?

    @Option(
        name: .customLong("config-yaml"),
        help: ArgumentHelp("Configuration given inline, merged over the file.", valueName: "text"))
    var configYAML: String?

    @Option(
        help: ArgumentHelp(
            "serve; validate (check the configuration, change nothing, exit); init_only (start up, then exit).", valueName: "mode"))
    var mode = GivenOptions.defaults.mode

    @Flag(
        name: [.customLong("allow-unknown-static-fields"), .customLong("allow-unknown-fields")],
        help: "Turn unknown fields of the configuration into warnings.")
    var allowUnknownStaticFields = false

    func note(in given: inout GivenOptions) {
        given.configPath = configPath
        given.configYAML = configYAML
        given.mode = mode
        given.allowUnknownStaticFields = allowUnknownStaticFields
    }
}

struct RestartArguments: ParsableArguments {
    @Option(
        defaultAsFlag: RestartEpoch.next,
        help: ArgumentHelp(
            "Which generation to be: a number above the serving one's, or no value for the next one. Left out: 0, if nothing serves.",
            valueName: "epoch"))
    var restartEpoch: RestartEpoch?

    @Option(name: .customLong("base-id"), help: ArgumentHelp("Tells apart servers that run side by side on one machine.", valueName: "id"))
    var baseID = GivenOptions.defaults.baseID

    @Flag(name: .customLong("use-dynamic-base-id"), help: "Choose a base id nobody uses (first generation only).")
    var useDynamicBaseID = false

    @Option(name: .customLong("base-id-path"), help: ArgumentHelp("Write the base id to this file.", valueName: "file"))
    var baseIDPath: String?

    @Option(help: ArgumentHelp("Where generations meet: a path, or an abstract name with a leading @.", valueName: "path"))
    var socketPath = GivenOptions.defaults.socketPath

    @Option(help: ArgumentHelp("Permission bits of --socket-path where it is a file, octal.", valueName: "mode"))
    var socketMode = GivenOptions.defaults.socketMode

    @Flag(help: "No control socket, nothing shared with other generations; a cold start.")
    var disableHotRestart = false

    @Flag(help: "Print <protocol version>.<capability flags in hex>, or 'disabled', and exit.")
    var hotRestartVersion = false

    @Flag(help: "Start cold if --restart-epoch names a number above 0 and nothing serves.")
    var skipHotRestartOnNoParent = false

    @Flag(help: "Do not take the parent's statistics over.")
    var skipHotRestartParentStats = false

    @Flag(name: .customLong("restart-on-hup"), help: "SIGHUP starts the next generation, from the program and configuration on disk.")
    var restartOnHUP = false

    @Option(help: ArgumentHelp("Older generations that may drain at a time; above that the oldest is ended.", valueName: "n"))
    var maxDrainingGenerations = GivenOptions.defaults.maxDrainingGenerations

    @Option(
        name: .customLong("rollback-window-s"),
        help: ArgumentHelp("How long an empty parent stays to serve again if the child dies.", valueName: "s"))
    var rollbackWindowS = GivenOptions.defaults.rollbackWindowS

    func note(in given: inout GivenOptions) {
        given.restartEpoch = restartEpoch
        given.baseID = baseID
        given.useDynamicBaseID = useDynamicBaseID
        given.baseIDPath = baseIDPath
        given.socketPath = socketPath
        given.socketMode = socketMode
        given.disableHotRestart = disableHotRestart
        given.hotRestartVersion = hotRestartVersion
        given.skipHotRestartOnNoParent = skipHotRestartOnNoParent
        given.skipHotRestartParentStats = skipHotRestartParentStats
        given.restartOnHUP = restartOnHUP
        given.maxDrainingGenerations = maxDrainingGenerations
        given.rollbackWindowS = rollbackWindowS
    }
}

struct DrainArguments: ParsableArguments {
    @Option(name: .customLong("drain-time-s"), help: ArgumentHelp("Time that connections have to end by themselves.", valueName: "s"))
    var drainTimeS = GivenOptions.defaults.drainTimeS

    @Option(help: ArgumentHelp("gradual (spread over the drain time) or immediate.", valueName: "strategy"))
    var drainStrategy = GivenOptions.defaults.drainStrategy

    @Option(
        name: .customLong("parent-shutdown-time-s"),
        help: ArgumentHelp(
            "End the parent by force this long after the take-over. (default: 60 after the end of the drain time)", valueName: "s"))
    var parentShutdownTimeS: UInt32?

    func note(in given: inout GivenOptions) {
        given.drainTimeS = drainTimeS
        given.drainStrategy = drainStrategy
        given.parentShutdownTimeS = parentShutdownTimeS
    }
}

struct WorkerArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Worker threads; 0 means 1. (default: processors this process may run on)", valueName: "n"))
    var concurrency: UInt32?

    @Flag(help: "Count only the processors of the cpuset for --concurrency (always so here).")
    var cpusetThreads = false

    func note(in given: inout GivenOptions) {
        given.concurrency = concurrency
        given.cpusetThreads = cpusetThreads
    }
}

struct LogArguments: ParsableArguments {
    @Option(
        name: [.customShort("l"), .long], help: ArgumentHelp("trace, debug, info, warning, error, critical or off.", valueName: "level"))
    var logLevel = GivenOptions.defaults.logLevel

    @Option(help: ArgumentHelp("Levels of single components, for example upstream:debug,config:trace.", valueName: "list"))
    var componentLogLevel: String?

    @Option(help: ArgumentHelp("text, json, or a spdlog pattern with the flags docs/operations.md lists.", valueName: "format"))
    var logFormat = GivenOptions.defaults.logFormat

    @Option(help: ArgumentHelp("Log to this file (reopened on SIGUSR1) rather than to stderr.", valueName: "file"))
    var logPath: String?

    @Flag(help: "Escape line ends within messages (always so here).")
    var logFormatEscaped = false

    @Option(help: ArgumentHelp("How often access logs are written out.", valueName: "ms"))
    var fileFlushIntervalMsec = GivenOptions.defaults.fileFlushIntervalMsec

    @Option(
        name: .customLong("file-flush-min-size-kb"), help: ArgumentHelp("Write an access log out when this much waits.", valueName: "KiB"))
    var fileFlushMinSizeKB = GivenOptions.defaults.fileFlushMinSizeKB

    func note(in given: inout GivenOptions) {
        given.logLevel = logLevel
        given.componentLogLevel = componentLogLevel
        given.logFormat = logFormat
        given.logPath = logPath
        given.logFormatEscaped = logFormatEscaped
        given.fileFlushIntervalMsec = fileFlushIntervalMsec
        given.fileFlushMinSizeKB = fileFlushMinSizeKB
    }
}

struct IdentityArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Write the admin server's address and port to this file.", valueName: "file"))
    var adminAddressPath: String?

    @Option(
        name: .customLong("local-address-ip-version"),
        help: ArgumentHelp("v4 or v6: which of this machine's addresses to report as ours.", valueName: "version"))
    var localAddressIPVersion = GivenOptions.defaults.localAddressIPVersion

    @Option(help: ArgumentHelp("In place of the configuration's node.cluster.", valueName: "name"))
    var serviceCluster: String?

    @Option(help: ArgumentHelp("In place of the configuration's node.id.", valueName: "name"))
    var serviceNode: String?

    @Option(help: ArgumentHelp("In place of the configuration's node.locality.zone.", valueName: "name"))
    var serviceZone: String?

    @Option(help: ArgumentHelp("Label on every statistic of /stats/prometheus; may be repeated.", valueName: "tag:value"))
    var statsTag: [String] = []

    func note(in given: inout GivenOptions) {
        given.adminAddressPath = adminAddressPath
        given.localAddressIPVersion = localAddressIPVersion
        given.serviceCluster = serviceCluster
        given.serviceNode = serviceNode
        given.serviceZone = serviceZone
        given.statsTag = statsTag
    }
}

/// Envoy's options that have nothing to act on here.
struct IgnoredArguments: ParsableArguments {
    @Flag(help: "Dynamic configuration only.") var rejectUnknownDynamicFields = false
    @Flag(help: "Dynamic configuration only.") var ignoreUnknownDynamicFields = false
    @Option(help: ArgumentHelp("There are no extensions to disable.", valueName: "list")) var disableExtensions: String?
    @Flag(help: "There is no mutex tracing.") var enableMutexTracing = false
    @Flag(help: "Use ulimit -c and kernel.core_pattern.") var enableCoreDump = false
    @Flag(help: "Nothing here is deprecated.") var skipDeprecatedLogs = false
    @Flag(help: "Use --component-log-level.") var enableFineGrainLogging = false
    @Flag(help: "No stack traces are logged.") var logStacktraceSingleEntry = false

    func note(in given: inout GivenOptions) {
        if rejectUnknownDynamicFields { given.ignored.insert(.rejectUnknownDynamicFields) }
        if ignoreUnknownDynamicFields { given.ignored.insert(.ignoreUnknownDynamicFields) }
        if disableExtensions != nil { given.ignored.insert(.disableExtensions) }
        if enableMutexTracing { given.ignored.insert(.enableMutexTracing) }
        if enableCoreDump { given.ignored.insert(.enableCoreDump) }
        if skipDeprecatedLogs { given.ignored.insert(.skipDeprecatedLogs) }
        if enableFineGrainLogging { given.ignored.insert(.enableFineGrainLogging) }
        if logStacktraceSingleEntry { given.ignored.insert(.logStacktraceSingleEntry) }
    }
}
