import ProxyModel

/// What a supervisor does next: a value, with no clock, process or socket in it. `handle` takes one event and returns the effects.
///
///     start ──► locating ──► initializing ──serving──► idle ◄──────────────────┐
///                  ▲    fails │      │ fails, another generation serves        │
///                  │          ▼      └──────────────────────────────────────►──┤
///                  │   ended(1) (the first attempt only)                       │
///       asked, HUP │                                                           │
///     idle ──► checking ──fails: nothing was touched──────────────────────────►┤
///     idle ──serving one died──► awaitingRollback ──an older one serves again──┘
///                │ no older one        │ none did
///                └──► backingOff ◄─────┘
///                         └──► locating (replacement)
///     idle ──last one left on purpose──► surveying ──nobody serves──► ended(0)
///                                            └──somebody else's generation serves: watched──► idle
///     any ──TERM, INT──► stopping ──last one gone, or killed at the deadline──► ended(0)
///
/// Invariants: at most one attempt at a time; an attempt that fails ends no generation but its own; a generation is signalled only
/// by `stopping`, by the deadline of its own initialization, or by USR1.
struct SupervisorState: Equatable {
    enum Purpose: Equatable {
        case first, replacement
        /// Somebody asked over the control socket.
        case asked
        case hangUp
    }

    enum Phase: Equatable {
        case idle
        case checking(Purpose)
        case locating(Purpose)
        case initializing(Purpose, pid: Int32)
        case awaitingRollback
        case backingOff
        /// Who serves, now that none of ours does? `replaces`: if nobody, one of ours has to.
        case surveying(replaces: Bool)
        case stopping
        case ended(Int32)
    }

    struct Generation: Equatable {
        enum State: String, Equatable { case initializing, serving, draining }
        var pid: Int32
        var epoch: UInt64
        var state = State.initializing
        var drain: SupervisionEvent.Draining?
        /// Started by hand beside us and took over from ours: watched, and replaced if it dies.
        var isForeign = false
    }

    enum Timer: Hashable, CaseIterable { case initialization, rollback, backOff, steady, stop }

    enum Located: Equatable {
        case nobody
        /// Nobody lives; what generation `epoch` left is kept for its replacement.
        case kept(epoch: UInt64)
        case serving(ProxyStatus)
        /// Somebody holds the control name and does not answer, or must not be asked.
        case unusable(String)
    }

    enum Event: Equatable {
        case start
        case asked(configPath: String?)
        case hangUp
        case stopRequested(String)
        case reopenLogs
        case checked(ConfigurationCheck.Outcome)
        case located(Located)
        case spawned(pid: Int32, epoch: UInt64)
        case spawnFailed(String)
        case reported(pid: Int32, SupervisionEvent)
        case ended(pid: Int32, Ending)
        case expired(Timer)
    }

    struct Ending: Equatable {
        /// nil: killed by a signal.
        var code: Int32?
        var text: String
        var isClean: Bool { code == 0 }
    }

    enum Effect: Equatable {
        case check(configPath: String?)
        case locate
        case spawn(epoch: UInt64, configPath: String?)
        case signal(pid: Int32, Int32)
        /// Tell when `pid`, which is not our child, has ended.
        case watch(pid: Int32)
        case arm(Timer, afterMs: UInt64)
        case cancel(Timer)
        /// To the one who has just asked.
        case refuse(SupervisionEvent.Failure)
        /// To everybody who follows this restart.
        case tell(SupervisionEvent)
        /// The restart the followers follow is over.
        case record(RestartReport)
        case ready(String)
        case reloading(String)
        case status(String)
        case stopping(String)
        case log(LogLevel, String)
        case exit(Int32)
    }

    enum LogLevel: String, Equatable { case notice, warning, error }

    static let rollbackMs: UInt64 = 2_000
    static let stopMs: UInt64 = 30_000
    /// A generation that has served for so long did not fail at its start: its death is answered at once.
    static let steadyMs: UInt64 = 1_000
    static let backOffLimitMs: UInt64 = 10_000
    static let loggedLines = 50
    static let killSignal: Int32 = 9, terminateSignal: Int32 = 15, reopenSignal: Int32 = 10

