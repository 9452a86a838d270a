import Foundation

/// What a load client counted; the names are those of its JSON.
public struct LoadReport: Decodable, Sendable {
    public struct Latency: Decodable, Sendable { public let count, p50, p99, p999, max: Int }
    public let mode: String
    public let seconds: Double
    public let tried, ok, refused, reset, eofBeforeReply, shortReply, wrongBytes: Int
    public let connectTimeout, replyTimeout, closeTimeout, local, other, failed, open: Int
    public let exchanges, bytesSent, bytesReceived, retries: Int
    public let latencyUs, markedUs: Latency

    private enum CodingKeys: String, CodingKey {
        case mode, seconds, tried, ok, refused, reset, local, other, failed, open, exchanges, retries
        case eofBeforeReply = "eof_before_reply"
        case shortReply = "short_reply"
        case wrongBytes = "wrong_bytes"
        case connectTimeout = "connect_timeout"
        case replyTimeout = "reply_timeout"
        case closeTimeout = "close_timeout"
        case bytesSent = "bytes_sent"
        case bytesReceived = "bytes_received"
        case latencyUs = "latency_us"
        case markedUs = "marked_us"
    }

    /// Every outcome but ok, in words; empty when there was none.
    public var failures: String {
        let counts = [
            ("refused", refused), ("reset", reset), ("eof before reply", eofBeforeReply), ("short reply", shortReply),
            ("wrong bytes", wrongBytes), ("connect timeout", connectTimeout), ("reply timeout", replyTimeout),
            ("close timeout", closeTimeout), ("local", local), ("other", other),
        ]
        return counts.filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }.joined(separator: ", ")
    }
}

/// The load client, in a process of its own.
public final class LoadClient {
    public enum Mode: String {
        case connect, hold, bulk
        case server = "echo-server"
    }

    public let process: ChildProcess
    private let mode: Mode
    private let outcomesPath: String?

    /// `recorded`: every connection's outcome is to be had in the end (connect).
    public init(
        _ scenario: Scenario, _ mode: Mode, _ endpoint: Endpoint, _ options: [String] = [], recorded: Bool = false
    ) throws {
        self.mode = mode
        outcomesPath = recorded ? "\(scenario.directory)/\(scenario.processes.count).outcomes" : nil
        let options = options + (outcomesPath.map { ["--outcomes", $0] } ?? [])
        process = try scenario.start(
            Programs.loadClient, [mode.rawValue, endpoint.description, "--events"] + options, name: "load-\(mode.rawValue)")
        // Told to stop before it listens to that, it would end without a report.
        try eventually("the load client to listen to signals", within: 20) { blocksSIGTERM || !process.isRunning }
    }

    private var blocksSIGTERM: Bool {
        let status = (try? String(contentsOfFile: "/proc/\(process.pid)/status", encoding: .utf8)) ?? ""
        guard let mask = status.firstMatch(of: /SigBlk:\s+([0-9a-f]+)/).flatMap({ UInt64($0.output.1, radix: 16) }) else { return false }
        return mask & (1 << UInt64(SIGTERM - 1)) != 0
    }

    /// hold: until every session has had its first verified exchange. server: until it listens.
    public func waitUntilEstablished(within seconds: Double = 20) throws {
        let event = mode == .server ? "\"event\":\"listening\"" : "\"event\":\"established\""
        do {
            try eventually(event, within: seconds) { process.output.contains(event) }
        } catch {
            throw HarnessError("\(error)\n\(process.tail())")
        }
    }

    /// Latencies from here on are counted apart, until `endMark()`.
    public func beginMark() { process.signal(SIGUSR1) }
    public func endMark() { process.signal(SIGUSR2) }

    /// Connections it has seen fail so far.
    public var failuresSoFar: Int { process.output.split(separator: "\n").filter { $0.contains("\"event\":\"failure\"") }.count }

    /// Tell it to finish what it has begun, and read what it counted.
    public func stop(within seconds: Double = 30) throws -> LoadReport {
        process.signal(SIGTERM)
        return try report(within: seconds)
    }

    /// Those that have ended so far.
    public func connections() throws -> [ConnectionRecord] {
        guard let outcomesPath else { throw HarnessError("this load client records no outcomes") }
        return try ConnectionRecord.read(outcomesPath)
    }

    /// Wait for its own end (a count or a duration was given).
    public func report(within seconds: Double = 60) throws -> LoadReport {
        try process.waitForExit(within: seconds)
        guard let line = process.output.split(separator: "\n").last(where: { $0.hasPrefix("{\"mode\"") }) else {
            throw HarnessError("no report\n\(process.tail())")
        }
        return try JSONDecoder().decode(LoadReport.self, from: Data(line.utf8))
    }
}

/// The programs under test and those that help.
public enum Programs {
    /// The package's root.
    public static let root = String(#filePath.components(separatedBy: "/Tests/Harness/")[0])
    public static let proxy = path("PROXY_BINARY", "\(root)/proxy")
    /// Built with the trait FaultPoints: its steps can be killed, stopped, delayed and failed by name.
    public static let proxyWithFaults = path("PROXY_WITH_FAULTS", "\(root)/.build-faults/debug/proxy")
    public static let restarter = path("RESTARTER_BINARY", "\(root)/restarter")
    /// Built beside whatever program this is linked into.
    public static let loadClient = path("LOAD_CLIENT", "\(directoryOfThisProgram)/load-client")

    private static var directoryOfThisProgram: String {
        let exe = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return String(exe[..<(exe.lastIndex(of: "/") ?? exe.startIndex)])
    }

    private static func path(_ variable: String, _ standard: String) -> String {
        guard let value = ProcessInfo.processInfo.environment[variable], !value.isEmpty else { return standard }
        return value.hasPrefix("/") ? value : "\(root)/\(value)"
    }
}
