/// The YAML tree, with the place of every node. A class, so that an alias costs a reference and not a copy.
final class YAMLNode {
    enum Content {
        /// `plain`: written without quotes, so that it may stand for a number, a truth value or nothing.
        case scalar(String, plain: Bool)
        case sequence([YAMLNode])
        case mapping([Pair])
    }

    struct Pair {
        let key: String
        let keyPlace: Place
        let value: YAMLNode
    }

    let content: Content
    let place: Place
    /// Nodes in this tree with every alias written out: what a walk over it costs.
    let weight: Int

    init(_ content: Content, place: Place, weight: Int) {
        self.content = content
        self.place = place
        self.weight = weight
    }

    /// What a scalar stands for in Envoy, which reads YAML 1.1 truth values and C integer literals (0600 is octal).
    enum Meaning: Equatable {
        case null
        case bool(Bool)
        case integer(Int64)
        case text(String)
    }

    var meaning: Meaning? {
        guard case .scalar(let text, let plain) = content else { return nil }
        return plain ? Self.meaning(ofPlain: text) : .text(text)
    }

    var isNull: Bool { meaning == .null }

    /// For messages: "a mapping", "a list", "the number 5"…
    var kindName: String {
        switch content {
        case .sequence: return "a list"
        case .mapping: return "a mapping"
        case .scalar(let text, let plain):
            guard plain else { return "a string" }
            switch Self.meaning(ofPlain: text) {
            case .null: return "null"
            case .bool: return "the truth value \(text)"
            case .integer: return "the number \(text)"
            case .text: return "a string"
            }
        }
    }

    private static func meaning(ofPlain text: String) -> Meaning {
        if text.isEmpty || text == "~" || ["null", "Null", "NULL"].contains(text) { return .null }
        if let truth = truthValue(text) { return .bool(truth) }
        if let number = integerLiteral(text) { return .integer(number) }
        return .text(text)
    }

    private static func truthValue(_ text: String) -> Bool? {
        guard text.utf8.count <= 5 else { return nil }
        let lower = text.lowercased()
        let capitalized = lower.prefix(1).uppercased() + lower.dropFirst()
        guard text == lower || text == lower.uppercased() || text == capitalized else { return nil }
        if ["true", "yes", "on", "y"].contains(lower) { return true }
        if ["false", "no", "off", "n"].contains(lower) { return false }
        return nil
    }

    private static func integerLiteral(_ text: String) -> Int64? {
        let negative = text.hasPrefix("-")
        let digits = negative || text.hasPrefix("+") ? text.dropFirst() : Substring(text)
        guard let first = digits.utf8.first, (0x30...0x39).contains(first) else { return nil }
        let sign = negative ? "-" : ""
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") { return Int64(sign + digits.dropFirst(2), radix: 16) }
        if digits.utf8.count > 1, first == 0x30 { return Int64(sign + digits, radix: 8) }
        return Int64(sign + digits)
    }
}
