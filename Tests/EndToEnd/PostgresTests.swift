import Harness
import Testing

extension EndToEnd {
    /// A database behind the proxy: clients and server that know nothing of it.
    @Suite struct Postgres {
        static let restarts: UInt64 = 20

        @Test(.enabled(if: PostgresServer.isInstalled, "PostgreSQL with psql and pgbench is not installed (.ci/run installs it)"))
        func sessionsAndConnectsOfPostgreSQLSurviveTwentyRestarts() throws {
            try scenario("PostgreSQL", seconds: 240) { s in
                let server = try PostgresServer(s)
                let made = try server.pgbench(server.endpoint, ["-i", "-s", "2", "-q"])
                s.checkEqual(try made.waitForExit(within: 30), .exited(0), "pgbench -i")
                let listener = Endpoint.v4(try s.port())
                let config = ConfigText(
                    admin: .v4(try s.port()), listeners: [.init("postgres", [listener], .relay(cluster: "db"))],
                    clusters: [("db", server.endpoint)])
                let chain = try ProxyChain(s, config, options: ["--max-draining-generations", "30", "--rollback-window-s", "1"])
                try chain.start()
                // Ten sessions of one transaction after the other, and two clients that connect anew for every transaction.
                let sessions = try server.pgbench(listener, ["-c", "10", "-j", "2", "-T", "15"])
                let connects = try server.pgbench(listener, ["-C", "-S", "-c", "2", "-T", "15"])
                var asked = 0
                for epoch in 1...Self.restarts {
                    let next = try chain.launch(["--restart-epoch"])
                    repeat {
                        let answer = try server.psql(listener, "SELECT 6 * 7")
                        asked += 1
                        s.checkEqual(answer.status, .exited(0), "psql in restart \(epoch): \(answer.log)")
                        s.checkEqual(answer.output, "42\n", "the answer in restart \(epoch)")
                    } while chain.admin.servingEpoch() != epoch
                    try chain.adopt(next, epoch: epoch, within: 15)
                    pause(0.3)
                }
                for (name, bench) in [("ten sessions", sessions), ("connects", connects)] {
                    s.checkEqual(try bench.waitForExit(within: 60), .exited(0), "pgbench with \(name): \(bench.tail())")
                    s.check(!bench.log.contains("aborted") && !bench.log.contains("error"), "pgbench with \(name): \(bench.log)")
                }
                let counted = try chain.admin.stats()
                s.checkEqual(counted["cluster.db.upstream_cx_connect_fail"], 0, "connects to the database that failed")
                s.checkEqual(counted["server.connections_cut"], 0, "connections cut")
                s.check((counted["tcp.postgres.downstream_cx_total"] ?? 0) > asked + 10, "connections counted")
                print("  \(Self.restarts) restarts, \(asked) psql connects")
                print("  sessions: \(summary(sessions)); with a connect each: \(summary(connects))")
                try chain.stop(within: 30)
            }
        }

        private func summary(_ bench: ChildProcess) -> String {
            String(bench.output.split(separator: "\n").first { $0.hasPrefix("number of transactions actually") } ?? "no transactions")
        }

        /// A statement that takes longer than its generation may drain is cut at the end of the drain, and not before.
        @Test(.enabled(if: PostgresServer.isInstalled, "PostgreSQL with psql and pgbench is not installed (.ci/run installs it)"))
        func aLongStatementIsGivenAllOfTheDrain() throws {
            try scenario("PostgreSQL drain", seconds: 60) { s in
                let server = try PostgresServer(s)
                let listener = Endpoint.v4(try s.port())
                let config = ConfigText(
                    admin: .v4(try s.port()), listeners: [.init("postgres", [listener], .relay(cluster: "db"))],
                    clusters: [("db", server.endpoint)])
                let chain = try ProxyChain(s, config, options: ["--drain-time-s", "4", "--parent-shutdown-time-s", "4"])
                try chain.start()
                let script = try s.write("SELECT pg_sleep(2);\n", to: "sleep.sql")
                let fits = try server.pgbench(listener, ["-n", "-c", "3", "-t", "1", "-f", script])
                let tooLong = try server.pgbench(listener, ["-n", "-c", "3", "-t", "100", "-f", script])
                // pgbench connects once to look at the tables, and then once for each of its clients.
                try eventually("six sessions") { try chain.admin.stats()["tcp.postgres.downstream_cx_total"] ?? 0 >= 8 }
                let before = monotonicSeconds()
                for _ in 1...3 { try chain.restart() }
                s.checkEqual(try fits.waitForExit(), .exited(0), "statements shorter than the drain: \(fits.tail())")
                s.check(try tooLong.waitForExit(within: 30) != .exited(0), "statements longer than the drain went on")
                s.check(monotonicSeconds() - before >= 4, "they were cut after \(monotonicSeconds() - before) s of 4")
                s.checkEqual(try chain.generations[0].waitForExit(), .exited(0), "the first generation")
                s.checkEqual(try chain.admin.stats()["server.connections_cut"], 3, "server.connections_cut")
                try chain.stop()
            }
        }
    }
}
