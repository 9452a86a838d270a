import Glibc
import ProxyCore
import ProxyModel

/// Runs a `SupervisorState`: signals, processes, sockets and timers become its events, its effects become system calls. One thread.
final class Supervisor {
    struct Settings {
        var program: String
        var arguments: ProxyArguments
        var names: ControlNames
        var socketMode: UInt32
        var initTimeoutMs: UInt64
        var environment: Environment
    }

    private let settings: Settings
    private let loop: MainLoop
    private let children = Children()
    private let keeper: Keeper
    private let store: DescriptorStore
    private let socket: SupervisorSocket
    private let notifier: SystemdNotifier
    private let log = SupervisorLog()
    private let startedUnixMs = System.unixMs
    private var state: SupervisorState
    private var processes: [Int32: GenerationProcess] = [:]
    /// Generations of somebody else's making.
    private var foreign: [Int32: ProcessHandle] = [:]
    private var unwatched: [Int32: MainLoop.Timer] = [:]
    private var timers: [SupervisorState.Timer: MainLoop.Timer] = [:]
    private var lastRestart: RestartReport?
    /// Who has just asked, while their command is obeyed.
    private var asker: SupervisorSocket.Asker?
    private var exitCode: Int32 = 0

    init(_ settings: Settings) throws(CoreError) {
        self.settings = settings
        loop = try MainLoop()
        socket = try SupervisorSocket(settings.names, mode: settings.socketMode, loop: loop)
        notifier = SystemdNotifier(environment: settings.environment.variables)
        let restored = DescriptorStore.restore(settings.environment)
        keeper = Keeper(restored.kept)
        store = DescriptorStore(socketPath: notifier.socketPath, restored: restored)
        state = SupervisorState(initTimeoutMs: settings.initTimeoutMs)
    }

    /// Until every generation has ended. Returns the exit code.
    func run(asker link: Link?) throws(CoreError) -> Int32 {
        // Copies of all listening sockets may have to fit.
        _ = System.raiseDescriptorLimit()
        try loop.watchSignals([SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1])
        loop.handler = { [weak self] in self?.receive($0) }
        socket.status = { [unowned self] in status }
        socket.command = { [unowned self] in obey($0, from: $1) }
        socket.log = { [log] in log.write(.warning, $0) }
        for timer in SupervisorState.Timer.allCases { timers[timer] = loop.makeTimer { [weak self] in self?.feed(.expired(timer)) } }
        try socket.start()
        if let link { socket.follow(link) }
        feed(.start)
        if !hasEnded { try loop.run() }
        socket.close()
        children.killRest()
        return exitCode
    }

    private var hasEnded: Bool {
        if case .ended = state.phase { true } else { false }
    }

    // MARK: - What comes in

    private func receive(_ event: MainLoop.Event) {
        guard case .signal(let number, let sender) = event else { return }
        switch number {
        case SIGCHLD: children.reap()
        case SIGHUP: feed(.hangUp)
        case SIGUSR1:
            reopenLog()
            feed(.reopenLogs)
        default: feed(.stopRequested("\(number == SIGINT ? "SIGINT" : number == SIGQUIT ? "SIGQUIT" : "SIGTERM") from pid \(sender)"))
        }
    }

    private func obey(_ command: ControlCommand, from asker: SupervisorSocket.Asker) -> CommandAnswer? {
        switch command.command {
        case .restart:
            guard !settings.arguments.disablesHotRestart else {
                asker.refuse(
                    .init(
                        step: "ask", text: "this proxy runs with --disable-hot-restart",
                        remedy: "Stop it and start it without that option.", exitCode: 1))
                return nil
            }
            self.asker = asker
            defer { self.asker = nil }
            feed(.asked(configPath: command.configPath))
            return nil
        case .stop:
            feed(.stopRequested("asked by pid \(asker.peer.pid)"))
            return CommandAnswer(ok: true, text: "stopping")
        case .drainNow, .reopenLogs:
            return CommandAnswer(ok: false, text: "to be asked of the proxy")
        }
    }

    private func feed(_ event: SupervisorState.Event) {
        for effect in state.handle(event) { perform(effect) }
    }

    // MARK: - What goes out

    private func perform(_ effect: SupervisorState.Effect) {
        switch effect {
        case .check(let path): check(path)
        case .locate: locate()
        case .spawn(let epoch, let path): spawn(epoch, path)
        case .signal(let pid, let number): if let own = processes[pid] { own.process.signal(number) } else { foreign[pid]?.signal(number) }
        case .watch(let pid): watch(pid)
        case .arm(let timer, let delay): loop.arm(timers[timer]!, afterMs: delay)
        case .cancel(let timer): loop.cancel(timers[timer]!)
        case .refuse(let failure): asker?.refuse(failure)
        case .tell(let event): socket.tell(event)
        case .record(var report):
            report.endedUnixMs = System.unixMs
            lastRestart = report
        case .ready(let text): notifier.send(.ready(mainPid: log.pid, status: text))
        case .reloading(let text): notifier.send(.reloading(monotonicUs: System.monotonicNs / 1000, status: text))
        case .status(let text): notifier.send(.status(text))
        case .stopping(let text): notifier.send(.stopping(status: text))
        case .log(let level, let text): log.write(level, text)
        case .exit(let code):
            exitCode = code
            loop.stop()
        }
    }

    private func arguments(_ configPath: String?) -> ProxyArguments {
        var arguments = settings.arguments
        if let configPath { arguments.setConfigPath(configPath) }
        return arguments
    }

