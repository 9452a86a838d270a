import Foundation

/// What the kernel says about the listening sockets of a port (sock_diag(7)).
public struct ListenSocket: Equatable {
    public let backlog: UInt32
    public let receiveBuffer: UInt32

    public init(backlog: UInt32, receiveBuffer: UInt32) {
        self.backlog = backlog
        self.receiveBuffer = receiveBuffer
    }

    private static let requestLength = 72
    private static let netlinkSockDiag: Int32 = 4
    private static let attributesAt = 16 + 72
    private enum Attribute {
        static let skMemInfo: UInt16 = 7
        static let receiveBufferWord = 1
    }

    /// Those of an IPv4 port.
    public static func all(port: Int) throws -> [ListenSocket] {
        let fd = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), Self.netlinkSockDiag)
        guard fd >= 0 else { throw HarnessError("netlink: \(TestSocket.error(errno))") }
        defer { close(fd) }
        let request = dumpRequest()
        guard send(fd, request, request.count, 0) == request.count else { throw HarnessError("netlink: \(TestSocket.error(errno))") }
        var found: [ListenSocket] = []
        var bytes = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(fd, &bytes, bytes.count, 0)
            guard count > 0 else { throw HarnessError("netlink: \(TestSocket.error(errno))") }
            if try add(bytes[..<count], port, to: &found) { return found }
        }
    }

    /// struct nlmsghdr, then struct inet_diag_req_v2: every TCP/IPv4 socket in state LISTEN, with its memory numbers.
    private static func dumpRequest() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: requestLength)
        bytes.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: UInt32(requestLength), toByteOffset: 0, as: UInt32.self)
            raw.storeBytes(of: 20, toByteOffset: 4, as: UInt16.self)  // SOCK_DIAG_BY_FAMILY
            raw.storeBytes(of: 0x301, toByteOffset: 6, as: UInt16.self)  // NLM_F_REQUEST | NLM_F_DUMP
            raw[16] = UInt8(AF_INET)
            raw[17] = UInt8(IPPROTO_TCP)
            raw[18] = 1 << (UInt8(Attribute.skMemInfo) - 1)
            raw.storeBytes(of: 1 << 10, toByteOffset: 20, as: UInt32.self)  // TCP_LISTEN
        }
        return bytes
    }

    /// Whether the dump has ended.
    private static func add(_ packet: ArraySlice<UInt8>, _ port: Int, to found: inout [ListenSocket]) throws -> Bool {
        var rest = Array(packet)
        while rest.count >= 16 {
            let length = Int(word(rest, 0))
            let type = half(rest, 4)
            if type == 3 { return true }  // NLMSG_DONE
            guard type == 20, length >= attributesAt, length <= rest.count else { throw HarnessError("netlink: message type \(type)") }
            // struct inet_diag_msg: the port in network order at 4, the backlog (idiag_wqueue) at 60.
            if Int(rest[20]) << 8 | Int(rest[21]) == port {
                found.append(
                    ListenSocket(backlog: word(rest, 16 + 60), receiveBuffer: receiveBuffer(Array(rest[attributesAt..<length]))))
            }
            rest.removeFirst(min((length + 3) & ~3, rest.count))
        }
        return false
    }

    private static func receiveBuffer(_ attributes: [UInt8]) -> UInt32 {
        var rest = attributes
        while rest.count >= 4 {
            let length = Int(half(rest, 0))
            if half(rest, 2) == Attribute.skMemInfo { return word(rest, 4 + 4 * Attribute.receiveBufferWord) }
            guard length >= 4 else { return 0 }
            rest.removeFirst(min((length + 3) & ~3, rest.count))
        }
        return 0
    }

    private static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt32.self) }
    }
    private static func half(_ bytes: [UInt8], _ at: Int) -> UInt16 {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt16.self) }
    }
}
