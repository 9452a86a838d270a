import Foundation
import Harness
import Testing

extension EndToEnd {
    /// What the real binary does to bytes, ends and connections that do not come about.
    @Suite struct Relay {
        /// A chain of one generation that relays from `name`d listeners, each with fields of its own, to the clusters given.
        private struct Relays {
            let chain: ProxyChain
            let listeners: [String: Endpoint]

            init(_ s: Scenario, _ filters: [(name: String, filter: ConfigText.Filter)], clusters: [String], other: [String] = []) throws {
                var places: [String: Endpoint] = [:]
                for (name, _) in filters { places[name] = .v4(try s.port()) }
                var config = ConfigText(admin: .v4(try s.port()), listeners: filters.map { .init($0.name, [places[$0.name]!], $0.filter) })
                config.otherClusters = clusters
                config.other = other
                listeners = places
                chain = try ProxyChain(s, config, options: ["--concurrency", "2"])
                try chain.start()
            }

            func connect(_ name: String, within seconds: Double = 5, receiveBuffer: Int32? = nil) throws -> TestSocket {
                try TestSocket(listeners[name]!, within: seconds, receiveBuffer: receiveBuffer)
            }
            func waitFor(_ statistic: String, _ value: Int) throws {
                var last: Int?
                do {
                    try eventually("\(statistic) to be \(value)", every: 0.02) {
                        last = try chain.admin.stats()[statistic]
                        return last == value
                    }
                } catch { throw HarnessError("\(error); it is \(last.map(String.init) ?? "absent")") }
            }
        }

        private static func cluster(_ name: String, _ endpoints: [Endpoint], _ fields: String = "", type: String = "STATIC") -> String {
            let hosts = endpoints.map { "{ endpoint: { address: \(ConfigText.address($0)) } }" }.joined(separator: ", ")
            return "{ name: \(name), type: \(type)\(fields), load_assignment: "
                + "{ cluster_name: \(name), endpoints: [{ lb_endpoints: [\(hosts)] }] } }"
        }

        @Test func anEndIsPassedOnInEitherDirectionWhileTheOtherGoesOn() throws {
            try scenario("half-close", seconds: 30) { s in
                let upstream = try TestListener(.v4(try s.port()))
                let relays = try Relays(
                    s, [("relay", .relay(cluster: "up"))], clusters: [Self.cluster("up", [upstream.endpoint])])
                for clientFirst in [true, false] {
                    let client = try relays.connect("relay")
                    let server = try upstream.accept()
                    let (first, second) = clientFirst ? (client, server) : (server, client)
                    try first.send(Array("last words".utf8))
                    first.shutdownWrite()
                    s.checkEqual(String(decoding: try second.receiveAll(), as: UTF8.self), "last words", "what came before the end")
                    try relays.chain.restart()  // half-closed connections drain like any other
                    for part in ["not ", "over ", "yet"] { try second.send(Array(part.utf8)) }
                    second.shutdownWrite()
                    s.checkEqual(String(decoding: try first.receiveAll(), as: UTF8.self), "not over yet", "what came the other way")
                }
                let client = try relays.connect("relay")
                try upstream.accept().abort()
                #expect(throws: (any Error).self, "a reset is passed on as a reset") { try client.receiveAll() }
                try relays.waitFor("cluster.up.upstream_cx_active", 0)
            }
        }

