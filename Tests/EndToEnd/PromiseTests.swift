import Foundation
import Harness
import Testing

extension EndToEnd {
    /// One test for each promise that a restart makes.
    @Suite struct Promises {
        @Test func oneNobodyIsRefused() throws {
            try scenario("promise 1", seconds: 90) { s in
                let (chain, echo) = try s.echoChain()
                try chain.start()
                // A second of it: all that follows may take less than a tenth.
                let stream = try LoadClient(
                    s, .connect, echo, ["-r", "1000", "-n", "1000", "--half-close", "--sources", "16", "-c", "512"])
                try chain.restart()
                s.checkEqual(
                    try chain.restartInVain(config: try s.write("nonsense", to: "bad.yaml")).status, .exited(1), "a failed restart")
                try chain.restart()
                let before = chain.generations[chain.generations.count - 2]
                chain.serving.signal(SIGKILL)
                try before.waitForLog("rolled back")
                chain.dropNewest()
                try eventually("epoch 1 to serve") { chain.admin.servingEpoch() == 1 }
                try chain.restart()
                let report = try stream.report()
                s.checkEqual(report.refused, 0, "refused of \(report.tried)")
                s.checkEqual(report.failed, report.reset + report.eofBeforeReply + report.shortReply, "\(report.failures)")
                s.checkEqual(report.tried, 1000, "connections that were tried")
                chain.serving.signal(SIGTERM)
            }
        }

        @Test func twoAFailedRestartChangesNothingAndSaysWhatToDo() throws {
            try scenario("promise 2", seconds: 90) { s in
                let (chain, echo) = try s.faultyChain()
                // For the first child that says HELLO.
                let parent = try chain.start(environment: FaultySteps.environment(["parent.afterWelcome=truncate"]))
                let held = try TestSocket(echo)
                try held.echo()
                let before = try facts(chain)
                let failures: [(what: String, environment: [String], config: String?, texts: [String])] = [
                    ("bad configuration", [], try s.write("listeners: 3", to: "bad.yaml"), ["error", "bad.yaml:1:"]),
                    ("broken message", [], nil, ["PX-R027", "the listening sockets did not come over"]),
                    ("crash", ["child.opened=kill"], nil, []),
                    (
                        "no memory", ["child.adopting=fail:memfd_create:12"], nil,
                        ["unable to initialize shared memory region", "PX-R020", "cgroup limit"]
                    ),
                    ("version", ["versions=7:9"], nil, ["no common protocol version", "PX-R025", "Upgrade the side"]),
                    ("no listen", ["child.beforeListen=fail:listen:98"], nil, ["cannot open a listener", "PX-R028"]),
                ]
                for failure in failures {
                    let ended = try chain.restartInVain(config: failure.config, environment: FaultySteps.environment(failure.environment))
                    s.check(ended.status != .exited(0), "\(failure.what): \(ended.status)")
                    for text in failure.texts { s.checkContains(ended.log, text, failure.what) }
                    try eventually("the same state as before '\(failure.what)'") { try facts(chain) == before }
                    try held.echo("after \(failure.what)")
                    try TestSocket(echo).echo("a new one after \(failure.what)")
                }
                s.check(parent.isRunning, "the parent runs")
                s.checkContains(parent.log, "remedy=", "what the parent says of a child that died")
                try chain.restart()
                held.close()
                try chain.stop()
            }
        }

        /// What a restart that failed must leave as it was.
        private func facts(_ chain: ProxyChain) throws -> [String] {
            let stats = try chain.admin.stats()
            return [
                "epoch \(chain.admin.servingEpoch().map { "\($0)" } ?? "-")", "\(try chain.admin.listeners())",
                "live \(stats["server.live"] ?? -1)", "generation \(stats["server.hot_restart_generation"] ?? -1)",
                "draining \(stats["server.draining_generations"] ?? -1)", "threads \(threads(of: chain.serving.pid))",
            ]
        }

