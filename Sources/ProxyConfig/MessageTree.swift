/// A configuration after reading, before decoding: typed values with their places. Everything after this knows no YAML.
final class Message {
    let schema: MessageSchema
    /// Dotted path from the bootstrap; "" for the bootstrap itself.
    let path: String
    /// The key or list item under which the message stands.
    let place: Place
    var entries: [Entry] = []

    struct Entry {
        let field: FieldSchema
        /// Of the key.
        let place: Place
        /// Of what stands behind it.
        let valuePlace: Place
        var value: Value
    }

    init(schema: MessageSchema, path: String, place: Place) {
        self.schema = schema
        self.path = path
        self.place = place
    }

    func entry(_ name: String) -> Entry? { entries.first { $0.field.name == name } }

    func path(of name: String) -> String { path.isEmpty ? name : path + "." + name }

    /// Where to point for a field's value; the message itself where the field is not there.
    func valuePlace(_ name: String) -> Place { entry(name)?.valuePlace ?? place }

    /// The field was written, though perhaps wrongly: no second finding should say that it is missing.
    func has(_ name: String) -> Bool { entry(name) != nil }
}

struct Item {
    let place: Place
    let value: Value
}

enum Value {
    case bool(Bool)
    case integer(Int64)
    /// Above Int64.max; only uint64 fields hold it.
    case unsigned(UInt64)
    case string(String)
    case bytes([UInt8])
    /// Nanoseconds.
    case duration(Int64)
    case enumeration(String, Int32)
    case message(Message)
    case list([Item])
    case any(url: String, Message)
    case raw(YAMLNode)
    /// Reported already; stands for "something is here".
    case invalid

    var isInvalid: Bool {
        if case .invalid = self { return true }
        return false
    }
}

// What the decoders ask. A missing and an invalid value look alike to them: the second was reported where it was read.
extension Message {
    func string(_ name: String) -> String? {
        if case .string(let text)? = entry(name)?.value { return text }
        return nil
    }

    func bool(_ name: String) -> Bool? {
        if case .bool(let value)? = entry(name)?.value { return value }
        return nil
    }

    func integer(_ name: String) -> Int64? {
        if case .integer(let value)? = entry(name)?.value { return value }
        return nil
    }

    func uint32(_ name: String) -> UInt32? { integer(name).map { UInt32(clamping: $0) } }

    /// Whole milliseconds, rounded up: a time-out of a microsecond must not become "off".
    func milliseconds(_ name: String) -> UInt64? {
        guard case .duration(let nanoseconds)? = entry(name)?.value else { return nil }
        return UInt64(max(0, nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 > 0 ? 1 : 0)))
    }

    func enumeration(_ name: String) -> String? {
        if case .enumeration(let value, _)? = entry(name)?.value { return value }
        return nil
    }

    func message(_ name: String) -> Message? {
        if case .message(let message)? = entry(name)?.value { return message }
        return nil
    }

    func any(_ name: String) -> Message? {
        if case .any(_, let message)? = entry(name)?.value { return message }
        return nil
    }

    func messages(_ name: String) -> [Message] {
        guard case .list(let items)? = entry(name)?.value else { return [] }
        return items.compactMap {
            if case .message(let message) = $0.value { return message }
            return nil
        }
    }

    func raw(_ name: String) -> YAMLNode? {
        if case .raw(let node)? = entry(name)?.value { return node }
        return nil
    }
}
