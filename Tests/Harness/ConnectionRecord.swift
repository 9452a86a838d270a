import Foundation

/// What became of one connection of the load client, and when, in µs of the monotonic clock; the client writes them with `--outcomes`.
public struct ConnectionRecord: Equatable, Sendable {
    public let outcome: String
    public let begun, answered, ended: UInt64
    public var isOk: Bool { outcome == "ok" }
    /// Ended by the other side after it had been accepted, or in its queue; not refused, not forgotten.
    public var isCut: Bool { ["reset", "eof_before_reply", "short_reply"].contains(outcome) }

    static func read(_ path: String) throws -> [ConnectionRecord] {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        // Without a line that is being written.
        let lines = text[..<(text.lastIndex(of: "\n") ?? text.startIndex)]
        return try lines.split(separator: "\n").map { line in
            let words = line.split(separator: " ")
            guard words.count == 4, let begun = UInt64(words[1]), let answered = UInt64(words[2]), let ended = UInt64(words[3]) else {
                throw HarnessError("\(path): not a connection's outcome: '\(line)'")
            }
            return ConnectionRecord(outcome: String(words[0]), begun: begun, answered: answered, ended: ended)
        }
    }
}

/// The death of a process as its clients could have seen it: it was alive before `began` and had let go of every descriptor by `ended`.
public struct Death: Sendable {
    public let pid: Int32
    /// µs of the monotonic clock, as in `ConnectionRecord`.
    public let began, ended: UInt64

    public init(pid: Int32, began: UInt64, ended: UInt64) {
        self.pid = pid
        self.began = began
        self.ended = ended
    }

    /// SIGKILL, and wait until it has been reaped, which the kernel allows only once its last thread has gone.
    public static func of(_ pid: Int32, reap: () -> Void = {}, within seconds: Double = 10) throws -> Death {
        let began = monotonicMicroseconds()
        guard kill(pid, SIGKILL) == 0 else { throw HarnessError("pid \(pid) was dead already") }
        try eventually("pid \(pid) to be reaped", within: seconds, every: 0.0002) {
            reap()
            return kill(pid, 0) != 0
        }
        return Death(pid: pid, began: began, ended: monotonicMicroseconds())
    }

    /// From the signal to the first reply that somebody else gave: to a connection that began when the dead process could accept none.
    public func gap(_ connections: [ConnectionRecord]) -> UInt64? {
        connections.lazy.filter { $0.answered > 0 && $0.begun >= ended }.map(\.answered).min().map { $0 - began }
    }

    /// Whether the process may have had this connection when it died.
    public func covers(_ connection: ConnectionRecord) -> Bool { connection.begun <= ended && connection.ended >= began }
}

public func monotonicMicroseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1000
}

/// min, median, p99 and max, in milliseconds, of µs.
public func distribution(_ values: [UInt64]) -> String {
    let sorted = values.sorted()
    guard let least = sorted.first, let most = sorted.last else { return "no values" }
    func rank(_ share: Double) -> UInt64 { sorted[Int((share * Double(sorted.count)).rounded(.up)) - 1] }
    let shown = [least, rank(0.5), rank(0.99), most].map { String(format: "%.1f", Double($0) / 1000) }
    return "min \(shown[0]), median \(shown[1]), p99 \(shown[2]), max \(shown[3]) ms of \(sorted.count)"
}
