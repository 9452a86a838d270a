import ProxyModel
import Testing

@testable import restarter

/// Drives a state and remembers what it asked for.
struct Drive {
    var state = SupervisorState(initTimeoutMs: 60_000)
    var effects: [SupervisorState.Effect] = []

    @discardableResult
    mutating func feed(_ event: SupervisorState.Event) -> [SupervisorState.Effect] {
        effects = state.handle(event)
        return effects
    }

    mutating func locate(serving epoch: UInt64? = nil) {
        guard let epoch else {
            feed(.located(.nobody))
            return
        }
        var status = ProxyStatus()
        status.epoch = epoch
        feed(.located(.serving(status)))
    }

    /// An attempt from `locating` to serving.
    mutating func serve(pid: Int32, epoch: UInt64, after: UInt64? = nil) {
        locate(serving: after)
        feed(.spawned(pid: pid, epoch: epoch))
        feed(.reported(pid: pid, .serving(.init(epoch: epoch, pid: pid, ms: 31))))
    }

    mutating func restart(pid: Int32, epoch: UInt64) {
        feed(.asked(configPath: nil))
        feed(.checked(good))
        serve(pid: pid, epoch: epoch, after: epoch - 1)
    }

    static func serving(pid: Int32 = 100) -> Drive {
        var drive = Drive()
        drive.feed(.start)
        drive.serve(pid: pid, epoch: 0)
        return drive
    }
}

let good = ConfigurationCheck.Outcome(ok: true, ms: 12, output: "configuration 'a' OK\n", reason: nil)
let bad = ConfigurationCheck.Outcome(ok: false, ms: 12, output: "a:1:1: error: no\na: 1 error", reason: "the configuration is invalid")
let clean = SupervisorState.Ending(code: 0, text: "exited with code 0")
let crash = SupervisorState.Ending(code: nil, text: "was killed by signal 9 (Killed)")
func exited(_ code: Int32) -> SupervisorState.Ending { .init(code: code, text: "exited with code \(code)") }

extension [SupervisorState.Effect] {
    var spawns: [UInt64] { compactMap { if case .spawn(let epoch, _) = $0 { epoch } else { nil } } }
    var signals: [[Int32]] { compactMap { if case .signal(let pid, let number) = $0 { [pid, number] } else { nil } } }
    var failure: SupervisionEvent.Failure? { compactMap { if case .tell(.failed(let failure)) = $0 { failure } else { nil } }.first }
    var refusal: SupervisionEvent.Failure? { compactMap { if case .refuse(let failure) = $0 { failure } else { nil } }.first }
    var exit: Int32? { compactMap { if case .exit(let code) = $0 { code } else { nil } }.first }
    var log: String { compactMap { if case .log(_, let text) = $0 { text } else { nil } }.joined(separator: "\n") }
    var isReady: Bool { contains { if case .ready = $0 { true } else { false } } }
    func arms(_ timer: SupervisorState.Timer) -> UInt64? { compactMap { if case .arm(timer, let ms) = $0 { ms } else { nil } }.first }
}

@Suite("Supervisor: counting and attempts")
struct SupervisorAttemptTests {
    @Test func theFirstGenerationIsZeroWhereNothingServes() {
        var drive = Drive()
        #expect(drive.feed(.start) == [.locate])
        #expect(drive.feed(.located(.nobody)) == [.spawn(epoch: 0, configPath: nil)])
    }

    @Test func theFirstGenerationTakesOverFromWhoeverServes() {
        var drive = Drive()
        drive.feed(.start)
        drive.locate(serving: 6)
        #expect(drive.effects.spawns == [7])
    }

    @Test func aSilentHolderOfTheNameEndsTheFirstAttempt() {
        var drive = Drive()
        drive.feed(.start)
        drive.feed(.located(.unusable("pid 9 holds the name")))
        #expect(drive.effects.exit == 1)
        #expect(drive.effects.failure?.text == "pid 9 holds the name")
    }

    @Test func readyIsSaidWhenTheFirstServesAndNotBefore() {
        var drive = Drive()
        drive.feed(.start)
        drive.locate()
        #expect(!drive.feed(.spawned(pid: 100, epoch: 0)).isReady)
        #expect(drive.feed(.reported(pid: 100, .serving(.init(epoch: 0, pid: 100, ms: 31)))).isReady)
        #expect(drive.state.line == "generation 0 serves, pid 100")
    }

