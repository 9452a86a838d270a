import Glibc
import ProxyCore
import ProxyModel

/// The supervisor's own log: lines as the proxy writes them, on stderr.
struct SupervisorLog {
    let pid = getpid()

    func write(_ level: SupervisorState.LogLevel, _ text: String) {
        let line = Self.line(level.rawValue, text, pid: pid, unixMs: System.unixMs)
        // One write, so that lines of several processes in one file stay whole.
        _ = line.utf8.withContiguousStorageIfAvailable { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    static func line(_ level: String, _ text: String, pid: Int32, unixMs: UInt64) -> String {
        let safe = String(String.UnicodeScalarView(text.unicodeScalars.map { $0.breaksLine ? " " : $0 }))
        return "\(UTCTime(unixMilliseconds: unixMs).rfc3339) \(level) [restarter] pid=\(pid) \(safe)\n"
    }
}
