import Foundation
import Harness
import ProxyCore

/// The test's own end of a link to a proxy's control socket, or of one that a proxy has made to us.
final class ControlPeer {
    let link: Link

    init(_ link: Link) { self.link = link }

    convenience init(_ s: Scenario, within seconds: Double = 10) throws {
        let name = s.controlName
        self.init(
            try eventually("room on \(name)", within: seconds) { () throws -> Link? in
                do {
                    return try Link.connect(name)
                } catch let error as CoreError {
                    guard error.isTryAgain else { throw HarnessError("connect \(name): \(error)") }
                    return nil
                }
            })
    }

    func send(_ packet: Packet) throws {
        do { try link.send(packet) } catch { throw HarnessError("send: \(error)") }
    }

    /// As they are; false when the other side has hung up or has no room.
    @discardableResult
    func sendBytes(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { Glibc.send(link.fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) } == bytes.count
    }

    func receive(within seconds: Double = 10) throws -> ReceivedPacket {
        try eventually("a message on the control link", within: seconds) {
            do { return try link.receive() } catch { throw HarnessError("the link's end instead of a message: \(error)") }
        }
    }

    func waitForEnd(within seconds: Double = 10) throws {
        try eventually("the other side to hang up", within: seconds) {
            do {
                while try link.receive() != nil {}
                return false
            } catch {
                return true
            }
        }
    }

    /// Whether the other side has hung up, without reading anything.
    var isCut: Bool {
        var asked = pollfd(fd: link.fd, events: 0, revents: 0)
        return poll(&asked, 1, 0) == 1
    }

    /// HELLO of a program like ours.
    static func hello(epoch: UInt64) -> Packet {
        var packet = Packet(type: MessageType.hello, version: Protocol.oldest)
        packet.put(Tag.versionMin, UInt64(Protocol.oldest))
        packet.put(Tag.versionMax, UInt64(Protocol.newest))
        packet.put(Tag.capabilities, Capabilities.all.rawValue)
        packet.put(Tag.requiredCapabilities, Capabilities.required.rawValue)
        packet.put(Tag.epoch, epoch)
        packet.put(Tag.pid, UInt64(getpid()))
        return packet
    }
}

extension Descriptor {
    static func null() throws -> Descriptor { Descriptor(adopting: open("/dev/null", O_RDWR | O_CLOEXEC)) }
    static func copy(of fd: Int32) throws -> Descriptor {
        let copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw HarnessError("fcntl: \(String(cString: strerror(errno)))") }
        return Descriptor(adopting: copy)
    }
}

extension Scenario {
    var controlName: String { ControlNames(socketPath: socketPath, baseID: baseID).proxy }
}

/// What a process holds: to be the same before and after.
struct Holdings: Equatable, CustomStringConvertible {
    var descriptors: Int
    var residentKiB: Int
    var description: String { "\(descriptors) descriptors, \(residentKiB) KiB" }

    init(_ pid: Int32) {
        descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count) ?? 0
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        residentKiB = status.firstMatch(of: /VmRSS:\s+(\d+)/).flatMap { Int($0.output.1) } ?? 0
    }
}
