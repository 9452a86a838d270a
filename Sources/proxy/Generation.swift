import Glibc
import ProxyAdmin
import ProxyConfig
import ProxyCore
import ProxyModel
import ProxyRestart

/// One generation of the server: carries out what the restart machine wants and tells it what happened. Everything here runs on the
/// main thread, in the main loop's callbacks; traffic is the workers' and never passes through.
///
/// What belongs together is in extensions: GenerationChild.swift (becoming the serving generation), GenerationParent.swift (being
/// replaced), GenerationDrain.swift (draining and leaving), GenerationRelatives.swift (older generations), GenerationAdmin.swift.
final class Generation {
    let startUp: StartUp
    let loop: MainLoop
    var options: ServerOptions { startUp.options }
    var epoch: UInt64 { startUp.epoch }
    var log: LogSystem { startUp.log }
    let pid = getpid()
    let workers: UInt32

    // The machine and its timers
    private(set) var machine: RestartMachine
    private var events: [RestartEvent] = []
    private var isHandling = false
    var timers: [RestartTimer: MainLoop.Timer] = [:]
    var exitCode: Int32 = 0
    var isEnding = false

    // What this generation is made of
    var controlBlock: ControlBlock?
    var statistics: Statistics?
    var serverStatistics = ServerCounters()
    var engine: Engine?
    var admin: AdminServer?
    var control: ControlListener?
    var boundControl: ControlSocket?

    // Others
    var parent: Relative?
    var inheritance = Inheritance()
    var parentQueue: MessageQueue?
    var child: ChildGeneration?
    var hellos: [PendingHello] = []
    /// Older generations that drain, and parents that said goodbye and have not ended yet. Read only while we serve.
    var older: [Relative] = []

    // State that the status, the admin page and the report show
    var recorder: RestartRecorder
    var lastRestart: RestartReport?
    var state = GenerationRecord.State.initializing
    var firstStartedUnixMs: UInt64
    var hotRestartGeneration: UInt64 = 1
    var isHealthcheckFailed = false
    var hasAnnounced = false
    var isFromKeeper = false
    /// The supervisor has what we serve with, so that our death loses none of it.
    var isLeftWithKeeper = false
    var acceptsNow = false
    var readyIsDue = false
    /// CLOCK_MONOTONIC ms of the force deadline; nil when not draining.
    var drainEndsNs: UInt64?
    var forcedConnections: UInt64 = 0
    /// To the child, once connections are closed.
    var byeIsDue = false
    var lastTickNs = System.monotonicNs
    var ownerDeadSinceNs: UInt64?
    /// When a tick last came late.
    var lastLateNs: UInt64 = 0
    private var postponed: Set<RestartTimer> = []
    var ticker: MainLoop.Timer?
    var flusher: MainLoop.Timer?
    var gracefulDrain: MainLoop.Timer?
    var lookDeadlineNs: UInt64 = 0
    var spawned: SpawnedProcess?
    var lastProgress: SupervisionEvent.Draining?
    var lastProgressNs: UInt64 = 0
    var isQueueGivenUp = false

    /// `boundControl`: the control socket, where it had to be bound early (dynamic base id).
    init(_ startUp: StartUp, loop: MainLoop, boundControl: ControlSocket?) {
        self.startUp = startUp
        self.loop = loop
        self.boundControl = boundControl
        workers = startUp.options.concurrency ?? System.processors
        machine = RestartMachine(epoch: startUp.epoch)
        recorder = RestartRecorder(beganNs: startUp.beganNs)
        recorder.setSelf(epoch: startUp.epoch, pid: pid)
        firstStartedUnixMs = startUp.beganUnixMs
    }

    var configuration: Configuration { startUp.configuration.configuration }

