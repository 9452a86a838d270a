import FoundationEssentials
import Glibc
import ProxyModel
import Testing

@testable import restarter

@Suite("Supervision events as JSON")
struct EventTests {
    private func read(_ text: String) throws -> SupervisionEvent { try JSONDecoder().decode(SupervisionEvent.self, from: Data(text.utf8)) }

    @Test func eachKindIsRead() throws {
        #expect(
            try read(#"{"event":"step","name":"hello","ok":true,"ms":0.4,"text":"agreed on 1"}"#)
                == .step(.init(name: "hello", ms: 0.4, text: "agreed on 1")))
        #expect(
            try read(#"{"event":"failed","step":"bind","id":"PX-R004","text":"t","remedy":"r"}"#)
                == .failed(.init(step: "bind", id: "PX-R004", text: "t", remedy: "r")))
        #expect(
            try read(#"{"event":"draining","epoch":2,"pid":812,"connections":128,"oldest_ms":5,"listener":"l","ends_in_ms":9}"#)
                == .draining(.init(epoch: 2, pid: 812, connections: 128, oldestMs: 5, listener: "l", endsInMs: 9)))
        #expect(try read(#"{"event":"drained","epoch":2,"forced":0}"#) == .drained(.init(epoch: 2)))
        #expect(try read(#"{"event":"rolled_back","to_epoch":2,"new_field":{}}"#) == .rolledBack(.init(toEpoch: 2)))
    }

    @Test func whatANewerProgramSaysIsSkipped() throws {
        #expect(try read(#"{"event":"handed_over","epoch":2}"#) == .unknown("handed_over"))
    }

    @Test func aReportThatSaysLittleIsTaken() throws {
        let event = try read(
            #"{"event":"serving","epoch":3,"pid":977,"ms":31.0,"report":{"to_epoch":3,"result":"rolled_back","from_epoch":null}}"#)
        guard case .serving(let serving) = event else { throw Failure("not serving", remedy: "") }
        #expect(serving.report?.result == .rolledBack)
        #expect(serving.report?.steps.isEmpty == true)
    }

    @Test func whatIsWrittenIsRead() throws {
        let events: [SupervisionEvent] = [
            .step(.init(name: "a", ok: false, ms: 1)), .serving(.init(epoch: 1, pid: 2, ms: 3, report: RestartReport())),
            .failed(.init(step: "check", text: "t", output: "a\nb", exitCode: 75)), .rolledBack(.init(toEpoch: 1, text: "t")),
            .drained(.init(epoch: 1, forced: 2)),
        ]
        for event in events { #expect(try read(JSONLine.text(event)) == event) }
    }

    @Test func aStatusWithTheLeastIsTaken() throws {
        let status = try JSONDecoder().decode(ProxyStatus.self, from: Data(#"{"epoch":3,"pid":812}"#.utf8))
        #expect(status.epoch == 3 && status.generations.isEmpty && status.lastRestart == nil)
    }
}

/// A datagram socket as systemd has one.
final class NotifySocket {
    let path: String
    let fd: Int32

    init() throws {
        path = "/tmp/proxy-notify-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard bound == 0 else { throw Failure("bind \(path): errno \(errno)", remedy: "") }
    }

    deinit {
        close(fd)
        unlink(path)
    }

    /// The next message, waited for at most `seconds`.
    func receive(within seconds: Int32 = 5) -> String? {
        var poll = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, seconds * 1000) == 1 else { return nil }
        var room = [UInt8](repeating: 0, count: 4096)
        let length = recv(fd, &room, room.count, 0)
        return length >= 0 ? String(decoding: room.prefix(length), as: UTF8.self) : nil
    }
}

@Suite("systemd")
struct NotifierTests {
    @Test(
        arguments: [
            (.ready(mainPid: 700, status: "generation 3 serves"), "READY=1\nMAINPID=700\nSTATUS=generation 3 serves"),
            (.reloading(monotonicUs: 123, status: "checking"), "RELOADING=1\nMONOTONIC_USEC=123\nSTATUS=checking"),
            (.stopping(status: "a\nSTATUS=b"), "STOPPING=1\nSTATUS=a STATUS=b"), (.status("x"), "STATUS=x"),
        ] as [(SystemdNotifier.Message, String)])
    func messagesArriveAsTheyAre(_ message: SystemdNotifier.Message, _ text: String) throws {
        let socket = try NotifySocket()
        #expect(SystemdNotifier(environment: ["NOTIFY_SOCKET": socket.path]).send(message))
        #expect(socket.receive() == text)
    }

    @Test func nobodyIsToldWhereNobodyAsked() {
        #expect(!SystemdNotifier(environment: [:]).send(.status("x")))
        #expect(!SystemdNotifier(environment: ["NOTIFY_SOCKET": ""]).send(.status("x")))
    }

    @Test func aSocketThatIsGoneHarmsNobody() {
        #expect(!SystemdNotifier(environment: ["NOTIFY_SOCKET": "/nowhere/at/all"]).send(.status("x")))
    }

    @Test func generationsDoNotGetTheSocket() {
        let own = Environment(["NOTIFY_SOCKET": "/x", "PATH": "/bin", "RESTARTER_ASKER_FD": "3"])
        #expect(own.forGeneration(channel: 3).list == ["PATH=/bin", "PROXY_SUPERVISION_FD=3"])
    }
}
