import Foundation
import Harness
import Testing

/// Who of two generations dies.
enum Victim: CaseIterable { case older, younger }

extension EndToEnd {
    /// Two generations write one access log, each as many lines as PROXY_TEST_LOG_LINES says, and one is killed, or stopped for good, in the
    /// middle. The other's lines are all there and whole.
    @Suite struct SharedLog {
        /// Lines of a connection: so many access logs, all of one file, because a generation that drains has only the connections it had,
        /// and a cluster takes 1024.
        private static let logs = 100
        private static let lines = ProcessInfo.processInfo.environment["PROXY_TEST_LOG_LINES"].flatMap { Int($0) } ?? 100_000
        private static let connections = lines / logs
        private static let patience = 20 + Double(lines) / 2000

        /// What a line of each generation's says: the held connections echo 14 bytes, the load client's 64.
        private static func mark(_ victim: Victim) -> String { victim == .older ? " 14 14 " : " 64 64 " }

        private static func logs(_ path: String) -> String {
            let type = "\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
            let entries = (100..<100 + logs).map { number in
                let format = "log\(number) %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %START_TIME% end\\n"
                let text = "log_format: { text_format_source: { inline_string: \"\(format)\" } }"
                return "{ name: file, typed_config: { \(type), path: \"\(path)\", \(text) } }"
            }
            return "access_log: [\(entries.joined(separator: ", "))]"
        }

        private static func chain(_ s: Scenario, _ path: String) throws -> (ProxyChain, Endpoint) {
            let listener = Endpoint.v4(try s.port()), upstream = Endpoint.v4(try s.port())
            try LoadClient(s, .server, upstream).waitUntilEstablished()
            let config = ConfigText(
                admin: .v4(try s.port()), listeners: [.init("relay", [listener], .relayWith("cluster: up, \(logs(path))"))],
                clusters: [("up", upstream)])
            let options = ["--file-flush-interval-msec", "50", "--file-flush-min-size-kb", "1", "--concurrency", "2"]
            return (try ProxyChain(s, config, options: options), listener)
        }

        private static func count(_ text: String, in path: String, _ s: Scenario) throws -> Int {
            let output = try s.run("/bin/grep", ["-cF", text, path], name: "grep").output
            return Int(output.dropLast()) ?? 0
        }

        private static func size(_ path: String) -> Int {
            let facts = try? FileManager.default.attributesOfItem(atPath: path)
            return (facts?[.size] as? NSNumber)?.intValue ?? 0
        }

        /// The held connections end, half of them after the signal, which comes once a quarter of all lines are there.
        private static func close(_ held: [TestSocket], interrupting victim: ChildProcess, _ signal: Int32, _ path: String) throws {
            let line = "log100 64 64 127.0.0.1:10000 2000-01-01T00:00:00.000Z end\n".utf8.count
            for socket in held[..<(held.count / 2)] { socket.close() }
            try eventually("the lines before signal \(signal)", within: patience, every: 0.0002) { size(path) >= lines / 2 * line }
            if signal == SIGSTOP { try victim.stopAllThreads() } else { victim.signal(signal) }
            for socket in held[(held.count / 2)...] { socket.close() }
        }

        private static func checkWhole(_ s: Scenario, _ path: String, upTo torn: Int) throws {
            let whole = #"^log1[0-9]{2} (14 14|64 64) [0-9.:]+ [0-9T.:-]+Z end$"#
            let other = try s.run("/bin/grep", ["-vE", whole, path], name: "grep").output.split(separator: "\n")
            s.check(other.count <= torn, "\(other.count) lines are torn: \(other.first ?? "")")
        }

        @Test(arguments: Victim.allCases, [SIGKILL, SIGSTOP]) func noLineOfASurvivorIsTorn(_ victim: Victim, _ signal: Int32) throws {
            try scenario("access log, signal \(signal) to the \(victim)", seconds: 3 * Self.patience) { s in
                let path = "\(s.directory)/access.log"
                let (chain, listener) = try Self.chain(s, path)
                let older = try chain.start()
                let held = try (0..<Self.connections).map { _ in try TestSocket(listener) }
                for socket in held { try socket.echo() }
                let younger = try chain.restart()
                let load = try LoadClient(
                    s, .connect, listener, ["-r", "0", "-c", "8", "-n", "\(2 * Self.connections)", "--sources", "16", "--half-close"])
                try eventually("the younger one's first line", within: Self.patience) { Self.size(path) > 0 }
                try Self.close(held, interrupting: victim == .older ? older : younger, signal, path)
                if victim == .older { s.checkClean(try load.report(within: Self.patience), "new connections") }
                let survivor = victim == .older ? Victim.younger : .older
                let expected = victim == .older ? 2 * Self.lines : Self.lines
                try eventually("\(expected) lines of the survivor", within: Self.patience, every: 0.05) {
                    try Self.count(Self.mark(survivor), in: path, s) >= expected
                }
                s.checkEqual(try Self.count(Self.mark(survivor), in: path, s), expected, "lines of the survivor")
                let others = try Self.count(Self.mark(victim), in: path, s)
                s.check(others > 0 && others < 2 * Self.lines, "the other was writing: \(others) lines")
                try Self.checkWhole(s, path, upTo: signal == SIGKILL ? 1 : 0)
                print("  \(expected) lines of the survivor, \(others) of the other")
            }
        }
    }
}
