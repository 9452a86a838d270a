import Foundation
import Harness

/// The other end of sd_notify(3).
final class NotifySocket {
    let path: String
    private let fd: Int32
    private(set) var messages: [String] = []

    init(_ s: Scenario) throws {
        path = "\(s.directory)/notify"
        fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = UInt16(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        let code = withUnsafeBytes(of: address) {
            bind(fd, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        guard code == 0 else { throw HarnessError("bind \(path): \(String(cString: strerror(errno)))") }
    }

    deinit { close(fd) }

    private func read() {
        var room = [UInt8](repeating: 0, count: 4096)
        while case let count = recv(fd, &room, room.count, 0), count >= 0 {
            messages.append(String(decoding: room.prefix(count), as: UTF8.self))
        }
    }

    /// The first message after `from` that has all of `lines`; returns the position after it.
    @discardableResult
    func wait(for lines: [String], from: Int = 0, within seconds: Double = 15) throws -> Int {
        try eventually("a notification with \(lines) after \(messages.dropFirst(from))", within: seconds) {
            read()
            return messages.indices.first { index in
                let found = messages[index].split(separator: "\n").map(String.init)
                return index >= from && lines.allSatisfy { line in found.contains { $0.hasPrefix(line) } }
            }.map { $0 + 1 }
        }
    }
}