    let initTimeoutMs: UInt64
    private(set) var phase = Phase.idle
    private(set) var generations: [Generation] = []
    /// What the next generation is started with: nil, what the supervisor was given.
    private(set) var configPath: String?
    /// Of the attempt in progress.
    private var attempt = Attempt()
    private var hangUpPending = false
    /// Replacements in a row that did not last.
    private(set) var failures = 0
    /// Nothing serves any more because the serving generation left on purpose.
    private var leftOnPurpose = false

    private struct Attempt: Equatable {
        var epoch: UInt64 = 0
        var from: Generation?
        var configPath: String?
        var failure: SupervisionEvent.Failure?
        var steps: [RestartReport.Step] = []
    }

    init(initTimeoutMs: UInt64) { self.initTimeoutMs = initTimeoutMs }

    var serving: Generation? { generations.first { $0.state == .serving } }
    var isBusy: Bool {
        switch phase {
        case .checking, .locating, .initializing, .awaitingRollback, .surveying: true
        case .idle, .backingOff, .stopping, .ended: false
        }
    }
    var isStopping: Bool {
        switch phase {
        case .stopping, .ended: true
        default: false
        }
    }

    // MARK: - Events

    mutating func handle(_ event: Event) -> [Effect] {
        if case .ended = phase { return [] }
        switch event {
        case .start: return begin(.first)
        case .asked(let path): return asked(.asked, configPath: path)
        case .hangUp: return hangUp()
        case .stopRequested(let why): return stop(why)
        case .reopenLogs: return generations.map { .signal(pid: $0.pid, Self.reopenSignal) }
        case .checked(let outcome): return checked(outcome)
        case .located(let located): return self.located(located)
        case .spawned(let pid, let epoch): return spawned(pid, epoch)
        case .spawnFailed(let text): return spawnFailed(text)
        case .reported(let pid, let event): return reported(pid, event)
        case .ended(let pid, let ending): return ended(pid, ending)
        case .expired(let timer): return expired(timer)
        }
    }

    // MARK: - An attempt, step by step

    private mutating func asked(_ purpose: Purpose, configPath: String?) -> [Effect] {
        if isStopping { return [.refuse(.init(step: "ask", text: "the supervisor is stopping", exitCode: 1))] }
        if isBusy {
            return [.refuse(.init(step: "ask", text: "a restart is in progress", remedy: "Try again when it has ended.", exitCode: 75))]
        }
        var effects: [Effect] = phase == .backingOff ? [.cancel(.backOff)] : []
        effects += begin(purpose, configPath: configPath)
        return effects
    }

    /// A hang-up during a restart is kept: the file may have changed after it was read.
    private mutating func hangUp() -> [Effect] {
        guard isBusy else { return isStopping ? [] : asked(.hangUp, configPath: nil) }
        hangUpPending = true
        return [.log(.notice, "SIGHUP during a restart: restarting again after it")]
    }

    private mutating func begin(_ purpose: Purpose, configPath: String? = nil) -> [Effect] {
        // The epoch it would get, for the report of an attempt that fails before it is asked for.
        attempt = Attempt(epoch: serving.map { $0.epoch + 1 } ?? 0, from: serving, configPath: configPath ?? self.configPath)
        switch purpose {
        case .first:
            phase = .locating(purpose)
            return [.locate]
        case .replacement:
            phase = .locating(purpose)
            return [.log(.warning, "starting a replacement, because nothing serves"), .locate]
        case .asked, .hangUp:
            phase = .checking(purpose)
            return [.reloading("checking the configuration"), .check(configPath: attempt.configPath)]
        }
    }

    private mutating func checked(_ outcome: ConfigurationCheck.Outcome) -> [Effect] {
        guard case .checking(let purpose) = phase else { return [] }
        let step = SupervisionEvent.Step(name: "check", ok: outcome.ok, ms: outcome.ms, text: outcome.ok ? outcome.verdict : nil)
        attempt.steps.append(.init(name: step.name, ms: step.ms))
        guard outcome.ok else {
            attempt.failure = .init(
                step: "check", text: outcome.reason ?? "the configuration is invalid",
                remedy: "Correct it and try again.", output: outcome.output, exitCode: 1)
            return failed()
        }
        phase = .locating(purpose)
        return [.tell(.step(step)), .locate]
    }

