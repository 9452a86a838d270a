import Foundation
import Harness
import Testing

extension EndToEnd {
    /// What the system allows is used up: it is said, counted, and everything else goes on.
    @Suite struct Limits {
        private static func prlimit(_ s: Scenario, _ pid: Int32, _ limits: [String]) throws {
            let changed = try s.run("/usr/bin/prlimit", ["--pid", "\(pid)"] + limits, name: "prlimit")
            s.checkEqual(changed.status, .exited(0), "prlimit \(limits): \(changed.log)")
        }

        // MARK: - Descriptors

        /// Clients take all descriptors but the reserve; with that the admin server, the restarter and a restart go on.
        @Test func clientsThatTakeAllDescriptorsLeaveEnoughForARestart() throws {
            try scenario("descriptor limit", seconds: 90) { s in
                let (chain, echo) = try s.echoChain(["--concurrency", "2"])
                guard case .v4(let port) = echo else { return }
                chain.launcher = ["/usr/bin/prlimit", "--nofile=512:512", "--"]
                let first = try chain.start()
                let served = try (0..<400).map { _ in try TestSocket(echo) }
                for socket in served { try socket.echo() }
                // These wait in the accept queue, some of them.
                let waiting = try (0..<100).map { _ in try TestSocket(echo, within: 20) }
                try first.waitForLog("cannot accept on listener echo: Too many open files")
                s.checkContains(first.log, "raise the descriptor limit or lower the connection limits", "the advice")
                let paused = "listener.127.0.0.1_\(port).downstream_accept_paused"
                try eventually("\(paused) to count") { (try chain.admin.stats()[paused] ?? 0) > 0 }
                // Long enough for resumed listeners to nibble at the reserve, did they do so.
                for _ in 0..<10 {
                    pause(0.2)
                    s.check(chain.admin.isReady(), "the admin server at the descriptor limit")
                }
                let status = try s.run(Programs.restarter, ["status"] + chain.identity, name: "status")
                s.checkEqual(status.status, .exited(0), "status at the descriptor limit: \(status.log)")
                for socket in served { try socket.echo("served on") }
                s.check(Holdings(first.pid).descriptors < 512 - 40, "the reserve is left: \(Holdings(first.pid))")
                // The way out: a generation with a higher limit takes those who wait.
                chain.launcher = []
                try chain.restart()
                for socket in waiting { try socket.echo("late, but served") }
                for socket in served { try socket.echo("and nobody was cut") }
                for socket in served + waiting { socket.close() }
                try chain.stop()
            }
        }

        /// A child that may not hold what it is to receive fails early, with the numbers; the parent serves on.
        @Test func aChildWithTooSmallALimitIsToldSo() throws {
            try scenario("a child with too few descriptors", seconds: 60) { s in
                let (chain, _) = try s.echoChain(["--concurrency", "2"])
                let listeners = try (0..<60).map { ConfigText.Listener("l\($0)", [.v4(try s.port())]) }
                try chain.reconfigure(ConfigText(admin: chain.admin.endpoint, listeners: listeners))
                let parent = try chain.start()
                let before = Holdings(parent.pid).descriptors
                chain.launcher = ["/usr/bin/prlimit", "--nofile=64:64", "--"]
                let child = try chain.restartInVain()
                s.checkEqual(child.status, .exited(1), "the child")
                s.checkContains(child.log, "descriptor limit 64", "the limit")
                s.checkContains(child.log, "ulimit -n", "the remedy")
                chain.launcher = []
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
                for listener in listeners { try TestSocket(listener.endpoints[0]).echo() }
                try eventually("as many descriptors as before") { Holdings(parent.pid).descriptors <= before }
                try chain.restart()
                try chain.stop()
            }
        }

        // MARK: - Memory

