import ProxyModel
import Testing

@testable import proxy

/// The command line: what is accepted, what is refused and in which words.
struct OptionTests {
    private func options(_ arguments: String...) throws -> ServerOptions { try options(arguments) }
    private func options(_ arguments: [String]) throws -> ServerOptions {
        switch ProxyCommand.read(arguments) {
        case .run(let options): return options
        case .refuse(let error): throw error
        case .print(let text): throw OptionError(id: "printed", message: text, remedy: "")
        }
    }
    private func refusal(_ arguments: String...) -> OptionError? {
        if case .refuse(let error) = ProxyCommand.read(arguments) { error } else { nil }
    }

    // MARK: - The table

    struct Row: Sendable, CustomTestStringConvertible {
        let option: String
        let value: String
        let holds: @Sendable (ServerOptions) -> Bool
        init(_ option: String, _ value: String, _ holds: @escaping @Sendable (ServerOptions) -> Bool) {
            self.option = option
            self.value = value
            self.holds = holds
        }
        var testDescription: String { option }
    }

    static let valued: [Row] = [
        Row("--config-path", "a.yaml") { $0.configPath == "a.yaml" },
        Row("-c", "a.yaml") { $0.configPath == "a.yaml" },
        Row("--config-yaml", "{}") { $0.configYAML == "{}" },
        Row("--config-yaml", "---\nnode: {}") { $0.configYAML == "---\nnode: {}" },
        Row("--mode", "validate") { $0.mode == .validate },
        Row("--mode", "init_only") { $0.mode == .initOnly },
        Row("--restart-epoch", "3") { $0.restartEpoch == .number(3) },
        Row("--base-id", "7") { $0.baseID == 7 },
        Row("--base-id-path", "/x") { $0.baseIDPath == "/x" },
        Row("--socket-path", "@x") { $0.socketPath == "@x" && $0.controlSocketName == "@x_parent_0" },
        Row("--socket-mode", "644") { $0.socketMode == 0o644 },
        Row("--drain-time-s", "1") { $0.drainTimeS == 1 },
        Row("--drain-strategy", "immediate") { $0.drainStrategy == .immediate },
        Row("--parent-shutdown-time-s", "2000") { $0.parentShutdownTimeS == 2000 && $0.parentShutdownTimeGiven },
        Row("--concurrency", "0") { $0.concurrency == 1 },
        Row("--admin-address-path", "/x") { $0.adminAddressPath == "/x" },
        Row("--log-path", "/x") { $0.logPath == "/x" },
        Row("--log-level", "warn") { $0.logLevel == .warning },
        Row("-l", "trace") { $0.logLevel == .trace },
        Row("--component-log-level", "upstream:debug,config:off") {
            $0.componentLogLevels == [.init(component: "upstream", level: .debug), .init(component: "config", level: .off)]
        },
        Row("--log-format", "json") { $0.logFormat == .json },
        Row("--log-format", "-%v-") { $0.logFormatText == "-%v-" },
        Row("--log-format", "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v") { if case .pattern = $0.logFormat { true } else { false } },
        Row("--file-flush-interval-msec", "1") { $0.fileFlushIntervalMs == 1 },
        Row("--file-flush-min-size-kb", "0") { $0.fileFlushMinSizeKB == 0 },
        Row("--service-cluster", "c") { $0.serviceCluster == "c" },
        Row("--service-node", "n") { $0.serviceNode == "n" },
        Row("--service-zone", "z") { $0.serviceZone == "z" },
        Row("--local-address-ip-version", "v6") { $0.localAddressVersion == .v6 },
        Row("--stats-tag", "region:eu:1") { $0.statsTags == [StatsTag(name: "region", value: "eu:1")] },
        Row("--disable-extensions", "a,b") { $0.withoutEffect == ["--disable-extensions"] },
        Row("--max-draining-generations", "62") { $0.maxDrainingGenerations == 62 },
        Row("--rollback-window-s", "0") { $0.rollbackWindowS == 0 },
    ]

