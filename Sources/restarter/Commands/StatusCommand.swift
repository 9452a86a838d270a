import ArgumentParser
import Glibc
import ProxyCore
import ProxyModel

struct StatusCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show every living generation and the last restart.",
        discussion: "Exits with 0 if a proxy serves, with 69 if none does, with 1 if whoever holds its name cannot be asked.")

    @OptionGroup var instance: InstanceOptions

    func execute() throws -> ExitStatus {
        let session = try Session()
        return try session.run { session in
            Instance.ask(instance.names, loop: session.loop) { session.finish(show($0)) }
        }
    }

    struct Report: Encodable {
        var proxy: ProxyStatus?
        var supervisor: SupervisorStatus?
        var problems: [String]
    }

    private func show(_ found: Instance) -> ExitStatus {
        let console = instance.output.console
        var report = Report(problems: [])
        var speaker: Link.Peer?
        if case .running(let status, let peer) = found.proxy {
            report.proxy = status
            speaker = peer
        }
        if case .running(let status, _) = found.supervisor { report.supervisor = status }
        if case .unusable(let text) = found.proxy { report.problems.append(text) }
        if case .unusable(let text) = found.supervisor { report.problems.append(text) }
        if instance.output.json {
            console.line(JSONLine.text(report))
        } else {
            var view = StatusView(proxy: report.proxy, supervisor: report.supervisor, nowUnixMs: System.unixMs)
            view.tone = console.toned
            view.lines.forEach(console.line)
            if let speaker, speaker.uid != geteuid() { console.line("(told by pid \(speaker.pid), user \(speaker.uid))") }
            report.problems.forEach(console.error)
        }
        if report.proxy != nil { return .done }
        if !report.problems.isEmpty { return .failed }
        if !instance.output.json {
            console.error(report.supervisor == nil ? instance.nobodyRuns.text : "only the supervisor runs: no generation serves")
        }
        return .notRunning
    }
}
