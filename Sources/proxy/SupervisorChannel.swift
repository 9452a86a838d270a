import Glibc
import ProxyCore
import ProxyModel

/// The way to whoever started this generation and wants to hear how it gets on. Silent where nobody does.
final class SupervisorChannel {
    private let link: Link?

    /// Takes the descriptor that the environment names, and the variable out of the environment: it is for this process alone.
    init() {
        let name = SupervisionChannel.environmentVariable
        guard let text = getenv(name).map({ String(cString: $0) }), let fd = Int32(text), fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 else {
            link = nil
            return
        }
        unsetenv(name)
        // O_NONBLOCK stays with the open file; the supervisor made the pair non-blocking at both ends.
        link = Link(adopting: Descriptor(adopting: fd))
    }

    var isConnected: Bool { link != nil }

    /// A supervisor that has ended, or does not read, loses the event: serving goes before telling.
    func tell(_ event: SupervisionEvent) {
        try? link?.send(Packet(type: MessageType.supervision, json: event))
    }
}
