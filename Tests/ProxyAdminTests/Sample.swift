import ProxyModel

@testable import ProxyAdmin

/// A server with something on every page, and questions to it.
enum Sample {
    /// 2026-11-24T03:44:05.123Z
    static let now: UInt64 = 1_795_491_845_123
    /// One bucket per power of two, as the core's table has them at the beginning.
    static let lows: [UInt64] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

    static func server(_ state: ServerStatus.State = .live) -> ServerStatus {
        ServerStatus(
            state: state, epoch: 3, pid: 812, hotRestartVersion: "1.3", uptimeS: 20, uptimeAllEpochsS: 100, nowUnixMs: now)
    }

    static func snapshot(_ state: ServerStatus.State = .live) -> AdminSnapshot {
        var snapshot = AdminSnapshot(server: server(state))
        snapshot.node.id = "n1"
        snapshot.node.cluster = "c1"
        snapshot.bucketLows = lows
        snapshot.listeners = { listeners }
        snapshot.clusters = { clusters }
        snapshot.statistics = { statistics }
        snapshot.generations = { generations }
        snapshot.configuration = { configuration }
        snapshot.logLevels = { [.init(component: "admin", level: "info"), .init(component: "config", level: "warning")] }
        snapshot.options = .object([.init("base_id", .string("0")), .init("restart_epoch", .number(3))])
        snapshot.memory = {
            var memory = MemoryStatus()
            memory.allocated = 1
            memory.heapSize = 2
            memory.physical = 3
            return memory
        }
        return snapshot
    }

    static let listeners = [
        ListenerStatus(
            name: "tcp_l", addresses: [.socket(host: "127.0.0.1", port: 11000), .socket(host: "::1", port: 11002)]),
        ListenerStatus(name: "pipe_l", addresses: [.pipe(path: "/tmp/l.sock", mode: 0)]),
    ]

    static let clusters: [ClusterStatus] = {
        var first = ClusterStatus.Host(address: .socket(host: "127.0.0.1", port: 11001))
        first.hostname = "hh"
        first.total = 3
        first.connectFailures = 1
        var second = ClusterStatus.Host(address: .pipe(path: "/tmp/x", mode: 0))
        second.isHealthy = false
        var up = ClusterStatus(name: "up")
        up.hosts = [first, second]
        return [ClusterStatus(name: "a.b", observabilityName: "alt"), up]
    }()

    static let generations: [GenerationStatus] = {
        var old = GenerationStatus(epoch: 2, pid: 800, state: "draining")
        old.connections = 7
        old.oldestConnectionMs = 61_000
        old.drainEndsUnixMs = now + 90_000
        old.startedUnixMs = now - 100_000
        old.configHash = 0xBEEF
        var new = GenerationStatus(epoch: 3, pid: 812, state: "serving")
        new.startedUnixMs = now - 20_000
        return [old, new]
    }()

    static let statistics: [StatSample] = [
        StatSample(name: "tcp.ingress.downstream_cx_total", value: .counter(1), used: true),
        StatSample(name: "server.live", value: .gauge(1), used: true),
        StatSample(name: "cluster.up.upstream_cx_total", value: .counter(0), used: false),
        StatSample(name: "cluster.up.upstream_cx_length_ms", value: .histogram(count: 0, sum: 0, counts: []), used: false),
        StatSample(
            name: "listener.127.0.0.1_11000.downstream_cx_length_ms",
            value: .histogram(count: 4, sum: 30, counts: [1, 0, 0, 0, 2, 1]), used: true),
    ]

    static let configuration: ConfigurationDump = {
        var dump = ConfigurationDump()
        dump.bootstrap = "{\"node\":{\"id\":\"n1\"}}"
        dump.clusters = [.init(name: "up", json: "{ \"name\": \"up\" }"), .init(name: "a.b", json: "{}")]
        dump.listeners = [.init(name: "tcp_l", json: "{\"name\":\"tcp_l\"}")]
        dump.loadedUnixMs = now
        return dump
    }()
}

extension AdminSnapshot {
    /// `path` may have a query.
    func reply(_ method: String, _ path: String, origin: String = "", host: String = "") -> AdminReply {
        let sides = path.split(separator: "?", maxSplits: 1).map(String.init)
        return AdminRouter.reply(
            to: AdminRequest(method: method, path: sides[0], query: sides.count > 1 ? sides[1] : "", origin: origin, host: host), self)
    }

    func get(_ path: String) -> AdminResponse { reply("GET", path).response }
}

extension AdminResponse {
    var text: String { String(decoding: body, as: UTF8.self) }
}
