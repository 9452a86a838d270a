import Foundation
import Harness
import ProxyCore
import Testing

extension EndToEnd {
    /// What a person reads when a start or a restart cannot be: the cause, what to do, and the exit code.
    @Suite struct ErrorTexts {
        @Test func capabilitiesThatDoNotMatchAreNamed() throws {
            try scenario("mismatched capability flags", seconds: 40) { s in
                let (chain, _) = try s.faultyChain()
                try chain.start()
                let (status, log) = try chain.restartInVain(environment: ["PROXY_FAULT": "capabilities=0x2"])
                s.checkEqual(status, .exited(1), "the child")
                let text = "hot restart compatibility error: mismatched capability flags: the new generation (0.1.0) lacks "
                s.checkContains(log, text + "listening-sockets, rollback", "which flags, and of whom")
                s.checkContains(log, "PX-R025", "the id")
                s.checkContains(log, "Upgrade the side that lacks it", "the remedy")
                s.checkContains(log, "stop it and start again", "the other remedy")
                try chain.stop()
            }
        }

        @Test func sharedMemoryThatCannotBeHadIsNamedWithTheLimit() throws {
            try scenario("shared memory", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let limited = ["--fsize=16384", "--", Programs.proxy] + chain.identity + ["-c", chain.configPath]
                let cold = try s.run("/usr/bin/prlimit", limited, name: "cold")
                try chain.start()
                let child = try s.run("/usr/bin/prlimit", limited + ["--restart-epoch"], name: "child")
                for (what, ended) in [("cold start", cold), ("child", child)] {
                    s.checkEqual(ended.status, .exited(1), what)
                    for text in ["unable to initialize shared memory region", "RLIMIT_FSIZE", "16384", "PX-R020", "ulimit -v, -f and -n"] {
                        s.checkContains(ended.log, text, what)
                    }
                }
                try TestSocket(echo).echo("the parent serves on")
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
                try chain.restart()
                try chain.stop()
            }
        }

        @Test(arguments: [("memfd_create", 24), ("ftruncate", 12), ("mmap", 12)])
        func everyCallThatMakesSharedMemoryMayFail(_ call: String, _ error: Int) throws {
            try scenario("\(call) fails with \(error)", seconds: 40) { s in
                let (chain, echo) = try s.faultyChain()
                let cold = try chain.launch(environment: ["PROXY_FAULT": "child.opening=fail:\(call):\(error)"])
                if call != "mmap" {
                    s.checkEqual(try cold.waitForExit(), .exited(1), "a cold start")
                    s.checkContains(cold.log, "unable to initialize shared memory region: \(call)", "a cold start")
                } else {
                    cold.signal(SIGTERM)
                    try cold.waitForExit()
                }
                try chain.start()
                let child = try chain.restartInVain(environment: ["PROXY_FAULT": "child.adopting=fail:\(call):\(error)"])
                s.checkEqual(child.status, .exited(1), "a child")
                s.checkContains(child.log, "unable to initialize shared memory region: \(call)", "a child")
                try TestSocket(echo).echo("the parent serves on")
                try chain.restart()
                try chain.stop()
            }
        }

        @Test func aDirectoryThatIsNotThereIsNamed() throws {
            try scenario("no such directory", seconds: 30) { s in
                s.socketPath = "\(s.directory)/nowhere/control"
                let (chain, _) = try s.echoChain()
                let start = try chain.launch()
                s.checkEqual(try start.waitForExit(), .exited(1), "the start")
                let text = "unable to open socket for hot restart: \(s.controlName): "
                for text in [text, "ENOENT", "PX-R021", "directory of --socket-path exists and is writable", "--disable-hot-restart"] {
                    s.checkContains(start.log, text, "what it says")
                }
            }
        }

        @Test func aNameThatSomebodyHoldsIsNamed() throws {
            try scenario("name held by somebody", seconds: 60) { s in
                let (chain, _) = try s.echoChain()
                let squatter = try ControlSocket.bind(s.controlName, mode: 0o600)
                let bound = try chain.launch()
                s.checkEqual(try bound.waitForExit(within: 30), .exited(1), "a name that is bound and not listened on")
                s.checkContains(bound.log, "unable to open socket for hot restart: \(s.controlName)", "a bound name")
                s.checkContains(bound.log, "--base-id or --socket-path of its own", "the remedy")
                // Now it is listened on, and nobody answers.
                try squatter.listen()
                let silent = try chain.launch(["--restart-epoch"])
                s.checkEqual(try silent.waitForExit(within: 30), .exited(1), "a name whose holder is silent")
                s.checkContains(silent.log, "no answer from pid \(getpid())", "who holds it")
            }
        }

        @Test func socketsThatCannotBeHadAreNamedWithTheLimit() throws {
            try scenario("no descriptors", seconds: 60) { s in
                let (chain, _) = try s.faultyChain()
                let start = try chain.launch(environment: ["PROXY_FAULT": "child.looking=fail:socket:24"])
                s.checkEqual(try start.waitForExit(), .exited(1), "the start")
                for text in ["unable to open socket for hot restart", "EMFILE", "descriptor limit", "ulimit -n leaves room"] {
                    s.checkContains(start.log, text, "what it says")
                }
            }
        }

        /// With any limit on descriptors a start either serves or says why it does not; it never hangs and never crashes.
        @Test func everyDescriptorLimitGivesAnAnswer() throws {
            try scenario("descriptor limits", seconds: 120) { s in
                let (chain, _) = try s.echoChain()
                var served = 0
                var refused = 0
                for limit in 4...40 where served < 2 {
                    let words =
                        ["--nofile=\(limit)", "--", Programs.proxy] + chain.identity + ["-c", chain.configPath, "--concurrency", "1"]
                    let start = try s.start("/usr/bin/prlimit", words, name: "limit-\(limit)")
                    let ended = try eventually("an answer with \(limit) descriptors", within: 15) { () -> Bool? in
                        if start.exitStatus() != nil { return true }
                        return start.log.contains("serving") ? false : nil
                    }
                    if ended {
                        refused += 1
                        s.checkEqual(start.exitStatus(), .exited(1), "limit \(limit): \(start.tail(3))")
                        s.checkContains(start.log, "PX-", "limit \(limit)")
                    } else {
                        served += 1
                        start.signal(SIGTERM)
                        s.checkEqual(try start.waitForExit(), .exited(0), "limit \(limit)")
                    }
                }
                s.check(refused > 0 && served > 0, "\(refused) limits refused, \(served) served")
            }
        }

        private static let shipped = [Programs.proxy, "\(Programs.root)/proxy"].first {
            !$0.contains("/debug/") && FileManager.default.isExecutableFile(atPath: $0)
        }

        /// The words a test of faults uses are not in what people run.
        @Test(.enabled(if: shipped != nil, "only the optimised program is shipped")) func whatIsShippedHasNoFaultPoints() throws {
            let program = try #require(Self.shipped)
            let released = try #require(FileManager.default.contents(atPath: program), "no \(program)")
            let faulty = try #require(FileManager.default.contents(atPath: Programs.proxyWithFaults), "no \(Programs.proxyWithFaults)")
            for word in FaultySteps.all + ["PROXY_FAULT", "fault point "] {
                #expect(faulty.range(of: Data(word.utf8)) != nil, "\(word) is in \(Programs.proxyWithFaults)")
                #expect(released.range(of: Data(word.utf8)) == nil, "\(word) is in \(program)")
            }
        }
    }
}
