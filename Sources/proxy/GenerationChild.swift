import Glibc
import ProxyAdmin
import ProxyCore
import ProxyModel
import ProxyRestart

// Becoming the generation that serves: find the parent or nobody, inherit, open what is missing, take over.
extension Generation {
    /// How long a control name may be bound without anybody listening on it, or its backlog be full.
    private static let lookMs: UInt64 = 10_000
    private static let lookAgainMs: UInt64 = 10
    /// How much later than its link a process may end.
    private static let deathMs: UInt64 = 1000

    // MARK: - Looking

    func lookForParent() {
        faultPoint("child.looking")
        guard lookDeadlineNs == 0 else { return lookAgain(or: .silentParent("it hangs up when it is greeted, and no other answers")) }
        lookDeadlineNs = System.monotonicNs + Self.lookMs * 1_000_000
        lookOnce()
    }

    private func lookOnce() {
        let name = options.controlSocketName
        if boundControl != nil { return feed(.nobodyServes) }
        if let keeper = startUp.supervisor.takeKeeper() { return inherit(from: keeper) }
        do {
            let link = try Link.connect(name)
            let peer = try link.peer()
            guard peer.isPermitted else { return feed(.failed(.strangerServes(peer, name: name))) }
            let relative = Relative(link: link, epoch: 0, pid: peer.pid, process: link.peerProcess())
            parent = relative
            try watchParent()
            if startUp.supervisor.isConnected { try watchListener(relative) }
            feed(.connected)
        } catch {
            if error.isNobodyThere {
                bindControl(name)
            } else if error.isTryAgain {
                lookAgain(or: .silentParent("its control socket takes no links"))
            } else {
                feed(.failed(.controlSocket(error, name: name)))
            }
        }
    }

    /// A link that nobody has accepted does not end with the process that listened, if our supervisor keeps the socket; and nobody
    /// accepts it, because the supervisor waits for us.
    private func watchListener(_ relative: Relative) throws(CoreError) {
        guard ProcessHandle.isRunning(pid: relative.pid) else { return listenerDied(relative) }
        guard let process = relative.process else { return }
        try loop.watch(process.descriptor.fd) { [unowned self] in
            loop.unwatch(process.descriptor.fd)
            listenerDied(relative)
        }
    }

    private func listenerDied(_ relative: Relative) {
        after(ms: Survey.rollbackMs) { [unowned self] in
            guard parent === relative, machine.state == .helloSent else { return }
            feed(.failed(.deadParent(relative.pid)))
        }
    }

    /// A dead generation left everything to the supervisor: to the restart machine that is a parent that welcomes us and dies.
    private func inherit(from keeper: Link) {
        parent = Relative(link: keeper, epoch: 0, pid: 0, process: nil)
        isFromKeeper = true
        do {
            try watchParent()
            feed(.connected)
        } catch {
            feed(.failed(.loop(error)))
        }
    }

    private func bindControl(_ name: String) {
        if case .number(let number) = options.restartEpoch, number > 0, !startUp.parentWasSeen, !options.skipOnNoParent {
            return feed(.failed(.noParent(number, name: name)))
        }
        do {
            boundControl = try ControlSocket.bind(name, mode: options.socketMode)
            feed(.nobodyServes)
        } catch {
            guard error.isNameInUse else { return feed(.failed(.controlSocket(error, name: name))) }
            // Somebody who has just bound it, and will listen soon.
            lookAgain(or: .controlSocket(error, name: name))
        }
    }

    private func lookAgain(or failure: RestartFailure) {
        guard System.monotonicNs < lookDeadlineNs else { return feed(.failed(failure)) }
        after(ms: Self.lookAgainMs) { [unowned self] in if machine.state == .lookingForParent { lookOnce() } }
    }

    /// Call `body` once.
    func after(ms: UInt64, _ body: @escaping () -> Void) {
        var timer: MainLoop.Timer?
        timer = loop.makeTimer { [unowned self] in
            if let timer { loop.forget(timer) }
            body()
        }
        timer.map { loop.arm($0, afterMs: ms) }
    }

    /// A keeper has sent what it has already.
    func sendHello() {
        guard !isFromKeeper else { return }
        faultPoint("child.beforeHello")
        send(HelloMessage(epoch: epoch, pid: pid).packet, to: parent)
        faultPoint("child.afterHello")
    }

    // MARK: - What the parent says

