import ProxyCore
import ProxyModel
import ProxyRestart

/// Asks, before anything else, who serves under this base id. Changes nothing anywhere.
enum Survey {
    static let deadlineMs: UInt64 = 5000

    enum Outcome {
        case nobody
        case serving(ProxyStatus)
        case failed(RestartFailure)
    }

    static func ask(_ name: String, loop: MainLoop) -> Outcome {
        let deadline = System.monotonicNs + deadlineMs * 1_000_000
        while true {
            var peer: Link.Peer?
            do {
                let link = try Link.connect(name)
                let holder = try link.peer()
                peer = holder
                guard holder.isPermitted else { return .failed(.strangerServes(holder, name: name)) }
                try link.send(.query)
                if let status = try answer(on: link, loop: loop, until: deadline) { return .serving(status) }
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

    private static func answer(on link: Link, loop: MainLoop, until deadline: UInt64) throws(CoreError) -> ProxyStatus? {
        try loop.watch(link.fd) {}
        defer { loop.unwatch(link.fd) }
        while true {
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
