import ProxyCore
import ProxyModel
import ProxyRestart

// Who the word of who serves names, and whether that process lives. The ends of links tell of most deaths; not of all, because a
// process that is stopped, or one that initialises, may hold a dead one's link open.
extension Generation {
    /// A generation whose process cannot be seen (another PID namespace) is taken for dead once its main loop has been silent so long.
    private static let unseenSilenceNs: UInt64 = 2_000_000_000
    /// Whoever is to take over from a dead owner gets so long before an older generation serves again instead.
    private static let graceNs: UInt64 = 1_000_000_000

    /// The word's owner, if it is another generation and dead.
    var deadOwner: UInt64? {
        guard let controlBlock else { return nil }
        let owner = controlBlock.serving
        return owner != epoch && isDead(owner) ? owner : nil
    }

    private func isDead(_ owner: UInt64) -> Bool {
        if let relative = child?.relative, relative.epoch == owner, let process = relative.process { return process.hasEnded }
        // A generation removes its record when it ends, and the serving one removes those of the dead.
        guard let record = controlBlock?.generations.first(where: { $0.epoch == owner }) else { return true }
        if seesProcesses { return !ProcessHandle.isRunning(pid: record.pid) }
        if let process = ProcessHandle(pid: record.pid) { return process.hasEnded }
        let now = System.monotonicNs
        return now > record.heartbeatNs && now - record.heartbeatNs > Self.unseenSilenceNs
    }

    /// Whether the process numbers in the control block are ours: the kernel shows 0 for a peer outside of our PID namespace.
    private var seesProcesses: Bool { (parent?.pid ?? child?.relative.pid ?? 0) > 0 }

    /// On each tick. A draining generation serves again when whoever has the word is dead; a serving one learns here that it was
    /// replaced while it was stopped, even if no client connects.
    func watchOwner(_ now: UInt64) {
        if machine.serves, let controlBlock, controlBlock.serving != epoch { return feed(.lostService(to: controlBlock.serving)) }
        guard machine.state == .draining, let owner = deadOwner else {
            ownerDeadSinceNs = nil
            return giveUpWindowOfAnOlderRestart()
        }
        let since = ownerDeadSinceNs ?? now
        ownerDeadSinceNs = since
        guard now - since >= Self.graceNs else { return }
        noteDeadOwner(owner)
        feed(.successorAnnounced(epoch: owner))
        feed(.childGone)
    }

    /// A newer restart has succeeded: the generation it replaced watches over it, and our window is over.
    private func giveUpWindowOfAnOlderRestart() {
        guard machine.state == .draining, machine.windowIsOpen, let controlBlock, machine.successors.contains(controlBlock.serving),
            controlBlock.generations.contains(where: { $0.epoch == controlBlock.serving && $0.state == .serving })
        else { return }
        feed(.timeout(.rollbackWindow))
    }

    /// Whom to take the word back from before `event`, by which a drain may end, is looked at: otherwise nobody might be left to serve.
    func deadOwner(before event: RestartEvent) -> UInt64? {
        guard machine.state == .draining else { return nil }
        switch event {
        case .empty, .closedAll, .timeout(.rollbackWindow), .timeout(.forceClose), .timeout(.exit): return deadOwner
        default: return nil
        }
    }

    func noteDeadOwner(_ owner: UInt64) {
        ownerDeadSinceNs = nil
        log.emit(.warning, "hot_restart", "generation \(owner), which has the word of who serves, is dead")
    }
}
