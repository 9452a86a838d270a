import FoundationEssentials
import Glibc
import ProxyCore
import ProxyModel
import ProxyRestart

// Draining, telling how it goes, and leaving.
extension Generation {
    /// How often records are published and progress is told.
    static let tickMs: UInt64 = 250
    /// A main loop that has not turned for so long is taken for dead while a rollback is possible.
    private static let silenceNs: UInt64 = 3_000_000_000

    // MARK: - The tick

    func startTicking() {
        guard !isEnding else { return }
        let ticker = loop.makeTimer { [unowned self] in tick() }
        self.ticker = ticker
        loop.arm(ticker, afterMs: Self.tickMs)
    }

    private func tick() {
        let now = System.monotonicNs
        let wasOnTime = now - lastTickNs < 2 * Self.tickMs * 1_000_000
        lastTickNs = now
        if !wasOnTime { lastLateNs = now }
        publish()
        if state == .draining {
            pushProgress()
            // Any reading settles what other generations have folded meanwhile, so that their memory can go.
            _ = statistics?.value("server.live")
        }
        watchOwner(now)
        if wasOnTime { watchForSilence(now) }
        log.settleRepeats()
        if !isEnding { ticker.map { loop.arm($0, afterMs: Self.tickMs) } }
    }

    /// Now, or a moment ago.
    var stoodStill: Bool {
        let now = System.monotonicNs
        return now - lastTickNs >= 2 * Self.tickMs * 1_000_000 || now - lastLateNs < 1_000_000_000
    }

    /// Judged only while our own loop is on time: a machine that stalls stalls all of us.
    private func watchForSilence(_ now: UInt64) {
        guard machine.windowIsOpen, let target = fenced,
            let record = controlBlock?.generations.first(where: { $0.epoch == target }), record.heartbeatNs > 0,
            now > record.heartbeatNs, now - record.heartbeatNs > patienceNs
        else { return }
        log.emit(.error, "hot_restart", "the new generation's main loop has not turned for \((now - record.heartbeatNs) / 1_000_000) ms")
        feed(.childSilent)
    }

    /// The younger generation is to serve again rather than the older, so it judges first.
    private var patienceNs: UInt64 { Self.silenceNs + UInt64(machine.successors.count) * 1_000_000_000 }

    /// Our own record in the control block.
    func publish() {
        guard let controlBlock, !isEnding else { return }
        var record = GenerationRecord()
        record.epoch = epoch
        record.pid = pid
        record.state = state
        record.startedUnixMs = startUp.beganUnixMs
        record.firstStartedUnixMs = firstStartedUnixMs
        record.connections = engine?.connections ?? 0
        record.oldestConnectionMs = engine?.oldestConnection?.ageMs ?? 0
        record.drainEndsUnixMs =
            drainEndsNs.map { System.unixMs &+ ($0 > System.monotonicNs ? ($0 - System.monotonicNs) / 1_000_000 : 0) } ?? 0
        record.heartbeatNs = System.monotonicNs
        record.configHash = startUp.configuration.hash
        record.version = ProductVersion.number
        if !controlBlock.publish(record) {
            log.emit(.warning, "hot_restart", "the table of generations is full: this one is not shown by `restarter status`")
        }
    }

    // MARK: - Draining

    func beginDrain() {
        faultPoint("parent.draining")
        lastProgress = nil
        pushProgress()
        feedEmptyIfNothingIsLeft()
    }

    func noteDrainBegan() {
        log.emit(
            .notice, "hot_restart", "closing and draining listeners",
            [
                "connections": .number("\(engine?.connections ?? 0)"),
                "forced_in_s": .number(
                    "\(drainEndsNs.map { $0 > System.monotonicNs ? ($0 - System.monotonicNs) / 1_000_000_000 : 0 } ?? 0)"),
            ])
    }

    func endDrain() { drainEndsNs = nil }

    /// Without an engine nobody else says so.
    private func feedEmptyIfNothingIsLeft() { if engine == nil { feed(.empty) } }

    func noteForced(_ count: UInt64) {
        forcedConnections += count
        serverStatistics.add("server.connections_cut", Int64(clamping: count), in: statistics)
        if count > 0, state == .draining {
            log.emit(.warning, "hot_restart", "connections were cut at the end of the drain", ["cut": .number("\(count)")])
        }
    }

