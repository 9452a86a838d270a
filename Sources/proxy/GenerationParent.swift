import ProxyCore
import ProxyModel
import ProxyRestart

/// Whoever said HELLO and has not been answered yet.
struct PendingHello {
    var message: HelloMessage
    var link: Link
    var peer: Link.Peer
}

/// The generation that is to replace us, or has.
final class ChildGeneration {
    let relative: Relative
    let version: UInt16
    /// Drain progress goes this way; nil where the child does not know the queue.
    let queue: MessageQueue?
    /// What it said when it took over.
    var ready = ReadyMessage()
    let beganNs = System.monotonicNs

    init(relative: Relative, version: UInt16, queue: MessageQueue?) {
        self.relative = relative
        self.version = version
        self.queue = queue
    }
}

// Being replaced: welcome a child, pass everything on, stop accepting when it serves, serve again when it fails.
extension Generation {
    /// Descriptors in one `sockets` message. Below the kernel's 253, so that labels of long names fit in the packet too.
    private static let socketsPerPacket = 100

    // MARK: - HELLO

    func receiveHello(_ packet: ReceivedPacket, _ link: Link, _ peer: Link.Peer) {
        faultPoint("parent.hello")
        if let tag = packet.unknownRequiredTag(known: knownTags) {
            return refuse(link, .init(reason: .malformed, text: "HELLO has the required field \(tag), which this version does not know"))
        }
        guard let message = HelloMessage(packet) else {
            return refuse(link, .init(reason: .malformed, text: "HELLO is incomplete"))
        }
        if let refusal = message.incompatibility(withParent: ProgramVersion.text) {
            log.emit(.warning, "hot_restart", refusal.text, ["child.pid": .number("\(peer.pid)")])
            return refuse(link, refusal)
        }
        hellos.append(PendingHello(message: message, link: link, peer: peer))
        feed(.childHello(epoch: message.epoch))
    }

    private func refuse(_ link: Link, _ refusal: RestartRefusal) {
        var packet = refusal.packet
        packet.put(Tag.epoch, epoch)
        // It fits into an empty buffer, or nobody reads it.
        try? link.send(packet)
    }

    func refuseHello(_ failure: RestartFailure) {
        guard !hellos.isEmpty else { return }
        let pending = hellos.removeFirst()
        let reason: RefusalReason =
            switch failure.id {
            case RestartFailure.busy.id: .busy
            case RestartFailure.notServing.id: .notServing
            default: .epochNotAbove
            }
        log.emit(
            .notice, "hot_restart", "refused a new generation: \(failure.message)",
            ["child.pid": .number("\(pending.peer.pid)"), "child.epoch": .number("\(pending.message.epoch)")])
        refuse(pending.link, .init(reason: reason, text: failure.message))
    }

    /// The machine had no answer: it is in a state in which nobody can be welcomed.
    func refuseForgottenHello() {
        if !hellos.isEmpty { refuseHello(.notServing) }
    }

    // MARK: - WELCOME and the inheritance

    func welcomeChild() {
        guard !hellos.isEmpty, controlBlock != nil else { return }
        let pending = hellos.removeFirst()
        let relative = Relative(
            link: pending.link, epoch: pending.message.epoch, pid: pending.peer.pid, process: pending.link.peerProcess())
        let shared = pending.message.capabilities.intersection(.all)
        var queue: MessageQueue?
        if shared.contains(.drainQueue) { queue = try? MessageQueue.create(side: .parent) }
        let version = min(pending.message.versionMax, Protocol.newest)
        let child = ChildGeneration(relative: relative, version: version, queue: queue)
        self.child = child
        serverStatistics.add("server.restart_attempts", in: statistics)
        do {
            try watchChild(child)
            faultPoint("parent.beforeWelcome")
            try eachInheritancePacket(version, shared, queue: queue) {
                send($0, to: relative)
                faultPoint(afterSending: $0.type)
            }
            try eachLinkPacket(version) { send($0, to: relative) }
            faultPoint("parent.beforeInheritanceEnd")
            var end = Packet(type: MessageType.inheritanceEnd, version: version)
            end.put(Tag.count, UInt64(engine?.sockets.count ?? 0))
            send(end, to: relative)
            faultPoint("parent.afterInheritanceEnd")
        } catch {
            log.emit(.error, "hot_restart", "cannot pass everything to the new generation: \(error); it is turned away")
            feed(.childBye(.failed))
        }
    }

