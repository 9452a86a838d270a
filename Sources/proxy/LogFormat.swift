/// How a log line looks (`--log-format`).
enum LogFormat: Sendable, Equatable {
    /// `2026-11-24T03:44:05.123Z notice [hot_restart] epoch=3 pid=812 message key=value`
    case text
    /// One JSON object per line.
    case json
    /// A spdlog pattern, as Envoy takes it.
    case pattern(LogPattern)

    init(_ name: String) throws(LogFormatError) {
        switch name {
        case "text": self = .text
        case "json": self = .json
        default: self = .pattern(try LogPattern(name))
        }
    }
}

struct LogFormatError: Error, Equatable {
    var message: String
    static let remedy = "Give text, json, or a pattern of \(LogPattern.supported) and ordinary characters, with at least %v."
}

/// A parsed spdlog pattern: the flags that have a meaning here. Times are UTC.
struct LogPattern: Sendable, Equatable {
    enum Piece: Sendable, Equatable {
        case literal(String)
        case year, month, day, hour, minute, second, millisecond, microsecond, nanosecond, time, date, unixSeconds
        case thread, process, level, shortLevel, component, message, file, fileName, line, function
    }

    static let flags: [(Character, Piece)] = [
        ("Y", .year), ("m", .month), ("d", .day), ("H", .hour), ("M", .minute), ("S", .second), ("e", .millisecond),
        ("f", .microsecond), ("F", .nanosecond), ("T", .time), ("D", .date), ("E", .unixSeconds), ("t", .thread), ("P", .process),
        ("l", .level), ("L", .shortLevel), ("n", .component), ("v", .message), ("_", .message), ("j", .message), ("g", .file),
        ("s", .fileName), ("#", .line), ("!", .function), ("^", .literal("")), ("$", .literal("")), ("%", .literal("%")),
    ]
    static var supported: String { flags.map { "%\($0.0)" }.joined(separator: " ") }

    var pieces: [Piece] = []

    init(_ pattern: String) throws(LogFormatError) {
        var literal = ""
        var rest = pattern.makeIterator()
        while let character = rest.next() {
            guard character == "%" else {
                literal.append(character)
                continue
            }
            guard let flag = rest.next() else {
                throw LogFormatError(message: "log format '\(pattern)' ends in a single %")
            }
            guard let piece = Self.flags.first(where: { $0.0 == flag })?.1 else {
                throw LogFormatError(message: "log format '\(pattern)' has %\(flag), which is not supported")
            }
            if case .literal(let text) = piece {
                literal += text
                continue
            }
            if !literal.isEmpty { pieces.append(.literal(literal)) }
            literal = ""
            pieces.append(piece)
        }
        if !literal.isEmpty { pieces.append(.literal(literal)) }
        guard pieces.contains(.message) else {
            throw LogFormatError(message: "log format '\(pattern)' has no %v, so no line would say anything")
        }
    }
}