    /// Until the machine says exit. Returns the exit code.
    func run() -> Int32 {
        loop.handler = { [unowned self] in receive($0) }
        for timer in RestartTimer.allCases { timers[timer] = loop.makeTimer { [unowned self] in timeOut(timer) } }
        sayHello()
        noteStep("load")
        feed(.start(hotRestart: !options.disableHotRestart))
        startTicking()
        do {
            if !isEnding { try loop.run() }
        } catch {
            log.emit(.critical, "main", "the main loop failed: \(error)")
            exitCode = 1
        }
        drainCoreLog()
        log.settleRepeats(final: true)
        return exitCode
    }

    private func sayHello() {
        let version = hotRestartVersion(capabilities: Server.capabilities, disabled: options.disableHotRestart)
        log.emit(
            .notice, "main", "initializing epoch \(epoch) (base id=\(options.baseID), hot restart version=\(version))",
            ["workers": .number("\(workers)"), "config": .string(StartUp.name(of: startUp.source))])
        for warning in startUp.configuration.warnings {
            log.emit(
                .warning, "config", "\(warning.file):\(warning.line):\(warning.column): \(warning.message)", ["id": .string(warning.id)])
        }
        for warning in options.warnings { log.emit(.warning, "main", warning) }
        if let warning = options.withoutEffectWarning { log.emit(.warning, "main", warning) }
    }

    // MARK: - Events in, effects out

    private func receive(_ event: MainLoop.Event) {
        switch event {
        case .signal(let number, let sender): receiveSignal(number, sender)
        case .adminRequest(let request): answer(request)
        case .engineWarm: feed(.warm)
        case .acceptStarted:
            acceptsNow = true
            if readyIsDue { sendReady() }
        case .acceptStopped:
            acceptsNow = false
            feed(.acceptStopped)
        case .empty: feed(.empty)
        case .closedAll(let count):
            noteForced(count)
            feed(.closedAll)
        case .lostService:
            faultPoint("parent.lostService")
            if let controlBlock { feed(.lostService(to: controlBlock.serving)) }
        case .log: drainCoreLog()
        case .timer, .readable: break
        }
    }

    private func receiveSignal(_ number: Int32, _ sender: Int32) {
        switch number {
        case SIGTERM, SIGINT:
            log.emit(
                .notice, "main", number == SIGTERM ? "caught SIGTERM, stopping" : "caught SIGINT, stopping",
                ["sender": .number("\(sender)")])
            feed(.stop)
        case SIGUSR1:
            log.emit(.notice, "main", "caught SIGUSR1, reopening log files")
            reopenLogs()
        case SIGHUP: hangUp()
        case SIGCHLD: reapSpawned()
        default: break
        }
    }

    /// One event at a time: what an effect causes at once is handled after the effects that belong to the event before it.
    func feed(_ event: RestartEvent) {
        events.append(event)
        guard !isHandling else { return }
        isHandling = true
        defer { isHandling = false }
        while !events.isEmpty, !isEnding {
            let next = events.removeFirst()
            if let owner = deadOwner(before: next) {
                noteDeadOwner(owner)
                events = [.successorAnnounced(epoch: owner), .childGone, next] + events
                continue
            }
            let before = machine.state
            let effects = machine.handle(next)
            log.emit(.debug, "hot_restart", "\(before) + \(next) → \(machine.state)")
            for effect in effects where !isEnding { perform(effect) }
            if !isEnding { settle(after: next) }
        }
    }

    /// What follows from the state rather than from a single effect.
    private func settle(after event: RestartEvent) {
        if case .childHello = event { refuseForgottenHello() }
        if machine.state == .serving, !hasAnnounced { announceService() }
        publish()
    }

