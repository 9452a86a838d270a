internal import CProxyCore

/// Two single-producer rings in shared memory, one each way, between a parent and its child.
public final class MessageQueue {
    public enum Side: UInt32 {
        case parent = 0
        case child
    }
    let handle: OpaquePointer

    private init(_ handle: OpaquePointer) { self.handle = handle }
    deinit { px_queue_destroy(handle) }

    public static func create(ringBytes: UInt32 = 65536, side: Side) throws(CoreError) -> MessageQueue {
        MessageQueue(try created("memfd_create") { px_queue_create(ringBytes, px_queue_side(rawValue: side.rawValue)!, &$0) })
    }

    /// `descriptors`: the three of `fds`, in that order.
    public static func attach(_ descriptors: [Descriptor], side: Side) throws(CoreError) -> MessageQueue {
        guard descriptors.count == 3 else { throw CoreError(code: -22, call: "attach queue") }
        let fds = descriptors.map(\.fd)
        let handle = try created("mmap") { px_queue_attach(fds, px_queue_side(rawValue: side.rawValue)!, &$0) }
        for descriptor in descriptors { _ = descriptor.release() }
        return MessageQueue(handle)
    }

    /// Lent: memfd, eventfd parent→child, eventfd child→parent.
    public var fds: [Int32] {
        var fds: [Int32] = [-1, -1, -1]
        px_queue_fds(handle, &fds)
        return fds
    }

    public enum PushResult: Equatable {
        case pushed
        /// There is no room now; the same message may be pushed later.
        case full
        /// It would not fit into an empty queue either.
        case tooLarge
        /// The other side has made nonsense of the queue, which takes nothing any more.
        case unusable
    }

    public func push(type: UInt32, _ bytes: [UInt8]) -> PushResult {
        switch bytes.withUnsafeBytes({ px_queue_push(handle, type, $0.baseAddress, UInt32($0.count)) }) {
        case 0: .pushed
        case -11: .full
        case -90: .tooLarge
        default: .unusable
        }
    }

    /// What is there now, at most 1024 messages; the event says so again if there may be more. One larger than 4096 bytes is skipped.
    public func drain() -> [(type: UInt32, bytes: [UInt8])] {
        px_queue_clear(handle)
        var messages: [(type: UInt32, bytes: [UInt8])] = []
        var room = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<1024 {
            var type: UInt32 = 0
            let length = room.withUnsafeMutableBytes { px_queue_pop(handle, &type, $0.baseAddress!, UInt32($0.count)) }
            if length == -90 { continue }  // EMSGSIZE: it is gone, there may be more behind it
            guard length >= 0 else { return messages }
            messages.append((type, Array(room.prefix(Int(length)))))
        }
        px_queue_raise(handle)
        return messages
    }

    public var eventFd: Int32 { px_queue_event_fd(handle) }
}
