import Foundation

/// A server that a test plays itself, connection by connection.
public final class TestListener {
    private var fd: Int32
    public let endpoint: Endpoint

    /// `backlog` 0: the kernel completes one connection that is not accepted, and answers no further ones.
    public init(_ endpoint: Endpoint, backlog: Int32 = 64, receiveBuffer: Int32? = nil) throws {
        self.endpoint = endpoint
        fd = socket(TestSocket.family(of: endpoint), Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        if var receiveBuffer { setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        guard TestSocket.withAddress(endpoint, { bind(fd, $0, $1) }) == 0, listen(fd, backlog) == 0 else {
            let reason = TestSocket.error(errno)
            close()
            throw HarnessError("listen on \(endpoint): \(reason)")
        }
    }

    deinit { close() }

    public func close() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }

    public func accept(within seconds: Double = 5) throws -> TestSocket {
        var wanted = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, Int32(seconds * 1000)) == 1 else {
            throw HarnessError("waited \(seconds) s in vain for a connection to \(endpoint)")
        }
        let accepted = Glibc.accept(fd, nil, nil)
        guard accepted >= 0 else { throw HarnessError("accept on \(endpoint): \(TestSocket.error(errno))") }
        _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
        return TestSocket(adopting: accepted, within: seconds)
    }
}
