import ProxyCore
import ProxyModel

/// Times the steps of one attempt to become the serving generation, and makes the report of it.
struct RestartRecorder {
    private let beganNs: UInt64
    private var stepNs: UInt64
    private(set) var report = RestartReport()

    /// `beganNs`: CLOCK_MONOTONIC when the process began.
    init(beganNs: UInt64) {
        self.beganNs = beganNs
        stepNs = beganNs
        report.version = ProductVersion.number
    }

    var elapsedMs: Double { Double(System.monotonicNs - beganNs) / 1e6 }

    /// The step ends now and began when the one before ended.
    mutating func step(_ name: String) -> SupervisionEvent.Step {
        let now = System.monotonicNs
        let ms = Double(now - stepNs) / 1e6
        stepNs = now
        report.steps.append(.init(name: name, ms: ms))
        return .init(name: name, ms: ms)
    }

    mutating func setParent(epoch: UInt64, pid: Int32) {
        report.fromEpoch = epoch
        report.fromPid = pid
    }
    mutating func setSelf(epoch: UInt64, pid: Int32) {
        report.toEpoch = epoch
        report.toPid = pid
    }
    mutating func setListeners(_ listeners: RestartReport.Listeners) { report.listeners = listeners }
    mutating func setDraining(_ connections: UInt64) { report.connections.draining = connections }

    mutating func end(_ result: RestartReport.Result) {
        report.result = result
        report.totalMs = elapsedMs
        report.endedUnixMs = System.unixMs
    }
}