    private func perform(_ effect: RestartEffect) {
        switch effect {
        case .lookForParent: lookForParent()
        case .sendHello: sendHello()
        case .adoptInheritance: adoptInheritance()
        case .prepare(let cold): prepare(cold: cold)
        case .takeService(let from): takeService(from: from)
        case .sendReady: if acceptsNow { sendReady() } else { readyIsDue = true }
        case .sendBye(let word, let peer): sendBye(word, to: peer)
        case .forgetParent: forgetParent()
        case .startAccepting: startAccepting()
        case .stopAccepting: stopAccepting()
        case .sendWelcomeAndInheritance: welcomeChild()
        case .refuseChild(let failure): refuseHello(failure)
        case .forgetChild(let reason): forgetChild(reason)
        case .fenceChild: fenceChild()
        case .takeServiceBack(let epochs): takeServiceBack(from: epochs)
        case .sendDraining: sendDraining()
        case .recordRollback(let failure): recordRollback(failure)
        case .beginDrain: beginDrain()
        case .endDrain: endDrain()
        case .closeAll: if let engine { engine.closeAll() } else { feed(.closedAll) }
        case .arm(let timer):
            loop.arm(timers[timer]!, afterMs: deadlineMs(timer, delayMs(of: timer)))
            postponed.remove(timer)
        case .cancel(let timer): loop.cancel(timers[timer]!)
        case .note(let note): self.note(note)
        case .reportFailure(let failure): report(failure)
        case .exit(let code): end(code)
        }
    }

    private func delayMs(of timer: RestartTimer) -> UInt64 {
        switch timer {
        case .welcome: 5000
        case .inheritance: 10_000
        case .extraSockets: 5000
        case .warmUp: 10_000
        case .parentAnswer: 10_000
        case .childInitialization: 60_000
        case .childReady: 10_000
        case .rollbackWindow: UInt64(options.rollbackWindowS) * 1000
        case .forceClose: drainEndsNs.map { $0 > System.monotonicNs ? ($0 - System.monotonicNs) / 1_000_000 + 1 : 0 } ?? 0
        case .exit: 5000
        }
    }

    /// While this process stood still (SIGSTOP, a frozen machine) the other side may have done all it had to: what it sent is read before
    /// it is given up.
    private func timeOut(_ timer: RestartTimer) {
        guard isWaitForOther(timer), stoodStill, postponed.insert(timer).inserted else { return feed(.timeout(timer)) }
        loop.arm(timers[timer]!, afterMs: 1000)
    }

    private func isWaitForOther(_ timer: RestartTimer) -> Bool {
        switch timer {
        case .welcome, .inheritance, .extraSockets, .parentAnswer, .childInitialization, .childReady: true
        case .warmUp, .rollbackWindow, .forceClose, .exit: false
        }
    }

    // MARK: - Telling

    func noteStep(_ name: String, _ text: String? = nil) {
        var step = recorder.step(name)
        step.text = text
        startUp.supervisor.tell(.step(step))
        log.emit(.debug, "hot_restart", "step \(name)", ["ms": .number(milliseconds(step.ms))])
    }

    private func note(_ note: RestartNote) {
        switch note {
        case .connectedToParent:
            log.emit(.info, "hot_restart", isFromKeeper ? "inheriting from the restarter" : "connected to the serving generation")
        case .welcomed: noteStep("hello")
        case .inherited: noteStep("inherit", "\(inheritance.sockets.count) listening sockets")
        case .prepared: noteStep("open")
        case .warmedUp: noteStep("warm up")
        case .coldAtDeadline:
            log.emit(.warning, "hot_restart", "not every cluster has been resolved yet; taking over without waiting longer")
        case .tookOver: noteStep("take over")
        case .parentDrains: noteStep("parent drains")
        case .parentSilent:
            log.emit(.warning, "hot_restart", "the previous generation did not confirm that it drains; it cannot accept any more")
        case .parentDied: log.emit(.warning, "hot_restart", "the previous generation died", parentFields)
        case .parentLeft(let word): log.emit(.notice, "hot_restart", "the previous generation has left: \(word)", parentFields)
        case .childAppeared(let epoch): log.emit(.notice, "hot_restart", "generation \(epoch) is initializing", childFields)
        case .childTookOver(let epoch): log.emit(.notice, "hot_restart", "generation \(epoch) took over; draining", childFields)
        case .drainBegan: noteDrainBegan()
        case .drained: log.emit(.notice, "hot_restart", "drained", ["cut": .number("\(forcedConnections)")])
        case .forced:
            log.emit(.warning, "hot_restart", "closing what is left by force", ["connections": .number("\(engine?.connections ?? 0)")])
        case .rolledBack(let from): noteRollback(from: from)
        case .fenced: log.emit(.warning, "hot_restart", "the new generation was ended with SIGKILL", childFields)
        }
    }

