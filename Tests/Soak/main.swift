import Foundation
import Harness

// `make soak`: mixed load and a restart every second under the restarter, for SOAK_SECONDS (1200). Prints memory and descriptors of the
// serving generation and of the restarter over time, and what the clients saw. Exit 1 if a connection was refused or reset, a session was
// cut, or memory or descriptors grew.

/// At once, also into a file: a run is long.
func say(_ text: String) { FileHandle.standardOutput.write(Data("\(text)\n".utf8)) }

/// What a process holds now.
struct Usage {
    var pssKiB = 0
    var descriptors = 0

    init(_ pid: Int32) {
        for line in ((try? String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)) ?? "").split(separator: "\n") {
            if line.hasPrefix("Pss:") { pssKiB = Int(line.split(separator: " ")[1]) ?? 0 }
        }
        descriptors = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")) ?? []).count
    }
}

/// Medians of the first and the last quarter of a series, and whether the last is higher by more than a tenth and `slack`.
struct Series {
    var name: String
    var unit: String
    var slack: Int
    var values: [Int] = []

    private func median(_ part: ArraySlice<Int>) -> Int { part.isEmpty ? 0 : part.sorted()[part.count / 2] }
    var early: Int { median(values.prefix(max(1, values.count / 4))) }
    var late: Int { median(values.suffix(max(1, values.count / 4))) }
    var grows: Bool { late > early + early / 10 + slack }
    var row: String {
        "\(name): first quarter \(early), last quarter \(late), highest \(values.max() ?? 0) \(unit)\(grows ? "   <-- grows" : "")"
    }
}

struct Serving: Decodable {
    struct Generation: Decodable {
        let epoch: UInt64
        let pid: Int32
    }
    let servingEpoch: UInt64?
    let generations: [Generation]

    private enum CodingKeys: String, CodingKey {
        case servingEpoch = "serving_epoch"
        case generations
    }

    init(_ admin: AdminClient) throws {
        self = try JSONDecoder().decode(Serving.self, from: Data(try admin.get("/generations").body.utf8))
    }
    var serving: Generation? { generations.first { $0.epoch == servingEpoch } }
}

func soak(_ scenario: Scenario, seconds: Double) throws -> Bool {
    let listener = Endpoint.v4(try scenario.port())
    let upstream = Endpoint.v4(try scenario.port())
    let server = try LoadClient(scenario, .server, upstream, ["-d", "86400"])
    try server.waitUntilEstablished()
    let config = ConfigText(
        admin: .v4(try scenario.port()), listeners: [.init("relay", [listener], .relay(cluster: "up"))], clusters: [("up", upstream)])
    let chain = try ProxyChain(scenario, config)
    // Sessions are short enough to end within their generation's drain, so that generations end too.
    let drain = ["--drain-time-s", "20", "--max-draining-generations", "60", "--rollback-window-s", "1"]
    let words = ["start", "--proxy", Programs.proxy] + chain.identity + ["-c", chain.configPath] + drain
    let supervisor = try scenario.start(Programs.restarter, words, name: "supervisor")
    try eventually("the first generation to serve", within: 30) { chain.admin.servingEpoch() == 0 }
    let stream = try LoadClient(scenario, .connect, listener, ["-r", "200", "--sources", "16", "--half-close", "-d", "86400"])
    let bulk = try LoadClient(scenario, .connect, listener, ["-r", "20", "-s", "65536", "--sources", "16", "--half-close", "-d", "86400"])

    var memory = Series(name: "serving generation, PSS", unit: "KiB", slack: 1024)
    var descriptors = Series(name: "serving generation, descriptors", unit: "", slack: 20)
    var keeperMemory = Series(name: "restarter, PSS", unit: "KiB", slack: 512)
    var keeperDescriptors = Series(name: "restarter, descriptors", unit: "", slack: 4)
    var generations = Series(name: "living generations", unit: "", slack: 3)
    let end = monotonicSeconds() + seconds
    var epoch: UInt64 = 0
    while monotonicSeconds() < end {
        let began = monotonicSeconds()
        supervisor.signal(SIGHUP)
        try eventually("epoch \(epoch + 1) to serve", within: 30) { chain.admin.servingEpoch() == epoch + 1 }
        epoch += 1
        pause(1 - (monotonicSeconds() - began))
        let living = try Serving(chain.admin)
        guard let serving = living.serving else { continue }
        let own = Usage(serving.pid)
        let keeper = Usage(supervisor.pid)
        memory.values.append(own.pssKiB)
        descriptors.values.append(own.descriptors)
        keeperMemory.values.append(keeper.pssKiB)
        keeperDescriptors.values.append(keeper.descriptors)
        generations.values.append(living.generations.count)
        if epoch % 60 == 0 {
            say("  \(epoch) restarts, PSS \(own.pssKiB) KiB, \(own.descriptors) descriptors, failures so far: \(stream.failuresSoFar)")
        }
    }
    let new = try stream.stop()
    let large = try bulk.stop()
    supervisor.signal(SIGTERM)
    try supervisor.waitForExit(within: 60)
    say("\(epoch) restarts in \(Int(seconds)) s")
    say("small connections: \(new.tried) tried, \(new.refused) refused, \(new.reset) reset, \(new.failed) failed in all")
    say("64 KiB connections: \(large.tried) tried, \(large.refused) refused, \(large.reset) reset, \(large.failed) failed in all")
    let all = [memory, descriptors, keeperMemory, keeperDescriptors, generations]
    for series in all { say(series.row) }
    return new.failed == 0 && large.failed == 0 && !all.contains(where: \.grows)
}

let seconds = ProcessInfo.processInfo.environment["SOAK_SECONDS"].flatMap(Double.init) ?? 1200
let scenario = try Scenario("soak", seconds: seconds + 300)
do {
    let isGood = try soak(scenario, seconds: seconds)
    scenario.close(keep: !isGood)
    exit(isGood ? 0 : 1)
} catch {
    say("soak: \(error)\n\(scenario.lastWords())")
    scenario.close(keep: true)
    exit(1)
}
