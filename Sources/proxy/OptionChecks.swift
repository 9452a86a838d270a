// What the options mean, alone and together. Messages begin with Envoy's own text where it has one.

extension ServerOptions {
    /// Check what was given. Values that were let pass as text are read here, so that the message can say what was
    /// expected in the words Envoy's users know.
    init(_ given: GivenOptions) throws(OptionError) {
        try readConfiguration(given)
        try readRestart(given)
        try readDrain(given)
        concurrency = given.concurrency.map { max($0, 1) }
        cpusetThreads = given.cpusetThreads
        try readLog(given)
        try readIdentity(given)
        withoutEffect = IgnoredOption.allCases.filter(given.ignored.contains).map(\.rawValue)
        try checkTogether()
    }

    private mutating func readConfiguration(_ given: GivenOptions) throws(OptionError) {
        configPath = given.configPath
        configYAML = given.configYAML
        allowUnknownStaticFields = given.allowUnknownStaticFields
        guard let mode = Mode(rawValue: given.mode) else {
            throw OptionError(
                id: "PX-U004", message: "unknown mode '\(given.mode)'", remedy: "Give --mode serve, validate or init_only.")
        }
        self.mode = mode
    }

    private mutating func readRestart(_ given: GivenOptions) throws(OptionError) {
        restartEpoch = given.restartEpoch ?? .unspecified
        baseID = given.baseID
        useDynamicBaseID = given.useDynamicBaseID
        baseIDPath = given.baseIDPath
        socketPath = given.socketPath
        guard let bits = UInt32(given.socketMode, radix: 8), bits <= 0o7777 else {
            throw OptionError(
                id: "PX-U009", message: "invalid socket-mode '\(given.socketMode)'",
                remedy: "Give permission bits in octal, for example --socket-mode 600.")
        }
        socketMode = bits
        disableHotRestart = given.disableHotRestart
        printHotRestartVersion = given.hotRestartVersion
        skipOnNoParent = given.skipHotRestartOnNoParent
        skipParentStats = given.skipHotRestartParentStats
        restartOnHUP = given.restartOnHUP
        maxDrainingGenerations = given.maxDrainingGenerations
        rollbackWindowS = given.rollbackWindowS
    }

    private mutating func readDrain(_ given: GivenOptions) throws(OptionError) {
        drainTimeS = given.drainTimeS
        if let time = given.parentShutdownTimeS {
            parentShutdownTimeS = time
            parentShutdownTimeGiven = true
        }
        guard let strategy = DrainStrategy(rawValue: given.drainStrategy) else {
            let known = given.drainStrategy == "handover" ? "This version cannot hand connections over yet; give" : "Give"
            throw OptionError(
                id: "PX-U008", message: "unknown drain-strategy '\(given.drainStrategy)'",
                remedy: "\(known) --drain-strategy gradual or immediate.")
        }
        drainStrategy = strategy
    }

    private mutating func readLog(_ given: GivenOptions) throws(OptionError) {
        logLevel = try Self.level(given.logLevel, option: "--log-level")
        if let list = given.componentLogLevel { componentLogLevels = try Self.componentLevels(list) }
        do {
            logFormat = try LogFormat(given.logFormat)
        } catch {
            throw OptionError(id: "PX-U013", message: error.message, remedy: LogFormatError.remedy)
        }
        logFormatText = given.logFormat
        logFormatEscaped = given.logFormatEscaped
        logPath = given.logPath
        fileFlushIntervalMs = given.fileFlushIntervalMsec
        fileFlushMinSizeKB = given.fileFlushMinSizeKB
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

    private mutating func readIdentity(_ given: GivenOptions) throws(OptionError) {
        adminAddressPath = given.adminAddressPath
        guard let version = AddressVersion(rawValue: given.localAddressIPVersion) else {
            throw OptionError(
                id: "PX-U006", message: "unknown IP address version '\(given.localAddressIPVersion)'",
                remedy: "Give --local-address-ip-version v4 or v6.")
        }
        localAddressVersion = version
        serviceCluster = given.serviceCluster
        serviceNode = given.serviceNode
        serviceZone = given.serviceZone
        for text in given.statsTag { statsTags.append(try StatsTag(text)) }
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
