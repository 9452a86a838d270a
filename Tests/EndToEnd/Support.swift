import Foundation
import Harness
import Testing

/// Real processes, real sockets, real clients. One test at a time: they share a machine, and what they measure is each other's noise.
@Suite(.serialized) struct EndToEnd {}

/// Run `body` with a scenario of its own. A check that fails, or an error, shows the last words of every process and keeps the files.
func scenario(_ name: String, seconds: Double, _ body: (Scenario) throws -> Void) throws {
    let scenario = try Scenario(name, seconds: seconds)
    do {
        try body(scenario)
    } catch {
        scenario.hasFailed = true
        Issue.record("\(name): \(error)\(scenario.isOverdue ? " (it was given \(seconds) s)" : "")")
    }
    if scenario.hasFailed { print("last words in '\(name)':\n\(scenario.lastWords())") }
    scenario.close(keep: scenario.hasFailed)
}

extension Scenario {
    func check(_ condition: Bool, _ what: String, _ place: SourceLocation = #_sourceLocation) {
        guard !condition else { return }
        hasFailed = true
        Issue.record("\(name): \(what)", sourceLocation: place)
    }

    func checkEqual<T: Equatable>(_ found: T, _ expected: T, _ what: String, _ place: SourceLocation = #_sourceLocation) {
        check(found == expected, "\(what): found \(found), expected \(expected)", place)
    }

    func checkContains(_ text: String, _ part: String, _ what: String, _ place: SourceLocation = #_sourceLocation) {
        check(text.contains(part), "\(what): '\(part)' is not in\n\(text.suffix(4000))", place)
    }

    /// Something was tried, and all of it was good.
    func checkClean(_ report: LoadReport, _ what: String, _ place: SourceLocation = #_sourceLocation) {
        check(report.tried > 0, "\(what): nothing was tried", place)
        check(report.failed == 0, "\(what): of \(report.tried) failed \(report.failures)", place)
    }

    /// A chain whose proxy relays nothing but echoes itself; returns where.
    func echoChain(_ options: [String] = []) throws -> (ProxyChain, Endpoint) {
        let echo = Endpoint.v4(try port())
        let config = ConfigText(admin: .v4(try port()), listeners: [.init("echo", [echo])])
        return (try ProxyChain(self, config, options: options), echo)
    }

    /// A chain that relays from the returned address to an echo server in a process of its own.
    func relayChain(_ options: [String] = []) throws -> (chain: ProxyChain, listener: Endpoint, server: LoadClient) {
        let listener = Endpoint.v4(try port())
        let upstream = Endpoint.v4(try port())
        let server = try LoadClient(self, .server, upstream)
        try server.waitUntilEstablished()
        let config = ConfigText(
            admin: .v4(try port()), listeners: [.init("relay", [listener], .relay(cluster: "up"))], clusters: [("up", upstream)])
        return (try ProxyChain(self, config, options: options), listener, server)
    }
}
