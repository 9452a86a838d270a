internal import CProxyCore
public import ProxyModel

/// Which socket option, without its value.
public struct SocketOptionName: Hashable, Sendable {
    /// More than these are neither sent nor remembered.
    public static let limit = Int(PX_OPTION_NAMES_MAX)
    private static let bytesEach = 8

    public var level: Int32
    public var name: Int32

    public init(level: Int32, name: Int32) {
        self.level = level
        self.name = name
    }

    /// Level and name of each, little-endian, as they travel.
    public static func bytes(_ names: [Self]) -> [UInt8] {
        names.prefix(limit).flatMap { option in
            [option.level, option.name].flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
        }
    }

    /// An incomplete last one is left out.
    public static func parse(_ bytes: [UInt8]) -> [Self] {
        bytes.withUnsafeBytes { room in
            stride(from: 0, through: room.count - bytesEach, by: bytesEach).prefix(limit).map { place in
                Self(
                    level: Int32(littleEndian: room.loadUnaligned(fromByteOffset: place, as: Int32.self)),
                    name: Int32(littleEndian: room.loadUnaligned(fromByteOffset: place + 4, as: Int32.self)))
            }
        }
    }
}

extension Configuration {
    /// Every option that some listener sets, once.
    public var socketOptionNames: [SocketOptionName] {
        let options = listeners.flatMap { listener in listener.socketOptions + listener.addresses.flatMap(\.socketOptions) }
        var seen: Set<SocketOptionName> = []
        return options.map { SocketOptionName(level: $0.level, name: $0.name) }.filter { seen.insert($0).inserted }
    }
}
