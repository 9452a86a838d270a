import ProxyCore

/// What has come from the parent and has not found its place yet.
struct Inheritance {
    struct Socket {
        var index: UInt32
        var label: Engine.SocketLabel
        var descriptor: Descriptor
    }

    var welcome: WelcomeMessage?
    var controlBlock: Descriptor?
    var queue: [Descriptor] = []
    var sockets: [Socket] = []
    var statisticsBlocks: [Descriptor] = []
    var adminSocket: Descriptor?
    var controlSocket: Descriptor?
    var older: [Relative] = []

    /// Listening sockets that the configuration has no place for; the parent is told which, and our copies are closed.
    var unwanted: [Socket] = []
    var keepsAdmin = true
    /// Requests for further sockets that are not answered yet.
    var unansweredRequests = 0

    /// A `sockets` message. Throws if labels and descriptors do not belong together.
    mutating func addSockets(_ packet: ReceivedPacket) throws(CoreError) {
        let labels = packet.all(Tag.socket).map(SocketLabelCodec.decode)
        guard labels.count == packet.descriptors.count else {
            throw CoreError(code: -22, call: "sockets", text: "\(labels.count) labels for \(packet.descriptors.count) descriptors")
        }
        for (label, descriptor) in zip(labels, packet.descriptors) {
            guard let label else { throw CoreError(code: -22, call: "sockets", text: "a label makes no sense") }
            sockets.append(Socket(index: label.index, label: label.label, descriptor: descriptor))
        }
    }

    /// An `inheritance` message. Kinds of a newer program are closed again. What is not what it is said to be fails the restart now, while
    /// failing is free; of a statistics block that cannot be read only the counts are lost, so that is told later.
    mutating func addDescriptors(_ packet: ReceivedPacket) throws(CoreError) {
        let kinds = packet.bytes(Tag.kinds) ?? []
        guard kinds.count == packet.descriptors.count else {
            throw CoreError(code: -22, call: "inheritance", text: "\(kinds.count) kinds for \(packet.descriptors.count) descriptors")
        }
        for (kind, descriptor) in zip(kinds, packet.descriptors) {
            switch InheritedKind(rawValue: kind) {
            case .statisticsBlock: statisticsBlocks.append(descriptor)
            case .adminSocket:
                try AdminServer.check(descriptor)
                adminSocket = descriptor
            case .controlSocket:
                try ControlSocket.check(descriptor)
                controlSocket = descriptor
            case .link:
                try Link.check(descriptor)
                let epoch = packet.integer(Tag.epoch) ?? 0
                let pid = Int32(truncatingIfNeeded: packet.integer(Tag.pid) ?? 0)
                older.append(Relative(link: Link(adopting: descriptor), epoch: epoch, pid: pid, process: nil))
            case nil: break
            }
        }
    }
}
