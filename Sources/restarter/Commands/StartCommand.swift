import ArgumentParser
import Glibc
import ProxyCore
import ProxyModel

struct StartCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Start the proxy and supervise it.",
        usage: "restarter start [--detach] [--proxy <path>] --config-path <file> [any option of the proxy]",
        discussion: """
            Stays in the foreground, as a container's first process and a systemd unit should; --detach returns once the proxy serves. \
            Options that are not listed here go to the proxy as they are; epochs are counted here. If a proxy already serves under the same \
            base id, the supervisor's first generation takes over from it.

            Signals: HUP restarts (after a check of the configuration), TERM and INT stop everything, USR1 reopens log files.
            """)

    @Flag(help: "Return once the proxy serves, or with the reason why it does not.") var detach = false
    @Option(help: ArgumentHelp("The proxy's program. (default: beside the restarter)", valueName: "path")) var proxy: String?
    @Option(help: ArgumentHelp("How long a new generation may take to serve.", valueName: "s")) var initTimeoutS: UInt32 = 60
    @OptionGroup var output: OutputOptions
    @Argument(parsing: .postTerminator, help: .hidden) var options: [String] = []

    func execute() throws -> ExitStatus {
        let program = try Programs.proxy(named: proxy)
        let arguments = ProxyArguments(options)
        if detach { return try DetachedStart(command: self, program: program, arguments: arguments).run() }
        let asker = Self.asker()
        let code: Int32
        do {
            code = try supervise(program, arguments, asker)
        } catch let failure as Failure {
            // Who waits for a detached supervisor sees nothing of its stderr.
            try? asker?.send(
                Packet(
                    type: MessageType.supervision,
                    json: SupervisionEvent.failed(
                        .init(
                            step: "supervise", text: failure.message, remedy: failure.remedy, exitCode: failure.status.rawValue))))
            throw failure
        }
        if code != 0 { throw ExitCode(code) }
        return .done
    }

    private func supervise(_ program: String, _ arguments: ProxyArguments, _ asker: Link?) throws -> Int32 {
        var arguments = arguments
        let supervisor = try makeSupervisor(program, &arguments)
        return try supervisor.run(asker: asker)
    }

    /// With `--use-dynamic-base-id` the id is chosen here, because the supervisor's own name depends on it.
    private func makeSupervisor(_ program: String, _ arguments: inout ProxyArguments) throws(Failure) -> Supervisor {
        let dynamic = arguments.wantsDynamicBaseID
        for _ in 0..<64 {
            if dynamic { arguments.fixBaseID(UInt32.random(in: 1...1_000_000)) }
            let names = ControlNames(socketPath: arguments.socketPath, baseID: try arguments.baseID())
            if dynamic, isTaken(names.proxy) { continue }
            let settings = Supervisor.Settings(
                program: program, arguments: arguments, names: names, socketMode: try arguments.socketMode(),
                initTimeoutMs: UInt64(initTimeoutS) * 1000, environment: .current)
            do {
                return try Supervisor(settings)
            } catch  where error.isNameInUse {
                if !dynamic { throw alreadySupervised(names) }
            } catch {
                throw Failure(
                    "cannot open the supervisor's control socket: \(error)", remedy: "See --socket-path and its directory's permissions.")
            }
        }
        throw Failure("no free base id found in 64 tries", remedy: "Give one with --base-id.")
    }

    private func isTaken(_ name: String) -> Bool { (try? Link.connect(name)) != nil }

    private func alreadySupervised(_ names: ControlNames) -> Failure {
        let pid = (try? Link.connect(names.supervisor).peer())?.pid
        if let pid, isStopped(pid) {
            return Failure(
                "the supervisor of base id \(names.baseID) at \(names.socketPath), pid \(pid), is stopped by a signal; its generations serve on",
                remedy: "Continue it with `kill -CONT \(pid)`, or end it with `kill -KILL \(pid)` and start again.")
        }
        return Failure(
            "a supervisor\(pid.map { ", pid \($0)," } ?? "") already runs for base id \(names.baseID) at \(names.socketPath)",
            remedy: "Use `restarter restart` or `restarter stop`, or give this one a --base-id of its own.")
    }

    /// State T in /proc/<pid>/stat, after the program's name in brackets (proc(5)).
    private func isStopped(_ pid: Int32) -> Bool {
        let fd = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return false }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(fd, &bytes, bytes.count)
        guard count > 0, let bracket = bytes.prefix(count).lastIndex(of: UInt8(ascii: ")")) else { return false }
        return bytes.prefix(count).dropFirst(bracket + 2).first == UInt8(ascii: "T")
    }

    /// The link on which whoever detached us waits.
    private static func asker() -> Link? {
        guard let number = Environment.current[Environment.askerVariable].flatMap({ Int32($0) }), fcntl(number, F_SETFD, FD_CLOEXEC) == 0
        else { return nil }
        return Link(adopting: Descriptor(adopting: number))
    }
}
