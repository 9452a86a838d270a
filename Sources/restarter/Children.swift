import Glibc
import ProxyCore

/// Every process this one started, and, as process 1, every orphan: all are reaped here, each to whoever waits for it.
final class Children {
    private var watchers: [Int32: (Processes.Ending) -> Void] = [:]

    func start(
        _ program: String, arguments: [String], environment: Environment, inherit: [(from: Int32, to: Int32)] = [],
        newSession: Bool = false,
        onEnd: @escaping (Processes.Ending) -> Void
    ) throws(CoreError) -> SpawnedProcess {
        let process = try Processes.spawn(
            path: program, arguments: [program] + arguments, environment: environment.list, inherit: inherit, newSession: newSession)
        watchers[process.pid] = onEnd
        return process
    }

    /// For a supervisor that ends: what is left then is a check that hangs.
    func killRest() {
        for pid in watchers.keys { kill(pid, SIGKILL) }
    }

    /// On SIGCHLD. One signal may stand for many children.
    func reap() {
        while let (pid, ending) = Processes.reap() { watchers.removeValue(forKey: pid)?(ending) }
    }
}

extension SpawnedProcess {
    /// Through the pidfd where there is one. By number it is safe too as long as the child has not been reaped.
    func signal(_ number: Int32) {
        if let handle { handle.signal(number) } else { kill(pid, number) }
    }
}

extension Processes.Ending {
    var isClean: Bool { self == .exited(0) }

    var text: String {
        switch self {
        case .exited(let code): "exited with code \(code)"
        case .signalled(let signal): "was killed by signal \(signal) (\(String(cString: strsignal(signal))))"
        }
    }
}