    /// WELCOME, control socket, listening sockets, then everything else; what a child gets, and what the supervisor keeps for one. In this
    /// order: whatever happens to us once they are there, the child can serve and be replaced. Each packet is sent before the next is made, so that few
    /// copies of descriptors exist at a time.
    private func eachInheritancePacket(
        _ version: UInt16, _ shared: Capabilities, queue: MessageQueue?, _ emit: (Packet) -> Void
    ) throws(CoreError) {
        guard let controlBlock else { return }
        let welcome = WelcomeMessage(
            version: version, capabilities: shared, epoch: epoch, pid: pid, programVersion: ProgramVersion.text,
            startedUnixMs: startUp.beganUnixMs, firstStartedUnixMs: firstStartedUnixMs, hotRestartGeneration: hotRestartGeneration)
        var descriptors = [try Descriptor.copy(of: controlBlock.fd)]
        for fd in queue?.fds ?? [] { descriptors.append(try .copy(of: fd)) }
        emit(welcome.packet(descriptors))
        if let control = boundControl { emit(try inheritancePacket(.controlSocket, control.descriptor.fd, version)) }
        var packet = Packet(type: MessageType.sockets, version: version)
        for socket in engine?.sockets ?? [] {
            packet.put(Tag.socket, SocketLabelCodec.encode(index: socket.index, socket.label))
            packet.descriptors.append(try .copy(of: socket.fd))
            if packet.descriptors.count == Self.socketsPerPacket {
                emit(packet)
                packet = Packet(type: MessageType.sockets, version: version)
            }
        }
        if !packet.descriptors.isEmpty { emit(packet) }
        for (kind, fd) in inheritedItems { emit(try inheritancePacket(kind, fd, version)) }
    }

    private var inheritedItems: [(InheritedKind, Int32)] {
        var items: [(InheritedKind, Int32)] = []
        if let fd = admin?.fd { items.append((.adminSocket, fd)) }
        if let statistics {
            items.append((.statisticsBlock, statistics.fd))
            items += statistics.relatives.map { (.statisticsBlock, $0.fd) }
        }
        return items
    }

    private func eachLinkPacket(_ version: UInt16, _ emit: (Packet) -> Void) throws(CoreError) {
        for relative in [parent].compactMap({ $0 }) + older {
            var packet = try inheritancePacket(.link, relative.link.fd, version)
            packet.put(Tag.epoch, relative.epoch)
            packet.put(Tag.pid, UInt64(UInt32(bitPattern: relative.pid)))
            emit(packet)
        }
    }

    private func inheritancePacket(_ kind: InheritedKind, _ fd: Int32, _ version: UInt16) throws(CoreError) -> Packet {
        var packet = Packet(type: MessageType.inheritance, version: version)
        packet.put(Tag.kinds, [kind.rawValue])
        packet.descriptors = [try .copy(of: fd)]
        return packet
    }

    // MARK: - The keeper

    /// Whoever started us gets copies of what a replacement needs, should we be the only generation and be killed. Links to older
    /// generations are left out: their ends must be seen when we die.
    func leaveWithKeeper() {
        guard startUp.supervisor.isConnected, controlBlock != nil else { return }
        faultPoint("keeper.beforeWelcome")
        do {
            try eachInheritancePacket(Protocol.newest, .all, queue: nil) {
                startUp.supervisor.send($0)
                faultPoint(afterKeeping: $0.type)
            }
            var end = Packet(type: MessageType.inheritanceEnd)
            end.put(Tag.count, UInt64(engine?.sockets.count ?? 0))
            faultPoint("keeper.beforeEnd")
            startUp.supervisor.send(end)
            faultPoint("keeper.afterEnd")
        } catch {
            startUp.supervisor.send(.bare(MessageType.keepNothing))
            log.emit(.warning, "hot_restart", "the restarter keeps no copies of the listening sockets: \(error)")
        }
        if startUp.supervisor.hasUnsent { flushLater() }
    }

    // MARK: - What the child says

    private func watchChild(_ child: ChildGeneration) throws(CoreError) {
        try loop.watch(child.relative.link.fd) { [unowned self] in receiveFromChild(child) }
        if let process = child.relative.process {
            try loop.watch(process.descriptor.fd) { [unowned self] in childProcessEnded(child) }
        }
    }

    private func receiveFromChild(_ child: ChildGeneration) {
        do {
            while self.child === child, let packet = try child.relative.link.receive() { try handleChild(packet, child) }
        } catch {
            if !error.isClosed {
                log.emit(
                    .error, "hot_restart", "the new generation's link is unusable: \(error)",
                    ["child.pid": .number("\(child.relative.pid)")])
                send(ByeMessage(reason: .failed).packet, to: child.relative)
            }
            loop.unwatch(child.relative.link.fd)
            feed(.childGone)
        }
    }

