import Foundation
import Harness
import ProxyModel
import Testing

extension EndToEnd {
    /// The restarter with the proxy itself: what a person at the terminal does.
    @Suite struct Restarter {
        /// `start`, five times `restart`, an edit, a bad edit, `status`, `stop`: nobody is refused or cut in between.
        @Test func aDayAtTheTerminalUnderLoad() throws {
            try scenario("restarter under load", seconds: 90) { s in
                let (chain, echo) = try s.echoChain(["--drain-time-s", "30"])
                let supervisor = try supervise(s, chain)
                let held = try LoadClient(s, .hold, echo, ["-c", "20", "-i", "200", "--half-close"])
                try held.waitUntilEstablished()
                let stream = try LoadClient(s, .connect, echo, ["-r", "200", "--sources", "8", "--half-close"])
                for epoch in UInt64(1)...5 {
                    let restart = try run(s, chain, ["restart"])
                    s.checkEqual(restart.status, .exited(0), "restart to \(epoch): \(restart.output)\(restart.log)")
                    s.checkEqual(chain.admin.servingEpoch(), epoch, "the epoch that serves when restart returns")
                }
                let good = try String(contentsOfFile: chain.configPath, encoding: .utf8)
                _ = try s.write(good.replacing("listeners:", with: "listenerz:"), to: "proxy.yaml")
                let bad = try run(s, chain, ["restart"])
                s.checkEqual(bad.status, .exited(1), "restart with a bad file")
                s.checkContains(bad.log, "proxy.yaml:", "the place of the error")
                s.checkContains(bad.log, "did you mean 'listeners'?", "the suggestion")
                s.checkContains(bad.output, "Generation 5, pid", "who serves on")
                let status = try run(s, chain, ["status"])
                s.checkEqual(status.status, .exited(0), "status")
                s.checkContains(status.output, "last restart  5 → 6 failed", "status")
                s.checkClean(try stream.stop(), "new connections")
                let sessions = try held.stop()
                s.checkClean(sessions, "long sessions")
                s.checkEqual(sessions.open, 20, "sessions alive after five restarts")
                s.checkEqual(try run(s, chain, ["stop"]).status, .exited(0), "stop")
                s.checkEqual(try supervisor.waitForExit(), .exited(0), "the supervisor")
                s.checkEqual(try run(s, chain, ["status"]).status, .exited(69), "status of nothing")
            }
        }

        @Test func aProxyStartedByHandIsRestartedDetached() throws {
            try scenario("restart without a supervisor", seconds: 40) { s in
                let (chain, echo) = try s.echoChain()
                try chain.start()
                let stream = try LoadClient(s, .connect, echo, ["-r", "200", "--sources", "8", "--half-close"])
                for epoch in UInt64(1)...3 {
                    let restart = try run(s, chain, ["restart", "--wait"])
                    s.checkEqual(restart.status, .exited(0), "restart: \(restart.output)\(restart.log)")
                    s.checkEqual(chain.admin.servingEpoch(), epoch, "the epoch that serves")
                }
                s.checkClean(try stream.stop(), "new connections")
                s.checkEqual(try chain.serving.waitForExit(within: 15), .exited(0), "epoch 0")
                s.checkEqual(try run(s, chain, ["stop"]).status, .exited(0), "stop")
            }
        }

        @Test func theOnlyGenerationsDeathIsRepaired() throws {
            try scenario("death of the only generation", seconds: 30) { s in
                let (chain, echo) = try s.echoChain()
                let supervisor = try supervise(s, chain)
                let pid = try servingPid(s, chain)
                kill(pid, SIGKILL)
                try eventually("a replacement") { (try? servingPid(s, chain)).map { $0 != pid } ?? false }
                let one = try LoadClient(s, .connect, echo, ["-r", "50", "-n", "20"])
                s.checkClean(try one.report(), "connections to the replacement")
                supervisor.signal(SIGTERM)
                s.checkEqual(try supervisor.waitForExit(), .exited(0), "the supervisor")
            }
        }

        @Test func aStartScriptOfEnvoysRunsAsItIs() throws {
            try scenario("start script", seconds: 40) { s in
                let (chain, echo) = try s.echoChain()
                let words = ([Programs.proxy] + chain.identity + ["-c", chain.configPath]).map { "'\($0)'" }.joined(separator: " ")
                let script = try s.write("#!/bin/sh\nulimit -c 0\nexec \(words) --restart-epoch $RESTART_EPOCH\n", to: "start_envoy.sh")
                chmod(script, 0o755)
                let supervisor = try s.start(Programs.restarter, ["--", script], name: "restarter")
                try eventually("epoch 0") { chain.admin.servingEpoch() == 0 }
                let stream = try LoadClient(s, .connect, echo, ["-r", "200", "--sources", "8", "--half-close"])
                for epoch in UInt64(1)...3 {
                    supervisor.signal(SIGHUP)
                    try eventually("epoch \(epoch)") { chain.admin.servingEpoch() == epoch }
                }
                s.checkClean(try stream.stop(), "new connections")
                supervisor.signal(SIGTERM)
                s.checkEqual(try supervisor.waitForExit(), .exited(0), "the supervisor")
            }
        }

        // MARK: - Helpers

        private func supervise(_ s: Scenario, _ chain: ProxyChain) throws -> ChildProcess {
            let words = ["start", "--proxy", Programs.proxy] + chain.identity + ["-c", chain.configPath] + chain.options
            let supervisor = try s.start(Programs.restarter, words, name: "supervisor")
            try eventually("the first generation to serve") { chain.admin.servingEpoch() == 0 }
            return supervisor
        }

        private func run(_ s: Scenario, _ chain: ProxyChain, _ words: [String]) throws -> (
            status: Harness.ExitStatus, output: String, log: String
        ) {
            try s.run(Programs.restarter, words + chain.identity, name: words[0], within: 30)
        }

        private func servingPid(_ s: Scenario, _ chain: ProxyChain) throws -> Int32 {
            struct Report: Decodable { var proxy: ProxyStatus? }
            let text = try run(s, chain, ["status", "--json"]).output
            guard let proxy = try JSONDecoder().decode(Report.self, from: Data(text.utf8)).proxy else {
                throw HarnessError("nothing serves")
            }
            return proxy.pid
        }
    }
}