    private mutating func located(_ located: Located) -> [Effect] {
        if case .surveying(let replaces) = phase { return surveyed(located, replaces) }
        guard case .locating = phase else { return [] }
        switch located {
        case .nobody: attempt.epoch = 0
        case .kept(let epoch): attempt.epoch = epoch + 1
        case .serving(let status): attempt.epoch = status.epoch + 1
        case .unusable(let text):
            attempt.failure = .init(
                step: "locate", text: text, remedy: "End that process, or give this proxy a --base-id of its own.", exitCode: 1)
            return failed()
        }
        return [.spawn(epoch: attempt.epoch, configPath: attempt.configPath)]
    }

    private mutating func spawned(_ pid: Int32, _ epoch: UInt64) -> [Effect] {
        guard case .locating(let purpose) = phase else { return [] }
        generations.append(Generation(pid: pid, epoch: epoch))
        phase = .initializing(purpose, pid: pid)
        return [.log(.notice, "started generation \(epoch), pid \(pid)"), .arm(.initialization, afterMs: initTimeoutMs)]
    }

    private mutating func spawnFailed(_ text: String) -> [Effect] {
        attempt.failure = .init(step: "start", text: text, remedy: "See that the proxy's program is there and may be run.", exitCode: 1)
        return failed()
    }

    private mutating func succeeded(_ pid: Int32, _ serving: SupervisionEvent.Serving) -> [Effect] {
        let event = SupervisionEvent.serving(serving)
        guard case .initializing(_, let expected) = phase, expected == pid else { return [.tell(event)] }
        for index in generations.indices {
            if generations[index].pid == pid {
                generations[index].state = .serving
                generations[index].epoch = serving.epoch
            } else if generations[index].state == .serving {
                generations[index].state = .draining
            }
        }
        configPath = attempt.configPath
        leftOnPurpose = false
        phase = .idle
        let text = "generation \(serving.epoch), pid \(pid), serves after \(Durations.precise(serving.ms))"
        var effects: [Effect] = [.cancel(.initialization), .arm(.steady, afterMs: Self.steadyMs), .log(.notice, text)]
        effects += [.record(serving.report ?? report(.ok, pid: pid)), .tell(event), .ready(line)]
        return effects + resumeHangUp()
    }

    /// The attempt is over and its generation, if there was one, is gone.
    private mutating func failed() -> [Effect] {
        let failure = attempt.failure ?? .init(step: "start", text: "the new generation ended before it served", exitCode: 1)
        let purpose = self.purpose
        phase = .idle
        var effects: [Effect] = [.cancel(.initialization), .log(.error, "restart failed: \(failure.step): \(failure.text)")]
        // Whoever sent SIGHUP has only the log to look at.
        effects += (failure.output ?? "").split(separator: "\n").prefix(Self.loggedLines).map { .log(.error, String($0)) }
        var report = report(.failed, pid: 0)
        report.failedStep = failure.step
        report.reason = failure.text
        effects += [.record(report), .tell(.failed(failure))]
        if purpose == .first { return effects + end(failure.exitCode ?? 1) }
        if serving == nil { return effects + (leftOnPurpose ? finishIfEmpty() : lost()) }
        return effects + [.ready("\(line); the last restart failed: \(failure.step)")] + resumeHangUp()
    }

    private var purpose: Purpose? {
        switch phase {
        case .checking(let purpose), .locating(let purpose), .initializing(let purpose, _): purpose
        default: nil
        }
    }

    private mutating func resumeHangUp() -> [Effect] {
        guard hangUpPending else { return [] }
        hangUpPending = false
        return begin(.hangUp)
    }

    private func report(_ result: RestartReport.Result, pid: Int32) -> RestartReport {
        var report = RestartReport()
        report.fromEpoch = attempt.from?.epoch
        report.fromPid = attempt.from?.pid
        report.toEpoch = attempt.epoch
        report.toPid = pid
        report.result = result
        report.steps = attempt.steps
        report.totalMs = attempt.steps.reduce(0) { $0 + $1.ms }
        return report
    }

    // MARK: - What generations say and how they end

