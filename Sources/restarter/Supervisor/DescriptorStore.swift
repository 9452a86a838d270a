import Glibc
import ProxyCore

/// The keeper's copies in systemd's hands (sd_notify(3), FDSTORE=1; the unit's FileDescriptorStoreMax= allows it), so that they outlive the
/// supervisor itself: the next one finds them in $LISTEN_FDS and starts a replacement with them.
///
/// A descriptor is stored under a name made of its inode, because systemd stores one that it has already under its first name only, and
/// most of a set are those of the set before. A memory file, stored last, holds the messages and says which descriptors belong to each;
/// a set without it is not used. What the new set does not name is then removed.
final class DescriptorStore {
    private static let family = "proxy-keeper"
    private static let firstDescriptor: Int32 = 3  // SD_LISTEN_FDS_START

    /// What an earlier supervisor of this unit left.
    struct Restored {
        var kept: Keeper.Kept?
        /// Of all descriptors that were found; what the next set does not name is removed from the store.
        var names: Set<String> = []
    }

    private let socketPath: String?
    private var stored: Set<String>
    private var count = 0

    init(socketPath: String?, restored: Restored) {
        self.socketPath = socketPath
        stored = restored.names
    }

    /// Store `kept` in place of what was stored before. nil: remove that.
    func store(_ kept: Keeper.Kept?) throws(CoreError) {
        guard let socketPath else { return }
        let names = try kept.map { kept throws(CoreError) in try push(kept, socketPath) } ?? []
        for name in stored.subtracting(names) { Processes.notify(socketPath, "FDSTOREREMOVE=1\nFDNAME=\(name)") }
        stored = names
    }

    private func push(_ kept: Keeper.Kept, _ socketPath: String) throws(CoreError) -> Set<String> {
        count += 1
        var names: Set<String> = []
        var writer = StateWriter()
        for packet in kept.packets {
            var identities: [Identity] = []
            for descriptor in packet.descriptors {
                let identity = try Identity(descriptor)
                identities.append(identity)
                if names.insert(identity.name).inserted, !stored.contains(identity.name) {
                    try send(descriptor, identity.name, socketPath)
                }
            }
            writer.add(try packet.encoded(), identities)
        }
        let state = "\(Self.family)-state-\(getpid())-\(count)"
        try send(try .memoryFile(state, writer.bytes), state, socketPath)
        names.insert(state)
        return names
    }

    private func send(_ descriptor: Descriptor, _ name: String, _ socketPath: String) throws(CoreError) {
        // Not to be taken out again because it was closed at the other end: a listening socket has none.
        let text = "FDSTORE=1\nFDPOLL=0\nFDNAME=\(name)"
        for _ in 0..<100 {
            if Processes.notify(socketPath, text, keeping: descriptor) { return }
            System.pause(milliseconds: 2)  // its queue is full; it reads all the time
        }
        throw CoreError(code: -11, call: "FDSTORE", object: socketPath)
    }

    // MARK: - The next supervisor

    /// What this process was given. Every descriptor passed is taken, used or not.
    static func restore(_ environment: Environment) -> Restored {
        guard environment["LISTEN_PID"] == String(getpid()), let count = environment["LISTEN_FDS"].flatMap({ Int32($0) }), count > 0
        else { return Restored() }
        let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var found: [String: Descriptor] = [:]
        for index in 0..<count {
            let descriptor = Descriptor(adopting: firstDescriptor + index)
            _ = fcntl(descriptor.fd, F_SETFD, FD_CLOEXEC)
            if Int(index) < names.count { found[names[Int(index)]] = descriptor }
        }
        // Two are there if it ended while it replaced one. The newer one is complete too, because it was stored last.
        let states = found.keys.filter { $0.hasPrefix("\(family)-state-") }.sorted { number($0) > number($1) }
        let kept = states.lazy.compactMap { found[$0].flatMap { load($0, found) } }.first
        return Restored(kept: kept, names: Set(found.keys.filter { $0.hasPrefix(family) }))
    }

    private static func number(_ name: String) -> Int { name.split(separator: "-").last.flatMap { Int($0) } ?? 0 }

    private static func load(_ state: Descriptor, _ found: [String: Descriptor]) -> Keeper.Kept? {
        guard let bytes = contents(state.fd) else { return nil }
        var reader = StateReader(bytes: bytes)
        var packets: [Packet] = []
        var epoch: UInt64?
        while let (packet, identities) = reader.next() {
            let descriptors = identities.compactMap { found[$0.name] }
            guard descriptors.count == identities.count, let parsed = try? ReceivedPacket(parsing: packet, descriptors: descriptors)
            else { return nil }
            if parsed.type == MessageType.welcome { epoch = parsed.integer(Tag.epoch) }
            packets.append(Packet(copying: parsed))
        }
        guard reader.isAtEnd, let epoch, !packets.isEmpty else { return nil }
        return Keeper.Kept(pid: 0, epoch: epoch, packets: packets)
    }

    private static func contents(_ fd: Int32) -> [UInt8]? {
        var status = stat()
        guard fstat(fd, &status) == 0, status.st_size > 0, status.st_size < 1 << 26 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        guard pread(fd, &bytes, bytes.count, 0) == bytes.count else { return nil }
        return bytes
    }

    /// Which file a descriptor is of. Not used again for another as long as somebody holds the descriptor.
    struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
        var name: String { "\(family)-\(device)-\(inode)" }

        init(device: UInt64, inode: UInt64) {
            self.device = device
            self.inode = inode
        }

        init(_ descriptor: Descriptor) throws(CoreError) {
            var status = stat()
            guard fstat(descriptor.fd, &status) == 0 else { throw CoreError(code: -errno, call: "fstat") }
            self.init(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        }
    }
}

/// The state's bytes, little-endian: for each message its length and number of descriptors (u32 each), for each descriptor its device and
/// inode (u64 each), then the message.
private struct StateWriter {
    private(set) var bytes: [UInt8] = []

    mutating func add(_ packet: [UInt8], _ identities: [DescriptorStore.Identity]) {
        for number in [packet.count, identities.count] { append(UInt32(number)) }
        for identity in identities {
            append(identity.device)
            append(identity.inode)
        }
        bytes += packet
    }

    private mutating func append<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
}

private struct StateReader {
    var bytes: [UInt8]
    private var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    /// nil at the end, and where what follows makes no sense.
    mutating func next() -> (packet: [UInt8], identities: [DescriptorStore.Identity])? {
        let begin = position
        guard let length = read(UInt32.self).map(Int.init), let count = read(UInt32.self).map(Int.init),
            count * 16 + length <= bytes.count - position
        else {
            position = begin
            return nil
        }
        let identities = (0..<count).map { _ in
            DescriptorStore.Identity(device: read(UInt64.self) ?? 0, inode: read(UInt64.self) ?? 0)
        }
        defer { position += length }
        return (Array(bytes[position..<position + length]), identities)
    }

    private mutating func read<T: FixedWidthInteger>(_ type: T.Type) -> T? {
        let size = MemoryLayout<T>.size
        guard bytes.count - position >= size else { return nil }
        defer { position += size }
        return bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: T.self)) }
    }
}
