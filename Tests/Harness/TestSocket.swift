import Foundation

/// Where something listens.
public enum Endpoint: Equatable, Sendable, CustomStringConvertible {
    case v4(Int)
    case v6(Int)
    /// An IPv4 address and a port.
    case host(String, Int)
    case pipe(String)

    public var description: String {
        switch self {
        case .v4(let port): "127.0.0.1:\(port)"
        case .v6(let port): "[::1]:\(port)"
        case .host(let host, let port): "\(host):\(port)"
        case .pipe(let path): path
        }
    }
}

/// A blocking client socket with a deadline on every call, for tests that look at one connection.
public final class TestSocket {
    private var fd: Int32

    /// `receiveBuffer`: bytes, to make a reader that holds little.
    public init(_ endpoint: Endpoint, within seconds: Double = 5, receiveBuffer: Int32? = nil) throws {
        fd = socket(Self.family(of: endpoint), Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw HarnessError("socket: \(Self.error(errno))") }
        setTimeout(seconds)
        if var receiveBuffer { setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        let code = Self.withAddress(endpoint) { Glibc.connect(fd, $0, $1) }
        guard code == 0 else {
            let reason = Self.error(errno)
            close()
            throw HarnessError("connect \(endpoint): \(reason)")
        }
    }

    init(adopting fd: Int32, within seconds: Double) {
        self.fd = fd
        setTimeout(seconds)
    }

    deinit { close() }

    public func close() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }

    /// End it with a RST.
    public func abort() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        close()
    }

    public func setTimeout(_ seconds: Double) {
        var time = timeval(tv_sec: Int(seconds), tv_usec: Int((seconds - seconds.rounded(.down)) * 1e6))
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw HarnessError("send: \(Self.error(errno))") }
            sent += count
        }
    }

    /// Send as much as is taken without a pause of `seconds`; returns how much that was.
    public func sendUntilBlocked(_ bytes: [UInt8], pause seconds: Double) throws -> Int {
        setTimeout(seconds)
        defer { setTimeout(5) }
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EAGAIN { return sent }
            guard count > 0 else { throw HarnessError("send: \(Self.error(errno))") }
            sent += count
        }
        return sent
    }

    /// What comes next, empty at the end.
    public func receive(_ limit: Int = 65536) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(fd, &bytes, limit, 0)
        guard count >= 0 else { throw HarnessError("recv: \(Self.error(errno))") }
        return Array(bytes.prefix(count))
    }

    public func receiveAll() throws -> [UInt8] {
        var all: [UInt8] = []
        while case let part = try receive(), !part.isEmpty { all += part }
        return all
    }

    /// The largest segment that may be sent, in bytes: what the server has offered (TCP_MAXSEG).
    public func segmentSize() throws -> Int32 {
        var size: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        let code = getsockopt(fd, Int32(IPPROTO_TCP), TCP_MAXSEG, &size, &length)
        guard code == 0 else { throw HarnessError("TCP_MAXSEG: \(Self.error(errno))") }
        return size
    }

    public func shutdownWrite() { shutdown(fd, Int32(SHUT_WR)) }

    /// One verified exchange with an echoing server.
    public func echo(_ text: String = "are you there?") throws {
        let bytes = Array(text.utf8)
        try send(bytes)
        var reply: [UInt8] = []
        while reply.count < bytes.count {
            let part = try receive(bytes.count - reply.count)
            guard !part.isEmpty else { throw HarnessError("end after \(reply.count) of \(bytes.count) bytes") }
            reply += part
        }
        guard reply == bytes else { throw HarnessError("other bytes came back") }
    }

    /// Whether the other side has ended or reset it, without waiting.
    public var isCut: Bool {
        var byte: UInt8 = 0
        let count = recv(fd, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK))
        return count == 0 || (count < 0 && errno != EAGAIN)
    }

    static func error(_ number: Int32) -> String { String(cString: strerror(number)) }

    /// Whether a connect is refused; one that succeeds, or hangs in a queue that nobody looks after, is not.
    public static func isRefused(_ endpoint: Endpoint) throws -> Bool {
        let fd = socket(family(of: endpoint), Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw HarnessError("socket: \(error(errno))") }
        let socket = TestSocket(adopting: fd, within: 5)
        guard withAddress(endpoint, { Glibc.connect(socket.fd, $0, $1) }) != 0 else { return false }
        return errno == ECONNREFUSED || errno == ENOENT
    }

    static func family(of endpoint: Endpoint) -> Int32 {
        switch endpoint {
        case .v4, .host: AF_INET
        case .v6: AF_INET6
        case .pipe: AF_UNIX
        }
    }

    static func isFree(port: Int) -> Bool {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { Glibc.close(fd) }
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        return bind(fd, to: .v4(port))
    }

    public static func bind(_ fd: Int32, to endpoint: Endpoint) -> Bool { withAddress(endpoint) { Glibc.bind(fd, $0, $1) } == 0 }
    public static func connect(_ fd: Int32, to endpoint: Endpoint) -> Bool { withAddress(endpoint) { Glibc.connect(fd, $0, $1) } == 0 }

    static func withAddress<R>(_ endpoint: Endpoint, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        switch endpoint {
        case .v4(let port): return withAddress(.host("127.0.0.1", port), body)
        case .host(let host, let port):
            let address = sockaddr_in(
                sin_family: UInt16(AF_INET), sin_port: UInt16(port).bigEndian, sin_addr: in_addr(s_addr: inet_addr(host)),
                sin_zero: (0, 0, 0, 0, 0, 0, 0, 0))
            return rebound(address, body)
        case .v6(let port):
            var address = sockaddr_in6()
            address.sin6_family = UInt16(AF_INET6)
            address.sin6_port = UInt16(port).bigEndian
            address.sin6_addr = in6addr_loopback
            return rebound(address, body)
        case .pipe(let path):
            var address = sockaddr_un()
            address.sun_family = UInt16(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
            return rebound(address, body)
        }
    }

    private static func rebound<A, R>(_ address: A, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        withUnsafeBytes(of: address) { body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count)) }
    }
}
