/// Reads one scalar field and checks the value by itself: type, number, duration, enum, range.
struct ScalarReader {
    let findings: Findings

    func read(_ node: YAMLNode, _ field: FieldSchema, path: String) -> Value {
        guard let meaning = node.meaning, meaning != .null else { return wrongType(node, Self.wanted(field.kind), path) }
        switch field.kind {
        case .bool, .boolValue: return bool(node, meaning, field, path)
        case .int64: return integer(node, meaning, Int64.min...Int64.max, field, path)
        case .uint32, .uint32Value: return integer(node, meaning, 0...Int64(UInt32.max), field, path)
        case .uint64, .uint64Value: return integer(node, meaning, 0...Int64.max, field, path)
        case .string: return string(node, meaning, field, path)
        case .bytes: return bytes(node, meaning, path)
        case .duration: return duration(node, meaning, field, path)
        case .enumeration(let name): return enumeration(node, meaning, name, path)
        case .message, .any, .structure, .opaque: return .raw(node)
        }
    }

    private static func wanted(_ kind: FieldSchema.Kind) -> String {
        switch kind {
        case .bool, .boolValue: return "true or false"
        case .int64, .uint32, .uint32Value, .uint64, .uint64Value: return "a number"
        case .bytes: return "a base64 string"
        case .duration: return "a duration"
        case .enumeration: return "one of its names"
        default: return "a string"
        }
    }

    private func wrongType(_ node: YAMLNode, _ wanted: String, _ path: String, hint: String = "") -> Value {
        findings.error(.wrongType, node.place, "\(lastName(path)) must be \(wanted), not \(node.kindName)", path: path, hint: hint)
        return .invalid
    }

    private func bool(_ node: YAMLNode, _ meaning: YAMLNode.Meaning, _ field: FieldSchema, _ path: String) -> Value {
        guard case .bool(let value) = meaning else {
            let quoted = meaning == .text("true") || meaning == .text("false")
            return wrongType(node, "true or false", path, hint: quoted ? "remove the quotes" : "")
        }
        if field.rules.contains(.mustBeTrue), !value {
            findings.error(.outOfRange, node.place, "\(lastName(path)) can only be true", path: path, hint: "remove it")
        }
        return .bool(value)
    }

    private func integer(
        _ node: YAMLNode, _ meaning: YAMLNode.Meaning, _ bounds: ClosedRange<Int64>, _ field: FieldSchema, _ path: String
    ) -> Value {
        let value: Value?
        switch meaning {
        case .integer(let number): value = .integer(number)
        case .text(let text):
            value = ProtoScalars.integer(text)
            if value == nil { return notInteger(node, text, path) }
        default: return wrongType(node, "a number", path)
        }
        return checkRange(node, value ?? .invalid, bounds, field, path)
    }

    private func notInteger(_ node: YAMLNode, _ text: String, _ path: String) -> Value {
        let fraction = ProtoScalars.isDecimalNumber(text)
        let what = fraction ? "a whole number" : "a number"
        findings.error(.badNumber, node.place, "\(lastName(path)) must be \(what), not '\(text)'", path: path)
        return .invalid
    }

    private func checkRange(_ node: YAMLNode, _ value: Value, _ bounds: ClosedRange<Int64>, _ field: FieldSchema, _ path: String) -> Value {
        let narrowed = field.rules.reduce(bounds) {
            if case .range(let range) = $1 { return range.clamped(to: $0) }
            return $0
        }
        // 2^63 and above: no field here takes it.
        if case .integer(let number) = value, narrowed.contains(number) { return value }
        let limit =
            narrowed.upperBound == Int64.max ? "at least \(narrowed.lowerBound)" : "from \(narrowed.lowerBound) to \(narrowed.upperBound)"
        findings.error(.outOfRange, node.place, "\(lastName(path)) must be \(limit)", path: path)
        return .invalid
    }