    /// Through the queue to the child, which tells people.
    private func pushProgress() {
        guard let queue = child?.queue else { return }
        let oldest = engine?.oldestConnection
        let progress = SupervisionEvent.Draining(
            epoch: epoch, pid: pid, connections: engine?.connections ?? 0, oldestMs: oldest?.ageMs, listener: oldest?.listener,
            endsInMs: drainEndsNs.map { $0 > System.monotonicNs ? ($0 - System.monotonicNs) / 1_000_000 : 0 })
        let now = System.monotonicNs
        // On a change, and at most once a second otherwise.
        if let last = lastProgress, last.connections == progress.connections, now - lastProgressNs < 5_000_000_000 { return }
        guard lastProgress == nil || progress.connections == 0 || now - lastProgressNs >= 1_000_000_000 else { return }
        lastProgress = progress
        lastProgressNs = now
        guard let bytes = try? JSONEncoder().encode(progress) else { return }
        // When it is full, whoever does not read has an older report; the next one is as good.
        guard queue.push(type: Self.progressMessage, Array(bytes)) == .unusable, !isQueueGivenUp else { return }
        isQueueGivenUp = true
        log.emit(.warning, "hot_restart", "the queue to the new generation is unusable: it will not tell how this drain goes")
    }

    static let progressMessage: UInt32 = 1

    func readParentQueue() {
        for (type, bytes) in parentQueue?.drain() ?? [] where type == Self.progressMessage {
            guard let progress = try? JSONDecoder().decode(SupervisionEvent.Draining.self, from: Data(bytes)) else { continue }
            startUp.supervisor.tell(.draining(progress))
            log.emit(
                .info, "hot_restart", "the previous generation drains",
                [
                    "parent.epoch": .number("\(progress.epoch)"), "connections": .number("\(progress.connections)"),
                    "oldest_ms": .number("\(progress.oldestMs ?? 0)"), "forced_in_ms": .number("\(progress.endsInMs ?? 0)"),
                ])
        }
    }

    // MARK: - Leaving

    func sendBye(_ word: ByeWord, to peer: RestartPeer) {
        if peer == .child { faultPoint("parent.beforeBye") }
        let reason = ByeReason(rawValue: word.rawValue) ?? .failed
        // The last word of a drain: whoever gets it may count on our statistics not changing any more.
        if peer == .child, word == .drained || word == .forced, machine.state == .leaving(0), isLastWord { closeEngine() }
        if peer == .child, word == .forced, !isLastWord {
            // A stop during the drain: how many are cut is known when they are closed.
            byeIsDue = true
            return
        }
        let packet = ByeMessage(reason: reason, forced: forcedConnections).packet
        switch peer {
        case .parent:
            // We have the word and may serve already: the parent, who has not heard of it, would take this for a failed attempt.
            if word == .stop, readyIsDue { sendReady() }
            send(packet, to: parent)
        case .child: send(packet, to: child?.relative)
        case .older: for relative in older { send(packet, to: relative) }
        }
    }

    /// Connections have ended or been closed: nothing more will be counted.
    private var isLastWord: Bool { (engine?.connections ?? 0) == 0 }

    private func closeEngine() {
        guard let engine else { return }
        if !engine.flushLogs(timeoutMs: 1000) {
            log.emit(.warning, "file", "access logs could not be written out within a second")
        }
        self.engine = nil
    }

    func end(_ code: Int32) {
        guard !isEnding else { return }
        faultPoint("parent.ending")
        state = .stopping
        publish()
        isEnding = true
        exitCode = code
        closeEngine()
        if byeIsDue { send(ByeMessage(reason: .forced, forced: forcedConnections).packet, to: child?.relative) }
        admin = nil
        control?.stop()
        removeControlPath()
        controlBlock?.retire(epoch)
        log.emit(.notice, "main", "exiting", ["code": .number("\(code)")])
        loop.stop()
    }

    /// A path would outlive us. It is ours to remove only if nobody took it over.
    private func removeControlPath() {
        guard boundControl != nil, child == nil, !options.controlSocketName.hasPrefix("@") else { return }
        guard controlBlock == nil || controlBlock?.serving == epoch else { return }
        unlink(options.controlSocketName)
    }

    // MARK: - Sending

    /// Never blocks; what a peer has no room for goes later. A peer that is gone is noticed where its link is read.
    func send(_ packet: Packet, to relative: Relative?) {
        guard let relative else { return }
        do {
            try relative.link.send(packet)
        } catch {
            if !error.isClosed { log.emit(.warning, "hot_restart", "a message to generation \(relative.epoch) was not sent: \(error)") }
        }
        if relative.link.hasUnsent { flushLater() }
    }

    func flushLater() {
        guard flusher == nil else { return }
        let timer = loop.makeTimer { [unowned self] in flushAll() }
        flusher = timer
        loop.arm(timer, afterMs: 2)
    }

    private func flushAll() {
        flusher.map { loop.forget($0) }
        flusher = nil
        let all = [parent, child?.relative].compactMap { $0 } + older
        for relative in all where relative.link.hasUnsent { try? relative.link.flush() }
        startUp.supervisor.flush()
        if startUp.supervisor.hasUnsent || all.contains(where: { $0.link.hasUnsent }) { flushLater() }
    }
}
