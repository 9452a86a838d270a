import FoundationEssentials
import Glibc
import ProxyAdmin
import ProxyConfig
import ProxyCore
import ProxyModel
import ProxyRestart

// What people ask: the admin server's requests, and questions and commands on the control socket.
extension Generation {
    // MARK: - The control socket

    var status: ProxyStatus {
        publish()
        var status = ProxyStatus()
        status.epoch = epoch
        status.pid = pid
        status.version = ProductVersion.number
        status.startedUnixMs = startUp.beganUnixMs
        status.restartInProgress = child != nil
        status.configPath = startUp.source.path
        // Without either it is the embedded one, which the next generation has too.
        status.configYAML = isEmbeddedExample ? nil : startUp.source.yaml
        status.configHash = String(startUp.configuration.hash, radix: 16)
        status.executable = startUp.executable
        status.arguments = startUp.arguments
        status.admin = admin?.address?.description
        status.supervised = startUp.supervisor.isConnected
        status.generations = (controlBlock?.generations ?? []).map { record in
            .init(
                epoch: record.epoch, pid: record.pid, state: record.state.text, connections: record.connections,
                oldestConnectionMs: record.connections > 0 ? record.oldestConnectionMs : nil,
                drainEndsUnixMs: record.drainEndsUnixMs > 0 ? record.drainEndsUnixMs : nil, startedUnixMs: record.startedUnixMs)
        }
        status.lastRestart = lastRestart
        return status
    }

    func obey(_ command: ControlCommand, from peer: Link.Peer) -> CommandAnswer {
        log.emit(
            .notice, "main", "command on the control socket",
            ["command": .string(command.command.rawValue), "peer.pid": .number("\(peer.pid)")])
        switch command.command {
        case .stop:
            // Later, so that the answer leaves before the link does.
            after(ms: 0) { [unowned self] in feed(.stop) }
            return CommandAnswer(ok: true, text: "stopping")
        case .drainNow:
            let draining = older + [parent].compactMap { $0 }
            for relative in draining where relative.bye == nil { endNow(relative) }
            return CommandAnswer(
                ok: true, text: draining.isEmpty ? "no generation drains" : "ending \(draining.count) draining generations")
        case .reopenLogs:
            reopenEverybodysLogs()
            return CommandAnswer(ok: true, text: "log files reopened")
        case .restart:
            return CommandAnswer(ok: false, text: "there is no supervisor: start the next generation, or use `restarter restart`")
        }
    }

    // MARK: - The admin server

    func answer(_ request: AdminServer.Request) {
        let reply = AdminRouter.reply(
            to: AdminRequest(
                method: request.method, path: request.path, query: request.query, origin: request.origin, host: request.host,
                body: request.body), snapshot)
        let response = reply.response
        admin?.respond(
            to: request.id, status: Int(response.status), contentType: response.contentType, extraHeaders: response.extraHeaders,
            body: response.body)
        if let action = reply.action { perform(action) }
    }

    private func perform(_ action: AdminAction) {
        log.emit(.info, "admin", "admin request: \(action)")
        switch action {
        case .drainListeners(let graceful, let skipExit, let inboundOnly): drainListeners(graceful, skipExit, inboundOnly)
        case .failHealthcheck(let fail): isHealthcheckFailed = fail
        case .setLogLevel(let name):
            if let level = LogLevel(name: name) { log.setLevel(level) }
            CoreLog.setLevel(UInt32(log.lowestLevel.rawValue))
        case .setComponentLogLevels(let levels):
            for entry in levels {
                if let level = LogLevel(name: entry.level) { _ = log.setLevel(level, of: entry.component) }
            }
            CoreLog.setLevel(UInt32(log.lowestLevel.rawValue))
        case .reopenLogs: reopenEverybodysLogs()
        case .quit: after(ms: 0) { [unowned self] in feed(.stop) }
        case .resetCounters:
            if let problem = statistics?.reset() {
                log.emit(.warning, "admin", "not every counter could be reset: \(problem)")
            }
        }
    }

