import ArgumentParser
import ProxyCore
import ProxyModel

struct DrainCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "End the drain of older generations: their connections are closed at once.")

    @Flag(help: "Needed, because it cuts connections.") var now = false
    @OptionGroup var instance: InstanceOptions

    func validate() throws {
        if !now {
            throw ValidationError("drain cuts the connections of older generations: say --now. `restarter status` shows what is left.")
        }
    }

    func execute() throws -> ExitStatus {
        let session = try Session()
        let console = instance.output.console
        var failure: Failure?
        let status = try session.run { session in
            let packet = Packet(type: MessageType.command, json: ControlCommand(.drainNow))
            ControlRequest.send(packet, to: instance.names.proxy, loop: session.loop) { outcome in
                switch Self.read(outcome, names: instance.names) {
                case .success(let answer):
                    if instance.output.json {
                        console.line(JSONLine.text(answer))
                    } else {
                        console.line(answer.text ?? "draining generations were told to end")
                    }
                    session.finish(answer.ok ? .done : .failed)
                case .failure(let error):
                    failure = error.status == .notRunning ? instance.nobodyRuns : error
                    session.finish(error.status)
                }
            }
        }
        if let failure { throw failure }
        return status
    }

    private static func read(_ outcome: ControlRequest.Outcome, names: ControlNames) -> Result<CommandAnswer, Failure> {
        switch outcome {
        case .answer(let packet, let peer, _):
            if let answer = try? packet.json(CommandAnswer.self) { return .success(answer) }
            return .failure(
                Failure("pid \(peer.pid) gave an answer that makes no sense", remedy: "See which program holds \(names.proxy)."))
        case .nobody: return .failure(Failure("", remedy: "", status: .notRunning))
        case .silent(let pid):
            return .failure(
                Failure(
                    "\(pid.map { "pid \($0)" } ?? "somebody") holds \(names.proxy) and does not answer",
                    remedy: "Try again, or look at that process."))
        case .stranger(let peer):
            return .failure(Failure("\(names.proxy) is held by another user (\(peer.uid))", remedy: "Run this as that user or as root."))
        case .failed(let error): return .failure(Failure("\(error)", remedy: "See that \(names.proxy) can be reached from here."))
        }
    }
}
