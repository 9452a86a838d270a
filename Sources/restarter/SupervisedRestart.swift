import ProxyCore
import ProxyModel

/// A restart by the supervisor that runs: asked for over its control socket, and followed there.
final class SupervisedRestart {
    /// Longer than any wait of the supervisor's own (check, locate, initialization): beyond it, it has been stopped or hangs.
    static let silenceMs: UInt64 = 180_000

    private let session: Session
    private let follower: RestartFollower
    private var link: Link?
    private var silence: MainLoop.Timer?

    init(session: Session, follower: RestartFollower) {
        self.session = session
        self.follower = follower
    }

    func start(_ names: ControlNames, configPath: String?) {
        do {
            let link = try Link.connect(names.supervisor)
            guard try link.peer().mayBeAsked else { return follower.lost("the supervisor belongs to another user") }
            try follow(link)
            try link.send(Packet(type: MessageType.command, json: ControlCommand(.restart, configPath: configPath.map(Programs.absolute))))
        } catch {
            follower.lost("cannot ask the supervisor: \(error)")
        }
    }

    /// Show what comes on `link` until its end.
    func follow(_ link: Link) throws(CoreError) {
        self.link = link
        silence = session.loop.makeTimer { [follower] in
            if follower.serving == nil { follower.lost("the supervisor has said nothing for \(Durations.rough(Self.silenceMs))") }
        }
        arm()
        try session.loop.watch(link.fd) { [unowned self] in receive() }
    }

    private func arm() { silence.map { session.loop.arm($0, afterMs: Self.silenceMs) } }

    private func receive() {
        guard let link else { return }
        do {
            while let packet = try link.receive() {
                arm()
                if packet.type == MessageType.supervision, let event = try? packet.json(SupervisionEvent.self) { follower.take(event) }
            }
        } catch {
            session.loop.unwatch(link.fd)
            follower.lost("the supervisor has ended")
        }
    }
}
