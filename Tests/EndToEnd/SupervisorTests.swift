import Foundation
import Harness
import ProxyModel
import Testing

extension EndToEnd {
    /// `restarter start`, when what it supervises misbehaves.
    @Suite struct Supervision {
        /// The supervisor keeps the listening sockets, so nobody is refused even then.
        @Test func theOnlyGenerationMayBeKilledAgainAndAgain() throws {
            try scenario("repeated SIGKILL under load", seconds: 90) { s in
                let (chain, echo) = try s.echoChain()
                let supervisor = try supervise(s, chain)
                let stream = try LoadClient(s, .connect, echo, ["-r", "500", "--sources", "8", "--half-close"])
                for number in 1...4 {
                    let pid = try serving(s, chain).pid
                    kill(pid, SIGKILL)
                    try eventually("replacement \(number)", within: 20) { (try? serving(s, chain).pid).map { $0 != pid } ?? false }
                    try TestSocket(echo).echo("the replacement serves")
                }
                s.checkContains(supervisor.log, "next start in", "the second replacement did not last a second")
                let report = try stream.stop()
                print("killed 4 times: \(report.tried) tried, \(report.failures)")
                s.checkEqual(report.refused, 0, "refused of \(report.tried)")
                s.checkEqual(report.failed, report.reset + report.eofBeforeReply + report.shortReply, "\(report.failures)")
                s.check(report.ok > report.tried / 4, "\(report.ok) of \(report.tried) served")
                try stop(s, supervisor)
            }
        }

