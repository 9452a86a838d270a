import Foundation
import Harness
import ProxyCore
import ProxyModel
import Testing

/// The real restarter with a fake proxy that misbehaves on request. One at a time.
@Suite("Restarter with real processes", .serialized)
struct ProcessTests {}

/// One supervised, or not supervised, fake proxy.
final class Rig {
    static let directory = String(Programs.loadClient.dropLast("/load-client".count))
    static let restarter = "\(directory)/restarter"
    static let fake = "\(directory)/FakeProxy"

    let scenario: Scenario
    var identity: [String] { ["--base-id", "\(scenario.baseID)", "--socket-path", scenario.socketPath] }

    init(_ scenario: Scenario) { self.scenario = scenario }

    /// A configuration of the fake.
    func config(_ text: String, _ name: String = "fake.conf") throws -> String { try scenario.write(text + "\n", to: name) }

    func start(_ config: String, _ options: [String] = [], environment: [String: String] = [:]) throws -> ChildProcess {
        try scenario.start(
            Self.restarter, ["start", "--proxy", Self.fake] + identity + ["-c", config] + options, name: "supervisor",
            environment: environment)
    }

    /// A generation nobody supervises.
    func startAlone(_ config: String) throws -> ChildProcess {
        try scenario.start(Self.fake, identity + ["-c", config], name: "fake")
    }

    func run(_ command: String, _ options: [String] = [], within seconds: Double = 20) throws -> (
        status: Harness.ExitStatus, output: String, log: String
    ) {
        try scenario.run(Self.restarter, [command] + identity + options, name: command, within: seconds)
    }

    struct Status: Decodable {
        struct Supervisor: Decodable {
            struct Generation: Decodable { var epoch: UInt64, pid: Int32, state: String }
            var pid: Int32, phase: String, generations: [Generation]
        }
        var proxy: ProxyStatus?
        var supervisor: Supervisor?
    }

    func status() throws -> Status { try JSONDecoder().decode(Status.self, from: Data(try run("status", ["--json"]).output.utf8)) }

    /// The serving generation, once it is `epoch`.
    @discardableResult
    func serving(_ epoch: UInt64) throws -> ProxyStatus {
        try eventually("generation \(epoch) to serve") {
            guard let proxy = try status().proxy, proxy.epoch == epoch else { return nil }
            return proxy
        }
    }
}

func rig(_ name: String, seconds: Double = 40, _ body: (Rig) throws -> Void) throws {
    let scenario = try Scenario(name, seconds: seconds)
    do {
        try body(Rig(scenario))
        scenario.close(keep: false)
    } catch {
        let words = scenario.lastWords()
        scenario.close(keep: true)
        throw HarnessError("\(error)\n\(words)")
    }
}

// MARK: - Supervised

extension ProcessTests {
    @Test func startRestartStatusStop() throws {
        try rig("start, restart, status, stop") { rig in
            let supervisor = try rig.start(try rig.config("drain-ms 300"))
            try rig.serving(0)
            let restart = try rig.run("restart", ["--wait"])
            #expect(restart.status == .exited(0))
            for word in [
                "from generation 0", "check          ok", "hello          ok", "serving        ok", "generation 1", "drained        ok",
            ] {
                #expect(restart.output.contains(word), "\(word) in:\n\(restart.output)")
            }
            let status = try rig.status()
            #expect(status.supervisor?.pid == supervisor.pid)
            #expect(status.proxy?.epoch == 1)
            let stop = try rig.run("stop")
            #expect(stop.status == .exited(0))
            #expect(stop.output.contains("supervisor, pid \(supervisor.pid): ended"))
            #expect(try supervisor.waitForExit() == .exited(0))
            #expect(try rig.run("status").status == .exited(69))
        }
    }

