internal import CProxyCore

/// The main thread's event loop. Everything the driver does happens in `handler`, on the thread that runs the loop.
public final class MainLoop {
    public enum Event {
        case signal(Int32, senderPid: Int32)
        case timer(UInt64)
        case readable(UInt64)
        case adminRequest(AdminServer.Request)
        case engineWarm
        case acceptStopped
        case acceptStarted
        case empty
        case log
        case closedAll(count: UInt64)
        case lostService
    }

    private(set) var handle: OpaquePointer
    /// Set before `run`. The loop holds no reference to the driver beyond this closure.
    public var handler: (Event) -> Void = { _ in }
    private var nextToken: UInt64 = 1
    private var readers: [UInt64: () -> Void] = [:]
    private var timers: [UInt64: () -> Void] = [:]
    private var tokenOfFd: [Int32: UInt64] = [:]

    public init() throws(CoreError) {
        let box = Box()
        handle = try created("epoll_create1") { px_mainloop_create(deliver, Unmanaged.passUnretained(box).toOpaque(), &$0) }
        self.box = box
        box.loop = self
    }

    deinit { px_mainloop_destroy(handle) }

    /// What the C callback gets as context: outlives the handle, because `deinit` destroys that first.
    fileprivate final class Box { unowned(unsafe) var loop: MainLoop? }
    private let box: Box

    /// Call before any other thread exists.
    public func watchSignals(_ signals: [Int32]) throws(CoreError) {
        let result = px_mainloop_watch_signals(handle, signals, signals.count)
        guard result == 0 else { throw CoreError(code: result, call: "signalfd") }
    }

    /// Call `body` whenever `fd` is readable (level-triggered). Unwatch before closing.
    public func watch(_ fd: Int32, _ body: @escaping () -> Void) throws(CoreError) {
        unwatch(fd)
        let token = nextToken
        nextToken += 1
        let result = px_mainloop_watch(handle, fd, token)
        guard result == 0 else { throw CoreError(code: result, call: "epoll_ctl", object: "fd \(fd)") }
        readers[token] = body
        tokenOfFd[fd] = token
    }

    public func unwatch(_ fd: Int32) {
        guard let token = tokenOfFd.removeValue(forKey: fd) else { return }
        readers[token] = nil
        px_mainloop_unwatch(handle, fd)
    }

    /// A one-shot timer, known by its token so that it can be cancelled or armed again.
    public struct Timer: Hashable, Sendable {
        let token: UInt64
    }

    public func makeTimer(_ body: @escaping () -> Void) -> Timer {
        let token = nextToken
        nextToken += 1
        timers[token] = body
        return Timer(token: token)
    }

    public func arm(_ timer: Timer, afterMs delay: UInt64) {
        // Cannot fail but for memory, and then the process is lost anyway.
        if px_mainloop_set_timer(handle, timer.token, delay) != 0 { preconditionFailure("no memory for a timer") }
    }

    public func cancel(_ timer: Timer) { px_mainloop_cancel_timer(handle, timer.token) }

    public func forget(_ timer: Timer) {
        cancel(timer)
        timers[timer.token] = nil
    }

    /// Run until `stop`.
    public func run() throws(CoreError) {
        let result = px_mainloop_run(handle)
        guard result == 0 else { throw CoreError(code: result, call: "epoll_wait") }
    }

    /// One turn, waiting at most `timeoutMs` (-1: for ever).
    public func turn(timeoutMs: Int32) throws(CoreError) {
        let result = px_mainloop_turn(handle, timeoutMs)
        guard result >= 0 else { throw CoreError(code: result, call: "epoll_wait") }
    }

    public func stop() { px_mainloop_stop(handle) }