    private func check(_ configPath: String?) {
        do {
            try ConfigurationCheck.start(
                program: settings.program, arguments: arguments(configPath), environment: settings.environment, loop: loop,
                children: children
            ) { [weak self] in self?.feed(.checked($0)) }
        } catch {
            feed(.checked(.init(ok: false, ms: 0, output: "", reason: "cannot run \(settings.program): \(error)")))
        }
    }

    private func locate() {
        guard !settings.arguments.disablesHotRestart else { return feed(.located(.nobody)) }
        // Nobody would answer: the control socket that listens is our own copy.
        if let kept = orphaned { return feed(.located(.kept(epoch: kept.epoch))) }
        ControlRequest.send(.query, to: settings.names.proxy, loop: loop) { [weak self] outcome in
            guard let self else { return }
            feed(.located(.init(outcome, name: settings.names.proxy)))
        }
    }

    /// What is kept, if nobody lives whose it is: whoever listened last on the control socket is dead.
    private var orphaned: Keeper.Kept? {
        guard let kept = keeper.kept, state.serving == nil, processes[kept.pid] == nil else { return nil }
        guard let listener = try? Link.connect(settings.names.proxy).peer() else { return kept }
        // A dead process that nobody has reaped yet can still be opened.
        return ProcessHandle.isRunning(pid: listener.pid) ? nil : kept
    }

    /// In systemd's hands as well.
    private func storeKept() {
        do { try store.store(keeper.kept) } catch { log.write(.warning, "systemd keeps no copies of the listening sockets: \(error)") }
    }

    private func spawn(_ epoch: UInt64, _ configPath: String?) {
        let kept = orphaned
        do {
            let generation = try GenerationProcess.start(
                program: settings.program, arguments: arguments(configPath).starting(epoch: epoch),
                environment: GenerationProcess.environment(settings.environment), kept: kept, loop: loop, children: children
            ) { [weak self] pid, report in self?.receive(report, from: pid) }
            processes[generation.pid] = generation
            feed(.spawned(pid: generation.pid, epoch: epoch))
        } catch {
            feed(.spawnFailed("cannot start \(settings.program): \(error)"))
        }
    }

    private func receive(_ report: GenerationProcess.Report, from pid: Int32) {
        switch report {
        case .event(let event): feed(.reported(pid: pid, event))
        case .message(let packet): if keeper.take(packet, from: pid) { storeKept() }
        case .ended(let ending):
            processes[pid] = nil
            if ending.isClean, keeper.forget(pid) { storeKept() }
            feed(.ended(pid: pid, SupervisorState.Ending(ending)))
        }
    }

    private func watch(_ pid: Int32) {
        let ended = { [weak self] in
            guard let self else { return }
            unwatched[pid] = nil
            foreign.removeValue(forKey: pid).map { loop.unwatch($0.descriptor.fd) }
            // Only its parent learns how it ended.
            feed(.ended(pid: pid, .init(code: nil, text: "ended")))
        }
        guard let process = ProcessHandle(pid: pid) else {
            return ProcessHandle.isRunning(pid: pid) ? lookAgain(at: pid) : ended()
        }
        foreign[pid] = process
        do { try loop.watch(process.descriptor.fd, ended) } catch { ended() }
    }

    /// It runs, and no pidfd of it can be had to say when that ends.
    private func lookAgain(at pid: Int32) {
        let timer = unwatched[pid] ?? loop.makeTimer { [weak self] in self?.watch(pid) }
        unwatched[pid] = timer
        loop.arm(timer, afterMs: 500)
    }

    private var status: SupervisorStatus {
        SupervisorStatus(
            pid: log.pid, startedUnixMs: startedUnixMs, program: settings.program, arguments: arguments(state.configPath).words,
            phase: state.phase.text,
            generations: state.generations.map { .init(epoch: $0.epoch, pid: $0.pid, state: $0.state.rawValue) }, lastRestart: lastRestart)
    }

    /// A detached supervisor's stderr is the proxy's log file, which the one who sends SIGUSR1 has moved away.
    private func reopenLog() {
        guard settings.environment[Environment.askerVariable] != nil, let path = settings.arguments.value("--log-path") else { return }
        guard let log = try? Descriptor.log(path) else { return }
        for stream in [STDOUT_FILENO, STDERR_FILENO] { dup2(log.fd, stream) }
    }
}

extension SupervisorState.Located {
    init(_ outcome: ControlRequest.Outcome, name: String) {
        switch outcome {
        case .nobody: self = .nobody
        case .answer(let packet, let peer, _):
            if !peer.isPermitted {
                self.init(.stranger(peer), name: name)
            } else if let status = try? packet.json(ProxyStatus.self) {
                self = .serving(status)
            } else {
                self = .unusable("pid \(peer.pid), which holds the control name \(name), gave an answer that makes no sense")
            }
        case .silent(let pid):
            self = .unusable("\(pid.map { "pid \($0)" } ?? "somebody") holds the control name \(name) and does not answer")
        case .stranger(let peer):
            self = .unusable("pid \(peer.pid) of another user (\(peer.uid)) holds the control name \(name)")
        case .failed(let error): self = .unusable("cannot ask who serves on \(name): \(error)")
        }
    }
}

extension SupervisorState.Ending {
    init(_ ending: Processes.Ending) {
        switch ending {
        case .exited(let code): self.init(code: code, text: ending.text)
        case .signalled: self.init(code: nil, text: ending.text)
        }
    }
}

extension Descriptor {
    /// For appending whole lines, as every generation does.
    static func log(_ path: String) throws(CoreError) -> Descriptor {
        let fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0o644)
        guard fd >= 0 else { throw CoreError(code: -errno, call: "open", object: path) }
        return Descriptor(adopting: fd)
    }
}
