import Glibc
import Logging
import Synchronization

/// The process's log: levels, format, identity and the way out. Every line goes through `emit`, whether it comes from a swift-log
/// logger or out of the core. Any thread may log.
final class LogSystem: Sendable {
    /// Gets whole lines, one call each, and returns whether they were written. Must not log.
    typealias Sink = @Sendable (UnsafeRawBufferPointer) -> Bool
    typealias Clock = @Sendable () -> UInt64

    private struct State {
        var format: LogFormat
        var level: LogLevel
        var levels: [String: LogLevel]
        var identity: LogIdentity
        var limiter = RepeatLimiter()
        var sink: Sink
        /// Lines that could not be written: since one could, and since somebody asked.
        var lost = 0
        var uncounted = 0
    }

    private let state: Mutex<State>
    private let clock: Clock

    init(
        format: LogFormat, level: LogLevel, components: [ComponentLogLevel], identity: LogIdentity,
        clock: @escaping Clock = LogSystem.wallClock, sink: @escaping Sink
    ) {
        let levels = Dictionary(components.map { ($0.component, $0.level) }, uniquingKeysWith: { $1 })
        state = Mutex(State(format: format, level: level, levels: levels, identity: identity, sink: sink))
        self.clock = clock
    }

    convenience init(_ options: ServerOptions, identity: LogIdentity, sink: @escaping Sink) {
        self.init(
            format: options.logFormat, level: options.logLevel, components: options.componentLogLevels, identity: identity, sink: sink)
    }

    /// A swift-log logger for one component.
    func logger(_ component: String) -> Logger {
        Logger(label: component) { ProxyLogHandler(component: $0, system: self) }
    }

    /// Write one event, if its component's level lets it through and it is not a repeat too many.
    func emit(_ event: LogRecord) {
        var record = event
        record.unixNanoseconds = clock()
        let ready: (LogRecord, LogFormat, LogIdentity, Sink)? = state.withLock { state in
            guard record.level >= Self.level(of: record.component, in: state), record.level != .off else { return nil }
            guard case .write(let skipped) = state.limiter.admit(record) else { return nil }
            return (Self.counting(skipped, record), state.format, state.identity, state.sink)
        }
        if let (record, format, identity, sink) = ready { write(record, format, identity, sink) }
    }

    func emit(_ level: LogLevel, _ component: String, _ message: String, _ fields: KeyValuePairs<String, LogRecord.Value> = [:]) {
        emit(LogRecord(level: level, component: component, message: message, fields: fields.map { .init(key: $0.key, value: $0.value) }))
    }

    /// Say how many repeats were held back where no further one came to say it. To be called now and then, and with `final` at the end.
    func settleRepeats(final: Bool = false) {
        let now = clock()
        let (held, format, identity, sink) = state.withLock {
            ($0.limiter.settle(now: now, final: final), $0.format, $0.identity, $0.sink)
        }
        for (last, skipped) in held { write(Self.counting(skipped, last), format, identity, sink) }
    }

    /// How many lines could not be written since this was last asked, for the counter.
    func takeLost() -> Int {
        state.withLock { state in
            defer { state.uncounted = 0 }
            return state.uncounted
        }
    }

    // MARK: - Levels and the rest, changeable at run time

    func level(of component: String) -> LogLevel { state.withLock { Self.level(of: component, in: $0) } }

    /// The lowest level that any component lets through: what the core need not format is below it.
    var lowestLevel: LogLevel { state.withLock { state in LogComponents.all.map { Self.level(of: $0, in: state) }.min() ?? state.level } }

    /// Every component with its level, sorted by name.
    var levels: [(component: String, level: LogLevel)] {
        state.withLock { state in LogComponents.all.map { ($0, Self.level(of: $0, in: state)) } }
    }

    func setLevel(_ level: LogLevel) {
        state.withLock {
            $0.level = level
            $0.levels = [:]
        }
    }

    /// Returns false if there is no such component.
    func setLevel(_ level: LogLevel, of component: String) -> Bool {
        guard LogComponents.all.contains(component) else { return false }
        state.withLock { $0.levels[component] = level }
        return true
    }

    func setEpoch(_ epoch: UInt64) { state.withLock { $0.identity.epoch = epoch } }
    func setSink(_ sink: @escaping Sink) { state.withLock { $0.sink = sink } }

    // MARK: - Pieces

    private static func level(of component: String, in state: borrowing State) -> LogLevel { state.levels[component] ?? state.level }

    private static func counting(_ skipped: Int, _ record: LogRecord) -> LogRecord {
        guard skipped > 0 else { return record }
        var record = record
        record.fields.append(.init(key: "skipped", value: .number(String(skipped))))
        return record
    }

    /// A disk that is full loses lines, and the first line for which there is room again is followed by how many.
    private func write(_ record: LogRecord, _ format: LogFormat, _ identity: LogIdentity, _ sink: Sink) {
        guard Self.isWritten(record, format, identity, sink) else { return countLost(1) }
        let lost = state.withLock { state in
            defer { state.lost = 0 }
            return state.lost
        }
        guard lost > 0 else { return }
        let message = "log lines were lost: the log could not be written (is its file system full?)"
        var loss = LogRecord(level: .warning, component: "main", message: message, fields: [.init(key: "lost", value: .number("\(lost)"))])
        loss.unixNanoseconds = clock()
        if !Self.isWritten(loss, format, identity, sink) { countLost(lost + 1, ofThese: 1) }
    }

    /// `ofThese`: how many have not been counted before; all of them where it is left out.
    private func countLost(_ lines: Int, ofThese new: Int? = nil) {
        state.withLock {
            $0.lost += lines
            $0.uncounted += new ?? lines
        }
    }

    private static func isWritten(_ record: LogRecord, _ format: LogFormat, _ identity: LogIdentity, _ sink: Sink) -> Bool {
        LogLine(record: record, identity: identity).bytes(format).withUnsafeBytes(sink)
    }

    /// Nanoseconds since 1970.
    static let wallClock: Clock = {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
