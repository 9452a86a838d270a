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
    }
}