        @Test func aSlowReaderLosesNothingAndCostsLittleMemory() throws {
            try scenario("backpressure", seconds: 60) { s in
                let upstream = try TestListener(.v4(try s.port()), receiveBuffer: 65536)
                let relays = try Relays(
                    s, [("relay", .relay(cluster: "up"))], clusters: [Self.cluster("up", [upstream.endpoint])])
                // More than the kernel takes on its own: the sockets of both ends and those of the proxy.
                let total = try 2 * (largestBuffer("tcp_rmem") + 2 * largestBuffer("tcp_wmem"))
                // A prime number of bytes, again and again, so that a block lost or swapped shows.
                let pattern = (0..<65537).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 11) }
                var bytes: [UInt8] = []
                while bytes.count < total { bytes += pattern }
                for clientSends in [true, false] {
                    let client = try relays.connect("relay", receiveBuffer: 65536)
                    let server = try upstream.accept()
                    let (sender, reader) = clientSends ? (client, server) : (server, client)
                    let idle = try residentMemory(of: relays.chain.serving.pid)
                    let sent = try sender.sendUntilBlocked(bytes, pause: 1)
                    s.check(sent < total, "all of \(sent) bytes were taken though nobody read")
                    let memory = try residentMemory(of: relays.chain.serving.pid)
                    s.check(memory - idle < 4 << 20, "the proxy grew from \(idle >> 10) to \(memory >> 10) KiB")
                    try relays.chain.restart()
                    sender.shutdownWrite()
                    let received = try reader.receiveAll()
                    s.checkEqual(received.count, sent, "bytes that came")
                    s.check(received.count <= sent && memcmp(received, bytes, received.count) == 0, "other bytes came")
                }
                let stats = try relays.chain.admin.stats()
                s.check((stats["tcp.relay.downstream_flow_control_paused_reading_total"] ?? 0) > 0, "reading was never paused")
            }
        }

        /// What the kernel lets a socket's buffer grow to (tcp(7)).
        private func largestBuffer(_ name: String) throws -> Int {
            let text = try String(contentsOfFile: "/proc/sys/net/ipv4/\(name)", encoding: .utf8)
            guard let largest = text.split(whereSeparator: \.isWhitespace).last.flatMap({ Int($0) }) else {
                throw HarnessError("\(name): '\(text)'")
            }
            return largest
        }

        private func residentMemory(of pid: Int32) throws -> Int {
            let text = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
                let kilobytes = line.split(separator: " ").compactMap({ Int($0) }).first
            else { throw HarnessError("no VmRSS of pid \(pid)") }
            return kilobytes << 10
        }

        @Test func aRefusedConnectGoesToTheNextEndpointAsOftenAsAllowed() throws {
            try scenario("connect attempts", seconds: 40) { s in
                let upstream = Endpoint.v4(try s.port())
                let server = try LoadClient(s, .server, upstream)
                try server.waitUntilEstablished()
                let dead = Endpoint.v4(try s.port())
                let relays = try Relays(
                    s,
                    [
                        ("thrice", .relayWith("cluster: half, max_connect_attempts: 3")), ("once", .relay(cluster: "other_half")),
                        ("never", .relayWith("cluster: none, max_connect_attempts: 2")),
                    ],
                    clusters: [
                        Self.cluster("half", [dead, upstream]), Self.cluster("other_half", [dead, upstream]), Self.cluster("none", [dead]),
                    ])
                let good = try LoadClient(s, .connect, relays.listeners["thrice"]!, ["-r", "0", "-c", "8", "-n", "200", "--half-close"])
                s.checkClean(try good.report(), "connections with three attempts")
                let once = try LoadClient(s, .connect, relays.listeners["once"]!, ["-r", "0", "-c", "8", "-n", "200", "--half-close"])
                let halves = try once.report()
                let stats = try relays.chain.admin.stats()
                s.check((stats["cluster.half.upstream_cx_connect_fail"] ?? 0) > 0, "no attempt failed")
                s.checkEqual(stats["cluster.half.upstream_cx_connect_attempts_exceeded"], 0, "attempts exceeded with three")
                s.checkEqual(stats["cluster.other_half.upstream_cx_connect_attempts_exceeded"], halves.failed, "attempts exceeded with one")
                s.check(halves.failed > 0 && halves.ok > 0, "with one attempt \(halves.ok) were good, \(halves.failed) failed")
                s.checkEqual(halves.failed, halves.eofBeforeReply + halves.reset, "how they failed: \(halves.failures)")
                s.checkEqual(try relays.connect("never").receiveAll(), [], "what a client gets where nobody listens")
                try relays.waitFor("cluster.none.upstream_cx_connect_fail", 2)
            }
        }

        @Test func timeoutsEndConnectionsAndAreCounted() throws {
            try scenario("timeouts", seconds: 40) { s in
                let upstream = Endpoint.v4(try s.port())
                let server = try LoadClient(s, .server, upstream)
                try server.waitUntilEstablished()
                let deaf = try TestListener(.v4(try s.port()), backlog: 0)
                let fill = try TestSocket(deaf.endpoint)
                let relays = try Relays(
                    s,
                    [
                        ("deaf", .relay(cluster: "deaf")), ("idle", .relayWith("cluster: up, idle_timeout: 0.5s")),
                        ("brief", .relayWith("cluster: up, max_downstream_connection_duration: 0.7s")),
                    ], clusters: [Self.cluster("deaf", [deaf.endpoint], ", connect_timeout: 0.4s"), Self.cluster("up", [upstream])])
                try expectEnd(s, of: try relays.connect("deaf"), notBefore: 0.4, "connect_timeout")
                try relays.waitFor("cluster.deaf.upstream_cx_connect_timeout", 1)
                fill.close()
                let idle = try relays.connect("idle")
                try idle.echo()
                try expectEnd(s, of: idle, notBefore: 0.5, "idle_timeout")
                try relays.waitFor("tcp.idle.idle_timeout", 1)
                let brief = try relays.connect("brief")
                let began = monotonicSeconds()
                while (try? brief.echo()) != nil, monotonicSeconds() - began < 10 {}  // as busy as can be
                let lived = monotonicSeconds() - began
                s.check(lived >= 0.6 && lived < 10, "max_downstream_connection_duration of 0.7 s: lived \(lived) s")
                try relays.waitFor("tcp.brief.max_downstream_connection_duration", 1)
            }
        }

        private func expectEnd(_ s: Scenario, of socket: TestSocket, notBefore seconds: Double, _ what: String) throws {
            let began = monotonicSeconds()
            s.checkEqual(try socket.receiveAll(), [], "what came before the end by \(what)")
            s.check(monotonicSeconds() - began >= seconds - 0.05, "\(what): it ended after \(monotonicSeconds() - began) s")
        }

        @Test func limitsTurnAwayWhatIsTooMuchAndLetInAgain() throws {
            try scenario("limits", seconds: 40) { s in
                let upstream = Endpoint.v4(try s.port())
                let server = try LoadClient(s, .server, upstream)
                try server.waitUntilEstablished()
                let relays = try Relays(
                    s, [("few", .relay(cluster: "few")), ("limited", .relay(cluster: "up"))],
                    clusters: [
                        Self.cluster("few", [upstream], ", circuit_breakers: { thresholds: [{ max_connections: 3 }] }"),
                        Self.cluster("up", [upstream]),
                    ],
                    other: [
                        "layered_runtime: { layers: [{ name: static, static_layer: "
                            + "{ envoy.resource_limits.listener.limited.connection_limit: 4 } }] }"
                    ])
                guard case .v4(let port) = relays.listeners["limited"]! else { return }
                try expectLimit(s, relays, "few", of: 3, counter: "cluster.few.upstream_cx_overflow")
                try expectLimit(s, relays, "limited", of: 4, counter: "listener.127.0.0.1_\(port).downstream_cx_overflow")
            }
        }

        private func expectLimit(_ s: Scenario, _ relays: Relays, _ name: String, of limit: Int, counter: String) throws {
            var inside = try (1...limit).map { _ in try relays.connect(name) }
            for socket in inside { try socket.echo() }
            for _ in 1...5 { s.check((try? relays.connect(name).echo()) == nil, "\(name): connection \(limit + 1) was let in") }
            for socket in inside { try socket.echo() }
            try relays.waitFor(counter, 5)
            inside.removeLast().close()
            try eventually("\(name) to let one in again") { (try? relays.connect(name).echo()) != nil }
        }

        @Test func clustersAreChosenByWeightFoundByNameAndNotAskedForAFixedAnswer() throws {
            try scenario("choice of clusters", seconds: 40) { s in
                let upstream = Endpoint.v4(try s.port())
                let server = try LoadClient(s, .server, upstream)
                try server.waitUntilEstablished()
                guard case .v4(let port) = upstream else { return }
                let relays = try Relays(
                    s,
                    [
                        ("weighted", .relayWith("weighted_clusters: { clusters: [{ name: much, weight: 3 }, { name: few, weight: 1 }] }")),
                        ("named", .relay(cluster: "dns")), ("fixed", .respond("come back later")),
                    ],
                    clusters: [
                        Self.cluster("much", [upstream]), Self.cluster("few", [upstream]),
                        Self.cluster("dns", [.host("localhost", port)], ", dns_lookup_family: V4_ONLY", type: "STRICT_DNS"),
                    ])
                let many = try LoadClient(s, .connect, relays.listeners["weighted"]!, ["-r", "0", "-c", "8", "-n", "800", "--half-close"])
                s.checkClean(try many.report(), "connections by weight")
                let stats = try relays.chain.admin.stats()
                let much = stats["cluster.much.upstream_cx_total"] ?? 0
                s.checkEqual(much + (stats["cluster.few.upstream_cx_total"] ?? 0), 800, "connections of both clusters")
                // 600 expected; twelve is the standard deviation.
                s.check(much > 520 && much < 680, "\(much) of 800 connections went to the cluster of weight 3 of 4")
                let named = try LoadClient(s, .connect, relays.listeners["named"]!, ["-r", "0", "-c", "4", "-n", "50", "--half-close"])
                s.checkClean(try named.report(), "connections to a name")
                s.checkContains(try relays.chain.admin.get("/clusters").body, "dns::127.0.0.1:\(port)::hostname::localhost", "/clusters")
                let answer = try relays.connect("fixed").receiveAll()
                s.checkEqual(String(decoding: answer, as: UTF8.self), "come back later", "the direct response")
            }
        }
    }
}
