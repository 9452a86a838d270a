import Foundation
import Harness
import ProxyCore

/// Descriptors of every kind that a process can hold, to be passed where one of another kind is expected.
enum DescriptorKind {
    case null, file, directory, readEnd, epoll, event, memoryFile
    case udp, connectedUDP, unboundTCP, connectedTCP, boundTCP
    /// Unix sockets: one end of a connected pair (a link), bound ones.
    case seqpacketPair, streamPair, boundSeqpacket, boundStream

    /// The other ends of connections, which else would be reset.
    nonisolated(unsafe) private static var accepted: [TestSocket] = []

    /// Every kind but those that are right, with its name for a failure's text.
    static func every(in s: Scenario, but right: [Self]) throws -> [(name: String, descriptor: Descriptor)] {
        let all: [Self] = [
            .null, .file, .directory, .readEnd, .epoll, .event, .memoryFile, .udp, .connectedUDP, .unboundTCP, .connectedTCP, .boundTCP,
            .seqpacketPair, .streamPair, .boundSeqpacket, .boundStream,
        ]
        return try all.filter { !right.contains($0) }.map { ("\($0)", try $0.make(in: s)) }
    }

    private func make(in s: Scenario) throws -> Descriptor {
        switch self {
        case .null: return try .null()
        case .file: return try own(open("\(s.directory)/file", O_RDWR | O_CREAT | O_CLOEXEC, 0o600))
        case .directory: return try own(open(s.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        case .readEnd:
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw HarnessError("pipe") }
            close(ends[1])
            return try own(ends[0])
        case .epoll: return try own(LinuxCall.epoll())
        case .event: return try own(LinuxCall.eventfd())
        case .memoryFile: return try wrapped { () throws(CoreError) in try .memoryFile("plain", [1, 2, 3]) }
        case .udp: return try bound(AF_INET, SOCK_DGRAM, s)
        case .connectedUDP: return try connected(SOCK_DGRAM, to: .v4(try s.port()))
        case .unboundTCP: return try own(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        case .connectedTCP:
            let listener = try TestListener(.v4(try s.port()))
            let client = try connected(SOCK_STREAM, to: listener.endpoint)
            Self.accepted.append(try listener.accept())
            return client
        case .boundTCP: return try bound(AF_INET, SOCK_STREAM, s)
        case .seqpacketPair: return try onePeer(SOCK_SEQPACKET)
        case .streamPair: return try onePeer(SOCK_STREAM)
        case .boundSeqpacket: return try bound(AF_UNIX, SOCK_SEQPACKET, s)
        case .boundStream: return try bound(AF_UNIX, SOCK_STREAM, s)
        }
    }

    private func own(_ fd: Int32) throws -> Descriptor {
        guard fd >= 0 else { throw HarnessError("\(self): \(String(cString: strerror(errno)))") }
        return Descriptor(adopting: fd)
    }

    private func onePeer(_ type: __socket_type) throws -> Descriptor {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(type.rawValue), 0, &ends) == 0 else { throw HarnessError("socketpair") }
        close(ends[1])
        return try own(ends[0])
    }

    private func bound(_ family: Int32, _ type: __socket_type, _ s: Scenario) throws -> Descriptor {
        let descriptor = try own(socket(family, Int32(type.rawValue), 0))
        let place: Endpoint = family == AF_INET ? .v4(try s.port()) : .pipe("\(s.directory)/\(self)-\(descriptor.fd)")
        if case .pipe(let path) = place { unlink(path) }
        guard TestSocket.bind(descriptor.fd, to: place) else { throw HarnessError("\(self): bind \(place)") }
        return descriptor
    }

    private func connected(_ type: __socket_type, to place: Endpoint) throws -> Descriptor {
        let descriptor = try own(socket(AF_INET, Int32(type.rawValue), 0))
        guard TestSocket.connect(descriptor.fd, to: place) else { throw HarnessError("\(self): connect") }
        return descriptor
    }
}

/// Calls that Swift's Glibc module leaves out.
private enum LinuxCall {
    private static func find<F>(_ name: String, _ type: F.Type) -> F { unsafeBitCast(dlsym(nil, name)!, to: type) }

    static func epoll() -> Int32 { find("epoll_create1", (@convention(c) (Int32) -> Int32).self)(0) }
    static func eventfd() -> Int32 { find("eventfd", (@convention(c) (UInt32, Int32) -> Int32).self)(0, 0) }
    static func sealableMemory(_ name: String) -> Int32 {
        let closeOnExecAndAllowSealing: UInt32 = 3
        return find("memfd_create", (@convention(c) (UnsafePointer<CChar>, UInt32) -> Int32).self)(name, closeOnExecAndAllowSealing)
    }
}

/// Memory that generations share, made well or badly.
extension Descriptor {
    private static let addSeals: Int32 = 1033
    private static let sealSeal: Int32 = 1, sealShrink: Int32 = 2, sealGrow: Int32 = 4, sealWrite: Int32 = 8, sealFutureWrite: Int32 = 16

    /// `size` bytes that begin with `bytes`, with the seals of a statistics block (which others only read) or of a shared one.
    static func sealedMemory(_ bytes: [UInt8], size: Int, isReadOnly: Bool) throws -> Descriptor {
        let fd = LinuxCall.sealableMemory("hostile")
        guard fd >= 0, ftruncate(fd, size) == 0, pwrite(fd, bytes, bytes.count, 0) == bytes.count else { throw HarnessError("memfd") }
        let seals = sealShrink | sealGrow | sealSeal | (isReadOnly ? sealFutureWrite : 0)
        guard fcntl(fd, addSeals, seals) == 0 else { throw HarnessError("seals: \(String(cString: strerror(errno)))") }
        return Descriptor(adopting: fd)
    }

    static func statisticsBlock(epoch: UInt64) throws -> Descriptor {
        let statistics = try wrapped { () throws(CoreError) in try Statistics(StatisticsBuilder(), shards: 2, epoch: epoch) }
        return try .copy(of: statistics.fd)
    }

    func bytes() throws -> [UInt8] {
        var status = stat()
        guard fstat(fd, &status) == 0 else { throw HarnessError("fstat") }
        var all = [UInt8](repeating: 0, count: Int(status.st_size))
        guard pread(fd, &all, all.count, 0) == all.count else { throw HarnessError("pread") }
        return all
    }
}

/// A core call whose error a test reports in words.
func wrapped<T>(_ body: () throws(CoreError) -> T) throws -> T {
    do { return try body() } catch { throw HarnessError("\(error)") }
}

/// This process holds many ends at once.
func raiseDescriptorLimit(to wanted: UInt) throws {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    guard limit.rlim_cur < wanted else { return }
    limit.rlim_cur = min(wanted, limit.rlim_max)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    guard limit.rlim_cur >= wanted else { throw HarnessError("\(wanted) descriptors are needed, the hard limit is \(limit.rlim_max)") }
}
