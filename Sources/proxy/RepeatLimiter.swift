/// Holds back warnings and errors that repeat: ten of a kind in ten seconds are written, the rest are counted, and the count is
/// written with the next one or, where none comes, by itself. Pure; the caller brings the time.
struct RepeatLimiter: Sendable {
    /// Messages that differ only in digits (addresses, descriptors, counts) are of one kind.
    struct Kind: Hashable, Sendable {
        var level: LogLevel
        var component: String
        var message: String
        init(_ record: LogRecord) {
            level = record.level
            component = record.component
            message = record.message.filter { !$0.isNumber }
        }
    }

    private struct Window: Sendable {
        var began: UInt64
        var written = 0
        var skipped = 0
        /// The last one held back, to be written with the count.
        var last: LogRecord
    }

    enum Verdict: Equatable {
        case write(skippedBefore: Int)
        case skip
    }

    static let burst = 10
    static let windowNanoseconds: UInt64 = 10_000_000_000
    /// Kinds remembered at a time; beyond that everything is written.
    static let kindLimit = 256

    private var windows: [Kind: Window] = [:]

    mutating func admit(_ record: LogRecord) -> Verdict {
        guard record.level >= .warning else { return .write(skippedBefore: 0) }
        let kind = Kind(record)
        let known = windows[kind]
        if known == nil, windows.count >= Self.kindLimit { forgetQuiet(now: record.unixNanoseconds) }
        guard known != nil || windows.count < Self.kindLimit else { return .write(skippedBefore: 0) }
        var window = known ?? Window(began: record.unixNanoseconds, last: record)
        defer { windows[kind] = window }
        if isOver(window, now: record.unixNanoseconds) {
            let skipped = window.skipped
            window = Window(began: record.unixNanoseconds, written: 1, last: record)
            return .write(skippedBefore: skipped)
        }
        if window.written < Self.burst {
            window.written += 1
            return .write(skippedBefore: 0)
        }
        window.skipped += 1
        window.last = record
        return .skip
    }

    /// Ends the windows that are over (all of them when `final`) and returns what was held back in each.
    mutating func settle(now: UInt64, final: Bool = false) -> [(last: LogRecord, skipped: Int)] {
        let over = windows.filter { final || isOver($0.value, now: now) }
        for kind in over.keys { windows[kind] = nil }
        return over.values.filter { $0.skipped > 0 }.map { ($0.last, $0.skipped) }
            .sorted { $0.0.unixNanoseconds < $1.0.unixNanoseconds }
    }

    private mutating func forgetQuiet(now: UInt64) {
        windows = windows.filter { $0.value.skipped > 0 || !isOver($0.value, now: now) }
    }

    private func isOver(_ window: Window, now: UInt64) -> Bool {
        now < window.began || now - window.began >= Self.windowNanoseconds
    }
}
