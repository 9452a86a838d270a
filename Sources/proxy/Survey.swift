import ProxyCore
import ProxyModel
import ProxyRestart

/// Asks, before anything else, who serves under this base id. Changes nothing anywhere.
///
/// The socket of a dead process still takes links if somebody holds a copy of it: a generation that is about to serve again, or our
/// supervisor, who waits for us. Only the first will answer.
enum Survey {
    static let deadlineMs: UInt64 = 5000
    /// How long after the death of who listened an older generation, which then serves again, is given to accept the link.
    static let rollbackMs: UInt64 = 50

    enum Outcome {
        case nobody
        /// Indirect, because it is five times as large as a failure.
        indirect case serving(ProxyStatus)
        case failed(RestartFailure)
    }

    /// `isSupervised`: the copy may be our supervisor's.
    static func ask(_ name: String, loop: MainLoop, isSupervised: Bool) -> Outcome {
        let deadline = System.monotonicNs + deadlineMs * 1_000_000
        while true {
            var peer: Link.Peer?
            do {
                let link = try Link.connect(name)
                let holder = try link.peer()
                peer = holder
                guard holder.isPermitted else { return .failed(.strangerServes(holder, name: name)) }
                try link.send(.query)
                if let status = try answer(on: link, of: isSupervised ? holder : nil, loop: loop, until: deadline) {
                    return .serving(status)
                }
                if isSupervised, !ProcessHandle.isRunning(pid: holder.pid) { return .failed(.deadParent(holder.pid)) }
                return .failed(.silentParent("no answer from pid \(holder.pid)"))
            } catch {
                if error.isNobodyThere { return .nobody }
                // Root's may be asked, but answers only root.
                if error.isClosed, let peer, peer.uid != System.user { return .failed(.strangerServes(peer, name: name)) }
                // Its backlog is full, or it hung up because it was handing over at that moment: ask again.
                guard error.isTryAgain || error.isClosed else { return .failed(.controlSocket(error, name: name)) }
                guard System.monotonicNs < deadline else { return .failed(.silentParent("its control socket takes no links")) }
                System.pause(milliseconds: 10)
            }
        }
    }

    /// nil: none came by the deadline, or before the death of `holder`.
    private static func answer(
        on link: Link, of holder: Link.Peer?, loop: MainLoop, until deadline: UInt64
    ) throws(CoreError) -> ProxyStatus? {
        try loop.watch(link.fd) {}
        defer { loop.unwatch(link.fd) }
        let process = holder.flatMap { ProcessHandle(pid: $0.pid) }
        if let process { try loop.watch(process.descriptor.fd) {} }
        defer { process.map { loop.unwatch($0.descriptor.fd) } }
        var deadline = deadline
        var isDead = false
        while true {
            if let holder, !isDead, !ProcessHandle.isRunning(pid: holder.pid) {
                isDead = true
                process.map { loop.unwatch($0.descriptor.fd) }
                deadline = min(deadline, System.monotonicNs + rollbackMs * 1_000_000)
            }
            if let packet = try link.receive() {
                guard packet.type == MessageType.answer else { continue }
                return try packet.json(ProxyStatus.self)
            }
            let now = System.monotonicNs
            guard now < deadline else { return nil }
            try loop.turn(timeoutMs: Int32((deadline - now) / 1_000_000) + 1)
        }
    }
}