    @Test(
        arguments: [
            ("check invalid", 1, "PX-C012"), ("start fail", 1, "PX-R004"), ("start busy", 75, "code 75"), ("start crash", 1, "signal 9"),
            ("start leave", 1, "before it served"), ("start hang", 1, "did not serve within 1s"),
        ] as [(String, Int32, String)])
    func aRestartThatFailsLeavesTheOldOneServing(_ behaviour: String, _ code: Int32, _ word: String) throws {
        try rig("restart fails: \(behaviour)") { rig in
            _ = try rig.start(try rig.config("drain-ms 50"), ["--init-timeout-s", "1"])
            let pid = try rig.serving(0).pid
            let restart = try rig.run("restart", ["-c", try rig.config(behaviour, "bad.conf")])
            #expect(restart.status == .exited(code))
            #expect((restart.output + restart.log).contains(word), "\(restart.output)\(restart.log)")
            #expect(restart.output.contains("Generation 0, pid \(pid), serves on."))
            let after = try rig.status()
            #expect(after.proxy?.pid == pid)
            #expect(after.supervisor?.generations.map(\.pid) == [pid])
            // The next one has the same number and the old configuration.
            #expect(try rig.run("restart").status == .exited(0))
            try rig.serving(1)
        }
    }

    @Test func signalsRestartReopenAndStop() throws {
        try rig("signals") { rig in
            let supervisor = try rig.start(try rig.config("drain-ms 5000"))
            let first = try rig.serving(0).pid
            supervisor.signal(SIGHUP)
            let second = try rig.serving(1).pid
            supervisor.signal(SIGUSR1)
            try eventually("both generations to reopen") { supervisor.log.components(separatedBy: "reopened").count == 3 }
            supervisor.signal(SIGTERM)
            #expect(try supervisor.waitForExit() == .exited(0))
            #expect(!isAlive(first) && !isAlive(second))
        }
    }

    @Test func aSecondTermKills() throws {
        try rig("a second TERM") { rig in
            let supervisor = try rig.start(try rig.config("term ignore"))
            let pid = try rig.serving(0).pid
            supervisor.signal(SIGTERM)
            try supervisor.waitForLog("stopping: SIGTERM")
            #expect(isAlive(pid))
            supervisor.signal(SIGTERM)
            #expect(try supervisor.waitForExit() == .exited(0))
            #expect(!isAlive(pid))
        }
    }

    @Test func anInvalidFileOnHangUpIsLoggedAndTouchesNothing() throws {
        try rig("HUP with a bad file") { rig in
            let path = try rig.config("drain-ms 50")
            let supervisor = try rig.start(path)
            let pid = try rig.serving(0).pid
            _ = try rig.config("check invalid")
            supervisor.signal(SIGHUP)
            try supervisor.waitForLog("\(path):1:1: error: unknown field")
            #expect(try rig.status().proxy?.pid == pid)
        }
    }

    @Test func theOnlyGenerationsDeathIsRepaired() throws {
        try rig("death of the only generation") { rig in
            let supervisor = try rig.start(try rig.config("drain-ms 50"))
            let pid = try rig.serving(0).pid
            kill(pid, SIGKILL)
            try eventually("a replacement") { try rig.status().proxy.map { $0.pid != pid } ?? false }
            #expect(supervisor.isRunning)
            try supervisor.waitForLog("starting a replacement")
        }
    }

    @Test func withOnlyTheSupervisorStatusSaysSo() throws {
        try rig("only a supervisor") { rig in
            _ = try rig.start(try rig.config("drain-ms 50"))
            let pid = try rig.serving(0).pid
            _ = try rig.config("start fail")
            kill(pid, SIGKILL)
            let status = try eventually("status to find only the supervisor") {
                let status = try rig.run("status")
                return status.status == .exited(69) && status.log.contains("only the supervisor runs") ? status : nil
            }
            #expect(status.output.contains("backing off") || status.output.contains("starting"))
        }
    }

    @Test func aDeathAfterTheTakeOverIsRolledBack() throws {
        try rig("roll-back") { rig in
            let supervisor = try rig.start(try rig.config("drain-ms 10000"))
            let first = try rig.serving(0).pid
            let restart = try rig.run("restart", ["--wait", "-c", try rig.config("crash-after-ms 100", "crash.conf")])
            #expect(restart.status == .exited(1))
            #expect(restart.output.contains("rolled back"))
            #expect(try rig.serving(0).pid == first)
            try supervisor.waitForLog("rolled back: generation 0")
            #expect(!supervisor.log.contains("starting a replacement"))
        }
    }