    fileprivate func dispatch(_ event: px_event) {
        switch event.kind {
        case .PX_EVENT_SIGNAL: handler(.signal(event.signal, senderPid: event.sender_pid))
        case .PX_EVENT_TIMER:
            if let body = timers[event.token] { body() } else { handler(.timer(event.token)) }
        case .PX_EVENT_READABLE:
            if let body = readers[event.token] { body() } else { handler(.readable(event.token)) }
        case .PX_EVENT_ADMIN_REQUEST:
            if let request = event.request { handler(.adminRequest(AdminServer.Request(request.pointee))) }
        case .PX_EVENT_ENGINE_WARM: handler(.engineWarm)
        case .PX_EVENT_ACCEPT_STOPPED: handler(.acceptStopped)
        case .PX_EVENT_ACCEPT_STARTED: handler(.acceptStarted)
        case .PX_EVENT_EMPTY: handler(.empty)
        case .PX_EVENT_LOG: handler(.log)
        case .PX_EVENT_CLOSED_ALL: handler(.closedAll(count: event.count))
        case .PX_EVENT_LOST_SERVICE: handler(.lostService)
        }
    }
}

private func deliver(_ event: UnsafePointer<px_event>, _ context: UnsafeMutableRawPointer?) {
    let box = Unmanaged<MainLoop.Box>.fromOpaque(context!).takeUnretainedValue()
    box.loop?.dispatch(event.pointee)
}

/// The admin server: C speaks HTTP, Swift renders.
public final class AdminServer {
    public struct Request {
        public let id: UInt64
        public let method: String
        public let path: String
        public let query: String
        public let origin: String
        public let host: String
        public let body: [UInt8]

        init(_ raw: px_admin_request) {
            id = raw.id
            method = String(cString: raw.method)
            path = String(cString: raw.path)
            query = String(cString: raw.query)
            origin = String(cString: raw.origin)
            host = String(cString: raw.host)
            body = Array(UnsafeBufferPointer(start: raw.body, count: raw.body_length))
        }
    }

    private let handle: OpaquePointer
    /// The server's timers and descriptors live in the loop, which must go last.
    private let loop: MainLoop

    public init(loop: MainLoop) throws(CoreError) {
        guard let handle = px_admin_create(loop.handle) else { throw CoreError(code: -12, call: "admin server") }
        self.handle = handle
        self.loop = loop
    }

    deinit { px_admin_destroy(handle) }

    /// `other`: the socket of another generation, which may be in the way (a specific address beside the wildcard one).
    public func open(_ address: SocketAddress, beside other: Descriptor? = nil) throws(CoreError) {
        _ = try checked("bind") { detail in
            withUnsafePointer(to: address.raw) { px_admin_open_beside(handle, $0, other?.fd ?? -1, &detail) }
        }
    }

    /// What came from another process as the admin server's socket is one.
    public static func check(_ descriptor: Descriptor) throws(CoreError) {
        let result = px_admin_check_fd(descriptor.fd)
        guard result == 0 else { throw CoreError(code: result, call: "inherit", object: "admin socket") }
    }

    public func adopt(_ descriptor: Descriptor) throws(CoreError) {
        let result = px_admin_adopt_fd(handle, descriptor.fd)
        guard result == 0 else { throw CoreError(code: result, call: "adopt admin socket") }
        _ = descriptor.release()
    }

    /// Lent; nil when there is no listening socket.
    public var fd: Int32? {
        let fd = px_admin_fd(handle)
        return fd >= 0 ? fd : nil
    }

    public var address: SocketAddress? {
        var raw = px_addr()
        return px_admin_address(handle, &raw) == 0 ? SocketAddress(raw) : nil
    }

    public func start() throws(CoreError) {
        let result = px_admin_start(handle)
        guard result == 0 else { throw CoreError(code: result, call: "listen", object: "admin") }
    }

    public func stop() { px_admin_stop(handle) }

    /// Stop, and make the address refuse, whichever generations still hold the socket. It can be opened again.
    public func abandon() { px_admin_abandon(handle) }

    public func respond(to request: UInt64, status: Int, contentType: String, extraHeaders: String, body: [UInt8]) {
        body.withUnsafeBufferPointer { bytes in
            var nothing: UInt8 = 0
            px_admin_respond(
                handle, request, UInt32(status), contentType, extraHeaders, bytes.baseAddress ?? withUnsafePointer(to: &nothing) { $0 },
                bytes.count)
        }
    }
}
