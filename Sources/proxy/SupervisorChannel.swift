import Glibc
import ProxyCore
import ProxyModel

/// The way to whoever started this generation and wants to hear how it gets on. Silent where nobody does.
final class SupervisorChannel {
    private let link: Link?
    /// What a dead generation left behind comes this way, if we are its replacement; taken once.
    private var keeper: Link?

    /// Takes the descriptors that the environment names, and the variables out of the environment: they are for this process alone.
    init() {
        link = Self.adopt(SupervisionChannel.environmentVariable)
        keeper = Self.adopt(SupervisionChannel.keeperVariable)
    }

    /// O_NONBLOCK stays with the open file; the supervisor made the pair non-blocking at both ends.
    private static func adopt(_ name: String) -> Link? {
        guard let text = getenv(name).map({ String(cString: $0) }) else { return nil }
        unsetenv(name)
        guard let fd = Int32(text), fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 else { return nil }
        return Link(adopting: Descriptor(adopting: fd))
    }

    var isConnected: Bool { link != nil }
    var hasKeeper: Bool { keeper != nil }

    func takeKeeper() -> Link? {
        defer { keeper = nil }
        return keeper
    }

    /// A supervisor that has ended, or does not read, loses the event: serving goes before telling.
    func tell(_ event: SupervisionEvent) { send(Packet(type: MessageType.supervision, json: event)) }

    func send(_ packet: Packet) { try? link?.send(packet) }

    var hasUnsent: Bool { link?.hasUnsent ?? false }
    func flush() { try? link?.flush() }
}
