// What the options mean, alone and together. Messages begin with Envoy's own text where it has one.

extension ServerOptions {
    /// Check parsed arguments. Values that the parser has let pass as text are read here, so that the message can say what was
    /// expected in the words Envoy's users know.
    init(_ command: ProxyCommand) throws(OptionError) {
        try readConfiguration(command.source)
        try readRestart(command.restart)
        try readDrain(command.drain)
        concurrency = command.workers.concurrency.map { max($0, 1) }
        cpusetThreads = command.workers.cpusetThreads
        try readLog(command.log)
        try readIdentity(command.identity)
        withoutEffect = command.ignored.given
        try checkTogether()
    }

    private mutating func readConfiguration(_ arguments: ConfigurationArguments) throws(OptionError) {
        configPath = arguments.configPath
        configYAML = arguments.configYAML
        allowUnknownStaticFields = arguments.allowUnknownStaticFields
        guard let mode = Mode(rawValue: arguments.mode) else {
            throw OptionError(
                id: "PX-U004", message: "unknown mode '\(arguments.mode)'", remedy: "Give --mode serve, validate or init_only.")
        }
        self.mode = mode
    }

    private mutating func readRestart(_ arguments: RestartArguments) throws(OptionError) {
        restartEpoch = arguments.restartEpoch ?? .unspecified
        baseID = arguments.baseID
        useDynamicBaseID = arguments.useDynamicBaseID
        baseIDPath = arguments.baseIDPath
        socketPath = arguments.socketPath
        guard let bits = UInt32(arguments.socketMode, radix: 8), bits <= 0o7777 else {
            throw OptionError(
                id: "PX-U009", message: "invalid socket-mode '\(arguments.socketMode)'",
                remedy: "Give permission bits in octal, for example --socket-mode 600.")
        }
        socketMode = bits
        disableHotRestart = arguments.disableHotRestart
        printHotRestartVersion = arguments.hotRestartVersion
        skipOnNoParent = arguments.skipHotRestartOnNoParent
        skipParentStats = arguments.skipHotRestartParentStats
        restartOnHUP = arguments.restartOnHUP
        maxDrainingGenerations = arguments.maxDrainingGenerations
        rollbackWindowS = arguments.rollbackWindowS
    }

    private mutating func readDrain(_ arguments: DrainArguments) throws(OptionError) {
        drainTimeS = arguments.drainTimeS
        if let time = arguments.parentShutdownTimeS {
            parentShutdownTimeS = time
            parentShutdownTimeGiven = true
        }
        guard let strategy = DrainStrategy(rawValue: arguments.drainStrategy) else {
            let known = arguments.drainStrategy == "handover" ? "This version cannot hand connections over yet; give" : "Give"
            throw OptionError(
                id: "PX-U008", message: "unknown drain-strategy '\(arguments.drainStrategy)'",
                remedy: "\(known) --drain-strategy gradual or immediate.")
        }
        drainStrategy = strategy
    }

    private mutating func readLog(_ arguments: LogArguments) throws(OptionError) {
        logLevel = try Self.level(arguments.logLevel, option: "--log-level")
        if let list = arguments.componentLogLevel { componentLogLevels = try Self.componentLevels(list) }
        do {
            logFormat = try LogFormat(arguments.logFormat)
        } catch {
            throw OptionError(id: "PX-U013", message: error.message, remedy: LogFormatError.remedy)
        }
        logFormatText = arguments.logFormat
        logFormatEscaped = arguments.logFormatEscaped
        logPath = arguments.logPath
        fileFlushIntervalMs = arguments.fileFlushIntervalMsec
        fileFlushMinSizeKB = arguments.fileFlushMinSizeKB
        guard fileFlushIntervalMs > 0, fileFlushMinSizeKB <= 64 * 1024 else {
            throw OptionError(
                id: "PX-U015", message: "access-log flush settings are out of range",
                remedy: "Give --file-flush-interval-msec at least 1 and --file-flush-min-size-kb at most 65536 (64 MiB).")
        }
        for entry in componentLogLevels where !LogComponents.all.contains(entry.component) {
            warnings.append(
                "--component-log-level names '\(entry.component)', under which nothing logs here; the components are \(LogComponents.list)."
            )
        }
    }

