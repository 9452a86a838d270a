import Foundation
import Harness

// `make demo`: restarts a proxy ten times under load and prints what the clients saw. Exit 1 if any column that should be zero is not.

/// One row of the table.
struct Row {
    var name: String
    var value: String
    var isBad = false
}

func milliseconds(_ us: Int) -> String { String(format: "%.2f ms", Double(us) / 1000) }

func latency(_ latency: LoadReport.Latency) -> String {
    latency.count == 0
        ? "none" : "\(milliseconds(latency.p50)) / \(milliseconds(latency.p99)) / \(milliseconds(latency.max))  (\(latency.count))"
}

func failureRow(_ name: String, _ count: Int) -> Row { Row(name: name, value: "\(count)", isBad: count > 0) }

func demonstrate(_ scenario: Scenario, restarts: Int) throws -> [Row] {
    let listener = Endpoint.v4(try scenario.port())
    let upstream = Endpoint.v4(try scenario.port())
    let server = try LoadClient(scenario, .server, upstream)
    try server.waitUntilEstablished()
    let config = ConfigText(
        admin: .v4(try scenario.port()),
        listeners: [.init("relay", [listener], .relay(cluster: "up"))], clusters: [("up", upstream)])
    let chain = try ProxyChain(scenario, config, options: ["--max-draining-generations", "\(restarts + 1)"])
    try chain.start()
    let held = try LoadClient(scenario, .hold, listener, ["-c", "200", "-i", "100", "--half-close"])
    try held.waitUntilEstablished()
    let stream = try LoadClient(scenario, .connect, listener, ["-r", "500", "--sources", "16", "--half-close"])
    print("200 long-lived sessions and 500 new connections a second, relayed to an echo server; \(restarts) restarts")
    pause(1)
    var startMs: [Double] = []
    var epochs = ["0"]
    for number in 1...restarts {
        stream.beginMark()
        let began = monotonicSeconds()
        try chain.restart()
        startMs.append((monotonicSeconds() - began) * 1000)
        pause(0.1)
        stream.endMark()
        epochs.append("\(chain.epoch)")
        print("  restart \(number): epoch \(chain.epoch) serves after \(Int(startMs.last ?? 0)) ms")
        pause(0.4)
    }
    let new = try stream.stop()
    let sessions = try held.stop()
    try chain.stop(within: 30)
    let sorted = startMs.sorted()
    return [
        Row(name: "connections tried", value: "\(new.tried)"),
        failureRow("  refused", new.refused), failureRow("  reset", new.reset),
        failureRow("  failed otherwise", new.failed - new.refused - new.reset),
        Row(name: "long-lived sessions", value: "200, \(sessions.exchanges) exchanges verified"),
        failureRow("  cut", 200 - sessions.open + sessions.failed),
        Row(name: "connect + echo, p50 / p99 / max, in restarts", value: latency(new.markedUs)),
        Row(name: "connect + echo, p50 / p99 / max, otherwise", value: latency(new.latencyUs)),
        Row(
            name: "exec to serving, min / median / max",
            value: "\(Int(sorted[0])) / \(Int(sorted[sorted.count / 2])) / \(Int(sorted[sorted.count - 1])) ms"),
        Row(name: "epochs", value: epochs.joined(separator: " → ")),
    ]
}

let scenario = try Scenario("demo", seconds: 120)
do {
    let rows = try demonstrate(scenario, restarts: 10)
    let width = rows.map(\.name.count).max() ?? 0
    print("")
    for row in rows {
        print(row.name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + row.value + (row.isBad ? "   <-- should be 0" : ""))
    }
    scenario.close(keep: false)
    exit(rows.contains { $0.isBad } ? 1 : 0)
} catch {
    print("demo: \(error)\n\(scenario.lastWords())")
    scenario.close(keep: true)
    exit(1)
}
