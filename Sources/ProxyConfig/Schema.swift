/// The shape of Envoy's v3 configuration as far as this proxy judges it: messages, their fields, and what becomes of each.
/// Data only (`Schemas…`); `MessageReader` and `ConstraintChecker` walk a configuration by it.
struct MessageSchema: Sendable {
    /// Full protobuf name, for example "envoy.config.core.v3.SocketAddress".
    let name: String
    let fields: [FieldSchema]
    /// Oneofs of which one member must be set.
    let requiredOneofs: [String]

    init(_ name: String, requiredOneofs: [String] = [], _ groups: [FieldSchema]...) {
        self.name = name
        self.requiredOneofs = requiredOneofs
        self.fields = groups.flatMap { $0 }
    }

    /// By original name or by its lowerCamelCase form, as protobuf's JSON reader takes them.
    func field(_ key: String) -> FieldSchema? {
        if let field = fields.first(where: { $0.name == key }) { return field }
        // No lowerCamelCase name has an underscore.
        return key.utf8.contains(UInt8(ascii: "_")) ? nil : fields.first { $0.jsonName == key }
    }
}

struct FieldSchema: Sendable {
    enum Kind: Sendable, Equatable {
        case bool, int64, uint32, uint64, string, bytes, duration
        /// google.protobuf.BoolValue and its kin: written like the plain type, but "not set" differs from 0.
        case boolValue, uint32Value, uint64Value
        case enumeration(String)
        case message(String)
        case any(AnySlot)
        /// google.protobuf.Struct, or a part of the configuration that is accepted as a whole.
        case structure
        case opaque
    }

    enum Status: Sendable, Equatable {
        case supported
        /// Read, checked, changes nothing anybody could notice.
        case annotation
        /// Accepted with a warning that says why it changes nothing here.
        case noEffect(String)
        /// Valid in Envoy; an error here that says why, and what to use instead.
        case later(reason: String, instead: String)
    }

    enum Rule: Sendable, Equatable {
        case required
        case nonEmpty
        case range(ClosedRange<Int64>)
        /// Nanoseconds; `text` says it to a person.
        case durationRange(ClosedRange<Int64>, text: String)
        case minItems(Int)
        case maxItems(Int)
        case mustBeTrue
    }

    let name: String
    let kind: Kind
    let isList: Bool
    let oneof: String?
    let rules: [Rule]
    let status: Status
    /// What to use instead, for fields that Envoy itself has deprecated.
    let deprecated: String?

    /// lowerCamelCase as protobuf derives it: an underscore goes and raises the next letter.
    var jsonName: String {
        var result = ""
        var raise = false
        for character in name {
            if character == "_" {
                raise = true
                continue
            }
            result.append(raise ? Character(character.uppercased()) : character)
            raise = false
        }
        return result
    }
}

struct EnumSchema: Sendable {
    let name: String
    let values: [(name: String, number: Int32)]
    /// Values Envoy has and this proxy does not, with what to use instead.
    let later: [String: String]

    init(_ name: String, _ names: String, later: [String: String] = [:]) {
        self.name = name
        self.values = names.split(separator: " ").enumerated().map { (String($0.element), Int32($0.offset)) }
        self.later = later
    }
}

/// A place where a `typed_config` stands, and the messages that may stand in it.
enum AnySlot: String, Sendable, CaseIterable {
    case networkFilter, listenerFilter, accessLog, transportSocket, resourceMonitor, clusterType, loadBalancer, connectionBalance
}

// Words the tables are written in.
extension [FieldSchema] {
    static func one(
        _ name: String, _ kind: FieldSchema.Kind, oneof: String? = nil, _ rules: FieldSchema.Rule..., deprecated: String? = nil
    ) -> [FieldSchema] {
        [FieldSchema(name: name, kind: kind, isList: false, oneof: oneof, rules: rules, status: .supported, deprecated: deprecated)]
    }

    static func list(_ name: String, _ kind: FieldSchema.Kind, _ rules: FieldSchema.Rule...) -> [FieldSchema] {
        [FieldSchema(name: name, kind: kind, isList: true, oneof: nil, rules: rules, status: .supported, deprecated: nil)]
    }

    /// Fields without any visible effect in Envoy either, as far as TCP goes.
    static func annotations(_ names: String) -> [FieldSchema] { opaque(names, .annotation) }

    static func noEffect(_ names: String, _ reason: String) -> [FieldSchema] { opaque(names, .noEffect(reason)) }

    static func noEffect(
        _ name: String, _ kind: FieldSchema.Kind, isList: Bool = false, oneof: String? = nil, _ rules: FieldSchema.Rule...,
        because reason: String
    ) -> [FieldSchema] {
        [FieldSchema(name: name, kind: kind, isList: isList, oneof: oneof, rules: rules, status: .noEffect(reason), deprecated: nil)]
    }

    static func later(_ names: String, oneof: String? = nil, _ reason: Unsupported) -> [FieldSchema] {
        opaque(names, .later(reason: reason.reason, instead: reason.instead), oneof: oneof)
    }

    private static func opaque(_ names: String, _ status: FieldSchema.Status, oneof: String? = nil) -> [FieldSchema] {
        names.split(separator: " ").map {
            FieldSchema(name: String($0), kind: .opaque, isList: false, oneof: oneof, rules: [], status: status, deprecated: nil)
        }
    }
}

/// Why a part of Envoy's configuration is not supported yet, and the nearest thing that is.
struct Unsupported: Sendable {
    let reason: String
    let instead: String

    init(_ reason: String, instead: String = "") {
        self.reason = reason
        self.instead = instead
    }

    static let tls = Unsupported("TLS is neither accepted nor spoken", instead: "remove this: plain TCP passes TLS through unopened")
    static let http = Unsupported("only TCP is served, not HTTP", instead: "relay its connections with envoy.filters.network.tcp_proxy")
    static let udp = Unsupported("only TCP and pipes are served, not UDP")
    static let xds = Unsupported("nothing is configured from a server (xDS)", instead: "write it under static_resources and restart")
    static let health = Unsupported("nothing checks endpoints", instead: "mark endpoints with 'health_status: UNHEALTHY'")
    static let resolver = Unsupported("only the system's resolver is used", instead: "set servers and options in /etc/resolv.conf")
    static let chainMatch = Unsupported(
        "a listener has one filter chain, for every connection", instead: "give each address a listener of its own")
    static let extensions = Unsupported("there is no extension of this kind")
    static let tcpTuning = Unsupported("tcp_proxy has no such option", instead: "remove it to get Envoy's default")
    static let listenerTuning = Unsupported("listeners have no such option", instead: "remove it to get Envoy's default")
    static let clusterTuning = Unsupported("clusters have no such option", instead: "remove it to get Envoy's default")
    static let balancing = Unsupported("endpoints are not balanced this way", instead: "use lb_policy ROUND_ROBIN, LEAST_REQUEST or RANDOM")
    static let stats = Unsupported("statistics are as they are", instead: "read them at /stats or /stats/prometheus on the admin address")
    static let proxyProtocol = Unsupported("the PROXY protocol is not spoken")
    static let logFilter = Unsupported("every connection is logged", instead: "remove it")
}
