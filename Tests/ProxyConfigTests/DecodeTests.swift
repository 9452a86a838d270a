import ProxyModel
import Testing

@testable import ProxyConfig

/// What a configuration becomes: the model's values for given YAML.
struct DecodeTests {
    private func configuration(_ fixture: String) throws -> Configuration { try Fixtures.load("valid", fixture).configuration }

    @Test("the embedded default is an echo listener and an admin page, without a warning")
    func embeddedDefault() throws {
        let loaded = try loadConfiguration(ConfigSource(yaml: embeddedDefaultConfiguration))
        #expect(loaded.warnings == [])
        #expect(loaded.configuration.admin == Admin(address: .socket(host: "127.0.0.1", port: 9901)))
        #expect(loaded.configuration.listeners.map(\.filter) == [.echo])
        #expect(loaded.configuration.listeners.first?.addresses == [ListenerAddress(address: .socket(host: "127.0.0.1", port: 10000))])
    }

    @Test("defaults are Envoy's")
    func defaults() throws {
        let loaded = try configuration("passthrough.yaml")
        let listener = try #require(loaded.listeners.first)
        #expect(listener.reusePort && listener.bindToPort && !listener.inbound)
        #expect(listener.backlog == nil && listener.acceptBatch == nil && listener.connectionLimit == nil)
        #expect(listener.bufferLimitBytes == 1 << 20)
        #expect(listener.name == "0.0.0.0:10000", "a listener without a name is named after its address")
        guard case .tcpProxy(let proxy) = listener.filter else { return #expect(Bool(false), "no tcp_proxy") }
        #expect(proxy.idleTimeoutMs == 3_600_000 && proxy.maxConnectAttempts == 1 && proxy.maxDownstreamDurationMs == 0)
        let cluster = try #require(loaded.clusters.first)
        #expect(cluster.connectTimeoutMs == 5000 && cluster.dnsRefreshMs == 5000 && cluster.maxConnections == 1024)
        #expect(cluster.balancing == .roundRobin && cluster.lookupFamily == .auto && cluster.choiceCount == 2)
    }

    @Test("weights, time-outs and health of the weighted example")
    func weighted() throws {
        let loaded = try configuration("weighted-clusters.yaml")
        guard case .tcpProxy(let proxy)? = loaded.listeners.first?.filter else { return #expect(Bool(false), "no tcp_proxy") }
        #expect(proxy.targets == [.init(cluster: "stable", weight: 95), .init(cluster: "canary", weight: 5)])
        #expect(proxy.idleTimeoutMs == 0 && proxy.maxConnectAttempts == 3 && proxy.maxDownstreamDurationMs == 3_600_000)
        #expect(loaded.clusters[0].endpoints.map(\.weight) == [3, 1])
        #expect(loaded.clusters[0].connectTimeoutMs == 250)
        #expect(loaded.clusters[1].endpoints.map(\.unhealthy) == [true])
    }

    @Test("every form protobuf's JSON takes is read as what it means")
    func protobufForms() throws {
        let loaded = try configuration("proto-json-forms.yaml")
        #expect(loaded.node.id == "1.5" && loaded.node.cluster.isEmpty)
        #expect(loaded.statsFlushIntervalMs == 1)
        let listener = try #require(loaded.listeners.first)
        #expect(listener.addresses == [ListenerAddress(address: .socket(host: "127.0.0.1", port: 10000))])
        #expect(listener.inbound && !listener.reusePort && listener.bindToPort)
        #expect(listener.bufferLimitBytes == 32768 && listener.backlog == 128 && listener.acceptBatch == 16)
        let cluster = try #require(loaded.clusters.first)
        #expect(cluster.discovery == .strictDNS && cluster.lookupFamily == .v4Preferred && cluster.balancing == .random)
        #expect(cluster.connectTimeoutMs == 1001, "a fraction of a millisecond counts as a whole one")
        #expect(cluster.dnsRefreshMs == 2)
    }

    @Test("JSON is JSON: camelCase, tabs, escapes, surrogate pairs")
    func json() throws {
        let loaded = try configuration("static.json")
        #expect(loaded.node.subZone == "rack-7" && loaded.clusters.first?.choiceCount == 3)
        #expect(try configuration("tabs.json").listeners.first?.name == "tab\u{E9} \u{1F600} /")
    }

    @Test("pipes: octal mode, abstract names, endpoints")
    func pipes() throws {
        let loaded = try configuration("pipes.yaml")
        #expect(
            loaded.listeners.map { $0.addresses[0].address } == [
                .pipe(path: "/tmp/proxy-fixture.sock", mode: 0o600), .pipe(path: "@proxy-fixture", mode: 0),
            ])
        #expect(loaded.clusters[0].endpoints[0].address == .pipe(path: "/run/postgresql/.s.PGSQL.5432", mode: 0))
    }

    @Test("shorthands become socket options, with Linux's numbers and per family")
    func socketOptions() throws {
        let listener = try #require(try configuration("socket-options.yaml").listeners.first)
        func int(_ level: Int32, _ name: Int32, _ value: Int32, _ state: SocketOption.State) -> SocketOption {
            SocketOption(level: level, name: name, value: .int(value), state: state)
        }
        #expect(
            listener.socketOptions == [
                int(1, 7, 131072, .prebind), int(6, 9, 1, .listening),
                SocketOption(level: 6, name: 13, value: .bytes(Array("reno".utf8)), state: .bound),
                int(1, 9, 1, .prebind), int(6, 6, 3, .prebind), int(6, 4, 60, .prebind), int(6, 5, 10, .prebind),
                int(6, 23, 128, .listening), int(0, 15, 1, .prebind), int(0, 19, 0, .prebind),
            ])
        #expect(listener.addresses.allSatisfy { $0.socketOptions.isEmpty })
    }

