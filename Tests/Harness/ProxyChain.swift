import Foundation

/// The generations of one proxy, started by hand one after the other as a person at a terminal would.
public final class ProxyChain {
    public let scenario: Scenario
    /// Where the newest generation's admin server is.
    public var admin: AdminClient
    public var configPath: String
    /// Given to every generation.
    public var options: [String]
    /// What every generation runs.
    public var program = Programs.proxy
    /// What runs the program, with its words: `prlimit --nofile=400 --`.
    public var launcher: [String] = []
    public private(set) var generations: [ChildProcess] = []
    public private(set) var epoch: UInt64 = 0

    public init(_ scenario: Scenario, _ config: ConfigText, options: [String] = []) throws {
        guard let endpoint = config.admin else { throw HarnessError("a chain is watched through its admin server") }
        self.scenario = scenario
        admin = AdminClient(endpoint)
        self.options = options
        configPath = try scenario.write(config.yaml, to: "proxy.yaml")
    }

    /// The newest generation.
    public var serving: ChildProcess { generations[generations.count - 1] }

    public func reconfigure(_ config: ConfigText) throws { configPath = try scenario.write(config.yaml, to: "proxy.yaml") }

    public var identity: [String] { ["--base-id", "\(scenario.baseID)", "--socket-path", scenario.socketPath] }

    /// Start a process and leave it alone.
    public func launch(
        _ extra: [String] = [], config: String? = nil, program: String? = nil, before: [String] = [],
        environment: [String: String] = [:]
    ) throws -> ChildProcess {
        let words = launcher + [program ?? self.program] + before + identity + ["-c", config ?? configPath] + options + extra
        return try scenario.start(words[0], Array(words.dropFirst()), name: "proxy", environment: environment)
    }

    /// Start the first generation and wait until it serves.
    @discardableResult
    public func start(_ extra: [String] = [], environment: [String: String] = [:]) throws -> ChildProcess {
        try adopt(try launch(extra, environment: environment), epoch: 0, within: 15)
    }

    /// Start the next generation and wait until it serves.
    @discardableResult
    public func restart(_ extra: [String] = [], within seconds: Double = 15, environment: [String: String] = [:]) throws -> ChildProcess {
        try adopt(try launch(["--restart-epoch"] + extra, environment: environment), epoch: epoch + 1, within: seconds)
    }

    /// Start a next generation that is expected to fail; returns how it ended. The serving one stays what it was.
    public func restartInVain(
        _ extra: [String] = [], config: String? = nil, within seconds: Double = 20, environment: [String: String] = [:]
    ) throws -> (status: ExitStatus, log: String) {
        let process = try launch(["--restart-epoch"] + extra, config: config, environment: environment)
        let status = try process.waitForExit(within: seconds)
        return (status, process.log)
    }

    /// From now on `process` counts as the newest generation, once it serves.
    @discardableResult
    public func adopt(_ process: ChildProcess, epoch: UInt64, within seconds: Double) throws -> ChildProcess {
        do {
            try eventually("epoch \(epoch) to serve", within: seconds) {
                if let status = process.exitStatus() { throw HarnessError("epoch \(epoch) ended instead of serving: \(status)") }
                return admin.servingEpoch() == epoch
            }
        } catch {
            throw HarnessError("\(error)\n\(process.tail())" + (generations.last.map { "\n" + $0.tail() } ?? ""))
        }
        // It serves a moment before the one before it knows that; until then its own end would be that of an attempt.
        try? eventually("the generation before to drain", within: 3) { admin.servingPids().filter(isAlive) == [process.pid] }
        generations.append(process)
        self.epoch = epoch
        return process
    }

    /// The newest generation died or was ended: the one before it serves.
    public func dropNewest() {
        generations.removeLast()
        epoch -= 1
    }

    /// Stop the serving generation on purpose and wait until all have ended.
    public func stop(within seconds: Double = 15) throws {
        serving.signal(SIGTERM)
        for generation in generations { try generation.waitForExit(within: seconds) }
    }
}