    private mutating func reported(_ pid: Int32, _ event: SupervisionEvent) -> [Effect] {
        switch event {
        case .step(let step):
            if case .initializing(_, pid) = phase { attempt.steps.append(.init(name: step.name, ms: step.ms)) }
            return [.tell(event)]
        case .serving(let serving): return succeeded(pid, serving)
        case .failed(let failure):
            // Told when the process has ended, with its exit code.
            if case .initializing(_, pid) = phase { attempt.failure = failure }
            return []
        case .draining(let drain):
            note(drain)
            return [.tell(event), .status(line)]
        case .drained(let drained):
            return [
                .log(
                    .notice,
                    "generation \(drained.epoch) has drained, \(drained.forced) \(drained.forced == 1 ? "connection" : "connections") closed by force"
                ), .tell(event),
            ]
        case .rolledBack(let back): return rolledBack(pid, back)
        case .unknown: return []
        }
    }

    /// The child reports its parent's drain; the parent may be of another supervisor's making.
    private mutating func note(_ drain: SupervisionEvent.Draining) {
        guard let index = generations.firstIndex(where: { $0.epoch == drain.epoch }) else { return }
        generations[index].drain = drain
    }

    private mutating func rolledBack(_ pid: Int32, _ back: SupervisionEvent.RolledBack) -> [Effect] {
        for index in generations.indices {
            let isBack = generations[index].pid == pid
            if isBack {
                generations[index].state = .serving
            } else if generations[index].state == .serving {
                generations[index].state = .draining
            }
        }
        var effects: [Effect] = [
            .log(.warning, "rolled back: generation \(back.toEpoch), pid \(pid), serves again"), .tell(.rolledBack(back)),
        ]
        if phase == .awaitingRollback {
            phase = .idle
            effects.append(.cancel(.rollback))
        }
        if purpose == nil { effects.append(.record(rolledBackReport(back))) }
        effects.append(.ready(line))
        return effects + (phase == .idle ? resumeHangUp() : [])
    }

    /// The last attempt's: it succeeded, and then its generation died.
    private func rolledBackReport(_ back: SupervisionEvent.RolledBack) -> RestartReport {
        var report = report(.rolledBack, pid: 0)
        report.reason = back.text ?? "generation \(attempt.epoch) died; generation \(back.toEpoch) serves again"
        return report
    }

    private mutating func ended(_ pid: Int32, _ ending: Ending) -> [Effect] {
        guard let index = generations.firstIndex(where: { $0.pid == pid }) else { return [] }
        let gone = generations.remove(at: index)
        let level: LogLevel = ending.isClean ? .notice : .warning
        var effects: [Effect] = [.log(level, "generation \(gone.epoch), pid \(pid), \(ending.text)")]
        if phase == .stopping { return effects + (generations.isEmpty ? end(0) : []) }
        if case .initializing(_, pid) = phase {
            attempt.failure = failure(of: ending)
            return effects + failed()
        }
        if phase == .awaitingRollback, !generations.contains(where: { $0.state == .draining }) {
            // Nobody is left who could serve again.
            phase = .idle
            return effects + [.cancel(.rollback)] + replace()
        }
        // It did not last: what counts from now on is how long the next one does.
        if gone.state == .serving { effects.append(.cancel(.steady)) }
        if gone.isForeign, phase == .idle, serving == nil { return effects + survey(replaces: true) }
        if gone.state == .serving { effects += ending.isClean ? leave() : lost() }
        return effects + (gone.state == .serving ? [] : [.status(line)]) + finishIfEmpty()
    }

    private func failure(of ending: Ending) -> SupervisionEvent.Failure {
        var failure = attempt.failure ?? .init(step: "start", text: "the new generation \(ending.text) before it served")
        // Only busy and usage mean more to the asker than that it failed.
        failure.exitCode = failure.exitCode ?? (ending.code == 75 || ending.code == 64 ? ending.code : 1)
        return failure
    }

    /// The serving generation stopped on purpose: the others do too, and then there is nothing left to supervise.
    private mutating func leave() -> [Effect] {
        leftOnPurpose = true
        return []
    }

    private mutating func lost() -> [Effect] {
        // An attempt in progress takes over from a dead parent, or fails and brings us back here.
        guard phase == .idle else { return [] }
        guard generations.contains(where: { $0.state == .draining }) else { return replace() }
        phase = .awaitingRollback
        return [
            .log(.warning, "the serving generation died; an older one has \(Durations.rough(Self.rollbackMs)) to serve again"),
            .arm(.rollback, afterMs: Self.rollbackMs),
        ]
    }

