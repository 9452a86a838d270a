internal import FoundationEssentials

/// Names of the control sockets of one proxy: the base id and the socket path tell installations on one machine apart.
public struct ControlNames: Sendable, Equatable {
    public static let defaultSocketPath = "@proxy_domain_socket"

    public var socketPath: String
    public var baseID: UInt32
    public init(socketPath: String = defaultSocketPath, baseID: UInt32 = 0) {
        self.socketPath = socketPath
        self.baseID = baseID
    }

    /// Bound once, by epoch 0, and handed from generation to generation.
    public var proxy: String { "\(socketPath)_parent_\(baseID)" }
    /// The supervisor's own.
    public var supervisor: String { "\(socketPath)_restarter_\(baseID)" }
}

/// The channel between a generation and whoever started it: the generation sends `MessageType.supervision` packets.
public enum SupervisionChannel {
    /// Names the descriptor of the generation's end.
    public static let environmentVariable = "PROXY_SUPERVISION_FD"
    /// Names the descriptor on which a replacement of a dead generation is given what the supervisor kept of it.
    public static let keeperVariable = "PROXY_KEEPER_FD"
}

/// A request on a control socket (`MessageType.command`). The serving generation takes stop, drain_now and reopen_logs; a
/// supervisor takes restart and stop, and answers restart with supervision events until the asker closes the link.
public struct ControlCommand: Sendable, Equatable, Codable {
    public enum Name: String, Sendable, Codable {
        case stop
        case drainNow = "drain_now"
        case reopenLogs = "reopen_logs"
        case restart
    }
    public var command: Name
    public var configPath: String?
    public init(_ command: Name, configPath: String? = nil) {
        self.command = command
        self.configPath = configPath
    }
    enum CodingKeys: String, CodingKey {
        case command
        case configPath = "config_path"
    }
}

/// Answer to a command.
public struct CommandAnswer: Sendable, Equatable, Codable {
    public var ok: Bool
    public var text: String?
    public init(ok: Bool, text: String? = nil) {
        self.ok = ok
        self.text = text
    }
}

extension Packet {
    /// A packet whose only field is `value` as JSON. In the oldest version of the protocol, because operators and generations of any two
    /// versions must understand each other before they can agree on one.
    public init<T: Encodable>(type: UInt16, json value: T) {
        self.init(type: type, version: Protocol.oldest)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Our own value types hold nothing that JSON cannot say (no NaN is measured).
        guard let bytes = try? encoder.encode(value) else { preconditionFailure("\(T.self) is no JSON") }
        put(Tag.json, Array(bytes))
    }

    /// Who serves, and how is it?
    public static var query: Packet { Packet(type: MessageType.query, version: Protocol.oldest) }
}

extension ReceivedPacket {
    /// The JSON field as `T`.
    public func json<T: Decodable>(_ type: T.Type) throws(CoreError) -> T {
        guard let bytes = bytes(Tag.json) else { throw CoreError(code: -22, call: "parse message", text: "no JSON in it") }
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw CoreError(code: -22, call: "parse message", text: "JSON: \(error)")
        }
    }
}
