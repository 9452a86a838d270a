import Glibc
import ProxyAdmin
import ProxyCore

/// What this process has of memory.
enum ProcessMemory {
    static var now: MemoryStatus {
        let usage = System.heapUsage
        var status = MemoryStatus()
        status.allocated = usage.allocated
        status.heapSize = usage.heap
        status.physical = residentBytes
        return status
    }

    /// The second number of /proc/self/statm, in pages (proc(5)).
    private static var residentBytes: UInt64 {
        let fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return 0 }
        defer { close(fd) }
        var room = [UInt8](repeating: 0, count: 128)
        let length = read(fd, &room, room.count)
        guard length > 0 else { return 0 }
        let words = String(decoding: room.prefix(length), as: UTF8.self).split(separator: " ")
        return (words.count > 1 ? UInt64(words[1]) ?? 0 : 0) * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }
}
