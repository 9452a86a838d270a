/// What one restart did: in the log, on the admin page, from `restarter restart`. Readers take what they know and give the rest
/// its empty value, because the two ends may be of different versions.
public struct RestartReport: Sendable, Equatable, Codable {
    public enum Result: String, Sendable, Codable {
        case ok, failed
        case rolledBack = "rolled_back"
    }

    public struct Step: Sendable, Equatable, Codable {
        public var name: String
        public var ms: Double
        public init(name: String, ms: Double) {
            self.name = name
            self.ms = ms
        }
    }
    public struct Listeners: Sendable, Equatable, Codable {
        public var kept, added, removed: Int
        public init(kept: Int = 0, added: Int = 0, removed: Int = 0) {
            self.kept = kept
            self.added = added
            self.removed = removed
        }
    }
    public struct Connections: Sendable, Equatable, Codable {
        public var draining, handedOver, forced: UInt64
        public init(draining: UInt64 = 0, handedOver: UInt64 = 0, forced: UInt64 = 0) {
            self.draining = draining
            self.handedOver = handedOver
            self.forced = forced
        }
        enum CodingKeys: String, CodingKey {
            case draining
            case handedOver = "handed_over"
            case forced
        }
    }

    /// nil: nothing served before.
    public var fromEpoch: UInt64?
    public var toEpoch: UInt64 = 0
    public var fromPid: Int32?
    public var toPid: Int32 = 0
    public var version = ""
    public var result = Result.ok
    public var failedStep: String?
    public var reason: String?
    public var steps: [Step] = []
    public var listeners = Listeners()
    public var connections = Connections()
    public var totalMs: Double = 0
    /// When it ended.
    public var endedUnixMs: UInt64?
    public init() {}

    enum CodingKeys: String, CodingKey {
        case fromEpoch = "from_epoch"
        case toEpoch = "to_epoch"
        case fromPid = "from_pid"
        case toPid = "to_pid"
        case version, result
        case failedStep = "failed_step"
        case reason, steps, listeners, connections
        case totalMs = "total_ms"
        case endedUnixMs = "ended_unix_ms"
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        fromEpoch = try fields.decodeIfPresent(UInt64.self, forKey: .fromEpoch)
        toEpoch = try fields.decode(UInt64.self, forKey: .toEpoch)
        fromPid = try fields.decodeIfPresent(Int32.self, forKey: .fromPid)
        toPid = try fields.value(.toPid, or: 0)
        version = try fields.value(.version, or: "")
        result = try fields.decode(Result.self, forKey: .result)
        failedStep = try fields.decodeIfPresent(String.self, forKey: .failedStep)
        reason = try fields.decodeIfPresent(String.self, forKey: .reason)
        steps = try fields.value(.steps, or: [])
        listeners = try fields.value(.listeners, or: Listeners())
        connections = try fields.value(.connections, or: Connections())
        totalMs = try fields.value(.totalMs, or: 0)
        endedUnixMs = try fields.decodeIfPresent(UInt64.self, forKey: .endedUnixMs)
    }
}

extension KeyedDecodingContainer {
    /// The value, or `fallback` where a peer of another version does not send it.
    func value<T: Decodable>(_ key: Key, or fallback: T) throws -> T { try decodeIfPresent(T.self, forKey: key) ?? fallback }
}