    private var parentFields: KeyValuePairs<String, LogRecord.Value> {
        ["parent.epoch": .number("\(recorder.report.fromEpoch ?? 0)"), "parent.pid": .number("\(recorder.report.fromPid ?? 0)")]
    }
    private var childFields: KeyValuePairs<String, LogRecord.Value> {
        [
            "child.epoch": .number("\(child?.relative.epoch ?? hellos.first?.message.epoch ?? 0)"),
            "child.pid": .number("\(child?.relative.pid ?? hellos.first?.peer.pid ?? 0)"),
        ]
    }

    func milliseconds(_ ms: Double) -> String {
        let tenths = Int((ms * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    private func report(_ failure: RestartFailure) {
        log.emit(
            .error, "hot_restart", "\(failure.step): \(failure.message)",
            ["id": .string(failure.id), "remedy": .string(failure.remedy)])
        // Whoever started it by hand looks at the terminal, not at the log file.
        if options.logPath != nil, !hasAnnounced { writeAll(failure.text, to: STDERR_FILENO) }
        startUp.supervisor.tell(
            .failed(.init(step: failure.step, id: failure.id, text: failure.message, remedy: failure.remedy)))
    }

    func drainCoreLog() {
        while let record = CoreLog.take() {
            log.emit(LogLevel(rawValue: Int(record.level)) ?? .info, record.component, record.text)
        }
        countLostLines()
    }

    func countLostLines() {
        let lost = Int64(clamping: CoreLog.lost) + Int64(log.takeLost())
        if lost > 0 { serverStatistics.add("server.log_records_lost", lost, in: statistics) }
    }

    func reopenLogs() {
        do {
            try startUp.logFile.reopen()
        } catch {
            log.emit(.error, "main", "cannot reopen the log file; writing to the old one", ["reason": .string(error.error.message)])
        }
        engine?.reopenLogs()
    }

    // MARK: - SIGHUP

    private func hangUp() {
        guard options.restartOnHUP, !options.disableHotRestart else {
            return log.emit(
                .notice, "main", "caught and eating SIGHUP: --restart-on-hup, or `restarter restart`, makes it restart")
        }
        guard machine.serves, child == nil, spawned == nil else {
            return log.emit(.warning, "hot_restart", "caught SIGHUP, but a restart is in progress, or another generation serves")
        }
        let arguments = ArgumentRewriting.arguments(
            forNextAfter: startUp.arguments, changes: .init(baseID: options.useDynamicBaseID ? options.baseID : nil))
        do {
            spawned = try Processes.spawn(
                path: startUp.executable, arguments: [CommandLine.arguments[0]] + arguments, environment: System.environment)
            log.emit(.notice, "hot_restart", "caught SIGHUP, started the next generation", ["child.pid": .number("\(spawned?.pid ?? 0)")])
        } catch {
            log.emit(.error, "hot_restart", "caught SIGHUP, but the next generation cannot be started: \(error)")
        }
    }

    private func reapSpawned() {
        while let (pid, ending) = Processes.reap() {
            guard pid == spawned?.pid else { continue }
            spawned = nil
            if ending != .exited(0) {
                log.emit(
                    .error, "hot_restart", "the generation started on SIGHUP has ended: \(ending); its messages are above",
                    ["child.pid": .number("\(pid)")])
            }
        }
    }
}
