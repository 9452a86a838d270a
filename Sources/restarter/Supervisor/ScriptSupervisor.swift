import Glibc
import ProxyCore

/// Runs a `ScriptState`. One thread.
final class ScriptSupervisor {
    static let epochVariable = "RESTART_EPOCH"

    private let script: String
    private let arguments: [String]
    private let environment: Environment
    private let loop: MainLoop
    private let children = Children()
    private let log = SupervisorLog()
    private var state = ScriptState()
    private var processes: [Int32: SpawnedProcess] = [:]
    private var exitCode: Int32?

    init(_ words: [String], environment: Environment) throws(CoreError) {
        // Not searched in PATH, as hot-restarter.py does not.
        script = words[0].contains("/") ? words[0] : "./\(words[0])"
        arguments = Array(words.dropFirst())
        self.environment = environment
        loop = try MainLoop()
    }

    func run() throws(CoreError) -> Int32 {
        try loop.watchSignals([SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1])
        loop.handler = { [unowned self] in receive($0) }
        feed(.start)
        while exitCode == nil { try loop.turn(timeoutMs: -1) }
        return exitCode ?? 1
    }

    private func receive(_ event: MainLoop.Event) {
        guard case .signal(let number, _) = event else { return }
        switch number {
        case SIGCHLD: children.reap()
        case SIGHUP: feed(.hangUp)
        case SIGUSR1: feed(.reopenLogs)
        default: feed(.stopRequested)
        }
    }

    private func feed(_ event: ScriptState.Event) {
        for effect in state.handle(event) { perform(effect) }
    }

    private func perform(_ effect: ScriptState.Effect) {
        switch effect {
        case .spawn(let epoch): spawn(epoch)
        case .signal(let pid, let number): processes[pid]?.signal(number)
        case .armStop(let delay): loop.arm(loop.makeTimer { [unowned self] in feed(.stopExpired) }, afterMs: delay)
        case .log(let level, let text): log.write(level, text)
        case .exit(let code): exitCode = code
        }
    }

    private func spawn(_ epoch: UInt64) {
        var environment = environment
        environment[Self.epochVariable] = String(epoch)
        do {
            // The end of a child is seen in a later turn of the loop, so its pid is known by then.
            let box = Box()
            let process = try children.start(script, arguments: arguments, environment: environment) { [unowned self] ending in
                processes[box.pid] = nil
                feed(.ended(pid: box.pid, SupervisorState.Ending(ending)))
            }
            box.pid = process.pid
            processes[process.pid] = process
            feed(.spawned(pid: process.pid, epoch: epoch))
        } catch {
            feed(.spawnFailed("cannot start \(script): \(error)"))
        }
    }

    private final class Box { var pid: Int32 = 0 }
}