    /// Dead, though its link may live on in the hands of a younger generation: then that one announced itself before it took over.
    private func childProcessEnded(_ child: ChildGeneration) {
        child.relative.process.map { loop.unwatch($0.descriptor.fd) }
        receiveFromChild(child)
        guard self.child === child, machine.successors.isEmpty else { return }
        feed(.childGone)
    }

    private func handleChild(_ packet: ReceivedPacket, _ child: ChildGeneration) throws(CoreError) {
        if let tag = packet.unknownRequiredTag(known: knownTags) {
            throw CoreError(code: -5001, call: "message", object: "type \(packet.type)", text: "required field \(tag) is unknown here")
        }
        switch packet.type {
        case MessageType.childBlock:
            faultPoint("parent.childBlock")
            attachBlocks(packet.descriptors, onlyOf: child.relative.epoch)
            rememberOptions(packet.bytes(Tag.socketOptions).map(SocketOptionName.parse) ?? [])
        case MessageType.makeSockets: try makeSockets(packet, child)
        case MessageType.ready:
            // Believed, it would leave nobody accepting.
            guard controlBlock?.serving != epoch else { throw CoreError(code: -22, call: "READY", text: "the word of who serves is ours") }
            child.ready = ReadyMessage(packet)
            faultPoint("parent.ready")
            feed(.childReady)
        case MessageType.successor:
            let epoch = packet.integer(Tag.epoch) ?? 0
            attachBlocks(packet.descriptors, onlyOf: epoch)
            feed(.successorAnnounced(epoch: epoch))
        case MessageType.drainNow: feed(.drainNow)
        case MessageType.reopenLogs:
            log.emit(.notice, "main", "asked by the serving generation, reopening log files")
            reopenLogs()
        case MessageType.bye: feed(.childBye(ByeWord(rawValue: ByeMessage(packet).reason.rawValue) ?? .failed))
        default: break
        }
    }

    /// They act on our sockets too, so a child that fails must not leave them behind.
    private func rememberOptions(_ names: [SocketOptionName]) {
        do {
            try engine?.rememberOptions(names)
        } catch {
            log.emit(.warning, "hot_restart", "should the new generation fail, the socket options that it sets stay as they are: \(error)")
        }
    }

    private func makeSockets(_ packet: ReceivedPacket, _ child: ChildGeneration) throws(CoreError) {
        guard let count = packet.integer(Tag.count) else {
            return send(Packet(type: MessageType.madeSockets, version: child.version), to: child.relative)
        }
        guard let bytes = packet.bytes(Tag.address), let address = SocketAddress(bytes: bytes) else {
            throw CoreError(code: -5000, call: "make sockets", text: "no address")
        }
        faultPoint("parent.makingSockets")
        var answer = Packet(type: MessageType.madeSockets, version: child.version)
        answer.put(Tag.address, bytes)
        do {
            let count = min(UInt32(clamping: count), UInt32(Self.socketsPerPacket))
            try checkRoom(for: count)
            let made = try engine?.makeSockets(for: address, count: count) ?? []
            for fd in made { answer.descriptors.append(try .copy(of: fd)) }
        } catch {
            log.emit(.warning, "hot_restart", "cannot make further listening sockets for the new generation: \(error)")
        }
        send(answer, to: child.relative)
        faultPoint("parent.madeSockets")
    }

    /// Each socket is held here, and a copy of it until it is sent. An eighth of the limit stays with the clients, whoever asks.
    private func checkRoom(for count: UInt32) throws(CoreError) {
        let usage = System.descriptorUsage
        guard UInt64(max(usage.used, 0)) + 2 * UInt64(count) <= usage.limit - usage.limit / 8 else {
            throw CoreError(
                code: -24, call: "make sockets", text: "\(usage.used) descriptors of \(usage.limit) are in use; raise ulimit -n")
        }
    }

    // MARK: - Letting go

    /// Step 6 of a restart: what counts from here are the drain time and the force deadline.
    func stopAccepting() {
        let ready = child?.ready ?? ReadyMessage()
        let seconds = ready.parentShutdownS ?? UInt64(options.drainTimeS) + 60
        drainEndsNs = System.monotonicNs + seconds * 1_000_000_000
        for index in ready.removedSockets { engine?.markRemoved(index) }
        if let given = ready.parentShutdownS, given < UInt64(options.drainTimeS) {
            log.emit(
                .warning, "hot_restart", "the new generation's --parent-shutdown-time-s is shorter than our --drain-time-s: it counts",
                ["parent_shutdown_s": .number("\(given)"), "drain_s": .number("\(options.drainTimeS)")])
        }
        state = .draining
        startUp.supervisor.send(.bare(MessageType.keepNothing))
        unwatchOlder()
        control?.stop()
        if ready.keepsAdmin { admin?.stop() } else { admin?.abandon() }
        faultPoint("parent.stopping")
        if let engine { engine.acceptStop() } else { feed(.acceptStopped) }
    }