    @Test("an option with a value, as two words and as one", arguments: valued)
    func value(row: Row) throws {
        #expect(row.holds(try options(row.option, row.value)))
        if row.option.hasPrefix("--") { #expect(row.holds(try options("\(row.option)=\(row.value)"))) }
    }

    static let flags: [Row] = [
        Row("--use-dynamic-base-id", "") { $0.useDynamicBaseID },
        Row("--disable-hot-restart", "") { $0.disableHotRestart },
        Row("--skip-hot-restart-on-no-parent", "") { $0.skipOnNoParent },
        Row("--skip-hot-restart-parent-stats", "") { $0.skipParentStats },
        Row("--allow-unknown-static-fields", "") { $0.allowUnknownStaticFields },
        Row("--allow-unknown-fields", "") { $0.allowUnknownStaticFields },
        Row("--log-format-escaped", "") { $0.logFormatEscaped },
        Row("--cpuset-threads", "") { $0.cpusetThreads },
        Row("--restart-on-hup", "") { $0.restartOnHUP },
        Row("--reject-unknown-dynamic-fields", "") { $0.withoutEffect == ["--reject-unknown-dynamic-fields"] },
        Row("--ignore-unknown-dynamic-fields", "") { $0.withoutEffect == ["--ignore-unknown-dynamic-fields"] },
        Row("--enable-mutex-tracing", "") { $0.withoutEffect == ["--enable-mutex-tracing"] },
        Row("--enable-core-dump", "") { $0.withoutEffect == ["--enable-core-dump"] },
        Row("--skip-deprecated-logs", "") { $0.withoutEffect == ["--skip-deprecated-logs"] },
        Row("--enable-fine-grain-logging", "") { $0.withoutEffect == ["--enable-fine-grain-logging"] },
        Row("--log-stacktrace-single-entry", "") { $0.withoutEffect == ["--log-stacktrace-single-entry"] },
    ]

    @Test("an option without a value", arguments: flags)
    func flag(row: Row) throws {
        #expect(row.holds(try options(row.option)))
    }

    @Test("defaults")
    func defaults() throws {
        let options = try options([])
        #expect(options == ServerOptions())
        #expect(options.warnings.isEmpty && options.withoutEffectWarning == nil && options.restartEpoch == .unspecified)
    }

    @Test("everything at once, as an init script writes it")
    func together() throws {
        let options = try options(
            "-c", "/etc/envoy/envoy.yaml", "--restart-epoch", "2", "--service-cluster", "c", "--service-node", "n", "--drain-time-s", "60",
            "--parent-shutdown-time-s", "90", "-l", "info", "--base-id", "1", "--concurrency", "2", "--stats-tag", "a:b", "--stats-tag",
            "c:d")
        #expect(options.restartEpoch == .number(2) && options.statsTags.count == 2 && options.warnings.isEmpty)
        #expect(options.forceDeadlineS(parentDrainTimeS: 60) == 90)
        #expect(ServerOptions().forceDeadlineS(parentDrainTimeS: .max) == UInt64(UInt32.max) + 60)
    }

    // MARK: - The epoch

    @Test(
        "--restart-epoch in every form",
        arguments: [
            ([], RestartEpoch.unspecified), (["--restart-epoch"], .next), (["--restart-epoch", "--base-id", "1"], .next),
            (["--restart-epoch", "-c", "a.yaml"], .next), (["--restart-epoch", "3"], .number(3)), (["--restart-epoch=3"], .number(3)),
            (["--restart-epoch=0"], .number(0)), (["--restart-epoch=007"], .number(7)),
            (["--restart-epoch", "18446744073709551614"], .number(.max - 1)),
        ] as [([String], RestartEpoch)])
    func epoch(arguments: [String], epoch: RestartEpoch) throws {
        #expect(try options(arguments).restartEpoch == epoch)
        #expect(try options(["--concurrency", "1"] + arguments).restartEpoch == epoch)
        #expect(try options(arguments + ["--concurrency", "1"]).restartEpoch == epoch)
    }

    @Test(
        "what is no epoch",
        arguments: [
            ["--restart-epoch", " 3"], ["--restart-epoch= 3"], ["--restart-epoch=-1"], ["--restart-epoch", "-1"],
            ["--restart-epoch", "abc"],
            ["--restart-epoch=abc"], ["--restart-epoch", ""], ["--restart-epoch", "3.0"], ["--restart-epoch", "0x3"],
            ["--restart-epoch", "18446744073709551615"], ["--restart-epoch=18446744073709551616"], ["--restart-epoch", "+3"],
        ])
    func noEpoch(arguments: [String]) {
        guard case .refuse(let error) = ProxyCommand.read(arguments) else { return #expect(Bool(false), "accepted") }
        let value = arguments.count > 1 ? arguments[1] : String(arguments[0].dropFirst("--restart-epoch=".count))
        #expect(
            error.text == """
                error: (--restart-epoch) -- Couldn't read argument value from string '\(value)'  [PX-U016]
                  Give a whole number from 0, as in --restart-epoch=3, or --restart-epoch alone for the next generation.

                """)
    }

    @Test("an unset variable after = is said to be one")
    func emptyEpoch() throws {
        let error = try #require(refusal("--restart-epoch=", "-c", "a.yaml"))
        #expect(error.id == "PX-U003" && error.remedy.contains("unset variable"))
        #expect(refusal("--config-path=")?.id == "PX-U003" && refusal("-c=")?.id == "PX-U003")
    }

    // MARK: - Refusals

    @Test(
        "given twice, in whatever spelling",
        arguments: [
            ["--concurrency", "1", "--concurrency", "2"], ["-c", "a", "--config-path=b"], ["-l", "info", "--log-level", "debug"],
            ["--restart-epoch", "--restart-epoch=1"], ["--disable-hot-restart", "--disable-hot-restart"],
            ["--allow-unknown-fields", "--allow-unknown-static-fields"],
        ])
    func twice(arguments: [String]) {
        guard case .refuse(let error) = ProxyCommand.read(arguments) else { return #expect(Bool(false), "accepted") }
        #expect(error.id == "PX-U002" && error.message.contains("Argument already set!"))
    }

    @Test("the message of an option given twice shows both")
    func twiceText() {
        #expect(
            refusal("--base-id", "1", "--base-id=2")?.text
                == "error: (--base-id) -- Argument already set! (--base-id 1, then --base-id=2)  [PX-U002]\n  Give the option once.\n")
    }

    @Test(
        "values that are none, in Envoy's words first",
        arguments: [
            (["--mode", "bogus"], "PX-U004", "unknown mode 'bogus'"), (["-l", "bogus"], "PX-U005", "invalid log level specified 'bogus'"),
            (["-l", "INFO"], "PX-U005", "invalid log level specified 'INFO'"),
            (["--local-address-ip-version", "v5"], "PX-U006", "unknown IP address version 'v5'"),
            (["--stats-tag", "foo"], "PX-U007", "misformatted stats-tag 'foo'"),
            (["--stats-tag", ":x"], "PX-U007", "misformatted stats-tag ':x'"),
            (["--stats-tag", "a:"], "PX-U007", "misformatted stats-tag 'a:'"),
            (["--stats-tag", "a:b c"], "PX-U007", "misformatted stats-tag 'a:b c'"),
            (["--stats-tag", "\u{E4}:b"], "PX-U007", "misformatted stats-tag '\u{E4}:b'"),
            (["--drain-strategy", "serve"], "PX-U008", "unknown drain-strategy 'serve'"),
            (["--socket-mode", "abc"], "PX-U009", "invalid socket-mode 'abc'"),
            (["--socket-mode", "800"], "PX-U009", "invalid socket-mode '800'"),
            (["--socket-mode", "17777"], "PX-U009", "invalid socket-mode '17777'"),
            (["--use-dynamic-base-id", "--restart-epoch", "1"], "PX-U010", "cannot use --restart-epoch=1 with --use-dynamic-base-id"),
            (["--component-log-level", "upstream"], "PX-U012", "component log level not correctly specified 'upstream'"),
            (["--component-log-level", "upstream:debug,"], "PX-U012", "component log level not correctly specified ''"),
            (["--component-log-level", "a:b:c"], "PX-U012", "component log level not correctly specified 'a:b:c'"),
            (["--component-log-level", "upstream:x"], "PX-U005", "invalid log level specified 'x'"),
            (["--log-format", "%v %"], "PX-U013", "log format '%v %' ends in a single %"),
            (["--log-format", "%v %Q"], "PX-U013", "log format '%v %Q' has %Q, which is not supported"),
            (["--log-format", "%l"], "PX-U013", "log format '%l' has no %v, so no line would say anything"),
            (["--max-draining-generations", "0"], "PX-U014", "--max-draining-generations 0 is out of range"),
            (["--max-draining-generations", "63"], "PX-U014", "--max-draining-generations 63 is out of range"),
            (["--file-flush-interval-msec", "0"], "PX-U015", "access-log flush settings are out of range"),
            (["--file-flush-min-size-kb", "65537"], "PX-U015", "access-log flush settings are out of range"),
        ])
    func bad(arguments: [String], id: String, message: String) {
        guard case .refuse(let error) = ProxyCommand.read(arguments) else { return #expect(Bool(false), "accepted") }
        #expect(error.id == id && error.message == message && !error.remedy.isEmpty)
        #expect(error.text.hasPrefix("error: \(message)  [\(id)]\n  ") && error.text.hasSuffix("\n"))
    }

    @Test("a socket name has to fit", arguments: [0, 1])
    func socketPath(excess: Int) throws {
        let path = "@" + String(repeating: "x", count: 107 - "@_parent_0".utf8.count + excess)
        #expect(refusal("--socket-path", path)?.id == (excess == 0 ? nil : "PX-U011"))
        #expect(refusal("--socket-path", path, "--use-dynamic-base-id")?.id == "PX-U011", "a dynamic id has up to ten digits")
        #expect(refusal("--socket-path", path, "--disable-hot-restart") == nil, "there is none then")
    }

    @Test(
        "what the parser refuses says how to go on",
        arguments: [
            (["--concurency", "3"], "Did you mean '--concurrency'?"), (["--bogus"], "--bogus"), (["extra"], "extra"),
            (["--concurrency", "abc"], "abc"), (["--base-id", "-1"], "Missing value for '--base-id <id>'"),
            (["--base-id", "4294967296"], "4294967296"), (["-c"], "-c"),
            (["--config-path"], "--config-path"), (["--", "x"], "x"), (["-x"], "-x"), ([""], ""),
            (["--restart-on-hup=x"], "--restart-on-hup"),
        ])
    func parser(arguments: [String], part: String) {
        guard case .refuse(let error) = ProxyCommand.read(arguments) else { return #expect(Bool(false), "accepted") }
        #expect(error.id == "PX-U001" && error.message.contains(part) && error.remedy == "`proxy --help` lists all options.")
        #expect(!error.message.hasPrefix("Error:") && !error.message.isEmpty)
    }

    // MARK: - Warnings

    @Test("options without effect give one warning, however many they are")
    func withoutEffect() throws {
        let options = try options("--enable-core-dump", "--disable-extensions", "x", "--reject-unknown-dynamic-fields")
        #expect(
            options.withoutEffectWarning == """
                without effect here: --reject-unknown-dynamic-fields, --disable-extensions, --enable-core-dump (accepted so that an Envoy \
                command line runs; `proxy --help` says why)
                """)
        #expect(options.warnings.isEmpty)
    }

    @Test(
        "combinations that will not do what they look like",
        arguments: [
            (["--disable-hot-restart", "--restart-epoch", "1"], "--restart-epoch is ignored"),
            (["--disable-hot-restart", "--restart-epoch"], "--restart-epoch is ignored"),
            (["--disable-hot-restart", "--restart-on-hup"], "--restart-on-hup is ignored"),
            (["--use-dynamic-base-id", "--base-id", "1"], "--base-id is ignored"),
            (["--drain-time-s", "10", "--parent-shutdown-time-s", "9"], "--parent-shutdown-time-s 9 is shorter than --drain-time-s 10"),
            (["--component-log-level", "upstraem:debug"], "--component-log-level names 'upstraem'"),
        ])
    func combinations(arguments: [String], part: String) throws {
        let warnings = try options(arguments).warnings
        #expect(warnings.count == 1 && warnings.first?.contains(part) ?? false)
    }

    // MARK: - What is only printed

    @Test("--hot-restart-version: version and capabilities, or disabled")
    func hotRestartVersion() throws {
        #expect(proxy.hotRestartVersion(capabilities: 0x1F, disabled: false) == "\(Server.protocolVersion).1f")
        guard case .print(let text) = ProxyCommand.read(["--hot-restart-version"]) else { return #expect(Bool(false), "not printed") }
        #expect(text == proxy.hotRestartVersion(capabilities: Server.capabilities, disabled: false) + "\n")
        guard case .print("disabled\n") = ProxyCommand.read(["--hot-restart-version", "--disable-hot-restart"]) else {
            return #expect(Bool(false), "not disabled")
        }
    }

    @Test("--version: Envoy's five fields between blank lines, on top of other options")
    func version() {
        for arguments in [["--version"], ["-c", "x", "--version"]] {
            guard case .print(let text) = ProxyCommand.read(arguments) else { return #expect(Bool(false), "not printed") }
            #expect(text.hasPrefix("\n") && text.hasSuffix("  version: \(ProductVersion.full)\n\n"))
            #expect(ProductVersion.full.split(separator: "/").count == 5)
        }
    }

    @Test("--help is what the snapshot says")
    func help() throws {
        try Snapshot.compare(ProxyCommand.helpMessage(columns: 100), with: "help.txt")
        for arguments in [["--help"], ["-h"], ["-c", "x", "--help"]] {
            guard case .print(let text) = ProxyCommand.read(arguments) else { return #expect(Bool(false), "not printed") }
            #expect(text.hasPrefix("OVERVIEW: TCP proxy") && text.hasSuffix("\n") && !text.hasSuffix("\n\n\n"))
        }
    }

    @Test("every option of the table is in the help")
    func helpNamesAll() {
        let help = ProxyCommand.helpMessage(columns: 100)
        for row in Self.valued + Self.flags { #expect(help.contains(row.option), "\(row.option)") }
    }

    // MARK: - As /server_info shows them

    @Test("command_line_options has Envoy's keys in Envoy's order")
    func info() throws {
        let options = try options("--drain-strategy", "immediate", "--file-flush-interval-msec", "1250", "--stats-tag", "a:b")
        let text = options.info(workers: 2).compact
        let envoy = [
            "base_id", "concurrency", "config_path", "config_yaml", "allow_unknown_static_fields", "admin_address_path",
            "local_address_ip_version", "log_level", "component_log_level", "log_format", "log_path", "service_cluster", "service_node",
            "service_zone", "file_flush_interval", "drain_time", "parent_shutdown_time", "mode", "disable_hot_restart",
            "enable_mutex_tracing", "restart_epoch", "cpuset_threads", "reject_unknown_dynamic_fields", "log_format_escaped",
            "disabled_extensions", "ignore_unknown_dynamic_fields", "use_dynamic_base_id", "base_id_path", "drain_strategy",
            "enable_fine_grain_logging", "socket_path", "socket_mode", "enable_core_dump", "stats_tag", "skip_hot_restart_on_no_parent",
            "skip_hot_restart_parent_stats", "skip_deprecated_logs", "file_flush_min_size", "log_stacktrace_single_entry",
        ]
        let places = envoy.map { text.firstRange(of: "\"\($0)\":")?.lowerBound }
        #expect(!places.contains(nil) && places.compactMap { $0 } == places.compactMap { $0 }.sorted())
        #expect(text.contains("\"file_flush_interval\":\"1.250s\"") && text.contains("\"drain_strategy\":\"Immediate\""))
        #expect(text.contains("\"stats_tag\":[\"a:b\"]") && text.contains("\"concurrency\":2,"))
    }
}
