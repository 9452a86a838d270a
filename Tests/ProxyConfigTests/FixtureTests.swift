import Glibc
import ProxyModel
import Testing

@testable import ProxyConfig

/// Every fixture against its golden text. `UPDATE_EXPECTED=1 swift test --filter ProxyConfigTests` writes the goldens anew: read
/// the difference before you commit it.
struct FixtureTests {
    @Test("a valid file loads, with the warnings beside it and no others", arguments: Fixtures.names(in: "valid"))
    func valid(name: String) throws {
        let loaded = try Fixtures.load("valid", name)
        try Fixtures.compare(render(loaded.warnings), with: "valid", name)
    }

    @Test("a bad file is refused with exactly these findings", arguments: Fixtures.names(in: "invalid"))
    func invalid(name: String) throws {
        let error = #expect(throws: ConfigError.self) { try Fixtures.load("invalid", name) }
        try Fixtures.compare(render(error?.diagnostics ?? []), with: "invalid", name)
    }

    @Test("there are as many fixtures as promised")
    func counts() {
        #expect(Fixtures.names(in: "valid").count >= 24)
        #expect(Fixtures.names(in: "invalid").count >= 64)
    }

    @Test("what is loaded from the bootstrap JSON is what it was printed from", arguments: Fixtures.names(in: "valid"))
    func roundTrip(name: String) throws {
        let first = try Fixtures.load("valid", name)
        let again = try loadConfiguration(ConfigSource(yaml: first.bootstrapJSON))
        #expect(again.configuration == first.configuration)
        #expect(again.bootstrapJSON == first.bootstrapJSON)
        #expect(again.hash == first.hash)
    }

    @Test("every id is met by a fixture, except the file that is not there")
    func everyIdIsCovered() throws {
        var met: Set<String> = [DiagnosticID.unreadable.rawValue]
        for folder in ["valid", "invalid"] {
            for name in Fixtures.names(in: folder) {
                for id in DiagnosticID.allCases where Fixtures.expected(folder, name).contains("[\(id.rawValue)]") {
                    met.insert(id.rawValue)
                }
            }
        }
        #expect(DiagnosticID.allCases.map(\.rawValue).filter { !met.contains($0) } == [])
    }
}

enum Fixtures {
    static let root = String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/")!)) + "/Fixtures"

    static func names(in folder: String) -> [String] {
        guard let directory = opendir("\(root)/\(folder)") else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix("."), !name.hasSuffix(".expected") { names.append(name) }
        }
        return names.sorted()
    }

    /// Files are named as a person beside them would name them, so that the goldens hold no path of this machine.
    static func load(_ folder: String, _ name: String) throws -> LoadedConfiguration {
        try loadConfiguration(ConfigSource(path: name)) { path in
            try readWholeFile(path.hasPrefix("/") ? path : "\(root)/\(folder)/\(path)")
        }
    }

    static func expected(_ folder: String, _ name: String) -> String {
        (try? readWholeFile("\(root)/\(folder)/\(name).expected")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    static func compare(_ text: String, with folder: String, _ name: String) throws {
        if getenv("UPDATE_EXPECTED") != nil { return write(text, "\(root)/\(folder)/\(name).expected") }
        #expect(text == expected(folder, name))
    }

    private static func write(_ text: String, _ path: String) {
        unlink(path)
        guard !text.isEmpty, let file = fopen(path, "w") else { return }
        fputs(text, file)
        fclose(file)
    }
}
