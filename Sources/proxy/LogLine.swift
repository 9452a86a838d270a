import ProxyModel

/// Turns a record into one line, newline included. Nothing that a record holds can make two lines of it.
struct LogLine {
    let record: LogRecord
    let identity: LogIdentity

    func bytes(_ format: LogFormat) -> [UInt8] {
        let line =
            switch format {
            case .text: text
            case .json: json
            case .pattern(let pattern): pattern.pieces.map(render).joined()
            }
        return Array(line.utf8) + [UInt8(ascii: "\n")]
    }

    private var text: String {
        "\(time.rfc3339) \(record.level.name) [\(Self.escaped(record.component))] epoch=\(identity.epoch) pid=\(identity.pid) \(messageWithFields)"
    }

    private var json: String {
        var members = [
            "\"time\":\"\(time.rfc3339)\"", "\"level\":\"\(record.level.name)\"", "\"component\":\(JSONText.string(record.component))",
            "\"epoch\":\(identity.epoch)", "\"pid\":\(identity.pid)", "\"message\":\(JSONText.string(record.message))",
        ]
        for field in record.fields {
            let key = Self.reservedKeys.contains(field.key) ? "field.\(field.key)" : field.key
            let value = if case .number(let text) = field.value { text } else { JSONText.string(field.value.text) }
            members.append("\(JSONText.string(key)):\(value)")
        }
        return "{\(members.joined(separator: ","))}"
    }

    private static let reservedKeys: Set<String> = ["time", "level", "component", "epoch", "pid", "message"]

    private var time: UTCTime { UTCTime(unixNanoseconds: record.unixNanoseconds) }

    private var messageWithFields: String {
        var line = Self.escaped(record.message)
        for field in record.fields { line += " \(Self.escaped(field.key))=\(Self.quotedIfNeeded(field.value.text))" }
        return line
    }

    private func render(_ piece: LogPattern.Piece) -> String {
        switch piece {
        case .literal(let text): Self.escaped(text)
        case .year: digits(time.year, 4)
        case .month: digits(time.month, 2)
        case .day: digits(time.day, 2)
        case .hour: digits(time.hour, 2)
        case .minute: digits(time.minute, 2)
        case .second: digits(time.second, 2)
        case .millisecond: digits(time.nanosecond / 1_000_000, 3)
        case .microsecond: digits(time.nanosecond / 1000, 6)
        case .nanosecond: digits(time.nanosecond, 9)
        case .time: time.time
        case .date: "\(digits(time.month, 2))/\(digits(time.day, 2))/\(digits(time.year % 100, 2))"
        case .unixSeconds: String(record.unixNanoseconds / 1_000_000_000)
        // Only the main thread writes here, and its thread id is the process id.
        case .thread, .process: String(identity.pid)
        case .level: record.level.name
        case .shortLevel: String(record.level.name.prefix(1).uppercased())
        case .component: Self.escaped(record.component)
        case .message: messageWithFields
        case .file: Self.escaped(record.file.isEmpty ? "core" : record.file)
        case .fileName: Self.escaped(record.file.isEmpty ? "core" : String(record.file.split(separator: "/").last ?? ""))
        case .line: String(record.line)
        case .function: Self.escaped(record.function)
        }
    }

    // MARK: - Escaping

    /// `text` with everything that could end or distort a line written as an escape. A backslash stays one: messages are for reading.
    static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: \.breaksLine) else { return text }
        var out = ""
        for scalar in text.unicodeScalars {
            if scalar.breaksLine { out += escape(scalar) } else { out.unicodeScalars.append(scalar) }
        }
        return out
    }

    /// A value in quotes where it could be mistaken for more than one word; inside quotes, quotes and backslashes are escaped.
    static func quotedIfNeeded(_ text: String) -> String {
        let plain = !text.isEmpty && !text.unicodeScalars.contains { $0 == " " || $0 == "\"" || $0 == "=" || $0 == "\\" || $0.breaksLine }
        if plain { return text }
        var out = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { out += "\\" }
            if scalar.breaksLine { out += escape(scalar) } else { out.unicodeScalars.append(scalar) }
        }
        return out + "\""
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        default: "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
}