    @Test func aRestartChecksFirstAndThenCountsOn() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: "/b.yaml"))
        #expect(drive.effects.contains(.check(configPath: "/b.yaml")))
        #expect(drive.feed(.checked(good)).last == .locate)
        drive.locate(serving: 0)
        #expect(drive.effects == [.spawn(epoch: 1, configPath: "/b.yaml")])
    }

    @Test func anInvalidFileTouchesNothing() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(bad))
        #expect(drive.effects.failure?.step == "check")
        #expect(drive.effects.failure?.output == bad.output)
        #expect(drive.effects.failure?.exitCode == 1)
        #expect(drive.effects.signals.isEmpty && drive.effects.spawns.isEmpty)
        #expect(drive.state.serving?.pid == 100)
        #expect(drive.state.phase == .idle)
    }

    @Test func anInvalidFileIsLoggedLineByLine() {
        var drive = Drive.serving()
        drive.feed(.hangUp)
        #expect(drive.feed(.checked(bad)).log == "restart failed: check: the configuration is invalid\na:1:1: error: no\na: 1 error")
    }

    @Test func aFailedAttemptsNumberIsUsedAgain() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(good))
        drive.locate(serving: 0)
        drive.feed(.spawned(pid: 101, epoch: 1))
        drive.feed(.ended(pid: 101, exited(1)))
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(good))
        drive.locate(serving: 0)
        #expect(drive.effects.spawns == [1])
    }

    @Test func aConfigurationThatFailedIsNotKept() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: "/bad.yaml"))
        drive.feed(.checked(bad))
        #expect(drive.state.configPath == nil)
        drive.feed(.asked(configPath: "/b.yaml"))
        drive.feed(.checked(good))
        drive.serve(pid: 101, epoch: 1, after: 0)
        #expect(drive.state.configPath == "/b.yaml")
        #expect(drive.feed(.hangUp).contains(.check(configPath: "/b.yaml")))
    }

    @Test func theParentDrainsAndItsEndIsNormal() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        #expect(drive.state.generations.map(\.state) == [.draining, .serving])
        drive.feed(.ended(pid: 100, clean))
        #expect(drive.state.generations.map(\.pid) == [101])
        #expect(drive.effects.exit == nil && drive.effects.spawns.isEmpty && drive.effects.signals.isEmpty)
    }

    @Test func theDrainGoesToSystemdAndToThoseWhoFollow() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        let drain = SupervisionEvent.Draining(
            epoch: 0, pid: 100, connections: 128, oldestMs: 11_520_000, listener: "edge", endsInMs: 558_000)
        drive.feed(.reported(pid: 101, .draining(drain)))
        #expect(
            drive.effects == [
                .tell(.draining(drain)),
                .status("generation 1 serves, pid 101; generation 0 drains: 128 connections left, oldest 3h12m on edge, forced in 9m18s"),
            ])
    }
}

@Suite("Supervisor: failures")
struct SupervisorFailureTests {
    @Test func aNewGenerationThatFailsEndsNobody() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(good))
        drive.locate(serving: 0)
        drive.feed(.spawned(pid: 101, epoch: 1))
        drive.feed(.reported(pid: 101, .failed(.init(step: "open listeners", id: "PX-R004", text: "cannot bind"))))
        drive.feed(.ended(pid: 101, exited(1)))
        #expect(drive.effects.failure?.step == "open listeners")
        #expect(drive.effects.failure?.id == "PX-R004")
        #expect(drive.effects.signals.isEmpty)
        #expect(drive.effects.isReady)
        #expect(drive.state.serving?.pid == 100)
    }

    @Test(arguments: [(75, 75), (64, 64), (1, 1), (134, 1), (0, 1)])
    func theExitCodeOfTheAttemptTellsTheAsker(_ code: Int32, _ told: Int32) {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(good))
        drive.locate(serving: 0)
        drive.feed(.spawned(pid: 101, epoch: 1))
        drive.feed(.ended(pid: 101, exited(code)))
        #expect(drive.effects.failure?.exitCode == told)
    }

    @Test func aGenerationThatHangsIsKilledAtItsDeadlineNotTerminated() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(good))
        drive.locate(serving: 0)
        #expect(drive.feed(.spawned(pid: 101, epoch: 1)).arms(.initialization) == 60_000)
        #expect(drive.feed(.expired(.initialization)).signals == [[101, 9]])
        drive.feed(.ended(pid: 101, crash))
        #expect(drive.effects.failure?.text == "the new generation did not serve within 1m")
        #expect(drive.state.serving?.pid == 100)
    }

    @Test func theFirstAttemptThatFailsEndsTheSupervisor() {
        var drive = Drive()
        drive.feed(.start)
        drive.locate()
        drive.feed(.spawned(pid: 100, epoch: 0))
        #expect(drive.feed(.ended(pid: 100, exited(1))).exit == 1)
    }

    @Test func aSecondAskerIsRefusedAndTheFirstIsNotDisturbed() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        let phase = drive.state.phase
        drive.feed(.asked(configPath: nil))
        #expect(drive.effects.refusal?.exitCode == 75)
        #expect(drive.effects.count == 1)
        #expect(drive.state.phase == phase)
    }

    @Test func aHangUpDuringARestartIsKept() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.hangUp)
        drive.feed(.hangUp)
        drive.feed(.checked(good))
        drive.serve(pid: 101, epoch: 1, after: 0)
        #expect(drive.state.phase == .checking(.hangUp))
        drive.feed(.checked(good))
        drive.serve(pid: 102, epoch: 2, after: 1)
        #expect(drive.state.phase == .idle)
    }
}

