import Foundation
import Harness
import Testing

extension EndToEnd {
    /// What clients, upstream and the proxy's own counters say after a hundred restarts under load.
    @Suite struct Load {
        /// RESTARTS sets another number.
        static let restarts = ProcessInfo.processInfo.environment["RESTARTS"].flatMap { UInt64($0) } ?? 100

        @Test func aHundredRestartsUnderLoadLoseNothingAndCountEverything() throws {
            try scenario("a hundred restarts", seconds: 200 + Double(Self.restarts)) { s in
                // The first generation keeps the long sessions all the time. An empty parent stays for a second only, because the table of
                // generations has 64 places.
                let (chain, listener, server) = try s.relayChain([
                    "--max-draining-generations", "60", "--rollback-window-s", "1", "--concurrency", "2",
                ])
                try chain.start()
                let clients = try Clients(s, listener)
                for _ in 1...Self.restarts {
                    try chain.restart()
                    pause(0.1)
                }
                s.checkEqual(chain.epoch, Self.restarts, "the epoch that serves")
                let reports = try clients.stop(s)
                let counted = try settledCounters(s, chain, listener, connections: reports.reduce(0) { $0 + $1.tried })
                let upstream = try server.stop()
                s.checkClean(upstream, "the upstream's connections")
                try compare(s, counted, listener, reports, upstream)
                try chain.stop(within: 30)
                for (epoch, generation) in chain.generations.enumerated() {
                    s.checkEqual(generation.exitStatus(), .exited(0), "end of generation \(epoch)")
                }
                print(
                    "  \(Self.restarts) restarts: \(reports[0].tried) connections, \(reports[1].exchanges) exchanges of "
                        + "\(reports[1].open) sessions, \(reports[2].bytesReceived) bytes in bulk")
            }
        }

        /// New connections, sessions that live through everything, and streams without a pause, each in a process of its own.
        private struct Clients {
            let new, held, bulk: LoadClient

            init(_ s: Scenario, _ listener: Endpoint) throws {
                held = try LoadClient(s, .hold, listener, ["-c", "40", "-i", "100", "--half-close"])
                try held.waitUntilEstablished()
                bulk = try LoadClient(s, .bulk, listener, ["-c", "2"])
                new = try LoadClient(s, .connect, listener, ["-r", "200", "--sources", "16", "--half-close"])
            }

            func stop(_ s: Scenario) throws -> [LoadReport] {
                let reports = [try new.stop(), try held.stop(), try bulk.stop()]
                s.checkClean(reports[0], "new connections")
                s.checkClean(reports[1], "long sessions")
                s.checkClean(reports[2], "bulk streams")
                s.checkEqual(reports[1].open, 40, "sessions alive at the end")
                s.check(reports[2].bytesReceived > 10_000_000, "bulk moved \(reports[2].bytesReceived) bytes only")
                return reports
            }
        }

        private func scope(_ listener: Endpoint) -> String {
            "listener.\(listener.description.replacing(":", with: "_"))"
        }

        /// What the last generation shows once every connection has ended in every generation.
        private func settledCounters(_ s: Scenario, _ chain: ProxyChain, _ listener: Endpoint, connections: Int) throws -> [String: Int] {
            let scope = scope(listener)
            var last: [String: Int] = [:]
            do {
                try eventually("\(connections) connections to be counted as ended", within: 20, every: 0.05) {
                    last = try chain.admin.stats()
                    return last["\(scope).downstream_cx_destroy"] == connections && last["\(scope).downstream_cx_active"] == 0
                }
            } catch {
                s.check(false, "\(error): \(last.filter { $0.key.hasPrefix("\(scope).downstream_cx") })")
            }
            return last
        }

        private func compare(
            _ s: Scenario, _ counted: [String: Int], _ listener: Endpoint, _ clients: [LoadReport], _ upstream: LoadReport
        ) throws {
            let tried = clients.reduce(0) { $0 + $1.tried }
            let scope = scope(listener)
            let workers = (0..<2).map { counted["\(scope).worker_\($0).downstream_cx_total"] ?? -1 }
            s.checkEqual(upstream.tried, tried, "connections that came to the upstream")
            s.checkEqual(workers.reduce(0, +), tried, "connections of all workers")
            let expected = [
                "\(scope).downstream_cx_total": tried,
                "tcp.relay.downstream_cx_total": tried,
                "tcp.relay.downstream_cx_rx_bytes_total": clients.reduce(0) { $0 + $1.bytesSent },
                "tcp.relay.downstream_cx_tx_bytes_total": clients.reduce(0) { $0 + $1.bytesReceived },
                "tcp.relay.downstream_cx_no_route": 0,
                "cluster.up.upstream_cx_total": tried,
                "cluster.up.upstream_cx_destroy": tried,
                "cluster.up.upstream_cx_active": 0,
                "cluster.up.upstream_cx_connect_fail": 0,
                "cluster.up.upstream_cx_tx_bytes_total": upstream.bytesReceived,
                "cluster.up.upstream_cx_rx_bytes_total": upstream.bytesSent,
                "server.hot_restart_generation": Int(Self.restarts) + 1,
                "server.hot_restart_epoch": Int(Self.restarts),
                "server.restart_failures": 0,
                "server.restart_rollbacks": 0,
                "server.connections_cut": 0,
            ]
            for (name, value) in expected.sorted(by: { $0.key < $1.key }) {
                s.checkEqual(counted[name], value, name)
            }
        }
    }
}
