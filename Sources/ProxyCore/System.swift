internal import CProxyCore

#if canImport(Glibc)
    internal import Glibc
#endif

/// Facts about this process and machine.
public enum System {
    public static var processors: UInt32 { px_processor_count() }
    public static func raiseDescriptorLimit() -> UInt64 { px_descriptor_limit_raise() }
    public static var descriptorUsage: (limit: UInt64, used: Int64) {
        var limit: UInt64 = 0
        var used: Int64 = 0
        px_descriptor_usage(&limit, &used)
        return (limit, used)
    }
    /// Effective user id: what the other end of a link sees of us.
    public static var user: UInt32 { geteuid() }
    /// A close-on-exec copy of a descriptor, or -errno.
    public static func duplicate(_ fd: Int32) -> Int32 {
        let copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)
        return copy >= 0 ? copy : -errno
    }
    /// Only where there is no event to wait for.
    public static func pause(milliseconds: UInt32) { usleep(milliseconds * 1000) }
    /// Bytes in use, and bytes held, by the C library's allocator.
    public static var heapUsage: (allocated: UInt64, heap: UInt64) {
        var allocated: UInt64 = 0, heap: UInt64 = 0
        px_memory_usage(&allocated, &heap)
        return (allocated, heap)
    }
    /// "NAME=value" of every variable.
    public static var environment: [String] {
        var list: [String] = []
        var entry = environ
        while let text = entry.pointee {
            list.append(String(cString: text))
            entry += 1
        }
        return list
    }
    public static var monotonicNs: UInt64 { px_clock_monotonic_ns() }
    public static var unixMs: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
    }
}

/// Log records of the core.
public enum CoreLog {
    public struct Record {
        public var level: UInt32
        public var component: String
        public var text: String
    }
    public static func take() -> Record? {
        var raw = px_log_record()
        guard px_log_take(&raw) else { return nil }
        return Record(level: raw.level, component: string(raw.component), text: string(raw.text))
    }
    public static var lost: UInt64 { px_log_lost() }
    /// Records below `level` (0 trace … 6 critical) are not made.
    public static func setLevel(_ level: UInt32) { px_log_set_level(level) }
}