        @Test func aReplacementOfTheServingGenerationDyingIsRolledBackFirst() throws {
            try scenario("rollback under the supervisor", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let supervisor = try supervise(s, chain)
                let held = try TestSocket(echo)
                try held.echo()
                let old = try serving(s, chain).pid
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(0), "restart")
                let stream = try LoadClient(s, .connect, echo, ["-r", "500", "--sources", "8", "--half-close"])
                kill(try serving(s, chain).pid, SIGKILL)
                try eventually("the old generation to serve again") { (try? serving(s, chain).pid) == old }
                try held.echo("its own connection never noticed")
                s.checkEqual(try stream.stop().refused, 0, "refused")
                let status = try run(s, chain, ["status"])
                s.checkContains(status.output, "rolled back", "status")
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(0), "the next restart")
                held.close()
                try stop(s, supervisor)
            }
        }

        @Test func aBadConfigurationIsRefusedAndTheNextRestartSucceeds() throws {
            try scenario("bad configuration under the supervisor", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let supervisor = try supervise(s, chain)
                let stream = try LoadClient(s, .connect, echo, ["-r", "300", "--sources", "8", "--half-close"])
                let good = try String(contentsOfFile: chain.configPath, encoding: .utf8)
                _ = try s.write("static_resources: 7", to: "proxy.yaml")
                let bad = try run(s, chain, ["restart"])
                s.checkEqual(bad.status, .exited(1), "restart with a bad file")
                s.checkContains(bad.log, "proxy.yaml:1:", "the place")
                supervisor.signal(SIGHUP)
                try eventually("the second failure") { supervisor.log.components(separatedBy: "restart failed: check").count == 3 }
                try eventually("the supervisor's rest") { try run(s, chain, ["status", "--json"]).output.contains("\"phase\":\"idle\"") }
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
                _ = try s.write(good, to: "proxy.yaml")
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(0), "restart with the good file")
                s.checkEqual(chain.admin.servingEpoch(), 1, "who serves")
                s.checkClean(try stream.stop(), "new connections")
                try stop(s, supervisor)
            }
        }

        /// A generation that is killed or hangs while it starts: the old one serves, whoever asked is told, the next restart succeeds.
        @Test(arguments: [("child.opened=kill", 1), ("child.welcomed=stop", 1), ("child.accepting=stop", 1)])
        func aGenerationThatFailsToStartIsGivenUp(_ fault: String, _ code: Int32) throws {
            try scenario("failed start under the supervisor: \(fault)", seconds: 60) { s in
                let (chain, echo) = try s.faultyChain()
                // The fault is the configuration's wish, so that only one start has it.
                let switched = "\(s.directory)/fault"
                let words = """
                    #!/bin/sh
                    if [ -e '\(switched)' ]; then PROXY_FAULT="$PROXY_FAULT;$(cat '\(switched)')"; fi
                    exec '\(Programs.proxyWithFaults)' "$@"

                    """
                let program = try s.write(words, to: "proxy.sh")
                chmod(program, 0o755)
                let supervisor = try supervise(
                    s, chain, program: program, extra: ["--init-timeout-s", "8"], environment: FaultySteps.environment())
                let stream = try LoadClient(s, .connect, echo, ["-r", "300", "--sources", "8", "--half-close"])
                _ = try s.write(fault, to: "fault")
                let failed = try run(s, chain, ["restart"])
                s.checkEqual(failed.status, .exited(code), "restart: \(failed.output)\(failed.log)")
                try FileManager.default.removeItem(atPath: switched)
                try eventually("the old generation to serve") { chain.admin.servingEpoch() == 0 }
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(0), "the next restart")
                let report = try stream.stop()
                s.checkEqual(report.refused, 0, "refused")
                s.checkEqual(report.failed, report.reset + report.eofBeforeReply + report.shortReply, "\(report.failures)")
                try stop(s, supervisor)
            }
        }

        @Test func aFirstGenerationThatCannotStartEndsTheSupervisorWithItsReason() throws {
            try scenario("crash at start", seconds: 40) { s in
                let (chain, _) = try s.echoChain()
                _ = try s.write("static_resources: 7", to: "proxy.yaml")
                for words in [["start"], ["start", "--detach"]] {
                    let ended = try s.run(Programs.restarter, words + startWords(chain), name: "start", within: 20)
                    s.checkEqual(ended.status, .exited(1), "\(words)")
                    s.checkContains(ended.log + ended.output, "proxy.yaml:1:", "\(words)")
                }
                s.checkEqual(try run(s, chain, ["status"]).status, .exited(69), "status of nothing")
                s.checkEqual(try run(s, chain, ["stop"]).status, .exited(69), "stop of nothing")
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(69), "restart of nothing")
            }
        }

        @Test func terminatingTheSupervisorStopsEveryGeneration() throws {
            try scenario("SIGTERM of the supervisor", seconds: 40) { s in
                let (chain, echo) = try s.echoChain()
                let supervisor = try supervise(s, chain)
                let held = try TestSocket(echo)
                try held.echo()
                let first = try serving(s, chain).pid
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(0), "restart")
                let second = try serving(s, chain).pid
                s.check(isAlive(first) && isAlive(second) && first != second, "two generations live")
                try stop(s, supervisor)
                s.check(!isAlive(first) && !isAlive(second), "both have ended")
            }
        }

        @Test func aDetachedSupervisorServesAndStops() throws {
            try scenario("start --detach", seconds: 40) { s in
                let (chain, echo) = try s.echoChain()
                let words = ["start", "--detach"] + startWords(chain) + ["--log-path", "\(s.directory)/log"]
                let start = try s.run(Programs.restarter, words, name: "start")
                s.checkEqual(start.status, .exited(0), "start --detach: \(start.log)")
                s.checkContains(start.output, "Supervised by pid", "what it prints")
                try TestSocket(echo).echo()
                let again = try s.run(Programs.restarter, words, name: "start-again")
                s.check(again.status != .exited(0), "a second supervisor: \(again.status)")
                s.checkEqual(try run(s, chain, ["status"]).status, .exited(0), "status")
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(0), "restart")
                s.checkEqual(try run(s, chain, ["stop"]).status, .exited(0), "stop")
                s.checkEqual(try run(s, chain, ["status"]).status, .exited(69), "status after stop")
            }
        }

        @Test func systemdIsToldWhatGoesOn() throws {
            try scenario("sd_notify", seconds: 40) { s in
                let (chain, _) = try s.echoChain()
                let systemd = try NotifySocket(s)
                let supervisor = try supervise(s, chain, environment: ["NOTIFY_SOCKET": systemd.path])
                var at = try systemd.wait(for: ["READY=1", "MAINPID=\(supervisor.pid)", "STATUS="])
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(0), "restart")
                at = try systemd.wait(for: ["RELOADING=1", "MONOTONIC_USEC="], from: at)
                at = try systemd.wait(for: ["READY=1", "MAINPID=\(supervisor.pid)"], from: at)
                let good = try String(contentsOfFile: chain.configPath, encoding: .utf8)
                _ = try s.write("bad: 1", to: "proxy.yaml")
                s.checkEqual(try run(s, chain, ["restart"]).status, .exited(1), "a bad restart")
                at = try systemd.wait(for: ["RELOADING=1"], from: at)
                at = try systemd.wait(for: ["READY=1"], from: at)
                _ = try s.write(good, to: "proxy.yaml")
                try stop(s, supervisor)
                try systemd.wait(for: ["STOPPING=1"], from: at)
                s.check(
                    !systemd.messages.contains { $0.contains("MAINPID=") && !$0.contains("MAINPID=\(supervisor.pid)") },
                    "the main process is the supervisor throughout: \(systemd.messages)")
            }
        }

        /// Without a supervisor each generation tells systemd that it is the main process now.
        @Test func aGenerationWithoutASupervisorTellsSystemdItsPid() throws {
            try scenario("sd_notify of a proxy", seconds: 40) { s in
                let (chain, _) = try s.echoChain()
                let systemd = try NotifySocket(s)
                try chain.start(environment: ["NOTIFY_SOCKET": systemd.path])
                let at = try systemd.wait(for: ["READY=1", "MAINPID=\(chain.serving.pid)"])
                try chain.restart(environment: ["NOTIFY_SOCKET": systemd.path])
                try systemd.wait(for: ["READY=1", "MAINPID=\(chain.serving.pid)"], from: at)
                try chain.stop()
            }
        }

        // MARK: - Helpers

        func startWords(_ chain: ProxyChain) -> [String] {
            ["--proxy", chain.program] + chain.identity + ["-c", chain.configPath] + chain.options
        }

        func supervise(
            _ s: Scenario, _ chain: ProxyChain, program: String? = nil, extra: [String] = [], environment: [String: String] = [:]
        ) throws -> ChildProcess {
            if let program { chain.program = program }
            let supervisor = try s.start(
                Programs.restarter, ["start"] + extra + startWords(chain), name: "supervisor", environment: environment)
            try eventually("the first generation to serve\n\(supervisor.tail())", within: 15) { chain.admin.servingEpoch() == 0 }
            return supervisor
        }

        func stop(_ s: Scenario, _ supervisor: ChildProcess) throws {
            supervisor.signal(SIGTERM)
            s.checkEqual(try supervisor.waitForExit(within: 20), .exited(0), "the supervisor")
        }

        func run(_ s: Scenario, _ chain: ProxyChain, _ words: [String]) throws -> (
            status: Harness.ExitStatus, output: String, log: String
        ) {
            try s.run(Programs.restarter, words + chain.identity, name: words[0], within: 40)
        }

        func serving(_ s: Scenario, _ chain: ProxyChain) throws -> ProxyStatus {
            struct Report: Decodable { var proxy: ProxyStatus? }
            let text = try run(s, chain, ["status", "--json"]).output
            guard let proxy = try JSONDecoder().decode(Report.self, from: Data(text.utf8)).proxy else {
                throw HarnessError("nothing serves")
            }
            return proxy
        }
    }
}
