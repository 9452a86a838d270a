import ProxyCore

/// Copies of what the serving generation's replacement would need: listening sockets, control and admin socket, control block and
/// statistics. As long as they are here, clients that connect wait in an accept queue instead of being refused, even if no generation
/// lives. They come as messages of the handover and are passed on as they came; nothing here looks into them.
final class Keeper {
    struct Kept {
        let pid: Int32
        /// Of the generation that left it.
        let epoch: UInt64
        let packets: [Packet]
    }

    /// A generation's listening sockets are bounded by its descriptor limit; a hundred of them come in a packet.
    private static let packetLimit = 4096

    private(set) var kept: Kept?
    /// What is still arriving, from which generation.
    private var arriving: (pid: Int32, epoch: UInt64, packets: [Packet])?

    /// `kept`: what an earlier supervisor left.
    init(_ kept: Kept? = nil) { self.kept = kept }

    /// Returns whether what is kept is another from now on.
    func take(_ packet: ReceivedPacket, from pid: Int32) -> Bool {
        switch packet.type {
        case MessageType.welcome:
            arriving = (pid, packet.integer(Tag.epoch) ?? 0, [Packet(copying: packet)])
        case MessageType.sockets, MessageType.inheritance: add(packet, from: pid)
        case MessageType.inheritanceEnd:
            add(packet, from: pid)
            guard let arrived = arriving, arrived.pid == pid else { return false }
            kept = Kept(pid: pid, epoch: arrived.epoch, packets: arrived.packets)
            arriving = nil
            return true
        case MessageType.keepNothing: return forget(pid)
        default: break
        }
        return false
    }

    private func add(_ packet: ReceivedPacket, from pid: Int32) {
        guard arriving?.pid == pid, (arriving?.packets.count ?? 0) < Self.packetLimit else { return }
        arriving?.packets.append(Packet(copying: packet))
    }

    /// It left on purpose, or another generation serves. Returns whether something of it was kept.
    func forget(_ pid: Int32) -> Bool {
        if arriving?.pid == pid { arriving = nil }
        guard kept?.pid == pid else { return false }
        kept = nil
        return true
    }
}

/// Sends what was kept to a replacement, as fast as it reads, then hangs up: to the replacement that is a parent which has died.
final class KeeperFeed {
    private static let retryMs: UInt64 = 1
    private static let deadlineMs: UInt64 = 10_000

    private let link: Link
    private let loop: MainLoop
    private let began = System.monotonicNs
    private var timer: MainLoop.Timer?

    private init(_ link: Link, _ loop: MainLoop) {
        self.link = link
        self.loop = loop
    }

    /// Keeps itself alive until it is done.
    static func start(_ kept: Keeper.Kept, on link: Link, loop: MainLoop) {
        let feed = KeeperFeed(link, loop)
        for packet in kept.packets { try? link.send(packet) }
        feed.timer = loop.makeTimer { feed.flush() }
        feed.flush()
    }

    private func flush() {
        let isGone = (try? link.flush()) == nil
        let isLate = System.monotonicNs - began > Self.deadlineMs * 1_000_000
        guard link.hasUnsent, !isGone, !isLate else {
            timer.map { loop.forget($0) }
            timer = nil
            return
        }
        timer.map { loop.arm($0, afterMs: Self.retryMs) }
    }
}
