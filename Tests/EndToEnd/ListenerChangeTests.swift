import Foundation
import Harness
import Testing

extension EndToEnd {
    /// Listeners that change from one generation to the next, always under load.
    @Suite struct ListenerChange {
        @Test func fewerAndMoreWorkersAndReusePortOnAndOffResetNobody() throws {
            try scenario("workers and reuse_port", seconds: 60) { s in
                let (chain, echo) = try s.echoChain(["--max-draining-generations", "20"])
                let admin = chain.admin.endpoint
                try chain.start(["--concurrency", "4"])
                let held = try LoadClient(s, .hold, echo, ["-c", "40", "-i", "100", "--half-close"])
                try held.waitUntilEstablished()
                let stream = try LoadClient(s, .connect, echo, ["-r", "400", "--sources", "16", "--half-close"])
                let steps: [(workers: Int, reusePort: Bool)] = [
                    (1, true), (4, true), (1, false), (4, false), (4, true), (4, false), (2, true), (1, true), (4, false), (4, true),
                    // Last, so that nobody comes later to look after a queue that was forgotten.
                    (1, true),
                ]
                for step in steps {
                    try chain.reconfigure(ConfigText(admin: admin, listeners: [.init("echo", [echo], reusePort: step.reusePort)]))
                    try chain.restart(["--concurrency", "\(step.workers)"])
                    pause(0.15)
                }
                s.checkClean(try stream.stop(), "new connections through \(steps.count) changes")
                let sessions = try held.stop()
                s.checkClean(sessions, "long sessions")
                s.checkEqual(sessions.open, 40, "sessions alive")
                try chain.stop()
            }
        }

        @Test func aListenerIsAddedAndRemovedAndNothingInItsQueueIsLost() throws {
            try scenario("added and removed", seconds: 60) { s in
                let (chain, echo) = try s.echoChain(["--concurrency", "2", "--max-draining-generations", "20"])
                let admin = chain.admin.endpoint
                let second = Endpoint.v4(try s.port())
                try chain.start()
                for round in 1...3 {
                    try chain.reconfigure(ConfigText(admin: admin, listeners: [.init("echo", [echo]), .init("second", [second])]))
                    try chain.restart()
                    let held = try LoadClient(s, .hold, second, ["-c", "20", "-i", "50", "--half-close"])
                    try held.waitUntilEstablished()
                    try chain.restart()  // so that an older generation holds its sockets too
                    // As many at a time as go: at the removal some are in the queue, some in the middle of their handshake.
                    let crowd = try LoadClient(s, .connect, second, ["-r", "0", "-c", "64", "--sources", "32", "--half-close"])
                    pause(0.2)
                    try chain.reconfigure(ConfigText(admin: admin, listeners: [.init("echo", [echo])]))
                    try chain.restart()
                    try eventually("the removed listener to refuse") { try TestSocket.isRefused(second) }
                    let report = try crowd.stop()
                    s.check(report.ok > 50, "round \(round): the crowd had \(report.ok) good connections only")
                    s.checkEqual(report.failed, report.refused, "round \(round): failures other than 'refused': \(report.failures)")
                    s.checkEqual(try chain.admin.listeners()["second"], nil, "the removed listener in /listeners")
                    pause(0.2)
                    let sessions = try held.stop()
                    s.checkClean(sessions, "old connections of the removed listener")
                    s.checkEqual(sessions.open, 20, "old connections of the removed listener that live on")
                }
                try chain.stop()
            }
        }

        @Test func aListenerMovesFromTCPToAPipeAndBack() throws {
            try scenario("TCP to pipe", seconds: 60) { s in
                let (chain, _) = try s.echoChain(["--max-draining-generations", "20"])
                let admin = chain.admin.endpoint
                let tcp = Endpoint.v4(try s.port())
                let pipe = Endpoint.pipe("\(s.directory)/echo.sock")
                try chain.reconfigure(ConfigText(admin: admin, listeners: [.init("echo", [tcp])]))
                try chain.start()
                for (old, new) in [(tcp, pipe), (pipe, tcp), (tcp, pipe)] {
                    let held = try LoadClient(s, .hold, old, ["-c", "10", "-i", "50", "--half-close"])
                    try held.waitUntilEstablished()
                    try chain.restart()  // so that an older generation holds its socket too
                    try chain.reconfigure(ConfigText(admin: admin, listeners: [.init("echo", [new])]))
                    try chain.restart()
                    try TestSocket(new).echo()
                    try eventually("\(old) to refuse") { try TestSocket.isRefused(old) }
                    s.checkEqual(try chain.admin.listeners()["echo"], [new.description], "where the listener is")
                    let sessions = try held.stop()
                    s.checkClean(sessions, "sessions opened at \(old)")
                    s.checkEqual(sessions.open, 10, "sessions opened at \(old) that live on")
                }
                try chain.stop()
            }
        }

