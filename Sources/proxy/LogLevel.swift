import Logging

/// Envoy's level names, plus `notice` between info and warning (lifecycle a person wants to see; shown from `info` on).
enum LogLevel: Int, Sendable, Comparable, CaseIterable {
    case trace, debug, info, notice, warning, error, critical, off

    /// The names the command line and `/logging` accept; `warn` and `warning` are the same.
    static let names = ["trace", "debug", "info", "notice", "warning", "warn", "error", "critical", "off"]

    init?(name: String) {
        if name == "warn" {
            self = .warning
            return
        }
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }

    init(_ level: Logger.Level) {
        self =
            switch level {
            case .trace: .trace
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            case .critical: .critical
            }
    }

    var name: String {
        switch self {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .notice: "notice"
        case .warning: "warning"
        case .error: "error"
        case .critical: "critical"
        case .off: "off"
        }
    }

    /// swift-log's own gate; it has no "off", which the handler decides itself.
    var loggerLevel: Logger.Level {
        switch self {
        case .trace: .trace
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        case .critical, .off: .critical
        }
    }

    static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}