    private mutating func readIdentity(_ arguments: IdentityArguments) throws(OptionError) {
        adminAddressPath = arguments.adminAddressPath
        guard let version = AddressVersion(rawValue: arguments.localAddressIPVersion) else {
            throw OptionError(
                id: "PX-U006", message: "unknown IP address version '\(arguments.localAddressIPVersion)'",
                remedy: "Give --local-address-ip-version v4 or v6.")
        }
        localAddressVersion = version
        serviceCluster = arguments.serviceCluster
        serviceNode = arguments.serviceNode
        serviceZone = arguments.serviceZone
        for text in arguments.statsTag { statsTags.append(try StatsTag(text)) }
    }

    // MARK: - Options together

    private mutating func checkTogether() throws(OptionError) {
        if case .number(let epoch) = restartEpoch, epoch > 0, useDynamicBaseID {
            throw OptionError(
                id: "PX-U010", message: "cannot use --restart-epoch=\(epoch) with --use-dynamic-base-id",
                remedy:
                    "A dynamic base id is new, so only the first generation can choose one. Give later ones its --base-id (see --base-id-path)."
            )
        }
        guard (1...62).contains(maxDrainingGenerations) else {
            throw OptionError(
                id: "PX-U014", message: "--max-draining-generations \(maxDrainingGenerations) is out of range",
                remedy: "Give a number from 1 to 62.")
        }
        try checkSocketPath()
        warnAboutCombinations()
    }

    /// sun_path has 108 bytes with its NUL (unix(7)). A dynamic base id may have ten digits.
    private func checkSocketPath() throws(OptionError) {
        let name = useDynamicBaseID ? "\(socketPath)_parent_\(UInt32.max)" : controlSocketName
        guard name.utf8.count > 107, !disableHotRestart else { return }
        throw OptionError(
            id: "PX-U011", message: "Path \"\(name)\" exceeds maximum UNIX domain socket path size of 108.",
            remedy: "Give a shorter --socket-path.")
    }

    private mutating func warnAboutCombinations() {
        if disableHotRestart, restartEpoch != .unspecified {
            warnings.append("--restart-epoch is ignored because of --disable-hot-restart.")
        }
        if disableHotRestart, restartOnHUP {
            warnings.append("--restart-on-hup is ignored because of --disable-hot-restart.")
        }
        if useDynamicBaseID, baseID != 0 {
            warnings.append("--base-id is ignored because of --use-dynamic-base-id.")
        }
        if parentShutdownTimeGiven, parentShutdownTimeS < drainTimeS {
            warnings.append(
                "--parent-shutdown-time-s \(parentShutdownTimeS) is shorter than --drain-time-s \(drainTimeS): connections are closed "
                    + "by force before the drain time is over; leave it out to close them 60 s after it.")
        }
    }

    // MARK: - Values

    static func level(_ name: String, option: String) throws(OptionError) -> LogLevel {
        guard let level = LogLevel(name: name) else {
            throw OptionError(
                id: "PX-U005", message: "invalid log level specified '\(name)'",
                remedy: "Give \(option) one of \(LogLevel.names.joined(separator: ", ")).")
        }
        return level
    }

    static func componentLevels(_ list: String) throws(OptionError) -> [ComponentLogLevel] {
        var levels: [ComponentLogLevel] = []
        for entry in list.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = entry.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw OptionError(
                    id: "PX-U012", message: "component log level not correctly specified '\(entry)'",
                    remedy: "Give pairs of component and level, for example --component-log-level upstream:debug,config:trace.")
            }
            levels.append(
                ComponentLogLevel(component: String(parts[0]), level: try level(String(parts[1]), option: "--component-log-level")))
        }
        return levels
    }

    /// The one warning about options that change nothing; nil when there are none.
    var withoutEffectWarning: String? {
        guard !withoutEffect.isEmpty else { return nil }
        return
            "without effect here: \(withoutEffect.joined(separator: ", ")) (accepted so that an Envoy command line runs; `proxy --help` says why)"
    }
}

extension StatsTag {
    /// Envoy's form: a name of letters, digits, "_" and "-", a colon, a value without whitespace.
    init(_ text: String) throws(OptionError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
            parts[0].utf8.allSatisfy({ isNameByte($0) || $0 == UInt8(ascii: "-") }),
            !parts[1].contains(where: \.isWhitespace)
        else {
            throw OptionError(
                id: "PX-U007", message: "misformatted stats-tag '\(text)'",
                remedy: "Give a name of letters, digits, _ and -, a colon, and a value without spaces, for example --stats-tag region:eu.")
        }
        name = String(parts[0])
        value = String(parts[1])
    }
}

private func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"):
        true
    default: false
    }
}