        /// Connections for which there is no memory are closed and counted; the others, and the proxy, live on.
        @Test func connectionsForWhichThereIsNoMemoryAreClosedAndCounted() throws {
            try scenario("memory limit", seconds: 90) { s in
                let (chain, echo) = try s.echoChain(["--concurrency", "2"])
                guard case .v4(let port) = echo else { return }
                // Too small for splice(), whose bytes wait in the kernel.
                let small = ConfigText.Listener("echo", [echo], extra: "per_connection_buffer_limit_bytes: 32768")
                try chain.reconfigure(ConfigText(admin: chain.admin.endpoint, listeners: [small]))
                let proxy = try chain.start()
                let held = try (0..<10).map { _ in try TestSocket(echo) }
                for socket in held { try socket.echo() }
                // Private memory that can be written, as much as there is now (setrlimit(2), since Linux 4.7).
                let status = try String(contentsOfFile: "/proc/\(proxy.pid)/status", encoding: .utf8)
                let data = status.firstMatch(of: /VmData:\s+(\d+)/).flatMap { Int($0.output.1) } ?? 0
                s.check(data > 0, "VmData of the proxy")
                try Self.prlimit(s, proxy.pid, ["--data=\(data * 1024):unlimited"])
                // Each of these leaves bytes that its echo cannot get rid of, so that each holds a buffer.
                // More than the socket buffers of both sides take (tcp_rmem and tcp_wmem: 6 and 4 MiB at most).
                let block = [UInt8](repeating: 7, count: 32 << 20)
                var stuffed: [TestSocket] = []
                for _ in 0..<200 where !proxy.log.contains("no memory for") {
                    guard let socket = try? TestSocket(echo, within: 5, receiveBuffer: 4096) else { break }
                    _ = try? socket.sendUntilBlocked(block, pause: 0.2)
                    stuffed.append(socket)
                }
                try proxy.waitForLog("no memory for")
                s.checkContains(proxy.log, "raise the memory limit", "the advice")
                // For a moment nobody new is let in, so that the driver has what it needs.
                let turnedAway = try (0..<20).map { _ in try TestSocket(echo) }
                s.check(turnedAway.contains { (try? $0.echo()) == nil }, "new clients are served as if there were memory")
                for socket in stuffed { socket.close() }
                try Self.prlimit(s, proxy.pid, ["--data=unlimited:unlimited"])
                try eventually("new clients to be served") { (try? TestSocket(echo).echo()) != nil }
                for socket in held { try socket.echo("silent meanwhile, and open still") }
                let stats = try chain.admin.stats()
                let prefix = "listener.127.0.0.1_\(port)."
                s.check((stats[prefix + "downstream_cx_overload_reject"] ?? 0) > 0, "connections without memory are counted")
                s.check(proxy.isRunning, "the proxy runs")
                try chain.restart()
                for socket in held { try socket.echo("and over a restart") }
                for socket in held { socket.close() }
                try chain.stop()
            }
        }

        @Test func aStartWithoutMemorySaysSo() throws {
            try scenario("a start without memory", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                try chain.start()
                var refused = 0
                // From where nothing starts at all to where everything does; in between the proxy itself has to say what it lacks.
                for mebibytes in [40, 80, 120, 160, 200, 240] {
                    let ended = try s.run(
                        "/usr/bin/prlimit",
                        ["--as=\(mebibytes << 20)", "--", Programs.proxy] + chain.identity
                            + ["-c", chain.configPath, "--restart-epoch", "--concurrency", "512"], name: "child")
                    if ended.status == .exited(1), ended.log.contains("PX-R0") { refused += 1 }
                    s.check(ended.status != .exited(0), "a child with \(mebibytes) MiB")
                    s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
                    try TestSocket(echo).echo("the parent serves on")
                }
                s.check(refused > 0, "nobody said what was missing")
                try chain.stop()
            }
        }

        // MARK: - Full disks

        /// Room for the logs ends and comes again. Lines are dropped and counted meanwhile; afterwards that is told, and no line is torn.
        @Test func logsGoOnOnceThereIsRoomAgain() throws {
            try scenario("full disk", seconds: 60) { s in
                try fillAndFree(s, directory: s.directory) { pid, isFull in
                    let size = (try? FileManager.default.attributesOfItem(atPath: "\(s.directory)/proxy.log")[.size] as? Int) ?? 0
                    try Self.prlimit(s, pid, ["--fsize=\(isFull ? "\(size + 700)" : "unlimited"):unlimited"])
                }
            }
        }