    func watchParent() throws(CoreError) {
        guard let parent else { return }
        try loop.watch(parent.link.fd) { [unowned self] in receiveFromParent(parent) }
    }

    private func receiveFromParent(_ relative: Relative) {
        do {
            // After a goodbye, or once we drain, others read this link.
            while parent === relative, let packet = try relative.link.receive() { try handleParent(packet) }
        } catch {
            loop.unwatch(relative.link.fd)
            if error.isClosed { return parentHungUp(relative) }
            log.emit(.error, "hot_restart", "the link to the serving generation is unusable: \(error)")
            switch machine.state {
            case .helloSent: feed(.failed(.malformedMessage("\(error)")))
            case .inheriting, .adopting, .preparing, .warming: feed(.failed(.inheritance(Self.text(error))))
            default: feed(.parentGone)
            }
        }
    }

    /// Descriptors are cut off where the limit leaves no room for them.
    private static func text(_ error: CoreError) -> String {
        guard error.isTruncated else { return "\(error)" }
        let usage = System.descriptorUsage
        return "\(error); descriptor limit \(usage.limit), in use \(usage.used)"
    }

    /// The link of a process that dies ends a moment before the process itself. One that lives on after that has turned us away: it
    /// serves, and its word is not ours to take.
    private func parentHungUp(_ relative: Relative, waitedMs: UInt64 = 0) {
        guard parent === relative else { return }
        // Nothing has been agreed on yet, and it may have been handing over when we came: look again.
        guard machine.state != .helloSent, let process = relative.process, !process.hasEnded else { return feed(.parentGone) }
        guard waitedMs < Self.deathMs else { return feed(.parentBye(.failed)) }
        after(ms: 1) { [unowned self] in parentHungUp(relative, waitedMs: waitedMs + 1) }
    }

    private func handleParent(_ packet: ReceivedPacket) throws(CoreError) {
        if let tag = packet.unknownRequiredTag(known: knownTags) {
            throw CoreError(code: -5001, call: "message", object: "type \(packet.type)", text: "required field \(tag) is unknown here")
        }
        switch packet.type {
        case MessageType.welcome: try takeWelcome(packet)
        case MessageType.refused:
            let refusal = RestartRefusal(packet)
            feed(.refused(.refused(refusal, epoch: epoch, serving: packet.integer(Tag.epoch))))
        case MessageType.sockets:
            try inheritance.addSockets(packet)
            faultPoint("child.socketsCame")
        case MessageType.inheritance: try inheritance.addDescriptors(packet)
        case MessageType.inheritanceEnd: try endInheritance(packet)
        case MessageType.madeSockets: takeMadeSockets(packet)
        case MessageType.draining: takeDraining(DrainingMessage(packet))
        case MessageType.bye:
            let bye = ByeMessage(packet)
            parent?.bye = bye
            feed(.parentBye(ByeWord(rawValue: bye.reason.rawValue) ?? .failed))
        default: break  // of a newer program, and nothing that must be understood
        }
    }

    private func takeWelcome(_ packet: ReceivedPacket) throws(CoreError) {
        guard let welcome = WelcomeMessage(packet) else { throw CoreError(code: -5000, call: "WELCOME") }
        inheritance.welcome = welcome
        inheritance.controlBlock = packet.descriptors[0]
        inheritance.queue = Array(packet.descriptors.dropFirst())
        parent?.epoch = welcome.epoch
        parent?.pid = welcome.pid
        firstStartedUnixMs = welcome.firstStartedUnixMs
        hotRestartGeneration = welcome.hotRestartGeneration + 1
        recorder.setParent(epoch: welcome.epoch, pid: welcome.pid)
        faultPoint("child.welcomed")
        feed(.welcome(parentEpoch: welcome.epoch))
    }

    private func endInheritance(_ packet: ReceivedPacket) throws(CoreError) {
        faultPoint("child.inheritanceCame")
        let expected = packet.integer(Tag.count) ?? 0
        guard expected == inheritance.sockets.count else {
            throw CoreError(code: -5003, call: "inheritance", text: "\(inheritance.sockets.count) of \(expected) listening sockets came")
        }
        feed(.inheritanceEnded)
    }

    // MARK: - Adopting

