internal import CProxyCore

/// One end of a SOCK_SEQPACKET connection between two processes. Never blocks.
public final class Link {
    public struct Peer: Equatable, Sendable {
        public var pid: Int32
        public var uid: UInt32
        public var isPermitted: Bool
    }

    public let descriptor: Descriptor
    public var fd: Int32 { descriptor.fd }
    /// Packets that the other side had no room for, oldest first; `flush` tries again.
    private var outbox: [Packet] = []
    /// A peer that never reads must not make us hold on to packets without bound.
    public static let outboxLimit = 4096

    public init(adopting descriptor: Descriptor) { self.descriptor = descriptor }

    /// What came from another process as a link is one.
    public static func check(_ descriptor: Descriptor) throws(CoreError) {
        let result = px_link_check(descriptor.fd)
        guard result == 0 else { throw CoreError(code: result, call: "inherit", object: "link") }
    }

    public static func connect(_ name: String) throws(CoreError) -> Link {
        let fd = try checked("connect") { px_link_connect(name, &$0) }
        return Link(adopting: Descriptor(adopting: fd))
    }

    public static func pair() throws(CoreError) -> (Link, Link) {
        var fds: [Int32] = [-1, -1]
        let result = px_link_pair(&fds)
        guard result == 0 else { throw CoreError(code: result, call: "socketpair") }
        return (Link(adopting: Descriptor(adopting: fds[0])), Link(adopting: Descriptor(adopting: fds[1])))
    }

    public func peer() throws(CoreError) -> Peer {
        var peer = px_peer()
        let result = px_link_peer(fd, &peer)
        guard result == 0 else { throw CoreError(code: result, call: "SO_PEERCRED") }
        return Peer(pid: peer.pid, uid: peer.uid, isPermitted: px_peer_is_permitted(&peer))
    }

    /// nil: the process is gone or the kernel has no pidfds.
    public func peerProcess() -> ProcessHandle? {
        let fd = px_link_peer_pidfd(self.fd)
        return fd >= 0 ? ProcessHandle(Descriptor(adopting: fd)) : nil
    }

    public var hasUnsent: Bool { !outbox.isEmpty }

    /// Send, or queue behind what is queued already. Throws when the other side is gone or the queue is full.
    public func send(_ packet: Packet) throws(CoreError) {
        guard outbox.count < Self.outboxLimit else { throw CoreError(code: -105, call: "send", text: "peer does not read") }
        outbox.append(packet)
        try flush()
    }

    public func flush() throws(CoreError) {
        var sent = 0
        defer { outbox.removeFirst(sent) }
        for packet in outbox {
            let bytes = try packet.encoded()
            let fds = packet.descriptors.map(\.fd)
            let result = px_link_send(fd, bytes, UInt32(bytes.count), fds, UInt32(fds.count))
            if result == -11 || result == -109 { return }  // EAGAIN; ETOOMANYREFS: in flight, goes when the peer reads
            guard result >= 0 else { throw CoreError(code: result, call: "send", object: "type \(packet.type)") }
            sent += 1
        }
    }

    /// The next packet, or nil when there is none now. Throws at the end of the link (`isClosed`) and for malformed packets.
    public func receive() throws(CoreError) -> ReceivedPacket? {
        var count: UInt32 = 0
        var fds = [Int32](repeating: -1, count: Int(PX_PACKET_FDS_MAX))
        var length: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(PX_PACKET_MAX)) { room, used in
            length = px_link_receive(fd, room.baseAddress!, UInt32(room.count), &fds, &count)
            used = max(0, Int(length))
        }
        if length == -11 { return nil }
        guard length >= 0 else { throw CoreError(code: length, call: "receive") }
        return try ReceivedPacket(parsing: bytes, descriptors: fds.prefix(Int(count)).map { Descriptor(adopting: $0) })
    }
}

extension CoreError {
    /// Part of a packet, or of its descriptors, did not come.
    public var isTruncated: Bool { code == -Int32(PX_E_TRUNCATED.rawValue) }
    /// The peer closed the link or died.
    public var isClosed: Bool { code == -Int32(PX_E_CLOSED.rawValue) || code == -104 || code == -32 }
}

/// The listening control socket: bound once, handed from generation to generation.
public final class ControlSocket {
    public let descriptor: Descriptor

    public init(adopting descriptor: Descriptor) { self.descriptor = descriptor }

    public static func bind(_ name: String, mode: UInt32) throws(CoreError) -> ControlSocket {
        let fd = try checked("bind") { px_link_bind(name, mode, &$0) }
        return ControlSocket(adopting: Descriptor(adopting: fd))
    }

    /// What came from another process as the control socket is one.
    public static func check(_ descriptor: Descriptor) throws(CoreError) {
        let result = px_link_check_control(descriptor.fd)
        guard result == 0 else { throw CoreError(code: result, call: "inherit", object: "control socket") }
    }

    /// From now on whoever connects sees this process as the listener.
    public func listen() throws(CoreError) {
        let result = px_link_listen(descriptor.fd)
        guard result == 0 else { throw CoreError(code: result, call: "listen") }
    }

    public func accept() -> Link? { try? acceptOrThrow() }

    /// nil: nobody waits. Throws when somebody does and cannot be accepted.
    public func acceptOrThrow() throws(CoreError) -> Link? {
        let fd = px_link_accept(descriptor.fd)
        if fd == -11 { return nil }
        guard fd >= 0 else { throw CoreError(code: fd, call: "accept", object: "control socket") }
        return Link(adopting: Descriptor(adopting: fd))
    }
}

extension CoreError {
    public var isNameInUse: Bool { code == -Int32(PX_E_NAME_IN_USE.rawValue) || code == -98 }
    public var isNobodyThere: Bool { code == -111 || code == -2 }
    public var isTryAgain: Bool { code == -11 }
    public var isIncompatible: Bool { code == -Int32(PX_E_INCOMPATIBLE.rawValue) }
}
