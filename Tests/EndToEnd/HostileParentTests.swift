import Foundation
import Harness
import ProxyCore
import ProxyModel
import Testing

extension EndToEnd.BadParents {
    /// One descriptor said to be of `kind`.
    private func inherited(_ kind: InheritedKind, _ descriptor: Descriptor) -> Packet {
        var packet = Packet(type: MessageType.inheritance)
        packet.put(Tag.kinds, [kind.rawValue])
        packet.descriptors = [descriptor]
        return packet
    }

    /// A child told that each of the wrong kinds is the `kind` it needs: it names what came, and ends.
    private func expectRefusals(_ kind: InheritedKind, _ name: String, right: [DescriptorKind]) throws {
        try scenario("wrong kinds of \(name)", seconds: 120) { s in
            let (chain, _) = try s.echoChain()
            let block = try Self.controlBlock()
            for (what, descriptor) in try DescriptorKind.every(in: s, but: right) {
                let child = try meet(s, chain) { peer in
                    try peer.send(welcome(try .copy(of: block.fd)))
                    try peer.send(inherited(kind, descriptor))
                    try peer.send(end(0))
                }
                s.checkEqual(child.exitStatus(), .exited(1), what)
                s.checkContains(child.log, "the listening sockets did not come over: inherit \(name): ", what)
                s.checkContains(child.log, "PX-R027", what)
            }
        }
    }

    @Test func wrongControlSocketsAreRefused() throws {
        try expectRefusals(.controlSocket, "control socket", right: [.boundSeqpacket])
    }

    @Test func wrongAdminSocketsAreRefused() throws {
        try expectRefusals(.adminSocket, "admin socket", right: [.boundTCP, .boundStream])
    }

    @Test func wrongLinksAreRefused() throws {
        try expectRefusals(.link, "link", right: [.seqpacketPair])
    }

    @Test func wrongControlBlocksAreRefused() throws {
        try scenario("wrong control blocks", seconds: 120) { s in
            let (chain, _) = try s.echoChain()
            let block = try Self.controlBlock()
            let good = try Descriptor.copy(of: block.fd).bytes()
            var other = good
            other[8] ^= 0x40  // the layout's number follows the magic
            let wrong: [(String, Descriptor, String)] = [
                ("no memory", try .null(), "not a memory file"),
                ("memory without seals", try wrapped { () throws(CoreError) in try .memoryFile("plain", good) }, "seals are"),
                ("memory that cannot be written", try .sealedMemory(good, size: good.count, isReadOnly: true), "cannot be written"),
                ("too short", try .sealedMemory([1], size: 100, isReadOnly: false), "size is 100"),
                ("empty", try .sealedMemory([], size: 0, isReadOnly: false), "size is 0"),
                ("another layout", try .sealedMemory(other, size: good.count, isReadOnly: false), "wanted layout"),
                ("zeros", try .sealedMemory([], size: good.count, isReadOnly: false), "magic is 0"),
                ("a statistics block", try .statisticsBlock(epoch: 0), "control block"),
            ]
            for (what, descriptor, text) in wrong {
                let child = try meet(s, chain) { peer in
                    try peer.send(welcome(descriptor))
                    try peer.send(end(0))
                }
                s.checkEqual(child.exitStatus(), .exited(1), what)
                s.checkContains(child.log, text, what)
                s.checkContains(child.log, "PX-R026", what)
            }
            // Nor can it be cut once a child has it: the seals that it insists on forbid it.
            s.check(ftruncate(block.fd, 0) != 0 && errno == EPERM, "a control block can be truncated")
        }
    }

    @Test func wrongQueuesAreRefused() throws {
        try scenario("wrong queues", seconds: 120) { s in
            let (chain, _) = try s.echoChain()
            let block = try Self.controlBlock()
            let queue = try wrapped { () throws(CoreError) in try MessageQueue.create(side: .parent) }
            for position in 0..<3 {
                for (what, descriptor) in try DescriptorKind.every(in: s, but: []) {
                    var fds = try queue.fds.map { try Descriptor.copy(of: $0) }
                    fds[position] = descriptor
                    let child = try meet(s, chain) { peer in
                        try peer.send(welcome(try .copy(of: block.fd), queue: fds))
                        try peer.send(end(0))
                    }
                    s.checkEqual(child.exitStatus(), .exited(1), "\(what) as descriptor \(position)")
                    s.checkContains(child.log, "PX-R026", "\(what) as descriptor \(position)")
                }
            }
        }
    }

    /// Counts that cannot be read are no reason not to serve: they are left out, and each block is named in the log.
    @Test func wrongStatisticsBlocksAreLeftOut() throws {
        try scenario("wrong statistics blocks", seconds: 60) { s in
            let (chain, echo) = try s.echoChain()
            let block = try Self.controlBlock()
            let good = try Descriptor.statisticsBlock(epoch: 0)
            s.check(ftruncate(good.fd, 0) != 0 && errno == EPERM, "a statistics block can be truncated")
            let bytes = try good.bytes()
            var other = bytes
            other[8] ^= 0x40
            var blocks = try DescriptorKind.every(in: s, but: []).map(\.descriptor)
            blocks.append(try wrapped { () throws(CoreError) in try .memoryFile("plain", bytes) })
            blocks.append(try .sealedMemory(other, size: bytes.count, isReadOnly: true))
            blocks.append(try .sealedMemory(bytes, size: bytes.count + 4096, isReadOnly: true))
            blocks.append(try .sealedMemory(Array(bytes.prefix(100)), size: 100, isReadOnly: true))
            blocks.append(good)
            let socket = try ControlSocket.bind(s.controlName, mode: 0o600)
            try socket.listen()
            let child = try chain.launch(["--restart-epoch", "1"])
            let parent = try greeted(by: socket)
            try parent.send(welcome(try .copy(of: block.fd)))
            try parent.send(inherited(.controlSocket, try .copy(of: socket.descriptor.fd)))
            for block in blocks { try parent.send(inherited(.statisticsBlock, block)) }
            try parent.send(end(0))
            try eventually("READY", within: 20) { try parent.receive(within: 20).type == MessageType.ready }
            parent.link.hangUp()
            try eventually("the child to serve", within: 20) { chain.admin.servingEpoch() == 1 }
            s.checkContains(child.log, "another generation's statistics cannot be read; they are left out", "the log")
            try TestSocket(echo).echo()
            child.signal(SIGTERM)
            s.checkEqual(try child.waitForExit(), .exited(0), "the child")
        }
    }

    /// The link on which a child has said HELLO.
    private func greeted(by socket: ControlSocket) throws -> ControlPeer {
        var asked: [ControlPeer] = []
        return try eventually("HELLO", within: 15) {
            guard let link = socket.accept() else { return nil }
            let peer = ControlPeer(link)
            if try peer.receive(within: 5).type == MessageType.hello { return peer }
            var status = ProxyStatus()
            status.pid = getpid()
            try peer.send(Packet(type: MessageType.answer, json: status))
            asked.append(peer)
            return nil
        }
    }
}
