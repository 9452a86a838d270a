import Glibc
import ProxyCore

/// This process's environment, and what its children get of it.
struct Environment {
    var variables: [String: String]

    init(_ variables: [String: String]) { self.variables = variables }

    static var current: Environment {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text)
            if let equals = pair.firstIndex(of: "=") { variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...]) }
            entry += 1
        }
        return Environment(variables)
    }

    subscript(name: String) -> String? {
        get { variables[name] }
        set { variables[name] = newValue }
    }

    /// Sorted, so that two runs start their children alike.
    var list: [String] { variables.map { "\($0.key)=\($0.value)" }.sorted() }

    /// For a generation that reports on descriptor `channel`.
    func forGeneration(channel: Int32) -> Environment {
        var result = withoutOwn
        result[SupervisionChannel.environmentVariable] = String(channel)
        return result
    }

    /// Without what concerns only this process. Two that answer systemd would contradict each other: the supervisor does alone.
    var withoutOwn: Environment {
        var result = self
        for name in [
            SystemdNotifier.variable, Self.askerVariable, SupervisionChannel.environmentVariable,
            SupervisionChannel.keeperVariable, "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
        ] {
            result[name] = nil
        }
        return result
    }

    /// Tells a detached supervisor on which descriptor its starter waits.
    static let askerVariable = "RESTARTER_ASKER_FD"
}
