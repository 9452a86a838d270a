/// What a generation tells whoever started it, one JSON object per packet, told apart by its field `event`. The restarter passes
/// them on to whoever asked it for a restart.
public enum SupervisionEvent: Sendable, Equatable {
    case step(Step)
    case serving(Serving)
    case failed(Failure)
    case draining(Draining)
    case drained(Drained)
    case rolledBack(RolledBack)
    /// From a newer program; to be skipped.
    case unknown(String)

    /// One step of the sequence has ended.
    public struct Step: Sendable, Equatable, Codable {
        public var name: String
        public var ok: Bool
        public var ms: Double
        public var text: String?
        public init(name: String, ok: Bool = true, ms: Double, text: String? = nil) {
            self.name = name
            self.ok = ok
            self.ms = ms
            self.text = text
        }
    }

    /// The generation accepts connections, and no other does.
    public struct Serving: Sendable, Equatable, Codable {
        public var epoch: UInt64
        public var pid: Int32
        public var ms: Double
        public var report: RestartReport?
        public init(epoch: UInt64, pid: Int32, ms: Double, report: RestartReport? = nil) {
            self.epoch = epoch
            self.pid = pid
            self.ms = ms
            self.report = report
        }
    }

    /// The attempt is over; the generation that served before serves on.
    public struct Failure: Sendable, Equatable, Codable {
        public var step: String
        public var id: String?
        public var text: String
        public var remedy: String?
        /// What the program printed, for example all diagnostics of a configuration. Set by the restarter.
        public var output: String?
        /// What whoever asked should exit with. Set by the restarter.
        public var exitCode: Int32?
        public init(step: String, id: String? = nil, text: String, remedy: String? = nil, output: String? = nil, exitCode: Int32? = nil) {
            self.step = step
            self.id = id
            self.text = text
            self.remedy = remedy
            self.output = output
            self.exitCode = exitCode
        }
        enum CodingKeys: String, CodingKey { case step, id, text, remedy, output, exitCode = "exit_code" }
    }

    /// How far the parent's drain is: on a change, at most once a second.
    public struct Draining: Sendable, Equatable, Codable {
        public var epoch: UInt64
        public var pid: Int32
        public var connections: UInt64
        public var oldestMs: UInt64?
        /// Of the oldest connection.
        public var listener: String?
        /// Until the force deadline.
        public var endsInMs: UInt64?
        public init(
            epoch: UInt64, pid: Int32, connections: UInt64, oldestMs: UInt64? = nil, listener: String? = nil, endsInMs: UInt64? = nil
        ) {
            self.epoch = epoch
            self.pid = pid
            self.connections = connections
            self.oldestMs = oldestMs
            self.listener = listener
            self.endsInMs = endsInMs
        }
        enum CodingKeys: String, CodingKey {
            case epoch, pid, connections, oldestMs = "oldest_ms", listener, endsInMs = "ends_in_ms"
        }
    }

    /// A drain has ended; `forced` connections were cut.
    public struct Drained: Sendable, Equatable, Codable {
        public var epoch: UInt64
        public var forced: UInt64
        public init(epoch: UInt64, forced: UInt64 = 0) {
            self.epoch = epoch
            self.forced = forced
        }
    }

    /// The generation that served died, and this one serves again.
    public struct RolledBack: Sendable, Equatable, Codable {
        public var toEpoch: UInt64
        public var text: String?
        public init(toEpoch: UInt64, text: String? = nil) {
            self.toEpoch = toEpoch
            self.text = text
        }
        enum CodingKeys: String, CodingKey { case toEpoch = "to_epoch", text }
    }
}

extension SupervisionEvent: Codable {
    private enum Key: String, CodingKey { case event }

    public init(from decoder: any Decoder) throws {
        let name = try decoder.container(keyedBy: Key.self).decode(String.self, forKey: .event)
        switch name {
        case "step": self = .step(try Step(from: decoder))
        case "serving": self = .serving(try Serving(from: decoder))
        case "failed": self = .failed(try Failure(from: decoder))
        case "draining": self = .draining(try Draining(from: decoder))
        case "drained": self = .drained(try Drained(from: decoder))
        case "rolled_back": self = .rolledBack(try RolledBack(from: decoder))
        default: self = .unknown(name)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(name, forKey: .event)
        try payload?.encode(to: encoder)
    }

    public var name: String {
        switch self {
        case .step: "step"
        case .serving: "serving"
        case .failed: "failed"
        case .draining: "draining"
        case .drained: "drained"
        case .rolledBack: "rolled_back"
        case .unknown(let name): name
        }
    }

    private var payload: (any Encodable)? {
        switch self {
        case .step(let value): value
        case .serving(let value): value
        case .failed(let value): value
        case .draining(let value): value
        case .drained(let value): value
        case .rolledBack(let value): value
        case .unknown: nil
        }
    }
}
