/// Turns a YAML tree into typed messages by the schema: names, types, single values. What concerns a whole message (required
/// fields, counts) waits for `ConstraintChecker`, after --config-yaml has been merged in.
struct MessageReader {
    let findings: Findings
    let allowUnknown: Bool
    private(set) var unknownFields = 0

    init(findings: Findings, allowUnknown: Bool) {
        self.findings = findings
        self.allowUnknown = allowUnknown
    }

    mutating func read(_ node: YAMLNode, as type: String, path: String, place: Place, isAny: Bool = false) -> Message {
        guard let schema = Schemas.messages[type] else { preconditionFailure("no schema for \(type)") }
        let message = Message(schema: schema, path: path, place: place)
        guard case .mapping(let pairs) = node.content else {
            if !node.isNull { wrongType(node, wanted: "a mapping", path: path) }
            return message
        }
        for pair in pairs where !(isAny && pair.key == "@type") { readField(pair, into: message) }
        return message
    }

    private mutating func readField(_ pair: YAMLNode.Pair, into message: Message) {
        let path = message.path(of: pair.key)
        guard let field = message.schema.field(pair.key) else { return unknownField(pair, in: message) }
        // null: as if the field were not there.
        if pair.value.isNull { return }
        if let other = message.entry(field.name), !other.value.isInvalid {
            findings.error(
                .duplicateKey, pair.keyPlace, "'\(pair.key)' is the field '\(field.name)' of line \(other.place.line) again",
                path: path, hint: "remove one of the two")
            return
        }
        reportOneofConflict(field, pair, in: message)
        let value = readValue(pair, field, in: message)
        message.entries.removeAll { $0.field.name == field.name }
        message.entries.append(Message.Entry(field: field, place: pair.keyPlace, valuePlace: pair.value.place, value: value))
    }

    private func reportOneofConflict(_ field: FieldSchema, _ pair: YAMLNode.Pair, in message: Message) {
        guard let oneof = field.oneof, let other = message.entries.first(where: { $0.field.oneof == oneof }) else { return }
        findings.error(
            .oneofConflict, pair.keyPlace,
            "'\(field.name)' cannot stand beside '\(other.field.name)' of line \(other.place.line): only one of them may be set",
            path: message.path(of: field.name), hint: "remove one of the two")
    }

    private mutating func readValue(_ pair: YAMLNode.Pair, _ field: FieldSchema, in message: Message) -> Value {
        let path = message.path(of: field.name)
        switch field.status {
        case .later(let reason, let instead):
            if Self.isDefault(pair.value) { return .raw(pair.value) }
            findings.error(
                .unsupportedField, pair.keyPlace, "'\(field.name)' is valid in Envoy but not supported here yet: \(reason)",
                path: path, hint: instead)
            return .invalid
        case .noEffect(let reason):
            if !Self.isDefault(pair.value) {
                findings.warning(.noEffect, pair.keyPlace, "'\(field.name)' has no effect here: \(reason)", path: path)
            }
        case .supported, .annotation: break
        }
        if let instead = field.deprecated {
            findings.warning(
                .deprecatedField, pair.keyPlace, "'\(field.name)' is deprecated in Envoy", path: path, hint: "use '\(instead)'")
        }
        return field.isList
            ? readList(pair.value, field, path: path) : readSingle(pair.value, field, path: path, place: pair.keyPlace)
    }

    /// What a field says when it says nothing: false, an empty string, an empty list.
    private static func isDefault(_ node: YAMLNode) -> Bool {
        if case .sequence(let items) = node.content { return items.isEmpty }
        return node.meaning == .bool(false) || node.meaning == .text("")
    }

    private mutating func readList(_ node: YAMLNode, _ field: FieldSchema, path: String) -> Value {
        guard case .sequence(let nodes) = node.content else {
            wrongType(node, wanted: "a list", path: path, hint: "begin each item with '- '")
            return .invalid
        }
        return .list(
            nodes.enumerated().map { index, node in
                Item(place: node.place, value: readSingle(node, field, path: "\(path)[\(index)]", place: node.place))
            })
    }

    private mutating func readSingle(_ node: YAMLNode, _ field: FieldSchema, path: String, place: Place) -> Value {
        switch field.kind {
        case .message(let type):
            guard case .mapping = node.content else {
                let hint = {
                    if case .sequence = node.content { return "'\(field.name)' is one value: remove the '- '" } else { return "" }
                }()
                wrongType(node, wanted: "a mapping", path: path, hint: hint)
                return .invalid
            }
            return .message(read(node, as: type, path: path, place: place))
        case .any(let slot): return readAny(node, slot, path: path, place: place)
        case .structure:
            guard case .mapping = node.content else {
                wrongType(node, wanted: "a mapping", path: path)
                return .invalid
            }
            return .raw(node)
        case .opaque: return .raw(node)
        default: return ScalarReader(findings: findings).read(node, field, path: path)
        }
    }

