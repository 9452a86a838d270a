import Foundation
import Harness
import Testing

extension EndToEnd {
    /// What a generation keeps of the sockets it is handed, and what it applies to them.
    @Suite struct Inheritance {
        @Test func aListenerOnPortZeroKeepsItsRealPort() throws {
            try scenario("port 0", seconds: 40) { s in
                let (chain, _) = try s.echoChain()
                let admin = chain.admin.endpoint
                try chain.reconfigure(ConfigText(admin: admin, listeners: [.init("any", [.v4(0)])]))
                try chain.start(["--concurrency", "2"])
                let address = try #require(try chain.admin.listeners()["any"]?.first)
                let port = try #require(Int(address.split(separator: ":").last ?? ""))
                s.check(port > 0, "the listener's real address is \(address)")
                let stream = try LoadClient(s, .connect, .v4(port), ["-r", "200", "--sources", "16", "--half-close"])
                for workers in ["2", "3", "1"] {
                    try chain.restart(["--concurrency", workers])
                    s.checkEqual(try chain.admin.listeners()["any"], [address], "the address after a restart with \(workers) workers")
                }
                s.checkClean(try stream.stop(), "new connections to port \(port)")
                try chain.stop()
            }
        }

        @Test func adminOnPortZeroStaysWhereItIsAndMovesWhenToldTo() throws {
            try scenario("admin on port 0", seconds: 40) { s in
                let (chain, echo) = try s.echoChain()
                let file = "\(s.directory)/admin.txt"
                chain.options += ["--admin-address-path", file]
                try chain.reconfigure(ConfigText(admin: .v4(0), listeners: [.init("echo", [echo])]))
                let first = try chain.launch()
                try eventually("the admin address in \(file)") { FileManager.default.fileExists(atPath: file) }
                let address = try String(contentsOfFile: file, encoding: .utf8)
                let port = try #require(Int(address.split(separator: ":").last ?? ""))
                s.check(port > 0, "the admin address is \(address)")
                chain.admin = AdminClient(.v4(port))
                try chain.adopt(first, epoch: 0, within: 10)
                for _ in 1...2 {
                    try chain.restart()
                    s.checkEqual(try String(contentsOfFile: file, encoding: .utf8), address, "the admin address after a restart")
                }
                // With this, older generations live on, each with a copy of the admin socket that it was handed or handed on.
                let held = try TestSocket(echo)
                try held.echo()
                try chain.restart()
                let moved = Endpoint.v4(try s.port())
                try chain.reconfigure(ConfigText(admin: moved, listeners: [.init("echo", [echo])]))
                chain.admin = AdminClient(moved)
                try chain.restart()
                try eventually("the old admin address to refuse") { try TestSocket.isRefused(.v4(port)) }
                try eventually("the new address in \(file)") { try String(contentsOfFile: file, encoding: .utf8) == moved.description }
                try chain.reconfigure(ConfigText(admin: nil, listeners: [.init("echo", [echo])]))
                let without = try chain.launch(["--restart-epoch"])
                try without.waitForLog("hot restart done: serving")
                try eventually("the admin address to refuse once there is none") { try TestSocket.isRefused(moved) }
                try held.echo()
                try TestSocket(echo).echo()
                without.signal(SIGTERM)
                s.checkEqual(try without.waitForExit(), .exited(0), "the generation without an admin server")
            }
        }

        /// The new address is in the hands of the generation that serves, in part or as a part.
        @Test func adminMovesBetweenASpecificAndTheWildcardAddress() throws {
            try scenario("admin to the wildcard address and back", seconds: 40) { s in
                let (chain, echo) = try s.echoChain()
                guard case .v4(let port) = chain.admin.endpoint else { return }
                try chain.start()
                let load = try LoadClient(s, .connect, echo, ["-r", "200", "--half-close", "--sources", "4"])
                for place in [Endpoint.host("0.0.0.0", port), .v4(port), .host("0.0.0.0", port)] {
                    try chain.reconfigure(ConfigText(admin: place, listeners: [.init("echo", [echo])]))
                    try chain.restart()
                    let other = Endpoint.host("127.0.0.2", port)
                    s.checkEqual(try TestSocket.isRefused(other), place == .v4(port), "\(other) with the admin server on \(place)")
                }
                // A cold start of somebody else does not get in beside it.
                let second = try s.run(
                    Programs.proxy,
                    ["--base-id", "\(s.baseID + 50)", "--socket-path", s.socketPath, "-c", chain.configPath], name: "second")
                s.checkEqual(second.status, .exited(1), "another proxy at the same address")
                s.checkClean(try load.stop(), "new connections")
                try chain.stop()
            }
        }

