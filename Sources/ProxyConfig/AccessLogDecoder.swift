internal import ProxyModel

/// Access logs: where they go, and their compiled format.
struct AccessLogDecoder {
    let context: DecodeContext

    /// nil where nothing usable is there, which has been reported.
    func decode(_ message: Message) -> AccessLog? {
        guard let config = message.any("typed_config") else {
            if !message.has("typed_config") { reportNoConfig(message) }
            return nil
        }
        let operations = self.operations(config)
        guard let path = path(config) else { return nil }
        if context.options.checkFiles, config.has("path"), let problem = Platform.problemCreating(path) {
            context.error(.fileNotCreatable, config, "path", "cannot write '\(path)': \(problem)")
        }
        return AccessLog(path: path, operations: operations)
    }

    private func reportNoConfig(_ message: Message) {
        context.findings.error(
            .missingType, message.place, "the access log has no 'typed_config'", path: message.path(of: "typed_config"),
            hint: "add typed_config with \"@type\": type.googleapis.com/\(Schemas.supportedTypes(.accessLog)[0])")
    }

    private func path(_ config: Message) -> String? {
        switch config.schema.name.split(separator: ".").last {
        case "StdoutAccessLog": return "/dev/stdout"
        case "StderrAccessLog": return "/dev/stderr"
        default: return config.string("path").flatMap { $0.isEmpty ? nil : $0 }
        }
    }

    private func operations(_ config: Message) -> [LogOperation] {
        if let format = config.message("log_format") { return substitution(format) }
        if let node = config.raw("json_format") ?? config.raw("typed_json_format") {
            return compiled(LogFormat.compile(json: node), config, config.has("json_format") ? "json_format" : "typed_json_format")
        }
        if let format = config.string("format"), !format.isEmpty { return compiled(LogFormat.compile(format), config, "format") }
        return LogFormat.compile(LogFormat.standard).operations
    }

    private func substitution(_ format: Message) -> [LogOperation] {
        if let node = format.raw("json_format") { return compiled(LogFormat.compile(json: node), format, "json_format") }
        if let text = format.string("text_format") { return compiled(LogFormat.compile(text), format, "text_format") }
        guard let source = format.message("text_format_source"), let bytes = context.data(source) else { return [] }
        let field = source.entries.first { $0.field.oneof == "specifier" }?.field.name ?? "inline_string"
        return compiled(LogFormat.compile(String(decoding: bytes, as: UTF8.self)), source, field)
    }

    private func compiled(_ format: LogFormat, _ message: Message, _ field: String) -> [LogOperation] {
        for problem in format.problems {
            let id: DiagnosticID =
                switch problem.kind {
                case .unknownOperator: .unknownLogOperator
                case .laterOperator: .unsupportedValue
                case .malformed: .badLogFormat
                }
            let place = find(problem.excerpt, from: message.valuePlace(field))
            context.findings.error(id, place, problem.message, path: message.path(of: field), hint: problem.hint)
        }
        return format.operations
    }

    /// Where in the text the operator stands: formats are long, and often a block of several lines.
    private func find(_ excerpt: String, from place: Place) -> Place {
        let source = context.findings.sources[place.source]
        for line in place.line..<(place.line + 50) {
            let scalars = Array(source.line(line).unicodeScalars)
            let start = line == place.line ? place.column - 1 : 0
            if let column = Self.index(of: Array(excerpt.unicodeScalars), in: scalars, from: start) {
                return Place(source: place.source, line: line, column: column + 1, length: excerpt.unicodeScalars.count)
            }
        }
        return place
    }

    private static func index(of needle: [Unicode.Scalar], in hay: [Unicode.Scalar], from start: Int) -> Int? {
        guard !needle.isEmpty, start >= 0, hay.count - needle.count >= start else { return nil }
        return (start...(hay.count - needle.count)).first { hay[$0..<($0 + needle.count)].elementsEqual(needle) }
    }
}
