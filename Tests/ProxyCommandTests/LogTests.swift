import Glibc
import Logging
import ProxyModel
import Synchronization
import Testing

@testable import proxy

/// Lines as they are written.
struct LogLineTests {
    /// 2026-11-24T03:44:05.123456789Z
    static let now: UInt64 = 1_795_491_845_123_456_789
    private func line(_ format: String, _ record: LogRecord) throws -> String {
        String(decoding: LogLine(record: record, identity: LogIdentity(epoch: 3, pid: 812)).bytes(try LogFormat(format)), as: UTF8.self)
    }
    private func record(_ message: String, _ fields: [LogRecord.Field] = []) -> LogRecord {
        LogRecord(
            unixNanoseconds: Self.now, level: .notice, component: "hot_restart", message: message, fields: fields,
            file: "Sources/proxy/Generation.swift", line: 12, function: "run()")
    }

    @Test("text")
    func text() throws {
        let fields: [LogRecord.Field] = [
            .init(key: "a", value: .number("1")), .init(key: "b", value: .string("two words")), .init(key: "c", value: .string("")),
            .init(key: "d", value: .string("x=\"y\"\\")), .init(key: "e f", value: .string("plain")),
        ]
        #expect(
            try line("text", record("took over", fields)) == """
                2026-11-24T03:44:05.123Z notice [hot_restart] epoch=3 pid=812 took over a=1 b="two words" c="" d="x=\\"y\\"\\\\" e f=plain

                """)
    }

    @Test("JSON: one object, reserved names kept apart, numbers as numbers")
    func json() throws {
        let fields: [LogRecord.Field] = [
            .init(key: "n", value: .number("1")), .init(key: "s", value: .string("1")), .init(key: "pid", value: .number("5")),
            .init(key: "q\"", value: .string("\n")),
        ]
        #expect(
            try line("json", record("took \"over\"", fields)) == """
                {"time":"2026-11-24T03:44:05.123Z","level":"notice","component":"hot_restart","epoch":3,"pid":812,\
                "message":"took \\"over\\"","n":1,"s":"1","field.pid":5,"q\\"":"\\n"}

                """)
    }

    @Test(
        "spdlog patterns",
        arguments: [
            (
                "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v",
                "[2026-11-24 03:44:05.123][812][notice][hot_restart] [Sources/proxy/Generation.swift:12] m a=1"
            ),
            ("%H:%M:%S.%f %L %s %! %v", "03:44:05.123456 N Generation.swift run() m a=1"),
            ("%F %D %E %P %_", "123456789 11/24/26 1795491845 812 m a=1"),
            ("%^%v%$ 100%%", "m a=1 100%"), ("%j", "m a=1"),
        ])
    func patterns(format: String, text: String) throws {
        #expect(try line(format, record("m", [.init(key: "a", value: .number("1"))])) == text + "\n")
    }

    @Test("a record of the core has no file")
    func core() throws {
        #expect(try line("%g %s:%# %v", LogRecord(level: .info, component: "main", message: "m")) == "core core:0 m\n")
    }

    @Test("nothing a record holds makes two lines or moves the cursor", arguments: ["text", "json", "%n %v %g %!"])
    func controls(format: String) throws {
        let evil = "a\nb\r\t\u{1B}[2J\u{7F}\u{85}\u{2028}\u{202E}\0z"
        var record = record(evil, [.init(key: evil, value: .string(evil))])
        record.component = evil
        record.file = evil
        record.function = evil
        let text = try line(format, record)
        #expect(text.hasSuffix("\n") && !text.dropLast().unicodeScalars.contains(where: \.breaksLine))
        #expect(text.contains("a\\nb\\r\\t") && text.contains("z"))
    }

    @Test("a literal of the pattern cannot either")
    func literal() throws { #expect(try line("%v\n\u{1B}", record("m")) == "m\\n\\u{1b}\n") }

    @Test("escapes for reading")
    func escapes() {
        #expect(LogLine.escaped("plain \\ \u{E9}") == "plain \\ \u{E9}")
        #expect(LogLine.escaped("\0\u{9F}\u{2066}") == "\\u{0}\\u{9f}\\u{2066}")
        #expect(LogLine.quotedIfNeeded("a\tb") == "\"a\\tb\"")
    }
}

struct RepeatLimiterTests {
    private func record(_ message: String, at seconds: Double, _ level: LogLevel = .warning, component: String = "main") -> LogRecord {
        LogRecord(unixNanoseconds: UInt64(seconds * 1e9) + 1_000_000_000, level: level, component: component, message: message)
    }

