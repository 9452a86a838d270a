import Glibc
import ProxyCore
import ProxyModel

/// The supervisor's control socket: whoever asks for a restart follows it here, event by event, until they hang up.
final class SupervisorSocket {
    /// A user's scripts may pile up; each link costs a descriptor.
    static let clientLimit = 64

    private let name: String
    private let socket: ControlSocket
    private let loop: MainLoop
    private var clients: [Int32: Link] = [:]
    /// Keys of `clients`, oldest first.
    private var arrivals: [Int32] = []
    private var followers: Set<Int32> = []
    var status: () -> SupervisorStatus = { preconditionFailure("set before start") }
    /// A command, and the answer to it; nil: it is followed with events.
    var command: (ControlCommand, Asker) -> CommandAnswer? = { _, _ in nil }
    var log: (String) -> Void = { _ in }

    struct Asker {
        let refuse: (SupervisionEvent.Failure) -> Void
        let peer: Link.Peer
    }

    init(_ names: ControlNames, mode: UInt32, loop: MainLoop) throws(CoreError) {
        name = names.supervisor
        socket = try ControlSocket.bind(name, mode: mode)
        self.loop = loop
    }

    func start() throws(CoreError) {
        try loop.watch(socket.descriptor.fd) { [weak self] in self?.acceptAll() }
        try socket.listen()
    }

    func close() {
        for fd in clients.keys { drop(fd) }
        loop.unwatch(socket.descriptor.fd)
        // The name is ours as long as we live, so this removes nobody else's.
        if !name.hasPrefix("@") { unlink(name) }
    }

    /// To everybody who follows.
    func tell(_ event: SupervisionEvent) {
        for fd in followers { send(Packet(type: MessageType.supervision, json: event), to: fd) }
    }

    /// A starter that waits on a descriptor it passed follows from the beginning.
    func follow(_ link: Link) { admit(link, following: true) }

    private func acceptAll() {
        while let link = socket.accept() {
            guard let peer = try? link.peer() else { continue }
            guard peer.isPermitted else {
                log("refused pid \(peer.pid) of user \(peer.uid): only the same user or root may ask")
                continue
            }
            makeRoom()
            admit(link, following: false)
        }
    }

    /// Whoever has been silent longest goes first; those who follow a restart stay.
    private func makeRoom() {
        guard clients.count >= Self.clientLimit else { return }
        if let oldest = arrivals.first(where: { !followers.contains($0) }) ?? arrivals.first { drop(oldest) }
    }

    private func admit(_ link: Link, following: Bool) {
        let fd = link.fd
        clients[fd] = link
        arrivals.append(fd)
        if following { followers.insert(fd) }
        do { try loop.watch(fd) { [weak self] in self?.receive(fd) } } catch { drop(fd) }
    }

    private func receive(_ fd: Int32) {
        do {
            while let link = clients[fd], let packet = try link.receive() { try handle(packet, from: link) }
        } catch {
            drop(fd)
        }
    }

    private func handle(_ packet: ReceivedPacket, from link: Link) throws(CoreError) {
        switch packet.type {
        case MessageType.query: send(Packet(type: MessageType.answer, json: status()), to: link.fd)
        case MessageType.command: obey(try packet.json(ControlCommand.self), from: link, try link.peer())
        default: drop(link.fd)
        }
    }

    private func obey(_ request: ControlCommand, from link: Link, _ peer: Link.Peer) {
        let fd = link.fd
        let asker = Asker(
            refuse: { [weak self] in self?.send(Packet(type: MessageType.supervision, json: SupervisionEvent.failed($0)), to: fd) },
            peer: peer)
        // Before the command is obeyed, because its first events come while it is.
        if request.command == .restart { followers.insert(fd) }
        if let answer = command(request, asker) { send(Packet(type: MessageType.answer, json: answer), to: fd) }
    }

    private func send(_ packet: Packet, to fd: Int32) {
        guard let link = clients[fd] else { return }
        do { try link.send(packet) } catch { drop(fd) }
    }

    private func drop(_ fd: Int32) {
        loop.unwatch(fd)
        followers.remove(fd)
        arrivals.removeAll { $0 == fd }
        clients[fd] = nil
    }
}
