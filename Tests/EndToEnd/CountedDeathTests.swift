import Foundation
import Harness
import Testing

extension EndToEnd.Supervision {
    /// Restarts under the supervisor, in each of which one of the two processes is killed at a moment that nobody chose, the counters being
    /// read after each. COUNTED_DEATHS says how many (20), RANDOM_SEED which (1).
    @Test func noCounterGoesBackwardsAndNoneLosesMoreThanAWorkerHadInHand() throws {
        let rounds = environmentNumber("COUNTED_DEATHS", 20)
        try scenario("counted deaths", seconds: 60 + Double(rounds) * 10) { s in
            // An older generation stays for a second only, because the table of generations has 64 places.
            let (chain, listener, server) = try s.relayChain([
                "--max-draining-generations", "60", "--rollback-window-s", "1", "--concurrency", "\(CountedDeaths.workers)",
            ])
            let supervisor = try supervise(s, chain)
            let stream = try LoadClient(s, .connect, listener, ["-r", "200", "--sources", "32", "--half-close", "-t", "30000"])
            let run = CountedDeaths(s, chain, supervisor, seed: UInt64(environmentNumber("RANDOM_SEED", 1)))
            for number in 1...rounds { try run.round(number) }
            let clients = try stream.stop(within: 60)
            s.checkEqual(clients.refused, 0, "refused of \(clients.tried)")
            s.checkEqual(clients.failed, clients.reset + clients.eofBeforeReply + clients.shortReply, "\(clients.failures)")
            let counted = try run.settled(listener)
            run.compare(counted, listener, clients, try server.stop())
            try stop(s, supervisor)
        }
    }
}

/// One run of restarts and deaths, and what the counters have said so far.
private final class CountedDeaths {
    static let workers = 2
    /// Bytes of the load client's one message.
    private static let messageSize = 64
    /// A little more than the supervisor's `steadyMs`: a replacement that has served so long is not one that failed.
    private static let steadySeconds = 1.2

    private let s: Scenario
    private let chain: ProxyChain
    private let supervisor: ChildProcess
    private var random: Seeded
    private var counters: [String: Int] = [:]
    private var tally: [String: Int] = [:]
    private var kills = 0

    init(_ s: Scenario, _ chain: ProxyChain, _ supervisor: ChildProcess, seed: UInt64) {
        self.s = s
        self.chain = chain
        self.supervisor = supervisor
        random = Seeded(seed: seed)
    }

    // MARK: - A restart and a death

    func round(_ number: Int) throws {
        let victim: KillCase.Victim = Bool.random(using: &random) ? .child : .parent
        let delay = Double.random(in: 0...0.2, using: &random)
        let what = "round \(number), the \(victim) after \(Int(delay * 1000)) ms"
        let parent = try chain.onlyServing("before \(what): somebody")
        let from = supervisor.logSize
        supervisor.signal(SIGHUP)
        let pid = victim == .parent ? parent : try started(from, what)
        pause(delay)
        let died = isAlive(pid)
        if died { _ = try Death.of(pid) }
        kills += died ? 1 : 0
        let serving = try rest(what)
        let replaced = supervisor.log(from: from).contains("starting a replacement")
        let winner = replaced ? "a replacement" : serving == parent ? "the old one" : "the new one"
        tally["\(victim) killed, \(winner) serves", default: 0] += 1
        if replaced { pause(Self.steadySeconds) }
        try look(what)
    }

    private func started(_ from: UInt64, _ what: String) throws -> Int32 {
        try eventually("\(what): a new generation to be started", within: 20) {
            supervisor.log(from: from).firstMatch(of: /started generation \d+, pid (\d+)/).flatMap { Int32($0.output.1) }
        }
    }

