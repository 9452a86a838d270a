import Foundation
import Harness
import Testing

extension EndToEnd.Supervision {
    /// A replacement that has served for longer than the supervisor's `steadyMs` is one that lasted: no death is followed by a pause.
    private static let steadySeconds = 1.2
    private static let workers = 2

    /// KEEPER_DEATHS says how many (10). Nothing of the clients' comes to harm but what the killed process had accepted: no connection is
    /// refused, none is forgotten in the accept queue, and none that began after a death fails.
    @Test func theOnlyGenerationsDeathsAreSeenByNobodyWhoConnects() throws {
        let deaths = environmentNumber("KEEPER_DEATHS", 10)
        try scenario("deaths under the keeper", seconds: 60 + Double(deaths) * 10) { s in
            let (chain, echo) = try s.echoChain(["--concurrency", "\(Self.workers)"])
            let supervisor = try supervise(s, chain)
            let stream = try DeathFigures.stream(s, echo)
            var seen: [Death] = []
            for number in 1...deaths {
                let pid = try chain.onlyServing("generation \(number)", besides: seen.last?.pid)
                pause(Self.steadySeconds)
                seen.append(try Death.of(pid))
            }
            try chain.onlyServing("the last replacement", besides: seen.last?.pid)
            let figures = try DeathFigures(seen, stream)
            figures.check(s)
            print("deaths under the keeper: \(figures.text)")
            try countEveryAcceptedConnection(s, chain, echo, figures.report, deaths)
            s.check(!supervisor.log.contains("next start in"), "a death at rest was answered with a pause")
            try stop(s, supervisor)
        }
    }

    /// A connection that nobody accepted and that is gone was lost in a queue. A worker counts after accept(), so that of each worker's last
    /// connection nobody may know; that one has been cut.
    private func countEveryAcceptedConnection(
        _ s: Scenario, _ chain: ProxyChain, _ echo: Endpoint, _ report: LoadReport, _ deaths: Int
    ) throws {
        let scope = "listener.\(echo.description.replacing(":", with: "_"))"
        let accepted = try chain.admin.stats()["\(scope).downstream_cx_total"] ?? -1
        let uncounted = report.tried - accepted
        let most = min(report.failed, deaths * Self.workers)
        s.check((0...most).contains(uncounted), "of \(report.tried) connections \(accepted) were accepted, \(report.failed) were cut")
    }
}

/// A number of rounds that the environment may raise.
func environmentNumber(_ name: String, _ standard: Int) -> Int {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? standard
}

extension ProxyChain {
    /// The pid of whoever serves, asked again until it is a living process other than `pid`.
    @discardableResult
    func onlyServing(_ what: String, besides pid: Int32? = nil) throws -> Int32 {
        try eventually("\(what) to serve", within: 20) {
            let pids = admin.servingPids().filter { $0 != pid && isAlive($0) }
            return pids.count == 1 ? pids.first : nil
        }
    }
}
