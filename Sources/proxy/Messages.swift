import ProxyCore

// The messages between generations as values: each knows how it is written and read. docs/design/0002-handover-protocol.md describes the
// exchange. What a peer leaves out or gets wrong makes `init` return nil; the step then fails by name.

extension Packet {
    /// A message that has nothing to say beyond its type.
    static func bare(_ type: UInt16) -> Packet { Packet(type: type) }
}

/// Tags of every message this version reads. A required tag outside of these is refused by its number.
let knownTags: Set<UInt16> = [
    Tag.versionMin, Tag.versionMax, Tag.capabilities, Tag.requiredCapabilities, Tag.epoch, Tag.socket, Tag.kinds,
]

/// child → parent: who wants to be next, and what it can do.
struct HelloMessage: Equatable {
    var versionMin = Protocol.oldest
    var versionMax = Protocol.newest
    var capabilities = Capabilities.all
    var required = Capabilities.required
    var epoch: UInt64
    var pid: Int32
    var programVersion = ProgramVersion.text

    init(epoch: UInt64, pid: Int32) {
        self.epoch = epoch
        self.pid = pid
    }

    /// In the oldest version of the protocol: the two have not agreed on one yet.
    var packet: Packet {
        var packet = Packet(type: MessageType.hello, version: Protocol.oldest)
        packet.put(Tag.versionMin, UInt64(versionMin))
        packet.put(Tag.versionMax, UInt64(versionMax))
        packet.put(Tag.capabilities, capabilities.rawValue)
        packet.put(Tag.requiredCapabilities, required.rawValue)
        packet.put(Tag.epoch, epoch)
        packet.put(Tag.pid, UInt64(UInt32(bitPattern: pid)))
        packet.put(Tag.programVersion, programVersion)
        return packet
    }

    init?(_ packet: ReceivedPacket) {
        guard let low = packet.integer(Tag.versionMin), let high = packet.integer(Tag.versionMax), low <= high,
            let capabilities = packet.integer(Tag.capabilities), let required = packet.integer(Tag.requiredCapabilities),
            let epoch = packet.integer(Tag.epoch), epoch < .max
        else { return nil }
        versionMin = UInt16(clamping: low)
        versionMax = UInt16(clamping: high)
        self.capabilities = Capabilities(rawValue: capabilities)
        self.required = Capabilities(rawValue: required)
        self.epoch = epoch
        pid = Int32(truncatingIfNeeded: packet.integer(Tag.pid) ?? 0)
        programVersion = packet.text(Tag.programVersion) ?? "unknown"
    }

    /// Why the two cannot restart into each other; nil: they can. `self` is the child's.
    func incompatibility(withParent version: String) -> RestartRefusal? {
        guard versionMin <= Protocol.newest, versionMax >= Protocol.oldest else {
            return RestartRefusal(
                reason: .version,
                text: "hot restart compatibility error: no common protocol version: the serving generation (\(version)) speaks "
                    + "\(Protocol.oldest) to \(Protocol.newest), the new one (\(programVersion)) \(versionMin) to \(versionMax)")
        }
        let childLacks = Capabilities.required.subtracting(capabilities)
        let parentLacks = required.subtracting(.all)
        guard !childLacks.isEmpty || !parentLacks.isEmpty else { return nil }
        var text = "hot restart compatibility error: mismatched capability flags:"
        if !childLacks.isEmpty { text += " the new generation (\(programVersion)) lacks \(childLacks)" }
        if !parentLacks.isEmpty { text += "\(childLacks.isEmpty ? "" : ";") the serving generation (\(version)) lacks \(parentLacks)" }
        return RestartRefusal(reason: .capabilities, text: text)
    }
}

struct RestartRefusal: Equatable {
    var reason: RefusalReason
    var text: String

    init(reason: RefusalReason, text: String) {
        self.reason = reason
        self.text = text
    }

    var packet: Packet {
        var packet = Packet(type: MessageType.refused, version: Protocol.oldest)
        packet.put(Tag.reasonCode, reason.rawValue)
        packet.put(Tag.text, text)
        return packet
    }

    init(_ packet: ReceivedPacket) {
        reason = packet.integer(Tag.reasonCode).flatMap(RefusalReason.init) ?? .internalError
        text = packet.text(Tag.text) ?? "no reason given"
    }
}

/// parent → child, with the control block and the three descriptors of the queue.
struct WelcomeMessage: Equatable {
    var version: UInt16
    var capabilities: Capabilities
    var epoch: UInt64
    var pid: Int32
    var programVersion: String
    var startedUnixMs: UInt64
    var firstStartedUnixMs: UInt64
    /// Of the parent; the child's is one more.
    var hotRestartGeneration: UInt64

    static let controlBlockAlone = 1
    static let controlBlockAndQueue = 4

    func packet(_ descriptors: [Descriptor]) -> Packet {
        var packet = Packet(type: MessageType.welcome, version: version)
        packet.put(Tag.versionMax, UInt64(version))
        packet.put(Tag.capabilities, capabilities.rawValue)
        packet.put(Tag.epoch, epoch)
        packet.put(Tag.pid, UInt64(UInt32(bitPattern: pid)))
        packet.put(Tag.programVersion, programVersion)
        packet.put(Tag.startedUnixMs, startedUnixMs)
        packet.put(Tag.firstStartedUnixMs, firstStartedUnixMs)
        packet.put(Tag.hotRestartGeneration, hotRestartGeneration)
        packet.descriptors = descriptors
        return packet
    }
}