    /// Who serves once the supervisor has nothing left to do.
    private func rest(_ what: String) throws -> Int32 {
        struct Report: Decodable {
            struct Supervisor: Decodable { let phase: String }
            let supervisor: Supervisor?
        }
        return try eventually("\(what): the supervisor's rest", within: 40, every: 0.02) {
            let text = try s.run(Programs.restarter, ["status", "--json"] + chain.identity, name: "status", within: 40).output
            guard (try? JSONDecoder().decode(Report.self, from: Data(text.utf8)))?.supervisor?.phase == "idle" else { return nil }
            let pids = chain.admin.servingPids().filter(isAlive)
            return pids.count == 1 ? pids.first : nil
        }
    }

    /// Every counter is what it was or more, and none is gone.
    private func look(_ what: String) throws {
        let now = try chain.admin.stats(type: "Counters")
        for (name, before) in counters where (now[name] ?? -1) < before {
            s.check(false, "\(what): \(name) went from \(before) to \(now[name].map(String.init) ?? "nothing")")
        }
        counters = now
    }

    // MARK: - What others have counted

    func settled(_ listener: Endpoint) throws -> [String: Int] {
        let scope = scope(listener)
        try eventually("every connection to have ended", within: 20, every: 0.05) {
            try chain.admin.stats()["\(scope).downstream_cx_active"] == 0
        }
        try look("the end")
        return counters
    }

    private func scope(_ listener: Endpoint) -> String { "listener.\(listener.description.replacing(":", with: "_"))" }

    /// A system call and its count are two steps, and a process that is killed between them leaves the one without the other: one operation
    /// for each of its workers (`lost`), the count coming after the call but for connects, which are counted before it. Beside that a
    /// connection that was cut has bytes that one side wrote and the other never read (`unread`); both have counted rightly.
    func compare(_ counted: [String: Int], _ listener: Endpoint, _ clients: LoadReport, _ upstream: LoadReport) {
        let lost = kills * Self.workers
        let lostBytes = lost * Self.messageSize
        let unread = clients.failed * Self.messageSize
        // An accepted connection that nobody counted has been cut with its process.
        let accepted = -min(lost, clients.failed)...0
        let scope = scope(listener)
        let rounds = tally.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)×" }
        print("counted deaths: \(kills) kills; \(rounds.joined(separator: ", "))")
        print("  \(clients.tried) connections, \(clients.refused) refused, \(clients.failed) cut")
        let workers = (0..<Self.workers).map { "\(scope).worker_\($0).downstream_cx_total" }
        check(counted, ["\(scope).downstream_cx_total"], clients.tried, accepted)
        check(counted, workers, clients.tried, accepted)
        check(counted, ["tcp.relay.downstream_cx_total"], clients.tried, accepted)
        check(counted, ["cluster.up.upstream_cx_total"], upstream.tried, -lost...lost)
        // Read by the proxy: what the other side sent, without what was never read.
        check(counted, ["tcp.relay.downstream_cx_rx_bytes_total"], clients.bytesSent, -lostBytes - unread...0)
        check(counted, ["cluster.up.upstream_cx_rx_bytes_total"], upstream.bytesSent, -lostBytes - unread...0)
        // Written by the proxy: what the other side read, and what it did not.
        check(counted, ["tcp.relay.downstream_cx_tx_bytes_total"], clients.bytesReceived, -lostBytes...unread)
        check(counted, ["cluster.up.upstream_cx_tx_bytes_total"], upstream.bytesReceived, -lostBytes...unread)
        // A killed process ends its connections without counting that: there is no number to compare with.
        for name in ["\(scope).downstream_cx", "cluster.up.upstream_cx"] {
            let (begun, ended) = (counted["\(name)_total"] ?? 0, counted["\(name)_destroy"] ?? .max)
            s.check(ended <= begun, "\(name): \(begun) begun, \(ended) ended")
        }
    }

    /// `seen`: by the other side.
    private func check(_ counted: [String: Int], _ names: [String], _ seen: Int, _ allowed: ClosedRange<Int>) {
        let off = names.reduce(0) { $0 + (counted[$1] ?? 0) } - seen
        let text = "\(names.joined(separator: " + ")): the other side saw \(seen), counted are \(off) more"
        print("  \(text), \(allowed) allowed")
        s.check(allowed.contains(off), "\(text), not \(allowed)")
    }
}
