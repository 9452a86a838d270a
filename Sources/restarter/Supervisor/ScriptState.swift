/// Supervision of start scripts in the manner of Envoy's hot-restarter.py: each generation is the script with RESTART_EPOCH in its
/// environment. Two differences on purpose: a generation that fails ends no other, and the number of one that failed is used again.
struct ScriptState: Equatable {
    enum Event: Equatable {
        case start, hangUp, stopRequested, reopenLogs, stopExpired
        case spawned(pid: Int32, epoch: UInt64)
        case spawnFailed(String)
        case ended(pid: Int32, SupervisorState.Ending)
    }

    enum Effect: Equatable {
        case spawn(epoch: UInt64)
        case signal(pid: Int32, Int32)
        case armStop(afterMs: UInt64)
        case log(SupervisorState.LogLevel, String)
        case exit(Int32)
    }

    private(set) var living: [Int32: UInt64] = [:]
    private var stopping = false
    private var hasExited = false

    /// One above the newest that lives.
    private var nextEpoch: UInt64 { living.values.max().map { $0 + 1 } ?? 0 }
    private var pids: [Int32] { living.keys.sorted() }

    mutating func handle(_ event: Event) -> [Effect] {
        if hasExited { return [] }
        switch event {
        case .start, .hangUp: return stopping ? [] : [.spawn(epoch: nextEpoch)]
        case .stopRequested: return stop()
        case .reopenLogs: return pids.map { .signal(pid: $0, SupervisorState.reopenSignal) }
        case .stopExpired: return pids.map { .signal(pid: $0, SupervisorState.killSignal) }
        case .spawned(let pid, let epoch):
            living[pid] = epoch
            return [.log(.notice, "started generation \(epoch), pid \(pid)")]
        case .spawnFailed(let text): return [.log(.error, text)] + (living.isEmpty ? end(1) : [])
        case .ended(let pid, let ending): return ended(pid, ending)
        }
    }

    private mutating func stop() -> [Effect] {
        stopping = true
        guard !living.isEmpty else { return end(0) }
        return [.log(.notice, "stopping \(living.count) generations")] + pids.map { .signal(pid: $0, SupervisorState.terminateSignal) }
            + [.armStop(afterMs: SupervisorState.stopMs)]
    }

    private mutating func ended(_ pid: Int32, _ ending: SupervisorState.Ending) -> [Effect] {
        guard let epoch = living.removeValue(forKey: pid) else { return [] }
        var effects: [Effect] = [.log(ending.isClean ? .notice : .error, "generation \(epoch), pid \(pid), \(ending.text)")]
        if living.isEmpty { effects += end(stopping || ending.isClean ? 0 : 1) }
        return effects
    }

    private mutating func end(_ code: Int32) -> [Effect] {
        hasExited = true
        return [.exit(code)]
    }
}
