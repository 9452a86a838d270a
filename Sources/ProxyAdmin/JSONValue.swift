import ProxyModel

/// JSON to be printed, members in the order given.
public indirect enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// A number as text.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([Member])
    /// JSON text made elsewhere; laid out again when printed.
    case raw(String)

    public struct Member: Sendable, Equatable {
        public var key: String
        public var value: JSONValue
        public init(_ key: String, _ value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    public static func number<I: BinaryInteger>(_ value: I) -> JSONValue { .number(String(value)) }
    /// protobuf's JSON form of 64-bit integers.
    public static func string<I: BinaryInteger>(_ value: I) -> JSONValue { .string(String(value)) }

    /// A list as a member; none where it is empty, as protobuf does.
    static func list(_ key: String, _ items: [JSONValue]) -> [Member] { items.isEmpty ? [] : [Member(key, .array(items))] }

    /// As protobuf prints it: one space per level, empty containers on one line.
    public var pretty: String {
        var out = ""
        append(to: &out, depth: 0)
        return out
    }

    /// Without any space.
    public var compact: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .number(let text), .raw(let text): text
        case .string(let text): JSONText.string(text)
        case .array(let items): "[\(items.map(\.compact).joined(separator: ","))]"
        case .object(let members): "{\(members.map { "\(JSONText.string($0.key)):\($0.value.compact)" }.joined(separator: ","))}"
        }
    }

    private func append(to out: inout String, depth: Int) {
        switch self {
        case .array(let items) where !items.isEmpty:
            Self.appendLines(items, between: "[", "]", to: &out, depth: depth) { item, out in item.append(to: &out, depth: depth + 1) }
        case .object(let members) where !members.isEmpty:
            Self.appendLines(members, between: "{", "}", to: &out, depth: depth) { member, out in
                out += "\(JSONText.string(member.key)): "
                member.value.append(to: &out, depth: depth + 1)
            }
        case .raw(let text): out += Self.laidOut(text, depth: depth)
        default: out += compact
        }
    }

    private static func appendLines<Item>(
        _ items: [Item], between open: String, _ close: String, to out: inout String, depth: Int, each: (Item, inout String) -> Void
    ) {
        out += open
        for (index, item) in items.enumerated() {
            out += index == 0 ? "\n" : ",\n"
            out += String(repeating: " ", count: depth + 1)
            each(item, &out)
        }
        out += "\n" + String(repeating: " ", count: depth) + close
    }

    /// `json` with its white space outside strings replaced by ours, as if it stood `depth` levels deep.
    static func laidOut(_ json: String, depth: Int) -> String {
        var out: [UInt8] = []
        var depth = depth
        var inString = false
        var escaped = false
        var opened = false  // the last thing printed opened a container
        func newLine() {
            out.append(UInt8(ascii: "\n"))
            out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: depth))
        }
        for byte in json.utf8 {
            if inString {
                out.append(byte)
                inString = escaped || byte != UInt8(ascii: "\"")
                escaped = !escaped && byte == UInt8(ascii: "\\")
                continue
            }
            let isSpace = byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
            if isSpace { continue }
            let closes = byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
            if closes {
                depth = max(0, depth - 1)  // text from elsewhere may close more than it opens
                if !opened { newLine() }
            } else if opened {
                newLine()
            }
            opened = byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[")
            out.append(byte)
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: ","): newLine()
            case UInt8(ascii: ":"): out.append(UInt8(ascii: " "))
            default: break
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
