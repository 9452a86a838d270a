import ProxyCore
import ProxyModel
import ProxyRestart

// Generations older than ours: their ends, their statistics, how many of them there may be.
extension Generation {
    /// The parent is dead or said goodbye. Its end proper, when nothing more can be counted in its block, is the end of the link.
    func forgetParent() {
        guard let parent else { return }
        self.parent = nil
        loop.unwatch(parent.link.fd)
        older.append(parent)
        if machine.serves || machine.state == .takingOver { watchOlder() }
    }

    func watchOlder() {
        for relative in older {
            do {
                try loop.watch(relative.link.fd) { [unowned self] in receiveFromOlder(relative) }
            } catch {
                log.emit(.error, "hot_restart", "generation \(relative.epoch) cannot be watched: \(error)")
            }
        }
        guard machine.serves, let parent else { return }
        do {
            try watchParent()
        } catch {
            log.emit(.error, "hot_restart", "generation \(parent.epoch) cannot be watched: \(error)")
        }
    }

    /// Our child reads them now.
    func unwatchOlder() {
        for relative in older { loop.unwatch(relative.link.fd) }
        if let parent { loop.unwatch(parent.link.fd) }
    }

    private func receiveFromOlder(_ relative: Relative) {
        do {
            while let packet = try relative.link.receive() {
                if packet.type == MessageType.bye { relative.bye = ByeMessage(packet) }
            }
        } catch {
            loop.unwatch(relative.link.fd)
            older.removeAll { $0 === relative }
            bury(relative)
        }
    }

    /// Its process has ended: nothing is written to its block any more.
    private func bury(_ relative: Relative) {
        buryEpoch(relative.epoch)
        let forced = relative.bye?.forced ?? 0
        let fields: KeyValuePairs<String, LogRecord.Value> = [
            "epoch": .number("\(relative.epoch)"), "pid": .number("\(relative.pid)"), "cut": .number("\(forced)"),
        ]
        switch relative.bye?.reason {
        case .drained: log.emit(.notice, "hot_restart", "an older generation has drained and ended", fields)
        case .forced where relative.isToldToMakeRoom:
            log.emit(.warning, "hot_restart", "an older generation was ended to make room: connections were cut", fields)
        case .forced where relative.isToldToEnd: log.emit(.notice, "hot_restart", "an older generation was ended as asked", fields)
        case .forced: log.emit(.warning, "hot_restart", "an older generation has ended at its force deadline", fields)
        case .stop, .failed: log.emit(.notice, "hot_restart", "an older generation has stopped", fields)
        case nil: log.emit(.warning, "hot_restart", "an older generation died", fields)
        }
        // Who kept its sockets for us knows that it died.
        if isFromKeeper, relative.epoch == recorder.report.fromEpoch { return }
        startUp.supervisor.tell(.drained(.init(epoch: relative.epoch, forced: forced)))
    }

    /// Fold what a dead generation counted, and forget its record.
    func buryEpoch(_ epoch: UInt64) {
        for block in statistics?.relatives ?? [] where block.epoch == epoch { statistics?.fold(block.id) }
        controlBlock?.retire(epoch)
    }

    // MARK: - How many may drain

    /// Ended only now that we serve: an attempt that fails ends nobody.
    func limitDrainingGenerations() {
        let draining = (older + [parent].compactMap { $0 }).sorted { $0.epoch < $1.epoch }
        let surplus = draining.count - Int(options.maxDrainingGenerations)
        guard surplus > 0 else { return }
        let records = Dictionary((controlBlock?.generations ?? []).map { ($0.epoch, $0.connections) }, uniquingKeysWith: { $1 })
        for relative in draining.prefix(surplus) where relative.bye == nil {
            log.emit(
                .warning, "hot_restart",
                "\(draining.count) generations drain, --max-draining-generations is \(options.maxDrainingGenerations): ending the oldest",
                [
                    "epoch": .number("\(relative.epoch)"), "pid": .number("\(relative.pid)"),
                    "connections": .number("\(records[relative.epoch] ?? 0)"),
                ])
            relative.isToldToMakeRoom = true
            endNow(relative)
        }
    }

    func endNow(_ relative: Relative) {
        relative.isToldToEnd = true
        send(.bare(MessageType.drainNow), to: relative)
    }
}
