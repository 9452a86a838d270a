import ArgumentParser
import ProxyCore
import ProxyModel

struct RestartCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "restart", abstract: "Start the next generation and show how it takes over.",
        discussion: """
            The program on disk checks the configuration first: a bad file touches nothing. Exits with 0 when the new generation serves; \
            otherwise the old one serves on and the failed step is named (1), or another restart is in progress (75). With a supervisor \
            (`restarter start`) it is asked; without one the new generation is started with the command line of the serving one, detached.
            """)

    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("Another configuration file from now on.", valueName: "file"))
    var configPath: String?
    @Flag(help: "Wait for the old generation's drain to end, and show it.") var wait = false
    @Option(
        help: ArgumentHelp("The proxy's program. (default: the serving one's path on disk; a supervisor keeps its own)", valueName: "path"))
    var proxy: String?
    @Option(help: ArgumentHelp("How long the new generation may take to serve.", valueName: "s"))
    var initTimeoutS: UInt32 = 60
    @OptionGroup var instance: InstanceOptions

    func execute() throws -> ExitStatus {
        let session = try Session()
        let output = instance.output
        let follower = RestartFollower(console: output.console, json: output.json, waits: wait)
        // Both hold what they do until the session ends.
        var supervised: SupervisedRestart?
        var direct: DirectRestart?
        var failure: Failure?
        let status = try session.run { session in
            follower.onResult = session.finish
            Instance.ask(instance.names, loop: session.loop) { found in
                do throws(Failure) {
                    if let serving = try begin(found, follower) {
                        direct = DirectRestart(try request(serving), session: session, follower: follower, environment: .current)
                        direct?.start()
                    } else {
                        supervised = SupervisedRestart(session: session, follower: follower)
                        supervised?.start(instance.names, configPath: configPath)
                    }
                } catch {
                    failure = error
                    session.finish(error.status)
                }
            }
        }
        if let failure { throw failure }
        if status != .done, !output.json { try sayWhoServes(output.console) }
        return status
    }

    /// The serving generation, where there is no supervisor to ask.
    private func begin(_ found: Instance, _ follower: RestartFollower) throws(Failure) -> (ProxyStatus, Link.Peer)? {
        var serving: (ProxyStatus, Link.Peer)?
        if case .running(let status, let peer) = found.proxy { serving = (status, peer) }
        switch found.supervisor {
        case .running:
            follower.open(serving?.0)
            return nil
        case .unusable(let text):
            throw Failure(text, remedy: "A supervisor that hangs has to be ended first: `restarter start` then takes over what it left.")
        case .nobody: break
        }
        if case .unusable(let text) = found.proxy { throw Failure(text, remedy: "End that process, or give --base-id and --socket-path.") }
        guard let serving else { throw instance.nobodyRuns }
        follower.open(serving.0)
        return serving
    }

    private func request(_ serving: (ProxyStatus, Link.Peer)) throws(Failure) -> DirectRestart.Request {
        guard serving.1.isPermitted else {
            throw Failure(
                "the proxy, pid \(serving.1.pid), runs as user \(serving.1.uid): its next generation has to as well",
                remedy: "Run this as that user, for example with `setpriv --reuid=\(serving.1.uid)`.")
        }
        var arguments = ProxyArguments(serving.0.arguments)
        if arguments.wantsDynamicBaseID { arguments.fixBaseID(instance.baseID) }
        if let configPath { arguments.setConfigPath(Programs.absolute(configPath)) }
        let program = if let proxy { Programs.absolute(try Programs.proxy(named: proxy)) } else { try running(serving.0) }
        return .init(
            program: program, arguments: arguments, serving: serving.0, peer: serving.1, initTimeoutMs: UInt64(initTimeoutS) * 1000)
    }

    /// The kernel marks the path of a program that was replaced on disk while it runs.
    private func running(_ serving: ProxyStatus) throws(Failure) -> String {
        guard var path = serving.executable else { return try Programs.proxy(named: nil) }
        let mark = " (deleted)"
        if path.hasSuffix(mark) { path.removeLast(mark.count) }
        return try Programs.proxy(named: path)
    }

    /// Whether the old generation serves on is asked, not assumed.
    private func sayWhoServes(_ console: Console) throws {
        let session = try Session()
        _ = try session.run { session in
            Instance.query(instance.names.proxy, ProxyStatus.self, session.loop) { holder in
                switch holder {
                case .running(let status, _): console.line("Generation \(status.epoch), pid \(status.pid), serves on.")
                case .nobody: console.error("nothing serves")
                case .unusable(let text): console.error(text)
                }
                session.finish(.done)
            }
        }
    }
}