        /// 400 listening sockets do not fit into one packet of descriptors.
        @Test func twoHundredListenersAreHandedOverInOneRestart() throws {
            try scenario("200 listeners", seconds: 60) { s in
                let (chain, _) = try s.echoChain(["--concurrency", "2"])
                var listeners: [ConfigText.Listener] = []
                for number in 0..<200 { listeners.append(.init("listener-\(number)", [.v4(try s.port())])) }
                try chain.reconfigure(ConfigText(admin: chain.admin.endpoint, listeners: listeners))
                try chain.start()
                let sessions = try listeners.map { try TestSocket($0.endpoints[0]) }
                for session in sessions { try session.echo() }
                let streams = try [0, 99, 199].map {
                    try LoadClient(s, .connect, listeners[$0].endpoints[0], ["-r", "50", "--sources", "4", "--half-close"])
                }
                let next = try chain.restart()
                try next.waitForLog("listeners.kept=200")
                for stream in streams { s.checkClean(try stream.stop(), "new connections") }
                for (listener, session) in zip(listeners, sessions) {
                    try session.echo("still there?")
                    try TestSocket(listener.endpoints[0]).echo()
                }
                s.checkEqual(try chain.admin.listeners().count, 200, "listeners")
                s.checkEqual(try chain.admin.stats()["listener_manager.total_listeners_active"], 200, "total_listeners_active")
                for session in sessions { session.close() }
                try chain.stop()
            }
        }

        @Test func backlogAndSocketOptionsOfTheNewConfigurationActOnInheritedSockets() throws {
            try scenario("socket options", seconds: 40) { s in
                let (chain, echo) = try s.echoChain(["--concurrency", "2"])
                let admin = chain.admin.endpoint
                guard case .v4(let port) = echo else { return }
                func config(backlog: Int, buffer: Int, extra: String = "") -> ConfigText {
                    // SOL_SOCKET is 1, SO_RCVBUF is 8.
                    let options = "socket_options: [{ level: 1, name: 8, int_value: \(buffer), state: STATE_PREBIND }\(extra)]"
                    return ConfigText(
                        admin: admin, listeners: [.init("echo", [echo], extra: "tcp_backlog_size: \(backlog)\n    \(options)")])
                }
                // The kernel doubles the size of a buffer (socket(7)).
                let first = ListenSocket(backlog: 50, receiveBuffer: 40_000)
                let second = ListenSocket(backlog: 70, receiveBuffer: 60_000)
                try chain.reconfigure(config(backlog: 50, buffer: 20_000))
                try chain.start()
                s.checkEqual(try ListenSocket.all(port: port), [first, first], "sockets of the first generation")
                try chain.reconfigure(config(backlog: 70, buffer: 30_000))
                try chain.restart()
                s.checkEqual(try ListenSocket.all(port: port), [second, second], "sockets after the restart")
                // A restart that fails while it opens its sockets leaves them alone.
                let taken = try TestListener(.v4(try s.port()))
                var bad = config(backlog: 90, buffer: 50_000)
                bad.listeners.append(.init("taken", [taken.endpoint], reusePort: false))
                let failed = try chain.restartInVain(config: try s.write(bad.yaml, to: "bad.yaml"))
                s.checkEqual(failed.status, .exited(1), "a restart whose address is taken")
                s.checkEqual(try ListenSocket.all(port: port), [second, second], "sockets after the failed restart")
                try TestSocket(echo).echo()
                try chain.stop()
            }
        }
    }
}