    func adoptInheritance() {
        faultPoint("child.adopting")
        do {
            if let descriptor = inheritance.controlBlock {
                let block = try ControlBlock.attach(descriptor)
                controlBlock = block
                shareLog(block)
            }
            if !inheritance.queue.isEmpty { parentQueue = try MessageQueue.attach(inheritance.queue, side: .child) }
        } catch {
            return feed(.failed(error.isIncompatible ? .malformedMessage("\(error)") : .sharedMemory(error)))
        }
        if let descriptor = inheritance.controlSocket { boundControl = ControlSocket(adopting: descriptor) }
        older = inheritance.older
        guard makeEngine() else { return }
        guard offerSockets() else { return }
        askForSockets()
    }

    private func makeEngine() -> Bool {
        let builder = StatisticsBuilder()
        do {
            let plan = try Plan(configuration)
            try serverStatistics.register(builder)
            try plan.registerStatistics(builder, workers: workers)
            for block in inheritance.statisticsBlocks { _ = builder.addNames(of: block, limit: 100_000) }
            let statistics: Statistics
            do {
                statistics = try Statistics(builder, shards: workers + 1, epoch: epoch)
            } catch {
                feed(.failed(.sharedMemory(error)))
                return false
            }
            self.statistics = statistics
            if !options.skipParentStats { attachBlocks(inheritance.statisticsBlocks) }
            engine = try Engine(
                plan: plan, statistics: statistics, control: controlBlock, loop: loop,
                settings: .init(
                    workers: workers, epoch: epoch, accessLogFlushMs: options.fileFlushIntervalMs,
                    accessLogMinBytes: options.fileFlushMinSizeKB * 1024))
            return true
        } catch {
            feed(.failed(.engine(error)))
            return false
        }
    }

    /// `onlyOf`: whose block it has to be. One of another epoch would outlive the attempt of whoever sent it.
    func attachBlocks(_ descriptors: [Descriptor], onlyOf epoch: UInt64? = nil) {
        for descriptor in descriptors {
            do {
                _ = try statistics?.attach(descriptor, onlyOf: epoch)
            } catch {
                log.emit(.warning, "hot_restart", "another generation's statistics cannot be read; they are left out: \(error)")
            }
        }
    }

    private func offerSockets() -> Bool {
        guard let engine else { return false }
        for socket in inheritance.sockets {
            do {
                if try !engine.offer(socket.descriptor, label: socket.label) { inheritance.unwanted.append(socket) }
            } catch {
                feed(.failed(.inheritance("\(socket.label.listener) \(socket.label.address): \(error)")))
                return false
            }
        }
        inheritance.sockets = []
        return true
    }

    private func askForSockets() {
        faultPoint("child.beforeBlock")
        guard let engine, let parent, let statistics, !isFromKeeper else { return feed(.extraSocketsArrived) }
        do {
            var block = Packet(type: MessageType.childBlock)
            block.descriptors = [try .copy(of: statistics.fd)]
            block.put(Tag.socketOptions, SocketOptionName.bytes(configuration.socketOptionNames))
            send(block, to: parent)
        } catch {
            return feed(.failed(.controlSocket(error, name: options.controlSocketName)))
        }
        // Our options may be set once the parent has noted what they were. It answers in order.
        if case .alive = machine.parent, !configuration.socketOptionNames.isEmpty {
            send(.bare(MessageType.makeSockets), to: parent)
            inheritance.unansweredRequests += 1
        }
        // Of a parent that is dead nothing more comes.
        while case .alive = machine.parent, let (address, count) = engine.nextWanting() {
            var request = Packet(type: MessageType.makeSockets)
            request.put(Tag.address, address.bytes)
            request.put(Tag.count, UInt64(count))
            send(request, to: parent)
            inheritance.unansweredRequests += 1
        }
        faultPoint("child.blockSent")
        if inheritance.unansweredRequests == 0 { feed(.extraSocketsArrived) }
    }

    private func takeMadeSockets(_ packet: ReceivedPacket) {
        guard inheritance.unansweredRequests > 0 else { return }
        faultPoint("child.extraSocketsCame")
        if let address = packet.bytes(Tag.address).flatMap(SocketAddress.init(bytes:)) {
            for descriptor in packet.descriptors {
                do {
                    try engine?.adoptExtra(descriptor, for: address)
                } catch {
                    log.emit(.warning, "hot_restart", "an extra listening socket is not used: \(error)", ["address": .string("\(address)")])
                }
            }
        }
        inheritance.unansweredRequests -= 1
        if inheritance.unansweredRequests == 0 { feed(.extraSocketsArrived) }
    }

