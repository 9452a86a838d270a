import Glibc
import ProxyCore
import ProxyModel

// Stands in for the proxy where a test needs one that misbehaves on request. It speaks to its supervisor, answers queries under the
// proxy's control name and lets the next generation take that name over; it serves no traffic. Its configuration says how it behaves,
// one word and value a line:
//
//     check ok|invalid|hang      start ok|fail|busy|hang|crash|leave      drain-ms N      crash-after-ms N      term ignore

struct Behaviour {
    var words: [String: String] = [:]

    init(path: String?) {
        guard let path, let file = fopen(path, "r") else { return }
        defer { fclose(file) }
        var room = [CChar](repeating: 0, count: 4096)
        let length = fread(&room, 1, room.count, file)
        let text = String(decoding: room.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            if parts.count == 2 { words[String(parts[0])] = String(parts[1]) }
        }
    }

    func number(_ name: String, or fallback: UInt64) -> UInt64 { words[name].flatMap { UInt64($0) } ?? fallback }
}

/// Private messages between two fakes.
enum FakeMessage {
    static let take: UInt16 = 200
    static let taken: UInt16 = 201
    static let progress: UInt16 = 202
}

func say(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
}

final class FakeProxy {
    let arguments: [String]
    let list: ArgumentList
    let behaviour: Behaviour
    let loop: MainLoop
    let names: ControlNames
    let startedUnixMs = System.unixMs
    var epoch: UInt64 = 0
    var supervisor: Link?
    var control: ControlSocket?
    var clients: [Int32: Link] = [:]
    /// The generation that took over from this one, and the one this took over from.
    var child: Link?
    var parent: Link?
    var parentPid: Int32?
    var drainEndsUnixMs: UInt64?

    init(_ arguments: [String]) throws {
        self.arguments = arguments
        let list = ArgumentList(arguments)
        self.list = list
        func value(_ name: String) -> String? { list.items.last { $0.name == name }?.value }
        behaviour = Behaviour(path: value("--config-path"))
        names = ControlNames(
            socketPath: value("--socket-path") ?? ControlNames.defaultSocketPath, baseID: value("--base-id").flatMap { UInt32($0) } ?? 0)
        loop = try MainLoop()
        try loop.watchSignals([SIGTERM, SIGINT, SIGHUP, SIGUSR1])
        epoch = value("--restart-epoch").flatMap { UInt64($0) } ?? 0
        if value("--mode") == "validate" { validate(value("--config-path") ?? "") }
        if let number = getenv(SupervisionChannel.environmentVariable).flatMap({ Int32(String(cString: $0)) }) {
            supervisor = Link(adopting: Descriptor(adopting: number))
        }
        loop.handler = { [unowned self] event in
            if case .signal(let number, _) = event { signalled(number) }
        }
    }

    func validate(_ path: String) -> Never {
        switch behaviour.words["check"] {
        case "invalid":
            say("\(path):1:1: error: unknown field 'chekc'  [PX-C012]\n\(path): 1 error, 0 warnings")
            exit(1)
        case "hang":
            while true { pause() }
        default:
            print("configuration '\(path)' OK")
            exit(0)
        }
    }

    func signalled(_ number: Int32) {
        switch number {
        case SIGUSR1: say("reopened")
        case SIGTERM, SIGINT: if behaviour.words["term"] != "ignore" { leave(0) }
        default: break
        }
    }

    func leave(_ code: Int32) -> Never {
        say("fake epoch=\(epoch) leaves with \(code)")
        exit(code)
    }

    func tell(_ event: SupervisionEvent) { try? supervisor?.send(Packet(type: MessageType.supervision, json: event)) }

    func run() throws {
        let notify = getenv("NOTIFY_SOCKET") == nil ? "no" : "yes"
        say("fake epoch=\(epoch) pid=\(getpid()) notify-socket=\(notify) arguments=\(arguments)")
        tell(.step(.init(name: "hello", ms: 0.4)))
        switch behaviour.words["start"] {
        case "fail":
            tell(.failed(.init(step: "open listeners", id: "PX-R004", text: "cannot bind 127.0.0.1:1", remedy: "Free the address.")))
            leave(1)
        case "busy": leave(75)
        case "hang": try loop.run()
        case "crash": kill(getpid(), SIGKILL)
        case "leave": leave(0)
        default: break
        }
        if epoch > 0 { try askParent() } else { try serve() }
        try loop.run()
    }

