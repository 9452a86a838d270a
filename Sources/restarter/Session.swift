import Glibc
import ProxyCore

/// One run of a command: a loop, the children it starts, and the exit code it comes to. ^C and SIGTERM go to `interrupted`.
final class Session {
    let loop: MainLoop
    let children = Children()
    var interrupted: () -> Void = {}
    private var result: ExitStatus?

    init() throws(CoreError) {
        loop = try MainLoop()
        try loop.watchSignals([SIGCHLD, SIGINT, SIGTERM])
        interrupted = { [unowned self] in finish(.failed) }
    }

    /// Run `begin`, then the loop until `finish`.
    func run(_ begin: (Session) -> Void) throws(CoreError) -> ExitStatus {
        loop.handler = { [unowned self] event in
            guard case .signal(let number, _) = event else { return }
            if number == SIGCHLD { children.reap() } else { interrupted() }
        }
        begin(self)
        while result == nil { try loop.turn(timeoutMs: -1) }
        return result ?? .failed
    }

    func finish(_ status: ExitStatus) { result = result ?? status }

    /// Call `body` once, after `ms`.
    @discardableResult
    func after(ms: UInt64, _ body: @escaping () -> Void) -> MainLoop.Timer {
        let timer = loop.makeTimer(body)
        loop.arm(timer, afterMs: ms)
        return timer
    }
}