    /// A draining generation writes access-log lines too, and has no admin server of its own.
    private func reopenEverybodysLogs() {
        reopenLogs()
        for relative in older + [parent].compactMap({ $0 }) where relative.bye == nil { send(.bare(MessageType.reopenLogs), to: relative) }
    }

    /// `graceful` gives the connections the drain time before nobody is accepted any more; with `skipExit` that never comes.
    private func drainListeners(_ graceful: Bool, _ skipExit: Bool, _ inboundOnly: Bool) {
        guard graceful else {
            engine?.drainListeners(inboundOnly: inboundOnly)
            return
        }
        guard !skipExit, gracefulDrain == nil else { return }
        let timer = loop.makeTimer { [unowned self] in if machine.serves { engine?.drainListeners(inboundOnly: inboundOnly) } }
        gracefulDrain = timer
        loop.arm(timer, afterMs: UInt64(options.drainTimeS) * 1000)
    }

    // MARK: - The snapshot

    private var serverState: ServerStatus.State {
        switch machine.state {
        case .idle, .lookingForParent, .helloSent, .inheriting, .adopting, .preparing, .warming, .takingOver: .preInitializing
        default: isHealthcheckFailed ? .draining : .live
        }
    }

    private var server: ServerStatus {
        let now = System.unixMs
        var server = ServerStatus(
            state: serverState, epoch: epoch, pid: pid,
            hotRestartVersion: hotRestartVersion(capabilities: Server.capabilities, disabled: options.disableHotRestart),
            uptimeS: (now - min(now, startUp.beganUnixMs)) / 1000, uptimeAllEpochsS: (now - min(now, firstStartedUnixMs)) / 1000,
            nowUnixMs: now)
        server.restartInProgress = child != nil
        return server
    }

    private var snapshot: AdminSnapshot {
        var snapshot = AdminSnapshot(server: server)
        snapshot.node = configuration.node
        snapshot.options = effectiveOptions.info(workers: workers)
        snapshot.statsTags = options.statsTags.map { ($0.name, $0.value) }
        snapshot.bucketLows = Statistics.bucketLows
        snapshot.listeners = { [unowned self] in listenerStatus }
        snapshot.clusters = { [unowned self] in clusterStatus }
        snapshot.statistics = { [unowned self] in
            refreshGauges()
            return statistics?.collect() ?? []
        }
        snapshot.generations = { [unowned self] in generationStatus }
        snapshot.restartReport = { [unowned self] in lastRestart.flatMap(Self.json) }
        snapshot.configuration = { [unowned self] in configurationDump }
        snapshot.memory = { ProcessMemory.now }
        snapshot.logLevels = { [unowned self] in log.levels.map { .init(component: $0.component, level: $0.level.name) } }
        return snapshot
    }

    /// With the epoch that `--restart-epoch` without a number came to.
    private var effectiveOptions: ServerOptions {
        var options = options
        options.restartEpoch = .number(epoch)
        return options
    }

