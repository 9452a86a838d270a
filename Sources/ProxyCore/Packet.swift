internal import CProxyCore

/// A message of the control protocol being composed, with the descriptors that go with it.
public struct Packet {
    public enum Value {
        case integer(UInt64)
        case bytes([UInt8])
    }
    public var version: UInt16
    public var type: UInt16
    public var sequence: UInt32
    public private(set) var fields: [(tag: UInt16, value: Value)] = []
    public var descriptors: [Descriptor] = []

    public init(type: UInt16, version: UInt16 = Protocol.newest, sequence: UInt32 = 0) {
        self.type = type
        self.version = version
        self.sequence = sequence
    }

    /// The same message, to be sent on. Its descriptors are shared, not copied.
    public init(copying packet: ReceivedPacket) {
        self.init(type: packet.type, version: packet.version, sequence: packet.sequence)
        for field in packet.fields { put(field.tag, field.bytes) }
        descriptors = packet.descriptors
    }

    public mutating func put(_ tag: UInt16, _ value: UInt64) { fields.append((tag, .integer(value))) }
    public mutating func put(_ tag: UInt16, _ text: String) { fields.append((tag, .bytes(Array(text.utf8)))) }
    public mutating func put(_ tag: UInt16, _ bytes: [UInt8]) { fields.append((tag, .bytes(bytes))) }

    /// The packet's bytes, without descriptors.
    public func encoded() throws(CoreError) -> [UInt8] {
        var length: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(PX_PACKET_MAX)) { room, count in
            var writer = px_writer()
            px_writer_begin(&writer, room.baseAddress!, UInt32(room.count), version, type, sequence)
            for field in fields {
                switch field.value {
                case .integer(let value): px_writer_put_u64(&writer, field.tag, value)
                case .bytes(let bytes): bytes.withUnsafeBytes { px_writer_put_bytes(&writer, field.tag, $0.baseAddress, UInt32($0.count)) }
                }
            }
            length = px_writer_finish(&writer, UInt32(descriptors.count))
            count = length > 0 ? Int(length) : 0
        }
        if length < 0 { throw CoreError(code: length, call: "compose message", object: "type \(type)") }
        return bytes
    }
}

extension Descriptor {
    /// A memory file with these bytes.
    public static func memoryFile(_ name: String, _ bytes: [UInt8]) throws(CoreError) -> Descriptor {
        let fd = bytes.withUnsafeBytes { px_memory_file(name, $0.baseAddress, $0.count) }
        guard fd >= 0 else { throw CoreError(code: fd, call: "memfd_create", object: name) }
        return Descriptor(adopting: fd)
    }
}

/// A checked packet that arrived, fields copied out.
public struct ReceivedPacket {
    public let version: UInt16
    public let type: UInt16
    public let sequence: UInt32
    public let fields: [(tag: UInt16, bytes: [UInt8])]
    public var descriptors: [Descriptor]

    /// `bytes`: one whole packet, as it arrived or was kept.
    public init(parsing bytes: [UInt8], descriptors: [Descriptor]) throws(CoreError) {
        var packet = px_packet()
        var copied: [(tag: UInt16, bytes: [UInt8])] = []
        let result = bytes.withUnsafeBufferPointer { room -> Int32 in
            let result = px_packet_parse(room.baseAddress!, UInt32(room.count), &packet)
            guard result == 0 else { return result }
            var cursor: UInt32 = 0
            var field = px_field()
            while px_packet_next(&packet, &cursor, &field) {
                copied.append((field.tag, Array(UnsafeBufferPointer(start: field.bytes, count: Int(field.length)))))
            }
            return 0
        }
        guard result == 0 else { throw CoreError(code: result, call: "parse message") }
        guard Int(packet.descriptors) == descriptors.count else {
            throw CoreError(
                code: -Int32(PX_E_DESCRIPTOR_COUNT.rawValue), call: "parse message",
                text: "says \(packet.descriptors) descriptors, \(descriptors.count) came")
        }
        self.version = packet.version
        self.type = packet.type
        self.sequence = packet.sequence
        self.fields = copied
        self.descriptors = descriptors
    }

    public func integer(_ tag: UInt16) -> UInt64? {
        guard let bytes = bytes(tag), bytes.count == 8 else { return nil }
        return bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }
    public func bytes(_ tag: UInt16) -> [UInt8]? { fields.first { $0.tag == tag }?.bytes }
    public func text(_ tag: UInt16) -> String? { bytes(tag).map { String(decoding: $0, as: UTF8.self) } }
    public func all(_ tag: UInt16) -> [[UInt8]] { fields.filter { $0.tag == tag }.map(\.bytes) }

    /// A required tag (high bit) that is not in `known`; the message must then be refused by its number.
    public func unknownRequiredTag(known: Set<UInt16>) -> UInt16? {
        fields.first { $0.tag & UInt16(PX_TAG_REQUIRED) != 0 && !known.contains($0.tag) }?.tag
    }
}
