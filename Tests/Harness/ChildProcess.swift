import Foundation

/// How a process ended.
public enum ExitStatus: Equatable, CustomStringConvertible {
    case exited(Int32)
    case signaled(Int32)
    public var description: String {
        switch self {
        case .exited(let code): "exit \(code)"
        case .signaled(let signal): "signal \(signal)"
        }
    }
}

/// A process of a test, its output going to files. Killed when its scenario ends.
public final class ChildProcess {
    public let pid: Int32
    public let name: String
    /// Where its standard output and error go.
    public let outputPath: String
    public let errorPath: String
    private var status: ExitStatus?

    /// Variables that say something about the harness's own start, not about what it starts.
    private static let notPassedOn = ["NOTIFY_SOCKET", "RESTART_EPOCH", "LISTEN_FDS", "LISTEN_PID", "PROXY_SUPERVISION_FD"]

    /// `environment` is added to the harness's own.
    public init(
        _ path: String, _ arguments: [String], name: String, directory: String, environment: [String: String] = [:]
    ) throws {
        self.name = name
        outputPath = "\(directory)/\(name).out"
        errorPath = "\(directory)/\(name).err"
        var variables = ProcessInfo.processInfo.environment
        for name in Self.notPassedOn { variables[name] = nil }
        variables.merge(environment) { $1 }
        pid = try Self.spawn(path, arguments, variables.map { "\($0.key)=\($0.value)" }, outputPath, errorPath)
    }

    private static func spawn(
        _ path: String, _ arguments: [String], _ environment: [String], _ output: String, _ error: String
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_addopen(&actions, 2, error, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        // The test runner's signal mask and ignored signals are its own.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var pid: pid_t = 0
        let code = withCStrings([path] + arguments) { argv in
            withCStrings(environment) { envp in posix_spawn(&pid, path, &actions, &attributes, argv, envp) }
        }
        guard code == 0 else { throw HarnessError("cannot start \(path): \(String(cString: strerror(code)))") }
        return pid
    }

    private static func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
        let pointers = strings.map { strdup($0) }
        defer { pointers.forEach { free($0) } }
        return body(pointers + [nil])
    }

    /// nil while it runs.
    public func exitStatus() -> ExitStatus? {
        if status != nil { return status }
        var raw: Int32 = 0
        guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
        status = raw & 0x7f == 0 ? .exited((raw >> 8) & 0xff) : .signaled(raw & 0x7f)
        return status
    }

    public var isRunning: Bool { exitStatus() == nil }

    @discardableResult
    public func waitForExit(within seconds: Double = 10) throws -> ExitStatus {
        do {
            return try eventually("\(name) (pid \(pid)) to end", within: seconds) { exitStatus() }
        } catch {
            throw HarnessError("\(error)\n\(tail())")
        }
    }

    public func signal(_ number: Int32) {
        if isRunning { kill(pid, number) }
    }

    /// SIGSTOP, and wait until every thread has stopped: kill() returns before they have.
    public func stopAllThreads() throws {
        signal(SIGSTOP)
        let tasks = "/proc/\(pid)/task"
        try eventually("\(name) (pid \(pid)) to stop") {
            try FileManager.default.contentsOfDirectory(atPath: tasks).allSatisfy { task in
                let stat = try String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8)
                return stat.split(separator: ")").last?.hasPrefix(" T") == true
            }
        }
    }

    /// End it now and reap it; nothing to do if it has ended.
    public func destroy() {
        guard isRunning else { return }
        kill(pid, SIGKILL)
        kill(pid, SIGCONT)
        _ = try? waitForExit(within: 5)
    }

    public var output: String { (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? "" }
    public var log: String { (try? String(contentsOfFile: errorPath, encoding: .utf8)) ?? "" }

    /// How long its log is by now; what comes after that is `log(from:)`.
    public var logSize: UInt64 {
        let facts = try? FileManager.default.attributesOfItem(atPath: errorPath)
        return (facts?[.size] as? NSNumber)?.uint64Value ?? 0
    }

    public func log(from offset: UInt64) -> String {
        guard let file = FileHandle(forReadingAtPath: errorPath) else { return "" }
        defer { try? file.close() }
        guard (try? file.seek(toOffset: offset)) != nil, let bytes = try? file.readToEnd() else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The last lines of its log, for a failure's text.
    public func tail(_ lines: Int = 15) -> String {
        let text = (log + output).split(separator: "\n").suffix(lines).joined(separator: "\n    ")
        return "  \(name) (pid \(pid), \(exitStatus().map(\.description) ?? "running")) said last:\n    \(text)"
    }

    public func waitForLog(_ text: String, within seconds: Double = 10) throws {
        do {
            try eventually("'\(text)' in the log of \(name)", within: seconds) { log.contains(text) }
        } catch {
            throw HarnessError("\(error)\n\(tail())")
        }
    }
}

/// Whether a process that need not be our child lives (a zombie does not).
public func isAlive(_ pid: Int32) -> Bool {
    guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8), let end = stat.lastIndex(of: ")") else {
        return false
    }
    return !stat[end...].hasPrefix(") Z")
}
