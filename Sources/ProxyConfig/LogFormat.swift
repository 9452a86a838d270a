internal import ProxyModel

/// Compiles an access-log format, `"%START_TIME% … %BYTES_SENT%\n"`, into the operations the core writes lines with.
struct LogFormat {
    struct Problem: Error, Equatable {
        enum Kind { case unknownOperator, laterOperator, malformed }
        let kind: Kind
        let message: String
        let hint: String
        /// The text to point at.
        let excerpt: String
    }

    /// Envoy's default, which for TCP prints "-" for what only HTTP has.
    static let standard = """
        [%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% \
        %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" \
        "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n
        """

    private(set) var operations: [LogOperation] = []
    private(set) var problems: [Problem] = []
    private var literal = ""

    static func compile(_ text: String) -> LogFormat {
        var format = LogFormat()
        format.append(text, json: false)
        format.flush()
        return format
    }

    /// A JSON object per line, keys sorted as Envoy sorts them. Values that are one operator keep their type; text around an
    /// operator makes a string.
    static func compile(json node: YAMLNode) -> LogFormat {
        var format = LogFormat()
        format.append(node)
        format.literal += "\n"
        format.flush()
        return format
    }

    // MARK: JSON

    private mutating func append(_ node: YAMLNode) {
        switch node.content {
        case .mapping(let pairs):
            appendList("{", "}", pairs.sorted { $0.key < $1.key }) { format, pair in
                format.literal += JSONText.string(pair.key) + ":"
                format.append(pair.value)
            }
        case .sequence(let items): appendList("[", "]", items) { $0.append($1) }
        case .scalar(let text, let plain):
            if case .text(let format)? = node.meaning, format.contains("%") { return appendString(format) }
            literal += ProtoJSON.scalar(text, plain: plain, node.meaning)
        }
    }

    private mutating func appendList<Element>(
        _ open: String, _ close: String, _ elements: [Element], _ body: (inout LogFormat, Element) -> Void
    ) {
        literal += open
        for (index, element) in elements.enumerated() {
            if index > 0 { literal += "," }
            body(&self, element)
        }
        literal += close
    }

    private mutating func appendString(_ text: String) {
        var inner = LogFormat()
        inner.append(text, json: true)
        inner.flush()
        problems += inner.problems
        if inner.operations.count == 1, inner.operations[0].kind != .literal { return emit(inner.operations[0]) }
        literal += "\""
        for var operation in inner.operations {
            operation.json = false
            if operation.kind == .literal { literal += JSONText.string(operation.text).dropFirst().dropLast() } else { emit(operation) }
        }
        literal += "\""
    }

    // MARK: text

    private mutating func append(_ text: String, json: Bool) {
        var rest = Substring(text)
        while let percent = rest.firstIndex(of: "%") {
            literal += rest[..<percent]
            rest = rest[rest.index(after: percent)...]
            let excerpt = "%" + rest.prefix(20)
            if rest.first == "%" {
                literal += "%"
                rest = rest.dropFirst()
            } else if let command = LogCommand(&rest) {
                append(command, json: json)
            } else {
                return malformed(
                    "'%' begins an operator that does not end", hint: "write %NAME%, %NAME(…)% or, for a percent sign, %%", excerpt)
            }
        }
        literal += rest
    }

    private mutating func append(_ command: LogCommand, json: Bool) {
        switch LogCommand.table[command.name] {
        case nil: unknown(command)
        case .later?: later(command, "log operator '\(command.name)'")
        case .operation(let kind, let policy)?:
            guard check(command, policy) else { return }
            emit(LogOperation(kind, text: command.parameter ?? "", maxLength: command.maxLength ?? 0, json: json))
        case .absent(let policy)?:
            if check(command, policy) { emit(LogOperation(.dash, json: json)) }
        case .fixed(let policy, let value)?:
            if check(command, policy) { appendFixed(value(command.parameter ?? "") ?? "-", command) }
        }
    }

    /// A value known now; JSON strings are quoted by whoever asked, so it is text like the rest.
    private mutating func appendFixed(_ value: String, _ command: LogCommand) {
        literal += command.maxLength.map { String(value.prefix(Int($0))) } ?? value
    }

    private mutating func check(_ command: LogCommand, _ policy: LogCommand.Parameter) -> Bool {
        if policy == .required, command.parameter?.isEmpty ?? true {
            malformed("log operator '\(command.name)' needs a parameter", hint: "write %\(command.name)(…)%", command.excerpt)
            return false
        }
        if policy == .later, command.parameter != nil {
            later(command, "a parameter of log operator '\(command.name)'")
            return false
        }
        if policy == .none, command.parameter != nil {
            malformed("log operator '\(command.name)' takes no parameter", hint: "write %\(command.name)%", command.excerpt)
            return false
        }
        return true
    }

    private mutating func later(_ command: LogCommand, _ what: String) {
        problems.append(
            Problem(
                kind: .laterOperator, message: "\(what) is valid in Envoy but not supported here yet", hint: "", excerpt: command.excerpt))
    }

    private mutating func unknown(_ command: LogCommand) {
        // Envoy's words for it.
        problems.append(
            Problem(
                kind: .unknownOperator, message: "unknown log operator: Not supported field in StreamInfo: \(command.name)",
                hint: Suggestion.hint(for: command.name, among: Array(LogCommand.table.keys)), excerpt: command.excerpt))
    }

    private mutating func malformed<Text: StringProtocol>(_ message: String, hint: String, _ excerpt: Text) {
        problems.append(Problem(kind: .malformed, message: message, hint: hint, excerpt: String(excerpt)))
    }

    private mutating func emit(_ operation: LogOperation) {
        flush()
        operations.append(operation)
    }

    private mutating func flush() {
        if !literal.isEmpty { operations.append(LogOperation(.literal, text: literal)) }
        literal = ""
    }
}
