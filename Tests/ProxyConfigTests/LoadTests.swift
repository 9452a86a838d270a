import ProxyModel
import Testing

@testable import ProxyConfig

/// Loading as a whole: two sources, options, findings, the JSON form.
struct LoadTests {
    private static let file = """
        node: { id: from-file, cluster: edge }
        static_resources:
          clusters:
          - { name: one, connect_timeout: 1s }
        """

    private func load(_ yaml: String, over file: String? = nil, options: ConfigOptions = ConfigOptions()) throws -> LoadedConfiguration {
        try loadConfiguration(ConfigSource(path: file.map { _ in "envoy.yaml" }, yaml: yaml), options: options) { _ in
            Array((file ?? "").utf8)
        }
    }

    @Test("--config-yaml is merged over the file: scalars replaced, messages merged, lists appended")
    func merge() throws {
        let loaded = try load(
            "{node: {id: from-option}, static_resources: {clusters: [{name: two, connect_timeout: 2s}]}}", over: Self.file)
        #expect(loaded.configuration.node.id == "from-option" && loaded.configuration.node.cluster == "edge")
        #expect(loaded.configuration.clusters.map(\.name) == ["one", "two"])
    }

    @Test("a oneof set by --config-yaml replaces the file's other member")
    func mergeOneof() throws {
        let address = { (member: String) in "admin: { address: { \(member) } }" }
        let loaded = try load(address("pipe: { path: '@admin' }"), over: address("socket_address: { address: 127.0.0.1, port_value: 1 }"))
        #expect(loaded.configuration.admin?.address == .pipe(path: "@admin", mode: 0))
    }

    @Test("what one source leaves out the other may give")
    func mergeRequired() throws {
        let loaded = try load(
            "admin: { address: { socket_address: { port_value: 9901 } } }",
            over: "admin: { address: { socket_address: { address: 127.0.0.1 } } }")
        #expect(loaded.configuration.admin?.address == .socket(host: "127.0.0.1", port: 9901))
    }

    @Test("findings of both sources come in one run, each under its own name, with a verdict for each")
    func findingsOfBoth() throws {
        let error = try #require(throws: ConfigError.self) { try load("nodee: {}", over: "static_resource: {}") }
        #expect(error.diagnostics.map(\.file) == ["envoy.yaml", "--config-yaml"])
        #expect(render(error.diagnostics).hasSuffix("envoy.yaml: 1 error, 0 warnings\n--config-yaml: 1 error, 0 warnings\n"))
    }

    @Test("a duplicate across the two sources names the other one")
    func duplicateAcrossSources() throws {
        let error = try #require(throws: ConfigError.self) { try load("static_resources: { clusters: [{ name: one }] }", over: Self.file) }
        #expect(error.diagnostics.map(\.message) == ["duplicate cluster name 'one'; the first is at envoy.yaml line 4, column 13"])
    }

    @Test("unknown fields become warnings, and are counted")
    func allowUnknown() throws {
        let loaded = try load("{nodee: {}, node: {idd: x}}", options: ConfigOptions(allowUnknownStaticFields: true))
        #expect(loaded.configuration.unknownFieldCount == 2)
        #expect(loaded.warnings.map(\.id) == ["PX-C012", "PX-C012"])
        #expect(loaded.warnings.allSatisfy { $0.severity == .warning })
    }