        @Test func everyKindOfAddressIsKeptUnderLoad() throws {
            try scenario("kinds of addresses", seconds: 60) { s in
                let (chain, _) = try s.echoChain(["--concurrency", "2"])
                let addresses: [Endpoint] = [
                    .v4(try s.port()), .v6(try s.port()), .pipe("\(s.directory)/echo.sock"), .pipe("@proxy-test-\(s.baseID)"),
                ]
                try chain.reconfigure(
                    ConfigText(
                        admin: chain.admin.endpoint,
                        listeners: [
                            .init("many", addresses), .init("six", [.v6(try s.port())]), .init("unix", [.pipe("\(s.directory)/2")]),
                        ]))
                try chain.start()
                let before = try chain.admin.listeners()
                s.checkEqual(before["many"]?.count, addresses.count, "addresses of the listener")
                let streams = try addresses.map { try LoadClient(s, .connect, $0, ["-r", "100", "--half-close"]) }
                let held = try addresses.map { try LoadClient(s, .hold, $0, ["-c", "5", "-i", "100", "--half-close"]) }
                for client in held { try client.waitUntilEstablished() }
                for _ in 1...5 { try chain.restart() }
                s.checkEqual(try chain.admin.listeners(), before, "/listeners after five restarts")
                for (address, client) in zip(addresses, streams) { s.checkClean(try client.stop(), "new connections to \(address)") }
                for (address, client) in zip(addresses, held) { s.checkEqual(try client.stop().open, 5, "sessions of \(address)") }
                try chain.stop()
            }
        }

        @Test func aSpecificAddressComesAndGoesBesideAWildcardOne() throws {
            try scenario("specific beside wildcard", seconds: 60) { s in
                let (chain, _) = try s.echoChain(["--concurrency", "2"])
                let admin = chain.admin.endpoint
                let port = try s.port()
                func config(_ hosts: [String], reusePort: Bool) -> ConfigText {
                    ConfigText(admin: admin, listeners: hosts.map { .init($0, [.host($0, port)], reusePort: reusePort) })
                }
                try chain.reconfigure(config(["0.0.0.0"], reusePort: false))
                try chain.start()
                let clients = try ["127.0.0.1", "127.0.0.2"].map {
                    try LoadClient(s, .connect, .host($0, port), ["-r", "200", "--sources", "16", "--half-close"])
                }
                let total = "listener.127.0.0.2_\(port).downstream_cx_total"
                for reusePort in [false, true, false] {
                    try chain.reconfigure(config(["0.0.0.0", "127.0.0.2"], reusePort: reusePort))
                    try chain.restart()
                    let before = try chain.admin.stats()[total] ?? 0
                    try eventually("the specific listener to be given connections") { (try chain.admin.stats()[total] ?? 0) > before }
                    try chain.reconfigure(config(["0.0.0.0"], reusePort: reusePort))
                    try chain.restart()
                    try TestSocket(.host("127.0.0.2", port)).echo()
                }
                for client in clients { s.checkClean(try client.stop(), "new connections") }
                try chain.stop()
            }
        }

        /// Socket options act on every holder of a socket, so the parent's are not its own once the child has listened.
        @Test(arguments: ["child.beforeWord=kill", "child.serving=kill"])
        func socketOptionsOfAChildThatFailsGoWithIt(_ fault: String) throws {
            try scenario("socket options, \(fault)", seconds: 60) { s in
                let (chain, echo) = try s.faultyChain(["--concurrency", "1"])
                let parent = try chain.start()
                let small = "socket_options: [{ level: 6, name: 2, int_value: 1000 }, { level: 1, name: 8, int_value: 100000 }]"
                try chain.reconfigure(ConfigText(admin: chain.admin.endpoint, listeners: [.init("echo", [echo], extra: small)]))
                _ = try chain.restartInVain(environment: FaultySteps.environment([fault]))
                try parent.waitForLog(fault.hasPrefix("child.serving") ? "rolled back" : "restart failed", within: 10)
                try eventually("the parent to serve") { chain.admin.servingEpoch() == 0 }
                try eventually("the parent's own segment size to be offered") {
                    let socket = try TestSocket(echo)
                    try socket.echo()
                    return try socket.segmentSize() > 1000
                }
                try chain.restart()
                s.check(try TestSocket(echo).segmentSize() <= 1000, "segment size offered by a generation that does not fail")
                try chain.stop()
            }
        }

        @Test func aDuplicateAddressIsAnErrorOfTheConfigurationAndChangesNothing() throws {
            try scenario("duplicate address", seconds: 30) { s in
                let (chain, echo) = try s.echoChain()
                try chain.start()
                let twice = ConfigText(admin: chain.admin.endpoint, listeners: [.init("one", [echo]), .init("two", [echo])])
                let failed = try chain.restartInVain(config: try s.write(twice.yaml, to: "twice.yaml"))
                s.checkEqual(failed.status, .exited(1), "a restart with a duplicate address")
                s.checkContains(failed.log, "duplicate address \(echo)", "the message")
                s.checkEqual(chain.admin.servingEpoch(), 0, "the epoch that serves on")
                try TestSocket(echo).echo()
                try chain.stop()
            }
        }
    }
}
