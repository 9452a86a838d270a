import ArgumentParser
import Glibc
import ProxyCore
import ProxyModel

struct StopCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Stop every generation, and the supervisor if there is one.",
        discussion: "Waits for their end; whatever has not ended after the time-out is killed, and named.")

    @Option(
        name: .customLong("timeout-s"),
        help: ArgumentHelp("How long they may take. (a supervisor gives them 30 s of its own)", valueName: "s"))
    var timeoutS: UInt32 = 35
    @OptionGroup var instance: InstanceOptions

    func execute() throws -> ExitStatus {
        let session = try Session()
        let stopping = Stopping(
            session: session, console: instance.output.console, json: instance.output.json, timeoutMs: UInt64(timeoutS) * 1000)
        var failure: Failure?
        let status = try session.run { session in
            Instance.ask(instance.names, loop: session.loop) { found in
                do throws(Failure) {
                    try stopping.begin(found, instance)
                } catch {
                    failure = error
                    session.finish(error.status)
                }
            }
        }
        if let failure { throw failure }
        return status
    }
}

/// Ends processes by SIGTERM, waits for them by pidfd, kills what is left at the deadline, and says what became of each.
final class Stopping {
    private struct Target {
        var name: String
        var process: ProcessHandle
        var isSupervisor = false
        var fate: String?
    }

    private let session: Session
    private let console: Console
    private let json: Bool
    private let timeoutMs: UInt64
    private let started = System.monotonicNs
    private var targets: [Target] = []
    private var supervisorLink: Link?
    private var isFinished = false

    init(session: Session, console: Console, json: Bool, timeoutMs: UInt64) {
        self.session = session
        self.console = console
        self.json = json
        self.timeoutMs = timeoutMs
    }

    func begin(_ found: Instance, _ instance: InstanceOptions) throws(Failure) {
        if case .unusable(let text) = found.supervisor { throw Failure(text, remedy: "End that process by hand (kill), then try again.") }
        if case .running(let status, let peer) = found.proxy {
            for generation in status.generations { add("generation \(generation.epoch), pid \(generation.pid)", generation.pid, peer) }
            if !status.generations.contains(where: { $0.pid == peer.pid }) {
                add("generation \(status.epoch), pid \(peer.pid)", peer.pid, peer)
            }
        }
        if case .running(let status, let peer) = found.supervisor {
            for generation in status.generations { add("generation \(generation.epoch), pid \(generation.pid)", generation.pid, peer) }
            add("supervisor, pid \(peer.pid)", peer.pid, peer, isSupervisor: true)
            askSupervisor(instance.names)
        } else {
            if case .unusable(let text) = found.proxy { throw Failure(text, remedy: "End that process by hand (kill), then try again.") }
            guard !targets.isEmpty else { throw instance.nobodyRuns }
            for target in targets { target.process.signal(SIGTERM) }
        }
        watch()
    }

    /// Only processes of the user who named them: root must not be led to signal somebody else's.
    private func add(_ name: String, _ pid: Int32, _ speaker: Link.Peer, isSupervisor: Bool = false) {
        guard !targets.contains(where: { $0.name == name }), let process = ProcessHandle(pid: pid) else { return }
        var facts = stat()
        guard stat("/proc/\(pid)", &facts) == 0, facts.st_uid == speaker.uid else { return }
        targets.append(Target(name: name, process: process, isSupervisor: isSupervisor))
    }

    /// Its own stop is the gentler one: it tells systemd and does not take the end of its generations for a crash.
    private func askSupervisor(_ names: ControlNames) {
        do {
            let link = try Link.connect(names.supervisor)
            try link.send(Packet(type: MessageType.command, json: ControlCommand(.stop)))
            supervisorLink = link
        } catch {
            targets.last?.process.signal(SIGTERM)
        }
    }

    private func watch() {
        for index in targets.indices {
            do {
                try session.loop.watch(targets[index].process.descriptor.fd) { [unowned self] in ended(index, "ended") }
            } catch {
                ended(index, "cannot be watched: \(error)")
            }
        }
        session.after(ms: timeoutMs) { [unowned self] in killRest() }
    }

    private func ended(_ index: Int, _ fate: String) {
        session.loop.unwatch(targets[index].process.descriptor.fd)
        if targets[index].fate == nil {
            targets[index].fate = "\(fate) after \(Durations.precise(Double(System.monotonicNs - started) / 1e6))"
        }
        if targets.allSatisfy({ $0.fate != nil && $0.process.hasEnded }) { finish() }
    }

    private func killRest() {
        for index in targets.indices where !targets[index].isSupervisor { kill(index) }
        // A supervisor ends by itself with its last generation, and takes its name along.
        session.after(ms: 1_000) { [unowned self] in targets.indices.forEach(kill) }
        // The kernel needs a moment; who is in an uninterruptible wait may stay.
        session.after(ms: 2_000) { [unowned self] in finish() }
    }

    private func kill(_ index: Int) {
        guard targets[index].fate == nil else { return }
        targets[index].fate = "killed: not ended within \(Durations.rough(timeoutMs))"
        targets[index].process.signal(SIGKILL)
    }

    private struct Line: Encodable { var name: String, fate: String }

    private func finish() {
        guard !isFinished else { return }
        isFinished = true
        for target in targets {
            let fate = target.process.hasEnded ? target.fate ?? "ended" : "still there, though it was killed"
            console.line(json ? JSONLine.text(Line(name: target.name, fate: fate)) : "\(target.name): \(fate)")
        }
        session.finish(targets.allSatisfy { $0.process.hasEnded } ? .done : .failed)
    }
}
