import Testing

@testable import restarter

@Suite("Start scripts")
struct ScriptStateTests {
    private func running(_ pids: Int32...) -> ScriptState {
        var state = ScriptState()
        _ = state.handle(.start)
        for (epoch, pid) in pids.enumerated() { _ = state.handle(.spawned(pid: pid, epoch: UInt64(epoch))) }
        return state
    }

    @Test func epochsCountFromZero() {
        var state = ScriptState()
        #expect(state.handle(.start) == [.spawn(epoch: 0)])
        _ = state.handle(.spawned(pid: 10, epoch: 0))
        #expect(state.handle(.hangUp) == [.spawn(epoch: 1)])
    }

    @Test func aGenerationThatFailsEndsNobodyAndItsNumberIsUsedAgain() {
        var state = running(10, 11)
        let effects = state.handle(.ended(pid: 11, exited(1)))
        #expect(effects == [.log(.error, "generation 1, pid 11, exited with code 1")])
        #expect(state.living == [10: 0])
        #expect(state.handle(.hangUp) == [.spawn(epoch: 1)])
    }

    @Test func anOldOnesEndIsNormal() {
        var state = running(10, 11)
        _ = state.handle(.ended(pid: 10, clean))
        #expect(state.handle(.hangUp) == [.spawn(epoch: 2)])
    }

    @Test func theLastOnesEndIsTheEnd() {
        var good = running(10)
        #expect(good.handle(.ended(pid: 10, clean)).last == .exit(0))
        var bad = running(10)
        #expect(bad.handle(.ended(pid: 10, crash)).last == .exit(1))
    }

    @Test func stoppingTermsWaitsAndKills() {
        var state = running(10, 11)
        let effects = state.handle(.stopRequested)
        #expect(effects.suffix(3) == [.signal(pid: 10, 15), .signal(pid: 11, 15), .armStop(afterMs: 30_000)])
        #expect(state.handle(.hangUp).isEmpty)
        #expect(state.handle(.stopExpired) == [.signal(pid: 10, 9), .signal(pid: 11, 9)])
        _ = state.handle(.ended(pid: 10, crash))
        #expect(state.handle(.ended(pid: 11, crash)).last == .exit(0))
    }

    @Test func usr1GoesToAll() {
        var state = running(10, 11)
        #expect(state.handle(.reopenLogs) == [.signal(pid: 10, 10), .signal(pid: 11, 10)])
    }

    @Test func aScriptThatCannotBeStartedIsNotTheEndOfOthers() {
        var state = running(10)
        #expect(state.handle(.spawnFailed("cannot start")) == [.log(.error, "cannot start")])
        var empty = ScriptState()
        #expect(empty.handle(.spawnFailed("cannot start")).last == .exit(1))
    }
}