    private func string(_ node: YAMLNode, _ meaning: YAMLNode.Meaning, _ field: FieldSchema, _ path: String) -> Value {
        guard case .text(let text) = meaning else {
            guard case .scalar(let written, _) = node.content else { return wrongType(node, "a string", path) }
            return wrongType(node, "a string", path, hint: "put it in quotes: \"\(written)\"")
        }
        // Names end up in logs, statistics and C strings; only text that is sent or written may have line ends and the like.
        let isText = ["inline_string", "text_format", "format", "description"].contains(field.name)
        if text.utf8.contains(where: { $0 == 0 || (!isText && ($0 < 0x20 || $0 == 0x7F)) }) {
            let what = text.utf8.contains(0) ? "NUL" : "control"
            findings.error(.invalidText, node.place, "\(lastName(path)) holds a \(what) character", path: path, hint: "remove it")
            return .invalid
        }
        return .string(text)
    }

    private func bytes(_ node: YAMLNode, _ meaning: YAMLNode.Meaning, _ path: String) -> Value {
        guard case .scalar(let text, _) = node.content else { return wrongType(node, "a base64 string", path) }
        if let bytes = ProtoScalars.base64(text) { return .bytes(bytes) }
        findings.error(.badBase64, node.place, "\(lastName(path)) is not base64", path: path)
        return .invalid
    }

    private func duration(_ node: YAMLNode, _ meaning: YAMLNode.Meaning, _ field: FieldSchema, _ path: String) -> Value {
        switch meaning {
        case .text(let text):
            do {
                return checkDuration(node, try ProtoScalars.duration(text), field, path)
            } catch {
                return badDuration(node, text, error, path)
            }
        case .integer(let number): return badDuration(node, String(number), .noUnit, path)
        default: return wrongType(node, "a duration", path, hint: "write seconds, for example 5s")
        }
    }

    private func badDuration(_ node: YAMLNode, _ text: String, _ problem: ProtoScalars.DurationProblem, _ path: String) -> Value {
        let (what, hint): (String, String) =
            switch problem {
            case .noUnit: ("has no unit", "write '\(text)s'")
            case .otherUnit: ("has a unit other than seconds", "write seconds, for example 0.25s")
            case .malformed: ("is not a duration", "write seconds, for example 0.25s")
            case .tooPrecise: ("has more than nine decimals", "")
            case .tooLong: ("is longer than 10,000 years", "")
            }
        findings.error(.badDuration, node.place, "\(lastName(path)) '\(text)' \(what)", path: path, hint: hint)
        return .invalid
    }

    private func checkDuration(_ node: YAMLNode, _ nanoseconds: Int64, _ field: FieldSchema, _ path: String) -> Value {
        for case .durationRange(let range, let text) in field.rules where !range.contains(nanoseconds) {
            findings.error(.outOfRange, node.place, "\(lastName(path)) must be \(text)", path: path)
            return .invalid
        }
        if nanoseconds < 0 {
            findings.error(.outOfRange, node.place, "\(lastName(path)) must not be negative", path: path)
            return .invalid
        }
        return .duration(nanoseconds)
    }

    private func enumeration(_ node: YAMLNode, _ meaning: YAMLNode.Meaning, _ name: String, _ path: String) -> Value {
        guard let schema = Schemas.enums[name] else { preconditionFailure("no schema for \(name)") }
        let found: (name: String, number: Int32)?
        let written: String
        switch meaning {
        case .integer(let number):
            written = String(number)
            found = schema.values.first { $0.number == number && $0.name != "(reserved)" }
        case .text(let text):
            written = text
            found = schema.values.first { $0.name == text.uppercased() }
        default: return wrongType(node, "one of its names", path, hint: Self.names(schema))
        }
        guard let found else {
            let near = Suggestion.hint(for: written, among: schema.values.map(\.name))
            findings.error(
                .unknownEnumValue, node.place, "unknown value '\(written)' for \(lastName(path))", path: path,
                hint: near.isEmpty ? Self.names(schema) : near)
            return .invalid
        }
        if let instead = schema.later[found.name] {
            findings.error(
                .unsupportedValue, node.place, "\(lastName(path)) \(found.name) is valid in Envoy but not supported here yet", path: path,
                hint: instead)
            return .invalid
        }
        return .enumeration(found.name, found.number)
    }

    private static func names(_ schema: EnumSchema) -> String {
        "one of " + schema.values.map(\.name).filter { $0 != "(reserved)" }.joined(separator: ", ")
    }
}
