import Foundation
import Harness
import Testing

extension EndToEnd {
    /// A new generation that dies right after it has taken over: how long nobody accepts.
    @Suite struct Rollbacks {
        /// ROLLBACKS says how many (5). Connections that come while nobody accepts wait in the accept queue; only what the child has accepted
        /// is cut.
        @Test func theOldGenerationAcceptsAgainAtOnce() throws {
            let rollbacks = environmentNumber("ROLLBACKS", 5)
            try scenario("rollbacks", seconds: 60 + Double(rollbacks) * 10) { s in
                let (chain, echo) = try s.echoChain(["--concurrency", "2"])
                let parent = try chain.start()
                let stream = try DeathFigures.stream(s, echo)
                var seen: [Death] = []
                for number in 1...rollbacks {
                    let child = try chain.launch(["--restart-epoch"])
                    try child.waitForLog("done: serving", within: 20)
                    seen.append(try Death.of(child.pid, reap: { _ = child.exitStatus() }))
                    try eventually("rollback \(number)") { parent.log.components(separatedBy: "rolled back").count > number }
                    s.checkEqual(try chain.onlyServing("the parent"), parent.pid, "who serves after rollback \(number)")
                }
                let figures = try DeathFigures(seen, stream)
                figures.check(s)
                print("rollbacks: \(figures.text)")
                s.checkEqual(try chain.admin.stats()["server.restart_rollbacks"], rollbacks, "server.restart_rollbacks")
                try chain.stop()
            }
        }

        /// The parent dies while one generation drains and another initialises. The older one can serve at once, and does; the new one may
        /// need seconds, or fail, and clients do not wait to see which.
        @Test func anOlderGenerationComesBeforeAChildThatIsNotReady() throws {
            try scenario("parent's death beside an older generation and a child", seconds: 60) { s in
                let (chain, echo) = try s.faultyChain()
                let oldest = try chain.start()
                let held = try TestSocket(echo)
                try held.echo()
                let parent = try chain.restart()
                let child = try chain.launch(["--restart-epoch"], environment: FaultySteps.environment(["child.opened=delay:700"]))
                try child.waitForLog("fault point child.opened:")
                let stream = try DeathFigures.stream(s, echo)
                let death = try Death.of(parent.pid, reap: { _ = parent.exitStatus() })
                s.checkEqual(try chain.onlyServing("the oldest", besides: parent.pid), oldest.pid, "who serves")
                s.checkEqual(try child.waitForExit(), .exited(75), "the child")
                s.checkContains(child.log, "PX-R006", "why")
                try held.echo("the oldest connection has lived through it")
                let next = try chain.launch(["--restart-epoch"])
                try next.waitForLog("done: serving", within: 20)
                let figures = try DeathFigures([death], stream)
                figures.check(s)
                held.close()
                next.signal(SIGTERM)
                for generation in [oldest, next] { s.checkEqual(try generation.waitForExit(), .exited(0), generation.name) }
            }
        }
    }
}