@Suite("Supervisor: deaths")
struct SupervisorDeathTests {
    @Test func theOnlyGenerationsDeathIsAnsweredAtOnce() {
        var drive = Drive.serving()
        #expect(drive.feed(.ended(pid: 100, crash)).last == .locate)
        drive.locate()
        #expect(drive.effects.spawns == [0])
    }

    @Test func deathsInARowAreAnsweredSlowerAndSlower() {
        var drive = Drive.serving()
        var delays: [UInt64] = []
        for pid in Int32(100)..<108 {
            drive.feed(.ended(pid: pid, crash))
            if let delay = drive.effects.arms(.backOff) {
                delays.append(delay)
                drive.feed(.expired(.backOff))
            }
            drive.serve(pid: pid + 1, epoch: 0)
        }
        #expect(delays == [200, 400, 800, 1600, 3200, 6400, 10_000])
        drive.feed(.expired(.steady))
        #expect(drive.feed(.ended(pid: 108, crash)).last == .locate)
    }

    /// Else the time that its successor takes to come up would count as time that it has served.
    @Test func aGenerationThatHasDiedIsNotSteadyLater() {
        var drive = Drive.serving()
        #expect(drive.feed(.ended(pid: 100, crash)).contains(.cancel(.steady)))
        drive.serve(pid: 101, epoch: 0)
        #expect(drive.effects.arms(.steady) == SupervisorState.steadyMs)
    }

    @Test func aReplacementThatFailsIsTriedAgain() {
        var drive = Drive.serving()
        drive.feed(.ended(pid: 100, crash))
        drive.locate()
        drive.feed(.spawned(pid: 101, epoch: 0))
        drive.feed(.ended(pid: 101, exited(1)))
        #expect(drive.effects.exit == nil)
        #expect(drive.effects.arms(.backOff) == 200)
        #expect(drive.feed(.expired(.backOff)).last == .locate)
    }

    @Test func anOlderGenerationIsGivenTimeToServeAgain() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        #expect(drive.feed(.ended(pid: 101, crash)).arms(.rollback) == SupervisorState.rollbackMs)
        drive.feed(.reported(pid: 100, .rolledBack(.init(toEpoch: 0))))
        #expect(drive.state.serving?.pid == 100)
        #expect(drive.state.phase == .idle)
        #expect(drive.effects.contains(.cancel(.rollback)))
        #expect(drive.effects.isReady)
        let report = drive.effects.compactMap { if case .record(let report) = $0 { report } else { nil } }.first
        #expect(report?.result == .rolledBack)
        #expect(report?.reason == "generation 1 died; generation 0 serves again")
    }

    @Test func aRollBackMayBeHeardOfBeforeTheDeath() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        drive.feed(.reported(pid: 100, .rolledBack(.init(toEpoch: 0))))
        drive.feed(.ended(pid: 101, crash))
        #expect(drive.state.phase == .idle)
        #expect(drive.effects.spawns.isEmpty && drive.effects.arms(.rollback) == nil)
    }

    @Test func withoutARollBackAReplacementIsStarted() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        drive.feed(.ended(pid: 101, crash))
        #expect(drive.feed(.expired(.rollback)).last == .locate)
    }

    @Test func nobodyIsWaitedForWhoCannotServeAgain() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        drive.feed(.ended(pid: 101, crash))
        #expect(drive.feed(.ended(pid: 100, crash)).last == .locate)
    }

    @Test func aDeathDuringAnAttemptIsTheAttemptsToMend() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(good))
        drive.locate(serving: 0)
        drive.feed(.spawned(pid: 101, epoch: 1))
        drive.feed(.ended(pid: 100, crash))
        #expect(drive.effects.spawns.isEmpty && !drive.effects.contains(.locate))
        // It fails too: now nothing serves.
        #expect(drive.feed(.ended(pid: 101, exited(1))).last == .locate)
    }

    @Test func aRestartAskedForWhileBackingOffComesNow() {
        var drive = Drive.serving()
        drive.feed(.ended(pid: 100, crash))
        drive.locate()
        drive.feed(.spawned(pid: 101, epoch: 0))
        drive.feed(.ended(pid: 101, exited(1)))
        drive.feed(.asked(configPath: "/fixed.yaml"))
        #expect(drive.effects.contains(.cancel(.backOff)))
        #expect(drive.effects.contains(.check(configPath: "/fixed.yaml")))
    }

    @Test func theSupervisorEndsWhenEveryGenerationLeftOnPurpose() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        #expect(drive.feed(.ended(pid: 101, clean)).exit == nil)
        #expect(drive.feed(.ended(pid: 100, clean)).last == .locate)
        drive.locate()
        #expect(drive.effects.exit == 0)
    }

    @Test func aGenerationStartedByHandIsWatchedAndTakenOver() {
        var drive = Drive.serving()
        drive.feed(.ended(pid: 100, clean))
        var status = ProxyStatus()
        status.epoch = 7
        status.pid = 900
        drive.feed(.located(.serving(status)))
        #expect(drive.effects.contains(.watch(pid: 900)))
        #expect(drive.effects.exit == nil)
        drive.restart(pid: 101, epoch: 8)
        #expect(drive.state.generations.map(\.state) == [.draining, .serving])
        #expect(drive.feed(.stopRequested("SIGTERM")).signals == [[900, 15], [101, 15]])
    }

    @Test func aGenerationStartedByHandThatEndsIsReplacedUnlessAnotherServes() {
        var drive = Drive.serving()
        drive.feed(.ended(pid: 100, clean))
        var status = ProxyStatus()
        status.pid = 900
        drive.feed(.located(.serving(status)))
        #expect(drive.feed(.ended(pid: 900, crash)).last == .locate)
        status.pid = 901
        #expect(drive.feed(.located(.serving(status))).contains(.watch(pid: 901)))
        drive.feed(.ended(pid: 901, crash))
        #expect(drive.feed(.located(.nobody)).last == .locate)
        #expect(drive.state.phase == .locating(.replacement))
    }
}