        @Test(.enabled(if: getuid() == 0, "mounting needs root")) func logsGoOnOnceATmpfsHasRoomAgain() throws {
            try scenario("full tmpfs", seconds: 60) { s in
                let directory = "\(s.directory)/small"
                mkdir(directory, 0o755)
                let mounted = try s.run("/usr/bin/mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], name: "mount")
                guard mounted.status == .exited(0) else { return print("  no tmpfs can be mounted here: \(mounted.log)") }
                defer { _ = try? s.run("/usr/bin/umount", ["--lazy", directory], name: "umount") }
                try fillAndFree(s, directory: directory) { _, isFull in
                    let filler = "\(directory)/filler"
                    guard isFull else {
                        unlink(filler)
                        return
                    }
                    let fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
                    let page = [UInt8](repeating: 0, count: 4096)
                    while write(fd, page, page.count) > 0 {}
                    close(fd)
                }
            }
        }

        private func fillAndFree(_ s: Scenario, directory: String, _ setFull: (Int32, Bool) throws -> Void) throws {
            let log = "\(directory)/proxy.log"
            let access = "\(directory)/access.log"
            let listener = Endpoint.v4(try s.port())
            let upstream = Endpoint.v4(try s.port())
            try LoadClient(s, .server, upstream).waitUntilEstablished()
            let config = ConfigText(
                admin: .v4(try s.port()), listeners: [.init("relay", [listener], .relay(cluster: "up"), accessLog: access)],
                clusters: [("up", upstream)])
            let chain = try ProxyChain(s, config, options: ["--log-path", log, "--file-flush-interval-msec", "20", "--concurrency", "1"])
            let proxy = try chain.start()
            try TestSocket(listener).echo()
            try setFull(proxy.pid, true)
            try eventually("lines of both logs to be lost", within: 20) {
                try TestSocket(listener).echo("served all the while")
                _ = try chain.admin.post("/logging?config=debug")
                let stats = try chain.admin.stats()
                return (stats["server.log_records_lost"] ?? 0) > 0 && (stats["filesystem.write_failed"] ?? 0) > 0
            }
            let lost = try chain.admin.stats()["server.log_records_lost"] ?? 0
            try chain.restart()  // neither log keeps anybody from serving
            try TestSocket(listener).echo("by the next generation")
            for generation in chain.generations { try setFull(generation.pid, false) }
            _ = try chain.admin.post("/logging?config=info")
            try eventually("the loss to be told") { try text(log).contains("log lines were lost") }
            let before = try text(access).split(separator: "\n").count
            for _ in 0..<5 { try TestSocket(listener).echo() }
            try eventually("the access log to go on") { try text(access).split(separator: "\n").count >= before + 5 }
            s.check(lost > 0, "lines lost are counted")
            s.check(try chain.admin.stats()["server.log_records_lost"] ?? 0 >= lost, "the count goes on over a restart")
            try chain.stop()
            // A line that found no room half-way is ended there; every line after it begins as lines do.
            let times = try text(log).split(separator: "\n").count { $0.hasPrefix("20") }
            let lines = try text(log).split(separator: "\n").count
            s.check(lines - times <= 2, "\(lines - times) of \(lines) lines do not begin with a time")
        }

        private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

        @Test func aLogThatTakesNothingAtAllHindersNobody() throws {
            try scenario("/dev/full", seconds: 60) { s in
                let listener = Endpoint.v4(try s.port())
                let upstream = Endpoint.v4(try s.port())
                try LoadClient(s, .server, upstream).waitUntilEstablished()
                let config = ConfigText(
                    admin: .v4(try s.port()), listeners: [.init("relay", [listener], .relay(cluster: "up"), accessLog: "/dev/full")],
                    clusters: [("up", upstream)])
                let chain = try ProxyChain(s, config, options: ["--log-path", "/dev/full", "--file-flush-interval-msec", "20"])
                try chain.start()
                let stream = try LoadClient(s, .connect, listener, ["-r", "200", "--sources", "4", "--half-close"])
                for _ in 1...3 { try chain.restart() }
                s.checkClean(try stream.stop(), "new connections")
                let stats = try chain.admin.stats()
                s.check((stats["server.log_records_lost"] ?? 0) > 0, "lost lines are counted")
                s.check((stats["filesystem.write_failed"] ?? 0) > 0, "failed writes of the access log are counted")
                try chain.stop()
            }
        }

        // MARK: - Queues and upstreams

        /// A proxy that stands still accepts nobody: the kernel counts whom it turned away, and the proxy shows it once it runs again.
        @Test func aFullAcceptQueueCanBeSeen() throws {
            try scenario("accept queue", seconds: 60) { s in
                let (chain, echo) = try s.echoChain(["--concurrency", "1"])
                try chain.reconfigure(
                    ConfigText(admin: chain.admin.endpoint, listeners: [.init("echo", [echo], extra: "tcp_backlog_size: 4")]))
                let proxy = try chain.start()
                let before = try Self.listenOverflows()
                try proxy.stopAllThreads()
                var sockets: [TestSocket] = []
                // The queue takes one more than its length; whoever comes then gets no answer.
                for _ in 0..<12 { if let socket = try? TestSocket(echo, within: 0.3) { sockets.append(socket) } }
                try eventually("ListenOverflows to count") { try Self.listenOverflows() > before }
                proxy.signal(SIGCONT)
                for socket in sockets { try socket.echo("in the queue, and served") }
                try TestSocket(echo).echo()
                try chain.stop()
            }
        }

        /// Of this network namespace: SYNs and handshakes that met a full accept queue (`nstat -az TcpExtListenOverflows`).
        private static func listenOverflows() throws -> Int {
            let lines = try String(contentsOfFile: "/proc/net/netstat", encoding: .utf8).split(separator: "\n")
            guard lines.count >= 2, let column = lines[0].split(separator: " ").firstIndex(of: "ListenOverflows") else {
                throw HarnessError("no ListenOverflows in /proc/net/netstat")
            }
            return Int(lines[1].split(separator: " ")[column]) ?? 0
        }

        /// Upstreams that refuse, do not answer and reset: counters, flags in the access log, and few lines in the log.
        @Test func everyKindOfUpstreamFailureIsCountedFlaggedAndLoggedSparingly() throws {
            try scenario("upstream failures", seconds: 90) { s in
                let access = "\(s.directory)/access.log"
                let refusing = Endpoint.v4(try s.port())
                let deaf = try TestListener(.v4(try s.port()), backlog: 0)
                let fill = try TestSocket(deaf.endpoint)
                let resetting = try TestListener(.v4(try s.port()))
                let names = ["refusing", "deaf", "resetting"]
                let places = [refusing, deaf.endpoint, resetting.endpoint]
                var listeners: [ConfigText.Listener] = []
                for name in names { listeners.append(.init(name, [.v4(try s.port())], .relay(cluster: name), accessLog: access)) }
                var config = ConfigText(admin: .v4(try s.port()), listeners: listeners)
                config.otherClusters = zip(names, places).map {
                    "{ name: \($0), type: STATIC, connect_timeout: 0.2s, load_assignment: { cluster_name: \($0), endpoints: "
                        + "[{ lb_endpoints: [{ endpoint: { address: \(ConfigText.address($1)) } }] }] } }"
                }
                let chain = try ProxyChain(s, config, options: ["--file-flush-interval-msec", "20"])
                let proxy = try chain.start()
                for _ in 0..<50 { s.checkEqual(try TestSocket(listeners[0].endpoints[0]).receiveAll(), [], "refused") }
                for _ in 0..<3 { s.checkEqual(try TestSocket(listeners[1].endpoints[0]).receiveAll(), [], "timed out") }
                for _ in 0..<3 {
                    let client = try TestSocket(listeners[2].endpoints[0])
                    try client.send([1])
                    let upstream = try resetting.accept()
                    _ = try upstream.receive()
                    upstream.abort()
                    #expect(throws: (any Error).self, "a reset is passed on") { try client.receiveAll() }
                }
                fill.close()
                let stats = try chain.admin.stats()
                for (name, count) in [
                    ("refusing.upstream_cx_connect_fail", 50), ("refusing.upstream_cx_connect_timeout", 0),
                    ("deaf.upstream_cx_connect_fail", 3), ("deaf.upstream_cx_connect_timeout", 3),
                    ("resetting.upstream_cx_connect_fail", 0), ("resetting.upstream_cx_destroy_remote", 3),
                ] { s.checkEqual(stats["cluster." + name], count, name) }
                try eventually("56 lines of the access log") { try text(access).split(separator: "\n").count >= 56 }
                let lines = try text(access).split(separator: "\n")
                s.checkEqual(lines.count { $0.contains(" UF,URX ") }, 53, "lines with UF,URX")
                s.checkEqual(lines.count { $0.contains(" UC ") }, 3, "lines with UC")
                let said = proxy.log.split(separator: "\n").filter { $0.contains("cannot connect to") }
                s.check((2...8).contains(said.count), "\(said.count) lines about 53 failed connects:\n\(said.joined(separator: "\n"))")
                s.check(said.contains { $0.contains("cluster refusing: cannot connect to \(refusing): Connection refused") }, "refused")
                s.check(said.contains { $0.contains("cluster deaf: cannot connect to \(deaf.endpoint): ") }, "timed out")
                try chain.stop()
            }
        }
    }
}
