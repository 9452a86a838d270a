/// The register of all message and enum schemas, and of what may stand in each `typed_config`.
enum Schemas {
    static let messages: [String: MessageSchema] = {
        let all = bootstrap + runtime + listeners + sockets + filters + accessLogs + clusters + endpoints
        return Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    }()

    static let enums: [String: EnumSchema] = {
        let dns = "AUTO V4_ONLY V6_ONLY V4_PREFERRED ALL"
        let all = [
            EnumSchema("envoy.config.listener.v3.Listener.DrainType", "DEFAULT MODIFY_ONLY"),
            EnumSchema("envoy.config.core.v3.TrafficDirection", "UNSPECIFIED INBOUND OUTBOUND"),
            EnumSchema("envoy.config.core.v3.RoutingPriority", "DEFAULT HIGH"),
            EnumSchema("envoy.config.core.v3.HealthStatus", "UNKNOWN HEALTHY UNHEALTHY DRAINING TIMEOUT DEGRADED"),
            EnumSchema("envoy.config.core.v3.SocketAddress.Protocol", "TCP UDP", later: ["UDP": "only TCP listeners and pipes are served"]),
            EnumSchema("envoy.config.core.v3.SocketOption.SocketState", "STATE_PREBIND STATE_BOUND STATE_LISTENING"),
            EnumSchema(
                "envoy.config.core.v3.SocketOption.SocketIpVersion",
                "SOCKET_IP_VERSION_UNSPECIFIED SOCKET_IP_VERSION_IPV4 SOCKET_IP_VERSION_IPV6"),
            EnumSchema(
                "envoy.extensions.filters.network.tcp_proxy.v3.UpstreamConnectMode",
                "IMMEDIATE ON_DOWNSTREAM_DATA ON_DOWNSTREAM_TLS_HANDSHAKE",
                later: ["ON_DOWNSTREAM_DATA": "use IMMEDIATE", "ON_DOWNSTREAM_TLS_HANDSHAKE": "use IMMEDIATE"]),
            EnumSchema(
                "envoy.config.cluster.v3.Cluster.DiscoveryType", "STATIC STRICT_DNS LOGICAL_DNS EDS ORIGINAL_DST",
                later: ["EDS": "use STATIC, STRICT_DNS or LOGICAL_DNS", "ORIGINAL_DST": "use STATIC, STRICT_DNS or LOGICAL_DNS"]),
            clusterLbPolicy,
            EnumSchema("envoy.config.cluster.v3.Cluster.DnsLookupFamily", dns),
            EnumSchema("envoy.config.cluster.v3.Cluster.DnsLookupFamily.Typed", "UNSPECIFIED " + dns),
        ]
        return Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    }()

    private static let clusterLbPolicy: EnumSchema = {
        let instead = "use ROUND_ROBIN, LEAST_REQUEST or RANDOM"
        // 4 was ORIGINAL_DST_LB, which v3 has removed.
        return EnumSchema(
            "envoy.config.cluster.v3.Cluster.LbPolicy",
            "ROUND_ROBIN LEAST_REQUEST RING_HASH RANDOM (reserved) MAGLEV CLUSTER_PROVIDED LOAD_BALANCING_POLICY_CONFIG",
            later: ["RING_HASH": instead, "MAGLEV": instead, "CLUSTER_PROVIDED": instead])
    }()

    /// What may stand in a slot here.
    static func supportedTypes(_ slot: AnySlot) -> [String] {
        switch slot {
        case .networkFilter:
            return [
                "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "envoy.extensions.filters.network.echo.v3.Echo",
                "envoy.extensions.filters.network.direct_response.v3.Config",
            ]
        case .accessLog:
            return [
                "envoy.extensions.access_loggers.file.v3.FileAccessLog", "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
            ]
        case .transportSocket: return ["envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"]
        case .resourceMonitor: return ["envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"]
        case .clusterType: return ["envoy.extensions.clusters.dns.v3.DnsCluster"]
        case .loadBalancer:
            return ["round_robin.v3.RoundRobin", "random.v3.Random", "least_request.v3.LeastRequest"]
                .map { "envoy.extensions.load_balancing_policies." + $0 }
        case .listenerFilter, .connectionBalance: return []
        }
    }