        private func threads(of pid: Int32) -> Int {
            (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").count) ?? 0
        }

        @Test func threeAChildThatDiesAfterTakingOverIsRolledBackAtOnce() throws {
            try scenario("promise 3", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let parent = try chain.start()
                let child = try chain.restart()
                let dies = monotonicSeconds()
                child.signal(SIGKILL)
                try TestSocket(echo, within: 5).echo("whoever connects now is served")
                try parent.waitForLog("rolled back", within: 5)
                let took = monotonicSeconds() - dies
                print("rolled back and served after \(Int(took * 1000)) ms")
                s.check(took < 2, "rolled back after \(took) s")
                chain.dropNewest()
                try chain.restart()
                // A child that stops on purpose is not rolled back: everything stops.
                chain.serving.signal(SIGTERM)
                s.checkEqual(try chain.serving.waitForExit(), .exited(0), "the child that was told to stop")
                s.checkEqual(try parent.waitForExit(), .exited(0), "the parent of a child that stopped on purpose")
            }
        }

        @Test func fourNothingWaitsForEver() throws {
            try scenario("promise 4", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let parent = try chain.start()
                parent.signal(SIGSTOP)
                let began = monotonicSeconds()
                let (status, log) = try chain.restartInVain(within: 30)
                s.check(monotonicSeconds() - began < 20, "gave up after \(monotonicSeconds() - began) s")
                s.checkEqual(status, .exited(1), "a restart whose parent is stopped")
                s.checkContains(log, "the serving generation does not answer", "the reason")
                s.checkContains(log, "restarter status", "the remedy")
                parent.signal(SIGCONT)
                try TestSocket(echo).echo("the parent goes on")
                try chain.restart()
                try chain.stop()
            }
        }

        @Test func fiveNoRestartCutsAConnectionThatCouldHaveLived() throws {
            try scenario("promise 5", seconds: 90) { s in
                let (chain, echo) = try s.echoChain(["--drain-time-s", "60", "--rollback-window-s", "1"])
                try chain.start()
                var sessions: [LoadClient] = []
                for number in 1...3 {
                    let held = try LoadClient(s, .hold, echo, ["-c", "30", "-i", "50", "--half-close"])
                    try held.waitUntilEstablished()
                    sessions.append(held)
                    // A later restart must not shorten an earlier generation's drain.
                    if number > 1 { pause(1.2) }
                    try chain.restart()
                }
                s.checkEqual(chain.generations.filter(\.isRunning).count, 4, "generations that live")
                for held in sessions {
                    let report = try held.stop()
                    s.checkClean(report, "sessions")
                    s.checkEqual(report.open, 30, "sessions open in the end")
                }
                for old in chain.generations.dropLast() { s.checkEqual(try old.waitForExit(within: 15), .exited(0), "\(old.name)") }
                try chain.stop()
            }
        }

        @Test func sixCountersNeverGoBackAndAddUpExactly() throws {
            try scenario("promise 6", seconds: 90) { s in
                let (chain, echo) = try s.echoChain(["--rollback-window-s", "1"])
                try chain.start()
                guard case .v4(let port) = echo else { return }
                let name = "listener.127.0.0.1_\(port).downstream_cx_total"
                let stream = try LoadClient(s, .connect, echo, ["-r", "500", "--half-close", "--sources", "8"])
                var last = 0
                func look(_ when: String) throws {
                    let now = try eventually(name) { try? chain.admin.stats()[name] }
                    s.check(now >= last, "\(name) went from \(last) to \(now) \(when)")
                    last = max(last, now)
                }
                for _ in 1...3 {
                    let next = try chain.launch(["--restart-epoch"])
                    let epoch = chain.epoch + 1
                    try eventually("epoch \(epoch)", within: 15) {
                        try look("in the restart to \(epoch)")
                        return chain.admin.servingEpoch() == epoch
                    }
                    try chain.adopt(next, epoch: epoch, within: 5)
                    pause(0.5)
                    try look("after the restart")
                }
                let report = try stream.stop()
                s.checkClean(report, "new connections")
                for old in chain.generations.dropLast() { try old.waitForExit(within: 15) }
                try look("at the end")
                s.checkEqual(last, report.tried, "connections counted")
                s.checkEqual(try chain.admin.stats()["server.hot_restart_generation"], 4, "server.hot_restart_generation")
                try chain.stop()
            }
        }

        /// Pairs of programs: what each can do and requires, and whether they restart into each other.
        @Test func sevenTwoVersionsRestartIntoEachOtherOrTheOldOneServesOn() throws {
            let pairs: [(old: [String], new: [String], refusal: String?)] = [
                (["capabilities=0x7"], [], nil), ([], ["capabilities=0x7"], nil), (["versions=1:1"], ["versions=1:4"], nil),
                (["versions=1:3"], ["versions=1:1"], nil), ([], ["capabilities=0xff"], nil),
                ([], ["capabilities=0x3"], "the new generation (0.1.0) lacks rollback"),
                ([], ["required=0x47"], "the serving generation (0.1.0) lacks unknown bits 0x40"),
                (["versions=1:1"], ["versions=2:3"], "the serving generation (0.1.0) speaks 1 to 1, the new one (0.1.0) 2 to 3"),
            ]
            for (old, new, refusal) in pairs {
                try scenario("promise 7: \(old) → \(new)", seconds: 60) { s in
                    let (chain, echo) = try s.faultyChain()
                    let parent = try chain.start(environment: FaultySteps.environment(old))
                    if let refusal {
                        let (status, log) = try chain.restartInVain(environment: FaultySteps.environment(new))
                        s.checkEqual(status, .exited(1), "a restart that cannot be")
                        s.checkContains(log, "hot restart compatibility error", "the reason")
                        s.checkContains(log, refusal, "which side lacks what")
                        s.checkContains(parent.log, refusal, "the parent's log")
                        s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
                        try chain.restart(environment: FaultySteps.environment(old))
                    } else {
                        let held = try TestSocket(echo)
                        try held.echo()
                        try chain.restart(environment: FaultySteps.environment(new))
                        try held.echo("across two versions")
                        held.close()
                    }
                    try TestSocket(echo).echo()
                    try chain.stop()
                }
            }
        }

        @Test(.enabled(if: getuid() == 0, "another user is needed")) func eightOnlyTheSameUserOrRootTakesPart() throws {
            try scenario("promise 8", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let parent = try chain.start()
                let asNobody = Stranger.prefix
                let child = try s.run(
                    Stranger.setpriv, asNobody + [Programs.proxy] + chain.identity + ["-c", chain.configPath, "--restart-epoch"],
                    name: "stranger", within: 30)
                s.check(child.status != .exited(0), "a stranger's generation: \(child.status)")
                s.checkContains(child.log, "is held by pid \(parent.pid) of another user (\(getuid()))", "what the stranger is told")
                let stop = try s.run(
                    Stranger.setpriv, asNobody + [Programs.restarter, "stop"] + chain.identity, name: "stranger-stop", within: 30)
                s.check(stop.status != .exited(0), "a stranger's stop: \(stop.status)")
                s.checkContains(parent.log, "only the same user or root may take part", "the log")
                s.checkContains(parent.log, "peer.uid=\(Stranger.uid)", "the log names the stranger")
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
                try TestSocket(echo).echo()
                try chain.restart()
                try chain.stop()
            }
        }
    }
}

/// Somebody else on this machine.
enum Stranger {
    static let uid = 65534
    static let setpriv = "/usr/bin/setpriv"
    static let prefix = ["--reuid=\(uid)", "--regid=\(uid)", "--clear-groups", "--"]
}
