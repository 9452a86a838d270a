internal import ProxyModel

/// What every decoder needs besides the message in front of it.
struct DecodeContext {
    let findings: Findings
    let options: ConfigOptions
    let readFile: (String) throws -> [UInt8]

    func error(_ id: DiagnosticID, _ message: Message, _ field: String, _ text: String, hint: String = "") {
        findings.error(id, message.valuePlace(field), text, path: message.path(of: field), hint: hint)
    }

    func warning(_ id: DiagnosticID, _ message: Message, _ field: String, _ text: String, hint: String = "") {
        findings.warning(id, message.valuePlace(field), text, path: message.path(of: field), hint: hint)
    }

    /// "…; the first is at line 4, column 9"
    func first(_ place: Place, seenFrom other: Place) -> String { "the first is at \(findings.describe(place, from: other))" }

    /// The bytes a DataSource stands for; nil where it says nothing usable (reported).
    func data(_ source: Message) -> [UInt8]? {
        if case .bytes(let bytes)? = source.entry("inline_bytes")?.value { return bytes }
        if let text = source.string("inline_string") { return Array(text.utf8) }
        if let name = source.string("environment_variable") { return environment(name, source) }
        if let path = source.string("filename"), !path.isEmpty { return file(path, source) }
        return nil
    }

    private func environment(_ name: String, _ source: Message) -> [UInt8]? {
        if let value = Platform.environment(name) { return Array(value.utf8) }
        error(
            .environmentVariable, source, "environment_variable", "the environment has no variable '\(name)'",
            hint: "set it before the start")
        return nil
    }

    private func file(_ path: String, _ source: Message) -> [UInt8]? {
        do {
            return try readFile(path)
        } catch let problem {
            self.error(.fileNotReadable, source, "filename", "cannot read '\(path)': \(problem)")
            return nil
        }
    }
}
