import Foundation
import Harness
import Testing

extension EndToEnd {
    /// How long generations live, and what ends them.
    @Suite struct Generations {
        /// A session opened in one generation, and when it was seen to end.
        private struct Session {
            let socket: TestSocket
            let epoch: Int
            /// Before its generation was replaced: its drain cannot have begun earlier.
            var replacedAfter = 0.0
            var ended: Double?
        }

        private static let restarts = 10

        /// The restarts come so fast that all drains overlap: none shortens another.
        @Test func everySessionLivesToTheEndOfItsOwnGenerationsDrain() throws {
            try scenario("overlapping drains", seconds: 90) { s in
                let lifetime = 6.0
                let (chain, echo) = try s.echoChain([
                    "--max-draining-generations", "16", "--drain-time-s", "3", "--parent-shutdown-time-s", "\(Int(lifetime))",
                ])
                try chain.start()
                var sessions: [Session] = []
                for epoch in 0..<Self.restarts {
                    sessions.append(Session(socket: try TestSocket(echo), epoch: epoch))
                    try sessions[epoch].socket.echo()
                    let before = monotonicSeconds()
                    try chain.restart()
                    sessions[epoch].replacedAfter = before
                    note(&sessions)
                    pause(before + 0.5 - monotonicSeconds())
                }
                s.checkEqual(chain.generations.dropLast().filter(\.isRunning).count, Self.restarts, "generations that drain at once")
                try eventually("the sessions to be ended", within: 40) {
                    note(&sessions)
                    return sessions.allSatisfy { $0.ended != nil }
                }
                for session in sessions {
                    let lived = (session.ended ?? 0) - session.replacedAfter
                    s.check(lived >= lifetime, "generation \(session.epoch)'s session lived \(lived) s of \(lifetime) s")
                }
                for (epoch, generation) in chain.generations.dropLast().enumerated() {
                    s.checkEqual(try generation.waitForExit(), .exited(0), "end of generation \(epoch)")
                    s.checkContains(generation.log, "connections were cut at the end of the drain", "log of generation \(epoch)")
                }
                try chain.stop()
            }
        }

        private func note(_ sessions: inout [Session]) {
            for index in sessions.indices where sessions[index].ended == nil && sessions[index].socket.isCut {
                sessions[index].ended = monotonicSeconds()
            }
        }

        @Test func aboveTheLimitTheOldestIsEndedAfterTheTakeOverAndAFailedAttemptEndsNobody() throws {
            try scenario("limit of draining generations", seconds: 60) { s in
                let (chain, echo) = try s.echoChain(["--max-draining-generations", "4"])
                let admin = chain.admin.endpoint
                let good = ConfigText(admin: admin, listeners: [.init("echo", [echo])])
                try chain.start()
                var sessions: [[TestSocket]] = []
                for _ in 0...4 {
                    // One more in every generation, so that the numbers tell them apart.
                    sessions.append(try (0...sessions.count).map { _ in try TestSocket(echo) })
                    for socket in sessions[sessions.count - 1] { try socket.echo() }
                    if sessions.count <= 4 { try chain.restart() }
                }
                for socket in sessions.joined() { try socket.echo() }  // four drain, nobody was ended
                try failTwice(s, chain, echo, good)
                for socket in sessions.joined() { try socket.echo() }
                for oldest in 0...1 {
                    let serving = try chain.restart()
                    try serving.waitForLog("--max-draining-generations is 4: ending the oldest")
                    s.checkContains(serving.log, "epoch=\(oldest)", "which one is the oldest")
                    s.checkEqual(try chain.generations[oldest].waitForExit(), .exited(0), "the oldest generation")
                    try serving.waitForLog("an older generation was ended to make room")
                    s.checkContains(serving.log, "cut=\(oldest + 1)", "what the new generation says was cut")
                    s.check(sessions[oldest].allSatisfy(\.isCut), "the oldest generation's sessions are cut")
                    for socket in sessions.dropFirst(oldest + 1).joined() { try socket.echo() }
                }
                s.checkEqual(try chain.admin.stats()["server.connections_cut"], 3, "server.connections_cut")
                try chain.stop()
            }
        }

        /// One before it says a word to the serving generation, one after it was handed everything.
        private func failTwice(_ s: Scenario, _ chain: ProxyChain, _ echo: Endpoint, _ good: ConfigText) throws {
            let taken = try TestListener(.v4(try s.port()))
            let early = try chain.restartInVain(config: try s.write("static_resources: { listenerz: [] }\n", to: "early.yaml"))
            s.checkEqual(early.status, .exited(1), "a restart with a bad file")
            var late = good
            late.listeners.append(.init("taken", [taken.endpoint]))
            let failed = try chain.restartInVain(config: try s.write(late.yaml, to: "late.yaml"))
            s.checkEqual(failed.status, .exited(1), "a restart whose address is taken")
            s.checkContains(failed.log, "\(taken.endpoint)", "the address that is taken")
        }

        @Test func theForceDeadlineIsTheChildsIfGivenAndElseAMinuteAfterTheDrain() throws {
            try scenario("force deadline", seconds: 40) { s in
                let (chain, echo) = try s.echoChain(["--drain-time-s", "20"])
                try chain.start()
                let first = try TestSocket(echo)
                try first.echo()
                try chain.restart()
                let parent = chain.generations[0]
                try parent.waitForLog("closing and draining listeners")
                s.check(parent.log.contains("forced_in_s=79") || parent.log.contains("forced_in_s=80"), "20 s and a minute:\n\(parent.log)")
                let second = try TestSocket(echo)
                try second.echo()
                let before = monotonicSeconds()
                try chain.restart(["--parent-shutdown-time-s", "2"])
                try chain.generations[1].waitForLog("--parent-shutdown-time-s is shorter than our --drain-time-s: it counts")
                try eventually("the second generation's session to be cut") { second.isCut }
                s.check(monotonicSeconds() - before >= 2, "cut after \(monotonicSeconds() - before) s of 2")
                s.checkEqual(try chain.generations[1].waitForExit(), .exited(0), "the second generation")
                try first.echo("the first one's drain goes on")
                try chain.stop()
            }
        }

        @Test func anEmptyParentStaysForTheRollbackWindowAndNoLonger() throws {
            try scenario("rollback window", seconds: 60) { s in
                let (chain, echo) = try s.echoChain(["--rollback-window-s", "2", "--drain-time-s", "100"])
                try chain.start()
                let before = monotonicSeconds()
                try chain.restart()
                s.checkEqual(try chain.generations[0].waitForExit(within: 20), .exited(0), "the empty parent")
                s.check(monotonicSeconds() - before >= 2, "it left after \(monotonicSeconds() - before) s of 2")
                s.checkContains(chain.generations[0].log, "drained cut=0", "its log")
                // A busy one stays to serve again, whenever the child dies.
                let held = try TestSocket(echo)
                try held.echo()
                try chain.restart()
                let parent = chain.generations[1]
                try parent.waitForLog("closing and draining listeners")
                pause(2.2)
                chain.serving.signal(SIGKILL)
                try parent.waitForLog("rolled back: serving again")
                chain.dropNewest()
                try eventually("the parent to answer") { chain.admin.servingEpoch() == 1 }
                try TestSocket(echo).echo()
                try held.echo()
                s.checkEqual(try chain.admin.stats()["server.restart_rollbacks"], 1, "server.restart_rollbacks")
                try chain.restart()
                held.close()
                s.checkEqual(try parent.waitForExit(within: 20), .exited(0), "the parent once it is empty")
                try chain.stop()
            }
        }
    }
}
