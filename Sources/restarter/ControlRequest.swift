import Glibc
import ProxyCore

/// One question to whoever holds a control name, with a deadline for all of it. Credentials are checked before a word is said.
final class ControlRequest {
    enum Outcome {
        case nobody
        /// The link stays open for what else may come on it.
        case answer(ReceivedPacket, from: Link.Peer, on: Link)
        /// Somebody holds the name and does not speak.
        case silent(pid: Int32?)
        case stranger(Link.Peer)
        case failed(CoreError)
    }

    static let deadlineMs: UInt64 = 2_000

    private let name: String
    private let packet: Packet
    private let loop: MainLoop
    private var retryMs: UInt64 = 10
    private var link: Link?
    private var peer: Link.Peer?
    private var deadline: MainLoop.Timer?
    private var retry: MainLoop.Timer?
    /// Holds the request until it is answered.
    private var completion: ((Outcome) -> Void)?

    /// `completion` is called once, always from the loop.
    static func send(
        _ packet: Packet, to name: String, loop: MainLoop, deadlineMs: UInt64 = deadlineMs, completion: @escaping (Outcome) -> Void
    ) {
        let request = ControlRequest(packet, name, loop)
        request.completion = { outcome in
            completion(outcome)
            withExtendedLifetime(request) {}
        }
        request.arm(deadlineMs)
    }

    private init(_ packet: Packet, _ name: String, _ loop: MainLoop) {
        self.packet = packet
        self.name = name
        self.loop = loop
    }

    private func arm(_ deadlineMs: UInt64) {
        let deadline = loop.makeTimer { [weak self] in self?.expire() }
        let retry = loop.makeTimer { [weak self] in self?.connect() }
        loop.arm(deadline, afterMs: deadlineMs)
        loop.arm(retry, afterMs: 0)
        self.deadline = deadline
        self.retry = retry
    }

    private func connect() {
        do {
            let link = try Link.connect(name)
            let peer = try link.peer()
            self.link = link
            self.peer = peer
            guard peer.mayBeAsked else { return finish(.stranger(peer)) }
            try loop.watch(link.fd) { [weak self] in self?.receive() }
            try link.send(packet)
        } catch {
            fail(error)
        }
    }

    private func fail(_ error: CoreError) {
        if error.isTryAgain, link == nil, let retry {
            again(retry)  // its backlog is full; it may still answer within the deadline
        } else if error.isNobodyThere {
            finish(.nobody)
        } else if error.isClosed, let retry {
            // It hung up without an answer, as a generation does that is just handing over: another will answer.
            if let link { loop.unwatch(link.fd) }
            link = nil
            again(retry)
        } else {
            finish(.failed(error))
        }
    }

    /// Each time later: whoever turns us away logs it.
    private func again(_ retry: MainLoop.Timer) {
        loop.arm(retry, afterMs: retryMs)
        retryMs *= 2
    }

    private func receive() {
        guard let link, let peer else { return }
        do {
            guard let packet = try link.receive() else { return }
            // Whoever gets the link watches it anew: events that follow in this packet's wake are not lost, readiness is a level.
            finish(.answer(packet, from: peer, on: link))
        } catch {
            fail(error)
        }
    }

    private func expire() { finish(.silent(pid: peer?.pid)) }

    private func finish(_ outcome: Outcome) {
        guard let completion else { return }
        self.completion = nil
        if let link { loop.unwatch(link.fd) }
        for timer in [deadline, retry] { timer.map(loop.forget) }
        completion(outcome)
    }
}

extension Link.Peer {
    /// Root may ask anybody, and tell them what to do. What the answer says is then another user's word: to run a program it names,
    /// or to signal a process it names, takes `isPermitted`, or that the process is that user's own.
    var mayBeAsked: Bool { isPermitted || geteuid() == 0 }
}
