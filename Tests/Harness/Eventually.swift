import Foundation

/// Something the harness waited for or asked for did not come about. The text says what.
public struct HarnessError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Monotonic seconds.
public func monotonicSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// Pause: only where the passing of time itself is what a test is about.
public func pause(_ seconds: Double) {
    guard seconds > 0 else { return }
    usleep(UInt32(seconds * 1e6))
}

/// Asks `body` again and again until it gives a value, and fails, saying what it waited for, once `seconds` are over. For what another process
/// shows only to whoever asks: its admin page, its log, its end.
@discardableResult
public func eventually<T>(_ what: String, within seconds: Double = 10, every interval: Double = 0.003, _ body: () throws -> T?) throws -> T
{
    let deadline = monotonicSeconds() + seconds
    while true {
        if let value = try body() { return value }
        guard monotonicSeconds() < deadline else { throw HarnessError("waited \(seconds) s in vain for \(what)") }
        pause(interval)
    }
}

/// As above, for a condition.
public func eventually(_ what: String, within seconds: Double = 10, every interval: Double = 0.003, _ condition: () throws -> Bool) throws {
    try eventually(what, within: seconds, every: interval) { try condition() ? true : nil }
}
