internal import CProxyCore
public import ProxyModel

/// A socket address in the kernel's form.
public struct SocketAddress: Equatable, CustomStringConvertible {
    var raw: px_addr

    init(_ raw: px_addr) { self.raw = raw }

    public init(_ address: Address) throws(CoreError) {
        var raw = px_addr()
        let result: Int32
        let text: String
        switch address {
        case .socket(let host, let port):
            result = px_addr_from_ip(host, port, &raw)
            text = "\(host):\(port)"
        case .pipe(let path, _):
            result = px_addr_from_path(path, &raw)
            text = path
        }
        guard result == 0 else { throw CoreError(code: result, call: "address", object: text) }
        self.raw = raw
    }

    /// Address bytes as they travel in a message; refused when they are too long.
    public init?(bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count <= Int(PX_ADDR_BYTES) else { return nil }
        var raw = px_addr()
        raw.length = UInt32(bytes.count)
        withUnsafeMutableBytes(of: &raw.storage) { $0.copyBytes(from: bytes) }
        self.raw = raw
    }

    public var bytes: [UInt8] {
        withUnsafeBytes(of: raw.storage) { Array($0.prefix(Int(raw.length))) }
    }

    public static func bound(to fd: Int32) throws(CoreError) -> SocketAddress {
        var raw = px_addr()
        let result = px_addr_of_socket(fd, &raw)
        guard result == 0 else { throw CoreError(code: result, call: "getsockname") }
        return SocketAddress(raw)
    }

    /// "1.2.3.4:80", "[::1]:80", "/path", "@name".
    public var description: String { text(px_addr_format) }
    /// Without the port.
    public var host: String { text(px_addr_format_ip) }
    public var port: UInt16 { withUnsafePointer(to: raw) { px_addr_port($0) } }
    public var isPipe: Bool { withUnsafePointer(to: raw) { px_addr_family($0) } == 1 }

    /// In the form of the configuration.
    public var modelAddress: Address { isPipe ? .pipe(path: description, mode: 0) : .socket(host: host, port: port) }

    private func text(_ format: (UnsafePointer<px_addr>, UnsafeMutablePointer<CChar>, Int) -> UnsafePointer<CChar>) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PX_ADDR_TEXT)) { room in
            withUnsafePointer(to: raw) { String(cString: format($0, room.baseAddress!, room.count)) }
        }
    }

    public static func == (a: SocketAddress, b: SocketAddress) -> Bool {
        withUnsafePointer(to: a.raw) { first in withUnsafePointer(to: b.raw) { px_addr_equal(first, $0) } }
    }
}