    /// Types of Envoy 1.40 that are not supported yet: package, types, reason. The full name is "envoy.extensions." + package + type.
    private static let laterTypes: [(package: String, types: String, why: Unsupported)] = [
        ("filters.network.http_connection_manager.", "v3.HttpConnectionManager v3.EnvoyMobileHttpConnectionManager", .http),
        (
            "filters.network.connection_limit.", "v3.ConnectionLimit",
            Unsupported(
                "there is no such filter",
                instead: "limit the listener with the runtime key envoy.resource_limits.listener.<name>.connection_limit")
        ),
        (
            "filters.network.",
            """
            dubbo_proxy.v3.DubboProxy dynamic_modules.v3.DynamicModuleNetworkFilter ext_authz.v3.ExtAuthz \
            ext_proc.v3.NetworkExternalProcessor generic_proxy.v3.GenericProxy geoip.v3.Geoip local_ratelimit.v3.LocalRateLimit \
            mongo_proxy.v3.MongoProxy ratelimit.v3.RateLimit rbac.v3.RBAC redis_proxy.v3.RedisProxy reverse_tunnel.v3.ReverseTunnel \
            set_filter_state.v3.Config sni_cluster.v3.SniCluster sni_dynamic_forward_proxy.v3.FilterConfig \
            tcp_bandwidth_limit.v3.TcpBandwidthLimit thrift_proxy.v3.ThriftProxy wasm.v3.Wasm zookeeper_proxy.v3.ZooKeeperProxy
            """, Unsupported("there is no such filter", instead: "there are tcp_proxy, echo and direct_response")
        ),
        (
            "filters.listener.",
            """
            dynamic_modules.v3.DynamicModuleListenerFilter http_inspector.v3.HttpInspector local_ratelimit.v3.LocalRateLimit \
            original_dst.v3.OriginalDst original_src.v3.OriginalSrc proxy_protocol.v3.ProxyProtocol set_filter_state.v3.Config \
            tls_inspector.v3.TlsInspector
            """, Unsupported("there are no listener filters", instead: "remove it if nothing chooses by what it finds")
        ),
        (
            "filters.udp.", "udp_proxy.v3.UdpProxyConfig dns_filter.v3.DnsFilterConfig dynamic_modules.v3.DynamicModuleUdpListenerFilter",
            .udp
        ),
        (
            "access_loggers.",
            """
            dynamic_modules.v3.DynamicModuleAccessLog fluentd.v3.FluentdAccessLogConfig grpc.v3.HttpGrpcAccessLogConfig \
            grpc.v3.TcpGrpcAccessLogConfig open_telemetry.v3.OpenTelemetryAccessLogConfig stats.v3.Config wasm.v3.WasmAccessLog
            """, Unsupported("access logs go to files only", instead: "use FileAccessLog, StdoutAccessLog or StderrAccessLog")
        ),
        (
            "transport_sockets.",
            """
            tls.v3.DownstreamTlsContext tls.v3.UpstreamTlsContext quic.v3.QuicDownstreamTransport quic.v3.QuicUpstreamTransport \
            starttls.v3.StartTlsConfig starttls.v3.UpstreamStartTlsConfig alts.v3.Alts
            """, .tls
        ),
        (
            "transport_sockets.",
            """
            http_11_proxy.v3.Http11ProxyUpstreamTransport internal_upstream.v3.InternalUpstreamTransport tap.v3.Tap \
            dynamic_modules.v3.DynamicModuleTransportSocket proxy_protocol.v3.ProxyProtocolUpstreamTransport tcp_stats.v3.Config
            """, Unsupported("connections are plain TCP", instead: "remove it")
        ),
        (
            "resource_monitors.",
            """
            cgroup_memory.v3.CgroupMemoryConfig cpu_utilization.v3.CpuUtilizationConfig fixed_heap.v3.FixedHeapConfig \
            injected_resource.v3.InjectedResourceConfig
            """, Unsupported("only connections are counted", instead: "limit connections with DownstreamConnectionsConfig")
        ),
        (
            "clusters.",
            """
            aggregate.v3.ClusterConfig composite.v3.ClusterConfig dynamic_forward_proxy.v3.ClusterConfig dynamic_modules.v3.ClusterConfig \
            mcp_multicluster.v3.ClusterConfig original_dst.v3.OriginalDstCluster redis.v3.RedisClusterConfig \
            reverse_connection.v3.ReverseConnectionClusterConfig
            """, Unsupported("there is no such cluster type", instead: "use type STATIC, STRICT_DNS or LOGICAL_DNS")
        ),
        (
            "load_balancing_policies.",
            """
            client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin cluster_provided.v3.ClusterProvided \
            dynamic_modules.v3.DynamicModulesLoadBalancerConfig load_aware_locality.v3.LoadAwareLocality maglev.v3.Maglev \
            override_host.v3.OverrideHost ring_hash.v3.RingHash subset.v3.Subset wrr_locality.v3.WrrLocality
            """, .balancing
        ),
    ]

    static func unsupportedType(_ name: String) -> Unsupported? {
        laterTypes.first { entry in
            entry.types.split(separator: " ").contains { name == "envoy.extensions." + entry.package + $0 }
        }?.why
    }

    /// Every type the program knows by name, for suggestions.
    static var allTypes: [String] {
        AnySlot.allCases.flatMap(supportedTypes)
            + laterTypes.flatMap { entry in entry.types.split(separator: " ").map { "envoy.extensions." + entry.package + $0 } }
    }

    /// Names people write for fields of a message, which no edit distance would find.
    static func alias(_ key: String, in message: String) -> String? {
        let short = message.split(separator: ".").last.map(String.init) ?? message
        return aliases[short]?[key]
    }

    private static let aliases: [String: [String: String]] = [
        "SocketAddress": ["port": "port_value", "ip": "address", "host": "address"],
        "Bootstrap": ["static": "static_resources", "runtime": "layered_runtime", "resources": "static_resources"],
        "Listener": ["bind_address": "address", "listen": "address", "so_reuseport": "enable_reuse_port", "backlog": "tcp_backlog_size"],
        "Cluster": [
            "hosts": "load_assignment", "endpoints": "load_assignment", "discovery_type": "type", "load_balancing": "lb_policy",
            "timeout": "connect_timeout",
        ],
        "Filter": ["config": "typed_config", "type": "name"],
        "AccessLog": ["config": "typed_config", "path": "typed_config"],
        "TcpProxy": [
            "clusters": "weighted_clusters", "upstream": "cluster", "route": "cluster",
            "max_connection_duration": "max_downstream_connection_duration",
        ],
        "LbEndpoint": ["address": "endpoint", "weight": "load_balancing_weight", "health": "health_status"],
        "LocalityLbEndpoints": ["endpoints": "lb_endpoints", "hosts": "lb_endpoints", "weight": "load_balancing_weight"],
        "ClusterLoadAssignment": ["name": "cluster_name", "lb_endpoints": "endpoints"],
        "FileAccessLog": ["filename": "path", "file": "path"],
        "TcpKeepalive": ["probes": "keepalive_probes", "time": "keepalive_time", "interval": "keepalive_interval"],
        "Node": ["name": "id", "region": "locality", "zone": "locality"],
    ]
}
