import Harness
import Testing

/// What clients that connect every millisecond saw of a number of deaths.
struct DeathFigures {
    let deaths: [Death]
    let report: LoadReport
    let connections: [ConnectionRecord]

    init(_ deaths: [Death], _ stream: LoadClient) throws {
        self.deaths = deaths
        if let last = deaths.last {
            try eventually("an answer to somebody who came after the last death", within: 20, every: 0.05) {
                last.gap(try stream.connections()) != nil
            }
        }
        report = try stream.stop(within: 40)
        connections = try stream.connections()
    }

    /// What a test with deaths puts its proxy under.
    static func stream(_ s: Scenario, _ endpoint: Endpoint) throws -> LoadClient {
        try LoadClient(
            s, .connect, endpoint, ["-r", "1000", "-c", "900", "--sources", "32", "--half-close", "-t", "20000"], recorded: true)
    }

    /// Nobody is refused, nobody is forgotten in an accept queue, and whoever was cut the dead process may have had.
    func check(_ s: Scenario) {
        s.checkEqual(report.refused, 0, "refused of \(report.tried)")
        let cut = connections.filter(\.isCut)
        s.checkEqual(report.failed, cut.count, "neither served nor cut: \(report.failures)")
        for connection in cut where !deaths.contains(where: { $0.covers(connection) }) {
            s.check(false, "\(connection.outcome), though nobody died between \(connection.begun) and \(connection.ended) µs")
        }
        s.checkEqual(gaps.count, deaths.count, "deaths after which somebody was answered")
    }

    private var gaps: [UInt64] { deaths.compactMap { $0.gap(connections) } }

    /// Connections that were there at a death and were answered after it.
    private var outlived: Int {
        connections.filter { record in record.isOk && deaths.contains { record.begun < $0.ended && $0.ended < record.answered } }.count
    }

    var text: String {
        "\(deaths.count) deaths, \(report.tried) connections: \(report.refused) refused, \(report.failed) cut, \(outlived) outlived one; "
            + "from SIGKILL to an answer to somebody new: \(distribution(gaps))"
    }
}
