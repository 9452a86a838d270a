import Foundation
import Harness
import Testing

extension EndToEnd {
    /// One chain of generations through many restarts, in each of which one of the two processes is killed or stopped at a moment that
    /// nobody chose. RANDOM_DEATHS says how many (20), RANDOM_SEED which.
    @Suite struct RandomDeaths {
        private static func number(_ name: String, _ standard: Int) -> Int {
            ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? standard
        }

        @Test func aChainOfRestartsSurvivesDeathsAtAnyMoment() throws {
            let rounds = Self.number("RANDOM_DEATHS", 20)
            var random = Seeded(seed: UInt64(Self.number("RANDOM_SEED", Int(getpid()))))
            try scenario("random deaths", seconds: 60 + Double(rounds) * 10) { s in
                let (chain, echo) = try s.faultyChain(["--max-draining-generations", "60"])
                var serving = try chain.start(environment: FaultySteps.environment())
                var tally: [String: Int] = [:]
                for round in 1...rounds {
                    let victim: KillCase.Victim = Bool.random(using: &random) ? .child : .parent
                    let blow: KillCase.Blow = Int.random(in: 0..<6, using: &random) == 0 ? .stop : .kill
                    let delay = Double.random(in: 0...0.25, using: &random)
                    let what = "round \(round), \(blow) of the \(victim) after \(Int(delay * 1000)) ms"
                    let stream = try LoadClient(s, .connect, echo, ["-r", "1000", "--sources", "16", "--half-close", "-t", "20000"])
                    let child = try chain.launch(["--restart-epoch"], environment: FaultySteps.environment())
                    pause(delay)
                    (victim == .child ? child : serving).signal(blow.signal)
                    let parent = serving
                    let winner = try outlive(s, chain, parent: serving, child: child, victim, blow, what)
                    tally["\(blow) \(victim): \(winner === child ? "new" : winner === serving ? "old" : "older") serves", default: 0] += 1
                    serving = winner
                    let report = try stream.stop(within: 40)
                    let cut = report.reset + report.eofBeforeReply + report.shortReply
                    let wasOnlyOne = victim == .parent && blow == .kill && !child.log.contains("listeners.kept=1")
                    s.check(report.refused == 0 || wasOnlyOne, "\(what): \(report.refused) of \(report.tried) refused\n\(child.tail())")
                    s.checkEqual(report.failed, cut + report.refused, "\(what): \(report.failures)")
                    // An older generation whose window is open may have fenced the stopped one: then its connections end as in a kill.
                    if blow == .stop, victim == .parent, parent.exitStatus() != .signaled(SIGKILL) {
                        s.checkEqual(cut, 0, "\(what): cut though nobody was killed")
                    }
                }
                print("random deaths: \(tally.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)×" }.joined(separator: ", "))")
                let next = try chain.launch(["--restart-epoch"])
                try eventually("one more restart", within: 20) { next.log.contains("done: serving") || next.log.contains("loop: serving") }
                next.signal(SIGTERM)
                try next.waitForExit()
            }
        }

        /// Returns whichever of the two serves in the end.
        private func outlive(
            _ s: Scenario, _ chain: ProxyChain, parent: ChildProcess, child: ChildProcess, _ victim: KillCase.Victim,
            _ blow: KillCase.Blow, _ what: String
        ) throws -> ChildProcess {
            switch (victim, blow) {
            case (.child, .kill): try child.waitForExit()
            case (.parent, .kill): try parent.waitForExit()
            case (.child, .stop):
                // Fenced, unless the parent has never heard of it.
                pause(0.2)
                if !parent.log.contains("child.pid=\(child.pid)") { child.destroy() }
                try child.waitForExit(within: 20)
            case (.parent, .stop):
                try eventually("\(what): the child to serve or give up", within: 30) { child.exitStatus() != nil || serves(chain, child) }
                parent.signal(SIGCONT)
            }
            // An older generation whose window is open may be quicker than the child of a dead parent.
            return try eventually("\(what): somebody to serve", within: 20) {
                if serves(chain, child) { return child }
                guard child.exitStatus() != nil else { return nil }
                return s.processes.last { $0.name.hasSuffix("-proxy") && serves(chain, $0) }
            }
        }

        private func serves(_ chain: ProxyChain, _ process: ChildProcess) -> Bool {
            process.isRunning && chain.admin.servingPids().contains(process.pid)
        }
    }
}