    @Test("an address with options of its own has those, and the others the listener's")
    func addressOptions() throws {
        let listener = try #require(try configuration("additional-addresses.yaml").listeners.first)
        #expect(listener.socketOptions.isEmpty && listener.addresses.count == 4)
        #expect(listener.addresses.map { $0.socketOptions.map(\.name) } == [[], [], [12], [9, 4]])
    }

    @Test("ipv4_compat switches IPV6_V6ONLY off")
    func ipv4Compat() throws {
        let both = try #require(try configuration("ipv6.yaml").listeners.last)
        #expect(both.socketOptions == [SocketOption(level: 41, name: 26, value: .int(0), state: .prebind)])
    }

    @Test("connection limits: a later layer overrides, the overload manager goes first")
    func limits() throws {
        let loaded = try configuration("connection-limits.yaml")
        #expect(loaded.listeners.first?.connectionLimit == 20000)
        #expect(loaded.globalConnectionLimit == 50000)
    }

    @Test("typed forms of discovery and balancing mean what the plain ones do")
    func typedForms() throws {
        let dns = try #require(try configuration("typed-dns-cluster.yaml").clusters.first)
        #expect(dns.discovery == .strictDNS && dns.dnsRefreshMs == 30000 && dns.lookupFamily == .v4Only)
        let balanced = try configuration("load-balancing-policies.yaml").clusters
        #expect(balanced.map(\.balancing) == [.leastRequest, .random] && balanced[0].choiceCount == 5)
    }

    @Test("merge keys and anchors")
    func mergeKeys() throws {
        let clusters = try configuration("merge-keys.yaml").clusters
        #expect(clusters.map(\.name) == ["first", "second", "third"])
        #expect(clusters.map(\.connectTimeoutMs) == [1000, 1000, 2000])
        #expect(clusters.allSatisfy { $0.balancing == .leastRequest && $0.endpoints.count == 1 })
    }

    @Test("direct_response: text and bytes")
    func directResponse() throws {
        let listeners = try configuration("direct-response.yaml").listeners
        #expect(listeners.map(\.filter) == [.directResponse(Array("hello\n".utf8)), .directResponse(Array("hello\n".utf8))])
        #expect(listeners[0].filterChainName == "greeting")
    }
}
