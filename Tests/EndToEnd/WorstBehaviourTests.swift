import Foundation
import Harness
import Testing

extension EndToEnd {
    /// The five worst things that Envoy's hot restart does, and what happens here instead.
    @Suite struct WorstBehaviours {
        @Test func terminatingAnInitializingChildLeavesTheParentServing() throws {
            try scenario("SIGTERM of an initializing child", seconds: 60) { s in
                let (chain, echo) = try s.faultyChain()
                // The child waits for the rest of its inheritance, its main loop awake.
                let parent = try chain.start(environment: FaultySteps.environment(["parent.afterSockets=delay:1500"]))
                let stream = try LoadClient(s, .connect, echo, ["-r", "300", "--half-close", "--sources", "4"])
                let child = try chain.launch(["--restart-epoch", "-l", "debug"])
                try child.waitForLog("step hello")
                child.signal(SIGTERM)
                s.checkEqual(try child.waitForExit(within: 5), .exited(0), "the child")
                try parent.waitForLog("restart failed")
                s.checkEqual(chain.admin.servingEpoch(), 0, "the epoch that serves")
                try chain.restart()
                s.checkClean(try stream.stop(), "new connections")
                try chain.stop()
            }
        }

        /// With the word of who serves it is the serving generation, whatever it has told its parent by then: everything stops.
        @Test func terminatingAChildThatHasTheWordStopsEverything() throws {
            try scenario("SIGTERM of a child that has the word", seconds: 60) { s in
                let (chain, echo) = try s.faultyChain()
                try chain.start()
                let held = try TestSocket(echo)
                try held.echo()
                try chain.restart()
                let child = try chain.launch(["--restart-epoch"], environment: FaultySteps.environment(["child.tookWord=delay:500"]))
                try child.waitForLog("fault point child.tookWord:")
                child.signal(SIGTERM)
                s.checkEqual(try child.waitForExit(within: 10), .exited(0), "the child")
                for generation in chain.generations { s.checkEqual(try generation.waitForExit(), .exited(0), "\(generation.name)") }
                s.check(held.isCut, "the oldest generation has stopped too")
            }
        }

        @Test(arguments: [SIGKILL, SIGTERM]) func theParentsEndDuringTheOverlapLeavesTheChildServing(_ signal: Int32) throws {
            try scenario("signal \(signal) to the parent in the overlap", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let parent = try chain.start()
                let held = try TestSocket(echo)
                try held.echo()
                try chain.restart()
                try held.echo("the parent drains, so this is the overlap")
                let stream = try LoadClient(s, .connect, echo, ["-r", "300", "--half-close", "--sources", "4"])
                parent.signal(signal)
                s.checkEqual(try parent.waitForExit(), signal == SIGKILL ? .signaled(SIGKILL) : .exited(0), "the parent")
                // Envoy's child hangs for ten seconds from its next statistics poll on, then aborts.
                let began = monotonicSeconds()
                while monotonicSeconds() - began < 2 {
                    s.check(chain.admin.isReady(), "the admin server answers after the parent's end")
                    pause(0.05)
                }
                s.check(chain.serving.isRunning, "the child runs")
                s.checkClean(try stream.stop(), "new connections")
                try eventually("the held connection to be cut") { held.isCut }
                try chain.restart()
                try chain.stop()
            }
        }

        @Test func badConfigurationsLeaveAdminAndTrafficAndPoisonNothing() throws {
            try scenario("bad configurations", seconds: 90) { s in
                let (chain, echo) = try s.echoChain()
                try chain.start()
                let stream = try LoadClient(s, .connect, echo, ["-r", "300", "--half-close", "--sources", "4"])
                let taken = try s.port()
                let holder = try LoadClient(s, .server, .v4(taken))
                try holder.waitUntilEstablished()
                let occupied = ConfigText(admin: chain.admin.endpoint, listeners: [.init("echo", [echo]), .init("more", [.v4(taken)])])
                let bad = [
                    ("not YAML", "static_resources: [", "error"), ("an unknown field", "static_resource: {}", "did you mean"),
                    ("an address in use", occupied.yaml, "cannot open a listener"),
                ]
                for (what, text, expected) in bad {
                    let (status, log) = try chain.restartInVain(config: try s.write(text, to: "bad.yaml"))
                    s.checkEqual(status, .exited(1), what)
                    s.checkContains(log, expected, what)
                    s.check(chain.admin.isReady(), "admin after \(what)")
                    s.checkEqual(chain.admin.servingEpoch(), chain.epoch, "who serves after \(what)")
                    try chain.restart()
                }
                s.checkClean(try stream.stop(), "new connections")
                try chain.stop()
            }
        }

        @Test(arguments: ["child.opened=kill", "child.accepting=kill", "child.opening=fail:listen:98", "child.beforeListen=fail:listen:13"])
        func adminIsNotLostWhenAChildFails(_ fault: String) throws {
            try scenario("admin while a child fails: \(fault)", seconds: 60) { s in
                let (chain, _) = try s.faultyChain()
                try chain.start()
                let child = try chain.launch(["--restart-epoch"], environment: FaultySteps.environment([fault]))
                var asked = 0
                while child.isRunning {
                    // A child that has begun to serve and dies may take a request with it; it is never refused.
                    do {
                        _ = try chain.admin.get("/ready")
                    } catch {
                        s.check(!"\(error)".contains("refused"), "admin while the child fails: \(error)")
                    }
                    asked += 1
                }
                s.check(asked > 0, "the admin server was asked meanwhile")
                s.check(try child.waitForExit() != .exited(0), "the child failed")
                try eventually("the parent to answer") { chain.admin.servingEpoch() == 0 }
                try chain.restart()
                s.check(chain.admin.isReady(), "admin of the next generation")
                try chain.stop()
            }
        }

        /// With the window over, too: an orphaned parent serves again for as long as it lives.
        @Test(arguments: [0.0, 2.5]) func aChildThatDiesAfterItTookOverIsRolledBack(_ wait: Double) throws {
            try scenario("rollback after \(wait) s", seconds: 60) { s in
                let (chain, echo) = try s.echoChain(["--rollback-window-s", "1"])
                let parent = try chain.start()
                let held = try TestSocket(echo)
                try held.echo()
                let child = try chain.restart()
                let stream = try LoadClient(s, .connect, echo, ["-r", "1000", "--half-close", "--sources", "8"])
                try eventually("connections to be served") { try chain.admin.stats().values.contains { $0 > 20 } }
                pause(wait)
                child.signal(SIGKILL)
                try child.waitForExit()
                try parent.waitForLog("rolled back: serving again after generation 1 failed", within: 5)
                chain.dropNewest()
                try eventually("epoch 0 to serve", within: 5) { chain.admin.servingEpoch() == 0 }
                try held.echo("the parent's own connection never noticed")
                try chain.restart()
                let report = try stream.stop()
                s.checkEqual(report.refused, 0, "refused")
                s.checkEqual(report.failed, report.reset + report.eofBeforeReply + report.shortReply, "\(report.failures)")
                s.check(report.reset + report.eofBeforeReply + report.shortReply <= 100, "cut with the child: \(report.failures)")
                held.close()
                try chain.stop()
            }
        }
    }
}