extension WelcomeMessage {
    init?(_ packet: ReceivedPacket) {
        guard let version = packet.integer(Tag.versionMax), version >= Protocol.oldest, version <= Protocol.newest,
            let capabilities = packet.integer(Tag.capabilities), let epoch = packet.integer(Tag.epoch),
            [Self.controlBlockAlone, Self.controlBlockAndQueue].contains(packet.descriptors.count)
        else { return nil }
        self.version = UInt16(version)
        self.capabilities = Capabilities(rawValue: capabilities)
        self.epoch = epoch
        pid = Int32(truncatingIfNeeded: packet.integer(Tag.pid) ?? 0)
        programVersion = packet.text(Tag.programVersion) ?? "unknown"
        startedUnixMs = packet.integer(Tag.startedUnixMs) ?? 0
        firstStartedUnixMs = packet.integer(Tag.firstStartedUnixMs) ?? startedUnixMs
        hotRestartGeneration = packet.integer(Tag.hotRestartGeneration) ?? 1
    }
}

/// The label of one listening socket inside a `sockets` message: index, address index, worker index, length of the address, the
/// address, the listener's name. Integers are little-endian.
enum SocketLabelCodec {
    static func encode(index: UInt32, _ label: Engine.SocketLabel) -> [UInt8] {
        let address = label.address.bytes
        var bytes: [UInt8] = []
        for number in [index, label.addressIndex, label.workerIndex, UInt32(address.count)] {
            withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
        }
        return bytes + address + Array(label.listener.utf8)
    }

    static func decode(_ bytes: [UInt8]) -> (index: UInt32, label: Engine.SocketLabel)? {
        guard bytes.count >= 16 else { return nil }
        let numbers = (0..<4).map { position in
            bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: position * 4, as: UInt32.self)) }
        }
        let length = Int(numbers[3])
        guard length <= bytes.count - 16, let address = SocketAddress(bytes: Array(bytes[16..<16 + length])) else { return nil }
        let name = String(decoding: bytes[(16 + length)...], as: UTF8.self)
        return (numbers[0], .init(listener: name, addressIndex: numbers[1], workerIndex: numbers[2], address: address))
    }
}

/// child → parent: it accepts.
struct ReadyMessage: Equatable {
    /// Indexes of listening sockets that the child has no place for.
    var removedSockets: [UInt32] = []
    var keepsAdmin = true
    /// `--parent-shutdown-time-s`, if the child was given it.
    var parentShutdownS: UInt64?

    var packet: Packet {
        var packet = Packet(type: MessageType.ready)
        var bits: [UInt8] = []
        for index in removedSockets {
            let byte = Int(index / 8)
            if byte >= bits.count { bits += [UInt8](repeating: 0, count: byte + 1 - bits.count) }
            bits[byte] |= 1 << UInt8(index % 8)
        }
        packet.put(Tag.socketIndex, bits)
        packet.put(Tag.count, keepsAdmin ? 1 : 0)
        packet.put(Tag.parentShutdownGiven, parentShutdownS == nil ? 0 : 1)
        packet.put(Tag.parentShutdownS, parentShutdownS ?? 0)
        return packet
    }
}

extension ReadyMessage {
    init(_ packet: ReceivedPacket) {
        let bits = packet.bytes(Tag.socketIndex) ?? []
        removedSockets = bits.indices.flatMap { byte in
            (0..<8).filter { bits[byte] & (1 << UInt8($0)) != 0 }.map { UInt32(byte * 8 + $0) }
        }
        keepsAdmin = packet.integer(Tag.count) != 0
        parentShutdownS = packet.integer(Tag.parentShutdownGiven) == 1 ? packet.integer(Tag.parentShutdownS) : nil
    }
}

/// parent → child: it does not accept any more.
struct DrainingMessage: Equatable {
    var connections: UInt64
    /// Force deadline from now.
    var endsInMs: UInt64

    var packet: Packet {
        var packet = Packet(type: MessageType.draining)
        packet.put(Tag.count, connections)
        packet.put(Tag.drainTimeS, endsInMs)
        return packet
    }
}

extension DrainingMessage {
    init(_ packet: ReceivedPacket) {
        connections = packet.integer(Tag.count) ?? 0
        endsInMs = packet.integer(Tag.drainTimeS) ?? 0
    }
}

/// Either way: I leave, why, and how many connections were closed by force.
struct ByeMessage: Equatable {
    var reason: ByeReason
    var forced: UInt64 = 0

    var packet: Packet {
        var packet = Packet(type: MessageType.bye)
        packet.put(Tag.reasonCode, reason.rawValue)
        packet.put(Tag.count, forced)
        return packet
    }
}

extension ByeMessage {
    init(_ packet: ReceivedPacket) {
        reason = packet.integer(Tag.reasonCode).flatMap(ByeReason.init) ?? .failed
        forced = packet.integer(Tag.count) ?? 0
    }
}
