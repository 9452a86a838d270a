import ProxyModel

// A command line without mistakes, read without the argument parser. That took 4 ms, more than anything else of a start, and for as
// long as a start nobody is accepted after the only generation was killed (docs/design/0004, "Start"). No errors are known here: what is
// not taken at sight goes to the parser, which alone says what is wrong with it and prints the help. PlainCommandLineTests compares the two.
extension GivenOptions {
    /// nil: something on this command line needs the parser.
    init?(plain list: ArgumentList) {
        self.init()
        for item in list.items {
            guard take(item) else { return nil }
        }
    }

    private mutating func take(_ item: ArgumentList.Item) -> Bool {
        if item.words.count == 1, item.inlineValue == nil { return takeFlag(item.name) }
        guard let value = item.value, item.words.count == (item.inlineValue == nil ? 2 : 1) else { return false }
        return takeText(item.name, value) || takeNumber(item.name, value)
    }

    private mutating func takeFlag(_ name: String) -> Bool {
        switch name {
        case "--allow-unknown-static-fields": allowUnknownStaticFields = true
        case "--restart-epoch": restartEpoch = .next
        case "--use-dynamic-base-id": useDynamicBaseID = true
        case "--disable-hot-restart": disableHotRestart = true
        case "--hot-restart-version": hotRestartVersion = true
        case "--skip-hot-restart-on-no-parent": skipHotRestartOnNoParent = true
        case "--skip-hot-restart-parent-stats": skipHotRestartParentStats = true
        case "--restart-on-hup": restartOnHUP = true
        case "--cpuset-threads": cpusetThreads = true
        case "--log-format-escaped": logFormatEscaped = true
        default: return takeIgnored(name, hasValue: false)
        }
        return true
    }

    private mutating func takeText(_ name: String, _ value: String) -> Bool {
        switch name {
        case "--config-path": configPath = value
        case "--config-yaml": configYAML = value
        case "--mode": mode = value
        case "--base-id-path": baseIDPath = value
        case "--socket-path": socketPath = value
        case "--socket-mode": socketMode = value
        case "--drain-strategy": drainStrategy = value
        case "--log-level": logLevel = value
        case "--component-log-level": componentLogLevel = value
        case "--log-format": logFormat = value
        case "--log-path": logPath = value
        case "--admin-address-path": adminAddressPath = value
        case "--local-address-ip-version": localAddressIPVersion = value
        case "--service-cluster": serviceCluster = value
        case "--service-node": serviceNode = value
        case "--service-zone": serviceZone = value
        case "--stats-tag": statsTag.append(value)
        default: return takeIgnored(name, hasValue: true)
        }
        return true
    }

    private mutating func takeNumber(_ name: String, _ value: String) -> Bool {
        if name == "--restart-epoch" {
            guard let number = UInt64(value) else { return false }
            restartEpoch = .number(number)
            return true
        }
        guard let number = UInt32(value) else { return false }
        switch name {
        case "--base-id": baseID = number
        case "--max-draining-generations": maxDrainingGenerations = number
        case "--rollback-window-s": rollbackWindowS = number
        case "--drain-time-s": drainTimeS = number
        case "--parent-shutdown-time-s": parentShutdownTimeS = number
        case "--concurrency": concurrency = number
        case "--file-flush-interval-msec": fileFlushIntervalMsec = number
        case "--file-flush-min-size-kb": fileFlushMinSizeKB = number
        default: return false
        }
        return true
    }

    private mutating func takeIgnored(_ name: String, hasValue: Bool) -> Bool {
        guard let option = IgnoredOption(rawValue: name), hasValue == (option == .disableExtensions) else { return false }
        ignored.insert(option)
        return true
    }
}