    func askParent() throws {
        let link = try Link.connect(names.proxy)
        parent = link
        parentPid = try link.peer().pid
        try link.send(Packet(type: FakeMessage.take))
        try loop.watch(link.fd) { [unowned self] in
            do { while let packet = try link.receive() { try fromParent(packet) } } catch { loop.unwatch(link.fd) }
        }
    }

    func fromParent(_ packet: ReceivedPacket) throws {
        switch packet.type {
        case FakeMessage.taken: try serve()
        case FakeMessage.progress: tell(try packet.json(SupervisionEvent.self))
        default: break
        }
    }

    func serve() throws {
        try openControl()
        var report = RestartReport()
        report.fromEpoch = parent == nil ? nil : epoch - 1
        report.fromPid = parentPid
        report.toEpoch = epoch
        report.toPid = getpid()
        report.steps = [.init(name: "hello", ms: 0.4)]
        report.connections.draining = parent == nil ? 0 : 2
        report.totalMs = 31
        tell(.serving(.init(epoch: epoch, pid: getpid(), ms: 31, report: report)))
        say("fake epoch=\(epoch) serves")
        if let ms = behaviour.words["crash-after-ms"].flatMap({ UInt64($0) }) {
            loop.arm(loop.makeTimer { kill(getpid(), SIGKILL) }, afterMs: ms)
        }
    }

    func openControl() throws {
        let control = try ControlSocket.bind(names.proxy, mode: 0o600)
        self.control = control
        try loop.watch(control.descriptor.fd) { [unowned self] in
            while let link = control.accept() { admit(link) }
        }
        try control.listen()
    }

    func admit(_ link: Link) {
        clients[link.fd] = link
        try? loop.watch(link.fd) { [unowned self] in
            do { while let packet = try link.receive() { try answer(packet, on: link) } } catch { drop(link) }
        }
    }

    func drop(_ link: Link) {
        loop.unwatch(link.fd)
        clients[link.fd] = nil
        // Its death after the take-over: this generation serves again.
        if child === link, drainEndsUnixMs != nil {
            child = nil
            drainEndsUnixMs = nil
            try? openControl()
            tell(.rolledBack(.init(toEpoch: epoch)))
        }
    }

    func answer(_ packet: ReceivedPacket, on link: Link) throws {
        switch packet.type {
        case MessageType.query: try link.send(Packet(type: MessageType.answer, json: status))
        case MessageType.command:
            try link.send(Packet(type: MessageType.answer, json: CommandAnswer(ok: true, text: "done")))
        case FakeMessage.take: try handOver(to: link)
        default: break
        }
    }

    func handOver(to link: Link) throws {
        if let control { loop.unwatch(control.descriptor.fd) }
        control = nil
        if !names.proxy.hasPrefix("@") { unlink(names.proxy) }
        child = link
        let drainMs = behaviour.number("drain-ms", or: 50)
        drainEndsUnixMs = System.unixMs + drainMs
        try link.send(Packet(type: FakeMessage.taken))
        let progress = SupervisionEvent.draining(
            .init(epoch: epoch, pid: getpid(), connections: 2, oldestMs: 1000, listener: "edge", endsInMs: drainMs))
        try link.send(Packet(type: FakeMessage.progress, json: progress))
        loop.arm(
            loop.makeTimer { [unowned self] in
                guard child != nil else { return }
                try? link.send(Packet(type: FakeMessage.progress, json: SupervisionEvent.drained(.init(epoch: epoch))))
                leave(0)
            }, afterMs: drainMs)
    }

    var status: ProxyStatus {
        var status = ProxyStatus()
        status.epoch = epoch
        status.pid = getpid()
        status.version = "fake"
        status.startedUnixMs = startedUnixMs
        status.configPath = list.items.last { $0.name == "--config-path" }?.value
        status.executable = CommandLine.arguments[0]
        status.arguments = arguments
        status.supervised = supervisor != nil
        status.generations = [
            .init(epoch: epoch, pid: getpid(), state: "serving", connections: 1, oldestConnectionMs: 5, startedUnixMs: startedUnixMs)
        ]
        if let parentPid, kill(parentPid, 0) == 0 {
            status.generations.append(
                .init(epoch: epoch - 1, pid: parentPid, state: "draining", connections: 2, startedUnixMs: startedUnixMs))
        }
        return status
    }
}

let fake = try FakeProxy(Array(CommandLine.arguments.dropFirst()))
try fake.run()
