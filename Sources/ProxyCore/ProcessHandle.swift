internal import CProxyCore

#if canImport(Glibc)
    internal import Glibc
#endif

/// A process by pidfd: signals reach it or nobody, never a recycled pid.
public final class ProcessHandle {
    public let descriptor: Descriptor
    public init(_ descriptor: Descriptor) { self.descriptor = descriptor }

    public convenience init?(pid: Int32) {
        let fd = px_pidfd_open(pid)
        guard fd >= 0 else { return nil }
        self.init(Descriptor(adopting: fd))
    }

    /// Whether `pid` is that of a process that runs; a zombie does not. One of another pid namespace is taken for one.
    public static func isRunning(pid: Int32) -> Bool {
        pid <= 0 || px_process_is_running(pid)
    }

    @discardableResult
    public func signal(_ number: Int32) -> Bool { px_pidfd_signal(descriptor.fd, number) == 0 }

    /// Whether the process has ended (a pidfd becomes readable then).
    public var hasEnded: Bool {
        var poll = pollfd(fd: descriptor.fd, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) == 1
    }
}

public struct SpawnedProcess {
    public var pid: Int32
    /// nil where the kernel has no pidfds.
    public var handle: ProcessHandle?
}

public enum Processes {
    /// Start a program. `inherit`: descriptors here, and the numbers they get there.
    public static func spawn(
        path: String, arguments: [String], environment: [String], inherit: [(from: Int32, to: Int32)] = [], newSession: Bool = false
    ) throws(CoreError) -> SpawnedProcess {
        let argv = CStringArray(arguments)
        let envp = CStringArray(environment)
        let pairs = inherit.flatMap { [$0.from, $0.to] }
        var pid: Int32 = 0
        var pidfd: Int32 = -1
        _ = try checked("spawn") { detail in
            path.withCString { path in
                pairs.withUnsafeBufferPointer { pairs in
                    var spec = px_spawn_spec(
                        path: path, argv: argv.pointer, envp: envp.pointer, inherit: pairs.baseAddress,
                        inherit_count: UInt32(inherit.count), new_session: newSession)
                    return px_spawn(&spec, &pid, &pidfd, &detail)
                }
            }
        }
        return SpawnedProcess(pid: pid, handle: pidfd >= 0 ? ProcessHandle(Descriptor(adopting: pidfd)) : nil)
    }

    public enum Ending: Sendable, Equatable { case exited(Int32), signalled(Int32) }

    /// Reap one ended child (-1: any) without waiting.
    public static func reap(_ pid: Int32 = -1) -> (pid: Int32, ending: Ending)? {
        var reaped: Int32 = 0
        var code: Int32 = 0
        var signal: Int32 = 0
        guard px_reap(pid, &reaped, &code, &signal) == 1 else { return nil }
        return (reaped, signal > 0 ? .signalled(signal) : .exited(code))
    }

    /// Tell systemd; false when the socket cannot be reached.
    @discardableResult
    public static func notify(_ socketPath: String, _ text: String) -> Bool { px_notify(socketPath, text) == 0 }

    /// The same with a descriptor to be kept (`FDSTORE=1`).
    public static func notify(_ socketPath: String, _ text: String, keeping descriptor: Descriptor) -> Bool {
        px_notify_fd(socketPath, text, descriptor.fd) == 0
    }
}

/// NULL-terminated array of C strings that lives as long as this object.
final class CStringArray {
    private var strings: [UnsafePointer<CChar>?]
    private let storage: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>

    init(_ texts: [String]) {
        strings = texts.map { UnsafePointer(strdup($0)) } + [nil]
        storage = .allocate(capacity: strings.count)
        _ = storage.initialize(from: strings)
    }
    deinit {
        for string in strings { free(UnsafeMutablePointer(mutating: string)) }
        storage.deallocate()
    }
    var pointer: UnsafePointer<UnsafePointer<CChar>?> { UnsafePointer(storage.baseAddress!) }
}