    func sendDraining() {
        guard let child else { return }
        faultPoint("parent.beforeDraining")
        let left = drainEndsNs.map { $0 > System.monotonicNs ? ($0 - System.monotonicNs) / 1_000_000 : 0 } ?? 0
        send(DrainingMessage(connections: engine?.connections ?? 0, endsInMs: left).packet, to: child.relative)
        faultPoint("parent.afterDraining")
    }

    // MARK: - The child failed

    /// SIGKILL to whoever of the child and its successors has the word: no two may believe that they serve.
    func fenceChild() {
        guard let child, let target = fenced else { return }
        let process = target == child.relative.epoch ? child.relative.process : process(of: target)
        if process?.signal(9) != true {
            log.emit(
                .warning, "hot_restart", "the new generation cannot be killed; the word of who serves is taken from it",
                ["child.epoch": .number("\(target)")])
        }
    }

    /// Whose silence counts, and who is killed for it.
    var fenced: UInt64? { machine.successor(whileWordIs: controlBlock?.serving ?? epoch) }

    private func process(of epoch: UInt64) -> ProcessHandle? {
        controlBlock?.generations.first { $0.epoch == epoch }.flatMap { ProcessHandle(pid: $0.pid) }
    }

    func takeServiceBack(from epochs: [UInt64]) {
        guard let controlBlock else { return feed(.serviceTaken(true)) }
        faultPoint("rollback.beforeWord")
        let taken = controlBlock.serving == epoch || epochs.contains { controlBlock.take(from: $0, to: epoch) }
        faultPoint("rollback.afterWord")
        feed(.serviceTaken(taken || controlBlock.serving == epoch))
    }

    func forgetChild(_ reason: RestartFailure) {
        recordFailure(reason, .failed)
        serverStatistics.add("server.restart_failures", in: statistics)
        dropChild()
        engine?.clearMarks()
    }

    func recordRollback(_ reason: RestartFailure) {
        recordFailure(reason, .rolledBack)
        serverStatistics.add("server.restart_rollbacks", in: statistics)
        let gone = statistics?.relatives.filter { $0.epoch > epoch }.map(\.epoch) ?? []
        dropChild()
        for epoch in gone { buryEpoch(epoch) }
    }

    func noteRollback(from failed: UInt64) {
        log.emit(
            .warning, "hot_restart", "rolled back: serving again after generation \(failed) failed",
            ["reason": .string(lastRestart?.reason ?? ""), "epoch.failed": .number("\(failed)")])
        startUp.supervisor.tell(.rolledBack(.init(toEpoch: epoch, text: lastRestart?.reason)))
        leaveWithKeeper()
    }

    private func recordFailure(_ reason: RestartFailure, _ result: RestartReport.Result) {
        var report = RestartReport()
        report.fromEpoch = epoch
        report.fromPid = pid
        report.toEpoch = child?.relative.epoch ?? 0
        report.toPid = child?.relative.pid ?? 0
        report.version = ProductVersion.number
        report.result = result
        report.failedStep = reason.step
        report.reason = reason.message
        report.totalMs = child.map { Double(System.monotonicNs - $0.beganNs) / 1e6 } ?? 0
        report.endedUnixMs = System.unixMs
        lastRestart = report
        serverStatistics.noteRestart(ok: false, report, in: statistics)
        if result == .failed {
            log.emit(
                .error, "hot_restart", "restart failed: \(reason.message)",
                [
                    "id": .string(reason.id), "step": .string(reason.step), "child.epoch": .number("\(report.toEpoch)"),
                    "child.pid": .number("\(report.toPid)"), "remedy": .string(reason.remedy),
                ])
        }
    }

    private func dropChild() {
        guard let child else { return }
        loop.unwatch(child.relative.link.fd)
        child.relative.process.map { loop.unwatch($0.descriptor.fd) }
        self.child = nil
        buryEpoch(child.relative.epoch)
    }

    /// After a rollback, where the admin server had been given up for another address.
    func reopenAdmin() throws(CoreError) {
        guard admin?.fd == nil, let wanted = configuration.admin?.address else { return }
        let server = if let admin { admin } else { try AdminServer(loop: loop) }
        try server.open(try SocketAddress(wanted))
        admin = server
    }
}
