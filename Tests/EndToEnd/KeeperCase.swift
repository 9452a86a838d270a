import Foundation
import Harness
import Testing

/// One blow while a generation leaves with the supervisor what a replacement needs, under a client that connects every millisecond.
final class KeeperCase {
    /// Why the generation at the step serves.
    enum Role: String, CaseIterable { case restart, replacement }
    enum Blow: String, CaseIterable {
        case killGeneration, killSupervisor, stopSupervisor
        var text: String {
            switch self {
            case .killGeneration: "SIGKILL of the generation"
            case .killSupervisor: "SIGKILL of the restarter"
            case .stopSupervisor: "SIGSTOP of the restarter"
            }
        }
    }

    static let steps = [
        "keeper.beforeWelcome", "keeper.afterWelcome", "keeper.afterControlSocket", "keeper.afterSockets", "keeper.beforeEnd",
        "keeper.afterEnd",
    ]

    let step: String
    let role: Role
    let blow: Blow
    private(set) var outcome = "?"

    init(_ step: String, _ role: Role, _ blow: Blow) {
        self.step = step
        self.role = role
        self.blow = blow
    }

    var name: String { "\(blow.text) at \(step), the generation being a \(role)" }

    private let suite = EndToEnd.Supervision()
    private var s: Scenario!
    private var chain: ProxyChain!
    private var supervisor: ChildProcess!

    func run() throws {
        try scenario(name, seconds: 90) { s in
            self.s = s
            let (chain, echo) = try s.faultyChain(["--concurrency", "1"])
            self.chain = chain
            supervisor = try suite.supervise(s, chain, program: try programWithOneFault(), environment: FaultySteps.environment())
            let stream = try DeathFigures.stream(s, echo)
            let first = try chain.onlyServing("the first generation")
            let deaths = try strike(first)
            let survivor = try settle(first)
            let figures = try DeathFigures(deaths, stream)
            figures.check(s)
            try checkCounted(figures.report, echo)
            try goOn(survivor)
        }
    }

    /// A program that has one fault, once, as soon as its file is there: the start that takes the file away.
    private func programWithOneFault() throws -> String {
        let words = """
            #!/bin/sh
            case " $* " in
            *" --mode"*) ;;
            *) if mv '\(s.directory)/fault' '\(s.directory)/used' 2>/dev/null; then PROXY_FAULT="$PROXY_FAULT;$(cat '\(s.directory)/used')"; fi ;;
            esac
            exec '\(Programs.proxyWithFaults)' "$@"

            """
        let path = try s.write(words, to: "proxy.sh")
        chmod(path, 0o755)
        return path
    }

    // MARK: - The blow

    private func strike(_ first: Int32) throws -> [Death] {
        _ = try s.write("\(step)=\(blow == .killGeneration ? "kill" : "delay:300")", to: "fault")
        let began = monotonicMicroseconds()
        var deaths: [Death] = []
        switch role {
        case .restart: supervisor.signal(SIGHUP)
        case .replacement: deaths.append(try Death.of(first))
        }
        try supervisor.waitForLog("fault point \(step):", within: 30)
        switch blow {
        case .killGeneration:
            // By its own hand, at some time since; reaped when the supervisor says so.
            try eventually("the death at the step", within: 10) { deathsInLog == deaths.count + 1 }
            deaths.append(Death(pid: 0, began: began, ended: monotonicMicroseconds()))
        case .killSupervisor:
            supervisor.signal(SIGKILL)
            s.checkEqual(try supervisor.waitForExit(), .signaled(SIGKILL), "the supervisor")
        case .stopSupervisor: supervisor.signal(SIGSTOP)
        }
        return deaths
    }

    private var deathsInLog: Int { supervisor.log.matches(of: /generation \d+, pid \d+, was killed by signal 9/).count }

    // MARK: - What comes of it

    /// Returns who serves.
    private func settle(_ first: Int32) throws -> Int32 {
        let survivor = try eventually("somebody to serve", within: 30) { () -> Int32? in
            let pids = chain.admin.servingPids().filter(isAlive)
            return pids.count == 1 && chain.admin.isReady() ? pids.first : nil
        }
        switch (blow, role) {
        case (.killGeneration, .restart):
            s.checkEqual(survivor, first, "who serves")
            outcome = "old serves"
        case (.killGeneration, .replacement):
            s.check(survivor != first, "a replacement serves")
            outcome = "another replacement serves"
        case (_, .restart):
            s.check(survivor != first, "the new generation serves")
            outcome = "new serves on"
        case (_, .replacement):
            s.check(survivor != first, "the replacement serves")
            outcome = "replacement serves on"
        }
        return survivor
    }

    /// Whatever a process accepted it has counted, but for the connection that its worker had in hand when it was killed.
    private func checkCounted(_ report: LoadReport, _ echo: Endpoint) throws {
        let name = "listener.\(echo.description.replacing(":", with: "_")).downstream_cx_total"
        let missing = report.tried - (try chain.admin.stats()[name] ?? 0)
        let deaths = (role == .replacement ? 1 : 0) + (blow == .killGeneration ? 1 : 0)
        s.check((0...min(deaths, report.failed)).contains(missing), "of \(report.tried) connections \(missing) were accepted by nobody")
    }

    /// The next restart succeeds, by whatever is left to make it.
    private func goOn(_ survivor: Int32) throws {
        switch blow {
        case .killGeneration:
            s.checkEqual(try suite.run(s, chain, ["restart"]).status, .exited(0), "the next restart")
            try suite.stop(s, supervisor)
        case .killSupervisor:
            let next = try s.start(
                Programs.restarter, ["start"] + suite.startWords(chain), name: "next", environment: FaultySteps.environment())
            try takenOver(from: survivor, next.tail())
            try suite.stop(s, next)
        case .stopSupervisor:
            let refused = try s.run(Programs.restarter, ["start"] + suite.startWords(chain), name: "next", within: 40)
            s.checkEqual(refused.status, .exited(1), "a second supervisor")
            s.checkContains(refused.log, "pid \(supervisor.pid), is stopped by a signal; its generations serve on", "who is in its way")
            let next = try chain.launch(["--restart-epoch"], environment: FaultySteps.environment())
            try takenOver(from: survivor, next.tail())
            next.signal(SIGTERM)
            try next.waitForExit(within: 20)
            supervisor.destroy()
        }
    }

    private func takenOver(from survivor: Int32, _ words: @autoclosure () -> String) throws {
        try eventually("the next generation to serve: \(words())", within: 30) {
            let pids = chain.admin.servingPids().filter(isAlive)
            return pids.count == 1 && pids.first != survivor
        }
    }
}
