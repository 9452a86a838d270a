import Foundation

/// What one test owns: a directory, ports, a base id, and every process started in it. Nothing of it outlives the test: processes carry a mark
/// in their environment, which their descendants inherit, so that even a generation that a generation started is found.
public final class Scenario {
    public let directory: String
    public let baseID: UInt32
    public let name: String
    /// Control-socket name of this scenario; abstract unless a test wants a path.
    public var socketPath: String
    public private(set) var processes: [ChildProcess] = []
    /// A check has failed: the files are kept and the last words of all processes shown.
    public var hasFailed = false
    private let mark: String
    private let watchdog: Watchdog
    private static let markName = "PROXY_TEST_RUN"
    nonisolated(unsafe) private static var count: UInt32 = 0

    /// After `seconds` every process of the scenario is killed, which ends whatever the test was waiting for.
    public init(_ name: String, seconds: Double) throws {
        if Self.count == 0 {
            Self.killMarked { mark in mark.split(separator: "-").first.flatMap { pid_t($0) }.map { !isAlive($0) } ?? false }
        }
        Self.count += 1
        self.name = name
        mark = "\(getpid())-\(Self.count)"
        baseID = UInt32(getpid()) % 100_000 * 100 + Self.count % 100
        socketPath = "@proxy-test-\(mark)"
        directory = "/tmp/proxy-test-\(mark)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        watchdog = Watchdog(seconds: seconds) { [mark] in Self.killMarked { $0 == mark } }
    }

    /// Whether the watchdog had to end it.
    public var isOverdue: Bool { watchdog.hasFired }

    public func start(
        _ path: String, _ arguments: [String], name: String, environment: [String: String] = [:]
    ) throws -> ChildProcess {
        let variables = environment.merging([Self.markName: mark]) { $1 }
        let process = try ChildProcess(path, arguments, name: "\(processes.count)-\(name)", directory: directory, environment: variables)
        processes.append(process)
        return process
    }

    /// Run to its end.
    public func run(
        _ path: String, _ arguments: [String], name: String, within seconds: Double = 20, environment: [String: String] = [:]
    ) throws -> (status: ExitStatus, output: String, log: String) {
        let process = try start(path, arguments, name: name, environment: environment)
        let status = try process.waitForExit(within: seconds)
        return (status, process.output, process.log)
    }

    public func write(_ text: String, to file: String) throws -> String {
        let path = "\(directory)/\(file)"
        // By rename, as careful editors do: a reader sees the old text or the new.
        try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        return path
    }

    /// Kill and reap everything. `keep`: leave the directory for whoever looks into a failure.
    public func close(keep: Bool) {
        watchdog.cancel()
        Self.killMarked { $0 == mark }
        for process in processes { process.destroy() }
        if keep || ProcessInfo.processInfo.environment["KEEP_TEST_FILES"] != nil {
            print("files of '\(name)' are kept in \(directory)")
        } else {
            try? FileManager.default.removeItem(atPath: directory)
        }
    }

    /// The last words of every process, for the report of a failure.
    public func lastWords(_ lines: Int = 8) -> String { processes.suffix(12).map { $0.tail(lines) }.joined(separator: "\n") }

    private static func killMarked(_ isWanted: (String) -> Bool) {
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = pid_t(entry), pid != getpid(), let mark = Self.mark(of: pid), isWanted(mark) else { continue }
            kill(pid, SIGKILL)
            kill(pid, SIGCONT)
        }
    }

    private static func mark(of pid: pid_t) -> String? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/environ") else { return nil }
        let prefix = "\(markName)="
        return data.split(separator: 0).lazy.map { String(decoding: $0, as: UTF8.self) }.first { $0.hasPrefix(prefix) }.map {
            String($0.dropFirst(prefix.count))
        }
    }

    // MARK: - Ports

    nonisolated(unsafe) private static var nextPort = 23000 + Int(getpid()) % 29 * 100
    private static let portRange = 23000..<26000

    /// A port nobody listens on, below the range that the kernel gives to clients.
    public func port() throws -> Int {
        for _ in Self.portRange {
            let port = Self.nextPort
            Self.nextPort = port + 1 < Self.portRange.upperBound ? port + 1 : Self.portRange.lowerBound
            if TestSocket.isFree(port: port) { return port }
        }
        throw HarnessError("no free port in \(Self.portRange)")
    }
}

/// Runs something once, late, unless cancelled.
final class Watchdog: @unchecked Sendable {
    private let timer: any DispatchSourceTimer
    private let lock = NSLock()
    private var fired = false

    init(seconds: Double, _ action: @escaping @Sendable () -> Void) {
        timer = DispatchSource.makeTimerSource(queue: .global())
        timer.schedule(deadline: .now() + seconds)
        timer.setEventHandler { [weak self] in
            self?.lock.withLock { self?.fired = true }
            action()
        }
        timer.resume()
    }

    var hasFired: Bool { lock.withLock { fired } }
    func cancel() { timer.cancel() }
}