    @Test func theSecondSupervisorNamesTheFirst() throws {
        try rig("two supervisors") { rig in
            let path = try rig.config("drain-ms 50")
            let first = try rig.start(path)
            try rig.serving(0)
            let second = try rig.start(path)
            #expect(try second.waitForExit() == .exited(1))
            #expect(second.log.contains("a supervisor, pid \(first.pid), already runs"))
            #expect(first.isRunning)
        }
    }

    @Test func whatAKilledSupervisorLeavesIsTakenOver() throws {
        try rig("a killed supervisor") { rig in
            let path = try rig.config("drain-ms 50")
            let supervisor = try rig.start(path)
            let pid = try rig.serving(0).pid
            supervisor.destroy()
            #expect(isAlive(pid))
            let next = try rig.start(path)
            #expect(try rig.serving(1).pid != pid)
            #expect(try rig.status().supervisor?.pid == next.pid)
            try eventually("the old generation to end") { !isAlive(pid) }
        }
    }

    @Test func aGenerationStartedByHandDoesNotEndTheSupervisor() throws {
        try rig("a generation by hand") { rig in
            let path = try rig.config("drain-ms 50")
            let supervisor = try rig.start(path)
            try rig.serving(0)
            let byHand = try rig.scenario.start(Rig.fake, rig.identity + ["-c", path, "--restart-epoch=1"], name: "by-hand")
            try supervisor.waitForLog("generation 1, pid \(byHand.pid), which was not started here, serves")
            #expect(try rig.run("restart").status == .exited(0))
            #expect(try byHand.waitForExit() == .exited(0))
            #expect(try rig.serving(2).supervised)
            #expect(try rig.run("stop").status == .exited(0))
            #expect(try supervisor.waitForExit() == .exited(0))
        }
    }

    @Test func theWholeCommandLineReachesEveryGeneration() throws {
        try rig("options pass through") { rig in
            let supervisor = try rig.start(
                try rig.config("drain-ms 50"), ["--concurrency=3", "--use-dynamic-base-id", "--log-format", "%v", "--", "--detach"])
            try supervisor.waitForLog("epoch=0 pid=")
            let line = supervisor.log.split(separator: "\n").first { $0.contains("arguments=") } ?? ""
            for word in [#""--concurrency=3""#, #""--log-format", "%v""#, #""--detach""#, #""--restart-epoch=0""#] {
                #expect(line.contains(word), "\(word) in \(line)")
            }
            #expect(!line.contains("dynamic"))
        }
    }