    private static func json(_ report: RestartReport) -> String? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(report)).map { String(decoding: $0, as: UTF8.self) }
    }

    private var listenerStatus: [ListenerStatus] {
        configuration.listeners.enumerated().map { index, listener in
            let bound = listener.addresses.indices.map { position in
                engine?.address(ofListener: index, index: position).map(\.modelAddress) ?? listener.addresses[position].address
            }
            return ListenerStatus(name: listener.name, addresses: bound)
        }
    }

    private var clusterStatus: [ClusterStatus] {
        configuration.clusters.enumerated().map { index, cluster in
            var status = ClusterStatus(name: cluster.name, observabilityName: cluster.statName)
            status.maxConnections = cluster.maxConnections
            status.hosts = (engine?.hosts(ofCluster: UInt32(index)) ?? []).map { host in
                var entry = ClusterStatus.Host(address: host.address.modelAddress)
                entry.hostname = host.hostname
                entry.weight = host.weight
                entry.isHealthy = host.isHealthy
                entry.active = host.active
                entry.total = host.total
                entry.connectFailures = host.connectFailures
                return entry
            }
            return status
        }
    }

    private var generationStatus: [GenerationStatus] {
        publish()
        return (controlBlock?.generations ?? []).map { record in
            var status = GenerationStatus(epoch: record.epoch, pid: record.pid, state: record.state.text)
            status.version = record.version
            status.startedUnixMs = record.startedUnixMs
            status.connections = record.connections
            status.oldestConnectionMs = record.oldestConnectionMs
            status.drainEndsUnixMs = record.drainEndsUnixMs > 0 ? record.drainEndsUnixMs : nil
            status.configHash = record.configHash
            return status
        }
    }

    private var configurationDump: ConfigurationDump {
        let loaded = startUp.configuration
        var dump = ConfigurationDump()
        dump.bootstrap = loaded.bootstrapJSON
        dump.loadedUnixMs = startUp.beganUnixMs
        dump.clusters = zip(configuration.clusters, loaded.clusterJSON).map { .init(name: $0.name, json: $1) }
        dump.listeners = zip(configuration.listeners, loaded.listenerJSON).map { .init(name: $0.name, json: $1) }
        return dump
    }

    private func refreshGauges() {
        countLostLines()
        let others = (controlBlock?.generations ?? []).filter { $0.epoch != epoch && $0.state != .initializing }
        let elsewhere = Int64(clamping: others.reduce(0) { $0 + $1.connections })
        let memory = ProcessMemory.now
        let values: [(String, Int64)] = [
            ("server.concurrency", Int64(workers)), ("server.hot_restart_epoch", Int64(clamping: epoch)),
            ("server.hot_restart_generation", Int64(clamping: hotRestartGeneration)),
            ("server.live", serverState == .live ? 1 : 0), ("server.state", serverState.rawValue),
            ("server.days_until_first_cert_expiring", Int64(UInt32.max)),
            ("server.memory_allocated", Int64(clamping: memory.allocated)), ("server.memory_heap_size", Int64(clamping: memory.heapSize)),
            ("server.memory_physical_size", Int64(clamping: memory.physical)), ("server.parent_connections", elsewhere),
            ("server.total_connections", elsewhere + Int64(clamping: engine?.connections ?? 0)),
            ("server.uptime", Int64(clamping: server.uptimeAllEpochsS)),
            ("server.draining_generations", Int64(others.count { $0.state == .draining })),
        ]
        for (name, value) in values { serverStatistics.set(name, value, in: statistics) }
    }

    // MARK: - init_only, and the first minute

    /// `--mode init_only`: everything up to the listeners, then the end.
    func initializeOnly() -> Int32 {
        var failure: RestartFailure?
        do {
            let builder = StatisticsBuilder()
            let plan = try Plan(configuration)
            try serverStatistics.register(builder)
            try plan.registerStatistics(builder, workers: workers)
            let statistics = try Statistics(builder, shards: workers + 1, epoch: epoch)
            let engine = try Engine(
                plan: plan, statistics: statistics, control: nil, loop: loop,
                settings: .init(workers: workers, epoch: epoch, accessLogFlushMs: 1000, accessLogMinBytes: 0))
            do { try engine.openSockets(cold: true) } catch { failure = .listen(error) }
        } catch {
            failure = .engine(error)
        }
        guard let failure else { return 0 }
        writeAll(failure.text, to: STDERR_FILENO)
        return failure.exitCode
    }

    private var isEmbeddedExample: Bool { startUp.source.path == nil && startUp.source.yaml == embeddedDefaultConfiguration }

    /// What to try next, for somebody who has just started the embedded example at a terminal.
    func printFirstSteps() {
        guard isEmbeddedExample, isatty(STDOUT_FILENO) == 1, epoch == 0 else { return }
        writeAll(
            """

            This is the embedded example: echo on 127.0.0.1:10000, admin on http://127.0.0.1:9901/. In other terminals try

                curl -sN telnet://127.0.0.1:10000             type a line, and it comes back
                ./proxy --restart-epoch                       (third terminal) the next generation takes over; lines still come back
                ./restarter status                            who serves, who drains, how the last restart went
                curl -s 127.0.0.1:9901/stats | grep cx_total  counters go on counting across restarts

            ^C where the serving generation runs, or `./restarter stop`, stops every generation.


            """, to: STDOUT_FILENO)
    }
}