    // MARK: - Opening

    func prepare(cold: Bool) {
        faultPoint("child.opening")
        if cold {
            if !options.disableHotRestart {
                do {
                    let block = try ControlBlock.create(serving: epoch)
                    controlBlock = block
                    shareLog(block)
                } catch {
                    return feed(.failed(.sharedMemory(error)))
                }
            }
            guard makeEngine() else { return }
        }
        let kept = Set((engine?.sockets ?? []).map(\.label.listener))
        do { try engine?.openSockets(cold: cold) } catch { return feed(.failed(.listen(error))) }
        if let failure = openAdmin() { return feed(.failed(failure)) }
        do {
            try engine?.start()
            if let parentQueue { try loop.watch(parentQueue.eventFd) { [unowned self] in readParentQueue() } }
        } catch {
            return feed(.failed(.engine(error)))
        }
        countListeners(kept: kept)
        publish()
        faultPoint("child.opened")
        feed(.prepared)
    }

    private func openAdmin() -> RestartFailure? {
        guard let wanted = configuration.admin?.address else {
            inheritance.keepsAdmin = false
            inheritance.adminSocket = nil
            return nil
        }
        do {
            let address = try SocketAddress(wanted)
            let server = try AdminServer(loop: loop)
            if let descriptor = inheritance.adminSocket, Self.isSuccessor(address, of: try SocketAddress.bound(to: descriptor.fd)) {
                try server.adopt(descriptor)
            } else {
                inheritance.keepsAdmin = false
                try server.open(address, beside: inheritance.adminSocket)
            }
            inheritance.adminSocket = nil
            admin = server
            return nil
        } catch {
            return .admin(error, address: "\((try? SocketAddress(wanted))?.description ?? "\(wanted)")")
        }
    }

    /// The same address, or the same but for a port that was left to the kernel.
    private static func isSuccessor(_ wanted: SocketAddress, of bound: SocketAddress) -> Bool {
        wanted == bound || (!wanted.isPipe && wanted.port == 0 && wanted.host == bound.host)
    }

    /// `kept`: names of listeners that have inherited sockets.
    private func countListeners(kept: Set<String>) {
        let names = Set(configuration.listeners.map(\.name))
        let removed = Set(inheritance.unwanted.map(\.label.listener)).subtracting(names)
        recorder.setListeners(.init(kept: kept.count, added: names.subtracting(kept).count, removed: removed.count))
    }

    // MARK: - Taking over

    func takeService(from parentEpoch: UInt64?) {
        faultPoint("child.beforeListen")
        do { try engine?.listen() } catch { return feed(.failed(.listen(error))) }
        guard let controlBlock else { return feed(.serviceTaken(true)) }
        faultPoint("child.listening")
        for relative in older { announceSuccession(to: relative) }
        faultPoint("child.beforeWord")
        var isOurs = parentEpoch.map { controlBlock.take(from: $0, to: epoch) } ?? true
        // Another was quicker than we, and has died since.
        if !isOurs, let owner = deadOwner { isOurs = controlBlock.take(from: owner, to: epoch) }
        faultPoint("child.tookWord")
        feed(.serviceTaken(isOurs || controlBlock.serving == epoch))
    }

    /// An older generation will have to take the word back from us, should everybody in between be dead, and count what we counted.
    private func announceSuccession(to relative: Relative) {
        var packet = Packet(type: MessageType.successor)
        packet.put(Tag.epoch, epoch)
        if let fd = statistics?.fd, let copy = try? Descriptor.copy(of: fd) { packet.descriptors = [copy] }
        send(packet, to: relative)
    }

    func startAccepting() {
        state = .serving
        drainEndsNs = nil
        if !hasAnnounced, machine.state == .serving { leaveWithKeeperFirst() }
        // Each by itself: what one of them lacks is no reason to leave the others closed.
        attempt("clients") { () throws(CoreError) in try engine?.acceptStart() }
        attempt("the next generation") { () throws(CoreError) in try startControl() }
        attempt("admin requests") { () throws(CoreError) in
            try reopenAdmin()
            try admin?.start()
        }
        // Their copies would let clients of a removed listener connect and hang.
        inheritance.unwantedDescriptorsAreClosed()
        watchOlder()
        faultPoint("child.accepting")
        writeAdminAddress()
        publish()
    }

