import ProxyAdmin
import ProxyCore
import ProxyModel

/// The statistics that the driver itself keeps: server.*
struct ServerCounters {
    private var slots: [String: Statistic] = [:]

    mutating func register(_ builder: StatisticsBuilder) throws(CoreError) {
        for statistic in ServerStatistics.all {
            let kind: StatisticsBuilder.Kind =
                switch statistic.kind {
                case .counter: .counter
                case .gauge: .gauge
                case .gaugeNeverImported: .gaugeNeverImported
                case .histogram: .histogram
                }
            slots[statistic.name] = try builder.add(statistic.name, kind)
        }
    }

    func add(_ name: String, _ delta: Int64 = 1, in statistics: Statistics?) {
        if let slot = slots[name] { statistics?.add(slot, delta) }
    }
    func set(_ name: String, _ value: Int64, in statistics: Statistics?) {
        if let slot = slots[name] { statistics?.set(slot, value) }
    }
    func record(_ name: String, _ value: UInt64, in statistics: Statistics?) {
        if let slot = slots[name] { statistics?.record(slot, value) }
    }

    func noteRestart(ok: Bool, _ report: RestartReport, in statistics: Statistics?) {
        guard report.fromEpoch != nil else { return }
        set("server.restart_success", ok ? 1 : 0, in: statistics)
        set("server.last_restart_timestamp_seconds", Int64(clamping: (report.endedUnixMs ?? 0) / 1000), in: statistics)
    }
}
