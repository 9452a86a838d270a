import ProxyModel
import Testing

@testable import ProxyConfig

/// Files made to hurt: whatever they are, the answer is a verdict with a place, and soon.
struct HostileTests {
    /// Loads bytes as a file, touching no other.
    private func verdict(_ bytes: [UInt8], options: ConfigOptions = ConfigOptions(checkFiles: false)) -> [Diagnostic]? {
        struct NoFile: Error {}
        do {
            _ = try loadConfiguration(ConfigSource(path: "hostile.yaml"), options: options) { path in
                guard path == "hostile.yaml" else { throw NoFile() }
                return bytes
            }
            return nil
        } catch {
            return error.diagnostics
        }
    }

    /// What every refusal has to be.
    private func check(_ diagnostics: [Diagnostic], _ what: @autoclosure () -> String) {
        let errors = diagnostics.filter { $0.severity == .error }
        let placed = errors.contains { $0.line >= 1 && $0.column >= 1 } || errors.contains { $0.id == DiagnosticID.empty.rawValue }
        let short = diagnostics.allSatisfy { $0.message.utf8.count < 3000 && $0.hint.utf8.count < 3000 }
        let text = render(diagnostics)
        let printable = !text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" && $0 != "\t" }
        if !placed || !short || !printable { #expect(Bool(false), "placed \(placed), short \(short), printable \(printable): \(what())") }
    }

    static let samples: [(String, String)] = [
        ("flow lists", String(repeating: "[", count: 100_000)), ("flow mappings", String(repeating: "{a: ", count: 100_000)),
        ("block lists", String(repeating: "- ", count: 5_000)),
        ("block mappings", (0..<500).map { String(repeating: " ", count: $0) + "a:\n" }.joined()),
        ("JSON lists", "{\"node\": " + String(repeating: "[", count: 100_000)),
        (
            "a number of 100,000 digits",
            "stats_flush_interval: 1s\nnode: {id: x}\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: "
                + String(repeating: "9", count: 100_000) + "}}}"
        ),
        ("an exponent", "static_resources: {clusters: [{name: a, per_connection_buffer_limit_bytes: 1e999999999999}]}"),
        ("a fraction", "static_resources: {clusters: [{name: a, per_connection_buffer_limit_bytes: 1e-999999999999}]}"),
        ("a duration of 100,000 digits", "stats_flush_interval: " + String(repeating: "1", count: 100_000) + "s"),
        ("a key of 100,000 letters", String(repeating: "k", count: 100_000) + ": 1"),
        ("a key with colours", "\"\\e[31mred\": 1"), ("a value with a NUL", "node: {id: \"a\\0b\"}"),
        ("a NUL", "node: {id: a}\0"), ("an anchor to itself", "node: &a {metadata: *a}"),
        ("an endless string", "node: {id: \"" + String(repeating: "x", count: 100_000)),
        ("a tag", "!!binary node: {id: a}"), ("a bad tag", "!<x y> node"), ("a directive", "%YAML 9.9\n---\nnode: {}"),
        ("only a document end", "..."), ("an anchor alone", "&a"),
        ("a comment of 100,000 letters", "#" + String(repeating: "c", count: 100_000)),
        ("merge of itself", "<<: *a"), ("NEL and LS", "node:\u{85} id: [\u{2028}"), ("a byte order mark within", "node: {id: \u{FEFF}[}"),
        ("a mapping as key", "? {a: b}\n: c"), ("nothing", ""), ("blanks", " \n\t \n"),
    ]

    @Test("hostile texts", arguments: samples.map(\.0))
    func texts(name: String) throws {
        let text = try #require(Self.samples.first { $0.0 == name }?.1)
        let clock = ContinuousClock()
        let start = clock.now
        if let diagnostics = verdict(Array(text.utf8)) { check(diagnostics, name) }
        #expect(clock.now - start < .seconds(10))
    }

    @Test("bytes that are no text")
    func bytes() {
        for bytes in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0xEF, 0xBB, 0xBF, 0xFF], [0]]
            as [[UInt8]]
        {
            guard let diagnostics = verdict(bytes) else {
                #expect(Bool(false), "accepted")
                continue
            }
            check(diagnostics, "\(bytes)")
            #expect(diagnostics.first?.id == DiagnosticID.invalidText.rawValue)
        }
    }

    @Test("a file with more findings than anybody reads names the first ones, counts the rest, and takes no square of the time")
    func manyFindings() {
        let clock = ContinuousClock()
        let start = clock.now
        let json = "{" + (0..<5_000).map { "\"unknown_\($0)\":1" }.joined(separator: ",") + "}"
        let diagnostics = verdict(Array(json.utf8)) ?? []
        #expect(diagnostics.count == Findings.limit + 1)
        #expect(diagnostics.last?.severity == .note && diagnostics.last?.message == "4500 further errors are not shown")
        #expect(render(diagnostics).utf8.count < 1_000_000, "the one line of the file is not shown whole with each of them")
        check(diagnostics, "unknown fields")
        #expect(verdict(Array(json.utf8), options: ConfigOptions(allowUnknownStaticFields: true, checkFiles: false)) == nil)
        #expect(clock.now - start < .seconds(60))
    }

    @Test("an error behind more warnings than are kept is an error")
    func errorBehindWarnings() {
        let many = (0..<600).map { "unknown_\($0): 1\n" }.joined()
        let diagnostics = verdict(
            Array((many + "stats_flush_interval: 1\n").utf8), options: ConfigOptions(allowUnknownStaticFields: true, checkFiles: false))
        #expect(diagnostics?.count { $0.severity == .error } == 1)
        #expect(diagnostics?.last?.message == "100 further warnings are not shown")
    }

    @Test("many references to clusters that are not there")
    func manyReferences() {
        let type = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
        let listeners = (0..<600).map {
            """
              - name: l\($0)
                address: { socket_address: { address: 127.0.0.1, port_value: \(10000 + $0) } }
                filter_chains: [{ filters: [{ name: t, typed_config: { "@type": \(type), stat_prefix: p, cluster: claster_\($0) } }] }]

            """
        }
        let clusters = (0..<600).map { "  - { name: cluster_\($0) }\n" }
        let clock = ContinuousClock()
        let start = clock.now
        let text = "static_resources:\n  listeners:\n" + listeners.joined() + "  clusters:\n" + clusters.joined()
        let diagnostics = verdict(Array(text.utf8)) ?? []
        #expect(diagnostics.last?.message == "100 further errors are not shown")
        #expect(diagnostics.first?.hint.hasPrefix("did you mean 'cluster_") ?? false)
        #expect(clock.now - start < .seconds(60))
    }

    @Test("fixtures changed at random, from a fixed seed, for at most two seconds")
    func mutations() throws {
        var seeds: [[UInt8]] = []
        for folder in ["valid", "invalid"] {
            for name in Fixtures.names(in: folder) where !["alias-bomb.yaml", "deep.json"].contains(name) {
                seeds.append(try readWholeFile("\(Fixtures.root)/\(folder)/\(name)"))
            }
        }
        let tokens = [
            "{", "}", "[", "]", ": ", "- ", "\n", "&a ", "*a", "<<: *a", "\"", "'", "|", "null", "-1", "1e99", "99999999999", "@type", "\0",
            "\u{FEFF}", "~",
        ]
        .map { Array($0.utf8) }
        var random = Mutator(state: 20_261_124)
        let clock = ContinuousClock()
        let end = clock.now + .seconds(2)
        var rounds = 0
        while rounds < 20_000, clock.now < end {
            rounds += 1
            var bytes = seeds[random.below(seeds.count)]
            for _ in 0...random.below(4) { random.mutate(&bytes, seeds, tokens) }
            guard let diagnostics = verdict(bytes) else { continue }
            check(diagnostics, "round \(rounds): \(String(decoding: bytes, as: UTF8.self))")
        }
        #expect(rounds > 10)
    }
}

/// A generator that gives the same numbers everywhere, and what is done to a file with them.
private struct Mutator {
    var state: UInt64

    mutating func below(_ limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % max(1, limit)
    }

    mutating func mutate(_ bytes: inout [UInt8], _ seeds: [[UInt8]], _ tokens: [[UInt8]]) {
        let place = below(bytes.count + 1)
        let end = min(bytes.count, place + below(40))
        switch below(6) {
        case 0: if place < bytes.count { bytes[place] ^= UInt8(1 << below(8)) }
        case 1: bytes.removeSubrange(place..<end)
        case 2: bytes.insert(contentsOf: Array(bytes[place..<end]), at: place)
        case 3: bytes.insert(contentsOf: tokens[below(tokens.count)], at: place)
        case 4: bytes.replaceSubrange(place..<end, with: tokens[below(tokens.count)])
        default:
            let other = seeds[below(seeds.count)]
            let start = below(other.count + 1)
            bytes.insert(contentsOf: other[start..<min(other.count, start + below(120))], at: place)
        }
    }
}
