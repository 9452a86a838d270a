/// Network filters and access logs.
extension Schemas {
    private static let file = "envoy.config.core.v3.SubstitutionFormatString"

    static let filters: [MessageSchema] = [
        MessageSchema(
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", requiredOneofs: ["cluster_specifier"],
            .one("stat_prefix", .string, .nonEmpty),
            .one("cluster", .string, oneof: "cluster_specifier"),
            .one(
                "weighted_clusters", .message("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster"),
                oneof: "cluster_specifier"),
            .one("idle_timeout", .duration),
            .list("access_log", .message("envoy.config.accesslog.v3.AccessLog")),
            .one("max_connect_attempts", .uint32Value, .range(1...Int64(UInt32.max))),
            .one("max_downstream_connection_duration", .duration, .durationRange(1_000_000...Int64.max, text: "at least 1ms")),
            .one("upstream_connect_mode", .enumeration("envoy.extensions.filters.network.tcp_proxy.v3.UpstreamConnectMode")),
            .noEffect("metadata_match", .opaque, because: "there are no cluster subsets to match"),
            .noEffect("hash_policy", .opaque, because: "no balancing here goes by a hash"),
            .noEffect("max_early_data_bytes", .uint32Value, .range(0...1_048_576), because: "the upstream is connected at once"),
            .later("on_demand", .xds),
            .later("tunneling_config", Unsupported("bytes are relayed as they are, not tunnelled over HTTP", instead: "remove it")),
            .later("proxy_protocol_tlvs proxy_protocol_tlv_merge_policy", .proxyProtocol),
            .later(
                "access_log_flush_interval flush_access_log_on_connected access_log_options",
                Unsupported(
                    "a line is written when the connection ends", instead: "remove it")),
            .later(
                """
                downstream_idle_timeout upstream_idle_timeout backoff_options max_downstream_connection_duration_jitter_percentage \
                check_drain_close
                """, .tcpTuning)),
        MessageSchema(
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster",
            .list(
                "clusters", .message("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight"), .minItems(1))),
        MessageSchema(
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight",
            .one("name", .string, .nonEmpty),
            .one("weight", .uint32, .range(1...Int64(UInt32.max)), .required),
            .noEffect("metadata_match", "there are no cluster subsets to match")),
        MessageSchema("envoy.extensions.filters.network.echo.v3.Echo"),
        MessageSchema(
            "envoy.extensions.filters.network.direct_response.v3.Config", .one("response", .message("envoy.config.core.v3.DataSource"))),
        MessageSchema(
            "envoy.config.core.v3.DataSource", requiredOneofs: ["specifier"],
            .one("filename", .string, oneof: "specifier", .nonEmpty),
            .one("inline_bytes", .bytes, oneof: "specifier"),
            .one("inline_string", .string, oneof: "specifier"),
            .one("environment_variable", .string, oneof: "specifier", .nonEmpty),
            .later("watched_directory", Unsupported("files are read once, at the start", instead: "restart after a change"))),
    ]

    static let accessLogs: [MessageSchema] = [
        MessageSchema(
            "envoy.config.accesslog.v3.AccessLog",
            .one("name", .string),
            .one("typed_config", .any(.accessLog), oneof: "config_type"),
            .later("filter", .logFilter)),
        MessageSchema(
            "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            .one("path", .string, .nonEmpty),
            .one("format", .string, oneof: "access_log_format", deprecated: "log_format.text_format_source.inline_string"),
            .one("json_format", .structure, oneof: "access_log_format", deprecated: "log_format.json_format"),
            .one("typed_json_format", .structure, oneof: "access_log_format", deprecated: "log_format.json_format"),
            .one("log_format", .message(file), oneof: "access_log_format")),
        MessageSchema(
            "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", .one("log_format", .message(file), oneof: "access_log_format")),
        MessageSchema(
            "envoy.extensions.access_loggers.stream.v3.StderrAccessLog", .one("log_format", .message(file), oneof: "access_log_format")),
        MessageSchema(
            file, requiredOneofs: ["format"],
            .one("text_format", .string, oneof: "format", deprecated: "text_format_source.inline_string"),
            .one("json_format", .structure, oneof: "format"),
            .one("text_format_source", .message("envoy.config.core.v3.DataSource"), oneof: "format"),
            .annotations("content_type json_format_options"),
            .later("omit_empty_values", Unsupported("an absent value is written as '-', or null in JSON", instead: "remove it")),
            .later("formatters", .extensions)),
    ]
}