    @Test func nonsenseAndSilenceOnTheControlSocketHarmNobody() throws {
        try rig("nonsense") { rig in
            let supervisor = try rig.start(try rig.config("drain-ms 50"))
            try rig.serving(0)
            let name = ControlNames(socketPath: rig.scenario.socketPath, baseID: rig.scenario.baseID).supervisor
            let open = { try FileManager.default.contentsOfDirectory(atPath: "/proc/\(supervisor.pid)/fd").count }
            let before = try open()
            var links: [Link] = []
            for number in 0..<150 {
                let link = try eventually("room in the backlog") { try? Link.connect(name) }
                let nonsense = [UInt8](repeating: UInt8(number), count: number)
                if number % 3 == 1 { _ = nonsense.withUnsafeBytes { write(link.fd, $0.baseAddress, $0.count) } }
                if number % 3 == 2 { try link.send(Packet(type: MessageType.command, json: ["command": "dance"])) }
                links.append(link)
            }
            #expect(try rig.run("restart").status == .exited(0))
            links = []
            try eventually("the supervisor's descriptors to be closed") { try open() <= before + 2 }
            #expect(supervisor.isRunning)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "dropping privileges needs root"))
    func aStrangerIsNotHeard() throws {
        try rig("a stranger") { rig in
            let supervisor = try rig.start(try rig.config("drain-ms 50"))
            let pid = try rig.serving(0).pid
            let program = rig.scenario.directory + "/restarter"
            try FileManager.default.copyItem(atPath: Rig.restarter, toPath: program)
            let asked = try rig.scenario.run(
                "/usr/bin/setpriv", ["--reuid=65534", "--clear-groups", program, "restart"] + rig.identity, name: "stranger")
            #expect(asked.status == .exited(1))
            try supervisor.waitForLog("of user 65534")
            #expect(try rig.status().proxy?.pid == pid)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "dropping privileges needs root"))
    func rootSeesAndStopsWhatAnotherUserRunsButDoesNotRunIt() throws {
        try rig("another user's proxy") { rig in
            let directory = rig.scenario.directory
            for program in ["restarter", "FakeProxy"] {
                try FileManager.default.copyItem(atPath: "\(Rig.directory)/\(program)", toPath: "\(directory)/\(program)")
            }
            let path = try rig.config("drain-ms 50")
            chmod(path, 0o644)
            let asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups"]
            let alone = try rig.scenario.start(
                "/usr/bin/setpriv", asNobody + ["\(directory)/FakeProxy"] + rig.identity + ["-c", path], name: "nobody")
            try rig.serving(0)
            let restart = try rig.run("restart")
            #expect(restart.status == .exited(1))
            #expect(restart.log.contains("runs as user 65534"))
            #expect(try rig.run("stop").status == .exited(0))
            #expect(try alone.waitForExit() == .exited(0))
            let supervisor = try rig.scenario.start(
                "/usr/bin/setpriv",
                asNobody + ["\(directory)/restarter", "start", "--proxy", "\(directory)/FakeProxy"] + rig.identity + ["-c", path],
                name: "nobody")
            try rig.serving(0)
            #expect(try rig.run("restart").status == .exited(0))
            try rig.serving(1)
            #expect(try rig.run("stop").status == .exited(0))
            #expect(try supervisor.waitForExit() == .exited(0))
        }
    }
}

// MARK: - Detached and alone

extension ProcessTests {
    @Test func detachReturnsOnceItServesAndHoldsNoPipe() throws {
        try rig("detach") { rig in
            let log = rig.scenario.directory + "/proxy.log"
            let command =
                (["'\(Rig.restarter)'", "start", "--detach", "--proxy", "'\(Rig.fake)'"] + rig.identity + [
                    "-c", try rig.config("drain-ms 50"), "--log-path", log,
                ])
                .joined(separator: " ")
            // cat ends only when nobody holds the pipe any more.
            let start = try rig.scenario.run("/bin/sh", ["-c", "{ \(command); echo code $?; } 2>&1 | cat"], name: "detach")
            #expect(start.output.contains("serving        ok"))
            #expect(start.output.contains("code 0"))
            let supervisor = try #require(try rig.status().supervisor)
            #expect(start.output.contains("Supervised by pid \(supervisor.pid)."))
            #expect(getsid(supervisor.pid) == supervisor.pid)
            let logged = try String(contentsOfFile: log, encoding: .utf8)
            #expect(logged.contains("fake epoch=0 serves"))
            #expect(try rig.run("stop").status == .exited(0))
            #expect(!isAlive(supervisor.pid))
        }
    }

    @Test(arguments: [("check invalid", "PX-C012"), ("start fail", "cannot bind 127.0.0.1:1"), ("start crash", "signal 9")])
    func detachTellsWhyItDoesNotServe(_ behaviour: String, _ word: String) throws {
        try rig("detach fails: \(behaviour)") { rig in
            let start = try rig.start(try rig.config(behaviour), ["--detach"])
            #expect(try start.waitForExit() == .exited(1))
            #expect((start.output + start.log).contains(word))
            #expect(try rig.run("status").status == .exited(69))
        }
    }

    @Test func withoutASupervisorTheNextGenerationIsDetached() throws {
        try rig("no supervisor") { rig in
            let first = try rig.startAlone(try rig.config("drain-ms 300"))
            try rig.serving(0)
            let restart = try rig.run("restart", ["--wait"])
            #expect(restart.status == .exited(0))
            #expect(restart.output.contains("drained        ok"))
            let second = try rig.serving(1).pid
            #expect(getsid(second) == second)
            #expect(try first.waitForExit() == .exited(0))
            // Its log goes on where the first one's was.
            try first.waitForLog("fake epoch=1 serves")
            let stop = try rig.run("stop")
            #expect(stop.status == .exited(0))
            #expect(stop.output.contains("generation 1, pid \(second): ended"))
        }
    }

    @Test(
        arguments: [
            ("check invalid", 1, "PX-C012"), ("start fail", 1, "PX-R004"), ("start busy", 75, "code 75"),
            ("start hang", 1, "did not serve within 1s"),
        ] as [(String, Int32, String)])
    func aFailureWithoutASupervisorLeavesTheOldOneServing(_ behaviour: String, _ code: Int32, _ word: String) throws {
        try rig("no supervisor, restart fails: \(behaviour)") { rig in
            _ = try rig.startAlone(try rig.config("drain-ms 50"))
            let pid = try rig.serving(0).pid
            let restart = try rig.run("restart", ["--init-timeout-s", "1", "-c", try rig.config(behaviour, "bad.conf")])
            #expect(restart.status == .exited(code))
            #expect((restart.output + restart.log).contains(word), "\(restart.output)\(restart.log)")
            #expect(try rig.serving(0).pid == pid)
        }
    }

    @Test func interruptedBeforeItServesTheAttemptEnds() throws {
        try rig("interrupted") { rig in
            _ = try rig.startAlone(try rig.config("drain-ms 50"))
            let pid = try rig.serving(0).pid
            let restart = try rig.scenario.start(
                Rig.restarter, ["restart"] + rig.identity + ["-c", try rig.config("start hang", "hang.conf")], name: "restart")
            try eventually("the attempt to begin") { restart.output.contains("hello") }
            restart.signal(SIGINT)
            #expect(try restart.waitForExit() == .exited(1))
            #expect(try rig.serving(0).pid == pid)
        }
    }

    @Test func aSilentHolderOfTheNameIsNamed() throws {
        try rig("a stopped holder") { rig in
            let first = try rig.startAlone(try rig.config("drain-ms 50"))
            try rig.serving(0)
            first.signal(SIGSTOP)
            let status = try rig.run("status")
            #expect(status.status == .exited(1))
            #expect(status.log.contains("pid \(first.pid) holds"))
            #expect(try rig.run("restart").status == .exited(1))
        }
    }
}

// MARK: - systemd, process 1, scripts

extension ProcessTests {
    @Test func systemdHearsOfEveryPhase() throws {
        try rig("systemd") { rig in
            let socket = try NotifySocket()
            let supervisor = try rig.start(try rig.config("drain-ms 100"), environment: ["NOTIFY_SOCKET": socket.path])
            let ready = try #require(socket.receive())
            #expect(ready.hasPrefix("READY=1\nMAINPID=\(supervisor.pid)\nSTATUS=generation 0 serves"))
            supervisor.signal(SIGHUP)
            let reloading = try #require(socket.receive())
            #expect(reloading.hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
            let again = try #require(socket.receive())
            #expect(again.hasPrefix("READY=1\nMAINPID=\(supervisor.pid)\nSTATUS=generation 1 serves"))
            var status = try #require(socket.receive())
            #expect(status.contains("generation 0 drains: 2 connections left"))
            while status.contains("drains") { status = try #require(socket.receive()) }
            #expect(status.hasPrefix("STATUS=generation 1 serves"))
            supervisor.signal(SIGTERM)
            let stopping = try #require(socket.receive())
            #expect(stopping.hasPrefix("STOPPING=1"))
            #expect(try supervisor.waitForExit() == .exited(0))
            #expect(!supervisor.log.contains("notify-socket=yes"))
        }
    }

    @Test func aFailedReloadIsReadyAgain() throws {
        try rig("systemd, failed reload") { rig in
            let socket = try NotifySocket()
            let supervisor = try rig.start(try rig.config("drain-ms 100"), environment: ["NOTIFY_SOCKET": socket.path])
            _ = socket.receive()
            _ = try rig.config("check invalid")
            supervisor.signal(SIGHUP)
            let reloading = try #require(socket.receive())
            #expect(reloading.hasPrefix("RELOADING=1"))
            let ready = try #require(socket.receive())
            #expect(ready.hasPrefix("READY=1") && ready.contains("the last restart failed: check"))
        }
    }

    @Test(.enabled(if: geteuid() == 0, "a process namespace needs root"))
    func asProcessOneItReapsOrphansAndStops() throws {
        try rig("process 1") { rig in
            let start = ["'\(Rig.restarter)'", "start", "--proxy", "'\(Rig.fake)'"] + rig.identity + ["-c", try rig.config("drain-ms 50")]
            let outer = try rig.scenario.start(
                "/usr/bin/unshare",
                ["--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", "exec " + start.joined(separator: " ")],
                name: "unshare")
            try outer.waitForLog("fake epoch=0 serves")
            let one = try eventually("process 1") { Self.children(of: outer.pid).first }
            // A grandchild whose parent ends is given to process 1 of its namespace.
            let orphan = try rig.scenario.run(
                "/usr/bin/nsenter",
                ["--target", "\(one)", "--pid", "--mount", "/bin/sh", "-c", "(exec sh -c ':') & (exec sh -c 'exit 3') & exit 0"],
                name: "orphans")
            #expect(orphan.status == .exited(0))
            try eventually("no zombie below process 1") { Self.children(of: one).allSatisfy(isAlive) }
            kill(one, SIGTERM)
            #expect(try outer.waitForExit() == .exited(0))
        }
    }

    private static func children(of pid: Int32) -> [Int32] {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/task/\(pid)/children", encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { Int32($0) }
    }

    @Test func aStartScriptRunsAsUnderHotRestarter() throws {
        try rig("start script") { rig in
            let mark = rig.scenario.directory + "/failed-once"
            let script = try rig.scenario.write(
                """
                #!/bin/sh
                echo "epoch $RESTART_EPOCH of $*"
                if [ "$RESTART_EPOCH" = 1 ] && [ ! -e '\(mark)' ]; then touch '\(mark)'; exit 3; fi
                trap 'exit 0' TERM
                trap 'echo reopen in $RESTART_EPOCH' USR1
                while :; do sleep 0.02; done

                """, to: "start.sh")
            chmod(script, 0o755)
            let supervisor = try rig.scenario.start(Rig.restarter, ["--", script, "a", "b"], name: "scripts")
            try eventually("epoch 0") { supervisor.output.contains("epoch 0 of a b") }
            supervisor.signal(SIGHUP)
            try supervisor.waitForLog("exited with code 3")
            #expect(supervisor.isRunning)
            supervisor.signal(SIGHUP)
            try eventually("epoch 1 twice") { supervisor.output.components(separatedBy: "epoch 1 of").count == 3 }
            // Each shell sets its trap after it has printed; a signal before that would end it, so ask until both answer.
            try eventually("both to reopen") {
                pause(0.1)
                supervisor.signal(SIGUSR1)
                return supervisor.output.contains("reopen in 0") && supervisor.output.contains("reopen in 1")
            }
            supervisor.signal(SIGTERM)
            #expect(try supervisor.waitForExit() == .exited(0))
        }
    }

    @Test(
        arguments: [
            (["restrat"], 64), (["drain"], 64), (["--", "/nowhere"], 1), (["--"], 64), (["restart", "--bogus"], 64), (["check"], 64),
        ] as [([String], Int32)])
    func exitCodesOfBadCommandLines(_ words: [String], _ code: Int32) throws {
        try rig("exit codes") { rig in
            let run = try rig.scenario.run(Rig.restarter, words, name: "bad")
            #expect(run.status == .exited(code))
        }
    }

    @Test func checkExitsAsTheProxyDoes() throws {
        try rig("check") { rig in
            let good = try rig.scenario.run(Rig.restarter, ["check", try rig.config("drain-ms 1"), "--proxy", Rig.fake], name: "check")
            #expect(good.status == .exited(0) && good.output.contains("OK"))
            let bad = try rig.scenario.run(Rig.restarter, ["check", try rig.config("check invalid"), "--proxy", Rig.fake], name: "check")
            #expect(bad.status == .exited(1) && bad.log.contains("PX-C012"))
        }
    }
}