    private func wrongType(_ node: YAMLNode, wanted: String, path: String, hint: String = "") {
        findings.error(.wrongType, node.place, "\(lastName(path)) must be \(wanted), not \(node.kindName)", path: path, hint: hint)
    }

    // MARK: typed_config

    private mutating func readAny(_ node: YAMLNode, _ slot: AnySlot, path: String, place: Place) -> Value {
        guard case .mapping(let pairs) = node.content else {
            wrongType(node, wanted: "a mapping", path: path)
            return .invalid
        }
        guard let type = pairs.first(where: { $0.key == "@type" }) else {
            findings.error(
                .missingType, place, "\(lastName(path)) has no '@type'", path: path, hint: "add \"@type\": \(Self.example(slot))")
            return .invalid
        }
        guard case .text(let url)? = type.value.meaning else {
            wrongType(type.value, wanted: "a string", path: path + ".@type")
            return .invalid
        }
        let name = url.split(separator: "/").last.map(String.init) ?? ""
        guard url.contains("/"), Schemas.supportedTypes(slot).contains(name) else {
            reportType(url, name, slot, at: type.value.place, path: path + ".@type")
            return .invalid
        }
        return .any(url: url, read(node, as: name, path: path, place: place, isAny: true))
    }

    private static func example(_ slot: AnySlot) -> String {
        "type.googleapis.com/" + (Schemas.supportedTypes(slot).first ?? "…")
    }

    private func reportType(_ url: String, _ name: String, _ slot: AnySlot, at place: Place, path: String) {
        let types = Schemas.allTypes
        if !url.contains("/"), types.contains(name) {
            findings.error(.unknownType, place, "'\(url)' is not a type URL", path: path, hint: "write 'type.googleapis.com/\(name)'")
        } else if let why = Schemas.unsupportedType(name) {
            findings.error(
                .unsupportedType, place, "'\(name)' is valid in Envoy but not supported here yet: \(why.reason)", path: path,
                hint: why.instead)
        } else if types.contains(name) {
            findings.error(
                .unknownType, place, "'\(name)' cannot stand here", path: path, hint: "here stands for example \(Self.example(slot))")
        } else {
            findings.error(.unknownType, place, "unknown type '\(name)'", path: path, hint: Self.typeHint(name, types, slot))
        }
    }

    /// Also finds a type whose package is wrong (v2 names) by its last word.
    private static func typeHint(_ name: String, _ types: [String], _ slot: AnySlot) -> String {
        if let near = Suggestion.nearest(to: name, among: types) { return "did you mean 'type.googleapis.com/\(near)'?" }
        let last = name.split(separator: ".").last.map { "." + $0 } ?? ""
        let sameWord = last.isEmpty ? nil : Schemas.supportedTypes(slot).first { $0.hasSuffix(last) }
        return sameWord.map { "did you mean 'type.googleapis.com/\($0)'?" } ?? ""
    }

    // MARK: unknown fields

    private mutating func unknownField(_ pair: YAMLNode.Pair, in message: Message) {
        let holder = message.path.isEmpty ? "the configuration" : lastName(message.path)
        let text = "unknown field '\(pair.key)' in \(holder)"
        let meant = meant(by: pair.key, in: message.schema)
        if allowUnknown {
            unknownFields += 1
            findings.warning(.unknownField, pair.keyPlace, text, path: message.path, hint: meant.hint)
            return
        }
        findings.error(.unknownField, pair.keyPlace, text, path: message.path, hint: meant.hint)
        // The field that was meant counts as written, so that it is not reported as missing as well.
        if let field = meant.field, !message.has(field.name) {
            message.entries.append(Message.Entry(field: field, place: pair.keyPlace, valuePlace: pair.value.place, value: .invalid))
        }
    }

    private func meant(by key: String, in schema: MessageSchema) -> (field: FieldSchema?, hint: String) {
        if findings.isFull(allowUnknown ? .warning : .error) { return (nil, "") }
        let name = Schemas.alias(key, in: schema.name) ?? Suggestion.nearest(to: key, among: schema.fields.map(\.name))
        if let name { return (schema.field(name), "did you mean '\(name)'?") }
        if let holder = Self.child(holding: key, of: schema) { return (holder, "it belongs in '\(holder.name)'") }
        return (nil, schema.fields.isEmpty ? "\(schema.name.split(separator: ".").last ?? "") has no fields" : "")
    }

    /// A field of this message whose own message has the key.
    private static func child(holding key: String, of schema: MessageSchema) -> FieldSchema? {
        schema.fields.first {
            if case .message(let type) = $0.kind { return Schemas.messages[type]?.field(key) != nil }
            return false
        }
    }
}

/// "static_resources.listeners[0].address" → "address".
func lastName(_ path: String) -> String {
    let last = path.split(separator: ".").last.map(String.init) ?? ""
    return last.isEmpty ? "the configuration" : last
}
