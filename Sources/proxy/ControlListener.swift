import ProxyCore
import ProxyModel

/// The serving generation's end of the control socket: admits links, answers questions and commands, and passes on the link of
/// whoever says HELLO. Main thread.
final class ControlListener {
    /// Links that have not become a generation's. Whoever has been here longest goes when there are too many.
    static let clientLimit = 64
    /// A link that says nothing costs a descriptor.
    static let idleMs: UInt64 = 10_000
    /// How long nobody is accepted when there is no descriptor for it: a listening socket that is left alone goes on being readable.
    static let restMs: UInt64 = 100
    /// Messages of one link at a time, and new links at a time: whoever talks without pause must not keep others waiting.
    static let batch = 64

    private struct Client {
        var link: Link
        var peer: Link.Peer
        var timer: MainLoop.Timer
    }

    let socket: ControlSocket
    private let loop: MainLoop
    private let log: LogSystem
    private var clients: [Int32: Client] = [:]
    private var arrivals: [Int32] = []
    private var rest: MainLoop.Timer?

    var status: () -> ProxyStatus = { preconditionFailure("set before start") }
    var command: (ControlCommand, Link.Peer) -> CommandAnswer = { _, _ in CommandAnswer(ok: false) }
    /// The link is the receiver's from then on.
    var hello: (ReceivedPacket, Link, Link.Peer) -> Void = { _, _, _ in }

    init(socket: ControlSocket, loop: MainLoop, log: LogSystem) {
        self.socket = socket
        self.loop = loop
        self.log = log
    }

    deinit { stop() }

    /// Whoever connects from now on sees this process.
    func start() throws(CoreError) {
        try socket.listen()
        try watch()
    }

    private func watch() throws(CoreError) {
        try loop.watch(socket.descriptor.fd) { [weak self] in self?.acceptSome() }
    }

    /// The name stays bound: the descriptor is shared with whoever serves now.
    func stop() {
        loop.unwatch(socket.descriptor.fd)
        endRest()
        for fd in clients.keys { drop(fd) }
    }

    private func endRest() {
        if let rest { loop.forget(rest) }
        rest = nil
    }

    private func acceptSome() {
        do throws(CoreError) {
            for _ in 0..<Self.batch {
                guard let link = try socket.acceptOrThrow() else { return }
                take(link)
            }
        } catch {
            pause(error)
        }
    }

    private func pause(_ error: CoreError) {
        log.emit(
            .warning, "hot_restart", "cannot accept on the control socket: \(error); trying again every \(Self.restMs) ms",
            ["remedy": .string("Raise the descriptor limit (ulimit -n, LimitNOFILE=) or lower the connection limits.")])
        loop.unwatch(socket.descriptor.fd)
        let timer = loop.makeTimer { [weak self] in
            guard let self else { return }
            endRest()
            do throws(CoreError) { try watch() } catch { pause(error) }
        }
        rest = timer
        loop.arm(timer, afterMs: Self.restMs)
    }

    private func take(_ link: Link) {
        guard let peer = try? link.peer() else { return }
        guard peer.isPermitted else {
            log.emit(
                .warning, "hot_restart", "control link refused: only the same user or root may take part",
                ["peer.pid": .number("\(peer.pid)"), "peer.uid": .number("\(peer.uid)")])
            return
        }
        if clients.count >= Self.clientLimit, let oldest = arrivals.first { drop(oldest) }
        admit(link, peer)
    }

    private func admit(_ link: Link, _ peer: Link.Peer) {
        let fd = link.fd
        let timer = loop.makeTimer { [weak self] in self?.drop(fd) }
        clients[fd] = Client(link: link, peer: peer, timer: timer)
        arrivals.append(fd)
        loop.arm(timer, afterMs: Self.idleMs)
        do { try loop.watch(fd) { [weak self] in self?.receive(fd) } } catch { drop(fd) }
    }

    private func drop(_ fd: Int32) {
        loop.unwatch(fd)
        arrivals.removeAll { $0 == fd }
        if let client = clients.removeValue(forKey: fd) { loop.forget(client.timer) }
    }

    private func receive(_ fd: Int32) {
        do throws(CoreError) {
            for _ in 0..<Self.batch {
                guard let client = clients[fd], let packet = try client.link.receive() else { return }
                // Else whoever asks without reading would make us keep answers for it.
                guard !client.link.hasUnsent else { throw CoreError(code: -105, call: "answer", text: "the peer does not read") }
                loop.arm(client.timer, afterMs: Self.idleMs)
                try handle(packet, from: client)
            }
        } catch {
            if !error.isClosed, let client = clients[fd] {
                log.emit(
                    .warning, "hot_restart", "control link closed: \(error)",
                    ["peer.pid": .number("\(client.peer.pid)"), "peer.uid": .number("\(client.peer.uid)")])
            }
            drop(fd)
        }
    }

    private func handle(_ packet: ReceivedPacket, from client: Client) throws(CoreError) {
        switch packet.type {
        case MessageType.query:
            try client.link.send(Packet(type: MessageType.answer, json: status()))
        case MessageType.command:
            let answer = command(try packet.json(ControlCommand.self), client.peer)
            try client.link.send(Packet(type: MessageType.answer, json: answer))
        case MessageType.hello:
            drop(client.link.fd)
            hello(packet, client.link, client.peer)
        default:
            throw CoreError(code: -22, call: "control message", text: "type \(packet.type) is none that is expected here")
        }
    }
}
