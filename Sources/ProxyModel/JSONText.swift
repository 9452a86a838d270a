/// JSON as text, written without building a tree: strings escaped, numbers as they are.
public enum JSONText {
    /// `text` in quotes, escaped as RFC 8259 section 7 asks; DEL, C1 and the Unicode line separators are escaped too, so that the
    /// result is one line on any terminal.
    public static func string(_ text: String) -> String {
        var out = "\""
        out.reserveCapacity(text.utf8.count + 2)
        for scalar in text.unicodeScalars { append(scalar, to: &out) }
        return out + "\""
    }

    private static func append(_ scalar: Unicode.Scalar, to out: inout String) {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case "\n": out += "\\n"
        case "\r": out += "\\r"
        case "\t": out += "\\t"
        case _ where scalar.breaksLine: out += "\\u" + hex(scalar.value)
        default: out.unicodeScalars.append(scalar)
        }
    }

    private static func hex(_ value: UInt32) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, 4 - text.count)) + text
    }
}

extension Unicode.Scalar {
    /// Control characters, and those that end a line or turn its direction: none may stand in a log line as they are.
    public var breaksLine: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