    @Test("ten of a kind in ten seconds, then they are counted")
    func burst() {
        var limiter = RepeatLimiter()
        for index in 0..<10 { #expect(limiter.admit(record("fd \(index)", at: 1)) == .write(skippedBefore: 0)) }
        for index in 0..<5 { #expect(limiter.admit(record("fd \(index)", at: 2)) == .skip) }
        #expect(limiter.admit(record("other", at: 2)) == .write(skippedBefore: 0))
        #expect(limiter.admit(record("fd 1", at: 2, .error)) == .write(skippedBefore: 0), "another level is another kind")
        #expect(limiter.admit(record("fd 1", at: 2, component: "dns")) == .write(skippedBefore: 0))
        #expect(limiter.admit(record("fd 1", at: 11)) == .write(skippedBefore: 5))
        #expect(limiter.admit(record("fd 1", at: 11)) == .write(skippedBefore: 0))
    }

    @Test("what is below a warning is never held back")
    func notice() {
        var limiter = RepeatLimiter()
        for _ in 0..<100 { #expect(limiter.admit(record("m", at: 1, .notice)) == .write(skippedBefore: 0)) }
        #expect(limiter.settle(now: 0, final: true).isEmpty)
    }

    @Test("where none comes, the count is written by itself, in order of time")
    func settle() {
        var limiter = RepeatLimiter()
        for second in [3.0, 2.0] { for _ in 0..<12 { _ = limiter.admit(record("m\(second == 3 ? "a" : "b")", at: second)) } }
        #expect(limiter.settle(now: 5_000_000_000).isEmpty)
        let held = limiter.settle(now: 20_000_000_000)
        #expect(held.map(\.skipped) == [2, 2] && held.map(\.last.message) == ["mb", "ma"])
        #expect(limiter.settle(now: 30_000_000_000, final: true).isEmpty)
    }

    @Test("a clock set back ends the window")
    func clockBack() {
        var limiter = RepeatLimiter()
        for _ in 0..<11 { _ = limiter.admit(record("m", at: 100)) }
        #expect(limiter.admit(record("m", at: 1)) == .write(skippedBefore: 1))
    }

    @Test("too many kinds: what is not known is written, and memory stays bounded")
    func kinds() {
        var limiter = RepeatLimiter()
        func name(_ index: Int) -> String {
            String(UnicodeScalar(UInt8(97 + index / 26 % 26))) + String(UnicodeScalar(UInt8(97 + index % 26)))
        }
        for index in 0..<600 {
            for _ in 0..<11 { #expect(index < 256 || limiter.admit(record(name(index), at: 1)) == .write(skippedBefore: 0)) }
            if index < 256 { for _ in 0..<11 { _ = limiter.admit(record(name(index), at: 1)) } }
        }
        #expect(limiter.settle(now: 0, final: true).count == RepeatLimiter.kindLimit)
    }
}

/// Files under /tmp, removed at the end.
final class LogFileTests {
    private let directory = "/tmp/proxy-log-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    private var path: String { directory + "/log" }

    init() { mkdir(directory, 0o755) }
    deinit {
        for name in ["log", "log.1"] { unlink("\(directory)/\(name)") }
        rmdir(directory)
    }

    @Test("reopening makes a file that was moved away anew, behind the same descriptor")
    func reopen() throws {
        let file = try LogFile(path: path)
        writeAll("one\n", to: file.descriptor)
        rename(path, path + ".1")
        writeAll("two\n", to: file.descriptor)
        try file.reopen()
        writeAll("three\n", to: file.descriptor)
        #expect(Snapshot.read(path + ".1") == "one\ntwo\n" && Snapshot.read(path) == "three\n")
        #expect(fcntl(file.descriptor, F_GETFD) & FD_CLOEXEC != 0 && fcntl(file.descriptor, F_GETFL) & O_APPEND != 0)
    }

    @Test("a reopening that fails leaves the old one in use")
    func reopenFails() throws {
        let file = try LogFile(path: path)
        rename(path, path + ".1")
        mkdir(path, 0o755)
        #expect(throws: LogFile.Failure(path: path, code: EISDIR)) { try file.reopen() }
        writeAll("still\n", to: file.descriptor)
        #expect(Snapshot.read(path + ".1") == "still\n")
        rmdir(path)
    }

    @Test("what cannot be opened says why and what to do")
    func failure() throws {
        let error = try #require(throws: LogFile.Failure.self) { try LogFile(path: "/nonexistent/log") }.error
        #expect(error.message == "unable to open log file '/nonexistent/log': No such file or directory (errno 2)")
        #expect(error.id == "PX-U017" && !error.remedy.isEmpty)
    }

    @Test("whether it could be opened is told without making it")
    func foretold() throws {
        #expect(LogFile.problem(creating: nil) == nil && LogFile.problem(creating: path) == nil)
        #expect(Snapshot.read(path) == nil)
        #expect(LogFile.problem(creating: "/nonexistent/log") != nil && LogFile.problem(creating: directory) != nil)
    }

    @Test("without a path it is stderr, which is never closed or reopened")
    func standardError() throws {
        do {
            let file = try LogFile(path: nil)
            #expect(file.descriptor == STDERR_FILENO)
            try file.reopen()
        }
        #expect(fcntl(STDERR_FILENO, F_GETFD) >= 0)
    }
}

struct LogSystemTests {
    /// A system that keeps its lines, and a clock set by hand.
    private final class Fixture: Sendable {
        let lines = Mutex<[String]>([])
        let now = Mutex<UInt64>(LogLineTests.now)
        func system(_ level: LogLevel = .info, _ components: [ComponentLogLevel] = [], format: LogFormat = .text) -> LogSystem {
            LogSystem(
                format: format, level: level, components: components, identity: LogIdentity(epoch: 3, pid: 812),
                clock: { self.now.withLock { $0 } }, sink: { bytes in self.take(bytes) })
        }
        let isFull = Mutex(false)
        func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
            if isFull.withLock({ $0 }) { return false }
            add(String(decoding: bytes, as: UTF8.self))
            return true
        }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
        func forward(_ seconds: UInt64) { now.withLock { $0 += seconds * 1_000_000_000 } }
    }

    @Test("levels: the component's, else the general one; off is off")
    func levels() {
        let fixture = Fixture()
        let system = fixture.system(.info, [.init(component: "dns", level: .off), .init(component: "config", level: .trace)])
        system.emit(.critical, "dns", "no")
        system.emit(.debug, "main", "no")
        system.emit(.trace, "config", "yes")
        system.emit(.off, "config", "no")
        system.emit(.info, "main", "yes", ["n": .number("1")])
        #expect(fixture.all.map { $0.split(separator: "812 ")[1] } == ["yes\n", "yes n=1\n"])
        #expect(system.lowestLevel == .trace && system.level(of: "unknown") == .info)
        #expect(system.setLevel(.debug, of: "main") && !system.setLevel(.debug, of: "nosuch"))
        #expect(system.levels.map(\.component) == LogComponents.all && LogComponents.all == LogComponents.all.sorted())
        system.setLevel(.error)
        #expect(system.levels.allSatisfy { $0.level == .error }, "the general level set at run time is everybody's")
    }

    @Test("repeats are counted in the line that ends them, or by themselves")
    func repeats() {
        let fixture = Fixture()
        let system = fixture.system()
        for index in 0..<15 { system.emit(.warning, "main", "no descriptor \(index)") }
        #expect(fixture.all.count == 10)
        fixture.forward(11)
        system.emit(.warning, "main", "no descriptor 15")
        #expect(fixture.all.last?.hasSuffix("no descriptor 15 skipped=5\n") ?? false)
        for index in 16..<30 { system.emit(.warning, "main", "no descriptor \(index)") }
        system.settleRepeats()
        #expect(fixture.all.count == 20, "not over yet")
        system.settleRepeats(final: true)
        #expect(fixture.all.count == 21 && fixture.all.last?.hasSuffix("no descriptor 29 skipped=5\n") ?? false)
    }

    @Test("lines for which there is no room are counted, and told once there is")
    func losses() {
        let fixture = Fixture()
        let system = fixture.system()
        system.emit(.info, "main", "one")
        fixture.isFull.withLock { $0 = true }
        for number in 1...3 { system.emit(.info, "main", "lost \(number)") }
        #expect(fixture.all.count == 1)
        #expect(system.takeLost() == 3 && system.takeLost() == 0)
        fixture.isFull.withLock { $0 = false }
        system.emit(.info, "main", "two")
        system.emit(.info, "main", "three")
        #expect(fixture.all.count == 4, "said once: \(fixture.all)")
        #expect(fixture.all[2].contains("log lines were lost") && fixture.all[2].hasSuffix(" lost=3\n"))
        #expect(system.takeLost() == 0)
    }

    @Test("identity and sink can change; each line is whole")
    func changes() {
        let fixture = Fixture()
        let system = fixture.system(format: .json)
        system.setEpoch(4)
        system.emit(.info, "main", "m")
        #expect(fixture.all.first?.contains("\"epoch\":4") ?? false)
        system.setSink { _ in true }
        system.emit(.info, "main", "m")
        #expect(fixture.all.count == 1)
    }

    @Test("a swift-log logger goes the same way: label, metadata sorted, numbers as numbers, its own metadata below the event's")
    func logger() {
        let fixture = Fixture()
        var logger = fixture.system(format: .json).logger("hot_restart")
        logger[metadataKey: "b"] = "logger"
        logger[metadataKey: "a"] = .stringConvertible(7)
        logger.notice("took over", metadata: ["b": "event", "c": ["x", "y"], "d": .stringConvertible(true)])
        logger.debug("not shown")
        #expect(fixture.all.count == 1)
        let fields = "\"message\":\"took over\",\"a\":7,\"b\":\"event\",\"c\":\"[\\\"x\\\", \\\"y\\\"]\",\"d\":true}\n"
        #expect(fixture.all.first?.hasSuffix(fields) ?? false)
        #expect(logger.logLevel == .info)
        logger.logLevel = .debug
        logger.debug("shown")
        #expect(fixture.all.count == 2)
    }

    @Test("level names there and back")
    func names() {
        for level in LogLevel.allCases { #expect(LogLevel(name: level.name) == level) }
        #expect(LogLevel(name: "warn") == .warning && LogLevel(name: "WARN") == nil && LogLevel(name: "") == nil)
        #expect(LogLevel.names.allSatisfy { LogLevel(name: $0) != nil })
    }
}
