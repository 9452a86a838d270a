import Foundation
import Harness
import Testing

extension EndToEnd {
    /// Deaths while a generation leaves what it serves with to the supervisor. KILL_MATRIX=full: at every step, not only at two.
    @Suite struct KeeperMatrix {
        private static let isFull = KillMatrixPage.updates || ProcessInfo.processInfo.environment["KILL_MATRIX"] == "full"
        /// Nothing new has come; everything but the end has.
        private static let revealing: Set = ["keeper.afterWelcome", "keeper.beforeEnd"]

        @Test func whoeverDiesWhileCopiesAreLeftWithTheSupervisorNobodyIsRefused() throws {
            var rows: [[String]] = []
            var cases: [KeeperCase] = []
            for step in KeeperCase.steps where Self.isFull || Self.revealing.contains(step) {
                for role in KeeperCase.Role.allCases {
                    let row = KeeperCase.Blow.allCases.map { KeeperCase(step, role, $0) }
                    for item in row { try item.run() }
                    rows.append(["`\(step)`", role.rawValue] + row.map(\.outcome))
                    cases += row
                }
            }
            if KillMatrixPage.updates { return try KillMatrixPage.write(.keeper, rows) }
            let known = KillMatrixPage.rows(.keeper)
            for row in rows where !known.contains(row) {
                Issue.record("docs/kill-matrix.md does not say '\(row.joined(separator: " | "))' (UPDATE_KILL_MATRIX=1 writes it)")
            }
        }

        /// Nobody replaces it meanwhile; whoever connects waits in queues that the stopped supervisor holds.
        @Test func theOnlyGenerationDiesWhileTheSupervisorIsStopped() throws {
            try scenario("death beside a stopped supervisor", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let suite = EndToEnd.Supervision()
                let supervisor = try suite.supervise(s, chain)
                let first = try chain.onlyServing("the first generation")
                let stream = try DeathFigures.stream(s, echo)
                supervisor.signal(SIGSTOP)
                let began = monotonicMicroseconds()
                kill(first, SIGKILL)
                // Stopped, it does not reap; a zombie has let go of its sockets.
                try eventually("the end of the first generation") { !isAlive(first) }
                let waiting = try TestSocket(echo)
                supervisor.signal(SIGCONT)
                try chain.onlyServing("a replacement", besides: first)
                try waiting.echo("who connected while nobody served")
                let figures = try DeathFigures([Death(pid: first, began: began, ended: monotonicMicroseconds())], stream)
                s.checkEqual(figures.report.refused, 0, "refused of \(figures.report.tried)")
                try suite.stop(s, supervisor)
            }
        }

        /// The parent's own socket goes on taking links, because the supervisor holds it: a child that asks there learns of the death
        /// at once and not after a deadline.
        @Test(arguments: ["child.looking", "child.beforeHello", "child.afterHello"])
        func theOnlyGenerationDiesBeforeItHasAnsweredItsChild(_ step: String) throws {
            try scenario("death under the supervisor at \(step)", seconds: 60) { s in
                let (chain, echo) = try s.faultyChain()
                let suite = EndToEnd.Supervision()
                let supervisor = try suite.supervise(s, chain, environment: FaultySteps.environment(["\(step)=delay:300"]))
                let first = try chain.onlyServing("the first generation")
                let stream = try DeathFigures.stream(s, echo)
                let from = supervisor.logSize
                supervisor.signal(SIGHUP)
                try eventually("the child to be at \(step)") { supervisor.log(from: from).contains("fault point \(step):") }
                let death = try Death.of(first)
                try chain.onlyServing("a replacement", besides: first)
                let figures = try DeathFigures([death], stream)
                figures.check(s)
                print("death under the supervisor at \(step): \(figures.text)")
                try suite.stop(s, supervisor)
            }
        }
    }
}
