import Glibc
import ProxyCore

/// The keeper's copies in systemd's hands (sd_notify(3), FDSTORE=1; the unit's FileDescriptorStoreMax= allows it), so that they outlive the
/// supervisor itself: the next one finds them in $LISTEN_FDS and starts a replacement with them.
///
/// One memory file, `<prefix>.state`, holds the messages, each behind its length and its number of descriptors; each descriptor is stored under `<prefix>.<number>` in the order in which the
/// messages name them. The prefix differs from set to set, so that a set is complete or not used, and the one before is removed last.
final class DescriptorStore {
    private static let family = "proxy-keeper"
    private static let firstDescriptor: Int32 = 3  // SD_LISTEN_FDS_START

    /// What an earlier supervisor of this unit left.
    struct Restored {
        var kept: Keeper.Kept?
        /// Of all descriptors that were found; they are removed from the store when it gets the next set.
        var names: [String] = []
    }

    private let socketPath: String?
    private var stored: [String]
    private var count = 0

    init(socketPath: String?, restored: Restored) {
        self.socketPath = socketPath
        stored = restored.names
    }

    /// Store `kept` in place of what was stored before. nil: remove that.
    func store(_ kept: Keeper.Kept?) throws(CoreError) {
        guard let socketPath else { return }
        let before = stored
        stored = []
        if let kept { try push(kept, socketPath) }
        for name in before { Processes.notify(socketPath, "FDSTOREREMOVE=1\nFDNAME=\(name)") }
    }

    private func push(_ kept: Keeper.Kept, _ socketPath: String) throws(CoreError) {
        count += 1
        let prefix = "\(Self.family)-\(getpid())-\(count)"
        var names: [String] = []
        var bytes: [UInt8] = []
        for packet in kept.packets {
            let encoded = try packet.encoded()
            for number in [encoded.count, packet.descriptors.count] { withUnsafeBytes(of: UInt32(number).littleEndian) { bytes += $0 } }
            bytes += encoded
        }
        // The state comes last: a set without it is not complete.
        let state = try Descriptor.memoryFile(prefix, bytes)
        for (number, descriptor) in kept.packets.flatMap(\.descriptors).enumerated() {
            names.append("\(prefix).\(number)")
            try send(descriptor, names[number], socketPath)
        }
        names.append("\(prefix).state")
        try send(state, names[names.count - 1], socketPath)
        stored = names
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
        // Of two complete sets (it ended while it replaced one) either serves: both are of the same sockets, but for the newest changes.
        let prefixes = found.keys.filter { $0.hasPrefix(family) && $0.hasSuffix(".state") }.map { String($0.dropLast(6)) }
        let kept = prefixes.sorted { number($0) > number($1) }.lazy.compactMap { load($0, found) }.first
        return Restored(kept: kept, names: found.keys.filter { $0.hasPrefix(family) })
    }

    private static func number(_ prefix: String) -> Int { prefix.split(separator: "-").last.flatMap { Int($0) } ?? 0 }

    private static func load(_ prefix: String, _ found: [String: Descriptor]) -> Keeper.Kept? {
        guard let state = found["\(prefix).state"], let bytes = contents(state.fd) else { return nil }
        var packets: [Packet] = []
        var epoch: UInt64?
        var position = 0
        var next = 0
        while position + 8 <= bytes.count {
            let length = Int(number(bytes, position))
            let wanted = Int(number(bytes, position + 4))
            guard length <= bytes.count - position - 8, wanted <= found.count else { return nil }
            let packet = Array(bytes[position + 8..<position + 8 + length])
            position += 8 + length
            let descriptors = (next..<next + wanted).compactMap { found["\(prefix).\($0)"] }
            next += wanted
            guard descriptors.count == wanted, let parsed = try? ReceivedPacket(parsing: packet, descriptors: descriptors) else { return nil }
            if parsed.type == MessageType.welcome { epoch = parsed.integer(Tag.epoch) }
            packets.append(Packet(copying: parsed))
        }
        guard let epoch, !packets.isEmpty else { return nil }
        return Keeper.Kept(pid: 0, epoch: epoch, packets: packets)
    }

    private static func number(_ bytes: [UInt8], _ position: Int) -> UInt32 {
        bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt32.self)) }
    }

    private static func contents(_ fd: Int32) -> [UInt8]? {
        var status = stat()
        guard fstat(fd, &status) == 0, status.st_size > 0, status.st_size < 1 << 26 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        guard pread(fd, &bytes, bytes.count, 0) == bytes.count else { return nil }
        return bytes
    }
}
