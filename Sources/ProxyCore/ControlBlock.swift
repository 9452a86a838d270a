internal import CProxyCore

/// Shared by all living generations: who serves, the locks of the log files, one record per generation.
public final class ControlBlock {
    let handle: OpaquePointer

    private init(_ handle: OpaquePointer) { self.handle = handle }
    deinit { px_control_block_destroy(handle) }

    public static func create(serving epoch: UInt64) throws(CoreError) -> ControlBlock {
        ControlBlock(try created("memfd_create") { px_control_block_create(epoch, &$0) })
    }

    public static func attach(_ descriptor: Descriptor) throws(CoreError) -> ControlBlock {
        let handle = try created("mmap") { px_control_block_attach(descriptor.fd, &$0) }
        _ = descriptor.release()
        return ControlBlock(handle)
    }

    /// Lent: the block stays the owner.
    public var fd: Int32 { px_control_block_fd(handle) }
    public var serving: UInt64 { px_control_block_serving(handle) }
    public func take(from expected: UInt64, to epoch: UInt64) -> Bool { px_control_block_take(handle, expected, epoch) }

    public func publish(_ generation: GenerationRecord) -> Bool {
        var raw = generation.raw
        return px_control_block_publish(handle, &raw) == 0
    }
    public func retire(_ epoch: UInt64) { px_control_block_retire(handle, epoch) }
    public var generations: [GenerationRecord] {
        var records = [px_generation](repeating: px_generation(), count: Int(PX_GENERATIONS_MAX))
        let count = px_control_block_generations(handle, &records, UInt32(records.count))
        return records.prefix(Int(count)).map(GenerationRecord.init)
    }
}

public struct GenerationRecord: Sendable, Equatable {
    public enum State: UInt32, Sendable {
        case initializing = 0
        case serving, draining, stopping
        public var text: String {
            switch self {
            case .initializing: "initializing"
            case .serving: "serving"
            case .draining: "draining"
            case .stopping: "stopping"
            }
        }
    }
    public var epoch: UInt64 = 0
    public var pid: Int32 = 0
    public var state = State.initializing
    public var startedUnixMs: UInt64 = 0
    public var firstStartedUnixMs: UInt64 = 0
    public var connections: UInt64 = 0
    public var oldestConnectionMs: UInt64 = 0
    public var drainEndsUnixMs: UInt64 = 0
    public var heartbeatNs: UInt64 = 0
    public var configHash: UInt64 = 0
    public var version = ""
    public init() {}

    init(_ raw: px_generation) {
        epoch = raw.epoch
        pid = raw.pid
        state = State(rawValue: UInt32(raw.state.rawValue)) ?? .stopping
        startedUnixMs = raw.started_unix_ms
        firstStartedUnixMs = raw.first_started_unix_ms
        connections = raw.connections
        oldestConnectionMs = raw.oldest_connection_ms
        drainEndsUnixMs = raw.drain_ends_unix_ms
        heartbeatNs = raw.heartbeat_ns
        configHash = raw.config_hash
        version = string(raw.version)
    }

    var raw: px_generation {
        var raw = px_generation()
        raw.epoch = epoch
        raw.pid = pid
        raw.state = px_generation_state(rawValue: state.rawValue)!
        raw.started_unix_ms = startedUnixMs
        raw.first_started_unix_ms = firstStartedUnixMs
        raw.connections = connections
        raw.oldest_connection_ms = oldestConnectionMs
        raw.drain_ends_unix_ms = drainEndsUnixMs
        raw.heartbeat_ns = heartbeatNs
        raw.config_hash = configHash
        withUnsafeMutableBytes(of: &raw.version) { room in
            room.copyBytes(from: version.utf8.prefix(room.count - 1))
        }
        return raw
    }
}

/// Writes whole lines to a file shared with other generations.
public enum SharedFile {
    public enum Lock: UInt32 { case log = 0, accessLog }

    /// Waits for the lock at most `timeoutMs`, then writes anyway: a stopped owner must not stop others.
    public static func write(_ bytes: UnsafeRawBufferPointer, to fd: Int32, block: ControlBlock?, lock: Lock, timeoutMs: UInt32) -> Int32 {
        guard let base = bytes.baseAddress else { return 0 }
        return px_locked_write(fd, block?.handle, px_lock(rawValue: lock.rawValue)!, base, bytes.count, timeoutMs)
    }

    /// End a partial last line that a crash left behind.
    public static func endPartialLine(_ fd: Int32) -> Int32 { px_end_partial_line(fd) }
}
