import Glibc
import Testing

@testable import ProxyConfig

/// The parts of docs/ that the tables in the code decide. `UPDATE_EXPECTED=1 swift test --filter ProxyConfigTests` writes them anew.
struct DocumentationTests {
    @Test("docs/errors.md explains every id of configuration")
    func errors() throws {
        let text = DiagnosticID.allCases.map { id in
            let explanation = id.explanation
            let deviation =
                explanation.isDeviation ? "\n*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*\n" : ""
            return "### \(id.rawValue) \(explanation.title)\n\n\(explanation.cause)\n\(deviation)\n**What to do:** \(explanation.remedy)\n"
        }
        try Documentation.compare(text.joined(separator: "\n"), with: "configuration", in: "errors.md")
    }

    @Test("docs/config-reference.md lists every deviation")
    func deviations() throws {
        let rows = DiagnosticID.allCases.filter(\.explanation.isDeviation).map { id in
            "| [\(id.rawValue)](errors.md#\(Self.anchor(id))) | \(id.explanation.title) |"
        }
        try Documentation.compare(
            "| id | refused here, accepted by Envoy |\n|---|---|\n" + rows.joined(separator: "\n") + "\n", with: "deviations",
            in: "config-reference.md")
    }

    @Test("docs/config-reference.md lists every field")
    func fields() throws {
        let messages = Schemas.messages.values.sorted { $0.name < $1.name }
        try Documentation.compare(messages.map(Self.describe).joined(separator: "\n"), with: "fields", in: "config-reference.md")
    }

    @Test("docs/config-reference.md lists every log operator")
    func operators() throws {
        var groups: [String: [String]] = [:]
        for (name, entry) in LogCommand.table {
            switch entry {
            case .operation, .fixed: groups["written", default: []].append(name)
            case .absent: groups["absent (`-`, or null in JSON): only HTTP, TLS or a filter could supply it", default: []].append(name)
            case .later: groups["not supported yet (PX-C029)", default: []].append(name)
            }
        }
        let rows = groups.keys.sorted(by: >).map { "| \($0) | \((groups[$0] ?? []).sorted().map { "`\($0)`" }.joined(separator: " ")) |" }
        try Documentation.compare(
            "| | operators |\n|---|---|\n" + rows.joined(separator: "\n") + "\n", with: "operators", in: "config-reference.md")
    }

    /// As GitHub makes it from the heading.
    private static func anchor(_ id: DiagnosticID) -> String {
        "\(id.rawValue) \(id.explanation.title)".lowercased().filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" || $0 == "_" }
            .replacing(" ", with: "-")
    }

    private static func describe(_ message: MessageSchema) -> String {
        var lines = ["#### \(message.name)", ""]
        if message.fields.isEmpty { lines.append("No fields.") }
        for field in message.fields where field.status == .supported { lines.append("- `\(field.name)` \(kind(field))\(rules(field))") }
        let annotations = message.fields.filter { $0.status == .annotation }.map { "`\($0.name)`" }
        if !annotations.isEmpty { lines.append("- accepted, nothing depends on it: " + annotations.joined(separator: ", ")) }
        for (reason, names) in grouped(message, { if case .noEffect(let reason) = $0 { return reason } else { return nil } }) {
            lines.append("- no effect, with a warning (\(reason)): \(names)")
        }
        for (reason, names) in grouped(message, { if case .later(let reason, _) = $0 { return reason } else { return nil } }) {
            lines.append("- not supported yet (\(reason)): \(names)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func grouped(_ message: MessageSchema, _ reason: (FieldSchema.Status) -> String?) -> [(String, String)] {
        var order: [String] = []
        var names: [String: [String]] = [:]
        for field in message.fields {
            guard let reason = reason(field.status) else { continue }
            if names[reason] == nil { order.append(reason) }
            names[reason, default: []].append("`\(field.name)`")
        }
        return order.map { ($0, (names[$0] ?? []).joined(separator: ", ")) }
    }

    private static func kind(_ field: FieldSchema) -> String {
        let name: String
        switch field.kind {
        case .bool, .boolValue: name = "true or false"
        case .int64, .uint32, .uint32Value, .uint64, .uint64Value: name = "number"
        case .string: name = "string"
        case .bytes: name = "bytes"
        case .duration: name = "duration"
        case .enumeration(let type):
            let schema = Schemas.enums[type]
            name = (schema?.values ?? []).map(\.name).filter { $0 != "(reserved)" && schema?.later[$0] == nil }.joined(separator: ", ")
        case .message(let type): name = type
        case .any(let slot):
            name = slot == .listenerFilter ? "nothing yet" : "one of " + Schemas.supportedTypes(slot).joined(separator: ", ")
        case .structure, .opaque: name = "any mapping"
        }
        return field.isList ? "list of " + name : name
    }

    private static func rules(_ field: FieldSchema) -> String {
        let words = field.rules.map { rule -> String in
            switch rule {
            case .required, .nonEmpty: return field.oneof == nil ? "required" : "not empty"
            case .range(let range):
                let top = range.upperBound >= Int64(UInt32.max)
                return top ? "at least \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
            case .durationRange(_, let text): return text
            case .minItems(let count): return "at least \(count)"
            case .maxItems(let count): return "at most \(count)"
            case .mustBeTrue: return "true only"
            }
        }
        let deprecated = field.deprecated.map { ["deprecated: use \($0)"] } ?? []
        return (words + deprecated).isEmpty ? "" : "; " + (words + deprecated).joined(separator: ", ")
    }
}

private enum Documentation {
    private static let root = String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/")!)) + "/../../docs/"

    /// The text between `<!-- name -->` and `<!-- /name -->`.
    static func compare(_ text: String, with name: String, in file: String) throws {
        let whole = String(decoding: try readWholeFile(root + file), as: UTF8.self)
        let open = "<!-- \(name) -->\n"
        let start = try #require(whole.firstRange(of: open), "\(file) has no \(open)")
        let end = try #require(whole.firstRange(of: "<!-- /\(name) -->"), "\(file) has no end of \(name)")
        let found = whole[start.upperBound..<end.lowerBound]
        if getenv("UPDATE_EXPECTED") == nil {
            #expect(found == "\n" + text + "\n", "\(file) differs from the code: run with UPDATE_EXPECTED=1")
        } else if found != "\n" + text + "\n" {
            write(whole[..<start.upperBound] + "\n" + text + "\n" + whole[end.lowerBound...], root + file)
        }
    }

    private static func write(_ text: Substring, _ path: String) {
        guard let file = fopen(path, "w") else { return }
        fputs(String(text), file)
        fclose(file)
    }
}
