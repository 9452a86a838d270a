import Glibc
import ProxyCore
import ProxyModel

/// `start --detach`: checks the configuration here, where its diagnostics can be seen, then starts a supervisor in a session of
/// its own and follows it until the proxy serves.
final class DetachedStart {
    private static let askerNumber: Int32 = 3

    private let command: StartCommand
    private let program: String
    private let arguments: ProxyArguments
    private let console: Console
    private let follower: RestartFollower
    private var following: SupervisedRestart?
    private var supervisorPid: Int32 = 0

    init(command: StartCommand, program: String, arguments: ProxyArguments) {
        self.command = command
        self.program = program
        self.arguments = arguments
        console = command.output.console
        follower = RestartFollower(console: console, json: command.output.json, waits: false)
    }

    func run() throws(CoreError) -> ExitStatus {
        let session = try Session()
        let status = try session.run { session in
            follower.onResult = session.finish
            do {
                try ConfigurationCheck.start(
                    program: program, arguments: arguments, environment: .current, loop: session.loop, children: session.children
                ) { [unowned self] in take($0, session) }
            } catch {
                follower.take(.failed(.init(step: "check", text: "cannot run \(program): \(error)", exitCode: 1)))
            }
        }
        if status == .done, !command.output.json { console.line("Supervised by pid \(supervisorPid).") }
        return status
    }

    private func take(_ outcome: ConfigurationCheck.Outcome, _ session: Session) {
        guard outcome.ok else {
            return follower.take(
                .failed(
                    .init(
                        step: "check", text: outcome.reason ?? "the configuration is invalid", remedy: "Correct it and try again.",
                        output: outcome.output, exitCode: 1)))
        }
        follower.take(.step(.init(name: "check", ms: outcome.ms, text: outcome.verdict)))
        do { try spawn(session) } catch { follower.lost("cannot start the supervisor: \(error)") }
    }

    private func spawn(_ session: Session) throws(CoreError) {
        let (ours, theirs) = try Link.pair()
        let null = try Descriptor.null()
        let output = try self.output()
        var environment = Environment.current
        environment[Environment.askerVariable] = String(Self.askerNumber)
        let words = ["start", "--proxy", program, "--init-timeout-s", String(command.initTimeoutS), "--"] + arguments.words
        let process = try session.children.start(
            Programs.own, arguments: words, environment: environment,
            inherit: [(theirs.fd, Self.askerNumber), (null.fd, STDIN_FILENO), (output.fd, STDOUT_FILENO), (output.fd, STDERR_FILENO)],
            newSession: true,
            onEnd: { [follower] in follower.lost("the supervisor \($0.text)") })
        supervisorPid = process.pid
        withExtendedLifetime((theirs, null, output)) {}
        let following = SupervisedRestart(session: session, follower: follower)
        try following.follow(ours)
        self.following = following
    }

    /// A terminal or a pipe would be held open for as long as the proxy lives, and whoever waits for its end with it.
    private func output() throws(CoreError) -> Descriptor {
        if let path = arguments.value("--log-path") { return try Descriptor.log(path) }
        var facts = stat()
        if fstat(STDERR_FILENO, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG {
            return Descriptor(adopting: fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3))
        }
        if !command.output.json { console.line("(no --log-path: the log goes nowhere)") }
        return try Descriptor.null()
    }
}
