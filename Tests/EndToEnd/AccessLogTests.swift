import Foundation
import Harness
import Testing

extension EndToEnd {
    /// One whole line for each connection, whichever generation writes it.
    @Suite struct AccessLog {
        /// Envoy's default format for a connection of TCP.
        private static func line(upstream: Endpoint) throws -> Regex<Substring> {
            let time = #"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]"#
            let host = upstream.description.replacing(".", with: "\\.")
            return try Regex(time + #" "- - -" 0 - 64 64 \d+ - "-" "-" "-" "-" ""# + host + "\"", as: Substring.self)
        }

        private func chain(_ s: Scenario, _ path: String) throws -> (ProxyChain, Endpoint, Endpoint) {
            let listener = Endpoint.v4(try s.port())
            let upstream = Endpoint.v4(try s.port())
            try LoadClient(s, .server, upstream).waitUntilEstablished()
            let config = ConfigText(
                admin: .v4(try s.port()), listeners: [.init("relay", [listener], .relay(cluster: "up"), accessLog: path)],
                clusters: [("up", upstream)])
            return (try ProxyChain(s, config, options: ["--file-flush-interval-msec", "50", "--concurrency", "2"]), listener, upstream)
        }

        private func lines(_ path: String) throws -> [Substring] {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            return text.isEmpty ? [] : text.dropLast(text.hasSuffix("\n") ? 1 : 0).split(separator: "\n", omittingEmptySubsequences: false)
        }

        @Test func linesAreWholeAndAsManyAsConnectionsAcrossGenerations() throws {
            try scenario("access log", seconds: 60) { s in
                let path = "\(s.directory)/access.log"
                let (chain, listener, upstream) = try chain(s, path)
                let pattern = try Self.line(upstream: upstream)
                try chain.start()
                let stream = try LoadClient(s, .connect, listener, ["-r", "500", "--sources", "16", "--half-close"])
                for _ in 1...8 {
                    try chain.restart()
                    pause(0.15)
                }
                let report = try stream.stop()
                s.checkClean(report, "new connections")
                try eventually("\(report.tried) lines") { try lines(path).count >= report.tried }
                try chain.stop(within: 20)
                let found = try lines(path)
                s.checkEqual(found.count, report.tried, "lines of the access log")
                let torn = try found.filter { try pattern.wholeMatch(in: $0) == nil }
                s.check(torn.isEmpty, "\(torn.count) lines are not Envoy's default: \(torn.first ?? "")")
                print("  \(found.count) lines of nine generations")
            }
        }

        @Test func linesAreSplitBetweenTheOldFileAndTheNewOneAtEveryRotation() throws {
            try scenario("rotation of the access log", seconds: 60) { s in
                let path = "\(s.directory)/access.log"
                let log = "\(s.directory)/proxy.log"
                let (chain, listener, _) = try chain(s, path)
                chain.options += ["--log-path", log]
                try chain.start()
                let stream = try LoadClient(s, .connect, listener, ["-r", "300", "--sources", "16", "--half-close"])
                var files = [path, log]
                for round in 1...4 {
                    try eventually("lines in the new access log") { try !lines(path).isEmpty }
                    for file in [path, log] {
                        rename(file, "\(file).\(round)")
                        files.append("\(file).\(round)")
                    }
                    if round % 2 == 0 {
                        s.checkEqual(try chain.admin.post("/reopen_logs").status, 200, "POST /reopen_logs")
                    } else {
                        chain.serving.signal(SIGUSR1)
                    }
                    try eventually("the new access log") { FileManager.default.fileExists(atPath: path) }
                    try eventually("the new log of the server") { FileManager.default.fileExists(atPath: log) }
                    try chain.restart()
                }
                let report = try stream.stop()
                s.checkClean(report, "new connections")
                try chain.stop(within: 20)
                let counts = try files.filter { $0.hasPrefix(path) }.map { try lines($0).count }
                s.checkEqual(counts.reduce(0, +), report.tried, "lines of \(counts.count) files: \(counts)")
                s.check(counts.allSatisfy { $0 > 0 }, "every file has lines: \(counts)")
            }
        }

        private func isOpen(_ path: String, in pid: Int32) -> Bool {
            let folder = "/proc/\(pid)/fd"
            let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            return descriptors.contains { (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")) == path }
        }

        /// A draining generation has no admin server; the serving one passes the word on.
        @Test func reopeningReachesGenerationsThatDrain() throws {
            try scenario("reopening while generations drain", seconds: 60) { s in
                let path = "\(s.directory)/access.log"
                let (chain, listener, _) = try chain(s, path)
                try chain.start()
                var held: [TestSocket] = []
                for _ in 1...3 {
                    held.append(try TestSocket(listener))
                    try held.last?.echo()
                    try chain.restart()
                }
                rename(path, "\(path).1")
                s.checkEqual(try chain.admin.post("/reopen_logs").status, 200, "POST /reopen_logs")
                for generation in chain.generations.dropLast() {
                    try generation.waitForLog("asked by the serving generation, reopening log files")
                }
                for generation in chain.generations {
                    try eventually("\(generation.name) to let go of the old file") { !isOpen("\(path).1", in: generation.pid) }
                }
                for socket in held { socket.close() }
                try eventually("3 lines in the new file") { (try? lines(path).count) == 3 }
                s.checkEqual(try lines("\(path).1").count, 0, "lines in the old file")
                try chain.stop()
            }
        }

        @Test func whatWentWrongIsInTheLine() throws {
            try scenario("flags of the access log", seconds: 30) { s in
                let path = "\(s.directory)/access.log"
                let listener = Endpoint.v4(try s.port())
                let dead = Endpoint.v4(try s.port())
                let config = ConfigText(
                    admin: .v4(try s.port()), listeners: [.init("relay", [listener], .relay(cluster: "up"), accessLog: path)],
                    clusters: [("up", dead)])
                let chain = try ProxyChain(s, config, options: ["--file-flush-interval-msec", "50"])
                try chain.start()
                s.checkEqual(try TestSocket(listener).receiveAll(), [], "what the client gets")
                try eventually("a line") { try !lines(path).isEmpty }
                s.checkContains(String(try lines(path)[0]), "\"- - -\" 0 UF,URX 0 0 ", "the line of a refused connection")
                try chain.stop()
            }
        }
    }
}
