/// Clusters, endpoints, and the typed forms of discovery and balancing.
extension Schemas {
    static let clusters: [MessageSchema] = [
        MessageSchema(
            "envoy.config.cluster.v3.Cluster",
            .one("name", .string, .nonEmpty),
            .one("alt_stat_name", .string),
            .one("type", .enumeration("envoy.config.cluster.v3.Cluster.DiscoveryType"), oneof: "cluster_discovery_type"),
            .one("cluster_type", .message("envoy.config.cluster.v3.Cluster.CustomClusterType"), oneof: "cluster_discovery_type"),
            .one("connect_timeout", .duration, .durationRange(1...Int64.max, text: "above 0s")),
            .one("per_connection_buffer_limit_bytes", .uint32Value),
            .one("lb_policy", .enumeration("envoy.config.cluster.v3.Cluster.LbPolicy")),
            .one("load_assignment", .message("envoy.config.endpoint.v3.ClusterLoadAssignment")),
            .one("circuit_breakers", .message("envoy.config.cluster.v3.CircuitBreakers")),
            .one("dns_refresh_rate", .duration, .durationRange(1_000_001...Int64.max, text: "above 1ms")),
            .one("dns_lookup_family", .enumeration("envoy.config.cluster.v3.Cluster.DnsLookupFamily")),
            .one("round_robin_lb_config", .message("envoy.config.cluster.v3.Cluster.RoundRobinLbConfig"), oneof: "lb_config"),
            .one("least_request_lb_config", .message("envoy.config.cluster.v3.Cluster.LeastRequestLbConfig"), oneof: "lb_config"),
            .one("common_lb_config", .message("envoy.config.cluster.v3.Cluster.CommonLbConfig")),
            .one("upstream_connection_options", .message("envoy.config.cluster.v3.UpstreamConnectionOptions")),
            .one("transport_socket", .message("envoy.config.core.v3.TransportSocket")),
            .one("load_balancing_policy", .message("envoy.config.cluster.v3.LoadBalancingPolicy")),
            .annotations("metadata wait_for_warm_on_init"),
            .noEffect(
                """
                max_requests_per_connection upstream_http_protocol_options common_http_protocol_options http_protocol_options \
                http2_protocol_options typed_extension_protocol_options protocol_selection track_timeout_budgets
                """, "it concerns HTTP only"),
            .noEffect("dns_failure_refresh_rate", "a name that failed is tried again after dns_refresh_rate"),
            .noEffect("cleanup_interval track_cluster_stats", "there is nothing it would apply to"),
            .noEffect("close_connections_on_host_health_failure ignore_health_on_host_removal", "there is no health checking"),
            .later("health_checks outlier_detection", .health),
            .later("transport_socket_matches transport_socket_matcher", .tls),
            .later("eds_cluster_config lrs_server lrs_report_endpoint_metrics", .xds),
            .later(
                "dns_resolvers use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config respect_dns_ttl dns_jitter",
                .resolver),
            .later("ring_hash_lb_config maglev_lb_config original_dst_lb_config", oneof: "lb_config", .balancing),
            .later("lb_subset_config queuing_policies", .balancing),
            .later(
                """
                upstream_bind_config filters upstream_config preconnect_policy connection_pool_per_downstream_connection \
                stats_matcher per_connection_buffer_high_watermark_timeout
                """, .clusterTuning)),
        MessageSchema("envoy.config.cluster.v3.Cluster.RoundRobinLbConfig", .later("slow_start_config", .balancing)),
        MessageSchema(
            "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
            .one("choice_count", .uint32Value, .range(2...Int64(UInt32.max))),
            .later("active_request_bias slow_start_config", .balancing)),
        MessageSchema(
            "envoy.config.cluster.v3.Cluster.CommonLbConfig",
            .noEffect("healthy_panic_threshold", "endpoints marked unhealthy are never chosen, however many they are"),
            .noEffect(
                "update_merge_window ignore_new_hosts_until_first_hc consistent_hashing_lb_config", "there is nothing it would apply to"),
            .later("zone_aware_lb_config locality_weighted_lb_config", oneof: "locality_config_specifier", .balancing),
            .later("close_connections_on_host_set_change override_host_status", .clusterTuning)),
        MessageSchema(
            "envoy.config.cluster.v3.UpstreamConnectionOptions",
            .one("tcp_keepalive", .message("envoy.config.core.v3.TcpKeepalive")),
            .noEffect("set_local_interface_name_on_upstream_connections", "nothing asks for the interface's name"),
            .noEffect("happy_eyeballs_config", "endpoints are tried one after the other, see max_connect_attempts")),
        MessageSchema(
            "envoy.config.cluster.v3.CircuitBreakers",
            .list("thresholds", .message("envoy.config.cluster.v3.CircuitBreakers.Thresholds")),
            .later("per_host_thresholds", .clusterTuning)),
        MessageSchema(
            "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
            .one("priority", .enumeration("envoy.config.core.v3.RoutingPriority")),
            .one("max_connections", .uint32Value),
            .noEffect(
                "max_pending_requests max_requests max_retries retry_budget max_connection_pools",
                "a TCP relay is limited by max_connections alone"),
            .noEffect("track_remaining", "what remains is max_connections less cx_active")),
    ]

