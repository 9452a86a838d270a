internal import CProxyCore

/// Worker threads, listening sockets, connections. Its reports come as events of the main loop.
public final class Engine {
    private let handle: OpaquePointer
    // Borrowed by the core until destroy, so they must outlive it.
    private let statistics: Statistics
    private let control: ControlBlock?
    private let loop: MainLoop

    public struct Settings {
        public var workers: UInt32
        public var epoch: UInt64
        public var accessLogFlushMs: UInt32
        public var accessLogMinBytes: UInt32
        public init(workers: UInt32, epoch: UInt64, accessLogFlushMs: UInt32, accessLogMinBytes: UInt32) {
            self.workers = workers
            self.epoch = epoch
            self.accessLogFlushMs = accessLogFlushMs
            self.accessLogMinBytes = accessLogMinBytes
        }
    }

    public init(plan: Plan, statistics: Statistics, control: ControlBlock?, loop: MainLoop, settings: Settings) throws(CoreError) {
        var options = px_engine_options(
            workers: settings.workers, epoch: settings.epoch, access_log_flush_ms: settings.accessLogFlushMs,
            access_log_min_bytes: settings.accessLogMinBytes)
        handle = try created("engine") {
            px_engine_create(plan.handle!, statistics.block, control?.handle, loop.handle, &options, &$0)
        }
        plan.consumed()
        self.statistics = statistics
        self.control = control
        self.loop = loop
    }

    deinit { px_engine_destroy(handle) }

    // MARK: listening sockets

    /// What a listening socket is for, as it travels between generations.
    public struct SocketLabel {
        public var listener: String
        public var addressIndex: UInt32
        public var workerIndex: UInt32
        public var address: SocketAddress
        public init(listener: String, addressIndex: UInt32, workerIndex: UInt32, address: SocketAddress) {
            self.listener = listener
            self.addressIndex = addressIndex
            self.workerIndex = workerIndex
            self.address = address
        }
    }

    /// Whether the plan has a place for it (then the engine owns it).
    public func offer(_ descriptor: Descriptor, label: SocketLabel) throws(CoreError) -> Bool {
        let result = label.listener.withCString { name in
            var raw = px_socket_label(
                listener: name, address_index: label.addressIndex, worker_index: label.workerIndex, addr: label.address.raw)
            return px_engine_offer_socket(handle, &raw, descriptor.fd)
        }
        guard result >= 0 else { throw CoreError(code: result, call: "adopt listening socket", object: label.address.description) }
        if result == 1 { _ = descriptor.release() }
        return result == 1
    }

    /// The next address for which the parent should make more sockets.
    public func nextWanting() -> (address: SocketAddress, count: UInt32)? {
        var raw = px_addr()
        var count: UInt32 = 0
        return px_engine_next_wanting(handle, &raw, &count) ? (SocketAddress(raw), count) : nil
    }

    public func adoptExtra(_ descriptor: Descriptor, for address: SocketAddress) throws(CoreError) {
        let result = withUnsafePointer(to: address.raw) { px_engine_adopt_extra(handle, $0, descriptor.fd) }
        guard result == 0 else { throw CoreError(code: result, call: "adopt extra socket", object: address.description) }
        _ = descriptor.release()
    }

    public func openSockets(cold: Bool) throws(CoreError) {
        _ = try checked("open sockets") { px_engine_open_sockets(handle, cold, &$0) }
    }
    public func start() throws(CoreError) { _ = try checked("start workers") { px_engine_start(handle, &$0) } }
    public func listen() throws(CoreError) { _ = try checked("listen") { px_engine_listen(handle, &$0) } }
    public func acceptStart() throws(CoreError) { _ = try checked("accept") { px_engine_accept_start(handle, &$0) } }
    public func acceptStop() { px_engine_accept_stop(handle) }
    public func drainListeners(inboundOnly: Bool) { px_engine_drain_listeners(handle, inboundOnly) }

    /// Every listening socket, its index and its (lent) descriptor.
    public var sockets: [(index: UInt32, fd: Int32, label: SocketLabel)] {
        (0..<px_engine_socket_count(handle)).compactMap { index in
            var raw = px_socket_label()
            let fd = px_engine_socket(handle, index, &raw)
            guard fd >= 0, let name = raw.listener else { return nil }
            let label = SocketLabel(
                listener: String(cString: name), addressIndex: raw.address_index, workerIndex: raw.worker_index,
                address: SocketAddress(raw.addr))
            return (index, fd, label)
        }
    }
    public func markRemoved(_ index: UInt32) { px_engine_mark_removed(handle, index) }
    /// A child will set these on our sockets: their present values are put back by `clearMarks` and by a rollback.
    public func rememberOptions(_ names: [SocketOptionName]) throws(CoreError) {
        let raw = names.prefix(SocketOptionName.limit).map { px_option_name(level: $0.level, name: $0.name) }
        let result = px_engine_remember_options(handle, raw, UInt32(raw.count))
        guard result == 0 else { throw CoreError(code: result, call: "remember socket options") }
    }
    public func clearMarks() { px_engine_clear_marks(handle) }

    /// Parent side: further sockets for an address of ours. Lent descriptors.
    public func makeSockets(for address: SocketAddress, count: UInt32) throws(CoreError) -> [Int32] {
        var fds = [Int32](repeating: -1, count: Int(min(count, UInt32(PX_PACKET_FDS_MAX))))
        let result = withUnsafePointer(to: address.raw) { px_engine_make_sockets(handle, $0, UInt32(fds.count), &fds) }
        guard result >= 0 else { throw CoreError(code: result, call: "make sockets", object: address.description) }
        return Array(fds.prefix(Int(result)))
    }

    // MARK: connections

    public var connections: UInt64 { px_engine_connections(handle) }

    public var oldestConnection: (ageMs: UInt64, listener: String)? {
        var age: UInt64 = 0
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { room in
            px_engine_oldest(handle, &age, room.baseAddress!, room.count) ? (age, String(cString: room.baseAddress!)) : nil
        }
    }

    public func closeAll() { px_engine_close_all(handle) }
    public func reopenLogs() { px_engine_reopen_logs(handle) }
    public func flushLogs(timeoutMs: UInt32) -> Bool { px_engine_flush_logs(handle, timeoutMs) == 0 }

    // MARK: snapshots

    public struct Host {
        public var address: SocketAddress
        public var hostname: String
        public var weight: UInt32
        public var isHealthy: Bool
        public var active: Int64
        public var total: UInt64
        public var connectFailures: UInt64
    }

    public func hosts(ofCluster index: UInt32) -> [Host] {
        final class Sink { var hosts: [Host] = [] }
        let sink = Sink()
        px_engine_each_host(
            handle, index,
            { host, context in
                let raw = host.pointee
                Unmanaged<Sink>.fromOpaque(context!).takeUnretainedValue().hosts.append(
                    Host(
                        address: SocketAddress(raw.addr), hostname: String(cString: raw.hostname), weight: raw.weight,
                        isHealthy: raw.healthy, active: raw.cx_active, total: raw.cx_total, connectFailures: raw.cx_connect_fail))
            }, Unmanaged.passUnretained(sink).toOpaque())
        return sink.hosts
    }

    public var clusterNames: [String] {
        (0..<px_engine_cluster_count(handle)).map { String(cString: px_engine_cluster_name(handle, $0)) }
    }

    public func address(ofListener listener: Int, index: Int) -> SocketAddress? {
        var raw = px_addr()
        return px_engine_listener_address(handle, UInt32(listener), UInt32(index), &raw) == 0 ? SocketAddress(raw) : nil
    }
}
