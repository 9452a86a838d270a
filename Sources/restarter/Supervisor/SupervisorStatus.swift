import ProxyModel

/// A supervisor's answer to a query.
struct SupervisorStatus: Equatable, Codable {
    struct Generation: Equatable, Codable {
        var epoch: UInt64
        var pid: Int32
        var state: String
    }

    var pid: Int32
    var startedUnixMs: UInt64
    var program: String
    var arguments: [String]
    /// What it does now: "idle", "checking", "starting", "waiting for a roll-back", "backing off", "stopping".
    var phase: String
    var generations: [Generation]
    /// Failed ones too, those among them that never reached the proxy.
    var lastRestart: RestartReport?

    enum CodingKeys: String, CodingKey {
        case pid
        case startedUnixMs = "started_unix_ms"
        case program, arguments, phase, generations
        case lastRestart = "last_restart"
    }
}

extension SupervisorState.Phase {
    var text: String {
        switch self {
        case .idle: "idle"
        case .checking: "checking"
        case .locating, .initializing: "starting"
        case .awaitingRollback: "waiting for a roll-back"
        case .backingOff: "backing off"
        case .surveying: "looking who serves"
        case .stopping, .ended: "stopping"
        }
    }
}