    private mutating func replace() -> [Effect] {
        let delay = Self.backOffMs(failures)
        failures += 1
        guard delay > 0 else { return begin(.replacement) }
        phase = .backingOff
        let text = "nothing serves; next start in \(Durations.precise(Double(delay)))"
        return [.log(.error, text), .arm(.backOff, afterMs: delay), .status(text)]
    }

    /// At once, then 0.2 s, doubling.
    static func backOffMs(_ failures: Int) -> UInt64 {
        failures == 0 ? 0 : min(backOffLimitMs, 200 << UInt64(min(failures - 1, 10)))
    }

    private mutating func finishIfEmpty() -> [Effect] {
        generations.isEmpty && leftOnPurpose && phase == .idle ? survey(replaces: false) : []
    }

    /// A generation that was started by hand may have taken over from ours; to end now would end it with our control group or container.
    private mutating func survey(replaces: Bool) -> [Effect] {
        phase = .surveying(replaces: replaces)
        return [.locate]
    }

    private mutating func surveyed(_ located: Located, _ replaces: Bool) -> [Effect] {
        phase = .idle
        guard case .serving(let status) = located else {
            return replaces ? replace() : [.log(.notice, "every generation has ended on purpose")] + end(0)
        }
        generations.append(Generation(pid: status.pid, epoch: status.epoch, state: .serving, isForeign: true))
        leftOnPurpose = false
        let text = "generation \(status.epoch), pid \(status.pid), which was not started here, serves: watching it"
        return [.log(.warning, text), .watch(pid: status.pid), .ready(line)] + resumeHangUp()
    }

    // MARK: - Time and the end

    private mutating func expired(_ timer: Timer) -> [Effect] {
        switch timer {
        case .initialization: return giveUp()
        case .rollback:
            guard phase == .awaitingRollback else { return [] }
            phase = .idle
            return replace()
        case .backOff: return phase == .backingOff ? begin(.replacement) : []
        case .steady:
            failures = 0
            return []
        case .stop: return phase == .stopping ? killAll("not ended within \(Durations.rough(Self.stopMs))") : []
        }
    }

    /// SIGKILL and not SIGTERM: a child that has just taken over would stop everything on a SIGTERM, because that means on
    /// purpose; killed, it is rolled back.
    private mutating func giveUp() -> [Effect] {
        guard case .initializing(_, let pid) = phase else { return [] }
        attempt.failure = .init(
            step: attempt.failure?.step ?? "start", text: "the new generation did not serve within \(Durations.rough(initTimeoutMs))",
            remedy: "Its log says how far it got; --init-timeout-s gives it more time.", exitCode: 1)
        return [.signal(pid: pid, Self.killSignal)]
    }

    private mutating func stop(_ why: String) -> [Effect] {
        if phase == .stopping { return killAll("told to stop twice") }
        var effects: [Effect] =
            purpose == nil ? [] : [.tell(.failed(.init(step: "start", text: "the supervisor was told to stop", exitCode: 1)))]
        phase = .stopping
        effects += Timer.allCases.filter { $0 != .stop }.map { .cancel($0) }
        effects += [.log(.notice, "stopping: \(why)"), .stopping("stopping \(generations.count) generations")]
        guard !generations.isEmpty else { return effects + end(0) }
        effects += generations.map { .signal(pid: $0.pid, Self.terminateSignal) }
        return effects + [.arm(.stop, afterMs: Self.stopMs)]
    }

    private func killAll(_ why: String) -> [Effect] {
        generations.flatMap {
            [.log(.warning, "killing generation \($0.epoch), pid \($0.pid): \(why)"), .signal(pid: $0.pid, Self.killSignal)] as [Effect]
        }
    }

    private mutating func end(_ code: Int32) -> [Effect] {
        phase = .ended(code)
        return [.exit(code)]
    }

    /// For systemd's STATUS=.
    var line: String {
        guard let serving else { return "nothing serves" }
        let drains = generations.filter { $0.state == .draining }.map { generation in
            generation.drain.map(DrainText.line) ?? "generation \(generation.epoch) drains"
        }
        return (["generation \(serving.epoch) serves, pid \(serving.pid)"] + drains).joined(separator: "; ")
    }
}
