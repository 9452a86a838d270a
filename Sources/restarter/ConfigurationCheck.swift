import Glibc
import ProxyCore

/// One run of the program on disk in check mode: it may be newer than the one that serves, so it judges by its own rules.
final class ConfigurationCheck {
    struct Outcome: Equatable {
        var ok: Bool
        var ms: Double
        /// What the proxy printed, both streams.
        var output: String
        /// Why it is not ok.
        var reason: String?

        /// The verdict, for one line: the last thing printed.
        var verdict: String { output.split(separator: "\n").last.map(String.init) ?? "" }
    }

    static let deadlineMs: UInt64 = 30_000
    /// Diagnostics travel in one packet of at most 64 KiB.
    static let outputLimit = 40_000

    private let loop: MainLoop
    private let started = System.monotonicNs
    private let pipe: Descriptor
    private let process: SpawnedProcess
    private var timer: MainLoop.Timer?
    private var output: [UInt8] = []
    private var timedOut = false
    private var completion: ((Outcome) -> Void)?

    /// Runs until `completion`, which is called once, from the loop. The check keeps itself alive until then.
    static func start(
        program: String, arguments: ProxyArguments, environment: Environment, loop: MainLoop, children: Children,
        completion: @escaping (Outcome) -> Void
    ) throws(CoreError) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw CoreError(code: -errno, call: "pipe") }
        let reading = Descriptor(adopting: ends[0])
        let writing = Descriptor(adopting: ends[1])
        // Each end has an open file of its own: only ours must not block, the program would lose what it prints.
        _ = fcntl(reading.fd, F_SETFL, O_NONBLOCK)
        var box: ConfigurationCheck?
        let process = try children.start(
            program, arguments: arguments.checking, environment: environment.withoutOwn,
            inherit: [(writing.fd, STDOUT_FILENO), (writing.fd, STDERR_FILENO)],
            onEnd: { ending in
                box?.finish(ending)
                box = nil
            })
        box = ConfigurationCheck(loop: loop, pipe: reading, process: process, completion: completion)
        try box?.watch()
        withExtendedLifetime(writing) {}
    }

    private init(loop: MainLoop, pipe: Descriptor, process: SpawnedProcess, completion: @escaping (Outcome) -> Void) {
        self.loop = loop
        self.pipe = pipe
        self.process = process
        self.completion = completion
    }

    private func watch() throws(CoreError) {
        try loop.watch(pipe.fd) { [weak self] in self?.read() }
        let timer = loop.makeTimer { [weak self] in
            self?.timedOut = true
            self?.process.signal(SIGKILL)
        }
        loop.arm(timer, afterMs: Self.deadlineMs)
        self.timer = timer
    }

    private func read() {
        var room = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(pipe.fd, &room, room.count)
            if count < 0 && errno == EINTR { continue }
            // At the end of the pipe the loop would report it readable for ever.
            if count == 0 { loop.unwatch(pipe.fd) }
            guard count > 0 else { return }
            output += room.prefix(min(count, max(0, Self.outputLimit - output.count)))
        }
    }

    private func finish(_ ending: Processes.Ending) {
        read()
        loop.unwatch(pipe.fd)
        if let timer { loop.forget(timer) }
        let ms = Double(System.monotonicNs - started) / 1e6
        let reason: String? =
            if timedOut {
                "the check did not end within \(Durations.rough(Self.deadlineMs))"
            } else if ending == .exited(1) {
                "the configuration is invalid"
            } else if ending.isClean { nil } else { "the check \(ending.text)" }
        completion?(Outcome(ok: reason == nil, ms: ms, output: String(decoding: output, as: UTF8.self), reason: reason))
        completion = nil
    }
}