    @Test("fields Envoy has and we do not stay errors even then")
    func allowUnknownIsNotAllowUnsupported() {
        #expect(throws: ConfigError.self) {
            try load("dynamic_resources: {ads_config: {}}", options: ConfigOptions(allowUnknownStaticFields: true))
        }
    }

    @Test("files are not looked at where the caller says so")
    func noFiles() throws {
        let yaml = "admin: { address: { pipe: { path: /nonexistent/admin.sock } } }"
        #expect(throws: ConfigError.self) { try load(yaml) }
        #expect(try load(yaml, options: ConfigOptions(checkFiles: false)).warnings == [])
    }

    @Test("a file that cannot be read is an error with the system's reason")
    func unreadable() throws {
        let error = try #require(throws: ConfigError.self) { try loadConfiguration(ConfigSource(path: "/nonexistent/envoy.yaml")) }
        #expect(
            render(error.diagnostics) == """
                /nonexistent/envoy.yaml: error: cannot read the configuration: No such file or directory  [PX-C001]
                   hint: check the path and its permissions
                /nonexistent/envoy.yaml: 1 error, 0 warnings

                """)
    }

    @Test("a finding looks as the reference shows it")
    func look() throws {
        let file = """
            # An echo listener.
            node:
              id: one
              cluster: two
            admin:
              address:
                socket_address: { address: 127.0.0.1, port_value: 9901 }
            static_resources:
              listeners:
              - name: echo
                address:
                  socket_address:
                    address: 0.0.0.0
                    port: 10000
                filter_chains:
                - filters:
                  - name: envoy.filters.network.echo
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo }
            """
        let error = try #require(throws: ConfigError.self) {
            try loadConfiguration(ConfigSource(path: "envoy.yaml")) { _ in Array(file.utf8) }
        }
        #expect(
            render(error.diagnostics) == """
                envoy.yaml:14:9: error: unknown field 'port' in socket_address  [PX-C012]
                   14 |         port: 10000
                      |         ^^^^ did you mean 'port_value'?
                   path: static_resources.listeners[0].address.socket_address
                envoy.yaml: 1 error, 0 warnings

                """)
    }

    @Test("the bootstrap as JSON: original names, durations and 64-bit integers as strings, defaults left out")
    func json() throws {
        let loaded = try load(
            """
            statsFlushInterval: 0.25s
            node: { id: "", cluster: "c\\"1" }
            overloadManager:
              resourceMonitors:
              - name: m
                typedConfig:
                  "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
                  maxActiveDownstreamConnections: 10
            static_resources: { listeners: [], clusters: [{ name: one, type: 0, connect_timeout: 1s, lb_policy: 3 }] }
            """)
        #expect(
            loaded.bootstrapJSON == """
                {
                 "node": {
                  "cluster": "c\\"1"
                 },
                 "static_resources": {
                  "clusters": [
                   {
                    "name": "one",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "lb_policy": "RANDOM"
                   }
                  ]
                 },
                 "stats_flush_interval": "0.250s",
                 "overload_manager": {
                  "resource_monitors": [
                   {
                    "name": "m",
                    "typed_config": {
                     "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                     "max_active_downstream_connections": "10"
                    }
                   }
                  ]
                 }
                }
                """)
        #expect(
            loaded.clusterJSON == [
                "{\n \"name\": \"one\",\n \"type\": \"STATIC\",\n \"connect_timeout\": \"1s\",\n \"lb_policy\": \"RANDOM\"\n}"
            ])
    }

    @Test("the hash tells what is said, not how it is laid out")
    func hash() throws {
        let one = try load("node: { id: a, cluster: b }").hash
        #expect(try load("# a comment\nnode:\n  cluster: \"b\"\n  id: a\n").hash == one)
        #expect(try load("node: { id: a, cluster: c }").hash != one)
    }

    @Test("listenerJSON and clusterJSON go with the model's lists")
    func parallelLists() throws {
        for name in Fixtures.names(in: "valid") {
            let loaded = try Fixtures.load("valid", name)
            #expect(loaded.listenerJSON.count == loaded.configuration.listeners.count)
            #expect(loaded.clusterJSON.count == loaded.configuration.clusters.count)
        }
    }

    @Test("no text makes it trap: every fixture cut short in a dozen places")
    func truncation() throws {
        for folder in ["valid", "invalid"] {
            for name in Fixtures.names(in: folder) {
                let bytes = try readWholeFile("\(Fixtures.root)/\(folder)/\(name)")
                for end in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 12)) {
                    _ = try? loadConfiguration(ConfigSource(path: "cut.yaml"), options: ConfigOptions(checkFiles: false)) { _ in
                        Array(bytes[..<end])
                    }
                }
            }
        }
    }

    @Test("a thousand listeners load in well under a second")
    func manyListeners() throws {
        let listeners = (0..<1000).map {
            """
              - name: l\($0)
                address: { socket_address: { address: 127.0.0.1, port_value: \(10000 + $0) } }
                filter_chains: [{ filters: [{ name: e, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo } }] }]

            """
        }
        let clock = ContinuousClock()
        let start = clock.now
        let loaded = try load("static_resources:\n  listeners:\n" + listeners.joined())
        #expect(loaded.configuration.listeners.count == 1000)
        // Generous, for a debug build on a busy machine; it catches what grows with the square.
        #expect(clock.now - start < .seconds(10))
    }
}
