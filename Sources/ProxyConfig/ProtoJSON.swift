internal import ProxyModel

/// Prints a message as protobuf's JSON form with original field names: fields in schema order, defaults left out, one space of
/// indent per level, 64-bit integers and durations as strings.
struct ProtoJSON {
    private var text = ""

    static func text(_ message: Message) -> String {
        var writer = ProtoJSON()
        writer.write(message, type: nil, indent: 0)
        return writer.text
    }

    private mutating func write(_ message: Message, type: String?, indent: Int) {
        var members: [(String, Value, FieldSchema?)] = type.map { [("@type", .string($0), nil)] } ?? []
        for field in message.schema.fields {
            guard let entry = message.entry(field.name), !Self.isOmitted(entry) else { continue }
            members.append((field.name, entry.value, field))
        }
        if members.isEmpty {
            text += "{}"
            return
        }
        writeList("{", "}", members, indent) { writer, member in
            writer.text += JSONText.string(member.0) + ": "
            writer.write(member.1, kind: member.2?.kind, indent: indent + 1)
        }
    }

    private mutating func writeList<Element>(
        _ open: String, _ close: String, _ elements: [Element], _ indent: Int, _ body: (inout ProtoJSON, Element) -> Void
    ) {
        if elements.isEmpty {
            text += open + close
            return
        }
        let pad = String(repeating: " ", count: indent + 1)
        text += open
        for (index, element) in elements.enumerated() {
            text += (index == 0 ? "\n" : ",\n") + pad
            body(&self, element)
        }
        text += "\n" + pad.dropLast() + close
    }

    private mutating func write(_ value: Value, kind: FieldSchema.Kind?, indent: Int) {
        switch value {
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += Self.is64Bit(kind) ? "\"\(value)\"" : String(value)
        case .unsigned(let value): text += "\"\(value)\""
        case .string(let value): text += JSONText.string(value)
        case .bytes(let value): text += JSONText.string(ProtoScalars.base64Text(value))
        case .duration(let value): text += JSONText.string(ProtoScalars.durationText(value))
        case .enumeration(let name, _): text += JSONText.string(name)
        case .message(let message): write(message, type: nil, indent: indent)
        case .any(let url, let message): write(message, type: url, indent: indent)
        case .list(let items): writeList("[", "]", items, indent) { $0.write($1.value, kind: kind, indent: indent + 1) }
        case .raw(let node): write(node, indent: indent)
        case .invalid: text += "null"
        }
    }

    private mutating func write(_ node: YAMLNode, indent: Int) {
        switch node.content {
        case .sequence(let items): writeList("[", "]", items, indent) { $0.write($1, indent: indent + 1) }
        case .mapping(let pairs):
            writeList("{", "}", pairs, indent) { writer, pair in
                writer.text += JSONText.string(pair.key) + ": "
                writer.write(pair.value, indent: indent + 1)
            }
        case .scalar(let scalar, let plain): text += Self.scalar(scalar, plain: plain, node.meaning)
        }
    }

    static func scalar(_ written: String, plain: Bool, _ meaning: YAMLNode.Meaning?) -> String {
        switch meaning {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer(let value): return String(value)
        default: return plain && ProtoScalars.isDecimalNumber(written) ? written : JSONText.string(written)
        }
    }

    private static func is64Bit(_ kind: FieldSchema.Kind?) -> Bool {
        kind == .int64 || kind == .uint64 || kind == .uint64Value
    }

    /// proto3 prints no plain field that has its default, unless the field knows "not set" (wrappers, oneofs, messages).
    private static func isOmitted(_ entry: Message.Entry) -> Bool {
        if case .list(let items) = entry.value { return items.isEmpty }
        if entry.field.oneof != nil { return false }
        switch (entry.field.kind, entry.value) {
        case (.bool, .bool(false)), (.string, .string("")), (.bytes, .bytes([])): return true
        case (.uint32, .integer(0)), (.int64, .integer(0)), (.uint64, .integer(0)): return true
        case (.enumeration, .enumeration(_, 0)): return true
        default: return false
        }
    }
}
