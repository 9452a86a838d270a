/// Builds the YAML tree from libyaml's events (the C library inside Yams).
///
/// Yams' own composer is not used: it recurses as deep as the file says, expands aliases without a bound, keeps no end marks,
/// and reports a repeated key at its first occurrence and then gives up. Here depth and size are bounded, every node knows
/// how far it reaches, and a repeated key is one finding among others.
internal import CYaml

struct YAMLComposer {
    /// protobuf's JSON reader stops at the same depth.
    static let maximumDepth = 100
    /// Nodes after expansion of aliases; four times what 10,000 listeners need, and still well below a second of work.
    static let maximumWeight = 1_000_000

    /// The tree cannot be built; the reason has been reported.
    struct Failure: Error {}

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let source: Int
    private let findings: Findings
    private var anchors: [String: YAMLNode] = [:]
    private var depth = 0

    /// nil: the text is empty, or a finding says why there is no tree.
    static func compose(_ bytes: [UInt8], source: Int, findings: Findings) -> YAMLNode? {
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        guard yaml_parser_initialize(parser) == 1 else { return nil }
        defer { yaml_parser_delete(parser) }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        return bytes.withUnsafeBufferPointer { buffer in
            yaml_parser_set_input_string(parser, buffer.baseAddress, buffer.count)
            var composer = YAMLComposer(parser: parser, source: source, findings: findings)
            return try? composer.document()
        }
    }

    private init(parser: UnsafeMutablePointer<yaml_parser_t>, source: Int, findings: Findings) {
        self.parser = parser
        self.source = source
        self.findings = findings
    }

    private mutating func document() throws -> YAMLNode? {
        _ = try next()
        guard try next().type == YAML_DOCUMENT_START_EVENT else {
            findings.error(.empty, .whole(source), "the configuration is empty", hint: "write at least 'static_resources: {}'")
            throw Failure()
        }
        let root = try node(try next())
        _ = try next()
        let end = try next()
        if end.type != YAML_STREAM_END_EVENT {
            findings.error(
                .severalDocuments, end.place(source), "a second document starts here",
                hint: "one file holds one configuration; remove the '---' or move what follows into a file of its own")
        }
        return root
    }

    private func next() throws -> YAMLEvent {
        let event = YAMLEvent()
        guard yaml_parser_parse(parser, event.pointer) == 1 else {
            reportSyntaxError()
            throw Failure()
        }
        return event
    }