    private func attempt(_ whom: String, _ body: () throws(CoreError) -> Void) {
        do { try body() } catch { log.emit(.critical, "main", "serving, but \(whom) cannot be accepted: \(error)") }
    }

    /// With nobody behind us who would serve again, whatever we are about to accept and to count is to outlive us.
    private func leaveWithKeeperFirst() {
        if boundControl == nil { rebindControl() }
        if isFromKeeper { buryTheDead() }
        leaveWithKeeper()
        isLeftWithKeeper = true
    }

    private func startControl() throws(CoreError) {
        if boundControl == nil { rebindControl() }
        guard let boundControl else { return }
        let listener = control ?? ControlListener(socket: boundControl, loop: loop, log: log)
        listener.status = { [unowned self] in status }
        listener.command = { [unowned self] in obey($0, from: $1) }
        listener.hello = { [unowned self] in receiveHello($0, $1, $2) }
        control = listener
        try listener.start()
    }

    /// A parent that died before it had passed the control socket on has freed its name.
    private func rebindControl() {
        guard !options.disableHotRestart else { return }
        do {
            boundControl = try ControlSocket.bind(options.controlSocketName, mode: options.socketMode)
        } catch {
            let failure = RestartFailure.controlSocket(error, name: options.controlSocketName)
            log.emit(.error, "hot_restart", "serving, but no restart is possible: \(failure.message)", ["remedy": .string(failure.remedy)])
        }
    }

    func sendReady() {
        readyIsDue = false
        var ready = ReadyMessage()
        ready.removedSockets = inheritance.unwanted.map(\.index)
        ready.keepsAdmin = inheritance.keepsAdmin
        if options.parentShutdownTimeGiven { ready.parentShutdownS = UInt64(options.parentShutdownTimeS) }
        faultPoint("child.beforeReady")
        send(ready.packet, to: parent)
        faultPoint("child.afterReady")
    }

    private func takeDraining(_ draining: DrainingMessage) {
        faultPoint("child.parentDrains")
        recorder.setDraining(draining.connections)
        feed(.parentDraining)
    }

    private func writeAdminAddress() {
        guard let path = options.adminAddressPath, let address = admin?.address else { return }
        if let reason = writeFile(path, "\(address)") {
            log.emit(.error, "admin", RestartFailure.file("the admin address", path, reason).message)
        }
    }

    /// The first time we serve with nothing left to wait for.
    func announceService() {
        hasAnnounced = true
        recorder.end(.ok)
        lastRestart = recorder.report
        let report = recorder.report
        serverStatistics.record("server.initialization_time_ms", UInt64(report.totalMs), in: statistics)
        serverStatistics.noteRestart(ok: true, report, in: statistics)
        log.emit(
            .notice, "main", report.fromEpoch == nil ? "starting main dispatch loop: serving" : "hot restart done: serving",
            [
                "restart.ms": .number(milliseconds(report.totalMs)), "listeners.kept": .number("\(report.listeners.kept)"),
                "listeners.added": .number("\(report.listeners.added)"), "listeners.removed": .number("\(report.listeners.removed)"),
                "connections.draining": .number("\(report.connections.draining)"),
            ])
        printFirstSteps()
        startUp.supervisor.tell(.serving(.init(epoch: epoch, pid: pid, ms: report.totalMs, report: report)))
        if let socket = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }) {
            Processes.notify(socket, "MAINPID=\(pid)\nREADY=1\nSTATUS=generation \(epoch) serves, pid \(pid)")
        }
        limitDrainingGenerations()
        if !isLeftWithKeeper { leaveWithKeeper() }
        faultPoint("child.serving")
    }

    /// Nobody served before us, and no link to anybody came with what was kept.
    private func buryTheDead() {
        for epoch in Set((statistics?.relatives ?? []).map(\.epoch)) { buryEpoch(epoch) }
    }

    func shareLog(_ block: ControlBlock?) {
        let fd = startUp.logFile.descriptor
        nonisolated(unsafe) let block = block
        log.setSink { bytes in SharedFile.write(bytes, to: fd, block: block, lock: .log, timeoutMs: 100) == 0 }
    }
}

extension Inheritance {
    /// Keeps the indexes, which READY tells, and closes the copies.
    mutating func unwantedDescriptorsAreClosed() {
        for position in unwanted.indices {
            unwanted[position].descriptor = Descriptor(adopting: -1)
        }
    }
}
