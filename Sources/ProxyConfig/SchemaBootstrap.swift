/// Bootstrap, node, admin, runtime and overload manager.
extension Schemas {
    static let bootstrap: [MessageSchema] = [
        MessageSchema(
            "envoy.config.bootstrap.v3.Bootstrap",
            .one("node", .message("envoy.config.core.v3.Node")),
            .one("static_resources", .message("envoy.config.bootstrap.v3.Bootstrap.StaticResources")),
            .one("cluster_manager", .message("envoy.config.bootstrap.v3.ClusterManager")),
            .one("stats_config", .message("envoy.config.metrics.v3.StatsConfig")),
            .one("stats_flush_interval", .duration, .durationRange(1_000_000...299_999_999_999, text: "at least 1ms and below 5 minutes")),
            .noEffect("stats_flush_on_admin", .bool, .mustBeTrue, because: "statistics are summed whenever they are read"),
            .one("layered_runtime", .message("envoy.config.bootstrap.v3.LayeredRuntime")),
            .one("admin", .message("envoy.config.bootstrap.v3.Admin")),
            .one("overload_manager", .message("envoy.config.overload.v3.OverloadManager")),
            .noEffect("flags_path", "there are no feature flags to override"),
            .noEffect("watchdog watchdogs", "there is no watchdog; a worker never waits on anything but its epoll"),
            .noEffect("header_prefix inline_headers default_regex_engine", "it concerns HTTP only"),
            .noEffect("enable_dispatcher_stats deferred_stat_options", "this proxy's statistics need no such tuning"),
            .noEffect("memory_allocator_manager perf_tracing_file_path", "this proxy uses the system's allocator and tracing tools"),
            .noEffect("grpc_async_client_manager_config node_context_params", "it concerns xDS only"),
            .noEffect("enable_worker_cpu_affinity", "workers are not pinned to processors"),
            .later(
                "dynamic_resources hds_config config_sources default_config_source xds_delegate_extension xds_config_tracker_extension",
                .xds),
            .later("stats_sinks stats_eviction_interval stats_server_version_override", .stats),
            .later("use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config", .resolver),
            .later("certificate_provider_instances", .tls),
            .later("tracing", .http),
            .later("application_log_config", Unsupported("the log's format is not set here", instead: "use the option --log-format")),
            .later("bootstrap_extensions fatal_actions default_socket_interface listener_manager", .extensions)),
        MessageSchema(
            "envoy.config.bootstrap.v3.Bootstrap.StaticResources",
            .list("listeners", .message("envoy.config.listener.v3.Listener")),
            .list("clusters", .message("envoy.config.cluster.v3.Cluster")),
            .later("secrets", .tls)),
        MessageSchema(
            "envoy.config.core.v3.Node",
            .one("id", .string), .one("cluster", .string),
            .one("metadata", .structure),
            .one("locality", .message("envoy.config.core.v3.Locality")),
            .noEffect(
                "dynamic_parameters user_agent_name user_agent_version user_agent_build_version extensions client_features listening_addresses",
                "it concerns xDS only")),
        MessageSchema("envoy.config.core.v3.Locality", .one("region", .string), .one("zone", .string), .one("sub_zone", .string)),
        MessageSchema(
            "envoy.config.bootstrap.v3.Admin",
            .one("address", .message("envoy.config.core.v3.Address")),
            .noEffect("access_log access_log_path", "requests to the admin page are not logged"),
            .noEffect("profile_path", "there is no built-in profiler; use perf"),
            .noEffect("ignore_global_conn_limit", "the admin page never counts against the limit"),
            .later("socket_options", Unsupported("the admin page has no socket options")),
            .later("allow_paths", Unsupported("the admin page serves all its paths", instead: "let it listen on a pipe or on loopback"))),
        MessageSchema(
            "envoy.config.bootstrap.v3.ClusterManager",
            .noEffect("local_cluster_name", "zone-aware routing is not done"),
            .noEffect("outlier_detection", "outlier detection is not done"),
            .noEffect("enable_deferred_cluster_creation", "clusters cost nothing until they are used"),
            .later("upstream_bind_config", .clusterTuning),
            .later("load_stats_config", .xds)),
        MessageSchema(
            "envoy.config.metrics.v3.StatsConfig",
            .noEffect(
                "stats_tags use_all_default_tags allow_default_tag_overrides", "statistics are named as Envoy's, with Envoy's default tags"),
            .later("stats_matcher histogram_bucket_settings", .stats)),
    ]

    static let runtime: [MessageSchema] = [
        MessageSchema("envoy.config.bootstrap.v3.LayeredRuntime", .list("layers", .message("envoy.config.bootstrap.v3.RuntimeLayer"))),
        MessageSchema(
            "envoy.config.bootstrap.v3.RuntimeLayer", requiredOneofs: ["layer_specifier"],
            .one("name", .string, .nonEmpty),
            .one("static_layer", .structure, oneof: "layer_specifier"),
            .noEffect("admin_layer", .opaque, oneof: "layer_specifier", because: "there is no /runtime_modify"),
            .later(
                "disk_layer", oneof: "layer_specifier", Unsupported("runtime values do not come from files", instead: "use static_layer")),
            .later("rtds_layer", oneof: "layer_specifier", .xds)),
        MessageSchema(
            "envoy.config.overload.v3.OverloadManager",
            .annotations("refresh_interval"),
            .list("resource_monitors", .message("envoy.config.overload.v3.ResourceMonitor"), .minItems(1)),
            .later(
                "actions loadshed_points buffer_factory_config",
                Unsupported(
                    "nothing acts on overload", instead: "limit connections with the downstream_connections resource monitor"))),
        MessageSchema(
            "envoy.config.overload.v3.ResourceMonitor",
            .one("name", .string, .nonEmpty),
            .one("typed_config", .any(.resourceMonitor))),
        MessageSchema(
            "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            .one("max_active_downstream_connections", .int64, .range(1...Int64.max))),
    ]
}
