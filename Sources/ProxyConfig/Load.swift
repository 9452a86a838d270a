internal import ProxyModel

/// Read, check and decode a configuration. Every finding of the run comes back: as a `ConfigError` if one of them is an error,
/// with the configuration as warnings otherwise. Reads the files named in `source` and those the configuration reads (through
/// `readFile`); binds, connects, resolves and creates nothing.
public func loadConfiguration(
    _ source: ConfigSource, options: ConfigOptions = ConfigOptions(),
    readFile: @escaping (String) throws -> [UInt8] = readWholeFile
) throws(ConfigError) -> LoadedConfiguration {
    let findings = Findings()
    var loader = ConfigurationLoader(findings: findings, options: options, readFile: readFile)
    let loaded = loader.load(source)
    let diagnostics = findings.sorted()
    guard var loaded, !findings.hasErrors else { throw ConfigError(diagnostics: diagnostics) }
    loaded.warnings = diagnostics
    return loaded
}

private struct ConfigurationLoader {
    let findings: Findings
    let options: ConfigOptions
    let readFile: (String) throws -> [UInt8]
    private var unknownFields = 0

    init(findings: Findings, options: ConfigOptions, readFile: @escaping (String) throws -> [UInt8]) {
        self.findings = findings
        self.options = options
        self.readFile = readFile
    }

    mutating func load(_ source: ConfigSource) -> LoadedConfiguration? {
        var trees: [Message] = []
        if let path = source.path, let bytes = read(path) { trees += parse(path, bytes) }
        if let yaml = source.yaml { trees += parse("--config-yaml", Array(yaml.utf8)) }
        guard let bootstrap = trees.first else { return nil }
        trees.dropFirst().forEach { bootstrap.merge($0) }
        ConstraintChecker(findings: findings).check(bootstrap)
        let context = DecodeContext(findings: findings, options: options, readFile: readFile)
        var configuration = BootstrapDecoder(context: context).decode(bootstrap)
        configuration.unknownFieldCount = unknownFields
        return findings.hasErrors ? nil : finished(configuration, bootstrap)
    }

    private func finished(_ configuration: Configuration, _ bootstrap: Message) -> LoadedConfiguration {
        let json = ProtoJSON.text(bootstrap)
        let resources = bootstrap.message("static_resources")
        return LoadedConfiguration(
            configuration: configuration, warnings: [], bootstrapJSON: json,
            listenerJSON: (resources?.messages("listeners") ?? []).map(ProtoJSON.text),
            clusterJSON: (resources?.messages("clusters") ?? []).map(ProtoJSON.text),
            hash: fnv1a(json))
    }

    private func read(_ path: String) -> [UInt8]? {
        for suffix in [".pb", ".pb_text", ".pb_length_delimited"] where path.hasSuffix(suffix) {
            let source = findings.add(SourceText(name: path, bytes: []))
            findings.error(
                .unsupportedFormat, .whole(source),
                "configuration in protobuf's own formats (\(suffix)) is valid in Envoy but not supported here yet",
                hint: "write it as YAML or JSON")
            return nil
        }
        do {
            return try readFile(path)
        } catch {
            let source = findings.add(SourceText(name: path, bytes: []))
            findings.error(
                .unreadable, .whole(source), "cannot read the configuration: \(error)", hint: "check the path and its permissions")
            return nil
        }
    }

    /// One message, or none where the text is no configuration (reported).
    private mutating func parse(_ name: String, _ bytes: [UInt8]) -> [Message] {
        let text = SourceText(name: name, bytes: bytes)
        let source = findings.add(text)
        guard TextChecker(findings: findings, source: source).check() else { return [] }
        guard let root = YAMLComposer.compose(JSONAsYAML.readable(text.bytes), source: source, findings: findings) else { return [] }
        switch root.content {
        case .mapping: break
        case .scalar where root.isNull:
            findings.error(.empty, .whole(source), "the configuration is empty", hint: "write at least 'static_resources: {}'")
            return []
        default:
            findings.error(
                .notAMapping, root.place, "the configuration must be a mapping, not \(root.kindName)",
                hint: "begin with 'static_resources:'")
            return []
        }
        var reader = MessageReader(findings: findings, allowUnknown: options.allowUnknownStaticFields)
        let message = reader.read(root, as: "envoy.config.bootstrap.v3.Bootstrap", path: "", place: root.place)
        unknownFields += reader.unknownFields
        return [message]
    }

    /// FNV-1a, 64 bits.
    private func fnv1a(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