    static let endpoints: [MessageSchema] = [
        MessageSchema(
            "envoy.config.endpoint.v3.ClusterLoadAssignment",
            .one("cluster_name", .string, .nonEmpty),
            .list("endpoints", .message("envoy.config.endpoint.v3.LocalityLbEndpoints")),
            .one("policy", .message("envoy.config.endpoint.v3.ClusterLoadAssignment.Policy")),
            .later("named_endpoints", .xds)),
        MessageSchema(
            "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
            .noEffect("overprovisioning_factor", .uint32Value, .range(1...Int64(UInt32.max)), because: "there is one priority"),
            .noEffect("weighted_priority_health", "there is one priority"),
            .later("drop_overloads endpoint_stale_after", .xds)),
        MessageSchema(
            "envoy.config.endpoint.v3.LocalityLbEndpoints",
            .one("locality", .message("envoy.config.core.v3.Locality")),
            .list("lb_endpoints", .message("envoy.config.endpoint.v3.LbEndpoint")),
            .one("load_balancing_weight", .uint32Value, .range(1...Int64(UInt32.max))),
            .one("priority", .uint32, .range(0...128)),
            .annotations("metadata proximity"),
            .later("load_balancer_endpoints leds_cluster_locality_config", oneof: "lb_config", .xds)),
        MessageSchema(
            "envoy.config.endpoint.v3.LbEndpoint",
            .one("endpoint", .message("envoy.config.endpoint.v3.Endpoint"), oneof: "host_identifier"),
            .one("health_status", .enumeration("envoy.config.core.v3.HealthStatus")),
            .one("load_balancing_weight", .uint32Value, .range(1...Int64(UInt32.max))),
            .annotations("metadata"),
            .later("endpoint_name", oneof: "host_identifier", .xds)),
        MessageSchema(
            "envoy.config.endpoint.v3.Endpoint",
            .one("address", .message("envoy.config.core.v3.Address")),
            .one("hostname", .string),
            .annotations("observability_name"),
            .noEffect("health_check_config", "there is no health checking"),
            .later("additional_addresses", Unsupported("an endpoint has one address", instead: "list each as an endpoint"))),
        MessageSchema(
            "envoy.config.cluster.v3.Cluster.CustomClusterType",
            .one("name", .string, .nonEmpty),
            .one("typed_config", .any(.clusterType))),
        MessageSchema(
            "envoy.extensions.clusters.dns.v3.DnsCluster",
            .one("dns_refresh_rate", .duration, .durationRange(1_000_001...Int64.max, text: "above 1ms")),
            .one("dns_lookup_family", .enumeration("envoy.config.cluster.v3.Cluster.DnsLookupFamily.Typed")),
            .one("all_addresses_in_single_endpoint", .bool),
            .noEffect("dns_failure_refresh_rate", "a name that failed is tried again after dns_refresh_rate"),
            .later("respect_dns_ttl dns_jitter typed_dns_resolver_config dns_min_refresh_rate", .resolver)),
        MessageSchema(
            "envoy.config.cluster.v3.LoadBalancingPolicy", .list("policies", .message("envoy.config.cluster.v3.LoadBalancingPolicy.Policy"))
        ),
        MessageSchema(
            "envoy.config.cluster.v3.LoadBalancingPolicy.Policy",
            .one("typed_extension_config", .message("envoy.config.core.v3.TypedExtensionConfig"))),
        MessageSchema(
            "envoy.config.core.v3.TypedExtensionConfig",
            .one("name", .string, .nonEmpty),
            .one("typed_config", .any(.loadBalancer), .required)),
        MessageSchema(
            "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin", .later("slow_start_config locality_lb_config", .balancing)
        ),
        MessageSchema("envoy.extensions.load_balancing_policies.random.v3.Random", .later("locality_lb_config", .balancing)),
        MessageSchema(
            "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
            .one("choice_count", .uint32Value, .range(2...Int64(UInt32.max))),
            .later("active_request_bias slow_start_config locality_lb_config enable_full_scan selection_method", .balancing)),
    ]
}
