#if canImport(Glibc)
    internal import Glibc
#endif

/// Owner of one descriptor: closed when the last reference goes. It must have left every epoll set before that.
public final class Descriptor {
    public private(set) var fd: Int32

    public init(adopting fd: Int32) { self.fd = fd }

    deinit { if fd >= 0 { _ = Glibc.close(fd) } }

    /// Give the descriptor away; this object owns nothing any more.
    public func release() -> Int32 {
        defer { fd = -1 }
        return fd
    }
}