    private mutating func node(_ event: YAMLEvent) throws -> YAMLNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            findings.error(.tooDeep, event.place(source), "nested more than \(Self.maximumDepth) levels deep")
            throw Failure()
        }
        if event.type == YAML_ALIAS_EVENT { return try alias(event) }
        let node = try collectionOrScalar(event)
        if let anchor = event.anchor { anchors[anchor] = node }
        return node
    }

    private mutating func collectionOrScalar(_ event: YAMLEvent) throws -> YAMLNode {
        switch event.type {
        case YAML_SEQUENCE_START_EVENT: return try sequence(event)
        case YAML_MAPPING_START_EVENT: return try mapping(event)
        default: return YAMLNode(.scalar(event.scalarText, plain: event.scalarIsPlain), place: event.place(source), weight: 1)
        }
    }

    private func alias(_ event: YAMLEvent) throws -> YAMLNode {
        let name = event.anchor ?? ""
        guard let node = anchors[name] else {
            findings.error(
                .undefinedAlias, event.place(source), "alias '*\(name)' has no anchor '&\(name)' before it",
                hint: Suggestion.hint(for: name, among: Array(anchors.keys)))
            throw Failure()
        }
        return node
    }

    private mutating func sequence(_ start: YAMLEvent) throws -> YAMLNode {
        var items: [YAMLNode] = []
        var weight = 1
        while true {
            let event = try next()
            if event.type == YAML_SEQUENCE_END_EVENT { break }
            let item = try node(event)
            weight = try add(weight, item, at: event)
            items.append(item)
        }
        return YAMLNode(.sequence(items), place: start.collectionPlace(source), weight: weight)
    }

    private mutating func mapping(_ start: YAMLEvent) throws -> YAMLNode {
        var pairs = MappingPairs(findings: findings)
        var weight = 1
        while true {
            let event = try next()
            if event.type == YAML_MAPPING_END_EVENT { break }
            let key = try node(event)
            let valueEvent = try next()
            let value = try node(valueEvent)
            weight = try add(weight, value, at: valueEvent)
            pairs.add(key: key, keyPlace: event.place(source), isPlain: event.scalarIsPlain, value: value)
        }
        return YAMLNode(.mapping(pairs.finished()), place: start.collectionPlace(source), weight: weight)
    }

    private func add(_ weight: Int, _ child: YAMLNode, at event: YAMLEvent) throws -> Int {
        let sum = weight + child.weight
        guard sum <= Self.maximumWeight else {
            findings.error(
                .tooLarge, event.place(source), "more than \(Self.maximumWeight) values with all aliases written out",
                hint: "write out what the aliases repeat, or repeat less")
            throw Failure()
        }
        return sum
    }

    private func reportSyntaxError() {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "not YAML"
        let context = parser.pointee.context.map { String(cString: $0) + ": " } ?? ""
        let place = errorPlace()
        findings.error(.syntax, place, context + problem, hint: syntaxHint(problem, at: place))
    }

    /// The reader, below the scanner, knows bytes only.
    private func errorPlace() -> Place {
        guard parser.pointee.error == YAML_READER_ERROR else {
            let mark = parser.pointee.problem_mark
            return Place(source: source, line: Int(mark.line) + 1, column: Int(mark.column) + 1, length: 1)
        }
        let position = findings.sources[source].position(ofByte: Int(parser.pointee.problem_offset))
        return Place(source: source, line: position.line, column: position.column, length: 1)
    }

    private func syntaxHint(_ problem: String, at place: Place) -> String {
        let line = findings.sources[source].line(place.line)
        if line.prefix(while: { $0 == " " || $0 == "\t" }).contains("\t") { return "YAML is indented with spaces, never with tabs" }
        if problem.contains("mapping values are not allowed") { return "check the indentation, and quote a value that holds ': '" }
        return ""
    }
}

/// The pairs of one mapping while it is read: finds repeated keys, and carries out merge keys (`<<: *anchor`).
private struct MappingPairs {
    let findings: Findings
    private var pairs: [YAMLNode.Pair] = []
    private var seen: [String: Place] = [:]
    private var merges: [YAMLNode] = []

    init(findings: Findings) { self.findings = findings }

    mutating func add(key: YAMLNode, keyPlace: Place, isPlain: Bool, value: YAMLNode) {
        guard case .scalar(let name, _) = key.content else {
            findings.error(.keyNotString, keyPlace, "a key must be a string, not \(key.kindName)")
            return
        }
        if let first = seen[name] {
            findings.error(
                .duplicateKey, keyPlace, "key '\(name)' is here twice; the first is at line \(first.line), column \(first.column)",
                hint: "remove one of the two")
            return
        }
        seen[name] = keyPlace
        if name == "<<", isPlain { return addMerge(value) }
        pairs.append(YAMLNode.Pair(key: name, keyPlace: keyPlace, value: value))
    }

    private mutating func addMerge(_ value: YAMLNode) {
        switch value.content {
        case .mapping: merges.append(value)
        case .sequence(let items): items.forEach { addMerge($0) }
        case .scalar:
            findings.error(.badMergeKey, value.place, "'<<' merges a mapping or a list of mappings, not \(value.kindName)")
        }
    }

    /// Own keys first; then, for each merged mapping in order, the keys nobody has set yet.
    func finished() -> [YAMLNode.Pair] {
        guard !merges.isEmpty else { return pairs }
        var result = pairs
        var names = Set(pairs.map(\.key))
        for case .mapping(let merged) in merges.map(\.content) {
            result += merged.filter { names.insert($0.key).inserted }
        }
        return result
    }
}