@Suite("Supervisor: stopping")
struct SupervisorStopTests {
    @Test func everyGenerationIsAskedAndTheLastOneEndsIt() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        drive.feed(.stopRequested("SIGTERM"))
        #expect(drive.effects.signals == [[100, 15], [101, 15]])
        #expect(drive.effects.arms(.stop) == 30_000)
        #expect(drive.feed(.ended(pid: 100, clean)).exit == nil)
        #expect(drive.feed(.ended(pid: 101, crash)).exit == 0)
    }

    @Test func whatStaysIsKilledAtTheDeadline() {
        var drive = Drive.serving()
        drive.feed(.stopRequested("SIGTERM"))
        #expect(drive.feed(.expired(.stop)).signals == [[100, 9]])
        #expect(drive.feed(.ended(pid: 100, crash)).exit == 0)
    }

    @Test func toldTwiceItKills() {
        var drive = Drive.serving()
        drive.feed(.stopRequested("SIGINT"))
        #expect(drive.feed(.stopRequested("SIGINT")).signals == [[100, 9]])
    }

    @Test func aDeathWhileStoppingIsNotReplaced() {
        var drive = Drive.serving()
        drive.feed(.stopRequested("SIGTERM"))
        drive.feed(.ended(pid: 100, crash))
        #expect(drive.effects.spawns.isEmpty && !drive.effects.contains(.locate))
    }

    @Test func aHalfMadeAttemptIsStoppedToo() {
        var drive = Drive.serving()
        drive.feed(.asked(configPath: nil))
        drive.feed(.checked(good))
        drive.locate(serving: 0)
        drive.feed(.spawned(pid: 101, epoch: 1))
        #expect(drive.feed(.stopRequested("SIGTERM")).signals == [[100, 15], [101, 15]])
    }

    @Test func anAnswerThatComesAfterTheStopStartsNothing() {
        var drive = Drive()
        drive.feed(.start)
        #expect(drive.feed(.stopRequested("SIGTERM")).exit == 0)
        drive.locate()
        #expect(drive.effects.isEmpty)
    }

    @Test func nobodyIsRestartedWhileStopping() {
        var drive = Drive.serving()
        drive.feed(.stopRequested("SIGTERM"))
        #expect(drive.feed(.asked(configPath: nil)).refusal?.exitCode == 1)
        #expect(drive.feed(.hangUp).isEmpty)
    }

    @Test func logsAreReopenedByAll() {
        var drive = Drive.serving()
        drive.restart(pid: 101, epoch: 1)
        #expect(drive.feed(.reopenLogs).signals == [[100, 10], [101, 10]])
    }
}
