import Glibc
import ProxyCore
import ProxyModel

/// A restart without a supervisor: the next generation of the proxy that serves, with its command line, detached.
final class DirectRestart {
    struct Request {
        var program: String
        var arguments: ProxyArguments
        var serving: ProxyStatus
        var peer: Link.Peer
        var initTimeoutMs: UInt64
    }

    private let session: Session
    private let follower: RestartFollower
    private let request: Request
    private let environment: Environment
    private var generation: GenerationProcess?
    private var failure: SupervisionEvent.Failure?
    private var deadline: MainLoop.Timer?

    init(_ request: Request, session: Session, follower: RestartFollower, environment: Environment) {
        self.request = request
        self.session = session
        self.follower = follower
        self.environment = environment
    }

    func start() {
        guard !request.serving.restartInProgress else {
            return follower.take(
                .failed(.init(step: "ask", text: "a restart is in progress", remedy: "Try again when it has ended.", exitCode: 75)))
        }
        // Relative paths of its command line are relative to its directory, not to ours.
        if let directory = Programs.link("/proc/\(request.peer.pid)/cwd") { _ = chdir(directory) }
        session.interrupted = { [unowned self] in interrupt() }
        do {
            try ConfigurationCheck.start(
                program: request.program, arguments: checked, environment: environment, loop: session.loop, children: session.children
            ) { [unowned self] in take($0) }
        } catch {
            fail("check", "cannot run \(request.program): \(error)", "Name another program with --proxy PATH.")
        }
    }

    private var checked: ProxyArguments {
        var arguments = request.arguments
        arguments.adoptConfiguration(of: request.serving)
        return arguments
    }

    private func take(_ outcome: ConfigurationCheck.Outcome) {
        guard outcome.ok else {
            let text = outcome.reason ?? "the configuration is invalid"
            return follower.take(
                .failed(.init(step: "check", text: text, remedy: "Correct it and try again.", output: outcome.output, exitCode: 1)))
        }
        follower.take(.step(.init(name: "check", ms: outcome.ms, text: outcome.verdict)))
        spawn()
    }

    private func spawn() {
        do {
            // Not ours but the serving generation's log: it goes on where it is read now.
            let output = Self.logOutput(of: request.peer.pid)
            generation = try GenerationProcess.start(
                program: request.program, arguments: request.arguments.starting(epoch: request.serving.epoch + 1),
                environment: childEnvironment, output: output.fd, detached: true, loop: session.loop, children: session.children
            ) { [weak self] _, report in self?.receive(report) }
            withExtendedLifetime(output) {}
            deadline = session.after(ms: request.initTimeoutMs) { [weak self] in self?.giveUp() }
        } catch {
            fail("start", "cannot start \(request.program): \(error)", "See that the program is there and may be run.")
        }
    }

    /// Here the generation itself tells systemd who the main process is: nobody stays to do it.
    private var childEnvironment: Environment {
        var result = GenerationProcess.environment(environment)
        result[SystemdNotifier.variable] = environment[SystemdNotifier.variable]
        return result
    }

    /// Standard error of `pid` again, where it can be opened (a socket cannot); else nowhere.
    private static func logOutput(of pid: Int32) -> Descriptor {
        for path in ["/proc/\(pid)/fd/2", "/dev/null"] {
            // Non-blocking for the open alone: a FIFO without a reader would hang it.
            let fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
            guard fd >= 0 else { continue }
            _ = fcntl(fd, F_SETFL, O_APPEND)
            return Descriptor(adopting: fd)
        }
        return Descriptor(adopting: -1)
    }

    private func receive(_ report: GenerationProcess.Report) {
        switch report {
        case .event(.failed(let failure)): self.failure = failure
        case .event(let event):
            if case .serving = event { deadline.map(session.loop.cancel) }
            follower.take(event)
        case .message: break  // nobody stays to keep anything
        case .ended(let ending): ended(ending)
        }
    }

    private func ended(_ ending: Processes.Ending) {
        guard follower.serving == nil else { return follower.lost("the new generation \(ending.text)") }
        var failure = failure ?? .init(step: "start", text: "the new generation \(ending.text) before it served")
        failure.exitCode = if case .exited(let code) = ending, code == 75 || code == 64 { code } else { 1 }
        follower.take(.failed(failure))
    }

    private func giveUp() {
        failure = .init(
            step: failure?.step ?? "start", text: "the new generation did not serve within \(Durations.rough(request.initTimeoutMs))",
            remedy: "Its log says how far it got; --init-timeout-s gives it more time.")
        // Not SIGTERM: a child that has just taken over would stop everything on it. Killed, it is rolled back.
        generation?.process.signal(SIGKILL)
    }

    /// ^C: before the new generation serves it ends the attempt, after that only the watching.
    private func interrupt() {
        guard follower.serving == nil else { return session.finish(.done) }
        guard let generation else { return session.finish(.failed) }
        failure = .init(step: "start", text: "interrupted")
        generation.process.signal(SIGKILL)
    }

    private func fail(_ step: String, _ text: String, _ remedy: String) {
        follower.take(.failed(.init(step: step, text: text, remedy: remedy, exitCode: 1)))
    }
}
