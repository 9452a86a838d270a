/// Listeners, addresses, filter chains, socket options.
extension Schemas {
    static let listeners: [MessageSchema] = [
        MessageSchema(
            "envoy.config.listener.v3.Listener",
            .one("name", .string),
            .one("address", .message("envoy.config.core.v3.Address")),
            .list("additional_addresses", .message("envoy.config.listener.v3.AdditionalAddress")),
            .one("stat_prefix", .string),
            .list("filter_chains", .message("envoy.config.listener.v3.FilterChain")),
            .one("default_filter_chain", .message("envoy.config.listener.v3.FilterChain")),
            .one("per_connection_buffer_limit_bytes", .uint32Value),
            .annotations("metadata"),
            .one("deprecated_v1", .message("envoy.config.listener.v3.Listener.DeprecatedV1"), deprecated: "bind_to_port"),
            .noEffect(
                "drain_type", .enumeration("envoy.config.listener.v3.Listener.DrainType"),
                because: "only a restart or /drain_listeners drains"),
            .list("listener_filters", .message("envoy.config.listener.v3.ListenerFilter")),
            .noEffect("listener_filters_timeout", .duration, because: "there are no listener filters"),
            .noEffect("continue_on_listener_filters_timeout", .bool, because: "there are no listener filters"),
            .one("transparent", .boolValue), .one("freebind", .boolValue),
            .list("socket_options", .message("envoy.config.core.v3.SocketOption")),
            .one("tcp_fast_open_queue_length", .uint32Value),
            .one("traffic_direction", .enumeration("envoy.config.core.v3.TrafficDirection")),
            .noEffect("connection_balance_config", "the kernel spreads connections over the workers' own sockets"),
            .one("reuse_port", .bool, deprecated: "enable_reuse_port"),
            .one("enable_reuse_port", .boolValue),
            .one("tcp_backlog_size", .uint32Value),
            .one("max_connections_to_accept_per_socket_event", .uint32Value, .range(1...Int64(UInt32.max))),
            .one("bind_to_port", .boolValue),
            .one("tcp_keepalive", .message("envoy.config.core.v3.TcpKeepalive")),
            .later("access_log", Unsupported("listeners have no access log", instead: "set access_log in the tcp_proxy filter")),
            .later("udp_listener_config", .udp),
            .later("api_listener fcds_config", .xds),
            .later("filter_chain_matcher", .chainMatch),
            .later("stats_matcher", .stats),
            .later("use_original_dst internal_listener", .listenerTuning),
            .later(
                "enable_mptcp ignore_global_conn_limit bypass_overload_manager per_connection_buffer_high_watermark_timeout",
                .listenerTuning)),
        MessageSchema("envoy.config.listener.v3.Listener.DeprecatedV1", .one("bind_to_port", .boolValue)),
        MessageSchema(
            "envoy.config.listener.v3.AdditionalAddress",
            .one("address", .message("envoy.config.core.v3.Address")),
            .one("socket_options", .message("envoy.config.core.v3.SocketOptionsOverride")),
            .one("tcp_keepalive", .message("envoy.config.core.v3.TcpKeepalive"))),
        MessageSchema("envoy.config.core.v3.SocketOptionsOverride", .list("socket_options", .message("envoy.config.core.v3.SocketOption"))),
        MessageSchema(
            "envoy.config.listener.v3.FilterChain",
            .one("filter_chain_match", .message("envoy.config.listener.v3.FilterChainMatch")),
            .list("filters", .message("envoy.config.listener.v3.Filter")),
            .annotations("metadata"),
            .one("transport_socket", .message("envoy.config.core.v3.TransportSocket")),
            .noEffect("transport_socket_connect_timeout", .duration, because: "plain TCP has no handshake to wait for"),
            .one("name", .string),
            .later("use_proxy_proto", .proxyProtocol)),
        MessageSchema(
            "envoy.config.listener.v3.FilterChainMatch",
            .later(
                """
                destination_port prefix_ranges address_suffix suffix_len direct_source_prefix_ranges source_type source_prefix_ranges \
                source_ports server_names transport_protocol application_protocols
                """, .chainMatch)),
        MessageSchema(
            "envoy.config.listener.v3.Filter",
            .one("name", .string, .nonEmpty),
            .one("typed_config", .any(.networkFilter), oneof: "config_type"),
            .later("config_discovery", oneof: "config_type", .xds)),
        MessageSchema(
            "envoy.config.listener.v3.ListenerFilter",
            .one("name", .string, .nonEmpty),
            .one("typed_config", .any(.listenerFilter), oneof: "config_type"),
            .later("config_discovery", oneof: "config_type", .xds),
            .later("filter_disabled", .extensions)),
        MessageSchema(
            "envoy.config.core.v3.TransportSocket",
            .one("name", .string, .nonEmpty),
            .one("typed_config", .any(.transportSocket))),
        MessageSchema("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
    ]

    static let sockets: [MessageSchema] = [
        MessageSchema(
            "envoy.config.core.v3.Address", requiredOneofs: ["address"],
            .one("socket_address", .message("envoy.config.core.v3.SocketAddress"), oneof: "address"),
            .one("pipe", .message("envoy.config.core.v3.Pipe"), oneof: "address"),
            .later("envoy_internal_address", oneof: "address", .listenerTuning)),
        MessageSchema(
            "envoy.config.core.v3.SocketAddress", requiredOneofs: ["port_specifier"],
            .one("protocol", .enumeration("envoy.config.core.v3.SocketAddress.Protocol")),
            .one("address", .string, .nonEmpty),
            .one("port_value", .uint32, oneof: "port_specifier", .range(0...65535)),
            .one("ipv4_compat", .bool),
            .later("named_port", oneof: "port_specifier", Unsupported("ports have no names", instead: "use port_value with the number")),
            .later("resolver_name", .resolver),
            .later(
                "network_namespace_filepath",
                Unsupported("sockets are opened in the proxy's own namespace", instead: "start the proxy inside the namespace"))),
        MessageSchema("envoy.config.core.v3.Pipe", .one("path", .string, .nonEmpty), .one("mode", .uint32, .range(0...511))),
        MessageSchema(
            "envoy.config.core.v3.SocketOption", requiredOneofs: ["value"],
            .one("description", .string),
            .one("level", .int64), .one("name", .int64),
            .one("int_value", .int64, oneof: "value"), .one("buf_value", .bytes, oneof: "value"),
            .one("state", .enumeration("envoy.config.core.v3.SocketOption.SocketState")),
            .one("ip_version", .enumeration("envoy.config.core.v3.SocketOption.SocketIpVersion")),
            .later("type", Unsupported("options do not depend on the socket's type", instead: "remove it: every listener here is a stream"))
        ),
        MessageSchema(
            "envoy.config.core.v3.TcpKeepalive",
            .one("keepalive_probes", .uint32Value), .one("keepalive_time", .uint32Value), .one("keepalive_interval", .uint32Value)),
    ]
}
