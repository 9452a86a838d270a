import ProxyAdmin

extension ServerOptions {
    /// `command_line_options` of /server_info: Envoy's fields in Envoy's order, then ours.
    func info(workers: UInt32) -> JSONValue { .object(envoyInfo(workers) + ownInfo) }

    private func envoyInfo(_ workers: UInt32) -> [JSONValue.Member] {
        let epoch: UInt64 = if case .number(let number) = restartEpoch { number } else { 0 }
        return [
            .init("base_id", .string(String(baseID))), .init("concurrency", .number(workers)),
            .init("config_path", .string(configPath ?? "")), .init("config_yaml", .string(configYAML ?? "")),
            .init("allow_unknown_static_fields", .bool(allowUnknownStaticFields)),
            .init("admin_address_path", .string(adminAddressPath ?? "")),
            .init("local_address_ip_version", .string(localAddressVersion.rawValue)),
            .init("log_level", .string(logLevel.name)), .init("component_log_level", .string(componentLogLevelText)),
            .init("log_format", .string(logFormatText)), .init("log_path", .string(logPath ?? "")),
            .init("service_cluster", .string(serviceCluster ?? "")), .init("service_node", .string(serviceNode ?? "")),
            .init("service_zone", .string(serviceZone ?? "")),
            .init("file_flush_interval", .string("\(Self.seconds(fileFlushIntervalMs))s")), .init("drain_time", .string("\(drainTimeS)s")),
            .init("parent_shutdown_time", .string("\(parentShutdownTimeS)s")), .init("mode", .string(modeName)),
            .init("disable_hot_restart", .bool(disableHotRestart)), .init("enable_mutex_tracing", .bool(ignores("--enable-mutex-tracing"))),
            .init("restart_epoch", .number(epoch)), .init("cpuset_threads", .bool(cpusetThreads)),
            .init("reject_unknown_dynamic_fields", .bool(ignores("--reject-unknown-dynamic-fields"))),
            .init("log_format_escaped", .bool(logFormatEscaped)), .init("disabled_extensions", .array([])),
            .init("ignore_unknown_dynamic_fields", .bool(ignores("--ignore-unknown-dynamic-fields"))),
            .init("use_dynamic_base_id", .bool(useDynamicBaseID)), .init("base_id_path", .string(baseIDPath ?? "")),
            .init("drain_strategy", .string(drainStrategy == .gradual ? "Gradual" : "Immediate")),
            .init("enable_fine_grain_logging", .bool(ignores("--enable-fine-grain-logging"))),
            .init("socket_path", .string(socketPath)), .init("socket_mode", .number(socketMode)),
            .init("enable_core_dump", .bool(ignores("--enable-core-dump"))),
            .init("stats_tag", .array(statsTags.map { .string("\($0.name):\($0.value)") })),
            .init("skip_hot_restart_on_no_parent", .bool(skipOnNoParent)), .init("skip_hot_restart_parent_stats", .bool(skipParentStats)),
            .init("skip_deprecated_logs", .bool(ignores("--skip-deprecated-logs"))),
            .init("file_flush_min_size", .number(fileFlushMinSizeKB)),
            .init("log_stacktrace_single_entry", .bool(ignores("--log-stacktrace-single-entry"))),
        ]
    }

    private var ownInfo: [JSONValue.Member] {
        [
            .init("parent_shutdown_time_given", .bool(parentShutdownTimeGiven)),
            .init("max_draining_generations", .number(maxDrainingGenerations)), .init("restart_on_hup", .bool(restartOnHUP)),
            .init("rollback_window", .string("\(rollbackWindowS)s")),
        ]
    }

    private func ignores(_ option: String) -> Bool { withoutEffect.contains(option) }

    private var modeName: String {
        switch mode {
        case .serve: "Serve"
        case .validate: "Validate"
        case .initOnly: "InitOnly"
        }
    }

    private var componentLogLevelText: String { componentLogLevels.map { "\($0.component):\($0.level.name)" }.joined(separator: ",") }

    /// protobuf's form of a duration: whole seconds, or three decimals.
    private static func seconds(_ milliseconds: UInt32) -> String {
        let rest = milliseconds % 1000
        return rest == 0 ? String(milliseconds / 1000) : "\(milliseconds / 1000).\(String(1000 + rest).dropFirst())"
    }
}
